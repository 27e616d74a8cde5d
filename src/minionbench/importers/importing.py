"""From files of other programs to run documents in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minionbench import __version__
from minionbench.errors import UsageError
from minionbench.importers import aiperf, guidellm, llama_bench, lm_eval, vllm
from minionbench.importers.draft import Draft, candidates
from minionbench.importers.foreign import read_json, text
from minionbench.schema import BenchmarkRun, PartError, RunMetadata
from minionbench.store import reserve

SHOWN = 8
"""Fields of an unknown file that a message names."""


class Kind(NamedTuple):
    """A program whose results can be read."""

    name: str
    what: str
    """Which of its files is meant."""
    is_result: Callable[[Any], bool]
    drafts: Callable[[Any], list[Draft]]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("vllm", "vllm bench serve --save-result", vllm.is_result, vllm.drafts),
        Kind("aiperf", "profile_export_aiperf.json", aiperf.is_result, aiperf.drafts),
        Kind("guidellm", "benchmarks.json", guidellm.is_result, guidellm.drafts),
        Kind("llama-bench", "-o json or jsonl", llama_bench.is_result, llama_bench.drafts),
        Kind("lm-eval", "results_….json", lm_eval.is_result, lm_eval.drafts),
    )
}
"""The programs by the name that `--from` takes."""


class Imported(NamedTuple):
    """A document made of a foreign result."""

    path: Path
    run: BenchmarkRun
    kind: str
    source: Path


def read_results(path: Path, kind: str | None = None) -> tuple[str, list[Draft]]:
    """What a file of another program holds, and which program's it is.

    `kind` names the program; None recognises it by what the file holds.

    Raises UsageError when the file cannot be read, or is of none of these programs.
    """
    tree = read_json(path)
    if kind is None:
        found = next((one for one in KINDS.values() if _fits(one, tree)), None)
        if found is None:
            raise UsageError(_unknown(path, tree))
    else:
        found = KINDS[kind]
        if not _fits(found, tree):
            other = next((one.name for one in KINDS.values() if _fits(one, tree)), None)
            looks = f" It looks like one of {other}." if other else ""
            raise UsageError(f"{path} is no result of {kind} ({found.what}).{looks}")
    return found.name, found.drafts(tree)


def _fits(kind: Kind, tree: Any) -> bool:
    if kind.is_result(tree):
        return True
    # vLLM appends results to a file, one per line.
    appended = kind.name == "vllm" and isinstance(tree, list) and bool(tree)
    return appended and all(map(kind.is_result, tree))


def _unknown(path: Path, tree: Any) -> str:
    known = ", ".join(f"{kind.name} ({kind.what})" for kind in KINDS.values())
    if isinstance(tree, dict) and {"schema_version", "candidates", "system_info"} <= tree.keys():
        return (
            f"{path} is a run document already: `minionbench runs show {path}` and the other "
            "commands take it as it is."
        )
    holds = f"It is a JSON {type(tree).__name__}."
    if isinstance(tree, dict):
        names = [text(name) or "" for name in list(tree)[:SHOWN]]
        more = f" and {len(tree) - SHOWN} more" if len(tree) > SHOWN else ""
        holds = f"Its fields are {', '.join(names)}{more}." if names else "It has no fields."
    elif isinstance(tree, list):
        holds = f"It is a list of {len(tree)}."
    return f"{path} is no result that can be imported. {holds} Known are: {known}."


def import_files(
    paths: Sequence[Path],
    folder: Path,
    *,
    command_line: str,
    kind: str | None = None,
) -> list[Imported]:
    """Makes run documents of other programs' results, in a folder of documents.

    Every file is read before anything is written, so that a wrong one leaves nothing behind.
    A document's id is the instant at which its run began, where the file tells that, so that it
    stands where it belongs among the others.

    Raises UsageError for a file that cannot be imported, SetupError when a document cannot be
    written.
    """
    read = [(path, *read_results(path, kind)) for path in paths]
    drafted = [(path, name, draft) for path, name, drafts in read for draft in drafts]
    for path, _, draft in drafted:
        # Before the first is written, too.
        document(draft, path, "benchmark_19700101_000000", "1970-01-01T00:00:00+00:00", "")
    made = []
    for path, name, draft in drafted:
        with reserve(folder, draft.started) as place:
            run = document(draft, path, place.run_id, place.timestamp, command_line)
            made.append(Imported(place.write(run), run, name, path))
    return made


def document(
    draft: Draft, path: Path, run_id: str, timestamp: str, command_line: str
) -> BenchmarkRun:
    """The run document of a draft. Raises UsageError when it holds what no document can."""
    notes = [f"Imported from {text(path.name)}, a result of {draft.named}.", *draft.notes]
    if draft.started is None:
        notes.append("The file does not tell when the run was: its time is that of the import.")
    if draft.version is None:
        notes.append(f"The file does not tell the version of {draft.tool}.")
    if any(cell.seed is None for one in draft.candidates for cell in one.cells):
        notes.append("The seed of the workload is not told; the 0 in its place says nothing.")
    try:
        return BenchmarkRun(
            metadata=RunMetadata(
                run_id=run_id,
                timestamp=timestamp,
                command_line=command_line,
                dry_run=False,
                program_version=__version__,
                seed=draft.seed,
                finished=draft.finished,
                notes=tuple(notes),
            ),
            system_info=draft.system,
            candidates=candidates(draft),
        )
    except PartError as error:
        raise UsageError(f"{path} holds what no run document can: {error}.") from error
