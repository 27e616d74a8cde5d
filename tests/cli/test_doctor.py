from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from minionbench.cli import doctor
from minionbench.meters.power.meter import PowerSettings
from tests.cli.calling import call
from tests.engines import hub
from tests.engines.servers import Ollama, Routes, listing, server, shown
from tests.engines.support import http_server
from tests.meters import nvml
from tests.power_curve import Curve, Powercap


def look(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """What the doctor finds, by name."""
    result = call(capsys, "doctor", "--format", "json")
    return {finding["name"]: finding for finding in json.loads(result.out)}


def test_a_machine_that_runs_the_tests_has_all_that_is_needed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = call(capsys, "doctor")
    assert result.code == 0
    assert "MISSING" not in result.out
    assert "embedded engine" in result.out


def test_arrival_stamps_are_really_tried() -> None:
    stamped, reads = doctor.stamped_reads()
    assert reads == 5
    assert stamped == (5 if sys.platform == "linux" else 0)


def test_keys_are_never_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    result = call(capsys, "doctor", "--format", "json")
    assert "sk-secret-value" not in result.out + result.err
    found = look(capsys)
    assert found["openai"]["found"] == "OPENAI_API_KEY is set; https://api.openai.com/v1"
    assert found["anthropic"]["found"].startswith("ANTHROPIC_API_KEY is not set; ")
    assert "--key-from" in found["deepseek"]["advice"]


def test_where_a_provider_would_be_asked_is_told_without_a_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:hunter2@127.0.0.1:1/v1")
    found = look(capsys)["openai"]["found"]
    assert "127.0.0.1:1/v1" in found
    assert "hunter2" not in found


def test_a_table_of_providers_that_is_none_is_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("[openai]\ntitle = 3\n")
    monkeypatch.setenv("MINIONBENCH_PROVIDERS", str(tmp_path / "mine.toml"))
    found = look(capsys)["table"]
    assert found["state"] == "note"
    assert "mine.toml: the provider openai is not described right" in found["found"]


PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_proxies_in_force_are_told_without_their_passwords(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look(capsys)["proxy"]["found"] == "none: servers elsewhere are reached directly"
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example,10.0.0.0/8,http://you:hunter3@odd.example")
    result = call(capsys, "doctor", "--format", "json")
    found = {finding["name"]: finding for finding in json.loads(result.out)}
    assert found["for https://"]["found"] == "http://…@proxy.example:3128, by HTTPS_PROXY"
    assert "for http://" not in found
    direct = found["without a proxy"]["found"]
    assert direct.startswith("this machine, and what NO_PROXY names: intranet.example,10.0.0.0/8")
    assert not any(word in result.out + result.err for word in ("hunter2", "hunter3", "me:"))
    monkeypatch.setenv("all_proxy", "http://other.example:1")
    monkeypatch.delenv("NO_PROXY")
    found = look(capsys)
    assert found["for http://"]["found"] == "http://other.example:1, by all_proxy"
    assert found["without a proxy"]["found"] == "this machine"


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_that_cannot_be_spoken_to_is_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hunter2@proxy.example:1080")
    result = call(capsys, "doctor", "--format", "json")
    found = {finding["name"]: finding for finding in json.loads(result.out)}
    for scheme in ("http", "https"):
        assert found[f"for {scheme}://"]["state"] == "note"
        assert "SOCKS" in found[f"for {scheme}://"]["found"]
    assert "hunter2" not in result.out + result.err


def test_a_folder_that_cannot_be_written_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "file"))
    result = call(capsys, "doctor")
    assert result.code == 1
    assert "--output-dir" in result.out
    assert look(capsys)["folder of runs"]["state"] == "missing"


