"""The document of a run that was killed, from its plan and its journal."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.ground_truth import ground_truth_server
from minionbench.deployments.single import Local
from minionbench.errors import SchemaError, UsageError
from minionbench.experiment import RunOutcome, RunSettings, run_experiment
from minionbench.load import ClosedLoop, Load, OpenLoop
from minionbench.measuring import Cell, Silent
from minionbench.recovery import NO_MEMORY, recover_run
from minionbench.run_plan import PlannedCell, read_plan
from minionbench.schema import BenchmarkRun
from minionbench.store import RUN_PLAN, list_runs, load_run, reopen
from tests.cli.calling import call
from tests.study import Questions

KEY = "sk-planted-0123456789abcdef"


class Snapshot(Silent):
    """Copies the store at one moment of a run: what a kill at that moment would leave."""

    def __init__(self, source: Path, copy: Path, stage: str = "computing the metrics") -> None:
        self.source, self.copy, self.when = source, copy, stage

    def stage(self, text: str) -> None:
        if text.startswith(self.when):
            shutil.copytree(self.source, self.copy)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunOutcome, Path]:
    """A run that came to its end, and the store as it was just before."""
    folder = tmp_path_factory.mktemp("run")
    copy = folder / "killed"
    with ground_truth_server(ttft_ms=1, itl_ms=0.2, tokens=6) as server:
        outcome = run_experiment(
            RunSettings(
                workloads=(Questions("balanced"), Questions("decode")),
                deployment=Local(None, url=server.base_url),
                num_requests=7,
                warmup=1,
                repeats=2,
                output_dir=folder / "whole",
            ),
            Snapshot(folder / "whole", copy),
            argv=["minionbench", "run", "--header", f"Authorization: Bearer {KEY}"],
        )
    return outcome, copy


@pytest.fixture
def killed(run: tuple[RunOutcome, Path], tmp_path: Path) -> Path:
    """A store with the one run that was killed just before its document was written."""
    shutil.copytree(run[1], tmp_path / "killed")
    return tmp_path / "killed"


def folder_of(store: Path) -> Path:
    (folder,) = (store / "data").iterdir()
    return folder


def drop(store: Path, keep: Callable[[dict[str, Any]], bool], tail: bytes = b"") -> None:
    """Leaves of the journal only some of its records, as an earlier kill would."""
    path = folder_of(store) / "records.jsonl"
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if keep(json.loads(line))]
    path.write_bytes(b"".join(lines) + tail)


def test_a_recovered_document_says_what_the_run_itself_would_have_said(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    whole = run[0].run
    recovered = recover_run(whole.metadata.run_id, killed)
    assert recovered.made
    assert recovered.path == killed / f"{whole.metadata.run_id}.json"
    assert BenchmarkRun.load(recovered.path) == recovered.run
    before, after = whole.candidates[0], recovered.run.candidates[0]
    assert after.metrics["latency_ms"] == before.metrics["latency_ms"]
    assert after.factors == before.factors
    assert after.version == before.version == "ground-truth"
    for old, new in zip(before.cells, after.cells, strict=True):
        assert new.but(verdict=old.verdict) == old
    about = whole.metadata
    same = recovered.run.metadata.but(finished=about.finished, notes=about.notes)
    assert same == about
    assert recovered.run.system_info == whole.system_info


def test_a_recovered_run_is_cut_short_and_says_how_it_ended(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    drop(killed, lambda record: record["cell"] == "balanced" or record["index"] < 4)
    recovered = recover_run(run[0].run.metadata.run_id, killed).run
    assert recovered.metadata.finished is False
    (note,) = recovered.metadata.notes
    assert "killed" in note
    assert "Of 28 requests 11 are missing" in note
    assert "torn" not in note
    balanced, decode = recovered.candidates[0].cells
    incomplete = {
        cell.cell_id: reason.measured
        for cell in (balanced, decode)
        for reason in cell.verdict.reasons
        if reason.rule == "incomplete"
    }
    assert incomplete == {"balanced": 0, "decode": 11}
    assert recovered.candidates[0].notes == (
        "decode ended early: the run ended without a document",
    )
    assert "own_cpu" in {r.rule for r in balanced.verdict.reasons if r.severity == "note"}


def test_a_torn_last_line_is_left_out_and_counted(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    drop(killed, lambda record: record["index"] < 14, tail=b'{"cell":"decode","ind')
    recovered = recover_run(run[0].run.metadata.run_id, killed).run
    (note,) = recovered.metadata.notes
    assert "Of 28 requests 2 are missing" in note
    assert "torn last line" in note
    assert [cell.records.rows for cell in recovered.candidates[0].cells if cell.records] == [14, 14]


def test_recovering_again_changes_nothing(run: tuple[RunOutcome, Path], killed: Path) -> None:
    run_id = run[0].run.metadata.run_id
    first = recover_run(run_id, killed)
    content = first.path.read_bytes()
    again = recover_run(run_id.removeprefix("benchmark_"), killed)
    assert not again.made
    assert again.run == first.run
    assert first.path.read_bytes() == content
    assert not (folder_of(killed) / RUN_PLAN).exists()


def test_a_run_that_was_broken_off_in_order_is_not_called_killed(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    """Its lock is gone: the process tidied up, and could not write the document."""
    (folder_of(killed) / "lock").unlink()
    (note,) = recover_run(run[0].run.metadata.run_id, killed).run.metadata.notes
    assert "killed" not in note
    assert "before its document could be written" in note


def test_a_failed_recovery_leaves_everything_for_the_next(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    run_id = run[0].run.metadata.run_id
    plan = read_plan(folder_of(killed))
    with reopen(killed, run_id, plan.started):
        pass
    assert "killed" in recover_run(run_id, killed).run.metadata.notes[0]


def test_a_run_killed_before_its_first_answer_gets_a_document_of_errors(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    (folder_of(killed) / "records.jsonl").unlink()
    recovered = recover_run(run[0].run.metadata.run_id, killed).run
    (candidate,) = recovered.candidates
    assert candidate.cells == ()
    assert {metric.status for metric in candidate.metrics.values()} == {"error"}
    assert "before a request had finished" in str(candidate.latency_ms.error_message)


def test_a_run_killed_while_its_engine_started_has_a_plan_without_one(
    random_model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "killed"
    run_experiment(
        RunSettings(
            workloads=(Questions(),),
            deployment=Local(f"llamacpp/{random_model}"),
            num_requests=1,
            warmup=0,
            repeats=1,
            output_dir=tmp_path / "whole",
        ),
        Snapshot(tmp_path / "whole", copy, stage="starting"),
    )
    (entry,) = list_runs(copy)
    assert read_plan(folder_of(copy)).engines == {}
    recovered = recover_run(entry.run_id, copy).run
    assert recovered.candidates[0].latency_ms.status == "error"


def test_a_run_that_is_still_going_on_is_left_alone(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    run_id = run[0].run.metadata.run_id
    plan = read_plan(folder_of(killed))
    with (
        reopen(killed, run_id, plan.started),
        pytest.raises(UsageError, match="still going on"),
    ):
        recover_run(run_id, killed)
    assert not list(killed.glob("benchmark_*.json"))


def test_a_run_of_the_registry_benchmark_is_sent_to_its_own_way_on(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    run_id = run[0].run.metadata.run_id
    (folder_of(killed) / RUN_PLAN).rename(folder_of(killed) / "plan.json")
    with pytest.raises(UsageError, match=f"autobench --resume {run_id}"):
        recover_run(run_id, killed)


@pytest.mark.parametrize("which", ["benchmark_20200101_000000", "20200101_000000"])
def test_a_run_that_is_not_there_cannot_be_recovered(which: str, killed: Path) -> None:
    with pytest.raises(UsageError, match="There is no run benchmark_20200101_000000"):
        recover_run(which, killed)


@pytest.mark.parametrize("which", ["latest", "../data", "benchmark_1"])
def test_what_is_no_id_of_a_run_is_refused(which: str, killed: Path) -> None:
    with pytest.raises(UsageError, match="is no id of a run"):
        recover_run(which, killed)


def test_a_run_without_a_plan_cannot_be_recovered(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    (folder_of(killed) / RUN_PLAN).unlink()
    with pytest.raises(UsageError, match="has no plan"):
        recover_run(run[0].run.metadata.run_id, killed)


def changed(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda plan: plan.update(fields)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (changed(format=4), "form 4, and this version reads 3"),
        (changed(colour="red"), "colour"),
        (changed(cold="yes"), "cold"),
        (changed(timestamp="2026-11-21T20:11:00"), "has no offset"),
        (changed(timestamp="yesterday"), "yesterday"),
        (changed(run_id="benchmark_20200101_000000"), "is the plan of benchmark_20200101_000000"),
        (
            lambda plan: plan["candidates"][0].update(
                factors_json={"deployment": "nowhere", "model": "m"}
            ),
            "deployment",
        ),
        (changed(system_json={"cpu_count": 0}), "cpu_count"),
        (changed(engines={}), "names no engine"),
        (lambda plan: plan["cells"][0].pop("items"), "items"),
        (lambda plan: plan["cells"][0]["load"].update(concurrency=None), "lacks"),
        (lambda plan: plan["cells"][0]["load"].update(concurrency=0), "at least 1"),
        (lambda plan: plan["cells"][0].update(cell_id="other"), "not those of its candidates"),
        (lambda plan: plan["cells"][0]["items"].pop(), "is not the journal of"),
    ],
)
def test_a_damaged_plan_is_refused_and_nothing_is_written(
    damage: Callable[[dict[str, Any]], object],
    said: str,
    run: tuple[RunOutcome, Path],
    killed: Path,
) -> None:
    path = folder_of(killed) / RUN_PLAN
    journal = folder_of(killed) / "records.jsonl"
    before = journal.read_bytes()
    plan = json.loads(path.read_bytes())
    damage(plan)
    path.write_text(json.dumps(plan))
    with pytest.raises(SchemaError, match=said) as refused:
        recover_run(run[0].run.metadata.run_id, killed)
    assert str(folder_of(killed)) in str(refused.value)
    assert not list(killed.glob("benchmark_*.json"))
    assert journal.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 5_000])
def test_a_plan_that_is_no_json_object_is_refused(
    content: bytes, run: tuple[RunOutcome, Path], killed: Path
) -> None:
    (folder_of(killed) / RUN_PLAN).write_bytes(content)
    with pytest.raises(SchemaError, match="cannot be read as the plan"):
        recover_run(run[0].run.metadata.run_id, killed)


def test_a_damaged_journal_is_refused_with_its_line(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    path = folder_of(killed) / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\0\0\0\n", *lines[2:]]))
    with pytest.raises(SchemaError, match=r"records\.jsonl is damaged: line 2 is not a request"):
        recover_run(run[0].run.metadata.run_id, killed)


def test_a_request_that_the_journal_has_twice_is_refused(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    path = folder_of(killed) / "records.jsonl"
    content = path.read_bytes()
    path.write_bytes(content + content.splitlines(keepends=True)[-1])
    with pytest.raises(SchemaError, match="is there twice"):
        recover_run(run[0].run.metadata.run_id, killed)


def test_a_file_in_the_documents_place_is_never_overwritten(
    run: tuple[RunOutcome, Path], killed: Path
) -> None:
    run_id = run[0].run.metadata.run_id
    path = killed / f"{run_id}.json"
    path.write_text("mine")
    with pytest.raises(SchemaError, match="not overwritten"):
        recover_run(run_id, killed)
    assert path.read_text() == "mine"


def test_the_plan_holds_neither_keys_nor_texts(run: tuple[RunOutcome, Path]) -> None:
    content = (folder_of(run[1]) / RUN_PLAN).read_text()
    assert KEY not in content
    assert "Question" not in content
    assert "balanced/0/1" in content


def test_the_plan_goes_when_the_document_is_there(run: tuple[RunOutcome, Path]) -> None:
    outcome, _ = run
    assert not (outcome.path.parent / "data" / outcome.run.metadata.run_id / RUN_PLAN).exists()


def test_a_run_that_is_refused_leaves_no_plan(random_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="context"):
        run_experiment(
            RunSettings(
                workloads=(Questions(output_tokens=100_000),),
                deployment=Local(f"llamacpp/{random_model}"),
                output_dir=tmp_path,
            )
        )
    assert list_runs(tmp_path) == []


@pytest.mark.parametrize(
    "load",
    [
        ClosedLoop(concurrency=3),
        OpenLoop(rate_per_s=2.5, burstiness=0.5),
        OpenLoop(rate_per_s=1, burstiness=float("inf")),
    ],
)
def test_a_cell_comes_back_from_its_plan_but_for_its_texts(load: Load) -> None:
    drawn = tuple(Questions().requests(3, 4))
    cell = Cell(
        cell_id="c",
        workload="balanced",
        version=2,
        source="test",
        seed=4,
        load=load,
        repeats=2,
        warmup=drawn[2:],
        requests=drawn[:2],
    )
    encoded = msgspec.json.encode(PlannedCell.of(cell))
    again = msgspec.json.decode(encoded, type=PlannedCell).cell()
    assert again.load == load
    assert [r.item_id for r in again.requests] == ["balanced/4/0", "balanced/4/1"]
    assert [r.limits for r in again.warmup] == [r.limits for r in cell.warmup]
    assert again.requests[0].messages == ()
    assert PlannedCell.of(again) == PlannedCell.of(cell)


def test_a_sweep_is_sent_to_its_own_way_on(run: tuple[RunOutcome, Path], killed: Path) -> None:
    run_id = run[0].run.metadata.run_id
    (folder_of(killed) / RUN_PLAN).rename(folder_of(killed) / "sweep.json")
    with pytest.raises(UsageError, match=f"sweep --resume {run_id}"):
        recover_run(run_id, killed)
    (entry,) = list_runs(killed)
    assert entry.way_on == f"minionbench sweep --resume {run_id}"


def test_an_interrupted_run_says_how_to_go_on(run: tuple[RunOutcome, Path], killed: Path) -> None:
    run_id = run[0].run.metadata.run_id
    (entry,) = list_runs(killed)
    assert entry.way_on == f"minionbench runs recover {run_id}"
    with pytest.raises(UsageError, match=f"`minionbench runs recover {run_id}`"):
        load_run(run_id, killed)
    (folder_of(killed) / "plan.json").write_text("{}")
    (entry,) = list_runs(killed)
    assert entry.way_on == f"minionbench autobench --resume {run_id}"
    for name in ("plan.json", RUN_PLAN):
        (folder_of(killed) / name).unlink()
    (entry,) = list_runs(killed)
    assert entry.way_on is None


def test_the_command_prints_the_result_and_a_second_call_says_that_it_is_there(
    run: tuple[RunOutcome, Path], killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = run[0].run.metadata.run_id
    listed = call(capsys, "runs", "list", "-o", str(killed))
    assert f"go on with: minionbench runs recover {run_id}" in listed.out
    asked = ("runs", "recover", run_id, "-o", str(killed))
    first = call(capsys, *asked)
    assert (first.code, first.err) == (0, "")
    assert "Recovered from its journal" in first.out
    assert "Cut short" in first.out
    second = call(capsys, *asked)
    assert (second.code, second.out) == (0, first.out)
    assert f"has its document already: {killed / run_id}.json" in second.err
    assert "cut short: ground-truth" in call(capsys, "runs", "list", "-o", str(killed)).out
    unknown = call(capsys, "runs", "recover", "20200101_000000", "-o", str(killed))
    assert unknown.code == 2


@pytest.fixture
def program(random_model: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of the embedded engine in a process of its own, which tells of each request."""
    source = f"""
from pathlib import Path
from minionbench.deployments.single import Local
from minionbench.experiment import RunSettings, run_experiment
from minionbench.measuring import Silent
from tests.study import Questions

class Telling(Silent):
    def record(self, record):
        print(record.index, flush=True)

run_experiment(RunSettings(
    workloads=(Questions(output_tokens=64),), deployment=Local("llamacpp/{random_model}"),
    num_requests=500, warmup=2, repeats=5, output_dir=Path({str(tmp_path)!r})), Telling())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_run_killed_with_signal_nine_gets_its_document(
    program: subprocess.Popen[str], random_model: Path, tmp_path: Path
) -> None:
    assert program.stdout is not None
    told = [int(program.stdout.readline()) for _ in range(12)]
    program.kill()
    program.wait()
    (entry,) = list_runs(tmp_path)
    recovered = recover_run(entry.run_id, tmp_path)
    (candidate,) = recovered.run.candidates
    assert candidate.model_path == str(random_model)
    assert candidate.factors is not None and candidate.factors.flags["threads"] >= 1
    latency = candidate.latency_ms
    assert latency.value is not None and latency.value > 0
    memory = candidate.peak_ram_mb
    assert (memory.status, memory.metadata["reason"]) == ("skipped", NO_MEMORY)
    (cell,) = candidate.cells
    assert cell.records is not None and cell.records.rows >= len(told)
    assert cell.metrics["ttft_s"].metadata["requests"] == cell.records.rows - 2
    assert (
        f"Of 2,500 requests {2_502 - cell.records.rows:,} are missing"
        in (recovered.run.metadata.notes[0])
    )
    (entry,) = list_runs(tmp_path)
    assert entry.state == "complete"
