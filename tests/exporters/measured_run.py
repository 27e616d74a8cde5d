"""A run of hand size with its records on disk."""

from __future__ import annotations

from pathlib import Path

from minionbench.exchange import Outcome, Usage
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkRun
from minionbench.store import reserve
from tests import making
from tests.cli import sample


def records() -> list[RequestRecord]:
    """Two answers and a failure."""
    usage = Usage(prompt_tokens=100, completion_tokens=3)
    return [
        making.record(index=0, item="a", usage=usage),
        making.record(1000, 1010, (1060, 1080), index=1, item="b", usage=usage),
        making.record(2000, 2010, index=2, item="c", outcome=Outcome.HTTP_ERROR, usage=None),
    ]


def written(folder: Path) -> tuple[Path, BenchmarkRun]:
    """The document and where it lies."""
    with reserve(folder) as place:
        journal = place.journal()
        for record in records():
            journal.append(record)
        reference = journal.finish().reference("cell")
        cell = sample.cell("decode").but(cell_id="cell", records=reference)
        run = sample.run(sample.candidate(cell))
        run = run.but(metadata=run.metadata.but(run_id=place.run_id))
        return place.write(run), run
