"""What several tests of the transport are run with."""

from __future__ import annotations

import shutil
import ssl

import pytest

from tests.transport.certificates import Authority


@pytest.fixture
def far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are made ready at once, however far away the instant is."""
    monkeypatch.setattr("minionbench.transport.loop.CONNECT_LEAD_NS", 10**15)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody trusts yet."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificates")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority, which the client trusts in this test."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root.path))
    return authority


@pytest.fixture(scope="session")
def server_tls(authority: Authority) -> ssl.SSLContext:
    """Settings of a server on loopback whose certificate is good where its authority is trusted."""
    return authority.issue("good").server()
