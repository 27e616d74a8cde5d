"""The server itself: the log is true, slots are kept, connections are served as HTTP has it."""

from __future__ import annotations

import json
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from minionbench.clock import monotonic_ns
from minionbench.errors import SetupError
from minionbench.simulator import Fixed, SimulatedModel, Simulator, SimulatorSettings
from minionbench.simulator.log import read_line
from minionbench.simulator.steps import Step
from minionbench.units import NS_PER_MS
from tests.simulator.conftest import Start
from tests.simulator.raw import (
    CHAT,
    TIMEOUT_S,
    Received,
    ask,
    chat,
    exchange,
    read_answer,
    request_bytes,
    wait_until,
)

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kernel stamps")


def test_the_log_lies_between_what_the_client_saw(start: Start) -> None:
    simulator = start(timing=Fixed(ttft_ms=20, itl_ms=5), answer_tokens=4)
    before_ns = monotonic_ns()
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(request_bytes(CHAT, chat(stream=True)))
        seen_ns, received = [], b""
        while not received.endswith(b"0\r\n\r\n"):
            select.select([sock], [], [])
            data = sock.recv(65_536)
            seen_ns += [monotonic_ns()] * data.count(b'"delta":{"content":"')
            received += data
    entry = simulator.log()[0]
    assert len(seen_ns) == len(entry.token_ns) == 4
    assert before_ns <= entry.began_ns <= entry.arrived_ns
    assert all(written <= seen for written, seen in zip(entry.token_ns, seen_ns, strict=True))
    assert entry.end_ns is not None
    assert entry.end_ns >= entry.token_ns[-1]


def test_no_token_is_early(start: Start) -> None:
    simulator = start(timing=Fixed(ttft_ms=10, itl_ms=3), answer_tokens=8)
    ask(simulator, CHAT, chat(stream=True))
    entry = simulator.log()[0]
    due = [entry.arrived_ns + (10 + 3 * index) * NS_PER_MS for index in range(8)]
    assert [write.due_ns for write in entry.writes] == due
    assert all(write.written_ns >= write.due_ns for write in entry.writes)
    assert entry.lateness_max_ns == max(w.written_ns - w.due_ns for w in entry.writes)


def test_a_model_has_a_pace_of_its_own(start: Start) -> None:
    slow = SimulatedModel(name="sim", pace=2.5)
    simulator = start(models=(slow,), timing=Fixed(ttft_ms=4, itl_ms=2), answer_tokens=3)
    ask(simulator, CHAT, chat(stream=True))
    entry = simulator.log()[0]
    due = [entry.arrived_ns + (10 + 5 * index) * NS_PER_MS for index in range(3)]
    assert [write.due_ns for write in entry.writes] == due


@LINUX
def test_the_arrival_is_the_kernels(start: Start) -> None:
    simulator = start()
    ask(simulator, CHAT, chat())
    assert simulator.log()[0].stamped_by_kernel


def test_a_burst_leaves_in_one_write_when_its_last_token_is_ready(start: Start) -> None:
    simulator = start(timing=Fixed(ttft_ms=2, itl_ms=1), answer_tokens=10, tokens_per_write=4)
    ask(simulator, CHAT, chat(stream=True))
    entry = simulator.log()[0]
    assert [write.text_tokens for write in entry.writes] == [4, 4, 2]
    ready_ms = [(write.due_ns - entry.arrived_ns) / NS_PER_MS for write in entry.writes]
    assert ready_ms == [5, 9, 11]
    assert len(set(entry.token_ns)) == 3


def test_an_event_may_hold_several_tokens(start: Start) -> None:
    simulator = start(answer_tokens=10, tokens_per_event=4)
    received = ask(simulator, CHAT, chat(stream=True))
    texts = [event["choices"][0]["delta"].get("content") for event in received.events()]
    assert len([text for text in texts if text]) == 3


def test_hidden_reasoning_takes_its_time(start: Start) -> None:
    simulator = start(timing=Fixed(itl_ms=1), reasoning_tokens=20, answer_tokens=2)
    body = {**chat(stream=True), "model": "hidden", "reasoning_effort": "medium"}
    ask(simulator, CHAT, body)
    entry = simulator.log()[0]
    assert (entry.reasoning_tokens, entry.text_tokens) == (20, 2)
    assert [write.due_ns - entry.arrived_ns for write in entry.writes] == [
        20 * NS_PER_MS,
        21 * NS_PER_MS,
    ]


