"""The parsing bench reads whole answers of every dialect, most of them without decoding each."""

from __future__ import annotations

import json

from bench.parsing import STREAMS, TOKENS, exchange_of, measure
from minionbench.wire.dialect import NAMES


def test_every_dialect_is_measured_and_judged() -> None:
    result = measure(rounds=2, replies=1)
    assert set(result["dialects"]) == set(result["met"]) == set(STREAMS) == set(NAMES)
    for figures in result["dialects"].values():
        assert all(value > 0 for value in figures.values())
    json.dumps(result, allow_nan=False)


def test_an_exchange_brings_as_many_events_per_read_as_asked() -> None:
    events = STREAMS["openai"]()
    assert exchange_of("openai", events, 1).reads == len(events)
    bursts = exchange_of("openai", events, 16)
    assert bursts.reads == TOKENS // 16 + 1
    assert bursts.read_ends[-1] == len(bursts.body)
