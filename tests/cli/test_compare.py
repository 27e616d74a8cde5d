from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.compare.runs import name_of, save, write_broken, write_run
from tests.documents import candidate

QUIET = (1.0, 1.01, 0.99, 1.0, 1.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five runs of a base, five a fifth slower, and five like the base."""
    for number, factor in enumerate(QUIET):
        write_run(tmp_path, number, factor)
        write_run(tmp_path, 10 + number, factor * 1.2)
        write_run(tmp_path, 20 + number, factor * 1.003)
    return tmp_path


def runs(first: int) -> str:
    return ",".join(name_of(first + number) for number in range(5))


def test_a_comparison_is_shown_with_interval_and_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "compare", "-o", str(folder), runs(0), runs(10))
    assert result.code == 0
    line = next(line for line in result.out.splitlines() if "total_latency_s " in line)
    assert line.split()[:6] == ["total_latency_s", "276", "ms", "331", "ms", "+20"]
    assert line.endswith("worse")
    assert "decode · m · 5 runs each" in result.out
    assert "Worse: ttft_s, total_latency_s, tpot_s, output_tokens_per_sec" in result.out
    assert "failed_pct: none of 60 requests failed on either side" in result.out
    assert "\x1b" not in result.out


def test_runs_that_are_alike_are_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "compare", "-o", str(folder), runs(0), runs(20))
    assert result.out.splitlines()[-1].startswith("The same")


def test_sides_can_be_given_by_flags_and_several_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--base={name_of(n)}" for n in range(3)] + [
        f"--new={name_of(10 + n)}" for n in range(3)
    ]
    result = call(capsys, "compare", "-o", str(folder), *flags, "--format", "json")
    (one,) = json.loads(result.out)
    assert (len(one["base"]["runs"]), one["verdict"]) == (3, "worse")
    result = call(
        capsys, "compare", "-o", str(folder), runs(0), runs(10), runs(20), "--format", "json"
    )
    assert [one["verdict"] for one in json.loads(result.out)] == ["worse", "same"]


def test_a_program_reads_all_of_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(
        capsys,
        *("compare", "-o", str(folder), runs(0), runs(10), "--format", "json"),
        *("--threshold", "30%,ttft_s=10%", "--metric", "ttft_s,tpot_s"),
    )
    (one,) = json.loads(result.out)
    (cell,) = one["cells"]
    assert set(cell["metrics"]) == {"ttft_s", "tpot_s"}
    ttft, tpot = cell["metrics"]["ttft_s"], cell["metrics"]["tpot_s"]
    assert (ttft["verdict"], ttft["threshold"]) == ("worse", 0.1)
    assert (tpot["verdict"], tpot["threshold"]) == ("same", pytest.approx(0.3))
    assert ttft["low"] < ttft["change"] < ttft["high"]
    assert ttft["change"] == pytest.approx(0.2)
    assert ttft["p"] <= ttft["p_adjusted"] < 0.05
    assert (one["questions"], one["forced"], cell["replicate"]) == (2, False, "run")


def test_one_run_on_each_side_cannot_tell_without_a_history(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = ("compare", "-o", str(folder), name_of(0), name_of(10), "--format", "json")
    alone = json.loads(call(capsys, *sides, "--no-history").out)[0]
    assert {m["verdict"] for m in alone["cells"][0]["metrics"].values()} == {"cannot tell", "same"}
    # The others of the folder are runs of the same thing: with the slow ones they lie far apart.
    told = json.loads(call(capsys, *sides).out)[0]
    assert "earlier runs" in told["cells"][0]["metrics"]["ttft_s"]["method"]


def test_a_difference_refuses_unless_it_is_meant_or_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write_run(tmp_path, number, QUIET[number])
        write_run(tmp_path, 10 + number, QUIET[number], engine="engine 2", flags={"threads": 3})
    sides = ("compare", "-o", str(tmp_path), f"{tmp_path}/*00000?.json", f"{tmp_path}/*00001?.json")
    refused = call(capsys, *sides)
    assert (refused.code, refused.out) == (2, "")
    assert "engine: engine 1 on the base side, engine 2 on the new one" in refused.err
    assert "flags.threads: none on the base side, 3 on the new one" in refused.err
    meant = call(capsys, *sides, "--vary", "engine,flags")
    assert meant.code == 0 and "Different on purpose: engine, flags." in meant.out
    forced = call(capsys, *sides, "--force")
    assert forced.code == 0 and "FORCED: the sides cannot be compared" in forced.out


def test_candidates_of_one_run_are_held_against_its_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from minionbench.schema import BenchmarkRun

    paths = [write_run(tmp_path, n, [1.0, 1.3, 1.6, 1.9], model=m) for n, m in enumerate("ab")]
    candidates = [BenchmarkRun.load(path).candidates[0] for path in paths]
    second = candidates[1].cells[0].but(cell_id="decode-2")
    lines = (tmp_path / "data" / name_of(1) / "records.jsonl").read_bytes()
    lines = lines.replace(b'"cell":"decode"', b'"cell":"decode-2"')
    import hashlib

    (tmp_path / "data" / name_of(1) / "records.jsonl").write_bytes(lines)
    assert second.records is not None
    second = second.but(records=second.records.but(sha256=hashlib.sha256(lines).hexdigest()))
    save(tmp_path, 2, candidates[0], candidates[1].but(cells=(second,)))
    result = call(capsys, "compare", "-o", str(tmp_path), name_of(2))
    assert result.code == 0
    assert "decode · a → b · 4 pairs of sessions" in result.out
    assert result.out.splitlines()[-1].startswith("The same")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name two sides"),
        (("latest",), "no two candidates"),
        (("latest~1", "latest", "--threshold", "5"), "percentage above 0 with its sign"),
        (("latest~1", "latest", "--threshold", "accuracy_pct=5%"), "in points"),
        (("latest~1", "latest", "--threshold", "nope=5%"), "no metric 'nope'"),
        (("latest~1", "latest", "--metric", "ttft_s:95"), "percentiles such as ttft_s:p95"),
        (("latest~1", "latest", "--level", "12%"), "between 50% and 100%"),
        (("latest~1", "latest", "--write", "pdf=x"), "--write takes FORMAT=FILE"),
        (("latest~1", "--base", "latest"), "both --base and --new"),
        (("latest~1", "latest~99"), "only 15 finished runs"),
    ],
)
def test_wrong_usage_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    result = call(capsys, "compare", "-o", str(folder), *arguments)
    assert result.code == 2
    assert message in result.err


def test_forms_for_other_programs(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = folder / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    written = {
        form: folder / f"out.{form}"
        for form in ("json", "md", "junit", "bmf", "smaller-is-better", "bigger-is-better")
    }
    flags = [flag for form, path in written.items() for flag in ("--write", f"{form}={path}")]
    result = call(
        capsys, "compare", "-o", str(folder), runs(0), runs(10), "--format", "github", *flags
    )
    assert result.code == 0
    assert "::error title=ttft_s of decode::worse: 20 %25 higher" in result.out
    assert summary.read_text().startswith("**Worse: ")
    said = {form: path.read_text() for form, path in written.items()}
    assert json.loads(said["json"])[0]["verdict"] == "worse"
    rows = [line for line in said["md"].splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 5
    suite = ElementTree.fromstring(said["junit"])[0]
    assert suite.attrib["failures"] == "4"
    assert [len(case) for case in suite] == [1, 1, 1, 1, 0]
    bmf = json.loads(said["bmf"])["m/decode"]["ttft_s"]
    assert bmf["lower_value"] < bmf["value"] < bmf["upper_value"]
    smaller, bigger = (json.loads(said[f"{size}-is-better"]) for size in ("smaller", "bigger"))
    assert [one["name"] for one in bigger] == ["m/decode/output_tokens_per_sec"]
    assert smaller[0] == {
        "name": "m/decode/ttft_s",
        "unit": "s",
        "value": pytest.approx(0.0601, abs=1e-4),
        "range": smaller[0]["range"],
        "extra": smaller[0]["extra"],
    }
    assert smaller[0]["extra"].startswith("worse: 20 % higher")


def test_what_servers_say_commands_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J::error::owned\n::set-output name=x::y|<script>\ufffe\uffff&[a](b)`c`"
    for number in range(2):
        write_run(tmp_path, number)
        write_broken(tmp_path, 10 + number, evil)
    sides = ("compare", "-o", str(tmp_path), f"{tmp_path}/*00000?.json", f"{tmp_path}/*00001?.json")
    for form in ("table", "json", "md", "junit", "github"):
        result = call(capsys, *sides, "--format", form)
        assert result.code == 0
        assert "\x1b" not in result.out
        assert not any(line.startswith(("::set", "::error::")) for line in result.out.splitlines())
    page = call(capsys, *sides, "--format", "md").out
    assert "\\<script>" in page and "&amp;\\[a\\](b)\\`c\\`" in page
    assert not re.search(r"[^\\][<\[`]", page)
    junit = call(capsys, *sides, "--format", "junit").out
    assert "<script>" not in junit
    ElementTree.fromstring(junit)


def test_a_dry_run_is_no_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, 1, candidate())
    result = call(capsys, "compare", "-o", str(tmp_path), "latest", "latest")
    assert result.code == 2
    assert "nothing was measured there" in result.err
