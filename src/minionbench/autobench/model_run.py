"""One model of the registry, from its path to its candidate: start it, measure, stop it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from minionbench.assembly import metric_result, ram_metric, stamp_source, vram_metric
from minionbench.autobench import embedding, likelihood
from minionbench.autobench.budget import Budget
from minionbench.autobench.done import Finished
from minionbench.autobench.embedding import retrieval_by_embeddings
from minionbench.autobench.listing import Listed, mark_of, shown
from minionbench.autobench.outcome import (
    Outcome,
    candidate_of,
    failed_metrics,
    peak_metrics,
    skipped_metrics,
)
from minionbench.autobench.peaks import Before, Peaks, load_peaks, peaks_path
from minionbench.autobench.procedure import Procedure
from minionbench.autobench.resuming import was_cut
from minionbench.autobench.serving import NotServed, Served, ServedByHub, serving
from minionbench.autobench.task import Tasks
from minionbench.engines import hugging_face
from minionbench.engines.catalog import ModelSpec, open_engine
from minionbench.engines.engine import Engine, EngineFacts, EngineSettings
from minionbench.engines.probe import ProbeError
from minionbench.errors import DeploymentError, MinionbenchError, UsageError
from minionbench.measuring import EnginesVram, Observer, measure
from minionbench.metering import Metering
from minionbench.meters.memory import TreeMemory, available_bytes
from minionbench.metrics.value import MetricValue, error, skipped
from minionbench.records import RequestRecord
from minionbench.runner import StopSwitch
from minionbench.store import Journal, RunFolder
from minionbench.units import BYTES_PER_MB, significant

SHARE_OF_MEMORY = 0.9
"""Share of the memory available at its start that an engine may take, where no limit is given."""
START_S = 300.0
"""How long an engine may take until it answers, where the budget leaves as much."""
CHANGED = (
    "the model's file was changed while the run was interrupted, so that its parts do not belong "
    "together"
)


class Bench(NamedTuple):
    """What all models of a run are measured with."""

    tasks: Tasks
    folder: RunFolder
    journal: Journal
    stop: StopSwitch
    observer: Observer
    metering: Metering


def measure_model(
    bench: Bench,
    model: Listed,
    slug: str,
    base: Path | None,
    earlier: Mapping[str, Sequence[RequestRecord]],
) -> Finished:
    """Measures one model; whatever goes wrong with it becomes its candidate's error.

    `earlier` are the records that an interrupted run has left of its cells. `base` is the path
    that its entry's `base_model` names, if any.

    Raises SetupError when the results cannot be kept.
    """
    rows = bench.journal.rows
    tasks = [] if model.problem is not None else bench.tasks.of(slug)
    planned, calls = sum(task.requests for task in tasks), sum(task.calls for task in tasks)
    try:
        return _measured(bench, model, slug, base, earlier)
    except MinionbenchError:
        raise
    except Exception as fault:  # noqa: BLE001 - a fault of ours with one model must not cost the others their night
        path = bench.folder.log_folder() / f"{slug}.fault.txt"
        path.write_text("".join(traceback.format_exception(fault)), encoding="utf-8")
        said = f"minionbench failed at this model, which is a bug: {type(fault).__name__}: {fault}"
        return _without(bench, model, failed_metrics, f"{said}. More is in {path}")
    finally:
        left = planned - (bench.journal.rows - rows)
        bench.observer.left_out(left, round(calls * left / planned) if planned else 0)


def _measured(
    bench: Bench,
    model: Listed,
    slug: str,
    base: Path | None,
    earlier: Mapping[str, Sequence[RequestRecord]],
) -> Finished:
    if model.problem is not None or model.path is None:
        problem = model.problem or "The registry's entry names no model_path"
        return _without(bench, model, failed_metrics, problem)
    found = serving(Path(model.path), base)
    if isinstance(found, NotServed):
        how = skipped_metrics if found.status == "skipped" else failed_metrics
        return _without(bench, model, how, shown(found.why))
    budget = Budget(bench.stop, bench.tasks.procedure.budget_s)
    traced = bench.folder.traces().size
    try:
        begun = any(earlier.values()) or likelihood_path(bench.folder, slug).exists()
        if begun and _is_changed(model):
            raise DeploymentError(f"Not measured any further: {CHANGED}.")
        settings = _engine_settings(bench, found, budget)
        bench.observer.stage(f"{model.version}: starting the engine")
        outcomes: list[Outcome] = []
        taken_over = sum(map(len, earlier.values()))
        before = Before(peaks=load_peaks(peaks_path(bench.folder, slug)), taken_over=taken_over)
        facts: EngineFacts | None = None
        trouble: list[str] = []
        try:
            with _opened(found, model, settings, bench.folder.log_folder()) as engine:
                facts = engine.facts
                extra = _on_engine(bench, slug, engine, budget, earlier, before, outcomes)
        except DeploymentError as error:
            if facts is None:
                raise
            # It was measured, and then did not end as it should.
            trouble.append(shown(str(error)))
            extra = {}
    except (DeploymentError, UsageError) as error:
        if budget.why is not None:
            why = f"{budget.why} while the engine was starting: {shown(str(error))}"
            return _without(bench, model, skipped_metrics, why)
        return _without(bench, model, failed_metrics, shown(str(error)))
    if _is_changed(model):
        trouble.append("The model's file was changed or removed after the run had begun.")
    bench.observer.stage(f"{model.version}: computing the metrics")
    candidate = candidate_of(
        model,
        slug,
        outcomes,
        facts,
        bench.tasks,
        extra=extra,
        before=before,
        trace=bench.folder.trace(since=traced),
        notes=trouble,
    )
    return Finished(candidate, stamp_source([outcome.measured for outcome in outcomes]))


@contextmanager
def _opened(
    found: Served | ServedByHub, model: Listed, settings: EngineSettings, log_folder: Path
) -> Iterator[Engine]:
    if isinstance(found, Served):
        spec = ModelSpec("llamacpp", str(found.file))
        with open_engine(spec, settings, log_folder=log_folder) as engine:
            yield engine
        return
    hub = hugging_face.start(
        found.server, found.folder, model.version, settings, log_folder=log_folder
    )
    try:
        yield hub
    finally:
        hub.stop()


def _is_changed(model: Listed) -> bool:
    """Whether the model's file is no longer the one that was there when the run began."""
    return model.mark is not None and mark_of(Path(model.path or "")) != model.mark


