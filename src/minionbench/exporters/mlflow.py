"""A run as runs of MLflow, by its REST API: one for the document, below it one per cell.

Source: mlflow.org/docs/latest/rest-api.html and mlflow/utils/validation.py. No package of MLflow is
needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from minionbench.errors import MinionbenchError, SetupError
from minionbench.exporters.figures import Subject, bounds, percentiles, requests, subjects
from minionbench.exporters.posting import Server
from minionbench.schema import BenchmarkRun
from minionbench.units import MS_PER_S

API = "/api/2.0/mlflow"
EXPERIMENT = "minionbench"
MOST_METRICS = 1_000
MOST_PARAMS = 100
MOST_TAGS = 100
MOST_ENTRIES = 1_000
"""Entries of one batch, of all kinds together."""
LONGEST_KEY = 250
LONGEST_PARAM = 500
"""Characters of a parameter that every version of MLflow takes; newer ones take 6,000."""
LONGEST_TAG = 5_000
EXISTS = "RESOURCE_ALREADY_EXISTS"

_ODD = re.compile(r"[^A-Za-z0-9_\-. ]")


class Exported(NamedTuple):
    """What was made there."""

    experiment_id: str
    run_id: str
    children: int


def export_run(run: BenchmarkRun, server: Server, experiment: str = EXPERIMENT) -> Exported:
    """Makes a run of MLflow for the document, and one below it for each cell.

    The experiment is made where it is not there yet. Where a call fails, the runs that were begun
    are marked as failed. Raises SetupError when the server cannot be reached or refuses.
    """
    experiment_id = _experiment(server, experiment)
    at_ms = _began_ms(run)
    begun: list[str] = []
    try:
        parent = _begin(server, experiment_id, run.metadata.run_id, at_ms, _head(run))
        begun.append(parent)
        children = 0
        for subject in subjects(run):
            tags = {"mlflow.parentRunId": parent, **_tags(run, subject)}
            child = _begin(server, experiment_id, _name(subject), at_ms, tags)
            begun.append(child)
            for batch in batches(child, _metrics(subject, at_ms), _params(subject), {}):
                _post(server, "/runs/log-batch", batch)
            children += 1
        state: Literal["FINISHED", "KILLED"] = (
            "KILLED" if run.metadata.finished is False else "FINISHED"
        )
        for run_id in reversed(begun):
            _end(server, run_id, state, at_ms)
    except MinionbenchError:
        for run_id in reversed(begun):
            try:
                _end(server, run_id, "FAILED", at_ms)
            except MinionbenchError:
                break  # the first error says what went wrong
        raise
    return Exported(experiment_id, parent, children)


def _experiment(server: Server, name: str) -> str:
    """The id of an experiment, which is made where there is none of that name."""
    made = server.ask(f"{API}/experiments/create", _encoded({"name": name}), accept=(400, 409))
    told = made.json()
    if made.status < 400:
        return _id(server, told.get("experiment_id"))
    if told.get("error_code") != EXISTS:
        # Asked again, so that the refusal is put into words in the one place for that.
        return _id(
            server, _post(server, "/experiments/create", {"name": name}).get("experiment_id")
        )
    path = f"{API}/experiments/get-by-name?experiment_name={quote(name, safe='')}"
    found = server.ask(path).json().get("experiment")
    if isinstance(found, Mapping) and found.get("lifecycle_stage") == "deleted":
        raise SetupError(
            f"The experiment {name!r} of {server.what} was deleted: restore it there, or take "
            "another name by --experiment."
        )
    return _id(server, found.get("experiment_id") if isinstance(found, Mapping) else None)


def _begin(
    server: Server, experiment_id: str, name: str, at_ms: int, tags: Mapping[str, str]
) -> str:
    body = {
        "experiment_id": experiment_id,
        "run_name": name[:LONGEST_KEY],
        "start_time": at_ms,
        "tags": [{"key": k, "value": v[:LONGEST_TAG]} for k, v in tags.items() if v],
    }
    made = _post(server, "/runs/create", body).get("run")
    info = made.get("info") if isinstance(made, Mapping) else None
    return _id(server, info.get("run_id") if isinstance(info, Mapping) else None)


def _end(server: Server, run_id: str, state: str, at_ms: int) -> None:
    _post(server, "/runs/update", {"run_id": run_id, "status": state, "end_time": at_ms})


def _post(server: Server, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return server.ask(API + path, _encoded(body)).json()


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, allow_nan=False).encode()


def _id(server: Server, value: Any) -> str:
    if not isinstance(value, str | int) or not str(value):
        raise SetupError(f"{server.what} at {server.url} does not answer as MLflow does.")
    return str(value)


def _began_ms(run: BenchmarkRun) -> int:
    at = datetime.fromisoformat(run.metadata.timestamp)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return round(at.timestamp() * MS_PER_S)


def _head(run: BenchmarkRun) -> dict[str, str]:
    about, system = run.metadata, run.system_info
    return {
        "minionbench.run_id": about.run_id,
        "minionbench.version": about.program_version or "",
        "minionbench.command_line": about.command_line,
        "minionbench.dry_run": str(about.dry_run).lower(),
        "minionbench.hostname": system.hostname or "",
        "minionbench.cpu": system.cpu_info or "",
        "minionbench.gpu": system.gpu_info or "",
        "minionbench.notes": "\n".join(about.notes),
        "mlflow.source.git.commit": about.git_sha or "",
        "mlflow.source.git.branch": about.git_branch or "",
    }


def _name(subject: Subject) -> str:
    cell = subject.cell
    return subject.name if cell is None else f"{subject.name} · {cell.workload.name}"


def _tags(run: BenchmarkRun, subject: Subject) -> dict[str, str]:
    tags = {"minionbench.run_id": run.metadata.run_id, "minionbench.candidate": subject.name}
    if subject.cell is not None:
        tags["minionbench.cell"] = subject.cell.cell_id
        tags["minionbench.verdict"] = subject.cell.verdict.status
        doubts = [r.rule for r in subject.cell.verdict.reasons if r.severity != "note"]
        tags["minionbench.doubts"] = ", ".join(doubts)
    missing = {
        name: metric.error_message or metric.metadata.get("reason")
        for name, metric in subject.metrics.items()
        if metric.value is None
    }
    if missing:
        tags["minionbench.missing"] = "\n".join(f"{name}: {why}" for name, why in missing.items())
    return tags


def _metrics(subject: Subject, at_ms: int) -> list[dict[str, Any]]:
    found: dict[str, float] = {}
    for name, metric in subject.metrics.items():
        if metric.value is None:
            continue
        found[name] = metric.value
        for end, bound in zip(("low", "high"), bounds(metric), strict=True):
            if bound is not None:
                found[f"{name}_{end}"] = bound
        for label, value in percentiles(metric).items():
            found[f"{name}_{label}"] = value
    for name, count in zip(("requests", "failed_requests"), requests(subject), strict=True):
        if count is not None:
            found[name] = count
    return [
        {"key": key(name), "value": value, "timestamp": at_ms, "step": 0}
        for name, value in found.items()
    ]


def _params(subject: Subject) -> dict[str, str]:
    candidate, cell = subject.candidate, subject.cell
    found: dict[str, Any] = {"model": subject.name, "version": candidate.version}
    if candidate.factors is not None:
        factors = candidate.factors
        found |= {n: getattr(factors, n) for n in factors.__struct_fields__ if n != "flags"}
        found |= {f"flags.{name}": value for name, value in factors.flags.items()}
    if candidate.quantization is not None:
        found["quantization"] = candidate.quantization
    if cell is not None:
        found["workload"] = cell.workload.name
        found["workload.source"] = cell.workload.source
        found["workload.seed"] = cell.workload.seed
        found["items"] = cell.workload.items
        found["repeats"] = cell.repeats
        found |= {f"load.{n}": getattr(cell.load, n) for n in cell.load.__struct_fields__}
        found |= {
            f"settings.{name}": value
            for name, value in cell.settings.items()
            if not isinstance(value, dict)
        }
    return {name: _param(value) for name, value in found.items() if value is not None}


def _param(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:LONGEST_PARAM]


def key(name: str) -> str:
    """A name as MLflow takes it: few signs, not too long, and no path that leads elsewhere."""
    plain = _ODD.sub("_", name).strip(" .")[:LONGEST_KEY]
    return plain or "_"


def batches(
    run_id: str,
    metrics: Sequence[Mapping[str, Any]],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Everything of a run in calls of which each keeps to MLflow's limits."""
    entries: list[tuple[str, Mapping[str, Any]]] = [
        *(("params", {"key": key(k), "value": v}) for k, v in _unlike(params).items()),
        *(("tags", {"key": key(k), "value": v[:LONGEST_TAG]}) for k, v in tags.items()),
        *(("metrics", metric) for metric in metrics),
    ]
    most = {"metrics": MOST_METRICS, "params": MOST_PARAMS, "tags": MOST_TAGS}
    batch: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in most}
    for kind, entry in entries:
        if len(batch[kind]) >= most[kind] or sum(map(len, batch.values())) >= MOST_ENTRIES:
            yield {"run_id": run_id, **batch}
            batch = {one: [] for one in most}
        batch[kind].append(entry)
    if any(batch.values()):
        yield {"run_id": run_id, **batch}


def _unlike(params: Mapping[str, str]) -> dict[str, str]:
    """Parameters whose keys stay different when MLflow's rules have been kept."""
    made: dict[str, str] = {}
    for name, value in params.items():
        made.setdefault(key(name), value)
    return made
