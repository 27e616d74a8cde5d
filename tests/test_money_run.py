"""Whole runs whose calls cost something, against simulated providers: what is billed is what the
prices say of what the server counted, and a limit on it is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from minionbench import Experiment, Local, Remote
from minionbench.allowance import Allowance
from minionbench.engines.engine import EngineSettings
from minionbench.errors import UsageError
from minionbench.exchange import Outcome, Reference, Usage
from minionbench.experiment import run_experiment
from minionbench.load import ClosedLoop
from minionbench.measuring import Silent
from minionbench.prices import Price
from minionbench.quality.grading.judgement import Grade, Grader, Judgement
from minionbench.records import RequestRecord
from minionbench.recovery import recover_run
from minionbench.regrading import regrade_run
from minionbench.schema import BenchmarkRun, CellResult
from minionbench.simulator import Rule, SimulatedModel, Simulator, SimulatorSettings
from minionbench.simulator.server_kind import ServerKind
from minionbench.store import read_records
from tests.cli.calling import call
from tests.study import Questions
from tests.test_hybrid_run import settings as hybrid_settings
from tests.test_hybrid_run import simulator as two_models
from tests.test_recovery import Snapshot

SERVERS: dict[str, ServerKind] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "deepseek": "deepseek",
}


@contextmanager
def provider(model: str, patch: pytest.MonkeyPatch, **settings: Any) -> Iterator[Simulator]:
    """A simulator that poses as the provider of a model."""
    name, _, simulated = model.partition("/")
    fields = {"answer_tokens": 8, "cache_block_tokens": 4} | settings
    with Simulator(
        SimulatorSettings(server=SERVERS[name], models=(SimulatedModel(name=simulated),), **fields)
    ) as server:
        url = server.base_url if name == "anthropic" else server.openai_url
        patch.setenv(f"{name.upper()}_BASE_URL", url)
        yield server


def experiment(model: str, folder: Path, **settings: Any) -> Experiment:
    fields: dict[str, Any] = {
        "num_requests": 4,
        "repeats": 2,
        "warmup": 0,
        "output_dir": folder,
        "engine": EngineSettings(cache_prompt=True),
    }
    return Experiment(Questions("balanced", output_tokens=16), Remote(model), **fields | settings)


def ran(asked: Experiment) -> tuple[BenchmarkRun, CellResult, list[RequestRecord]]:
    run = asked.run()
    (cell,) = run.candidates[0].cells
    assert asked.path is not None
    return run, cell, list(read_records(asked.path, cell))


def tokens(counted: list[Usage]) -> tuple[int, int, int]:
    """Tokens of the prompts that came from no cache, of those that did, and generated ones."""
    cached = sum(u.cached_tokens or 0 for u in counted)
    prompt = sum(u.prompt_tokens or 0 for u in counted)
    return prompt - cached, cached, sum(u.completion_tokens or 0 for u in counted)


def usages(records: list[RequestRecord]) -> list[Usage]:
    found = [call.reply.usage for record in records for call in record.calls]
    assert all(usage is not None and usage.prompt_tokens for usage in found)
    return [usage for usage in found if usage is not None]


def test_cached_tokens_of_openai_cost_what_cached_tokens_cost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with provider("openai/gpt-5.5", monkeypatch):
        _, cell, records = ran(experiment("openai/gpt-5.5", tmp_path))
    counted = usages(records)
    fresh, cached, generated = tokens(counted)
    assert cached > 0, "repeats come from the cache"
    # gpt-5.5 of genai-prices 0.2.3: 5, 0.5 and 30 dollars per million.
    by_hand = 5 * fresh + 0.5 * cached + 30 * generated
    cost = cell.metrics["cost_usd"]
    assert cost.value == pytest.approx(by_hand / 1e6 / len(counted))
    assert cost.metadata["total_usd"] == pytest.approx(by_hand / 1e6)
    source = cost.metadata["price_source"]
    assert (source["name"], source["provider"], source["model"]) == (
        "genai-prices",
        "openai",
        "gpt-5.5",
    )
    assert source["version"]
    assert "another address" in source["note"]
    (price,) = cost.metadata["unit_prices_usd_per_million"]
    assert (price["input_usd"], price["cached_input_usd"], price["output_usd"]) == (5, 0.5, 30)
    mixed = by_hand / (fresh + cached + generated)
    assert cell.metrics["cost_usd_per_million_tokens"].value == pytest.approx(mixed)
    energy = cell.metrics["remote_energy_wh"]
    assert energy.status == "ok"
    assert energy.metadata["basis"] == "modelled"
    assert energy.metadata["range"]["low"] < energy.metadata["range"]["high"]
    assert "electricity_cost_usd" not in cell.metrics


def test_reads_from_and_writes_to_anthropics_cache_have_their_own_prices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = EngineSettings(cache_prompt=True, extra_body={"cache_control": {"type": "ephemeral"}})
    model = "anthropic/claude-haiku-4-5"
    with provider(model, monkeypatch):
        _, cell, records = ran(experiment(model, tmp_path, engine=engine))
    counted = usages(records)
    read = sum(u.cached_tokens or 0 for u in counted)
    written = sum(u.cache_write_tokens or 0 for u in counted)
    assert read > 0 and written > 0
    # claude-haiku-4-5: 1 in, 0.1 read, 1.25 written, 5 out.
    plain = sum(u.prompt_tokens or 0 for u in counted) - read - written
    out = sum(u.completion_tokens or 0 for u in counted)
    by_hand = (plain + 0.1 * read + 1.25 * written + 5 * out) / 1e6
    cost = cell.metrics["cost_usd"]
    assert cost.metadata["total_usd"] == pytest.approx(by_hand)
    assert cost.metadata["tokens"]["cache_write_tokens"] == written


def test_deepseeks_reasoning_is_charged_as_output_by_the_price_of_the_hour(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = "deepseek/deepseek-flash"
    with provider(model, monkeypatch):
        _, cell, records = ran(experiment(model, tmp_path, reasoning=True))
    counted = usages(records)
    assert all((u.reasoning_tokens or 0) > 0 for u in counted)
    cost = cell.metrics["cost_usd"]
    (price,) = cost.metadata["unit_prices_usd_per_million"]
    # Half as much outside of peak hours, and the run was made in one or the other.
    assert price["output_usd"] in (0.6, 1.2)
    fresh, cached, generated = tokens(counted)
    by_hand = (0.15 * fresh + 0.003 * cached + 0.6 * generated) * price["output_usd"] / 0.6
    assert cost.metadata["total_usd"] == pytest.approx(by_hand / 1e6)
    assert cell.metrics["remote_energy_wh"].status == "skipped"


def test_a_right_answer_has_its_price_and_another_one_when_it_is_judged_again(
    tmp_path: Path,
) -> None:
    wrong = Rule(match="number of section 0", answer="Answer: 7")
    wordy = Rule(match="number of section 1", answer="In the end it is: 201")
    with two_models(wrong, wordy) as server:
        outcome = run_experiment(
            hybrid_settings(
                server,
                tmp_path,
                "minion",
                deployment=Remote("large", url=server.openai_url),
                num_requests=4,
                remote_price=Price(input_usd=1, output_usd=0),
            )
        )
    (cell,) = outcome.run.candidates[0].cells
    cost, right = cell.metrics["cost_usd"], cell.metrics["cost_usd_per_correct"]
    assert cell.metrics["accuracy_pct"].value == 75
    assert cost.value is not None
    assert right.value == pytest.approx(cost.value / 0.75)

    def strictly(answer: str, reference: Reference, *, cut: bool = False) -> Judgement:
        found = answer == f"Answer: {reference.value}"
        return Judgement(grade=Grade.RIGHT if found else Grade.WRONG, read=answer)

    strict = Grader("strict", 1, strictly, "the very text")
    again = regrade_run(outcome.path, outcome.run, strict).run
    (regraded,) = again.candidates[0].cells
    assert regraded.metrics["accuracy_pct"].value == 50
    assert regraded.metrics["cost_usd_per_correct"].value == pytest.approx(cost.value / 0.5)
    assert (
        again.candidates[0].metrics["cost_usd_per_correct"]
        == (regraded.metrics["cost_usd_per_correct"])
    )


def test_a_model_without_a_price_is_skipped_with_what_to_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with provider("openai/gpt-0", monkeypatch):
        _, cell, _ = ran(experiment("openai/gpt-0", tmp_path))
        for name in ("cost_usd", "cost_usd_per_million_tokens", "cost_usd_per_correct"):
            assert cell.metrics[name].status == "skipped"
            why = cell.metrics[name].metadata["reason"]
            assert "gpt-0" in why and "--remote-price" in why and "--prices" in why
        with pytest.raises(UsageError, match=r"--max-cost.*has no price of gpt-0"):
            experiment("openai/gpt-0", tmp_path / "none", max_cost_usd=1).run()
        assert not (tmp_path / "none").exists()
        priced = Price(input_usd=1, output_usd=1)
        _, cell, _ = ran(experiment("openai/gpt-0", tmp_path / "priced", remote_price=priced))
    assert cell.metrics["cost_usd"].status == "ok"
    assert cell.metrics["cost_usd"].metadata["price_source"]["name"] == "--remote-price"


def test_a_server_that_counts_nothing_leaves_the_cost_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with provider("openai/gpt-5.5", monkeypatch, usage=False):
        run, cell, _ = ran(experiment("openai/gpt-5.5", tmp_path, max_cost_usd=1))
    for name in ("cost_usd", "remote_energy_wh"):
        assert cell.metrics[name].status == "skipped"
        assert cell.metrics[name].value is None
    assert any("is the most that calls can have cost" in note for note in run.metadata.notes)


def test_a_recovered_run_says_the_same_of_its_cost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the catalogue: the prices are in the plan, and it may have changed since."""
    whole, copy = tmp_path / "whole", tmp_path / "copy"
    asked = experiment("deepseek/deepseek-flash", whole, electricity_usd_per_kwh=0.3)
    with provider("deepseek/deepseek-flash", monkeypatch):
        run = asked.run(Snapshot(whole, copy))
    monkeypatch.setattr("minionbench.prices.catalog.listed", None)
    recovered = recover_run(run.metadata.run_id, copy).run
    before, after = run.candidates[0].cells[0], recovered.candidates[0].cells[0]
    for name in ("cost_usd", "cost_usd_per_million_tokens", "electricity_cost_usd"):
        assert after.metrics[name] == before.metrics[name]
    assert before.metrics["cost_usd"].status == "ok"


