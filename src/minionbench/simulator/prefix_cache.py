"""Which beginnings of prompts have been seen before, in whole blocks, as serving engines keep them.

A block is known by its tokens and all before it. The least recently used blocks are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

CAPACITY_TOKENS = 4_000_000
"""Tokens whose blocks are kept."""


class PrefixCache:
    """The blocks of earlier prompts."""

    def __init__(self, block_tokens: int, capacity_tokens: int = CAPACITY_TOKENS) -> None:
        self._block_tokens = block_tokens
        self._capacity = max(1, capacity_tokens // block_tokens)
        self._known: OrderedDict[int, None] = OrderedDict()

    def match(self, prompt: Sequence[str], salt: str = "") -> int:
        """How many tokens at the beginning are cached; fewer than all, since one has to be run.

        Prompts of different salts share nothing.
        """
        known = 0
        for block in self._blocks(prompt, salt):
            if block not in self._known or known + self._block_tokens >= len(prompt):
                break
            self._known.move_to_end(block)
            known += self._block_tokens
        return known

    def add(self, prompt: Sequence[str], salt: str = "") -> None:
        """Keeps the whole blocks of a prompt."""
        for block in self._blocks(prompt, salt):
            self._known[block] = None
            self._known.move_to_end(block)
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forgets everything."""
        self._known.clear()

    def _blocks(self, prompt: Sequence[str], salt: str) -> Iterator[int]:
        size, parent = self._block_tokens, hash(salt)
        for start in range(0, len(prompt) - size + 1, size):
            parent = hash((parent, *prompt[start : start + size]))
            yield parent
