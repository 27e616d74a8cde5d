"""Cutting a document into chunks: by section, page, paragraph or length.

Every character of the document is in a chunk, in order; only an overlap stands twice.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from minionbench.errors import UsageError

By: TypeAlias = Literal["section", "page", "paragraph", "characters"]

LEAST_SIZE = 100
"""Shorter chunks say nothing by themselves."""
_PAGE = re.compile(r"(?<=\f)")
_PARAGRAPH = re.compile(r"(?<=\n)(?=\n*[^\n])(?<=\n\n)")
_HEADING = re.compile(r"^(?=#{1,6} |[A-Z][A-Z0-9 ,.&/()-]{7,}$|(?:ITEM|Item|PART|Part) \d)", re.M)


class Chunking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a document is cut.

    `section`, `page` and `paragraph` are never cut while they fit into `size` characters, and
    neighbours are joined as long as they fit together, except pages, which stay apart. What is
    longer than `size` is cut by length, at a line's or word's end where there is one.

    Raises UsageError for a size or an overlap that makes no chunks.
    """

    by: By = "section"
    size: int = 3_000
    """Characters, at most."""
    overlap: int = 0
    """Characters of the chunk before that are repeated where a text was cut by length."""

    def __post_init__(self) -> None:
        if self.size < LEAST_SIZE:
            raise UsageError(f"A chunk has at least {LEAST_SIZE} characters, not {self.size}")
        if not 0 <= self.overlap <= self.size // 2:
            raise UsageError(
                f"The overlap of chunks of {self.size} characters is from 0 to {self.size // 2}, "
                f"not {self.overlap}"
            )


def chunks(document: str, chunking: Chunking) -> tuple[str, ...]:
    """The chunks of a document, in its order; none for one that holds nothing but space."""
    if not document.strip():
        return ()
    parts = [part for part in _parts(document, chunking.by) if part]
    joins = chunking.by in ("section", "paragraph")
    found: list[str] = []
    open_chunk = ""
    for part in parts:
        if joins and len(open_chunk) + len(part) <= chunking.size:
            open_chunk += part
            continue
        if open_chunk:
            found.append(open_chunk)
        *whole, open_chunk = _by_length(part, chunking.size, chunking.overlap)
        found.extend(whole)
        if not joins:
            found.append(open_chunk)
            open_chunk = ""
    if open_chunk:
        found.append(open_chunk)
    return tuple(found)


def _parts(document: str, by: By) -> list[str]:
    match by:
        case "section":
            return _HEADING.split(document)
        case "page":
            return _PAGE.split(document)
        case "paragraph":
            return _PARAGRAPH.split(document)
        case "characters":
            return [document]


def _by_length(text: str, size: int, overlap: int) -> list[str]:
    """Pieces of at most so many characters, cut at the last line or word end in the second half."""
    pieces = []
    start = 0
    while len(text) - start > size:
        end = start + size
        for mark in ("\n", " "):
            found = text.rfind(mark, start + size // 2 + 1, end)
            if found >= 0:
                end = found + 1
                break
        pieces.append(text[start:end])
        start = end - overlap
    pieces.append(text[start:])
    return pieces
