"""Quantities of one call, each a function of its `Reply`: durations, rates and gaps.

A quantity is called like a function and gives its value, or None where the reply has none;
`quantity.or_absence(reply)` gives the reason instead of None. Nothing is clamped or guessed:
instants out of order raise NegativeInterval, tokens are those that the server counted, gaps are
those that were observed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import pairwise
from typing import Generic, TypeVar

from minionbench.exchange import Outcome, Reply
from minionbench.units import seconds

THOUGHT_MARKS = ("<think>", "<thinking>", "<|channel>thought", "<|channel|>analysis", "[THINK]")
"""How models open a thought inside their text: Qwen, DeepSeek and most; Gemma; gpt-oss; Mistral."""
THOUGHT_ENDS = ("</think>", "</thinking>", "[/THINK]")

SubjectT = TypeVar("SubjectT")
ValueT = TypeVar("ValueT")


class NegativeInterval(ValueError):
    """Two instants in an order that cannot be: a fault of the program, or a clock that stepped."""


class Absence(StrEnum):
    """Why there is no value."""

    FAILED = "the request failed"
    CENSORED = "cut off or never sent when the run ended"
    ABSTAINED = "ended without an answer"
    NO_TOKEN = "the answer holds no token"
    NO_VISIBLE_TOKEN = "the answer holds no visible token"
    NO_USAGE = "the server did not count the generated tokens"
    NO_REASONING = "the answer holds no reasoning"
    HIDDEN_REASONING = "the server reasoned without streaming the tokens of its reasoning"
    TOO_SHORT = "the answer holds fewer than two tokens"
    AT_ONCE = "all tokens arrived at once"
    ONE_EVENT = "the answer came in one event, which has no gaps"
    UNEVEN_EVENTS = "the answer's events are not one token each"
    TOKEN_EVENTS = "the answer's events are one token each: their gaps are itl_s"


class Quantity(Generic[SubjectT, ValueT]):
    """A quantity of a reply or a record: call it for the value, None where there is none."""

    def __init__(self, measure: Callable[[SubjectT], ValueT | Absence]) -> None:
        self._measure = measure
        self.__name__ = measure.__name__
        self.__doc__ = measure.__doc__

    def __call__(self, subject: SubjectT) -> ValueT | None:
        value = self._measure(subject)
        return None if isinstance(value, Absence) else value

    def or_absence(self, subject: SubjectT) -> ValueT | Absence:
        """The value, or why there is none."""
        return self._measure(subject)


def interval_ns(start_ns: int, end_ns: int, what: str) -> int:
    """The time from one instant to a later one, in nanoseconds.

    Raises NegativeInterval when they are in the wrong order.
    """
    if end_ns < start_ns:
        raise NegativeInterval(f"{what} ends {start_ns - end_ns} ns before it starts")
    return end_ns - start_ns


def outcome_absence(outcome: Outcome) -> Absence | None:
    """What an outcome says about every duration of its request; None for a success."""
    if outcome is Outcome.OK:
        return None
    if outcome in (Outcome.CUT, Outcome.NOT_SENT):
        return Absence.CENSORED
    return Absence.FAILED


def hides_reasoning(reply: Reply) -> bool:
    """Whether the server generated reasoning that it counted or summed up, but did not stream."""
    usage = reply.usage
    return reply.summarised or bool(
        usage and usage.reasoning_tokens and reply.first_reasoning_ns is None
    )


def shows_reasoning(reply: Reply) -> bool:
    """Whether a reply holds reasoning: as text of its own, as a count, or inside its visible text.

    An answer whose text was not kept can show it in the first two ways only.
    """
    counted = reply.usage is not None and bool(reply.usage.reasoning_tokens)
    return counted or reply.first_reasoning_ns is not None or holds_thought(reply)


def holds_thought(reply: Reply) -> bool:
    """Whether the visible text has a thought in it, between the marks that models put around one.

    A mark in the middle of an answer about such marks is none: a thought opens the text, or is
    closed in it (templates may open it themselves).
    """
    text = reply.text
    return text is not None and (
        text.lstrip().startswith(THOUGHT_MARKS) or any(end in text for end in THOUGHT_ENDS)
    )


def output_tokens(reply: Reply) -> int | None:
    """Generated tokens, reasoning included: as the server counted them while it generated, else as
    its tokenizer counts the text that came; None where neither is known.

    Never the requested length, never the number of events.
    """
    told = told_tokens(reply)
    return reply.tokenizer_tokens if told is None else told


def told_tokens(reply: Reply) -> int | None:
    """Generated tokens, reasoning included: as the server's usage has them, else as the engine
    counted what it generated; None where neither says."""
    if reply.usage is not None and reply.usage.completion_tokens is not None:
        return reply.usage.completion_tokens
    return reply.engine.predicted_tokens if reply.engine is not None else None


def _span(reply: Reply) -> tuple[int, int, int] | Absence:
    """Sent, first token, last token; checked for order."""
    absence = outcome_absence(reply.outcome)
    if absence:
        return absence
    if not reply.event_ns:
        return Absence.NO_TOKEN
    if reply.sent_ns is None:
        raise NegativeInterval("an answer arrived to a request that was never sent")
    first, last = reply.event_ns[0], reply.event_ns[-1]
    interval_ns(reply.sent_ns, first, "the time to the first token")
    interval_ns(first, last, "the time from first to last token")
    return reply.sent_ns, first, last


def _decode(reply: Reply) -> tuple[int, int] | Absence:
    """Tokens after the first, and the nanoseconds between first and last token."""
    span = _span(reply)
    if isinstance(span, Absence):
        return span
    if hides_reasoning(reply):
        return Absence.HIDDEN_REASONING
    tokens = output_tokens(reply)
    if tokens is None:
        return Absence.NO_USAGE
    if tokens < 2:
        return Absence.TOO_SHORT
    _, first, last = span
    if first == last:
        return Absence.AT_ONCE
    return tokens - 1, last - first


@Quantity[Reply, float]
def ttft_s(reply: Reply) -> float | Absence:
    """Time to the first generated token of any kind, in seconds.

    Formula: first token-bearing event − sent. An upper bound where `arrival.first_merged`.
    None where the server hides its reasoning, since the first token was generated unseen.
    """
    span = _span(reply)
    if isinstance(span, Absence):
        return span
    if hides_reasoning(reply):
        return Absence.HIDDEN_REASONING
    sent, first, _ = span
    return seconds(first - sent)


@Quantity[Reply, float]
def ttfo_s(reply: Reply) -> float | Absence:
    """Time to the first visible token, in seconds.

    Formula: first visible token − sent. None for an answer of reasoning alone.
    """
    span = _span(reply)
    if isinstance(span, Absence):
        return span
    if reply.first_visible_ns is None:
        return Absence.NO_VISIBLE_TOKEN
    return seconds(interval_ns(span[0], reply.first_visible_ns, "the time to the first output"))


@Quantity[Reply, float]
def first_reasoning_s(reply: Reply) -> float | Absence:
    """Time to the first token of reasoning, in seconds.

    Formula: first reasoning token − sent. None for an answer without reasoning, and where the
    server hides it.
    """
    span = _span(reply)
    if isinstance(span, Absence):
        return span
    if hides_reasoning(reply):
        return Absence.HIDDEN_REASONING
    if reply.first_reasoning_ns is None:
        return Absence.NO_REASONING
    return seconds(interval_ns(span[0], reply.first_reasoning_ns, "the time to the first thought"))


@Quantity[Reply, float]
def total_latency_s(reply: Reply) -> float | Absence:
    """Time from sending to the last token, in seconds.

    Formula: last token-bearing event − sent. Usage and end markers after it do not count.
    """
    span = _span(reply)
    return span if isinstance(span, Absence) else seconds(span[2] - span[0])


@Quantity[Reply, float]
def response_time_s(reply: Reply) -> float | Absence:
    """Time from the planned instant to the last token, in seconds: what a user waits.

    Formula: last token-bearing event − planned. It holds the queueing that total latency leaves
    out.
    """
    span = _span(reply)
    if isinstance(span, Absence):
        return span
    return seconds(interval_ns(reply.planned_ns, span[2], "the response time"))


@Quantity[Reply, float]
def tpot_s(reply: Reply) -> float | Absence:
    """Time per output token after the first, in seconds.

    Formula: (total latency − TTFT)/(n_out − 1). None for n_out < 2, without the server's count,
    with hidden reasoning, and where all tokens arrived at once.
    """
    decode = _decode(reply)
    return decode if isinstance(decode, Absence) else seconds(decode[1]) / decode[0]


@Quantity[Reply, float]
def decode_tokens_per_s(reply: Reply) -> float | Absence:
    """Decode rate in tokens per second.

    Formula: (n_out − 1)/(last token − first token). None where `tpot_s` is.
    """
    decode = _decode(reply)
    return decode if isinstance(decode, Absence) else decode[0] / seconds(decode[1])


def _gaps(reply: Reply) -> tuple[float, ...] | Absence:
    span = _span(reply)
    if isinstance(span, Absence):
        return span
    at = reply.event_ns
    if len(at) < 2:
        return Absence.ONE_EVENT
    return tuple(
        seconds(interval_ns(before, after, "a gap between events"))
        for before, after in pairwise(at)
    )


@Quantity[Reply, tuple[float, ...]]
def itl_s(reply: Reply) -> tuple[float, ...] | Absence:
    """Gaps between tokens, in seconds: one fewer than there are tokens, in order.

    Only where each event is one token: the server's count equals the number of token-bearing
    events. Else the gaps are `icl_s`.
    """
    gaps = _gaps(reply)
    if isinstance(gaps, Absence):
        return gaps
    if hides_reasoning(reply):
        return Absence.HIDDEN_REASONING
    tokens = output_tokens(reply)
    if tokens is None:
        return Absence.NO_USAGE
    return gaps if tokens == len(reply.event_ns) else Absence.UNEVEN_EVENTS


@Quantity[Reply, tuple[float, ...]]
def icl_s(reply: Reply) -> tuple[float, ...] | Absence:
    """Gaps between token-bearing events, in seconds, in order; never interpolated.

    An event may hold several tokens or part of one. Events that shared a read have a gap of 0:
    they really did reach the program together.
    """
    return _gaps(reply)


def connect_s(reply: Reply) -> float | None:
    """Time that opening the connection took, in seconds; no part of any other quantity.

    None where a connection was used that was already open, or none came about.
    """
    if reply.connect_start_ns is None or reply.connect_end_ns is None:
        return None
    return seconds(interval_ns(reply.connect_start_ns, reply.connect_end_ns, "the connect time"))


def upload_s(reply: Reply) -> float | None:
    """Time that writing the request took, in seconds; None when it was not written whole."""
    if reply.sent_ns is None or reply.sent_end_ns is None:
        return None
    return seconds(interval_ns(reply.sent_ns, reply.sent_end_ns, "the upload"))


def queueing_s(reply: Reply) -> float | None:
    """Time that the call waited for a slot of its endpoint, in seconds: admitted − planned.

    None when it never got one.
    """
    if reply.admitted_ns is None:
        return None
    return seconds(interval_ns(reply.planned_ns, reply.admitted_ns, "the queueing"))


def start_lag_ns(reply: Reply) -> int | None:
    """The harness's own delay before sending, in nanoseconds.

    Formula: sent − admitted, less the part of it in which the connection was being made: a call
    that may go should go at once, and connecting is a figure of its own. None when it was never
    sent.
    """
    if reply.sent_ns is None or reply.admitted_ns is None:
        return None
    waited_ns = interval_ns(reply.admitted_ns, reply.sent_ns, "the start lag")
    if reply.connect_start_ns is None or reply.connect_end_ns is None:
        return waited_ns
    connecting_since_ns = max(reply.admitted_ns, reply.connect_start_ns)
    return waited_ns - max(0, min(reply.sent_ns, reply.connect_end_ns) - connecting_since_ns)
