"""Servers for models of Hugging Face's form: programs in their place, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minionbench.engines import hugging_face
from minionbench.engines.engine import EngineSettings
from minionbench.engines.hugging_face import HuggingFaceEngine, installed_server
from minionbench.errors import DeploymentError, UsageError
from tests.engines import hub
from tests.engines.support import chat, children, eventually, is_gone, texts

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@contextmanager
def serving(
    tmp_path: Path, name: str = "transformers", *, settings: Any = None, **wish: Any
) -> Iterator[tuple[HuggingFaceEngine, Path]]:
    """An engine with the program of that name, and its model's folder."""
    server = installed_server(hub.install(tmp_path / "bin", name))
    assert server is not None and server.name == name
    folder = hub.model(tmp_path / "model", **wish)
    engine = hugging_face.start(
        server, folder, "v1", settings or EngineSettings(), log_folder=tmp_path / "logs"
    )
    try:
        yield engine, folder
    finally:
        engine.stop()


@pytest.mark.parametrize("name", ["vllm", "transformers"])
def test_a_server_is_started_answers_and_ends(tmp_path: Path, name: str) -> None:
    before = children()
    with serving(tmp_path, name) as (engine, folder):
        assert engine.ended() is None
        assert engine.facts.name == name and engine.facts.embedded
        assert engine.facts.context_tokens == 2048
        assert engine.pid is not None and not is_gone(engine.pid)
        closed = engine.endpoint.manners.closing_mark
        events = chat(engine.endpoint, "hello", 3, closed=closed)
        assert texts(events) == ["one", " two", " three"]
        arguments = hub.told(folder, "argv")
        assert arguments[1:5] == ["serve", str(folder), "--host", "127.0.0.1"]
    assert is_gone(engine.pid)
    assert engine.ended() == "The engine was stopped."
    engine.stop()
    assert children() == before


def test_vllm_is_told_the_name_the_context_and_to_keep_no_prompts(tmp_path: Path) -> None:
    with serving(tmp_path, "vllm", settings=EngineSettings(slots=3)) as (engine, folder):
        arguments = hub.told(folder, "argv")
        for wanted in (
            "--served-model-name v1",
            "--max-model-len 2048",
            "--max-num-seqs 3",
            "--no-enable-prefix-caching",
        ):
            assert wanted in " ".join(arguments)
        assert engine.endpoint.model == "v1"
        assert engine.endpoint.manners.min_tokens_field == "min_tokens"


def test_the_key_is_in_no_command_line(tmp_path: Path) -> None:
    with serving(tmp_path, "vllm") as (engine, folder):
        assert engine.endpoint.key is not None
        key = engine.endpoint.key.reveal()
        assert key not in " ".join(hub.told(folder, "argv"))
        assert hub.told(folder, "environment")["VLLM_API_KEY"] == key
        assert engine.pid is not None
        assert key.encode() not in Path(f"/proc/{engine.pid}/cmdline").read_bytes()


def test_the_server_is_offline_and_computes_with_the_threads_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, settings=EngineSettings(threads=1)) as (engine, folder):
        environment = hub.told(folder, "environment")
        assert environment["HF_HUB_OFFLINE"] == "1"
        assert environment["OMP_NUM_THREADS"] == "1"
        assert engine.facts.threads == 1
        assert engine.facts.notes


def test_all_that_a_server_has_started_ends_with_it(tmp_path: Path) -> None:
    with serving(tmp_path, child=True, deaf=True) as (engine, folder):
        worker = int((folder / "child.pid").read_text())
        assert not is_gone(worker)
    assert engine.pid is not None
    assert eventually(lambda: is_gone(worker) and is_gone(engine.pid or 0))


HARNESS = """
import sys, time
from pathlib import Path
from minionbench.engines import hugging_face
from minionbench.engines.engine import EngineSettings
server = hugging_face.installed_server()
folder = Path({folder!r})
engine = hugging_face.start(server, folder, "v1", EngineSettings(), log_folder=Path({logs!r}))
print(engine.pid, flush=True)
time.sleep(60)
"""


