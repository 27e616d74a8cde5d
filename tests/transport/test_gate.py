"""A gate never lets in more calls than it has slots, and shares the slots out in turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.transport.gate import Gate


def test_a_gate_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        Gate(0)


def test_a_gate_without_limit_lets_everyone_in() -> None:
    gate: Gate[str] = Gate(None)
    assert all(gate.enter() for _ in range(1_000))
    assert gate.taken == 1_000
    assert gate.leave() is None
    assert gate.taken == 999


def test_a_slot_that_becomes_free_goes_to_who_waits() -> None:
    gate: Gate[str] = Gate(1)
    assert gate.enter()
    assert not gate.enter()
    gate.wait("A", "a1")
    assert gate.waiting == 1
    assert gate.leave() == "a1"
    assert (gate.taken, gate.waiting) == (1, 0)
    assert gate.leave() is None
    assert gate.taken == 0
    assert gate.enter()


def test_requests_take_turns_and_each_sends_its_oldest_call_first() -> None:
    gate: Gate[str] = Gate(1)
    assert gate.enter()
    for call in ("a1", "a2", "a3"):
        gate.wait("A", call)
    gate.wait("B", "b1")
    gate.wait("C", "c1")
    gate.wait("B", "b2")
    assert [gate.leave() for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert gate.leave() is None


def test_a_call_that_was_given_up_is_passed_over() -> None:
    gate: Gate[str] = Gate(1)
    gate.enter()
    gate.wait("A", "a1")
    gate.wait("A", "a2")
    gate.wait("B", "b1")
    assert gate.forget("A", "a1")
    assert gate.forget("B", "b1")
    assert not gate.forget("A", "a1")
    assert not gate.forget("C", "never there")
    assert gate.waiting == 1
    assert [gate.leave(), gate.leave()] == ["a2", None]


steps = st.lists(
    st.tuples(st.sampled_from(["arrive", "end", "give up"]), st.integers(0, 4)), max_size=60
)


@given(st.integers(1, 4), steps)
def test_slots_are_never_overdrawn_and_never_left_empty_while_someone_waits(
    slots: int, steps: list[tuple[str, int]]
) -> None:
    gate: Gate[tuple[int, int]] = Gate(slots)
    inside: list[tuple[int, int]] = []
    queued: list[tuple[int, int]] = []
    turns_missed: dict[tuple[int, int], int] = {}
    for number, (step, owner) in enumerate(steps):
        call = (owner, number)
        if step == "arrive":
            if gate.enter():
                assert not queued
                inside.append(call)
            else:
                gate.wait(owner, call)
                queued.append(call)
                turns_missed[call] = 0
        elif step == "end" and inside:
            inside.pop(0)
            following = gate.leave()
            if following is None:
                assert not queued
            else:
                queued.remove(following)
                inside.append(following)
                # A call goes before the later ones of its own request …
                assert all(other > following for other in queued if other[0] == following[0])
                for other in queued:
                    turns_missed[other] += 1
        elif step == "give up" and queued:
            given_up = queued.pop(owner % len(queued))
            assert gate.forget(given_up[0], given_up)
        assert gate.taken == len(inside) <= slots
        assert gate.waiting == len(queued)
        # … and waits at most a round of all requests per call of its own before it.
        for other in queued:
            before = sum(q[0] == other[0] for q in turns_missed if q <= other)
            assert turns_missed[other] <= 5 * before
