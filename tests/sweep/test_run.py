"""Whole sweeps: measured, failing in part, interrupted, killed and resumed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from minionbench import Local, Remote, Sweep
from minionbench.clock import sleep_s
from minionbench.errors import UsageError
from minionbench.load import OpenLoop
from minionbench.measuring import Cell, Silent
from minionbench.meters.power.meter import PowerSettings
from minionbench.schema import BenchmarkRun
from minionbench.simulator.timing import Fixed
from minionbench.store import list_runs, read_journal, read_records
from minionbench.sweep import Definition
from minionbench.sweep.estimate import Assumed
from minionbench.sweep.run import run_sweep
from tests.study import Questions
from tests.sweep.support import (
    Killing,
    cells_of,
    definition,
    measured_records,
    simulated,
    swept,
    times_measured,
)

ALL = {"balanced.local", "decode.local", "balanced.remote", "decode.remote"}
EVERY_REQUEST = {
    (cell, repeat, index)
    for cell in ALL
    for repeat, indexes in ((0, (1, 2)), (1, (4, 5)))
    for index in indexes
}
"""With one to warm up in each session: its index comes before those of the two."""


def test_every_cell_is_measured_in_sessions_of_its_own_in_blocks(tmp_path: Path) -> None:
    with simulated() as servers:
        outcome = swept(servers, tmp_path)
    run = outcome.run
    assert BenchmarkRun.load(outcome.path) == run
    cells = cells_of(run)
    assert set(cells) == ALL
    assert [one.factors.deployment for one in run.candidates if one.factors] == ["local", "remote"]
    records = measured_records(tmp_path, run.metadata.run_id)
    assert times_measured(records) == dict.fromkeys(EVERY_REQUEST, 1)
    turns = list(dict.fromkeys((record.repeat, record.cell) for record in records))
    assert [repeat for repeat, _ in turns] == [0] * 4 + [1] * 4
    for cell in cells.values():
        assert cell.settings["repeat_unit"] == "session"
        assert [one["state"] for one in cell.settings["sessions"]] == ["measured"] * 2
        assert cell.repeats == 2
        assert cell.metrics["total_latency_s"].metadata["requests"] == 4
        assert cell.metrics["requests_per_sec"].status == "ok"
        rows = read_records(outcome.path, cell)
        assert Counter(record.phase for record in rows) == {"warmup": 2, "measured": 4}
    places = [one["turn"] for cell in cells.values() for one in cell.settings["sessions"]]
    assert sorted(places) == list(range(1, 9))
    latency = cells["balanced.local"].metrics["total_latency_s"].value
    assert latency is not None
    assert run.candidates[0].latency_ms.value == pytest.approx(1_000 * latency)
    assert run.metadata.finished is True
    assert outcome.failed_sessions == 0


def test_each_session_starts_an_engine_of_its_own(random_model: Path, tmp_path: Path) -> None:
    sweep = Sweep(
        Questions("decode"),
        Local(f"llamacpp/{random_model}"),
        repeats=2,
        num_requests=2,
        warmup=0,
        output_dir=tmp_path,
    )
    run = sweep.run()
    assert sweep.path is not None
    (cell,) = run.candidates[0].cells
    assert cell.metrics["total_latency_s"].status == "ok"
    assert cell.metrics["peak_ram_mb"].status == "ok"
    logs = tmp_path / "data" / run.metadata.run_id / "logs"
    assert len(list(logs.glob("*.log"))) == 2
    assert all(session["start_s"] > 0 for session in cell.settings["sessions"])


def test_loads_are_a_factor_too(tmp_path: Path) -> None:
    with simulated() as servers:
        run = swept(
            servers,
            tmp_path,
            workload=Questions("decode"),
            deployment=Local("ollama/qwen3:8b"),
            load=[1, 2, OpenLoop(rate_per_s=200)],
            repeats=1,
        ).run
    cells = cells_of(run)
    assert {name: cell.load.kind for name, cell in cells.items()} == {
        "decode.local.c1": "closed",
        "decode.local.c2": "closed",
        "decode.local.r200": "open",
    }
    (candidate,) = run.candidates
    assert candidate.factors is not None and "slots" not in candidate.factors.flags
    assert cells["decode.local.c2"].settings["flags"]["slots"] == 2


def test_a_cell_that_cannot_be_measured_is_an_error_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
    with simulated() as servers:
        servers = {"ollama": servers["ollama"], "anthropic": "http://127.0.0.1:1"}
        outcome = swept(
            servers,
            tmp_path,
            workload=Questions("decode"),
            deployment=[
                Local("ollama/qwen3:8b"),
                Local("ollama/gone:1b"),
                Remote("openai/gpt-5.5"),
                Remote("anthropic/claude-sonnet-5"),
            ],
        )
    assert outcome.exit_code == 1
    assert outcome.failed_sessions == 6
    good, gone, keyless, dead = outcome.run.candidates
    assert good.latency_ms.status == "ok"
    for candidate, why in (
        (gone, "does not have gone:1b"),
        (keyless, "OPENAI_API_KEY"),
        (dead, "127.0.0.1:1"),
    ):
        (cell,) = candidate.cells
        assert {str(metric.status) for metric in cell.metrics.values()} == {"error"}
        assert why in str(cell.metrics["ttft_s"].error_message)
        assert why in str(candidate.latency_ms.error_message)
        assert cell.verdict.status == "invalid"
        assert [one["state"] for one in cell.settings["sessions"]] == ["failed"] * 2
    assert outcome.run.metadata.finished is True


def test_of_a_server_that_dies_the_sessions_before_count(tmp_path: Path) -> None:
    levels = {
        "workload": Questions("decode"),
        "deployment": [Local("ollama/qwen3:8b"), Remote("anthropic/claude-sonnet-5")],
    }
    with simulated() as servers:
        with simulated() as doomed:
            servers["anthropic"] = doomed["anthropic"]
            # The first block has four requests; the second finds nobody at that address.
            first = swept(servers, tmp_path, Killing(4, signal.SIGINT), **levels)
            assert first.interrupted
        outcome = swept(servers, tmp_path, resume="latest", **levels)
    cells = cells_of(outcome.run)
    assert cells["decode.local"].metrics["total_latency_s"].metadata["requests"] == 4
    remote = cells["decode.remote"]
    assert remote.metrics["total_latency_s"].metadata["requests"] == 2
    assert [one["state"] for one in remote.settings["sessions"]] == ["measured", "failed"]
    assert any(reason.rule == "incomplete" for reason in remote.verdict.reasons)
    assert outcome.exit_code == 1


@pytest.mark.parametrize("after", [1, 4, 11])
def test_a_killed_sweep_is_resumed_without_loss_or_repetition(after: int, tmp_path: Path) -> None:
    with simulated() as servers:
        program = f"""
