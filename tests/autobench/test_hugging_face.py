"""Models of Hugging Face's form in a registry, with programs in the place of their servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minionbench.autobench import Procedure
from minionbench.schema import BenchmarkRun
from tests.autobench.support import by_version, entry, measured, registry, statuses, why
from tests.engines import hub
from tests.engines.support import children
from tests.meters import nvml

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

QUICK = Procedure(
    metrics=("latency_ms", "peak_ram_mb", "peak_vram_mb", "perplexity"),
    num_requests=2,
    warmup=1,
    repeats=1,
)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))


def test_a_folder_is_measured_by_the_server_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", hub.install(tmp_path / "bin", "transformers")["PATH"])
    hub.model(tmp_path / "model", child=True)
    path = registry(tmp_path, entry("v1", "model", quantization="8bit"))
    before = children()
    outcome = measured(path, tmp_path, QUICK)
    assert children() == before
    (model,) = outcome.run.candidates
    assert model.latency_ms.status == "ok", why(model)
    assert model.peak_ram_mb.value is not None and model.peak_ram_mb.value > 5
    assert model.peak_ram_mb.metadata["processes"] == 2
    assert model.file_size_mb is not None and model.file_size_mb >= 3
    assert model.factors is not None and model.factors.engine == "transformers"
    assert "gives no log-probabilities" in why(model, "perplexity")
    assert model.peak_vram_mb.status == "skipped"


def test_a_server_that_crashes_is_an_error_of_its_model_alone(
    tmp_path: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", hub.install(tmp_path / "bin", "vllm")["PATH"])
    hub.model(tmp_path / "loads-not", crash=True)
    hub.model(tmp_path / "dies", dies_at=300)
    path = registry(
        tmp_path, entry("v1", "loads-not"), entry("v2", "dies"), entry("v3", random_model)
    )
    found = by_version(measured(path, tmp_path, QUICK))
    assert statuses(found["v1"]) <= {"error", "skipped"}
    assert "these weights fit no model" in why(found["v1"])
    assert found["v2"].latency_ms.status == "error"
    assert "crashed (SIGSEGV)" in why(found["v2"])
    assert found["v3"].latency_ms.status == "ok"


PROGRAM = """
from minionbench.autobench import Procedure, run_benchmark
procedure = Procedure(metrics=("latency_ms", "peak_vram_mb"), num_requests=2, warmup=0, repeats=1)
print(run_benchmark({registry!r}, {runs!r}, procedure=procedure))
"""


def test_gpu_memory_of_a_server_is_what_the_driver_accounts_to_it(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    environment = nvml.environment(nvml.build(library), tmp_path / "said")
    environment["PATH"] = hub.install(tmp_path / "bin", "vllm")["PATH"]
    hub.model(tmp_path / "model", vram_mb=300)
    hub.model(tmp_path / "none")
    for name in ("model", "none"):
        path = registry(tmp_path, entry("v1", name))
        program = PROGRAM.format(registry=str(path), runs=str(tmp_path / name / "runs"))
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (model,) = BenchmarkRun.load(done.stdout.strip()).candidates
        metric = model.peak_vram_mb
        if name == "model":
            assert metric.value == 300.0
            assert metric.metadata["devices"] == ["Stub"]
            assert metric.metadata["processes"] == 1
        else:
            assert metric.value is None
            assert "lists no process of the engine" in why(model, "peak_vram_mb")