def test_an_engine_that_cannot_be_loaded_is_missing_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package of that name, found first, that fails as one without its library does."""
    (tmp_path / "xllamacpp.py").write_text(
        "raise ImportError('libgomp.so.1: cannot open shared object file')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = look(capsys)["embedded engine"]
    assert engine["state"] == "missing"
    assert engine["advice"] == "apt-get install -y libgomp1"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_an_engine_that_crashes_does_not_take_the_doctor_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "xllamacpp.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = look(capsys)["embedded engine"]
    assert (engine["state"], engine["found"]) == (
        "missing",
        "xllamacpp died with SIGILL when loaded",
    )


def test_tools_are_looked_for_on_the_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look(capsys)
    assert found["nvidia-smi"]["found"] == str(tool)
    assert found["gcc"]["state"] == "note"
    assert "apt-get install" in found["gcc"]["advice"]


def test_an_ollama_server_is_found_where_the_environment_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ollama = Ollama(**{"llama3.2:3b": shown(), "qwen3:8b": shown()})
    with ollama.running() as environment:
        monkeypatch.setenv("OLLAMA_HOST", environment["OLLAMA_HOST"])
        found = look(capsys)
    assert found["Ollama"]["found"] == f"0.30.1 at {environment['OLLAMA_HOST']}"
    models = "llama3.2:3b (1,907 MB), qwen3:8b (1,907 MB)"
    assert found["Ollama's models"]["found"] == models
    with Ollama().running() as environment:
        monkeypatch.setenv("OLLAMA_HOST", environment["OLLAMA_HOST"])
        assert "ollama pull" in look(capsys)["Ollama's models"]["advice"]
    with http_server({"/api/version": (200, b"<html>")}) as (url, _):
        monkeypatch.setitem(os.environ, "OLLAMA_HOST", url)
        assert look(capsys)["Ollama"]["state"] == "note"


def test_a_server_that_is_named_is_looked_at_without_a_prompt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    routes: Routes = {
        "GET /v1/models": listing("m", owned_by="sglang"),
        "GET /server_info": (200, {"version": "0.5.1"}),
        "GET /metrics": (200, b"sglang:token_usage 0\n"),
    }
    with server(routes) as (url, asked):
        result = call(capsys, "doctor", "--url", url, "--format", "json")
    assert result.code == 0
    found = {one["name"]: one for one in json.loads(result.out) if url in one["group"]}
    assert found["answers"]["found"] == f"SGLang 0.5.1, at {url}/v1"
    assert found["models"]["found"] == "m"
    assert found["prefix cache"]["found"].startswith("kept cold by a unique beginning")
    assert found["metrics"]["state"] == "ok"
    assert all(one.what.startswith("GET") for one in asked)


def test_a_server_that_says_little_is_a_note_and_one_that_is_not_there_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with server({"GET /v1/models": listing()}) as (url, _):
        result = call(capsys, "doctor", "--url", url)
        assert result.code == 0
    assert "a server with OpenAI's API, at" in result.out
    assert "have it load one" in result.out
    result = call(capsys, "doctor", "--url", url)
    assert result.code == 1
    assert "nothing listens there" in result.out


def test_a_server_that_wants_a_key_is_not_to_be_started(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = (401, {"error": {"message": "no key"}})
    routes: Routes = dict.fromkeys(("GET /v1/models", "GET /models", "GET /api/version"), wanted)
    with server(routes) as (url, _):
        monkeypatch.setitem(os.environ, "OLLAMA_HOST", url)
        result = call(capsys, "doctor", "--url", url, "--format", "json")
    assert result.code == 1
    found = {one["name"]: f"{one['found']} {one['advice']}" for one in json.loads(result.out)}
    for name in ("answers", "Ollama"):
        assert "--api-key-env" in found[name]
        assert "start" not in found[name]


def test_the_gpus_are_those_that_the_driver_lists(tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (tmp_path / "said").write_text(f"gpu Big {80 * 2**30}\ngpu Small {8 * 2**30}\n")
    look = "from minionbench.cli.doctor import gpu_memory; print(json.dumps(gpu_memory('')))"
    program = f"import json; {look}"
    environment = nvml.environment(nvml.build(library), tmp_path / "said")
    _, name, state, found, advice = nvml.run(program, environment)
    assert (name, state, advice) == ("GPU memory", "ok", None)
    assert found == "Big with 81,920 MB, Small with 8,192 MB; driver 999.1"
    (tmp_path / "said").write_text("init 9\n")
    assert nvml.run(program, environment)[2:4] == [
        "note",
        "not read: the NVIDIA driver refused: Driver Not Loaded",
    ]
    without = "import sys; sys.modules['pynvml'] = None; " + program
    assert nvml.run(without, environment)[4] == "pip install nvidia-ml-py"


def test_a_server_for_safetensors_is_looked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor.hugging_face_server()
    assert found.state == "note" and "pip install vllm" in str(found.advice)
    hub.install(tmp_path, "transformers")
    found = doctor.hugging_face_server()
    assert (found.state, found.found) == ("ok", f"transformers at {tmp_path / 'transformers'}")
    (tmp_path / "python").write_text("#!/bin/sh\necho torch\n")
    (tmp_path / "python").chmod(0o755)
    assert doctor.hugging_face_server().advice == "install torch beside it"


def test_each_meter_is_there_or_says_what_it_lacks(tmp_path: Path) -> None:
    tree = Powercap(tmp_path / "powercap")
    tree.zone("intel-rapl:0", "package-0", Curve([10.0]))
    wanted = PowerSettings(powercap=tree.root, hwmon=tmp_path / "none", drm=tmp_path / "none")
    found = {finding.name: finding for finding in doctor.power_meters(wanted)}
    assert found["RAPL"].state == "ok"
    assert found["RAPL"].found == "measured, 1 µJ, about every 1 ms (package-0)"
    assert found["AMD GPU"].state == "note"
    (tree.root / "intel-rapl:0" / "energy_uj").unlink()
    gone = {finding.name: finding for finding in doctor.power_meters(wanted)}
    assert gone["RAPL"].state == "note"
    assert "cannot be read" in gone["RAPL"].found
    if "energy" in gone:  # no other meter is on the machine that runs this
        assert "--meter-command" in str(gone["energy"].advice)


def test_a_meter_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    tree = Powercap(tmp_path / "powercap")
    tree.zone("intel-rapl:0", "package-0", Curve([10.0]))
    wanted = PowerSettings(command=str(tmp_path / "none"), powercap=tree.root)
    found = {finding.name: finding.state for finding in doctor.power_meters(wanted)}
    assert (found["at the wall"], found["RAPL"]) == ("missing", "ok")


def test_a_meter_that_is_named_is_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = call(capsys, "doctor", "--meter-command", str(tmp_path / "none"), "--format", "json")
    assert done.code == 1
    (wall,) = [row for row in json.loads(done.out) if row["name"] == "at the wall"]
    assert wall["state"] == "missing"
    assert "cannot be started" in wall["found"]
