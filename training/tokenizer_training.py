"""Trains the reference tokenizer's merges on workload text.

Run once, before the model: ``python -m training.tokenizer_training``.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from minionbench.workloads import chat, finance, maths
from minionbench.workloads.tokenizer import SPECIAL_TOKENS, byte_symbols, split_words
from training.formats import cove_conversation, ranking_conversation, worker_conversation
from training.texts import short_conversation

VOCABULARY = 2048
"""Tokens in all: control tokens, 256 bytes, the rest merges. Fixed before anything is trained."""

TOKENIZER_FILE = Path(__file__).parents[1] / "src" / "minionbench" / "workloads" / "tokenizer.json"

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
        for pair in itertools.pairwise(word):
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
    for old in itertools.pairwise(word):
        if not _has_digit(old):
            totals[old] -= count
    merged = list(word)
    at = 0
    while at < len(merged) - 1:
        if (merged[at], merged[at + 1]) == pair:
            merged[at : at + 2] = [merged[at] + merged[at + 1]]
        at += 1
    parts[index] = merged
    for new in itertools.pairwise(merged):
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


def training_texts(per_workload: int = 150) -> list[str]:
    """Return what the merges are trained on: every workload, every format, plain English.

    Items are sized by characters here, since there is no tokenizer yet.
    """
    draw = random.Random("tokenizer")
    texts = [Path(__file__).with_name("english.txt").read_text("utf-8")] * ENGLISH_WEIGHT
    for index in range(per_workload):
        report = finance.example(TRAINING_SEED, index, _by_characters)
        for item in (
            report,
            maths.example(TRAINING_SEED, index, _by_characters),
            chat.example(TRAINING_SEED, index, _by_characters),
        ):
            texts += [message.content for message in item.messages]
            texts.append(item.solution)
        turns = short_conversation(draw, 8) + cove_conversation(draw)
        turns += ranking_conversation(draw, report.document or "")
        turns += worker_conversation(draw, report.document or "", 12)
        texts += [text for _, text in turns]
    return texts


ENGLISH_WEIGHT = 60
"""How often plain English is counted, so that it is not lost among the workloads' own words."""

TRAINING_SEED = 1_000_000
"""The first seed of training; a workload's own seeds are below it."""


def _by_characters(text: str) -> int:
    return len(text) // 3


def main() -> None:
    """Train the merges and write them; the model must be trained again afterwards."""
    write_tokenizer(train_merges(training_texts(), merge_budget()))


if __name__ == "__main__":
    main()
