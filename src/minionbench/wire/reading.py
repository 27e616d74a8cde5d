"""An exchange becomes a reply: what every dialect does alike once it knows what a frame says.

Read strictly: an answer counts as a success only when every frame parsed, the protocol's closing
frame and a finish reason came, and the body was whole. A failed answer keeps what had arrived
before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Protocol, TypeVar

import msgspec

from minionbench.exchange import Endpoint, EngineTimings, Exchange, Failure, Outcome, Reply, Usage
from minionbench.wire.arrival import ArrivalLog
from minionbench.wire.failures import (
    content_kind,
    failure_of_error_event,
    failure_of_status,
    is_web_page,
    outcome_of,
)
from minionbench.wire.frame import Frame, Frames
from minionbench.wire.said import NOTHING, NotInProtocol, Said, ServerError
from minionbench.wire.secrecy import hide, secrets_of
from minionbench.wire.sse import NotAnEventStream
from minionbench.wire.stencil import Slots, Stencil, cut_stencil
from minionbench.wire.utf8 import wrong_utf8_at

PATIENCE = 16
"""Stencils that may be cut in vain, one after the other, before frames are taken to differ."""
LARGEST = 2**53
"""No count or duration is larger, and JSON carries up to here exactly."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not the JSON that was expected."""
_BROKEN_OFF = ("abort", "error", "insufficient_system_resource", "load", "unload")
"""Finish reasons of an answer that the server gave up, or never began: vLLM and SGLang,
OpenRouter, DeepSeek, Ollama."""
_FILTERED = ("content_filter", "refusal")
_Number = TypeVar("_Number", int, float)


class Grammar(Protocol):
    """What is a dialect's own in reading an answer. Without memory: a frame says what it says."""

    frame_name: str
    """What a frame is, with its article."""
    closing: str
    """Name of the closing frame."""
    media_types: tuple[str, ...]
    slots: Slots

    def frames(self, body: bytes) -> Frames:
        """The frames of a body."""
        ...

    def said(self, data: bytes) -> Said:
        """What a frame says. Raises NotInProtocol, ServerError, or what decoding JSON raises."""
        ...

    def usage(self, counts: Sequence[Any]) -> Usage:
        """Usage from the counts of all frames that had some, in order; at least one."""
        ...


def read_reply(exchange: Exchange, endpoint: Endpoint, grammar: Grammar) -> Reply:
    """The reply that an exchange amounts to; a failed one keeps what had arrived before."""
    manners = endpoint.manners
    reading = Reading(
        exchange,
        grammar,
        closing_mark=manners.closing_mark,
        summarised=manners.summarised,
        visible_ends=endpoint.visible_ends,
    )
    if reading.refused_by_status:
        failure = failure_of_status(exchange, endpoint)
        reading.fail(outcome_of(failure, Outcome.HTTP_ERROR), failure)
    elif exchange.body:
        reading.read()
    if not manners.closing_mark and reading.finish_reason is not None:
        reading.closed = True
    reading.conclude()
    return reading.reply(endpoint)


def known(value: _Number | None) -> _Number | None:
    """A count or a duration; None for what cannot be one, such as llama.cpp's −1 for "not set"."""
    return value if value is not None and 0 <= value <= LARGEST else None


LONGEST_WORD = 32


def known_word(value: Any) -> str | None:
    """A word of a provider's own vocabulary; None for what cannot be one."""
    plain = isinstance(value, str) and 0 < len(value) <= LONGEST_WORD and value.isprintable()
    return value if plain else None


