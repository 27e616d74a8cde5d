"""The embedded engine for real, with a model of random weights."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from minionbench.engines import llamacpp, placement
from minionbench.engines.engine import EngineSettings
from minionbench.engines.llamacpp import (
    LlamaCppEngine,
    installed_version,
    start,
    version_of,
)
from minionbench.engines.probe import ask
from minionbench.errors import DeploymentError, UsageError
from minionbench.exchange import Endpoint
from minionbench.transport.http import Url
from tests.engines.support import (
    PATIENCE_S,
    chat,
    children,
    eventually,
    is_gone,
    post,
    state_of,
    texts,
)
from training.gguf_file import write_random_gguf

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

StartEngine = Callable[..., LlamaCppEngine]


def pid_of(engine: LlamaCppEngine) -> int:
    assert engine.pid is not None
    return engine.pid


# What it is


def test_the_facts_say_how_the_engine_runs(engine: LlamaCppEngine, model_file: Path) -> None:
    facts = engine.facts
    package = version("xllamacpp")
    assert engine.name == facts.name == "xllamacpp"
    assert engine.version == f"{package} (llama.cpp b{package.split('.')[-1]})"
    assert facts.embedded
    assert facts.model == engine.endpoint.model == "random"
    assert facts.model_path == str(model_file)
    assert facts.model_file is not None
    assert facts.model_file.quantization == "F16"
    assert (facts.slots, facts.gpu_layers, facts.cache_prompt) == (1, None, False)
    assert facts.load_s is not None and facts.start_s is not None
    assert 0 < facts.load_s < facts.start_s
    assert facts.devices
    assert facts.notes == ()


def test_the_build_is_the_last_part_of_the_packages_version() -> None:
    assert version_of("2026.10.11549") == "2026.10.11549 (llama.cpp b11549)"
    assert version_of("local") == "local"


def test_threads_are_one_less_than_the_cores_unless_told(
    engine: LlamaCppEngine, start_engine: StartEngine
) -> None:
    cores = placement.usable_cpus()
    assert engine.facts.threads == placement.default_threads(cores, placement.cpu_quota())
    assert start_engine(threads=2).facts.threads == 2


def test_the_engine_answers_under_its_model_name_without_telling_the_path(
    engine: LlamaCppEngine, model_file: Path
) -> None:
    events = chat(engine.endpoint, "hello")
    assert {event["model"] for event in events} == {"random"}
    assert str(model_file.parent) not in json.dumps(events)


# What it promises of answers


def test_the_last_event_has_usage_and_the_engines_own_timings(engine: LlamaCppEngine) -> None:
    last = chat(engine.endpoint, "hello there", 5)[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == last["timings"]["predicted_n"] == 5
    assert last["timings"]["prompt_ms"] > 0


def test_without_usage_the_timings_come_with_the_finish(engine: LlamaCppEngine) -> None:
    last = chat(engine.endpoint, "hello", 3, stream_options=None)[-1]
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["timings"]["predicted_n"] == 3


def test_a_prompt_sent_again_finds_nothing_in_the_cache(engine: LlamaCppEngine) -> None:
    assert engine.endpoint.extra_body == {"cache_prompt": False}
    for _ in range(2):
        last = chat(engine.endpoint, "the same long prompt " * 20)[-1]
        assert last["timings"]["cache_n"] == 0
        assert last["timings"]["prompt_n"] == last["usage"]["prompt_tokens"]


def test_a_warm_cache_is_had_by_asking_for_it(start_engine: StartEngine) -> None:
    engine = start_engine(cache_prompt=True)
    first, second = (chat(engine.endpoint, "the same long prompt " * 20)[-1] for _ in range(2))
    # The first shares only the template's opening with the warm-up.
    assert first["timings"]["cache_n"] < 5 < second["timings"]["cache_n"]
    assert engine.facts.cache_prompt


def test_the_first_event_has_a_role_and_no_text(engine: LlamaCppEngine) -> None:
    first, second = chat(engine.endpoint, "hello")[:2]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert second["choices"][0]["delta"]["content"]


def test_tokens_that_are_half_a_character_are_counted_though_no_event_shows_them(
    engine: LlamaCppEngine,
) -> None:
    root = Endpoint(engine.endpoint.base_url.removesuffix("/v1"), "random", key=engine.endpoint.key)
    status, answer = post(root, {"content": "é", "add_special": False}, path="/tokenize")
    assert status == 200
    first_half, second_half = json.loads(answer)["tokens"]
    assert first_half != second_half
    events = chat(engine.endpoint, "hello", 6, logit_bias=[[first_half, 1000.0]])
    assert events[-1]["usage"]["completion_tokens"] == 6
    assert len(texts(events)) < 6


def test_a_schema_is_kept_even_by_a_model_that_knows_nothing(engine: LlamaCppEngine) -> None:
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    format_ = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    events = chat(engine.endpoint, "yes or no?", 200, response_format=format_)
    assert isinstance(json.loads("".join(texts(events)))["yes"], bool)


def test_the_server_closes_a_connection_after_a_streamed_answer_that_it_said_it_would_keep(
    engine: LlamaCppEngine,
) -> None:
    url, key = Url(engine.endpoint.base_url), engine.endpoint.key
    assert key is not None
    body = json.dumps({"messages": [], "stream": True, "max_tokens": 1}).replace(
        "[]", '[{"role": "user", "content": "hi"}]'
    )
    with socket.create_connection((url.host, url.port), PATIENCE_S) as connection:
        connection.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {url.authority}\r\n"
            f"Authorization: Bearer {key.reveal()}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b"keep-alive" in head.lower()
    assert rest.endswith(b"0\r\n\r\n")


# Context and slots


@pytest.mark.parametrize("slots", [1, 2])
def test_the_context_asked_for_is_each_slots_own(start_engine: StartEngine, slots: int) -> None:
    engine = start_engine(context_tokens=512, slots=slots)
    assert engine.facts.context_tokens == 512
    assert engine.endpoint.slots == engine.facts.slots == slots
    status, answer = post(
        engine.endpoint,
        {"messages": [{"role": "user", "content": "9 " * 600}], "max_tokens": 1},
    )
    assert status == 400
    assert json.loads(answer)["error"]["n_ctx"] == 512


def test_by_default_the_context_is_the_models_own(engine: LlamaCppEngine) -> None:
    assert engine.facts.context_tokens == 4096


def test_of_a_long_context_no_more_than_8192_is_taken_by_default(
    start_engine: StartEngine, tmp_path: Path
) -> None:
    path = tmp_path / "long.gguf"
    write_random_gguf(path, context=100_000)
    assert start_engine(path).facts.context_tokens == 8192
    assert start_engine(path, context_tokens=9216).facts.context_tokens == 9216


def test_more_context_than_the_model_has_is_refused(start_engine: StartEngine) -> None:
    with pytest.raises(UsageError, match=r"5,000 tokens was asked for, .* made for 4,096"):
        start_engine(context_tokens=5000)


# What is noted


def test_settings_that_do_not_do_what_they_say_are_noted(start_engine: StartEngine) -> None:
    cores = len(placement.usable_cpus())
    notes = start_engine(threads=max(2, cores), gpu_layers=1).facts.notes
    assert any("There is no GPU" in note for note in notes)
    assert cores == 1 or any(f"threads on {cores} cores" in note for note in notes)


def test_a_body_of_the_users_own_comes_last_and_the_facts_know_it(
    start_engine: StartEngine,
) -> None:
    engine = start_engine(extra_body={"cache_prompt": True, "top_k": 1})
    assert engine.endpoint.extra_body == {"cache_prompt": True, "top_k": 1}
    assert engine.facts.cache_prompt


# Pinning


def allowed_cpus(pid: int) -> list[set[int]]:
    """The cores that each thread of a process may run on."""
    return [os.sched_getaffinity(int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()]


def test_every_thread_of_the_engine_stays_off_the_harness_core(engine: LlamaCppEngine) -> None:
    cpus = placement.usable_cpus()
    expected = set(cpus[1:] or cpus)
    assert set(engine.facts.engine_cpus or ()) == expected
    assert set(engine.facts.free_cpus or ()) == set(cpus) - expected
    threads = allowed_cpus(pid_of(engine))
    assert len(threads) > 1
    assert all(allowed == expected for allowed in threads)


def test_without_pinning_the_engine_may_run_anywhere(start_engine: StartEngine) -> None:
    engine = start_engine(pin=False)
    assert engine.facts.engine_cpus is None
    assert engine.facts.free_cpus is None
    everywhere = set(placement.usable_cpus())
    assert all(allowed == everywhere for allowed in allowed_cpus(pid_of(engine)))


def test_the_harness_keeps_the_cores_it_had(start_engine: StartEngine) -> None:
    before = os.sched_getaffinity(0)
    start_engine().stop()
    assert os.sched_getaffinity(0) == before


# The key


def test_without_the_key_nothing_is_answered(engine: LlamaCppEngine) -> None:
    naked = Endpoint(engine.endpoint.base_url, "random")
    status, _ = post(naked, {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1})
    assert status == 401
    assert ask(Url(engine.endpoint.base_url), "/models", timeout_s=PATIENCE_S).status == 401


def test_the_key_is_in_no_log_command_line_environment_or_text(
    start_engine: StartEngine,
) -> None:
    engine = start_engine()
    post(Endpoint(engine.endpoint.base_url, "random"), {"messages": []})  # refused, and logged
    key, log_path = engine.endpoint.key, engine.log_path
    assert key is not None and log_path is not None
    process = Path(f"/proc/{engine.pid}")
    places = [log_path, process / "cmdline", process / "environ"]
    assert "Invalid API Key" in log_path.read_text()
    for place in places:
        assert key.reveal().encode() not in place.read_bytes(), place
    assert key.reveal() not in f"{engine.facts} {engine.endpoint!r} {vars(engine)}"


def test_each_engine_has_a_port_and_a_key_of_its_own(start_engine: StartEngine) -> None:
    engines = [start_engine() for _ in range(3)]
    assert len({engine.endpoint.base_url for engine in engines}) == 3
    assert len({e.endpoint.key.reveal() for e in engines if e.endpoint.key is not None}) == 3
    assert all(chat(engine.endpoint, "hello") for engine in engines)


def test_only_loopback_is_listened_on(engine: LlamaCppEngine) -> None:
    listening = "0A"
    sockets = {
        os.readlink(entry).removeprefix("socket:[").removesuffix("]")
        for entry in Path(f"/proc/{engine.pid}/fd").iterdir()
    }
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{engine.pid}/net/{table}").read_text().splitlines()[1:]
    ]
    addresses = {row[1] for row in rows if row[3] == listening and row[9] in sockets}
    assert {address.partition(":")[0] for address in addresses} == {"0100007F"}


# The log


def test_requests_leave_nothing_in_the_log(start_engine: StartEngine) -> None:
    engine = start_engine()
    assert engine.log_path is not None
    before = engine.log_path.read_bytes()
    for _ in range(5):
        chat(engine.endpoint, "hello")
    assert engine.log_path.read_bytes() == before


def test_a_second_engine_does_not_write_over_the_first_ones_log(
    start_engine: StartEngine,
) -> None:
    names = [start_engine().log_path for _ in range(2)]
    assert [path.name for path in names if path] == ["engine.log", "engine-2.log"]


def test_a_log_folder_that_cannot_be_made_is_told(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeploymentError, match="log cannot be written"):
        start(model_file, "random", EngineSettings(), log_folder=tmp_path / "file")


# Files that are no model


def refusal(path: Path, tmp_path: Path) -> str:
    before = children()
    with pytest.raises(DeploymentError) as caught:
        start(path, "random", EngineSettings(), log_folder=tmp_path / "log")
    assert children() == before
    return str(caught.value)


def test_a_cut_file_is_told_with_the_engines_own_last_words(
    model_file: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model_file.read_bytes()[:-1000])
    message = refusal(cut, tmp_path)
    assert re.search(r"so 1,000 \(0\.4 %\) are missing\. Download it again", message)
    assert "data is not within the file bounds" in message
    assert str(tmp_path / "log" / "engine.log") in message


def test_a_file_of_another_kind_is_told_with_the_engines_own_last_words(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_text("hello")
    message = refusal(other, tmp_path)
    assert "is not a GGUF file" in message
    assert "invalid magic characters: 'hell'" in message


def test_a_file_that_only_the_engine_finds_wrong_is_told_in_its_words(
    model_file: Path, tmp_path: Path
) -> None:
    strange = tmp_path / "strange.gguf"
    content = model_file.read_bytes()
    assert content.count(b"blk.1.attn_q.weight") == 1
    strange.write_bytes(content.replace(b"blk.1.attn_q.weight", b"blk.1.attn_x.weight"))
    message = refusal(strange, tmp_path)
    assert f"cannot load {strange}" in message
    assert "tensor 'blk.1.attn_q.weight' not found" in message


def test_a_name_that_is_no_text_is_told(model_file: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"m\xff.gguf")
    odd.write_bytes(model_file.read_bytes())
    with pytest.raises(UsageError, match=r"'.*m\\udcff\.gguf' is not valid UTF-8; rename the file"):
        start(odd, "m", EngineSettings(), log_folder=tmp_path / "log")


def test_a_model_file_may_have_any_other_name(model_file: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'ü, "b" {c}\n.gguf'
    odd.write_bytes(model_file.read_bytes())
    engine = start(odd, odd.stem, EngineSettings(), log_folder=tmp_path / "log")
    try:
        assert chat(engine.endpoint, "hello")[0]["model"] == odd.stem
    finally:
        engine.stop()


def test_a_missing_file_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        start(tmp_path / "none.gguf", "m", EngineSettings(), log_folder=tmp_path / "log")
    assert not (tmp_path / "log").exists()


# A system that lacks something: real processes, and an engine package that behaves so


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    """Puts a package of the engine's name where the child process finds it first."""
    (folder / "xllamacpp").mkdir(exist_ok=True)
    (folder / "xllamacpp" / "__init__.py").write_text(textwrap.dedent(program))
    others = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{others}" if others else str(folder))


