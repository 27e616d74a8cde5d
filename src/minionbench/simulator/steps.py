"""An answer as steps: what is to be written, and when, in nanoseconds after admission."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from minionbench.simulator.encoding import Encoder
from minionbench.simulator.generation import Generated
from minionbench.simulator.http import LAST_CHUNK, chunk, sized

Then: TypeAlias = Literal["go on", "end", "close", "reset", "hold"]
"""What follows a step's write: the next step; the end of the answer; the connection's proper end;
its reset; or nothing, for as long as the client waits."""


class Step(NamedTuple):
    """One write."""

    due_ns: int
    data: bytes
    reasoning: int = 0
    """Tokens of reasoning in it."""
    text: int = 0
    """Tokens of the visible answer in it."""
    then: Then = "go on"
    kind: Literal["head", "tokens", "close"] = "head"


def streamed(
    head: bytes,
    encoder: Encoder,
    generated: Generated,
    ready_ns: list[int],
    *,
    per_event: int,
    per_write: int,
    early_head: bool,
) -> Iterator[Step]:
    """The steps of a streamed answer.

    `ready_ns` has an instant for each token of reasoning, then of the answer. Hidden reasoning
    takes its time but is not written. A write leaves when its last token is ready.
    """
    opening = head + chunk(encoder.opening())
    if early_head:
        yield Step(0, opening)
        opening = b""
    thoughts, text = generated.reasoning, generated.text
    skipped = 0 if generated.shown else len(thoughts)
    total, size = len(thoughts) + len(text), per_event * per_write
    for start in range(skipped, total, size):
        stop = min(start + size, total)
        reasoning = thoughts[start:stop]
        visible = text[max(0, start - len(thoughts)) : max(0, stop - len(thoughts))]
        data = encoder.pieces(events(reasoning, per_event), events(visible, per_event))
        yield Step(
            ready_ns[stop - 1],
            opening + chunk(data),
            len(reasoning),
            len(visible),
            kind="tokens",
        )
        opening = b""
    end = ready_ns[-1] if ready_ns else 0
    yield Step(end, opening + chunk(encoder.closing()) + LAST_CHUNK, then="end", kind="close")


def events(pieces: list[str], per_event: int) -> list[str]:
    """The texts of the events when each holds `per_event` tokens."""
    if per_event == 1:
        return pieces
    return ["".join(pieces[at : at + per_event]) for at in range(0, len(pieces), per_event)]


def whole(
    headers: list[tuple[str, str]], encoder: Encoder, generated: Generated, ready_ns: list[int]
) -> Iterator[Step]:
    """The one step of an answer that is not streamed: it leaves when its last token is ready."""
    shown = len(generated.reasoning) if generated.shown else 0
    yield Step(
        ready_ns[-1] if ready_ns else 0,
        sized(200, headers, encoder.whole()),
        shown,
        len(generated.text),
        then="end",
        kind="close",
    )
