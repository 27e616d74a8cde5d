"""Which items of a data set a seed draws, where each item has its own length."""

from __future__ import annotations

from minionbench.errors import UsageError
from minionbench.units import number_of
from minionbench.workloads.draws import Draws


def drawn(
    file: str, source: str, size: int, what: str, n: int, seed: int, input_tokens: int | None
) -> list[int]:
    """The places of the first n items of a seed, none twice; place i is the same for every n.

    Raises:
        UsageError: the data set has fewer than n items, or a length was asked for.
    """
    if input_tokens is not None:
        raise UsageError(f"The {what} of {file} have their own lengths; leave out --input-tokens.")
    if n > size:
        wanted = number_of(n, "request was", "requests were")
        raise UsageError(f"{file} has {size} {what}, but {wanted} asked for.")
    return Draws(f"{source}/{seed}").shuffled(range(size))[:n]
