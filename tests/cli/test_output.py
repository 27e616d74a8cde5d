from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import pytest

from minionbench.cli.output import FIELDS, FORMATS, show
from minionbench.errors import SetupError
from minionbench.schema import BenchmarkRun, MetricResult
from tests.cli import sample

FAILED = sample.cell("decode", tpot_s=MetricResult.error('reset: "by|peer"\nand more, it said'))
RUN = sample.run(sample.candidate(sample.cell("prefill"), FAILED))


def as_form(form: str) -> str:
    return FORMATS[form](RUN, None)


def test_json_is_the_document_itself() -> None:
    assert BenchmarkRun.from_json(as_form("json")) == RUN


def test_jsonl_has_a_row_for_each_metric_of_candidate_and_cells() -> None:
    rows = [json.loads(line) for line in as_form("jsonl").splitlines()]
    assert all(tuple(row) == ("event", *FIELDS) for row in rows)
    (candidate,) = RUN.candidates
    assert len(rows) == len(candidate.metrics) + sum(len(c.metrics) for c in candidate.cells)
    (ttft,) = [row for row in rows if (row["cell"], row["metric"]) == ("prefill", "ttft_s")]
    assert ttft == {
        "event": "metric",
        "run_id": sample.RUN_ID,
        "candidate": "reference/q8_0",
        "cell": "prefill",
        "workload": "prefill",
        "metric": "ttft_s",
        "status": "ok",
        "value": 0.0162,
        "unit": "s",
        "low": 0.0159,
        "high": 0.0168,
        "level": 0.95,
        "n": 10,
        "why": None,
    }


def test_csv_and_jsonl_hold_the_same() -> None:
    flat = [json.loads(line) for line in as_form("jsonl").splitlines()]
    read = list(csv.DictReader(io.StringIO(as_form("csv"))))
    assert read == [
        {name: "" if row[name] is None else str(row[name]) for name in FIELDS} for row in flat
    ]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_no_form_can_command_a_terminal(form: str) -> None:
    """Names and reasons are quoted from servers and files: escape, C1 control, bell, bidi."""
    hostile = "evil\x1b[2J\x9b31m\x07\u202e\r"
    broken = sample.cell(hostile, tpot_s=MetricResult.error(f"it said {hostile}"))
    run = sample.run(sample.candidate(broken, version=hostile, factors=None))
    printed = FORMATS[form](run, None)
    assert "evil" in printed
    commands = ("\x1b[2J", "\x9b", "\x07", "\u202e", "\r")
    assert [command for command in commands if command in printed] == []
    if form == "json":
        assert BenchmarkRun.from_json(printed) == run
    elif form == "jsonl":
        assert {json.loads(line)["workload"] for line in printed.splitlines()} == {None, hostile}
    elif form == "csv":
        assert "evil\\u001b[2J\\u009b31m\\u0007\\u202e\\u000d" in printed


def test_a_markdown_cell_cannot_break_its_table() -> None:
    lines = as_form("md").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 4
    assert {line.count("|") for line in table} == {9}
    assert "| prefill | 30 | 16.2 (15.9–16.8) |" in table[2]
    hostile = sample.run(sample.candidate(sample.cell("a|b"), version="x"))
    assert "a\\|b" in FORMATS["md"](hostile, None)


def quality_run() -> BenchmarkRun:
    """A model of a registry that was measured, and one that was not."""
    bounds = {"low": 80.5, "high": 89.0, "level": 0.95}
    rate = MetricResult.ok(85.1, unit="%", interval=bounds)
    plain = sample.candidate(sample.cell())
    good = plain.but(metrics={**plain.metrics, "cove_pass_rate": rate})
    missing = {name: MetricResult.error("no | model") for name in plain.metrics}
    bad = plain.but(metrics=missing, cells=(), factors=None)
    return sample.run(good, bad)


@pytest.mark.parametrize("form", ["md", "table"])
def test_the_quality_of_a_model_is_shown_beside_its_cells(form: str) -> None:
    printed = FORMATS[form](quality_run(), None)
    assert "cove_pass_rate" in printed
    assert "85.1 (80.5–89.0)" in printed or "85.1 % (80.5–89.0)" in printed


def test_markdown_says_why_a_model_was_not_measured() -> None:
    lines = FORMATS["md"](quality_run(), None).splitlines()
    assert "| latency_ms | error |  | no \\| model |" in lines


@pytest.mark.parametrize("form", list(FORMATS))
def test_each_form_ends_its_last_line(form: str) -> None:
    assert as_form(form).endswith("\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_cannot_be_printed_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(SetupError, match=r"could not be printed: No space.*kept\.json"):
            show(RUN, Path("kept.json"), "json")
        with contextlib.suppress(OSError):
            full.close()
