from __future__ import annotations

from pathlib import Path

import click

from minionbench.cli.table import MOST_CANDIDATES, count, report
from minionbench.schema import BenchmarkRun, Factors, MetricResult, registry_metrics
from tests.cli import sample

HERE = Path("runs") / f"{sample.RUN_ID}.json"


def plain(run: BenchmarkRun, columns: int = 80) -> list[str]:
    return [click.unstyle(line) for line in report(run, HERE, columns)]


def test_a_good_run_reads_like_this() -> None:
    run = sample.run(
        sample.candidate(
            sample.cell("prefill"),
            sample.cell(
                "decode",
                ttft_s=sample.measured(0.0041, 0.004, None),
                total_latency_s=sample.measured(0.222, None, None),
            ),
        )
    )
    assert "\n".join(plain(run)) == (
        """\
benchmark_20261121_201100
2026-11-21 20:11 · Test CPU, 2 cores

reference/q8_0 · Q8_0 · 1.23 M parameters · 1.25 MB · xllamacpp 1

  workload  requests       TTFT  total latency  decode rate         TPOT
                             ms             ms     tokens/s           ms
  prefill         30       16.2           42.1        3,800        0.263
                      15.9–16.8      40.2–44.0  3,750–3,860  0.261–0.266
  decode          30       4.10            222        3,800        0.263
                         ≥ 4.00    no interval  3,750–3,860  0.261–0.266

  Peak RAM of the engine: 42.5 MB.
  Figures are medians over requests, below them the median's 95% interval.

  Not measured
    latency_ms, tokens_per_sec, peak_vram_mb, cove_pass_rate, retrieval_score:
      not looked at

  Verdict: valid

Document: runs/benchmark_20261121_201100.json"""
    )


def accuracy(right: int, requests: int, low: float, high: float) -> MetricResult:
    bounds = {"low": low, "high": high, "level": 0.95, "method": "Wilson score interval"}
    share = 100 * right / requests
    return MetricResult.ok(share, unit="%", interval=bounds, right=right, requests=requests)


