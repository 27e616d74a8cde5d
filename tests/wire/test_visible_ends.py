"""How far the visible text had come with each event, where an endpoint keeps that."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Endpoint
from tests.wire.support import DONE, GOOD, delta, reply_to, usage

KEEPING = Endpoint("http://h/v1", "m", visible_ends=True)

tokens = st.lists(
    st.tuples(st.sampled_from(["content", "reasoning_content"]), st.text('ab{é😀"\\', min_size=1)),
    max_size=60,
)


def test_each_event_says_how_many_characters_had_come() -> None:
    assert reply_to(*GOOD, endpoint=KEEPING).visible_ends == (3, 5)


def test_an_endpoint_that_was_not_told_to_keeps_nothing() -> None:
    assert reply_to(*GOOD).visible_ends == ()


@given(tokens)
def test_there_is_one_for_each_token_whatever_way_the_events_are_read(
    said: list[tuple[str, str]],
) -> None:
    """Runs of alike events are read many at a time; reasoning brings no visible character."""
    events = [delta(**{kind: text}) for kind, text in said]
    reply = reply_to(*events, delta(finish="stop"), usage(), DONE, endpoint=KEEPING)
    lengths = [len(text) if kind == "content" else 0 for kind, text in said]
    assert reply.visible_ends == tuple(accumulate(lengths))
    assert len(reply.visible_ends) == len(reply.event_ns)
