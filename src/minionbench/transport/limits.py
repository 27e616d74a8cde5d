"""Whether a call takes too long: which of its limits it has passed."""

from __future__ import annotations

from minionbench.exchange import Outcome
from minionbench.transport.connection import Connection, Sending
from minionbench.units import NS_PER_S

MAX_READS = 4_000_000
"""Most reads of one answer that are taken: a server that sends byte by byte fills no memory."""


def overdue(connection: Connection, sending: Sending, now_ns: int) -> tuple[Outcome, str] | None:
    """How a call on a connection ends because of its limits, and why; None while it may go on.

    Until the body of the answer begins, the limit is that on the first byte: servers send the head
    of a streamed answer at once and then queue, load or read the prompt.
    """
    if not connection.connected:
        return _connecting(connection, sending, now_ns)
    limits = sending.target.timeouts
    sent_ns, framer = sending.exchange.sent_ns, connection.framer
    if sent_ns is None or framer is None:
        return None
    if now_ns - sent_ns > limits.total_s * NS_PER_S:
        return Outcome.TOTAL_TIMEOUT, f"the answer was not complete within {limits.total_s:g} s"
    if framer.body_bytes == 0:
        waiting_since_ns = sending.exchange.sent_end_ns or sent_ns
        if now_ns - waiting_since_ns > limits.first_byte_s * NS_PER_S:
            missing = "the answer's body" if connection.user_ns else "an answer"
            message = f"no byte of {missing} within {limits.first_byte_s:g} s"
            return Outcome.FIRST_BYTE_TIMEOUT, message
    elif now_ns - connection.user_ns[-1] > limits.idle_s * NS_PER_S:
        message = f"the answer stopped: nothing more came for {limits.idle_s:g} s"
        return Outcome.IDLE_TIMEOUT, message
    if len(connection.user_ns) > MAX_READS:
        return Outcome.TOO_LARGE, f"the answer came in more than {MAX_READS} pieces"
    return None


def _connecting(
    connection: Connection, sending: Sending, now_ns: int
) -> tuple[Outcome, str] | None:
    """An address has its share of the time, so that one that swallows everything hides no other;
    once it has answered, it may use up all that is left."""
    connect_s = sending.target.timeouts.connect_s
    opening = connection.opening
    if opening is None:
        share_s = connect_s / len(sending.target.addresses)
        if now_ns - connection.started_ns <= share_s * NS_PER_S:
            return None
        return Outcome.CONNECT_TIMEOUT, f"no connection within {connect_s:g} s"
    started_ns = sending.exchange.connect_start_ns or connection.started_ns
    if now_ns - started_ns <= connect_s * NS_PER_S:
        return None
    message = f"no connection within {connect_s:g} s: {opening.doing} did not end"
    return Outcome.CONNECT_TIMEOUT, message
