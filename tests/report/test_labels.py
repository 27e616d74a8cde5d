"""Short names say what differs, and no two are alike."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.report.labels import candidate_names, places, run_names
from minionbench.schema import BenchmarkRun
from tests.documents import runs
from tests.report.material import candidate, cell, run


def names(*of: BenchmarkRun) -> list[str]:
    return [name for some in candidate_names(of) for name in some]


def test_a_single_candidate_goes_by_its_model() -> None:
    assert names(run(candidate("maker/one", reasoning=True))) == ["maker/one"]


def test_only_what_differs_is_said() -> None:
    said = names(
        run(candidate("one", reasoning=True), candidate("one", reasoning=False), candidate("one"))
    )
    assert said == ["reasoning", "no reasoning", "one"]


def test_the_fewest_aspects_are_said_that_tell_all_apart() -> None:
    said = names(
        run(
            candidate("small"),
            candidate("large", deployment="remote"),
            candidate("small", deployment="hybrid", remote_model="large", protocol="minion"),
            candidate("small", deployment="hybrid", remote_model="large", protocol="minions"),
        )
    )
    assert said == ["local", "remote", "hybrid · minion", "hybrid · minions"]


def test_models_go_without_their_provider_where_that_is_enough() -> None:
    assert names(run(candidate("a/m"), candidate("b/n"))) == ["m", "n"]
    assert names(run(candidate("a/m"), candidate("b/m"))) == ["a/m", "b/m"]


def test_two_models_that_answer_together_are_named_together() -> None:
    pairs = [
        candidate(f"o/{small}", deployment="hybrid", remote_model=f"p/{large}", protocol="minion")
        for small in ("s1", "s2")
        for large in ("l1", "l2")
    ]
    assert names(run(*pairs)) == ["s1 + l1", "s1 + l2", "s2 + l1", "s2 + l2"]


def test_names_that_people_gave_in_a_registry_are_kept() -> None:
    said = names(run(candidate("m", version="v1"), candidate("m", version="v2")))
    assert said == ["v1", "v2"]


def test_the_same_in_two_runs_goes_by_its_run() -> None:
    first, second = (
        run(candidate("m"), run_id=f"benchmark_20261121_{time}") for time in ("201100", "201530")
    )
    assert names(first, second) == ["20:11:00", "20:15:30"]
    later = run(candidate("m"), run_id="benchmark_20261122_080000")
    assert run_names([first, later]) == ["2026-11-21 20:11:00", "2026-11-22 08:00:00"]


def test_candidates_that_nothing_tells_apart_are_numbered() -> None:
    assert names(run(candidate("m"), candidate("m"))) == ["m #1", "m #2"]


def test_loads_are_named_where_they_differ() -> None:
    same = places([cell("a", "prefill"), cell("b", "decode")])
    assert [place.name for place in same] == ["prefill", "decode"]
    other = places([cell("a", "prefill"), cell("b", "prefill", streams=8)])
    assert [place.name for place in other] == ["prefill · 1 stream", "prefill · 8 streams"]


@settings(max_examples=15)
@given(st.lists(runs(), min_size=1, max_size=3))
def test_no_two_candidates_of_any_runs_have_one_name(some: list[BenchmarkRun]) -> None:
    said = names(*some)
    assert len(said) == len(set(said)) == sum(len(one.candidates) for one in some)
