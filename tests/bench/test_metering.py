"""The metering bench: what it looks at, and how it judges pairs of runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench.metering import LOADS, judged, main, measure

SMALL = replace(LOADS[1], requests=3, pairs=2, tokens=3)


def test_the_shift_is_held_against_what_runs_differ_by_themselves() -> None:
    told = judged([5.0, 6.0, 9.0], [4.0, 6.5, 6.0])
    # Differences 1, -0.5, 3; successive runs without differ by 2.5 and 0.5.
    assert (told["shift_ms"], told["noise_ms"]) == (1.0, 1.5)
    assert told["met"] == {"shift": True}
    assert judged([6.0, 9.0], [4.0, 4.5])["met"] == {"shift": False}


def test_a_run_that_is_faster_with_meters_is_no_fault_of_theirs() -> None:
    assert judged([1.0, 1.0], [4.0, 4.0])["met"] == {"shift": True}


def test_a_small_measurement_looks_at_every_stream_and_tells_each_target() -> None:
    told = measure([SMALL], duration_s=0.3)
    cpu = told["cpu"]
    assert cpu["streams"][-1] == "rss/local"
    assert any(stream.startswith("rapl/") for stream in cpu["streams"])
    # On entry and on exit at least, and none was lost on its way into the file.
    assert all(looks >= 2 for looks in cpu["looks"].values())
    assert set(cpu["looks"]) == set(cpu["streams"])
    assert cpu["failed"] is None
    assert 0 < cpu["share_of_a_core"] < 1
    (ttft,) = told["ttft"]
    assert len(ttft["with_ms"]) == len(ttft["without_ms"]) == 2
    assert set(ttft["met"]) == {"shift"}
    json.dumps(told, allow_nan=False)


def test_one_pair_has_no_noise_and_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--pairs", "1"])
    assert "--pairs has to be 2 at least" in capsys.readouterr().err