# --- a limit


class Bill(Silent):
    """What all requests cost, warm-up included, as they end."""

    def __init__(self) -> None:
        self.usd = 0.0
        self.most_usd: float | None = None

    def costs(self, cost_of: Any, most_usd: float | None) -> None:
        self.cost_of, self.most_usd = cost_of, most_usd

    def record(self, record: RequestRecord) -> None:
        self.usd += self.cost_of(record) or 0.0


@pytest.mark.parametrize("streams", [1, 4])
def test_a_run_ends_before_it_could_cost_more_than_it_may(
    streams: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = 0.02
    with provider("openai/gpt-5.5", monkeypatch):
        asked = experiment(
            "openai/gpt-5.5",
            tmp_path,
            num_requests=60,
            warmup=2,
            max_cost_usd=limit,
            load=ClosedLoop(concurrency=streams),
            engine=EngineSettings(),
        )
        bill = Bill()
        run = asked.run(bill)
    (cell,) = run.candidates[0].cells
    assert asked.path is not None
    records = list(read_records(asked.path, cell))
    assert 0 < len(records) < 122
    assert bill.most_usd == limit
    assert 0 < bill.usd <= limit
    assert run.metadata.finished is False
    assert all(record.outcome is Outcome.OK for record in records)
    assert any(reason.rule == "incomplete" for reason in cell.verdict.reasons)
    (ended,) = (note for note in run.candidates[0].notes if "ended early" in note)
    assert "the next request could cost up to $" in ended
    assert "of the limit of $0.02 there is $" in ended
    assert cell.settings["max_cost_usd"] == limit
    (spent,) = (note for note in run.metadata.notes if note.startswith("Spent $"))
    assert spent.endswith(" of at most $0.02, warm-up included")


def test_a_hybrid_that_may_spend_no_more_stops_in_the_middle_of_a_request(tmp_path: Path) -> None:
    """Minion's first calls fit, and the ones that follow do not."""
    price = Price(input_usd=1, output_usd=1)
    with two_models() as server:
        asked = hybrid_settings(
            server,
            tmp_path,
            "minion",
            num_requests=30,
            remote_price=price,
            max_cost_usd=0.016,
            protocol_settings={"max_rounds": 3},
        )
        bill = Bill()
        outcome = run_experiment(asked, bill)
    (cell,) = outcome.run.candidates[0].cells
    records = list(read_records(outcome.path, cell))
    assert 0 < bill.usd <= 0.016
    assert records[-1].outcome is Outcome.CUT
    assert records[-1].calls, "it had begun"
    assert "could cost" in str(records[-1].failure)
    assert outcome.run.metadata.finished is False


def test_a_limit_goes_with_a_remote_model(tmp_path: Path) -> None:
    for settings, words in (
        ({"max_cost_usd": 1.0}, "goes with a remote model"),
        ({"electricity_usd_per_kwh": -1.0}, "dollars per kWh"),
    ):
        with pytest.raises(UsageError, match=words):
            Experiment(Questions("balanced"), Local("reference/q8_0"), **settings)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="above 0"):
        experiment("openai/gpt-5.5", tmp_path, max_cost_usd=0.0)