def test_a_missing_openmp_library_is_told_with_the_command_that_helps(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libgomp.so.1").touch()  # the loader finds this first, and cannot load it
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert "`apt-get install libgomp1`" in refusal(model_file, tmp_path)


def test_a_missing_engine_package_is_told_with_the_command_that_helps(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "raise ModuleNotFoundError('No module named xllamacpp', name='xllamacpp')"
    stand_in(monkeypatch, tmp_path, program)
    assert "`pip install xllamacpp`" in refusal(model_file, tmp_path)


def test_whether_the_engine_can_be_loaded_is_told_without_loading_it_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed_version() == version_of(version("xllamacpp"))
    stand_in(monkeypatch, tmp_path, "raise ImportError('libgomp.so.1: no such file')")
    with pytest.raises(DeploymentError, match="`apt-get install libgomp1`"):
        installed_version()
    stand_in(monkeypatch, tmp_path, "import os; os.abort()")
    with pytest.raises(DeploymentError, match=r"The embedded engine crashed \(SIGABRT\)"):
        installed_version()


def test_a_crash_while_loading_is_named_with_what_was_written_before_it(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(
        monkeypatch,
        tmp_path,
        """
        import os, signal
        print("GGML_ASSERT(cats < dogs) failed", flush=True)
        os.kill(os.getpid(), signal.SIGABRT)
        """,
    )
    message = refusal(model_file, tmp_path)
    assert "crashed (SIGABRT)" in message
    assert "GGML_ASSERT(cats < dogs) failed" in message


SERVER = """
import http.server, threading, types

__version__ = "1.2.3"

def CommonParams():
    return types.SimpleNamespace(**{
        name: types.SimpleNamespace() for name in ("model", "cpuparams", "cpuparams_batch")
    })

def get_device_info():
    return []

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(HEALTH, b'{"error": {"message": "Loading model"}}')
    def do_POST(self):
        CHAT(self)
    def log_message(self, *arguments):
        pass

class Server:
    def __init__(self, params):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{server.server_port}"
"""


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (
            "HEALTH = 503",
            "loaded the model but does not become ready: HTTP 503: Loading model.",
        ),
        (
            """HEALTH = 200
def CHAT(handler): handler.answer(500, b'{"error": {"message": "no template"}}')""",
            "refuses its first request: HTTP 500: no template. The model may not be one for chat.",
        ),
        (
            """HEALTH = 200
def CHAT(handler): import os; os.abort()""",
            "fails at its first request: it crashed (SIGABRT).",
        ),
        (
            """HEALTH = 200
def CHAT(handler): handler.wfile.write(b"what?"); handler.wfile.flush()""",
            "fails at its first request: what answers there is no HTTP server",
        ),
    ],
)
def test_an_engine_that_loads_but_does_not_answer_is_given_up(
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    said: str,
) -> None:
    monkeypatch.setattr(llamacpp, "PROBE_S", 1.0)
    stand_in(monkeypatch, tmp_path, SERVER + behaviour)
    before = children()
    settings = EngineSettings(start_timeout_s=3)
    with pytest.raises(DeploymentError) as caught:
        start(model_file, "m", settings, log_folder=tmp_path / "log")
    assert f"The engine {said}" in str(caught.value)
    assert children() == before


def test_an_engine_that_does_not_become_ready_in_time_is_given_up(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, tmp_path, "import signal; signal.pause()")
    before = children()
    with pytest.raises(DeploymentError, match=r"did not load .* within 0\.2 s"):
        start(model_file, "m", EngineSettings(start_timeout_s=0.2), log_folder=tmp_path / "log")
    assert children() == before


def test_ctrl_c_while_the_engine_starts_leaves_nothing_behind(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The engine itself sends the signal once it is there, so that the start is surely under way.
    program = "import os, signal; os.kill(os.getppid(), signal.SIGINT); signal.pause()"
    stand_in(monkeypatch, tmp_path, program)
    before = children()
    with pytest.raises(KeyboardInterrupt):
        start(model_file, "m", EngineSettings(), log_folder=tmp_path / "log")
    assert children() == before


def test_nothing_in_the_current_folder_is_taken_for_the_engine(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("xllamacpp.py", "minionbench.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('taken from the current folder')")
    monkeypatch.chdir(tmp_path)
    engine = start(model_file, "m", EngineSettings(), log_folder=tmp_path / "log")
    engine.stop()


# Its end


def test_stopping_ends_and_reaps_the_process_and_a_second_stop_does_nothing(
    start_engine: StartEngine,
) -> None:
    engine = start_engine()
    assert engine.ended() is None
    engine.stop()
    assert not Path(f"/proc/{engine.pid}").exists()
    engine.stop()
    assert engine.ended() == "The engine was stopped."


def test_the_engine_is_in_a_session_of_its_own_and_ignores_a_stray_ctrl_c(
    engine: LlamaCppEngine,
) -> None:
    assert os.getsid(pid_of(engine)) == engine.pid
    status = Path(f"/proc/{engine.pid}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    assert ignored >> (signal.SIGINT - 1) & 1


def test_an_engine_that_is_held_up_is_stopped_by_force(start_engine: StartEngine) -> None:
    engine = start_engine()
    os.kill(pid_of(engine), signal.SIGSTOP)
    assert eventually(lambda: state_of(pid_of(engine)) == "T")
    engine.stop()
    assert not Path(f"/proc/{engine.pid}").exists()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGKILL, "was killed (SIGKILL), not by minionbench"),
        (signal.SIGSEGV, "crashed (SIGSEGV)"),
        (signal.SIGILL, "crashed (SIGILL): this processor lacks"),
        (signal.SIGTERM, "was ended by SIGTERM"),
    ],
)
def test_an_engine_that_dies_says_how(
    start_engine: StartEngine, number: signal.Signals, said: str
) -> None:
    engine = start_engine()
    os.kill(pid_of(engine), number)
    assert eventually(lambda: engine.ended() is not None)
    ended = engine.ended()
    assert ended is not None
    assert ended.startswith(f"The engine {said}")
    assert str(engine.log_path) in ended
    engine.stop()
    assert engine.ended() == ended


def test_a_kill_while_the_kernel_kills_for_memory_is_told_as_that(
    start_engine: StartEngine,
) -> None:
    engine = start_engine()
    # As if the kernel had killed something since the start: all that is seen of it is the count.
    assert engine._process._oom_kills is not None
    engine._process._oom_kills -= 1
    os.kill(pid_of(engine), signal.SIGKILL)
    assert eventually(lambda: engine.ended() is not None)
    assert "while the kernel ran out of memory: take a smaller model" in str(engine.ended())


HARNESS = """
import os, signal, sys, threading
from pathlib import Path
from minionbench.engines.engine import EngineSettings
from minionbench.engines.llamacpp import start

def open_engine():
    model, log = map(Path, sys.argv[1:3])
    return start(model, "m", EngineSettings(), log_folder=log)

def say(text):
    print(text, flush=True)
"""


def harness(program: str, model_file: Path, log_folder: Path) -> subprocess.Popen[str]:
    """A process of its own that opens an engine and goes on as `program` says."""
    return subprocess.Popen(
        [sys.executable, "-c", HARNESS + textwrap.dedent(program), model_file, log_folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def line_from(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("case", "program"),
    [
        ("both ways", "engine = open_engine(); say(engine.pid); signal.pause()"),
        (
            # Somebody else holds the pipe open, so only the signal of the parent's death is left.
            "the signal alone",
            """
            import subprocess
            engine = open_engine()
            pipe = os.dup(engine._process._process.stdin.fileno())
            holder = subprocess.Popen(
                [sys.executable, "-c", "import signal; signal.pause()"],
                pass_fds=[pipe], stdout=subprocess.DEVNULL,
            )
            say(f"{engine.pid} {holder.pid}")
            signal.pause()
            """,
        ),
        (
            # Opened in a thread, the signal would come when the thread ends: only the pipe is left.
            "the pipe alone",
            """
            engines = []
            thread = threading.Thread(target=lambda: engines.append(open_engine()))
            thread.start(); thread.join()
            say(engines[0].pid)
            signal.pause()
            """,
        ),
    ],
)
def test_the_engine_dies_with_a_harness_that_is_killed(
    model_file: Path, tmp_path: Path, case: str, program: str
) -> None:
    process = harness(program, model_file, tmp_path)
    with process:
        pid, *others = map(int, line_from(process).split())
        try:
            assert not is_gone(pid), case
            process.kill()
            process.wait(PATIENCE_S)
            assert eventually(lambda: is_gone(pid)), case
        finally:
            for left in [*others, *([] if is_gone(pid) else [pid])]:
                os.kill(left, signal.SIGKILL)


def test_the_engine_dies_with_a_harness_that_is_killed_while_the_model_loads(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    stand_in(monkeypatch, tmp_path, program)
    log = tmp_path / "log" / "engine.log"
    with harness("open_engine()", model_file, log.parent) as process:
        assert eventually(lambda: log.exists() and log.read_text().endswith("\n"))
        pid = int(log.read_text())
        assert not is_gone(pid)
        process.kill()
        process.wait(PATIENCE_S)
        assert eventually(lambda: is_gone(pid))


def test_an_engine_opened_in_a_thread_outlives_the_thread(start_engine: StartEngine) -> None:
    engines: list[LlamaCppEngine] = []
    thread = threading.Thread(target=lambda: engines.append(start_engine()))
    thread.start()
    thread.join()
    assert chat(engines[0].endpoint, "hello")
    assert engines[0].ended() is None


def test_the_engine_dies_with_a_harness_that_ends_without_a_word(
    model_file: Path, tmp_path: Path
) -> None:
    process = harness("say(open_engine().pid); os._exit(0)", model_file, tmp_path)
    with process:
        pid = int(line_from(process))
        assert eventually(lambda: is_gone(pid))


def test_ctrl_c_in_the_terminal_reaches_the_harness_and_not_the_engine(
    model_file: Path, tmp_path: Path
) -> None:
    program = """
        engine = open_engine()
        try:
            say(engine.pid)
            signal.pause()
        except KeyboardInterrupt:
            say("interrupted")
        sys.stdin.readline()
        say(engine.ended())
        engine.stop()
        say(engine.ended())
        """
    process = harness(program, model_file, tmp_path)
    with process:
        assert line_from(process).isdigit()
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does: to the whole group
        assert line_from(process) == "interrupted"
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert line_from(process) == "None"
        assert line_from(process) == "The engine was stopped."
        assert process.wait(PATIENCE_S) == 0


# Limits


def test_an_engine_that_wants_more_memory_than_allowed_fails_and_says_so(
    start_engine: StartEngine,
) -> None:
    before = children()
    with pytest.raises(DeploymentError) as caught:
        start_engine(memory_limit_bytes=30 * 2**20)
    assert "held to 30 MB of memory of its own" in str(caught.value)
    assert children() == before


def test_a_limit_that_is_wide_enough_changes_nothing(start_engine: StartEngine) -> None:
    engine = start_engine(memory_limit_bytes=64 * 2**30)
    assert texts(chat(engine.endpoint, "Hello"))
    os.kill(pid_of(engine), signal.SIGSEGV)
    assert eventually(lambda: engine.ended() is not None)
    assert "held to 65,536 MB" in str(engine.ended())


def test_an_adapter_that_is_not_there_is_named(start_engine: StartEngine, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file .*gone\.gguf"):
        start_engine(adapter=tmp_path / "gone.gguf")
