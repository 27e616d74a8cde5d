"""What a comparison promises, held against runs whose truth is known.

Latencies hang together within a run, and each run has an effect of its own that all its requests
share: whoever took requests for the unit would cry wolf nearly every time. Bounds are those that a
count stays within with a probability of 99 % when the promise is kept exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

from minionbench.compare import Comparison, Criteria, Side, Verdict, compare, pairs_wanted
from minionbench.compare.comparison import Earlier
from minionbench.inference import Spread, replicates_needed
from minionbench.stats import binomial_cdf
from tests.compare.measured import Truth

pytestmark = pytest.mark.long

TRIALS = 1_000
THRESHOLD = math.log(1.05)


def most(share: float, trials: int = TRIALS) -> int:
    """The count that is not passed, with a probability of 99 %, where each has this share."""
    return next(k for k in range(trials + 1) if binomial_cdf(k, trials, share) >= 0.99)


def least(share: float, trials: int = TRIALS) -> int:
    """The count that is reached, with a probability of 99 %."""
    return trials - most(1 - share, trials)


def trials(
    runs: int, shift: float = 0.0, *, seed: int = 0, criteria: Criteria | None = None
) -> Iterator[Comparison]:
    """Comparisons of two sides that differ by a shift."""
    for trial in range(TRIALS):
        truth = Truth(seed * TRIALS + trial)
        base, new = truth.side("base", runs), truth.side("new", runs, shift, first=500)
        yield compare(base, [new], criteria or Criteria())[0]


def alarmed(one: Comparison) -> bool:
    """Whether anything is said to have changed."""
    return any(verdict in (Verdict.WORSE, Verdict.BETTER) for verdict in one.verdicts())


@pytest.mark.parametrize("runs", [2, 3, 5, 10])
def test_false_alarms_are_no_more_frequent_than_stated(runs: int) -> None:
    # A threshold that is next to nothing, so that the test alone has to hold.
    criteria = Criteria(threshold=1e-6)
    assert sum(map(alarmed, trials(runs, criteria=criteria))) <= most(0.05)


def test_a_true_change_of_10_per_cent_is_found_with_the_stated_power() -> None:
    # The spread of a run's typical shift, from the truth itself.
    truth = Truth(1)
    deviation = measured_deviation(truth)
    runs = replicates_needed(deviation, math.log(1.1), alpha=0.05 / 3, threshold=THRESHOLD)
    assert runs is not None
    found = [
        {a.metric: a.verdict for a in one.cells[0].answers}["ttft_s"]
        for one in trials(runs, math.log(1.1), seed=2)
    ]
    assert found.count(Verdict.WORSE) >= least(0.8)
    assert found.count(Verdict.BETTER) == 0


def measured_deviation(truth: Truth) -> float:
    """How far apart runs of the same thing lie, from very many of them."""
    one = compare(truth.side("a", 200), [truth.side("b", 200, first=500)], Criteria())[0]
    answer = one.cells[0].answers[0]
    assert answer.low is not None and answer.high is not None
    reach = (math.log1p(answer.high) - math.log1p(answer.low)) / 2
    return reach / 1.966 / math.sqrt(2 / 200)


@pytest.mark.parametrize(("runs", "level"), [(2, 0.95), (3, 0.95), (5, 0.95), (5, 0.8), (10, 0.99)])
def test_intervals_cover_the_truth_as_often_as_they_state(runs: int, level: float) -> None:
    shift = math.log(0.93)
    covered = 0
    for one in trials(runs, shift, seed=3, criteria=Criteria(level=level)):
        answer = one.cells[0].answers[0]
        assert answer.low is not None and answer.high is not None
        covered += answer.low <= math.expm1(shift) <= answer.high
    assert covered >= least(level)


def test_a_change_as_large_as_the_threshold_is_hardly_ever_called_the_same() -> None:
    same = sum(
        one.cells[0].answers[0].verdict is Verdict.SAME for one in trials(10, THRESHOLD, seed=4)
    )
    assert same <= most(0.025)


def test_a_single_new_run_is_judged_by_the_spread_of_the_base() -> None:
    alarms = 0
    for trial in range(TRIALS):
        truth = Truth(5 * TRIALS + trial)
        base, new = truth.side("base", 6), truth.side("new", 1, first=500)
        alarms += alarmed(compare(base, [new], Criteria(threshold=1e-6))[0])
    assert alarms <= most(0.05)


def test_single_runs_are_judged_by_the_spread_of_earlier_ones() -> None:
    alarms = 0
    for trial in range(TRIALS):
        truth = Truth(6 * TRIALS + trial)
        earlier = [truth.run(number) for number in range(8)]
        base, new = truth.side("base", 1, first=400), truth.side("new", 1, first=500)
        one = compare(base, [new], Criteria(threshold=1e-6), spreads_of(earlier))[0]
        alarms += alarmed(one)
    assert alarms <= most(0.05)


def spreads_of(earlier: list[object]) -> Earlier:
    """The spreads of the values that earlier runs have."""
    spreads = {}
    for name in ("ttft_s", "total_latency_s", "tpot_s"):
        values = [
            math.log(one.replicates[0].metrics[name].value)  # type: ignore[attr-defined]
            for one in earlier
        ]
        middle = sum(values) / len(values)
        squares = sum((value - middle) ** 2 for value in values)
        degrees = len(values) - 1
        spreads[name] = Spread(deviation=math.sqrt(squares / degrees), degrees=degrees)
    return lambda like: spreads


def in_turn(truth: Truth, shift: float, drift: Callable[[int], float]) -> Comparison:
    """Pairs as `minionbench ab` makes them: a pilot, an early look, then as many as it takes."""
    criteria = Criteria(paired=True, threshold=1e-6 if shift == 0 else 0.05)
    sides = (Side(name="base", measurements=()), Side(name="new", measurements=()))

    def grown(to: int) -> tuple[Side, Side]:
        made = [list(side.measurements) for side in sides]
        for pair in range(len(made[0]), to):
            made[0].append(truth.run(pair, drift=drift(2 * pair)))
            made[1].append(truth.run(500 + pair, shift, drift=drift(2 * pair + 1)))
        base, new = (
            Side(name=s.name, measurements=tuple(m)) for s, m in zip(sides, made, strict=True)
        )
        return base, new

    sides = grown(5)
    early = compare(sides[0], [sides[1]], Criteria(paired=True, level=0.999))[0]
    if Verdict.WORSE in early.verdicts():
        return early
    wanting = pairs_wanted(*sides, Criteria(paired=True))
    assert wanting is not None
    sides = grown(min(20, max(5, wanting.pairs or 20)))
    return compare(sides[0], [sides[1]], criteria)[0]


def test_as_many_pairs_as_it_takes_give_no_more_false_alarms() -> None:
    alarms = sum(
        alarmed(in_turn(Truth(7 * TRIALS + trial), 0.0, lambda at: 0.0)) for trial in range(TRIALS)
    )
    assert alarms <= most(0.05)


def test_pairs_find_a_change_on_a_machine_that_drifts() -> None:
    # Over ten sessions the machine becomes half as slow again.
    found = sum(
        in_turn(Truth(8 * TRIALS + trial), math.log(1.1), lambda at: 0.04 * at).verdict
        is Verdict.WORSE
        for trial in range(TRIALS)
    )
    assert found >= least(0.8)
