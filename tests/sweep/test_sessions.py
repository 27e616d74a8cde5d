from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from minionbench.clock import ClockAnchor
from minionbench.errors import SchemaError
from minionbench.load import ClosedLoop
from minionbench.measuring import Cell, Measured
from minionbench.meters.memory import MemoryReading
from minionbench.prices import Price, Pricing
from minionbench.sweep.sessions import SESSIONS, Session, keep, read_sessions
from minionbench.verdict import RunFacts
from tests.making import record
from tests.study import Questions

REQUESTS = tuple(Questions().requests(2, 0))
CELL = Cell(
    cell_id="decode.local",
    workload="decode",
    version=1,
    source="test",
    seed=0,
    load=ClosedLoop(),
    repeats=2,
    warmup=(),
    requests=REQUESTS,
    session=1,
)


def begun(place: int = 0, repeat: int = 1) -> Session:
    return Session(place=place, repeat=repeat, started="2026-11-22T00:00:00+00:00")


def test_what_is_taken_over_keeps_the_clock_that_it_was_measured_by() -> None:
    clocks = [ClockAnchor(monotonic_ns=0, utc_ns=n) for n in range(3)]
    first = msgspec.structs.replace(begun(), clock=clocks[0], boot="one")
    kept = [record(index=3, repeat=1), record(index=4, repeat=1)]
    second = msgspec.structs.replace(
        begun(), clock=clocks[1], boot="two", earlier=first.again(kept[:1])
    )
    third = msgspec.structs.replace(
        begun(), clock=clocks[2], boot="two", earlier=second.again(kept)
    )
    pricing = Pricing.of(Price(input_usd=1, output_usd=1))
    pricing = msgspec.structs.replace(pricing, sessions=third.clocks)
    records = [*kept, record(index=5, repeat=1)]
    assert [pricing.clock_of(one) for one in records] == clocks
    assert pricing.clock_of(record(index=3, repeat=0)) == pricing.clock
    # One of old, which says nothing of its clock.
    assert begun().again(kept) == () and begun().clocks == ()


def test_the_latest_line_of_a_session_counts(tmp_path: Path) -> None:
    failed = Session(place=0, repeat=1, started="2026-11-22T00:00:01+00:00", why="no server")
    other = begun(3, 0)
    for session in (begun(), other, failed):
        keep(tmp_path, session)
    assert read_sessions(tmp_path) == {(0, 1): failed, (3, 0): other}


def test_a_torn_line_is_left_out_and_damage_is_told(tmp_path: Path) -> None:
    keep(tmp_path, begun())
    with (tmp_path / SESSIONS).open("ab") as file:
        file.write(b'{"place": 1, "rep')
    assert read_sessions(tmp_path) == {(0, 1): begun()}
    keep(tmp_path, begun(2))
    assert set(read_sessions(tmp_path)) == {(0, 1), (2, 1)}
    (tmp_path / SESSIONS).write_bytes(b"{}\n")
    with pytest.raises(SchemaError, match="not a session's"):
        read_sessions(tmp_path)


def test_what_was_measured_is_the_same_from_disk(tmp_path: Path) -> None:
    records = (record(index=2, repeat=1),)
    measured = Measured(
        cell=CELL,
        records=records,
        facts=RunFacts(own_cpu_ns=5, wall_ns=7, planned_requests=2, pinned=True),
        memory=MemoryReading(peak_bytes=9, method="largest sample", processes=1, samples=3),
        given_up="failure followed failure",
        servers={"local": {"requests": 3}},
    )
    keep(tmp_path, begun().with_measured(measured))
    (again,) = read_sessions(tmp_path).values()
    assert again.outcome(CELL, records) == measured


def test_of_a_session_that_broke_off_the_records_are_known(tmp_path: Path) -> None:
    keep(tmp_path, begun())
    (again,) = read_sessions(tmp_path).values()
    outcome = again.outcome(CELL, [record(index=2, repeat=1)])
    assert len(outcome.records) == outcome.taken_over == 1
    assert outcome.facts.interrupted is True
    assert outcome.facts.own_cpu_ns is None
    assert outcome.given_up == "the session broke off"
