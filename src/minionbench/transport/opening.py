"""What stands between a TCP connection and its first request: a proxy's tunnel, encryption.

Both are layers that are laid one after another, each over the one before. A layer writes to the
stream below it and waits for what comes back, without ever blocking: it is a generator that yields
where it waits.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from minionbench.exchange import Failure, Outcome
from minionbench.transport.stream import ByteStream


class OpeningFailed(Exception):
    """A layer did not come about; the message says why and what to do."""

    def __init__(self, outcome: Outcome, message: str, *, http_status: int | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.failure = Failure(message=message, http_status=http_status)


class Layer(Protocol):
    """One thing to be laid over a connection before requests can be sent on it."""

    @property
    def round_trips(self) -> int:
        """How often it waits for an answer from afar, at most."""

    def lay(self, opening: Opening, early: bytes) -> Generator[None, bytes, bytes]:
        """Lays itself over `opening.stream`; is sent what arrives, returns what is left of it.

        `early` came together with the end of the layer before. Raises OpeningFailed.
        """
        ...


class Opening:
    """A connection on its way from connected to usable."""

    __slots__ = ("_steps", "doing", "outcome", "stream")

    def __init__(self, stream: ByteStream, layers: Sequence[Layer]) -> None:
        self.stream = stream
        """The uppermost layer that is in place: what arrives is read through it."""
        self.doing = "connecting"
        """What is under way, for messages."""
        self.outcome = Outcome.CONNECT_FAILED
        """How the call ends where that fails."""
        self._steps = self._lay_all(layers)

    def start(self) -> bool:
        """Sends the first bytes; whether everything is in place already."""
        return self._go_on(None)

    def take(self, data: bytes) -> bool:
        """Takes what has arrived; whether everything is in place now.

        Empty bytes mean that the peer has closed. Raises OpeningFailed.
        """
        if not data:
            raise self.broken("closed")
        return self._go_on(data)

    def send(self, data: bytes) -> None:
        """Writes a few bytes over the uppermost layer, all at once.

        The peer has taken everything before, so the kernel has room for them. Raises OSError when
        it has none, or the connection is gone.
        """
        if self.stream.send(memoryview(data)) != len(data):
            raise BlockingIOError

    def broken(self, how: str) -> OpeningFailed:
        """The failure of a connection that ended too early; `how` is "closed", say."""
        return OpeningFailed(self.outcome, f"the connection was {how} during {self.doing}")

    def _go_on(self, data: bytes | None) -> bool:
        try:
            self._steps.send(data)  # type: ignore[arg-type]  # None starts it
        except StopIteration:
            return True
        except OSError as error:
            how = "blocked" if isinstance(error, BlockingIOError) else "reset"
            raise self.broken(how) from error
        return False

    def _lay_all(self, layers: Sequence[Layer]) -> Generator[None, bytes, None]:
        early = b""
        for layer in layers:
            early = yield from layer.lay(self, early)
