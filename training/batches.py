"""Turns conversations and random sequences into batches of token ids with loss weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minionbench.workloads.tokenizer import (
    BOS,
    END,
    PAD,
    SPECIAL_TOKENS,
    ReferenceTokenizer,
)

Conversation = Sequence[tuple[str, str]]
"""Turns of (role, text), in order; the assistant's are what is learned."""

PROMPT_SHARE = 0.15
"""Share of a prompt's tokens that are predicted as well, drawn anew each time.

Not none: with loss on answers only, look-up stays at chance. Not all: prompts are ten times longer.
"""

PROMPT_WEIGHT = 0.5
"""Loss weight of such a token, against 1 for an answer's."""

DIGIT_WEIGHT = 2.0
"""Loss weight of an answer's digits: they are few, and they are what is judged."""


@dataclass(frozen=True)
class Batch:
    """Rows of ids, one longer than the input, and the weight of each prediction."""

    ids: Tensor
    """(rows, length + 1)"""
    weights: Tensor
    """(rows, length); 0 where nothing is to be predicted"""


def encode(
    tokenizer: ReferenceTokenizer, conversation: Conversation, draw: random.Random
) -> tuple[list[int], list[float]]:
    """Return the ids of a conversation as the chat template writes it, and their loss weights."""
    end = tokenizer.id_of(END)
    digits = range(tokenizer.id_of("0"), tokenizer.id_of("9") + 1)
    ids = [tokenizer.id_of(BOS)]
    weights = [0.0]
    for role, text in conversation:
        turn = tokenizer.encode(text)
        ids += [tokenizer.id_of(f"<|{role}|>"), *turn, end]
        if role == "assistant":
            weights += [0.0, *(DIGIT_WEIGHT if id_ in digits else 1.0 for id_ in turn), 1.0]
        else:
            predicted = (PROMPT_WEIGHT if draw.random() < PROMPT_SHARE else 0.0 for _ in turn)
            weights += [0.0, *predicted, 0.0]
    return ids, weights


def pad(tokenizer: ReferenceTokenizer, rows: Sequence[tuple[list[int], list[float]]]) -> Batch:
    """Return encoded conversations as one batch, as long as its longest row."""
    longest = max(len(ids) for ids, _ in rows)
    filler = tokenizer.id_of(PAD)
    ids = torch.tensor([ids + [filler] * (longest - len(ids)) for ids, _ in rows])
    weights = torch.tensor([w + [0.0] * (longest - len(w)) for _, w in rows])
    return Batch(ids, weights[:, 1:])


def collect(
    tokenizer: ReferenceTokenizer,
    converse: Callable[[random.Random], Conversation],
    draw: random.Random,
    tokens: int,
) -> Batch:
    """Return as many conversations as fill a batch of about so many tokens, padding included."""
    rows: list[tuple[list[int], list[float]]] = []
    longest = 0
    while (len(rows) + 0.5) * longest < tokens:
        rows.append(encode(tokenizer, converse(draw), draw))
        longest = max(longest, len(rows[-1][0]))
    return pad(tokenizer, rows)


