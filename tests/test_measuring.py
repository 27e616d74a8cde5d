"""Measuring cells on a real engine of random weights."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from minionbench.deployments.single import Local
from minionbench.engines.catalog import ModelSpec, open_engine
from minionbench.engines.engine import Engine, EngineSettings
from minionbench.errors import UsageError
from minionbench.exchange import Outcome
from minionbench.load import ClosedLoop, OpenLoop
from minionbench.measuring import (
    INTERRUPTED,
    Cell,
    Measured,
    Observer,
    Silent,
    measure,
    stopped_by_signals,
)
from minionbench.records import RequestRecord
from minionbench.runner import StopSwitch
from tests.study import Questions


@pytest.fixture(scope="module")
def engine(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("logs")
    spec = ModelSpec.parse(f"llamacpp/{random_model}")
    with open_engine(spec, EngineSettings(slots=2), log_folder=logs) as running:
        yield running


def cell(name: str, *, n: int = 2, warmup: int = 1, repeats: int = 2, streams: int = 1) -> Cell:
    drawn = tuple(Questions(name).requests(n + warmup, 4))
    return Cell(
        cell_id=name,
        workload=name,
        version=1,
        source="test",
        seed=4,
        load=ClosedLoop(concurrency=streams),
        repeats=repeats,
        warmup=drawn[n:],
        requests=drawn[:n],
    )


def go(
    engine: Engine,
    *cells: Cell,
    observer: Observer | None = None,
    stop: StopSwitch | None = None,
    journal: list[RequestRecord] | None = None,
) -> list[Measured]:
    return measure(
        cells,
        Local(),
        {"local": engine},
        [] if journal is None else journal,
        stop=stop or StopSwitch(),
        observer=observer or Silent(),
        keep_text=True,
        cold=True,
    )


def test_repeats_go_through_all_cells_after_all_are_warm(engine: Engine) -> None:
    journal: list[RequestRecord] = []
    go(engine, cell("a"), cell("b"), journal=journal)
    runs = [(record.phase, record.repeat, record.cell) for record in journal]
    assert [key for i, key in enumerate(runs) if i == 0 or key != runs[i - 1]] == [
        ("warmup", 0, "a"),
        ("warmup", 0, "b"),
        ("measured", 0, "a"),
        ("measured", 0, "b"),
        ("measured", 1, "a"),
        ("measured", 1, "b"),
    ]


def test_each_cell_gets_its_own_records_with_indexes_counted_through(engine: Engine) -> None:
    first, second = go(engine, cell("a"), cell("b", n=3, repeats=1))
    assert [record.index for record in first.records] == [0, 1, 2, 3, 4]
    assert [record.index for record in second.records] == [0, 1, 2, 3]
    assert {record.cell for record in second.records} == {"b"}
    assert {r.item_id for r in first.records if r.phase == "measured"} == {"a/4/0", "a/4/1"}
    assert {r.item_id for r in first.records if r.phase == "warmup"} == {"a/4/2"}


def test_a_session_measures_one_repeat_with_a_warm_up_and_indexes_of_its_own(
    engine: Engine,
) -> None:
    whole = cell("decode", n=2, warmup=1, repeats=3)
    assert (whole.planned, whole.total) == (6, 7)
    found: list[tuple[int, list[int]]] = []
    for repeat in (2, 0):
        now = msgspec.structs.replace(whole, session=repeat)
        assert (now.planned, now.total) == (2, 3)
        (outcome,) = go(engine, now)
        assert {record.repeat for record in outcome.records} == {repeat}
        assert [record.phase for record in outcome.records] == ["warmup", "measured", "measured"]
        assert outcome.facts.planned_requests == 2
        found.append((repeat, [record.index for record in outcome.records]))
    assert found == [(2, [6, 7, 8]), (0, [0, 1, 2])]


def test_the_facts_are_of_the_measured_phases(engine: Engine) -> None:
    (outcome,) = go(engine, cell("a", streams=2))
    facts = outcome.facts
    assert facts.own_cpu_ns is not None and facts.wall_ns is not None
    assert 0 < facts.own_cpu_ns <= facts.wall_ns
    assert facts.planned_requests == 4
    assert facts.engine_watched is True
    assert facts.engine_ended is None
    assert facts.interrupted is False
    assert facts.cold_expected is True


def test_the_engines_memory_is_read(engine: Engine) -> None:
    (outcome,) = go(engine, cell("a"))
    assert outcome.memory.peak_mb is not None
    assert outcome.memory.peak_mb > 10
    assert outcome.memory.processes == 1


def test_the_harness_leaves_the_engines_cores_and_comes_back(engine: Engine) -> None:
    seen: list[set[int]] = []

    class Watching(Silent):
        def record(self, record: RequestRecord) -> None:
            seen.append(os.sched_getaffinity(0))

    before = os.sched_getaffinity(0)
    go(engine, cell("a", n=1, repeats=1), observer=Watching())
    assert os.sched_getaffinity(0) == before
    free = engine.facts.free_cpus
    if free is not None:
        assert seen[-1] == set(free)


def test_an_open_loop_is_warmed_up_one_by_one(engine: Engine) -> None:
    closed = cell("a", n=3, warmup=2, repeats=1)
    from msgspec.structs import replace

    (outcome,) = go(engine, replace(closed, load=OpenLoop(rate_per_s=100)))
    warm = [record for record in outcome.records if record.phase == "warmup"]
    assert warm[1].planned_ns == warm[0].calls[0].reply.end_ns


def test_a_stop_ends_all_cells_and_the_reason_is_told(engine: Engine) -> None:
    stop = StopSwitch()

    class Stopping(Silent):
        def record(self, record: RequestRecord) -> None:
            if record.phase == "measured":
                stop.throw("enough")

    first, second = go(engine, cell("a", n=20), cell("b"), observer=Stopping(), stop=stop)
    assert first.given_up == second.given_up == "enough"
    assert 0 < len([r for r in first.records if r.phase == "measured"]) < 20
    assert [record.phase for record in second.records] == ["warmup"]
    assert first.facts.interrupted is True


def test_more_streams_than_the_system_allows_files_are_refused_before_anything_is_sent(
    engine: Engine,
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system allows any number of open files")
    journal: list[RequestRecord] = []
    with pytest.raises(UsageError, match="open files"):
        go(engine, cell("a", streams=hard), journal=journal)
    assert journal == []
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_what_an_earlier_run_measured_counts_and_is_not_asked_again(engine: Engine) -> None:
    (whole,) = go(engine, cell("a", n=3))
    earlier = [record for record in whole.records if record.index not in (2, 5)]
    journal: list[RequestRecord] = []
    (resumed,) = measure(
        [cell("a", n=3)],
        Local(),
        {"local": engine},
        journal,
        stop=StopSwitch(),
        observer=Silent(),
        keep_text=True,
        cold=True,
        earlier={"a": earlier},
    )
    assert [(record.phase, record.index) for record in journal] == [
        ("warmup", 0),
        ("measured", 2),
        ("measured", 5),
    ]
    measured = [record for record in resumed.records if record.phase == "measured"]
    assert sorted(record.index for record in measured) == [1, 2, 3, 4, 5, 6]


def test_a_cell_that_an_earlier_run_finished_is_left_alone(engine: Engine) -> None:
    (whole,) = go(engine, cell("a"))
    journal: list[RequestRecord] = []
    (resumed,) = measure(
        [cell("a")],
        Local(),
        {"local": engine},
        journal,
        stop=StopSwitch(),
        observer=Silent(),
        keep_text=True,
        cold=True,
        earlier={"a": whole.records},
    )
    assert journal == []
    assert len(resumed.records) == 4
    assert resumed.taken_over == 4
    assert resumed.memory.peak_mb is not None
    assert resumed.facts.own_cpu_ns is None and resumed.facts.wall_ns is None


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_throws_the_switch_and_a_second_one_ends_at_once(signum: int) -> None:
    stop = StopSwitch()
    before = signal.getsignal(signum)
    with stopped_by_signals(stop):
        os.kill(os.getpid(), signum)
        assert stop.why == INTERRUPTED
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signum)
    assert signal.getsignal(signum) is before


def test_a_signal_that_nobody_heeds_ends_at_once() -> None:
    stop = StopSwitch()
    stop.heeded = False
    with stopped_by_signals(stop), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = StopSwitch()
        with stopped_by_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.why is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_engine_that_is_killed_ends_the_run_and_what_was_measured_stays(
    random_model: Path, tmp_path: Path
) -> None:
    spec = ModelSpec.parse(f"llamacpp/{random_model}")
    with open_engine(spec, EngineSettings(), log_folder=tmp_path) as doomed:

        class Killing(Silent):
            def record(self, record: RequestRecord) -> None:
                if record.phase == "measured" and record.index == 2:
                    assert doomed.pid is not None
                    os.kill(doomed.pid, signal.SIGKILL)

        first, second = go(doomed, cell("a", n=30), cell("b"), observer=Killing())
    assert first.given_up is not None
    assert first.facts.engine_ended is not None
    outcomes = [record.outcome for record in first.records if record.phase == "measured"]
    assert outcomes[:2] == [Outcome.OK, Outcome.OK]
    assert outcomes[-1] is not Outcome.OK
    assert len(outcomes) < 10
    assert second.facts.engine_ended == first.facts.engine_ended == second.given_up
    assert [record.phase for record in second.records] == ["warmup"]