def test_right_answers_are_said_below_the_figures_in_80_columns() -> None:
    run = sample.run(
        sample.candidate(
            sample.cell("prefill", accuracy_pct=accuracy(27, 30, 59.6, 98.2)),
            sample.cell("balanced", accuracy_pct=MetricResult.skipped("no right answer is known")),
            sample.cell("decode", accuracy_pct=accuracy(1319, 1319, 99.7, 100.0)),
        )
    )
    lines = plain(run)
    start = next(at for at, line in enumerate(lines) if line.startswith("  Right answers"))
    assert lines[start : start + 2] == [
        "  Right answers: prefill 27 of 30 (90.0%, 59.6–98.2); decode 1319 of 1319 (100%,",
        "    99.7–100).",
    ]
    assert any("accuracy_pct (balanced): no right answer is known" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_where_no_answer_was_judged_nothing_is_said_of_right_ones() -> None:
    assert not any(
        "Right answers" in line for line in plain(sample.run(sample.candidate(sample.cell())))
    )


def test_it_fits_into_80_columns_whatever_the_figures() -> None:
    slow = sample.cell(
        "balanced",
        ttft_s=sample.measured(1234.5, 1000.5, 2000.5),
        total_latency_s=sample.measured(12345.6, 10000.5, 20000.5),
        tokens_per_sec=sample.measured(123456.7, 100000.5, 200000.5),
        tpot_s=sample.measured(1.2345, 1.1, 1.3),
    )
    run = sample.run(sample.candidate(slow, sample.cell("decode", sample.reason())))
    assert max(map(len, plain(run))) <= 80


def test_durations_from_a_second_on_are_in_seconds() -> None:
    slow = sample.cell("prefill", ttft_s=sample.measured(12.5, 11.0, 14.0))
    lines = plain(sample.run(sample.candidate(slow)))
    (units,) = [line for line in lines if "tokens/s" in line]
    assert units.split() == ["s", "ms", "tokens/s", "ms"]
    assert any("12.5" in line for line in lines)


def test_where_a_model_reasoned_its_first_visible_token_stands_in_the_table() -> None:
    hidden = sample.cell(
        "decode",
        ttft_s=MetricResult.skipped("the server hid it"),
        ttfo_s=sample.measured(0.2, 0.1, 0.3, reasoning={"streamed": 0, "hidden": 30}),
    )
    factors = Factors(deployment="remote", model="m", reasoning=True)
    lines = plain(sample.run(sample.candidate(hidden, factors=factors)))
    assert any(line.endswith(" · reasoning") for line in lines)
    (head,) = [line for line in lines if line.startswith("  workload")]
    assert head.split()[2:5] == ["TTFT", "TTFO", "total"]
    (row,) = [line for line in lines if line.startswith("  decode")]
    assert row.split()[2:4] == ["–", "200"]
    assert max(map(len, lines)) <= 80


def test_what_is_missing_is_a_dash_with_its_reason_and_a_failure_comes_first() -> None:
    broken = sample.cell(
        "decode",
        ttft_s=MetricResult.skipped("the backend hides its reasoning"),
        tpot_s=MetricResult.error("All 30 requests failed, with reset"),
    )
    lines = plain(sample.run(sample.candidate(sample.cell("prefill"), broken)))
    (row,) = [line for line in lines if line.startswith("  decode")]
    assert row.split() == ["decode", "30", "–", "42.1", "3,800", "error"]
    listed = lines[lines.index("  Not measured") + 1 :]
    assert listed[0] == "    error: tpot_s (decode): All 30 requests failed, with reset"
    assert "    ttft_s (decode): the backend hides its reasoning" in listed


def test_failed_requests_stand_beside_the_others() -> None:
    metric = sample.measured(0.5, 0.4, 0.6)
    metric.metadata["failed"] = 3
    lines = plain(sample.run(sample.candidate(sample.cell("prefill", total_latency_s=metric))))
    assert any("27/30" in line for line in lines)


def test_doubts_are_said_once_with_their_advice_and_what_was_not_checked_comes_last() -> None:
    note = sample.reason("note", "drift", message="not checked: too few items", advice=None)
    bad = sample.reason("invalid", message="Requests left 30 ms late.")
    run = sample.run(
        sample.candidate(
            sample.cell("prefill", note, sample.reason()),
            sample.cell("balanced", note, sample.reason()),
            sample.cell("decode", note, bad),
        )
    )
    lines = plain(run)
    start = lines.index("  Verdict: suspect (prefill, balanced), invalid (decode)") + 1
    assert lines[start : start + 6] == [
        "    suspect: start_lag (prefill, balanced): Requests left 3 ms late.",
        "      → Free a core.",
        "    invalid: start_lag (decode): Requests left 30 ms late.",
        "      → Free a core.",
        "    not checked: drift (too few items)",
        "",
    ]


def test_many_rules_that_could_not_be_checked_are_counted() -> None:
    notes = [sample.reason("note", f"rule_{i}", advice=None) for i in range(9)]
    lines = plain(sample.run(sample.candidate(sample.cell("prefill", *notes))))
    assert "    not checked: 9 rules; --format json says why" in lines


def test_a_run_that_was_cut_short_says_so() -> None:
    run = sample.run(
        sample.candidate(sample.cell(), notes=("prefill ended early",)),
        finished=False,
        notes=("the run was interrupted",),
    )
    lines = plain(run)
    assert any(line.startswith("Cut short") for line in lines)
    assert "  Note: prefill ended early" in lines
    assert "the run was interrupted" in lines


def test_a_deployment_that_could_not_be_measured_says_why_in_full() -> None:
    long = "No server answers at http://127.0.0.1:1: " + "the connection is refused; " * 5
    failed = registry_metrics(MetricResult.error(long.strip()))
    text = " ".join(" ".join(plain(sample.run(sample.candidate(metrics=failed)))).split())
    assert f"Not measured: {long.strip()} Document" in text


def test_models_of_a_registry_are_a_list() -> None:
    failed = registry_metrics(MetricResult.error("Model path does not exist: /m"))
    run = sample.run(
        sample.candidate(factors=None),
        sample.candidate(version="gone\x1b[2J", factors=None, metrics=failed, quantization=None),
        dry_run=True,
    )
    lines = plain(run)
    assert any(line.endswith("1 of 6 metrics") for line in lines)
    (gone,) = [line for line in lines if line.startswith("gone")]
    assert gone.startswith("gone�[2J") and gone.endswith("Model path does not exist: /m")
    assert lines[1].endswith("dry run")


def test_a_large_registry_does_not_flood_the_terminal() -> None:
    run = sample.run(*[sample.candidate(factors=None) for _ in range(MOST_CANDIDATES + 7)])
    lines = plain(run)
    assert len(lines) < MOST_CANDIDATES + 10
    assert any("and 7 more" in line for line in lines)


def test_a_run_of_nothing_says_so() -> None:
    assert "No candidates." in plain(sample.run())


def test_large_counts_are_said_as_people_say_them() -> None:
    assert [count(n) for n in (0, 999, 1000, 1_234_567, 3_210_000_000)] == [
        "0",
        "999",
        "1.00 k",
        "1.23 M",
        "3.21 G",
    ]
