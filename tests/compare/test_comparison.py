from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.compare import Answer, Comparison, Criteria, Side, Verdict, compare
from minionbench.compare.measurement import Measurement
from minionbench.errors import NotComparable, UsageError
from minionbench.inference import Spread
from tests.compare.measured import (
    CONDITIONS,
    Truth,
    failed,
    latencies,
    measurement,
    replicate,
    run_id,
    side,
    skipped,
)

QUIET = (1.00, 1.01, 0.99, 1.00, 1.01)
NAME = "total_latency_s"


def one(base: Side, new: Side, **criteria: Any) -> Comparison:
    return compare(base, [new], Criteria(**criteria))[0]


def answer(comparison: Comparison, name: str = NAME) -> Answer:
    return next(a for cell in comparison.cells for a in cell.answers if a.metric == name)


def judged(base: Side, new: Side, name: str = NAME, **criteria: Any) -> Answer:
    return answer(one(base, new, **criteria), name)


def test_a_change_beyond_the_threshold_is_worse_or_better() -> None:
    base, slow = latencies("base", QUIET), latencies("new", [v * 1.2 for v in QUIET], first=10)
    found = judged(base, slow)
    assert found.verdict is Verdict.WORSE
    assert found.change == pytest.approx(0.2)
    assert found.low is not None and found.high is not None
    assert 0.18 < found.low < 0.2 < found.high < 0.22
    back = judged(slow, base)
    assert back.verdict is Verdict.BETTER
    assert back.change == pytest.approx(1 / 1.2 - 1)


def test_of_a_rate_less_is_worse() -> None:
    base = side("base", *({"output_tokens_per_sec": v} for v in QUIET))
    fewer = side("new", *({"output_tokens_per_sec": v / 1.2} for v in QUIET), first=10)
    assert judged(base, fewer, "output_tokens_per_sec").verdict is Verdict.WORSE


def test_the_same_is_said_only_where_the_interval_lies_inside_the_threshold() -> None:
    base, new = latencies("base", QUIET), latencies("new", [v * 1.01 for v in QUIET], first=10)
    assert judged(base, new).verdict is Verdict.SAME
    # The test finds nothing, and yet nobody knows that there is nothing.
    noisy = latencies("new", [0.7, 1.3, 1.0, 0.8, 1.2], first=10)
    found = judged(base, noisy)
    assert found.p_adjusted is not None and found.p_adjusted > 0.05
    assert found.verdict is Verdict.UNCLEAR
    assert "worse or" in found.why and "better" in found.why


def test_a_sure_change_that_may_not_matter_is_left_open() -> None:
    base = latencies("base", QUIET)
    found = judged(base, latencies("new", [v * 1.045 for v in QUIET], first=10))
    assert found.p_adjusted is not None and found.p_adjusted < 0.05
    assert found.verdict is Verdict.UNCLEAR
    assert "perhaps by less than 5.0 %" in found.why
    larger = judged(base, latencies("new", [v * 1.045 for v in QUIET], first=10), threshold=0.02)
    assert larger.verdict is Verdict.WORSE


def test_one_run_on_each_side_cannot_tell() -> None:
    found = judged(latencies("base", [1.0]), latencies("new", [2.0], first=10))
    assert found.verdict is Verdict.UNCLEAR
    assert (found.change, found.low, found.p) == (pytest.approx(1.0), None, None)
    assert "one replicate on each side" in found.why


def test_one_run_on_each_side_can_tell_by_the_spread_of_earlier_ones() -> None:
    asked: list[Measurement] = []

    def earlier(like: Measurement) -> dict[str, Spread]:
        asked.append(like)
        return {NAME: Spread(deviation=0.01, degrees=8)}

    base, new = latencies("base", [1.0]), latencies("new", [1.2], first=10)
    found = compare(base, [new], Criteria(), earlier)[0]
    assert answer(found).verdict is Verdict.WORSE
    assert any("earlier runs" in note for note in found.cells[0].notes)
    assert len(asked) == 2
    # Where runs were repeated nobody asks how far they lie apart.
    asked.clear()
    compare(latencies("base", QUIET), [latencies("new", QUIET, first=10)], Criteria(), earlier)
    assert asked == []


