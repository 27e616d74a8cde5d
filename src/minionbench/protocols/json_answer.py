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
_decoder = json.JSONDecoder()


class NotTheForm(ValueError):
    """What a model wrote is not what it was asked for; the message tells it so."""


def read_json(text: str, form: type[ValueT]) -> ValueT:
    """The value of a form that a text holds; the last one where it holds several.

    `form` is a msgspec struct; fields that it does not know are left out.

    Raises NotTheForm when the text holds no object, or none of the form.
    """
    problem = "it holds no JSON object"
    for found in reversed(_objects(text[:MOST_CHARACTERS])):
        try:
            return msgspec.convert(found, form)
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
    the decision comes after it: until then nobody knows that it is the answer.
    """
    key = text.rfind('"answer"')
    decided = text.rfind('"decision"', 0, max(key, 0))
    at = text.find(answer, key + len('"answer"')) if key >= 0 else -1
    return at if at >= 0 and decided >= 0 else None
