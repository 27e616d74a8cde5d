"""The encrypting layer by itself: reads of any length, the kernel's stamps, ends of every kind."""

from __future__ import annotations

import ssl
from collections import deque
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minionbench.errors import DeploymentError
from minionbench.transport.opening import Opening, OpeningFailed
from minionbench.transport.stream import EncryptionError, UnannouncedEnd
from minionbench.transport.tls import Encryption, TlsStream, client_context
from tests.transport.certificates import Authority

many_examples_of_one_server = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


class Wire:
    """A stream whose reads a test cuts as it likes, with the number of each read for its stamp."""

    fd = -1

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.written = bytearray()
        self.room = 1 << 30
        """Bytes that it still takes."""
        self.reads = 0
        self.stopped = self.closed = False

    def send(self, data: memoryview) -> int:
        taken = min(len(data), self.room)
        if taken == 0:
            raise BlockingIOError
        self.written += data[:taken]
        self.room -= taken
        return taken

    def receive(self) -> tuple[bytes, int | None, int]:
        if not self.pieces:
            raise BlockingIOError
        self.reads += 1
        return self.pieces.popleft(), self.reads, 1_000 + self.reads

    def stop_reading(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


class Conversation:
    """Our side over a `Wire`, and a real TLS server whose every byte the test moves."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self._in, self._out, server_side=True)
        self.wire = Wire()
        self.stream = TlsStream(self.wire, client_context(insecure=True), "localhost")
        ours = b""
        while not self.stream.shake(ours):
            self.handshake_of_server()
            ours = self._out.read()
        self.handshake_of_server()

    def handshake_of_server(self) -> None:
        self._in.write(self.taken())
        with suppress(ssl.SSLWantReadError):
            self.server.do_handshake()

    def taken(self) -> bytes:
        """What our side has written since it was last asked."""
        written = bytes(self.wire.written)
        self.wire.written.clear()
        return written

    def record(self, plaintext: bytes = b"") -> bytes:
        """What the server writes: a record of this plaintext after what else it had to say."""
        if plaintext:
            assert self.server.write(plaintext) == len(plaintext)
        return self._out.read()

    def goodbye(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.server.unwrap()
        return self._out.read()

    def heard(self) -> bytes:
        """What our side sent, decrypted by the server."""
        self._in.write(self.taken())
        heard = b""
        while self._in.pending:
            heard += self.server.read(1 << 20)
        return heard

    def reads(self) -> list[tuple[bytes, int | None]]:
        """Every read of our side that gave something, with its stamp."""
        given: list[tuple[bytes, int | None]] = []
        while self.wire.pieces:
            try:
                data, stamp, user_ns = self.stream.receive()
            except BlockingIOError:
                continue
            assert stamp is not None
            assert user_ns == 1_000 + stamp
            given.append((data, stamp))
        return given


def tls_1_2(context: ssl.SSLContext) -> ssl.SSLContext:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.fixture(scope="module", params=["TLSv1.3", "TLSv1.2"])
def context(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext:
    context = authority.issue(f"for {request.param}").server()
    return context if request.param == "TLSv1.3" else tls_1_2(context)


# Bytes in


@given(
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6),
    st.lists(st.integers(0, 1_200), max_size=10),
)
@example([b"one record byte by byte"], list(range(1_200)))
@example([b"a", b"b", b"c"], [])
@many_examples_of_one_server
def test_any_split_gives_the_same_text_with_the_stamp_of_the_read_that_completed_it(
    context: ssl.SSLContext, texts: list[bytes], cuts: list[int]
) -> None:
    talk = Conversation(context)
    tickets = talk.record()  # TLS 1.3 sends them after the handshake: no bytes of an answer
    records = [tickets, *(talk.record(text) for text in texts)]
    stream = b"".join(records)
    inner = sorted({cut for cut in cuts if 0 < cut < len(stream)})
    edges = [0, *inner, len(stream)]
    talk.wire.pieces.extend(stream[a:b] for a, b in pairwise(edges))
    ends = list(accumulate(map(len, records)))[1:]
    expected = []
    for number, (a, b) in enumerate(pairwise(edges), start=1):
        completed = [text for text, end in zip(texts, ends, strict=True) if a < end <= b]
        if completed:
            expected.append((b"".join(completed), number))
    assert talk.reads() == expected


def test_a_record_that_is_longer_than_a_read_comes_with_its_last_part(
    context: ssl.SSLContext,
) -> None:
    talk = Conversation(context)
    text = bytes(range(256)) * 64  # 16,384 bytes: the longest record
    stream = talk.record() + talk.record(text) + talk.record(b"next")
    talk.wire.pieces.extend(stream[i : i + 8_192] for i in range(0, len(stream), 8_192))
    reads = len(talk.wire.pieces)
    assert talk.reads() == [(text + b"next", reads)]


# Bytes out


@given(st.lists(st.integers(0, 900), max_size=12))
@many_examples_of_one_server
def test_bytes_count_as_sent_when_all_of_their_records_have_gone_out(
    context: ssl.SSLContext, rooms: list[int]
) -> None:
    talk = Conversation(context)
    data = memoryview(bytes(range(256)) * 10)
    for room in rooms:
        talk.wire.room = room
        try:
            assert talk.stream.send(data) == len(data)
        except BlockingIOError:
            assert talk.wire.room == 0
            continue
        break
    else:
        talk.wire.room = 1 << 30
        assert talk.stream.send(data) == len(data)
    assert talk.heard() == data


def test_a_long_text_goes_out_in_parts_each_once(context: ssl.SSLContext) -> None:
    talk = Conversation(context)
    data = memoryview(bytes(range(256)) * 3_000)
    heard, sent = b"", 0
    while sent < len(data):
        part = talk.stream.send(data[sent:])
        assert 0 < part < len(data)
        sent += part
        heard += talk.heard()
    assert heard == data


# Ends


def test_a_goodbye_is_the_end(context: ssl.SSLContext) -> None:
    talk = Conversation(context)
    talk.wire.pieces.append(talk.record() + talk.goodbye())
    for _ in range(2):
        data, stamp, _ = talk.stream.receive()
        assert (data, stamp) == (b"", None)


def test_a_goodbye_that_comes_with_the_last_text_is_noticed_after_it(
    context: ssl.SSLContext,
) -> None:
    talk = Conversation(context)
    talk.wire.pieces.append(talk.record(b"last") + talk.goodbye())
    assert talk.stream.receive()[0] == b"last"
    assert talk.wire.stopped  # so that the descriptor is ready once more
    assert talk.stream.receive()[0] == b""


def test_an_end_without_a_goodbye_is_told_apart(context: ssl.SSLContext) -> None:
    talk = Conversation(context)
    talk.wire.pieces.extend([talk.record(b"text"), b""])
    assert talk.stream.receive()[0] == b"text"
    for _ in range(2):
        with pytest.raises(UnannouncedEnd):
            talk.stream.receive()


def test_an_end_inside_a_record_is_told_apart(context: ssl.SSLContext) -> None:
    talk = Conversation(context)
    talk.wire.pieces.extend([(talk.record() + talk.record(b"text"))[:-1], b""])
    with pytest.raises(BlockingIOError):
        talk.stream.receive()
    with pytest.raises(UnannouncedEnd):
        talk.stream.receive()


@pytest.mark.parametrize("at", [0, 1, 5, -1])
def test_spoilt_bytes_are_an_error_after_the_text_before_them(
    context: ssl.SSLContext, at: int
) -> None:
    talk = Conversation(context)
    good, spoilt = talk.record(b"good"), bytearray(talk.record(b"spoilt"))
    spoilt[at] ^= 0xFF
    talk.wire.pieces.append(good + spoilt)
    assert talk.stream.receive()[0] == b"good"
    assert talk.wire.stopped
    for _ in range(2):
        with pytest.raises(EncryptionError):
            talk.stream.receive()


@given(st.binary(max_size=300), st.lists(st.integers(0, 299), max_size=5))
@many_examples_of_one_server
def test_arbitrary_bytes_are_never_text(
    context: ssl.SSLContext, raw: bytes, cuts: list[int]
) -> None:
    talk = Conversation(context)
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    talk.wire.pieces.extend(raw[a:b] for a, b in pairwise(edges))
    talk.wire.pieces.append(b"")
    with pytest.raises((EncryptionError, UnannouncedEnd)):
        talk.reads()


def test_closing_says_goodbye_once_and_closes_what_is_below(context: ssl.SSLContext) -> None:
    talk = Conversation(context)
    talk.stream.close()
    said = talk.taken()
    talk.stream.close()
    assert said
    assert not talk.taken()
    assert talk.wire.closed


def test_closing_does_not_wait_for_room(context: ssl.SSLContext) -> None:
    talk = Conversation(context)
    talk.wire.room = 0
    with pytest.raises(BlockingIOError):
        talk.stream.send(memoryview(b"text"))
    talk.stream.close()
    assert talk.wire.closed


# The layer


def laid(context: ssl.SSLContext, wire: Wire, *, insecure: bool, cut: int) -> Opening:
    """Lays encryption over a wire, the server's bytes coming in pieces of `cut` bytes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    opening = Opening(wire, [Encryption("localhost", "the server", insecure=insecure)])
    done = opening.start()
    while not done:
        incoming.write(bytes(wire.written))
        wire.written.clear()
        with suppress(ssl.SSLWantReadError):
            server.do_handshake()
        flight = outgoing.read()
        assert flight
        for i in range(0, len(flight), cut):
            assert not done
            done = opening.take(flight[i : i + cut])
    return opening


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
def test_a_handshake_is_made_however_its_bytes_come(context: ssl.SSLContext, cut: int) -> None:
    assert isinstance(laid(context, Wire(), insecure=True, cut=cut).stream, TlsStream)
    with pytest.raises(OpeningFailed, match="an authority that this machine does not know"):
        laid(context, Wire(), insecure=False, cut=cut)


@pytest.mark.parametrize("first", [b"H", b"\x16H", b"\x15\x02", b"\0"])
def test_the_first_bytes_that_are_not_tls_are_told_as_such(first: bytes) -> None:
    opening = Opening(Wire(), [Encryption("localhost", "the server", insecure=True)])
    assert not opening.start()
    with pytest.raises(OpeningFailed, match="the server does not speak TLS on this port"):
        for byte in first + b"TTP/1.1 400 Bad Request\r\n":
            opening.take(bytes([byte]))


def test_a_connection_that_takes_no_first_bytes_is_broken() -> None:
    for room in (0, 5):
        wire = Wire()
        wire.room = room
        opening = Opening(wire, [Encryption("localhost", "the server", insecure=True)])
        with pytest.raises(OpeningFailed, match="blocked during the TLS handshake"):
            opening.start()


# Trust


def test_without_insecure_certificates_and_names_are_checked() -> None:
    strict, lax = client_context(insecure=False), client_context(insecure=True)
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)
    assert strict.minimum_version == lax.minimum_version == ssl.TLSVersion.TLSv1_2


def test_no_file_is_written_with_the_keys_of_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: ssl.SSLContext
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    Conversation(context)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_file_of_trusted_certificates_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    file = tmp_path / "trusted.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(DeploymentError, match=r"SSL_CERT_FILE names '.*trusted\.pem'"):
        client_context(insecure=False)
    client_context(insecure=True)  # needs none
