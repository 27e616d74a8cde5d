"""Every fault does on the wire what its name says, in streams and in whole answers."""

from __future__ import annotations

import json

import pytest

from minionbench.simulator import Fixed, SimulatedModel, Simulator
from minionbench.simulator.faults import FAULTS
from minionbench.simulator.routes import INQUIRIES
from tests.simulator.conftest import Start
from tests.simulator.raw import CHAT, Enough, Received, ask, chat, exchange, request_bytes


def stream(simulator: Simulator, fault: str, enough: Enough | None = None) -> Received:
    return ask(simulator, CHAT, chat(stream=True), enough=enough, x_simulate=fault)


def whole(simulator: Simulator, fault: str, enough: Enough | None = None) -> Received:
    return ask(simulator, CHAT, chat(), enough=enough, x_simulate=fault)


def count(data: bytes) -> int:
    return data.count(b'"delta":{"content":"')


def pieces(received: Received) -> int:
    """Chunks with text among what came."""
    return count(received.data)


def outcome(simulator: Simulator) -> str:
    return simulator.log()[-1].outcome


def test_without_a_fault_the_stream_is_whole(simulator: Simulator) -> None:
    received = ask(simulator, CHAT, chat(stream=True))
    assert (received.status, received.ended, pieces(received)) == (200, "whole", 64)
    assert received.body.endswith(b"data: [DONE]\n\n")
    assert outcome(simulator) == "answered"


@pytest.mark.parametrize("fault", ["error=3", "overload=3"])
def test_an_error_comes_after_its_tokens_and_ends_the_body(
    simulator: Simulator, fault: str
) -> None:
    received = stream(simulator, fault)
    assert (received.ended, pieces(received)) == ("whole", 3)
    assert "error" in received.events()[-1]
    assert b"[DONE]" not in received.body
    assert outcome(simulator) == "broken"


def test_an_error_in_a_whole_answer_is_its_status(simulator: Simulator) -> None:
    assert whole(simulator, "error").status == 500
    assert whole(simulator, "overload").status == 503


def test_a_reset_comes_before_any_answer_or_after_its_tokens(simulator: Simulator) -> None:
    assert stream(simulator, "reset") == Received(b"", "reset")
    late = stream(simulator, "reset=2")
    assert (late.ended, pieces(late)) == ("reset", 2)
    assert whole(simulator, "reset") == Received(b"", "reset")
    half = whole(simulator, "reset=1")
    assert half.ended == "reset"
    assert b"Content-Length" in half.data


def test_a_cut_answer_lacks_the_end_of_its_frame(simulator: Simulator) -> None:
    received = stream(simulator, "truncate=2")
    assert (received.ended, pieces(received)) == ("closed", 2)
    assert not received.data.endswith(b"0\r\n\r\n")
    half = whole(simulator, "truncate")
    assert half.ended == "closed"
    assert len(half.body) < int(half.header("content-length") or 0)


def test_a_missing_end_is_a_whole_body_without_the_protocols_end(simulator: Simulator) -> None:
    received = stream(simulator, "missing_end")
    assert (received.ended, pieces(received)) == ("whole", 64)
    assert b"[DONE]" not in received.body
    assert b'"finish_reason":"stop"' not in received.body
    assert pieces(stream(simulator, "missing_end=5")) == 5
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        whole(simulator, "missing_end").json()


def test_a_stall_leaves_the_connection_open(simulator: Simulator) -> None:
    received = stream(simulator, "stall=2", lambda data: count(data) >= 2)
    assert (received.ended, pieces(received)) == ("open", 2)
    assert whole(simulator, "stall", bool).ended == "open"


def test_a_stall_that_ends_is_only_late(simulator: Simulator) -> None:
    received = stream(simulator, "stall=2:0.2")
    assert (received.ended, pieces(received)) == ("whole", 64)
    times = simulator.log()[-1].token_ns
    assert times[2] - times[1] >= 190_000_000


