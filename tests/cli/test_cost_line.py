"""What requests cost, in words."""

from __future__ import annotations

from minionbench.cli.cost_line import costs
from minionbench.schema import CellResult, MetricResult
from tests.documents import cell


def with_metrics(**metrics: MetricResult) -> CellResult:
    return cell().but(metrics=metrics)


def test_each_figure_that_is_known_is_told_with_its_source() -> None:
    source = {"name": "genai-prices", "version": "1.2", "provider": "p", "model": "m"}
    one = with_metrics(
        cost_usd=MetricResult.ok(0.00547, unit="USD", price_source=source),
        cost_usd_per_million_tokens=MetricResult.ok(7.07, unit="USD"),
        cost_usd_per_correct=MetricResult.skipped("no answer was right"),
        electricity_cost_usd=MetricResult.ok(0.0002, unit="USD"),
        remote_energy_wh_per_request=MetricResult.ok(
            0.375, unit="Wh", basis="modelled", range={"low": 0.228, "high": 0.522}
        ),
    )
    name = one.workload.name
    assert costs([one]) == (
        f"Cost by genai-prices 1.2: {name} $0.00547 per request, $7.07 per million tokens. "
        f"Electricity here: {name} $0.0002 per request. "
        f"Energy at the provider, modelled: {name} 0.228 to 0.522 Wh per request."
    )


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert costs([with_metrics()]) == ""
    assert costs([with_metrics(cost_usd=MetricResult.skipped("no price"))]) == ""
