"""`minionbench run --goodput`: from the flags to the document and the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.ground_truth import ground_truth_server
from minionbench.cli.run import command, run_settings
from minionbench.cli.slo_options import spread
from minionbench.metrics.slo import Objective
from minionbench.schema import BenchmarkRun
from tests.cli.calling import call


def objective(*arguments: str) -> Objective | None:
    flags = dict(command.make_context("run", list(arguments)).params)
    del flags["form"]
    return run_settings(**flags).objective


@pytest.mark.parametrize(
    "arguments",
    [
        ("--goodput", "ttft:200", "tpot:50"),
        ("--goodput", "ttft:200", "tpot:50", "-n", "3"),
        ("--goodput", "ttft:200", "--seed", "1", "--goodput", "tpot:50"),
        ("--goodput", "ttft:200,tpot:50"),
        ("--goodput=ttft:200", "--goodput=tpot:50"),
    ],
)
def test_as_many_limits_as_follow_the_flag_are_its_own(arguments: tuple[str, ...]) -> None:
    assert objective(*arguments) == Objective(ttft_s=0.2, tpot_s=0.05)


def test_no_flag_is_no_objective() -> None:
    assert objective() is None


def test_limits_elsewhere_are_nobodys() -> None:
    assert spread(["-u", "http://h:1", "a:1"]) == ["-u", "http://h:1", "a:1"]
    assert spread(["--goodput", "a:1", "-u", "http://h:1", "b:2"])[-1] == "b:2"
    assert spread(["--goodput", "a:1", "--", "b:2"]) == ["--goodput", "a:1", "--", "b:2"]


def test_settings_from_a_file_may_hold_it(tmp_path: Path) -> None:
    for text in ('goodput = ["ttft:200", "tpot:50"]', 'goodput = "ttft:200,tpot:50"'):
        (tmp_path / "run.toml").write_text(text)
        assert objective("--config", str(tmp_path / "run.toml")) == Objective(
            ttft_s=0.2, tpot_s=0.05
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--goodput", "speed:3"), "there are ttft, ttfo, tpot and latency"),
        (("--goodput", "ttft"), "names no time"),
        (("--goodput", "ttft:200", "tpot"), "unexpected extra argument"),
    ],
)
def test_a_slip_is_told(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "run", "--dry-run", *arguments)
    assert result.code == 2
    assert words in result.err


def test_good_requests_are_in_the_document_and_under_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its first token comes after 30 ms, so that no request is good by 10 ms, and all by a minute.
    with ground_truth_server(ttft_ms=30, itl_ms=1, tokens=5) as server:
        for limit, share in (("60000", 100.0), ("10", 0.0)):
            folder = tmp_path / limit
            result = call(
                capsys,
                *("run", "-u", server.base_url, "-w", "balanced", "-n", "3", "--repeats", "2"),
                *("--warmup", "0", "-o", str(folder), "--goodput", f"ttft:{limit}", "tpot:60000"),
            )
            assert result.code in (0, 1), result.err
            (path,) = folder.glob("benchmark_*.json")
            (cell,) = BenchmarkRun.load(path).candidates[0].cells
            assert cell.settings["objective"] == {"ttft_s": int(limit) / 1_000, "tpot_s": 60.0}
            attainment = cell.metrics["slo_attainment_pct"]
            assert (attainment.value, attainment.metadata["requests"]) == (share, 6)
            goodput, answered = (
                cell.metrics[name].value for name in ("goodput_per_sec", "requests_per_sec")
            )
            assert goodput == (answered if share else 0)
            assert f"Good requests (TTFT ≤ {limit} ms, TPOT ≤ 60000 ms" in result.out
