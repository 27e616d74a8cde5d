"""Which engine serves what, and a LoRA adapter on a real one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from minionbench.autobench.serving import NotServed, Served, ServedByHub, serving
from tests.autobench.support import by_version, entry, kept, measured, registry, why
from tests.engines import hub


def refused(path: Path, base: Path | None = None) -> NotServed:
    found = serving(path, base)
    assert isinstance(found, NotServed)
    return found


def without_servers(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Hides vLLM and transformers, should they be installed here."""
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder))


def test_a_gguf_file_is_served_whatever_it_is_called(random_model: Path, tmp_path: Path) -> None:
    assert serving(random_model, None) == Served(random_model)
    blob = shutil.copy(random_model, tmp_path / "sha256-0123")
    assert serving(Path(blob), None) == Served(tmp_path / "sha256-0123")
    found = serving(random_model, None)
    assert isinstance(found, Served)
    assert found.size_bytes == random_model.stat().st_size


def test_a_folder_with_one_model_is_served(random_model: Path, tmp_path: Path) -> None:
    shutil.copy(random_model, tmp_path / "m.gguf")
    (tmp_path / "README.md").write_text("a model")
    assert serving(tmp_path, None) == Served(tmp_path / "m.gguf")
    shutil.copy(random_model, tmp_path / "n.gguf")
    found = refused(tmp_path)
    assert found.status == "error"
    assert "several models (m.gguf, n.gguf)" in found.why


def test_the_first_part_stands_for_a_model_in_parts(tmp_path: Path) -> None:
    for part in (1, 2):
        (tmp_path / f"m-0000{part}-of-00002.gguf").write_bytes(b"GGUF")
    assert serving(tmp_path, None) == Served(tmp_path / "m-00001-of-00002.gguf")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["config.json", "model.safetensors"], "pip install vllm"),
        (["model.safetensors"], "no config.json"),
        (["config.json", "pytorch_model.bin"], "no safetensors"),
        (["adapter_config.json", "adapter_model.safetensors"], "convert_lora_to_gguf.py"),
        (["weights.bin"], "holds no GGUF file"),
        ([], "holds no GGUF file"),
    ],
)
def test_what_no_engine_here_reads_is_skipped_with_what_to_do(
    tmp_path: Path, files: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_servers(monkeypatch, tmp_path)
    for name in files:
        (tmp_path / name).write_text("{}")
    found = refused(tmp_path)
    assert found.status == "skipped"
    assert words in found.why


def test_a_file_of_another_kind_is_skipped_and_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04")
    assert refused(tmp_path / "model.pt").status == "skipped"
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert "no config.json" in refused(tmp_path / "model.safetensors").why
    (tmp_path / "empty.gguf").write_bytes(b"")
    assert refused(tmp_path / "empty.gguf").status == "error"
    assert "There is no file" in refused(tmp_path / "gone.gguf").why


def test_a_hugging_face_folder_is_served_by_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = hub.install(tmp_path / "bin", "transformers")
    monkeypatch.setenv("PATH", environment["PATH"])
    folder = hub.model(tmp_path / "model")
    found = serving(folder, None)
    assert isinstance(found, ServedByHub)
    assert (found.folder, found.server.name) == (folder, "transformers")
    assert found.size_bytes == 3 * 2**20
    assert serving(folder / "model.safetensors", None) == found
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\necho uvicorn torch\n")
    python.chmod(0o755)
    assert "install uvicorn torch beside it" in refused(folder).why


def test_an_adapter_in_gguf_needs_a_model_in_gguf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", hub.install(tmp_path / "bin", "vllm")["PATH"])
    write_adapter(tmp_path / "adapter.gguf")
    folder = hub.model(tmp_path / "model")
    found = refused(tmp_path / "adapter.gguf", folder)
    assert found.status == "skipped" and "base_model is no GGUF file" in found.why


def write_adapter(path: Path, width: int = 64, rank: int = 4, strength: float = 1.0) -> None:
    """A LoRA adapter for the first layer's queries of the random model."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    draws = np.random.default_rng(1)
    for letter, shape in (("a", (rank, width)), ("b", (width, rank))):
        weights = (strength * draws.standard_normal(shape)).astype(np.float32)
        writer.add_tensor(f"blk.0.attn_q.weight.lora_{letter}", weights)
        other = (strength * draws.standard_normal(shape)).astype(np.float32)
        writer.add_tensor(f"blk.0.attn_output.weight.lora_{letter}", other)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_an_adapter_needs_the_model_below_it(random_model: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    write_adapter(adapter)
    assert serving(adapter, random_model) == Served(random_model, adapter)
    assert "base_model names no GGUF file" in refused(adapter).why
    assert "the model below the adapter" in refused(adapter, tmp_path / "gone.gguf").why


def test_an_adapter_is_measured_over_its_model(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))
    write_adapter(tmp_path / "strong.gguf", strength=3.0)
    write_adapter(tmp_path / "none.gguf", strength=0.0)
    path = registry(
        tmp_path,
        entry("plain", random_model),
        entry("strong", "strong.gguf", base_model="plain", distilled_from="strong.gguf"),
        entry("none", "none.gguf", base_model=str(random_model)),
    )
    outcome = measured(path, tmp_path)
    found = by_version(outcome)
    for candidate in found.values():
        assert candidate.latency_ms.status == "ok", why(candidate)
    assert any("LoRA adapter strong.gguf" in note for note in found["strong"].notes)
    assert found["strong"].model_type == "distilled"
    answers = {
        record.cell.partition(".")[0]: record.answer
        for record in kept(tmp_path, outcome.run.metadata.run_id)
        if record.index == 1
    }
    assert answers["none"] == answers["plain"]
    assert answers["strong"] != answers["plain"]
