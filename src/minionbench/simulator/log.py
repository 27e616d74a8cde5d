"""The true times of every request, as the simulator's own clock and the kernel have them."""

from __future__ import annotations

from typing import Any

import msgspec

SCHEMA_VERSION = 1


class Write(msgspec.Struct, array_like=True, gc=False):
    """One write of a part of an answer."""

    due_ns: int
    """When it was to leave by the model of time."""
    written_ns: int
    """Just before the call of the kernel that took its last byte."""
    reasoning_tokens: int
    text_tokens: int


class Entry(msgspec.Struct, kw_only=True):
    """One request; instants are nanoseconds of the monotonic clock, None where never reached."""

    number: int
    """Counted from 0 in order of arrival."""
    method: str
    path: str
    model: str | None = None
    stream: bool = False
    status: int | None = None
    faults: tuple[str, ...] = ()
    client_port: int = 0
    began_ns: int
    """The kernel's stamp of the read that brought the request's first byte."""
    arrived_ns: int
    """The kernel's stamp of the read that brought its last byte."""
    stamped_by_kernel: bool
    """False where the kernel gave none, so that the stamps are later than the arrival."""
    admitted_ns: int | None = None
    """A slot was given."""
    writes: list[Write] = msgspec.field(default_factory=list)
    """The writes that carried tokens, in order."""
    end_ns: int | None = None
    """The last write, or the connection's end."""
    outcome: str = "under way"
    """`answered`, `refused`, `broken` by a fault, `client gone`, `stopped`, or `under way`."""
    finish: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    """Generated, whether they were streamed or not."""
    text_tokens: int | None = None
    request: dict[str, Any] | None = None
    """The request's JSON, where the settings keep it; never written to a file."""

    @property
    def token_ns(self) -> list[int]:
        """The instant of each token's write, reasoning first."""
        return [
            write.written_ns
            for write in self.writes
            for _ in range(write.reasoning_tokens + write.text_tokens)
        ]

    @property
    def first_token_ns(self) -> int | None:
        """The write of the first token of any kind."""
        return self.writes[0].written_ns if self.writes else None

    @property
    def first_text_ns(self) -> int | None:
        """The write of the first token of the visible answer."""
        return next((w.written_ns for w in self.writes if w.text_tokens), None)

    @property
    def last_token_ns(self) -> int | None:
        """The write of the last token."""
        return self.writes[-1].written_ns if self.writes else None

    @property
    def ttft_ns(self) -> int | None:
        """First token's write − arrival; None without a token."""
        first = self.first_token_ns
        return None if first is None else first - self.arrived_ns

    @property
    def queued_ns(self) -> int | None:
        """Admission − arrival; None where it was never admitted."""
        return None if self.admitted_ns is None else self.admitted_ns - self.arrived_ns

    @property
    def lateness_max_ns(self) -> int | None:
        """Largest delay of a write behind its due instant; None without a write."""
        return max((w.written_ns - w.due_ns for w in self.writes), default=None)


def line(entry: Entry) -> bytes:
    """An entry as a line of JSON, without the request's own text."""
    fields: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **msgspec.to_builtins(entry)}
    del fields["request"]
    fields["lateness_max_ns"] = entry.lateness_max_ns
    return msgspec.json.encode(fields) + b"\n"


def read_line(text: bytes | str) -> Entry:
    """The entry that a line holds."""
    return msgspec.json.decode(text, type=Entry)
