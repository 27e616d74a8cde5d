"""Certificates made when a test asks for them, by the `openssl` program; none is kept."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

LOCAL = "DNS:localhost,IP:127.0.0.1,IP:::1"
LONG_PAST = ("20200101000000Z", "20200201000000Z")
_CONFIGURATION = """
[ca]
default_ca = here
[here]
new_certs_dir = {folder}
database = {folder}/index.txt
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = nothing
[nothing]
"""


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, and the file that holds both."""

    path: Path

    def server(self) -> ssl.SSLContext:
        """Settings of a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context


class Authority:
    """A certificate authority of a test's own, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._configuration = folder / "openssl.cnf"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder))
        (folder / "index.txt").touch()
        self.root = self._issue("root", "basicConstraints=critical,CA:TRUE", alone=True)

    def issue(
        self, name: str, names: str = LOCAL, *, valid: tuple[str, str] | None = None
    ) -> Certificate:
        """A server's certificate for these names; `valid` is from when until when."""
        return self._issue(name, f"subjectAltName={names}", valid=valid)

    def self_signed(self, name: str, names: str = LOCAL) -> Certificate:
        """A server's certificate that no authority has signed."""
        return self._issue(name, f"subjectAltName={names}", alone=True)

    def _issue(
        self,
        name: str,
        extension: str,
        *,
        valid: tuple[str, str] | None = None,
        alone: bool = False,
    ) -> Certificate:
        key, request, path = (self._folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(extension + "\n")
        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        self._run("req", "-new", *new_key, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signer = ("-selfsign", "-keyfile", key) if alone else self._signer()
        dates = ("-startdate", valid[0], "-enddate", valid[1]) if valid else ("-days", "2")
        more = ("-batch", "-notext", "-extfile", extensions)
        self._run("ca", *signer, *dates, *more, "-in", request, "-out", path)
        path.write_text(path.read_text() + key.read_text())
        return Certificate(path)

    def _signer(self) -> tuple[object, ...]:
        return ("-cert", self._folder / "root.pem", "-keyfile", self._folder / "root.key")

    def _run(self, command: str, *arguments: object) -> None:
        words = ["openssl", command, "-config", self._configuration, *arguments]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