def test_slots_are_given_in_order_of_arrival(start: Start) -> None:
    simulator = start(timing=Fixed(ttft_ms=30), slots=2, answer_tokens=1)
    socks = []
    for index in range(5):
        sock = socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S)
        sock.sendall(request_bytes(CHAT, chat(f"number {index}")))
        socks.append(sock)
        wait_until(lambda: len(simulator.log()) > index)  # noqa: B023 - asked within the turn
    for sock in socks:
        assert read_answer(sock).status == 200
        sock.close()
    entries = simulator.log()
    admitted = [entry.admitted_ns or 0 for entry in entries]
    ends = [entry.end_ns or 0 for entry in entries]
    assert admitted == sorted(admitted)
    assert [entry.queued_ns == 0 for entry in entries] == [True, True, False, False, False]
    # The third begins when the first has ended, the fourth when the second has.
    assert admitted[2:4] == sorted(ends[:2])
    for at in admitted:
        assert sum(1 for a, b in zip(admitted, ends, strict=True) if a <= at < b) <= 2


def test_who_gives_up_waiting_takes_no_slot(start: Start) -> None:
    simulator = start(timing=Fixed(ttft_ms=40), slots=1, answer_tokens=1)
    first = socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S)
    first.sendall(request_bytes(CHAT, chat()))
    second = socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S)
    second.sendall(request_bytes(CHAT, chat()))
    wait_until(lambda: len(simulator.log()) == 2)
    second.close()
    assert read_answer(first).status == 200
    assert ask(simulator, CHAT, chat()).status == 200
    first.close()
    assert [entry.outcome for entry in simulator.log()] == [
        "answered",
        "client gone",
        "answered",
    ]


def test_many_requests_go_over_one_connection(simulator: Simulator) -> None:
    one = request_bytes(CHAT, chat(max_tokens=2))
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        for _ in range(3):
            sock.sendall(one)
            assert read_answer(sock).status == 200
        sock.sendall(one * 2)
        received = b""
        while received.count(b"HTTP/1.1 200") < 2 or not received.endswith(b"}"):
            received += sock.recv(65_536)


def test_a_request_may_come_byte_by_byte(simulator: Simulator) -> None:
    data = request_bytes(CHAT, chat(max_tokens=2))
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index in range(len(data)):
            sock.sendall(data[index : index + 1])
        assert read_answer(sock).status == 200
    entry = simulator.log()[-1]
    assert entry.began_ns <= entry.arrived_ns


def test_a_connection_is_closed_where_that_was_asked(simulator: Simulator) -> None:
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(request_bytes("/health", connection="close"))
        assert read_answer(sock).status == 200
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_told_so_and_cut_off(
    simulator: Simulator, data: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(data)
        assert read_answer(sock).status == status


def test_continue_is_said_where_it_is_waited_for(simulator: Simulator) -> None:
    data = request_bytes(CHAT, chat(max_tokens=2), expect="100-continue")
    head, _, body = data.partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(1_024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_answer(sock).status == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHAT, b"{", 400),
        (CHAT, b"[]", 400),
        (CHAT, b"\xff", 400),
        (CHAT, {"model": "sim"}, 400),
        (CHAT, {"model": "sim", "messages": [{"role": "king", "content": "x"}]}, 400),
        (CHAT, chat(n=2), 400),
        (CHAT, chat(max_tokens="many"), 400),
        (CHAT, chat(temperature=5), 400),
        (CHAT, chat(stream_options={"include_usage": True}), 400),
        (CHAT, chat(response_format={"type": "json_schema"}), 400),
        (CHAT, {**chat(), "model": "nobody"}, 404),
        (CHAT, None, 405),
        ("/v1/models", {}, 405),
        ("/v1/nothing", None, 404),
        ("/v1/responses", {"model": "sim"}, 400),
        ("/v1/completions", {"model": "sim", "prompt": ["a", "b"]}, 400),
        ("/v1/embeddings", {"model": "sim"}, 400),
        ("/api/chat", {"messages": []}, 400),
        ("/api/show", {"model": "nobody"}, 404),
        ("/api/chat", {"model": "sim", "messages": [{"role": "x"}]}, 400),
        ("/api/chat", {"model": "sim", "keep_alive": "soon"}, 400),
        ("/api/chat", {"model": "sim", "format": 3}, 400),
    ],
)
def test_a_wrong_request_is_refused_and_the_connection_lives(
    simulator: Simulator, path: str, body: Any, status: int
) -> None:
    received = ask(simulator, path, body)
    assert (received.status, received.ended) == (status, "whole")
    assert "error" in received.json()
    assert simulator.log()[-1].outcome == "refused"


def test_a_client_that_leaves_is_noted(start: Start) -> None:
    simulator = start(timing=Fixed(ttft_ms=1, itl_ms=5), answer_tokens=1_000)
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(request_bytes(CHAT, chat(stream=True)))
        assert sock.recv(1_024)
    entry = simulator.log()[0]
    wait_until(lambda: entry.outcome != "under way")
    assert entry.outcome == "client gone"