from pathlib import Path
from tests.sweep.support import Killing, swept
swept({servers!r}, Path({str(tmp_path)!r}), Killing({after}))
"""
        killed = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
        assert killed.returncode == -signal.SIGKILL
        (entry,) = list_runs(tmp_path)
        assert entry.state == "interrupted" and entry.folder is not None
        assert entry.way_on == f"minionbench sweep --resume {entry.run_id}"
        before = measured_records(tmp_path, entry.run_id)
        assert len(before) == after
        # What a write that was cut off in the middle leaves behind.
        for name in ("records.jsonl", "sessions.jsonl"):
            with (entry.folder / name).open("ab") as file:
                file.write(b'{"cell": "d')
        outcome = swept(servers, tmp_path, resume="latest")
    records = measured_records(tmp_path, entry.run_id)
    assert records[:after] == before
    assert times_measured(records) == dict.fromkeys(EVERY_REQUEST, 1)
    assert outcome.run.metadata.run_id == entry.run_id
    assert BenchmarkRun.load(outcome.path) == outcome.run
    for cell in cells_of(outcome.run).values():
        assert cell.metrics["total_latency_s"].metadata["requests"] == 4
    parts = [
        cell
        for cell in cells_of(outcome.run).values()
        if "in parts" in str(cell.metrics["requests_per_sec"].metadata.get("reason"))
    ]
    assert len(parts) <= 1
    assert any(note.startswith("Resumed at") for note in outcome.run.metadata.notes)


def test_a_sweep_killed_before_its_document_was_written_gets_it_by_resuming(tmp_path: Path) -> None:
    with simulated() as servers:
        whole = swept(servers, tmp_path)
        whole.path.unlink()
        again = swept(servers, tmp_path, resume="latest")
    assert again.path == whole.path and again.exit_code == whole.exit_code
    assert again.run.metadata.finished is True
    records = measured_records(tmp_path, whole.run.metadata.run_id)
    assert times_measured(records) == dict.fromkeys(EVERY_REQUEST, 1)
    before, after = cells_of(whole.run), cells_of(again.run)
    assert [cell.metrics["ttft_s"].value for cell in before.values()] == [
        cell.metrics["ttft_s"].value for cell in after.values()
    ]


def test_a_sweep_that_is_interrupted_says_what_it_has_and_goes_on(tmp_path: Path) -> None:
    with simulated() as servers:
        first = swept(servers, tmp_path, Killing(5, signal.SIGINT))
        assert first.exit_code == 130
        assert first.run.metadata.finished is False
        states = [
            one["state"]
            for cell in cells_of(first.run).values()
            for one in cell.settings["sessions"]
        ]
        assert Counter(states)["not reached"] >= 5
        unreached = [
            cell
            for cell in cells_of(first.run).values()
            if {one["state"] for one in cell.settings["sessions"]} == {"not reached"}
        ]
        assert unreached and "--resume" in str(unreached[0].metrics["ttft_s"].metadata["reason"])
        second = swept(servers, tmp_path, resume=first.run.metadata.run_id)
    assert second.path == first.path
    records = measured_records(tmp_path, first.run.metadata.run_id)
    assert times_measured(records) == dict.fromkeys(EVERY_REQUEST, 1)
    assert second.run.metadata.finished is True
    with simulated() as servers, pytest.raises(UsageError, match="nothing left to measure"):
        swept(servers, tmp_path, resume=first.run.metadata.run_id)
    with simulated() as servers, pytest.raises(UsageError, match="nothing to resume"):
        swept(servers, tmp_path, resume="latest")


def test_failed_sessions_are_tried_again_when_a_sweep_is_resumed(tmp_path: Path) -> None:
    with simulated() as servers:
        first = swept(servers | {"openai": "http://127.0.0.1:1"}, tmp_path)
        assert first.failed_sessions == 4
        second = swept(servers, tmp_path, resume="latest")
    assert second.failed_sessions == 0
    records = measured_records(tmp_path, first.run.metadata.run_id)
    assert times_measured(records) == dict.fromkeys(EVERY_REQUEST, 1)


def test_another_sweep_is_not_taken_for_the_one_to_go_on_with(tmp_path: Path) -> None:
    with simulated() as servers:
        swept(servers, tmp_path, Killing(3, signal.SIGINT))
        for levels, difference in (
            ({"workload": Questions("decode")}, "its cells are others"),
            ({"num_requests": 3}, "warmup of balanced.local has changed"),
            ({"repeats": 3}, "repeats of balanced.local has changed"),
            ({"seed": 5}, "seed of balanced.local has changed"),
            ({"keep_text": False}, "settings of ollama/qwen3:8b has changed"),
        ):
            with pytest.raises(UsageError, match=difference):
                swept(servers, tmp_path, resume="latest", **levels)


def test_a_budget_of_tokens_is_that_of_the_whole_sweep(tmp_path: Path) -> None:
    with simulated() as servers:
        outcome = swept(servers, tmp_path, max_total_tokens=600)
    assert outcome.run.metadata.finished is False
    assert any("budget of 600" in note for note in outcome.run.metadata.notes)
    records = measured_records(tmp_path, outcome.run.metadata.run_id)
    assert 0 < len(records) < len(EVERY_REQUEST)
    usages = [call.reply.usage for record in records for call in record.calls]
    assert sum((u.prompt_tokens or 0) + (u.completion_tokens or 0) for u in usages if u) <= 600


def test_a_limit_on_the_cost_is_that_of_the_whole_sweep_and_leaves_local_cells_alone(
    tmp_path: Path,
) -> None:
    with simulated() as servers:
        outcome = swept(
            servers,
            tmp_path,
            prices={"openai/gpt-5.5": "1000,1000"},
            max_cost_usd=0.3,
            warmup=0,
        )
    records = measured_records(tmp_path, outcome.run.metadata.run_id)
    usages = [c.reply.usage for r in records for c in r.calls if c.side == "remote"]
    spent = sum((u.prompt_tokens or 0) + (u.completion_tokens or 0) for u in usages if u) / 1_000
    assert 0 < spent <= 0.3
    assert sum(record.calls[0].side == "local" for record in records) == 8
    assert len(usages) < 8
    assert any(note.startswith("Of at most $0.3") for note in outcome.run.metadata.notes)
    assert any("left of $0.3" in note for note in outcome.run.metadata.notes)
    assert outcome.run.metadata.finished is False


def test_a_resumed_sweep_knows_the_most_that_it_can_have_spent_before(tmp_path: Path) -> None:
    paid = {"prices": {"openai/gpt-5.5": "1000,1000"}, "max_cost_usd": 0.6, "warmup": 0}
    remote = {"deployment": [Remote("openai/gpt-5.5")], "workload": [Questions("balanced")]}
    # The server counts nothing, so that nobody knows what an answer cost.
    with simulated(usage=False) as servers:
        first = swept(servers, tmp_path, Killing(1, signal.SIGINT), **paid, **remote)
    run_id = first.run.metadata.run_id
    # The second one was cut off by the interruption.
    records = list(read_journal(tmp_path / "data" / run_id / "records.jsonl"))
    assert [record.calls[0].reply.usage for record in records] == [None, None]
    spent = tmp_path / "data" / run_id / "spent.jsonl"
    booked = json.loads(spent.read_bytes().splitlines()[-1])["usd"]
    assert 0.1 < booked <= 0.6
    with simulated() as servers:
        second = swept(servers, tmp_path, resume=run_id, **paid, **remote)
    (told,) = [n for n in second.run.metadata.notes if n.startswith("Of at most $0.6")]
    known = [
        (u.prompt_tokens or 0) + (u.completion_tokens or 0)
        for r in measured_records(tmp_path, run_id)
        for c in r.calls
        if (u := c.reply.usage) is not None
    ]
    said = float(told.split("$")[2].split()[0])
    assert said == pytest.approx(booked + sum(known) / 1_000, abs=0.001)
    assert said <= 0.6


def test_a_sweep_that_goes_on_after_a_restart_keeps_its_sessions_clocks_apart(
    tmp_path: Path,
) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(
        '["openai/gpt-5.5"]\ninput = 1\noutput = 1\n'
        "periods = [{ since = 2100-01-01, input = 100, output = 100 }]\n"
    )
    plug = tmp_path / "plug.py"
    plug.write_text(
        "import time\nwhile True: print('{\"watts\": 50}', flush=True); time.sleep(0.02)\n"
    )
    meters = PowerSettings(command=shlex.join([sys.executable, str(plug)]), idle_s=0)

    def made(servers: dict[str, str]) -> Definition:
        plain = definition(servers, tmp_path, workload=[Questions("balanced")])
        common = msgspec.structs.replace(plain.common, prices=table, meters=meters)
        return msgspec.structs.replace(plain, common=common)

    with simulated() as servers:
        first = run_sweep(made(servers), Killing(4, signal.SIGINT), argv=["test"])
        assert first.interrupted
        # As if the first block had been measured in the next century, on another start.
        path = tmp_path / "data" / first.run.metadata.run_id / "sessions.jsonl"
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        for line in lines:
            line["boot"] = "another"
            line["clock"]["utc_ns"] += 80 * 365 * 86_400 * 10**9
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        second = run_sweep(made(servers), resume="latest", argv=["test"])
    cells = cells_of(second.run)
    prices = cells["balanced.remote"].metrics["cost_usd"].metadata["unit_prices_usd_per_million"]
    assert {price["input_usd"]: price["calls"] for price in prices} == {1.0: 2, 100.0: 2}
    energy = cells["balanced.local"].metrics["energy_wh"]
    assert energy.value is None and "restarted" in str(energy.metadata["reason"])


def test_without_the_file_of_what_was_spent_a_limit_is_not_guessed_at(tmp_path: Path) -> None:
    paid = {"prices": {"openai/gpt-5.5": "1000,1000"}, "max_cost_usd": 9.0, "warmup": 0}
    with simulated(usage=False) as servers:
        first = swept(
            servers,
            tmp_path,
            Killing(1, signal.SIGINT),
            deployment=[Remote("openai/gpt-5.5")],
            **paid,
        )
        run_id = first.run.metadata.run_id
        (tmp_path / "data" / run_id / "spent.jsonl").unlink()
        with pytest.raises(UsageError, match="what 2 calls took is not known"):
            swept(servers, tmp_path, resume=run_id, deployment=[Remote("openai/gpt-5.5")], **paid)


def test_what_is_under_way_when_a_sweep_is_killed_is_on_file_before_it_is_sent(
    tmp_path: Path,
) -> None:
    with simulated(timing=Fixed(ttft_ms=60_000.0)) as servers:
        program = f"""
