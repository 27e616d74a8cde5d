from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.documents import RUN_ID, run
from tests.registry.registries import entry, marks, write
from tests.select.candidates import between, made
from tests.select.test_deployments import option, place

BY_LATENCY = ("--weights", "latency=1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of three candidates, two of which are tied, and a registry of them."""
    document = run(
        made("large", 3.0, latency_ms=between(100.0, 90.0, 110.0), cove_pass_rate=95.0),
        made("small", 1.0, latency_ms=between(105.0, 95.0, 115.0), cove_pass_rate=80.0),
        made("slow|\x1b[2J", 1.0, latency_ms=1_000.0),
    )
    document.save(tmp_path / f"{RUN_ID}.json")
    write(tmp_path, entry("large", active=True), entry("small"))
    return tmp_path


def test_a_choice_is_shown_with_the_reason_for_each(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "select", "latest", "-o", str(folder), *BY_LATENCY)
    assert result.code == 0
    rows = [line.split() for line in result.out.splitlines()]
    assert ["small", "0.745", "0.735–0.756", "chosen", "yes"] in rows
    assert ["large", "0.750", "0.740–0.761", "tied", "yes"] in rows
    assert "a tie, broken by the" in result.out
    assert "latency_ms 105 ms (95.0–115) counts 0.745 × 1" in result.out
    assert result.out.endswith(
        "Chosen: small, by a rule: within the intervals it is tied with large.\n"
    )
    assert "\x1b" not in result.out


def test_a_program_reads_the_same_choice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = str(folder / f"{RUN_ID}.json")
    result = call(
        capsys,
        *("select", document, *BY_LATENCY, "--require", "cove_pass_rate>=90"),
        *("--reference", "latency_ms=1000:10", "--format", "json"),
    )
    said = json.loads(result.out)
    assert result.code == 0
    assert (said["run_id"], said["chosen"], said["tied_with"]) == (RUN_ID, "large", [])
    assert said["weights"] == {"latency_ms": 1.0}
    assert said["references"] == {"latency_ms": {"zero": 1000.0, "one": 10.0, "log": True}}
    assert said["gates"] == ["cove_pass_rate>=90"]
    first, second, third = said["candidates"]
    assert first["score"]["value"] == pytest.approx(0.5)
    assert first["score"]["shares"]["latency_ms"]["value"] == 100.0
    assert first["on_pareto_front"]
    assert (second["standing"], second["score"]) == ("cannot be ranked", None)
    assert second["reasons"] == ["missing cove_pass_rate: skipped: it was not run"]
    assert third["standing"] == "fails a gate"
    assert said["promoted"] is None


def test_a_page_gets_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "select", "-o", str(folder), *BY_LATENCY, "--format", "md")
    lines = result.out.splitlines()
    assert lines[0].startswith("**Chosen: small")
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 5
    assert rows[-1].startswith("| slow\\|")
    assert "\x1b" not in result.out


def test_where_nobody_comes_into_question_the_exit_code_is_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = folder / "registry.json"
    before = registry.read_bytes()
    result = call(
        capsys,
        *("select", "-o", str(folder), "--promote", "--registry", str(registry)),
        *(*BY_LATENCY, "--require", "latency_ms<1"),
    )
    assert result.code == 1
    assert result.out.endswith("No candidate comes into question.\n")
    assert "nothing was promoted" in result.err
    assert registry.read_bytes() == before


def test_the_choice_is_promoted_where_that_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = folder / "registry.json"
    asked = ("select", "-o", str(folder), *BY_LATENCY, "--registry", str(registry))
    assert call(capsys, *asked).code == 0
    assert marks(registry) == {"large": "a", "small": ""}
    result = call(capsys, *asked, "--promote")
    assert result.code == 0
    assert "small is active now, instead of large." in result.out
    assert marks(registry) == {"large": "g", "small": "a"}
    again = call(capsys, *asked, "--promote", "--format", "json")
    assert json.loads(again.out)["promoted"] == "small"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--require", "speed>=1"),
        ("--require", "latency_ms~1"),
        ("--weights", "latency"),
        ("--reference", "latency_ms=1"),
        ("--worst-verdict", "good"),
        ("--promote", "--registry", "no/such/registry.json", *BY_LATENCY),
    ],
)
def test_wrong_usage_leaves_with_2(
    folder: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "select", "-o", str(folder), *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err
    assert "Traceback" not in result.err


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of ten deployments over two workloads; the first is the quickest."""
    document = run(
        *(
            option(
                *(
                    place(f"o{i}", name, total_latency_s=1.0 + i, cost_usd=0.01)
                    for name in ("decode", "prefill")
                )
            )
            for i in range(10)
        )
    )
    document.save(tmp_path / f"{RUN_ID}.json")
    return tmp_path


def test_a_sweep_is_shown_with_the_choice_over_each_workload(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "select", "-o", str(sweep))
    assert result.code == 0
    rows = [line.split() for line in result.out.splitlines()]
    assert ["decode", "o0"] in rows and ["prefill", "o0"] in rows
    assert "accuracy_pct is not weighed" in result.out
    assert "total_latency_s 1.00 s in 2 cells counts 0.500 × 0.5" in result.out
    assert "the other 9 with a score is in --format json" in result.out.replace("\n", " ")
    assert result.out.endswith("Chosen: o0.\n")


def test_a_program_reads_the_choice_over_each_workload(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(
        capsys,
        *("select", "-o", str(sweep), "--metric", "latency,cost", "-w", "decode,prefill"),
        *("--load", "c1", "--format", "json"),
    )
    said = json.loads(result.out)
    assert said["chosen"] == "o0"
    assert said["weights"] == {"cost_usd": 0.5, "total_latency_s": 0.5}
    assert (said["workloads"], said["loads"]) == (["decode", "prefill"], ["c1"])
    assert set(said["over"]) == {"decode", "prefill"}
    assert said["over"]["decode"]["pareto_front"] == ["o0"]
    shares = said["candidates"][0]["score"]["shares"]
    assert shares["prefill.total_latency_s"]["weight"] == 0.25


def test_a_page_gets_a_table_of_the_workloads(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "select", "-o", str(sweep), "--format", "md")
    assert "| decode | o0 |" in result.out


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--promote",), "chooses among deployments"),
        (("--metric", "latency", "--weights", "cost=1"), "give one of them"),
        (("--metric", "speed"), "no metric 'speed'"),
        (("--weights", "latency_ms=1", "-w", "other"), "no workload 'other'"),
    ],
)
def test_what_makes_no_choice_among_deployments_is_told(
    sweep: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], complaint: str
) -> None:
    result = call(capsys, "select", "-o", str(sweep), *flags)
    assert result.code == 2
    assert complaint in result.err
