"""The choice among deployments: judged by their cells, over workloads and loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.deployments.single import Local, Remote
from minionbench.errors import NotComparable, UsageError
from minionbench.load import ClosedLoop, OpenLoop
from minionbench.prices import Price
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    Factors,
    LoadDocument,
    MetricResult,
    ReasonDocument,
    VerdictDocument,
    WorkloadDocument,
)
from minionbench.select import (
    Criteria,
    Gate,
    Selection,
    choose,
    holds_deployments,
    parse_weights,
    promote_choice,
    short_names,
)
from tests.documents import candidate, cell, run
from tests.select.candidates import made, near
from tests.sweep.support import simulated, swept

SECONDS = {"total_latency_s": 1.0}


def place(
    name: str, workload: str, load: int = 1, *, seed: int = 0, bad: bool = False, **metrics: Any
) -> CellResult:
    """A cell of a sweep, called as a sweep does; a number has an interval of 1 %."""
    reason = ReasonDocument(
        rule="session_failed",
        severity="invalid",
        measured=0,
        limit=2,
        unit="sessions",
        message="No session of this cell was measured.",
        advice=None,
    )
    return cell(
        f"{workload}.{name}.c{load}",
        workload=WorkloadDocument(
            name=workload, version=1, source=f"builtin:{workload}@1", seed=seed, items=5
        ),
        load=LoadDocument(kind="closed", concurrency=load),
        settings={"repeat_unit": "session"},
        metrics={
            metric: near(value) if isinstance(value, int | float) else value
            for metric, value in metrics.items()
        },
        verdict=VerdictDocument(status="invalid", reasons=(reason,))
        if bad
        else VerdictDocument(status="valid"),
    )


def option(*cells: CellResult, kind: Any = "remote", version: str = "m") -> BenchmarkCandidate:
    factors = Factors(deployment=kind, model=version)
    return candidate(version, factors=factors, cells=cells)


def quick(name: str, seconds: float, *more: CellResult, **metrics: Any) -> BenchmarkCandidate:
    """A deployment with one cell."""
    return option(place(name, "decode", total_latency_s=seconds, **metrics), *more)


def standings(selection: Selection) -> dict[str, str]:
    return {one.version: str(one.standing) for one in selection.assessments}


def said(selection: Selection, name: str) -> str:
    return "; ".join(
        text
        for one in selection.assessments
        if one.version == name
        for text in (*one.reasons, *one.notes)
    )


def test_a_weight_is_shared_by_workloads_and_by_the_loads_of_each() -> None:
    selection = choose(
        run(
            option(
                place("a", "decode", 1, ttft_s=0.001),  # counts 1
                place("a", "decode", 4, ttft_s=10.0),  # counts 0
                place("a", "prefill", 1, ttft_s=0.1),  # counts 1/2
            )
        ),
        Criteria(weights={"ttft_s": 2.0}),
    )
    assert selection.by_cells and selection.of_deployments
    assert selection.chosen is not None and selection.chosen.score is not None
    assert selection.chosen.version == "a"
    assert selection.chosen.score.point == pytest.approx((1 / 2 + 0 / 2) / 2 + (1 / 2) / 2)
    shares = {share.metric: share.weight for share in selection.chosen.score.shares}
    assert shares == {
        "decode.c1.ttft_s": 0.25,
        "decode.c4.ttft_s": 0.25,
        "prefill.c1.ttft_s": 0.5,
    }


def test_each_workload_and_each_load_has_a_choice_of_its_own() -> None:
    def of(name: str, decode: float, prefill: float) -> BenchmarkCandidate:
        return option(
            *(place(name, "decode", load, total_latency_s=decode * load) for load in (1, 4)),
            *(place(name, "prefill", load, total_latency_s=prefill * load) for load in (1, 4)),
        )

    selection = choose(run(of("a", 0.1, 9.0), of("b", 0.2, 0.2)))
    assert selection.chosen is not None and selection.chosen.version == "b"
    assert {one.version: one.on_front for one in selection.assessments} == {"a": True, "b": True}
    parts = {name: part.chosen.version for name, part in selection.parts if part.chosen}
    assert parts == {"decode": "a", "prefill": "b", "c1": "b", "c4": "b"}
    over_decode = choose(
        run(of("a", 0.1, 9.0), of("b", 0.2, 0.2)), Criteria(workloads=("decode",), loads=("c4",))
    )
    assert standings(over_decode) == {"a": "chosen", "b": "dominated"}
    assert over_decode.parts == ()


def test_the_weights_that_nobody_named_are_those_that_every_measured_one_has() -> None:
    selection = choose(
        run(
            quick("a", 1.0, accuracy_pct=80.0, cost_usd=0.01),
            quick("b", 2.0, accuracy_pct=90.0, cost_usd=MetricResult.skipped("no price")),
            option(place("failed", "decode", bad=True, total_latency_s=MetricResult.error("x"))),
        )
    )
    assert selection.criteria.weights == {"total_latency_s": 1.0, "accuracy_pct": 1.0}
    assert any("cost_usd is not weighed: 1 option of 2 (b)" in note for note in selection.notes)
    assert standings(selection)["failed"] == "not to be believed"
    assert "failed.c1 is invalid: session_failed" in said(selection, "failed")
    by_cost = choose(
        run(
            quick("a", 1.0, cost_usd=0.01),
            quick("b", 2.0, cost_usd=MetricResult.skipped("no price")),
        ),
        Criteria(weights={"cost_usd": 1.0}),
    )
    assert standings(by_cost) == {"a": "chosen", "b": "cannot be ranked"}
    assert "missing decode.cost_usd: skipped: no price" in said(by_cost, "b")


def test_calls_that_nobody_charges_for_cost_nothing_but_only_where_something_was_measured() -> None:
    local = option(place("l", "decode", total_latency_s=1.0), kind="local")
    remote = option(place("r", "decode", total_latency_s=1.0, cost_usd=0.01))
    dead = option(place("d", "decode", total_latency_s=MetricResult.error("x")), kind="local")
    by_cost = Criteria(weights={"cost_usd": 1.0})
    selection = choose(run(local, remote, dead), by_cost)
    assert standings(selection) == {
        "l": "chosen",
        "r": "dominated",
        "d": "cannot be ranked",
    }
    assert selection.chosen is not None and selection.chosen.score is not None
    assert selection.chosen.score.point == 1.0
    assert "cost_usd of a local deployment is 0" in "".join(selection.notes)


def test_a_cell_that_others_have_is_missing_and_not_made_up_for() -> None:
    whole = option(
        place("whole", "decode", total_latency_s=5.0), place("whole", "prefill", total_latency_s=5)
    )
    part = option(place("part", "decode", total_latency_s=0.1), version="p")
    selection = choose(run(whole, part))
    assert standings(selection) == {"whole": "chosen", "part": "cannot be ranked"}
    assert "it has no cell of prefill under c1" in said(selection, "part")
    assert dict(selection.parts)["decode"].chosen is not None
    assert standings(dict(selection.parts)["decode"]) == {"part": "chosen", "whole": "dominated"}


def test_a_metric_that_nobody_has_over_a_workload_counts_elsewhere_only() -> None:
    def of(name: str, right: float) -> BenchmarkCandidate:
        forced = MetricResult.skipped("lengths were forced")
        return option(
            place(name, "decode", accuracy_pct=right), place(name, "prefill", accuracy_pct=forced)
        )

    by_right = Criteria(weights={"accuracy_pct": 1.0})
    selection = choose(run(of("a", 80.0), of("b", 40.0)), by_right)
    assert standings(selection)["a"] == "chosen"
    assert any("no value for anybody over prefill" in note for note in selection.notes)


def test_a_gate_is_held_against_each_cell() -> None:
    steady = option(*(place("steady", "decode", n, total_latency_s=2.0) for n in (1, 4)))
    falling = option(
        *(place("falling", "decode", n, total_latency_s=s) for n, s in ((1, 0.1), (4, 9.0)))
    )
    gated = Criteria(weights=SECONDS, gates=(Gate("total_latency_s", "<", 5.0),))
    selection = choose(run(steady, falling), gated)
    assert standings(selection) == {"steady": "chosen", "falling": "fails a gate"}
    assert "it is 9.00 s (8.91–9.09) in decode.falling.c4" in said(selection, "falling")


def test_a_tie_goes_to_the_higher_score() -> None:
    def of(name: str, seconds: float) -> BenchmarkCandidate:
        wide = MetricResult.ok(seconds, interval={"low": 0.5, "high": 5.0})
        return option(place(name, "decode", total_latency_s=wide))

    selection = choose(run(of("slower", 2.0), of("quicker", 1.0)))
    assert standings(selection) == {"quicker": "chosen", "slower": "tied"}
    assert "the higher score" in said(selection, "quicker")


def test_weights_may_name_a_workload() -> None:
    document = run(
        option(place("a", "decode", ttft_s=1.0), place("a", "prefill", ttft_s=0.01)),
        option(place("b", "decode", ttft_s=0.01), place("b", "prefill", ttft_s=1.0)),
    )
    weights = parse_weights("prefill.ttft=3,ttft=1", short_names(document, Criteria()))
    assert weights == {"prefill.ttft_s": 3.0, "ttft_s": 1.0}
    selection = choose(document, Criteria(weights=weights))
    assert selection.chosen is not None and selection.chosen.version == "a"
    with pytest.raises(UsageError, match="no cell of the workload balanced"):
        choose(document, Criteria(weights={"balanced.ttft_s": 1.0}))


def test_short_names_are_those_of_what_is_judged() -> None:
    deployed = run(quick("a", 1.0))
    assert short_names(deployed, Criteria())["latency"] == ("total_latency_s",)
    at_once = cell(load=LoadDocument(kind="open", rate_per_s=2.0, arrivals="poisson"))
    assert short_names(run(option(at_once)), Criteria())["latency"] == ("response_time_s",)
    models = run(made("v1", latency_ms=1.0, cells=("valid",)))
    assert not holds_deployments(models)
    assert short_names(models, Criteria())["latency"] == ("latency_ms",)


def test_a_workload_or_load_that_is_not_there_is_told() -> None:
    for criteria, complaint in (
        (Criteria(workloads=("balanced",)), "no workload 'balanced'; it has decode"),
        (Criteria(loads=("c9",)), "no load 'c9'; it has c1"),
    ):
        with pytest.raises(UsageError, match=complaint):
            choose(run(quick("a", 1.0)), criteria)
    with pytest.raises(UsageError, match="it has none"):
        choose(run(), Criteria(workloads=("decode",)))


def test_other_items_are_not_held_against_each_other() -> None:
    with pytest.raises(NotComparable, match="decode had other items"):
        choose(
            run(
                option(place("a", "decode", total_latency_s=1.0)),
                option(place("b", "decode", seed=1, total_latency_s=1.0)),
            )
        )


def test_two_cells_of_one_place_are_told() -> None:
    one = place("a", "decode", total_latency_s=1.0)
    with pytest.raises(UsageError, match="nobody can tell which of them counts"):
        choose(run(option(one, one.but(cell_id="decode.other.c1"))))


def test_a_deployment_is_nothing_that_a_registry_holds(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="chooses among deployments"):
        promote_choice(choose(run(quick("a", 1.0))), tmp_path / "registry.json")


def test_models_of_a_registry_may_be_judged_by_their_cells_and_promoted() -> None:
    speed = cell("v1.decode", metrics={"ttft_s": near(0.1)})
    models = run(made("v1", latency_ms=1.0).but(cells=(speed,)))
    selection = choose(models, Criteria(weights={"ttft_s": 1.0}, workloads=("decode",)))
    assert selection.by_cells and not selection.of_deployments
    assert selection.chosen is not None and selection.chosen.version == "v1"


def test_what_no_registry_benchmark_measured_is_judged_by_its_cells_unless_asked_otherwise() -> (
    None
):
    def one(name: str, seconds: float) -> BenchmarkCandidate:
        factors = Factors(deployment="local", model=name)
        own = cell(f"{name}.decode", metrics={"total_latency_s": near(seconds)})
        return made(name, latency_ms=1_000 * seconds).but(factors=factors, cells=(own,))

    plain = run(one("a", 1.0), one("b", 2.0))
    assert standings(choose(plain)) == {"a": "chosen", "b": "dominated"}
    assert short_names(plain, Criteria())["latency"] == ("total_latency_s",)
    by_model = choose(plain, Criteria(weights={"latency_ms": 1.0}))
    assert not by_model.by_cells and by_model.chosen is not None
    gated = choose(
        plain, Criteria(weights={"peak_ram_mb": 1.0}, gates=(Gate("latency_ms", "<", 9.0),))
    )
    assert not gated.by_cells
    judged = one("a", 1.0)
    judged = judged.but(metrics={**judged.metrics, "cove_pass_rate": MetricResult.error("broken")})
    assert not choose(run(judged)).by_cells


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 100), st.floats(0, 100), st.floats(0, 1)),
        min_size=1,
        max_size=4,
    ),
    st.randoms(),
)
def test_the_order_of_the_deployments_changes_nothing_and_nobody_dominates_the_chosen_one(
    figures: list[tuple[float, float, float]], random: Any
) -> None:
    options = [
        option(
            place(f"o{i}", "decode", total_latency_s=s, accuracy_pct=a, cost_usd=c),
            place(f"o{i}", "prefill", total_latency_s=2 * s, accuracy_pct=a, cost_usd=c),
        )
        for i, (s, a, c) in enumerate(figures)
    ]
    first = choose(run(*options))
    shuffled = list(options)
    random.shuffle(shuffled)
    assert standings(choose(run(*shuffled))) == standings(first)
    assert first.chosen is not None and first.chosen.on_front
    assert first.chosen.score is not None
    for other in first.assessments:
        assert other.score is not None
        assert not other.score.dominates(first.chosen.score)


def test_a_sweep_that_was_run_is_chosen_from(tmp_path: Path) -> None:
    with simulated() as servers:
        outcome = swept(
            {**servers, "anthropic": "http://127.0.0.1:9"},
            tmp_path,
            deployment=[Local("ollama/qwen3:8b"), Remote()],
            remote_model=["openai/gpt-5.5", "anthropic/claude-sonnet-5"],
            load=[ClosedLoop(), OpenLoop(rate_per_s=500.0)],
            prices={"openai/gpt-5.5": Price.parse("1,2")},
        )
    document = BenchmarkRun.load(outcome.path)
    selection = choose(document, Criteria(worst_verdict="invalid"))
    names = {one.version for one in selection.assessments}
    assert names == {"local", "remote.gpt-5.5", "remote.claude-sonnet-5"}
    assert standings(selection)["remote.claude-sonnet-5"] == "cannot be ranked"
    assert "Anthropic cannot be reached" in said(selection, "remote.claude-sonnet-5")
    assert selection.chosen is not None and selection.chosen.score is not None
    metrics = {share.metric for share in selection.chosen.score.shares}
    assert {"balanced.c1.response_time_s", "decode.r500.response_time_s"} <= metrics
    assert {name for name, _ in selection.parts} == {"balanced", "decode", "c1", "r500"}
