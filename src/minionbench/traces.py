"""Traces: what meters said while a run went on, as they said it, in integers.

A trace is a list of facts in the order in which they came: which streams there are, what each of
them showed when it was looked at, and which part of the run lay between which instants. Counters
are kept as received: that one began anew from 0 is arithmetic, and belongs to whoever reads it.
A look that failed is a fact as well: it has no value, and says why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

import msgspec

from minionbench.errors import SchemaError

TRACE_VERSION = 1
"""Form of the facts; raised when a field changes its meaning."""

Quantity: TypeAlias = Literal["energy", "power", "memory", "share"]
"""A counter that only grows (until it wraps), or what holds at the instant of the look."""
Unit: TypeAlias = Literal["uJ", "mJ", "mW", "bytes", "permille"]
Scope: TypeAlias = Literal[
    "package", "dram", "core", "uncore", "psys", "gpu", "soc", "wall", "process-tree", "server"
]
"""What part of a machine, or of the software on it, a stream is about."""
Basis: TypeAlias = Literal["measured", "modelled"]
PhaseName: TypeAlias = Literal["idle", "warmup", "measured"]

UNITS: dict[Quantity, frozenset[Unit]] = {
    "energy": frozenset({"uJ", "mJ"}),
    "power": frozenset({"mW"}),
    "memory": frozenset({"bytes"}),
    "share": frozenset({"permille"}),
}
"""The units that each quantity comes in."""


class Begun(msgspec.Struct, frozen=True, array_like=True, tag="begun"):
    """From here on the facts are of one stretch of measuring, on one monotonic clock.

    A run may have several: one for each model that it measures, and one after an interruption.
    """

    at_ns: int
    utc: str
    """The wall clock at `at_ns`, ISO 8601: a label for people."""
    boot: str | None = None
    """Which start of the machine the clock counts from; None where that is not known."""
    version: int = TRACE_VERSION


class Stream(msgspec.Struct, frozen=True, array_like=True, tag="stream"):
    """One thing that is looked at again and again.

    Raises ValueError for a unit that does not fit the quantity.
    """

    stream_id: str
    """Unique within a stretch, as `rapl/package-0`."""
    quantity: Quantity
    unit: Unit
    covers: str
    """What it is about, for a person: `processor package 0`."""
    scope: Scope
    inside: tuple[str, ...] = ()
    """Ids of the streams whose values contain this one's: it is never added to them."""
    checks: str | None = None
    """Id of the stream that measures the very same thing another way, where this one is nothing
    but its cross-check (samples of power beside a counter of energy); never added to anything."""
    wraps_at: int | None = None
    """What a counter has counted when it begins anew from 0; None for one that never does."""
    update_ns: int | None = None
    """Time between two updates of the meter itself; None where it is not known."""
    basis: Basis = "measured"
    method: str = ""
    """Where the values come from, for a person: `powercap, intel-rapl:0`."""

    def __post_init__(self) -> None:
        if self.unit not in UNITS[self.quantity]:
            raise ValueError(f"{self.stream_id}: {self.quantity} does not come in {self.unit}")


class Look(msgspec.Struct, frozen=True, array_like=True, tag="look"):
    """What a stream showed at an instant.

    Raises ValueError for a look with neither a value nor a reason, or with both.
    """

    stream_id: str
    at_ns: int
    value: int | None
    """As received, in the stream's unit; None when the look failed."""
    why: str | None = None
    """Why there is no value."""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.why):
            raise ValueError(f"{self.stream_id}: not a look: {self.value!r}, {self.why!r}")


class Mark(msgspec.Struct, frozen=True, array_like=True, tag="mark"):
    """A part of the run, from `start_ns` to `end_ns`."""

    phase: PhaseName
    """`idle`: the engines were loaded and nothing was sent."""
    cells: tuple[str, ...]
    """The cell that was measured or warmed up; of an idle time, those it is the baseline of."""
    repeat: int | None
    """None of an idle time."""
    start_ns: int
    end_ns: int


