"""`minionbench simulate` says where it is, serves until Ctrl-C, and leaves cleanly."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from minionbench.cli.simulate import addresses
from minionbench.simulator import Simulator, SimulatorSettings
from minionbench.simulator.log import read_line
from tests.cli.calling import call, start

TIMEOUT_S = 30


@contextmanager
def simulating(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its base URL."""
    process = start("simulate", *arguments)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"listening on (http://\S+:\d+) \(OpenAI: \1/v1; ", line)
        assert found is not None, line
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def ask(url: str, text: str = "hi", **headers: str) -> str:
    body = {"model": "sim", "messages": [{"role": "user", "content": text}]}
    request = Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", **headers},
    )
    with urlopen(request, timeout=TIMEOUT_S) as answer:
        content = json.load(answer)["choices"][0]["message"]["content"]
    return str(content)


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_told_to_stop(tmp_path: Path, way: signal.Signals) -> None:
    log = tmp_path / "log.jsonl"
    arguments = ("--model", "sim", "--answer", "echo", "--ttft-ms", "1", "--log", str(log))
    with simulating(*arguments) as (process, url):
        assert ask(url, "hello") == "hello"
        process.send_signal(way)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (0, "")
    assert read_line(log.read_text()).outcome == "answered"


def test_answers_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text('[{"match": "capital of (\\\\w+)", "answer": "of \\\\1", "expand": true}]')
    with simulating("--answers", str(path), "--any-model") as (_, url):
        assert ask(url, "the capital of France?") == "of France"


@pytest.mark.parametrize(
    ("server", "spoken"),
    [
        ("openai", ["OpenAI"]),
        ("anthropic", ["Anthropic"]),
        ("ollama", ["OpenAI", "Anthropic", "Ollama"]),
    ],
)
def test_it_names_the_protocols_that_it_speaks_and_no_others(
    server: Any, spoken: list[str]
) -> None:
    with Simulator(SimulatorSettings(server=server)) as simulator:
        assert re.findall(r"(\w+): http", addresses(simulator)) == spoken


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "sim,colour=red"), "is no WORD=VALUE"),
        (("--model", "sim,reasoning=perhaps"), "Invalid enum value"),
        (("--fault", "explode"), "There is no fault"),
        (("--fault", "reset@often"), "is no probability"),
        (("--prefill-speed", "100"), "belong together"),
        (("--answers", "no/such/file.json"), "cannot be read"),
    ],
)
def test_wrong_flags_leave_with_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    result = call(capsys, "simulate", *arguments)
    assert result.code == 2
    assert words in result.err
    assert result.out == ""


def test_a_key_that_is_not_there_leaves_with_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    result = call(capsys, "simulate", "--api-key-env", "NO_SUCH_KEY")
    assert result.code == 3
    assert "NO_SUCH_KEY" in result.err


def test_the_faults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "simulate", "--list-faults")
    assert result.code == 0
    assert "missing_end" in result.out
    assert "429 insufficient_quota" in result.out


def test_every_flag_reaches_the_settings() -> None:
    from minionbench.cli.simulate import command, read_settings
    from minionbench.simulator import Speeds

    context = command.make_context(
        "simulate",
        [
            *("--server", "vllm", "--port", "0", "--ipv6", "also", "--slots", "3"),
            *("--model", "a,reasoning=always,default=true,shown=hidden,context=100,output=50"),
            *(
                "--model",
                "b,installed=false,thinking=budget,pace=1.5",
                "--seed",
                "7",
                "--spin-us",
                "0",
            ),
            *("--prefill-speed", "1000", "--decode-speed", "50", "--ttft-ms", "3"),
            *("--noise", "0.1", "--no-cache", "--no-usage", "--requests-per-minute", "9"),
            *("--tokens-per-minute", "8", "--quota-tokens", "7", "--fault", "reset=3@0.5"),
            *("--fault", "empty", "--tokens-per-write", "16", "--tokens-per-event", "2"),
        ],
    )
    settings = read_settings(context.params)
    assert (settings.server, settings.hosts, settings.slots) == ("vllm", ("127.0.0.1", "::1"), 3)
    first, second = settings.models
    assert (first.name, first.reasoning, first.reasons_by_default) == ("a", "always", True)
    assert (first.shown, first.context_tokens, first.max_output_tokens) == ("hidden", 100, 50)
    assert (second.installed, second.thinking) == (False, "budget")
    assert (first.pace, second.pace) == (1.0, 1.5)
    assert settings.timing == Speeds(
        prefill_tokens_per_s=1000, decode_tokens_per_s=50, start_ms=3, noise=0.1
    )
    assert (settings.cache, settings.usage, settings.seed) == (False, False, 7)
    assert settings.limits.requests_per_minute == 9
    assert settings.faults == (("reset=3", 0.5), ("empty", 1.0))
    assert (settings.tokens_per_write, settings.tokens_per_event) == (16, 2)


def test_the_kinds_of_server_are_those_of_the_simulator() -> None:
    from minionbench.cli.simulate import KINDS
    from minionbench.simulator.server_kind import SERVER_KINDS

    assert KINDS == SERVER_KINDS
