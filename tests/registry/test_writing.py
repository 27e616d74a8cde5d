"""Changing the registry: whole or not at all, one after the other, the last state kept."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.registry import change_registry, promote
from minionbench.registry.lock import locked
from minionbench.registry.source import RegistrySource
from tests.registry.registries import entry, marks, python, read, write


def add(source: RegistrySource) -> None:
    source.append({"version": "new"})


def test_the_state_before_lies_beside_the_registry(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a"))
    before = path.read_bytes()
    change_registry(path, add)
    assert [fields["version"] for fields in read(path)] == ["a", "new"]
    assert (tmp_path / "registry.json.bak").read_bytes() == before
    middle = path.read_bytes()
    change_registry(path, add)
    assert (tmp_path / "registry.json.bak").read_bytes() == middle


def test_a_reader_sees_the_state_before_or_the_one_after_and_nothing_between(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, entry("a"))
    before = path.read_bytes()
    change_registry(path, add)
    backup = tmp_path / "registry.json.bak"
    middle = path.read_bytes()
    # Files that are open stay whole: both are replaced by new ones, never written over.
    with path.open("rb") as reader, backup.open("rb") as reader_of_backup:
        change_registry(path, add)
        assert reader.read() == middle
        assert reader_of_backup.read() == before


def test_a_change_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a"))
    before = path.stat()
    assert change_registry(path, lambda source: len(source.models)) == 1
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert not (tmp_path / "registry.json.bak").exists()


def test_an_absent_registry_is_made_only_where_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "models" / "registry.json"
    with pytest.raises(UsageError, match="There is no registry at"):
        change_registry(path, add)
    assert os.listdir(tmp_path) == []
    change_registry(path, add, create=True)
    assert read(path) == [{"version": "new"}]


@pytest.mark.parametrize("content", ["", "[", "{}", '[{"version": "v1"},]'])
def test_a_corrupt_registry_is_never_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "registry.json"
    path.write_text(content)
    with pytest.raises(SchemaError):
        change_registry(path, add, create=True)
    assert path.read_text() == content


def test_a_registry_that_an_editor_saved_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a"))

    def edit_by_hand_meanwhile(source: RegistrySource) -> None:
        write(tmp_path, entry("from the editor"))
        add(source)

    with pytest.raises(SetupError, match="Another program has changed"):
        change_registry(path, edit_by_hand_meanwhile)
    assert [fields["version"] for fields in read(path)] == ["from the editor"]
    assert not (tmp_path / "registry.json.bak").exists()

    path.unlink()
    with pytest.raises(SetupError, match="Another program has changed"):
        change_registry(path, edit_by_hand_meanwhile, create=True)


def test_a_change_that_fails_leaves_the_registry_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a"))
    before = path.read_bytes()

    def fail(source: RegistrySource) -> None:
        add(source)
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        change_registry(path, fail)
    assert path.read_bytes() == before


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = write(tmp_path / "real", entry("a"))
    real.chmod(0o640)
    link = tmp_path / "registry.json"
    link.symlink_to(real)
    change_registry(link, add)
    assert link.is_symlink()
    assert [fields["version"] for fields in read(real)] == ["a", "new"]
    assert real.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "real" / "registry.json.bak").stat().st_mode & 0o777 == 0o640


def test_who_cannot_have_the_lock_is_told_so(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock"),
        pytest.raises(SetupError, match="Another program has held"),
        locked(tmp_path / "lock", longest_wait_s=0.0),
    ):
        pass
    with locked(tmp_path / "lock", longest_wait_s=0.0):
        pass
    with pytest.raises(SetupError, match="cannot be made"), locked(tmp_path / "none" / "lock"):
        pass


ADD = """
import sys
from pathlib import Path
from minionbench.registry import change_registry
sys.stdin.readline()
for number in range(10):
    version = f"{sys.argv[2]}-{number}"
    change_registry(Path(sys.argv[1]), lambda source: source.append({"version": version}),
                    create=True)
"""


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    processes = [python(ADD, str(path), name) for name in "abc"]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
    versions = [fields["version"] for fields in read(path)]
    assert sorted(versions) == sorted(f"{name}-{number}" for name in "abc" for number in range(10))
    # Each process's own are in its order: nobody's change was put back.
    for name in "abc":
        own = [version for version in versions if version.startswith(name)]
        assert own == [f"{name}-{number}" for number in range(10)]


PROMOTE = """
import sys
from pathlib import Path
from minionbench.registry import promote
for number in range(1_000_000):
    promote(Path(sys.argv[1]), "ab"[number % 2])
    print(number, flush=True)
"""


def test_a_process_that_is_killed_leaves_a_whole_registry_and_no_lock(tmp_path: Path) -> None:
    path = write(tmp_path, entry("b", active=True), entry("a"), *(entry(f"{i}") for i in range(99)))
    for changes in (1, 2, 4, 7):
        process = python(PROMOTE, str(path))
        assert process.stdout is not None
        for _ in range(changes):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        for name in ("registry.json", "registry.json.bak"):
            entries = json.loads((tmp_path / name).read_bytes())
            assert len(entries) == 101
            assert sum(fields["active"] for fields in entries) == 1
    after = promote(path, "a")
    assert after.version == "a"
    assert marks(path)["a"].startswith("a")