def test_a_slow_reader_gets_everything(start: Start) -> None:
    big = SimulatedModel(name="sim", context_tokens=10**7, max_output_tokens=10**6)
    simulator = start(models=(big,), answer_tokens=10**6, tokens_per_write=50_000)
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.sendall(request_bytes(CHAT, chat(stream=True, max_tokens=100_000)))
        wait_until(lambda: bool(simulator.log()) and bool(simulator.log()[0].writes))
        received = read_answer(sock)
    assert received.data.count(b'"delta":{"content":"') == 100_000
    entry = simulator.log()[0]
    assert len(entry.writes) == 2
    assert len(entry.token_ns) == 100_000
    assert entry.token_ns == sorted(entry.token_ns)
    assert entry.outcome == "answered"


def test_the_log_file_has_no_text_and_reads_back(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    simulator = start(log_file=str(path), keep_requests=True)
    ask(simulator, CHAT, chat("a secret", stream=True))
    ask(simulator, CHAT, b"{")
    simulator.stop()
    text = path.read_text()
    entries = [read_line(one) for one in text.splitlines()]
    assert "secret" not in text
    assert [entry.outcome for entry in entries] == ["answered", "refused"]
    assert entries[0].writes == simulator.log()[0].writes
    assert json.loads(text.splitlines()[0])["schema_version"] == 1


def test_what_is_under_way_when_it_stops_is_logged_so(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    simulator = start(log_file=str(path))
    data = request_bytes(CHAT, chat(stream=True), x_simulate="stall=1")
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(data)
        received = b""
        while b'"delta":{"content":"' not in received:
            received += sock.recv(4_096)
        simulator.stop()
    assert read_line(path.read_text()).outcome == "stopped"


def test_the_port_is_free_again_after_the_end() -> None:
    with Simulator() as first:
        port = first.port
        ask(first, "/health")
    with Simulator(SimulatorSettings(port=port)) as second:
        assert ask(second, "/health").status == 200


def test_a_port_that_is_taken_is_no_traceback(simulator: Simulator) -> None:
    with pytest.raises(SetupError, match="Choose another with --port"):
        Simulator(SimulatorSettings(port=simulator.port))


def test_a_log_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be written"):
        Simulator(SimulatorSettings(log_file=str(tmp_path / "no" / "log")))


def test_it_listens_on_ipv6_alone_where_told() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        simulator = Simulator(SimulatorSettings(hosts=("::1",)))
    except SetupError:
        pytest.skip("no ::1 here")
    with simulator, socket.create_connection(("::1", simulator.port), TIMEOUT_S) as sock:
        assert simulator.base_url == f"http://[::1]:{simulator.port}"
        sock.sendall(request_bytes("/health"))
        assert read_answer(sock).status == 200


def test_stopping_twice_or_before_the_start_is_harmless() -> None:
    simulator = Simulator()
    simulator.stop()
    simulator.stop()


def test_it_serves_in_the_callers_thread_until_asked_to_stop() -> None:
    simulator = Simulator()
    status = []

    def visit() -> None:
        status.append(ask(simulator, "/health").status)
        simulator.ask_to_stop()

    visitor = Thread(target=visit)
    visitor.start()
    simulator.serve()
    visitor.join()
    assert status == [200]
    simulator.stop()


def test_it_waits_where_select_cannot(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minionbench.simulator.loop._SELECTABLE", 0)
    simulator = start(timing=Fixed(ttft_ms=5, itl_ms=3), answer_tokens=4)
    assert ask(simulator, CHAT, chat(stream=True)).status == 200
    assert all(write.written_ns >= write.due_ns for write in simulator.log()[0].writes)


def test_a_bug_in_an_answers_steps_surfaces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Iterator[Step]:
        yield Step(0, b"HTTP/1.1 200 OK\r\n\r\n")
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("minionbench.simulator.job.streamed", broken)
    simulator = Simulator(SimulatorSettings(any_model=True))
    with pytest.raises(ZeroDivisionError, match="on purpose"), simulator:
        assert ask(simulator, CHAT, chat(stream=True)).ended == "closed"
    assert simulator.log()[0].outcome == "bug"


def test_a_client_that_sends_far_ahead_is_cut_off(start: Start) -> None:
    simulator = start(timing=Fixed(ttft_ms=60_000))
    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(request_bytes(CHAT, chat()))
        with suppress(OSError):
            for _ in range(64):
                sock.sendall(b"x" * 65_536)
        wait_until(lambda: simulator.log()[0].outcome == "client gone")


def test_a_bug_of_the_simulator_surfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    simulator = Simulator()
    monkeypatch.setattr(simulator._service, "handle", broken)
    with pytest.raises(ZeroDivisionError, match="on purpose"), simulator:
        received: Received = exchange(simulator, request_bytes("/health"))
        assert received.status == 500
