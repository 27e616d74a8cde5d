"""Every backend does what the page on deployments says that it does.

The ids of these tests are the evidence of that page's table (`tests/deployment_features.toml`).
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minionbench import Experiment
from minionbench.deployments.deployment import answer_of
from minionbench.deployments.single import Local, Remote
from minionbench.engines.engine import EngineSettings
from minionbench.exchange import Call, Limits, Message, Plan, Reply, Request, Side
from minionbench.records import RequestRecord
from minionbench.schema import BenchmarkCandidate, CellResult
from minionbench.store import read_records
from tests.backends import NAMES, PROVIDED, Backend, running
from tests.engines.servers import Ollama, shown
from tests.study import Questions


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> Iterator[None]:
    """What the other tests left behind is not looked through before each of the many runs here."""
    gc.freeze()
    yield
    gc.unfreeze()


COMMON = "All of the questions of this examination begin with one and the same long sentence. " * 3
FORCED = 5


class Alike(Questions):
    """Questions that all begin with the same words, as those about one document do."""

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        for request in super().requests(n, seed):
            content = COMMON + request.messages[0].content
            yield msgspec.structs.replace(
                request, messages=(Message("user", content),), input_tokens=60
            )


class Forced(Questions):
    """Questions whose answers are to have a length."""

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        limits = Limits(max_output_tokens=FORCED, forced_output_tokens=FORCED, seed=1)
        for request in super().requests(n, seed):
            yield msgspec.structs.replace(request, limits=limits)


class Outcome:
    """What a run came to."""

    def __init__(self, candidate: BenchmarkCandidate, cell: CellResult, path: Path) -> None:
        self.candidate = candidate
        self.cell = cell
        self.records: list[RequestRecord] = [
            record for record in read_records(path, cell) if record.phase == "measured"
        ]

    @property
    def replies(self) -> list[Reply]:
        return [call.reply for record in self.records for call in record.calls]

    @property
    def found(self) -> set[str]:
        """Rules of the verdict that speak against the run, or could not be checked."""
        return {reason.rule for reason in self.cell.verdict.reasons}


def measured(
    backend: Backend, folder: Path, workload: Questions | None = None, **settings: Any
) -> Outcome:
    fields: dict[str, Any] = {
        "num_requests": 3,
        "repeats": 1,
        "warmup": 0,
        "engine": backend.engine,
    } | settings
    experiment = Experiment(
        workload or Questions(output_tokens=32),
        backend.deployment,
        output_dir=folder,
        **fields,
    )
    (candidate,) = experiment.run().candidates
    assert candidate.cells, candidate.latency_ms.error_message
    assert experiment.path is not None
    outcome = Outcome(candidate, candidate.cells[0], experiment.path)
    assert all(record.ok for record in outcome.records), outcome.records
    return outcome


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_streamed_and_counted(name: str, random_model: Path, tmp_path: Path) -> None:
    """As many tokens as the other side itself knows of, an event for each."""
    with running(name, random_model) as backend:
        outcome = measured(backend, tmp_path)
        log = backend.simulator.log() if backend.simulator is not None else ()
    assert len(outcome.replies) == 3
    counted = [reply.usage.completion_tokens for reply in outcome.replies if reply.usage]
    generated = [
        (entry.text_tokens or 0) + (entry.reasoning_tokens or 0) for entry in log if entry.writes
    ]
    if log:
        assert counted == generated[-3:]
        assert [len(reply.event_ns) for reply in outcome.replies] == counted
    else:
        own = [reply.engine.predicted_tokens for reply in outcome.replies if reply.engine]
        assert counted == own
        assert all(len(reply.event_ns) > 1 for reply in outcome.replies)
    assert outcome.cell.metrics["total_latency_s"].status == "ok"
    assert "token_count" not in outcome.found


SWITCHED = tuple(name for name in NAMES if name not in ("embedded", "lm-studio", "tgi"))


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("name", SWITCHED)
def test_reasoning_is_switched_and_proven(
    name: str, on: bool, random_model: Path, tmp_path: Path
) -> None:
    with running(name, random_model) as backend:
        outcome = measured(backend, tmp_path, reasoning=on)
    assert "reasoning" not in outcome.found
    seen = outcome.cell.metrics["ttfo_s"].metadata["reasoning"]
    assert seen["streamed"] + seen["hidden"] == (3 if on else 0)


@pytest.mark.parametrize("name", SWITCHED)
def test_reasoning_that_does_not_heed_its_switch_is_found_out(
    name: str, random_model: Path, tmp_path: Path
) -> None:
    with running(name, random_model, reasoning="always") as backend:
        outcome = measured(backend, tmp_path, reasoning=False)
    assert "reasoning" in outcome.found
    assert outcome.cell.verdict.status == "invalid"


@pytest.mark.parametrize("name", ["lm-studio", "tgi"])
def test_reasoning_is_refused_where_no_switch_is_known(
    name: str, random_model: Path, tmp_path: Path
) -> None:
    with running(name, random_model) as backend:
        experiment = Experiment(
            Questions(), backend.deployment, reasoning=True, num_requests=1, output_dir=tmp_path
        )
        (candidate,) = experiment.run().candidates
    assert "cannot be switched on" in str(candidate.latency_ms.error_message)


COUNTS_CACHED = tuple(name for name in NAMES if name not in ("ollama", "anthropic"))
"""Backends whose simulated server counts what its cache served of a prompt asked as usual."""


@pytest.mark.parametrize("name", COUNTS_CACHED)
def test_a_cold_prefix_is_kept_and_checked(name: str, random_model: Path, tmp_path: Path) -> None:
    """Questions that begin alike, each asked twice; the same with the cache at work."""
    with running(name, random_model) as backend:
        cold = measured(backend, tmp_path, Alike(output_tokens=32), repeats=2)
        warm = measured(
            backend,
            tmp_path,
            Alike(output_tokens=32),
            engine=msgspec.structs.replace(backend.engine, cache_prompt=True),
        )
    assert "warm_prefix" not in cold.found, "it was checked, and held"
    assert max(cached(reply) for reply in warm.replies) >= 16


def test_a_cache_that_waits_to_be_asked_is_cold_and_checked(
    random_model: Path, tmp_path: Path
) -> None:
    """Anthropic's, which keeps only what a request marks."""
    with running("anthropic", random_model) as backend:
        outcome = measured(backend, tmp_path, Alike(output_tokens=32), repeats=2)
    assert "warm_prefix" not in outcome.found
    assert [reply.usage.cached_tokens for reply in outcome.replies if reply.usage] == [0] * 6