def test_a_side_that_failed_is_worse_and_not_left_out() -> None:
    base = latencies("base", QUIET)
    broken = side("new", *[{NAME: failed()}] * 5, first=10)
    found = judged(base, broken)
    assert found.verdict is Verdict.WORSE
    assert found.why == "the base has a value, the new side failed: All 8 requests failed"
    assert judged(broken, base).verdict is Verdict.BETTER
    both = judged(broken, side("new", *[{NAME: failed()}] * 5, first=10))
    assert both.verdict is Verdict.UNCLEAR


def test_runs_of_which_some_failed_rank_them_as_the_worst() -> None:
    base = latencies("base", [*QUIET, 1.0])
    new = side("new", *({NAME: one_} for one_ in (1.02, *[failed()] * 5)), first=10)
    found = judged(base, new)
    assert found.method is not None and "rank sum" in found.method
    assert found.p == pytest.approx(2 / 924)
    assert found.verdict is Verdict.WORSE
    assert found.new is None  # a value with failures in it is none


def test_requests_that_fail_count_against_a_side() -> None:
    base = side("base", *[{NAME: v, "failures": 0} for v in QUIET])
    new = side(
        "new",
        *[{NAME: v, "failures": f} for v, f in zip(QUIET, (3, 4, 3, 5, 4), strict=True)],
        first=10,
    )
    found = judged(base, new, "failed_pct")
    assert (found.base, found.new) == (0.0, 19.0)
    assert (found.scale, found.verdict) == ("points", Verdict.WORSE)
    fine = judged(base, side("new", *[{NAME: v} for v in QUIET], first=10), "failed_pct")
    assert fine.verdict is Verdict.SAME
    assert fine.why == "none of 200 requests failed on either side"


def test_what_is_below_nothing_is_no_value_and_never_better() -> None:
    found = one(latencies("base", QUIET), latencies("new", [-1.0] * 5, first=10))
    latency = next(a for a in found.cells[0].answers if a.metric == NAME)
    assert latency.verdict is Verdict.UNCLEAR
    assert "below 0" in latency.why


def test_one_failure_of_hundreds_is_no_certainty() -> None:
    base = side("base", *[{NAME: 1.0, "requests": 100}] * 3)
    new = side("new", *[{NAME: 1.0, "requests": 100, "failures": f} for f in (0, 1, 1)], first=10)
    assert judged(base, new, "failed_pct").verdict is Verdict.UNCLEAR


def test_what_one_side_lacks_cannot_be_told() -> None:
    base = latencies("base", QUIET)
    new = side("new", *[{NAME: skipped("the server hides it")}] * 5, first=10)
    found = judged(base, new)
    assert found.verdict is Verdict.UNCLEAR
    assert found.why == "the new side has no value: the server hides it"
    names = [a.metric for a in one(base, latencies("new", QUIET, first=10)).cells[0].answers]
    assert names == [NAME, "failed_pct"]


def test_a_change_that_only_the_other_questions_leave_unsure_is_told_as_it_looks() -> None:
    # p = 0.02 by itself, and six questions: the interval is beyond the threshold all the same.
    quiet = dict.fromkeys(("ttft_s", "tpot_s", "peak_ram_mb", "energy_j_per_token"), 1.0)

    def of(name: str, latencies: list[float], first: int) -> Side:
        runs = [
            {"total_latency_s": value, **{k: v + n / 50 for k, v in quiet.items()}}
            for n, value in enumerate(latencies)
        ]
        return side(name, *runs, first=first)

    base = of("base", [1.0, 1.1, 0.9], 0)
    found = one(base, of("new", [1.35, 1.485, 1.215], 10))
    latency = next(a for a in found.cells[0].answers if a.metric == NAME)
    assert latency.verdict is Verdict.UNCLEAR
    assert latency.why.startswith("it looks 7.5 % to 69 % worse, but not surely")
    back = one(of("new", [1.35, 1.485, 1.215], 10), base)
    latency = next(a for a in back.cells[0].answers if a.metric == NAME)
    assert latency.why.startswith("it looks 7.0 % to 41 % better, but not surely")


