"""Text from servers, logs and model files, which may hold anything."""

from __future__ import annotations


def one_line(text: str, limit: int = 300) -> str:
    """Foreign text made fit for a message: one line, printable, at most `limit` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else f"{flat[:limit]}…"
