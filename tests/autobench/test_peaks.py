from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from minionbench.autobench import Procedure
from minionbench.autobench.peaks import Before, Peaks, load_peaks
from minionbench.errors import SetupError
from minionbench.metrics.value import MetricValue, ok, skipped
from tests.autobench.support import Acting, entry, measured, registry

MEMORY = Procedure(metrics=("peak_ram_mb",), num_requests=2, warmup=0, repeats=1)
"""Two long prompts to each model."""


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory, and with it a lock, for each test."""
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))


def ram(mb: float) -> MetricValue:
    return ok("peak_ram_mb", mb, method="high-water mark of the resident set")


def joined(before: Before, now: MetricValue) -> MetricValue:
    return before.joined({"peak_ram_mb": now})["peak_ram_mb"]


def test_what_an_interrupted_engine_took_is_not_forgotten_on_resuming(
    random_model: Path, tmp_path: Path
) -> None:
    path = registry(tmp_path, entry("v1", random_model))
    # After the last request: the engine that is started on resuming is asked nothing at all.
    interrupt = Acting(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    first = measured(path, tmp_path, MEMORY, observer=interrupt).run.candidates[0].peak_ram_mb
    (model,) = measured(None, tmp_path, resume="latest").run.candidates
    assert first.value is not None
    assert model.peak_ram_mb.value == first.value
    assert "largest of the engines" in model.peak_ram_mb.metadata["parts"]
    assert "interval" not in model.peak_ram_mb.metadata
    assert model.cells[0].metrics["peak_ram_mb"].value == first.value


def test_the_peak_of_a_killed_engine_is_open_above(random_model: Path, tmp_path: Path) -> None:
    path = registry(tmp_path, entry("v1", random_model))
    program = f"""
from pathlib import Path
from tests.autobench.support import Acting, measured
from tests.autobench.test_peaks import MEMORY
import os, signal
measured(Path({str(path)!r}), Path({str(tmp_path)!r}), MEMORY,
         observer=Acting(1, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (model,) = measured(None, tmp_path, resume="latest").run.candidates
    bounds = model.peak_ram_mb.metadata["interval"]
    assert (bounds["low"], bounds["high"]) == (model.peak_ram_mb.value, None)


def test_a_run_in_one_go_has_no_parts() -> None:
    assert joined(Before(), ram(50.0)) == ram(50.0)


@pytest.mark.parametrize(("before", "now", "peak"), [(54.0, 47.0, 54.0), (47.0, 54.0, 54.0)])
def test_the_largest_part_counts(before: float, now: float, peak: float) -> None:
    seen = Peaks(requests=3, metrics={"peak_ram_mb": ram(before)})
    value = joined(Before(peaks=seen, taken_over=3), ram(now))
    assert value.value == peak
    assert "interval" not in value.metadata


@pytest.mark.parametrize(
    ("seen", "now"),
    [
        (Peaks(requests=2, metrics={"peak_ram_mb": ram(50.0)}), ram(47.0)),
        (Peaks(), ram(50.0)),
        (Peaks(requests=3, metrics={"peak_ram_mb": ram(50.0)}), skipped("peak_ram_mb", "gone")),
    ],
)
def test_a_part_that_nobody_saw_leaves_the_peak_open_above(seen: Peaks, now: MetricValue) -> None:
    value = joined(Before(peaks=seen, taken_over=3), now)
    assert value.value == 50.0
    assert value.metadata["interval"]["high"] is None


def test_no_part_that_was_seen_is_no_number() -> None:
    none = skipped("peak_vram_mb", "no GPU")
    assert joined(Before(taken_over=3), none) == none


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "peaks" / "v1.json"
    assert load_peaks(path) == Peaks()
    seen = Peaks(requests=3, metrics={"peak_ram_mb": ram(50.0)})
    seen.save(path)
    assert load_peaks(path) == seen
    path.write_bytes(b'{"requests": 3, "metr')
    assert load_peaks(path) == Peaks()
    with pytest.raises(SetupError, match="cannot be made"):
        seen.save(tmp_path / "gone" / "peaks" / "v1.json")
