"""The accuracy bench tells an exact client from one that is wrong, and by how much."""

from __future__ import annotations

import json

import pytest

from bench import __main__ as everything
from bench import accuracy
from bench.accuracy import Client, Load, figures, measure_load
from bench.ground_truth import TrueRequest, ground_truth_server

MS = 1_000_000


def true_request(id: int, *, arrival: int, writes: tuple[int, ...]) -> TrueRequest:
    return TrueRequest(
        id=id,
        connection=0,
        status=200,
        fault="none",
        chat=True,
        stream=True,
        stamped=True,
        delayed=False,
        client_gone=False,
        accept_ns=0,
        arrival_ns=arrival,
        arrival_end_ns=arrival,
        header_ns=arrival,
        role_ns=None,
        end_ns=writes[-1] if writes else arrival,
        body_bytes=1,
        tokens=len(writes),
        reasoning=0,
        before_ns=writes,
        after_ns=writes,
    )


def client(sent: dict[int, int], tokens: dict[int, tuple[int, ...]]) -> Client:
    counted: dict[int, int | None] = {id: len(stamps) for id, stamps in tokens.items()}
    return Client("own", 0.5, 10, 1, 9, [], sent, tokens, counted)


LOG = [
    true_request(0, arrival=10 * MS, writes=(60 * MS, 70 * MS, 80 * MS)),
    true_request(1, arrival=20 * MS, writes=(70 * MS, 80 * MS)),
]


def test_the_error_is_what_the_client_says_less_what_was() -> None:
    told = client({0: 9 * MS, 1: 20 * MS}, {0: (61 * MS, 74 * MS, 80 * MS), 1: (70 * MS, 80 * MS)})
    assert list(accuracy.ttft_errors_ms(told, LOG)) == [2.0, 0.0]
    assert list(accuracy.itl_errors_ms(told, LOG)) == [3.0, 4.0, 0.0]
    result = figures(told, LOG)
    assert result["tokens_written"] == 5
    assert result["requests_miscounted"] == 0
    assert result["merged_share"] == pytest.approx(0.2)
    assert result["kernel_read_share"] == pytest.approx(0.9)
    assert result["cpu_us_per_token"] == pytest.approx(100_000)
    assert result["ttft_error_ms"]["max"] == 2.0


def test_a_request_counted_wrongly_is_named_and_its_gaps_are_not_compared() -> None:
    told = client({0: 10 * MS, 1: 20 * MS}, {0: (60 * MS, 80 * MS), 1: (70 * MS, 80 * MS)})
    assert figures(told, LOG)["requests_miscounted"] == 1
    assert list(accuracy.itl_errors_ms(told, LOG)) == [0.0]


def test_usage_that_differs_from_the_events_is_a_miscount() -> None:
    told = client({0: 10 * MS, 1: 20 * MS}, {0: LOG[0].before_ns, 1: LOG[1].before_ns})
    told.counted_tokens[0] = None
    assert figures(told, LOG)["requests_miscounted"] == 1


def test_nothing_measured_is_no_figure() -> None:
    result = figures(Client("own", 0.0, 0, 0, 0), [])
    assert result["ttft_error_ms"] is None
    assert result["merged_share"] is None
    assert result["kernel_read_share"] is None


def test_both_clients_count_every_token_of_the_same_requests() -> None:
    load = Load(
        4,
        8,
        2,
        ttft_p50_target_ms=1e9,
        ttft_p99_target_ms=1e9,
        cpu_ratio_target=1e9,
        tokens=6,
    )
    with ground_truth_server(ttft_ms=5, itl_ms=1, tokens=6) as server:
        result = measure_load(server, load)
    for name in ("minionbench", "reference_client"):
        assert len(result["runs"][name]) == 2
        for run in result["runs"][name]:
            assert (run["requests"], run["failures"], run["tokens_written"]) == (8, 0, 48)
            assert run["requests_miscounted"] == 0
            assert run["ttft_error_ms"] is not None
    assert all(result["summary"]["met"].values())
    json.dumps(result, allow_nan=False)


def test_a_client_that_cannot_count_misses_its_target() -> None:
    load = Load(1, 2, 1, ttft_p50_target_ms=1e9, ttft_p99_target_ms=1e9)
    with ground_truth_server(ttft_ms=1, itl_ms=1, tokens=4, usage="never") as server:
        result = measure_load(server, load)
    assert result["summary"]["met"]["tokens_exact"] is False


@pytest.mark.parametrize(
    ("result", "met"),
    [
        ({"a": {"met": True}, "b": {"met": {"x": True}}}, True),
        ({"a": {"met": False}}, False),
        ({"loads": [{"summary": {"met": {"x": True, "y": False}}}]}, False),
        ({"figure": 0, "share": False}, True),
    ],
)
def test_a_missed_target_is_found_at_any_depth(result: object, met: bool) -> None:
    assert everything.all_met(result) is met
