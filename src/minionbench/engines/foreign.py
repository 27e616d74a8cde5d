"""Text from servers, logs and model files, which may hold anything."""

from __future__ import annotations

from collections.abc import Sequence


def one_line(text: str, limit: int = 300) -> str:
    """Foreign text made fit for a message: one line, printable, at most `limit` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else f"{flat[:limit]}…"


def listed(names: Sequence[str], most: int = 10) -> str:
    """Foreign names as a sentence lists them, no more than `most`."""
    shown = ", ".join(one_line(name, 80) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
