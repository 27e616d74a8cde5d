"""Where Ollama is, and what it lists."""

from __future__ import annotations

import pytest

from minionbench.engines.ollama_server import full_name, installed_models, ollama_address
from minionbench.errors import DeploymentError
from tests.engines.servers import Ollama, server, shown


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("box", "http://box:11434"),
        ("box:8080", "http://box:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("8080", "http://8080:11434"),
        ("192.168.1.2", "http://192.168.1.2:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://box", "http://box:80"),
        ("http://box:8080", "http://box:8080"),
        ("http://box:8080/", "http://box:8080"),
        ("http://box:8080/sub/", "http://box:8080/sub"),
        ("https://box", "https://box:443"),
        (' "box:8080" ', "http://box:8080"),
        ("[::]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_ollama_host_is_read_in_the_forms_that_ollama_takes(
    value: str | None, address: str
) -> None:
    assert ollama_address({} if value is None else {"OLLAMA_HOST": value}) == address


@pytest.mark.parametrize("value", ["box:notaport", "ftp://box", "http://u:p@box"])
def test_an_ollama_host_that_is_no_address_is_told(value: str) -> None:
    with pytest.raises(DeploymentError, match="OLLAMA_HOST is no server's address") as caught:
        ollama_address({"OLLAMA_HOST": value})
    assert "u:p" not in str(caught.value)


def test_an_ollama_host_with_a_password_is_told_where_a_key_belongs() -> None:
    for value in ("http://u:p@box:11434", "u:p@box:11434"):
        with pytest.raises(DeploymentError, match="--api-key-env") as caught:
            ollama_address({"OLLAMA_HOST": value})
        assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:3b", "llama3.2:3b"),
        ("hf.co/user/model", "hf.co/user/model:latest"),
        ("box:5000/user/model", "box:5000/user/model:latest"),
    ],
)
def test_a_name_without_a_tag_is_the_latest(name: str, full: str) -> None:
    assert full_name(name) == full


def test_what_is_installed_can_be_asked() -> None:
    ollama = Ollama(**{"a:1b": shown(), "b:latest": shown()})
    with ollama.running() as environment:
        version, models = installed_models(environment)
    assert version == "0.30.1"
    assert models == {"a:1b": 2_000_000_000, "b:latest": 2_000_000_000}


def test_a_list_that_makes_no_sense_names_no_models() -> None:
    routes = {
        "GET /api/version": (200, {"version": "0.1"}),
        "GET /api/tags": (
            200,
            {"models": [3, {"name": 4}, {"size": -1}, {"name": "a", "size": -1}]},
        ),
    }
    with server(routes) as (url, _):
        assert installed_models({"OLLAMA_HOST": url}) == ("0.1", {"a": None})
