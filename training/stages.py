"""What is trained in which order, and for how many steps."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from minionbench.workloads import chat, finance, maths
from minionbench.workloads.tokenizer import reference_tokenizer
from training.batches import Batch, collect, pad, records, repeats, restated, spans
from training.formats import (
    cells,
    cove_conversation,
    ranking_conversation,
    worker_conversation,
)
from training.gguf_file import Architecture
from training.texts import Turn, lookup_conversation, short_conversation
from training.tokenizer_training import TRAINING_SEED, VOCABULARY

ARCHITECTURE = Architecture(
    layers=4,
    width=160,
    heads=5,
    kv_heads=5,
    feed_forward=416,
    vocabulary=VOCABULARY,
    context=4096,
)
"""1.5 million parameters; 5.7 MB as f16, q8_0 and q4_0 together."""

Draw = Callable[[random.Random, random.Random], tuple[str, Batch]]
"""From the shared and the worker's own generator to the kind's name and a batch."""


@dataclass(frozen=True)
class Stage:
    """A number of steps on one mixture of batches."""

    name: str
    steps: int
    rate: float
    """Muon's learning rate."""
    draw: Draw
    warmup: int = 30
    decay: float = 0.0
    """Share of the steps over which the rate falls to 2 %; 0 keeps it level."""
    rope_base: float | None = None
    """Rotary base that is set when the stage begins; None keeps the one before."""


def draw_repeats(kind: random.Random, content: random.Random) -> tuple[str, Batch]:
    """Short sequences that repeat: look-up at its densest."""
    return "repeats", repeats(
        kind, content, rows=32, length=64, alphabet=None, vocabulary=VOCABULARY
    )


def draw_spans(kind: random.Random, content: random.Random) -> tuple[str, Batch]:
    """Short repeats, and spans from further and further back."""
    length = kind.choice((64, 160, 400, 1300))
    if length == 64:
        return draw_repeats(kind, content)
    rows = {160: 10, 400: 4, 1300: 2}[length]
    return f"spans-{length}", spans(kind, content, rows=rows, length=length, vocabulary=VOCABULARY)


TOKENIZER = reference_tokenizer()
COUNT = TOKENIZER.count

BATCH_TOKENS = 2300
"""Tokens of a worker's batch of conversations, padding included."""


