from __future__ import annotations

import signal
from pathlib import Path

import pytest

from minionbench import Q3B, Hybrid, Local, Remote
from minionbench.cli.sweep import command, definition_of
from minionbench.load import ClosedLoop, OpenLoop
from minionbench.prices import Price
from minionbench.protocols.hybrid import Protocols
from minionbench.schema import BenchmarkRun
from minionbench.simulator import Fixed
from minionbench.store import list_runs
from minionbench.sweep.definition import Definition
from tests.cli.calling import call, start
from tests.sweep.support import cells_of, measured_records, simulated, times_measured

FILE = """
workload = "decode"
deployment = ["local", "remote"]
model = "ollama/qwen3"
quant = ["Q1_5B", "Q8B"]
remote-model = "openai/gpt-5.5"
input-tokens = 300
num-requests = 2
warmup = 0
repeats = 2

[servers]
ollama = "{0}"
openai = "{0}/v1"

[prices]
"openai/gpt-5.5" = "1,2"
"""
CELLS = {"decode.local.Q1_5B", "decode.local.Q8B", "decode.remote"}


def meant(*arguments: str) -> Definition:
    """What a command line means."""
    flags = dict(command.make_context("sweep", list(arguments)).params)
    for name in ("file", "resume", "form", "csv", "parquet", "assume"):
        del flags[name]
    return definition_of(**flags)


def sweep_file(folder: Path, servers: dict[str, str], more: str = "") -> str:
    path = folder / "sweep.toml"
    path.write_text(more + FILE.format(servers["ollama"]))
    return str(path)


def test_no_flags_mean_the_reference_model_over_all_workloads() -> None:
    plain = meant()
    assert [one.name for one in plain.workloads] == ["prefill", "balanced", "decode"]
    (local,) = plain.deployments
    assert isinstance(local, Local) and local.model == "reference/q8_0"
    assert plain.loads == (ClosedLoop(),)


def test_comma_lists_are_levels() -> None:
    many = meant(
        *("-w", "decode,prefill", "-m", "ollama/qwen3,reference/q4_0", "--quant", "Q3B,q8_0"),
        *("-d", "local,remote,hybrid", "--protocol", "minion,rag", "--max-rounds", "2"),
        *("--remote-model", "openai/gpt-5.5,deepseek/deepseek-flash", "--reasoning", "on,off"),
        *("-c", "1,4", "--request-rate", "0.5,inf", "--burstiness", "2", "-n", "3"),
        *("--price", "openai/gpt-5.5=1,2", "--server", "ollama=http://127.0.0.1:9"),
        *("--header", "X-Team: a", "--threads", "1", "--repeats", "7", "--seed", "3"),
    )
    assert [one.name for one in many.workloads] == ["decode", "prefill"]
    kinds = [type(one) for one in many.deployments]
    assert kinds == [Local, Local, Remote, Protocols, Protocols, Protocols, Protocols]
    assert many.quants[0] == Q3B()
    assert many.reasoning == (True, False)
    assert many.loads == (
        ClosedLoop(concurrency=1),
        ClosedLoop(concurrency=4),
        OpenLoop(rate_per_s=0.5, burstiness=2.0),
        ClosedLoop(concurrency=3),
    )
    assert many.prices == {"openai/gpt-5.5": Price(input_usd=1, output_usd=2)}
    assert many.servers == {"ollama": "http://127.0.0.1:9"}
    assert (many.common.repeats, many.common.seed) == (7, 3)
    assert many.common.engine.threads == 1
    assert many.common.remote_engine is not None
    assert many.common.remote_engine.headers == (("X-Team", "a"),)
    assert not isinstance(many.deployments[0], Hybrid)


