"""What measured energy costs."""

from __future__ import annotations

import pytest

from minionbench.errors import UsageError
from minionbench.metrics.value import ok, skipped
from minionbench.prices.electricity import check_electricity, electricity_metrics

REQUEST, TOKENS = "electricity_cost_usd", "electricity_cost_usd_per_million_tokens"


def test_energy_costs_its_kilowatt_hours() -> None:
    energy = {
        "energy_wh_per_request": ok("energy_wh_per_request", 5.0, basis="measured", uncertainty=1),
        "energy_j_per_token": ok("energy_j_per_token", 3.6, basis="modelled"),
    }
    found = electricity_metrics(energy, 0.4)
    # 0.005 kWh; and a million tokens of 3.6 J are one kWh.
    assert found[REQUEST].value == pytest.approx(0.002)
    assert found[TOKENS].value == pytest.approx(0.4)
    assert found[REQUEST].metadata["unit"] == "USD"
    assert found[REQUEST].metadata["electricity_usd_per_kwh"] == 0.4
    assert found[REQUEST].metadata["uncertainty"] == pytest.approx(0.0004)
    assert found[TOKENS].metadata["basis"] == "modelled"


def test_where_there_is_no_energy_there_is_no_cost_of_it() -> None:
    assert electricity_metrics({}, None) == {}
    why = "no meter of power was found"
    energy = {"energy_wh_per_request": skipped("energy_wh_per_request", why)}
    found = electricity_metrics(energy, 0.4)
    assert found[REQUEST].reason == f"energy_wh_per_request has no value: {why}"
    assert found[TOKENS].reason == "no energy was measured here"


def test_a_price_that_is_none_is_wrong_usage() -> None:
    check_electricity(0)
    for usd in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="dollars per kWh"):
            check_electricity(usd)
