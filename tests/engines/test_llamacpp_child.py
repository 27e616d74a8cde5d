"""The child process by itself, driven over its pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minionbench.engines import llamacpp_child
from minionbench.engines.llamacpp_child import CANNOT_LOAD, HARNESS_GONE
from tests.engines.support import PATIENCE_S


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", llamacpp_child.__name__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def send(process: subprocess.Popen[bytes], settings: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(settings).encode() + b"\n")


def report(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def leave(process: subprocess.Popen[bytes]) -> int:
    """Closes the child's standard input, as the harness's death does; its exit code."""
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(PATIENCE_S)


def settings(model_file: Path, **changes: object) -> dict[str, Any]:
    return {
        "model_path": str(model_file),
        "model": "m",
        "context_tokens": 512,
        "slots": 1,
        "threads": 1,
        "gpu_layers": 0,
        "cache_prompt": False,
        "adapter": None,
        "embeddings": False,
        "memory_limit_bytes": None,
        "cpus": None,
        "parent_pid": os.getpid(),
        "key": "k",
        **changes,
    }


def test_a_server_that_never_had_a_request_ends_without_hanging(model_file: Path) -> None:
    with child() as process:
        send(process, settings(model_file))
        assert report(process)["url"].startswith("http://127.0.0.1:")
        assert leave(process) == HARNESS_GONE


@pytest.mark.parametrize("arguments", [(), ("--die-with-parent",)])
def test_a_child_whose_parent_is_already_another_loads_nothing(
    model_file: Path, arguments: tuple[str, ...]
) -> None:
    with child(*arguments) as process:
        send(process, settings(model_file, parent_pid=os.getppid()))
        assert process.wait(PATIENCE_S) == HARNESS_GONE
        assert process.stdout is not None
        assert process.stdout.read() == b""


def test_a_child_that_gets_no_settings_ends(model_file: Path) -> None:
    with child() as process:
        assert process.stdin is not None
        process.stdin.write(b'{"model_path": ')
        assert leave(process) == HARNESS_GONE


def test_a_failed_load_is_reported_before_the_child_ends(tmp_path: Path) -> None:
    with child() as process:
        send(process, settings(tmp_path / "none.gguf"))
        assert report(process)["error"] == "load"
        assert process.wait(PATIENCE_S) == CANNOT_LOAD


def test_cores_that_do_not_exist_are_reported_as_not_pinned(model_file: Path) -> None:
    with child() as process:
        send(process, settings(model_file, cpus=[100_000]))
        assert report(process)["cpus"] is None
        assert leave(process) == HARNESS_GONE