def test_a_providers_model_is_a_remote_one() -> None:
    both = meant("-m", "reference/q4_0,openai/gpt-5.5")
    assert [type(one) for one in both.deployments] == [Local, Remote]
    assert both.remote_models == ("openai/gpt-5.5",)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-d", "cloud"), "no deployment 'cloud'"),
        (("--reasoning", "maybe"), "on, off or default"),
        (("-c", "two"), "whole number of streams"),
        (("--request-rate", "fast"), "no number"),
        (("--price", "openai/gpt-5.5"), "--price takes NAME=VALUE"),
        (("--server", "azure=http://x"), "no server 'azure'"),
        (("--protocol", "minion"), "goes with -d hybrid"),
        (("--assume", "speed=2"), "latency and start"),
        (("-m", "reference/q4_0", "--reasoning", "on"), "No combination"),
        (("gone.toml",), "cannot be read"),
        (("--max-rounds", "2"), "--max-rounds goes with -d hybrid"),
        (("--dataset", "no/such/data"), "--dataset goes with one workload"),
        (("-w", "prefill", "--dataset", "no/such/data"), "no/such/data"),
        (("--duration", "5m"), "No such option"),
        (("--goodput", "speed:3"), "there are ttft, ttfo, tpot and latency"),
        (
            (
                *("-d", "hybrid", "--remote-model", "openai/gpt-5.5", "--protocol", "minions"),
                *("--preselect", "2", "--embedding-model", "openai/text-embedding-3"),
            ),
            "would leave this machine",
        ),
    ],
)
def test_wrong_usage_is_told(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    called = call(capsys, "sweep", *arguments)
    assert called.code == 2
    assert complaint in called.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("workloads = 3", "no setting 'workloads'"),
        ("seed = [1, 2]", "one value and no list"),
        ("workload = []", "workload has no level"),
        ("seed = 1.5", "whole number"),
        ("[servers]\nollama = [1]", "[servers] has to be a table"),
        ("= 3", "not TOML"),
        ("resume = 'latest'", "no setting 'resume'"),
    ],
)
def test_a_file_that_says_nothing_sensible_is_told(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    called = call(capsys, "sweep", str(path))
    assert called.code == 2
    assert complaint in called.err


def test_flags_override_a_file(tmp_path: Path) -> None:
    path = sweep_file(tmp_path, {"ollama": "http://127.0.0.1:9"})
    as_it_stands = meant(path)
    assert [one.label for one in as_it_stands.quants if one] == ["Q1_5B", "Q8B"]
    assert as_it_stands.common.num_requests == 2
    other = meant(path, "--quant", "Q3B", "-n", "5")
    assert [one.label for one in other.quants if one] == ["Q3B"]
    assert other.common.num_requests == 5
    assert other.servers == as_it_stands.servers


def test_a_sweep_from_a_file_prints_a_row_per_cell_and_writes_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb")
    with simulated() as servers:
        path = sweep_file(tmp_path, servers)
        monkeypatch.setattr("sys.argv", ["minionbench", "sweep", "some.toml"])
        called = call(capsys, "sweep", path, "-o", str(tmp_path), "--csv", "--parquet")
        dry = call(capsys, "sweep", path, "-o", str(tmp_path), "--dry-run")
    rows = {line.split()[0]: line for line in called.out.splitlines() if "decode." in line}
    assert set(rows) >= CELLS
    assert "Document: " in called.out
    (document,) = [p for p in tmp_path.glob("benchmark_*.json") if "dry run" not in p.read_text()]
    run = BenchmarkRun.load(document)
    assert set(cells_of(run)) == CELLS
    assert run.metadata.command_line == "minionbench sweep some.toml"
    folder = tmp_path / "data" / run.metadata.run_id
    for name in ("cells.csv", "requests.csv", "cells.parquet", "requests.parquet"):
        assert str(folder / name) in called.err
        assert (folder / name).stat().st_size > 0
    assert dry.code == 0
    assert "decode.local.Q8B" in dry.out and run.metadata.run_id in dry.out
    shown = call(capsys, "runs", "show", run.metadata.run_id, "-o", str(tmp_path))
    assert "decode.local.Q8B" in shown.out and "Verdicts:" in shown.out


def test_a_cell_that_fails_is_told_with_the_way_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulated() as servers:
        path = sweep_file(tmp_path, servers)
        called = call(
            capsys,
            *("sweep", path, "-o", str(tmp_path), "--repeats", "1"),
            *("--server", f"ollama={servers['ollama']}", "--server", "openai=http://127.0.0.1:1"),
        )
    assert called.code == 1
    assert "127.0.0.1:1" in called.out
    assert "1 session could not be measured" in called.err
    assert "--resume benchmark_" in called.err


def test_resume_alone_goes_on_by_the_command_that_began(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulated(timing=Fixed(ttft_ms=60)) as servers:
        sweep_file(tmp_path, servers)
        process = start("sweep", "sweep.toml", "-o", "out", cwd=tmp_path)
        assert process.stderr is not None
        for line in process.stderr:
            if "3/6" in line and "repeat" in line:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (entry,) = list_runs(tmp_path / "out")
        assert entry.state == "interrupted"
        before = measured_records(tmp_path / "out", entry.run_id)
        monkeypatch.chdir("/")
        refused = call(capsys, "sweep", "--resume", "-o", str(tmp_path / "out"), "-n", "3")
        assert (refused.code == 2 and "-n" in refused.err) or "--num-requests" in refused.err
        called = call(capsys, "sweep", "--resume", "-o", str(tmp_path / "out"))
    assert "decode.local.Q8B" in called.out, called.err
    records = measured_records(tmp_path / "out", entry.run_id)
    assert records[: len(before)] == before and len(before) >= 4
    assert set(times_measured(records).values()) == {1}
    assert len(records) == 3 * 2 * 2


def test_a_command_with_a_secret_is_not_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulated() as servers:
        servers["openai"] = "http://127.0.0.1:1"
        path = sweep_file(tmp_path, servers)
        secret = "sk-verysecret123456"
        call(
            capsys,
            *("sweep", path, "-o", str(tmp_path), "--repeats", "1"),
            *("--server", f"ollama={servers['ollama']}", "--server", "openai=http://127.0.0.1:1"),
            *("--header", f"Authorization: Bearer {secret}"),
        )
        (entry,) = list_runs(tmp_path)
        assert entry.folder is not None
        kept = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "sweep.toml"]
        assert not [p for p in kept if secret.encode() in p.read_bytes()]
        called = call(capsys, "sweep", "--resume", "-o", str(tmp_path))
    assert called.code == 2
    assert "give the same file and flags again" in called.err


def test_a_data_set_and_an_objective_hold_for_all_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = tmp_path / "own.jsonl"
    items.write_text("".join(f'{{"prompt": "What is {i} + 1?"}}\n' for i in range(4)))
    with simulated() as servers:
        call(
            capsys,
            *("sweep", "-w", "decode", "--dataset", str(items), "-m", "ollama/qwen3"),
            *("--quant", "Q1_5B,Q8B", "--server", f"ollama={servers['ollama']}", "-n", "2"),
            *("--goodput", "ttft:60000", "latency:60000", "--repeats", "1", "--warmup", "0"),
            *("--no-meters", "-o", str(tmp_path)),
        )
    (path,) = tmp_path.glob("benchmark_*.json")
    cells = cells_of(BenchmarkRun.load(path))
    assert len(cells) == 2
    for cell in cells.values():
        assert cell.workload.source.startswith("jsonl@")
        assert cell.metrics["slo_attainment_pct"].value == 100
        objective = cell.metrics["slo_attainment_pct"].metadata["objective"]
        assert objective == {"ttft_s": 60.0, "latency_s": 60.0}
