"""Events are found as the standard says, wherever lines end and whatever stands between them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minionbench.wire.frame import Frame
from minionbench.wire.sse import EventStream, NotAnEventStream

LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n)")
KNOWN = (b"data", b"error", b"event", b"id", b"retry")


Event = tuple[bytes, int, bool]
"""Data, end, and whether it is an error."""


def events(body: bytes) -> Iterator[Frame]:
    stream, position = EventStream(body), 0
    while event := stream.next(position):
        assert position <= event.start < event.end
        position = event.end
        yield event


def rest_after_events(body: bytes) -> bytes:
    return EventStream(body).rest()


def by_the_standard(body: bytes) -> tuple[list[Event], bool]:
    """The events, read line by line, and whether a line of no known field came then."""
    found: list[Event] = []
    data: list[bytes] = []
    error, broken = False, False
    for line in LINE.finditer(body):
        if not line[1]:
            if broken:
                return found, True
            if data or error:
                found.append((b"\n".join(data), line.end(), error))
            data, error = [], False
            continue
        field, _, value = line[1].partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field in (b"data", b"error"):
            data.append(value)
        if field == b"error" or (field, value) == (b"event", b"error"):
            error = True
        broken = broken or (field not in KNOWN and not line[1].startswith(b":"))
    return found, False


def read(body: bytes) -> tuple[list[Event], bool]:
    found: list[Event] = []
    try:
        for event in events(body):
            found.append((event.data, event.end, event.error))
    except NotAnEventStream:
        return found, True
    return found, False


def data_of(body: bytes) -> list[bytes]:
    return [event.data for event in events(body)]


lines = st.sampled_from(
    [
        *(b"data: {}", b"data:{}", b"data", b"data:  two", b"data: a:b", b": keep-alive", b":"),
        *(b"event: error", b"event: ping", b"event", b"id: 7", b"retry: 9", b"error: {}"),
        *(b"error:", b"", b"", b"", b"data: [DONE]", b"datta: x", b"no field"),
    ]
)
endings = st.sampled_from([b"\n", b"\r\n", b"\r"])
bodies = st.lists(st.tuples(lines, endings), max_size=12).map(
    lambda parts: b"".join(line + ending for line, ending in parts)
)
lf_bodies = st.lists(lines, max_size=12).map(lambda parts: b"".join(p + b"\n" for p in parts))


@given(bodies | lf_bodies)
@example(b"\n\n\ndata: x\n\n\n\ndata: y\n\n")
@example(b"data: x\n\r\ndata: y\r\r")
def test_events_are_those_that_a_reading_line_by_line_finds(body: bytes) -> None:
    assert read(body) == by_the_standard(body)


@given(bodies | lf_bodies)
def test_a_body_that_is_cut_has_the_events_that_had_ended_before_and_no_other(
    body: bytes,
) -> None:
    whole, _ = read(body)
    for length in range(len(body)):
        cut, _ = read(body[:length])
        ended = [data for data, end, _ in whole if end <= length]
        # A CR LF that was cut in its middle is a whole line end, too.
        assert [data for data, _, _ in cut] == ended or body[length - 1] == 13


@given(st.binary(max_size=80) | st.text("data: \r\nx[]{}", max_size=40).map(str.encode))
def test_any_bytes_are_events_or_no_event_stream(body: bytes) -> None:
    assert read(body) == by_the_standard(body)
    rest_after_events(body)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_each_of_three_ways(end: bytes) -> None:
    body = b"data: one" + end + end + b": comment" + end + b"data: two" + end + end
    first, second = events(body)
    assert (first.data, second.data) == (b"one", b"two")
    assert body[: first.end] == b"data: one" + end + end
    assert second.end == len(body)


def test_the_end_of_an_event_is_just_after_its_blank_line() -> None:
    body = b"\ndata: a\n\n\n: c\n\ndata: b\ndata: c\n\n"
    assert [body[: event.end][-3:] for event in events(body)] == [b"a\n\n", b"c\n\n"]


def test_comments_and_keep_alives_are_no_events() -> None:
    assert data_of(b": keep-alive\n\n:\n\n\n\n: x\ndata: y\n: z\n\n") == [b"y"]


def test_the_lines_of_an_event_are_joined_with_a_line_feed() -> None:
    assert data_of(b'data: {"a":\ndata: 1}\n\n') == [b'{"a":\n1}']
    assert data_of(b"data\ndata:\ndata: \n\n") == [b"\n\n"]


def test_only_one_space_before_the_value_is_no_part_of_it() -> None:
    assert data_of(b"data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\n") == [b"a", b"a", b" a", b"\ta"]


@pytest.mark.parametrize(
    "body",
    [
        b'event: error\ndata: {"message":"x"}\n\n',
        b'data: {"message":"x"}\nevent: error\n\n',
        b'error: {"message":"x"}\n\n',
        b'event: error\r\ndata: {"message":"x"}\r\n\r\n',
    ],
)
def test_an_error_event_is_told_apart(body: bytes) -> None:
    (event,) = events(body)
    assert (event.data, event.error) == (b'{"message":"x"}', True)


def test_an_error_event_needs_no_data() -> None:
    assert [(e.data, e.error) for e in events(b"event: error\n\n")] == [(b"", True)]


def test_events_of_other_names_are_data() -> None:
    body = b"event: message\nid: 1\nretry: 5\ndata: x\n\nevent: ping\n\n"
    assert [(e.data, e.error) for e in events(body)] == [(b"x", False)]


@pytest.mark.parametrize(
    "line", [b"datta: {}", b"<html>", b"no field", b"Data: x", b" data: x", b"\x01", b"\xef\xbb"]
)
def test_a_line_of_no_known_field_ends_the_reading(line: bytes) -> None:
    for end in (b"\n", b"\r\n"):
        body = b"data: before" + end + end + line + end + end + b"data: after" + end + end
        assert read(body) == ([(b"before", 12 + 2 * len(end), False)], True)


def test_the_refused_line_is_quoted_shortly() -> None:
    with pytest.raises(NotAnEventStream, match=r"b'x{60}' is not a line of an event stream"):
        list(events(b"x" * 1_000 + b"\n\n"))


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        (b"", b""),
        (b"data: x\n\n", b""),
        (b"data: x\n\n\n", b""),
        (b"data: x\n\n\n\n", b""),
        (b"data: x\n", b"data: x\n"),
        (b"data: x\n\nda", b"da"),
        (b"\nda", b"da"),
        (b"data: x\r\n\r\nda", b"da"),
        (b"data: x\r\rda", b"da"),
        (b"data: x\r\n\r\n", b""),
        (b"data: x\r\n\r", b""),
        (b"data: x\r\n", b"data: x\n"),
    ],
)
def test_what_follows_the_last_event_is_found(body: bytes, rest: bytes) -> None:
    assert rest_after_events(body) == rest


def test_reading_can_begin_at_the_end_of_any_event() -> None:
    for end in (b"\n", b"\r\n"):
        body = end.join([b"data: a", b"", b": c", b"data: b", b"", b"", b"data: c", b"", b""])
        stream = EventStream(body)
        for event in events(body):
            after = stream.next(event.end)
            rest = next(events(body[event.end :]), None)
            assert (after and after.data) == (rest and rest.data)


def test_a_long_answer_is_read_in_time_that_grows_with_its_length() -> None:
    """Two hundred thousand events, one endless line and one endless event: all in a moment."""
    assert sum(1 for _ in events(b"data: {}\n\n" * 200_000)) == 200_000
    assert sum(1 for _ in events(b"data: {}\r\n\r\n" * 200_000)) == 200_000
    assert data_of(b"x" * 10**7) == []
    assert len(data_of(b"data: x\n" * 10**6 + b"\n")[0]) == 2 * 10**6 - 1
    assert data_of(b"\n" * 10**6) == []
