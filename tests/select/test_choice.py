"""The choice among a run's candidates, worked out by hand, and what never changes it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import NotComparable
from minionbench.schema import (
    BenchmarkCandidate,
    LoadDocument,
    MetricResult,
    WorkloadDocument,
)
from minionbench.select import Criteria, Gate, Scale, Selection, choose
from tests.documents import cell, run
from tests.select.candidates import between, made, near

BY_BOTH = Criteria(
    weights={"latency_ms": 1.0, "cove_pass_rate": 1.0},
    references={"latency_ms": Scale(10_000.0, 1.0, log=True)},
)


def chosen(*candidates: BenchmarkCandidate, criteria: Criteria = BY_BOTH) -> Selection:
    return choose(run(*candidates), criteria)


def standings(selection: Selection) -> dict[str, str]:
    return {one.version: str(one.standing) for one in selection.assessments}


def reasons(selection: Selection, version: str) -> str:
    return "; ".join(
        reason
        for one in selection.assessments
        if one.version == version
        for reason in (*one.reasons, *one.notes)
    )


def test_the_highest_score_is_chosen_and_each_place_has_its_reason() -> None:
    selection = chosen(
        made("slow", latency_ms=1_000.0, cove_pass_rate=80.0),  # (0.25 + 0.80) / 2
        made("good", latency_ms=100.0, cove_pass_rate=70.0),  # (0.50 + 0.70) / 2
        made("fast", latency_ms=10.0, cove_pass_rate=20.0),  # (0.75 + 0.20) / 2
        made("bad", latency_ms=1_100.0, cove_pass_rate=70.0),
    )
    assert selection.chosen is not None
    assert selection.chosen.version == "good"
    assert selection.chosen.score is not None
    assert selection.chosen.score.point == pytest.approx(0.6)
    assert standings(selection) == {
        "good": "chosen",
        "slow": "behind",
        "fast": "behind",
        "bad": "dominated",
    }
    assert selection.tied == ()
    assert reasons(selection, "good").startswith("best score: 0.600 (0.5")
    assert "below that of good, 0.600" in reasons(selection, "slow")
    assert "dominated by good: worse in latency_ms, and better in nothing" in reasons(
        selection, "bad"
    )
    assert {one.version: one.on_front for one in selection.assessments} == {
        "good": True,
        "slow": True,
        "fast": True,
        "bad": False,
    }


def test_a_difference_inside_the_intervals_is_a_tie_that_the_smaller_one_wins() -> None:
    selection = chosen(
        made("large", 3.0, latency_ms=100.0, cove_pass_rate=between(72.0, 62.0, 82.0)),
        made("unknown", None, latency_ms=100.0, cove_pass_rate=between(71.0, 61.0, 81.0)),
        made("small", 1.0, latency_ms=101.0, cove_pass_rate=between(70.0, 60.0, 80.0)),
        made("behind", 0.5, latency_ms=110.0, cove_pass_rate=between(30.0, 20.0, 40.0)),
    )
    assert standings(selection) == {
        "small": "chosen",
        "unknown": "tied",
        "large": "tied",
        "behind": "dominated",
    }
    assert "within the intervals of large and unknown: a tie, broken by the rule: fewer MB" in (
        reasons(selection, "small")
    )
    assert "a tie with small" in reasons(selection, "large")


def test_intervals_that_only_touch_are_a_tie_and_those_apart_are_none() -> None:
    # On a scale of 0 to 100 with one metric, the score's interval is the metric's.
    by_cove = Criteria(weights={"cove_pass_rate": 1.0})
    best = made("best", 2.0, cove_pass_rate=between(80.0, 70.0, 90.0))
    touching = made("touching", 1.0, cove_pass_rate=between(60.0, 50.0, 70.0))
    apart = made("apart", 1.0, cove_pass_rate=between(60.0, 50.0, 69.0))
    assert standings(chosen(best, touching, criteria=by_cove)) == {
        "touching": "chosen",
        "best": "tied",
    }
    assert standings(chosen(best, apart, criteria=by_cove)) == {
        "best": "chosen",
        "apart": "dominated",
    }


def test_of_equal_scores_the_surer_one_is_the_best() -> None:
    by_both = Criteria(weights={"cove_pass_rate": 1.0, "retrieval_score": 1.0})
    # Each is better than the others in one metric, so that nobody is dominated.
    sure = made("sure", 3.0, cove_pass_rate=80.0, retrieval_score=60.0)
    vague = made("vague", 2.0, cove_pass_rate=60.0, retrieval_score=between(80.0, 10.0, 90.0))
    low = made("low", 1.0, cove_pass_rate=81.0, retrieval_score=40.0)
    assert standings(chosen(sure, vague, low, criteria=by_both)) == {
        "vague": "chosen",
        "sure": "tied",
        "low": "behind",
    }


def test_of_equal_sizes_the_first_name_wins_a_tie() -> None:
    same: dict[str, Any] = {"latency_ms": 100.0, "cove_pass_rate": 70.0}
    assert standings(chosen(made("b", **same), made("a", **same))) == {"a": "chosen", "b": "tied"}


def test_a_dominated_one_wins_no_tie() -> None:
    wide = between(70.0, 40.0, 95.0)
    selection = chosen(
        made("better", 2.0, latency_ms=100.0, cove_pass_rate=wide),
        made("smaller", 1.0, latency_ms=200.0, cove_pass_rate=wide),
    )
    assert standings(selection) == {"better": "chosen", "smaller": "dominated"}


def test_who_lacks_a_metric_is_set_apart_with_the_reason() -> None:
    selection = chosen(
        made("whole", latency_ms=9_000.0, cove_pass_rate=1.0),
        made("skipped", latency_ms=10.0),
        made("error", latency_ms=MetricResult.error("the engine ended"), cove_pass_rate=99.0),
    )
    assert standings(selection) == {
        "whole": "chosen",
        "skipped": "cannot be ranked",
        "error": "cannot be ranked",
    }
    assert reasons(selection, "skipped") == "missing cove_pass_rate: skipped: it was not run"
    assert reasons(selection, "error") == "missing latency_ms: error: the engine ended"
    assert all(one.score is None for one in selection.assessments[1:])


def test_a_metric_without_weight_and_gate_may_be_missing() -> None:
    only_latency = Criteria(weights={"latency_ms": 1.0, "cove_pass_rate": 0.0})
    selection = chosen(made("a", latency_ms=10.0), criteria=only_latency)
    assert standings(selection) == {"a": "chosen"}
    gated = Criteria(weights={"latency_ms": 1.0}, gates=(Gate("cove_pass_rate", ">=", 0.0),))
    selection = chosen(made("a", latency_ms=10.0), criteria=gated)
    assert standings(selection) == {"a": "cannot be ranked"}
    assert selection.chosen is None


def test_a_metric_that_only_the_cells_have_is_missing_and_said_to_be_there() -> None:
    by_ttft = Criteria(weights={"ttft_s": 1.0})
    one = made("a", cells=["valid"], cove_pass_rate=50.0)
    with_cell = one.but(cells=tuple(cell.but(metrics={"ttft_s": near(0.1)}) for cell in one.cells))
    selection = chosen(with_cell, made("b"), criteria=by_ttft)
    assert "only its cells have it (a.0)" in reasons(selection, "a")
    assert "the document does not have it" in reasons(selection, "b")


def test_a_gate_comes_before_every_score() -> None:
    gated = Criteria(
        weights={"latency_ms": 1.0},
        gates=(Gate("cove_pass_rate", ">=", 90.0), Gate("latency_ms", "<", 500.0)),
    )
    selection = chosen(
        made("fast", latency_ms=10.0, cove_pass_rate=between(89.5, 85.0, 93.0)),
        made("right", latency_ms=100.0, cove_pass_rate=between(90.0, 86.0, 94.0)),
        made("slow and right", latency_ms=500.0, cove_pass_rate=95.0),
        made("fails and lacks", latency_ms=600.0),
        criteria=gated,
    )
    assert standings(selection) == {
        "right": "chosen",
        "fails and lacks": "fails a gate",
        "fast": "fails a gate",
        "slow and right": "fails a gate",
    }
    assert reasons(selection, "fast") == (
        "fails the gate cove_pass_rate>=90: it is 89.5 % (85.0–93.0)"
    )
    assert "fails the gate latency_ms<500" in reasons(selection, "fails and lacks")
    assert "missing cove_pass_rate" in reasons(selection, "fails and lacks")
    assert "the interval reaches beyond the gate" in reasons(selection, "right")


def test_no_choice_is_made_where_nobody_comes_into_question() -> None:
    selection = chosen(
        made("a", latency_ms=10.0, cove_pass_rate=10.0),
        criteria=Criteria(gates=(Gate("cove_pass_rate", ">", 50.0),)),
    )
    assert selection.chosen is None
    assert chosen().assessments == ()
    assert chosen().chosen is None


def test_what_is_not_to_be_believed_is_not_chosen_unless_asked_for() -> None:
    candidates = [
        made("invalid", latency_ms=1.0, cove_pass_rate=99.0, cells=["valid", "invalid"]),
        made("suspect", latency_ms=10.0, cove_pass_rate=90.0, cells=["suspect", "valid"]),
        made("valid", latency_ms=5_000.0, cove_pass_rate=10.0, cells=["valid"]),
    ]

    def winner(**more: Any) -> str:
        criteria = Criteria(weights={"latency_ms": 1.0, "cove_pass_rate": 1.0}, **more)
        best = choose(run(*candidates), criteria).chosen
        assert best is not None
        return best.version

    assert winner() == "suspect"
    assert winner(worst_verdict="valid") == "valid"
    assert winner(worst_verdict="invalid") == "invalid"
    selection = chosen(*candidates)
    assert standings(selection)["invalid"] == "not to be believed"
    assert reasons(selection, "invalid") == "invalid.1 is invalid: start_lag"
    assert "suspect.0 is suspect: start_lag" in reasons(selection, "suspect")


def test_what_was_done_to_a_value_is_said() -> None:
    selection = chosen(
        made(
            "a",
            latency_ms=between(0.5, None, None),
            cove_pass_rate=MetricResult.ok(70.0),
        )
    )
    said = reasons(selection, "a")
    assert (
        "latency_ms of 0.500 ms (…–…) lies beyond the reference point 1 ms, and counts 1." in said
    )
    assert "The interval of latency_ms is open at its low and high ends" in said
    assert "cove_pass_rate has no interval: its value was taken as exact." in said
    assert "It has no cells, and so no verdict." in said


def test_a_run_that_was_cut_short_or_names_a_version_twice_says_so() -> None:
    one = made("a", latency_ms=1.0, cove_pass_rate=1.0)
    selection = choose(run(one, one, finished=False), BY_BOTH)
    assert selection.notes == (
        "The run was cut short.",
        "Versions that several candidates have: a.",
    )
    assert "dry run" in choose(run(dry_run=True), BY_BOTH).notes[0]


@pytest.mark.parametrize(
    "way",
    [
        {"workload": "decode"},
        {"corpus": "other"},
        {"settings": {"mode": "pointwise"}},
        {"tokens": "of another tokenizer"},
        {"tokens": {"by": "the engine's own count", "counted": "visible tokens", "output": 9}},
    ],
)
def test_what_was_measured_in_two_ways_is_not_compared(way: dict[str, Any]) -> None:
    first = {"workload": "balanced", "corpus": "built in", "settings": {"mode": "listwise"}}
    candidates = [
        made(version, latency_ms=between(10.0, 9.0, 11.0, **ways), cove_pass_rate=50.0)
        for version, ways in (("a", first), ("b", first | way))
    ]
    with pytest.raises(NotComparable, match="latency_ms was not measured in the same way"):
        chosen(*candidates)
    chosen(*candidates, criteria=Criteria(weights={"cove_pass_rate": 1.0}))
    # Of memory the workload says only where the most was needed.
    memory = [
        made(version, peak_ram_mb=between(10.0, 9.0, 11.0, workload=version)) for version in "ab"
    ]
    chosen(*memory, criteria=Criteria(weights={"peak_ram_mb": 1.0}))


def test_how_many_tokens_each_answered_is_no_other_way_of_measuring() -> None:
    counted = {"by": "the server's usage", "counted": "visible and reasoning tokens"}
    candidates = [
        made(
            version,
            latency_ms=between(10.0, 9.0, 11.0, tokens={**counted, "events": 10 * n, "output": n}),
            cove_pass_rate=50.0,
        )
        for n, version in enumerate("ab", 1)
    ]
    assert len(chosen(*candidates).assessments) == 2


# Properties

values = st.one_of(
    st.none(),
    st.tuples(*[st.floats(0.5, 20_000)] * 3).map(sorted),
    st.floats(0.5, 20_000),
)
shares = st.one_of(st.none(), st.tuples(*[st.floats(0, 100)] * 3).map(sorted), st.floats(0, 100))


def as_metric(drawn: Any) -> MetricResult:
    if drawn is None:
        return MetricResult.skipped("it was not run")
    if isinstance(drawn, float):
        return MetricResult.ok(drawn)
    low, value, high = drawn
    return between(value, low, high)


@st.composite
def candidates(draw: st.DrawFn) -> list[BenchmarkCandidate]:
    return [
        made(
            f"v{index}",
            draw(st.none() | st.sampled_from([1.0, 2.0])),
            latency_ms=as_metric(draw(values)),
            cove_pass_rate=as_metric(draw(shares)),
            cells=draw(st.lists(st.sampled_from(["valid", "suspect", "invalid"]), max_size=1)),
        )
        for index in range(draw(st.integers(1, 5)))
    ]


def with_cells(version: str, *ttft_s: float | MetricResult, seed: int = 0) -> BenchmarkCandidate:
    """A candidate with a cell of Prefill for each of these, of 1, 2 … streams."""
    asked = WorkloadDocument(name="prefill", version=1, source="s", seed=seed, items=3)
    cells = tuple(
        cell(
            f"{version}.{streams}",
            workload=asked,
            load=LoadDocument(kind="closed", concurrency=streams),
            metrics={"ttft_s": near(value) if isinstance(value, float) else value},
        )
        for streams, value in enumerate(ttft_s, 1)
    )
    return made(version, latency_ms=10.0, cove_pass_rate=90.0).but(cells=cells)


QUICK_PREFILL = Criteria(weights=BY_BOTH.weights, gates=(Gate("ttft_s", "<=", 0.5, "prefill"),))


def test_a_gate_on_a_workload_is_held_against_each_of_its_cells() -> None:
    selection = chosen(
        with_cells("quick", 0.2, 0.3),
        with_cells("barely", 0.2, 0.499),
        with_cells("slow", 0.2, 0.7),
        with_cells("half", 0.2),
        with_cells("none"),
        with_cells("failed", 0.2, MetricResult.error("all requests failed")),
        criteria=QUICK_PREFILL,
    )
    assert standings(selection) == {
        "barely": "chosen",
        "quick": "tied",
        "failed": "cannot be ranked",
        "half": "cannot be ranked",
        "none": "cannot be ranked",
        "slow": "fails a gate",
    }
    assert "fails the gate prefill.ttft_s<=0.5: it is 0.700 s (0.693–0.707) in slow.2" in reasons(
        selection, "slow"
    )
    assert "in barely.2, but the interval reaches beyond" in reasons(selection, "barely")
    assert "missing ttft_s: a cell of the workload prefill is lacking" in reasons(selection, "half")
    assert "missing ttft_s in failed.2: error: all requests failed" in reasons(selection, "failed")


def test_cells_of_other_items_cannot_be_held_against_one_gate() -> None:
    with pytest.raises(NotComparable, match="prefill had other items"):
        chosen(with_cells("a", 0.2), with_cells("b", 0.2, seed=1), criteria=QUICK_PREFILL)


gates = st.builds(
    Gate, st.just("cove_pass_rate"), st.sampled_from([">", ">="]), st.floats(0, 100)
).map(lambda gate: (gate,)) | st.just(())


def criteria_with(gates: tuple[Gate, ...]) -> Criteria:
    return Criteria(weights=BY_BOTH.weights, references=BY_BOTH.references, gates=gates)


@given(candidates(), gates, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_changes_nothing(
    several: list[BenchmarkCandidate], gate: tuple[Gate, ...], order: Any
) -> None:
    shuffled = list(several)
    order.shuffle(shuffled)
    criteria = criteria_with(gate)
    assert chosen(*shuffled, criteria=criteria) == chosen(*several, criteria=criteria)


@given(candidates(), gates)
def test_another_candidate_changes_nobodys_score_or_gates(
    several: list[BenchmarkCandidate], gate: tuple[Gate, ...]
) -> None:
    criteria = criteria_with(gate)
    worst = made("worst", 9.0, latency_ms=30_000.0, cove_pass_rate=0.0)
    before = {one.version: one for one in chosen(*several, criteria=criteria).assessments}
    after = {one.version: one for one in chosen(*several, worst, criteria=criteria).assessments}
    for version, one in before.items():
        assert after[version].score == one.score
        assert after[version].standing == one.standing or "worst" in str(after[version].reasons)


@given(candidates(), st.floats(0, 100), st.floats(0, 100))
def test_a_tighter_gate_never_lets_another_candidate_in(
    several: list[BenchmarkCandidate], one: float, other: float
) -> None:
    def inside(limit: float) -> set[str]:
        selection = chosen(*several, criteria=criteria_with((Gate("cove_pass_rate", ">=", limit),)))
        return {found.version for found in selection.assessments if found.score is not None}

    loose, tight = sorted((one, other))
    assert inside(tight) <= inside(loose)


@given(candidates())
def test_whoever_is_chosen_is_on_the_front_and_as_good_as_anyone_within_the_intervals(
    several: list[BenchmarkCandidate],
) -> None:
    selection = chosen(*several)
    scored = [one for one in selection.assessments if one.score is not None]
    best = selection.chosen
    assert (best is None) == (not scored)
    if best is not None:
        assert best.on_front
        assert best.score is not None
        front = [one.score for one in scored if one.on_front and one.score is not None]
        leader = max(front, key=lambda score: (score.point, score.low))
        assert best.score.high >= leader.low
