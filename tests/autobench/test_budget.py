from __future__ import annotations

import pytest

from minionbench.autobench.budget import Budget, spoken_time
from minionbench.runner import StopSwitch


def test_without_a_limit_a_model_goes_on_until_the_run_ends() -> None:
    run = StopSwitch()
    budget = Budget(run, None)
    assert budget.why is None and budget.left_s is None
    run.throw("enough")
    assert budget.why == "enough"


def test_a_budget_that_is_used_up_ends_the_model_and_not_the_run() -> None:
    run = StopSwitch()
    budget = Budget(run, 1e-9)
    assert budget.why == "the model's budget of 1e-09 s was used up"
    assert budget.left_s == 0
    assert run.why is None
    run.throw("later")
    assert budget.why == "the model's budget of 1e-09 s was used up", "the first reason stays"


def test_time_that_is_left_keeps_it_going() -> None:
    budget = Budget(StopSwitch(), 3_600)
    assert budget.why is None
    left_s = budget.left_s
    assert left_s is not None and 3_000 < left_s <= 3_600


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (600, "10 min"),
        (60, "1 min"),
        (90, "90 s"),
        (5_400, "90 min"),
        (7_200, "2 h"),
        (0.5, "0.5 s"),
    ],
)
def test_a_time_is_said_as_it_was_given(seconds: float, said: str) -> None:
    assert spoken_time(seconds) == said
