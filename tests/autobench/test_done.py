from __future__ import annotations

from pathlib import Path

import pytest

from minionbench.autobench.done import DONE, Finished, keep, read_done
from minionbench.errors import SchemaError, SetupError
from minionbench.store.line_file import BLOCK
from tests.documents import candidate, cell


def test_what_is_done_is_read_back_by_its_place(tmp_path: Path) -> None:
    first = Finished(candidate("v1", cells=(cell("v1.decode"),)), "kernel")
    second = Finished(candidate("v2"), None)
    keep(tmp_path, 3, first)
    keep(tmp_path, 0, second)
    assert read_done(tmp_path) == {3: first, 0: second}


def test_nothing_is_done_at_first(tmp_path: Path) -> None:
    assert read_done(tmp_path) == {}


def test_a_torn_line_is_left_out_and_the_next_begins_a_line_of_its_own(tmp_path: Path) -> None:
    first, second = Finished(candidate("v1"), None), Finished(candidate("v2"), None)
    keep(tmp_path, 0, first)
    with (tmp_path / DONE).open("ab") as file:
        file.write(b'{"place": 1, "cand')
    assert read_done(tmp_path) == {0: first}
    keep(tmp_path, 1, second)
    assert read_done(tmp_path) == {0: first, 1: second}


@pytest.mark.parametrize("torn", [0, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
@pytest.mark.parametrize("whole", [0, 2])
def test_a_torn_line_of_any_length_is_cut_and_nothing_else(
    tmp_path: Path, torn: int, whole: int
) -> None:
    done = {place: Finished(candidate(f"v{place}"), None) for place in range(whole)}
    for place, finished in done.items():
        keep(tmp_path, place, finished)
    with (tmp_path / DONE).open("ab") as file:
        file.write(b"x" * torn)
    last = Finished(candidate("last"), None)
    keep(tmp_path, 9, last)
    assert read_done(tmp_path) == {**done, 9: last}


def test_another_programs_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / DONE).write_text('{"place": 0}\n')
    with pytest.raises(SchemaError, match="not a model's"):
        read_done(tmp_path)


def test_a_folder_that_is_gone_is_a_set_up_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="go on with --resume"):
        keep(tmp_path / "gone", 0, Finished(candidate("v1"), None))
