from __future__ import annotations

from pathlib import Path

import pytest

from minionbench.compare import Wanted, read_side
from minionbench.compare.measurement import Measurement
from minionbench.compare.reading import observation
from minionbench.errors import SchemaError, UsageError
from minionbench.schema import MetricResult, ReasonDocument, SystemInfo, VerdictDocument
from tests.compare.runs import TOTALS, name_of, save, write_broken, write_run
from tests.documents import candidate, cell, prototype_document


def read(folder: Path, *specs: str) -> tuple[Measurement, ...]:
    return read_side(list(specs) or ["latest"], folder, Wanted()).measurements


def test_a_run_is_a_replicate_with_its_items(tmp_path: Path) -> None:
    write_run(tmp_path, 1)
    (one,) = read(tmp_path)
    (replicate,) = one.replicates
    assert (one.cell_id, one.workload, one.load) == ("decode", "decode", "1 stream")
    assert (replicate.session, replicate.requests, replicate.failed) == (None, 6, 0)
    assert replicate.metrics["total_latency_s"].value == pytest.approx(0.275)
    assert replicate.items["total_latency_s"] == pytest.approx(
        {f"item-{i}": total / 1000 for i, total in enumerate(TOTALS)}
    )
    assert set(replicate.items) == {"ttft_s", "total_latency_s", "tpot_s"}


def test_sessions_are_replicates_each(tmp_path: Path) -> None:
    write_run(tmp_path, 1, [1.0, 1.1, 1.2])
    (one,) = read(tmp_path)
    values = [replicate.metrics["total_latency_s"].value for replicate in one.replicates]
    assert values == pytest.approx([0.275, 0.3025, 0.33])
    assert [replicate.session for replicate in one.replicates] == [0, 1, 2]


def test_a_session_that_failed_is_a_replicate_that_failed(tmp_path: Path) -> None:
    told = [
        {"repeat": 2, "turn": 3, "state": "failed", "why": "the engine did not start"},
        {"repeat": 3, "turn": 4, "state": "not reached"},
    ]
    settings = {"repeat_unit": "session", "sessions": told, "flags": {"threads": 2}}
    write_run(tmp_path, 1, [1.0, 1.1], cell_fields={"settings": settings, "repeats": 4})
    (one,) = read(tmp_path)
    failed = one.replicates[2]
    assert (len(one.replicates), failed.session) == (3, 2)
    assert failed.metrics["ttft_s"].failed
    assert failed.metrics["ttft_s"].why == "the engine did not start"
    assert one.conditions["flags.threads"] == 2
    assert "settings.other.sessions" not in one.conditions


def test_failed_requests_are_counted_and_their_items_have_failed(tmp_path: Path) -> None:
    write_run(tmp_path, 1, failures=1)
    (replicate,) = read(tmp_path)[0].replicates
    assert (replicate.requests, replicate.failed) == (6, 1)
    assert replicate.items["total_latency_s"]["item-5"] is None


def test_without_records_the_document_is_enough(tmp_path: Path) -> None:
    write_run(tmp_path, 1)
    (tmp_path / "data" / name_of(1) / "records.jsonl").unlink()
    (one,) = read(tmp_path)
    assert one.replicates[0].items == {}
    assert one.replicates[0].metrics["total_latency_s"].value == pytest.approx(0.275)
    assert "were not paired" in one.notes[0]
    write_run(tmp_path, 2, [1.0, 1.1])
    (tmp_path / "data" / name_of(2) / "records.jsonl").write_bytes(b"")
    with pytest.raises(SchemaError, match="was changed"):
        read(tmp_path)


def test_a_run_that_measured_nothing_says_why(tmp_path: Path) -> None:
    write_broken(tmp_path, 1)
    (one,) = read(tmp_path)
    assert one.broken == "No server answers"


def test_documents_of_the_registry_benchmark_have_their_own_figures(tmp_path: Path) -> None:
    metrics = candidate().metrics | {
        "latency_ms": MetricResult.ok(12.5, unit="ms"),
        "cove_pass_rate": MetricResult.ok(
            80.0, unit="%", n=35, interval={"low": 70.0, "high": 88.0, "level": 0.95}
        ),
    }
    save(tmp_path, 1, candidate(metrics=metrics))
    (one,) = read(tmp_path)
    assert one.cell_id is None
    seen = one.replicates[0].metrics
    assert set(seen) == {"latency_ms", "cove_pass_rate"}
    assert (seen["cove_pass_rate"].low, seen["cove_pass_rate"].items) == (70.0, 35)


