"""How long the registry of the reference model takes, and how much of it is the harness's own.

    python -m bench.autobench [--check] [--quick]

The three formats of the reference model are measured with all metrics and the default settings.
The engine's share is the time from the start of an engine until it answered, and the time from
the sending of each call to its end; everything else, the preparation of requests, the records,
the metrics, the document, is the harness's own:

    own share = 1 − (engine starts + calls + questions for likelihoods)/wall time
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import describe_machine
from minionbench.autobench import Procedure, run_autobench
from minionbench.clock import monotonic_ns
from minionbench.errors import MinionbenchError
from minionbench.measuring import Silent
from minionbench.records import RequestRecord
from minionbench.units import seconds

FORMATS = ("f16", "q8_0", "q4_0")
TARGET_WALL_S = 360.0
TARGET_OWN_SHARE = 0.05
QUICK = Procedure(num_requests=2, warmup=1, repeats=1, cove_pairs=7, queries=3, passages=1)


class Stopwatch(Silent):
    """Adds up what is spent in engines, and notes how the time went by stage."""

    def __init__(self) -> None:
        self.engine_ns = 0
        self.stages: dict[str, int] = {}
        self.engine_in: dict[str, int] = {}
        """Of each stage, what its calls took."""
        self._stage = ""
        self._since_ns = monotonic_ns()

    def stage(self, text: str) -> None:
        """A stage ends, and another begins."""
        now_ns = monotonic_ns()
        spent_ns = now_ns - self._since_ns
        self.stages[self._stage] = self.stages.get(self._stage, 0) + spent_ns
        if self._stage == "starting the engine":
            self.engine_ns += spent_ns
        # Without the model's name, so that all models' add up.
        self._stage = kind_of(text)
        self._since_ns = now_ns

    def record(self, record: RequestRecord) -> None:
        """A request has ended: its calls were the engine's."""
        spent_ns = spent_in_calls_ns(record)
        self.engine_ns += spent_ns
        self.engine_in[self._stage] = self.engine_in.get(self._stage, 0) + spent_ns

    def done(self) -> None:
        """The last stage ends."""
        self.stage("")


def kind_of(stage: str) -> str:
    """A stage without the name of the model: `v1: starting the engine` → `starting the engine`."""
    if ": " in stage:
        return stage.partition(": ")[2]
    return stage.partition(",")[0].rpartition(".")[2]


def spent_in_calls_ns(record: RequestRecord) -> int:
    """Time in which a call of a request was under way; the engine has one slot: none overlap."""
    return sum(
        call.reply.end_ns - call.reply.sent_ns
        for call in record.calls
        if call.reply.end_ns is not None and call.reply.sent_ns is not None
    )


def write_registry(folder: Path) -> Path:
    """A registry of the formats of the reference model."""
    path = folder / "registry.json"
    entries = [
        {
            "version": f"reference-{form}",
            "model_path": f"reference/{form}",
            "base_model": "minionbench-reference",
            "quantization": None if form == "f16" else form,
        }
        for form in FORMATS
    ]
    path.write_text(json.dumps(entries))
    return path


def measure(procedure: Procedure | None = None) -> dict[str, Any]:
    """Measures the registry; the object that the command prints."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        registry = write_registry(folder)
        start_ns = monotonic_ns()
        outcome = run_autobench(
            registry, folder / "runs", procedure=procedure, observer=watch, argv=["bench"]
        )
        wall_s = seconds(monotonic_ns() - start_ns)
    candidates = {candidate.version: candidate for candidate in outcome.run.candidates}
    asked_s = sum(
        float(metric.metadata.get("engine_s", 0.0))
        for candidate in candidates.values()
        if (metric := candidate.metrics.get("perplexity")) is not None
    )
    engine_s = seconds(watch.engine_ns) + asked_s
    own_share = 1 - engine_s / wall_s
    return {
        "machine": describe_machine(),
        "wall_s": wall_s,
        "engine_s": engine_s,
        "own_share": own_share,
        "stages_s": {name: seconds(ns) for name, ns in watch.stages.items() if name},
        "calls_in_stages_s": {name: seconds(ns) for name, ns in watch.engine_in.items()},
        "metrics": {
            version: {
                name: told(metric.value, metric.metadata) for name, metric in c.metrics.items()
            }
            for version, c in candidates.items()
        },
        "met": {"wall": wall_s <= TARGET_WALL_S, "own_share": own_share <= TARGET_OWN_SHARE},
    }


def told(value: float | None, about: Mapping[str, Any]) -> Any:
    """A metric as the figures show it: value and interval, or why there is none."""
    if value is None:
        return about.get("reason", "error")
    bounds = about.get("interval")
    return value if bounds is None else [value, bounds["low"], bounds["high"]]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and a target was missed."""
    parser = argparse.ArgumentParser(description="Time the registry of the reference model.")
    parser.add_argument("--quick", action="store_true", help="few requests: not for the targets")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    options = parser.parse_args(arguments)
    try:
        result = measure(QUICK if options.quick else None)
    except MinionbenchError as error:
        print(f"bench.autobench: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(result, indent=2))
    return 1 if options.check and not all(result["met"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
