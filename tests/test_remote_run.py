"""Whole runs of remote models, against a provider on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minionbench import Q3B, Experiment, Local, OpenAI, Prefill, Remote
from minionbench.engines.engine import EngineSettings
from minionbench.errors import UsageError
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult
from minionbench.store import read_records
from tests.cli.calling import call
from tests.remote_provider import KEY, MODEL, Provider, Reasons, remote_provider
from tests.study import Questions


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Provider]:
    with remote_provider() as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))
        yield found


def experiment(**settings: Any) -> Experiment:
    fields: dict[str, Any] = {
        "workload": Questions("balanced"),
        "deployment": Remote(),
        "remote_model": OpenAI(MODEL),
        "num_requests": 6,
        "warmup": 1,
        "repeats": 1,
    }
    return Experiment(**(fields | settings))


def ran(**settings: Any) -> tuple[BenchmarkCandidate, CellResult]:
    (candidate,) = experiment(**settings).run().candidates
    (cell,) = candidate.cells
    return candidate, cell


def rules(cell: CellResult) -> dict[str, str]:
    reasons = (reason for reason in cell.verdict.reasons if reason.severity != "note")
    return {reason.rule: reason.severity for reason in reasons}


def test_the_seeds_example_measures_a_remote_model(provider: Provider) -> None:
    remote = Experiment(
        workload=Prefill(),
        deployment=Remote(),
        remote_model=OpenAI(MODEL),
        reasoning=True,
        num_requests=2,
        repeats=1,
        warmup=0,
    )
    (candidate,) = remote.run().candidates
    factors = candidate.factors
    assert factors is not None
    assert (factors.deployment, factors.model) == ("remote", f"openai/{MODEL}")
    assert factors.remote_model == f"openai/{MODEL}"
    assert factors.reasoning is True
    assert factors.engine == "OpenAI"
    assert factors.flags["dialect"] == "openai"
    assert factors.flags["base_url"] == provider.url
    assert "insecure" not in factors.flags
    assert candidate.latency_ms.status == "ok"
    for metric in (candidate.peak_ram_mb, candidate.peak_vram_mb):
        assert metric.status == "skipped"
        assert "somebody else's machine" in metric.metadata["reason"]
    assert candidate.file_size_mb is None


def test_a_reasoning_model_is_asked_by_its_own_manners(provider: Provider) -> None:
    ran(reasoning=True, reasoning_effort="high", reasoning_budget=500)
    for asked in provider.chats:
        assert asked.body["reasoning_effort"] == "high"
        assert "temperature" not in asked.body
        assert "max_tokens" not in asked.body
        assert asked.body["max_completion_tokens"] > 500
        assert asked.headers["authorization"] == f"Bearer {KEY}"


def test_reasoning_that_was_asked_for_is_proven_by_the_result(provider: Provider) -> None:
    _, cell = ran(reasoning=True)
    assert "reasoning" not in rules(cell)
    assert cell.metrics["ttfo_s"].metadata["reasoning"]["streamed"] == 6
    assert cell.metrics["tokens_per_sec"].metadata["tokens"]["reasoning"] == 12
    ttft_s, ttfo_s = cell.metrics["ttft_s"].value, cell.metrics["ttfo_s"].value
    assert ttft_s is not None and ttfo_s is not None
    assert ttft_s < ttfo_s


def test_reasoning_that_was_switched_off_is_proven_by_the_result(provider: Provider) -> None:
    candidate, cell = ran(reasoning=False)
    assert "reasoning" not in rules(cell)
    assert cell.settings["temperature"] is None, "none was sent"
    assert {asked.body["reasoning_effort"] for asked in provider.chats} == {"none"}
    assert cell.metrics["ttfo_s"].metadata["reasoning"]["streamed"] == 0
    assert candidate.factors is not None and candidate.factors.reasoning is False


@pytest.mark.parametrize(
    ("asked", "does"),
    [(False, "always"), (False, "hidden"), (False, "inline"), (True, "never")],
)
def test_a_model_that_does_not_do_as_it_is_told_is_found_out(
    provider: Provider, asked: bool, does: Reasons
) -> None:
    provider.reasons = does
    _, cell = ran(reasoning=asked)
    assert rules(cell)["reasoning"] == "invalid"
    assert cell.verdict.status == "invalid"


def test_hidden_reasoning_leaves_out_what_cannot_be_known(provider: Provider) -> None:
    provider.reasons = "hidden"
    _, cell = ran(reasoning=True)
    assert "reasoning" not in rules(cell), "the count is proof enough"
    for name in ("ttft_s", "tpot_s", "itl_s", "tokens_per_sec"):
        assert cell.metrics[name].status == "skipped", name
    assert cell.metrics["ttfo_s"].status == "ok"
    assert cell.metrics["ttfo_s"].metadata["reasoning"]["hidden"] == 6


def test_a_thought_inside_the_text_is_pointed_out(provider: Provider) -> None:
    provider.reasons = "inline"
    _, cell = ran(reasoning=True)
    assert rules(cell)["inline_reasoning"] == "suspect"


def test_a_model_left_alone_is_told_nothing(provider: Provider) -> None:
    candidate, cell = ran()
    assert all("reasoning_effort" not in asked.body for asked in provider.chats)
    assert "reasoning" not in rules(cell)
    assert candidate.factors is not None and candidate.factors.reasoning is None


def test_every_prompt_begins_with_words_of_its_own(provider: Provider) -> None:
    ran()
    beginnings = {asked.body["messages"][0]["content"][:20] for asked in provider.chats}
    assert len(beginnings) == len(provider.chats) == 7


def test_a_far_server_by_its_url_is_remote_too(provider: Provider) -> None:
    engine = EngineSettings(api_key_env="OPENAI_API_KEY")
    deployment = Remote(MODEL, url=provider.url)
    candidate, _ = ran(deployment=deployment, remote_model=None, engine=engine)
    assert candidate.factors is not None
    assert (candidate.factors.deployment, candidate.factors.model) == ("remote", MODEL)
    assert candidate.peak_ram_mb.status == "skipped"
    assert "somebody else's machine" in candidate.peak_ram_mb.metadata["reason"]


def test_a_wrong_key_gives_a_document_that_names_the_variable(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-key-altogether")
    (candidate,) = experiment().run().candidates
    message = str(candidate.latency_ms.error_message)
    assert "does not accept the key in OPENAI_API_KEY" in message
    assert "another-key" not in message
    assert not provider.chats


def test_settings_that_contradict_each_other_are_refused(provider: Provider) -> None:
    for settings, words in (
        ({"deployment": Remote("openai/other")}, "Both openai/other and openai/"),
        ({"quant": Q3B()}, "Q3B cannot be chosen for a remote model"),
        ({"deployment": Remote("llama3.2"), "remote_model": None}, "no provider's model"),
        ({"deployment": Remote(), "remote_model": None}, "needs a model"),
        ({"deployment": Local("llama3.2")}, "goes with a remote deployment"),
        (
            {"deployment": Local(f"openai/{MODEL}"), "remote_model": None},
            "somebody else's machine",
        ),
        ({"reasoning": False, "reasoning_effort": "low"}, "neither effort nor budget"),
        ({"reasoning_budget": 0}, "at least 1"),
        ({"max_total_tokens": 0}, "at least 1"),
    ):
        with pytest.raises(UsageError, match=words):
            experiment(**settings).run()
    assert not provider.asked


def test_a_budget_of_tokens_ends_the_run_before_it_is_passed(provider: Provider) -> None:
    run = experiment(max_total_tokens=200).run()
    (cell,) = run.candidates[0].cells
    assert run.metadata.finished is False
    assert rules(cell)["incomplete"] == "suspect"
    assert len(provider.chats) < 7
    assert cell.settings["max_total_tokens"] == 200


# --- the command line


@pytest.mark.parametrize("deployment", [(), ("-d", "remote")])
def test_a_providers_model_is_remote_by_its_name_alone(
    provider: Provider,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    deployment: tuple[str, ...],
) -> None:
    called = call(
        capsys,
        *("run", "-m", f"openai/{MODEL}", *deployment, "-w", "decode", "-n", "2"),
        *("--repeats", "1", "--warmup", "0", "--no-reasoning", "-o", str(tmp_path)),
    )
    (path,) = tmp_path.glob("benchmark_*.json")
    factors = BenchmarkRun.load(path).candidates[0].factors
    assert factors is not None and factors.deployment == "remote", called.err
    assert len(provider.chats) == 2


def test_nothing_leaves_the_machine_for_a_local_deployment(
    provider: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    called = call(capsys, "run", "-d", "local", "-m", f"openai/{MODEL}", "-o", str(tmp_path))
    assert called.code == 2
    assert "somebody else's machine" in called.err
    assert not provider.asked


def test_a_key_itself_is_refused_and_repeated_nowhere(
    provider: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for flag in ("--key-from", "--api-key-env"):
        called = call(capsys, "run", "-m", f"openai/{MODEL}", flag, KEY, "-o", str(tmp_path))
        assert called.code == 2
        assert KEY not in called.out + called.err
    assert not list(tmp_path.iterdir())
    assert not provider.asked


@pytest.mark.parametrize(
    "flags",
    [
        ("-m", f"openai/{KEY}"),
        ("-m", KEY),
        ("-m", f"{KEY}/gpt"),
        ("-d", "remote", "--remote-model", f"openai/{KEY}"),
        ("-u", "http://127.0.0.1:9/v1", "-m", KEY),
        ("-d", "remote", "-u", "http://127.0.0.1:9/v1", "-m", KEY),
        ("-d", "hybrid", "-m", "reference/q8_0", "--remote-model", KEY),
        ("-d", "hybrid", "-m", KEY, "--remote-model", "openai/gpt-5.5"),
        ("-m", "openai/AN-ODD-KEY-OF-1234"),
    ],
)
def test_a_key_in_the_place_of_a_models_name_is_repeated_nowhere(
    provider: Provider,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
) -> None:
    odd = "AN-ODD-KEY-OF-1234"
    monkeypatch.setenv("ANTHROPIC_API_KEY", odd)
    called = call(capsys, "run", *flags, "-w", "prefill", "-o", str(tmp_path / "out"))
    assert called.code == 2
    assert "looks like a key" in called.err
    assert KEY not in called.out + called.err and odd not in called.out + called.err
    assert not (tmp_path / "out").exists()
    assert not provider.asked


def test_two_names_of_which_one_is_a_key_are_not_repeated(provider: Provider) -> None:
    with pytest.raises(UsageError) as caught:
        experiment(deployment=Remote("openai/gpt-5.5"), remote_model=OpenAI(KEY)).run()
    assert KEY not in str(caught.value)


def test_a_remote_models_price_on_the_command_line_gives_what_its_requests_cost(
    provider: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    called = call(
        capsys,
        *("run", "-d", "remote", "-m", f"openai/{MODEL}", "-w", "decode", "-n", "3"),
        *("--repeats", "2", "--warmup", "1", "--no-reasoning", "--remote-price", "2.5,1,10"),
        *("-o", str(tmp_path)),
    )
    (path,) = tmp_path.glob("benchmark_*.json")
    (candidate,) = BenchmarkRun.load(path).candidates
    (cell,) = candidate.cells
    cost = cell.metrics["cost_usd"]
    # Of each request the provider counts 30 tokens in and 2 out.
    assert cost.value == pytest.approx((30 * 2.5 + 2 * 10) / 1e6), called.err
    assert cost.metadata["n"] == 3
    price = {"input_usd": 2.5, "cached_input_usd": 1, "output_usd": 10}
    assert cost.metadata["unit_prices_usd_per_million"] == [{"calls": 6, **price}]
    tokens = cell.settings["account"]["tokens"]["remote"]
    assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == (30, 2)


# --- the key is nowhere

CRASHING = """
import sys
from minionbench import Experiment, OpenAI, Prefill, Remote
from minionbench.measuring import Silent

