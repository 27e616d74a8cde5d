"""The ground-truth server does what it says, so that it can be believed about others."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.ground_truth import (
    BenchError,
    GroundTruthServer,
    TrueRequest,
    build,
    ground_truth_server,
)

TIMEOUT_S = 10.0
QUICK: dict[str, Any] = {"ttft_ms": 2, "itl_ms": 1, "tokens": 5}


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline_s, "it never came true"


@pytest.fixture(scope="module")
def running() -> Iterator[GroundTruthServer]:
    with ground_truth_server(**QUICK) as server:
        yield server


@pytest.fixture
def server(running: GroundTruthServer) -> GroundTruthServer:
    wait_until(lambda: all(request.end_ns is not None for request in running.dump()))
    running.reset()
    return running


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def body_of(**fields: object) -> bytes:
    request = {"model": "m", "messages": [], "stream": True} | fields
    return json.dumps(request).encode()


class Client:
    """One raw connection: sends a request, reads what comes, byte for byte."""

    def __init__(self, server: GroundTruthServer, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT_S)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", server.port))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, body: bytes, path: str = "/v1/chat/completions", *headers: str) -> None:
        lines = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def read_until(self, end: bytes) -> bytes:
        data = b""
        while end not in data:
            piece = self.socket.recv(65536)
            assert piece, f"closed before {end!r}: {data!r}"
            data += piece
        return data

    def read_to_close(self) -> bytes:
        data = b""
        while piece := self.socket.recv(65536):
            data += piece
        return data


def ask(
    server: GroundTruthServer,
    path: str = "/v1/chat/completions",
    headers: dict[str, str] | None = None,
    **fields: object,
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, body_of(**fields), headers or {})
        response = connection.getresponse()
        return response, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


def ask_with(server: GroundTruthServer, settings: dict[str, Any], **fields: object) -> str:
    path = path_of(server.url(**settings)) + "/chat/completions"
    return ask(server, path, None, **fields)[1]


def events(text: str) -> list[Any]:
    blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if block]
    data = [block[6:] for block in blocks if block.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in data]


def deltas(text: str, field: str = "content") -> list[str]:
    chunks = [
        event["choices"][0] for event in events(text) if event != "[DONE]" and event["choices"]
    ]
    return [chunk["delta"][field] for chunk in chunks if field in chunk["delta"]]


def only(server: GroundTruthServer) -> TrueRequest:
    (request,) = server.dump()
    return request


def test_a_stream_is_a_chat_completion_that_ends_in_done(server: GroundTruthServer) -> None:
    response, text = ask(server)
    assert response.status == 200
    assert deltas(text) == ["r0000000", " w001", " w002", " w003", " w004"]
    assert events(text)[0]["choices"][0]["delta"]["role"] == "assistant"
    assert events(text)[-2]["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert events(text)[-1] == "[DONE]"


def test_completions_stream_text(server: GroundTruthServer) -> None:
    _, text = ask(server, "/v1/completions")
    assert "".join(e["choices"][0]["text"] for e in events(text)[:-1]) == (
        "r0000000 w001 w002 w003 w004"
    )
    assert not only(server).chat


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_without_streaming_the_answer_is_one_object(server: GroundTruthServer, path: str) -> None:
    response, text = ask(server, path, stream=False)
    choice = json.loads(text)["choices"][0]
    answer = choice["text"] if path == "/v1/completions" else choice["message"]["content"]
    assert response.getheader("Content-Length") == str(len(text))
    assert answer == "r0000000 w001 w002 w003 w004"
    assert json.loads(text)["usage"]["completion_tokens"] == 5


def test_the_log_orders_every_instant_of_a_request(server: GroundTruthServer) -> None:
    before_ns = time.monotonic_ns()
    ask(server)
    after_ns = time.monotonic_ns()
    request = only(server)
    assert request.header_ns is not None
    assert request.end_ns is not None
    instants = [before_ns, request.arrival_ns, request.arrival_end_ns, request.header_ns]
    for write in zip(request.before_ns, request.after_ns, strict=True):
        instants += write
    instants.append(request.end_ns)
    assert instants == sorted(instants)
    # What was read has been written, but the server may be late to note that it has.
    assert request.before_ns[-1] <= after_ns
    assert request.tokens_written == request.tokens == 5


def test_tokens_are_not_written_before_their_time(server: GroundTruthServer) -> None:
    server.set(ttft_ms=20, itl_ms=3)
    ask(server)
    request = only(server)
    for index, written_ns in enumerate(request.before_ns):
        assert written_ns - request.arrival_end_ns >= (20 + 3 * index) * 1_000_000
    assert request.ttft_ns is not None
    assert request.ttft_ns >= 20_000_000
    assert len(request.itl_ns) == 4


def test_the_arrival_is_the_kernels_stamp(server: GroundTruthServer) -> None:
    """Only the first packets after the first enabling on a host may go without."""
    for _ in range(5):
        ask(server)
    assert server.dump()[-1].stamped


def test_a_request_in_two_parts_has_two_arrivals(server: GroundTruthServer) -> None:
    with Client(server) as client:
        body = body_of()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
        client.socket.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.socket.sendall(body)
        client.read_until(b"0\r\n\r\n")
    request = only(server)
    assert request.arrival_ns < request.arrival_end_ns
    assert request.before_ns[0] - request.arrival_end_ns >= 2_000_000


def test_usage_comes_when_asked(server: GroundTruthServer) -> None:
    _, silent = ask(server)
    _, asked = ask(server, stream_options={"include_usage": True})
    assert "usage" not in silent
    assert events(asked)[-2]["choices"] == []
    assert events(asked)[-2]["usage"] == {
        "prompt_tokens": 16,
        "completion_tokens": 5,
        "total_tokens": 21,
    }
    assert "usage" in ask_with(server, {"usage": "always"})
    refused = ask_with(server, {"usage": "never"}, stream_options={"include_usage": True})
    assert "usage" not in refused


@pytest.mark.parametrize(
    ("fields", "tokens", "reason"),
    [
        ({"max_tokens": 3}, 3, "length"),
        ({"max_completion_tokens": 2, "max_tokens": 4}, 2, "length"),
        ({"max_tokens": 50}, 5, "stop"),
        ({"max_tokens": 50, "ignore_eos": True}, 50, "length"),
        ({"metadata": {"max_tokens": 1}, "messages": ['", "max_tokens": 1, "']}, 5, "stop"),
    ],
)
def test_the_limit_of_the_request_is_honoured(
    server: GroundTruthServer, fields: dict[str, Any], tokens: int, reason: str
) -> None:
    _, text = ask(server, **fields)
    assert len(deltas(text)) == tokens
    assert events(text)[-2]["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_comes_first_under_the_chosen_name(server: GroundTruthServer, field: str) -> None:
    text = ask_with(server, {"reasoning": 3, "reasoning_field": field, "usage": "always"})
    assert deltas(text, field) == [" t000", " t001", " t002"]
    assert len(deltas(text)) == 5
    usage = events(text)[-2]["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert only(server).reasoning == 3


def test_a_role_event_comes_at_its_own_time(server: GroundTruthServer) -> None:
    text = ask_with(server, {"role_ms": 1, "ttft_ms": 5})
    assert events(text)[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "role" not in events(text)[1]["choices"][0]["delta"]
    request = only(server)
    assert request.role_ns is not None
    assert request.arrival_ns < request.role_ns < request.before_ns[0]


def test_a_late_header_comes_with_the_first_event(server: GroundTruthServer) -> None:
    ask_with(server, {"header_ms": -1, "ttft_ms": 5})
    request = only(server)
    assert request.header_ns is not None
    assert request.header_ns - request.arrival_end_ns >= 5_000_000
    assert request.header_ns <= request.before_ns[0]


def test_a_header_has_a_time_of_its_own(server: GroundTruthServer) -> None:
    ask_with(server, {"header_ms": 4, "ttft_ms": 8})
    request = only(server)
    assert request.header_ns is not None
    assert request.header_ns - request.arrival_end_ns >= 4_000_000
    assert request.before_ns[0] > request.header_ns


def test_events_and_writes_can_hold_several_tokens(server: GroundTruthServer) -> None:
    text = ask_with(server, {"tokens": 7, "per_event": 2, "per_write": 2})
    assert deltas(text) == ["r0000000 w001", " w002 w003", " w004 w005", " w006"]
    times = only(server).before_ns
    assert len(times) == 7
    assert len(set(times[:4])) == 1
    assert len(set(times[4:])) == 1


def test_a_silent_stream_is_kept_alive_by_comments(server: GroundTruthServer) -> None:
    text = ask_with(server, {"keepalive_ms": 2, "ttft_ms": 15})
    before_first, _ = text.split("data: ", 1)
    assert before_first.count(": keep-alive\n\n") >= 3
    assert len(deltas(text)) == 5


@pytest.mark.parametrize("settings", [{"crlf": 1}, {"split": 3}, {"finish_event": 0}])
def test_another_shape_of_the_bytes_is_the_same_answer(
    server: GroundTruthServer, settings: dict[str, Any]
) -> None:
    text = ask_with(server, settings)
    assert len(deltas(text)) == 5
    assert events(text)[-1] == "[DONE]"
    assert ("\r\n\r\n" in text) == ("crlf" in settings)


def test_a_prompt_of_megabytes_is_read_whole(server: GroundTruthServer) -> None:
    prompt = "x" * 5_000_000
    _, text = ask(server, messages=[{"role": "user", "content": prompt}], max_tokens=2)
    assert len(deltas(text)) == 2
    assert only(server).body_bytes > 5_000_000
    assert server.last_request().count(b"x") > 4_999_999


def test_a_chunked_request_body_is_joined(server: GroundTruthServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    body = body_of(max_tokens=2)
    parts = [body[:7], body[7:]]
    connection.request("POST", "/v1/chat/completions", iter(parts), encode_chunked=True)
    assert len(deltas(connection.getresponse().read().decode())) == 2
    connection.close()
    assert server.last_request().endswith(body)


def test_one_connection_carries_many_requests(server: GroundTruthServer) -> None:
    with Client(server) as client:
        for number in range(3):
            client.send(body_of())
            assert f"r{number:07d}".encode() in client.read_until(b"0\r\n\r\n")
    assert len({request.connection for request in server.dump()}) == 1


def test_pipelined_requests_are_answered_in_order(server: GroundTruthServer) -> None:
    with Client(server) as client:
        client.send(body_of())
        client.send(body_of(), "/v1/chat/completions", "Connection: close")
        answers = client.read_to_close()
    assert answers.index(b"r0000000") < answers.index(b"r0000001")
    first, second = server.dump()
    assert first.end_ns is not None
    assert first.end_ns <= second.before_ns[0]


def test_many_streams_at_once_are_all_complete(server: GroundTruthServer) -> None:
    clients = [Client(server) for _ in range(50)]
    for client in clients:
        client.send(body_of(max_tokens=20, ignore_eos=True))
    for client in clients:
        assert client.read_until(b"0\r\n\r\n").count(b"data: ") == 22
        client.socket.close()
    log = server.dump()
    assert [request.tokens_written for request in log] == [20] * 50
    assert len({request.connection for request in log}) == 50


def test_flat_out_waits_for_the_reader_and_says_so(server: GroundTruthServer) -> None:
    with Client(server, receive_buffer=65536) as client:
        path = path_of(server.url(ttft_ms=0, itl_ms=0, tokens=40_000)) + "/chat/completions"
        client.send(body_of(), path, "Connection: close")
        wait_until(lambda: any(request.delayed for request in server.dump()))
        written = server.dump()[0].tokens_written
        assert written < 40_000
        text = client.read_to_close()
    assert text.count(b'"content"') == 40_000
    assert only(server).tokens_written == 40_000


def test_a_client_that_leaves_is_noticed(server: GroundTruthServer) -> None:
    with Client(server) as client:
        client.send(body_of(), path_of(server.url(fault="hang")) + "/chat/completions")
        wait_until(lambda: len(server.dump()) == 1)
        assert only(server).end_ns is None
    wait_until(lambda: only(server).end_ns is not None)
    assert only(server).client_gone


# ---- faults ----


def test_a_status_fault_is_a_json_error(server: GroundTruthServer) -> None:
    response, text = ask(server, headers={"X-Fault": "http-500"})
    assert response.status == 500
    assert "error" in json.loads(text)
    assert response.getheader("Retry-After") is None
    assert (only(server).status, only(server).fault) == (500, "http-500")


def test_too_many_requests_says_when_to_come_back(server: GroundTruthServer) -> None:
    response, _ = ask(server, headers={"X-Fault": "http-429", "X-Set": "retry_after_s=7"})
    assert (response.status, response.getheader("Retry-After")) == (429, "7")


def test_a_redirect_has_a_location(server: GroundTruthServer) -> None:
    response, _ = ask(server, headers={"X-Fault": "http-307"})
    assert (response.status, response.getheader("Location")) == (307, "/v1/elsewhere")


def test_a_stalled_stream_falls_silent_after_its_token(server: GroundTruthServer) -> None:
    with Client(server) as client:
        client.send(body_of(), "/v1/chat/completions", "X-Fault: stall", "X-Set: fault_at=3")
        client.read_until(b" w002")
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.socket.recv(65536)
        request = only(server)
        assert (request.tokens_written, request.end_ns) == (3, None)


@pytest.mark.parametrize(
    ("fault", "sign"),
    [
        ("truncated-json", r'"content":" cut\n\n'),
        ("wrong-shape", r'"choices":"none"'),
        ("no-sse", r"\ndatta \{\}\n"),
        ("invalid-utf8", "\ufffd"),
    ],
)
def test_a_spoilt_event_stands_in_a_tokens_place(
    server: GroundTruthServer, fault: str, sign: str
) -> None:
    text = ask_with(server, {"fault": fault, "fault_at": 1})
    assert re.search(sign, text)
    assert " w001" not in text
    assert " w004" in text
    assert text.endswith("data: [DONE]\n\n")
    assert only(server).fault == fault


def test_an_error_event_ends_a_stream_that_began_well(server: GroundTruthServer) -> None:
    response, text = ask(server, headers={"X-Fault": "error-event"})
    assert response.status == 200
    assert events(text)[-2]["error"]["message"] == "the engine died"
    assert len(events(text)) == 4
    assert only(server).tokens_written == 2


def test_done_can_be_missing(server: GroundTruthServer) -> None:
    _, text = ask(server, headers={"X-Fault": "no-done"})
    assert events(text)[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_connection_can_end_inside_the_body(server: GroundTruthServer) -> None:
    with pytest.raises(http.client.IncompleteRead):
        ask(server, headers={"X-Fault": "close"})
    assert only(server).tokens_written == 2


def test_a_body_can_end_properly_and_too_early(server: GroundTruthServer) -> None:
    response, text = ask(server, headers={"X-Fault": "end-early"})
    assert response.status == 200
    assert len(events(text)) == 2


def test_a_reset_is_a_reset(server: GroundTruthServer) -> None:
    with pytest.raises(ConnectionResetError):
        ask(server, headers={"X-Fault": "reset"})


@pytest.mark.parametrize("fault", ["garbage", "bad-chunk"])
def test_broken_http_is_refused_by_a_proper_client(server: GroundTruthServer, fault: str) -> None:
    with pytest.raises(http.client.HTTPException):
        ask(server, headers={"X-Fault": fault})


def test_a_page_of_html_has_status_200(server: GroundTruthServer) -> None:
    response, text = ask(server, headers={"X-Fault": "html"})
    assert (response.status, response.getheader("Content-Type")) == (200, "text/html")
    assert text.startswith("<!DOCTYPE html>")


def test_a_body_can_be_shorter_than_promised(server: GroundTruthServer) -> None:
    with pytest.raises(http.client.IncompleteRead):
        ask(server, headers={"X-Fault": "short-body"})


@pytest.mark.parametrize(
    ("fault", "header", "value"),
    [
        ("close-after", "Connection", "close"),
        ("close-silently", "Connection", None),
        ("until-close", "Transfer-Encoding", None),
        ("content-length", "Transfer-Encoding", None),
        ("continue", "Transfer-Encoding", "chunked"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_good_answer_can_be_framed_in_every_way(
    server: GroundTruthServer, fault: str, header: str, value: str | None, stream: bool
) -> None:
    response, text = ask(server, headers={"X-Fault": fault}, stream=stream)
    assert "".join(deltas(text)) == "r0000000 w001 w002 w003 w004" if stream else json.loads(text)
    if stream or header == "Connection":
        assert response.getheader(header) == value
    assert response.version == (10 if fault == "until-close" else 11)


@pytest.mark.parametrize("fault", ["close-after", "close-silently", "until-close"])
def test_the_server_closes_after_the_answer(server: GroundTruthServer, fault: str) -> None:
    with Client(server) as client:
        client.send(body_of(), "/v1/chat/completions", f"X-Fault: {fault}")
        assert b"[DONE]" in client.read_to_close()


def test_an_unasked_continue_comes_before_the_answer(server: GroundTruthServer) -> None:
    with Client(server) as client:
        client.send(body_of(), "/v1/chat/completions", "X-Fault: continue")
        answer = client.read_until(b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("fault", ["endless", "endless-line", "endless-header"])
@pytest.mark.parametrize("stream", [True, False])
def test_what_has_no_end_goes_on(server: GroundTruthServer, fault: str, stream: bool) -> None:
    with Client(server) as client:
        client.send(body_of(stream=stream), "/v1/chat/completions", f"X-Fault: {fault}")
        received = 0
        while received < 5_000_000:
            received += len(client.socket.recv(1 << 20))
    wait_until(lambda: only(server).end_ns is not None)
    assert only(server).client_gone


@pytest.mark.parametrize("fault", ["stall", "close", "reset", "truncated-json", "error-event"])
def test_an_answer_in_one_piece_can_be_spoilt_too(server: GroundTruthServer, fault: str) -> None:
    with Client(server) as client:
        client.send(body_of(stream=False), "/v1/chat/completions", f"X-Fault: {fault}")
        if fault == "reset":
            with pytest.raises(ConnectionResetError):
                client.read_to_close()
            return
        head, _, body = client.read_until(b"{").partition(b"\r\n\r\n")
        length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
        client.socket.settimeout(0.05)
        try:
            while piece := client.socket.recv(65536):
                body += piece
        except TimeoutError:
            pass
    if fault == "error-event":
        assert json.loads(body)["error"]
    elif fault == "truncated-json":
        assert len(body) == length
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)
    else:
        assert len(body) < length


def test_the_exit_fault_ends_the_process_and_keeps_the_log() -> None:
    with ground_truth_server(**QUICK, fault="exit", fault_at=3) as server:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            ask(server)
        assert server.process.wait(TIMEOUT_S) == 3
        assert only(server).tokens_written == 3


def test_faults_strike_every_so_many_requests_from_a_given_one(server: GroundTruthServer) -> None:
    server.set(fault="http-500", fault_from=2, fault_every=3)
    statuses = [ask(server)[0].status for _ in range(7)]
    assert statuses == [200, 200, 500, 200, 200, 500, 200]


def test_a_requests_own_fault_does_not_wait_its_turn(server: GroundTruthServer) -> None:
    server.set(fault_from=100, fault_every=7)
    assert ask(server, headers={"X-Fault": "http-500"})[0].status == 500
    assert ask(server)[0].status == 200


def test_a_fault_at_the_first_token_comes_behind_a_late_header(server: GroundTruthServer) -> None:
    text = ask_with(server, {"fault": "end-early", "fault_at": 0, "header_ms": -1})
    assert text == ""
    assert only(server).status == 200
    assert only(server).header_ns is not None


def test_an_answer_without_tokens_is_still_an_answer(server: GroundTruthServer) -> None:
    text = ask_with(server, {"tokens": 0})
    assert next(event for event in events(text) if event != "[DONE]")["choices"][0]["delta"] == {}
    assert only(server).ttft_ns is None
    assert only(server).tokens == 0


# ---- control ----


def test_reset_forgets_the_log_and_the_settings(server: GroundTruthServer) -> None:
    server.set(tokens=2)
    assert len(deltas(ask(server)[1])) == 2
    server.reset()
    assert server.dump() == []
    assert deltas(ask(server)[1])[0] == "r0000000"
    assert only(server).tokens == 5


@pytest.mark.parametrize(
    "settings", [{"tokens": -1}, {"tokens": 1.5}, {"speed": 3}, {"fault": "nonsense"}, {"usage": 1}]
)
def test_a_wrong_setting_is_refused_and_changes_nothing(
    server: GroundTruthServer, settings: dict[str, Any]
) -> None:
    with pytest.raises(BenchError, match=next(iter(settings))):
        server.set(itl_ms=3, **settings)
    assert "unknown setting" in ask_with(server, settings)
    ask(server)
    assert only(server).tokens == 5


def test_a_wrong_flag_is_a_start_that_fails_with_its_name() -> None:
    with pytest.raises(BenchError, match="--fault"), ground_truth_server(fault="nonsense"):
        raise AssertionError("it started")


def test_a_port_that_is_taken_is_said_so(server: GroundTruthServer) -> None:
    with (
        pytest.raises(BenchError, match="in use"),
        ground_truth_server(port=server.port),
    ):
        raise AssertionError("it started")


def test_a_key_is_asked_for_where_one_is_set() -> None:
    with ground_truth_server(**QUICK, api_key="k-123") as server:
        assert ask(server)[0].status == 401
        assert ask(server, headers={"Authorization": "Bearer k-12"})[0].status == 401
        assert ask(server, headers={"Authorization": "Bearer k-123"})[0].status == 200
        assert len(server.dump()) == 1


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"model": "m", "x', b'{"model": "m"} {}'])
def test_a_body_that_is_no_object_is_a_bad_request(server: GroundTruthServer, body: bytes) -> None:
    with Client(server) as client:
        client.send(body)
        assert client.read_until(b"}").startswith(b"HTTP/1.1 400 ")
    assert server.dump() == []


@pytest.mark.parametrize("request_bytes", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1" + b"a" * 70_000])
def test_what_is_no_http_is_answered_and_closed(
    server: GroundTruthServer, request_bytes: bytes
) -> None:
    with Client(server) as client:
        client.socket.sendall(request_bytes)
        assert client.socket.recv(65536).startswith(b"HTTP/1.1 4")


def test_models_health_and_unknown_paths_are_answered(server: GroundTruthServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    answers = {}
    for path in ("/v1/models", "/health", "/nowhere"):
        connection.request("GET", path)
        response = connection.getresponse()
        answers[path] = (response.status, json.loads(response.read()))
    connection.close()
    assert answers["/v1/models"][1]["data"][0]["id"] == "ground-truth"
    assert answers["/health"] == (200, {"status": "ok"})
    assert answers["/nowhere"][0] == 404


def test_stats_count_what_was_sent(server: GroundTruthServer) -> None:
    ask(server)
    ask(server)
    stats = server.stats()
    assert (stats["requests"], stats["tokens"]) == (2, 10)
    assert stats["cpu_user_s"] + stats["cpu_system_s"] > 0


def test_the_log_can_be_read_after_the_server_has_gone() -> None:
    with ground_truth_server(**QUICK) as server:
        ask(server)
        server.stop()
        assert server.process.returncode == 0
        assert only(server).tokens_written == 5


def test_the_server_dies_with_its_parent() -> None:
    program = (
        "import os, time\n"
        "from bench.ground_truth import ground_truth_server\n"
        "with ground_truth_server() as server:\n"
        "    print(server.port, flush=True)\n"
        "    time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
            parent.kill()
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_without_a_compiler_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(BenchError, match="apt-get install gcc libc6-dev"):
        build("ground_truth_server", tmp_path)


def test_a_binary_is_built_once_and_again_when_the_source_is_newer(tmp_path: Path) -> None:
    binary = build("ground_truth_server", tmp_path)
    first = binary.stat().st_mtime_ns
    assert build("ground_truth_server", tmp_path).stat().st_mtime_ns == first
    os.utime(binary, ns=(0, 0))
    assert build("ground_truth_server", tmp_path).stat().st_mtime_ns >= first
    assert [path.name for path in tmp_path.iterdir()] == ["ground_truth_server"]
