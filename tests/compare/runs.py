"""Run documents with their records, as a run leaves them, of known latencies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from minionbench.assembly import metric_result
from minionbench.exchange import Outcome
from minionbench.metrics.cell import cell_metrics
from minionbench.records import RequestRecord, encode_record
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    Factors,
    MetricResult,
    RecordsReference,
    SystemInfo,
    registry_metrics,
)
from tests.documents import candidate, cell, run
from tests.making import record, stream

TOTALS = (200.0, 230.0, 260.0, 290.0, 320.0, 350.0)
"""Total latencies of the items, in milliseconds."""


def name_of(number: int) -> str:
    """The id of a run, by its number."""
    return f"benchmark_20260101_{number:06}"


def write_run(
    folder: Path,
    number: int,
    factor: float | Sequence[float] = 1.0,
    *,
    model: str = "m",
    failures: int = 0,
    cell_fields: Mapping[str, Any] | None = None,
    system: SystemInfo | None = None,
    **factors: Any,
) -> Path:
    """A run whose answers take `factor` times as long; of several, a session each."""
    sessions = [factor] if isinstance(factor, float) else list(factor)
    records = [
        msgspec.structs.replace(one, cell="decode")
        for repeat, slower in enumerate(sessions)
        for one in session(slower, repeat, failures)
    ]
    run_id = name_of(number)
    content = b"".join(map(encode_record, records))
    path = folder / "data" / run_id / "records.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    made = cell(
        **{
            "repeats": len(sessions),
            "settings": {} if isinstance(factor, float) else {"repeat_unit": "session"},
            "metrics": {n: metric_result(v) for n, v in cell_metrics(records).items()},
            "records": RecordsReference(
                path=f"data/{run_id}/records.jsonl",
                sha256=hashlib.sha256(content).hexdigest(),
                rows=len(records),
            ),
            **(cell_fields or {}),
        }
    )
    one = candidate(
        model,
        factors=Factors(
            **({"deployment": "local", "model": model, "engine": "engine 1"} | factors)
        ),
        cells=(made,),
    )
    return save(folder, number, one, system=system)


def session(slower: float, repeat: int, failures: int) -> list[RequestRecord]:
    """One session's records, the last of which failed."""
    made = stream([total * slower for total in TOTALS], ttft=50 * slower, repeat=repeat)
    broken = [
        record(0, 10, item=one.item_id, index=one.index, repeat=repeat, outcome=Outcome.RESET)
        for one in made[len(made) - failures :]
    ]
    return [*made[: len(made) - failures], *broken]


def write_broken(folder: Path, number: int, why: str = "No server answers") -> Path:
    """A run that found no server."""
    one = BenchmarkCandidate(
        version="m",
        metrics=registry_metrics(MetricResult.error(why)),
        factors=Factors(deployment="local", model="m"),
    )
    return save(folder, number, one)


def save(folder: Path, number: int, *candidates: BenchmarkCandidate, **fields: Any) -> Path:
    """A document in a folder."""
    made: BenchmarkRun = run(*candidates, run_id=name_of(number), finished=True)
    if fields.get("system") is not None:
        made = made.but(system_info=fields["system"])
    path = folder / f"{name_of(number)}.json"
    made.save(path)
    return path
