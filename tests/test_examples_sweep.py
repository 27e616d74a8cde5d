"""The sweep in examples/ holds the whole table of independent variables, and runs as it stands."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from minionbench.report.choice import groups
from minionbench.report.reading import material
from minionbench.schema import BenchmarkRun
from minionbench.workloads.catalog import workload
from tests.cli.calling import Called, call, start
from tests.sweep.support import cells_of, servers_of

EXAMPLES = Path(__file__).parent.parent / "examples"
FACTORIAL = EXAMPLES / "factorial.toml"
CHOSEN = (
    "prefill.minion.Q8B.deepseek-flash.plain",
    "balanced.local.Q8B.plain",
    "decode.remote.deepseek-flash.plain",
)
"""What the example's report tells its reader to choose."""


def stated_command() -> list[str]:
    """The arguments of the command that the file says is to be started first."""
    comment = "\n".join(
        line.removeprefix("#") for line in FACTORIAL.read_text().splitlines() if line[:1] == "#"
    )
    found = re.search(r"^\s*minionbench (simulate(?:.*\\\n)*.*)$", comment, re.M)
    assert found is not None
    return shlex.split(found[1].replace("\\\n", " "))


@pytest.fixture(scope="module")
def servers() -> Iterator[list[str]]:
    """Flags that name the servers of the stated command, at a port that is free."""
    arguments = stated_command()
    arguments[arguments.index("--port") + 1] = "0"
    process = start(*arguments, cwd=EXAMPLES.parent)
    assert process.stdout is not None
    found = re.search(r"http://[0-9.:]+", process.stdout.readline())
    assert found is not None
    yield [flag for pair in servers_of(found[0]).items() for flag in ("--server", "=".join(pair))]
    process.terminate()
    process.communicate()


def the_one(folder: Path) -> BenchmarkRun:
    (path,) = folder.glob("benchmark_*.json")
    return BenchmarkRun.load(path)


def sweep(capsys: pytest.CaptureFixture[str], folder: Path, *flags: str) -> Called:
    return call(capsys, "sweep", str(FACTORIAL), "-o", str(folder), *flags)


def test_the_example_is_the_whole_table_of_variables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called = sweep(capsys, tmp_path, "--dry-run")
    assert called.code == 0
    run = the_one(tmp_path)
    planned = [note for note in run.metadata.notes if note.startswith("planned: ")]
    assert len(planned) == 3 * 2 * (3 + 3 + 9)
    factors = [one.factors for one in run.candidates if one.factors is not None]
    assert Counter(one.deployment for one in factors) == {"local": 6, "remote": 6, "hybrid": 18}
    assert {one.quantization for one in factors} == {"Q1_5B", "Q3B", "Q8B", None}
    assert {one.reasoning for one in factors} == {True, False}
    assert {(one.remote_model or "").partition("/")[0] for one in factors} == {
        *("", "deepseek", "openai", "anthropic"),
    }
    assert (
        "Estimated time: " in called.out and "unknown" not in called.out.partition("Est")[0][:200]
    )


def test_the_simulated_answers_are_right_for_the_items_of_the_example() -> None:
    rules = (EXAMPLES / "factorial_answers.json").read_text()
    asked = tomllib.loads(FACTORIAL.read_text())
    for name in asked["workload"]:
        items = workload(name, input_tokens=asked["input-tokens"])
        for request in items.requests(asked["num-requests"], asked["seed"]):
            assert request.reference is not None
            assert re.search(rf'"answer": "[^"]*\b{request.reference.value}\b', rules)


def test_a_part_of_the_example_runs_and_tells_the_cells_apart(
    servers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = ("-w", "decode", "--reasoning", "off", "--quant", "Q1_5B,Q8B", "--repeats", "1")
    sweep(capsys, tmp_path, *part, "-n", "4", *servers)
    cells = cells_of(the_one(tmp_path))
    assert len(cells) == 2 + 3 + 6
    right = {name: cell.metrics["accuracy_pct"].value for name, cell in cells.items()}
    assert right["decode.local.Q1_5B"] == 25
    assert right["decode.local.Q8B"] == right["decode.minion.Q8B.deepseek-flash"] == 50
    assert right["decode.remote.gpt-5.5"] == right["decode.remote.deepseek-flash"] == 100
    for name, cell in cells.items():
        assert cell.metrics["total_latency_s"].status == "ok", name
        if "local" not in name:
            assert cell.metrics["cost_usd"].value is not None, name


@pytest.mark.long
def test_the_whole_example_runs_as_it_stands(
    servers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(capsys, tmp_path, *servers)
    run = the_one(tmp_path)
    cells = cells_of(run)
    assert len(cells) == 90
    assert run.metadata.finished is True
    for cell in cells.values():
        assert [one["state"] for one in cell.settings["sessions"]] == ["measured"] * 2
        assert cell.metrics["total_latency_s"].metadata["failed"] == 0
    best = {
        group.best.option.cell.cell_id: [one.option.name for one in group.tied]
        for group in groups(material([(tmp_path / "run.json", run)]))
        if group.best is not None
    }
    for name in CHOSEN:
        # A machine that is busy with something else makes a cell invalid, and no choice.
        if cells[name].verdict.status != "invalid":
            assert best[name] == []