def test_nothing_outlives_a_harness_that_is_killed(tmp_path: Path) -> None:
    environment = hub.install(tmp_path / "bin", "transformers")
    folder = hub.model(tmp_path / "model", child=True, deaf=True)
    program = HARNESS.format(folder=str(folder), logs=str(tmp_path / "logs"))
    harness = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert harness.stdout is not None
    server = int(harness.stdout.readline())
    worker = int((folder / "child.pid").read_text())
    assert not is_gone(server) and not is_gone(worker)
    harness.kill()
    harness.communicate()
    assert eventually(lambda: is_gone(server) and is_gone(worker))


def test_a_server_does_not_outlive_its_keeper(tmp_path: Path) -> None:
    before = children()
    with serving(tmp_path) as (engine, _):
        (keeper,) = children() - before
        os.kill(keeper, signal.SIGKILL)
        assert engine.pid is not None
        assert eventually(lambda: is_gone(engine.pid or 0))
        assert engine.ended() is not None


def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    with serving(tmp_path) as (engine, _):
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGSEGV)
        assert eventually(lambda: engine.ended() is not None)
        assert str(engine.ended()).startswith("The engine crashed (SIGSEGV).")


def test_a_server_that_cannot_load_the_model_is_quoted(tmp_path: Path) -> None:
    before = children()
    with pytest.raises(DeploymentError) as caught, serving(tmp_path, crash=True):
        pass
    said = str(caught.value)
    assert "transformers ended by itself with exit code 3" in said
    assert "ValueError: these weights fit no model" in said
    assert children() == before


def test_a_server_that_never_becomes_ready_is_given_up(tmp_path: Path) -> None:
    before = children()
    settings = EngineSettings(start_timeout_s=1.5)
    with (
        pytest.raises(DeploymentError, match=r"did not serve .* within 1.5 s \(HTTP 503"),
        serving(tmp_path, settings=settings, never_ready=True),
    ):
        pass
    assert children() == before


def test_a_first_request_that_is_refused_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(DeploymentError, match="there is no chat template"),
        serving(tmp_path, refuse=True),
    ):
        pass


def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    server = installed_server(hub.install(tmp_path / "bin", "transformers"))
    assert server is not None
    server.executable.write_text("#!/nowhere/python\n")
    folder = hub.model(tmp_path / "model")
    with pytest.raises(DeploymentError, match=r"cannot be started: .*No such file"):
        hugging_face.start(server, folder, "v1", EngineSettings(), log_folder=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "no JSON"), ("[]", "no object"), (None, "cannot be read")],
)
def test_a_configuration_that_cannot_be_read_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    server = installed_server(hub.install(tmp_path / "bin", "transformers"))
    assert server is not None
    folder = hub.model(tmp_path / "model")
    if content is None:
        (folder / "config.json").unlink()
    else:
        (folder / "config.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        hugging_face.start(server, folder, "v1", EngineSettings(), log_folder=tmp_path)


def test_a_context_beyond_the_models_own_is_refused(tmp_path: Path) -> None:
    settings = EngineSettings(context_tokens=4096)
    with pytest.raises(UsageError, match="2,048 at most"), serving(tmp_path, settings=settings):
        pass


def test_vllm_is_preferred_and_none_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing" / "python"))
    environment = hub.install(tmp_path / "bin", "transformers", "vllm")
    found = installed_server({"PATH": str(tmp_path / "bin")})
    assert found is not None and found.name == "vllm"
    assert found.executable == tmp_path / "bin" / "vllm"
    assert environment["PATH"].startswith(str(tmp_path / "bin"))
    assert installed_server({"PATH": str(tmp_path / "nothing")}) is None


def test_the_version_is_that_of_the_package_beside_the_program(tmp_path: Path) -> None:
    server = installed_server(hub.install(tmp_path / "env" / "bin", "transformers"))
    assert server is not None and server.version is None
    packages = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    (packages / "transformers-5.1.0.dist-info").mkdir(parents=True)
    assert server.version == "5.1.0"


def test_what_the_server_lacks_is_what_its_own_python_does_not_find(tmp_path: Path) -> None:
    server = installed_server(hub.install(tmp_path / "bin", "transformers"))
    assert server is not None and server.lacking == ()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    python.chmod(0o755)
    assert server.lacking == hugging_face.NEEDED
    python.write_text("#!/bin/sh\nexit 1\n")
    assert server.lacking == ()
