"""The run document: what is accepted, what is refused and in which words, and how it is saved."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import math
import os
import pickle
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.names import REGISTRY_METRICS
from minionbench.schema import (
    SCHEMA_VERSION,
    BenchmarkRun,
    Factors,
    LoadDocument,
    MetricResult,
    MetricStatus,
    PartError,
    ReasonDocument,
    RecordsReference,
    RunMetadata,
    VerdictDocument,
    json_schema,
    json_schema_text,
    registry_metrics,
    write_atomically,
)
from tests.documents import (
    SHA256,
    candidate,
    cell,
    full_run,
    metric_results,
    plain_objects,
    prototype_document,
    run,
    runs,
)

ORACLE = Draft202012Validator(json_schema())
"""The JSON Schema in the hands of an independent implementation."""

Tree = dict[str, Any]


def tree(document: BenchmarkRun) -> Tree:
    made = json.loads(document.to_json())
    assert isinstance(made, dict)
    return made


def refusal(document: Tree | str | bytes) -> SchemaError:
    """The error with which a document is refused."""
    text = json.dumps(document) if isinstance(document, dict) else document
    with pytest.raises(SchemaError) as caught:
        BenchmarkRun.from_json(text)
    return caught.value


def at(document: Tree, *where: str | int) -> Any:
    found: Any = document
    for step in where:
        found = found[step]
    return found


FREE = {"metadata", "settings", "flags", "packages"}
"""Objects whose keys the schema leaves open; the run's own metadata is not among them."""


