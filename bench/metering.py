"""What looking at meters costs: CPU time, and what it does to the measured times.

    python -m bench.metering            # four minutes; prints one JSON object
    python -m bench.metering --check    # exit code 1 where a target was missed

Looked at, ten times a second, are the meters that this machine has. Where it has no counters of a
processor's energy, a tree of files stands in for them, which the same code reads: two packages,
each with memory. Beside them, once a second, the memory of this process's tree. All goes to a
trace's file, as in a run.

CPU: user and system time of the sampler's threads over the time that passes, as a share of one
core. Times: p99 of the TTFT error (bench.accuracy) of runs with and without the sampler, in pairs
whose order alternates. The shift is the median of the pairs' differences; the noise that it is held
against is the median difference, whatever its sign, of two runs without that follow each other.

Where there is an NVIDIA GPU, the mean power by its counter and by its samples is told as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.accuracy import Load, run_minionbench, ttft_errors_ms
from bench.ground_truth import GroundTruthServer, ground_truth_server
from bench.machine import describe_machine, stolen_cpu_s
from minionbench.clock import monotonic_ns, sleep_s
from minionbench.meters.engine_streams import Watched, engine_meters
from minionbench.meters.power.catalog import close_all, find_meters
from minionbench.meters.power.meter import Found, Meter, PowerSettings
from minionbench.meters.sampler import RATE_HZ, Sampler
from minionbench.metrics.meter_reading import readings
from minionbench.metrics.throughput import Window
from minionbench.stats import median, quantile
from minionbench.store.trace_file import TraceFile, read_trace
from minionbench.units import NS_PER_S

CPU_SHARE_TARGET = 0.005
"""Of one core."""
SECONDS = 20.0
PAIRS = 8
TTFT_MS = 20.0
ITL_MS = 2.0
LOADS = {
    1: Load(1, 150, PAIRS, ttft_p50_target_ms=0, ttft_p99_target_ms=0, tokens=8),
    64: Load(64, 2_048, PAIRS, ttft_p50_target_ms=0, ttft_p99_target_ms=0, tokens=32),
}


@contextmanager
def meters_of_this_machine() -> Iterator[tuple[list[Meter], list[Found], bool]]:
    """Its meters and this process's memory; what was found; whether files stand in for RAPL."""
    with tempfile.TemporaryDirectory() as scratch:
        found = list(find_meters(PowerSettings()))
        stands_in = not any(
            stream.scope == "package" for one in _meters(found) for stream in one.streams
        )
        if stands_in:
            close_all(found)
            tree = _tree_of_files(Path(scratch))
            found = list(find_meters(PowerSettings(powercap=tree)))
        memory = engine_meters([Watched("local", os.getpid(), None, lambda: None)])
        try:
            yield [*_meters(found), *memory], found, stands_in
        finally:
            close_all(found)
            for meter in memory:
                meter.close()


def _meters(found: Sequence[Found]) -> list[Meter]:
    return [one.meter for one in found if one.meter is not None]


def _tree_of_files(root: Path) -> Path:
    for package in range(2):
        zone = root / f"intel-rapl:{package}"
        for folder, name in ((zone, f"package-{package}"), (zone / f"{zone.name}:0", "dram")):
            folder.mkdir()
            (folder / "name").write_text(f"{name}\n")
            (folder / "energy_uj").write_text("123456789012\n")
            (folder / "max_energy_range_uj").write_text("262143328850\n")
    return root


def cpu(meters: Sequence[Meter], duration_s: float) -> dict[str, Any]:
    """CPU of the sampler while nothing else is done, and what the meters said meanwhile."""
    with tempfile.TemporaryDirectory() as scratch:
        file = TraceFile(Path(scratch) / "traces.jsonl")
        start_ns = monotonic_ns()
        with Sampler(meters, file) as sampler:
            sleep_s(duration_s)
        end_ns = monotonic_ns()
        file.close()
        trace = read_trace(file.path)
    assert trace is not None
    reading = readings(trace)
    watts: dict[str, float] = {}
    window = Window(start_ns + NS_PER_S, end_ns - NS_PER_S)
    for stream_id, of_stream in reading.items():
        use = of_stream.use(window) if window.end_ns > window.start_ns else "too short"
        if not isinstance(use, str):
            watts[stream_id] = use.joules / (window.length_ns / NS_PER_S)
    share = sampler.own_cpu_ns / (end_ns - start_ns)
    return {
        "seconds": (end_ns - start_ns) / NS_PER_S,
        "streams": [stream.stream_id for stream in trace.streams],
        "looks": {stream_id: len(looks) for stream_id, looks in trace.looks.items()},
        "mean_w": watts,
        "failed": sampler.failed,
        "look_us": {
            meter.streams[0].stream_id.partition("/")[0]: _look_us(meter) for meter in meters
        },
        "share_of_a_core": share,
        "met": {"cpu": share <= CPU_SHARE_TARGET and sampler.failed is None},
    }


