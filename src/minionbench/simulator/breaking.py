"""Faults at work: an answer's tokens or steps, changed as a fault has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from minionbench.simulator.asked import Refused
from minionbench.simulator.encoding import Encoder
from minionbench.simulator.faults import Fault
from minionbench.simulator.generation import Generated
from minionbench.simulator.http import LAST_CHUNK, chunk, head, sized
from minionbench.simulator.steps import Step, Then
from minionbench.units import NS_PER_MS, NS_PER_S

GARBAGE = b"\x00\x01\x02 this is no event \xfe\xff {]\n\n"
NO_HTTP = b"SSH-2.0-simulated\r\n"
PORTAL = (
    b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>Please sign in</h1>"
    b'<form action="/login"><input name="room"><button>Connect</button></form></body></html>\n'
)
_BLOCK = 65_536
_GIGABYTE = 2**30
_WRONG = "\N{REPLACEMENT CHARACTER}"


def alter(generated: Generated, faults: Sequence[Fault]) -> None:
    """Applies the faults that concern what was generated."""
    for fault in faults:
        match fault.name:
            case "content_filter":
                generated.text = generated.text[: fault.tokens()]
                generated.finish, generated.stop_sequence = "filter", None
            case "empty":
                generated.text, generated.reasoning = [], []
                generated.finish, generated.stop_sequence = "stop", None
            case "no_usage":
                generated.reports_usage = False
            case "wrong_usage":
                generated.extra_tokens = fault.tokens(1)


def instead(faults: Sequence[Fault]) -> Step | None:
    """The write that a fault gives in place of an answer; None where none does."""
    for fault in faults:
        if fault.name == "html":
            fields = [("Content-Type", "text/html; charset=utf-8")]
            return Step(0, sized(200, fields, PORTAL), then="end")
        if fault.name == "redirect":
            fields = [("Location", fault.text or "https://example.org/")]
            return Step(0, sized(307, fields, b""), then="end")
        if fault.name == "bad_http":
            return Step(0, NO_HTTP, then="close")
    return None


def break_stream(
    steps: Iterator[Step], faults: Sequence[Fault], encoder: Encoder, response_head: bytes
) -> Iterator[Step]:
    """The steps of a streamed answer with the faults in them; the head has a step of its own."""
    for fault in faults:
        steps = _break_stream(steps, fault, encoder, response_head)
    return steps


def _break_stream(
    steps: Iterator[Step], fault: Fault, encoder: Encoder, response_head: bytes
) -> Iterator[Step]:
    match fault.name:
        case "error":
            return _replaced(steps, fault.tokens(), chunk(encoder.failing(_failed())) + LAST_CHUNK)
        case "overload":
            data = chunk(encoder.failing(_overloaded())) + LAST_CHUNK
            return _replaced(steps, fault.tokens(), data)
        case "truncate":
            return _replaced(steps, fault.tokens(), b"", "close")
        case "reset":
            if fault.number is None:
                return iter((Step(0, b"", then="reset"),))
            return _replaced(steps, fault.tokens(), b"", "reset")
        case "missing_end":
            return _replaced(steps, fault.tokens(2**53), LAST_CHUNK)
        case "garbage":
            return _replaced(steps, fault.tokens(), chunk(GARBAGE) + LAST_CHUNK)
        case "bad_chunk":
            return _replaced(steps, fault.tokens(), b"zz\r\n", "close")
        case "stall":
            if fault.second is None:
                return _replaced(steps, fault.tokens(), b"", "hold")
            return _later(steps, int(fault.second * NS_PER_S), fault.tokens())
        case "keep_alive":
            return _kept_alive(steps, fault, chunk(encoder.keep_alive()))
        case "bad_json":
            return _added(steps, fault.tokens(), lambda: _cut_json(encoder.pieces((), ["cut"])))
        case "invalid_utf8":
            return _added(steps, fault.tokens(), lambda: _no_utf8(encoder.pieces((), [_WRONG])))
        case "strange_event":
            return _added(steps, fault.tokens(), encoder.strange)
        case "gigabyte":
            return _endless(steps, fault.tokens(_GIGABYTE), encoder)
        case "short_body":
            return iter(_promised(response_head, b"".join(_bodies(steps))))
        case "close_silently":
            return _closed(steps)
        case "delay":
            return _later(steps, _delay_ns(fault))
    return steps


def break_whole(
    steps: Iterator[Step], faults: Sequence[Fault], headers: list[tuple[str, str]]
) -> Iterator[Step]:
    """The one step of an answer that is not streamed, with the first of the faults in it."""
    step = next(steps)
    for fault in faults:
        broken = _break_whole(step, fault, headers)
        if broken is not None:
            return broken
    return iter((step,))


def break_pull(steps: Sequence[Step], faults: Sequence[Fault]) -> Iterator[Step]:
    """The progress of fetching a model, with the faults that can happen to it."""
    for fault in faults:
        half = steps[: len(steps) // 2]
        at = half[-1].due_ns
        match fault.name:
            case "error" | "overload":
                line = b'{"error":"max retries exceeded: connection reset"}\n'
                return iter((*half, Step(at, chunk(line) + LAST_CHUNK, then="end")))
            case "truncate":
                return iter((*half, Step(at, b"", then="close")))
            case "reset":
                return iter((*half, Step(at, b"", then="reset")))
            case "stall":
                return iter((*half, Step(at, b"", then="hold")))
    return iter(steps)


def _break_whole(step: Step, fault: Fault, headers: list[tuple[str, str]]) -> Iterator[Step] | None:
    response_head, separator, body = step.data.partition(b"\r\n\r\n")
    half = response_head + separator + body[: len(body) // 2]
    chunked = head(200, [*headers, ("Transfer-Encoding", "chunked")])
    endings: dict[str, Then] = {"truncate": "close", "reset": "reset", "stall": "hold"}
    at = step.due_ns
    match fault.name:
        case "reset" if fault.number is None:
            return iter((Step(0, b"", then="reset"),))
        case "truncate" | "reset" | "stall":
            return iter((Step(at, half, then=endings[fault.name]),))
        case "missing_end" | "bad_json":
            return iter((_body_step(at, headers, body[: len(body) // 2]),))
        case "garbage":
            return iter((_body_step(at, headers, GARBAGE),))
        case "invalid_utf8":
            middle = max(body.rfind(b'"'), 0)  # an answer may have no text, or no body at all
            broken = body[:middle] + b"\xff\xfe" + body[middle:]
            return iter((_body_step(at, headers, broken),))
        case "bad_chunk":
            return iter((Step(at, chunked + b"zz\r\n", then="close"),))
        case "short_body":
            return iter(_promised(head(200, headers), body))
        case "keep_alive":
            ending = step._replace(data=chunk(body) + LAST_CHUNK)
            return _kept_alive(iter((Step(0, chunked), ending)), fault, chunk(b"\n"))
        case "gigabyte":
            blocks = fault.tokens(_GIGABYTE) // _BLOCK + 1
            block = chunk(b" " * _BLOCK)
            steps = (Step(at, block if index else chunked + block) for index in range(blocks))
            return chain(steps, (Step(at, LAST_CHUNK, then="end"),))
        case "close_silently":
            return iter((step._replace(then="close"),))
        case "delay":
            return iter((step._replace(due_ns=at + _delay_ns(fault)),))
    return None


def _body_step(at_ns: int, headers: list[tuple[str, str]], body: bytes) -> Step:
    return Step(at_ns, sized(200, headers, body), then="end", kind="close")


def _failed() -> Refused:
    return Refused("server_error", "The server had an error while processing your request")


def _overloaded() -> Refused:
    return Refused("overloaded", "Overloaded")


def _delay_ns(fault: Fault) -> int:
    return fault.tokens(100) * NS_PER_MS


def _at_token(
    steps: Iterator[Step], tokens: int, inject: Callable[[Step], Iterable[Step]], *, go_on: bool
) -> Iterator[Step]:
    """The steps with others before the one that would be the next after `tokens` tokens."""
    written, waiting = 0, True
    for step in steps:
        if waiting and step.kind != "head" and (written >= tokens or step.kind == "close"):
            waiting = False
            yield from inject(step)
            if not go_on:
                return
        written += step.reasoning + step.text
        yield step


def _replaced(
    steps: Iterator[Step], tokens: int, data: bytes, then: Then = "end"
) -> Iterator[Step]:
    return _at_token(steps, tokens, lambda step: (Step(step.due_ns, data, then=then),), go_on=False)


def _added(steps: Iterator[Step], tokens: int, data: Callable[[], bytes]) -> Iterator[Step]:
    return _at_token(steps, tokens, lambda step: (Step(step.due_ns, chunk(data())),), go_on=True)


def _later(steps: Iterator[Step], by_ns: int, tokens: int = -1) -> Iterator[Step]:
    written = 0
    for step in steps:
        late = tokens < 0 or (step.kind != "head" and written >= tokens)
        written += step.reasoning + step.text
        yield step._replace(due_ns=step.due_ns + by_ns) if late else step


def _kept_alive(steps: Iterator[Step], fault: Fault, data: bytes) -> Iterator[Step]:
    whole_ns = int((1.0 if fault.number is None else fault.number) * NS_PER_S)
    count = 3 if fault.second is None else int(fault.second)
    waiting = True
    for step in steps:
        if waiting and step.kind != "head":
            waiting = False
            yield from (Step(whole_ns * n // (count + 1), data) for n in range(1, count + 1))
        yield step if step.kind == "head" else step._replace(due_ns=step.due_ns + whole_ns)


def _cut_json(event: bytes) -> bytes:
    line, end = event.rstrip(b"\n"), event[len(event.rstrip(b"\n")) :]
    return line[:-3] + end


def _no_utf8(event: bytes) -> bytes:
    return event.replace(_WRONG.encode(), b"\xff\xfe")


def _endless(steps: Iterator[Step], size: int, encoder: Encoder) -> Iterator[Step]:
    for step in steps:
        if step.kind != "head":
            for _ in range(size // _BLOCK + 1):
                yield Step(step.due_ns, chunk(encoder.pieces((), ["x" * _BLOCK])))
            yield Step(step.due_ns, LAST_CHUNK, then="end")
            return
        yield step


def _bodies(steps: Iterator[Step]) -> Iterator[bytes]:
    """The body's bytes of a chunked answer, framing taken off."""
    first = True
    for step in steps:
        data = step.data.partition(b"\r\n\r\n")[2] if first else step.data
        first = False
        while data:
            line, _, rest = data.partition(b"\r\n")
            size = int(line, 16)
            yield rest[:size]
            data = rest[size + 2 :]


def _promised(response_head: bytes, body: bytes) -> tuple[Step, ...]:
    lines = [
        line for line in response_head.split(b"\r\n") if not line.startswith(b"Transfer-Encoding")
    ]
    status_line, *fields = [line for line in lines if line]
    length = b"Content-Length: %d" % (len(body) + 64)
    data = b"\r\n".join([status_line, *fields, length]) + b"\r\n\r\n" + body
    return (Step(0, data, then="close"),)


def _closed(steps: Iterator[Step]) -> Iterator[Step]:
    for step in steps:
        yield step._replace(then="close") if step.then == "end" else step
