"""`runs regrade`, `runs items` and `run --items`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minionbench.cli.regrade import MOST_FLIPPED, changes
from minionbench.regrading import Flipped
from minionbench.schema import BenchmarkRun
from tests.cli.calling import call
from tests.test_regrading import EXACT, OFF, ROUNDED, saved


def test_regrade_says_what_changed_and_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = saved(tmp_path, EXACT, ROUNDED, OFF)
    folder = ("-o", str(tmp_path))
    same = call(capsys, "runs", "regrade", *folder)
    assert same.code == 0
    assert "judged otherwise" not in same.out
    result = call(capsys, "runs", "regrade", path.stem, "--grader", "amount", *folder)
    assert result.code == 0
    lines = result.out.splitlines()
    (row,) = [line.split() for line in lines if line.startswith("  decode ")]
    assert row[1:7] == ["1/3", "33.3", "%", "2/3", "66.7", "%"]
    assert row[-1] == "amount@1"
    assert "  decode: 1 item judged otherwise" in lines
    assert "    b: not right → right" in lines
    assert max(map(len, lines[:-1])) <= 80
    again = Path(lines[-1].removeprefix("Document: "))
    assert BenchmarkRun.load(again).candidates[0].cells[0].metrics["accuracy_pct"].value != 100
    shown = call(capsys, "runs", "show", str(again))
    assert "2 of 3" in shown.out and "judged again" in shown.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no-such-run.json",), "no-such-run.json"),
        (("20261121_999999",), "There is no run"),
        (("latest", "--grader", "guess"), "no grader 'guess'"),
    ],
)
def test_what_cannot_be_regraded_is_one_clear_message(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "runs", "regrade", *arguments, "-o", str(tmp_path))
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_many_changes_do_not_flood_the_terminal_and_none_can_command_it() -> None:
    flipped = tuple(Flipped(f"x\x1b[2J{i}", 0.5, 1.0) for i in range(MOST_FLIPPED + 5))
    lines = list(changes("decode", flipped, 80))
    assert lines[-1] == "    … and 5 more"
    assert "right in 50% of its repeats → right" in lines[2]
    assert not any("\x1b" in line for line in lines)
    assert "does not say" in " ".join(changes("decode", None, 80))


def test_the_items_of_a_run_are_printed_for_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, EXACT, OFF)
    result = call(capsys, "runs", "items", "-o", str(tmp_path))
    assert (result.code, result.out) == (0, '"a"\n"c"\n')
    wrong = call(capsys, "runs", "items", "--cell", "prefill", "-o", str(tmp_path))
    assert wrong.code == 2
    assert "has no cell 'prefill'" in wrong.err


def planned(folder: Path) -> tuple[str, ...]:
    (path,) = folder.glob("benchmark_*.json")
    return BenchmarkRun.load(path).metadata.notes


def test_a_list_of_items_decides_what_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = tmp_path / "items.json"
    items.write_text(json.dumps(["decode@1/5/3/300", "decode@1/0/1/250"]))
    runs = tmp_path / "runs"
    asked = ("run", "--items", str(items), "--dry-run", "-o", str(runs))
    assert call(capsys, *asked).code == 0
    (note,) = planned(runs)
    assert note.startswith("planned: decode: 2 items of ")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-n", "3"), "-n does not go with --items"),
        (("--input-tokens", "300"), "--input-tokens does not go with --items"),
        (("-w", "decode,prefill"), "None of the items is one of prefill"),
        (("-w", "balanced"), "of none of the workloads (balanced)"),
    ],
)
def test_flags_that_contradict_the_list_are_refused(
    flags: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = tmp_path / "items.json"
    items.write_text(json.dumps(["decode@1/5/3/300"]))
    result = call(capsys, "run", "--items", str(items), "-o", str(tmp_path), "--dry-run", *flags)
    assert result.code == 2
    assert said in result.err


def test_a_run_is_asked_again_with_exactly_its_items_and_judged_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From beginning to end, with the model that comes with the program."""
    runs = ("-o", str(tmp_path))
    few = ("--warmup", "1", "--repeats", "1", "--input-tokens", "200", "-n", "3")
    # A busy machine makes a verdict, and an exit code of its own, of no concern here.
    assert call(capsys, "run", "-w", "prefill", "--seed", "4", *few, *runs).code in (0, 1)
    (first,) = tmp_path.glob("benchmark_*.json")
    asked = call(capsys, "runs", "items", first.stem, *runs).out
    assert len(asked.splitlines()) == 3
    flipped_order = tmp_path / "items.jsonl"
    flipped_order.write_text("\n".join(reversed(asked.splitlines())))
    again = ("--items", str(flipped_order), "--warmup", "1", "--repeats", "2")
    assert call(capsys, "run", *again, *runs).code in (0, 1)
    (second,) = set(tmp_path.glob("benchmark_*.json")) - {first}
    assert call(capsys, "runs", "items", second.stem, *runs).out.splitlines() == list(
        reversed(asked.splitlines())
    )
    cells = [BenchmarkRun.load(path).candidates[0].cells[0] for path in (first, second)]
    assert [cell.settings["items"] for cell in cells] == ["drawn", "named"]
    figures = [cell.metrics["accuracy_pct"] for cell in cells]
    assert figures[0].value == figures[1].value
    assert [figure.metadata["n"] for figure in figures] == [3, 3]
    assert [figure.metadata["requests"] for figure in figures] == [3, 6]
    regraded = call(capsys, "runs", "regrade", first.stem, *runs)
    assert regraded.code == 0
    assert "judged otherwise" not in regraded.out
