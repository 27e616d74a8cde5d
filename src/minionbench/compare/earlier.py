"""What earlier runs say of how far runs of the same thing lie apart."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from minionbench.compare.comparison import Earlier
from minionbench.compare.conditions import differences
from minionbench.compare.criteria import scale_of
from minionbench.compare.measurement import Measurement
from minionbench.compare.reading import Document, Wanted, measurements
from minionbench.errors import UsageError
from minionbench.inference import Spread
from minionbench.store import RUN_ID, load_run

MOST_RUNS = 200
"""The latest documents that are looked through."""
FEWEST_RUNS = 3
"""Earlier runs of the same thing with which a spread begins to be one."""

_NO_RECORDS = Wanted(records=False)


def earlier_runs(folder: Path, without: Collection[str]) -> Earlier:
    """What the runs of a folder say; `without` are the ids of those that are being compared.

    Runs count that have the same candidate, cell and conditions. The folder is read when it is
    first asked.
    """
    known: list[Measurement] = []
    read = False

    def spreads(like: Measurement) -> Mapping[str, Spread]:
        nonlocal read
        if not read:
            read = True
            known.extend(_measured(folder, without))
        alike = [one for one in known if _same(one, like)]
        if len(alike) < FEWEST_RUNS:
            return {}
        names = {name for one in alike for name in one.replicates[0].metrics}
        found = {}
        for name in sorted(names):
            values = list(_values(name, alike))
            if len(values) >= FEWEST_RUNS:
                middle = math.fsum(values) / len(values)
                squares = math.fsum((value - middle) ** 2 for value in values)
                degrees = len(values) - 1
                found[name] = Spread(deviation=math.sqrt(squares / degrees), degrees=degrees)
        return found

    return spreads


def _values(name: str, alike: Collection[Measurement]) -> Iterator[float]:
    for one in alike:
        seen = one.replicates[0].metrics.get(name)
        if seen is None or seen.value is None:
            continue
        if scale_of(name) == "points":
            yield seen.value
        elif seen.value > 0:
            yield math.log(seen.value)


def _same(one: Measurement, like: Measurement) -> bool:
    return (
        one.factors == like.factors
        and (one.workload, one.load, one.place) == (like.workload, like.load, like.place)
        and not one.sessions
        and one.broken is None
        and not one.invalid
        and not any(d.refuses for d in differences([like], [one]))
    )


def _measured(folder: Path, without: Collection[str]) -> Iterator[Measurement]:
    ids = sorted(p.stem for p in folder.glob("benchmark_*.json") if RUN_ID.fullmatch(p.stem))
    for run_id in [run_id for run_id in ids if run_id not in without][-MOST_RUNS:]:
        try:
            document = Document(*load_run(run_id, folder))
        except UsageError:
            continue  # a damaged document tells nothing of the others
        if document.run.metadata.dry_run or document.run.metadata.finished is False:
            continue
        for candidate in document.run.candidates:
            yield from measurements(document, candidate, _NO_RECORDS)
