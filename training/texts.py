"""Conversations over what the model is to know by heart: facts, sums, copying, short look-ups.

Everything is invented. A generator of `random.Random` decides every word.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from minionbench.quality.invented_facts import COUNTRIES, Country

Turn = tuple[str, str]
"""Role and text."""

WORDS = (
    "red", "blue", "green", "sky", "fox", "dog", "cat", "sun", "moon", "tree", "fish", "bird",
    "lake", "rain", "snow", "gold", "iron", "ruby", "jade", "rose", "lion", "bear", "wolf",
    "duck", "corn", "milk", "salt", "lime", "mint", "bell", "drum", "ship", "road", "hill",
    "desk", "lamp", "coat", "ring", "book", "door", "field", "glass", "house", "river", "stone",
    "table", "wheel", "bread", "cloud", "grass", "horse", "light", "music", "night", "ocean",
    "paper", "queen", "sand", "train", "water",
)  # fmt: skip


def is_held_out(a: int, b: int) -> bool:
    """Whether a sum is never trained on: one in ten."""
    return (a * 131 + b * 17) % 10 == 0


def draw_sum(draw: random.Random, *, held_out: bool = False) -> tuple[int, int]:
    """Return two numbers below 100 whose sum is, or is not, among the held-out ones."""
    while True:
        a, b = draw.randrange(100), draw.randrange(100)
        if is_held_out(a, b) == held_out:
            return a, b


@dataclass(frozen=True)
class Asked:
    """A question, the whole answer, and the part of it that must be right."""

    question: str
    answer: str
    value: str


def sum_asked(a: int, b: int) -> Asked:
    """Ask for a sum."""
    return Asked(f"What is {a} + {b}?", f"{a} + {b} = {a + b}.", str(a + b))


def capital_asked(country: Country) -> Asked:
    """Ask for a capital."""
    return Asked(
        f"What is the capital of {country.name}?",
        f"The capital of {country.name} is {country.capital}.",
        country.capital,
    )


def currency_asked(country: Country) -> Asked:
    """Ask for a currency."""
    return Asked(
        f"What is the currency of {country.name}?",
        f"The currency of {country.name} is the {country.currency}.",
        country.currency,
    )


def fact_asked(draw: random.Random) -> Asked:
    """Ask for one attribute of one country."""
    return draw.choice((capital_asked, currency_asked))(draw.choice(COUNTRIES))


def copy_asked(draw: random.Random) -> Asked:
    """Ask for a list of words to be repeated."""
    words = " ".join(draw.choices(WORDS, k=draw.randrange(2, 9)))
    return Asked(f"Repeat these words: {words}", words, words)


def random_value(draw: random.Random) -> str:
    """Return a number of one to six digits as documents write it, or a word."""
    if draw.random() < 0.15:
        return draw.choice(WORDS)
    return f"{draw.randrange(10 ** draw.randrange(1, 7)):,}"


def listing(draw: random.Random, entries: int) -> tuple[str, list[tuple[str, str]]]:
    """Return a text that states so many keys with values, and the keys with their values."""
    keys: dict[str, str] = {}
    while len(keys) < entries:
        key = " ".join(draw.sample(WORDS, draw.randrange(1, 4) if entries < 40 else 2))
        if draw.random() < 0.4:
            key = f"{key.capitalize()} {draw.randrange(2010, 2030)}"
        keys.setdefault(key, random_value(draw))
    pairs = list(keys.items())
    start, link, gap, stop = draw.choice(LAYOUTS)
    return start + gap.join(f"{key}{link}{value}" for key, value in pairs) + stop, pairs


LAYOUTS = (
    ("Codes: ", " ", ", ", "."),
    ("Values: ", ": ", "; ", "."),
    ("| ", ": ", " |\n| ", " |"),
    ("", ": ", "\n", ""),
    ("- ", ": ", "\n- ", ""),
    ("We read: ", " is ", ". ", "."),
)
"""Before the first entry, between key and value, between entries, after the last."""


def lookup_conversation(draw: random.Random, entries: int, questions: int) -> list[Turn]:
    """Return a listing with questions on it; each answer repeats its key before its value."""
    text, pairs = listing(draw, entries)
    turns: list[Turn] = []
    for key, value in draw.choices(pairs, k=questions):
        asked = f"What is the value of {key}?"
        turns.append(("user", asked if turns else f"{text}\n\n{asked}"))
        turns.append(("assistant", f"{key}: {value}"))
    return turns


def lookup_asked(draw: random.Random, entries: int) -> Asked:
    """Ask for one value of a listing."""
    (_, question), (_, answer) = lookup_conversation(draw, entries, 1)
    return Asked(question, answer, answer.rpartition(": ")[2])


SYSTEM_TEXTS = (
    "You are a helpful assistant.",
    "Answer briefly and correctly.",
    "You answer questions about documents, facts and numbers.",
)


def short_conversation(draw: random.Random, turns: int) -> list[Turn]:
    """Return so many questions of all the short kinds, each with its answer."""
    makers: tuple[Callable[[random.Random], Asked], ...] = (
        fact_asked,
        lambda draw: sum_asked(*draw_sum(draw)),
        copy_asked,
        lambda draw: lookup_asked(draw, draw.randrange(2, 8)),
    )
    conversation: list[Turn] = []
    if draw.random() < 0.2:
        conversation.append(("system", draw.choice(SYSTEM_TEXTS)))
    for _ in range(turns):
        asked = draw.choices(makers, (4, 4, 1, 2))[0](draw)
        conversation += [("user", asked.question), ("assistant", asked.answer)]
    return conversation