@pytest.mark.parametrize(("served", "warm"), [(12, False), (40, True)])
def test_what_ollama_says_of_its_cache_is_checked(
    served: int, warm: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ollama = Ollama(m_latest=shown())
    ollama.cached = served
    with ollama.running() as environment:
        monkeypatch.setenv("OLLAMA_HOST", environment["OLLAMA_HOST"])
        backend = Backend(Local("ollama/m"), EngineSettings(), None)
        outcome = measured(backend, tmp_path)
    assert ("warm_prefix" in outcome.found) is warm
    prompts = [body["messages"][0]["content"] for body in ollama.bodies("POST /api/chat")]
    assert len(set(prompts)) == len(prompts), "each begins with words of its own"


def cached(reply: Reply) -> int:
    told = [one.cached_tokens for one in (reply.usage, reply.engine) if one is not None]
    return max((tokens for tokens in told if tokens is not None), default=0)


@pytest.mark.parametrize("name", ["embedded", "vllm", "sglang", "llama-server", "tensorrt-llm"])
def test_a_length_is_forced(name: str, random_model: Path, tmp_path: Path) -> None:
    with running(name, random_model) as backend:
        outcome = measured(backend, tmp_path, Forced())
    counted = [reply.usage.completion_tokens for reply in outcome.replies if reply.usage]
    assert counted == [FORCED] * 3
    assert "forced_length" not in outcome.found


@pytest.mark.parametrize("name", ["ollama", "lm-studio", "tgi", "mlx", *PROVIDED])
def test_a_length_that_cannot_be_forced_limits_the_answer_alone(
    name: str, random_model: Path, tmp_path: Path
) -> None:
    """Reasoning is not paid for out of it: there is always an answer to be seen."""
    with running(name, random_model) as backend:
        reasoning = None if name in ("lm-studio", "tgi") else True
        outcome = measured(backend, tmp_path, Forced(), reasoning=reasoning)
    assert all(reply.text for reply in outcome.replies)


SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 8}, "right": {"type": "boolean"}},
    "required": ["answer", "right"],
    "additionalProperties": False,
}


def ask_bound(side: Side, request: Request) -> Plan:
    """One call whose answer is to follow the schema."""
    call = Call(side=side, messages=request.messages, limits=request.limits, schema=SCHEMA)
    (reply,) = yield (call,)
    return answer_of(reply, 0)


class BoundLocal(Local):
    def plan(self, request: Request) -> Plan:
        return ask_bound("local", request)


