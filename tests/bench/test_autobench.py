"""The bench of the registry benchmark tells the engine's time from the harness's."""

from __future__ import annotations

import pytest

from bench.autobench import FORMATS, QUICK, kind_of, measure, spent_in_calls_ns
from tests.making import record_of, reply

MS = 1_000_000


def test_a_requests_time_in_the_engine_is_that_of_its_calls() -> None:
    first, second = reply(0, 10, [20, 30]), reply(30, 40, [45, 60])
    assert first.end_ns is not None and second.end_ns is not None
    spent = spent_in_calls_ns(record_of([first, second]))
    assert first.sent_ns is not None and second.sent_ns is not None
    assert spent == first.end_ns - first.sent_ns + second.end_ns - second.sent_ns


def test_stages_of_all_models_add_up() -> None:
    assert kind_of("v1.0: starting the engine") == kind_of("v2: starting the engine")
    assert kind_of("v1.0.decode, repeat 2 of 3") == "decode"
    assert kind_of("warming up v1.0.decode") == "decode"


@pytest.mark.long
def test_the_reference_registry_is_measured_and_the_share_is_one() -> None:
    result = measure(QUICK)
    assert list(result["metrics"]) == [f"reference-{form}" for form in FORMATS]
    assert 0 < result["engine_s"] < result["wall_s"]
    assert 0 < result["own_share"] < 1
    for metrics in result["metrics"].values():
        assert isinstance(metrics["latency_ms"], list)