class Crashing(Silent):
    def record(self, record):
        if record.index == 1:
            raise RuntimeError(f"a bug, with what it had: {record!r}")

Experiment(
    Prefill(), Remote(), remote_model=OpenAI("gpt-5.5"), num_requests=3, repeats=1, warmup=0,
    output_dir=sys.argv[1],
).run(Crashing())
"""


def files_with(text: str, *folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files, "nothing was written, so nothing was looked through"
    return [path for path in files if text.encode() in path.read_bytes()]


@pytest.mark.parametrize("way", ["env", "file"])
def test_the_key_is_nowhere_in_what_a_run_writes_or_says(
    provider: Provider, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["-m", f"openai/{MODEL}", "-w", "decode", "-n", "3", "--repeats", "1"]
    if way == "file":
        monkeypatch.delenv("OPENAI_API_KEY")
        held = tmp_path / "held"
        held.mkdir()
        (held / "key").write_text(KEY)
        arguments += ["--key-from", f"file:{held / 'key'}"]
    out = tmp_path / "out"
    arguments += ["--header", f"X-Extra: {KEY}", "-o", str(out)]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "minionbench", "run", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    assert len(provider.chats) == 5, done.stderr
    assert all(asked.headers["authorization"] == f"Bearer {KEY}" for asked in provider.chats)
    assert files_with(KEY, out, tmp_path / "state") == []
    assert KEY not in done.stdout + done.stderr


def test_the_key_is_nowhere_when_a_server_quotes_it(provider: Provider, tmp_path: Path) -> None:
    provider.refusal = (401, f"Incorrect API key provided: {KEY}. Or was it Bearer {KEY}?")
    run = experiment(output_dir=tmp_path).run()
    assert provider.chats
    assert "Incorrect API key" in str(run.candidates[0].latency_ms.error_message)
    assert files_with(KEY, tmp_path) == []


def test_the_key_is_nowhere_when_a_server_by_its_url_quotes_it(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = f"{KEY}-of-another"
    monkeypatch.setenv("WRONG_KEY", wrong)
    run = experiment(
        deployment=Remote(MODEL, url=provider.url),
        remote_model=None,
        engine=EngineSettings(api_key_env="WRONG_KEY"),
        output_dir=tmp_path,
    ).run()
    message = str(run.candidates[0].latency_ms.error_message)
    assert "WRONG_KEY" in message and "Incorrect API key" in message
    assert provider.asked
    assert files_with(wrong, tmp_path) == []


def test_the_key_is_nowhere_when_the_program_crashes(provider: Provider, tmp_path: Path) -> None:
    provider.refusal = (500, f"broken while reading {KEY}")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", CRASHING, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert provider.chats
    assert KEY not in done.stdout + done.stderr
    assert files_with(KEY, tmp_path / "out") == []


def test_the_records_of_a_remote_run_say_on_which_side_they_were_made(
    provider: Provider,
) -> None:
    remote = experiment()
    run = remote.run()
    assert remote.path is not None
    records = read_records(remote.path, run.candidates[0].cells[0])
    assert {call.side for record in records for call in record.calls} == {"remote"}
