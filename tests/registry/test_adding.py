"""Adding models: what the file says, what the user says, and what is kept when one is replaced."""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from minionbench.errors import UsageError
from minionbench.registry import Description, RegistryEntry, add_model, read_registry
from tests.registry.registries import entry, read, write


def test_the_first_model_makes_the_registry(tmp_path: Path, model_file: Path) -> None:
    path = tmp_path / "state" / "models" / "registry.json"
    added = add_model(path, model_file)
    (fields,) = read(path)
    assert fields == added.fields
    assert not added.replaced
    assert list(fields)[:10] == list(entry("v"))  # the prototype's fields, in its order
    assert fields["version"] == "random"
    assert fields["model_path"] == str(model_file)
    assert fields["quantization"] == "F16"
    assert (fields["active"], fields["last_good"], fields["metrics"]) == (False, False, {})
    assert (fields["distilled_from"], fields["commit_hash"]) == (None, None)
    assert datetime.fromisoformat(fields["timestamp"]).tzinfo is not None
    content = model_file.read_bytes()
    assert fields["files"] == {
        "random.gguf": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    }
    (read_back,) = read_registry(path)
    assert isinstance(read_back, RegistryEntry)
    assert read_back.model_type == "base"


def test_what_the_user_says_goes_before_what_the_file_says(
    tmp_path: Path, model_file: Path
) -> None:
    said = Description(
        version="v2",
        base_model="mine",
        quantization="4bit",
        distilled_from="teacher",
        commit_hash="c0ffee",
    )
    fields = add_model(tmp_path / "registry.json", model_file, said).fields
    assert (fields["version"], fields["base_model"]) == ("v2", "mine")
    assert (fields["quantization"], fields["distilled_from"]) == ("4bit", "teacher")
    assert fields["commit_hash"] == "c0ffee"


def test_a_folder_is_hashed_file_by_file(tmp_path: Path, model_file: Path) -> None:
    model = tmp_path / "v3"
    (model / "inner").mkdir(parents=True)
    shutil.copy(model_file, model / "inner" / "weights.gguf")
    (model / "config.json").write_text("{}")
    (model / "again").symlink_to(model)
    fields = add_model(tmp_path / "registry.json", model).fields
    assert (fields["version"], fields["quantization"]) == ("v3", "F16")
    assert list(fields["files"]) == ["config.json", "inner/weights.gguf"]
    (model / "another.gguf").write_text("no model")
    said = Description(version="v4")
    assert add_model(tmp_path / "registry.json", model, said).fields["quantization"] is None


def test_all_parts_of_a_split_model_are_hashed(tmp_path: Path) -> None:
    from minionbench.registry import hash_model

    for part in (1, 2):
        (tmp_path / f"m-{part:05}-of-00002.gguf").write_text("x" * part)
    hashes = hash_model(tmp_path / "m-00001-of-00002.gguf")
    assert {name: file.bytes for name, file in hashes.items()} == {
        "m-00001-of-00002.gguf": 1,
        "m-00002-of-00002.gguf": 2,
    }
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(UsageError, match=r"m-00002-of-00002\.gguf cannot be read"):
        hash_model(tmp_path / "m-00001-of-00002.gguf")


def test_a_version_that_is_taken_is_refused_unless_it_is_replaced(
    tmp_path: Path, model_file: Path
) -> None:
    old = entry("a", active=True, last_good=True, owner="team", distilled_from="teacher")
    path = write(tmp_path, entry("first"), old, entry("last"))
    before = path.read_bytes()
    said = Description(version="a", quantization="F32")
    with pytest.raises(UsageError, match="has a version a already"):
        add_model(path, model_file, said)
    assert path.read_bytes() == before

    added = add_model(path, model_file, said, replace=True)
    first, new, last = read(path)
    assert (first, last) == (entry("first"), entry("last"))
    assert added.replaced
    assert (new["active"], new["last_good"], new["owner"]) == (True, True, "team")
    assert (new["distilled_from"], new["commit_hash"]) == ("teacher", "abc")
    assert (new["quantization"], new["model_path"]) == ("F32", str(model_file))
    # It had no hashes, so nobody can tell that its metrics are this file's.
    assert new["metrics"] == {}
    assert "its metrics were dropped" in added.notes[0]


def test_the_metrics_of_the_same_files_are_kept(tmp_path: Path, model_file: Path) -> None:
    path = tmp_path / "registry.json"
    fields = add_model(path, model_file).fields
    write(tmp_path, fields | {"metrics": {"loss": 0.5}})
    added = add_model(path, model_file, replace=True)
    assert (added.fields["metrics"], added.notes) == ({"loss": 0.5}, ())
    moved = tmp_path / "random.gguf"
    moved.write_bytes(model_file.read_bytes())
    assert add_model(path, moved, replace=True).fields["metrics"] == {"loss": 0.5}


def test_a_version_that_stands_there_twice_cannot_be_replaced(
    tmp_path: Path, model_file: Path
) -> None:
    path = write(tmp_path, entry("a"), entry("a"))
    with pytest.raises(UsageError, match="2 times"):
        add_model(path, model_file, Description(version="a"), replace=True)


@pytest.mark.parametrize("version", ["", " ", " a", "a\n", "a\x1b[2J", "\ud800"])
def test_a_version_that_cannot_be_read_or_typed_is_refused(
    tmp_path: Path, model_file: Path, version: str
) -> None:
    with pytest.raises(UsageError, match="cannot be a version"):
        add_model(tmp_path / "registry.json", model_file, Description(version=version))


def test_what_is_no_model_is_not_added(tmp_path: Path, model_file: Path) -> None:
    path = tmp_path / "registry.json"
    (tmp_path / "cut.gguf").write_bytes(model_file.read_bytes()[:5000])
    (tmp_path / "empty").mkdir()
    for name, problem in (
        ("gone", "There is no model at"),
        ("cut.gguf", "cut off"),
        ("empty", "There are no files in"),
    ):
        with pytest.raises(UsageError, match=problem):
            add_model(path, tmp_path / name)
    assert not path.exists()