class Reading:
    """One exchange while its frames are read."""

    def __init__(
        self,
        exchange: Exchange,
        grammar: Grammar,
        *,
        closing_mark: bool = True,
        summarised: bool = False,
        visible_ends: bool = False,
        patience: int = PATIENCE,
    ) -> None:
        """`closing_mark` tells whether the closing frame must come, `summarised` whether reasoning
        comes as a summary only, `visible_ends` whether it is kept how far the visible text had come
        with each event; with a patience of 0 every frame is decoded by itself."""
        self.exchange = exchange
        self.grammar = grammar
        self.outcome: Outcome | None = None
        self.failure: Failure | None = None
        self.log = ArrivalLog(exchange)
        self.text: list[str] = []
        self._text_parts: list[int] | None = [] if visible_ends else None
        """Parts of the text that had come with each token-bearing event, where that is kept."""
        self.thoughts: list[str] = []
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.counts: list[Any] = []
        self.engine: EngineTimings | None = None
        self.likeliest: tuple[tuple[str, float], ...] | None = None
        self.refused = False
        """Whether the model refused by the protocol's own word."""
        self.closed = False
        status = exchange.status
        self.refused_by_status = status is not None and not 200 <= status < 300
        self._needs_closing = closing_mark
        self._summarised = summarised
        self._aside = False
        """Whether a summary has come."""
        self._stencil: Stencil | None = None
        self._most_patience = self._patience = patience

    def fail(self, outcome: Outcome, failure: Failure) -> None:
        """Takes a failure; the first one counts."""
        if self.outcome is None:
            self.outcome, self.failure = outcome, failure

    def read(self) -> None:
        """Reads the frames, up to the first that is a failure."""
        exchange = self.exchange
        kind = content_kind(exchange)
        coding = exchange.headers.get("content-encoding", "identity").lower()
        if kind not in self.grammar.media_types or coding != "identity":
            self._refuse_body(kind, coding)
            return
        body = exchange.body
        wrong_byte = wrong_utf8_at(body)
        if wrong_byte is not None:
            # Without the line that it spoils.
            line_end = max(body.rfind(b"\n", 0, wrong_byte), body.rfind(b"\r", 0, wrong_byte))
            body = body[: line_end + 1]
        try:
            self._read_frames(body)
        except NotAnEventStream as error:
            self._malformed(str(error))
        if wrong_byte is not None:
            self._malformed(f"invalid UTF-8 at byte {wrong_byte} of the answer")

    def _read_frames(self, body: bytes) -> None:
        frames = self.grammar.frames(body)
        position = 0
        while self.outcome is None:
            if self._stencil is not None and not self.closed:
                position = self._take_runs(body, position)
            frame = frames.next(position)
            if frame is None:
                return
            said = self._said(frame)
            if said is None:
                return
            if self._summarised and said.reasoning:
                said = msgspec.structs.replace(said, reasoning="", aside=said.reasoning)
            self._take(said, frame.end)
            position = frame.end
            if self._patience and (said.visible or said.reasoning):
                self._cut_stencil(body[frame.start : frame.end], said)

    def _take_runs(self, body: bytes, position: int) -> int:
        """Takes the frames that the stencil fits; the position after them."""
        stencil = self._stencil
        assert stencil is not None
        while run := stencil.next_run(body, position):
            (self.thoughts if stencil.reasoning else self.text).extend(run.texts)
            self.log.token_run(run.ends, reasoning=stencil.reasoning)
            if self._text_parts is not None:
                parts, size = len(self.text), len(run.texts)
                self._text_parts += (
                    [parts] * size if stencil.reasoning else range(parts - size + 1, parts + 1)
                )
            position = run.ends[-1]
            self._patience = self._most_patience
        return position

    def _cut_stencil(self, raw: bytes, said: Said) -> None:
        """Cuts a stencil from a frame of text that had to be decoded.

        Frames that are never alike cost no more than the patience.
        """
        self._patience -= 1
        stencil = cut_stencil(raw, said, self.grammar.slots, self._said_of_bytes)
        self._stencil = (stencil or self._stencil) if self._patience else None

    def _said_of_bytes(self, raw: bytes) -> Said | None:
        """What these bytes would say as a frame; None when they are not exactly one good frame."""
        try:
            frame = self.grammar.frames(raw).next(0)
            if frame is None or frame.end != len(raw) or frame.error:
                return None
            return self.grammar.said(frame.data)
        except (NotAnEventStream, NotInProtocol, ServerError, *_UNREADABLE):
            return None

    def _said(self, frame: Frame) -> Said | None:
        """What a frame says; None when it is a failure, which is taken."""
        if frame.error:
            self._take_error(_error_object(frame.data), frame.data)
            return None
        try:
            return self.grammar.said(frame.data)
        except ServerError as error:
            self._take_error(error.error, frame.data)
        except NotInProtocol as error:
            self._malformed(f"{self._not_a_frame()}: {error}")
        except _UNREADABLE as error:
            self._malformed(f"{self._not_a_frame()}: {error}")
        return None

    def _take(self, said: Said, end: int) -> None:
        """Takes what a frame says that ends before byte `end` of the body."""
        if self.closed and not said.closes and said is not NOTHING:
            self._malformed(f"events follow the stream's {self.grammar.closing}")
            return
        if said.visible or said.reasoning:
            if said.visible:
                if said.likeliest is not None and not "".join(self.text).strip():
                    self.likeliest = said.likeliest
                self.text.append(said.visible)
            if said.reasoning:
                self.thoughts.append(said.reasoning)
            self.log.token_event(end, said.visible, said.reasoning)
            if self._text_parts is not None:
                self._text_parts.append(len(self.text))
        else:
            self.log.event(end)
        if said.aside:
            self.thoughts.append(said.aside)
            self._aside = True
        if said.finish_reason is not None:
            self.finish_reason = said.finish_reason
        if said.counts is not None:
            self.counts.append(said.counts)
        if said.engine is not None:
            self.engine = said.engine
        self.refused = self.refused or said.refusal
        self.closed = self.closed or said.closes
        if self.model is None:
            self.model = said.model or None

    def _take_error(self, error: Any, raw: bytes) -> None:
        failure = failure_of_error_event(error, raw)
        self.fail(outcome_of(failure, Outcome.STREAM_ERROR), failure)

    def _malformed(self, message: str) -> None:
        self.fail(Outcome.MALFORMED, Failure(message=message))

    def _not_a_frame(self) -> str:
        return f"a part of the answer is not {self.grammar.frame_name}"

    def _refuse_body(self, kind: str, coding: str) -> None:
        body = self.exchange.body
        if kind == "application/json":
            error = _error_object(body, only_if_named=True)
            if error is not None:
                self._take_error(error, body)
                return
        what = f"content type {kind or 'none'}"
        if coding != "identity":
            what += f", compressed with {coding}"
        beginning = body[:80].decode("utf-8", "replace")
        if is_web_page(kind, body):
            message = (
                "a web page came instead of an answer, as a proxy or a network's login page "
                f"sends it; check the base URL and the network ({what})"
            )
        else:
            message = f"the answer is no event stream ({what})"
        self._malformed(f"{message}; it begins {beginning!r}")

    def conclude(self) -> None:
        """Settles the outcome: what the connection did, and whether the answer says it is whole."""
        exchange = self.exchange
        if exchange.outcome is None:
            if self.outcome is None:
                self._require_end()
            return
        if self.refused_by_status:
            self._conclude_cut_refusal(exchange.failure or Failure(message="the answer was cut"))
        elif self.outcome not in (Outcome.STREAM_ERROR, Outcome.FILTERED):
            # It comes before what was read, since a cut body ends in a cut frame; but what a
            # server says of its own error before it closes says more.
            self.outcome, self.failure = exchange.outcome, exchange.failure

    def _conclude_cut_refusal(self, told: Failure) -> None:
        """Keeps what a status said whose body did not arrive whole."""
        assert self.failure is not None
        if self.exchange.outcome is Outcome.CUT:
            self.outcome = Outcome.CUT
            message = f"{told.message} (it had begun: {self.failure.message})"
        else:
            message = f"{self.failure.message} (its text was cut: {told.message})"
        self.failure = msgspec.structs.replace(self.failure, message=message)

    def _require_end(self) -> None:
        grammar = self.grammar
        rest = grammar.frames(self.exchange.body).rest()
        reason = self.finish_reason
        if rest:
            self._malformed(f"the answer ends inside an event: {rest[:40]!r}")
        elif self._needs_closing and not self.closed:
            message = f"the stream ended without {grammar.closing}"
            self.fail(Outcome.MISSING_END, Failure(message=message))
        elif reason is None:
            message = "the stream ended without a finish reason"
            self.fail(Outcome.MISSING_END, Failure(message=message))
        elif reason in _BROKEN_OFF:
            message = f"the server broke the answer off (finish reason {reason})"
            self.fail(Outcome.STREAM_ERROR, Failure(message=message))
        elif reason in _FILTERED or self.refused:
            who = "the model refused to answer"
            if reason == "content_filter":
                who = "the provider's filter stopped the answer"
            message = f"{who} (finish reason {reason})"
            self.fail(Outcome.FILTERED, Failure(message=message, code=reason))

    def _visible_ends(self) -> tuple[int, ...]:
        if not self._text_parts:
            return ()
        lengths = list(accumulate(map(len, self.text), initial=0))
        return tuple(lengths[parts] for parts in self._text_parts)

    def reply(self, endpoint: Endpoint) -> Reply:
        """The reply as read so far."""
        exchange, log = self.exchange, self.log
        secrets = secrets_of(endpoint)

        def shown(text: str | None) -> str | None:
            return None if text is None else hide(text, secrets)

        failure = self.failure
        if failure is not None:
            failure = msgspec.structs.replace(
                failure, message=hide(failure.message, secrets), code=shown(failure.code)
            )
        headers = exchange.headers
        return Reply(
            outcome=self.outcome or Outcome.OK,
            failure=failure,
            text=None if log.first_event_ns is None else hide("".join(self.text), secrets),
            reasoning=hide("".join(self.thoughts), secrets) if self.thoughts else None,
            summarised=self._aside,
            finish_reason=shown(self.finish_reason),
            model=shown(self.model),
            request_id=shown(headers.get("x-request-id") or headers.get("request-id")),
            usage=self.grammar.usage(self.counts) if self.counts else None,
            engine=self.engine,
            likeliest=self.likeliest,
            planned_ns=exchange.planned_ns,
            admitted_ns=exchange.admitted_ns,
            connect_start_ns=exchange.connect_start_ns,
            connect_end_ns=exchange.connect_end_ns,
            sent_ns=exchange.sent_ns,
            sent_end_ns=exchange.sent_end_ns,
            first_byte_ns=exchange.first_byte_ns,
            first_event_ns=log.first_event_ns,
            first_reasoning_ns=log.first_reasoning_ns,
            first_visible_ns=log.first_visible_ns,
            event_ns=tuple(log.token_ns),
            visible_ends=self._visible_ends(),
            end_ns=exchange.end_ns,
            replaced_connections=exchange.replaced_connections,
            arrival=log.arrival(),
        )


def _error_object(data: bytes, *, only_if_named: bool = False) -> Any:
    """The error object in these bytes; the whole of them where none is named, unless only then."""
    try:
        decoded = msgspec.json.decode(data)
    except _UNREADABLE:
        return None
    if not isinstance(decoded, dict):
        return None
    return decoded.get("error", None if only_if_named else decoded)
