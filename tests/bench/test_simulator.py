"""The simulator's bench counts what was really sent."""

from __future__ import annotations

import pytest

from bench.simulator import PROTOCOLS, TOKENS_PER_ANSWER, flat_out, lateness
from minionbench.simulator import Entry, Write


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocols_tokens_are_counted(name: str) -> None:
    figures = flat_out(name, 2 * TOKENS_PER_ANSWER)
    assert figures["tokens"] == 2 * TOKENS_PER_ANSWER
    assert figures["tokens_per_s"] == pytest.approx(figures["tokens"] / figures["seconds"])


def test_lateness_is_taken_over_all_writes() -> None:
    writes = [Write(0, 1_000_000, 0, 1), Write(0, 3_000_000, 0, 1)]
    entry = Entry(
        number=0,
        method="POST",
        path="/",
        began_ns=0,
        arrived_ns=0,
        stamped_by_kernel=True,
        writes=writes,
    )
    assert lateness([entry]) == {
        "writes": 2,
        "lateness_ms_p50": 2.0,
        "lateness_ms_p99": pytest.approx(2.98),
        "lateness_ms_max": 3.0,
    }
