"""Embeddings that are the same for the same text, and close for texts that share words."""

from __future__ import annotations

import math
from array import array
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from random import Random

from minionbench.simulator.tokens import tokens


@lru_cache(maxsize=4_096)
def _direction(word: str, dimensions: int) -> tuple[float, ...]:
    random = Random(sha256(word.encode("utf-8", "surrogatepass")).digest())
    return tuple(random.gauss(0, 1) for _ in range(dimensions))


def embedding(text: str, dimensions: int) -> list[float]:
    """The sum of a direction per token, case and spaces left out, brought to length 1."""
    total = [0.0] * dimensions
    for token in tokens(text) or [""]:
        for index, value in enumerate(_direction(token.strip().lower(), dimensions)):
            total[index] += value
    length = math.sqrt(sum(value * value for value in total)) or 1.0
    return [value / length for value in total]


def base64_floats(vector: list[float]) -> str:
    """A vector as little-endian 32-bit floats in base64, which OpenAI's client asks for."""
    floats = array("f", vector)
    if array("H", [1]).tobytes() == b"\x00\x01":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()
