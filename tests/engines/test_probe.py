"""Questions to real servers on loopback, well-behaved and not."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minionbench import clock
from minionbench.engines import probe
from minionbench.engines.probe import Conversation, ProbeError, ask, ask_lines
from minionbench.errors import DeploymentError
from minionbench.exchange import Secret
from minionbench.transport.http import Url
from tests.engines.support import PATIENCE_S, closed_port, http_server, raw_server
from tests.transport.certificates import Authority
from tests.transport.support import CHUNKED, HELLO, Peer, ScriptedServer, Signal, answering


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

    with raw_server(hang_up) as url, pytest.raises(ProbeError, match=r"without an answer"):
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


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"]
)
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


def test_this_machine_is_not_asked_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with http_server({"/": (200, b"{}")}) as (url, _):
        assert ask(Url(url), "/", timeout_s=PATIENCE_S).status == 200


def test_headers_of_the_caller_go_before_ours() -> None:
    with http_server({"/": (200, b"{}")}) as (url, seen):
        more = (("authorization", "Other abc"), ("X-Version", "3"))
        ask(Url(url), "/", key=Secret("k"), headers=more, timeout_s=PATIENCE_S)
    assert seen[0]["X-Version"] == "3"
    values = [value for name, value in seen[0].items() if name.lower() == "authorization"]
    assert values == ["Other abc"]


# Proxies and TLS: the same as for the measured calls

USER = "me:s3cret-pass"


def test_a_server_elsewhere_is_asked_by_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with http_server({"http://api.example/v1/models": (200, b"{}")}) as (url, seen):
        monkeypatch.setenv("http_proxy", url.replace("http://", f"http://{USER}@"))
        assert ask(Url("http://api.example/v1"), "/models", timeout_s=PATIENCE_S).status == 200
    assert seen[0]["Proxy-Authorization"].startswith("Basic ")
    assert seen[0]["Host"] == "api.example"


def test_a_proxy_that_refuses_or_is_not_there_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(peer: socket.socket) -> None:
        peer.recv(1000)
        peer.sendall(b"HTTP/1.1 407 No\r\n\r\n")
        peer.recv(1000)

    with raw_server(refuse) as url:
        monkeypatch.setenv("https_proxy", url.replace("http://", f"http://{USER}@"))
        with pytest.raises(ProbeError, match="password of https_proxy") as refused:
            ask(Url("https://api.example"), "/", timeout_s=PATIENCE_S)
    with pytest.raises(ProbeError, match=r"no connection to the proxy .* of https_proxy") as dead:
        ask(Url("https://api.example"), "/", timeout_s=PATIENCE_S)
    monkeypatch.setenv("https_proxy", f"http://{USER}@nowhere.invalid:1")
    words = r"'nowhere\.invalid' of the proxy in https_proxy .* Check https_proxy and the network"
    with pytest.raises(DeploymentError, match=words) as unknown:
        ask(Url("https://api.example"), "/", timeout_s=PATIENCE_S)
    monkeypatch.setenv("https_proxy", f"socks5://{USER}@h")
    with pytest.raises(DeploymentError, match="SOCKS") as socks:
        ask(Url("https://api.example"), "/", timeout_s=PATIENCE_S)
    assert "s3cret" not in f"{refused.value}{dead.value}{unknown.value}{socks.value}"


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")
def test_certificates_are_verified_unless_the_user_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    with ScriptedServer(answering(HELLO), tls=authority.issue("good").server()) as server:
        url = Url(server.url)
        with pytest.raises(ProbeError, match="SSL_CERT_FILE, or accept it unseen with --insecure"):
            ask(url, "/", timeout_s=PATIENCE_S)
        assert ask(url, "/", insecure=True, timeout_s=PATIENCE_S).body == b"hello"
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root.path))
        assert ask(url, "/", timeout_s=PATIENCE_S).body == b"hello"
        assert list(ask_lines(url, "/", {}, idle_s=PATIENCE_S)) == [b"hello"]


# Line by line


def lines_server(serve: Callable[[Peer], None]) -> ScriptedServer:
    def answer(peer: Peer) -> None:
        if peer.read_request():
            serve(peer)

    return ScriptedServer(answer)


def test_lines_are_given_as_they_come() -> None:
    gate = Signal()

    def serve(peer: Peer) -> None:
        peer.send(CHUNKED + b"4\r\na\nb\n\r\n", b"2\r\nc1\r\n")
        gate.wait()
        peer.send(b"3\r\n2\nd\r\n0\r\n\r\n")

    with lines_server(serve) as server:
        lines = ask_lines(Url(server.url), "/pull", {}, idle_s=PATIENCE_S)
        assert [next(lines), next(lines)] == [b"a\n", b"b\n"]
        gate.give()
        assert list(lines) == [b"c12\n", b"d"]


def test_an_answer_of_lines_that_breaks_off_or_stops_is_told_after_what_came() -> None:
    gate = Signal()
    for stops, said in ((False, "in the middle"), (True, r"no complete answer within 0\.3 s")):

        def serve(peer: Peer, stops: bool = stops) -> None:
            peer.send(CHUNKED + b"2\r\na\n\r\n")
            if stops:
                gate.wait()

        with lines_server(serve) as server:
            lines = ask_lines(Url(server.url), "/", {}, idle_s=0.3 if stops else PATIENCE_S)
            assert next(lines) == b"a\n"
            with pytest.raises(ProbeError, match=said):
                next(lines)
            if stops:
                gate.give()


def test_a_line_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MAX_ANSWER_BYTES", 1 << 20)

    def serve(peer: Peer) -> None:
        peer.send(CHUNKED)
        while True:
            peer.send(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    with lines_server(serve) as server, pytest.raises(ProbeError, match="longer than 1 MB"):
        list(ask_lines(Url(server.url), "/", {}, idle_s=PATIENCE_S))


def test_lines_that_nobody_reads_on_end_with_their_reader() -> None:
    def serve(peer: Peer) -> None:
        peer.send(CHUNKED + b"2\r\na\n\r\n")
        peer.wait_for_close()

    with lines_server(serve) as server:
        lines = ask_lines(Url(server.url), "/", {}, idle_s=PATIENCE_S)
        assert next(lines) == b"a\n"
        lines.close()


KEY = "sk-pl/anted-0123456789"
QUOTED = KEY.encode()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/9 " + QUOTED + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + QUOTED + b"\r\n\r\n",
        QUOTED + b" and more\r\n\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: 33\r\n\r\n" + b'"wrong: ' + QUOTED + b'"  ',
        b'HTTP/1.1 401 No\r\nContent-Length: 32\r\n\r\n"wrong: sk-pl\\/anted-0123456789"',
        b'HTTP/1.1 401 No\r\nContent-Length: 23\r\n\r\n"wrong: sk-pl/anted-01"',
    ],
)
@pytest.mark.parametrize("carried", ["as the key", "in a header"])
def test_a_secret_that_a_server_quotes_is_not_repeated(answer: bytes, carried: str) -> None:
    def quote(peer: socket.socket) -> None:
        peer.recv(1000)
        peer.sendall(answer)

    key = Secret(KEY) if carried == "as the key" else None
    headers = () if key is not None else (("Authorization", f"Bearer {KEY}"),)
    with raw_server(quote) as url:
        try:
            got = ask(Url(url), "/", key=key, headers=headers, timeout_s=PATIENCE_S)
            said = got.complaint()
        except ProbeError as error:
            said = str(error)
    assert "…" in said
    assert KEY[:8] not in said


def test_a_secret_that_is_quoted_in_an_answer_of_lines_is_not_repeated() -> None:
    def quote(peer: socket.socket) -> None:
        peer.recv(1000)
        body = QUOTED + b"\n" + QUOTED
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with raw_server(quote) as url:
        lines = list(ask_lines(Url(url), "/", {}, key=Secret(KEY), idle_s=PATIENCE_S))
    assert lines == ["…\n".encode(), "…".encode()]


def test_the_answers_of_a_conversation_come_in_the_order_of_its_questions() -> None:
    pages = {f"/v1/{n}": (200, str(n).encode()) for n in range(5)} | {"/v1/bad": (500, b"oh")}
    with (
        http_server(pages) as (url, seen),
        Conversation(
            Url(f"{url}/v1"), key=Secret("abcdefgh"), timeout_s=PATIENCE_S
        ) as conversation,
    ):
        targets = [*(f"/{n}" for n in range(5)), "/bad", "/0"]
        answers = list(conversation.answers((target, None) for target in targets))
        assert [answer.status for answer in answers] == [200] * 5 + [500, 200]
        assert b"".join(answer.body for answer in answers) == b"01234oh0"
        assert conversation.asked_ns > 0
    assert {headers.get("Authorization") for headers in seen} == {"Bearer abcdefgh"}


def test_the_next_question_is_on_its_way_before_the_last_answer_is_given_out() -> None:
    asked: list[int] = []

    def questions() -> Iterator[tuple[str, None]]:
        for number in range(3):
            asked.append(number)
            yield "/v1/models", None

    with (
        http_server({"/v1/models": (200, b"{}")}) as (url, _),
        Conversation(Url(url), timeout_s=PATIENCE_S) as conversation,
    ):
        answers = conversation.answers(questions())
        assert asked == []
        next(answers)
        assert asked == [0, 1]
        next(answers)
        assert asked == [0, 1, 2]
        next(answers)
        assert next(answers, None) is None


def test_a_conversation_with_nobody_is_told() -> None:
    with (
        Conversation(Url(f"http://127.0.0.1:{closed_port()}"), timeout_s=PATIENCE_S) as talk,
        pytest.raises(ProbeError, match="refused"),
    ):
        next(talk.answers([("/", None)]))
