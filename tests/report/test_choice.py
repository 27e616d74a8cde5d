"""Which option a report tells its reader to choose, and why."""

from __future__ import annotations

from pathlib import Path

from minionbench.report.choice import Group, groups, rule, words
from minionbench.report.reading import material
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, MetricResult
from tests.report.material import candidate, cell, metric, run


def found(*candidates: BenchmarkCandidate) -> list[Group]:
    return of(run(*candidates))


def of(*documents: BenchmarkRun) -> list[Group]:
    return groups(material([(Path(f"{k}.json"), one) for k, one in enumerate(documents)]))


def option(model: str, **metrics: float | MetricResult) -> BenchmarkCandidate:
    return candidate(model, cell(f"{model}.c", **metrics))


def test_the_best_beyond_the_intervals_is_chosen_and_those_dominated_are_not_on_the_front() -> None:
    (group,) = found(
        option("slow", total_latency_s=2.0, accuracy_pct=50.0),
        option("fast", total_latency_s=0.5, accuracy_pct=50.0),
    )
    assert group.best is not None and group.best.option.name == "fast"
    assert [one.on_front for one in group.ranked] == [True, False]
    assert words(group) == (
        "Choose fast: right answers 50.0 % (47.5–52.5), total latency 0.500 s (0.475–0.525). "
        "It is ahead of the other one beyond the intervals, slow with right answers 50.0 % and "
        "total latency 2.00 s."
    )
    assert "cost (not measured) and energy (not measured)" in rule(group)


def test_where_all_are_tied_there_is_no_clear_choice() -> None:
    (group,) = found(
        option("a", accuracy_pct=metric(50.0, 20.0, 80.0)),
        option("b", accuracy_pct=metric(52.0, 22.0, 82.0)),
    )
    assert words(group) == (
        "The highest score has b: right answers 52.0 % (22.0–82.0). It is no clear choice: within "
        "the intervals both are as good, and more items would tell them apart."
    )


def test_of_several_others_the_next_one_is_named_with_its_figures() -> None:
    (group,) = found(
        option("a", accuracy_pct=metric(90.0, 80.0, 95.0)),
        option("b", accuracy_pct=metric(30.0, 20.0, 40.0)),
        option("c", accuracy_pct=metric(10.0, 5.0, 20.0)),
    )
    assert words(group).endswith(
        "It is ahead of all 2 others beyond the intervals; next is b with right answers 30.0 %."
    )


def test_a_tie_with_some_is_said() -> None:
    (group,) = found(
        option("a", accuracy_pct=metric(90.0, 80.0, 95.0)),
        option("b", accuracy_pct=metric(88.0, 78.0, 94.0)),
        option("c", accuracy_pct=metric(10.0, 5.0, 20.0)),
    )
    assert words(group).endswith("Within the intervals it is tied with b.")


def test_who_is_behind_beyond_the_intervals_is_not_tied_though_nobody_dominates_it() -> None:
    (group,) = found(
        option("good", accuracy_pct=metric(90.0, 89.0, 91.0), total_latency_s=1.0),
        option("quick", accuracy_pct=metric(10.0, 9.0, 11.0), total_latency_s=0.5),
    )
    assert [one.on_front for one in group.ranked] == [True, True]
    assert group.tied == ()
    assert words(group).startswith("Choose good:")


def test_what_is_invalid_or_failed_does_not_come_into_question() -> None:
    (group,) = found(
        candidate("doubted", cell("x", status="invalid", total_latency_s=0.1)),
        option("failed", total_latency_s=MetricResult.error("every request failed")),
        option("good", total_latency_s=1.0),
    )
    assert [one.option.name for one in group.ranked] == ["good"]
    assert {o.name: why for o, why in group.out} == {
        "doubted": "not to be believed: start_lag",
        "failed": "no total latency: every request failed",
    }


def test_where_nothing_comes_into_question_the_reasons_are_said() -> None:
    (group,) = found(
        option("a", total_latency_s=MetricResult.error("it broke")),
        option("b", total_latency_s=MetricResult.error("it broke too")),
    )
    assert words(group) == (
        "No option comes into question: a (no total latency: it broke) and b (no total latency: "
        "it broke too)."
    )


def test_where_nothing_was_counted_there_is_no_rule_to_tell() -> None:
    (group,) = found(*(option(name, total_latency_s=MetricResult.error("no")) for name in "ab"))
    assert group.axes == ()
    assert rule(group) == ""


def test_what_not_every_option_has_does_not_count() -> None:
    (group,) = found(
        option("a", total_latency_s=1.0, cost_usd=0.01),
        option("b", total_latency_s=2.0, cost_usd=MetricResult.skipped("no price is known")),
    )
    assert group.axes == ("total_latency_s",)
    assert "cost (known of 1 of 2 options)" in group.silent


def test_a_local_model_costs_nothing_beside_one_that_is_charged_for() -> None:
    remote = candidate("r", cell("r", total_latency_s=1.0, cost_usd=0.01), deployment="remote")
    (group,) = found(option("l", total_latency_s=1.0), remote)
    assert group.axes == ("total_latency_s", "cost_usd")
    assert words(group).startswith(
        "Choose l (local): total latency 1.00 s (0.950–1.05), cost $0 per 1,000"
    )


def test_options_are_compared_within_one_workload_under_one_load() -> None:
    made = found(
        candidate(
            "m",
            cell("a", "prefill", total_latency_s=1.0),
            cell("b", "prefill", streams=4, total_latency_s=1.0),
            cell("c", "decode", total_latency_s=1.0),
        )
    )
    assert [group.name for group in made] == [
        "prefill · 1 stream",
        "prefill · 4 streams",
        "decode · 1 stream",
    ]


def test_the_same_thing_in_two_runs_is_no_choice() -> None:
    first, second = (
        run(option("m", total_latency_s=value), run_id=f"benchmark_20261121_{time}")
        for value, time in ((1.0, "201100"), (2.0, "201530"))
    )
    (group,) = of(first, second)
    assert group.is_repeated
    assert words(group) == (
        "The same in 2 runs. 20:11:00: total latency 1.00 s (0.950–1.05); 20:15:30: total latency "
        "2.00 s (1.90–2.10)."
    )
