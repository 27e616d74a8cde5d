"""Measuring on servers that somebody else started: what they are asked before and after."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from minionbench.deployments.single import Local
from minionbench.engines.attach import attach
from minionbench.engines.engine import Engine, EngineSettings
from minionbench.engines.ollama import attach_ollama
from minionbench.exchange import Outcome
from minionbench.measuring import Cell, Measured, Observer, Silent, measure
from minionbench.records import RequestRecord
from minionbench.runner import StopSwitch
from minionbench.verdict import judge
from tests.engines.servers import Answer, Asked, Ollama, Routes, chat, listing, server, shown
from tests.test_measuring import cell

MODEL = "llama3.2:3b"


def go(
    engine: Engine, *cells: Cell, cold: bool | None = True, observer: Observer | None = None
) -> list[Measured]:
    return measure(
        cells,
        Local(),
        {"local": engine},
        [],
        stop=StopSwitch(),
        observer=observer or Silent(),
        keep_text=True,
        cold=cold,
    )


class Counting:
    """A vLLM server that counts its requests in its metrics."""

    def __init__(self) -> None:
        self.requests = 0
        self.restart_at: int | None = None
        self.routes: dict[str, Any] = {
            "GET /v1/models": listing("m", owned_by="vllm", max_model_len=4096),
            "GET /metrics": lambda body: self.metrics(),
            "POST /v1/chat/completions": self.chat,
        }

    def chat(self, body: Any) -> Answer:
        self.requests += 1
        if self.requests == self.restart_at:
            self.requests = 0
        return chat()(body)

    def metrics(self) -> Answer:
        n, name = self.requests, "vllm:e2e_request_latency_seconds"
        page = f'{name}_bucket{{le="0.5",model_name="m"}} {n}\n'
        page += f'{name}_bucket{{le="+Inf",model_name="m"}} {n}\n'
        page += f'{name}_sum{{model_name="m"}} {n * 0.25}\n'
        page += f'vllm:prompt_tokens_total{{model_name="m"}} {n * 11}\n'
        return 200, page.encode()


def attached(routes: Routes, stack: ExitStack, **settings: Any) -> tuple[Engine, list[Asked]]:
    """The engine, and what its server is asked from now on."""
    url, asked = stack.enter_context(server(routes))
    engine = attach(url, None, EngineSettings(**settings))
    asked.clear()
    return engine, asked


def test_a_server_tells_of_the_measured_requests_alone() -> None:
    counting = Counting()
    with ExitStack() as stack:
        engine, _ = attached(counting.routes, stack)
        first, second = go(engine, cell("a", n=2, warmup=1, repeats=2), cell("b", n=3, repeats=1))
    assert first.servers["local"] == {
        "requests": 4,
        "prompt_tokens": 44,
        "total_latency_s": {
            "n": 4,
            "mean": 0.25,
            "p50": {"above": 0.0, "up_to": 0.5},
            "p90": {"above": 0.0, "up_to": 0.5},
            "p99": {"above": 0.0, "up_to": 0.5},
        },
    }
    assert second.servers["local"]["requests"] == 3
    assert (first.facts.template_tokens, first.facts.context_tokens) == (11, 4096)


def test_a_server_that_counts_anew_is_said_to_have_been_restarted() -> None:
    counting = Counting()
    with ExitStack() as stack:
        engine, _ = attached(counting.routes, stack)
        counting.restart_at = counting.requests + 3
        (outcome,) = go(engine, cell("a", n=2, warmup=1, repeats=1))
    assert outcome.servers["local"] == {"note": "the server was started anew while it was measured"}


@pytest.mark.parametrize("page", [(404, b""), (200, b"<html>"), (200, b"go_goroutines 1\n")])
def test_a_server_without_an_account_of_its_own_says_nothing(page: Answer) -> None:
    routes = {**Counting().routes, "GET /metrics": page}
    with ExitStack() as stack:
        engine, _ = attached(routes, stack)
        (outcome,) = go(engine, cell("a", repeats=1))
    assert outcome.servers == {}
    assert len(outcome.records) == 3


def flushing(answer: Any = (200, b"")) -> dict[str, Any]:
    return {
        "GET /v1/models": listing("m", owned_by="sglang"),
        "POST /v1/chat/completions": chat(),
        "POST /flush_cache": answer,
    }


def test_a_prefix_cache_is_emptied_before_every_phase() -> None:
    with ExitStack() as stack:
        engine, asked = attached(flushing(), stack)
        go(engine, cell("a", n=2, warmup=1, repeats=2))
        posts = [one.what.rpartition("/")[2] for one in asked if one.what.startswith("POST")]
    one, two = ["flush_cache", "completions"], ["flush_cache", "completions", "completions"]
    assert posts == [*one, *two, *two]


def test_a_prefix_cache_that_may_be_warm_is_left_alone() -> None:
    with ExitStack() as stack:
        engine, asked = attached(flushing(), stack, cache_prompt=True)
        go(engine, cell("a"), cold=None)
        assert "POST /flush_cache" not in {one.what for one in asked}


def test_nothing_is_measured_on_a_cache_that_cannot_be_emptied_any_more() -> None:
    left = iter([(200, b"")] * 2)  # when it is found, and before the warm-up
    busy: Answer = (400, {"error": "requests are running"})
    with ExitStack() as stack:
        engine, _ = attached(flushing(lambda body: next(left, busy)), stack)
        (outcome,) = go(engine, cell("a"))
    assert [record.phase for record in outcome.records] == ["warmup"]
    assert outcome.given_up == (
        "the server did not empty its prefix cache: HTTP 400: requests are running"
    )


def test_cached_tokens_beyond_the_template_are_seen_in_the_verdict() -> None:
    with ExitStack() as stack:
        routes = {**flushing(), "POST /v1/chat/completions": chat(prompt_tokens=20, cached=22)}
        engine, _ = attached(routes, stack)
        (fine,) = go(engine, cell("a", repeats=1))
        routes["POST /v1/chat/completions"] = chat(prompt_tokens=40, cached=23)
        (warm,) = go(engine, cell("a", repeats=1))
    assert "warm_prefix" in {one.rule for one in judge(fine.records, fine.facts).passed}
    reasons = {one.rule: one for one in judge(warm.records, warm.facts).reasons}
    assert "explains 22 at most" in reasons["warm_prefix"].message


def test_a_server_that_is_gone_half_way_ends_the_run_and_what_was_measured_stays() -> None:
    with ExitStack() as stack:
        engine, _ = attached(flushing(), stack)

        class Killing(Silent):
            def record(self, record: RequestRecord) -> None:
                if record.phase == "measured" and record.index == 2:
                    stack.close()

        first, second = go(engine, cell("a", n=30), cell("b"), observer=Killing())
    outcomes = [record.outcome for record in first.records if record.phase == "measured"]
    assert outcomes[:2] == [Outcome.OK, Outcome.OK]
    assert Outcome.CONNECT_FAILED in outcomes
    assert len(outcomes) < 30
    assert first.given_up is not None
    assert second.given_up is not None and "is gone" in second.given_up
    assert first.facts.engine_ended == second.given_up


# Ollama


def on_ollama(ollama: Ollama, *cells: Cell, **settings: Any) -> list[Measured]:
    with ollama.running() as environment:
        return go(attach_ollama(MODEL, EngineSettings(**settings), environment), *cells)


def test_ollama_is_measured_by_its_own_protocol() -> None:
    ollama = Ollama(**{MODEL: shown()})
    (outcome,) = on_ollama(ollama, cell("a", n=2, warmup=1, repeats=2))
    measured = [record for record in outcome.records if record.phase == "measured"]
    assert [record.outcome for record in measured] == [Outcome.OK] * 4
    reply = measured[0].calls[0].reply
    assert reply.text == "Hi!"
    assert reply.usage is not None and reply.usage.prompt_tokens == 12
    assert reply.engine is not None and reply.engine.load_ms == pytest.approx(20)
    asked = [body for body in ollama.bodies("POST /api/chat") if body["stream"]]
    assert {body["options"]["num_ctx"] for body in asked} == {4_096}
    assert all(body["truncate"] is False and body["keep_alive"] == "15m" for body in asked)
    beginnings = [body["messages"][0]["content"] for body in asked]
    assert len(set(beginnings)) == len(beginnings) == 5


def test_the_accelerators_memory_is_what_ollama_says_after_the_requests() -> None:
    ollama = Ollama(**{MODEL: shown()})
    (outcome,) = on_ollama(ollama, cell("a", repeats=1))
    assert outcome.held is not None
    assert outcome.held.vram_bytes == 2_000_000_000


def test_a_prompt_that_fills_the_context_is_told_as_cut() -> None:
    ollama = Ollama(**{MODEL: shown()})
    ollama.prompt_tokens = lambda body: 4_096 if body["stream"] else 12
    (outcome,) = on_ollama(ollama, cell("a", repeats=1))
    reasons = {one.rule: one for one in judge(outcome.records, outcome.facts).reasons}
    assert reasons["truncated_prompt"].severity == "invalid"
    assert "context of 4,096 tokens" in reasons["truncated_prompt"].message