def _look_us(meter: Meter) -> float:
    """Time of one look, the median of some."""
    spans = []
    for _ in range(20):
        before_ns = monotonic_ns()
        meter.look()
        spans.append((monotonic_ns() - before_ns) / 1_000)
    return median(spans)


def _p99_ms(server: GroundTruthServer, load: Load) -> float:
    client = run_minionbench(server, load)
    errors = list(ttft_errors_ms(client, server.dump()))
    if client.failures or len(errors) != load.requests:
        raise RuntimeError(f"not every request was answered: {client.failures[:1]}")
    return quantile(errors, 0.99)


def shift(server: GroundTruthServer, meters: Sequence[Meter], load: Load) -> dict[str, Any]:
    """p99 of the TTFT error with and without the sampler, and what the difference is worth."""
    with_ms: list[float] = []
    without_ms: list[float] = []
    shares: list[float] = []

    def sampled() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            file = TraceFile(Path(scratch) / "traces.jsonl")
            start_ns = monotonic_ns()
            with Sampler(meters, file) as sampler:
                with_ms.append(_p99_ms(server, load))
            shares.append(sampler.own_cpu_ns / (monotonic_ns() - start_ns))
            file.close()

    def bare() -> None:
        without_ms.append(_p99_ms(server, load))

    stolen_before_s = stolen_cpu_s()
    for pair in range(load.pairs):
        server.set(ttft_ms=TTFT_MS, itl_ms=ITL_MS)
        for run in (sampled, bare) if pair % 2 == 0 else (bare, sampled):
            server.set(ttft_ms=TTFT_MS, itl_ms=ITL_MS)
            run()
        print(
            f"C={load.connections}: p99 {with_ms[-1]:.3f} ms with, {without_ms[-1]:.3f} without",
            file=sys.stderr,
            flush=True,
        )
    stolen_after_s = stolen_cpu_s()
    return {
        "connections": load.connections,
        "requests": load.requests,
        "with_ms": with_ms,
        "without_ms": without_ms,
        "sampler_share_of_a_core": median(shares),
        "stolen_cpu_s": None
        if stolen_before_s is None or stolen_after_s is None
        else stolen_after_s - stolen_before_s,
        **judged(with_ms, without_ms),
    }


def judged(with_ms: Sequence[float], without_ms: Sequence[float]) -> dict[str, Any]:
    """The shift of pairs of runs, the noise, and whether the one stays below the other."""
    moved = median([a - b for a, b in zip(with_ms, without_ms, strict=True)])
    noise = median([abs(a - b) for a, b in pairwise(without_ms)])
    return {"shift_ms": moved, "noise_ms": noise, "met": {"shift": moved <= noise}}


def measure(
    loads: Sequence[Load] = tuple(LOADS.values()), duration_s: float = SECONDS
) -> dict[str, Any]:
    """Measures; the object that the command prints."""
    with meters_of_this_machine() as (meters, found, stands_in):
        told: dict[str, Any] = {
            "machine": describe_machine(),
            "rate_hz": RATE_HZ,
            "meters": {one.name: one.why or one.resolution for one in found},
            "files_stand_in_for_rapl": stands_in,
            "cpu": cpu(meters, duration_s),
        }
        with ground_truth_server(ttft_ms=TTFT_MS, itl_ms=ITL_MS) as server:
            told["ttft"] = [shift(server, meters, load) for load in loads]
        return told


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and a target was missed."""
    parser = argparse.ArgumentParser(description="Measure what looking at meters costs.")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    parser.add_argument("--pairs", type=int, help="runs with and without, interleaved (>= 2)")
    parser.add_argument("--cpu-only", action="store_true", help="leave the runs out")
    options = parser.parse_args(arguments)
    loads = [] if options.cpu_only else list(LOADS.values())
    if options.pairs is not None:
        if options.pairs < 2:
            parser.error("--pairs has to be 2 at least: noise is a difference of two runs")
        loads = [replace(load, pairs=options.pairs) for load in loads]
    result = measure(loads)
    print(json.dumps(result, indent=2))
    met = [result["cpu"]["met"]["cpu"], *(one["met"]["shift"] for one in result["ttft"])]
    return 1 if options.check and not all(met) else 0


if __name__ == "__main__":
    sys.exit(main())