def repeats(
    kind: random.Random,
    content: random.Random,
    *,
    rows: int,
    length: int,
    alphabet: int | None,
    vocabulary: int,
) -> Batch:
    """Return random sequences that repeat; only the repeats are predicted.

    Nothing but looking back predicts them, so this teaches looking back and nothing else. With an
    alphabet, all rows draw from the same few tokens; without one, each row from 64 of its own.
    """
    generator = torch.Generator().manual_seed(content.getrandbits(60))
    period = kind.randrange(4, length // 2)
    first = len(SPECIAL_TOKENS)
    if alphabet is None:
        alphabets = torch.randint(first, vocabulary, (rows, 64), generator=generator)
        picks = torch.randint(0, 64, (rows, period), generator=generator)
        sequence = alphabets.gather(1, picks)
    else:
        sequence = torch.randint(first, first + alphabet, (rows, period), generator=generator)
    ids = sequence.repeat(1, (length + period) // period + 1)[:, : length + 1]
    weights = torch.zeros(rows, length)
    weights[:, period:] = 1.0
    return Batch(ids, weights)


def spans(
    kind: random.Random, content: random.Random, *, rows: int, length: int, vocabulary: int
) -> Batch:
    """Return long random sequences that end in copies of short spans of themselves.

    This is look-up at a document's distance: after two tokens of a span only looking far back
    predicts the others.
    """
    generator = torch.Generator().manual_seed(content.getrandbits(60))
    first = len(SPECIAL_TOKENS)
    body = length * kind.randrange(50, 90) // 100
    alphabets = torch.randint(first, vocabulary, (rows, 256), generator=generator)
    picks = torch.randint(0, 256, (rows, length + 1), generator=generator)
    ids = alphabets.gather(1, picks)
    weights = torch.zeros(rows, length)
    at = body
    while at < length + 1:
        size = min(kind.randrange(6, 20), length + 1 - at)
        for row in range(rows):
            start = content.randrange(0, body - size)
            ids[row, at : at + size] = ids[row, start : start + size]
        weights[:, at + 1 : at + size - 1] = 1.0
        at += size
    return Batch(ids, weights)


def restated(
    tokenizer: ReferenceTokenizer,
    document: str,
    stated: Sequence[tuple[str, str]],
) -> tuple[list[int], list[float]]:
    """Return a document followed by (name, value) lines of it in random order, as one row.

    The order cannot be known, so only values count in full: `records` on a real document.
    """
    ids = [tokenizer.id_of(BOS), tokenizer.id_of("<|user|>"), *tokenizer.encode(document)]
    ids += [tokenizer.id_of(END), tokenizer.id_of("<|assistant|>")]
    weights = [0.0] * len(ids)
    digits = range(tokenizer.id_of("0"), tokenizer.id_of("9") + 1)
    for name, value in stated:
        label = tokenizer.encode(f"Answer: {name}")
        rest = tokenizer.encode(f": {value}\n")
        ids += label + rest
        weights += [0.0, 0.0, 0.0] + [0.3] * (len(label) - 3)
        weights += [DIGIT_WEIGHT if id_ in digits else 1.0 for id_ in rest]
    return ids, weights


def records(
    tokenizer: ReferenceTokenizer, draw: random.Random, *, rows: int, entries: int
) -> Batch:
    """Return tables of random names, years and numbers, each followed by itself in other order.

    Digits are the same few tokens everywhere, so finding a value takes the whole of its name:
    this teaches to look back by several tokens at once, at the density of `repeats`.
    """
    encoded = [_record_row(tokenizer, draw, entries) for _ in range(rows)]
    return pad(tokenizer, encoded)


def _record_row(
    tokenizer: ReferenceTokenizer, draw: random.Random, entries: int
) -> tuple[list[int], list[float]]:
    words = range(len(SPECIAL_TOKENS) + 256, len(tokenizer.tokens))
    pool = draw.sample(words, min(len(words), max(8, entries)))
    last_year = draw.randrange(2010, 2030)
    separator = draw.choice((" |", "\n", ";", " |\n|", "."))
    link = draw.choice((": ", ": ", ": ", " is ", " "))
    table: list[tuple[list[int], list[int]]] = []
    while len(table) < entries:
        label = draw.choices(pool, k=draw.randrange(1, 4))
        for year in (last_year, last_year - 1) if draw.random() < 0.7 else (None,):
            name = label + (tokenizer.encode(f" {year}") if year else [])
            value = f"{draw.randrange(10 ** draw.randrange(1, 5)):,}"
            table.append((name, tokenizer.encode(f"{link}{value}{separator}")))
    ids = [tokenizer.id_of(BOS)]
    weights = [0.0]
    for name, rest in table:
        ids += name + rest
    weights += [0.0] * (len(ids) - 1)
    for name, rest in draw.sample(table, len(table)):
        ids += name + rest
        weights += [0.0] + [0.3] * (len(name) - 1) + [1.0] * len(rest)
    return ids, weights
