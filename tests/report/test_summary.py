"""The report in words: whom to choose over all, what to believe, and what is set off in it."""

from __future__ import annotations

from pathlib import Path

from minionbench.report.charts.scene import Scene, scene
from minionbench.report.reading import material
from minionbench.report.summary import belief, circumstances, facts, heading, marked, overall
from minionbench.schema import BenchmarkCandidate
from tests.report.material import candidate, cell, run


def of(*candidates: BenchmarkCandidate) -> Scene:
    return scene(material([(Path("run.json"), run(*candidates))]))


def two(slower: str) -> Scene:
    """Two options in two workloads, of which `slower` is the slower one in the second."""
    return of(
        *(
            candidate(
                name,
                cell(f"{name}.p", "prefill", total_latency_s=1.0 + (name == "b")),
                cell(f"{name}.d", "decode", total_latency_s=1.0 + (name == slower)),
            )
            for name in "ab"
        )
    )


def test_an_option_that_is_best_everywhere_is_said_to_be() -> None:
    assert overall(two("b")) == "a has the highest score in all 2, beyond the intervals in 2."


def test_where_each_workload_has_its_own_best_none_is_put_before_the_others() -> None:
    assert overall(two("a")) == (
        "Which option is best depends on the workload: none has the highest score in more than one "
        "of 2."
    )


def test_what_suspect_and_invalid_mean_for_the_choice_is_said() -> None:
    made = of(
        candidate("a", cell("a", status="suspect", total_latency_s=1.0)),
        candidate("b", cell("b", status="invalid", total_latency_s=1.0)),
    )
    tone, text = belief(made)
    assert tone == "bad"
    assert text == (
        "1 of 2 cells is invalid and 1 of 2 cells is suspect (start_lag); see below what to do "
        "about it. Invalid figures are not to be used, and are never chosen. Suspect figures are "
        "to be taken with care; they take part in the choice."
    )


def test_a_name_is_set_off_where_its_figures_follow_and_not_within_another_word() -> None:
    assert marked("Choose o: cost $1", "o") == "Choose <strong>o</strong>: cost $1"
    text = "The highest score has s (local): cost $1"
    assert marked(text, "s") == "The highest score has <strong>s</strong> (local): cost $1"
    assert marked(r"Choose \1(: x", r"\1(") == r"Choose <strong>\1(</strong>: x"


def test_the_heading_names_a_few_and_counts_many() -> None:
    few = of(*(candidate(name, cell(name, total_latency_s=1.0)) for name in "abc"))
    assert heading(few) == "a, b and c"
    many = of(*(candidate(name, cell(name, total_latency_s=1.0)) for name in "abcde"))
    assert heading(many) == "5 options in 1 workload"


def test_how_a_run_was_made_does_not_stand_before_what_came_of_it() -> None:
    made = of(candidate("a", cell("a", total_latency_s=1.0)))
    assert [key for key, _ in facts(made)] == ["run", "measured", "content"]
    assert dict(circumstances(made))["command"] == "minionbench run"
