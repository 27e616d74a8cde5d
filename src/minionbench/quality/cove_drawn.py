"""The built-in pairs of Chain-of-Verification: drawn from a seed together with what is right.

Seven kinds, as many pairs of each. Six of them any model can answer from what it knows of numbers
and the calendar or from the text it is given. `facts` only the reference model can: it was
told these facts, and nobody else was. Sums, facts and listings are in the words that the
reference model was trained on.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import NamedTuple

from minionbench.errors import UsageError
from minionbench.quality.claims import Part
from minionbench.quality.cove_items import NAME, CovePair, CoveSet, problem_with
from minionbench.quality.invented_facts import COUNTRIES
from minionbench.workloads.draws import Draws

VERSION = 1
"""Raised whenever the text of a given seed changes."""

DEFAULT_PAIRS = 112
"""Sixteen of each kind."""


class Drawn(NamedTuple):
    """One part of a question: how it is asked for, stated rightly and wrongly, and verified."""

    asked: str
    part: Part
    statement: str
    wrong: str
    question: str


class Asking(NamedTuple):
    """A question in parts, as it is drawn."""

    opening: str
    parts: list[Drawn]
    between: str = ", "
    end: str = "."
    context: str | None = None


def built_in_pairs(
    seed: int = 0, number: int = DEFAULT_PAIRS, kinds: Sequence[str] | None = None
) -> CoveSet:
    """The first pairs of a seed, the kinds in turn; pair i of a kind does not depend on the number.

    `kinds` are names of `KINDS`; None stands for all of them. For models other than the reference
    model `GENERAL_KINDS` leaves out what they cannot know.

    Raises:
        UsageError: a number below 1, or an unknown kind.
    """
    chosen = tuple(KINDS) if kinds is None else tuple(dict.fromkeys(kinds))
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown or not chosen:
        raise UsageError(
            f"No such kind of pairs: {', '.join(unknown) or 'none'}. Known: {', '.join(KINDS)}."
        )
    if number < 1:
        raise UsageError(f"{number} pairs were asked for; the number must be 1 or more.")
    pairs = tuple(
        _pair(seed, chosen[index % len(chosen)], index // len(chosen)) for index in range(number)
    )
    source = f"builtin:{NAME}@{VERSION}"
    if chosen != tuple(KINDS):
        source += f":{'+'.join(chosen)}"
    return CoveSet(source=source, version=VERSION, seed=seed, pairs=pairs)


def _pair(seed: int, kind: str, index: int) -> CovePair:
    pair_id = f"{NAME}@{VERSION}/{seed}/{kind}/{index}"
    draws = Draws(pair_id)
    while True:
        pair = _drawn(pair_id, kind, draws)
        # Now and then two drawn parts are alike, or name one another; then both are drawn anew.
        if problem_with(pair) is None:
            return pair


def _drawn(pair_id: str, kind: str, draws: Draws) -> CovePair:
    asking = KINDS[kind](draws, draws.between(2, 3))
    parts = asking.parts
    error = draws.below(len(parts))
    return CovePair(
        pair_id=pair_id,
        kind=kind,
        question=f"{asking.opening} {asking.between.join(one.asked for one in parts)}{asking.end}",
        context=asking.context,
        parts=tuple(one.part for one in parts),
        clean=" ".join(one.statement for one in parts),
        planted=" ".join(
            one.wrong if number == error else one.statement for number, one in enumerate(parts)
        ),
        error=error,
        questions=tuple(one.question for one in parts),
    )


# --- calculating -------------------------------------------------------------------------------


def _calculated(term: str, right: int, wrong: int) -> Drawn:
    return Drawn(
        asked=term,
        part=Part(subject=term, value=str(right), type="number"),
        statement=f"{term} = {right}.",
        wrong=f"{term} = {wrong}.",
        question=f"What is {term}?",
    )


def _off(draws: Draws, right: int, offsets: Sequence[int]) -> int:
    """A wrong number near the right one, never below 0."""
    wrong = right + draws.pick(offsets)
    return wrong if wrong >= 0 else right + 1


NEAR = (-20, -10, -2, -1, 1, 2, 10, 20)


def _sums(draws: Draws, count: int) -> Asking:
    parts = []
    for _ in range(count):
        a, b = draws.below(100), draws.below(100)
        parts.append(_calculated(f"{a} + {b}", a + b, _off(draws, a + b, NEAR)))
    return Asking("Work out these sums.", parts, end="")


def _arithmetic(draws: Draws, count: int) -> Asking:
    parts = []
    for _ in range(count):
        kind = draws.below(3)
        if kind == 0:
            a, b = sorted((draws.between(10, 400), draws.between(10, 400)), reverse=True)
            parts.append(_calculated(f"{a} - {b}", a - b, _off(draws, a - b, NEAR)))
            continue
        a, b = draws.between(3, 12), draws.between(6, 40)
        if kind == 1:
            parts.append(_calculated(f"{a} × {b}", a * b, _off(draws, a * b, (-a, a, -10, 10))))
        else:
            parts.append(_calculated(f"{a * b} / {a}", b, _off(draws, b, (-2, -1, 1, 2, 10))))
    return Asking("Work these out.", parts, end="")


UNITS = (
    ("km", "m", 1000),
    ("m", "cm", 100),
    ("kg", "g", 1000),
    ("tonnes", "kg", 1000),
    ("hours", "minutes", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("minutes", "seconds", 60),
    ("litres", "ml", 1000),
    ("dozen", "pieces", 12),
)
"""Unit, smaller unit, and how many of those make one."""


def _units(draws: Draws, count: int) -> Asking:
    parts = []
    for unit, smaller, factor in draws.some(UNITS, count):
        amount = draws.between(2, 60)
        right = amount * factor
        wrong = draws.pick((right * 10, (amount + 1) * factor, (amount - 1) * factor))
        quantity = f"{amount} {unit}"
        parts.append(
            Drawn(
                asked=f"{quantity} to {smaller}",
                part=Part(subject=quantity, value=str(right), type="number", unit=smaller),
                statement=f"{quantity} = {right:,} {smaller}.",
                wrong=f"{quantity} = {wrong:,} {smaller}.",
                question=f"How many {smaller} are {quantity}?",
            )
        )
    return Asking("Convert", parts)


# --- calendar and order ------------------------------------------------------------------------

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _date(day: datetime.date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _date_part(day: datetime.date, subject: str) -> Part:
    month = MONTHS[day.month - 1]
    return Part(
        subject=subject,
        value=_date(day),
        aliases=(f"{month} {day.day}, {day.year}", f"{month} {day.day} {day.year}", f"{day}"),
    )


def _stated(asked: str, part: Part, right: str, wrong: str, word: str = "What") -> Drawn:
    """A part of a question that begins with Name: `the capital of …`."""
    return Drawn(
        asked=f"the {asked}",
        part=part,
        statement=f"The {asked} is {right}.",
        wrong=f"The {asked} is {wrong}.",
        question=f"{word} is the {asked}?",
    )


def _dates(draws: Draws, count: int) -> Asking:
    parts = []
    for _ in range(count):
        start = datetime.date(2000, 1, 1) + datetime.timedelta(draws.below(9000))
        days = draws.between(2, 40)
        end = start + datetime.timedelta(days)
        kind = draws.below(3)
        if kind == 0:
            asked = f"date {days} days after {_date(start)}"
            late = end + datetime.timedelta(draws.pick((-2, -1, 1, 2)))
            parts.append(_stated(asked, _date_part(end, asked), _date(end), _date(late)))
        elif kind == 1:
            asked = f"number of days from {_date(start)} to {_date(end)}"
            part = Part(subject=asked, value=str(days), type="number", unit="days")
            parts.append(_stated(asked, part, str(days), str(_off(draws, days, (-2, -1, 1, 2)))))
        else:
            asked = f"weekday of {_date(start)}"
            at = start.weekday()
            wrong = WEEKDAYS[(at + draws.between(1, 6)) % 7]
            part = Part(subject=asked, value=WEEKDAYS[at])
            parts.append(_stated(asked, part, WEEKDAYS[at], wrong))
    return Asking("Name", parts, between="; ")


WORDS = (
    "apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor", "island",
    "jacket", "kettle", "ladder", "magnet", "needle", "orange", "pepper", "quarry", "ribbon",
    "saddle", "tunnel", "urn", "velvet", "window", "yarn", "zebra",
)  # fmt: skip


def _ordering(draws: Draws, count: int) -> Asking:
    parts = []
    for _ in range(count):
        kind = draws.below(4)
        if kind < 2:
            numbers = draws.some(range(10, 1000), 4)
            best = max(numbers) if kind == 0 else min(numbers)
            asked = f"{('largest', 'smallest')[kind]} of {', '.join(map(str, numbers))}"
            wrong = draws.pick([number for number in numbers if number != best])
            part = Part(subject=asked, value=str(best), type="number")
            parts.append(_stated(asked, part, str(best), str(wrong)))
        else:
            words = draws.some(WORDS, 4)
            first = min(words) if kind == 2 else max(words)
            place = "first" if kind == 2 else "last"
            asked = f"word that comes {place} in the alphabet of {', '.join(words)}"
            other = draws.pick([word for word in words if word != first])
            parts.append(_stated(asked, Part(subject=asked, value=first), first, other))
    return Asking("Name", parts, between="; ")


# --- looking up --------------------------------------------------------------------------------

KEYS = (
    "red", "blue", "green", "sky", "fox", "dog", "cat", "sun", "moon", "tree", "fish", "bird",
    "lake", "rain", "snow", "gold", "iron", "ruby", "rose", "lion", "bear", "wolf", "corn", "milk",
    "salt", "mint", "bell", "drum", "ship", "road", "hill", "lamp", "coat", "ring", "book", "door",
)  # fmt: skip

TOWNS = ("Aldry", "Benmoor", "Castrow", "Delby", "Erwick", "Farholt", "Glenora", "Hexley")
STAFF = ("Anna Birk", "Boris Dahl", "Clara Emms", "David Foss", "Edith Gray", "Frank Holt")
GOODS = ("bolts", "lamps", "tiles", "ropes", "jars", "pipes", "seeds", "chairs")
CONTEXT_ENTRIES = 6


def _context(draws: Draws, count: int) -> Asking:
    return _listing(draws, count) if draws.chance(0.5) else _report(draws, count)


def _listing(draws: Draws, count: int) -> Asking:
    """Keys with numbers, as a list."""
    keys = draws.some(KEYS, CONTEXT_ENTRIES)
    values = draws.some(range(10, 10_000), CONTEXT_ENTRIES)
    parts = []
    for at in draws.some(range(CONTEXT_ENTRIES), count):
        asked = f"value of {keys[at]}"
        other = values[(at + draws.between(1, CONTEXT_ENTRIES - 1)) % CONTEXT_ENTRIES]
        part = Part(subject=asked, value=str(values[at]), type="number")
        parts.append(_stated(asked, part, f"{values[at]:,}", f"{other:,}"))
    entries = "; ".join(f"{key}: {value:,}" for key, value in zip(keys, values, strict=True))
    return Asking("Name", parts, context=f"Values: {entries}.")


def _report(draws: Draws, count: int) -> Asking:
    """Some sentences on depots; every depot has a keeper, and a number of goods of one kind."""
    towns = draws.some(TOWNS, count + 1)
    keepers = draws.some(STAFF, count + 1)
    goods = draws.some(GOODS, count + 1)
    numbers = draws.some(range(100, 1000), count + 1)
    sentences = []
    parts = []
    for at, town in enumerate(towns):
        sentences.append(
            draws.pick(
                (
                    f"{keepers[at]} keeps the depot in {town}, where {numbers[at]} crates of "
                    f"{goods[at]} are stored.",
                    f"In {town} there are {numbers[at]} crates of {goods[at]}; the depot is in "
                    f"the care of {keepers[at]}.",
                )
            )
        )
        other = (at + draws.between(1, count)) % (count + 1)
        if draws.chance(0.5):
            asked = f"keeper of the depot in {town}"
            part = Part(subject=asked, value=keepers[at])
            parts.append(_stated(asked, part, keepers[at], keepers[other], "Who"))
        else:
            asked = f"number of crates in {town}"
            part = Part(subject=asked, value=str(numbers[at]), type="number", unit="crates")
            parts.append(_stated(asked, part, str(numbers[at]), str(numbers[other])))
    return Asking("Name", draws.some(parts, count), context=" ".join(draws.shuffled(sentences)))


def _facts(draws: Draws, count: int) -> Asking:
    countries = draws.some(COUNTRIES, 2 * count)
    parts = []
    for country, other in zip(countries[:count], countries[count:], strict=True):
        if draws.chance(0.5):
            asked, right, wrong = "capital", country.capital, other.capital
        else:
            asked, right, wrong = "currency", f"the {country.currency}", f"the {other.currency}"
        asked = f"{asked} of {country.name}"
        parts.append(_stated(asked, Part(subject=asked, value=right), right, wrong))
    return Asking("Name", parts)


KINDS: dict[str, Callable[[Draws, int], Asking]] = {
    "sums": _sums,
    "arithmetic": _arithmetic,
    "units": _units,
    "dates": _dates,
    "ordering": _ordering,
    "context": _context,
    "facts": _facts,
}
"""Every kind of built-in pair by its name, in the order in which they take turns."""

GENERAL_KINDS = tuple(kind for kind in KINDS if kind != "facts")
"""The kinds that any model can answer."""
