"""The table of metrics: complete, consistent, and the same in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from minionbench.metrics.cell import CELL_METRICS
from minionbench.metrics.table import METRICS
from minionbench.names import REGISTRY_METRICS

# Written out once more by hand, since names are for ever: removing one from the code, or turning
# its direction round, must fail here.
BETTER = {
    "ttft_s": "lower",
    "ttfo_s": "lower",
    "total_latency_s": "lower",
    "response_time_s": "lower",
    "tpot_s": "lower",
    "itl_s": "lower",
    "icl_s": "lower",
    "tokens_per_sec": "higher",
    "latency_ms": "lower",
    "output_tokens_per_sec": "higher",
    "requests_per_sec": "higher",
    "goodput_per_sec": "higher",
    "slo_attainment_pct": "higher",
    "peak_ram_mb": "lower",
    "peak_vram_mb": "lower",
    "energy_wh": "lower",
    "energy_wh_per_request": "lower",
    "energy_wh_per_good_request": "lower",
    "energy_j_per_token": "lower",
    "idle_power_w": "lower",
    "energy_above_idle_wh": "lower",
    "cost_usd": "lower",
    "cost_usd_per_million_tokens": "lower",
    "cost_usd_per_correct": "lower",
    "electricity_cost_usd": "lower",
    "electricity_cost_usd_per_million_tokens": "lower",
    "remote_energy_wh": "lower",
    "remote_energy_wh_per_request": "lower",
    "accuracy_pct": "higher",
    "cove_pass_rate": "higher",
    "retrieval_score": "higher",
    "perplexity": "lower",
    "kl_to_base": "lower",
}

UNIT_OF_ENDING = {
    "_s": "s",
    "_ms": "ms",
    "_mb": "MB",
    "_per_sec": "1/s",
    "_pct": "%",
    "_wh": "Wh",
    "_w": "W",
}


def test_no_name_is_ever_lost_and_no_direction_reversed() -> None:
    assert {name: info.better for name, info in METRICS.items()} == BETTER


def test_every_metric_is_found_under_its_own_name() -> None:
    for name, info in METRICS.items():
        assert info.name == name
        assert info.description
        assert info.formula


@pytest.mark.parametrize("name", METRICS)
def test_a_name_that_ends_in_a_unit_has_that_unit(name: str) -> None:
    for ending, unit in UNIT_OF_ENDING.items():
        if name.endswith(ending):
            assert METRICS[name].unit == unit


def test_what_a_cell_or_a_candidate_has_is_in_the_table() -> None:
    assert set(CELL_METRICS) <= set(METRICS)
    assert set(REGISTRY_METRICS) <= set(METRICS)


def test_the_documentation_lists_exactly_these(root: Path) -> None:
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in (root / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert rows == [
        (f"`{info.name}`", info.description, info.formula, info.unit, info.better)
        for info in METRICS.values()
    ]
