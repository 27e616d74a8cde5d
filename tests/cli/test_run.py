from __future__ import annotations

import contextlib
import itertools
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minionbench.cli.run import WORKLOADS, command, run_settings
from minionbench.engines.families import Q3B, Quant
from minionbench.exchange import Timeouts
from minionbench.experiment import (
    DEFAULT_REPEATS,
    DEFAULT_REQUESTS,
    DEFAULT_WARMUP,
    RunSettings,
)
from minionbench.schema import BenchmarkRun
from minionbench.store import read_journal
from tests.cli.calling import call, start


def settings(*arguments: str) -> RunSettings:
    """What a command line means."""
    flags = dict(command.make_context("run", list(arguments)).params)
    del flags["form"]
    return run_settings(**flags)


def document(folder: Path) -> BenchmarkRun:
    """The one document in a folder."""
    (path,) = folder.glob("benchmark_*.json")
    return BenchmarkRun.load(path)


def test_no_flags_mean_the_reference_model_over_all_workloads() -> None:
    plain = settings()
    assert tuple(w.name for w in plain.workloads) == WORKLOADS
    assert (plain.deployment.model, plain.deployment.url) == ("reference/q8_0", None)
    counts = (plain.num_requests, plain.repeats, plain.warmup)
    assert counts == (DEFAULT_REQUESTS, DEFAULT_REPEATS, DEFAULT_WARMUP)
    assert plain.engine.timeouts == Timeouts()
    assert plain.reasoning is None
    assert plain.keep_text and not plain.dry_run


def test_each_flag_reaches_its_setting() -> None:
    asked = settings(
        *("-w", "decode,prefill", "--workload", "decode"),
        *("-m", "served-name", "-u", "http://127.0.0.1:9/v1", "--api-key-env", "SOME_KEY"),
        *("--header", "X-Team: a:b", "--extra-body", '{"top_k": 1}'),
        *("-n", "4", "--repeats", "2", "--warmup", "0", "--seed", "7", "-c", "3"),
        *("--input-tokens", "400", "--output-tokens", "9"),
        *("--threads", "1", "--context", "2048", "--gpu-layers", "0"),
        *("--timeout-connect", "1", "--timeout-first-byte", "2", "--timeout-idle", "3"),
        *("--timeout-total", "4", "--timeout-start", "5"),
        *("--no-text", "-o", "some/folder", "--dry-run", "--no-reasoning"),
    )
    assert [w.name for w in asked.workloads] == ["decode", "prefill"]
    (request,) = asked.workloads[1].requests(1, 7)
    assert abs(request.input_tokens - 400) <= 20
    assert request.limits.forced_output_tokens == 9
    assert (asked.deployment.model, asked.deployment.url) == (
        "served-name",
        "http://127.0.0.1:9/v1",
    )
    engine = asked.engine
    assert engine.api_key_env == "SOME_KEY"
    assert engine.headers == (("X-Team", "a:b"),)
    assert engine.extra_body == {"top_k": 1}
    assert (engine.threads, engine.context_tokens, engine.gpu_layers) == (1, 2048, 0)
    assert engine.timeouts == Timeouts(connect_s=1, first_byte_s=2, idle_s=3, total_s=4)
    assert engine.start_timeout_s == 5
    assert (asked.num_requests, asked.repeats, asked.warmup, asked.seed) == (4, 2, 0, 7)
    assert asked.load.concurrency == 3
    assert asked.output_dir == Path("some/folder")
    assert asked.reasoning is False
    assert asked.dry_run and not asked.keep_text


@pytest.mark.parametrize(
    "flags",
    [
        ("--num-prompts", "4", "--num-runs", "2", "--isl", "400", "--osl", "9"),
        ("--num-requests", "4", "--repeats", "2", "--input-len", "400", "--output-len", "9"),
    ],
)
def test_other_tools_names_of_flags_mean_the_same(flags: tuple[str, ...]) -> None:
    asked = settings("--base-url", "http://127.0.0.1:9", *flags)
    assert (asked.num_requests, asked.repeats) == (4, 2)
    assert asked.deployment.url == "http://127.0.0.1:9"
    (request,) = asked.workloads[0].requests(1, 0)
    assert abs(request.input_tokens - 400) <= 20
    assert request.limits.forced_output_tokens == 9


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("q4_0", Quant("q4_0")),
        ("Q3B", Q3B()),
        ("q3b", Q3B()),
        ("Q3B:q4_K_M", Q3B("q4_K_M")),
    ],
)
def test_quant_is_a_size_a_format_or_both(text: str, meaning: object) -> None:
    assert settings("-m", "llama3.2", "--quant", text).quant == meaning


