"""Questions to real servers on loopback, well-behaved and not."""

from __future__ import annotations

import socket

import pytest

from minionbench import clock
from minionbench.engines import probe
from minionbench.engines.probe import ProbeError, ask
from minionbench.exchange import Secret
from minionbench.transport.http import Url
from tests.engines.support import PATIENCE_S, closed_port, http_server, raw_server


def test_status_and_body_come_back_whatever_the_status() -> None:
    with http_server({"/v1/models": (200, b'{"data": []}'), "/v1/bad": (500, b"oh")}) as (url, _):
        answer = ask(Url(f"{url}/v1"), "/models", timeout_s=PATIENCE_S)
        assert (answer.status, answer.json()) == (200, {"data": []})
        assert ask(Url(f"{url}/v1"), "/bad", timeout_s=PATIENCE_S).status == 500


def test_the_key_goes_into_its_header_only_when_there_is_one() -> None:
    with http_server({"/": (200, b"{}")}) as (url, seen):
        ask(Url(url), "/", key=Secret("abc"), timeout_s=PATIENCE_S)
        ask(Url(url), "/", timeout_s=PATIENCE_S)
    assert [headers.get("Authorization") for headers in seen] == ["Bearer abc", None]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no such model"}}', "HTTP 404: no such model"),
        (b'{"error": "no such model"}', "HTTP 404: no such model"),
        (b'{"message": "no such model"}', "HTTP 404: no such model"),
        (b'"\\u001b[2Jno such\\nmodel"', "HTTP 404: [2Jno such model"),
        (b"<html>", "HTTP 404"),
        (b"[1]", "HTTP 404"),
        (b'{"error": null}', "HTTP 404"),
    ],
)
def test_a_servers_complaint_is_one_printable_line(body: bytes, said: str) -> None:
    with http_server({"/": (404, body)}) as (url, _):
        assert ask(Url(url), "/", timeout_s=PATIENCE_S).complaint() == said


def test_nobody_listening_is_told() -> None:
    with pytest.raises(ProbeError, match="refused: nothing listens there"):
        ask(Url(f"http://127.0.0.1:{closed_port()}"), "/", timeout_s=PATIENCE_S)


def test_a_name_that_does_not_exist_is_told() -> None:
    with pytest.raises(ProbeError, match=r"'nowhere\.invalid' cannot be resolved"):
        ask(Url("http://nowhere.invalid"), "/", timeout_s=PATIENCE_S)


def test_a_name_that_cannot_exist_is_told() -> None:
    with pytest.raises(ProbeError, match="cannot be resolved"):
        ask(Url(f"http://{'a' * 70}.example"), "/", timeout_s=PATIENCE_S)


def test_a_server_that_hangs_up_at_once_is_told() -> None:
    def hang_up(peer: socket.socket) -> None:
        peer.recv(1000)

    with raw_server(hang_up) as url, pytest.raises(ProbeError, match=r"closed connection|reset"):
        ask(Url(url), "/", timeout_s=PATIENCE_S)


def test_what_is_no_http_is_told() -> None:
    def greet(peer: socket.socket) -> None:
        peer.sendall(b"220 mail.example ESMTP\r\n")
        peer.recv(1000)

    with raw_server(greet) as url, pytest.raises(ProbeError, match="no HTTP server"):
        ask(Url(url), "/", timeout_s=PATIENCE_S)


def test_an_answer_that_breaks_off_is_told() -> None:
    def break_off(peer: socket.socket) -> None:
        peer.recv(1000)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    with (
        raw_server(break_off) as url,
        pytest.raises(ProbeError, match="in the middle of the answer"),
    ):
        ask(Url(url), "/", timeout_s=PATIENCE_S)


def test_a_silent_server_does_not_hold_us() -> None:
    with (
        raw_server(lambda peer: while_open(peer, b"")) as url,
        pytest.raises(ProbeError, match=r"answer within 0\.2 s"),
    ):
        ask(Url(url), "/", timeout_s=0.2)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then_does_not_hold_us(head: bytes) -> None:
    def drip(peer: socket.socket) -> None:
        peer.sendall(head)
        while_open(peer, b"x")

    with raw_server(drip) as url, pytest.raises(ProbeError, match=r"answer within 0\.3 s"):
        ask(Url(url), "/", timeout_s=0.3)


def while_open(peer: socket.socket, piece: bytes) -> None:
    """Sends a piece every 20 ms for as long as the other side listens."""
    peer.settimeout(0.02)
    deadline_ns = clock.monotonic_ns() + round(PATIENCE_S * 1e9)
    while clock.monotonic_ns() < deadline_ns:
        try:
            if not peer.recv(1000):
                return
        except TimeoutError:
            pass
        except OSError:
            return
        try:
            peer.sendall(piece)
        except OSError:
            return


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MAX_ANSWER_BYTES", 1 << 20)
    with (
        http_server({"/": (200, bytes((1 << 20) + 1))}) as (url, _),
        pytest.raises(ProbeError, match="longer than 1 MB"),
    ):
        ask(Url(url), "/", timeout_s=PATIENCE_S)


def test_a_redirect_is_not_followed() -> None:
    with http_server({"/": (302, b"")}) as (url, seen):
        assert ask(Url(url), "/", timeout_s=PATIENCE_S).status == 302
    assert len(seen) == 1


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with http_server({"/": (200, b"{}")}) as (url, _):
        assert ask(Url(url), "/", timeout_s=PATIENCE_S).status == 200
