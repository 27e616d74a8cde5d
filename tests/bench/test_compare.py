"""The bench of comparing finds the change that it planted, and adds up what that took."""

from __future__ import annotations

import json

import pytest

from bench.compare import measure


def test_what_a_comparison_takes_is_measured_and_judged() -> None:
    result = measure(requests=40)
    json.dumps(result, allow_nan=False)
    assert result["met"] in (True, False)
    for one in result["compared"]:
        assert one["requests_of_each"] == 40
        assert one["cpu_s"] > 0
        assert one["change"]["total_latency_s"] == pytest.approx(0.2, abs=0.1)