def test_all_questions_are_adjusted_together() -> None:
    values = [{"ttft_s": v, NAME: v, "tpot_s": v} for v in QUIET]
    slower = [{"ttft_s": v, NAME: v, "tpot_s": v * 1.02} for v in QUIET]
    found = one(side("base", *values), side("new", *slower, first=10))
    assert found.questions == 3
    tpot = answer(found, "tpot_s")
    assert tpot.p is not None
    assert tpot.p_adjusted == pytest.approx(min(1.0, 3 * tpot.p))
    two = compare(
        side("base", *values),
        [side("b", *slower, first=10), side("c", *slower, first=20)],
        Criteria(),
    )
    assert [c.questions for c in two] == [6, 6]


def test_a_difference_refuses_the_comparison_and_is_named() -> None:
    base = latencies("base", QUIET)
    new = latencies("new", QUIET, first=10, conditions=CONDITIONS | {"engine": "engine 2"})
    with pytest.raises(NotComparable) as refusal:
        one(base, new)
    assert "engine: engine 1 on the base side, engine 2 on the new one" in str(refusal.value)
    assert "--vary engine" in str(refusal.value)
    forced = one(base, new, force=True)
    assert forced.forced and answer(forced).verdict is Verdict.SAME
    meant = one(base, new, varied=("engine",))
    assert not meant.forced and meant.cells[0].differences == ()


def test_what_hardly_matters_is_only_noted() -> None:
    base = latencies("base", QUIET, conditions=CONDITIONS | {"software.kernel": "6.1"})
    new = latencies("new", QUIET, first=10, conditions=CONDITIONS | {"software.kernel": "6.2"})
    found = one(base, new)
    assert not found.forced
    assert [(d.name, d.refuses) for d in found.cells[0].differences] == [("software.kernel", False)]


def test_cells_of_one_workload_and_load_belong_together() -> None:
    def two(name: str, first: int, factor: float) -> Side:
        made = [
            measurement(
                replicate(run_id(first + n), **{NAME: value * factor}),
                cell_id=workload,
                workload=workload,
            )
            for n, value in enumerate(QUIET)
            for workload in ("decode", "prefill")
        ]
        return Side(name=name, measurements=tuple(made))

    found = one(two("base", 0, 1.0), two("new", 10, 1.0))
    assert [cell.cell for cell in found.cells] == ["decode", "prefill"]
    alone = one(two("base", 0, 1.0), latencies("new", QUIET, first=10))
    assert [cell.cell for cell in alone.cells] == ["decode"]
    assert alone.notes == ("prefill is only on the base side",)


def test_candidates_belong_together_by_what_was_measured() -> None:
    def of(model: str, first: int) -> tuple[Measurement, ...]:
        return latencies(
            "x", QUIET, first=first, candidate=model, factors={"model": model}
        ).measurements

    both = Side(name="base", measurements=(*of("a", 0), *of("b", 20)))
    other = Side(name="new", measurements=(*of("b", 40), *of("c", 60)))
    found = one(both, other)
    assert [cell.base for cell in found.cells] == ["b"]
    assert found.notes == ("a is only on the base side", "c is only on the new side")
    # One on each side belong together whatever they are: that is what is compared.
    assert one(Side(name="x", measurements=of("a", 0)), Side(name="y", measurements=of("c", 60)))
    with pytest.raises(UsageError, match="nothing in common"):
        one(
            Side(name="x", measurements=(*of("a", 0), *of("b", 20))),
            Side(name="y", measurements=of("c", 60)),
        )


def test_a_server_that_was_never_reached_is_worse() -> None:
    broken = Side(
        name="new",
        measurements=(
            measurement(
                replicate(run_id(10), requests=None),
                cell_id=None,
                workload=None,
                load=None,
                broken="No server answers",
            ),
        ),
    )
    found = one(latencies("base", QUIET), broken)
    assert {a.metric: a.verdict for a in found.cells[0].answers} == {
        NAME: Verdict.WORSE,
        "failed_pct": Verdict.WORSE,
    }
    assert found.verdict is Verdict.WORSE