def test_without_a_limit_nothing_is_kept_back() -> None:
    assert not Allowance().keeps_budget


# --- the command line


def test_the_flags_of_money_reach_the_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "ours.toml"
    prices.write_text('version = "v7"\n["openai/gpt-5.5"]\ninput = 1.0\noutput = 2.0\n')
    out = tmp_path / "out"
    with provider("openai/gpt-5.5", monkeypatch):
        called = call(
            capsys,
            *("run", "-m", "openai/gpt-5.5", "-w", "decode", "-n", "2", "--repeats", "1"),
            *("--warmup", "0", "--prices", str(prices), "--max-cost", "0.5", "--no-meters"),
            *("--electricity-price", "0.25", "-o", str(out), "--format", "json"),
        )
    document = json.loads(called.out)
    (cell,) = document["candidates"][0]["cells"]
    source = cell["metrics"]["cost_usd"]["metadata"]["price_source"]
    assert (source["name"], source["version"]) == ("ours.toml", "v7")
    assert cell["settings"]["max_cost_usd"] == 0.5
    assert cell["metrics"]["electricity_cost_usd"]["status"] == "skipped"
    shutil.rmtree(out)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--prices", "/no/such/file"), "cannot be read"),
        (("--max-cost", "0"), "above 0 dollars"),
        (("--max-cost", "nan"), "above 0 dollars"),
        (("--electricity-price", "-1"), "dollars per kWh"),
        (("--remote-price", "cheap"), "A price is"),
    ],
)
def test_wrong_flags_are_told_before_anything_is_asked(
    flags: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    called = call(capsys, "run", "-m", "openai/gpt-5.5", "-o", str(tmp_path / "out"), *flags)
    assert called.code == 2
    assert words in called.err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").glob("*.json"))
