from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minionbench.autobench.turn import machine_to_itself
from minionbench.errors import SetupError


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can be written beyond its beginning, as on a full disk; pytest's own neither."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_machine_is_taken_where_there_is_no_room_to_say_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path))
    with (
        full_disk(),
        machine_to_itself("measuring"),
        pytest.raises(SetupError, match="another process"),
        machine_to_itself("measuring"),
    ):
        pass
    with full_disk(), machine_to_itself("measuring"):
        pass
