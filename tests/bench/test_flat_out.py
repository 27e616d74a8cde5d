"""The bench at full speed asks both clients the same and judges the ratio of their CPU time."""

from __future__ import annotations

import json
from dataclasses import replace

from bench.accuracy import Client
from bench.flat_out import FLAT_OUT, figures, measure
from tests.bench.test_accuracy import LOG

SMALL = replace(FLAT_OUT, connections=2, requests=4, pairs=1, tokens=40, cpu_ratio_target=1e9)


def test_both_clients_count_every_token_of_the_same_requests() -> None:
    result = measure(SMALL)
    for name in ("minionbench", "reference_client"):
        (run,) = result["runs"][name]
        assert (run["requests"], run["tokens_written"], run["tokens_exact"]) == (4, 160, True)
        assert run["cpu_s"] > 0
    assert result["met"] == {"cpu_ratio": True, "tokens_exact": True}
    json.dumps(result, allow_nan=False)


def test_a_ratio_above_the_target_is_missed() -> None:
    assert measure(replace(SMALL, cpu_ratio_target=1e-9))["met"]["cpu_ratio"] is False


def test_tokens_that_were_not_counted_are_told() -> None:
    def client(counted: dict[int, int | None], failures: list[str]) -> Client:
        return Client("own", 0.5, 5, 0, 0, failures, {}, {}, counted)

    assert figures(client({0: 3, 1: 2}, []), LOG)["tokens_exact"] is True
    assert figures(client({0: 3, 1: None}, []), LOG)["tokens_exact"] is False
    assert figures(client({0: 3, 1: 2}, ["x"]), LOG)["tokens_exact"] is False
    assert figures(client({0: 3, 1: 2}, []), LOG)["tokens_per_read"] == 1.0
