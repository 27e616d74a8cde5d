"""Protocols beside each other in 80 columns, and the flags that ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from minionbench.cli.protocol_table import compared, is_compared, lost, p_value, range_of, taken
from minionbench.cli.table import report
from minionbench.errors import UsageError
from minionbench.prices import Price
from minionbench.protocols.chunking import Chunking
from minionbench.protocols.hybrid import Hybrid, Protocols
from minionbench.schema import BenchmarkRun
from tests.cli.calling import call
from tests.cli.test_run import settings

FLAGS = (
    *("--protocols", "local,remote,minion,minions,rag"),
    *("-m", "reference/q8_0", "--remote-model", "reference/q4_0", "--remote-price", "2.5,10"),
    *("--input-tokens", "300", "-n", "1", "--repeats", "1", "--warmup", "0", "--max-rounds", "1"),
    *("--chunk-size", "400", "--preselect", "2", "--retrieve", "2"),
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, BenchmarkRun]:
    """What the command prints, and its document; both sides embedded."""
    from click.testing import CliRunner

    from minionbench.cli.run import command

    folder = tmp_path_factory.mktemp("table")
    done = CliRunner().invoke(command, [*FLAGS, "-o", str(folder)], standalone_mode=False)
    assert done.exception is None
    (path,) = folder.glob("benchmark_*.json")
    return done.stdout, BenchmarkRun.load(path)


def test_one_table_shows_all_protocols(table: tuple[str, BenchmarkRun]) -> None:
    printed, run = table
    assert is_compared(run)
    lines = [click.unstyle(line) for line in printed.splitlines()]
    assert "Protocols over local reference/q8_0, remote reference/q4_0" in lines
    rows = [line.split()[0] for line in lines if line.startswith("  ") and line[2:3].strip()]
    for name in ("local", "remote", "minion", "minions", "rag"):
        assert rows.count(name) == (1 if name == "remote" else 2)
    heads = [line.split() for line in lines if line.startswith("  protocol")]
    assert heads[0][:3] == ["protocol", "right", "%"]
    assert heads[1] == ["protocol", "right", "p", "latency", "p", "saved", "gap", "ratio"]
    assert not [line for line in lines if len(line) > 80 and "Document" not in line]


def test_each_row_comes_from_the_document(table: tuple[str, BenchmarkRun]) -> None:
    _, run = table
    lines = [click.unstyle(line) for line in compared(run, 80)]
    (local,) = [line for line in lines if line.split()[:1] == ["local"]][:1]
    accuracy = run.candidates[0].cells[0].metrics["accuracy_pct"]
    assert f"{accuracy.metadata['right']}/{accuracy.metadata['requests']}" in local
    said = "\n".join(click.unstyle(line) for line in report(run, None, 80))
    assert "Held against remote-only" in said
    for name in ("local", "remote", "minion", "minions", "rag"):
        assert f"\n{name}\n" in said


def test_what_a_hybrid_took_is_said_in_words(table: tuple[str, BenchmarkRun]) -> None:
    _, run = table
    words = " ".join(" ".join(taken(run.candidates[2], 80)).split())
    assert words.startswith("Per request: ")
    assert "remote" in words and "Median time" in words
    assert list(taken(run.candidates[0], 80)) == []


@pytest.mark.parametrize(
    ("about", "shown"),
    [({"p": 0.0001}, "<0.001"), ({"p": 0.034}, "0.034"), ({"p": 1.0}, "1.0"), ({}, "–")],
)
def test_a_p_value_is_never_shown_as_nothing(about: dict[str, Any], shown: str) -> None:
    assert p_value(about) == shown


def test_a_reason_never_steers_the_terminal() -> None:
    """A protocol of one's own may put a model's words into it."""
    assert "\x1b" not in lost({"abstained": {"\x1b[2J gone": 1}})


def test_an_interval_that_crosses_nothing_is_written_out() -> None:
    assert range_of({"interval": {"low": -2.0, "high": 3.0}}) == "-2.00 to 3.00"
    assert range_of({"interval": {"low": 2.0, "high": 3.0}}) == "2.00–3.00"
    assert range_of({"interval": {"low": None, "high": 3.0}}) == ""


def test_hybrid_flags_reach_the_protocol() -> None:
    asked = settings(
        *("-d", "hybrid", "-m", "llama3.2", "--remote-model", "gpt-x", "--protocol", "minions"),
        *("--remote-url", "http://127.0.0.1:9", "--max-rounds", "2", "--samples", "3"),
        *("--chunk-by", "page", "--chunk-size", "500", "--preselect", "7", "--slots", "6"),
        *("--remote-price", "2.5,1.25,10", "--api-key-env", "KEY", "--threads", "2"),
    )
    hybrid = asked.deployment
    assert isinstance(hybrid, Hybrid)
    assert (hybrid.local.model, hybrid.remote.model) == ("llama3.2", "gpt-x")
    assert hybrid.remote.url == "http://127.0.0.1:9"
    told = hybrid.settings
    assert (told["protocol"], told["max_rounds"], told["samples"]) == ("minions", 2, 3)
    assert (told["preselect"], told["chunking"]) == (
        7,
        {"by": "page", "size": 500, "overlap": 0},
    )
    assert asked.remote_price == Price(input_usd=2.5, cached_input_usd=1.25, output_usd=10)
    assert (asked.engine.slots, asked.engine.threads, asked.engine.api_key_env) == (6, 2, None)
    assert asked.remote_engine is not None and asked.remote_engine.api_key_env == "KEY"
    assert [workload.name for workload in asked.workloads] == ["prefill"]


def test_protocols_take_all_by_one_word() -> None:
    asked = settings("--protocols", "all", "-m", "a", "--remote-model", "b", "--chunk-size", "500")
    assert isinstance(asked.deployment, Protocols)
    assert asked.deployment.names == ("local", "remote", "minion", "minions", "rag")
    assert Chunking(size=500) in [getattr(m, "chunking", None) for m in asked.deployment.members]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--protocol", "minion"), "--protocol goes with -d hybrid"),
        (("--chunk-size", "500"), "--chunk-by goes with -d hybrid"),
        (("--protocols", "local", "-d", "local"), "leave out -d local"),
        (("--protocols", "local", "--protocol", "minion"), "give one of the two"),
        (("-d", "hybrid", "--samples", "2"), "no setting samples of minion"),
        (("-d", "local", "--remote-model", "x"), "-d remote or -d hybrid"),
        (("--remote-price", "cheap"), "A price is"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings(*flags)


def test_forced_lengths_are_refused_in_a_hybrid(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = ("-d", "hybrid", "--remote-model", "reference/f16", "--osl", "5", "-o", str(tmp_path))
    done = call(capsys, "run", *flags)
    assert done.code == 2
    assert "--output-tokens" in done.err
