"""Run documents for tests: small ones by hand, and strategies that draw any valid one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from minionbench.names import REGISTRY_METRICS
from minionbench.schema import (
    BenchmarkCandidate,
    BenchmarkRun,
    CellResult,
    Factors,
    LoadDocument,
    MetricResult,
    ReasonDocument,
    RecordsReference,
    RunMetadata,
    SystemInfo,
    VerdictDocument,
    WorkloadDocument,
    registry_metrics,
)

RUN_ID = "benchmark_20261121_201100"
SHA256 = "0123456789abcdef" * 4


def run(*candidates: BenchmarkCandidate, **metadata: Any) -> BenchmarkRun:
    """A run of these candidates."""
    fields: dict[str, Any] = {
        "run_id": RUN_ID,
        "timestamp": "2026-11-21T20:11:00+00:00",
        "command_line": "minionbench run",
        "dry_run": False,
    }
    return BenchmarkRun(
        metadata=RunMetadata(**(fields | metadata)),
        system_info=SystemInfo(hostname="host"),
        candidates=candidates,
    )


def candidate(version: str = "v1", **fields: Any) -> BenchmarkCandidate:
    """A candidate of which nothing was measured, unless `fields` say otherwise."""
    metrics = registry_metrics(MetricResult.skipped("nothing was measured"))
    return BenchmarkCandidate(version=version, **({"metrics": metrics} | fields))


def cell(cell_id: str = "decode", **fields: Any) -> CellResult:
    """A valid cell of one stream and no metrics."""
    made: dict[str, Any] = {
        "cell_id": cell_id,
        "workload": WorkloadDocument(
            name="decode", version=1, source="builtin:decode@1", seed=0, items=2
        ),
        "load": LoadDocument(kind="closed", concurrency=1),
        "repeats": 3,
        "metrics": {},
        "verdict": VerdictDocument(status="valid"),
    }
    return CellResult(**(made | fields))


def full_run() -> BenchmarkRun:
    """A run in which every part of the schema stands at least once."""
    reason = ReasonDocument(
        rule="own-cpu",
        severity="suspect",
        measured=0.9,
        limit=0.5,
        unit="cores",
        message="the harness used 0.9 of its core",
        advice="leave it a core of its own",
    )
    measured = cell(
        settings={"temperature": 0.0, "seed": 7, "stop": None},
        metrics={
            "ttft_s": MetricResult.ok(
                0.25, unit="s", n=6, interval={"low": 0.2, "high": 0.3}, left_out={"failed": 1}
            )
        },
        verdict=VerdictDocument(status="suspect", reasons=(reason,)),
        records=RecordsReference(path=f"data/{RUN_ID}/records.jsonl", sha256=SHA256, rows=6),
    )
    metrics = registry_metrics(MetricResult.error("the engine ended")) | {
        "latency_ms": MetricResult.ok(12.5, unit="ms"),
        "cove_pass_rate": MetricResult.skipped("not asked for"),
    }
    one = candidate(
        metrics=metrics,
        model_type="quantized",
        model_path="model.gguf",
        base_model="base",
        quantization="Q8_0",
        distilled_from="teacher",
        file_size_mb=1.5,
        parameter_count=1_000,
        factors=Factors(
            deployment="local",
            model="reference/q8_0",
            engine="xllamacpp 1",
            reasoning=False,
            quantization="Q8_0",
            remote_model="remote/model",
            protocol="minion",
            flags={"threads": 1},
        ),
        cells=(measured,),
        notes=("a note",),
    )
    made = run(one, notes=("a note",), seed=7, finished=True, program_version="0.1.0")
    return made.but(system_info=SystemInfo(hostname="host", packages={"p": "1"}))


def prototype_document() -> dict[str, Any]:
    """A document as the prototype of the registry benchmark wrote it, by its own description."""

    def metric(status: str, **fields: Any) -> dict[str, Any]:
        return {
            "status": status,
            "value": None,
            "error_message": None,
            "metadata": {},
        } | fields

    missing = metric("error", error_message="Model path does not exist: /path/to/model")
    return {
        "metadata": {
            "run_id": "benchmark_20250102_030405",
            "timestamp": "2025-01-02T03:04:05.678901",
            "git_sha": "a" * 40,
            "git_branch": "main",
            "git_dirty": True,
            "command_line": "scripts/run_autobench.py --dry-run",
            "dry_run": True,
        },
        "system_info": {
            "hostname": "host",
            "platform": "Linux",
            "python_version": "3.11.7",
            "cpu_info": "x86_64",
            "cpu_count": 8,
            "total_ram_gb": 31.2,
            "gpu_info": None,
            "cuda_version": None,
        },
        "candidates": [
            {
                "version": "v1.0",
                "model_type": "quantized+distilled",
                "model_path": "/path/to/model",
                "base_model": "llama",
                "quantization": "4bit",
                "distilled_from": "adapter",
                "file_size_mb": None,
                "metrics": dict.fromkeys(REGISTRY_METRICS, missing)
                | {
                    "latency_ms": metric("ok", value=12.5, metadata={"runs": 3}),
                    "peak_vram_mb": metric("skipped", error_message="Dry run"),
                    "peak_ram_mb": metric("skipped", metadata={"reason": "no backend"}),
                    "cove_pass_rate": metric("skipped"),
                },
            }
        ],
    }


texts = st.text(max_size=20)
filled = st.text(min_size=1, max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(min_value=0, max_value=2**70)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
free_keys = texts.filter(lambda key: key not in {"unit", "n", "interval"})
plain_objects = st.dictionaries(free_keys, plain, max_size=3)
metric_names = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Something, or None for unknown."""
    return st.none() | strategy