def test_keep_alives_come_before_the_first_token(simulator: Simulator) -> None:
    received = stream(simulator, "keep_alive=0.1:4")
    assert received.body.count(b": keep-alive\n\n") == 4
    assert received.body.rindex(b": keep-alive") < received.body.index(b"The")
    entry = simulator.log()[-1]
    assert entry.ttft_ns is not None
    assert entry.ttft_ns >= 100_000_000
    assert entry.outcome == "answered"
    spaced = whole(simulator, "keep_alive=0.1:4")
    assert spaced.body.startswith(b"\n\n\n\n{")
    assert spaced.json()["choices"]


def test_garbage_ends_a_body_that_is_framed_well(simulator: Simulator) -> None:
    received = stream(simulator, "garbage=1")
    assert (received.ended, pieces(received)) == ("whole", 1)
    assert b"\x00\x01\x02" in received.body
    assert whole(simulator, "garbage").body.startswith(b"\x00")


def test_one_bad_event_does_not_stop_the_stream(simulator: Simulator) -> None:
    cut = stream(simulator, "bad_json=2")
    assert (cut.ended, pieces(cut)) == ("whole", 65)
    with pytest.raises(json.JSONDecodeError):
        cut.events()
    no_text = stream(simulator, "invalid_utf8=2")
    assert no_text.ended == "whole"
    with pytest.raises(UnicodeDecodeError):
        no_text.body.decode()
    strange = stream(simulator, "strange_event=2")
    assert any("novelty" in event for event in strange.events())
    assert outcome(simulator) == "answered"
    with pytest.raises(UnicodeDecodeError):
        whole(simulator, "invalid_utf8").body.decode()
    assert whole(simulator, "strange_event").json()["choices"]


def test_a_bad_chunk_is_no_size(simulator: Simulator) -> None:
    assert stream(simulator, "bad_chunk=2").data.endswith(b"\r\nzz\r\n")
    assert whole(simulator, "bad_chunk").data.endswith(b"\r\n\r\nzz\r\n")


def test_a_short_body_is_shorter_than_promised(simulator: Simulator) -> None:
    for received in (stream(simulator, "short_body"), whole(simulator, "short_body")):
        assert received.ended == "closed"
        assert int(received.header("content-length") or 0) == len(received.body) + 64


def test_a_portal_and_a_redirect_stand_in_for_the_answer(simulator: Simulator) -> None:
    for ask_so in (stream, whole):
        page = ask_so(simulator, "html")
        assert page.status == 200
        assert (page.header("content-type") or "").startswith("text/html")
        away = ask_so(simulator, "redirect=http://example.org/login")
        assert (away.status, away.header("location")) == (307, "http://example.org/login")
        nonsense = ask_so(simulator, "bad_http")
        assert nonsense.ended == "closed"
        assert not nonsense.data.startswith(b"HTTP")


def test_an_endless_answer_is_as_long_as_asked(simulator: Simulator) -> None:
    assert 300_000 <= len(stream(simulator, "gigabyte=300000").body) < 600_000
    assert 300_000 <= len(whole(simulator, "gigabyte=300000").body) < 600_000


def test_a_good_answer_may_be_followed_by_a_silent_close(simulator: Simulator) -> None:
    data = request_bytes(CHAT, chat(), x_simulate="close_silently")
    received = exchange(simulator, data + request_bytes("/health"))
    assert received.status == 200
    assert (received.header("connection") or "keep-alive") == "keep-alive"
    assert received.json()["choices"]
    assert outcome(simulator) == "answered"


def test_token_counts_can_be_missing_or_wrong(simulator: Simulator) -> None:
    assert "usage" not in whole(simulator, "no_usage").json()
    assert whole(simulator, "wrong_usage=5").json()["usage"]["completion_tokens"] == 69
    assert whole(simulator, "empty").json()["usage"]["completion_tokens"] == 0


def test_a_delay_moves_everything(simulator: Simulator) -> None:
    stream(simulator, "delay=120")
    entry = simulator.log()[-1]
    assert entry.ttft_ns is not None
    assert entry.ttft_ns >= 120_000_000


