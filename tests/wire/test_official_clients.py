"""Each dialect reads what the official client of its protocol reads, from the same bytes.

A small server on loopback replays generated answers: the official clients of OpenAI, Anthropic and
Ollama read them from there; our dialects read them out of an exchange.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import ollama
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minionbench.exchange import Endpoint, Outcome
from minionbench.wire.dialect import dialect
from tests.wire.streams import DIALECTS, MEDIA_TYPE, answers, hands, written
from tests.wire.support import exchange_of


@dataclass(frozen=True)
class Read:
    """What a client reads of an answer."""

    text: str
    reasoning: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    events: int
    """Those that bear text."""
    model: str | None


class Replay(ThreadingHTTPServer):
    """Answers every POST with the same body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.pieces: list[bytes] = []
        self.media_type = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Replay

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", self.server.media_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self.server.pieces)
        self.wfile.write(chunks + b"0\r\n\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[Replay]:
    with Replay() as replay:
        thread = threading.Thread(target=replay.serve_forever, daemon=True)
        thread.start()
        yield replay
        replay.shutdown()
        thread.join(10)


MESSAGES: Any = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True)
class Clients:
    """The official clients, each with its connections."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic
    ollama: ollama.Client


@pytest.fixture(scope="module")
def clients(server: Replay) -> Iterator[Clients]:
    with (
        openai.OpenAI(base_url=server.url, api_key="x", max_retries=0) as of_openai,
        anthropic.Anthropic(base_url=server.url, api_key="x", max_retries=0) as of_anthropic,
        ollama.Client(host=server.url) as of_ollama,
    ):
        yield Clients(of_openai, of_anthropic, of_ollama)


def read_chat(clients: Clients) -> Read:
    text = thoughts = ""
    reason = usage = model = None
    events = 0
    chat = clients.openai.chat.completions
    for chunk in chat.create(model="m", messages=MESSAGES, stream=True):
        model = model or chunk.model
        usage = chunk.usage or usage
        for choice in chunk.choices:
            thought = (choice.delta.model_extra or {}).get("reasoning_content") or ""
            visible = choice.delta.content or ""
            text, thoughts = text + visible, thoughts + thought
            events += bool(visible or thought)
            reason = choice.finish_reason or reason
    assert usage is not None
    counts = usage.prompt_tokens, usage.completion_tokens
    return Read(text, thoughts, reason, *counts, events, model)


def read_completions(clients: Clients) -> Read:
    text = ""
    reason = usage = model = None
    events = 0
    for chunk in clients.openai.completions.create(model="m", prompt="hi", stream=True):
        model = model or chunk.model
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.text
            events += bool(choice.text)
            reason = choice.finish_reason or reason
    assert usage is not None
    return Read(text, "", reason, usage.prompt_tokens, usage.completion_tokens, events, model)


def read_responses(clients: Clients) -> Read:
    text = thoughts = ""
    response: Any = None
    events = 0
    for event in clients.openai.responses.create(model="m", input="hi", stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
            events += bool(event.delta)
        elif event.type == "response.reasoning_text.delta":
            thoughts += event.delta
            events += bool(event.delta)
        elif event.type in ("response.completed", "response.incomplete"):
            response = event.response
    details = response.incomplete_details
    reason = details.reason if details is not None else response.status
    counts = response.usage.input_tokens, response.usage.output_tokens
    return Read(text, thoughts, reason, *counts, events, response.model)


def read_messages(clients: Clients) -> Read:
    events = 0
    messages = clients.anthropic.messages
    with messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                events += event.delta.type in ("text_delta", "thinking_delta")
        message = stream.get_final_message()
    text = "".join(block.text for block in message.content if block.type == "text")
    thoughts = "".join(b.thinking for b in message.content if b.type == "thinking")
    usage = message.usage
    prompt = usage.input_tokens + (usage.cache_read_input_tokens or 0)
    counts = prompt, usage.output_tokens
    return Read(text, thoughts, message.stop_reason, *counts, events, message.model)


def read_ollama(clients: Clients) -> Read:
    text = thoughts = ""
    last: Any = None
    events = 0
    for part in clients.ollama.chat(model="m", messages=MESSAGES, stream=True):
        visible, thought = part.message.content or "", part.message.thinking or ""
        text, thoughts = text + visible, thoughts + thought
        events += bool(visible or thought)
        last = part
    counts = last.prompt_eval_count, last.eval_count
    return Read(text, thoughts, last.done_reason, *counts, events, last.model)


OFFICIAL: dict[str, Callable[[Clients], Read]] = {
    "openai": read_chat,
    "completions": read_completions,
    "responses": read_responses,
    "anthropic": read_messages,
    "ollama": read_ollama,
}


@pytest.mark.parametrize("name", DIALECTS)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_an_answer_is_read_as_the_official_client_reads_it(
    server: Replay, clients: Clients, name: str, data: st.DataObject
) -> None:
    # What the official clients cannot take, though it is allowed: a blank line (Ollama), an event
    # without data (OpenAI).
    noises = () if name == "ollama" else (b": keep-alive\n\n", b":\n\n")
    hand = data.draw(hands(name, noises=noises))
    server.pieces = written(name, data.draw(answers(name)), hand)
    server.media_type = MEDIA_TYPE[name]
    theirs = OFFICIAL[name](clients)

    exchange = exchange_of(*server.pieces, headers={"content-type": MEDIA_TYPE[name]})
    reply = dialect(name).reply(exchange, Endpoint("http://h", "m"))
    assert reply.outcome is Outcome.OK, reply.failure
    assert reply.usage is not None
    assert theirs == Read(
        reply.text or "",
        reply.reasoning or "",
        reply.finish_reason,
        reply.usage.prompt_tokens,
        reply.usage.completion_tokens,
        len(reply.event_ns),
        reply.model,
    )
