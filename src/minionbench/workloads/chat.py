"""Invented conversations with an assistant, the last turn the user's: the Balanced workload.

The user tells facts and asks for advice, the assistant answers; the last turn asks for one of the
facts and for advice that was given. A longer conversation goes on to other topics, and when all
of them were talked about, to things that the user wants to have noted.
"""

from __future__ import annotations

from typing import NamedTuple

from minionbench.exchange import Message, Reference
from minionbench.workloads.chat_text import (
    PEOPLE,
    REMARKS,
    TOPICS,
    VALUES,
    FactKind,
    Subject,
    Topic,
)
from minionbench.workloads.draws import Draws
from minionbench.workloads.workload import Count, Example, check_size, fill_gap, measured

NAME = "balanced"
VERSION = 1
DEFAULT_INPUT_TOKENS = 750

SYSTEM = "You are a helpful assistant. Answer from what was said in this conversation."

OPENING = "Sure."
"""How every answer begins, so that what follows it always stands after a space."""

LAST_TURN_TOKENS = 55
"""Room kept for the last turn while the conversation is written."""


class Told(NamedTuple):
    """A fact that the user told, with the value drawn for it."""

    kind: FactKind
    value: str

    @property
    def statement(self) -> str:
        """What the user says."""
        return self.kind.statement.format(value=self.value)

    @property
    def answer(self) -> str:
        """What the assistant says when it is asked."""
        return self.kind.answer.format(value=self.value)


class Round(NamedTuple):
    """What the user says, what the assistant answers, and what both can be asked about later."""

    user: str
    assistant: str
    told: tuple[Told, ...]
    advice: tuple[str, tuple[str, ...]] | None
    """The label of a subject and the sentences said about it."""


def example(
    seed: int, index: int, count: Count, input_tokens: int = DEFAULT_INPUT_TOKENS
) -> Example:
    """Make item `index` of a seed at the given length.

    Raises:
        UsageError: the length is below the smallest that can be made.
    """
    check_size(NAME, input_tokens)
    item_id = f"{NAME}@{VERSION}/{seed}/{index}/{input_tokens}"
    draws = Draws(item_id)
    rounds = _conversation(draws, count, input_tokens - count(SYSTEM) - LAST_TURN_TOKENS)
    last, solution, reference = _last_turn(draws, rounds)
    spoken = [text for turn in rounds for text in (turn.user, turn.assistant)]
    tokens = sum(map(count, (SYSTEM, *spoken, last)))
    remarks = fill_gap(input_tokens - tokens, measured(count, REMARKS), draws)
    for number, remark in enumerate(remarks):
        # From the last answer backwards; answers are the odd places.
        at = 2 * (len(rounds) - 1 - number % len(rounds)) + 1
        spoken[at] = f"{OPENING} {remark}{spoken[at].removeprefix(OPENING)}"
    messages = [Message("system", SYSTEM)]
    for at, text in enumerate(spoken):
        messages.append(Message("assistant" if at % 2 else "user", text))
    messages.append(Message("user", last))
    return Example(
        item_id=item_id,
        messages=tuple(messages),
        input_tokens=sum(count(message.content) for message in messages),
        solution=solution,
        reference=reference,
    )


def _conversation(draws: Draws, count: Count, room: int) -> list[Round]:
    """Rounds until the next would not fit: topics in random order, then notes."""
    rounds: list[Round] = []
    for topic in draws.shuffled(TOPICS):
        facts = draws.shuffled(topic.facts)
        for number, subject in enumerate(draws.shuffled(topic.subjects)):
            turn = _advice(draws, topic, subject, facts.pop(), bool(rounds), number == 0)
            tokens = count(turn.user) + count(turn.assistant)
            if rounds and tokens > room:
                return rounds
            rounds.append(turn)
            room -= tokens
    number = 0
    while True:
        number += 1
        turn = _note(draws, number)
        room -= count(turn.user) + count(turn.assistant)
        if room < 0:
            return rounds
        rounds.append(turn)


def _advice(
    draws: Draws, topic: Topic, subject: Subject, kind: FactKind, greeted: bool, opens: bool
) -> Round:
    told = Told(kind, draws.pick(VALUES[kind.values]))
    parts = [told.statement, subject.question]
    if opens:
        parts.insert(0, topic.opening)
    parts.insert(0, draws.pick(LINKS) if greeted else f"Hello, I am {draws.pick(PEOPLE)}.")
    said = tuple(draws.some(subject.advice, draws.between(3, 4)))
    return Round(
        " ".join(parts),
        f"{OPENING} About {subject.label}: {' '.join(said)}",
        (told,),
        (subject.label, said),
    )


LINKS = ("Thank you.", "Thanks, that helps.", "Good to know.", "I see.", "That makes sense.")


def _note(draws: Draws, number: int) -> Round:
    """Something to be noted; its number makes it different from all the others."""
    kind = FactKind(
        f"Locker {number} has the code {{value}}.",
        f"Which code has locker {number}?",
        f"Locker {number} has the code {{value}}.",
        "code",
    )
    told = Told(kind, draws.pick(VALUES[kind.values]))
    place, person = draws.pick(VALUES["place"]), draws.pick(VALUES["person"])
    return Round(
        f"Please note this for later. {told.statement} It belongs to {person} from {place}.",
        f"{OPENING} I have noted it. {told.statement}",
        (told,),
        None,
    )


def _last_turn(draws: Draws, rounds: list[Round]) -> tuple[str, str, Reference]:
    """The user's last turn, the answer to it, and the value it is judged by."""
    told = draws.pick([told for turn in rounds for told in turn.told])
    given = [turn.advice for turn in rounds if turn.advice is not None]
    recalled = draws.some(given, draws.between(2, 3))
    labels = " and about ".join(label for label, _ in recalled)
    said = " ".join(f"About {label}: {' '.join(advice)}" for label, advice in recalled)
    return (
        f"Thank you. {told.kind.question} And what was your advice about {labels}?",
        f"{OPENING} {told.answer} {said}",
        Reference(kind="text", value=told.value),
    )
