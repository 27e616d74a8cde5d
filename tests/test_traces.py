"""Traces: what meters said, as it was said, on file and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.errors import SchemaError
from minionbench.traces import (
    Begun,
    Fact,
    Look,
    Mark,
    Missing,
    Stream,
    Trace,
    decode_facts,
    encode_fact,
    traces,
)

PACKAGE = Stream("rapl/0", "energy", "uJ", "package 0", "package", wraps_at=1 << 32)

TEXT = st.text(max_size=20)
FACTS = st.one_of(
    st.builds(Begun, st.integers(0, 1 << 60), TEXT, st.none() | TEXT),
    st.builds(Look, TEXT, st.integers(0, 1 << 60), st.integers(0, 1 << 62)),
    st.builds(Look, TEXT, st.integers(0, 1 << 60), st.none(), st.text(min_size=1, max_size=20)),
    st.builds(
        Mark,
        st.sampled_from(["idle", "warmup", "measured"]),
        st.lists(TEXT, max_size=2).map(tuple),
        st.none() | st.integers(0, 9),
        st.integers(0, 1 << 60),
        st.integers(0, 1 << 60),
    ),
    st.builds(Missing, TEXT, TEXT, st.none() | TEXT),
    st.just(PACKAGE),
)


@given(st.lists(FACTS, max_size=10), st.binary(max_size=5))
@settings(max_examples=50)
def test_what_is_written_is_read_again_and_a_torn_last_line_is_left_out(
    facts: list[Fact], torn: bytes
) -> None:
    lines = [encode_fact(fact) for fact in facts]
    assert all(line.count(b"\n") == 1 for line in lines)
    cut = [torn.replace(b"\n", b"")] if torn else []
    assert list(decode_facts([*lines, *cut])) == facts


def test_a_line_that_is_no_fact_is_named() -> None:
    lines = [encode_fact(PACKAGE), b'["look","rapl/0",5,null,null]\n']
    with pytest.raises(SchemaError, match="line 2 is not a fact"):
        list(decode_facts(lines))


def test_a_look_has_a_value_or_a_reason_and_never_both_or_neither() -> None:
    assert Look("a", 1, 0).value == 0
    assert Look("a", 1, None, "gone").why == "gone"
    for value, why in ((None, None), (None, ""), (3, "gone")):
        with pytest.raises(ValueError, match="not a look"):
            Look("a", 1, value, why)


def test_a_stream_comes_in_a_unit_of_its_quantity() -> None:
    with pytest.raises(ValueError, match="energy does not come in mW"):
        Stream("a", "energy", "mW", "a", "gpu")


def test_looks_that_came_late_are_put_in_their_place() -> None:
    trace = Trace.of([PACKAGE, Look("rapl/0", 30, 3), Look("rapl/0", 10, 1), Look("x", 20, 2)])
    assert [look.value for look in trace.looks["rapl/0"]] == [1, 3]
    assert [look.value for look in trace.looks["x"]] == [2]
    assert trace.of_quantity("energy") == (PACKAGE,)
    assert trace.of_quantity("memory") == ()


def test_stretches_on_one_clock_are_one_trace_and_those_before_a_restart_are_left_out() -> None:
    def stretch(at: int, boot: str | None) -> list[Fact]:
        mark = Mark("measured", ("c",), 0, at, at + 5)
        return [Begun(at, "", boot), PACKAGE, Look("rapl/0", at, at), mark, Missing("GPU", "none")]

    facts = [*stretch(100, "a"), *stretch(10, "b"), *stretch(20, "b")]
    trace = Trace.of(facts)
    assert [look.at_ns for look in trace.looks["rapl/0"]] == [10, 20]
    assert [mark.start_ns for mark in trace.marks] == [10, 20]
    assert trace.streams == (PACKAGE,)
    assert trace.missing == (Missing("GPU", "none"),)
    assert trace.begun is not None
    assert trace.begun.at_ns == 10
    assert [one.marks[0].start_ns for one in traces(facts)] == [100, 10, 20]


def test_no_facts_make_an_empty_trace() -> None:
    assert Trace.of([]) == Trace()
