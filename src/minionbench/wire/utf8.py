"""Whether bytes are UTF-8, without keeping the text that they hold."""

from __future__ import annotations

from codecs import utf_8_decode

PART_BYTES = 16_384
"""Decoded at once: little enough that the text, which is thrown away, stays in the processor's
cache. Decoding a whole answer takes more than twice as long."""


def wrong_utf8_at(body: bytes, part_bytes: int = PART_BYTES) -> int | None:
    """Position of the first byte that is no UTF-8; None where all is.

    `part_bytes` is at least 4, the longest character.
    """
    if body.isascii():
        return None
    view, size = memoryview(body), len(body)
    at = 0
    while at < size:
        part = view[at : at + part_bytes]
        try:
            _, taken = utf_8_decode(part, "strict", at + len(part) == size)
        except UnicodeDecodeError as error:
            return at + error.start
        at += taken
    return None
