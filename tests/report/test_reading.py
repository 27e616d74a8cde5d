"""What is read of a run's records and traces, and what is said where they cannot be read."""

from __future__ import annotations

from pathlib import Path

from minionbench.report.reading import BLOCK, DRAWN, Material, material
from minionbench.schema import BenchmarkRun
from tests.report.material import RUN_ID, candidate, cell, requests, run, with_records


def read(path: Path) -> Material:
    return material([(path, BenchmarkRun.load(path))])


def written(folder: Path, count: int = 5, **more: object) -> Path:
    made = run(candidate("m", cell("c")))
    latencies = [100.0 + 10 * k for k in range(count)]
    return with_records(folder, made, {"c": requests(latencies, **more)})  # type: ignore[arg-type]


def test_each_quantity_is_taken_from_the_records_with_failures_beside(tmp_path: Path) -> None:
    (option,) = read(written(tmp_path, failed=[1])).options
    held = option.requests
    assert held is not None
    assert [round(v, 3) for v in held.values["total_latency_s"]] == [0.1, 0.12, 0.13, 0.14]
    assert held.failed["total_latency_s"] == 1
    assert dict(held.failures) == {"it broke": 1}
    assert held.measured == len(held.items) == 5


def test_the_first_the_failed_and_the_slowest_requests_are_told(tmp_path: Path) -> None:
    (option,) = read(written(tmp_path, count=8, failed=[2])).options
    assert option.requests is not None
    told = {(one.why, one.number) for one in option.requests.told()}
    assert told == {("failed", 2), ("slowest", 7), ("slowest", 6), ("slowest", 5), ("first", 0)}


def test_of_a_large_cell_the_time_line_shows_requests_in_a_row_from_the_middle(
    tmp_path: Path,
) -> None:
    (option,) = read(written(tmp_path, count=DRAWN + 80)).options
    assert option.requests is not None and option.requests.is_part
    shown = [one.number for one in option.requests.drawn]
    assert shown == list(range(70, 70 + BLOCK))


def test_records_that_were_left_behind_are_a_note_and_no_end(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "data" / RUN_ID / "records.jsonl").unlink()
    found = read(path)
    assert found.options[0].requests is None
    assert "move the folder data together with it" in found.notes[0]


def test_records_that_were_changed_are_not_shown(tmp_path: Path) -> None:
    path = written(tmp_path)
    records = tmp_path / "data" / RUN_ID / "records.jsonl"
    records.write_bytes(records.read_bytes().replace(b"item-1", b"item-9"))
    found = read(path)
    assert found.options[0].requests is None
    assert "not what the document was computed from" in found.notes[0]
    records.write_bytes(b"{}\n")
    assert "not what the document was computed from" in read(path).notes[0]


def test_a_trace_that_is_damaged_is_a_note(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "data" / RUN_ID / "traces.jsonl").write_bytes(b"[]\n")
    found = read(path)
    assert found.traces == ((),)
    assert "what its meters said cannot be read" in found.notes[0]