def test_a_run_that_found_no_server_counts_among_those_of_the_only_candidate() -> None:
    lost = measurement(
        replicate(run_id(19), requests=None),
        candidate="the model of the server",
        factors={"model": "the model of the server"},
        cell_id=None,
        workload=None,
        load=None,
        broken="No server answers",
    )
    new = latencies("new", QUIET[:3], first=10)
    both = Side(name="new", measurements=(*new.measurements, lost))
    for found in (one(latencies("base", QUIET), both), one(both, latencies("base", QUIET))):
        assert not found.notes
        latency = next(a for a in found.cells[0].answers if a.metric == NAME)
        assert sorted((latency.base_replicates, latency.new_replicates)) == [4, len(QUIET)]
    # In a run that measured something else it is a candidate of its own.
    other = msgspec.structs.replace(lost, run_id=new.run_ids[0])
    several = Side(name="new", measurements=(*new.measurements, other))
    assert one(latencies("base", QUIET), several).notes


def test_runs_that_the_harness_measured_wrongly_are_left_out() -> None:
    base = latencies("base", QUIET)
    whole = latencies("new", QUIET, first=10)
    wild = latencies("new", [9.0], first=20, invalid=("start_lag",)).measurements
    found = one(base, Side(name="new", measurements=(*whole.measurements, *wild)))
    assert answer(found).verdict is Verdict.SAME
    assert answer(found).new_replicates == 5
    assert "1 run left out" in found.cells[0].notes[0]
    alone = one(base, Side(name="new", measurements=wild))
    assert answer(alone).verdict is Verdict.UNCLEAR
    assert "measured 1 of 6 runs wrongly, by start_lag (1)" in answer(alone).why
    assert (
        answer(one(base, Side(name="new", measurements=wild), force=True)).verdict is Verdict.WORSE
    )


def test_of_a_pair_both_are_left_out() -> None:
    base = latencies("base", QUIET)
    runs = list(latencies("new", QUIET, first=10).measurements)
    runs[2] = msgspec.structs.replace(runs[2], invalid=("start_lag",))
    found = one(base, Side(name="new", measurements=tuple(runs)), paired=True)
    assert found.cells[0].paired
    assert (answer(found).base_replicates, answer(found).new_replicates) == (4, 4)


def test_pairs_tell_on_a_machine_that_drifts() -> None:
    drifting = [1.0, 1.3, 1.6, 1.9, 2.2]
    base = latencies("base", drifting)
    new = latencies(
        "new", [v * f for v, f in zip(drifting, (1.2, 1.21, 1.19, 1.2, 1.2), strict=True)], first=10
    )
    assert judged(base, new).verdict is Verdict.UNCLEAR
    assert judged(base, new, paired=True).verdict is Verdict.WORSE


def test_sessions_of_one_run_are_replicates_and_pairs() -> None:
    def of(cell: str, model: str, factor: float) -> Measurement:
        made = [
            replicate(run_id(1), session=n, **{NAME: value * factor})
            for n, value in enumerate([1.0, 1.5, 2.0, 2.5])
        ]
        return measurement(*made, cell_id=cell, candidate=model, factors={"model": model})

    base = Side(name="a", measurements=(of("decode", "a", 1.0),))
    new = Side(name="b", measurements=(of("decode-2", "b", 1.2),))
    found = one(base, new).cells[0]
    assert (found.unit, found.paired) == ("session", True)
    assert answer(one(base, new)).verdict is Verdict.WORSE


def test_items_that_are_the_same_are_paired() -> None:
    lengths = {"short": 0.1, "middle": 1.0, "long": 10.0}

    def of(name: str, first: int, factor: float, shaken: float) -> Side:
        made = []
        for n in range(4):
            # The middle item alone is shaken: the median of the run with it, the typical shift not.
            shake = {"short": 1.0, "middle": 1 + shaken * (-1) ** n, "long": 1.0}
            items = {item: length * factor * shake[item] for item, length in lengths.items()}
            made.append({NAME: items["middle"], "items": {NAME: items}, "asked": tuple(items)})
        return side(name, *made, first=first)

    found = judged(of("base", 0, 1.0, 0.3), of("new", 10, 1.2, 0.3))
    assert found.method is not None and "typical shift of their items" in found.method
    assert found.change == pytest.approx(0.2)
    assert found.verdict is Verdict.WORSE


