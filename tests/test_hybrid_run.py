"""Whole runs of hybrid protocols: against a simulator that knows the answers, and for real."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minionbench import Experiment, Hybrid, Local, Prefill, Protocols, Remote
from minionbench.engines.engine import EngineSettings
from minionbench.errors import UsageError
from minionbench.exchange import Limits, Message, Outcome, Reference, Request, Timeouts
from minionbench.experiment import RunOutcome, RunSettings, run_experiment
from minionbench.load import ClosedLoop
from minionbench.measuring import Silent
from minionbench.metrics import record as whole
from minionbench.metrics.protocol import critical_calls, time_split
from minionbench.prices import Price
from minionbench.protocols.chunking import Chunking
from minionbench.records import RequestRecord
from minionbench.recovery import recover_run
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult
from minionbench.simulator import RateLimits, Rule, SimulatedModel, Simulator, SimulatorSettings
from minionbench.store import list_runs, read_records
from tests.test_recovery import Snapshot

QUESTION = "What is the number of section {0}?"


class Sections:
    """Documents of four sections, one number in each; the question names a section."""

    name = "sections"
    version = 1
    source = "test:sections@1"

    def __init__(self, sections: int = 4) -> None:
        self.sections = sections

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        for index in range(n):
            asked = index % self.sections
            numbers = [100 * (index + 1) + place for place in range(self.sections)]
            document = "".join(
                f"Section {place} has the number {number}. ".ljust(199, ".") + "\n"
                for place, number in enumerate(numbers)
            )
            question = QUESTION.format(asked)
            yield Request(
                item_id=f"sections/{seed}/{index}",
                messages=(Message("user", f"{document}\n{question}"),),
                limits=Limits(max_output_tokens=64, seed=1),
                source=self.source,
                input_tokens=len(document) // 3,
                reference=Reference(kind="number", value=str(numbers[asked])),
                document=document,
                question=question,
            )


PLAN = {"tasks": [{"task": "number of section ?", "advice": None, "chunks": {"kind": "all"}}]}
MORE = {
    "explanation": "not yet",
    "decision": "request_additional_info",
    "answer": None,
    "feedback": "look again",
    "scratchpad": "nothing",
}
NOT_HERE = {"explanation": "not here", "citation": None, "answer": None}


def plan(match: re.Match[str]) -> str:
    return json.dumps(PLAN).replace("section ?", f"section {match['section']}")


def find(match: re.Match[str]) -> str:
    found = re.search(rf"Section {match['section']} has the number (\d+)", match["chunk"])
    output = NOT_HERE if found is None else {"explanation": "", "citation": "", "answer": found[1]}
    return json.dumps(output)


def settle(match: re.Match[str]) -> str:
    return json.dumps({**MORE, "decision": "provide_final_answer", "answer": match["found"]})


def direct(match: re.Match[str]) -> str:
    found = re.search(rf"Section {match['section']} has the number (\d+)", match["document"])
    assert found is not None
    return f"Answer: {found[1]}"


ADVICE = Rule(match="what is easily mistaken for it", answer="Look for numbers.")
PLANNED = Rule(match=r"(?s)section (?P<section>\d+)\?.*document is cut into", answer=plan)
WORKED = Rule(
    match=r"(?s)Chunk:\n(?P<chunk>.*)\n\nTask: number of section (?P<section>\d+)", answer=find
)
SETTLED = Rule(match=r"(?s)- chunk \d+: (?P<found>\d+).*no further round", answer=settle)
OPENED = Rule(
    match=r"Task: What is the number of section (?P<section>\d+).*\s+You cannot see",
    answer='{"reasoning": "", "message": "The number of section \\g<section>, please?"}',
    expand=True,
)
TOLD = Rule(
    match=r"The number of section (?P<section>\d+), please",
    system=r"Text:",
    answer="It is among them.",
)
CONCLUDED = Rule(
    match="The assistant answered",
    answer='{"decision": "provide_final_answer", "answer": "100"}',
)
DIRECT = Rule(
    match=r"(?s)(?P<document>Section .*)What is the number of section (?P<section>\d+)",
    answer=direct,
)
RULES = (ADVICE, PLANNED, WORKED, SETTLED, OPENED, TOLD, CONCLUDED, DIRECT)


def simulator(*rules: Rule, **settings: Any) -> Simulator:
    """A simulator with two models; the given rules come before those that know the answers."""
    models = (SimulatedModel(name="small"), SimulatedModel(name="large"))
    return Simulator(SimulatorSettings(models=models, rules=(*rules, *RULES), **settings))


def settings(server: Simulator, folder: Path, protocol: str, **others: Any) -> RunSettings:
    own = {"max_rounds": 1}
    if protocol == "minions":
        own["chunking"] = Chunking("characters", 200)  # type: ignore[assignment]
    own |= others.pop("protocol_settings", {})
    fields: dict[str, Any] = {
        "workloads": (Sections(),),
        "deployment": Hybrid(
            "small",
            "large",
            protocol,
            url=server.openai_url,
            remote_url=server.openai_url,
            **own,
        ),
        "num_requests": 2,
        "warmup": 0,
        "repeats": 1,
        "output_dir": folder,
    }
    return RunSettings(**(fields | others))


def measured(outcome: RunOutcome) -> tuple[BenchmarkCandidate, CellResult, list[RequestRecord]]:
    (candidate,) = outcome.run.candidates
    (cell,) = candidate.cells
    return candidate, cell, list(read_records(outcome.path, cell))


def test_minions_finds_known_answers_and_all_of_it_is_in_the_record(tmp_path: Path) -> None:
    with simulator() as server:
        outcome = run_experiment(
            settings(
                server,
                tmp_path,
                "minions",
                warmup=1,
                repeats=2,
                remote_price=Price(input_usd=1, output_usd=2),
            )
        )
    candidate, cell, records = measured(outcome)
    assert BenchmarkRun.load(outcome.path) == outcome.run
    assert len(records) == 1 + 2 * 2
    for record in records:
        assert record.outcome is Outcome.OK
        assert record.answer == record.reference.value  # type: ignore[union-attr]
        roles = [(call.side, call.role, call.job) for call in record.calls]
        assert roles == [
            *[("remote", "supervisor", None)] * 2,
            *[("local", "worker", job) for job in range(4)],
            ("remote", "supervisor", None),
        ]
        assert record.tally == {"rounds": 1, "jobs": 4, "abstained_jobs": 3}
        assert record.answer_is_part and record.answer_at is not None
        answering = record.calls[-1].reply
        assert answering.text is not None and answering.visible_ends[-1] == len(answering.text)
        assert record.calls[0].reply.usage is not None
    factors = candidate.factors
    assert factors is not None
    assert (factors.deployment, factors.protocol) == ("hybrid", "minions")
    assert (factors.model, factors.remote_model) == ("small", "large")
    assert factors.flags["slots"] == 4
    assert factors.flags["remote"]["engine"]
    assert cell.metrics["accuracy_pct"].value == 100
    assert cell.metrics["cost_usd"].value is not None
    assert cell.settings["protocol"]["chunking"]["size"] == 200
    account = cell.settings["account"]
    assert account["calls"] == {"local": 4, "remote": 3}
    assert account["tally"] == {"rounds": 4, "jobs": 16, "abstained_jobs": 12}


def test_the_first_output_is_the_event_that_begins_the_answer(tmp_path: Path) -> None:
    with simulator() as server:
        _, cell, records = measured(run_experiment(settings(server, tmp_path, "minions")))
    for record in records:
        reply = record.calls[-1].reply
        first, last = whole.ttfo_s(record), whole.total_latency_s(record)
        assert first is not None and last is not None and reply.first_visible_ns is not None
        decided_s = (reply.first_visible_ns - record.calls[0].reply.sent_ns) / 1e9  # type: ignore[operator]
        assert decided_s <= first <= last
        assert whole.ttft_s(record) < first  # type: ignore[operator]
    assert cell.metrics["ttfo_s"].status == "ok"


def test_minion_talks_and_answers(tmp_path: Path) -> None:
    with simulator() as server:
        outcome = run_experiment(settings(server, tmp_path, "minion"))
    candidate, cell, records = measured(outcome)
    assert [record.answer for record in records] == ["100", "100"]
    assert [(c.side, c.role) for c in records[0].calls] == [
        ("remote", "supervisor"),
        ("local", "worker"),
        ("remote", "supervisor"),
    ]
    assert cell.metrics["accuracy_pct"].metadata["right"] == 1
    assert candidate.factors is not None and candidate.factors.protocol == "minion"


def test_the_document_stays_on_the_local_side(tmp_path: Path) -> None:
    with simulator() as server:
        for protocol in ("minion", "minions"):
            _, _, records = measured(run_experiment(settings(server, tmp_path, protocol)))
            for record in records:
                for call in record.calls:
                    told = "".join(content for _, content in call.prompt or ())
                    assert ("has the number" in told) == (call.side == "local")


def test_jobs_go_side_by_side_up_to_the_slots_and_the_others_wait(tmp_path: Path) -> None:
    with simulator() as server:
        asked = settings(
            server,
            tmp_path,
            "minions",
            num_requests=1,
            workloads=(Sections(12),),
            engine=EngineSettings(slots=3),
        )
        candidate, _, (record,) = measured(run_experiment(asked))
    assert candidate.factors is not None and candidate.factors.flags["slots"] == 3
    jobs = [call.reply for call in record.calls if call.job is not None]
    assert len({reply.planned_ns for reply in jobs}) == 1
    spans = [(reply.sent_ns, reply.end_ns) for reply in jobs]
    under_way = [sum(1 for s, e in spans if s <= at < e) for at, _ in spans]  # type: ignore[operator]
    assert max(under_way) == 3
    assert len(critical_calls(record)) == 4
    split = time_split(record)
    assert split is not None and split.queueing_s > 0


def test_protocols_beside_each_other_ask_the_same_items_repeat_by_repeat(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    class Noting(Silent):
        def record(self, record: RequestRecord) -> None:
            asked.append((record.cell, record.repeat))

    with simulator() as server:
        outcome = run_experiment(
            settings(
                server,
                tmp_path,
                "minions",
                deployment=Protocols(
                    Local("small", url=server.openai_url),
                    Remote("large", url=server.openai_url),
                    max_rounds=1,
                    chunking=Chunking("characters", 200),
                    k=2,
                ),
                repeats=2,
                remote_price=Price(input_usd=1, output_usd=2),
            ),
            Noting(),
        )
    names = ["local", "remote", "minion", "minions", "rag"]
    cells = [f"sections.{name}" for name in names]
    assert list(dict.fromkeys(asked)) == [(cell, repeat) for repeat in (0, 1) for cell in cells]
    run = BenchmarkRun.load(outcome.path)
    assert [c.cells[0].cell_id for c in run.candidates] == cells
    factors = [c.factors for c in run.candidates]
    assert [f and (f.deployment, f.protocol) for f in factors] == [
        ("local", None),
        ("remote", None),
        ("hybrid", "minion"),
        ("hybrid", "minions"),
        ("remote", "rag"),
    ]
    items = [
        sorted({r.item_id for r in read_records(outcome.path, c.cells[0])}) for c in run.candidates
    ]
    assert items == [items[0]] * 5
    local, remote, minion, minions, _ = (c.cells[0] for c in run.candidates)
    assert "compared" not in remote.settings
    assert local.metrics["cost_usd"].value == 0
    assert local.settings["compared"]["cost"]["saving_pct"]["value"] == 100
    assert minion.settings["compared"]["accuracy"]["worse"] == 1
    assert minions.settings["compared"]["accuracy"] == {
        **minions.settings["compared"]["accuracy"],
        "items": 2,
        "better": 0,
        "worse": 0,
        "p": 1,
    }
    assert minions.settings["compared"]["ratio"]["value"] == 100
    assert "reason" in minions.settings["compared"]["gap_closed"]


def test_a_table_that_was_killed_is_recovered_whole(tmp_path: Path) -> None:
    copy = tmp_path / "killed"
    with simulator() as server:
        outcome = run_experiment(
            settings(
                server,
                tmp_path / "whole",
                "minions",
                deployment=Protocols(
                    "small",
                    "large",
                    ("remote", "minions"),
                    url=server.openai_url,
                    remote_url=server.openai_url,
                    max_rounds=1,
                    chunking=Chunking("characters", 200),
                ),
                remote_price=Price(input_usd=1, output_usd=2),
            ),
            Snapshot(tmp_path / "whole", copy),
        )
    recovered = recover_run(outcome.run.metadata.run_id, copy).run
    for before, after in zip(outcome.run.candidates, recovered.candidates, strict=True):
        assert after.factors == before.factors
        assert after.cells[0].settings == before.cells[0].settings
        assert after.cells[0].metrics["cost_usd"] == before.cells[0].metrics["cost_usd"]


FAULTS: list[tuple[str, str, list[Rule], str]] = [
    (
        "minions",
        "prose",
        [Rule(match="is cut into|not the JSON", answer="Well, let me think.")],
        "made no plan: it holds no JSON object",
    ),
    (
        "minions",
        "broken JSON",
        [Rule(match="is cut into|not the JSON", answer='{"tasks": [{')],
        "made no plan: it holds no JSON object",
    ),
    (
        "minions",
        "an empty plan",
        [Rule(match="is cut into|Plan anew", answer='{"tasks": []}')],
        "there is no task",
    ),
    (
        "minions",
        "too many tasks",
        [Rule(match="is cut into|Plan anew", answer=json.dumps({"tasks": PLAN["tasks"] * 20}))],
        "there are 20 tasks; at most 8",
    ),
    (
        "minions",
        "a chunk that is not there",
        [
            Rule(
                match="is cut into|Plan anew",
                answer=json.dumps(
                    {
                        "tasks": [
                            {
                                "task": "t",
                                "advice": None,
                                "chunks": {"kind": "places", "places": [99]},
                            }
                        ]
                    }
                ),
            )
        ],
        "names chunk 99; there are 0 to 3",
    ),
    (
        "minion",
        "prose",
        [Rule(match="You cannot see|not the JSON", answer="Certainly!")],
        "did not begin: it holds no JSON object",
    ),
]


@pytest.mark.parametrize(("protocol", "what", "rules", "why"), FAULTS, ids=lambda x: str(x)[:30])
def test_a_supervisor_that_cannot_plan_ends_in_an_abstention_with_all_calls(
    protocol: str, what: str, rules: list[Rule], why: str, tmp_path: Path
) -> None:
    with simulator(*rules) as server:
        outcome = run_experiment(settings(server, tmp_path, protocol))
    _, cell, records = measured(outcome)
    assert len(records) == 2
    for record in records:
        assert record.outcome is Outcome.OK
        assert record.answer is None
        assert record.abstained is not None and why in record.abstained
        assert len(record.calls) >= 3
        assert {call.side for call in record.calls} == {"remote"}
    assert cell.metrics["accuracy_pct"].value == 0
    assert cell.metrics["accuracy_pct"].metadata["abstained"] == 2
    assert sum(cell.settings["account"]["abstained"].values()) == 2


def test_workers_that_answer_otherwise_are_counted_and_the_request_goes_on(tmp_path: Path) -> None:
    wrong = Rule(match=r"(?s)Chunk:.*Section 1 has|not the JSON", answer='{"colour": "red"}')
    settled = Rule(match="no further round", answer=json.dumps({**MORE, "answer": "100"}))
    with simulator(wrong, settled) as server:
        _, _, records = measured(run_experiment(settings(server, tmp_path, "minions")))
    for record in records:
        assert record.answer == "100"
        assert record.tally is not None
        assert (record.tally["failed_jobs"], record.tally["repairs"]) == (1, 1)
        assert sorted(call.attempt for call in record.calls) == [0] * 7 + [1]


def test_a_worker_that_is_cut_by_length_is_not_asked_again(tmp_path: Path) -> None:
    with simulator(
        Rule(match=r"Chunk:\n", answer='{"explanation": "' + "on and on " * 99)
    ) as server:
        asked = settings(server, tmp_path, "minions", protocol_settings={"worker_tokens": 16})
        _, _, records = measured(run_experiment(asked))
    for record in records:
        assert record.tally == {"rounds": 1, "jobs": 4, "failed_jobs": 4}
        workers = [call for call in record.calls if call.side == "local"]
        assert {call.reply.finish_reason for call in workers} == {"length"}
        assert len(workers) == 4


def test_a_worker_that_never_answers_ends_in_a_named_outcome_with_all_calls(
    tmp_path: Path,
) -> None:
    """The simulator is silent to any prompt that asks it to be."""
    stalling = json.dumps({"tasks": [{**PLAN["tasks"][0], "task": "[[simulate:stall=0]]"}]})
    with simulator(Rule(match="is cut into", answer=stalling)) as server:
        quick = EngineSettings(timeouts=Timeouts(first_byte_s=0.3, idle_s=0.3))
        asked = settings(server, tmp_path, "minions", num_requests=3, engine=quick)
        outcome = run_experiment(asked)
    _, cell, (record,) = measured(outcome)
    assert outcome.exit_code == 1
    assert record.outcome in (Outcome.IDLE_TIMEOUT, Outcome.FIRST_BYTE_TIMEOUT, Outcome.CUT)
    assert record.failure is not None
    jobs = [call for call in record.calls if call.job is not None]
    assert len(jobs) == 4
    assert all(call.reply.outcome is not Outcome.OK for call in jobs)
    assert "incomplete" in {reason.rule for reason in cell.verdict.reasons}


@pytest.mark.parametrize("all_fail", [False, True])
def test_no_answer_after_failed_jobs_is_an_abstention_unless_no_job_was_done(
    all_fail: bool, tmp_path: Path
) -> None:
    """The simulator fails at any prompt that asks it to."""
    tasks = [{**PLAN["tasks"][0], "advice": "[[simulate:http=500]]"}]
    if not all_fail:
        tasks.append(PLAN["tasks"][0])
    with simulator(
        Rule(match="is cut into", answer=json.dumps({"tasks": tasks})),
        Rule(match="no further round", answer=json.dumps({**MORE, "answer": None})),
    ) as server:
        outcome = run_experiment(settings(server, tmp_path, "minions", num_requests=2))
    _, cell, records = measured(outcome)
    for record in records:
        assert record.answer is None
        assert record.abstained == "the supervisor gave no answer"
        assert record.tally is not None and record.tally["failed_jobs"] == 4
        failed = [call for call in record.calls if call.reply.outcome is Outcome.HTTP_ERROR]
        assert len(failed) == 4
        assert record.outcome is (Outcome.HTTP_ERROR if all_fail else Outcome.OK)
        assert (record.failure is None) == (not all_fail)
    assert ("failures" in {reason.rule for reason in cell.verdict.reasons}) == all_fail
    assert cell.settings["account"]["tally"]["failed_jobs"] == 4 * len(records)
    assert outcome.exit_code == 1 or not all_fail


def test_a_remote_side_that_fails_in_its_second_round_ends_the_request(tmp_path: Path) -> None:
    """Its own feedback, which goes into the next round's prompt, makes the simulator fail."""
    failing = json.dumps({**MORE, "feedback": "[[simulate:http=500]]"})
    with simulator(Rule(match="Decide. Reply in JSON", answer=failing)) as server:
        asked = settings(
            server, tmp_path, "minions", protocol_settings={"max_rounds": 3}, num_requests=1
        )
        outcome = run_experiment(asked)
    _, _, (record,) = measured(outcome)
    assert record.outcome is Outcome.HTTP_ERROR
    assert record.failure is not None and record.failure.http_status == 500
    assert record.abstained is not None and "made no plan" in record.abstained
    assert max(call.round for call in record.calls) == 1
    assert record.tally is not None and record.tally["rounds"] == 2
    assert outcome.exit_code == 1


