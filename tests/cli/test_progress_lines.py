from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minionbench.cli.progress_lines import ProgressLines
from tests import making
from tests.cli.test_progress import cells


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def told(reader: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in os.read(reader, 1 << 20).splitlines()]


def test_each_event_is_one_line_of_json_as_soon_as_it_happens() -> None:
    with pipe() as (reader, writer):
        lines = ProgressLines(writer)
        lines.plan("benchmark_20261121_201100", "reference/q8_0", cells())
        assert told(reader)[0]["requests"] == 12
        lines.stage("balanced")
        assert told(reader)[0]["stage"] == "balanced"
        lines.record(making.record(0, 0, (12, 20)))
        (request,) = told(reader)
        assert request["event"] == "request"
        assert request["outcome"] == "ok"
        assert (request["ttft_s"], request["total_latency_s"]) == (0.012, 0.020)
        assert (request["output_tokens"], request["finished"], request["failed"]) == (2, 1, 0)
        end = json.loads(lines.last(document="somewhere", exit_code=0))
        assert (end["event"], end["left_out"], end["exit_code"]) == ("done", 0, 0)


def test_a_reader_who_stopped_reading_holds_up_nothing_and_is_told_what_was_left_out() -> None:
    with pipe() as (reader, writer):
        lines = ProgressLines(writer)
        for _ in range(2_000):
            lines.record(making.record(0, 0, (12,)))
        got = told(reader)
        assert lines.left_out_lines > 0
        assert len(got) + lines.left_out_lines == 2_000
        assert json.loads(lines.last())["left_out"] == lines.left_out_lines


def test_a_reader_who_went_away_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lines = ProgressLines(writer)
    lines.stage("goes on")
    os.close(writer)
    lines.stage("goes on")
    assert lines.left_out_lines == 2


def test_a_models_text_cannot_command_the_terminal() -> None:
    with pipe() as (reader, writer):
        lines = ProgressLines(writer)
        lines.stage("evil\x1b[2J")
        raw = os.read(reader, 1 << 16)
        assert b"\x1b" not in raw
        assert json.loads(raw)["stage"] == "evil\x1b[2J"
