"""Units: the factors between them, and how a quantity is written for a person."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000
MS_PER_S = 1_000
BYTES_PER_MB = 2**20
"""1 MB = 2²⁰ bytes throughout, as the registry benchmark's documents use it."""
BYTES_PER_GB = 2**30
J_PER_WH = 3_600


def seconds(duration_ns: int) -> float:
    """Nanoseconds as seconds."""
    return duration_ns / NS_PER_S


def number_of(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun as a person says it: 1 request, 2 requests, 1,500 requests.

    `plural` is for what takes more than an s: ("request was", "requests were").
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent: 0.001234 → 0.00123."""
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    decimals = digits - 1 - exponent
    return f"{round(value, decimals):,.{max(0, decimals)}f}"


def duration(value_s: float) -> str:
    """A duration as a person reads it: 850 µs, 12.3 ms, 1.25 s, 3 min 20 s."""
    # As it will be written: 0.9999 s reads 1.00 s, not 1,000 ms.
    magnitude = float(f"{abs(value_s):.2e}")
    if magnitude >= 100:
        minutes, rest = divmod(round(abs(value_s)), 60)
        return f"{'-' if value_s < 0 else ''}{minutes} min {rest} s"
    for factor, unit in ((1, "s"), (MS_PER_S, "ms")):
        if magnitude * factor >= 1:
            return f"{significant(value_s * factor)} {unit}"
    return f"{significant(value_s * 1e6)} µs"
