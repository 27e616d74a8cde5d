"""What the simulated model says: scripted, echoed, or made up from a seed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from minionbench.errors import UsageError
from minionbench.simulator.asked import Asked
from minionbench.simulator.json_example import json_example
from minionbench.simulator.settings import Rule, SimulatorSettings
from minionbench.simulator.tokens import tokens

_TEXT = """
The keeper of the lighthouse counted the ships that passed before the evening and wrote each of
them into a long book. In the morning he read the book again, and when the number was odd he
lit the small lamp for an hour. The villagers said that the lamp was for a ship that had never
come back, but the keeper said that it was for the number. A child asked him what the number
meant, and he answered that a number means nothing until somebody counts. So the child began to
count the gulls, the boats and the steps of the tower, and each evening the two of them compared
what they had found. After a year the book was full, the lamp was old, and the child knew every
ship by the sound of its bell. Then the sea was quiet for a long time, and the keeper wrote a
zero, which he said was the hardest number to see.
"""

_WORD = re.compile(r"\s*([\w'’]+|[^\w\s])")


def _chain() -> dict[str, list[str]]:
    """Which words follow a word in the text, a space before each but before punctuation."""
    words = [word if not word[0].isalnum() else f" {word}" for word in _WORD.findall(_TEXT)]
    following: dict[str, list[str]] = {}
    for word, after in zip(words, [*words[1:], words[0]], strict=True):
        following.setdefault(word, []).append(after)
    return following


_FOLLOWING = _chain()
_FIRST = " The"


def made_up(seed: str) -> Iterator[str]:
    """Tokens of a text without end: a chain of words, each drawn from those that may follow."""
    random, word, first = Random(seed), _FIRST, True
    while True:
        yield from tokens(word.lstrip() if first else word)
        word, first = random.choice(_FOLLOWING[word]), False


class Answers:
    """The answers of one simulator; knows how often each rule has been used."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._rules = [
            (
                rule,
                re.compile(rule.match),
                re.compile(rule.system or ""),
                re.compile(rule.model or ""),
            )
            for rule in settings.rules
        ]
        self._used = [0] * len(self._rules)

    def scripted(self, asked: Asked) -> tuple[str, str | None] | None:
        """The answer known beforehand and what is reasoned before it; None where none applies."""
        text, system = asked.last_text, asked.system_text
        for index, (rule, expression, in_system, in_model) in enumerate(self._rules):
            found = expression.search(text)
            fits = in_system.search(system) is not None and in_model.search(asked.model) is not None
            if found is not None and fits:
                self._used[index] += 1
                return _text_of(rule, found, self._used[index]), rule.reasoning
        return None

    def otherwise(self, asked: Asked) -> str | None:
        """The answer where no rule applies; None for made-up text."""
        if asked.schema is not None:
            return json.dumps(json_example(asked.schema), ensure_ascii=False)
        if asked.json:
            return "{}"
        mode = self._settings.answer
        if mode == "markov":
            return None
        return asked.last_text if mode == "echo" else mode

    def seed_of(self, asked: Asked, purpose: str) -> str:
        """Seed of made-up text: the same for the same request."""
        return f"{self._settings.seed}|{asked.seed}|{purpose}|{asked.last_text}"


def _text_of(rule: Rule, found: re.Match[str], times: int) -> str:
    answer = rule.answer
    if callable(answer):
        return answer(found)
    text = answer if isinstance(answer, str) else answer[min(times, len(answer)) - 1]
    return found.expand(text) if rule.expand else text


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a JSON file: a list of objects with the fields of `Rule`.

    An `answer` that is an object stands for its JSON text; one that is a list, for several
    answers in turn.

    Raises UsageError when the file cannot be read or is not of that form.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"The answers in {path} cannot be read: {error}") from error
    if not isinstance(entries, list):
        raise UsageError(
            f"{path} has to be a list of rules, such as "
            '[{"match": "capital of France", "answer": "Paris"}]'
        )
    return tuple(_rule(entry, f"{path}, rule {index + 1}") for index, entry in enumerate(entries))


def _rule(entry: Any, where: str) -> Rule:
    if not isinstance(entry, dict) or not {"match", "answer"} <= entry.keys():
        raise UsageError(f"{where}: a rule is an object with match and answer")
    strange = entry.keys() - {"match", "answer", "reasoning", "system", "model", "expand"}
    if strange:
        raise UsageError(f"{where}: unknown field {min(strange)!r}")
    answer = entry["answer"]
    answers = tuple(map(_as_text, answer)) if isinstance(answer, list) else _as_text(answer)
    texts = [entry.get(field) or "" for field in ("match", "reasoning", "system", "model")]
    if not all(isinstance(text, str) for text in texts) or not isinstance(
        entry.get("expand", False), bool
    ):
        raise UsageError(
            f"{where}: match, reasoning, system and model are texts, expand is true or false"
        )
    return Rule(
        match=entry["match"],
        answer=answers,
        reasoning=entry.get("reasoning"),
        system=entry.get("system"),
        model=entry.get("model"),
        expand=entry.get("expand", False),
    )


def _as_text(answer: Any) -> str:
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
