"""Which kind of server it is, by what servers of the field answer."""

from __future__ import annotations

from typing import Any

import pytest

from minionbench.engines.server_kind import (
    KINDS,
    Asker,
    ServerKind,
    context_tokens,
    has_metrics,
    look,
    manners_for,
    version,
)
from minionbench.transport.http import Url
from tests.engines.servers import Answer, listing, server
from tests.engines.support import raw_server

BARE = {"GET /v1/models": listing("m")}
BY_NAME = {kind.name: kind for kind in KINDS}


def looked(routes: dict[str, Answer], header: str = "test") -> tuple[ServerKind, Asker]:
    routes = {**BARE, **routes}
    with server(routes, header) as (url, _):
        asker = Asker(Url(url))
        listed = asker.ask("/v1/models")
        kind = look(asker, listed)
        version(asker, kind), context_tokens(asker, kind, "m"), has_metrics(asker, kind)
    return kind, asker


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("vllm", "vllm"),
        ("sglang", "sglang"),
        ("llamacpp", "llama.cpp"),
        ("library", "ollama"),
        ("organization_owner", "lm-studio"),
        ("tensorrt_llm", "tensorrt-llm"),
        ("openai", "openai-compatible"),
    ],
)
def test_a_server_is_known_by_the_owner_that_it_names(owner: str, name: str) -> None:
    kind, _ = looked({"GET /v1/models": listing("m", owned_by=owner)})
    assert kind.name == name


@pytest.mark.parametrize(
    ("routes", "name"),
    [
        ({"GET /props": (200, {"build_info": "b1-abc"})}, "llama.cpp"),
        ({"GET /get_model_info": (200, {"model_path": "m"})}, "sglang"),
        ({"GET /api/v0/models": (200, {"data": [{"state": "loaded"}]})}, "lm-studio"),
        ({"GET /api/v0/models": (200, {"data": [{"id": "m"}]})}, "openai-compatible"),
        ({"GET /api/v0/models": (200, {"data": []})}, "openai-compatible"),
        ({"GET /info": (200, {"model_id": "m", "max_total_tokens": 9})}, "tgi"),
        ({"GET /api/version": (200, {"version": "0.1"})}, "ollama"),
        ({"GET /metrics": (200, b"# HELP\nvllm:num_requests_running 0\n")}, "vllm"),
        ({"GET /metrics": (200, b"sglang:token_usage 0\n")}, "sglang"),
        ({"GET /metrics": (200, b"process_x 0\ntgi_queue_size 0\n")}, "tgi"),
        ({"GET /metrics": (200, b"not_vllm:x 0\n")}, "openai-compatible"),
        ({"GET /info": (200, {"version": "1"})}, "openai-compatible"),
        ({}, "openai-compatible"),
    ],
)
def test_or_by_what_only_that_kind_answers(routes: dict[str, Answer], name: str) -> None:
    kind, _ = looked(routes)
    assert kind.name == name


def test_or_by_its_header() -> None:
    assert looked({}, "llama.cpp")[0].name == "llama.cpp"


def test_mlx_is_known_by_its_bareness_and_health() -> None:
    health: dict[str, Answer] = {"GET /health": (200, {"status": "ok"})}
    assert looked(health, "BaseHTTP/0.6 Python/3.12")[0].name == "mlx"
    assert looked(health, "uvicorn")[0].name == "openai-compatible"
    assert looked({}, "BaseHTTP/0.6 Python/3.12")[0].name == "openai-compatible"


def test_versions_and_contexts_are_read_where_each_kind_has_them() -> None:
    kind, asker = looked(
        {
            "GET /props": (
                200,
                {"build_info": "b11549", "default_generation_settings": {"n_ctx": 4096}},
            )
        }
    )
    assert (version(asker, kind), context_tokens(asker, kind, "m")) == ("b11549", 4096)
    routes: dict[str, Answer] = {
        "GET /v1/models": listing("m", owned_by="sglang"),
        "GET /get_server_info": (200, {"version": "0.5"}),
    }
    kind, asker = looked(routes)
    assert (version(asker, kind), context_tokens(asker, kind, "m")) == ("0.5", None)
    kind, asker = looked({"GET /info": (200, {"version": "3.3", "max_total_tokens": 8192})})
    assert (version(asker, kind), context_tokens(asker, kind, "m")) == ("3.3", 8192)
    entries = [
        {"id": "other", "state": "loaded", "loaded_context_length": 1},
        {"id": "m", "state": "loaded", "loaded_context_length": 2},
    ]
    kind, asker = looked({"GET /api/v0/models": (200, {"data": entries})})
    assert context_tokens(asker, kind, "m") == 2


@pytest.mark.parametrize(
    "said", [{"build_info": 3}, {"build_info": "\x1b[2J" * 99, "default_generation_settings": 5}]
)
def test_nonsense_is_not_taken_over(said: Any) -> None:
    kind, asker = looked({"GET /props": (200, said)})
    told = version(asker, kind)
    assert told is None or (told.isprintable() and len(told) < 110)
    assert context_tokens(asker, kind, "m") is None


@pytest.mark.parametrize(
    ("kind", "model", "switch"),
    [
        ("vllm", "Qwen/Qwen3-8B", "enable_thinking"),
        ("vllm", "openai/gpt-oss-20b", "reasoning_effort"),
        ("sglang", "deepseek-ai/DeepSeek-V3.1", "template_thinking"),
        ("vllm", "ibm-granite/granite-3.3-8b", "template_thinking"),
        ("llama.cpp", "m", "enable_thinking"),
        ("ollama", "gpt-oss:20b", "reasoning_effort"),
        ("lm-studio", "m", "none"),
    ],
)
def test_the_switch_for_reasoning_goes_by_server_and_model(
    kind: str, model: str, switch: str
) -> None:
    assert manners_for(BY_NAME[kind], model, raw=False).switch == switch
    raw = manners_for(BY_NAME[kind], model, raw=True)
    assert (raw.switch, raw.raw) == ("none", True)


def test_a_length_is_forced_only_where_the_server_is_known_to_go_on() -> None:
    goes_on = {kind.name for kind in KINDS if kind.manners.ignores_end}
    assert goes_on == {"vllm", "sglang", "llama.cpp", "tensorrt-llm"}
    assert BY_NAME["vllm"].manners.min_tokens_field == "min_tokens"


def test_every_kind_has_a_name_of_its_own_and_a_source() -> None:
    assert len(BY_NAME) == len(KINDS)
    assert all(kind.source and kind.label for kind in KINDS)


def test_each_route_is_asked_once() -> None:
    with server({"GET /props": (200, {"build_info": "b"})}) as (url, asked):
        asker = Asker(Url(url))
        assert asker.document("/props") == asker.document("/props")
        assert asker.text("/absent") == asker.text("/absent") == ""
    assert [one.what for one in asked] == ["GET /props", "GET /absent"]


def test_a_server_that_keeps_us_waiting_is_asked_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("minionbench.engines.server_kind.PROBE_S", 0.05)
    with raw_server(lambda peer: print(peer.recv(1 << 16), peer.recv(1))) as url:
        asker = Asker(Url(url))
        assert asker.answer("/props") is None
        assert asker.answer("/info") is None
