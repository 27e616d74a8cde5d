"""The simulator: a server on loopback, in a thread of its own or in the foreground."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import BinaryIO

from minionbench.clock import monotonic_ns
from minionbench.errors import SetupError, UsageError
from minionbench.simulator.connection import listen
from minionbench.simulator.faults import read_fault
from minionbench.simulator.log import Entry, line
from minionbench.simulator.loop import Loop
from minionbench.simulator.service import Service
from minionbench.simulator.settings import SimulatorSettings


class Simulator:
    """A server that speaks OpenAI's, Anthropic's and Ollama's languages from one port.

        with Simulator(SimulatorSettings(answer="echo")) as simulator:
            client = openai.OpenAI(base_url=simulator.openai_url, api_key="any")

    Leaving the block stops it; a bug of the simulator in the meantime is raised there.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        """Takes the port; requests wait until the simulator is started.

        Raises SetupError when the port or the log file cannot be had.
        """
        self.settings = settings = settings or SimulatorSettings()
        self._entries: list[Entry] = []
        self._file = _open_log(settings.log_file)
        try:
            listeners = listen(settings.hosts, settings.port)
        except OSError as error:
            if self._file is not None:
                self._file.close()
            where = " and ".join(settings.hosts)
            raise SetupError(
                f"The simulator cannot listen on port {settings.port} of {where}: "
                f"{error.strerror}. Choose another with --port"
            ) from error
        self.port: int = listeners[0].getsockname()[1]
        self._service = Service(settings, monotonic_ns())
        keep = self._entries.append if settings.keep_log else _forget
        self._loop = Loop(settings, self._service, listeners, keep, self._ended)
        self._thread: Thread | None = None
        self._stopped = False

    @property
    def base_url(self) -> str:
        """Address without a path."""
        host = self.settings.hosts[0]
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def openai_url(self) -> str:
        """Base URL for OpenAI's client and its like."""
        return f"{self.base_url}/v1"

    @property
    def anthropic_url(self) -> str:
        """Base URL for Anthropic's client."""
        return self.base_url

    @property
    def ollama_url(self) -> str:
        """Address for Ollama's client."""
        return self.base_url

    def start(self) -> Simulator:
        """Serves in a thread; returns itself."""
        if self._thread is None:
            self._thread = Thread(target=self._loop.run, name="simulator", daemon=True)
            self._thread.start()
        return self

    def serve(self) -> None:
        """Serves in this thread until `ask_to_stop` is called by another or a signal handler.

        Raises the simulator's own error where it had one.
        """
        self._stopped = True
        self._loop.run()
        self._close_log()
        self._raise_bugs()

    def ask_to_stop(self) -> None:
        """Lets `serve` come to its end."""
        self._loop.stop()

    def stop(self) -> None:
        """Stops serving and closes all connections; again is harmless.

        Raises the simulator's own error where it had one.
        """
        if self._stopped:
            return
        self._stopped = True
        if self._thread is None:
            self.start()  # it closes what it has
        self._loop.stop()
        assert self._thread is not None
        self._thread.join()
        self._close_log()
        self._raise_bugs()

    def _raise_bugs(self) -> None:
        if self._loop.bugs:
            raise self._loop.bugs[0]

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def log(self) -> tuple[Entry, ...]:
        """The true times of every request so far, in order of arrival.

        Of a request that is under way they are what they are so far.
        """
        return tuple(self._entries)

    def forget(self) -> None:
        """Empties the log in memory."""
        self._entries.clear()

    def faults(self, *faults: str, probability: float = 1.0) -> None:
        """Gives each later request these faults, each with that probability; none takes them back.

        Raises UsageError when there is no such fault.
        """
        for fault in faults:
            read_fault(fault)
        if not 0 <= probability <= 1:
            raise UsageError(f"{probability} is no probability")
        self._service.faults = tuple((fault, probability) for fault in faults)

    def _ended(self, entry: Entry) -> None:
        if self._file is not None:
            self._file.write(line(entry))

    def _close_log(self) -> None:
        if self._file is not None:
            self._file.close()


def _forget(entry: Entry) -> None:
    """Keeps nothing."""


def _open_log(path: str | None) -> BinaryIO | None:
    if path is None:
        return None
    try:
        return Path(path).open("wb", buffering=0)
    except OSError as error:
        raise SetupError(f"The log {path} cannot be written: {error.strerror}") from error