def test_a_budget_that_is_reached_within_a_protocol_ends_it_and_keeps_its_calls(
    tmp_path: Path,
) -> None:
    with simulator() as server:
        asked = settings(
            server,
            tmp_path,
            "minions",
            num_requests=5,
            max_total_tokens=4_000,
            protocol_settings={"supervisor_tokens": 64, "worker_tokens": 800},
        )
        outcome = run_experiment(asked)
    _, cell, records = measured(outcome)
    (record,) = records
    assert record.outcome is Outcome.CUT
    assert record.failure is not None and "budget of 4,000" in record.failure.message
    assert [call.role for call in record.calls] == ["supervisor", "supervisor"]
    assert all(call.reply.outcome is Outcome.OK for call in record.calls)
    assert "incomplete" in {reason.rule for reason in cell.verdict.reasons}


def test_a_used_up_quota_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    with simulator(limits=RateLimits(quota_tokens=600)) as server:
        outcome = run_experiment(settings(server, tmp_path, "minions", num_requests=4))
    _, cell, records = measured(outcome)
    assert records[-1].outcome is not Outcome.OK
    assert outcome.exit_code == 1
    assert "incomplete" in {reason.rule for reason in cell.verdict.reasons}


@pytest.mark.parametrize("protocol", ["minion", "minions"])
def test_both_sides_embedded_run_without_any_network(protocol: str, tmp_path: Path) -> None:
    experiment = Experiment(
        Prefill(input_tokens=300),
        Hybrid("reference/q8_0", "reference/q4_0", protocol, max_rounds=1, supervisor_tokens=48),
        num_requests=1,
        warmup=0,
        repeats=1,
        output_dir=tmp_path,
    )
    run = experiment.run()
    (candidate,) = run.candidates
    (cell,) = candidate.cells
    assert candidate.factors is not None
    assert candidate.factors.remote_model == "reference/q4_0"
    assert candidate.metrics["peak_ram_mb"].status == "ok"
    assert "The remote side was served on this machine" in candidate.notes
    assert experiment.path is not None
    (record,) = read_records(experiment.path, cell)
    assert all(call.reply.outcome is Outcome.OK for call in record.calls)
    assert record.answer is not None or record.abstained is not None


