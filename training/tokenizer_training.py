"""Trains the reference tokenizer's merges on workload text.

Run once, before the model: ``python -m training.tokenizer_training``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from minionbench.workloads.tokenizer import SPECIAL_TOKENS, byte_symbols, split_words

VOCABULARY = 2048
"""Tokens in all: control tokens, 256 bytes, the rest merges. Fixed before anything is trained."""

TOKENIZER_FILE = (
    Path(__file__).parents[1] / "src" / "minionbench" / "workloads" / "tokenizer.json"
)

Pair = tuple[str, str]


def train_merges(texts: Iterable[str], merges: int) -> list[Pair]:
    """Return the most frequent pairs, one merge at a time; digits are never merged.

    The number of merges can be lower than asked for where the text has no pair left.
    """
    symbols = byte_symbols()
    words = Counter(word for text in texts for word in split_words(text))
    parts = [[symbols[byte] for byte in word.encode()] for word in words]
    counts = list(words.values())
    totals: Counter[Pair] = Counter()
    places: dict[Pair, set[int]] = {}
    for index, word in enumerate(parts):
        for pair in zip(word, word[1:], strict=False):
            totals[pair] += counts[index]
            places.setdefault(pair, set()).add(index)
    chosen: list[Pair] = []
    for pair in [pair for pair in totals if _has_digit(pair)]:
        del totals[pair]
    while len(chosen) < merges and totals:
        best = min(totals.items(), key=lambda item: (-item[1], item[0]))[0]
        if totals[best] <= 0:
            break
        chosen.append(best)
        for index in places.pop(best):
            _replace(parts, index, best, counts[index], totals, places)
        totals.pop(best, None)
    return chosen


def _has_digit(pair: Pair) -> bool:
    return any("0" <= character <= "9" for character in pair[0] + pair[1])


def _replace(
    parts: list[list[str]],
    index: int,
    pair: Pair,
    count: int,
    totals: Counter[Pair],
    places: dict[Pair, set[int]],
) -> None:
    """Merge one pair in one word and bring the counts of its pairs up to date."""
    word = parts[index]
    for old in zip(word, word[1:], strict=False):
        if not _has_digit(old):
            totals[old] -= count
    merged = list(word)
    at = 0
    while at < len(merged) - 1:
        if (merged[at], merged[at + 1]) == pair:
            merged[at : at + 2] = [merged[at] + merged[at + 1]]
        at += 1
    parts[index] = merged
    for new in zip(merged, merged[1:], strict=False):
        if not _has_digit(new):
            totals[new] += count
            places.setdefault(new, set()).add(index)


def merge_budget() -> int:
    """Return how many merges fill the vocabulary."""
    return VOCABULARY - 256 - len(SPECIAL_TOKENS)


def write_tokenizer(merges: list[Pair], path: Path = TOKENIZER_FILE) -> None:
    """Write the merges as the data file that `minionbench.workloads.tokenizer` loads."""
    lines = ",\n".join(json.dumps(f"{left} {right}", ensure_ascii=False) for left, right in merges)
    path.write_text(f'{{"merges": [\n{lines}\n]}}\n', "utf-8")
