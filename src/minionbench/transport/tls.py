"""Encryption inside the loop: the ciphertext is read with the kernel's stamp, then decrypted.

Python's own encrypted sockets read from the socket themselves and lose the stamps. Here the bytes
are read as they always are and pass through OpenSSL in memory. What a record holds can be read
when its last byte has come, so its plaintext has the stamp of the read that completed it.

Every connection makes a full handshake, none takes up the session of an earlier one: the time that
connecting takes means the same for each.

Source: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 9110 4.3.4 (certificates of https).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Generator
from contextlib import suppress

from minionbench.clock import monotonic_ns
from minionbench.errors import DeploymentError
from minionbench.exchange import Outcome
from minionbench.transport.http import TLS_BEGINNINGS
from minionbench.transport.opening import Opening, OpeningFailed
from minionbench.transport.stream import ByteStream, EncryptionError, UnannouncedEnd

RECORD_BYTES = 16_384
"""Most plaintext that a record holds."""
WRITE_BYTES = 262_144
"""Most plaintext that is encrypted at once."""

_EXPIRED, _NOT_YET_VALID = 10, 9
_UNKNOWN_ISSUERS = {
    18: "is self-signed",
    19: "comes from an authority that this machine does not know",
    20: "comes from an authority that this machine does not know",
    21: "comes from an authority that this machine does not know",
}
_OTHER_NAMES = (62, 64)
"""Codes of OpenSSL's X509_verify_cert_error_string: host and IP address do not match."""
_TOO_OLD = ("UNSUPPORTED_PROTOCOL", "ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION")


class Encryption:
    """The layer that a TLS handshake lays over a connection."""

    __slots__ = ("_context", "_host", "_who")

    round_trips = 2

    def __init__(self, host: str, who: str, *, insecure: bool = False) -> None:
        """`who` is the peer in messages. Raises DeploymentError as `client_context` does."""
        self._context = client_context(insecure=insecure)
        self._host = host.partition("%")[0].rstrip(".")
        self._who = who

    def lay(self, opening: Opening, early: bytes) -> Generator[None, bytes, bytes]:
        """Makes the handshake. Raises OpeningFailed with what is wrong and what to do."""
        opening.doing = f"the TLS handshake with {self._who}"
        opening.outcome = Outcome.TLS_FAILED
        try:
            stream = TlsStream(opening.stream, self._context, self._host)
        except ValueError as error:
            message = f"TLS knows no server name like {self._host!r}. Check the URL"
            raise OpeningFailed(Outcome.TLS_FAILED, message) from error
        data = early
        beginning = b""
        while True:
            beginning = (beginning + data)[:2]
            try:
                if stream.shake(data):
                    break
            except ssl.SSLError as error:
                message = self._explained(error, beginning)
                raise OpeningFailed(Outcome.TLS_FAILED, message) from error
            data = yield
        opening.stream = stream
        return b""

    def _explained(self, error: ssl.SSLError, beginning: bytes) -> str:
        if not any(known.startswith(beginning) for known in TLS_BEGINNINGS):
            advice = "Use http:// in its URL, if that is what it is for"
            return f"{self._who} does not speak TLS on this port. {advice}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._distrust(error)
        reason = error.reason or str(error)
        if any(word in reason for word in _TOO_OLD):
            return f"{self._who} speaks no TLS from version 1.2 on, and older ones are not secure"
        return f"the TLS handshake with {self._who} failed: {_plain(reason)}"

    def _distrust(self, error: ssl.SSLCertVerificationError) -> str:
        code = error.verify_code
        accept = ", or accept it unseen with --insecure" if self._who == "the server" else ""
        its = f"{self._who}'s certificate"
        if code in _OTHER_NAMES:
            return f"{its} is not for {self._host!r}. Use the name that it was issued for{accept}"
        if code == _EXPIRED:
            return f"{its} has expired. Have it renewed{accept}"
        if code == _NOT_YET_VALID:
            return f"{its} is not valid yet. Check the clock of this machine{accept}"
        wrong = _UNKNOWN_ISSUERS.get(code)
        if wrong is None:
            return f"{its} cannot be verified: {error.verify_message}"
        return (
            f"{its} {wrong}. If you trust it, name the file of its authority's certificate in "
            f"SSL_CERT_FILE{accept}"
        )


