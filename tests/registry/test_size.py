"""Sizes of models are right or unknown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minionbench.registry import Size, model_size


def test_the_size_of_a_file_is_its_length(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"x" * 1000)
    assert model_size(path) == Size(1000, None)


def test_the_size_of_a_folder_is_that_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "inner" / "deeper").mkdir(parents=True)
    (tmp_path / "inner" / "b").write_bytes(b"x" * 20)
    (tmp_path / "inner" / "deeper" / "c").write_bytes(b"x" * 30)
    assert model_size(tmp_path) == Size(60, None)


def test_links_are_followed_and_no_file_counts_twice(tmp_path: Path) -> None:
    blobs, model = tmp_path / "blobs", tmp_path / "model"
    blobs.mkdir()
    model.mkdir()
    (blobs / "0123").write_bytes(b"x" * 100)
    (model / "weights").symlink_to(blobs / "0123")
    (model / "same weights").symlink_to(blobs / "0123")
    os.link(blobs / "0123", model / "linked hard")
    assert model_size(model) == Size(100, None)


def test_a_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "up").symlink_to(tmp_path)
    (tmp_path / "inner" / "weights").write_bytes(b"x" * 5)
    assert model_size(tmp_path) == Size(5, None)


def test_a_part_that_cannot_be_looked_at_makes_the_size_unknown(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"x" * 5)
    (tmp_path / "more").symlink_to(tmp_path / "gone")
    size = model_size(tmp_path)
    assert size.bytes is None
    assert size.problem == f"{tmp_path}/more cannot be looked at: No such file or directory"
    (tmp_path / "more").unlink()
    (tmp_path / "more").symlink_to(tmp_path / "more")
    assert model_size(tmp_path).bytes is None
    assert model_size(tmp_path / "more").bytes is None


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may look into every folder")
def test_a_folder_that_must_not_be_read_makes_the_size_unknown(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    size = model_size(tmp_path)
    locked.chmod(0o700)
    assert size == Size(None, f"{locked} cannot be looked at: Permission denied")


def test_what_is_neither_file_nor_folder_has_no_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert model_size(tmp_path / "pipe").bytes is None
    assert model_size(Path("a\0b")).bytes is None
    assert model_size(tmp_path) == Size(0, None)


def test_a_folder_with_too_many_files_is_no_model_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / str(number)).write_text("x")
    monkeypatch.setattr("minionbench.registry.size.MOST_FILES", 4)
    assert model_size(tmp_path) == Size(4, None)
    (tmp_path / "one more").mkdir()
    assert model_size(tmp_path).problem == f"{tmp_path} holds more than 4 files"
