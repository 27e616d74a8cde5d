"""What reading an answer costs, per event, in every dialect.

Answers of 512 tokens as the servers write them, one token per event, some of them with escapes,
are read again and again: 16 events per read of the socket, as from a quick server, and one event
per read, as when tokens come one at a time. The CPU time of a whole reply is divided by its events.
`decoded` is the same with every event decoded by itself.

    python -m bench.parsing            # ten seconds; prints one JSON object
    python -m bench.parsing --check    # exit code 1 where a target was missed
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from time import thread_time_ns
from typing import Any, cast

from bench.machine import describe_machine
from minionbench.exchange import Endpoint, Exchange, Outcome
from minionbench.wire.dialect import dialect
from minionbench.wire.reading import Grammar, Reading

TOKENS = 512
EVENTS_PER_READ = 16
TARGET_US = 1.0
ROUNDS = 150
REPLIES_PER_ROUND = 2

WORDS = (" the", " model", ",", " answers", " in", " 東京", " a", " moment", ".", " It", " is")
ESCAPED = ("\n", ' "', "\n\n", "\t")
ESCAPED_EVERY = 20
"""One token in so many holds what JSON escapes; in English prose it is about as many."""

ENDPOINT = Endpoint("http://h/v1", "bench")


def _token(index: int) -> str:
    if index % ESCAPED_EVERY == ESCAPED_EVERY - 1:
        return ESCAPED[index // ESCAPED_EVERY % len(ESCAPED)]
    return WORDS[index % len(WORDS)]


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _event(value: object) -> bytes:
    return b"data: " + _line(value) + b"\n\n"


def _typed(kind: str, **fields: object) -> bytes:
    return b"event: " + kind.encode() + b"\n" + _event({"type": kind, **fields})


def _chunk(object_name: str, **choice: object) -> bytes:
    return _event(
        {
            "id": "chatcmpl-9pX0e2cVbW1yq7T3u5ZsAdFgHjK",
            "object": object_name,
            "created": 1_767_225_600,
            "model": "bench",
            "choices": [{"index": 0, **choice, "logprobs": None}],
        }
    )


def _openai(finish: str | None, text: str) -> bytes:
    delta = {} if finish else {"content": text}
    return _chunk("chat.completion.chunk", delta=delta, finish_reason=finish)


def _completions(finish: str | None, text: str) -> bytes:
    return _chunk("text_completion", text=text, finish_reason=finish)


def openai() -> list[bytes]:
    """A stream of chat completions."""
    events = [_openai(None, _token(i)) for i in range(TOKENS)]
    return [*events, _openai("stop", ""), b"data: [DONE]\n\n"]


def completions() -> list[bytes]:
    """A stream of raw completions."""
    events = [_completions(None, _token(i)) for i in range(TOKENS)]
    return [*events, _completions("stop", ""), b"data: [DONE]\n\n"]


def responses() -> list[bytes]:
    """A stream of the Responses API: numbered events."""
    events = [
        _typed(
            "response.output_text.delta",
            sequence_number=i + 4,
            item_id="msg_9pX0e2cVbW1yq7T3u5ZsAdFgHjK",
            output_index=0,
            content_index=0,
            delta=_token(i),
            logprobs=[],
        )
        for i in range(TOKENS)
    ]
    return [*events, _typed("response.completed", response={"model": "bench"})]


def anthropic() -> list[bytes]:
    """A stream of Messages."""
    events = [
        _typed("content_block_delta", index=0, delta={"type": "text_delta", "text": _token(i)})
        for i in range(TOKENS)
    ]
    start = _typed("message_start", message={"model": "bench", "usage": {"input_tokens": 9}})
    delta = _typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
    return [start, *events, delta, _typed("message_stop")]


def ollama() -> list[bytes]:
    """Lines of Ollama's chat, each with its own instant."""

    def line(text: str, number: int, **fields: object) -> bytes:
        instant = f"2026-08-01T12:00:00.{number * 7_654_321 % 10**9:09}Z"
        message = {"role": "assistant", "content": text}
        value = {"model": "bench", "created_at": instant, "message": message, "done": False}
        return _line(value | fields) + b"\n"

    events = [line(_token(i), i) for i in range(TOKENS)]
    return [*events, line("", TOKENS, done=True, done_reason="stop", eval_count=TOKENS)]


STREAMS: dict[str, Callable[[], list[bytes]]] = {
    "openai": openai,
    "completions": completions,
    "responses": responses,
    "anthropic": anthropic,
    "ollama": ollama,
}


def exchange_of(name: str, events: Sequence[bytes], events_per_read: int) -> Exchange:
    """An exchange whose reads brought so many events each."""
    exchange = Exchange(planned_ns=0)
    exchange.status = 200
    kind = "application/x-ndjson" if name == "ollama" else "text/event-stream"
    exchange.headers = {"content-type": kind}
    exchange.body = b"".join(events)
    ends = list(itertools.accumulate(map(len, events)))
    exchange.read_ends = ends[events_per_read - 1 :: events_per_read]
    if exchange.read_ends[-1:] != ends[-1:]:
        exchange.read_ends.append(ends[-1])
    exchange.reads = exchange.kernel_reads = len(exchange.read_ends)
    exchange.read_ns = [1_000 * i for i in range(exchange.reads)]
    exchange.end_ns = 10**9
    return exchange


def us_per_event(read: Callable[[], object], rounds: int, replies: int) -> float:
    """CPU time of one event in microseconds: the least of several rounds, since what else the
    machine does can only add to it."""
    best_ns = None
    for _ in range(rounds):
        start_ns = thread_time_ns()
        for _ in range(replies):
            read()
        took_ns = thread_time_ns() - start_ns
        best_ns = took_ns if best_ns is None else min(best_ns, took_ns)
    assert best_ns is not None
    return best_ns / replies / TOKENS / 1_000


def measure_dialect(name: str, rounds: int, replies: int) -> dict[str, float]:
    """Microseconds of CPU per event: in bursts, one by one, and each decoded by itself."""
    spoken = dialect(name)
    events = STREAMS[name]()
    in_bursts = exchange_of(name, events, EVENTS_PER_READ)
    one_by_one = exchange_of(name, events, 1)
    reply = spoken.reply(in_bursts, ENDPOINT)
    assert reply.outcome is Outcome.OK, reply.failure
    assert len(reply.event_ns) == TOKENS

    def decode_each() -> None:
        reading = Reading(in_bursts, cast(Grammar, spoken), patience=0)
        reading.read()
        reading.conclude()
        reading.reply(ENDPOINT)

    return {
        "burst_us": us_per_event(lambda: spoken.reply(in_bursts, ENDPOINT), rounds, replies),
        "single_us": us_per_event(lambda: spoken.reply(one_by_one, ENDPOINT), rounds, replies),
        "decoded_us": us_per_event(decode_each, rounds, replies),
    }


def measure(rounds: int = ROUNDS, replies: int = REPLIES_PER_ROUND) -> dict[str, Any]:
    """Measures every dialect; the object that the command prints."""
    figures = {name: measure_dialect(name, rounds, replies) for name in STREAMS}
    return {
        "machine": describe_machine(),
        "tokens": TOKENS,
        "events_per_read": EVENTS_PER_READ,
        "dialects": figures,
        "met": {name: figure["burst_us"] <= TARGET_US for name, figure in figures.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 where `--check` is given and a target was missed."""
    parser = argparse.ArgumentParser(description="Measure what reading an answer costs.")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    options = parser.parse_args(arguments)
    result = measure()
    print(json.dumps(result, indent=2))
    return 1 if options.check and not all(result["met"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
