"""How requests are sent: what the flags mean, and an open loop from the flags to the document."""

from __future__ import annotations

from pathlib import Path

import pytest

from minionbench.cli.run import command, run_settings
from minionbench.load import ClosedLoop, Load, OpenLoop
from minionbench.run_settings import DEFAULT_REQUESTS
from minionbench.schema import BenchmarkRun
from minionbench.simulator import Simulator, SimulatorSettings
from minionbench.store import read_journal
from tests.cli.calling import call


def meant(*arguments: str) -> tuple[Load, int]:
    """The load of a command line, and the requests of each repeat."""
    flags = dict(command.make_context("run", list(arguments)).params)
    del flags["form"]
    settings = run_settings(**flags)
    return settings.load, settings.num_requests


@pytest.mark.parametrize(
    ("arguments", "load", "requests"),
    [
        ((), ClosedLoop(), DEFAULT_REQUESTS),
        (("-c", "3", "-n", "4"), ClosedLoop(concurrency=3), 4),
        (("--request-rate", "2.5"), OpenLoop(rate_per_s=2.5), DEFAULT_REQUESTS),
        (
            ("--request-rate", "2", "--burstiness", "0.5", "-n", "4"),
            OpenLoop(rate_per_s=2, burstiness=0.5),
            4,
        ),
        (
            ("--request-rate", "2", "--burstiness", "inf"),
            OpenLoop(rate_per_s=2, burstiness=float("inf")),
            DEFAULT_REQUESTS,
        ),
        (("--request-rate", "inf", "-n", "7"), ClosedLoop(concurrency=7), 7),
        (("--request-rate", "inf"), ClosedLoop(concurrency=DEFAULT_REQUESTS), DEFAULT_REQUESTS),
        (("--request-rate", "0.5", "--duration", "1m"), OpenLoop(rate_per_s=0.5), 30),
        (("--request-rate", "4", "--duration", "1.5h"), OpenLoop(rate_per_s=4), 21_600),
        (("--request-rate", "10", "--duration", "500ms"), OpenLoop(rate_per_s=10), 5),
        (("--request-rate", "10", "--duration", "2"), OpenLoop(rate_per_s=10), 20),
        (("--request-rate", "0.1", "--duration", "1s"), OpenLoop(rate_per_s=0.1), 1),
    ],
)
def test_the_flags_mean_a_load(arguments: tuple[str, ...], load: Load, requests: int) -> None:
    assert meant(*arguments) == (load, requests)


def test_a_file_may_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('request-rate = 2\nburstiness = inf\nduration = "4s"\n')
    even = OpenLoop(rate_per_s=2, burstiness=float("inf"))
    assert meant("--config", str(path)) == (even, 8)
    path.write_text('request-rate = "inf"\n')
    assert meant("--config", str(path))[0] == ClosedLoop(concurrency=DEFAULT_REQUESTS)


def test_as_many_are_sent_at_once_as_a_list_of_items_has(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text('["decode@1/0/0/300", "decode@1/0/1/300", "decode@1/0/2/300"]')
    load, _ = meant("--items", str(path), "--request-rate", "inf")
    assert load == ClosedLoop(concurrency=3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-c", "1,2,4"), "`minionbench sweep -c 1,2,4` measures each"),
        (("--request-rate", "1,inf"), "`minionbench sweep --request-rate 1,inf` measures each"),
        (("-c", "0"), "not in the range"),
        (("--request-rate", "0"), "0 is no rate"),
        (("--request-rate", "fast"), "fast is no rate"),
        (("--request-rate", "nan"), "nan is no rate"),
        (("--burstiness", "2"), "--burstiness goes with --request-rate"),
        (("--duration", "5m"), "--duration goes with --request-rate"),
        (("--request-rate", "2", "--burstiness", "-1"), "-1 is no shape of gaps"),
        (("--request-rate", "2", "-c", "3"), "two kinds of load"),
        (("--request-rate", "2", "--duration", "5 weeks"), "say 30s, 5m or 1h"),
        (("--request-rate", "2", "--duration", "0s"), "say 30s, 5m or 1h"),
        (("--request-rate", "2", "--duration", "5s", "-n", "3"), "--duration and -n both"),
        (("--request-rate", "inf", "--duration", "5s"), "leave out --duration"),
        (("--request-rate", "inf", "--burstiness", "2"), "leave out --burstiness"),
        (("--request-rate", "1e9", "--duration", "5h"), "more than the 1,000,000"),
    ],
)
def test_what_makes_no_load_is_one_clear_message(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = call(capsys, "run", *arguments, "-o", str(tmp_path))
    assert result.code == 2
    assert complaint in result.err
    assert not list(tmp_path.iterdir())


def test_an_open_loop_goes_from_the_flags_to_the_document(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Simulator(SimulatorSettings(answer_tokens=4)) as simulator:
        result = call(
            capsys,
            *("run", "-w", "decode", "-u", f"{simulator.base_url}/v1", "-o", str(tmp_path)),
            *("--request-rate", "60", "--duration", "500ms", "--repeats", "2", "--warmup", "1"),
            *("--input-tokens", "250", "--no-meters", "--goodput", "latency:60000"),
        )
    assert "response time" in result.out
    (path,) = tmp_path.glob("benchmark_*.json")
    (candidate,) = BenchmarkRun.load(path).candidates
    (cell,) = candidate.cells
    assert (cell.load.kind, cell.load.rate_per_s, cell.load.arrivals) == ("open", 60.0, "poisson")
    assert cell.workload.items == 30
    for name in ("response_time_s", "requests_per_sec", "output_tokens_per_sec"):
        assert cell.metrics[name].value is not None, name
    assert cell.metrics["goodput_per_sec"].value == cell.metrics["requests_per_sec"].value
    response, total = cell.metrics["response_time_s"], cell.metrics["total_latency_s"]
    assert response.value is not None and total.value is not None
    assert response.value >= total.value
    clock = cell.metrics["slo_attainment_pct"].metadata["clock"]
    assert clock == "from the planned instant"
    journal = tmp_path / "data" / path.stem / "records.jsonl"
    measured = [record for record in read_journal(journal) if record.phase == "measured"]
    load = OpenLoop(rate_per_s=60)
    for repeat in range(2):
        planned = sorted(record.planned_ns for record in measured if record.repeat == repeat)
        offsets = load.offsets_ns(30, repeat)
        assert [at - planned[0] for at in planned] == [at - offsets[0] for at in offsets]


def test_a_server_may_be_asked_by_more_streams_than_an_engine_of_ours_can_hold(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Simulator(SimulatorSettings(answer_tokens=1)) as simulator:
        call(
            capsys,
            *("run", "-w", "decode", "-u", f"{simulator.base_url}/v1", "-o", str(tmp_path)),
            *("--request-rate", "inf", "-n", "257", "--repeats", "1", "--warmup", "0"),
            *("--input-tokens", "250", "--no-meters", "--no-text"),
        )
    (path,) = tmp_path.glob("benchmark_*.json")
    (candidate,) = BenchmarkRun.load(path).candidates
    (cell,) = candidate.cells
    assert cell.load.concurrency == 257
    assert cell.records is not None and cell.records.rows == 257
    assert cell.metrics["total_latency_s"].metadata["failed"] == 0