def test_a_fault_is_found_in_the_prompt(simulator: Simulator) -> None:
    body = chat("Please fail. [[simulate:http=418]]")
    received = ask(simulator, CHAT, body)
    assert received.status == 418
    assert simulator.log()[-1].faults == ("http=418",)


def test_an_unknown_fault_is_told_of(simulator: Simulator) -> None:
    received = stream(simulator, "explode")
    assert received.status == 400
    assert "There is no fault 'explode'" in received.json()["error"]["message"]


def test_faults_can_be_given_to_all_requests_and_taken_back(start: Start) -> None:
    simulator = start(faults=(("http=500", 1.0),))
    assert ask(simulator, CHAT, chat()).status == 500
    simulator.faults("http=503", probability=1)
    assert ask(simulator, CHAT, chat()).status == 503
    assert ask(simulator, "/v1/models").status == 503
    simulator.faults()
    assert ask(simulator, CHAT, chat()).status == 200


def test_the_seed_decides_which_requests_fail(start: Start) -> None:
    def statuses(seed: int) -> list[int]:
        simulator = start(faults=(("http=500", 0.5),), seed=seed)
        return [ask(simulator, CHAT, chat(max_tokens=1)).status for _ in range(12)]

    assert statuses(1) == statuses(1)
    assert set(statuses(1)) == {200, 500}
    assert statuses(1) != statuses(2)


@pytest.mark.parametrize("fault", ["reset", "truncate", "garbage", "html", "delay=50"])
def test_faults_happen_to_lists_of_models_too(simulator: Simulator, fault: str) -> None:
    good = ask(simulator, "/v1/models")
    bad = ask(simulator, "/v1/models", x_simulate=fault)
    assert (bad.data == good.data) == (fault == "delay=50") or bad.ended == good.ended
    if fault != "delay=50":
        assert bad.body != good.body if bad.data else bad.ended == "reset"


def test_the_key_is_repeated_only_by_the_fault_that_does_so(simulator: Simulator) -> None:
    for fault in ("echo_key", "unauthorized"):
        received = ask(simulator, CHAT, chat(), x_simulate=fault, authorization="Bearer sk-secret")
        assert (b"sk-secret" in received.data) == (fault == "echo_key")
    assert "sk-secret" not in repr(simulator.log())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/api/generate"])
@pytest.mark.parametrize("streams", [False, True])
def test_every_fault_works_in_every_protocol(
    start: Start, fault: str, path: str, streams: bool
) -> None:
    simulator = start(timing=Fixed(itl_ms=0.01), reasoning_tokens=2, answer_tokens=6)
    argument = {"http": "=503", "keep_alive": "=0.01", "gigabyte": "=70000"}.get(fault, "")
    body = {
        "model": "sim",
        "messages": [{"role": "user", "content": "hi"}],
        "input": "hi",
        "prompt": "hi",
        "max_tokens": 50,
        "stream": streams,
    }
    received = ask(simulator, path, body, enough=bool, x_simulate=fault + argument)
    if fault != "reset":
        assert received.data
    entry = simulator.log()[0]
    assert entry.outcome in ("refused", "broken", "answered", "under way", "client gone")
    assert (entry.status or 200) >= 200


QUICK = {"keep_alive": "keep_alive=0.001", "delay": "delay=1", "gigabyte": "gigabyte=1000"}
"""Faults that are slow by themselves."""


@pytest.mark.parametrize("route", INQUIRIES)
def test_a_fault_on_any_other_route_is_the_servers_and_no_bug_of_ours(
    start: Start, route: str
) -> None:
    """An answer to a question about the server may be short, or have no body at all."""
    method, servers = INQUIRIES[route]
    server = next(iter(sorted(servers)))
    simulator = start(server=server, models=(SimulatedModel(name="sim"),))
    body = None if method == "GET" else {"model": "sim", "input": "a", "messages": []}
    for fault in set(FAULTS) - {"stall"}:
        received = ask(simulator, route, body, x_simulate=QUICK.get(fault, fault))
        assert b"The simulator has a bug" not in received.data, fault
