"""The loop: sends calls when they are planned and takes down when their answers arrive.

One thread, no callbacks into anything that thinks: while a call is under way only its bytes and
their stamps are kept, and the framing that tells where the answer ends.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable

from minionbench.clock import ClockBridge, monotonic_ns, sleep_s
from minionbench.exchange import Failure, Outcome
from minionbench.transport.connection import Connection, Sending, Target
from minionbench.transport.http import FramingError
from minionbench.transport.limits import overdue
from minionbench.transport.opening import OpeningFailed
from minionbench.transport.poller import READABLE, WRITABLE, Poller, platform_poller
from minionbench.transport.stream import (
    Address,
    ByteStream,
    EncryptionError,
    Stream,
    UnannouncedEnd,
    keep_stamping,
)
from minionbench.units import NS_PER_MS, NS_PER_S

CONNECT_LEAD_NS = 100 * NS_PER_MS
"""How long before its planned instant a call's connection is opened, for each round trip that this
takes: longer than one across a continent, and in all shorter than any server's patience with an
idle connection."""
SPIN_NS = 200_000
"""Sleeping ends this long before a planned send and polling begins: a sleep is late by 60 to
150 µs, and its length comes in whole milliseconds."""
TIMEOUT_CHECK_NS = 50 * NS_PER_MS
GATHER_FROM = 32
"""From so many connections on, arrivals are left to gather before they are read: being woken for
each costs more than reading it."""
GATHER_S = 0.0005
"""How long they gather. It moves no stamp, since the kernel sets it on arrival, and is far below
the gaps between the tokens of one stream where so many are served; a call's start may wait so
long, which stays within what the verdict allows."""
REPLACE_WITHIN_NS = NS_PER_S
"""A kept-alive connection that ends this soon after a request was sent on it, without a byte of an
answer, was being closed when the request went out: longer than any round trip. One that ends later
ended at work on the request, and that is a failure."""
PROXY_REFUSES = 407
"""The one status that only a proxy gives: it wants a user name and a password."""


class Transport:
    """Sends calls at their planned instants and collects their exchanges.

    `submit` hands a call in; `step` runs the loop until a call has ended or an instant has come.
    Every call that was submitted is given back exactly once, by `step` or by `cut_all`.
    """

    def __init__(self, poller: Poller | None = None) -> None:
        self._poller = poller or platform_poller()
        self._poll = self._poller.poll
        self.bridge = ClockBridge()
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[int, int, Sending]] = []
        self._prepare: list[tuple[int, int, Sending]] = []
        self._under_way: set[Sending] = set()
        self._ended: list[Sending] = []
        self._let_in: deque[tuple[Sending, int]] = deque()
        self._to_close: list[ByteStream] = []
        """Streams of connections that are given up, to be closed when no send waits for that."""
        self._count = 0
        self._next_timeout_check_ns = 0
        self._stamping = keep_stamping()

    @property
    def under_way(self) -> int:
        """Calls submitted and not yet given back."""
        return len(self._under_way) + len(self._ended)

    @property
    def next_send_ns(self) -> int | None:
        """The earliest planned instant that has not come yet; None when nothing is planned."""
        while self._due and self._due[0][2].ended:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def submit(self, target: Target, payload: bytes, planned_ns: int, owner: Hashable) -> Sending:
        """Plans a call: `payload`, a whole HTTP request, is to be sent at `planned_ns`."""
        sending = Sending(target, payload, planned_ns, owner)
        self._count += 1
        heapq.heappush(self._due, (planned_ns, self._count, sending))
        if planned_ns > monotonic_ns():
            prepare_ns = planned_ns - CONNECT_LEAD_NS * target.route.round_trips
            heapq.heappush(self._prepare, (prepare_ns, self._count, sending))
        self._under_way.add(sending)
        return sending

    def step(self, until_ns: int | None = None) -> list[Sending]:
        """Runs until at least one call has ended, or until the instant; the calls that ended.

        Sockets that are ready are served at least once, even when the instant has passed. Without
        an instant it runs until a call ends, and returns at once when none is under way.
        """
        connections = self._connections
        while True:
            now_ns = monotonic_ns()
            self._start_what_is_due(now_ns)
            if not self._ended and not self._under_way and until_ns is None:
                return []
            timeout_s = self._timeout_s(now_ns, until_ns)
            if len(connections) >= GATHER_FROM and timeout_s > GATHER_S and self._stamping:
                sleep_s(GATHER_S)
                timeout_s -= GATHER_S
            for fd, events in self._poll(timeout_s):
                if events == READABLE:
                    self._readable(connections[fd])
                else:
                    self._serve(connections[fd], events)
            if self._to_close:
                self._close_streams()
            if now_ns >= self._next_timeout_check_ns:
                self._check_timeouts()
            if now_ns >= self.bridge.next_sample_ns:
                self.bridge.sample()
            if self._ended:
                while self._let_in:
                    self._admit(*self._let_in.popleft())
                ended, self._ended = self._ended, []
                return ended
            if until_ns is not None and monotonic_ns() >= until_ns:
                return []

    def cut(self, sending: Sending, why: str) -> None:
        """Ends a call now; it is given back by the next `step` as cut, or as not sent."""
        if not sending.ended:
            sent = sending.exchange.sent_ns is not None
            self._fail(sending, Outcome.CUT if sent else Outcome.NOT_SENT, why)

    def cut_all(self, why: str) -> list[Sending]:
        """Ends every call now and gives all of them back."""
        for sending in sorted(self._under_way, key=lambda s: s.exchange.planned_ns):
            self.cut(sending, why)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Closes every connection; calls under way are lost, so cut them first."""
        for connection in list(self._connections.values()):
            connection.target.idle.clear()
            self._drop(connection)
        self._close_streams()
        self._poller.close()
        if self._stamping is not None:
            self._stamping.close()

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Planning

    def _start_what_is_due(self, now_ns: int) -> None:
        if self._prepare and self._prepare[0][0] <= now_ns:
            self._prepare_connections(now_ns)
        while self._due and self._due[0][0] <= now_ns:
            self._arrive(heapq.heappop(self._due)[2])
        while self._let_in:
            self._admit(*self._let_in.popleft())

    def _timeout_s(self, now_ns: int, until_ns: int | None) -> float:
        if self._ended:
            return 0
        wake_ns = now_ns + TIMEOUT_CHECK_NS
        if until_ns is not None and until_ns < wake_ns:
            wake_ns = until_ns
        if self._prepare and self._prepare[0][0] < wake_ns:
            wake_ns = self._prepare[0][0]
        if self._due and self._due[0][0] - SPIN_NS < wake_ns:
            # Whole milliseconds, rounded down: what is left is spent polling.
            wake_ns = self._due[0][0] - SPIN_NS
            return max(0, (wake_ns - now_ns) // NS_PER_MS) / 1_000
        return max(0, wake_ns - now_ns) / NS_PER_S

    def _prepare_connections(self, now_ns: int) -> None:
        while self._prepare and self._prepare[0][0] <= now_ns:
            sending = heapq.heappop(self._prepare)[2]
            if sending.target.room and not sending.admitted and not sending.ended:
                self._take_connection(sending)

    def _arrive(self, sending: Sending) -> None:
        """The planned instant of a call has come."""
        if sending.ended:
            return
        gate = sending.target.gate
        if gate.enter():
            self._admit(sending, sending.exchange.planned_ns)
            return
        gate.wait(sending.owner, sending)
        connection = sending.connection
        if connection is not None:
            # It would grow old while the call waits; whoever is let in first may have it.
            self._part(sending, connection)
            if connection.connected:
                self._keep(connection)
            else:
                self._drop(connection)

    def _admit(self, sending: Sending, at_ns: int) -> None:
        if sending.ended:
            self._leave(sending.target, at_ns)
            return
        sending.admitted = True
        sending.exchange.admitted_ns = at_ns
        if sending.connection is None:
            self._take_connection(sending)
        connection = sending.connection
        if connection is not None and connection.connected:
            self._send(connection, sending)

    def _leave(self, target: Target, at_ns: int) -> None:
        """A slot has become free: the next call in the queue gets it."""
        following = target.gate.leave()
        if following is not None:
            self._let_in.append((following, max(at_ns, following.exchange.planned_ns)))

    # Connections

    def _take_connection(self, sending: Sending) -> None:
        """Gives the call an idle connection that is still open, or begins to make one."""
        target = sending.target
        while target.idle:
            connection = target.idle.pop()
            if self._still_open(connection):
                connection.sending = sending
                connection.reused = True
                sending.connection = connection
                return
            self._forget(connection)
            self._to_close.append(connection.stream)
            sending.exchange.replaced_connections += 1
        self._connect(sending, target.addresses)

    def _still_open(self, connection: Connection) -> bool:
        try:
            connection.receive()
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _part(self, sending: Sending, connection: Connection) -> None:
        """Takes a call and its connection apart, as if it had never had one."""
        connection.sending = sending.connection = None
        exchange = sending.exchange
        exchange.connect_start_ns = exchange.connect_end_ns = None
        exchange.sent_ns = exchange.sent_end_ns = None

    def _keep(self, connection: Connection) -> None:
        """Puts a connection that no call needs any more among the idle ones."""
        connection.sending = connection.framer = None
        connection.target.idle.append(connection)

    def _connect(self, sending: Sending, addresses: tuple[Address, ...]) -> None:
        """Begins to connect to the first of the addresses."""
        started_ns = monotonic_ns()
        exchange = sending.exchange
        if exchange.connect_start_ns is None:
            exchange.connect_start_ns = started_ns
        try:
            stream = Stream(addresses[0])
        except OSError as error:
            self._not_reached(sending, addresses, error.strerror or str(error))
            return
        connection = Connection(stream, sending.target, addresses, started_ns)
        connection.sending = sending
        sending.connection = connection
        sending.target.connections += 1
        self._connections[connection.fd] = connection
        connection.watched = WRITABLE
        self._poller.add(connection.fd, WRITABLE)

    def _reached(self, connection: Connection) -> None:
        """The attempt to reach an address has ended, one way or the other."""
        sending = connection.sending
        assert sending is not None
        error = connection.connect_error()
        if error is not None:
            self._drop(connection)
            sending.connection = None
            self._not_reached(sending, connection.addresses, error.strerror or str(error))
            return
        connection.target.prefer(connection.addresses[0])
        self._watch(connection, READABLE)
        connection.opening = connection.target.route.opening(connection.stream)
        if connection.opening is None:
            self._connected(connection, sending)
        else:
            self._open(connection, sending, None)

    def _not_reached(self, sending: Sending, addresses: tuple[Address, ...], reason: str) -> None:
        """No connection to the first of the addresses; the others are tried in turn."""
        sending.unreached += ((addresses[0], reason),)
        if len(addresses) > 1:
            self._connect(sending, addresses[1:])
        elif sending.admitted:
            self._fail(sending, Outcome.CONNECT_FAILED, sending.why_unreached())
        else:
            self._try_when_due(sending)

    def _open(self, connection: Connection, sending: Sending, data: bytes | None) -> None:
        """Goes on with what is laid over a new connection, given what has arrived (None: begin)."""
        opening = connection.opening
        assert opening is not None
        try:
            done = opening.start() if data is None else opening.take(data)
        except OpeningFailed as failure:
            self._not_opened(connection, sending, failure)
            return
        connection.lay(opening.stream)
        if done:
            connection.opening = None
            self._connected(connection, sending)

    def _not_opened(self, connection: Connection, sending: Sending, failure: OpeningFailed) -> None:
        self._drop(connection)
        sending.connection = None
        if sending.admitted:
            self._fail(sending, failure.outcome, failure.failure)
        else:
            self._try_when_due(sending)

    def _try_when_due(self, sending: Sending) -> None:
        """The call's instant has not come; connecting is tried again then, and that counts."""
        sending.unreached = ()
        sending.exchange.connect_start_ns = None

    def _connected(self, connection: Connection, sending: Sending) -> None:
        """Requests can be sent on the connection from now on."""
        connection.connected = True
        sending.unreached = ()
        sending.exchange.connect_end_ns = monotonic_ns()
        if sending.admitted:
            self._send(connection, sending)

    def _watch(self, connection: Connection, events: int) -> None:
        if connection.watched != events:
            connection.watched = events
            self._poller.change(connection.fd, events)

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.stream.close()

    def _forget(self, connection: Connection) -> None:
        if self._connections.get(connection.fd) is connection:
            del self._connections[connection.fd]
            self._poller.remove(connection.fd)
            connection.target.connections -= 1
        connection.watched = 0

    def _close_streams(self) -> None:
        while self._to_close:
            self._to_close.pop().close()

    # Bytes out

    def _send(self, connection: Connection, sending: Sending) -> None:
        connection.begin()
        connection.unsent = memoryview(sending.payload)
        sending.exchange.sent_ns = monotonic_ns()
        self._write(connection, sending)

    def _write(self, connection: Connection, sending: Sending) -> None:
        unsent = connection.unsent
        assert unsent is not None
        try:
            unsent = unsent[connection.stream.send(unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            # What the server said before it closed may still be there to read, and it says more.
            connection.unsent = None
            self._watch(connection, READABLE)
            return
        if unsent:
            connection.unsent = unsent
            self._watch(connection, READABLE | WRITABLE)
        else:
            connection.unsent = None
            sending.exchange.sent_end_ns = monotonic_ns()
            self._watch(connection, READABLE)

    def _serve(self, connection: Connection, events: int) -> None:
        if events & WRITABLE:
            self._writable(connection)
            if events == WRITABLE:
                return
        if connection.connected or connection.opening is not None:
            self._readable(connection)
        elif connection.watched:
            self._reached(connection)

    def _writable(self, connection: Connection) -> None:
        if not connection.connected:
            self._reached(connection)
        elif connection.unsent is not None and connection.sending is not None:
            self._write(connection, connection.sending)

    # Bytes in

    def _readable(self, connection: Connection) -> None:
        """Takes down what has arrived: the hot path, run once per read."""
        try:
            data, real_ns, user_ns = connection.receive()
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(connection, error)
            return
        sending, framer = connection.sending, connection.framer
        if sending is None or framer is None:
            self._not_an_answer(connection, data)
            return
        if not data:
            self._broken(connection, None)
            return
        connection.real_ns.append(real_ns)
        connection.user_ns.append(user_ns)
        try:
            framer.feed(data)
        except FramingError as error:
            connection.read_ends.append(framer.body_bytes)
            self._fail(sending, Outcome.MALFORMED, str(error))
            return
        connection.read_ends.append(framer.body_bytes)
        if framer.body_bytes > connection.max_body_bytes:
            message = f"the answer is longer than {connection.max_body_bytes} bytes"
            self._fail(sending, Outcome.TOO_LARGE, message)
        elif framer.done:
            self._complete(connection, sending, keep=framer.keep_alive)

    def _not_an_answer(self, connection: Connection, data: bytes) -> None:
        """Something came on a connection on which nothing was asked."""
        if connection.opening is not None and connection.sending is not None:
            self._open(connection, connection.sending, data)
        else:
            # The server has closed an idle connection, or talks nonsense.
            self._lost_while_idle(connection)

    def _lost_while_idle(self, connection: Connection) -> None:
        """A connection on which nothing was asked has ended, or talks nonsense."""
        sending = connection.sending
        self._drop(connection)
        if sending is None:
            connection.target.idle.remove(connection)
        else:
            # It was made ready for a call, which finds another one when its instant has come.
            sending.exchange.replaced_connections += 1
            self._part(sending, connection)

    def _broken(self, connection: Connection, error: OSError | None) -> None:
        """The peer has closed (`error` None) or reset the connection."""
        sending, framer = connection.sending, connection.framer
        if sending is None or framer is None:
            if connection.opening is not None and sending is not None:
                self._not_opened(connection, sending, connection.opening.broken("reset"))
            else:
                self._lost_while_idle(connection)
            return
        how = "closed" if error is None or isinstance(error, UnannouncedEnd) else "reset"
        sent_ns = sending.exchange.sent_ns or 0
        if connection.user_ns:
            if error is None and framer.end_of_stream():
                self._complete(connection, sending, keep=False)
            elif isinstance(error, EncryptionError):
                message = f"the encryption broke off in the middle of the answer: {error}"
                self._fail(sending, Outcome.TRUNCATED, message)
            else:
                message = f"the server {how} the connection in the middle of its answer"
                self._fail(sending, Outcome.TRUNCATED, message)
        elif connection.reused and monotonic_ns() - sent_ns < REPLACE_WITHIN_NS:
            self._drop(connection)
            self._part(sending, connection)
            sending.exchange.replaced_connections += 1
            self._connect(sending, sending.target.addresses)
        elif isinstance(error, EncryptionError):
            message = f"the server gave the encryption up without an answer: {error}"
            self._fail(sending, Outcome.TLS_FAILED, message)
        else:
            message = f"the server {how} the connection without an answer"
            self._fail(sending, Outcome.RESET, message)

    # Endings

    def _complete(self, connection: Connection, sending: Sending, *, keep: bool) -> None:
        """The whole answer is here, whatever it says."""
        exchange = sending.exchange
        connection.take_down(exchange, self.bridge)
        if exchange.status == PROXY_REFUSES:
            self._note_refusal(sending)
        self._end(sending, exchange.read_ns[-1])
        if keep and connection.unsent is None:
            self._keep(connection)
        else:
            self._drop(connection)

    def _note_refusal(self, sending: Sending) -> None:
        """The answer, with the status that only a proxy gives, is not the server's."""
        exchange, target = sending.exchange, sending.target
        proxy = target.route.proxy
        if proxy is not None and exchange.status is not None:
            message = proxy.refusal(exchange.status, target.url.authority)
            exchange.outcome = Outcome.CONNECT_FAILED
            exchange.failure = Failure(message=message, http_status=exchange.status)

    def _fail(self, sending: Sending, outcome: Outcome, why: str | Failure) -> None:
        """The call ends without a whole answer; what there was of one is kept."""
        now_ns = monotonic_ns()
        exchange = sending.exchange
        exchange.outcome = outcome
        exchange.failure = Failure(message=why) if isinstance(why, str) else why
        connection = sending.connection
        if connection is not None:
            connection.take_down(exchange, self.bridge)
            self._drop(connection)
        self._end(sending, now_ns)

    def _end(self, sending: Sending, at_ns: int) -> None:
        sending.ended = True
        sending.connection = None
        sending.exchange.end_ns = at_ns
        self._under_way.discard(sending)
        self._ended.append(sending)
        if sending.admitted:
            self._leave(sending.target, at_ns)
        else:
            sending.target.gate.forget(sending.owner, sending)

    def _check_timeouts(self) -> None:
        now_ns = monotonic_ns()
        self._next_timeout_check_ns = now_ns + TIMEOUT_CHECK_NS
        for connection in list(self._connections.values()):
            sending = connection.sending
            if sending is None or sending.ended:
                continue
            found = overdue(connection, sending, now_ns)
            if found is None:
                continue
            if connection.connected:
                self._fail(sending, *found)
                continue
            outcome, why = found
            self._drop(connection)
            sending.connection = None
            if connection.opening is None and len(connection.addresses) > 1:
                self._not_reached(sending, connection.addresses, "no answer in its share of time")
            elif sending.admitted:
                self._fail(sending, outcome, why)
            else:
                self._try_when_due(sending)
