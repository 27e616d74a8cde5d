"""Maths problems that ask for a full worked solution: the Decode workload.

Numbers are small and every step is one line `a + b = c` that starts from the result of the line
before, so that the answer is long, its length is the problem's own, and each line can be checked.
A longer item has more steps up to a limit, and then solved problems before its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from minionbench.exchange import Message, Reference
from minionbench.workloads.draws import Draws
from minionbench.workloads.maths_text import (
    HINTS,
    LEDGERS,
    PEOPLE,
    SCHEDULES,
    SEQUENCES,
    TABLES,
)
from minionbench.workloads.workload import Count, Example, check_size, fill_gap, measured

NAME = "decode"
VERSION = 1
DEFAULT_INPUT_TOKENS = 300

INSTRUCTION = (
    "Solve the problem step by step. Write one line for each step with its calculation, "
    "and end with a line: Answer: number."
)
MOST_STEPS = 22
"""Steps of the longest problem: its worked solution has about 550 tokens."""

LARGEST = 99
"""No intermediate result of a ledger is above this."""


Kind = Literal["ledger", "table", "sequence", "schedule"]


class Problem(NamedTuple):
    """A problem, its worked solution, and the numbers that it was made from.

    `numbers` by kind: ledger (start, change, change, …), changes signed; table (a, b, a, b, …),
    the answer is the sum of the products; sequence (first, more, terms), the answer is the sum of
    the terms; schedule (minutes, minutes, …), the answer is their sum.
    """

    kind: Kind
    numbers: tuple[int, ...]
    text: str
    lines: tuple[str, ...]
    """The worked solution without its last line."""
    answer: int

    @property
    def solution(self) -> str:
        """The worked solution with its last line, the answer."""
        return "\n".join((*self.lines, f"Answer: {self.answer}"))


def example(
    seed: int, index: int, count: Count, input_tokens: int = DEFAULT_INPUT_TOKENS
) -> Example:
    """Make item `index` of a seed at the given length.

    Raises:
        UsageError: the length is below the smallest that can be made.
    """
    return worked(seed, index, count, input_tokens)[0]


def worked(
    seed: int, index: int, count: Count, input_tokens: int = DEFAULT_INPUT_TOKENS
) -> tuple[Example, Problem]:
    """Make item `index` of a seed together with the problem that it asks."""
    check_size(NAME, input_tokens)
    item_id = f"{NAME}@{VERSION}/{seed}/{index}/{input_tokens}"
    draws = Draws(item_id)
    kind = _kind(draws)
    steps = MOST_STEPS - draws.below(5)
    posed = MAKERS[kind](draws, steps)
    while (tokens := count(f"{INSTRUCTION}\n\nProblem: {posed.text}")) > input_tokens:
        steps -= 1 + (tokens - input_tokens) // 30
        posed = MAKERS[kind](draws, steps)
    room = input_tokens - tokens
    solved: list[str] = []
    while room > 2 * HINT_ROOM:
        other = MAKERS[_kind(draws)](draws, draws.between(4, 8))
        part = f"Solved problem: {other.text}\n{other.solution}\n\n"
        tokens = count(part)
        if tokens > room:
            break
        solved.append(part)
        room -= tokens
    hints = fill_gap(room, measured(count, HINTS), draws)
    content = " ".join((INSTRUCTION, *hints)) + f"\n\n{''.join(solved)}Problem: {posed.text}"
    made = Example(
        item_id=item_id,
        messages=(Message("user", content),),
        input_tokens=count(content),
        solution=posed.solution,
        reference=Reference(kind="number", value=str(posed.answer)),
    )
    return made, posed


HINT_ROOM = 110
"""Below twice this, hints alone make up the length; above it a solved problem fits."""


def _kind(draws: Draws) -> Kind:
    """One of the kinds; ledgers are twice as frequent as each of the others."""
    return draws.pick(("ledger", "ledger", "table", "sequence", "schedule"))


def _ledger(draws: Draws, steps: int) -> Problem:
    setting = draws.pick(LEDGERS)
    name = draws.pick(PEOPLE)
    total = start = draws.between(12, 45)
    numbers = [start]
    story = [setting.opening.format(name=name, n=start)]
    lines = [f"Start: {start} {setting.thing}."]
    for step in range(1, steps + 1):
        up = draws.chance(0.5)
        if total < 12:
            up = True
        elif total > LARGEST - 12:
            up = False
        amount = draws.between(2, 12) if up else draws.between(2, min(12, total - 1))
        event = draws.pick(setting.ups if up else setting.downs).format(n=amount)
        sign = "+" if up else "-"
        result = total + amount if up else total - amount
        story.append(f"{setting.label} {step}: {event}.")
        lines.append(f"{setting.label} {step}: {event}. {total} {sign} {amount} = {result}")
        numbers.append(amount if up else -amount)
        total = result
    return Problem(
        "ledger",
        tuple(numbers),
        f"{' '.join(story)} {setting.question}",
        tuple(lines),
        total,
    )


def _table(draws: Draws, steps: int) -> Problem:
    setting = draws.pick(TABLES)
    name = draws.pick(PEOPLE)
    numbers: list[int] = []
    grid = [f"| {' | '.join(setting.header)} |"]
    lines: list[str] = []
    total = 0
    for item in draws.some(setting.items, (steps + 1) // 2):
        number, each = draws.between(2, 6), draws.between(2, 5)
        product = number * each
        grid.append(f"| {item} | {number} | {each} |")
        lines.append(f"{item}: {number} * {each} = {product}")
        lines.append(f"total: {total} + {product} = {total + product} {setting.thing}")
        numbers += (number, each)
        total += product
    question = setting.question.format(name=name)
    text = f"{setting.opening.format(name=name)}\n" + "\n".join(grid) + f"\n{question}"
    return Problem("table", tuple(numbers), text, tuple(lines), total)


def _sequence(draws: Draws, steps: int) -> Problem:
    setting = draws.pick(SEQUENCES)
    name = draws.pick(PEOPLE)
    first, more, terms = draws.between(2, 5), draws.between(2, 3), max(4, steps * 3 // 5)
    label, thing = setting.label, setting.thing
    term = total = first
    lines = [f"{label} 1: {first} {thing}. total: {first}"]
    for number in range(2, terms + 1):
        following = term + more
        lines.append(
            f"{label} {number}: {more} more {thing}. {term} + {more} = {following}. "
            f"total: {total} + {following} = {total + following}"
        )
        term = following
        total += term
    text = (
        f"{setting.opening.format(name=name, first=first, more=more, last=terms)} "
        f"{setting.question.format(name=name)}"
    )
    return Problem("sequence", (first, more, terms), text, tuple(lines), total)


def _schedule(draws: Draws, steps: int) -> Problem:
    setting = draws.pick(SCHEDULES)
    name = draws.pick(PEOPLE)
    numbers: list[int] = []
    grid: list[str] = []
    lines: list[str] = []
    total = 0
    for task in draws.some(setting.tasks, steps):
        minutes = draws.between(2, 9)
        grid.append(f"| {task} | {minutes} |")
        lines.append(f"{task}: {minutes} minutes. {total} + {minutes} = {total + minutes}")
        numbers.append(minutes)
        total += minutes
    text = f"{setting.opening.format(name=name)}\n" + "\n".join(grid) + f"\n{setting.question}"
    return Problem("schedule", tuple(numbers), text, tuple(lines), total)


MAKERS: dict[Kind, Callable[[Draws, int], Problem]] = {
    "ledger": _ledger,
    "table": _table,
    "sequence": _sequence,
    "schedule": _schedule,
}
"""What makes a problem of each kind with about so many steps."""
