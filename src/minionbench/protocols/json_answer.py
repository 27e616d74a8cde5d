"""Reading the JSON that a model was asked for out of what it wrote.

A model that is bound to a schema writes nothing else. One that is not wraps it in a fence or in
prose; then the object is looked for with a real JSON parser, never with a pattern for braces.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

MOST_TRIES = 200
"""Opening braces at which an object is looked for: prose may hold many."""
MOST_CHARACTERS = 1_000_000

ValueT = TypeVar("ValueT")

_FENCE = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*?)```", re.DOTALL)
_ANSWER = re.compile(r'"answer"\s*:\s*"?\s*')
_DECISION = re.compile(r'"decision"\s*:')
_decoder = json.JSONDecoder()


class NotTheForm(ValueError):
    """What a model wrote is not what it was asked for; the message tells it so."""


def read_json(text: str, form: type[ValueT]) -> ValueT:
    """The value of a form that a text holds; the last one where it holds several.

    `form` is a msgspec struct; fields that it does not know are left out.

    Half of a surrogate pair, which JSON can escape but no UTF-8 can hold, is read as U+FFFD.

    Raises NotTheForm when the text holds no object, or none of the form.
    """
    problem = "it holds no JSON object"
    for found in reversed(_objects(text[:MOST_CHARACTERS])):
        try:
            return msgspec.convert(_encodable(found), form)
        except msgspec.ValidationError as error:
            problem = str(error)
    raise NotTheForm(problem)


def _objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects in a text, in order."""
    for whole in (text.strip(), *(found.strip() for found in _FENCE.findall(text))):
        value = _parsed(whole)
        if value is not None:
            return [value]
    objects = []
    at = text.find("{")
    for _ in range(MOST_TRIES):
        if at < 0:
            break
        try:
            value, end = _decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict):
                objects.append(value)
        at = text.find("{", end)
    return objects


def _parsed(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _encodable(value: dict[str, Any]) -> dict[str, Any]:
    """The value as it can be sent and written down."""
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        whole = written.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        repaired: dict[str, Any] = json.loads(whole)
        return repaired
    return value


NO_ANSWER = ("", "none", "null", "n/a", "not found", "unknown")
"""What models write where they should write null."""


def as_text(value: Any) -> str | None:
    """An answer as text: a number as JSON writes it, a list as JSON; None where there is none."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.strip()
    return None if text.lower().rstrip(".") in NO_ANSWER else text


def where(text: str, answer: str) -> int | None:
    """Where in the JSON that a model wrote its `answer` begins, in characters.

    None where it does not stand there word by word, as when it is written with escapes, and where
    the decision comes after it: until then nobody knows that it is the answer. None as well where
    the text holds several answers or decisions.
    """
    answers, decisions = list(_ANSWER.finditer(text)), list(_DECISION.finditer(text))
    if len(answers) != 1 or len(decisions) != 1:
        return None
    at = answers[0].end()
    return at if decisions[0].start() < at and text.startswith(answer, at) else None
