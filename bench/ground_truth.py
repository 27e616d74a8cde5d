"""The ground-truth server, as Python code uses it: build it, start it, read what truly happened.

    with ground_truth_server(ttft_ms=50, itl_ms=10, tokens=128) as server:
        ...  # a client talks to server.base_url
        for request in server.dump():
            print(request.arrival_ns, request.before_ns[0])

All times are nanoseconds of CLOCK_MONOTONIC, the clock of `time.monotonic_ns`. Linux only.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack

BENCH = Path(__file__).resolve().parent
DEFAULT_BUILD_FOLDER = BENCH.parent / "build" / "bench"
COMPILER_FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")

Program = Literal["ground_truth_server", "reference_client"]

STOP_TIMEOUT_S = 5.0
CONTROL_TIMEOUT_S = 30.0


class BenchError(Exception):
    """A measuring instrument could not be built, started or asked; the message says what to do."""


class Settings(TypedDict, total=False):
    """What the server can be told; `ground_truth_server --help` explains each."""

    ttft_ms: float
    itl_ms: float
    role_ms: float
    header_ms: float
    keepalive_ms: float
    tokens: int
    reasoning: int
    reasoning_field: Literal["reasoning_content", "reasoning"]
    per_event: int
    per_write: int
    finish_event: int
    honour_max: int
    usage: Literal["never", "asked", "always"]
    prompt_tokens: int
    crlf: int
    split: int
    fault: str
    fault_at: int
    fault_every: int
    fault_from: int
    retry_after_s: int


@dataclass(frozen=True, slots=True)
class TrueRequest:
    """What truly happened to one API request, as the server saw it.

    A time is None where the thing did not happen. `before_ns` and `after_ns` have one value per
    token written, in order: just before and just after the write that carried it. On loopback the
    client's kernel stamps the bytes between the two.
    """

    id: int
    """Position among the API requests since the start or the last reset; also in the answer's
    `id` field, in its first visible token (`r0000012`) and in the header X-Request-Id."""
    connection: int
    """Which connection carried it, counted from the server's start."""
    status: int
    fault: str
    chat: bool
    stream: bool
    stamped: bool
    """Whether both arrivals are the kernel's stamps; else they are the server's own clock."""
    delayed: bool
    """Some write had to wait for the client to read: later write times are its doing."""
    client_gone: bool
    """The client closed the connection before the answer was complete."""
    accept_ns: int
    arrival_ns: int
    """Arrival of the read that held the request's first byte."""
    arrival_end_ns: int
    """Arrival of its last byte; the server's own times count from here."""
    header_ns: int | None
    role_ns: int | None
    end_ns: int | None
    """The last write, or the moment the connection ended; None while the request is under way."""
    body_bytes: int
    tokens: int
    """Tokens of the complete answer, reasoning included."""
    reasoning: int
    before_ns: tuple[int, ...]
    after_ns: tuple[int, ...]

    @classmethod
    def from_log(cls, entry: Mapping[str, Any]) -> Self:
        """Read one entry of the server's log."""
        times = {name: tuple(entry[name]) for name in ("before_ns", "after_ns")}
        return cls(**{**entry, **times})

    @property
    def tokens_written(self) -> int:
        """Tokens written to the socket, a spoilt one included."""
        return len(self.before_ns)

    @property
    def ttft_ns(self) -> int | None:
        """First token's write − arrival of the request; None where no token was written."""
        return self.before_ns[0] - self.arrival_ns if self.before_ns else None

    @property
    def itl_ns(self) -> tuple[int, ...]:
        """Gaps between the writes of successive tokens; one fewer than tokens written."""
        return tuple(b - a for a, b in zip(self.before_ns, self.before_ns[1:], strict=False))


def find_compiler() -> str:
    """Name the C compiler: $CC, else the first of cc, gcc and clang that is installed.

    Raises: BenchError with the apt line when there is none.
    """
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    raise BenchError(
        "no C compiler was found, and the project's instruments are C programs: "
        "apt-get install gcc libc6-dev"
    )


def _is_fresh(binary: Path, source: Path) -> bool:
    if not binary.exists():
        return False
    built = binary.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns < built for path in (source, *BENCH.glob("*.h")))


