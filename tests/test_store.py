"""The store: where runs lie, that ids are never shared, and that no finished request is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.records import RequestRecord, encode_record
from minionbench.schema import BenchmarkRun
from minionbench.store import (
    RunFolder,
    append_line,
    list_runs,
    load_run,
    read_all_records,
    read_journal,
    read_records,
    registry_path,
    reopen,
    reserve,
    runs_dir,
    state_dir,
    take,
    whole_lines,
)
from tests.documents import candidate, cell, run
from tests.making import record

NOW = datetime(2026, 11, 21, 20, 11, 59, tzinfo=UTC)
FIRST, SECOND, THIRD = (f"benchmark_20261121_{time}" for time in ("201159", "201200", "201201"))


def made(index: int, cell_id: str = "decode") -> RequestRecord:
    return msgspec.structs.replace(record(index=index), cell=cell_id)


def document(folder: RunFolder, *cells: object) -> BenchmarkRun:
    return run(candidate(cells=cells), run_id=folder.run_id, timestamp=folder.timestamp)


def finish(folder: RunFolder) -> Path:
    with folder:
        return folder.write(document(folder))


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs this code."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# Where runs lie


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"MILTON_STATE_DIR": "/m", "STATE_DIR": "/s", "XDG_STATE_HOME": "/x"}, "/m"),
        ({"STATE_DIR": "/s", "XDG_STATE_HOME": "/x"}, "/s"),
        ({"MILTON_STATE_DIR": "", "STATE_DIR": "/s"}, "/s"),
        ({"XDG_STATE_HOME": "/x"}, "/x/milton"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/milton"),
        ({}, "/home/ada/.local/state/milton"),
        ({"MILTON_STATE_DIR": "$BASE/state", "BASE": "/b"}, "/b/state"),
        ({"MILTON_STATE_DIR": "${BASE}x/state", "BASE": "/b"}, "/bx/state"),
        ({"STATE_DIR": "~/state"}, "/home/ada/state"),
        ({"STATE_DIR": "$HOME/state"}, "/home/ada/state"),
    ],
)
def test_the_state_directory_is_the_first_that_is_named(
    environ: dict[str, str], expected: str
) -> None:
    assert state_dir({"HOME": "/home/ada", **environ}) == Path(expected)


def test_a_relative_state_directory_starts_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_dir({"STATE_DIR": "state"}) == tmp_path / "state"


def test_an_undefined_variable_in_the_state_directory_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"\$BASE is not set"):
        state_dir({"MILTON_STATE_DIR": "$BASE/state"})
    with pytest.raises(UsageError, match="home directory"):
        state_dir({"MILTON_STATE_DIR": "~nobody-of-that-name/state"})


@pytest.mark.parametrize("home", [{"HOME": ""}, {"HOME": "here"}, {}])
def test_without_a_home_in_the_environment_the_users_own_is_taken(home: dict[str, str]) -> None:
    import pwd

    own = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert state_dir(home) == own / ".local" / "state" / "milton"
    assert state_dir({"STATE_DIR": "~/state", **home}) == own / "state"


@pytest.mark.parametrize("home", ["", "here"])
def test_a_user_without_a_home_is_told_what_to_set(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs under a number that no user has."""
    import pwd

    def unknown(_: int) -> pwd.struct_passwd:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(SetupError, match=r"Set \$MILTON_STATE_DIR"):
        state_dir({"HOME": home})


def test_documents_lie_in_the_folder_asked_for_or_in_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path))
    assert runs_dir() == tmp_path / "benchmarks" / "runs"
    assert registry_path() == tmp_path / "models" / "registry.json"
    monkeypatch.chdir(tmp_path)
    assert runs_dir("out") == tmp_path / "out"
    monkeypatch.setenv("HOME", "/home/ada")
    assert runs_dir("~/out") == Path("/home/ada/out")
    with pytest.raises(UsageError, match="no name"):
        runs_dir("")


# Run ids


def test_a_run_id_is_the_second_in_utc(tmp_path: Path) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with reserve(tmp_path / "runs", local) as folder:
        assert folder.run_id == FIRST
        assert folder.timestamp == "2026-11-21T20:11:59+00:00"
        assert folder.folder == tmp_path / "runs" / "data" / FIRST
        assert folder.document_path == tmp_path / "runs" / f"{FIRST}.json"
        assert folder.folder.is_dir()


