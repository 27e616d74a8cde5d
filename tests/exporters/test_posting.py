"""A key goes to the server that it is for, and into no message."""

from __future__ import annotations

import pytest

from minionbench.errors import SetupError, UsageError
from minionbench.exchange import Secret
from minionbench.exporters.posting import Server, checked
from tests.exporters.stub_server import Asked, serving

KEY = "topsecretkey123"


def test_a_key_is_sent_and_never_said() -> None:
    with serving(lambda asked: (500, f"no {asked.headers['authorization']}".encode(), {})) as stub:
        server = Server(stub.url, "MLflow", Secret(KEY))
        with pytest.raises(SetupError, match="500") as refused:
            server.ask("/x", b"{}")
        assert stub.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(refused.value)


def test_a_redirect_is_not_followed_with_the_key() -> None:
    with serving(lambda _: (200, b"{}", {})) as other:

        def elsewhere(asked: Asked) -> tuple[int, bytes, dict[str, str]]:
            return 302, b"", {"Location": other.url}

        with serving(elsewhere) as stub, pytest.raises(SetupError, match="elsewhere"):
            Server(stub.url, "MLflow", Secret(KEY)).ask("/x")
        assert other.asked == []


def test_a_server_that_is_not_there_is_named() -> None:
    with serving(lambda _: (200, b"", {})) as stub:
        pass
    with pytest.raises(SetupError, match="cannot be reached"):
        Server(stub.url, "MLflow").ask("/x")


def test_who_is_not_known_is_told_how_to_give_a_key() -> None:
    refusing = serving(lambda _: (401, b'{"message": "go away"}', {}))
    with refusing as stub, pytest.raises(SetupError, match=r"go away.*--api-key-env"):
        Server(stub.url, "MLflow").ask("/x")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "ftp://h",
        "file:///etc/passwd",
        "http://",
        "http://h:x",
        "http://u:p@h",
        "http://h?k=1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        checked(url)


def test_only_a_key_over_a_network_without_encryption_is_warned_of() -> None:
    assert Server("http://example.com", "x", Secret(KEY)).unencrypted
    assert not Server("https://example.com", "x", Secret(KEY)).unencrypted
    assert not Server("http://127.0.0.1:1", "x", Secret(KEY)).unencrypted
    assert not Server("http://example.com", "x").unencrypted