def _on_engine(
    bench: Bench,
    slug: str,
    engine: Engine,
    budget: Budget,
    earlier: Mapping[str, Sequence[RequestRecord]],
    before: Before,
    outcomes: list[Outcome],
) -> dict[str, MetricValue]:
    """Measures all tasks; what came out goes to `outcomes` task by task.

    Metrics that come from no task are returned.
    """
    if engine.facts.model_file is not None and engine.facts.model_file.embeds:
        return _embedding(bench, slug, engine, budget)
    for task in bench.tasks.of(slug):
        measured = measure(
            task.cells,
            task.deployment,
            {"local": engine},
            bench.journal,
            stop=budget,
            observer=bench.observer,
            keep_text=True,
            cold=True,
            earlier=earlier,
            metering=bench.metering,
            # Of the others nobody is told the energy.
            baseline=task.kind == "speed",
        )
        outcomes += [Outcome(task, one) for one in measured]
        _peaks(outcomes, engine.facts, before).save(peaks_path(bench.folder, slug))
    values = _likelihood(bench, slug, engine, budget)
    if bench.tasks.procedure.reranking == "embedding":
        values["retrieval_score"] = skipped("retrieval_score", embedding.NOT_ONE)
    return values


def _peaks(outcomes: Sequence[Outcome], engine: EngineFacts, before: Before) -> Peaks:
    """What was seen until now of the model's engines, this one and those before it."""
    answered = sum(not was_cut(record) for outcome in outcomes for record in outcome.records)
    answered -= sum(outcome.measured.taken_over for outcome in outcomes)
    metrics = peak_metrics(outcomes, engine)
    for name, value in before.peaks.metrics.items():
        if (value.value or 0.0) > (metrics[name].value or 0.0):
            metrics[name] = value
    return Peaks(requests=before.peaks.requests + answered, metrics=metrics)


