"""The modelled figure: design power by the time in use, from a made-up account of time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minionbench.meters.power import tdp
from minionbench.meters.power.meter import PowerSettings

HZ = os.sysconf("SC_CLK_TCK")


def account(proc: Path, *columns: int, processors: int = 2) -> None:
    lines = ["cpu  " + " ".join(map(str, columns))]
    lines += [f"cpu{i} 1 2 3" for i in range(processors)]
    (proc / "stat").write_text("\n".join([*lines, "intr 5", "cpufreq 3"]) + "\n")


def test_power_times_the_share_of_all_processors(tmp_path: Path) -> None:
    # user 100, nice 20, system 30, idle 9,000, waiting 500, interrupts 10 + 40, stolen 7,000, and
    # guests, which stand in user already: 200 ticks of two processors in use.
    account(tmp_path, 100, 20, 30, 9_000, 500, 10, 40, 7_000, 60, 10)
    (found,) = tdp.find(PowerSettings(tdp_w=65, proc=tmp_path))
    assert found.status == "modelled"
    assert found.meter is not None
    (stream,) = found.meter.streams
    assert (stream.basis, stream.scope, stream.quantity) == ("modelled", "package", "energy")
    (look,) = found.meter.look()
    assert look.value == pytest.approx(65 * 100 / HZ * 1e6)
    found.meter.close()


def test_without_a_design_power_nothing_is_modelled(tmp_path: Path) -> None:
    assert tdp.find(PowerSettings(proc=tmp_path)) == ()


@pytest.mark.parametrize("content", ["", "cpu\n", "cpu x y\n", "cpu 1 2 3\n"])
def test_an_account_that_cannot_be_read_gives_no_figure(tmp_path: Path, content: str) -> None:
    (tmp_path / "stat").write_text(content)
    (found,) = tdp.find(PowerSettings(tdp_w=65, proc=tmp_path))
    assert found.status == "unavailable"
    assert "cannot be read" in str(found.reason)
    (tmp_path / "stat").unlink()
    (found,) = tdp.find(PowerSettings(tdp_w=65, proc=tmp_path))
    assert found.status == "unavailable"