def objects(node: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of each object with a fixed set of fields."""
    if isinstance(node, dict):
        if not where or where[-1] != "metrics":
            yield where
        for key, inner in node.items():
            if key not in FREE or (not where and key == "metadata"):
                yield from objects(inner, (*where, key))
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from objects(inner, (*where, index))


def dotted(*where: str | int) -> str:
    return ".".join(map(str, where))


FULL = tree(full_run())
OBJECTS = sorted(objects(FULL), key=str)


# What is accepted


@given(runs())
@settings(max_examples=25)
def test_what_is_saved_is_what_is_loaded(tmp_path_factory: Any, document: BenchmarkRun) -> None:
    path = tmp_path_factory.mktemp("run") / "document.json"
    document.save(path)
    assert path.read_text(encoding="utf-8") == document.to_json()
    assert BenchmarkRun.load(path) == document
    assert BenchmarkRun.load(path).to_json() == document.to_json()


@given(runs(), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_order_of_keys_means_nothing(document: BenchmarkRun, random: Any) -> None:
    def shuffled(node: Any) -> Any:
        if isinstance(node, dict):
            items = [(key, shuffled(value)) for key, value in node.items()]
            random.shuffle(items)
            return dict(items)
        return [shuffled(inner) for inner in node] if isinstance(node, list) else node

    assert BenchmarkRun.from_json(json.dumps(shuffled(tree(document)))) == document


@given(runs())
@settings(max_examples=25)
def test_the_json_schema_accepts_every_valid_document(document: BenchmarkRun) -> None:
    ORACLE.validate(tree(document))


def test_the_json_schema_is_one_of_draft_2020_12() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_committed_json_schema_is_the_one_of_the_code(root: Path) -> None:
    committed = root / "docs" / "schema" / "benchmark_run.schema.json"
    assert committed.read_text(encoding="utf-8") == json_schema_text(), (
        "write it anew: minionbench schema > docs/schema/benchmark_run.schema.json"
    )


def test_the_committed_examples_load(root: Path) -> None:
    examples = sorted((root / "examples").glob("benchmark_*.json"))
    versions = [json.loads(path.read_text()).get("schema_version") for path in examples]
    assert set(versions) == {None, SCHEMA_VERSION}
    for path in examples:
        assert BenchmarkRun.load(path).metadata.run_id == path.stem


def test_each_metric_of_the_registry_benchmark_can_be_asked_for_by_name() -> None:
    results = {name: MetricResult.ok(float(n)) for n, name in enumerate(REGISTRY_METRICS)}
    made = candidate(metrics=results)
    for name in REGISTRY_METRICS:
        assert getattr(made, name) is made.metrics[name]
    assert made.latency_ms.status == "ok"
    assert made.latency_ms.status is MetricStatus.OK


def test_lists_may_be_given_as_any_sequence() -> None:
    made = run(candidate(cells=[cell()], notes=["a"]), notes=["b"])
    assert made.candidates[0].cells == (cell(),)
    assert made.metadata.notes == ("b",)


def test_parts_cannot_be_changed() -> None:
    made = run(candidate())
    with pytest.raises(AttributeError, match="immutable"):
        made.candidates[0].version = "other"  # type: ignore[misc]


def test_a_part_with_some_fields_changed_is_held_to_its_rules() -> None:
    made = candidate("a", notes=["n"])
    other = made.but(version="b")
    assert (made.version, other.version, other.notes) == ("a", "b", ("n",))
    assert other.metrics == made.metrics
    with pytest.raises(PartError, match="version: must not be empty"):
        made.but(version="")
    with pytest.raises(PartError, match="colour: the schema knows no such field"):
        made.but(colour="red")


def test_a_part_is_copied_and_pickled_like_any_value() -> None:
    for again in (copy.deepcopy(full_run()), pickle.loads(pickle.dumps(full_run()))):
        assert again == full_run()


def test_parts_share_no_objects_that_were_left_out() -> None:
    one, other = MetricResult.ok(1), MetricResult.ok(1)
    one.metadata["n"] = 1
    assert other.metadata == {}
    assert MetricResult.ok(1).metadata == {}


def test_the_signature_shows_what_may_be_left_out() -> None:
    fields = inspect.signature(MetricResult).parameters.values()
    needed = [field.name for field in fields if field.default is inspect.Parameter.empty]
    assert needed == ["status"]
    with pytest.raises(PartError, match="status: this field is missing"):
        MetricResult(value=1.0)  # type: ignore[call-arg]


def test_a_part_alone_is_written_and_read_as_in_a_document() -> None:
    metric = MetricResult.ok(1.5, unit="s")
    assert MetricResult.decoded(metric.encoded()) == metric
    with pytest.raises(SchemaError, match=r"value: this field is missing.* \(in a file\)"):
        MetricResult.decoded(b'{"status": "ok"}', "a file")


# Metrics: status, value, message and reason belong together


def is_valid_metric(status: str, value: Any, message: str | None, reason: Any) -> bool:
    """The rule in its own words, apart from the code."""
    if status == "ok":
        return value is not None and message is None
    if status == "skipped":
        return value is None and message is None and isinstance(reason, str) and reason != ""
    return value is None and message not in (None, "")


METRICS = list(
    product(["ok", "skipped", "error"], [None, 0.0, 1.5], [None, "", "m"], [None, "", "r"])
)


@pytest.mark.parametrize(("status", "value", "message", "reason"), METRICS)
def test_a_metric_holds_what_its_status_says(
    status: str, value: float | None, message: str | None, reason: str | None
) -> None:
    metadata = {} if reason is None else {"reason": reason}
    metric = {
        "status": status,
        "value": value,
        "error_message": message,
        "metadata": metadata,
    }
    document = tree(run(candidate()))
    at(document, "candidates", 0, "metrics")["latency_ms"] = metric
    if is_valid_metric(status, value, message, reason):
        loaded = BenchmarkRun.from_json(json.dumps(document)).candidates[0].latency_ms
        assert (loaded.status, loaded.value, loaded.error_message) == (status, value, message)
        assert loaded == MetricResult(**metric)
        assert ORACLE.is_valid(document)
    else:
        error = refusal(document)
        assert error.path is not None
        field = error.path.removeprefix("candidates.0.metrics.latency_ms.")
        assert field in {"value", "error_message", "metadata.reason"}
        with pytest.raises(PartError):
            MetricResult(**metric)
        assert not ORACLE.is_valid(document)


@given(metric_results(), st.sampled_from(["ok", "skipped", "error"]))
def test_a_changed_status_is_refused(metric: MetricResult, status: str) -> None:
    document = tree(run(candidate()))
    changed = json.loads(metric.encoded()) | {"status": status}
    at(document, "candidates", 0, "metrics")["latency_ms"] = changed
    if status == metric.status:
        assert BenchmarkRun.from_json(json.dumps(document)).candidates[0].latency_ms == metric
    else:
        error = refusal(document)
        assert error.path is not None
        assert error.path.startswith("candidates.0.metrics.latency_ms.")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "place",
    [("value",), ("metadata", "x"), ("metadata", "x", "y"), ("metadata", "x", 1)],
)
def test_a_number_that_is_none_is_refused_with_its_path(
    value: float, place: tuple[str | int, ...]
) -> None:
    metric: dict[str, Any] = {
        "status": "ok",
        "value": 1.0,
        "error_message": None,
        "metadata": {"x": {"y": 0} if place[-1] == "y" else [0, 0]},
    }
    at(metric, *place[:-1])[place[-1]] = value
    document = tree(run(candidate()))
    at(document, "candidates", 0, "metrics")["latency_ms"] = metric
    error = refusal(document)
    assert error.path == dotted("candidates", 0, "metrics", "latency_ms", *place)
    with pytest.raises(PartError):
        MetricResult(**metric)


def test_a_number_too_large_for_a_float_is_refused() -> None:
    text = run(candidate(metrics=registry_metrics(MetricResult.ok(1.5)))).to_json()
    for huge in ("1e999", "1" + "0" * 400):
        error = refusal(text.replace("1.5", huge, 1))
        assert error.path == "candidates.0.metrics.latency_ms.value"


@pytest.mark.parametrize("value", [True, "1.5", [1.5], {}])
def test_a_value_is_a_number_and_nothing_like_one(value: object) -> None:
    document = tree(run(candidate(metrics=registry_metrics(MetricResult.ok(1)))))
    at(document, "candidates", 0, "metrics", "latency_ms")["value"] = value
    assert refusal(document).path == "candidates.0.metrics.latency_ms.value"


def test_a_whole_number_is_a_number() -> None:
    document = tree(run(candidate(metrics=registry_metrics(MetricResult.ok(1)))))
    at(document, "candidates", 0, "metrics", "latency_ms")["value"] = 3
    assert BenchmarkRun.from_json(json.dumps(document)).candidates[0].latency_ms.value == 3.0


@given(plain_objects)
def test_metadata_keeps_any_plain_object(metadata: dict[str, Any]) -> None:
    assert MetricResult(status="ok", value=1, metadata=metadata).metadata == metadata


class Label(str):
    """Text of a type of its own, as enumerations are."""


class Reading(float):
    """A number of a type of its own, as those of numpy are."""


def test_metadata_becomes_plain_json() -> None:
    given_metadata = {"a": (1, 2), "b": Label("text"), "c": {"d": Reading(2.5)}, "e": True}
    metric = MetricResult.ok(1, **given_metadata)
    assert metric.metadata == {"a": [1, 2], "b": "text", "c": {"d": 2.5}, "e": True}
    kinds = [type(metric.metadata[key]) for key in "abe"] + [type(metric.metadata["c"]["d"])]
    assert kinds == [list, str, bool, float]
    assert given_metadata["a"] == (1, 2)


@pytest.mark.parametrize(
    "value",
    [object(), {1: 2}, {"a": {1, 2}}, "\udc80", b"bytes", MetricResult.ok(1), [MetricResult.ok(1)]],
)
def test_metadata_that_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(PartError):
        MetricResult.ok(1, x=value)


def test_metadata_nested_without_end_is_refused() -> None:
    deep: Any = 1
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(PartError, match="nested deeper"):
        MetricResult.ok(1, deep=deep)


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"unit": 5}, "unit"),
        ({"n": -1}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": True}, "n"),
        ({"interval": [1, 2]}, "interval"),
        ({"interval": {"low": 1}}, "interval.high"),
        ({"interval": {"low": "1", "high": 2}}, "interval.low"),
        ({"interval": {"low": None, "high": True}}, "interval.high"),
    ],
)
def test_what_every_reader_asks_for_has_its_form(metadata: dict[str, Any], path: str) -> None:
    document = tree(run(candidate(metrics=registry_metrics(MetricResult.ok(1)))))
    at(document, "candidates", 0, "metrics", "latency_ms")["metadata"] = metadata
    assert refusal(document).path == f"candidates.0.metrics.latency_ms.metadata.{path}"
    assert not ORACLE.is_valid(document)
    with pytest.raises(PartError):
        MetricResult.ok(1, **metadata)


def test_metadata_of_a_document_is_nested_no_deeper_than_that_of_python() -> None:
    document = tree(run(candidate(metrics=registry_metrics(MetricResult.ok(1)))))
    metric = at(document, "candidates", 0, "metrics", "latency_ms")

    def nested(levels: int) -> Any:
        return [nested(levels - 1)] if levels else 1

    metric["metadata"] = {"deep": nested(20)}
    loaded = BenchmarkRun.from_json(json.dumps(document)).candidates[0].latency_ms
    assert loaded == MetricResult.ok(1, deep=nested(20))
    metric["metadata"] = {"deep": nested(21)}
    error = refusal(document)
    assert str(error).startswith("candidates.0.metrics.latency_ms.metadata.deep.0.0")
    assert "nested deeper than 20 levels" in str(error)
    with pytest.raises(PartError, match="nested deeper"):
        MetricResult.ok(1, deep=nested(21))


def test_half_a_surrogate_pair_in_a_document_is_refused() -> None:
    document = tree(run(candidate("named")))
    error = refusal(json.dumps(document).replace("named", "\\udc80"))
    assert error.path == "candidates.0.version"
    assert "UTF-8" in str(error)


def test_metadata_may_use_any_key() -> None:
    assert MetricResult.ok(1, value=2).metadata == {"value": 2}
    assert MetricResult.error("it broke", message=2).metadata == {"message": 2}


# Documents: every field is there and known


@pytest.mark.parametrize("where", OBJECTS, ids=lambda where: dotted(*where) or "document")
def test_a_missing_field_is_an_error_that_names_its_path(where: tuple[str | int, ...]) -> None:
    for field in at(FULL, *where):
        document = copy.deepcopy(FULL)
        del at(document, *where)[field]
        error = refusal(document)
        assert error.path == dotted(*where, field)
        assert "this field is missing" in str(error)
        assert not ORACLE.is_valid(document)


@pytest.mark.parametrize("where", OBJECTS, ids=lambda where: dotted(*where) or "document")
def test_an_unknown_field_is_an_error_that_names_its_path(where: tuple[str | int, ...]) -> None:
    document = copy.deepcopy(FULL)
    at(document, *where)["surprise"] = None
    error = refusal(document)
    assert error.path == dotted(*where, "surprise")
    assert "the schema knows no such field" in str(error)
    assert not ORACLE.is_valid(document)


@pytest.mark.parametrize("where", OBJECTS, ids=lambda where: dotted(*where) or "document")
def test_a_value_of_another_kind_is_an_error_that_names_its_path(
    where: tuple[str | int, ...],
) -> None:
    for field, value in at(FULL, *where).items():
        if isinstance(value, dict | list) or field in {"measured", "limit"}:
            wrong: Any = 5
            if field in {"measured", "limit"}:
                wrong = [5]
        else:
            wrong = {"an": "object"}
        document = copy.deepcopy(FULL)
        at(document, *where)[field] = wrong
        error = refusal(document)
        assert error.path is not None
        assert error.path.startswith(dotted(*where, field))
        assert not ORACLE.is_valid(document)


@pytest.mark.parametrize("name", REGISTRY_METRICS)
def test_each_metric_of_the_registry_benchmark_is_always_there(name: str) -> None:
    document = copy.deepcopy(FULL)
    del at(document, "candidates", 0, "metrics")[name]
    assert refusal(document).path == f"candidates.0.metrics.{name}"
    assert not ORACLE.is_valid(document)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("metadata", "run_id"), "benchmark_2026"),
        (("metadata", "run_id"), "../benchmark_20261121_201100"),
        (("metadata", "run_id"), "benchmark_20261121_20110٠"),
        (("metadata", "timestamp"), "yesterday"),
        (("metadata", "timestamp"), "2026-13-21T20:11:00+00:00"),
        (("system_info", "cpu_count"), 0),
        (("system_info", "total_ram_gb"), -1.0),
        (("candidates", 0, "version"), ""),
        (("candidates", 0, "model_type"), "tiny"),
        (("candidates", 0, "parameter_count"), -1),
        (("candidates", 0, "parameter_count"), 1.5),
        (("candidates", 0, "cells", 0, "cell_id"), "a/b"),
        (("candidates", 0, "cells", 0, "cell_id"), ""),
        (("candidates", 0, "cells", 0, "repeats"), 0),
        (("candidates", 0, "cells", 0, "load", "concurrency"), 0),
        (("candidates", 0, "cells", 0, "verdict", "status"), "fine"),
        (("candidates", 0, "cells", 0, "verdict", "reasons", 0, "severity"), "bad"),
        (("candidates", 0, "cells", 0, "verdict", "reasons", 0, "measured"), [5]),
        (("candidates", 0, "cells", 0, "verdict", "reasons", 0, "limit"), math.nan),
        (("candidates", 0, "cells", 0, "records", "sha256"), "ABC"),
        (("candidates", 0, "cells", 0, "records", "rows"), -1),
        (("schema_version",), True),
        (("schema_version",), 1.5),
        (("schema_version",), "1"),
    ],
)
def test_a_value_out_of_bounds_is_an_error_that_names_its_path(
    where: tuple[str | int, ...], value: object
) -> None:
    document = copy.deepcopy(FULL)
    at(document, *where[:-1])[where[-1]] = value
    assert refusal(document).path == dotted(*where)


@pytest.mark.parametrize("name", ["Latency", "a b", "", "1st", "ttft_s\n"])
def test_a_metric_has_a_plain_name(name: str) -> None:
    document = copy.deepcopy(FULL)
    metrics = at(document, "candidates", 0, "cells", 0, "metrics")
    metrics[name] = metrics["ttft_s"]
    assert refusal(document).path == f"candidates.0.cells.0.metrics.{name}"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../up.jsonl",
        "data/../../up",
        "data//x",
        "data/./x",
        "a\\b",
        "",
        "data/",
        "..",
    ],
)
def test_records_lie_below_the_folder_of_their_document(path: str) -> None:
    with pytest.raises(PartError):
        RecordsReference(path=path, sha256=SHA256, rows=1)


def test_two_cells_never_share_an_id() -> None:
    document = tree(run(candidate(cells=[cell("a")]), candidate(cells=[cell("b")])))
    at(document, "candidates", 1, "cells", 0)["cell_id"] = "a"
    assert refusal(document).path == "candidates.1.cells.0.cell_id"


@pytest.mark.parametrize(
    ("severities", "status"),
    [
        ([], "valid"),
        (["note"], "valid"),
        (["suspect", "note"], "suspect"),
        (["note", "invalid", "suspect"], "invalid"),
    ],
)
def test_a_verdict_is_as_bad_as_its_worst_reason(severities: list[Any], status: str) -> None:
    reasons = [
        ReasonDocument(
            rule="r",
            severity=severity,
            measured=None,
            limit=None,
            unit=None,
            message="m",
            advice=None,
        )
        for severity in severities
    ]
    for claimed in ("valid", "suspect", "invalid"):
        if claimed == status:
            VerdictDocument(status=claimed, reasons=reasons)
        else:
            with pytest.raises(PartError, match=f"makes the verdict {status}"):
                VerdictDocument(status=claimed, reasons=reasons)


@pytest.mark.parametrize(
    ("fields", "absent"),
    [
        ({"kind": "closed"}, "concurrency"),
        ({"kind": "open", "arrivals": "poisson"}, "rate_per_s"),
        ({"kind": "open", "rate_per_s": 1.0}, "arrivals"),
        ({"kind": "replay"}, "trace"),
    ],
)
def test_a_load_states_what_its_kind_needs(fields: dict[str, Any], absent: str) -> None:
    with pytest.raises(PartError, match=absent):
        LoadDocument(**fields)


# Messages


def test_a_message_names_the_file_the_path_and_both_sides(tmp_path: Path) -> None:
    document = copy.deepcopy(FULL)
    at(document, "candidates", 0)["version"] = 7
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document))
    with pytest.raises(SchemaError) as caught:
        BenchmarkRun.load(path)
    assert str(caught.value) == f"candidates.0.version: expected text, found 7 (in {path})"


def test_a_message_lists_a_few_faults_and_counts_the_rest() -> None:
    document = copy.deepcopy(FULL)
    for field in at(document, "system_info"):
        at(document, "system_info")[field] = ["x" * 500]
    message = str(refusal(document))
    assert message.count("expected") == 5
    assert message.endswith("14 more")
    assert len(message) < 1_000


def test_braces_in_a_faulty_document_do_not_garble_the_message() -> None:
    document = tree(run(candidate(cells=[cell("a"), cell("b")])))
    at(document, "metadata")["timestamp"] = "2026-13-45T20:11:00Z"
    assert "found '2026-13-45T20:11:00Z'" in str(refusal(document))


@pytest.mark.parametrize(
    "text", ["", "{", "nonsense", '{"a": 1,}', "[" * 100_000, "\x00", '{"schema_version": 1} {}']
)
def test_what_is_not_json_is_refused_as_a_whole(text: str) -> None:
    error = refusal(text)
    assert error.path is None
    assert "not valid JSON" in str(error)


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    assert refusal(b'{"schema_version": "\xff"}').exit_code == 2


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"'])
def test_json_of_another_kind_is_refused_as_a_whole(text: str) -> None:
    error = refusal(text)
    assert error.path is None
    assert "expected an object" in str(error)


@given(st.integers(min_value=0))
@settings(max_examples=30)
def test_a_cut_off_document_is_never_accepted(cut: int) -> None:
    text = full_run().to_json().rstrip("\n")
    refusal(text[: cut % len(text)])


def test_a_document_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no run document at"):
        BenchmarkRun.load(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="cannot be read"):
        BenchmarkRun.load(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        BenchmarkRun.load("a\0b")


def test_a_fault_that_is_overwritten_later_is_told_in_the_reader_s_own_words() -> None:
    text = json.dumps(FULL).replace(
        '"schema_version": 1', '"schema_version": "x", "schema_version": 1'
    )
    assert "Expected `int`, got `str`" in str(refusal(text))


def test_the_faults_of_several_places_are_told_in_their_order() -> None:
    document = copy.deepcopy(FULL)
    at(document, "metadata")["timestamp"] = "2026-13-45T20:11:00Z"
    at(document, "candidates", 0, "metrics", "latency_ms")["status"] = "skipped"
    error = refusal(document)
    assert error.path == "metadata.timestamp"
    assert "candidates.0.metrics.latency_ms.value: status is skipped" in str(error)


@pytest.mark.parametrize("enabled", [True, False])
def test_loading_leaves_the_collector_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        BenchmarkRun.from_json(json.dumps(FULL))
        refusal("nonsense")
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


# Migration


def test_a_document_of_the_prototype_loads() -> None:
    loaded = BenchmarkRun.from_json(json.dumps(prototype_document()))
    assert loaded.schema_version == SCHEMA_VERSION
    assert loaded.metadata.run_id == "benchmark_20250102_030405"
    assert loaded.metadata.program_version is None
    assert loaded.metadata.finished is None
    assert loaded.system_info.hostname == "host"
    assert loaded.system_info.platform_version is None
    (model,) = loaded.candidates
    assert model.model_type == "quantized+distilled"
    assert model.cells == ()
    assert model.latency_ms == MetricResult.ok(12.5, runs=3)
    assert model.tokens_per_sec.error_message == "Model path does not exist: /path/to/model"
    assert model.peak_vram_mb == MetricResult.skipped("Dry run")
    assert model.peak_ram_mb == MetricResult.skipped("no backend")
    assert model.cove_pass_rate == MetricResult.skipped("no reason was recorded")


def test_a_migrated_document_is_saved_in_the_present_form(tmp_path: Path) -> None:
    loaded = BenchmarkRun.from_json(json.dumps(prototype_document()))
    loaded.save(tmp_path / "document.json")
    assert BenchmarkRun.load(tmp_path / "document.json") == loaded
    ORACLE.validate(tree(loaded))


def test_an_error_without_a_message_says_that_there_was_none() -> None:
    document = prototype_document()
    at(document, "candidates", 0, "metrics", "tokens_per_sec")["error_message"] = None
    loaded = BenchmarkRun.from_json(json.dumps(document))
    assert loaded.candidates[0].tokens_per_sec == MetricResult.error("no message was recorded")


def test_metrics_that_the_prototype_left_out_are_skipped() -> None:
    document = prototype_document()
    del document["candidates"][0]["metrics"]["latency_ms"]
    loaded = BenchmarkRun.from_json(json.dumps(document))
    assert loaded.candidates[0].latency_ms.status == "skipped"


@pytest.mark.parametrize(
    ("where", "value", "path"),
    [
        (("candidates", 0, "metrics", "latency_ms", "value"), None, None),
        (("candidates", 0, "metrics", "latency_ms", "value"), math.nan, None),
        (("candidates", 0, "metrics", "peak_ram_mb", "value"), 0.0, None),
        (("candidates", 0, "model_type"), "odd", None),
        (("candidates", 0), 3, None),
        (("candidates", 0, "metrics"), 3, None),
        (("candidates", 0, "metrics", "latency_ms"), 3, None),
        (("candidates", 0, "metrics", "latency_ms", "metadata"), 3, None),
        (("candidates", 0, "metrics", "peak_ram_mb", "metadata"), 3, None),
        (("candidates",), {}, None),
        (("metadata",), 3, None),
        (("system_info",), 3, None),
        (("system_info", "cpu_count"), "8", None),
        (("surprise",), 1, None),
        (("metadata", "notes"), [], "schema_version"),
        (("candidates", 0, "cells"), [], "schema_version"),
    ],
)
def test_migration_forgives_nothing_but_age(
    where: tuple[str | int, ...], value: object, path: str | None
) -> None:
    document = prototype_document()
    at(document, *where[:-1])[where[-1]] = value
    error = refusal(document)
    assert str(error).startswith(path or dotted(*where))


def test_a_document_that_lost_its_version_is_not_taken_for_a_prototype_s() -> None:
    document = copy.deepcopy(FULL)
    del document["schema_version"]
    error = refusal(document)
    assert error.path == "schema_version"


def test_a_document_of_a_newer_form_says_so() -> None:
    document = copy.deepcopy(FULL)
    document["schema_version"] = SCHEMA_VERSION + 1
    error = refusal(document)
    assert error.path == "schema_version"
    assert "a newer minionbench reads it" in str(error)


@pytest.mark.parametrize("version", [0, -1])
def test_a_form_that_never_was_is_refused(version: int) -> None:
    document = copy.deepcopy(FULL)
    document["schema_version"] = version
    assert refusal(document).path == "schema_version"


# Saving


def test_saving_replaces_the_whole_file_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    first = run(candidate("first"))
    first.save(path)
    broken = run(candidate("second"))
    broken.candidates[0].metrics.pop("latency_ms")
    with pytest.raises(SchemaError, match=r"candidates\.0\.metrics\.latency_ms"):
        broken.save(path)
    assert BenchmarkRun.load(path) == first
    assert os.listdir(tmp_path) == ["document.json"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, r"^candidates\.0\.metrics\.latency_ms\.metadata\.x: expected a finite number"),
        (object(), r"^candidates\.0: .*object"),
        ("\udcff", r"^candidates\.0: .*surrogates"),
    ],
)
def test_what_was_put_in_since_is_not_saved(tmp_path: Path, value: object, said: str) -> None:
    made = run(candidate(metrics=registry_metrics(MetricResult.ok(1))))
    made.candidates[0].latency_ms.metadata["x"] = value
    with pytest.raises(SchemaError, match=said):
        made.save(tmp_path / "document.json")
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(SetupError, match="could not be written"):
        write_atomically(tmp_path / "taken", b"content")
    assert os.listdir(tmp_path) == ["taken"]
    with pytest.raises(SetupError, match="No such file or directory"):
        write_atomically(tmp_path / "absent" / "file", b"content")
    with pytest.raises(SetupError):
        write_atomically(tmp_path / "a\0b", b"content")


def test_a_written_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        write_atomically(path, b"content")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("untouched")
    path = tmp_path / "file"
    path.symlink_to(tmp_path / "outside")
    write_atomically(path, b"content")
    assert (tmp_path / "outside").read_text() == "untouched"
    assert path.read_bytes() == b"content"
    assert not path.is_symlink()


def test_text_that_cannot_be_written_is_refused_when_it_comes_in() -> None:
    with pytest.raises(PartError):
        RunMetadata(
            run_id="benchmark_20261121_201100",
            timestamp="2026-11-21T20:11:00Z",
            command_line="\udcff",
            dry_run=True,
        )
    with pytest.raises(PartError):
        Factors(deployment="local", model="m", flags={"path": "\udcff"})


def test_the_page_about_the_document_names_every_field(root: Path) -> None:
    page = (root / "docs" / "run-document.md").read_text(encoding="utf-8")
    parts = json_schema()["$defs"].values()
    fields = {name for part in parts for name in part.get("properties", {})}
    assert {name for name in fields if f"`{name}`" not in page} == set()
