"""One run at a time on a machine, whoever starts it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minionbench.autobench import turn
from minionbench.autobench.turn import LOCK, machine_to_itself
from minionbench.errors import SetupError

HOLD = """
from minionbench.autobench.turn import machine_to_itself
with machine_to_itself("measuring elsewhere"):
    print("held", flush=True)
    input()
"""
NOBODY = 65_534


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where every user may write; the lock's folder for this test."""
    # Pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o1777)
        monkeypatch.setenv("MINIONBENCH_LOCK_DIR", name)
        yield path


@contextmanager
def held_elsewhere(**more: str) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the machine until the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **more},
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@contextmanager
def nobody_tries() -> Iterator[tuple[int, str]]:
    """Another user tries to hold the machine until the end of the block: his process, and what he
    was told; nothing when he holds it."""
    # A fork, since he may not be allowed to read the program that Python is.
    told, tell = os.pipe()
    wait, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            with machine_to_itself("measuring elsewhere"):
                os.write(tell, b"\n")
                os.read(wait, 1)
        except SetupError as error:
            os.write(tell, f"{error}\n".encode())
        finally:
            os._exit(0)
    try:
        with open(told, encoding="utf-8") as words:
            os.close(tell)
            yield pid, words.readline().strip()
    finally:
        os.close(wait)
        os.close(end)
        os.waitpid(pid, 0)


def refused() -> str:
    with pytest.raises(SetupError) as caught, machine_to_itself("measuring"):
        pass
    return str(caught.value)


def test_another_process_with_another_state_directory_is_told_who_holds_it(
    tmp_path: Path,
) -> None:
    with held_elsewhere(MILTON_STATE_DIR=str(tmp_path / "other")) as other:
        said = refused()
    assert f"process {other.pid} of user " in said
    assert "measuring elsewhere, since 2" in said


def test_a_killed_process_leaves_no_lock_over() -> None:
    with held_elsewhere() as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with machine_to_itself("measuring"):
            assert "measuring" in refused()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start processes of other users")
def test_it_is_one_lock_for_all_users(folder: Path) -> None:
    # The first file is root's: another user heeds it, locks it, and says so in it.
    with machine_to_itself("measuring"), nobody_tries() as (_, told):
        assert "of user root" in told
    with nobody_tries() as (pid, told):
        assert not told
        assert f"process {pid} of user " in refused()
    # A file that its owner keeps to himself can be locked, and tells nothing.
    (folder / LOCK).chmod(0o644)
    with nobody_tries() as (_, told):
        assert not told
        assert "another process" in refused()
    # And one that another user made.
    (folder / LOCK).unlink()
    with nobody_tries():
        assert (folder / LOCK).stat().st_uid == NOBODY
        assert "measuring elsewhere" in refused()
    with machine_to_itself("measuring"), nobody_tries() as (_, told):
        assert "of user root" in told


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    for make in (os.symlink, os.link):
        make(precious, folder / LOCK)
        assert "cannot be held" in refused()
        assert "MINIONBENCH_LOCK_DIR" in refused()
        assert precious.read_text() == "keep me"
        (folder / LOCK).unlink()


def test_what_is_no_file_is_refused_and_does_not_hang(folder: Path) -> None:
    os.mkfifo(folder / LOCK)
    assert "it is no plain file" in refused()


def test_a_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIONBENCH_LOCK_DIR", "/nowhere/at/all")
    assert "/nowhere/at/all" in refused()


def test_words_that_somebody_put_there_are_shown_as_one_plain_line(folder: Path) -> None:
    with machine_to_itself("measuring"):
        (folder / LOCK).write_bytes(b"\x1b[2Jall\nis " + b"\xff" * 2_000)
        said = refused()
    assert said.isprintable() and "all is" in said and len(said) < 1_000


def test_no_setting_of_a_users_moves_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINIONBENCH_LOCK_DIR")
    mine, everybodys = tmp_path / "mine", tmp_path / "everybodys"
    mine.mkdir()
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    monkeypatch.setattr(turn, "FOLDERS", (tmp_path / "gone", mine, everybodys))
    for variable in ("TMPDIR", "HOME", "MILTON_STATE_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(mine))
    with machine_to_itself("measuring"):
        assert list(everybodys.iterdir()) == [everybodys / LOCK]
    assert list(mine.iterdir()) == []


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can be written beyond its beginning, as on a full disk; pytest's own neither."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_machine_is_taken_where_there_is_no_room_to_say_by_whom() -> None:
    with (
        full_disk(),
        machine_to_itself("measuring"),
        pytest.raises(SetupError, match="another process"),
        machine_to_itself("measuring"),
    ):
        pass
    with full_disk(), machine_to_itself("measuring"):
        pass
