"""The server's one thread: reads requests, gives slots, and writes each step when it is due.

Every step is a write of its own, also when it is late: how late is in the log. Due steps of
different answers take turns. The wait for the next step ends a little early and the rest is spent
looking at the clock, since a kernel's timer wakes a process 0.1 ms late.
"""

from __future__ import annotations

import select
import selectors
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush

from minionbench.clock import monotonic_ns
from minionbench.simulator.connection import Connection
from minionbench.simulator.http import BadRequest, HttpRequest, sized
from minionbench.simulator.job import HARMLESS, Job
from minionbench.simulator.log import Entry, Write
from minionbench.simulator.service import Immediate, Service
from minionbench.simulator.settings import SimulatorSettings
from minionbench.simulator.steps import Step
from minionbench.units import NS_PER_S, NS_PER_US

_STEPS_PER_PASS = 32
"""Writes between two looks at what has arrived."""
_SELECTABLE = 1_024
"""select() takes descriptors below this."""
_SURPLUS_BYTES = 2**20
"""Bytes that a client may send ahead while its last request is answered."""


class Loop:
    """Serves the connections of some listening sockets until told to stop."""

    def __init__(
        self,
        settings: SimulatorSettings,
        service: Service,
        listeners: list[socket.socket],
        record: Callable[[Entry], None],
        ended: Callable[[Entry], None],
    ) -> None:
        self._settings = settings
        self._service = service
        self._listeners = listeners
        self._record = record
        self._ended = ended
        self._spin_ns = int(settings.spin_us * NS_PER_US)
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[int, int, Connection]] = []
        self._pushed = 0
        self._waiting: deque[Connection] = deque()
        self._requests = 0
        self._stopping = False
        self.bugs: list[BaseException] = []
        """Errors of the simulator itself; each was answered with status 500."""

    def stop(self) -> None:
        """Asks the loop to end; from any thread or signal handler, and more than once."""
        with suppress(OSError):  # it has ended already
            self._wake_write.send(b"x")

    def run(self) -> None:
        """Serves until `stop`, then closes everything."""
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, listener)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        try:
            while not self._stopping:
                for key, events in self._wait():
                    if isinstance(key.data, Connection):
                        self._serve(key.data, events)
                    elif key.data is None:
                        self._stopping = True
                    else:
                        self._accept(key.data)
                if self._due:
                    self._take_due()
        finally:
            self._close()

    def _close(self) -> None:
        now_ns = monotonic_ns()
        for connection in list(self._connections.values()):
            self._drop(connection, "stopped", now_ns)
        for listener in self._listeners:
            listener.close()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    def _wait(self) -> list[tuple[selectors.SelectorKey, int]]:
        select_now = self._selector.select
        if not self._due:
            return select_now(None)
        due_ns = self._due[0][0]
        left_ns = due_ns - monotonic_ns()
        if left_ns > self._spin_ns:
            self._sleep((left_ns - self._spin_ns) / NS_PER_S)
        while True:
            found = select_now(0)
            if found or monotonic_ns() >= due_ns:
                return found

    def _sleep(self, seconds: float) -> None:
        """Waits for an event; more exact than epoll's whole milliseconds."""
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None or fileno() >= _SELECTABLE or sys.platform == "win32":
            # Rather look at the clock for a millisecond than be a millisecond late.
            self._selector.select(max(0.0, seconds - 1e-3))
        else:
            select.select([fileno()], (), (), seconds)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError:
            return  # the client is gone again
        connection = Connection(sock, address[1], self._settings.max_body_bytes)
        self._connections[connection.fd] = connection
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _serve(self, connection: Connection, events: int) -> None:
        if connection.open and events & selectors.EVENT_WRITE:
            self._flush(connection)
        if connection.open and events & selectors.EVENT_READ:
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.receive()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection, "client gone", monotonic_ns())
            return
        connection.reader.feed(data)
        if connection.job is None and connection.pending is None:
            self._next_request(connection)
        elif len(connection.reader) > _SURPLUS_BYTES:
            self._drop(connection, "client gone", monotonic_ns())

    def _next_request(self, connection: Connection) -> None:
        """Answers what has arrived, until an answer takes time or nothing is left."""
        while connection.open and connection.job is None and connection.pending is None:
            try:
                request = connection.reader.next_request()
            except BadRequest as error:
                body = str(error).encode() + b"\n"
                data = sized(error.status, [("Content-Type", "text/plain")], body)
                self._send(connection, data, "close")
                return
            if request is None:
                if connection.reader.wants_continue:
                    self._send(connection, b"HTTP/1.1 100 Continue\r\n\r\n", "go on")
                return
            connection.close_after = not request.keep_alive
            self._answer(connection, request)
            connection.first_ns = connection.last_ns

    def _answer(self, connection: Connection, request: HttpRequest) -> None:
        entry = Entry(
            number=self._requests,
            method=request.method,
            path=request.path,
            client_port=connection.peer_port,
            began_ns=connection.first_ns,
            arrived_ns=connection.last_ns,
            stamped_by_kernel=connection.stamped,
        )
        self._requests += 1
        self._record(entry)
        try:
            answer = self._service.handle(request, entry, monotonic_ns())
        except Exception as error:  # noqa: BLE001 - the edge of one request: a bug is kept, and shown when the simulator stops
            self._bug(connection, entry, error)
            return
        if isinstance(answer, Immediate):
            self._end_entry(entry, entry.outcome, monotonic_ns())
            self._send(connection, answer.data, "end")
        else:
            connection.job = answer
            self._admit_or_queue(connection, answer)

    def _bug(self, connection: Connection, entry: Entry, error: BaseException) -> None:
        self.bugs.append(error)
        entry.status = 500
        self._end_entry(entry, "bug", monotonic_ns())
        body = f"The simulator has a bug: {error!r}\n".encode("utf-8", "replace")
        self._send(connection, sized(500, [("Content-Type", "text/plain")], body), "close")

    def _admit_or_queue(self, connection: Connection, job: Job) -> None:
        slots, counters = self._settings.slots, self._service.counters
        if job.needs_slot and slots is not None and counters.running >= slots:
            self._waiting.append(connection)
            counters.waiting += 1
        else:
            self._admit(connection, job, job.entry.arrived_ns)

    def _admit(self, connection: Connection, job: Job, at_ns: int) -> None:
        if job.needs_slot:
            self._service.counters.running += 1
        job.entry.admitted_ns = connection.admitted_ns = at_ns
        connection.steps = job.start(at_ns)
        self._advance(connection)

    def _admit_waiting(self, now_ns: int) -> None:
        slots, counters = self._settings.slots, self._service.counters
        while self._waiting and slots is not None and counters.running < slots:
            connection = self._waiting.popleft()
            counters.waiting -= 1
            assert connection.job is not None
            self._admit(connection, connection.job, now_ns)

    def _advance(self, connection: Connection) -> None:
        """Makes the next step and lists it for its instant."""
        assert connection.steps is not None and connection.job is not None
        try:
            step = next(connection.steps)
        except Exception as error:  # noqa: BLE001 - the edge of one request: a bug is kept, and shown when the simulator stops
            self.bugs.append(error)
            self._drop(connection, "bug", monotonic_ns())
            return
        connection.step = step
        # Not before now, so that answers that are behind take turns with the others.
        at_ns = max(connection.admitted_ns + step.due_ns, monotonic_ns())
        self._pushed += 1
        heappush(self._due, (at_ns, self._pushed, connection))

    def _take_due(self) -> None:
        due = self._due
        for _ in range(_STEPS_PER_PASS):
            if not due or due[0][0] > monotonic_ns():
                return
            connection = heappop(due)[2]
            if connection.open and connection.step is not None:
                self._write_step(connection, connection.step)

    def _write_step(self, connection: Connection, step: Step) -> None:
        job = connection.job
        assert job is not None
        connection.step = None
        now_ns = monotonic_ns()
        if step.reasoning or step.text:
            due_ns = connection.admitted_ns + step.due_ns
            connection.last_write = Write(due_ns, now_ns, step.reasoning, step.text)
            job.entry.writes.append(connection.last_write)
        if step.then not in ("go on", "hold"):
            # Before the write, so that whoever has read the answer finds the log complete.
            self._finish(connection, job, now_ns)
        self._send(connection, step.data, step.then)

    def _finish(self, connection: Connection, job: Job, now_ns: int) -> None:
        connection.job = connection.steps = None
        harmless = all(fault.name in HARMLESS for fault in job.faults)
        self._end_entry(job.entry, "answered" if harmless else "broken", now_ns)
        if job.needs_slot:
            self._service.counters.running -= 1
            self._admit_waiting(now_ns)

    def _end_entry(self, entry: Entry, outcome: str, now_ns: int) -> None:
        entry.end_ns, entry.outcome = now_ns, outcome
        self._service.counters.finished(entry)
        self._ended(entry)

    def _send(self, connection: Connection, data: bytes, then: str) -> None:
        connection.then = then
        sent = 0
        if data:
            try:
                sent = connection.sock.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._drop(connection, "client gone", monotonic_ns())
                return
        if sent < len(data):
            connection.pending = memoryview(data)[sent:]
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(connection.sock, both, connection)
        else:
            self._written(connection)

    def _flush(self, connection: Connection) -> None:
        """Writes more of what the kernel did not take at once."""
        if connection.pending is None:
            return
        now_ns = monotonic_ns()
        try:
            sent = connection.sock.send(connection.pending)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection, "client gone", now_ns)
            return
        connection.pending = connection.pending[sent:]
        if not connection.pending:
            connection.pending = None
            if connection.last_write is not None:
                connection.last_write.written_ns = now_ns
            self._selector.modify(connection.sock, selectors.EVENT_READ, connection)
            self._written(connection)

    def _written(self, connection: Connection) -> None:
        """Goes on after a write that is complete."""
        connection.last_write = None
        match connection.then:
            case "go on":
                if connection.job is not None:
                    self._advance(connection)
            case "end" if not connection.close_after:
                self._next_request(connection)
            case "end" | "close":
                self._drop(connection, "answered", monotonic_ns())
            case "reset":
                self._forget(connection)
                connection.reset()

    def _drop(self, connection: Connection, outcome: str, now_ns: int) -> None:
        """Closes a connection; a request that it still had ends with that outcome."""
        if not connection.open:
            return
        self._forget(connection)
        connection.close()
        job, steps = connection.job, connection.steps
        connection.job = connection.steps = connection.step = None
        if job is None:
            return
        held = connection.then == "hold" and outcome == "client gone"
        self._end_entry(job.entry, "broken" if held else outcome, now_ns)
        if steps is None:
            self._waiting.remove(connection)
            self._service.counters.waiting -= 1
        elif job.needs_slot:
            self._service.counters.running -= 1
            if not self._stopping:
                self._admit_waiting(now_ns)

    def _forget(self, connection: Connection) -> None:
        self._selector.unregister(connection.sock)
        del self._connections[connection.fd]