def test_a_real_worker_does_the_jobs_of_a_scripted_supervisor(tmp_path: Path) -> None:
    with simulator() as server:
        asked = settings(
            server,
            tmp_path,
            "minions",
            deployment=Hybrid(
                "reference/q8_0",
                Remote("large", url=server.openai_url),
                "minions",
                max_rounds=1,
                chunking=Chunking("characters", 200),
                worker_tokens=24,
            ),
        )
        candidate, _, records = measured(run_experiment(asked))
    assert candidate.factors is not None and candidate.factors.flags["slots"] == 4
    for record in records:
        jobs = [call for call in record.calls if call.job is not None]
        assert len(jobs) >= 4
        assert {call.reply.outcome for call in jobs} == {Outcome.OK}
        assert all(call.reply.engine is not None for call in jobs)


@pytest.mark.parametrize(
    ("deployment", "others", "said"),
    [
        (
            Hybrid("reference/q8_0", "reference/f16"),
            {"workloads": (Prefill(output_tokens=5),)},
            "cannot be forced",
        ),
        (Hybrid("reference/q8_0", "reference/f16", "minions"), {}, "have none apart"),
        (Hybrid("reference/q8_0"), {}, "needs a remote model"),
        (Hybrid("openai/gpt-5.5", "openai/gpt-5.5"), {}, "prompts leave this one"),
        (Hybrid("reference/q8_0", "reference/f16"), {"remote_model": "openai/x"}, "Both"),
    ],
)
def test_what_no_hybrid_can_do_is_refused_before_anything_starts(
    deployment: Hybrid, others: dict[str, Any], said: str, tmp_path: Path
) -> None:
    from minionbench import Balanced

    fields: dict[str, Any] = {"workloads": (Balanced(),), "deployment": deployment}
    with pytest.raises(UsageError, match=said):
        run_experiment(RunSettings(**fields | others, output_dir=tmp_path, num_requests=1))
    assert list_runs(tmp_path) == []


