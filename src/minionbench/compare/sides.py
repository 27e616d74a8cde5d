"""The sides of a comparison, as a user names them.

A side is a list of runs, with commas between them: ids, paths, globs, folders, `latest`, `latest~1`
for the one before, or a baseline file. `#CANDIDATE` behind one takes only that candidate of it: its
version, model, protocol or the id of one of its cells, or a part of its title that no other has.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from minionbench.compare.baseline import is_baseline, read_baseline
from minionbench.compare.comparison import Side
from minionbench.compare.measurement import Measurement
from minionbench.compare.reading import Document, Wanted, measurements, title
from minionbench.errors import UsageError
from minionbench.schema import BenchmarkCandidate
from minionbench.store import DATA, LATEST, RUN_ID, load_run

_BEFORE = re.compile(r"latest~([0-9]{1,4})")


def read_side(specs: Sequence[str], folder: Path, wanted: Wanted, *, name: str = "") -> Side:
    """A side from what its user named; `folder` is that of the documents.

    Raises UsageError when something is not there, holds nothing to compare, or is named twice.
    """
    named = [spec for text in specs for spec in _split(text)]
    if not named:
        raise UsageError("A side of a comparison needs a run: an id, a path or `latest`.")
    found: list[Measurement] = []
    seen: set[tuple[str, str]] = set()
    for spec in named:
        what, _, candidate = spec.partition("#")
        for part in _of(what, candidate, folder, wanted):
            key = (part.run_id, f"{part.candidate}/{part.cell_id}")
            if key in seen:
                raise UsageError(
                    f"{part.run_id} is named twice on one side: a run is a replicate once"
                )
            seen.add(key)
            found.append(part)
    if not found:
        raise UsageError(f"{', '.join(named)}: nothing was measured there that could be compared")
    # A candidate that the program itself has named is known by its title alone.
    called = (spec.partition("#=")[2] or spec for spec in named)
    return Side(name=name or ", ".join(called), measurements=tuple(found))


def check_apart(base: Side, new: Side) -> None:
    """Raises UsageError where something measured is on both sides: held against itself, it is the
    same whatever was measured."""
    ours, theirs = (
        {(one.run_id, one.candidate, one.cell_id) for one in side.measurements}
        for side in (base, new)
    )
    shared = sorted({run_id for run_id, _, _ in ours & theirs})
    if shared:
        named = shared[0] if len(shared) == 1 else f"{shared[0]} and {len(shared) - 1} more"
        raise UsageError(
            f"{named} on both sides ({base.name}; {new.name}): a run cannot be compared with "
            "itself. Name another one, or measure anew"
        )


def candidates_of(spec: str, folder: Path) -> list[str]:
    """The candidates of a single run, each as a side of its own is named."""
    documents = list(_documents(spec, folder))
    if len(documents) != 1:
        raise UsageError(f"{spec} is not a single run")
    candidates = documents[0].run.candidates
    titles = [title(one) for one in candidates]
    if len(set(titles)) < 2 or len(set(titles)) != len(titles):
        raise UsageError(
            f"{spec} has no two candidates to hold against each other; name two sides, as in "
            "`minionbench compare latest~1 latest`"
        )
    return [f"{documents[0].path}#={one}" for one in titles]


def _split(text: str) -> Iterator[str]:
    # A path that is there is one, whatever its name holds.
    if text.strip() and Path(text).exists():
        yield text
        return
    yield from (part.strip() for part in text.split(",") if part.strip())


def _of(what: str, candidate: str, folder: Path, wanted: Wanted) -> Iterator[Measurement]:
    path = Path(what)
    if path.is_file() and is_baseline(path):
        yield from read_baseline(path).measurements
        return
    for document in _documents(what, folder):
        if document.run.metadata.dry_run:
            raise UsageError(f"{document.path} is of a dry run: nothing was measured")
        for one in _chosen(document, candidate):
            found = list(measurements(document, one, wanted))
            named = [part for part in found if part.cell_id == candidate]
            yield from named or found


def _documents(what: str, folder: Path) -> Iterator[Document]:
    """The documents that a name stands for."""
    path = Path(what)
    if before := _BEFORE.fullmatch(what):
        yield _earlier(int(before[1]), folder)
    elif what == LATEST or not (path.is_dir() or glob.has_magic(what)):
        yield Document(*load_run(what, folder))
    else:
        names = (
            [str(one) for one in path.glob("benchmark_*.json")]
            if path.is_dir()
            else glob.glob(what, recursive=True)
        )
        for one in sorted(names):
            if DATA not in Path(one).parts[-3:-1] and Path(one).is_file():
                yield Document(*load_run(one, folder))
        if not names:
            raise UsageError(f"There is no run document in {what}.")


def _earlier(before: int, folder: Path) -> Document:
    ids = sorted(
        path.stem for path in folder.glob("benchmark_*.json") if RUN_ID.fullmatch(path.stem)
    )
    if before >= len(ids):
        raise UsageError(f"There are only {len(ids)} finished runs in {folder}.")
    return Document(*load_run(ids[-1 - before], folder))


_CALLED: tuple[Callable[[BenchmarkCandidate, str], bool], ...] = (
    lambda one, name: name in (one.version, title(one), one.quantization),
    lambda one, name: one.factors is not None and name in (one.factors.model, one.factors.protocol),
    lambda one, name: any(cell.cell_id == name for cell in one.cells),
    lambda one, name: name.lower() in title(one).lower(),
)
"""Ways in which a user may call a candidate, the strictest first."""


def _chosen(document: Document, wanted: str) -> Iterable[BenchmarkCandidate]:
    """The candidates that are meant: all, or the one that the text names."""
    candidates = document.run.candidates
    if not wanted:
        return candidates
    if wanted.startswith("="):
        return [one for one in candidates if title(one) == wanted[1:]]
    found: list[BenchmarkCandidate] = []
    for called in _CALLED:
        found = [one for one in candidates if called(one, wanted)]
        if len(found) == 1:
            return found
    names = "; ".join(title(one) for one in candidates) or "none"
    few = "several candidates" if found else "no candidate"
    raise UsageError(f"{document.path} has {few} {wanted!r}; it has: {names}")
