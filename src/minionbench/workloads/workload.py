"""What a workload is, and how its text is brought to the length that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import Limits, Message, Reference, Request
from minionbench.units import number_of
from minionbench.workloads.draws import Draws

Count = Callable[[str], int]
"""How many tokens a text has."""

LARGEST_INPUT_TOKENS = 10_000_000
"""Above every model's context; a larger number is a slip of the hand, and would take minutes."""

SMALLEST_INPUT_TOKENS = 200
"""Below this a built-in item cannot hold its question and stay within `SIZE_TOLERANCE`."""

SIZE_TOLERANCE = 0.02
"""Largest relative distance of a built-in item's length from the length asked for."""


class Workload(Protocol):
    """A source of requests."""

    @property
    def name(self) -> str:
        """What the workload is called: `prefill`, `balanced`, `decode` or the data set's name."""
        ...

    @property
    def version(self) -> int:
        """Raised whenever the text of a given seed changes."""
        ...

    @property
    def source(self) -> str:
        """Where the text is from: `builtin:prefill@1`, or the data set's name and content."""
        ...

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        """The first n requests of a seed; request i is the same whatever n is."""
        ...


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a workload before it is known how long its answer may be."""

    item_id: str
    messages: tuple[Message, ...]
    input_tokens: int
    """Tokens of the messages' texts by the counter that the item was made with."""
    reference: Reference | None
    document: str | None = None
    question: str | None = None


class Example(Item, frozen=True, kw_only=True):
    """A generated item together with the text that a perfect model would answer."""

    solution: str


def as_request(item: Item, source: str, limits: Limits) -> Request:
    """An item as the request that a run sends."""
    return Request(
        item_id=item.item_id,
        messages=item.messages,
        limits=limits,
        source=source,
        input_tokens=item.input_tokens,
        reference=item.reference,
        document=item.document,
        question=item.question,
    )


def answer_limits(max_output_tokens: int, output_tokens: int | None, seed: int) -> Limits:
    """Limits of a greedy answer; `output_tokens` forces its length, None leaves it natural.

    Raises:
        UsageError: a length below 1.
    """
    lengths = {"max_output_tokens": max_output_tokens, "output_tokens": output_tokens}
    for option, tokens in lengths.items():
        if tokens is not None and tokens < 1:
            raise UsageError(f"{option} is {tokens}; an answer has at least 1 token.")
    return Limits(
        max_output_tokens=max_output_tokens if output_tokens is None else output_tokens,
        forced_output_tokens=output_tokens,
        temperature=0.0,
        # Engines take a seed of 31 bits; a greedy answer does not depend on it.
        seed=seed % 2**31,
    )


def check_number(n: int) -> None:
    """Refuse a number of requests that is below 0.

    Raises:
        UsageError: n is negative.
    """
    if n < 0:
        raise UsageError(f"{n} requests were asked for; the number must be 0 or more.")


def check_size(name: str, input_tokens: int) -> None:
    """Refuse a length that a built-in workload cannot be made for.

    Raises:
        UsageError: the length is below `SMALLEST_INPUT_TOKENS` or above `LARGEST_INPUT_TOKENS`.
    """
    if input_tokens > LARGEST_INPUT_TOKENS:
        raise UsageError(
            f"{name} cannot be made with {input_tokens} input tokens: the largest is "
            f"{LARGEST_INPUT_TOKENS}"
        )
    if input_tokens < SMALLEST_INPUT_TOKENS:
        raise UsageError(
            f"{name} cannot be made with {number_of(input_tokens, 'input token')}: the smallest is "
            f"{SMALLEST_INPUT_TOKENS}. Ask for --input-tokens {SMALLEST_INPUT_TOKENS} or more."
        )


@lru_cache(maxsize=32)
def measured(count: Count, sentences: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """Each sentence with its length when it follows another one after a space."""
    return tuple((count(f" {sentence}"), sentence) for sentence in sentences)


def fill_gap(
    gap: int, pieces: Sequence[tuple[int, str]], draws: Draws, used: set[str] | None = None
) -> list[str]:
    """Choose whole sentences that together have as close to `gap` tokens as they can.

    While the gap is wide any sentence that fits is drawn; at the end the longest that still fits
    is taken, so that what stays open is shorter than the shortest sentence. A sentence is not
    used twice before all that fit were used.
    """
    used = set() if used is None else used
    chosen: list[str] = []
    if not pieces:
        return chosen
    shortest = min(tokens for tokens, _ in pieces)
    longest = max(tokens for tokens, _ in pieces)
    while gap >= shortest:
        fitting = [piece for piece in pieces if piece[0] <= gap and piece[1] not in used]
        if not fitting:
            used.difference_update(text for tokens, text in pieces if tokens <= gap)
            continue
        if gap > 2 * longest:
            tokens, text = draws.pick(fitting)
        else:
            tokens, text = max(fitting, key=lambda piece: piece[0])
        used.add(text)
        chosen.append(text)
        gap -= tokens
    return chosen