def test_the_prototypes_documents_can_be_read(tmp_path: Path) -> None:
    import json

    document = prototype_document()
    document["metadata"]["dry_run"] = False
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    assert read(tmp_path, str(path))[0].replicates[0].metrics["latency_ms"].value == 12.5


def test_only_what_the_harness_did_wrong_makes_a_run_unbelievable(tmp_path: Path) -> None:
    def verdict(rule: str) -> VerdictDocument:
        reason = ReasonDocument(
            rule=rule, severity="invalid", measured=1, limit=0, unit="", message="m", advice=None
        )
        return VerdictDocument(status="invalid", reasons=(reason,))

    write_run(tmp_path, 1, cell_fields={"verdict": verdict("start_lag")})
    write_run(tmp_path, 2, cell_fields={"verdict": verdict("failures")})
    late, failing = read(tmp_path, name_of(1), name_of(2))
    assert (late.invalid, late.doubts) == (("start_lag",), ("start_lag",))
    assert (failing.invalid, failing.doubts) == ((), ("failures",))


def test_the_host_of_a_container_is_no_condition(tmp_path: Path) -> None:
    write_run(tmp_path, 1, system=SystemInfo(hostname="a", container="docker"))
    write_run(tmp_path, 2, system=SystemInfo(hostname="b", container="docker"))
    one, other = read(tmp_path, name_of(1), name_of(2))
    assert one.conditions == other.conditions


def test_a_side_is_named_in_many_ways(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_run(tmp_path, number)

    def ids(*specs: str) -> list[str]:
        return [one.run_id for one in read(tmp_path, *specs)]

    assert ids("latest") == [name_of(3)]
    assert ids("latest~2") == [name_of(1)]
    assert ids(f"{name_of(1)},{name_of(2)[10:]}") == [name_of(1), name_of(2)]
    assert ids(str(tmp_path)) == [name_of(n) for n in (1, 2, 3)]
    assert ids(f"{tmp_path}/*00000[12].json") == [name_of(1), name_of(2)]
    assert ids(str(tmp_path / f"{name_of(2)}.json")) == [name_of(2)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("latest~7", "only 2 finished runs"),
        ("nowhere/*.json", "no run document"),
        ("benchmark_20250101_000000", "There is no run"),
        ("missing.json", "no run document at"),
        (f"{name_of(1)},{name_of(1)}", "named twice"),
        (f"{name_of(1)}#nobody", "no candidate 'nobody'; it has: m"),
        ("", "needs a run"),
        (f"{name_of(9)}", "dry run"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, spec: str, message: str) -> None:
    write_run(tmp_path, 1)
    from tests.documents import run

    run(candidate(), run_id=name_of(9), dry_run=True).save(tmp_path / f"{name_of(9)}.json")
    with pytest.raises(UsageError, match=message):
        read(tmp_path, spec)


def test_a_candidate_is_called_by_any_of_its_names(tmp_path: Path) -> None:
    from minionbench.schema import Factors

    def of(model: str, protocol: str | None) -> object:
        factors = Factors(
            deployment="hybrid" if protocol else "local",
            model=model,
            remote_model="big" if protocol else None,
            protocol=protocol,
        )
        metrics = candidate().metrics | {"latency_ms": MetricResult.ok(1.0)}
        return candidate(model, factors=factors, metrics=metrics)

    save(tmp_path, 1, of("ollama/llama", "minion"), of("ollama/qwen", None))  # type: ignore[arg-type]
    for name in ("ollama/llama", "minion", "llama with"):
        assert read(tmp_path, f"latest#{name}")[0].candidate == "ollama/llama with big by minion"
    with pytest.raises(UsageError, match="several candidates"):
        read(tmp_path, "latest#ollama")


def test_one_cell_of_a_candidate_is_taken_alone(tmp_path: Path) -> None:
    cells = [cell(cell_id=name) for name in ("one", "two")]
    save(tmp_path, 1, candidate(cells=cells))
    assert [one.cell_id for one in read(tmp_path, "latest#two")] == ["two"]
    assert [one.cell_id for one in read(tmp_path)][:2] == ["one", "two"]


def test_what_a_document_says_amiss_of_itself_is_left_out() -> None:
    metric = MetricResult.ok(
        50.0,
        n=0,
        interval={"low": 1.0, "high": 2.0, "level": "high"},
        percentiles={"p50": 3, "p90": {"value": "x"}, "p95": {"value": 2.0}},
        not_right={"item": "never"},
    )
    seen = observation(metric)
    assert (seen.items, seen.level, seen.not_right) == (None, None, None)
    assert seen.percentiles == {"p95": 2.0}
