"""Regrading: stored answers judged again, beside what was written first."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from minionbench.assembly import metric_result
from minionbench.errors import SchemaError, UsageError
from minionbench.exchange import Reference
from minionbench.quality.grading.accuracy import accuracy
from minionbench.quality.grading.catalog import grader
from minionbench.records import RequestRecord
from minionbench.regrading import regrade_run
from minionbench.schema import BenchmarkRun, MetricResult
from minionbench.store import list_runs, load_run, prune_runs, read_records, reserve
from tests import documents, making

STARTED = datetime(2026, 11, 21, 20, 11, tzinfo=UTC)


def judged_record(
    item: str, answer: str | None, value: str = "70000", **more: object
) -> RequestRecord:
    record = making.record(item=item)
    call = msgspec.structs.replace(record.calls[0], prompt=(("user", "?"),))
    fields: dict[str, object] = {
        "answer": answer,
        "calls": (call,),
        "reference": Reference(kind="number", value=value),
        "cell": "decode",
    }
    return msgspec.structs.replace(record, **{**fields, **more})  # type: ignore[arg-type]


EXACT = judged_record("a", "70,000")
ROUNDED = judged_record("b", "It is 70,100.")
OFF = judged_record("c", "It is 3.")


def saved(folder: Path, *records: RequestRecord, **of_cell: object) -> tuple[Path, BenchmarkRun]:
    """A run of one cell with these records, saved as a run saves itself."""
    with reserve(folder, STARTED) as run:
        for record in records:
            run.journal().append(record)
        reference = run.journal().finish().reference("decode")
        fields: dict[str, object] = {
            "records": reference,
            "metrics": {"accuracy_pct": metric_result(accuracy(records))},
        }
        cell = documents.cell(**{**fields, **of_cell})
        document = documents.run(documents.candidate(cells=(cell,)), run_id=run.run_id)
        return run.write(document), document


def test_another_grader_changes_what_is_right_and_nothing_else(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT, ROUNDED, OFF)
    before = path.read_bytes()
    regraded = regrade_run(path, run, grader("amount"))
    assert path.read_bytes() == before
    (cell,) = regraded.cells
    assert cell.before is not None and cell.before.value == pytest.approx(100 / 3)
    assert cell.after.value == pytest.approx(200 / 3)
    assert cell.after.metadata["graders"] == ["amount@1"]
    assert cell.flipped == (("b", 0.0, 1.0),)
    written = BenchmarkRun.load(regraded.path)
    assert written == regraded.run
    assert written.metadata.run_id == run.metadata.run_id
    assert written.metadata.timestamp == run.metadata.timestamp
    assert "judged again" in written.metadata.notes[-1]
    assert "amount@1" in written.metadata.notes[-1]


def test_the_same_graders_say_the_same_again(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT, ROUNDED, OFF)
    (cell,) = regrade_run(path, run).cells
    assert cell.after == cell.before
    assert cell.flipped == ()


def test_a_regraded_document_is_no_run_of_its_own_and_goes_with_its_run(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT)
    first = regrade_run(path, run).path
    second = regrade_run(path, run, grader("amount")).path
    assert [first.name, second.name] == ["regraded-1.json", "regraded-2.json"]
    assert [entry.run_id for entry in list_runs(tmp_path)] == [run.metadata.run_id]
    assert load_run("latest", tmp_path) == (path, run)
    with reserve(tmp_path) as later:
        later.write(documents.run(run_id=later.run_id))
    prune_runs(tmp_path, keep=1)
    assert not first.exists() and not second.exists()


def test_a_regraded_document_finds_its_records_and_can_be_judged_again(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT, ROUNDED)
    regraded = regrade_run(path, run, grader("amount"))
    assert len(read_records(regraded.path, regraded.run.candidates[0].cells[0])) == 2
    (cell,) = regrade_run(regraded.path, regraded.run).cells
    assert cell.flipped == (("b", 1.0, 0.0),)


def test_a_document_from_before_accuracy_gets_one(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT, metrics={})
    (cell,) = regrade_run(path, run).cells
    assert (cell.before, cell.after.value, cell.flipped) == (None, 100, None)


def test_a_candidate_with_one_cell_has_its_figure_too(tmp_path: Path) -> None:
    path, run = saved(tmp_path, ROUNDED)
    (candidate,) = run.candidates
    old = MetricResult.ok(0.0, unit="%")
    metrics = {**candidate.metrics, "accuracy_pct": old}
    changed = run.but(candidates=(candidate.but(metrics=metrics),))
    regraded = regrade_run(path, changed, grader("amount")).run
    assert regraded.candidates[0].metrics["accuracy_pct"].value == 100


def test_procedures_are_not_judged_answer_by_answer(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT, metrics={"cove_pass_rate": MetricResult.ok(50.0)})
    with pytest.raises(UsageError, match="nothing to judge again"):
        regrade_run(path, run)


def test_texts_that_were_not_kept_cannot_be_judged(tmp_path: Path) -> None:
    bare = making.record(item="a")
    path, run = saved(tmp_path, msgspec.structs.replace(bare, cell="decode"), metrics={})
    with pytest.raises(UsageError, match=r"were not kept \(--no-text\)"):
        regrade_run(path, run)


def test_answers_of_which_nothing_is_known_cannot_be_judged(tmp_path: Path) -> None:
    path, run = saved(tmp_path, judged_record("a", "x", reference=None))
    with pytest.raises(UsageError, match="can be judged: no right answer is known"):
        regrade_run(path, run)


def test_a_run_without_records_has_nothing_to_judge(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT, records=None)
    with pytest.raises(UsageError, match="kept no records"):
        regrade_run(path, run)


def test_a_journal_that_was_changed_is_not_judged(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT)
    journal = tmp_path / "data" / run.metadata.run_id / "records.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"70,000", b"70,001"))
    with pytest.raises(SchemaError, match="was changed after"):
        regrade_run(path, run)
    assert list(journal.parent.glob("regraded*")) == []


def test_a_journal_that_is_gone_is_missed(tmp_path: Path) -> None:
    path, run = saved(tmp_path, EXACT)
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(UsageError, match="cannot be read"):
        regrade_run(path, run)