def test_quant_alone_chooses_the_format_of_the_reference_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("--quant", "q4_0", "-w", "decode", "--dry-run", "-o", str(tmp_path))
    assert call(capsys, "run", *arguments).code == 0
    (candidate,) = document(tmp_path).candidates
    assert candidate.factors is not None
    assert candidate.factors.model == "reference/q4_0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-w", "no-such"), "no-such"),
        (("-d", "mixed"), "no deployment 'mixed'"),
        (("-m", "no-such-provider/x"), "no-such-provider"),
        (("-m", "no/such/file.gguf"), "no/such/file.gguf"),
        (("--quant", "q99"), "q99"),
        (("--dataset", "no/such/data"), "one workload"),
        (("-w", "prefill", "--dataset", "no/such/data"), "no/such/data"),
        (("--header", "no colon"), "NAME:VALUE"),
        (("--extra-body", "[1]"), "JSON object"),
        (("--extra-body", "{"), "not JSON"),
        (("--url", "not a url"), "not a url"),
        (("--config", "no/such/file.toml"), "no/such/file.toml"),
        (("--timeout-idle", "nan"), "no time"),
    ],
)
def test_what_makes_no_run_is_one_clear_message(
    arguments: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    result = call(capsys, "run", *arguments, "-o", str(tmp_path))
    assert (result.code, result.out) == (2, "")
    # Progress may have begun; the message is the last thing that is said.
    assert said in result.err.splitlines()[-1]
    assert list(tmp_path.glob("*.json")) == []


def test_a_header_that_cannot_be_read_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sk-1234" not in call(capsys, "run", "--header", "sk-1234").err


def test_settings_come_from_a_file_and_flags_override_them(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        'workload = "decode, prefill"\nnum-requests = 4\nnum_runs = 5\nwarmup = 1\n'
        'no-text = true\nreasoning = false\nheader = ["A: b", "C: d"]\ntimeout-idle = 2.5\n'
        "[extra-body]\ntop_k = 3\n"
    )
    asked = settings("--config", str(file), "--warmup", "0", "-w", "balanced")
    assert [w.name for w in asked.workloads] == ["balanced"]
    assert [w.name for w in settings("--config", str(file)).workloads] == ["decode", "prefill"]
    assert (asked.num_requests, asked.repeats, asked.warmup) == (4, 5, 0)
    assert asked.reasoning is False
    assert not asked.keep_text
    assert asked.engine.headers == (("A", "b"), ("C", "d"))
    assert asked.engine.extra_body == {"top_k": 3}
    assert asked.engine.timeouts == Timeouts(idle_s=2.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("num-request = 4\n", "no setting 'num-request'"),
        ("num-requests = \n", "not TOML"),
        ('num-requests = "many"\n', "many"),
        ("num-requests = 0\n", "x>=1"),
        ("num-requests = true\n", "whole number, not true"),
        ("seed = 1.5\n", "whole number, not 1.5"),
    ],
)
def test_a_wrong_setting_in_a_file_is_wrong_usage(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    result = call(capsys, "run", "--config", str(file))
    assert result.code == 2
    assert said in result.err


def test_help_tells_the_true_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    timeouts, plain = Timeouts(), settings()
    true = {
        "--num-requests": DEFAULT_REQUESTS,
        "--repeats": DEFAULT_REPEATS,
        "--warmup": DEFAULT_WARMUP,
        "--concurrency": plain.load.concurrency,
        "--seed": plain.seed,
        "--timeout-start": plain.engine.start_timeout_s,
        "--timeout-connect": timeouts.connect_s,
        "--timeout-first-byte": timeouts.first_byte_s,
        "--timeout-idle": timeouts.idle_s,
        "--timeout-total": timeouts.total_s,
    }
    shown = call(capsys, "run", "--help").out
    for flag, value in true.items():
        (entry,) = re.findall(rf"{flag}\b.*?\[default: (\S+)\]", shown, re.DOTALL)
        assert float(entry) == value, flag
    assert plain.deployment.model is not None
    assert f"[default: {plain.deployment.model}]" in shown


def test_a_dry_run_writes_the_plan_and_measures_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = call(capsys, "run", "--dry-run", "-n", "3", "-o", str(tmp_path))
    assert result.code == 0
    run = document(tmp_path)
    assert run.metadata.dry_run
    assert str(tmp_path / f"{run.metadata.run_id}.json") in result.out
    assert all(f"planned: {name}: 3 items" in result.out for name in WORKLOADS)


def test_a_real_model_is_measured_and_the_result_is_printed_and_kept(
    model_file: Path, tmp_path: Path
) -> None:
    """The whole way: a process of its own, the embedded engine, the document."""
    size = ("-n", "2", "--repeats", "2", "--warmup", "1", "--osl", "8")
    with start("run", "-m", str(model_file), *size, "-o", str(tmp_path)) as process:
        out, err = process.communicate()
    run = document(tmp_path)
    (candidate,) = run.candidates
    invalid = any(cell.verdict.status == "invalid" for cell in candidate.cells)
    assert process.returncode == (1 if invalid else 0), err
    assert [cell.workload.name for cell in candidate.cells] == list(WORKLOADS)
    for cell in candidate.cells:
        for name in ("ttft_s", "total_latency_s", "tokens_per_sec", "tpot_s"):
            assert cell.metrics[name].status == "ok"
        assert cell.metrics["total_latency_s"].metadata["requests"] == 4
    assert candidate.peak_ram_mb.status == "ok"
    for word in (*WORKLOADS, "TTFT", "Peak RAM", "Verdict:", "Not measured"):
        assert word in out
    # Plain lines where there is no terminal: no control characters, nothing overwritten.
    assert "\x1b" not in out + err
    assert "\r" not in err
    assert "decode, repeat 2 of 2" in err


def test_a_server_that_is_not_there_gives_a_document_of_errors(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    where = ("--url", f"http://127.0.0.1:{port}", "-o", str(tmp_path))
    result = call(capsys, "run", "-m", "some-model", *where)
    assert result.code == 1
    (candidate,) = document(tmp_path).candidates
    assert {metric.status for metric in candidate.metrics.values()} == {"error"}
    message = candidate.latency_ms.error_message or ""
    assert str(port) in message
    assert result.err.splitlines()[-1] == f"minionbench: {message}"


@contextmanager
def silent_server(answered: int) -> Iterator[tuple[str, threading.Event]]:
    """A model's server that answers so many requests for completions, and then falls silent.

    Gives its address, and an event that tells that somebody is waiting in vain.
    """
    body = b'{"object": "list", "data": [{"id": "m", "object": "model"}]}'
    models = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n'
    end = (
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
        b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, '
        b'"total_tokens": 11}}\n\ndata: [DONE]\n\n'
    )
    stream = (event % b"4") + (event % b"2") + end
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b"
    waiting = threading.Event()
    peers: list[socket.socket] = []

    left = itertools.count(answered, -1)

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peers.append(peer)
            threading.Thread(target=talk, args=(peer,)).start()

    def talk(peer: socket.socket) -> None:
        received = b""
        with contextlib.suppress(OSError):
            while data := peer.recv(65536):
                received += data
                while (whole := complete(received)) is not None:
                    request, received = received[:whole], received[whole:]
                    if request.startswith(b"GET"):
                        peer.sendall(models)
                    elif next(left) > 0:
                        peer.sendall(answer % (len(stream), stream))
                    else:
                        waiting.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", waiting
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for peer in peers:
                peer.close()


def complete(received: bytes) -> int | None:
    """Length of the whole request that the bytes begin with; None while it is not whole."""
    head, blank, rest = received.partition(b"\r\n\r\n")
    if not blank:
        return None
    match = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    length = int(match[1]) if match else 0
    return len(head) + len(blank) + length if len(rest) >= length else None


def test_ctrl_c_keeps_what_was_measured_and_says_where(tmp_path: Path) -> None:
    with silent_server(answered=4) as (url, waiting):  # the trial request, and three
        size = ("-w", "decode", "-n", "5", "--repeats", "1", "--warmup", "0")
        with start("run", "--url", url, *size, "-o", str(tmp_path)) as process:
            assert waiting.wait(60)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
    assert process.returncode == 130, err
    run = document(tmp_path)
    assert run.metadata.finished is False
    assert f"partial results kept in {tmp_path / run.metadata.run_id}.json" in err
    assert "Cut short" in out
    records = list(read_journal(tmp_path / "data" / run.metadata.run_id / "records.jsonl"))
    assert [record.ok for record in records[:3]] == [True, True, True]
