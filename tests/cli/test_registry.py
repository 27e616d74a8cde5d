from __future__ import annotations

import json
from pathlib import Path

import pytest

from minionbench.store import registry_path
from tests.cli.calling import call
from tests.registry.registries import entry, marks, read, write


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry of two models and an entry that is none."""
    (tmp_path / "model").write_text("weights")
    return write(
        tmp_path,
        entry("v1", active=True, model_path="model"),
        entry("v2", model_path="model", quantization=None, base_model="a\x1b[2Jb"),
        {"version": 3},
    )


def test_the_models_are_listed_with_what_they_are(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "registry", "list", "--registry", str(registry))
    rows = [line.split() for line in result.out.splitlines()]
    assert result.code == 0
    assert rows[1] == ["v1", "quantized", "4bit", "llama", "active"]
    assert rows[2][:3] == ["v2", "base", "–"]
    assert rows[3][0] == "registry[2]"
    assert "cannot be used" in result.out
    assert "\x1b" not in result.out


def test_a_program_reads_the_same_list(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "registry", "list", "--registry", str(registry), "--format", "json")
    first, _, third = json.loads(result.out)
    assert first == {
        "version": "v1",
        "model_type": "quantized",
        "base_model": "llama",
        "quantization": "4bit",
        "distilled_from": None,
        "model_path": str(registry.parent / "model"),
        "active": True,
        "last_good": False,
        "problem": None,
    }
    assert third["version"] == "registry[2]"
    assert third["problem"]


def test_an_entry_is_shown_the_active_one_unless_named(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--registry", str(registry))
    shown = call(capsys, "registry", "show", *place, "--format", "json")
    assert json.loads(shown.out) == read(registry)[0]
    shown = call(capsys, "registry", "show", "v2", *place)
    assert shown.code == 0
    assert ["version", "v2"] in [line.split() for line in shown.out.splitlines()]
    assert "\x1b" not in shown.out
    unknown = call(capsys, "registry", "show", "v9", *place)
    assert (unknown.code, unknown.out) == (2, "")
    assert "no version v9" in unknown.err


def test_without_an_active_model_there_is_none_to_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, entry("v1"))
    result = call(capsys, "registry", "show", "--registry", str(path))
    assert result.code == 2
    assert "No model is active" in result.err


def test_a_life_of_a_registry(
    tmp_path: Path,
    model_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path))
    path = registry_path()
    absent = call(capsys, "registry", "list")
    assert absent.code == 2
    assert "There is no registry" in absent.err
    model = tmp_path / "copy.gguf"
    model.write_bytes(model_file.read_bytes())

    added = call(capsys, "registry", "add", str(model))
    assert added.code == 0
    assert f"Added copy in {path}." in added.out
    assert call(capsys, "registry", "add", str(model)).code == 2
    assert call(capsys, "registry", "add", str(model), "--version", "v2").code == 0
    assert call(capsys, "registry", "add", str(model), "--replace").out.startswith("Replaced copy")

    promoted = call(capsys, "registry", "promote", "copy")
    assert (promoted.code, promoted.out) == (0, "copy is active now.\n")
    again = call(capsys, "registry", "promote", "copy")
    assert (again.code, again.out) == (0, "copy is active already; nothing was changed.\n")
    promoted = call(capsys, "registry", "promote", "v2", "--format", "json")
    assert json.loads(promoted.out) == {
        "active": "v2",
        "before": ["copy"],
        "last_good": "copy",
        "changed": True,
        "notes": [],
    }
    back = call(capsys, "registry", "rollback")
    assert (back.code, back.out) == (0, "copy is active now, instead of v2.\n")
    assert marks(path) == {"copy": "ag", "v2": ""}
    assert call(capsys, "registry", "rollback").code == 2

    verified = call(capsys, "registry", "verify")
    assert verified.code == 0
    assert f"2 intact in {path}." in verified.out
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    damaged = call(capsys, "registry", "verify", "v2", "--format", "json")
    assert damaged.code == 1
    (one,) = json.loads(damaged.out)
    assert (one["version"], one["state"]) == ("v2", "damaged")
    assert [(file["file"], file["state"]) for file in one["files"]] == [("copy.gguf", "changed")]
    model.unlink()
    missing = call(capsys, "registry", "verify")
    assert missing.code == 1
    assert "missing copy.gguf" in missing.out
    assert call(capsys, "registry", "promote", "v2").code == 2
    assert call(capsys, "registry", "promote", "v2", "--no-check").code == 0


def test_what_cannot_be_verified_is_said_and_is_no_failure(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "registry", "verify", "v1", "--registry", str(registry))
    assert result.code == 0
    assert "v1: unverified: no hashes were stored" in result.out
    assert "1 unverified" in result.out
    result = call(capsys, "registry", "verify", "--registry", str(registry))
    assert result.code == 1
    assert "registry[2]: unusable" in result.out
