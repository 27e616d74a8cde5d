"""A user's own requests: `{"prompt" or "messages", "answer"?, "id"?}`, one per line."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from minionbench.exchange import Message, Reference
from minionbench.workloads.jsonl import (
    Line,
    Lines,
    as_decimal,
    checked_text,
    identities,
    json_type,
    no_item,
    own_id,
    shown,
)
from minionbench.workloads.sampling import drawn
from minionbench.workloads.workload import Count, Item

_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
}


class Plain:
    """The requests of a plain JSONL file; each has its own length."""

    name = "jsonl"
    default_input_tokens = None
    max_output_tokens = 512

    def __init__(self, lines: Lines) -> None:
        self.file = lines.file
        self.source = f"{self.name}@{lines.sha256[:12]}"
        self._requests = [(line, _messages(line), _answer(line)) for line in lines.lines]
        self._ids = identities(lines, "id")

    def __len__(self) -> int:
        return len(self._requests)

    def items(self, n: int, seed: int, input_tokens: int | None, count: Count) -> Iterator[Item]:
        """The first n requests of a seed.

        Raises:
            UsageError: there are fewer requests than n, or a length was asked for.
        """
        order = drawn(self.file, self.source, len(self), "requests", n, seed, input_tokens)
        return (self._item(at, count) for at in order)

    def item(self, item_id: str, count: Count) -> Item:
        """The item of an id.

        Raises:
            UsageError: the file has none.
        """
        own = own_id(self.file, self.source, item_id)
        if own not in self._ids:
            raise no_item(self.file, item_id)
        return self._item(self._ids.index(own), count)

    def _item(self, at: int, count: Count) -> Item:
        _, messages, reference = self._requests[at]
        return Item(
            item_id=f"{self.source}/{self._ids[at]}",
            messages=messages,
            input_tokens=sum(count(message.content) for message in messages),
            reference=reference,
        )


def _messages(line: Line) -> tuple[Message, ...]:
    if "messages" not in line.fields:
        return (Message("user", line.text("prompt")),)
    if "prompt" in line.fields:
        raise line.error("prompt and messages cannot both be given.")
    entries = line.fields["messages"]
    if not isinstance(entries, list) or not entries:
        raise line.error("messages was expected to be a list of at least one message.")
    messages = tuple(_message(line, number, entry) for number, entry in enumerate(entries))
    if messages[-1].role != "user":
        raise line.error("the last of messages was expected to be the user's.")
    return messages


def _message(line: Line, number: int, entry: object) -> Message:
    if not isinstance(entry, dict):
        raise line.error(
            f"messages.{number} was expected to be an object, but is {json_type(entry)}."
        )
    role = entry.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        found = shown(role) if isinstance(role, str) else json_type(role)
        raise line.error(
            f"messages.{number}.role was expected to be system, user or assistant, but is {found}."
        )
    return Message(
        _ROLES[role], checked_text(line, f"messages.{number}.content", entry.get("content"))
    )


def _answer(line: Line) -> Reference | None:
    """The right answer: a number where it reads as one, else a text; None where none is given."""
    answer = line.fields.get("answer")
    if answer is None:
        return None
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise line.error(
            f"answer was expected to be a text or a number, but is {json_type(answer)}."
        )
    if isinstance(answer, float):
        answer = format(Decimal(repr(answer)), "f")
    text = checked_text(line, "answer", str(answer))
    value = as_decimal(text)
    if value is not None:
        return Reference(kind="number", value=value)
    return Reference(kind="text", value=text)