def client_context(*, insecure: bool) -> ssl.SSLContext:
    """Settings of our side: TLS 1.2 or newer, HTTP/1.1, and the system's trusted certificates.

    The file that `SSL_CERT_FILE` names takes the place of the system's, as with other programs.
    With `insecure` any certificate is taken.

    Raises DeploymentError when that file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # A trusted certificate need not be its own issuer: a server's own may be named.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_default_certs()
    file = os.environ.get("SSL_CERT_FILE")
    if file:
        # OpenSSL has read it already, but would say nothing of one that it cannot read.
        try:
            context.load_verify_locations(file)
        except OSError as error:
            why = "no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise DeploymentError(
                f"SSL_CERT_FILE names {file!r}, which cannot be read as trusted certificates "
                f"({why}). Correct it or clear it"
            ) from error
    return context


class TlsStream:
    """A stream whose bytes are encrypted on their way; the same to its user as the one below."""

    __slots__ = (
        "_closed",
        "_error",
        "_incoming",
        "_outgoing",
        "_over",
        "_read",
        "_stream",
        "_taken",
        "_tls",
        "_unsent",
        "fd",
    )

    def __init__(self, stream: ByteStream, context: ssl.SSLContext, host: str) -> None:
        """Raises ValueError for a host name that no certificate can have."""
        self.fd = stream.fd
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._read = self._tls.read
        self._unsent = b""
        """Ciphertext that the kernel has not taken yet."""
        self._taken = 0
        """Bytes of plaintext in it; they count as sent when all of it has gone out."""
        self._over = False
        """Whether nothing more can be read, by the peer's goodbye or by `_error`."""
        self._error: OSError | None = None
        self._closed = False

    def shake(self, data: bytes) -> bool:
        """Goes on with the handshake, given what has arrived; whether it is complete.

        Raises ssl.SSLError when it fails, other OSErrors when the connection does.
        """
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError:
            with suppress(OSError):  # the alert that tells the peer is a courtesy
                self._flush()
            raise
        self._flush()
        return True

    def send(self, data: memoryview) -> int:
        """Encrypts and writes; how many bytes have gone out, in records that were all taken.

        Bytes that were not reported as gone out must be handed in again. Raises BlockingIOError
        when the kernel takes no more now, OSError when the connection is gone.
        """
        self._flush()
        if not self._taken:
            self._taken = self._tls.write(data[:WRITE_BYTES])
            self._flush()
        taken, self._taken = self._taken, 0
        return taken

    def receive(self) -> tuple[bytes, int | None, int]:
        """Plaintext that a read completed, with that read's stamp and the instant after it.

        Empty bytes mean that the peer has said goodbye. Raises BlockingIOError when no plaintext
        is complete, EncryptionError when what came cannot be decrypted, UnannouncedEnd when the
        peer closed without a goodbye, OSError when the connection is gone.
        """
        if self._over:
            return self._nothing_more(monotonic_ns())
        data, real_ns, user_ns = self._stream.receive()
        pieces = self._decrypted(data)
        if pieces:
            return b"".join(pieces), real_ns, user_ns
        return self._nothing_more(user_ns)

    def stop_reading(self) -> None:
        """Makes the descriptor ready to be read; the layer above this one knows what it gets."""
        self._stream.stop_reading()

    def close(self) -> None:
        """Says goodbye as far as that goes without waiting, and closes; again is harmless."""
        if not self._closed:
            self._closed = True
            with suppress(OSError):
                self._tls.unwrap()
            with suppress(OSError):
                self._flush()
        self._stream.close()

    def _decrypted(self, data: bytes) -> list[bytes]:
        """The plaintext of every record that is complete now; notices the end of the stream."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        pieces: list[bytes] = []
        try:
            while piece := self._read(RECORD_BYTES):
                pieces.append(piece)
                if not self._incoming.pending:
                    break
            else:
                self._over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            self._over = True
            self._error = UnannouncedEnd("closed without TLS's close_notify")
        except ssl.SSLError as error:
            self._over = True
            self._error = EncryptionError(_plain(error.reason or str(error)))
        if self._over and pieces:
            self._stream.stop_reading()  # so that the end is noticed after these, too
        if self._outgoing.pending:
            with suppress(OSError):  # answers to the peer's housekeeping; the next send has them
                self._flush()
        return pieces

    def _nothing_more(self, user_ns: int) -> tuple[bytes, int | None, int]:
        if not self._over:
            raise BlockingIOError
        if self._error is not None:
            raise self._error
        return b"", None, user_ns

    def _flush(self) -> None:
        """Writes the ciphertext that is due. Raises BlockingIOError while some of it is left."""
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self._stream.send(memoryview(self._unsent)) :]


def _plain(reason: str) -> str:
    """OpenSSL's name of a reason, such as `TLSV1_ALERT_INTERNAL_ERROR`, as words."""
    words = reason.lower().replace("_", " ")
    return words.partition(" alert ")[2] + " (the peer's alert)" if " alert " in words else words
