"""Where deployments are held against each other."""

from __future__ import annotations

from typing import NamedTuple

from minionbench.schema import LoadDocument


class Place(NamedTuple):
    """One workload under one load."""

    workload: str
    load: str
    """`c4` for four streams, `r2.5` for 2.5 requests per second."""


def load_word(load: LoadDocument) -> str:
    """A load in a word, as the cells of a sweep have it in their names."""
    if load.kind == "closed":
        return f"c{load.concurrency}"
    return f"r{load.rate_per_s:g}" if load.rate_per_s is not None else load.kind
