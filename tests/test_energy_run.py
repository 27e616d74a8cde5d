"""Whole runs beside a meter: a real program that tells watts, and the energy that comes out."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.ground_truth import ground_truth_server
from minionbench.clock import monotonic_ns, sleep_s
from minionbench.deployments.single import Local
from minionbench.experiment import RunOutcome, RunSettings, run_experiment
from minionbench.load import ClosedLoop
from minionbench.measuring import Silent
from minionbench.meters.power import wall
from minionbench.meters.power.meter import PowerSettings
from minionbench.metrics import energy, meter_reading
from minionbench.metrics.energy import ENERGY_METRICS
from minionbench.recovery import recover_run
from minionbench.schema import CellResult, MetricResult
from minionbench.store import TRACES, read_trace
from tests.cli.calling import call, start
from tests.meters.power.test_wall import is_alive
from tests.study import Questions

STEADY = (
    "import json, os, time\n"
    "open(os.path.join(os.path.dirname(__file__), 'pid'), 'w').write(str(os.getpid()))\n"
    "while True: print(json.dumps({'watts': 50.0}), flush=True); time.sleep(.02)\n"
)
BRIEF = (
    "import json, sys, time\n"
    "begun = time.monotonic()\n"
    "while time.monotonic() < begun + .7:\n"
    "    print(json.dumps({'watts': 50.0}), flush=True); time.sleep(.02)\n"
)
"""Tells the truth for a while; what it does then is added."""


def meter(folder: Path, code: str = STEADY) -> str:
    (folder / "meter.py").write_text(code)
    return shlex.join([sys.executable, str(folder / "meter.py")])


def study(folder: Path, model: Path, **more: object) -> RunSettings:
    """A run on the embedded engine, of a model of random weights."""
    settings: dict[str, object] = {
        "workloads": (Questions("balanced", output_tokens=300),),
        "deployment": Local(f"llamacpp/{model}"),
        "num_requests": 6,
        "warmup": 1,
        "repeats": 2,
        "output_dir": folder,
    }
    if "meters" not in more:
        settings["meters"] = PowerSettings(command=meter(folder), idle_s=0.3)
    return RunSettings(**{**settings, **more})  # type: ignore[arg-type]


def the_cell(outcome: RunOutcome) -> CellResult:
    (candidate,) = outcome.run.candidates
    (cell,) = candidate.cells
    return cell


def energies(cell: CellResult) -> dict[str, MetricResult]:
    return {name: cell.metrics[name] for name in ENERGY_METRICS}


class Snapshot(Silent):
    """Copies the store when the run is measured, before it has a document."""

    def __init__(self, source: Path, copy: Path) -> None:
        self.source, self.copy = source, copy

    def stage(self, text: str) -> None:
        if text == "computing the metrics":
            shutil.copytree(self.source, self.copy)


def test_a_meter_that_always_tells_50_w_gives_50_w_times_the_time(
    random_model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "killed"
    (tmp_path / "runs").mkdir()
    command = meter(tmp_path)
    outcome = run_experiment(
        study(
            tmp_path / "runs",
            random_model,
            meters=PowerSettings(command=command, idle_s=0.3, tdp_w=100),
        ),
        Snapshot(tmp_path / "runs", copy),
    )
    cell = the_cell(outcome)
    values = energies(cell)
    about = values["energy_wh"].metadata
    assert values["energy_wh"].value == pytest.approx(50 * about["window_s"] / 3_600)
    assert about["basis"] == "measured"
    assert about["device"] == ["the machine at the wall"]
    # What the design power would give stands beside it and is not added.
    assert list(about["beside_wh"]) == ["processors (modelled)"]
    assert values["idle_power_w"].value == pytest.approx(50)
    assert values["idle_power_w"].metadata["before_w"] == pytest.approx(50)
    assert values["idle_power_w"].metadata["after_w"] == pytest.approx(50)
    assert values["energy_above_idle_wh"].value == pytest.approx(0, abs=1e-12)
    total = values["energy_wh"].value
    assert total is not None
    assert values["energy_wh_per_request"].value == pytest.approx(total / 12)
    # The candidate has a single cell, and with it the cell's figures.
    assert outcome.run.candidates[0].metrics["energy_wh"] == values["energy_wh"]
    moment = cell.metrics["peak_ram_mb"].metadata["moment"]
    assert moment["since_begin_s"] > 0
    assert not is_alive(int((tmp_path / "pid").read_text()))
    # What a kill just before the document would have left gives the same figures.
    recovered = recover_run(outcome.run.metadata.run_id, copy).run
    assert energies(recovered.candidates[0].cells[0]) == values


def test_overlapping_requests_have_energy_per_token_and_none_of_their_own(tmp_path: Path) -> None:
    with ground_truth_server(ttft_ms=5, itl_ms=10, tokens=20) as server:
        outcome = run_experiment(
            study(
                tmp_path,
                Path(),
                deployment=Local(None, url=server.base_url),
                num_requests=12,
                repeats=1,
                load=ClosedLoop(concurrency=3),
            )
        )
    values = energies(the_cell(outcome))
    about = values["energy_wh"].metadata
    assert about["window"] == "steady state"
    assert values["energy_wh"].value == pytest.approx(50 * about["window_s"] / 3_600)
    tokens = values["energy_j_per_token"].metadata["tokens"]
    assert values["energy_j_per_token"].value == pytest.approx(50 * about["window_s"] / tokens)
    assert values["energy_wh_per_request"].status == "skipped"
    assert "overlapped" in values["energy_wh_per_request"].metadata["reason"]


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("sys.exit('unplugged')", "its command ended with exit code 1: unplugged"),
        ("while True: print('garbage', flush=True); time.sleep(.02)", "a line is no reading"),
        ("time.sleep(600)", "has been silent for"),
    ],
    ids=["dies", "prints garbage", "stalls"],
)
def test_a_meter_that_fails_in_mid_run_leaves_no_energy_and_says_why(
    then: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Shorter than the three seconds that it takes in earnest.
    monkeypatch.setattr(meter_reading, "LONGEST_GAP_NS", 300_000_000)
    monkeypatch.setattr(energy, "LONGEST_GAP_NS", 300_000_000)
    monkeypatch.setattr(wall, "SILENCE_NS", 100_000_000)
    command = meter(tmp_path, BRIEF + then + "\n")
    with ground_truth_server(ttft_ms=20, itl_ms=10, tokens=30) as server:
        outcome = run_experiment(
            study(
                tmp_path,
                Path(),
                deployment=Local(None, url=server.base_url),
                num_requests=6,
                repeats=1,
                meters=PowerSettings(command=command, idle_s=0.1),
            )
        )
    cell = the_cell(outcome)
    for name, value in energies(cell).items():
        assert value.status == "error", name
        assert value.value is None
        assert said in str(value.error_message)
    # All else was measured as if there were no meter.
    assert cell.metrics["total_latency_s"].status == "ok"
    assert outcome.exit_code == 1


def test_without_a_meter_every_energy_metric_is_skipped_with_a_reason_that_helps(
    tmp_path: Path,
) -> None:
    nowhere = dict.fromkeys(("powercap", "hwmon", "drm", "i2c"), tmp_path / "nowhere")
    with ground_truth_server(ttft_ms=1, itl_ms=1, tokens=5) as server:
        outcome = run_experiment(
            study(
                tmp_path,
                Path(),
                deployment=Local(None, url=server.base_url),
                meters=PowerSettings(**nowhere),  # type: ignore[arg-type]
            )
        )
    values = energies(the_cell(outcome))
    if any("parts_wh" in value.metadata for value in values.values()):
        pytest.skip("this machine has a GPU whose driver tells its energy")
    for value in values.values():
        assert value.status == "skipped"
        assert value.value is None
        assert "--meter-command" in value.metadata["reason"]
        assert "minionbench doctor" in value.metadata["reason"]
    assert "RAPL" in values["energy_wh"].metadata["meters"]
    # Nobody was kept waiting for a baseline that no meter could have told.
    trace = read_trace(outcome.path.parent / "data" / outcome.path.stem / TRACES)
    assert trace is not None
    assert {mark.phase for mark in trace.marks} == {"warmup", "measured"}


def test_no_meters_means_that_nothing_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ground_truth_server(ttft_ms=1, itl_ms=1, tokens=5) as server:
        done = call(
            capsys, "run", "-u", server.base_url, "-w", "decode", "-n", "2", "--repeats", "1",
            "--warmup", "0", "--no-meters", "--format", "json", "-o", str(tmp_path),
        )  # fmt: skip
    metrics = json.loads(done.out)["candidates"][0]["cells"][0]["metrics"]
    for name in ENERGY_METRICS:
        assert metrics[name]["status"] == "skipped"
        assert metrics[name]["metadata"]["reason"] == "the meters were switched off (--no-meters)"
    trace = read_trace(next(tmp_path.glob("data/*")) / TRACES)
    assert trace is not None
    assert trace.streams == ()


def test_a_killed_run_keeps_its_energy_and_leaves_no_meter_behind(tmp_path: Path) -> None:
    command = meter(tmp_path)
    store = tmp_path / "runs"
    with ground_truth_server(ttft_ms=20, itl_ms=5, tokens=20) as server:
        process = start(
            "run", "-u", server.base_url, "-w", "decode", "-n", "60", "--warmup", "0",
            "--repeats", "1", "--meter-command", command, "-o", str(store),
        )  # fmt: skip
        journal = until(lambda: rows(store) >= 12)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert journal
    pid = int((tmp_path / "pid").read_text())
    assert until(lambda: not is_alive(pid))
    (folder,) = (store / "data").iterdir()
    trace = folder / TRACES
    # As a kill in the midst of a write would leave it.
    trace.write_bytes(trace.read_bytes() + b'["look","wall",12')
    recovered = recover_run(folder.name, store).run
    values = energies(recovered.candidates[0].cells[0])
    about = values["energy_wh"].metadata
    assert values["energy_wh"].value == pytest.approx(50 * about["window_s"] / 3_600)
    requests = values["energy_wh_per_request"].metadata["requests"]
    left_out = about.get("left_out", 0)
    assert requests + left_out == len((folder / "records.jsonl").read_bytes().splitlines())
    assert requests >= 10
    # The idle machine was looked at before, and no more after.
    assert values["idle_power_w"].metadata["before_w"] == pytest.approx(50)
    assert values["idle_power_w"].metadata["after_w"] is None


def rows(store: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in store.glob("data/*/records.jsonl"))


def until(condition: Callable[[], bool], wait_s: float = 60) -> bool:
    """Waits for a condition; whether it came."""
    end = monotonic_ns() + int(wait_s * 1e9)
    while not (met := condition()) and monotonic_ns() < end:
        sleep_s(0.02)
    return bool(met)


def test_a_meter_that_cannot_be_read_ends_the_command_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(
        capsys, "run", "--meter-command", "/nowhere/meter", "-w", "decode", "-o", str(tmp_path)
    )
    assert done.code == 3
    assert "cannot be started" in done.err
    assert list(tmp_path.rglob("*.json*")) == []
    assert os.listdir(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tdp", "-3"], "no power of a processor"),
        (["--tdp", "65", "--no-meters"], "switches all meters off"),
        (["--meter-command", "a", "--meter-file", "b"], "name one of"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("run", "autobench"):
        done = call(capsys, name, *flags)
        assert done.code == 2
        assert said in done.err
