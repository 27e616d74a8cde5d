"""The engine-overhead bench compares like with like."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.engine_overhead import TOKENS, measure, overhead_ms_per_token
from minionbench.exchange import EngineTimings, Outcome, Reply

MS = 1_000_000


def reply(events: tuple[int, ...], timings: EngineTimings | None) -> Reply:
    return Reply(outcome=Outcome.OK, planned_ns=0, event_ns=events, engine=timings)


def test_the_overhead_is_per_gap_between_tokens() -> None:
    timings = EngineTimings(predicted_tokens=3, predicted_ms=20.0)
    assert overhead_ms_per_token(reply((10 * MS, 20 * MS, 31 * MS), timings)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("events", "timings"),
    [
        ((1, 2, 3), None),
        ((1, 2, 3), EngineTimings(predicted_tokens=3)),
        ((1, 2, 3), EngineTimings(predicted_tokens=4, predicted_ms=1.0)),
        ((1,), EngineTimings(predicted_tokens=1, predicted_ms=1.0)),
        ((), EngineTimings(predicted_tokens=0, predicted_ms=0.0)),
    ],
)
def test_what_cannot_be_compared_is_none(
    events: tuple[int, ...], timings: EngineTimings | None
) -> None:
    assert overhead_ms_per_token(reply(events, timings)) is None


def test_a_real_engine_is_compared_with_its_own_account(random_model: Path) -> None:
    result = measure(f"llamacpp/{random_model}", requests=2)
    assert (result["requests"], result["failures"]) == (2, 0)
    assert result["engine_ms_per_token"] > 0
    assert result["tokens_per_request"] == TOKENS
