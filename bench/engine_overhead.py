"""What the measured path adds to an engine's own account of its decoding.

    python -m bench.engine_overhead [-m reference/q8_0 | -m llamacpp/PATH.gguf] [--check]

The embedded engine reports how long it took from its first token to its last (`timings`); the
client saw the same tokens arrive. Per request and per gap between tokens:

    overhead = ((last token's arrival − first token's arrival) − predicted_ms) / (n − 1)

Only requests whose every token came as an event of its own are compared. Greedy, one stream, and
a forced length, so that the last token counted is also one that was sent.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.machine import describe_machine
from minionbench.deployments.single import Local
from minionbench.engines.catalog import ModelSpec, open_engine
from minionbench.engines.engine import EngineSettings
from minionbench.errors import MinionbenchError
from minionbench.exchange import Limits, Message, Reply, Request
from minionbench.load import ClosedLoop
from minionbench.records import Phase, RequestRecord
from minionbench.runner import Phased, Runner, StopSwitch
from minionbench.stats import quantile
from minionbench.store.journal import Journal
from minionbench.transport.loop import Transport
from minionbench.units import NS_PER_MS

TOKENS = 128
REQUESTS = 20
WARMUP_REQUESTS = 2
TARGET_MS_PER_TOKEN = 0.05


def overhead_ms_per_token(reply: Reply) -> float | None:
    """Client's decode time − the engine's, per gap; None where the two do not count the same."""
    engine, arrivals = reply.engine, reply.event_ns
    if engine is None or engine.predicted_ms is None or engine.predicted_tokens != len(arrivals):
        return None
    gaps = len(arrivals) - 1
    if gaps < 1:
        return None
    return ((arrivals[-1] - arrivals[0]) / NS_PER_MS - engine.predicted_ms) / gaps


def _phase(phase: Phase, count: int) -> Phased:
    return Phased(
        cell="engine-overhead",
        phase=phase,
        repeat=0,
        requests=tuple(
            (
                index,
                Request(
                    item_id=f"overhead-{index}",
                    messages=(
                        Message("user", f"What is {index} plus {index + 7}? Show your steps."),
                    ),
                    limits=Limits(forced_output_tokens=TOKENS),
                    source="bench",
                    input_tokens=15,
                ),
            )
            for index in range(count)
        ),
        load=ClosedLoop(),
    )


def _records(model: str, requests: int) -> list[RequestRecord]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        journal = Journal(folder / "records.jsonl", "records.jsonl")
        with (
            open_engine(ModelSpec.parse(model), EngineSettings(), log_folder=folder) as engine,
            Transport() as transport,
        ):
            runner = Runner(
                Local(model),
                {"local": engine.endpoint},
                transport,
                journal,
                stop=StopSwitch(),
                engine_ended=engine.ended,
            )
            runner.run(_phase("warmup", WARMUP_REQUESTS))
            records, _ = runner.run(_phase("measured", requests))
        journal.close()
    return records


def measure(model: str = "reference/q8_0", requests: int = REQUESTS) -> dict[str, Any]:
    """Measures one model; the object that the command prints."""
    records = _records(model, requests)
    overheads = list(_known(overhead_ms_per_token(r.calls[0].reply) for r in records if r.ok))
    engine_ms = list(_known(_engine_ms_per_token(r.calls[0].reply) for r in records if r.ok))
    told = (
        {
            "p50": quantile(overheads, 0.5),
            "p90": quantile(overheads, 0.9),
            "max": max(overheads),
        }
        if overheads
        else None
    )
    return {
        "machine": describe_machine(),
        "model": model,
        "requests": len(records),
        "failures": sum(not record.ok for record in records),
        "requests_compared": len(overheads),
        "tokens_per_request": TOKENS,
        "engine_ms_per_token": quantile(engine_ms, 0.5) if engine_ms else None,
        "overhead_ms_per_token": told,
        "met": told is not None and abs(told["p50"]) <= TARGET_MS_PER_TOKEN,
    }


def _engine_ms_per_token(reply: Reply) -> float | None:
    engine = reply.engine
    if engine is None or engine.predicted_ms is None or not engine.predicted_tokens:
        return None
    return engine.predicted_ms / engine.predicted_tokens


def _known(values: Iterable[float | None]) -> Iterable[float]:
    return (value for value in values if value is not None)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and the target was missed."""
    parser = argparse.ArgumentParser(description="Hold client times against an engine's own.")
    parser.add_argument("-m", "--model", default="reference/q8_0", help="an embedded model")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--check", action="store_true", help="exit 1 where the target is missed")
    options = parser.parse_args(arguments)
    try:
        result = measure(options.model, options.requests)
    except MinionbenchError as error:
        print(f"bench.engine_overhead: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(result, indent=2))
    return 1 if options.check and not result["met"] else 0


if __name__ == "__main__":
    sys.exit(main())