class Missing(msgspec.Struct, frozen=True, array_like=True, tag="missing"):
    """A meter that there might have been, and why there was none."""

    name: str
    why: str
    remedy: str | None = None
    """What would make it work; None where nothing would, as where there is no such device."""


Fact: TypeAlias = Begun | Stream | Look | Mark | Missing


class TraceSink(Protocol):
    """Where facts go while a run goes on. Called from more than one thread."""

    def keep(self, *facts: Fact) -> None:
        """Keeps facts, in this order, in one go.

        Raises SetupError when they cannot be kept.
        """


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one stretch, or of several on the same clock, sorted by kind."""

    begun: Begun | None = None
    """Of the first of the stretches."""
    streams: tuple[Stream, ...] = ()
    looks: MappingProxyType[str, tuple[Look, ...]] = MappingProxyType({})
    """Of each stream, in order of time; failed ones too."""
    marks: tuple[Mark, ...] = ()
    missing: tuple[Missing, ...] = ()

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> Trace:
        """The trace that these facts make.

        Of several stretches it has all that are on the clock of the last one: the instants of
        those before a restart of the machine mean nothing beside them.
        """
        stretches = list(_stretches(facts))
        boots = [_boot(stretch) for stretch in stretches]
        return _trace(
            [
                fact
                for stretch, boot in zip(stretches, boots, strict=True)
                if boot == boots[-1]
                for fact in stretch
            ]
        )

    def of_quantity(self, *quantities: Quantity) -> tuple[Stream, ...]:
        """The streams of these quantities."""
        return tuple(stream for stream in self.streams if stream.quantity in quantities)


def traces(facts: Iterable[Fact]) -> tuple[Trace, ...]:
    """The stretches that facts are of, in order; looks that came late are put in order of time."""
    return tuple(map(_trace, _stretches(facts)))


def trace_of_cells(facts: Iterable[Fact], cells: Collection[str]) -> Trace | None:
    """The trace of the stretches in which one of these cells was measured; None without any."""
    wanted = set(cells)
    found = [
        stretch
        for stretch in _stretches(facts)
        if any(isinstance(fact, Mark) and wanted.intersection(fact.cells) for fact in stretch)
    ]
    return Trace.of(fact for stretch in found for fact in stretch) if found else None


def _stretches(facts: Iterable[Fact]) -> Iterator[list[Fact]]:
    stretch: list[Fact] = []
    for fact in facts:
        if isinstance(fact, Begun) and stretch:
            yield stretch
            stretch = []
        stretch.append(fact)
    if stretch:
        yield stretch


def _boot(stretch: Sequence[Fact]) -> str | None:
    first = stretch[0]
    return first.boot if isinstance(first, Begun) else None


def _trace(facts: Iterable[Fact]) -> Trace:
    begun: Begun | None = None
    streams: dict[str, Stream] = {}
    looks: dict[str, list[Look]] = {}
    marks: list[Mark] = []
    missing: list[Missing] = []
    for fact in facts:
        match fact:
            case Begun():
                begun = begun or fact
            case Stream():
                streams[fact.stream_id] = fact
            case Look():
                looks.setdefault(fact.stream_id, []).append(fact)
            case Mark():
                marks.append(fact)
            case Missing():
                if fact not in missing:
                    missing.append(fact)
    for of_stream in looks.values():
        of_stream.sort(key=lambda look: look.at_ns)
    return Trace(
        begun=begun,
        streams=tuple(streams.values()),
        looks=MappingProxyType({name: tuple(of_stream) for name, of_stream in looks.items()}),
        marks=tuple(marks),
        missing=tuple(missing),
    )


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)


def encode_fact(fact: Fact) -> bytes:
    """A fact as one line of JSON, newline included."""
    return _encoder.encode(fact) + b"\n"


def decode_facts(lines: Iterable[bytes]) -> Iterator[Fact]:
    """The facts of a trace's file; a last line that was cut off by a kill is left out.

    Raises SchemaError for any other line that is not a fact; it says which line that is.
    """
    for number, line in enumerate(lines, 1):
        if line.endswith(b"\n"):
            try:
                yield _decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise SchemaError(f"line {number} is not a fact of a trace: {error}") from error