from pathlib import Path
from minionbench import Remote
from tests.sweep.support import swept
swept({servers!r}, Path({str(tmp_path)!r}), deployment=[Remote("openai/gpt-5.5")], warmup=0,
      prices={{"openai/gpt-5.5": "1000,1000"}}, max_cost_usd=9.0)
"""
        child = subprocess.Popen([sys.executable, "-c", program])
        try:
            while not (found := list(tmp_path.glob("data/*/spent.jsonl"))):
                assert child.poll() is None
                sleep_s(0.02)
        finally:
            child.kill()
            child.wait()
    assert json.loads(found[0].read_bytes().splitlines()[-1])["usd"] > 0.1
    assert not list(read_journal(found[0].with_name("records.jsonl")))


def test_a_dry_run_names_its_cells_and_says_what_is_unknown(tmp_path: Path) -> None:
    made = definition({}, tmp_path, dry_run=True)
    run = run_sweep(made, argv=["test"]).run
    assert run.metadata.dry_run is True
    notes = run.metadata.notes
    assert any(note.startswith("Estimated time: unknown") for note in notes)
    assert any(note.startswith("planned: balanced.local: 6 requests") for note in notes)
    assert {str(m.status) for one in run.candidates for m in one.metrics.values()} == {"skipped"}
    with pytest.raises(UsageError, match="dry run"):
        run_sweep(made, resume="latest")


def test_a_dry_run_knows_time_and_cost_from_earlier_runs_or_assumptions(tmp_path: Path) -> None:
    with simulated() as servers:
        levels = {"prices": {"openai/gpt-5.5": "1,2"}}
        swept(servers, tmp_path, **levels, workload=Questions("decode"))
        made = definition(servers, tmp_path, **levels, dry_run=True)
        expected = run_sweep(made, argv=["test"]).estimate
        assumed = run_sweep(made, argv=["test"], assumed=Assumed(request_s=2, start_s=1)).estimate
    assert expected is not None and assumed is not None
    known = {cell.cell_id: cell for cell in expected.cells}
    assert known["decode.local"].time_s is not None
    assert known["decode.local"].time_from.startswith("benchmark_")
    assert known["balanced.local"].time_s is None
    assert known["decode.local"].cost_usd == 0
    assert known["decode.remote"].cost_is_most is False and known["decode.remote"].cost_usd
    most = known["balanced.remote"]
    # 6 requests of 12 tokens, with room for a template, and answers of up to 12.
    assert most.cost_is_most and most.cost_usd == pytest.approx(6 * (44 * 1 + 12 * 2) / 1e6)
    times = {cell.cell_id: cell.time_s for cell in assumed.cells}
    # Two sessions of a start of 1 s, one warm-up and two requests of 2 s.
    assert times["balanced.local"] == pytest.approx(2 * (1 + 3 * 2))


def test_a_fault_of_ours_with_one_cell_costs_no_other(tmp_path: Path) -> None:
    class Faulty(Silent):
        def stage(self, text: str) -> None:
            if "decode.local, repeat 1" in text:
                raise ZeroDivisionError("by mistake")

    with simulated() as servers:
        outcome = swept(servers, tmp_path, Faulty())
    assert outcome.failed_sessions == 1
    cell = cells_of(outcome.run)["decode.local"]
    (failed,) = [one for one in cell.settings["sessions"] if one["state"] == "failed"]
    assert "ZeroDivisionError: by mistake" in failed["why"]
    fault = Path(failed["why"].rpartition("More is in ")[2])
    assert "Traceback" in fault.read_text()
    assert cell.metrics["total_latency_s"].metadata["requests"] == 2
    assert cells_of(outcome.run)["balanced.local"].metrics["ttft_s"].status == "ok"


def test_the_observer_is_told_of_all_sessions_and_of_those_that_fail(tmp_path: Path) -> None:
    class Noting(Silent):
        planned = left = ended = 0

        def plan(self, run_id: str, model: str, cells: object) -> None:
            assert isinstance(cells, list)
            self.planned = sum(cell.total for cell in cells if isinstance(cell, Cell))

        def record(self, record: object) -> None:
            self.ended += 1

        def left_out(self, requests: int, calls: int) -> None:
            self.left += requests

    noting = Noting()
    with simulated() as servers:
        swept(servers | {"openai": "http://127.0.0.1:1"}, tmp_path, noting)
    assert (noting.planned, noting.ended, noting.left) == (24, 12, 12)
    assert os.environ.get("OLLAMA_HOST") is None
