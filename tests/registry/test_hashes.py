"""Verifying: what is changed, missing, unreadable or new is found and named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from minionbench.errors import UsageError
from minionbench.registry import Description, Verified, add_model, verify_registry
from tests.registry.registries import entry, read, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model of two files, which stands in a registry."""
    model = tmp_path / "model"
    (model / "inner").mkdir(parents=True)
    (model / "weights").write_bytes(b"weights")
    (model / "inner" / "more").write_bytes(b"more")
    add_model(tmp_path / "registry.json", model, Description(version="v1"))
    return tmp_path


def verified(folder: Path, *versions: str) -> Verified:
    (one,) = verify_registry(folder / "registry.json", versions)
    return one


def found(folder: Path) -> dict[str, str]:
    return {problem.file: problem.state for problem in verified(folder).problems}


def test_files_that_are_as_they_were_are_intact(folder: Path) -> None:
    assert verified(folder) == Verified("v1", "intact", folder / "model")
    assert not verified(folder).off


def test_each_file_that_is_not_as_it_was_is_named(folder: Path) -> None:
    (folder / "model" / "weights").write_bytes(b"wEights")
    assert found(folder) == {"weights": "changed"}
    (folder / "model" / "weights").write_bytes(b"longer weights")
    assert verified(folder).problems[0].detail == "it had 7 bytes, and has 14"
    (folder / "model" / "inner" / "more").unlink()
    (folder / "model" / "inner" / "extra").write_bytes(b"")
    assert found(folder) == {"weights": "changed", "inner/more": "missing", "inner/extra": "new"}
    assert verified(folder).off


def test_a_file_that_became_a_folder_is_unreadable(folder: Path) -> None:
    (folder / "model" / "weights").unlink()
    (folder / "model" / "weights").mkdir()
    size = (folder / "model" / "weights").stat().st_size
    fields = read(folder / "registry.json")[0]
    fields["files"]["weights"]["bytes"] = size
    write(folder, fields)
    assert found(folder) == {"weights": "unreadable"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_that_must_not_be_read_is_unreadable(folder: Path) -> None:
    (folder / "model" / "weights").chmod(0)
    assert found(folder) == {"weights": "unreadable"}


def test_a_model_that_is_gone_lacks_all_its_files(folder: Path) -> None:
    (folder / "model").rename(folder / "elsewhere")
    assert found(folder) == {"weights": "missing", "inner/more": "missing"}


def test_a_model_without_hashes_is_neither_intact_nor_damaged(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("x")
    write(tmp_path, entry("v1", model_path="model"))
    one = verified(tmp_path)
    assert (one.state, one.off) == ("unverified", False)
    assert one.reason is not None
    assert "no hashes were stored" in one.reason
    (tmp_path / "model").unlink()
    assert verified(tmp_path).state == "unusable"
    assert verified(tmp_path).off


GOOD = {"sha256": "0" * 64, "bytes": 1}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model_path": None}, "names no model_path"),
        ({"model_path": 7}, "at `$.model_path`"),
        ({"model_path": "~nobody-has-this-name/x"}, "unknown user's home"),
        ({"files": ["x"]}, "another form"),
        ({"files": {"x": {"sha256": "0", "bytes": 1}}}, "another form"),
        ({"files": {"../x": GOOD}}, "not inside the model"),
        ({"files": {"/etc/passwd": GOOD}}, "not inside the model"),
        ({"files": {"a\0b": GOOD}}, "not inside the model"),
    ],
)
def test_an_entry_that_cannot_be_verified_says_why(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    write(tmp_path, entry("v1", **({"model_path": "model"} | fields)))
    (tmp_path / "model").write_text("x")
    one = verified(tmp_path)
    assert one.state == "unusable"
    assert one.reason is not None
    assert reason in one.reason


def test_only_the_versions_that_are_named_are_read(folder: Path) -> None:
    add_model(folder / "registry.json", folder / "model", Description(version="v2"))
    assert verified(folder, "v2").version == "v2"
    with pytest.raises(UsageError, match="no version v3"):
        verified(folder, "v3")


def test_the_models_of_the_program_itself_are_added_and_verified_by_name(tmp_path: Path) -> None:
    registry = tmp_path / "registry.json"
    added = add_model(registry, Path("reference/q4_0"))
    assert added.version == "reference-q4_0"
    assert added.fields["model_path"] == "reference/q4_0"
    assert added.fields["quantization"] == "Q4_0"
    (found,) = verify_registry(registry)
    assert found.state == "intact"
    assert found.path is not None and found.path.name == "reference-q4_0.gguf"
    # What lies at that path comes before what the name would mean.
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "q4_0").write_bytes(b"another model")
    (found,) = verify_registry(registry)
    assert found.state == "damaged"
    assert found.path == tmp_path / "reference" / "q4_0"


def test_a_reference_model_that_does_not_exist_is_missing(tmp_path: Path) -> None:
    registry = tmp_path / "registry.json"
    registry.write_text('[{"version": "v1", "model_path": "reference/q5_1"}]')
    (found,) = verify_registry(registry)
    assert found.state == "unusable"
