"""Framing finds a response's end wherever its bytes are cut, and never believes other bytes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.transport.http import (
    MAX_CHUNK_LINE_BYTES,
    MAX_HEAD_BYTES,
    FramingError,
    ResponseFramer,
    Url,
    request_bytes,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Written:
    """A response as bytes, and what it says."""

    raw: bytes
    body: bytes
    keep_alive: bool
    until_close: bool = False
    status: int = 200


def fed(*pieces: bytes) -> ResponseFramer:
    framer = ResponseFramer()
    for piece in pieces:
        framer.feed(piece)
    return framer


def body_of(framer: ResponseFramer) -> bytes:
    body = b"".join(framer.body)
    assert len(body) == framer.body_bytes
    return body


def verdict(pieces: list[bytes]) -> tuple[object, ...]:
    """Everything that a framer says of bytes that come in these pieces."""
    framer = ResponseFramer()
    broken = False
    try:
        for piece in pieces:
            framer.feed(piece)
    except FramingError:
        broken = True
    facts = (broken, framer.status, framer.headers, body_of(framer), framer.surplus)
    return (*facts, framer.done, framer.keep_alive, not broken and framer.end_of_stream())


# Responses of every kind

blanks = st.sampled_from([b"", b" ", b"\t ", b"  "])
tokens = st.text("abcXYZ-_!", min_size=1, max_size=8).map(str.encode)
values = st.text("abc 123;=,\t\xe9", max_size=12).map(lambda text: text.strip().encode("latin-1"))
no_framing = {b"connection", b"content-length", b"transfer-encoding"}
fields = st.lists(
    st.tuples(tokens.filter(lambda name: name.lower() not in no_framing), values), max_size=3
)
extensions = st.sampled_from([b"", b";a=b", b' ; note="x y"', b";;", b"\t"])


@st.composite
def heads(draw: st.DrawFn, framing: list[tuple[bytes, bytes]], version: bytes) -> bytes:
    lines = [*draw(fields), *framing]
    lines = draw(st.permutations(lines))
    head = b"HTTP/1." + version + b" 200" + draw(st.sampled_from([b" OK", b" ", b""])) + b"\r\n"
    for name, value in lines:
        head += name + b":" + draw(blanks) + value + draw(blanks) + b"\r\n"
    return head + b"\r\n"


interims = st.lists(
    st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"]),
    max_size=2,
).map(b"".join)


@st.composite
def chunked(draw: st.DrawFn) -> Written:
    pieces = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=5))
    close = draw(st.booleans())
    framing = [(b"Transfer-Encoding", draw(st.sampled_from([b"chunked", b"Chunked"])))]
    if close:
        framing.append((b"Connection", draw(st.sampled_from([b"close", b"x, Close"]))))
    raw = draw(interims) + draw(heads(framing, b"1"))
    for piece in pieces:
        size = draw(st.sampled_from(["%x", "%X", "00%x"])) % len(piece)
        raw += size.encode() + draw(extensions) + b"\r\n" + piece + b"\r\n"
    raw += b"0" + draw(extensions) + b"\r\n"
    for name, value in draw(fields):
        raw += name + b": " + value + b"\r\n"
    return Written(raw + b"\r\n", b"".join(pieces), keep_alive=not close)


@st.composite
def with_length(draw: st.DrawFn) -> Written:
    body = draw(st.binary(max_size=60))
    version = draw(st.sampled_from([b"0", b"1"]))
    asked = draw(st.sampled_from([None, b"keep-alive", b"close"]))
    framing = [(b"Content-Length", b"%d" % len(body))]
    framing *= draw(st.sampled_from([1, 2]))  # twice the same is the same
    if asked:
        framing.append((b"Connection", asked))
    raw = draw(interims) + draw(heads(framing, version)) + body
    keep_alive = asked != b"close" if version == b"1" else asked == b"keep-alive"
    return Written(raw, body, keep_alive)


@st.composite
def until_close(draw: st.DrawFn) -> Written:
    body = draw(st.binary(max_size=60))
    raw = draw(heads([], draw(st.sampled_from([b"0", b"1"])))) + body
    return Written(raw, body, keep_alive=False, until_close=True)


responses = chunked() | with_length() | until_close()


@st.composite
def split(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    cuts = draw(st.lists(st.integers(0, len(raw)), max_size=8))
    return [raw[a:b] for a, b in pairwise([0, *sorted(cuts), len(raw)]) if b > a]


@given(responses, st.data())
def test_any_split_into_reads_gives_the_same_response(
    written: Written, data: st.DataObject
) -> None:
    framer = fed(*data.draw(split(written.raw)))
    assert framer.status == 200
    assert body_of(framer) == written.body
    assert framer.keep_alive == written.keep_alive
    assert framer.done is not written.until_close
    assert framer.end_of_stream()
    assert framer.done
    assert not framer.surplus


@given(responses)
def test_byte_by_byte_is_the_same_as_at_once(written: Written) -> None:
    assert verdict([written.raw]) == verdict([bytes([byte]) for byte in written.raw])


@given(responses)
def test_a_response_that_is_cut_is_never_complete(written: Written) -> None:
    head_end = written.raw.rindex(b"\r\n\r\n", 0, len(written.raw) - len(written.body)) + 4
    for length in range(1, len(written.raw)):
        framer = fed(written.raw[:length])
        assert not framer.done
        assert written.body.startswith(body_of(framer))
        # Where the close marks the end, any body may be the whole one, but the head is not.
        ended_by_close = written.until_close and length >= head_end
        assert framer.end_of_stream() is ended_by_close


spoilt = st.binary(max_size=6) | st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"0", b":", b" ", b"\r\n\r\n", b"ffffffffffffffff", b"\0", b"HTTP/1.1 "]
)


@st.composite
def spoilt_in_pieces(draw: st.DrawFn) -> list[bytes]:
    raw = draw(responses).raw
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(spoilt) + raw[at + draw(st.integers(0, 3)) :]
    return draw(split(raw))


@given(spoilt_in_pieces())
@example([b"HTTP/1.1 100 Continue\r\n\n", b"\r\n" + OK + b"Content-Length: 0\r\n\r\n"])
@example([b"HTTP/1.1 103 Early\r\nLink: x\n\n", b"\r\n\r\n" + OK + b"\r\nabc"])
def test_spoilt_bytes_are_judged_the_same_however_they_come(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    at_once = verdict([raw])
    assert verdict(pieces) == at_once
    assert verdict([bytes([byte]) for byte in raw]) == at_once


@given(st.lists(st.binary(max_size=40), max_size=5))
@example([b"HTTP/1.1 200 OK\r\n\r\n", b"\xff"])
@example([CHUNKED, b"5\r\nhello\r\n", b"0\r\n\r\n", b"more"])
@example([b"\r\n\r\n"])
@example([b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n"])
def test_arbitrary_bytes_are_refused_or_taken_and_nothing_else(pieces: list[bytes]) -> None:
    verdict([piece for piece in pieces if piece])


# Status lines and headers


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"<html>",
        b"\x16\x03\x01",
        b"\r\n\r\n",
        b"ICY 200 OK\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"Name : x\r\n\r\n",
        OK + b" folded: x\r\n\r\n",
        OK + b"A: b\r\n continued\r\n\r\n",
        OK + b"A: b\0c\r\n\r\n",
        OK + b"A: b\rc\r\n\r\n",
        OK + b": x\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    ],
)
def test_a_head_that_is_not_http_is_refused(head: bytes) -> None:
    with pytest.raises(FramingError):
        fed(head)


@pytest.mark.parametrize("garbage", [b"G", b"HTT ", b"HTTP/3", b"\0"])
def test_what_cannot_become_http_is_refused_with_its_first_wrong_byte(garbage: bytes) -> None:
    with pytest.raises(FramingError, match=r"HTTP/1\.x"):
        fed(garbage)


def test_headers_are_found_by_lower_case_name_and_repeated_ones_joined() -> None:
    framer = fed(OK + b"X-A:  one\t\r\nx-a: two\r\nContent-Length: 0\r\n\r\n")
    assert framer.headers == {"x-a": "one, two", "content-length": "0"}


def test_interim_responses_are_passed_over() -> None:
    framer = fed(
        b"HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi"
    )
    assert (framer.status, body_of(framer), framer.done) == (200, b"hi", True)


def test_an_interim_response_is_held_to_the_same_rules_as_any() -> None:
    for wrong in (b"Link: x\n\ny", b"no colon", b"\n", b" folded: x"):
        with pytest.raises(FramingError, match="header"):
            fed(b"HTTP/1.1 103 Early\r\n" + wrong + b"\r\n\r\n" + OK + b"\r\n")


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_statuses_without_a_body_end_with_their_head(status: bytes) -> None:
    framer = fed(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 5\r\n\r\n")
    assert framer.done
    assert framer.keep_alive


# Lengths


def test_a_body_of_no_bytes_is_complete_with_its_head() -> None:
    assert fed(OK + b"Content-Length: 0\r\n\r\n").done
    framer = fed(CHUNKED + b"0\r\n\r\n")
    assert framer.done
    assert framer.keep_alive


@pytest.mark.parametrize(
    "length", [b"", b"-1", b"+5", b"5.0", b"0x5", b"5 5", b"5, 6", b"\xb2", b"9" * 16, b"five"]
)
def test_a_length_that_is_no_single_number_is_refused(length: bytes) -> None:
    with pytest.raises(FramingError, match="content length"):
        fed(OK + b"Content-Length: " + length + b"\r\n\r\n")


def test_lengths_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(FramingError, match="content length"):
        fed(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n")


def test_chunks_go_before_a_length_but_such_a_connection_is_not_used_again() -> None:
    framer = fed(
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    assert body_of(framer) == b"abc"
    assert framer.done
    assert not framer.keep_alive


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity", b"chunked, chunked", b""])
def test_a_transfer_coding_that_was_not_asked_for_is_refused(coding: bytes) -> None:
    with pytest.raises(FramingError, match="transfer coding"):
        fed(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n")


def test_a_connection_is_not_used_again_where_an_http_1_0_server_sends_chunks() -> None:
    framer = fed(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    assert framer.done
    assert not framer.keep_alive


# Chunks


@pytest.mark.parametrize(
    "line",
    [
        b"g\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+5\r\n",
        b"0x5\r\n",
        b"5_0\r\n",
        b"5\n",
        b" 5\r\n",
        b"5 5\r\n",
        b";x\r\n",
        b"f" * 16 + b"\r\n",
        b"not-a-size\r\n",
        b"not",
        b"5\rX",
    ],
)
def test_a_chunk_size_that_is_no_number_is_refused_at_once(line: bytes) -> None:
    with pytest.raises(FramingError):
        fed(CHUNKED, line)


@pytest.mark.parametrize("wrong", [b"X", b"\n", b"\rX", b"\r\r", b"5\r\n"])
def test_a_chunk_that_is_longer_than_it_says_is_refused(wrong: bytes) -> None:
    with pytest.raises(FramingError):
        fed(CHUNKED + b"3\r\nabc" + wrong)
    with pytest.raises(FramingError):
        fed(CHUNKED + b"3\r\nabc", *[bytes([byte]) for byte in wrong])


def test_extensions_and_trailers_are_no_part_of_the_body() -> None:
    framer = fed(CHUNKED + b'3;name="va;lue"\r\nabc\r\n0;last\r\nX-Sum: 9\r\nX-More: 1\r\n\r\n')
    assert body_of(framer) == b"abc"
    assert framer.done
    assert "x-sum" not in framer.headers


def test_a_body_may_hold_what_looks_like_its_end() -> None:
    inner = b"0\r\n\r\ndata: [DONE]\n\n"
    framer = fed(CHUNKED + b"%x\r\n%b\r\n" % (len(inner), inner))
    assert not framer.done
    assert body_of(framer) == inner


# What comes after


@pytest.mark.parametrize(
    "response",
    [
        OK + b"Content-Length: 2\r\n\r\nhi",
        CHUNKED + b"2\r\nhi\r\n0\r\n\r\n",
        OK + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
    ],
)
def test_bytes_after_the_end_are_noticed_and_end_the_connection(response: bytes) -> None:
    for pieces in (
        [response + b"\r\n"],
        [response, b"\r\n"],
        [response[:-1], response[-1:] + b"x"],
    ):
        framer = fed(*pieces)
        assert framer.done
        assert framer.surplus
        assert not framer.keep_alive
        assert body_of(framer) in (b"hi", b"")


def test_the_end_of_the_connection_completes_only_a_body_that_was_to_end_with_it() -> None:
    assert fed(OK + b"\r\nabc").end_of_stream()
    for cut in (
        b"",
        b"HTTP/1.1 2",
        OK,
        OK + b"Content-Length: 5\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"5\r\nab",
        CHUNKED + b"0\r\n",
    ):
        framer = ResponseFramer()
        if cut:
            framer.feed(cut)
        assert not framer.end_of_stream()


# Limits


def feed_forever(first: bytes, more: bytes, limit: int) -> int:
    """Feeds `more` again and again until it is refused; how many bytes of it were taken."""
    framer = fed(first)
    taken = 0
    with pytest.raises(FramingError):
        while taken <= 3 * limit:
            framer.feed(more)
            taken += len(more)
    return taken


@pytest.mark.parametrize(
    ("first", "more", "limit"),
    [
        (OK, b"X-Filler: " + b"x" * 990 + b"\r\n", MAX_HEAD_BYTES),
        (OK + b"X-Long: ", b"x" * 1_000, MAX_HEAD_BYTES),
        (b"HTTP/1.1 200 ", b"x" * 1_000, MAX_HEAD_BYTES),
        (OK[:0], b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 970 + b"\r\n\r\n", MAX_HEAD_BYTES),
        (CHUNKED, b"5;" + b"x" * 98, MAX_CHUNK_LINE_BYTES),
        (CHUNKED + b"0\r\n", b"X-Filler: " + b"x" * 990 + b"\r\n", MAX_HEAD_BYTES),
        (CHUNKED + b"0\r\nX-Long: ", b"x" * 1_000, MAX_HEAD_BYTES),
    ],
    ids=[
        "header lines without end",
        "one header without end",
        "status line without end",
        "interim responses without end",
        "chunk extension without end",
        "trailer lines without end",
        "one trailer without end",
    ],
)
def test_nothing_but_the_body_may_be_without_end(first: bytes, more: bytes, limit: int) -> None:
    if not first:
        first = more
    taken = feed_forever(first, more, limit)
    assert taken <= limit + len(more)


@pytest.mark.parametrize(
    ("before", "after", "limit"),
    [
        (OK + b"X-Long: ", b"\r\n\r\n", MAX_HEAD_BYTES),
        (CHUNKED + b"1;", b"\r\nx\r\n", MAX_CHUNK_LINE_BYTES),
        (CHUNKED + b"0\r\nX-Long: ", b"\r\n\r\n", MAX_HEAD_BYTES),
    ],
)
@pytest.mark.parametrize("beyond", [-40, -3, -2, -1, 0, 1, 2, 3, 40])
def test_a_line_near_its_limit_is_judged_the_same_however_it_comes(
    before: bytes, after: bytes, limit: int, beyond: int
) -> None:
    start = before.rfind(b"\r\n") + 2 if before.startswith(CHUNKED) else 0
    raw = before + b"x" * (limit + beyond - (len(before) - start)) + after
    middle = len(before) + 10
    judged = verdict([raw])
    assert verdict([raw[:-3], raw[-3:]]) == judged
    assert verdict([raw[:middle], raw[middle:-1], raw[-1:]]) == judged


# Requests

POST = request_bytes("POST", Url("http://h:8000/v1"), "/chat", (("X-A", "b"),), b"{}")


def test_a_request_is_written_as_http_says() -> None:
    assert POST == (
        b"POST /v1/chat HTTP/1.1\r\nHost: h:8000\r\nAccept-Encoding: identity\r\n"
        b"Content-Length: 2\r\nX-A: b\r\n\r\n{}"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nX-Evil: 1"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X\r\nX-Evil", "1"),
        ("X: 1\r\nX-Evil", "1"),
        ("", "x"),
        ("X Y", "1"),
        ("X:Y", "1"),
        ("Clé", "1"),
        ("X", "✓"),
    ],
)
def test_a_header_that_breaks_out_of_its_line_is_refused_unquoted(name: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        request_bytes("POST", Url("http://h"), "/", ((name, value),), b"")
    assert not value.strip("1x") or value not in str(caught.value)


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Accept-Encoding"])
def test_headers_that_frame_the_request_cannot_be_replaced(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        request_bytes("POST", Url("http://h"), "/", ((name, "1"),), b"")


# URLs


@pytest.mark.parametrize(
    ("text", "host", "port", "path", "authority", "tls"),
    [
        ("http://127.0.0.1:8000/v1", "127.0.0.1", 8000, "/v1", "127.0.0.1:8000", False),
        ("http://h", "h", 80, "", "h", False),
        ("http://h:80/", "h", 80, "", "h", False),
        ("http://h:443", "h", 443, "", "h:443", False),
        ("https://api.example.org/v1/", "api.example.org", 443, "/v1", "api.example.org", True),
        ("https://h:80/a/b//", "h", 80, "/a/b", "h:80", True),
        ("http://[::1]:8080/v1", "::1", 8080, "/v1", "[::1]:8080", False),
        ("http://[fe80::1]", "fe80::1", 80, "", "[fe80::1]", False),
        ("HTTP://H.Example/V1", "h.example", 80, "/V1", "h.example", False),
        ("http://h/a%20b", "h", 80, "/a%20b", "h", False),
        ("http://h/@me/v1", "h", 80, "/@me/v1", "h", False),
    ],
)
def test_a_url_is_taken_apart(
    text: str, host: str, port: int, path: str, authority: str, tls: bool
) -> None:
    url = Url(text)
    assert (url.host, url.port, url.path, url.authority, url.tls) == (
        host,
        port,
        path,
        authority,
        tls,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h:8000",
        "127.0.0.1:8000/v1",
        "ftp://h/v1",
        "http://",
        "http:///v1",
        "http://:8000",
        "http://h:99999",
        "http://h:http",
        "http://h:-1",
        "http://[::1",
        "http://h/a b",
        "http://h/ünï",
        "http://hö.example/",
        "http://h h/",
        "http://h/v1?version=1",
        "http://h/v1#part",
        "http://h/v1\r\nX-Evil: 1",
        "http://h/\x7f",
    ],
)
def test_what_is_no_servers_url_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Url(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://me:s3cret-key@h/v1",
        "http://s3cret-key@h/v1",
        "http://me:s3cret-key@h:99999/v1",
        "http://me:s3cret-key@[::1/v1",
        "ftp://me:s3cret-key@h/v1",
        "me:s3cret-key@h/v1",
        "http://h/v1?key=s3cret-key",
        "ftp://h/v1?key=s3cret-key",
    ],
)
def test_a_key_inside_a_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Url(text)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in str(caught.value.__cause__)


@given(st.text(max_size=30) | st.text("htp:/@[].?#%x1 ", max_size=20))
def test_any_text_is_a_url_or_a_usage_error(text: str) -> None:
    try:
        url = Url(text)
    except UsageError:
        return
    line = request_bytes("POST", url, "/x", (), b"").split(b"\r\n")[0]
    assert line.count(b" ") == 2
    assert line.isascii()
