"""Every command of the README's section on deployments runs as it is written, on the simulator."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from minionbench.cli.app import COMMANDS
from minionbench.errors import SetupError
from minionbench.exchange import Secret
from minionbench.schema import BenchmarkRun
from minionbench.simulator import Fixed, SimulatedModel, Simulator, SimulatorSettings
from minionbench.simulator.server_kind import ServerKind
from tests.cli.calling import call
from tests.conftest import ROOT

KEY = "sk-of-nobody-0123456789"
URL_PORT = 8_000
"""The port of the server that the README names by its URL."""
HARNESS = {"start_lag", "lateness", "own_cpu", "first_merged", "merged_reads"}
"""Rules that speak of this machine, which other tests may keep busy."""


class Played(NamedTuple):
    """A backend as the simulator plays it."""

    server: ServerKind
    model: str
    variable: str | None
    """Environment variable that leads there."""
    path: str = ""
    port: int = 0


PLAYED = {
    "-m ollama/": Played("ollama", "qwen3:8b", "OLLAMA_HOST"),
    "-u http": Played("vllm", "Qwen/Qwen3-8B", None, port=URL_PORT),
    "-m openai/": Played("openai", "gpt-5.5", "OPENAI_BASE_URL", "/v1"),
    "-m deepseek/": Played("deepseek", "deepseek-flash", "DEEPSEEK_BASE_URL", "/v1"),
    "-m anthropic/": Played("anthropic", "claude-sonnet-5", "ANTHROPIC_BASE_URL"),
}
"""By how a line of the README names the model."""


def commands(page: str, heading: str, language: str) -> list[str]:
    """The program's lines in the blocks of a section."""
    text = (ROOT / page).read_text("utf-8")
    section = re.search(rf"^{heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section is not None
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", section[1], re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.match(r"([A-Z_]+=\S+ )?minionbench ", line)]


SHOWN = commands("README.md", "## Deployments", "bash")


def played_for(line: str) -> Played | None:
    return next((played for name, played in PLAYED.items() if name in line), None)


@pytest.fixture
def simulated(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulator | None]:
    """What the line that is tested needs, and the environment that leads to it."""
    played = played_for(request.param)
    if played is None:
        yield None
        return
    keyed = played.server in ("openai", "deepseek", "anthropic")
    settings = SimulatorSettings(
        server=played.server,
        port=played.port,
        models=(SimulatedModel(name=played.model),),
        api_key=Secret(KEY) if keyed else None,
        answer_tokens=8,
        reasoning_tokens=6,
        timing=Fixed(ttft_ms=2, itl_ms=0.2),
    )
    with ExitStack() as stack:
        try:
            simulator = stack.enter_context(Simulator(settings))
        except SetupError as error:
            pytest.skip(str(error))
        if keyed:
            monkeypatch.setenv(f"{played.server.upper()}_API_KEY", KEY)
        if played.variable is not None:
            monkeypatch.setenv(played.variable, simulator.base_url + played.path)
        yield simulator


def test_the_section_shows_every_kind_of_deployment() -> None:
    assert len(SHOWN) == 7
    assert {played_for(line) for line in SHOWN} == {None, *PLAYED.values()}
    assert any("--dialect responses" in line for line in SHOWN)


@pytest.mark.parametrize(
    ("line", "simulated"),
    [(line, line) for line in SHOWN],
    indirect=["simulated"],
    ids=[" ".join(shlex.split(line, comments=True)[1:4]) for line in SHOWN],
)
def test_a_command_runs_as_it_is_written(
    line: str,
    simulated: Simulator | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path))
    program, *arguments = shlex.split(line, comments=True)
    assert program == "minionbench"
    called = call(capsys, *arguments)
    assert KEY not in called.out + called.err
    paths = list(tmp_path.glob("benchmarks/runs/benchmark_*.json"))
    if simulated is None:
        assert (called.code, paths) == (0, []), called.err
        return
    (path,) = paths
    run = BenchmarkRun.load(path)
    assert run.metadata.finished
    (candidate,) = run.candidates
    assert len(candidate.cells) == (1 if "-w" in arguments else 3)
    invalid = set()
    for cell in candidate.cells:
        assert cell.metrics["total_latency_s"].metadata["failed"] == 0
        invalid |= {one.rule for one in cell.verdict.reasons if one.severity == "invalid"}
        seen = cell.metrics["ttfo_s"].metadata["reasoning"]
        reasoned = seen["streamed"] + seen["hidden"]
        assert reasoned == (seen["answers"] if "--reasoning" in arguments else 0)
    assert invalid <= HARNESS
    assert called.code == (1 if invalid else 0), called.err
    assert str(path) in "".join(called.out.split("\n"))
    asked = {entry.path for entry in simulated.log() if entry.writes}
    assert ("/v1/responses" in asked) is ("responses" in arguments)


ON_THE_PAGE = [
    line
    for heading in ("## Providers", "## Without anybody else")
    for line in commands("docs/deployments.md", heading, "sh")
]


@pytest.mark.parametrize("line", ON_THE_PAGE)
def test_the_pages_commands_have_the_flags_that_are_shown(line: str) -> None:
    name, *arguments = shlex.split(line.partition("minionbench ")[2], comments=True)
    import_module(COMMANDS[name][0]).command.make_context(name, arguments)
