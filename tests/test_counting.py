"""Tokens that a server did not count are counted by its tokenizer, afterwards and by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minionbench.counting import count_afterwards
from minionbench.engines.attach import attach
from minionbench.engines.engine import Engine, EngineFacts, EngineSettings
from minionbench.exchange import Endpoint, Outcome, Usage
from minionbench.measuring import Measured
from minionbench.meters.memory import MemoryReading
from minionbench.records import RequestRecord
from minionbench.runner import StopSwitch
from minionbench.schema import BenchmarkRun, CellResult
from minionbench.simulator.settings import SimulatedModel, SimulatorSettings
from minionbench.simulator.simulator import Simulator
from minionbench.simulator.tokens import count_tokens
from minionbench.store import read_records
from minionbench.verdict import RunFacts
from tests.cli.calling import call
from tests.engines.servers import Routes, chat, listing, server
from tests.making import record
from tests.test_measuring import cell

BY_TOKENIZER = "the server's tokenizer, of the text that came"
SIZE = ("-w", "decode", "-n", "2", "--repeats", "2", "--warmup", "1")


def run(
    capsys: pytest.CaptureFixture[str], folder: Path, url: str, *flags: str
) -> tuple[CellResult, list[RequestRecord]]:
    call(capsys, "run", *SIZE, "--url", url, "-o", str(folder), *flags)
    (path,) = folder.glob("benchmark_*.json")
    (measured,) = BenchmarkRun.load(path).candidates[0].cells
    return measured, read_records(path, measured)


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_server_without_usage_is_asked_for_its_tokens_after_the_run(
    kind: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = SimulatedModel(name="sim", reasoning="always", shown="apart")
    settings = SimulatorSettings(server=kind, usage=False, models=(model,), answer_tokens=20)
    with Simulator(settings) as simulator:
        measured, records = run(capsys, tmp_path, simulator.base_url)
        paths = [entry.path for entry in simulator.log()]
    asked = [place for place, path in enumerate(paths) if path == "/tokenize"]
    answers = [place for place, path in enumerate(paths) if path.endswith("/completions")]
    assert len(asked) == 4 and min(asked) > max(answers)
    for one in records:
        (reply,) = (made.reply for made in one.calls)
        assert reply.usage is None or reply.usage.completion_tokens is None
        if one.phase == "warmup":
            assert reply.tokenizer_tokens is None
            continue
        text = (reply.reasoning or "") + (reply.text or "")
        assert reply.reasoning and reply.tokenizer_tokens == count_tokens(text)
    rate = measured.metrics["tokens_per_sec"]
    assert rate.status == "ok" and rate.metadata["tokens"]["by"] == BY_TOKENIZER
    assert measured.metrics["tpot_s"].status == "ok"
    assert rate.metadata["tokens"]["output"] == sum(
        one.calls[0].reply.tokenizer_tokens or 0 for one in records
    )


def test_the_engines_own_count_goes_before_the_tokenizers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Simulator(SimulatorSettings(server="llamacpp", usage=False)) as simulator:
        measured, _ = run(capsys, tmp_path, simulator.base_url)
        assert not any(entry.path == "/tokenize" for entry in simulator.log())
        engine = attach(simulator.base_url, None, EngineSettings())
        assert engine.count_tokens("one two three") == count_tokens("one two three")
        simulator.stop()
        assert engine.count_tokens("one two three") is None
    by = measured.metrics["tokens_per_sec"].metadata["tokens"]["by"]
    assert by == "the engine's own count"


def test_what_a_server_counts_itself_is_asked_of_nobody_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Simulator(SimulatorSettings(server="vllm", answer_tokens=20)) as simulator:
        measured, records = run(capsys, tmp_path, simulator.base_url)
        assert not any(entry.path == "/tokenize" for entry in simulator.log())
    assert measured.metrics["tokens_per_sec"].metadata["tokens"]["by"] == "the server's usage"
    assert all(made.reply.tokenizer_tokens is None for one in records for made in one.calls)


@pytest.mark.parametrize("flags", [(), ("--no-text",)])
def test_without_text_or_tokenizer_the_tokens_stay_unknown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: tuple[str, ...]
) -> None:
    kind: Any = "vllm" if flags else "lmstudio"
    with Simulator(SimulatorSettings(server=kind, usage=False, answer_tokens=9)) as simulator:
        measured, records = run(capsys, tmp_path, simulator.base_url, *flags)
        assert not any(entry.path == "/tokenize" for entry in simulator.log())
    assert measured.metrics["tpot_s"].status == "skipped"
    assert "did not count" in measured.metrics["tpot_s"].metadata["reason"]
    assert all(made.reply.tokenizer_tokens is None for one in records for made in one.calls)


@pytest.mark.parametrize(
    "said", [(404, {"error": "no"}), (200, {"tokens": 7}), (200, []), (200, b"<html>")]
)
def test_a_tokenizer_that_does_not_answer_is_asked_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, said: Any
) -> None:
    answer = (
        b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )
    routes: Routes = {
        "GET /v1/models": listing("m", owned_by="vllm"),
        "POST /v1/chat/completions": lambda body: (
            (200, answer) if body.get("stream") else chat()(body)
        ),
        "POST /tokenize": said,
    }
    with server(routes) as (url, asked):
        measured, _ = run(capsys, tmp_path, url)
    assert [one.what for one in asked].count("POST /tokenize") == 1
    assert measured.metrics["tpot_s"].status == "skipped"


# --- by hand


class Tokenizer(Engine):
    """An engine that counts a token for each character, and may stop the run while it does."""

    def __init__(self, stop: StopSwitch | None = None) -> None:
        facts = EngineFacts(name="by hand", embedded=False, model="m")
        super().__init__(Endpoint("http://127.0.0.1:9", "m"), facts)
        self.asked: list[str] = []
        self._stop = stop

    def count_tokens(self, text: str) -> int | None:
        self.asked.append(text)
        if self._stop is not None:
            self._stop.throw("enough")
        return len(text)


class Kept:
    """Where records go."""

    def __init__(self) -> None:
        self.amended: list[RequestRecord] = []

    def amend(self, records: Sequence[RequestRecord]) -> None:
        self.amended = list(records)


def uncounted(item: str, **more: Any) -> RequestRecord:
    made = record(item=item, events=[20, 30])
    (only,) = made.calls
    fields = {"usage": None, "engine": None, "text": "four", "reasoning": None, **more}
    reply = msgspec.structs.replace(only.reply, **fields)
    return msgspec.structs.replace(
        made,
        calls=(msgspec.structs.replace(only, reply=reply),),
        outcome=reply.outcome,
    )


def counted(records: Sequence[RequestRecord], engine: Tokenizer, stop: StopSwitch) -> list[Any]:
    side = records[0].calls[0].side
    outcome = Measured(
        cell=cell("a", repeats=1),
        records=tuple(records),
        facts=RunFacts(),
        memory=MemoryReading(peak_bytes=None, reason="by hand"),
        given_up=None,
    )
    kept = Kept()
    (found,) = count_afterwards([outcome], {side: engine}, kept, stop=stop)
    changed = [new for new, old in zip(found.records, records, strict=True) if new != old]
    assert kept.amended == changed
    return [one.calls[0].reply.tokenizer_tokens for one in found.records]


def test_only_whole_uncounted_answers_of_measured_requests_are_counted() -> None:
    engine = Tokenizer()
    records = [
        uncounted("a"),
        uncounted("b", reasoning="so", first_reasoning_ns=20),
        uncounted("c", usage=Usage(prompt_tokens=3)),
        uncounted("d", usage=Usage(completion_tokens=3)),
        uncounted("e", text=None),
        uncounted("f", outcome=Outcome.TRUNCATED),
        uncounted("g", usage=Usage(reasoning_tokens=5)),
        msgspec.structs.replace(uncounted("h"), phase="warmup"),
    ]
    expected = [4, 6, 4, None, None, None, None, None]
    assert counted(records, engine, StopSwitch()) == expected
    assert engine.asked == ["four", "sofour", "four"]


def test_counting_ends_when_the_run_is_stopped() -> None:
    stop = StopSwitch()
    engine = Tokenizer(stop)
    assert counted([uncounted("a"), uncounted("b"), uncounted("c")], engine, stop) == [
        4,
        None,
        None,
    ]
    assert len(engine.asked) == 1
