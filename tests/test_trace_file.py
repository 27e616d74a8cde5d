"""The trace's file: what is kept, torn lines, and a full disk."""

from __future__ import annotations

import resource
import threading
from pathlib import Path

import pytest

from minionbench.errors import SchemaError, SetupError
from minionbench.store import TRACES, TraceFile, begun, read_trace, reserve
from minionbench.traces import Look, Stream

RSS = Stream("rss", "memory", "bytes", "memory", "process-tree")


def test_what_is_kept_is_read_and_a_torn_line_is_cut_off_before_more_follows(
    tmp_path: Path,
) -> None:
    path = tmp_path / TRACES
    assert read_trace(path) is None
    file = TraceFile(path)
    assert file.size == 0
    assert not path.exists()
    file.keep(begun(), RSS, Look("rss", 1, 10))
    size = file.size
    assert size == path.stat().st_size
    file.keep(Look("rss", 2, 20))
    file.close()
    file.keep(Look("rss", 3, 30))
    path.write_bytes(path.read_bytes() + b'["look","rss",4,')
    again = TraceFile(path)
    again.keep(Look("rss", 5, 50))
    trace = read_trace(path)
    assert trace is not None
    assert [look.value for look in trace.looks["rss"]] == [10, 20, 50]
    later = read_trace(path, since=size)
    assert later is not None
    assert [look.value for look in later.looks["rss"]] == [20, 50]
    again.close()


def test_threads_do_not_cut_each_others_lines(tmp_path: Path) -> None:
    file = TraceFile(tmp_path / TRACES)

    def keep(number: int) -> None:
        for i in range(200):
            file.keep(Look(f"s{number}", i, i), Look(f"s{number}", i, i))

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trace = read_trace(tmp_path / TRACES)
    assert trace is not None
    assert {name: len(looks) for name, looks in trace.looks.items()} == dict.fromkeys(
        ("s0", "s1", "s2", "s3"), 400
    )
    file.close()


def test_a_line_that_is_none_is_told_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / TRACES
    path.write_text("hello\n")
    with pytest.raises(SchemaError, match=r"traces\.jsonl is damaged: line 1"):
        read_trace(path)


def test_a_file_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--no-meters"):
        TraceFile(tmp_path / "nowhere" / TRACES).keep(RSS)
    (tmp_path / TRACES).mkdir()
    with pytest.raises(SetupError, match="cannot be read"):
        read_trace(tmp_path / TRACES)


def test_a_full_disk_is_no_quiet_loss_and_tears_no_line(tmp_path: Path) -> None:
    file = TraceFile(tmp_path / TRACES)
    file.keep(RSS)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The file may grow by a few bytes more, as on a disk with little room.
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.size + 5, hard))
    try:
        with pytest.raises(SetupError, match="No space left"):
            file.keep(Look("rss", 1, 10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.keep(Look("rss", 2, 20))
    trace = read_trace(tmp_path / TRACES)
    assert trace is not None
    assert [look.value for look in trace.looks["rss"]] == [20]
    file.close()


def test_a_run_of_no_request_leaves_no_trace(tmp_path: Path) -> None:
    with reserve(tmp_path) as folder:
        folder.traces().keep(RSS)
        assert folder.traces() is folder.traces()
        assert folder.trace() is not None
        path = folder.folder
    assert not path.exists()
