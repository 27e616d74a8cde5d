"""Seeded draws that give the same text on every machine and Python version, for ever.

Only `Random.random` is used below this page: its sequence is the one that Python promises to
keep, while `choice`, `sample` and `shuffle` may change from version to version.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of random choices that depends on nothing but its name."""

    __slots__ = ("_random",)

    def __init__(self, name: str) -> None:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
        self._random = random.Random(seed).random

    def below(self, limit: int) -> int:
        """A whole number from 0 to limit − 1."""
        return int(self._random() * limit)

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both possible."""
        return low + int(self._random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self._random() * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = int(self._random() * (last + 1))
            order[last], order[other] = order[other], order[last]
        return order

    def some(self, items: Sequence[T], number: int) -> list[T]:
        """So many different items in random order; all of them if there are no more."""
        order = list(items)
        number = min(number, len(order))
        for at in range(number):
            other = at + int(self._random() * (len(order) - at))
            order[at], order[other] = order[other], order[at]
        return order[:number]
