"""What the user asks is taken strictly, and what is not understood is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.metrics.table import METRICS
from minionbench.select import (
    REFERENCES,
    Criteria,
    Gate,
    Scale,
    parse_gate,
    parse_references,
    parse_weights,
)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("cove_pass_rate>=90", Gate("cove_pass_rate", ">=", 90.0)),
        ("cove_pass_rate > 90", Gate("cove_pass_rate", ">", 90.0)),
        (" latency_ms<=1.5e3 ", Gate("latency_ms", "<=", 1500.0)),
        ("latency_ms<.5", Gate("latency_ms", "<", 0.5)),
        ("kl_to_base==-0", Gate("kl_to_base", "==", 0.0)),
    ],
)
def test_a_gate_is_a_metric_an_operator_and_a_number(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cove_pass_rate",
        "cove_pass_rate=90",
        "cove_pass_rate=>90",
        "cove_pass_rate>=",
        "cove_pass_rate>=90%",
        "cove_pass_rate>=nan",
        "cove_pass_rate>=inf",
        "cove_pass_rate>=1e999",
        "cove_pass_rate>=9 0",
        "cove_pass_rate>=９０",
        "90<=cove_pass_rate",
        "cove_pass_rate>=90 and latency_ms<5",
        "cove_pass_rate!=90",
    ],
)
def test_anything_else_is_no_gate(text: str) -> None:
    with pytest.raises(UsageError):
        parse_gate(text)


def test_an_unknown_metric_is_named_with_those_that_are_known() -> None:
    with pytest.raises(
        UsageError, match=r"no metric 'latencyms'\. Did you mean latency_ms\?"
    ) as at:
        parse_gate("latencyms<5")
    assert all(name in str(at.value) for name in METRICS)
    with pytest.raises(UsageError, match="no metric 'quality'"):
        parse_gate("quality>=5")


@pytest.mark.parametrize(
    ("operator", "below", "at", "above"),
    [
        (">=", False, True, True),
        (">", False, False, True),
        ("<=", True, True, False),
        ("<", True, False, False),
        ("==", False, True, False),
    ],
)
def test_a_gate_holds_as_its_operator_says(
    operator: str, below: bool, at: bool, above: bool
) -> None:
    gate = Gate("latency_ms", operator, 5.0)
    assert (gate.holds(4.0), gate.holds(5.0), gate.holds(6.0)) == (below, at, above)


@given(
    st.sampled_from(list(METRICS)),
    st.sampled_from([">=", "<=", "==", ">", "<"]),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_gate_is_read_back_as_it_was_written(metric: str, operator: str, limit: float) -> None:
    assert parse_gate(f"{metric}{operator}{limit!r}") == Gate(metric, operator, limit)


def test_weights_take_metrics_and_short_names() -> None:
    assert parse_weights("latency=1, peak_ram_mb=0.5,quality=3") == {
        "latency_ms": 1.0,
        "peak_ram_mb": 0.5,
        "cove_pass_rate": 1.5,
        "retrieval_score": 1.5,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no weight"),
        ("latency", "is no weight"),
        ("latency=", "is no weight"),
        ("latency=1,", "is no weight"),
        ("latency=1;cove=2", "is no weight"),
        ("speed=1", "no metric 'speed'"),
        ("latency=1,latency_ms=2", "latency_ms is weighted twice"),
        ("quality=1,cove=1", "cove_pass_rate is weighted twice"),
        ("latency=1e999", "too large"),
    ],
)
def test_weights_of_another_form_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_weights(text)


def test_weights_add_up_to_1_and_those_of_0_do_not_count() -> None:
    criteria = Criteria(weights={"tokens_per_sec": 3.0, "latency_ms": 1.0, "peak_ram_mb": 0.0})
    assert criteria.shares == {"latency_ms": 0.25, "tokens_per_sec": 0.75}
    assert criteria.scales == {name: REFERENCES[name] for name in criteria.shares}


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"latency_ms": 0.0},
        {"latency_ms": -1.0},
        {"latency_ms": float("nan")},
        {"latency_ms": float("inf")},
        {"latency_ms": 1.7e308, "tokens_per_sec": 1.7e308},
        {"speed": 1.0},
    ],
)
def test_weights_that_make_no_score_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Criteria(weights=weights)


def test_reference_points_of_the_users_own_take_the_place_of_the_tables() -> None:
    own = parse_references(["latency_ms=5000:50", "cove_pass_rate = 50 : 100"])
    assert own == {
        "latency_ms": Scale(5000.0, 50.0, log=True),
        "cove_pass_rate": Scale(50.0, 100.0, log=False),
    }
    scales = Criteria(weights={"latency_ms": 1.0, "tokens_per_sec": 1.0}, references=own).scales
    assert scales["latency_ms"] == own["latency_ms"]
    assert scales["tokens_per_sec"] == REFERENCES["tokens_per_sec"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("latency_ms=50", "no reference points"),
        ("latency_ms=50:5000", "better when it is lower"),
        ("latency_ms=50:50", "better when it is lower"),
        ("latency_ms=5000:0", "must be above 0"),
        ("cove_pass_rate=100:0", "better when it is higher"),
        ("speed=1:2", "no metric"),
        ("latency_ms=1e999:1", "too large"),
    ],
)
def test_reference_points_that_make_no_scale_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_references([text])
    with pytest.raises(UsageError, match="two pairs"):
        parse_references(["latency_ms=5:1", "latency_ms=6:1"])


def test_a_gate_may_name_the_workload_whose_cells_it_is_for() -> None:
    gate = parse_gate(" prefill.ttft_s <= .5 ")
    assert gate == Gate("ttft_s", "<=", 0.5, "prefill")
    assert parse_gate(gate.text) == gate == parse_gate("prefill.ttft_s<=0.5")
    assert parse_gate("cove-base.peak_ram_mb<100").workload == "cove-base"
    with pytest.raises(UsageError, match="no metric 'prefill'"):
        parse_gate("ttft_s.prefill<1")
    for odd in (".ttft_s<1", "a.b.ttft_s<1", "a b.ttft_s<1"):
        with pytest.raises(UsageError, match="is no requirement"):
            parse_gate(odd)
