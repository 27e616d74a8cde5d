"""Requests are read the same however their bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.simulator.http import BadRequest, HttpRequest, RequestReader, chunk, sized

SIZED = b"POST /a?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
)
BARE = b"GET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


def read_all(reader: RequestReader) -> list[HttpRequest]:
    found = []
    while (request := reader.next_request()) is not None:
        found.append(request)
    return found


@given(st.sets(st.integers(1, len(SIZED + CHUNKED + BARE) - 1)))
def test_requests_are_the_same_wherever_the_bytes_are_cut(cuts: set[int]) -> None:
    data = SIZED + CHUNKED + BARE
    reader, found = RequestReader(1_000), []
    for start, stop in pairwise([0, *sorted(cuts), len(data)]):
        reader.feed(data[start:stop])
        found += read_all(reader)
    assert [(r.method, r.path, r.body) for r in found] == [
        ("POST", "/a", b"hello"),
        ("POST", "/b", b"abcde"),
        ("GET", "/c", b""),
    ]
    assert [request.keep_alive for request in found] == [True, True, True]


@given(st.binary())
def test_arbitrary_bytes_are_a_request_or_a_bad_one(data: bytes) -> None:
    reader = RequestReader(1_000)
    reader.feed(data)
    try:
        read_all(reader)
    except BadRequest as error:
        assert 400 <= error.status < 600


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5_000, 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"post / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
    ],
)
def test_limits_and_framing_are_kept(data: bytes, status: int) -> None:
    reader = RequestReader(1_000)
    reader.feed(data)
    with pytest.raises(BadRequest) as caught:
        reader.next_request()
    assert caught.value.status == status


def test_connection_close_is_heard() -> None:
    reader = RequestReader(10)
    reader.feed(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.0\r\n\r\n")
    assert [request.keep_alive for request in read_all(reader)] == [False, False]


def test_an_empty_chunk_is_never_written() -> None:
    assert chunk(b"") == b""
    assert chunk(b"x" * 16) == b"10\r\n" + b"x" * 16 + b"\r\n"


def test_a_status_without_a_phrase_has_one() -> None:
    assert sized(529, [], b"").startswith(b"HTTP/1.1 529 Overloaded\r\n")
    assert sized(599, [], b"").startswith(b"HTTP/1.1 599 ")