def build(program: Program, folder: Path | None = None) -> Path:
    """Compile a program into the folder, unless a binary newer than its sources is there.

    Safe to call from several processes at once: the binary appears complete or not at all.
    Raises: BenchError without a compiler, or with the compiler's own words.
    """
    folder = DEFAULT_BUILD_FOLDER if folder is None else folder
    source = BENCH / f"{program}.c"
    binary = folder / program
    if _is_fresh(binary, source):
        return binary
    compiler = find_compiler()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        fresh = Path(scratch) / program
        command = [compiler, *COMPILER_FLAGS, str(source), "-o", str(fresh)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(
                f"{source.name} does not compile (are the C headers there? "
                f"apt-get install gcc libc6-dev):\n{done.stderr}"
            )
        os.replace(fresh, binary)
    return binary


def _pairs(settings: Mapping[str, object]) -> str:
    return "&".join(f"{key}={value}" for key, value in settings.items())


class GroundTruthServer:
    """A running server. Made by `ground_truth_server`."""

    def __init__(self, process: subprocess.Popen[str], port: int, log_path: Path) -> None:
        self.process = process
        self.port = port
        self._log_path = log_path

    @property
    def origin(self) -> str:
        """The server's address without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.origin}/v1"

    def url(self, **settings: Unpack[Settings]) -> str:
        """A base URL whose requests have these settings, whatever the server's own are.

        `server.url(fault="stall", fault_at=5)`: one server serves many tests, also at once.
        """
        return f"{self.origin}/with/{_pairs(settings)}/v1" if settings else self.base_url

    def set(self, **settings: Unpack[Settings]) -> None:
        """Change the settings of the requests to come.

        Raises: BenchError on a name or value that the server does not know.
        """
        self._control(f"/__set?{_pairs(settings)}")

    def reset(self) -> None:
        """Forget the log and go back to the settings given at the start.

        Raises: BenchError while a request is under way.
        """
        self._control("/__reset")

    def dump(self) -> list[TrueRequest]:
        """Read the log: every API request since the start or the last reset, in order of arrival.

        Works after the server has exited as well. Requests under way have `end_ns` None.
        """
        if self.process.poll() is None:
            text = self._control("/__dump")
        else:
            text = self._log_path.read_bytes()
        return [TrueRequest.from_log(entry) for entry in json.loads(text)["requests"]]

    def stats(self) -> dict[str, float]:
        """Counters and CPU seconds of the server process."""
        answer: dict[str, float] = json.loads(self._control("/__stats"))
        return answer

    def last_request(self) -> bytes:
        """Head and body of the latest API request (chunks joined); empty before the first."""
        return self._control("/__last")

    def stop(self) -> None:
        """End the process, if it still runs; its log stays readable inside the `with` block."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def _control(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CONTROL_TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except OSError as error:
            raise BenchError(f"the ground-truth server does not answer {path}: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise BenchError(f"the ground-truth server refuses {path}: {body.decode()}")
        return body


def _start(command: list[str]) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("listening on "):
        _, errors = process.communicate()
        raise BenchError(f"the ground-truth server did not start: {errors.strip()}")
    return process, int(line.split()[-1])


@contextmanager
def ground_truth_server(
    *,
    port: int = 0,
    api_key: str | None = None,
    build_folder: Path | None = None,
    **settings: Unpack[Settings],
) -> Iterator[GroundTruthServer]:
    """Run a server for the length of a `with` block, built first where needed.

    The server is killed with the *thread* that started it (PR_SET_PDEATHSIG), so start it in one
    that lives as long as it is needed. Port 0 is any free port.
    Raises: BenchError when it cannot be built or started.
    """
    binary = build("ground_truth_server", build_folder)
    with tempfile.TemporaryDirectory(prefix="ground-truth-") as folder:
        log_path = Path(folder) / "log.json"
        command = [str(binary), "--port", str(port), "--log", str(log_path)]
        command += ["--parent-pid", str(os.getpid())]
        if api_key is not None:
            command += ["--api-key", api_key]
        for key, value in settings.items():
            command += [f"--{key.replace('_', '-')}", str(value)]
        process, actual_port = _start(command)
        server = GroundTruthServer(process, actual_port, log_path)
        try:
            yield server
        finally:
            server.stop()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
