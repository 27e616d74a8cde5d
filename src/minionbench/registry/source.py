"""The registry's text, changed entry by entry: what is not changed stays as it was written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minionbench.errors import SchemaError
from minionbench.registry.reading import RegisteredModel, parsed, registered

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class RegistrySource:
    """A registry's text with the place of each entry in it.

    Entries that other programs wrote are copied character by character; only those that are
    replaced are written anew, in the layout of the file, and in their old place.
    """

    def __init__(self, content: bytes, path: Path) -> None:
        """Takes a registry's bytes apart; raises SchemaError when they are not a JSON list."""
        self._values = parsed(content, path)
        try:
            # As json.loads has just decoded it; a lone surrogate is passed through.
            self._text = content.decode(json.detect_encoding(content), "surrogatepass")
        except ValueError as error:  # pragma: no cover - json.loads would have failed before
            raise SchemaError(f"the registry {path} is not text: {error}") from error
        self._spans = _spans(self._text)
        self._anew: dict[int, str] = {}

    @property
    def models(self) -> list[RegisteredModel]:
        """The entries as they are now, changes included."""
        return registered(self._values)

    @property
    def changed(self) -> bool:
        """Whether anything was replaced or added."""
        return bool(self._anew)

    def replace(self, place: int, fields: Mapping[str, Any]) -> None:
        """Puts an entry into the place of another; one that says the same is left alone."""
        # As text: to Python 1 and true are equal.
        if json.dumps(self._values[place]) == json.dumps(fields):
            return
        start, end = self._spans[place] if place < len(self._spans) else (0, 0)
        self._values[place] = dict(fields)
        self._anew[place] = self._written(fields, self._text[start:end].isascii())

    def append(self, fields: Mapping[str, Any]) -> None:
        """Adds an entry at the end."""
        self._anew[len(self._values)] = self._written(fields, True)
        self._values.append(dict(fields))

    def content(self) -> bytes:
        """The registry with its changes, as UTF-8."""
        text = self._text
        added = [self._anew[place] for place in sorted(self._anew) if place >= len(self._spans)]
        if added and not self._spans:
            text = "[" + ",".join(f"\n{self._margin}{entry}" for entry in added) + "\n]\n"
        elif added:
            end = self._spans[-1][1]
            text = text[:end] + "".join(self._between + entry for entry in added) + text[end:]
        for place in range(len(self._spans) - 1, -1, -1):
            if place in self._anew:
                start, end = self._spans[place]
                text = text[:start] + self._anew[place] + text[end:]
        return text.encode("utf-8", "surrogatepass")

    @property
    def _margin(self) -> str:
        """What stands before an entry in its line; empty where entries do not begin lines."""
        if not self._spans:
            return "  "
        start = self._spans[-1][0]
        before = self._text[self._text.rfind("\n", 0, start) + 1 : start]
        return before if "\n" in self._text[:start] and not before.strip(" \t") else ""

    @property
    def _between(self) -> str:
        """What stands between two entries."""
        if len(self._spans) > 1:
            return self._text[self._spans[-2][1] : self._spans[-1][0]]
        margin = self._margin
        return f",\n{margin}" if margin else ", "

    def _written(self, fields: Mapping[str, Any], as_ascii: bool) -> str:
        margin = self._margin
        if not margin and "\n" not in self._text.strip():
            return json.dumps(fields, ensure_ascii=as_ascii)
        text = json.dumps(fields, ensure_ascii=as_ascii, indent=margin or 2)
        # JSON's own line ends only: strings may hold others as they are.
        return text.replace("\n", f"\n{margin}")


def _spans(text: str) -> list[tuple[int, int]]:
    """Where the elements of a JSON list begin and end in its text, which is known to be valid."""
    spans = []
    at = _after_space(text, _after_space(text, 0) + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        spans.append((at, end))
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return spans


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