def test_accuracy_is_compared_over_items() -> None:
    from minionbench.compare.measurement import Observation

    asked = tuple(f"i{n}" for n in range(100))

    def of(name: str, first: int, wrong: int) -> Side:
        seen = Observation(
            value=100.0 - wrong, items=100, not_right=dict.fromkeys(asked[:wrong], 0.0)
        )
        return side(name, {"accuracy_pct": seen, "asked": asked}, first=first)

    found = judged(of("base", 0, 10), of("new", 10, 40), "accuracy_pct")
    assert found.verdict is Verdict.WORSE
    assert found.change == pytest.approx(-30)
    assert found.method is not None and "McNemar" in found.method
    assert judged(of("base", 0, 10), of("new", 10, 11), "accuracy_pct").verdict is Verdict.UNCLEAR


def test_quality_with_an_interval_of_its_own_needs_no_repeats() -> None:
    from minionbench.compare.measurement import Observation

    def of(name: str, first: int, value: float, reach: float) -> Side:
        seen = Observation(value=value, low=value - reach, high=value + reach, level=0.95, items=50)
        return side(name, {"retrieval_score": seen}, first=first)

    assert judged(of("a", 0, 80, 2), of("b", 10, 60, 2), "retrieval_score").verdict is Verdict.WORSE
    assert (
        judged(of("a", 0, 80, 9), of("b", 10, 78, 9), "retrieval_score").verdict is Verdict.UNCLEAR
    )


def test_it_is_said_how_many_runs_would_tell() -> None:
    base = latencies("base", [1.0, 1.1, 0.9])
    found = judged(base, latencies("new", [1.05, 0.95, 1.0], first=10))
    assert found.verdict is Verdict.UNCLEAR
    assert found.needed is not None and found.needed > 3
    assert found.detectable is not None and found.detectable > 0.1


def test_percentiles_can_be_asked_for() -> None:
    from minionbench.compare.measurement import Observation

    def of(name: str, first: int, factor: float) -> Side:
        runs = [
            {"ttft_s": Observation(value=1.0, percentiles={"p95": 2.0 * factor * v})} for v in QUIET
        ]
        return side(name, *runs, first=first)

    found = one(of("base", 0, 1.0), of("new", 10, 1.2), metrics=("ttft_s:p95", "ttft_s"))
    verdicts = {a.metric: a.verdict for a in found.cells[0].answers}
    assert verdicts == {"ttft_s:p95": Verdict.WORSE, "ttft_s": Verdict.SAME}


MIRRORED = {
    Verdict.WORSE: Verdict.BETTER,
    Verdict.BETTER: Verdict.WORSE,
    Verdict.SAME: Verdict.SAME,
    Verdict.UNCLEAR: Verdict.UNCLEAR,
}

runs_of_a_side = st.lists(st.floats(0.1, 10) | st.none(), min_size=1, max_size=6)


@settings(max_examples=50)
@given(base=runs_of_a_side, new=runs_of_a_side, paired=st.booleans(), rate=st.booleans())
def test_swapping_the_sides_mirrors_the_answer(
    base: list[float | None], new: list[float | None], paired: bool, rate: bool
) -> None:
    name = "output_tokens_per_sec" if rate else NAME

    def of(label: str, values: list[float | None], first: int) -> Side:
        return side(label, *({name: failed() if v is None else v} for v in values), first=first)

    there = judged(of("a", base, 0), of("b", new, 20), name, paired=paired)
    back = judged(of("b", new, 20), of("a", base, 0), name, paired=paired)
    assert back.verdict is MIRRORED[there.verdict]
    if there.change is not None and back.change is not None:
        assert math.log1p(back.change) == pytest.approx(-math.log1p(there.change), abs=1e-9)
    # Nearer to −100 % a ratio minus one has lost its digits.
    if there.low is not None and back.high is not None and there.low > -0.99:
        assert math.log1p(back.high) == pytest.approx(-math.log1p(there.low), abs=1e-9)


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), shift=st.sampled_from([0.0, 0.05, 0.2]))
def test_swapping_runs_with_items_mirrors_the_answer(seed: int, shift: float) -> None:
    truth = Truth(seed)
    a, b = truth.side("a", 3), truth.side("b", 3, shift, first=20)
    for name in ("ttft_s", NAME, "tpot_s"):
        there, back = judged(a, b, name), judged(b, a, name)
        assert back.verdict is MIRRORED[there.verdict]
        assert there.change is not None and back.change is not None
        assert math.log1p(back.change) == pytest.approx(-math.log1p(there.change), abs=1e-9)