def draw_long_spans(draw: random.Random) -> tuple[str, Batch]:
    """Spans from as far back as a report is long."""
    length = draw.choice((650, 1300))
    batch = spans(draw, draw, rows=BATCH_TOKENS // length, length=length, vocabulary=VOCABULARY)
    return f"spans-{length}", batch


def draw_records(_: random.Random, draw: random.Random) -> tuple[str, Batch]:
    """Tables and their shuffled copies, small and large, and spans."""
    if draw.random() < 0.25:
        return draw_long_spans(draw)
    return draw_table(draw, draw.choice((4, 8, 16, 16, 32, 32)))


def draw_table(draw: random.Random, entries: int) -> tuple[str, Batch]:
    """Tables of so many entries and their shuffled copies."""
    rows = max(1, BATCH_TOKENS // (28 * entries))
    return f"records-{entries}", records(TOKENIZER, draw, rows=rows, entries=entries)


Converse = Callable[[random.Random], list[Turn]]


def _seed(draw: random.Random) -> int:
    return TRAINING_SEED + draw.randrange(10**9)


def finance_conversation(draw: random.Random, tokens: int, questions: int) -> list[Turn]:
    """Return the workload's own question on a report, then more look-ups in the same report."""
    item = finance.example(_seed(draw), draw.randrange(1000), COUNT, tokens)
    turns = [("user", item.messages[0].content), ("assistant", item.solution)]
    stated = cells(item.document or "")
    for name, value in draw.choices(stated, k=questions - 1):
        turns.append(("user", f"Question: What was {name}? {finance.HOW}"))
        turns.append(("assistant", f"Answer: {name}: {value}"))
    return turns


def maths_conversation(draw: random.Random, tokens: int) -> list[Turn]:
    """Return a problem and its worked solution."""
    item = maths.example(_seed(draw), draw.randrange(1000), COUNT, tokens)
    return [("user", item.messages[0].content), ("assistant", item.solution)]


def chat_conversation(draw: random.Random, tokens: int) -> list[Turn]:
    """Return a conversation; the assistant's earlier turns are learned too."""
    item = chat.example(_seed(draw), draw.randrange(1000), COUNT, tokens)
    turns = [(message.role, message.content) for message in item.messages]
    return [*turns, ("assistant", item.solution)]


def report(draw: random.Random, tokens: int) -> str:
    """Return the text of a report."""
    return finance.example(_seed(draw), draw.randrange(1000), COUNT, tokens).document or ""


def draw_restated(draw: random.Random, tokens: int, lines: int = 40) -> Batch:
    """Return reports whose cells are stated again in random order."""
    rows: list[tuple[list[int], list[float]]] = []
    longest = 0
    while (len(rows) + 0.5) * longest < BATCH_TOKENS:
        document = report(draw, tokens)
        stated = cells(document)
        chosen = draw.sample(stated, min(lines, len(stated)))
        rows.append(restated(TOKENIZER, document, chosen))
        longest = max(longest, len(rows[-1][0]))
    return pad(TOKENIZER, rows)


def draw_conversations(shares: dict[str, int], sizes: dict[str, tuple[int, int]]) -> Draw:
    """Return a source of batches, each of one kind of conversation.

    `shares` says how often a kind is drawn; `sizes` the smallest and largest size of a kind, in
    input tokens for the workloads, entries for look-ups, lines of the chunk for the worker.
    """

    def draw_batch(_: random.Random, draw: random.Random) -> tuple[str, Batch]:
        kind = draw.choices(list(shares), list(shares.values()))[0]
        if kind == "spans":
            return draw_long_spans(draw)
        if kind == "repeats":
            return draw_repeats(draw, draw)
        if kind == "records":
            return draw_table(draw, draw.choice((8, 16, 32, 45)))
        size = draw.randint(*sizes.get(kind, (0, 0)))
        if kind == "restated":
            return kind, draw_restated(draw, size)
        makers: dict[str, Converse] = {
            "finance": lambda d: finance_conversation(d, size, 10),
            "maths": lambda d: maths_conversation(d, size),
            "chat": lambda d: chat_conversation(d, size),
            "lookup": lambda d: lookup_conversation(d, size, 6),
            "short": lambda d: short_conversation(d, 6),
            "cove": cove_conversation,
            "ranking": lambda d: ranking_conversation(d, report(d, 700)),
            "worker": lambda d: worker_conversation(d, report(d, 600), size),
        }
        return kind, collect(TOKENIZER, makers[kind], draw, BATCH_TOKENS)

    return draw_batch


SHARES_FIRST = {
    "finance": 24, "maths": 24, "chat": 10, "lookup": 14, "short": 14,
    "cove": 6, "ranking": 5, "worker": 5, "spans": 5,
    "records": 14,
}  # fmt: skip
SHARES_LAST = {
    "restated": 35, "finance": 15, "maths": 22, "chat": 7, "short": 8, "lookup": 4,
    "cove": 3, "ranking": 3, "worker": 3,
}  # fmt: skip

SHARES_SETTLING = {
    "repeats": 12, "records": 16, "restated": 24, "finance": 12, "maths": 16, "chat": 7,
    "short": 5, "lookup": 5, "cove": 2, "ranking": 2, "worker": 3,
}  # fmt: skip
"""Random sequences come back: without them the text wears the look-up circuit down."""

SHARES_GOING_ON = {
    "repeats": 8, "records": 14, "restated": 26, "finance": 11, "maths": 15, "chat": 7,
    "short": 7, "lookup": 4, "cove": 3, "ranking": 2, "worker": 3,
}  # fmt: skip

SHORT_SIZES = {
    "finance": (220, 600),
    "maths": (200, 320),
    "chat": (220, 420),
    "lookup": (3, 30),
    "worker": (4, 14),
}
FULL_SIZES = {
    "restated": (300, 1250),
    "finance": (300, 1400),
    "maths": (240, 400),
    "chat": (400, 850),
    "lookup": (4, 60),
    "worker": (4, 20),
}

STAGES: tuple[Stage, ...] = (
    Stage("repeats", 400, 0.015, draw_repeats),
    Stage("spans", 300, 0.015, draw_spans),
    Stage("records", 200, 0.01, draw_records),
    Stage("short-texts", 400, 0.015, draw_conversations(SHARES_FIRST, SHORT_SIZES)),
    Stage("full-texts", 500, 0.012, draw_conversations(SHARES_LAST, FULL_SIZES)),
    Stage(
        "far-texts",
        700,
        0.010,
        draw_conversations(SHARES_LAST, FULL_SIZES),
        rope_base=1e6,
    ),
    Stage(
        "settling",
        700,
        0.010,
        draw_conversations(SHARES_SETTLING, FULL_SIZES),
        decay=0.9,
    ),
    Stage(
        "going-on",
        2000,
        0.010,
        draw_conversations(SHARES_GOING_ON, FULL_SIZES),
        decay=0.9,
    ),
)