def test_slots_grow_with_the_streams(tmp_path: Path) -> None:
    with simulator() as server:
        asked = settings(server, tmp_path, "minions", load=ClosedLoop(concurrency=2))
        candidate, _, _ = measured(run_experiment(asked))
    assert candidate.factors is not None
    assert candidate.factors.flags["slots"] == 8
    assert candidate.factors.flags["remote"].get("slots") is None


@pytest.mark.long
def test_a_document_of_120000_tokens_goes_through_with_bounded_memory(tmp_path: Path) -> None:
    with simulator(
        Rule(
            match=r"(?s)Question: (?P<task>[^?]*\?).*is cut into",
            answer='{"tasks": [{"task": "\\g<task>", "advice": null, "chunks": {"kind": "all"}}]}',
            expand=True,
        ),
        Rule(match="no further round", answer=json.dumps({**MORE, "answer": "1"})),
    ) as server:
        asked = settings(
            server,
            tmp_path,
            "minions",
            workloads=(Prefill(input_tokens=120_000),),
            deployment=Hybrid(
                "reference/q8_0", Remote("large", url=server.openai_url), "minions", max_rounds=1
            ),
            num_requests=1,
        )
        candidate, _, (record,) = measured(run_experiment(asked))
    assert record.input_tokens == 120_000
    assert record.tally is not None and record.tally["jobs"] > 80
    ram_mb = candidate.metrics["peak_ram_mb"].value
    assert ram_mb is not None and ram_mb < 200