class BoundRemote(Remote):
    def plan(self, request: Request) -> Plan:
        return ask_bound("remote", request)


def bound(backend: Backend, folder: Path) -> list[Reply]:
    """What the backend answers under the schema."""
    given = backend.deployment
    deployment: Local | Remote
    if isinstance(given, Local):
        deployment = BoundLocal(given.model, url=given.url)
    else:
        deployment = BoundRemote(given.model, url=given.url)
    questions = Questions(output_tokens=128)
    return measured(backend._replace(deployment=deployment), folder, questions, repeats=1).replies


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("mlx", "deepseek")])
def test_an_answer_is_bound_to_a_schema(name: str, random_model: Path, tmp_path: Path) -> None:
    with running(name, random_model) as backend:
        replies = bound(backend, tmp_path)
    for reply in replies:
        document = json.loads(reply.text or "")
        assert set(document) == {"answer", "right"}
        assert isinstance(document["right"], bool)


@pytest.mark.parametrize("name", ["mlx", "deepseek"])
def test_no_schema_is_sent_where_none_is_taken(
    name: str, random_model: Path, tmp_path: Path
) -> None:
    with running(name, random_model) as backend:
        replies = bound(backend, tmp_path)
    assert not any((reply.text or "").startswith("{") for reply in replies)


@pytest.mark.parametrize("name", ["embedded", "ollama", "llama-server"])
def test_the_engines_own_timings_stand_in_the_record(
    name: str, random_model: Path, tmp_path: Path
) -> None:
    with running(name, random_model) as backend:
        outcome = measured(backend, tmp_path)
    for reply in outcome.replies:
        own = reply.engine
        assert own is not None
        assert own.prompt_ms is not None and own.predicted_ms is not None
        assert own.predicted_tokens


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("vllm", {"ttft_s", "itl_s", "queue_s"}),
        ("sglang", {"ttft_s", "itl_s", "queue_s"}),
        ("llama-server", {"itl_s", "prompt_tokens"}),
        ("tgi", {"requests", "total_latency_s"}),
    ],
    ids=["vllm", "sglang", "llama-server", "tgi"],
)
def test_the_servers_own_metrics_stand_beside_ours(
    name: str, figures: set[str], random_model: Path, tmp_path: Path
) -> None:
    with running(name, random_model) as backend:
        outcome = measured(backend, tmp_path)
    assert figures <= outcome.cell.settings["server"]["local"].keys()


def test_what_ollama_holds_in_the_accelerator_is_read(random_model: Path, tmp_path: Path) -> None:
    with running("ollama", random_model) as backend:
        vram = measured(backend, tmp_path).candidate.metrics["peak_vram_mb"]
    assert vram.status == "ok"
    assert "/api/ps" in vram.metadata["method"]


REFUSALS = {
    "context_length": r"the prompt is longer than",
    "unauthorized": r"wants a key|does not accept the key|--api-key-env",
    "quota": r"quota",
}
"""Faults of the simulator, and what the document says of them."""


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "embedded"])
def test_a_refusal_is_named(name: str, fault: str, random_model: Path, tmp_path: Path) -> None:
    with running(name, random_model, faults=((fault, 1.0),)) as backend:
        experiment = Experiment(
            Questions(output_tokens=32),
            backend.deployment,
            engine=backend.engine,
            num_requests=2,
            warmup=0,
            repeats=1,
            output_dir=tmp_path,
        )
        (candidate,) = experiment.run().candidates
    assert candidate.latency_ms.status == "error"
    assert re.search(REFUSALS[fault], document(candidate)), document(candidate)


def document(candidate: BenchmarkCandidate) -> str:
    """All that a candidate says went wrong."""
    said = [str(candidate.latency_ms.error_message)]
    for cell in candidate.cells:
        said += [f"{reason.message} {reason.advice}" for reason in cell.verdict.reasons]
    return "\n".join(said)


def test_a_prompt_too_long_for_the_embedded_engine_is_named(
    random_model: Path, tmp_path: Path
) -> None:
    class Long(Questions):
        def requests(self, n: int, seed: int) -> Iterator[Request]:
            for request in super().requests(n, seed):
                message = Message("user", "too long " * 5_000)
                yield msgspec.structs.replace(request, messages=(message,))

    with running("embedded", random_model) as backend:
        experiment = Experiment(
            Long(), backend.deployment, num_requests=1, warmup=0, repeats=1, output_dir=tmp_path
        )
        (candidate,) = experiment.run().candidates
    assert "the prompt is longer than the model's context" in document(candidate)
