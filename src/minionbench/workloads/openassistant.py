"""OpenAssistant: real conversations, up to a turn of the user's.

Each line is a tree of messages. An item is one path from its root to a message of the user's:
of each tree the path whose length is nearest to the length asked for. English only.

Source: https://github.com/LAION-AI/Open-Assistant (`…_ready.trees.jsonl`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from minionbench.errors import UsageError
from minionbench.exchange import Message
from minionbench.units import number_of
from minionbench.workloads.draws import Draws
from minionbench.workloads.jsonl import (
    Line,
    Lines,
    checked_text,
    json_type,
    no_item,
    own_id,
    shown,
)
from minionbench.workloads.workload import Count, Item

FIELDS = ("message_tree_id", "prompt")
LANGUAGE = "en"
WIDEST = 0.5
"""Largest relative distance of a conversation's length from the length asked for."""

_ROLES: dict[str, Literal["user", "assistant"]] = {"prompter": "user", "assistant": "assistant"}


class OpenAssistant:
    """The English conversations of a file of message trees."""

    name = "openassistant"
    default_input_tokens = 750
    max_output_tokens = 512

    def __init__(self, lines: Lines) -> None:
        self.file = lines.file
        self.source = f"{self.name}@{lines.sha256[:12]}"
        trees = ((line.number, _paths(line)) for line in lines.lines)
        self._trees = [(number, paths) for number, paths in trees if paths]

    def __len__(self) -> int:
        return len(self._trees)

    def items(self, n: int, seed: int, input_tokens: int | None, count: Count) -> Iterator[Item]:
        """The first n conversations of a seed among those near enough to the length asked for.

        Raises:
            UsageError: there are fewer of them than n.
        """
        size = self.default_input_tokens if input_tokens is None else input_tokens
        chosen: list[Item] = []
        for at in Draws(f"{self.source}/{seed}").shuffled(range(len(self))):
            if len(chosen) == n:
                break
            item = self._nearest(*self._trees[at], size, count)
            if abs(item.input_tokens - size) <= WIDEST * size:
                chosen.append(item)
        if len(chosen) < n:
            margin = int(WIDEST * size)
            raise UsageError(
                f"{self.file} has {number_of(len(chosen), 'English conversation')} of "
                f"{size - margin} to {size + margin} tokens, but "
                f"{number_of(n, 'request was', 'requests were')} asked for. "
                "Ask for fewer, or for another --input-tokens."
            )
        return iter(chosen)

    def item(self, item_id: str, count: Count) -> Item:
        """The item of an id: a line of the file and one of the paths in its tree.

        Raises:
            UsageError: the file has none.
        """
        line_number, _, path = own_id(self.file, self.source, item_id).partition("/")
        for number, paths in self._trees:
            if str(number) == line_number and path in map(str, range(len(paths))):
                messages = paths[int(path)]
                return Item(
                    item_id=item_id,
                    messages=messages,
                    input_tokens=sum(count(message.content) for message in messages),
                    reference=None,
                )
        raise no_item(self.file, item_id)

    def _nearest(
        self, number: int, paths: list[tuple[Message, ...]], size: int, count: Count
    ) -> Item:
        lengths = {message: count(message.content) for path in paths for message in path}
        sized = [sum(lengths[message] for message in path) for path in paths]
        at = min(range(len(paths)), key=lambda path: abs(sized[path] - size))
        return Item(
            item_id=f"{self.source}/{number}/{at}",
            messages=paths[at],
            input_tokens=sized[at],
            reference=None,
        )


def _paths(line: Line) -> list[tuple[Message, ...]]:
    """Every path from the root to a message of the user's, in the tree's order."""
    paths: list[tuple[Message, ...]] = []
    waiting: list[tuple[tuple[Message, ...], Any]] = [((), line.fields.get("prompt"))]
    while waiting:
        before, node = waiting.pop()
        if not isinstance(node, dict):
            raise line.error(f"a message was expected to be an object, but is {json_type(node)}.")
        if node.get("deleted") or node.get("lang", LANGUAGE) != LANGUAGE:
            continue
        path = (*before, _message(line, node))
        if path[-1].role == "user":
            paths.append(path)
        replies = node.get("replies", [])
        if not isinstance(replies, list):
            raise line.error(f"replies was expected to be a list, but is {json_type(replies)}.")
        waiting += ((path, reply) for reply in reversed(replies))
    return paths


def _message(line: Line, node: dict[str, Any]) -> Message:
    role = node.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        found = shown(role) if isinstance(role, str) else json_type(role)
        raise line.error(f"role was expected to be prompter or assistant, but is {found}.")
    return Message(_ROLES[role], checked_text(line, "text", node.get("text")))
