"""The C reference client counts every token, stamps it when it came, and refuses what is broken."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.ground_truth import GroundTruthServer, build, ground_truth_server

CLOCK_TOLERANCE_NS = 20_000
"""The kernel's stamp is converted between two clocks, each read with some delay."""


@pytest.fixture(scope="module")
def server() -> Iterator[GroundTruthServer]:
    with ground_truth_server(ttft_ms=3, itl_ms=1) as running:
        yield running


def run_client(server: GroundTruthServer, **options: object) -> subprocess.CompletedProcess[str]:
    command = [str(build("reference_client")), "--port", str(server.port)]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def figures(server: GroundTruthServer, **options: object) -> dict[str, Any]:
    done = run_client(server, **options)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_every_token_of_every_request_is_counted(server: GroundTruthServer) -> None:
    server.reset()
    told = figures(server, connections=4, requests=10, tokens=7)
    assert (told["connections"], told["requests"], told["tokens"]) == (4, 10, 70)
    log = server.dump()
    assert [request.tokens_written for request in log] == [7] * 10
    assert len({request.connection for request in log}) == 4
    assert told["reads"] > 0
    assert told["wall_s"] > 0


def test_a_stamp_lies_between_the_servers_clock_before_and_after_the_write(
    server: GroundTruthServer, tmp_path: Path
) -> None:
    """For a token that came alone: one that shares a read has the stamp of the last in it."""
    server.reset()
    figures(server, connections=1, requests=5, tokens=6, stamps=tmp_path / "stamps")
    log = {request.id: request for request in server.dump()}
    lines = [json.loads(line) for line in (tmp_path / "stamps").read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == [0, 1, 2, 3, 4]
    for line in lines:
        request = log[line["id"]]
        assert line["sent_ns"] <= request.arrival_ns + CLOCK_TOLERANCE_NS
        for index, stamp_ns in enumerate(line["token_ns"][:-1]):
            if stamp_ns in line["token_ns"][index + 1 :]:
                continue
            assert request.before_ns[index] - CLOCK_TOLERANCE_NS <= stamp_ns
            assert stamp_ns <= request.after_ns[index] + CLOCK_TOLERANCE_NS


def test_tokens_that_come_in_one_write_are_merged(server: GroundTruthServer) -> None:
    server.reset()
    server.set(per_write=4)
    told = figures(server, requests=2, tokens=8)
    assert told["merged_tokens"] >= 2 * 6
    server.reset()


@pytest.mark.parametrize(
    ("fault", "words"),
    [("http-500", "not 200"), ("close", "ended before"), ("content-length", "not chunked")],
)
def test_a_broken_answer_is_no_figure(server: GroundTruthServer, fault: str, words: str) -> None:
    server.reset()
    server.set(fault=fault)
    done = run_client(server, requests=1)
    server.reset()
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stdout == ""