def test_the_next_free_second_is_taken(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as first, reserve(tmp_path, NOW) as second:
        assert [first.run_id, second.run_id] == [FIRST, SECOND]
        assert second.started == NOW
        assert reserve(tmp_path, NOW).run_id == THIRD


def test_a_document_without_its_folder_keeps_its_id(tmp_path: Path) -> None:
    (tmp_path / f"{FIRST}.json").write_text("copied here from elsewhere")
    with reserve(tmp_path, NOW) as folder:
        assert folder.run_id == SECOND
    assert (tmp_path / f"{FIRST}.json").read_text() == "copied here from elsewhere"
    assert os.listdir(tmp_path / "data") == []


RESERVE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from minionbench.store import reserve
from tests.documents import run
sys.stdin.readline()
for _ in range(10):
    with reserve(Path(sys.argv[1]), datetime(2026, 11, 21, 20, 11, 59, tzinfo=UTC)) as folder:
        folder.write(run(run_id=folder.run_id, command_line=sys.argv[2]))
        print(folder.run_id)
"""


def test_processes_that_start_in_the_same_second_all_survive(tmp_path: Path) -> None:
    processes = [python(RESERVE, str(tmp_path), str(number)) for number in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    written = {}
    for number, process in enumerate(processes):
        out, err = process.communicate()
        assert process.returncode == 0, err
        written |= dict.fromkeys(out.split(), str(number))
    assert len(written) == 40
    for run_id, number in written.items():
        assert BenchmarkRun.load(tmp_path / f"{run_id}.json").metadata.command_line == number


def test_a_folder_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "data").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "in", tmp_path / "runs", Path("a\0b")):
        with pytest.raises(SetupError, match="--output-dir"):
            reserve(folder, NOW)


def test_a_second_is_looked_for_in_the_next_hour_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minionbench.store.run_folder.SECONDS_TRIED", 2)
    with reserve(tmp_path, NOW), reserve(tmp_path, NOW), pytest.raises(SetupError, match="taken"):
        reserve(tmp_path, NOW)


def test_a_log_folder_that_cannot_be_made_is_a_set_up_error(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        (folder.folder / "logs").write_text("")
        with pytest.raises(SetupError, match="logs"):
            folder.log_folder()


def test_a_file_system_without_locks_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    path = finish(reserve(tmp_path, NOW))
    assert load_run(FIRST, tmp_path)[0] == path
    assert os.listdir(tmp_path / "data") == []


def test_a_run_without_any_result_leaves_nothing(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        folder.journal()
        folder.log_folder()
    assert os.listdir(tmp_path / "data") == []
    assert list_runs(tmp_path) == []


def test_logs_are_kept_when_a_run_fails(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        (folder.log_folder() / "engine.log").write_text("out of memory")
        assert folder.log_folder() == folder.log_folder()
    (entry,) = list_runs(tmp_path)
    assert (entry.state, entry.kept(), entry.records_path) == ("interrupted", 0, None)
    assert entry.folder is not None
    assert (entry.folder / "logs" / "engine.log").read_text() == "out of memory"


# The journal


def test_the_journal_is_the_side_file_that_the_document_refers_to(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        journal = folder.journal()
        assert folder.journal() is journal
        for index, cell_id in enumerate(["decode", "prefill", "decode"]):
            journal.append(made(index, cell_id))
        records = journal.finish()
        assert records.path == f"data/{FIRST}/records.jsonl"
        assert records.rows == {"decode": 2, "prefill": 1}
        measured = [
            cell("decode", records=records.reference("decode")),
            cell("prefill", records=records.reference("prefill")),
            cell("balanced", records=records.reference("balanced")),
        ]
        path = folder.write(document(folder, *measured))
    assert sorted(os.listdir(tmp_path / "data" / FIRST)) == ["records.jsonl"]
    decode, prefill, balanced = BenchmarkRun.load(path).candidates[0].cells
    assert read_records(path, decode) == [made(0, "decode"), made(2, "decode")]
    assert read_records(path, prefill) == [made(1, "prefill")]
    assert read_records(path, balanced) == []


def test_a_record_is_on_file_when_append_returns(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        journal = folder.journal()
        for index in range(3):
            journal.append(made(index))
            lines = journal.path.read_bytes().splitlines(keepends=True)
            assert lines == [encode_record(made(n)) for n in range(index + 1)]


def test_what_is_known_only_afterwards_takes_the_place_of_the_record(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        journal = folder.journal()
        for index, cell_id in enumerate(["a", "b", "a"]):
            journal.append(made(index, cell_id))
        later = msgspec.structs.replace(made(1, "b"), answer="amended", tally={"x": 1})
        elsewhere = msgspec.structs.replace(made(2, "a"), planned_ns=5, answer="never asked")
        journal.amend([later, elsewhere])
        journal.append(made(3, "a"))
        records = journal.finish()
        assert not list(journal.path.parent.glob("*.amended"))
    assert records.rows == {"a": 3, "b": 1}
    assert list(read_journal(journal.path)) == [
        made(0, "a"),
        later,
        made(2, "a"),
        made(3, "a"),
    ]
    with pytest.raises(ValueError, match="closed"):
        journal.amend([later])


def test_records_that_cannot_be_amended_are_as_they_were(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        journal = folder.journal()
        journal.append(made(0))
        beside = journal.path.with_name("records.jsonl.amended")
        beside.mkdir()
        with pytest.raises(SetupError, match=r"records\.jsonl could not be amended"):
            journal.amend([made(0)])
        beside.rmdir()
        journal.append(made(1))
        journal.finish()
    assert list(read_journal(journal.path)) == [made(0), made(1)]


def test_a_finished_journal_takes_nothing_more(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        journal = folder.journal()
        journal.append(made(0))
        journal.finish()
        with pytest.raises(ValueError, match="closed"):
            journal.append(made(1))
        with pytest.raises(ValueError, match="closed"):
            journal.finish()
        journal.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.replace(b'"item-0"', b'"item-1"'),
        lambda b: b + b"\n",
        lambda b: b[:-1],
        lambda b: b"",
        None,
    ],
)
def test_records_that_were_changed_are_refused(tmp_path: Path, change: object) -> None:
    with reserve(tmp_path, NOW) as folder:
        journal = folder.journal()
        journal.append(made(0))
        measured = cell(records=journal.finish().reference("decode"))
        path = folder.write(document(folder, measured))
    if change is None:
        journal.path.unlink()
        with pytest.raises(UsageError, match="move the folder `data` together"):
            read_records(path, measured)
    else:
        journal.path.write_bytes(change(journal.path.read_bytes()))  # type: ignore[operator]
        with pytest.raises(SchemaError):
            read_records(path, measured)


def test_a_cell_without_records_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No records were kept of cell decode"):
        read_records(tmp_path / "document.json", cell())


KILLED = """
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from minionbench.store import reserve
from tests.test_store import made
folder = reserve(Path(sys.argv[1]), datetime(2026, 11, 21, 20, 11, 59, tzinfo=UTC))
journal = folder.journal()
for index in count():
    journal.append(made(index))
    print(index, flush=True)
"""


def test_a_killed_run_loses_no_finished_request(tmp_path: Path) -> None:
    process = python(KILLED, str(tmp_path))
    assert process.stdout is not None
    reported = []
    for line in process.stdout:
        reported.append(int(line))
        if len(reported) == 1:
            (entry,) = list_runs(tmp_path)
            assert entry.state == "running"
        if len(reported) == 200:
            process.send_signal(signal.SIGKILL)
    process.communicate()
    (entry,) = list_runs(tmp_path)
    assert (entry.run_id, entry.state, entry.document_path) == (FIRST, "interrupted", None)
    assert entry.records_path is not None
    kept = list(read_journal(entry.records_path))
    assert kept == [made(index) for index in range(len(kept))]
    assert len(kept) >= len(reported)
    assert entry.kept() == len(kept)
    with pytest.raises(UsageError, match=f"was interrupted.*{len(kept)} finished requests"):
        load_run(FIRST, tmp_path)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(encode_record(made(0)) + encode_record(made(1))[:-5])
    assert list(read_journal(path)) == [made(0)]
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_journal(tmp_path / "absent"))


FULL_DISK = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from minionbench.errors import SetupError
from minionbench.store import reserve
from tests.documents import run
from tests.test_store import made
NOW = datetime(2026, 11, 21, 20, 11, 59, tzinfo=UTC)
with reserve(Path(sys.argv[1]), NOW) as folder:
    journal = folder.journal()
    journal.append(made(0))
    size = journal.path.stat().st_size
    # Two records and a half: the third write goes through in part, as on a disk that fills up.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 5 // 2, size * 100))
    journal.append(made(1))
    messages = []
    for index in (2, 3):
        try:
            journal.append(made(index))
        except SetupError as error:
            messages.append(str(error))
    assert len(messages) == 2 and "The 2 requests before it are kept there" in messages[1], messages
    assert "--output-dir" in messages[0]
    assert journal.path.stat().st_size == size * 2
    try:
        folder.write(run(run_id=folder.run_id, command_line="x" * size * 3))
    except SetupError as error:
        assert "The records of 2 finished requests are kept in" in str(error)
        assert str(journal.path) in str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 100, size * 100))
    journal.append(made(4))
    assert journal.finish().rows == {"decode": 3}
"""


def test_a_full_disk_keeps_what_is_there_and_says_where(tmp_path: Path) -> None:
    process = python(FULL_DISK, str(tmp_path))
    _, err = process.communicate()
    assert process.returncode == 0, err
    (entry,) = list_runs(tmp_path)
    assert entry.state == "interrupted"
    assert entry.records_path is not None
    assert list(read_journal(entry.records_path)) == [made(0), made(1), made(4)]
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_an_interrupt_in_the_middle_of_a_write_tears_nothing(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        journal = folder.journal()
        journal.append(made(0))
        # What a write leaves that a signal handler's exception cut off before it was counted.
        journal._torn = True
        with journal.path.open("ab") as file:
            file.write(encode_record(made(1)) + b'{"cell": "de')
        journal.append(made(2))
        assert journal.rows == 3
        assert journal.finish().rows == {"decode": 3}
        assert list(read_journal(journal.path)) == [made(0), made(1), made(2)]


def test_a_journal_that_another_program_wrote_into_is_refused(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        journal = folder.journal()
        journal.append(made(0))
        with journal.path.open("ab") as file:
            file.write(b"nonsense\n")
        with pytest.raises(SchemaError, match="another program"):
            journal.finish()


def test_nothing_is_written_through_a_link_that_lies_in_wait(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    with reserve(tmp_path / "runs", NOW) as folder:
        (folder.folder / "records.jsonl").symlink_to(outside)
        with pytest.raises(SetupError):
            folder.journal()
        folder.document_path.symlink_to(outside)
        folder.write(document(folder))
        assert not folder.document_path.is_symlink()
    assert outside.read_text() == "untouched"


def test_a_document_of_another_run_is_a_bug(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder, pytest.raises(ValueError, match=SECOND):
        folder.write(run(run_id=SECOND))
    assert list_runs(tmp_path) == []


# What is in the store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A finished run, one that was interrupted, one under way, one damaged, and other files."""
    finish(reserve(tmp_path, NOW))
    with reserve(tmp_path, NOW) as interrupted:
        interrupted.journal().append(made(0))
    with reserve(tmp_path, NOW):
        (tmp_path / "benchmark_20261121_201300.json").write_text("{")
        (tmp_path / "benchmark_notes.json").write_text("[]")
        (tmp_path / "notes.json").write_text("{}")
        (tmp_path / "data" / "other").mkdir()
        (tmp_path / f".{THIRD}.json.0123.tmp").write_text("half a docu")
        yield tmp_path


def test_every_run_is_listed_with_what_became_of_it(store: Path) -> None:
    entries = list_runs(store)
    assert [(entry.run_id, entry.state) for entry in entries] == [
        (FIRST, "complete"),
        (SECOND, "interrupted"),
        (THIRD, "running"),
        ("benchmark_20261121_201300", "invalid"),
        ("benchmark_notes", "invalid"),
    ]
    assert entries[0].run == BenchmarkRun.load(store / f"{FIRST}.json")
    assert [entry.kept() for entry in entries] == [0, 1, 0, 0, 0]
    assert "not valid JSON" in (entries[3].problem or "")
    assert all(entry.problem is None for entry in entries[:3])


def test_a_folder_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "absent") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be read"):
        list_runs(tmp_path / "file")


def test_a_run_is_found_by_id_by_path_and_as_the_latest(tmp_path: Path) -> None:
    first = finish(reserve(tmp_path, NOW))
    last = finish(reserve(tmp_path, NOW + timedelta(days=40)))
    (tmp_path / "benchmark_notes.json").write_text("[]")
    assert load_run("latest", tmp_path)[0] == last
    for name in (FIRST, FIRST.removeprefix("benchmark_"), str(first)):
        path, loaded = load_run(name, tmp_path)
        assert (path, loaded.metadata.run_id) == (first, FIRST)


def test_a_run_that_is_not_there_says_what_there_is(store: Path) -> None:
    with pytest.raises(UsageError, match="still running"):
        load_run(THIRD, store)
    with pytest.raises(UsageError, match="minionbench runs list"):
        load_run("benchmark_20200101_000000", store)
    with pytest.raises(UsageError, match="There is no run document"):
        load_run("elsewhere.json", store)
    with pytest.raises(SchemaError):
        load_run("benchmark_20261121_201300", store)
    with pytest.raises(UsageError, match="no finished run"):
        load_run("latest", store / "absent")


def test_only_complete_documents_ever_match_their_pattern(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW) as folder:
        folder.journal().append(made(0))
        assert list(tmp_path.glob("benchmark_*.json")) == []
        broken = document(folder)
        broken.candidates[0].metrics.clear()
        with pytest.raises(SchemaError):
            folder.write(broken)
        assert list(tmp_path.glob("benchmark_*.json")) == []
        folder.write(document(folder))
    (path,) = tmp_path.glob("benchmark_*.json")
    assert json.loads(path.read_text())["metadata"]["run_id"] == FIRST


@given(st.lists(st.sampled_from(["decode", "prefill"]), max_size=8))
def test_rows_are_counted_per_cell(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str]
) -> None:
    with reserve(tmp_path_factory.mktemp("runs"), NOW) as folder:
        journal = folder.journal()
        for index, cell_id in enumerate(ids):
            journal.append(made(index, cell_id))
        records = journal.finish()
    for cell_id in ("decode", "prefill"):
        assert records.reference(cell_id).rows == ids.count(cell_id)


# Going on with an interrupted run


def interrupted(tmp_path: Path, *records: RequestRecord) -> Path:
    """What a killed run leaves behind: its folder, lock file included, and a torn last line."""
    folder = tmp_path / "data" / FIRST
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    content = b"".join(map(encode_record, records))
    (folder / "records.jsonl").write_bytes(content + b'{"cell": "dec')
    return folder


def test_an_interrupted_run_goes_on_where_its_journal_ends(tmp_path: Path) -> None:
    folder = interrupted(tmp_path, made(0), made(1, "prefill"))
    with reopen(tmp_path, FIRST, NOW) as again:
        (entry,) = list_runs(tmp_path)
        assert entry.state == "running"
        journal = again.journal()
        assert journal.rows == 2
        journal.append(made(2))
        records = journal.finish()
        assert records.rows == {"decode": 2, "prefill": 1}
        measured = cell(records=records.reference("decode"))
        path = again.write(document(again, measured))
    assert list(read_journal(folder / "records.jsonl")) == [made(0), made(1, "prefill"), made(2)]
    assert read_records(path, measured) == [made(0), made(2)]
    (entry,) = list_runs(tmp_path)
    assert entry.state == "complete"
    assert entry.run is not None and entry.run.metadata.timestamp == NOW.isoformat()


def test_a_run_that_had_not_measured_anything_goes_on_too(tmp_path: Path) -> None:
    (tmp_path / "data" / FIRST).mkdir(parents=True)
    with reopen(tmp_path, FIRST, NOW) as again:
        again.journal().append(made(0))
        assert again.journal().finish().rows == {"decode": 1}


def test_a_run_that_is_alive_or_not_there_cannot_be_taken(tmp_path: Path) -> None:
    with reserve(tmp_path, NOW), pytest.raises(UsageError, match="still going on"):
        reopen(tmp_path, FIRST, NOW)
    for name in (SECOND, "data", "../data"):
        with pytest.raises(UsageError, match="There is no run"):
            reopen(tmp_path, name, NOW)


def test_a_lock_is_held_by_one_and_can_be_taken_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = take(path)
    with pytest.raises(BlockingIOError):
        take(path)
    os.close(held)
    os.close(take(path))


def test_a_lock_whose_holder_removes_it_meanwhile_is_not_taken_for_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = take(path)
    path.unlink()
    other = take(path)
    assert os.fstat(other).st_ino == path.stat().st_ino
    for file in (held, other):
        os.close(file)


def test_the_records_of_all_cells_are_read_in_one_go(tmp_path: Path) -> None:
    with reserve(tmp_path) as folder:
        journal = folder.journal()
        for name, index in (("a", 0), ("b", 0), ("a", 1)):
            journal.append(msgspec.structs.replace(record(index=index), cell=name))
        finished = journal.finish()
    cells = [
        *(cell(name, records=finished.reference(name)) for name in ("a", "b")),
        cell("none", records=None),
    ]
    found = read_all_records(tmp_path / "benchmark.json", cells)
    assert {name: [r.index for r in rows] for name, rows in found.items()} == {
        "a": [0, 1],
        "b": [0],
        "none": [],
    }
    assert found["a"] == read_records(tmp_path / "benchmark.json", cells[0])
    with (folder.folder / "records.jsonl").open("ab") as file:
        file.write(encode_record(msgspec.structs.replace(record(index=2), cell="b")))
    with pytest.raises(SchemaError, match="was changed"):
        read_all_records(tmp_path / "benchmark.json", cells)


@pytest.mark.parametrize("torn", [b"", b'{"a": ', b"x" * 200_000])
def test_a_line_is_appended_whole_after_a_torn_one(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    assert list(whole_lines(path)) == []
    append_line(path, b"1\n")
    with path.open("ab") as file:
        file.write(torn)
    assert list(whole_lines(path)) == [b"1\n"]
    append_line(path, b"2\n")
    assert path.read_bytes() == b"1\n2\n"
