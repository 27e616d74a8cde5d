"""Each server that is posed as has its own routes, lists and metrics, and none of the others'."""

from __future__ import annotations

import re
from typing import Any

import pytest

from minionbench.simulator import Fixed, Simulator
from minionbench.simulator.routes import ANSWER_ROUTES, INQUIRIES
from minionbench.simulator.server_kind import SERVER_KINDS
from tests.simulator.conftest import Start
from tests.simulator.raw import CHAT, ask, chat

BODY: Any = {
    "model": "sim",
    "messages": [{"role": "user", "content": "hi"}],
    "input": "hi",
    "prompt": "hi",
    "max_tokens": 16,
}


@pytest.mark.parametrize("server", SERVER_KINDS)
def test_a_server_has_its_own_routes_only(start: Start, server: Any) -> None:
    simulator = start(server=server, answer_tokens=2, timing=Fixed())
    for path, route in ANSWER_ROUTES.items():
        names = {"/v1/responses": ("model", "input"), "/v1/completions": ("model", "prompt")}
        fields: tuple[str, ...] = names.get(path, ("model", "messages"))
        if path == "/v1/messages":
            fields = ("model", "messages", "max_tokens")
        status = ask(simulator, path, {name: BODY[name] for name in fields}).status
        assert status == (200 if server in route.servers else 404), path
    for path, (method, servers) in INQUIRIES.items():
        body = None if method == "GET" else BODY
        status = ask(simulator, path, body).status
        assert status == (200 if server in servers else 404), path


@pytest.mark.parametrize(
    ("server", "owner"),
    [("vllm", "vllm"), ("sglang", "sglang"), ("llamacpp", "llamacpp"), ("ollama", "library")],
)
def test_a_server_is_known_by_its_list_of_models(start: Start, server: Any, owner: str) -> None:
    entry = ask(start(server=server), "/v1/models").json()["data"][0]
    assert entry["owned_by"] == owner
    assert (entry.get("max_model_len") == 32_768) == (server in ("vllm", "sglang"))


def metric(simulator: Simulator, name: str) -> float:
    text = ask(simulator, "/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return float(found[1])


@pytest.mark.parametrize(
    ("server", "prompt", "generated"),
    [
        ("vllm", "vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
        ("sglang", "sglang:prompt_tokens_total", "sglang:generation_tokens_total"),
        ("llamacpp", "llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total"),
    ],
)
def test_metrics_count_what_was_served(
    start: Start, server: Any, prompt: str, generated: str
) -> None:
    simulator = start(server=server, timing=Fixed(ttft_ms=2, itl_ms=1))
    for _ in range(3):
        usage = ask(simulator, CHAT, chat(max_tokens=10)).json()["usage"]
    assert metric(simulator, generated) == 30
    assert metric(simulator, prompt) == 3 * usage["prompt_tokens"]


def test_a_histogram_has_the_servers_own_view(start: Start) -> None:
    simulator = start(server="vllm", timing=Fixed(ttft_ms=2, itl_ms=1))
    for _ in range(2):
        ask(simulator, CHAT, chat(max_tokens=10, stream=True))
    assert metric(simulator, "vllm:time_to_first_token_seconds_count") == 2
    assert metric(simulator, "vllm:inter_token_latency_seconds_count") == 18
    log = simulator.log()[:2]
    ttft_s = sum(entry.ttft_ns or 0 for entry in log) / 1e9
    assert metric(simulator, "vllm:time_to_first_token_seconds_sum") == pytest.approx(ttft_s)
    assert metric(simulator, "vllm:num_requests_running") == 0


def test_cached_tokens_show_in_the_metrics_and_can_be_flushed(start: Start) -> None:
    simulator = start(server="vllm", cache_block_tokens=1)
    body = chat("a long enough prompt", max_tokens=1)
    for path in (CHAT, CHAT, "/reset_prefix_cache", CHAT):
        assert ask(simulator, path, body if path == CHAT else {}).status == 200
    cached = [entry.cached_tokens for entry in simulator.log() if entry.path == CHAT]
    assert cached[0] == cached[2] == 0
    assert cached[1]
    assert metric(simulator, "vllm:prefix_cache_hits_total") == cached[1]


def test_llamacpp_tells_its_context_and_its_tokens(start: Start) -> None:
    simulator = start(server="llamacpp", slots=3)
    props = ask(simulator, "/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 32_768
    assert props["total_slots"] == len(ask(simulator, "/slots").json()) == 3
    pieces = ask(simulator, "/tokenize", {"content": "one two", "with_pieces": True}).json()
    assert [token["piece"] for token in pieces["tokens"]] == ["one", " two"]
    assert ask(simulator, "/health").json() == {"status": "ok"}


def test_vllm_counts_tokens(start: Start) -> None:
    answer = ask(start(server="vllm"), "/tokenize", {"prompt": "one two"}).json()
    assert (answer["count"], len(answer["tokens"])) == (2, 2)


def test_deepseek_needs_no_v1(start: Start) -> None:
    simulator = start(server="deepseek")
    assert ask(simulator, "/chat/completions", chat()).status == 200
    assert ask(simulator, "/models").status == 200


def test_a_head_request_has_no_body(simulator: Simulator) -> None:
    import socket

    from tests.simulator.raw import TIMEOUT_S, request_bytes

    with socket.create_connection(("127.0.0.1", simulator.port), TIMEOUT_S) as sock:
        sock.sendall(request_bytes("/", method="HEAD", connection="close"))
        data = b""
        while more := sock.recv(4_096):
            data += more
    assert data.startswith(b"HTTP/1.1 200")
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("server", ["vllm", "llamacpp", "ollama", "openai"])
def test_errors_are_in_the_servers_own_form(start: Start, server: Any) -> None:
    simulator = start(server=server)
    missing = ask(simulator, CHAT, {**chat(), "model": "nobody"})
    assert missing.status == 404
    error = missing.json()["error"]
    expected = {
        "vllm": 404,
        "llamacpp": 404,
        "ollama": "model_not_found",
        "openai": "model_not_found",
    }
    assert error["code"] == expected[server]
    long = ask(simulator, CHAT, {**chat("word " * 500), "model": "small"})
    assert long.status == 400
    if server == "llamacpp":
        assert long.json()["error"]["n_ctx"] == 200