def _embedding(bench: Bench, slug: str, engine: Engine, budget: Budget) -> dict[str, MetricValue]:
    """All metrics of an embedding model: its retrieval where that is how the run retrieves, what
    memory it took for that, and why there are no others."""
    procedure, name = bench.tasks.procedure, "retrieval_score"
    values = {metric: skipped(metric, embedding.NO_TEXT) for metric in procedure.metrics}
    task = bench.tasks.retrieval
    if task is None:
        return values
    if procedure.reranking != "embedding":
        return values | {name: skipped(name, embedding.OTHER_WAY)}
    bench.observer.stage(f"{slug}: vectors of documents and queries")
    assert engine.pid is not None  # an embedded engine is a process of ours
    memory, vram = TreeMemory(engine.pid), EnginesVram({"local": engine})

    def why_end() -> str | None:
        memory.sample()
        vram.sample_beside()
        return budget.why

    with vram:
        try:
            value = retrieval_by_embeddings(engine, task, procedure.seed, why_end)
        except embedding.OutOfTime as over:
            value = skipped(name, str(over))
        except embedding.NoEmbeddings as none:
            value = error(name, str(none))
        except ProbeError as refused:
            value = error(name, engine.ended() or f"the engine did not answer: {refused}")
        memory.sample_shared()
        vram.sample()
    return values | {
        name: value,
        "peak_ram_mb": ram_metric(memory.reading()),
        "peak_vram_mb": vram_metric(vram.reading(), engine.facts),
    }


def likelihood_path(folder: RunFolder, slug: str) -> Path:
    """Where the likelihoods of a model are kept."""
    return folder.folder / "likelihood" / f"{slug}.bin"


def _likelihood(bench: Bench, slug: str, engine: Engine, budget: Budget) -> dict[str, MetricValue]:
    """Perplexity; the distance to the base model follows when both have been scored."""
    procedure = bench.tasks.procedure
    if not procedure.asks_for(*likelihood.METRICS):
        return {}
    bench.observer.stage(f"{slug}: log-probabilities of fixed texts")
    path = likelihood_path(bench.folder, slug)
    scored = likelihood.load(path)
    try:
        if scored is None:
            given = likelihood.texts(procedure.seed, procedure.passages)
            scored = likelihood.score(engine, given, procedure.seed, lambda: budget.why)
            scored.save(path)
    except likelihood.CutShort as cut:
        return {name: skipped(name, str(cut)) for name in likelihood.METRICS}
    except likelihood.NoLikelihood as none:
        return {name: skipped(name, str(none)) for name in likelihood.METRICS}
    except likelihood.NotANumber as damage:
        return {name: error(name, str(damage)) for name in likelihood.METRICS}
    except ProbeError as refused:
        why = engine.ended() or f"the engine did not answer: {refused}"
        return {name: error(name, why) for name in likelihood.METRICS}
    return {"perplexity": likelihood.perplexity_of(scored, procedure.seed)}


def _engine_settings(bench: Bench, found: Served | ServedByHub, budget: Budget) -> EngineSettings:
    """Raises DeploymentError when the model's files alone are more than an engine may take."""
    procedure = bench.tasks.procedure
    limit, why = procedure.memory_limit_bytes, "--memory-limit allows"
    if limit is None:
        limit = int(SHARE_OF_MEMORY * available_bytes())
        why = f"{SHARE_OF_MEMORY:.0%} of the memory available now is"
    size = found.size_bytes
    if size > limit:
        raise DeploymentError(
            f"The model was not started: its files have {significant(size / BYTES_PER_MB)} MB, and "
            f"{why} {significant(limit / BYTES_PER_MB)} MB. Take a smaller format, or free some "
            "memory."
        )
    left_s = budget.left_s
    return EngineSettings(
        threads=procedure.threads,
        slots=1,
        adapter=found.adapter if isinstance(found, Served) else None,
        embeddings=isinstance(found, Served) and found.embeds,
        memory_limit_bytes=limit,
        start_timeout_s=START_S if left_s is None else max(1.0, min(START_S, left_s)),
    )


def _without(
    bench: Bench,
    model: Listed,
    how: Callable[[Procedure, str], dict[str, MetricValue]],
    why: str,
) -> Finished:
    """A candidate of which nothing was measured, for one reason."""
    values = how(bench.tasks.procedure, why)
    metrics = {name: metric_result(value) for name, value in values.items()}
    return Finished(model.candidate(metrics), None)