bounds = maybe(finite)
known_keys = st.fixed_dictionaries(
    {},
    optional={
        "unit": maybe(texts),
        "n": maybe(counts),
        "interval": maybe(st.fixed_dictionaries({"low": bounds, "high": bounds})),
    },
)


@st.composite
def metric_results(draw: st.DrawFn) -> MetricResult:
    """Any metric."""
    metadata = draw(plain_objects) | draw(known_keys)
    kind = draw(st.sampled_from(["ok", "skipped", "error"]))
    if kind == "ok":
        return MetricResult(status="ok", value=draw(finite), metadata=metadata)
    if kind == "skipped":
        return MetricResult(status="skipped", metadata=metadata | {"reason": draw(filled)})
    return MetricResult(status="error", error_message=draw(filled), metadata=metadata)


loads = st.one_of(
    st.builds(LoadDocument, kind=st.just("closed"), concurrency=st.integers(1, 1000)),
    st.builds(
        LoadDocument,
        kind=st.just("open"),
        rate_per_s=st.floats(0.1, 1e6),
        arrivals=st.sampled_from(["poisson", "gamma", "constant"]),
        burstiness=maybe(st.floats(0.1, 10)),
        seed=maybe(st.integers()),
    ),
    st.builds(LoadDocument, kind=st.just("replay"), trace=filled),
)

numbers_or_texts = maybe(finite | texts)


@st.composite
def verdicts(draw: st.DrawFn) -> VerdictDocument:
    """Any verdict, as bad as its worst reason."""
    reasons = draw(
        st.lists(
            st.builds(
                ReasonDocument,
                rule=names,
                severity=st.sampled_from(["note", "suspect", "invalid"]),
                measured=numbers_or_texts,
                limit=numbers_or_texts,
                unit=maybe(texts),
                message=filled,
                advice=maybe(texts),
            ),
            max_size=3,
        )
    )
    found = {reason.severity for reason in reasons}
    status = next((s for s in ("invalid", "suspect") if s in found), "valid")
    return VerdictDocument(status=status, reasons=reasons)


cells = st.builds(
    CellResult,
    cell_id=names,
    workload=st.builds(
        WorkloadDocument,
        name=filled,
        version=st.integers(),
        source=filled,
        seed=st.integers(),
        items=counts,
    ),
    load=loads,
    repeats=st.integers(1, 100),
    settings=plain_objects,
    metrics=st.dictionaries(metric_names, metric_results(), max_size=2),
    verdict=verdicts(),
    records=maybe(
        st.builds(
            RecordsReference,
            path=names.map(lambda n: f"data/{n}"),
            sha256=st.just(SHA256),
            rows=counts,
        )
    ),
)


@st.composite
def candidates(draw: st.DrawFn) -> BenchmarkCandidate:
    """Any candidate."""
    metrics = {name: draw(metric_results()) for name in REGISTRY_METRICS}
    return draw(
        st.builds(
            BenchmarkCandidate,
            version=filled,
            model_type=maybe(
                st.sampled_from(["base", "quantized", "distilled", "quantized+distilled"])
            ),
            model_path=maybe(texts),
            base_model=maybe(texts),
            quantization=maybe(texts),
            distilled_from=maybe(texts),
            file_size_mb=maybe(st.floats(0, 1e9)),
            parameter_count=maybe(counts),
            metrics=st.just(
                metrics | draw(st.dictionaries(metric_names, metric_results(), max_size=1))
            ),
            factors=maybe(
                st.builds(
                    Factors,
                    deployment=st.sampled_from(["local", "remote", "hybrid"]),
                    model=filled,
                    engine=maybe(texts),
                    reasoning=maybe(st.booleans()),
                    flags=plain_objects,
                )
            ),
            cells=st.lists(cells, max_size=2, unique_by=lambda c: c.cell_id),
            notes=st.lists(texts, max_size=2),
        )
    )


@st.composite
def runs(draw: st.DrawFn) -> BenchmarkRun:
    """Any run."""
    drawn = draw(st.lists(candidates(), max_size=2))
    ids = [cell.cell_id for candidate in drawn for cell in candidate.cells]
    if len(set(ids)) != len(ids):
        drawn = drawn[:1]
    return BenchmarkRun(
        metadata=draw(
            st.builds(
                RunMetadata,
                run_id=st.just(RUN_ID),
                timestamp=st.datetimes().map(lambda at: at.isoformat() + "+00:00"),
                git_sha=maybe(texts),
                git_branch=maybe(texts),
                git_dirty=maybe(st.booleans()),
                command_line=texts,
                dry_run=st.booleans(),
                program_version=maybe(texts),
                seed=maybe(st.integers()),
                finished=maybe(st.booleans()),
                notes=st.lists(texts, max_size=2),
            )
        ),
        system_info=draw(
            st.builds(
                SystemInfo,
                hostname=maybe(texts),
                cpu_count=maybe(st.integers(1, 1024)),
                total_ram_gb=maybe(st.floats(0, 1e6)),
                packages=st.dictionaries(texts, texts, max_size=2),
                cgroup_cpu_limit=maybe(st.floats(0.01, 1e3)),
            )
        ),
        candidates=drawn,
    )
