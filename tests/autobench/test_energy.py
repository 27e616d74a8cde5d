"""Energy in the registry benchmark: of the cells of speed, by meters opened once for all models."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from minionbench.autobench import Procedure
from minionbench.meters.power.meter import PowerSettings
from minionbench.metrics.energy import ENERGY_METRICS
from minionbench.store import TRACES, read_trace
from tests.autobench.support import entry, measured, registry
from tests.test_energy_run import meter

BRIEF = Procedure(
    metrics=("latency_ms", "cove_pass_rate"), num_requests=4, warmup=1, repeats=1, cove_pairs=2
)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))


def test_without_a_meter_the_cells_say_why_there_is_no_energy(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, entry("one", random_model))
    nowhere = dict.fromkeys(("powercap", "hwmon", "drm", "i2c"), tmp_path / "nowhere")
    outcome = measured(path, tmp_path, BRIEF, meters=PowerSettings(**nowhere))  # type: ignore[arg-type]
    cells = {cell.workload.name: cell for cell in outcome.run.candidates[0].cells}
    speed = cells["balanced"].metrics
    if any("parts_wh" in metric.metadata for metric in speed.values()):
        pytest.skip("this machine has a GPU whose driver tells its energy")
    for name in ENERGY_METRICS:
        assert speed[name].status == "skipped"
        assert speed[name].value is None
        assert "--meter-command" in speed[name].metadata["reason"]
    assert "energy_wh" not in cells["cove"].metrics
    assert "electricity_cost_usd" not in speed
    off = measured(path, tmp_path, BRIEF, meters=PowerSettings(off=True))
    (balanced,) = [cell for cell in off.run.candidates[0].cells if cell.workload.name == "balanced"]
    reason = balanced.metrics["energy_wh"].metadata["reason"]
    assert reason == "the meters were switched off (--no-meters)"


def test_each_model_has_the_energy_of_its_own_cells(random_model: Path, tmp_path: Path) -> None:
    path = registry(tmp_path, entry("one", random_model), entry("two", random_model))
    command = meter(tmp_path)
    procedure = msgspec.structs.replace(BRIEF, electricity_usd_per_kwh=0.5)
    outcome = measured(path, tmp_path, procedure, meters=PowerSettings(command=command, idle_s=0.3))
    for candidate in outcome.run.candidates:
        (cell,) = [cell for cell in candidate.cells if cell.workload.name == "balanced"]
        about = cell.metrics["energy_wh"].metadata
        value = cell.metrics["energy_wh"].value
        each = cell.metrics["energy_wh_per_request"].value
        paid = cell.metrics["electricity_cost_usd"]
        assert paid.value == (None if each is None else pytest.approx(each / 1_000 * 0.5))
        if value is None:  # a very quick machine
            assert "the uncertainty is" in about["reason"]
        else:
            assert value == pytest.approx(50 * about["window_s"] / 3_600)
        assert cell.metrics["idle_power_w"].value == pytest.approx(50)
    # The machine was left to idle around the cells of speed alone, of each model.
    trace = read_trace(outcome.path.parent / "data" / outcome.path.stem / TRACES)
    assert trace is not None
    idle = [mark.cells for mark in trace.marks if mark.phase == "idle"]
    assert sorted(idle) == [("one.balanced",)] * 2 + [("two.balanced",)] * 2
