"""What is trained in which order, and for how many steps."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.batches import Batch, repeats, spans
from training.gguf_file import Architecture
from training.tokenizer_training import VOCABULARY

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


def draw_repeats(kind: random.Random, content: random.Random) -> tuple[str, Batch]:
    """Short sequences that repeat: look-up at its densest."""
    return "repeats", repeats(
        kind, content, rows=24, length=64, alphabet=None, vocabulary=VOCABULARY
    )


def draw_spans(kind: random.Random, content: random.Random) -> tuple[str, Batch]:
    """Short repeats, and spans from further and further back."""
    length = kind.choice((64, 160, 400, 1300))
    if length == 64:
        return draw_repeats(kind, content)
    rows = {160: 10, 400: 4, 1300: 2}[length]
    return f"spans-{length}", spans(
        kind, content, rows=rows, length=length, vocabulary=VOCABULARY
    )


STAGES: tuple[Stage, ...] = (
    Stage("repeats", 400, 0.015, draw_repeats),
    Stage("spans", 300, 0.015, draw_spans),
)
