"""A run as Prometheus text: gauges in base units, with what tells them apart as labels.

Source: prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4) and
prometheus.io/docs/practices/naming: units in names, seconds, bytes, joules and ratios.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from minionbench.exporters.figures import (
    Subject,
    bounds,
    load_words,
    percentiles,
    requests,
    subjects,
)
from minionbench.metrics.table import METRICS
from minionbench.schema import BenchmarkRun
from minionbench.units import BYTES_PER_MB, J_PER_WH, MS_PER_S

PREFIX = "minionbench"


class Family(NamedTuple):
    """How a metric is called there."""

    stem: str
    unit: str
    """Its last word; empty where there is none."""
    factor: float
    """From our unit to that one."""

    def name(self, what: str = "") -> str:
        """The name of the value, or of `low`, `high` and the like of it."""
        return "_".join(part for part in (PREFIX, self.stem, what, self.unit) if part)


FAMILIES = {
    "ttft_s": Family("ttft", "seconds", 1),
    "ttfo_s": Family("ttfo", "seconds", 1),
    "total_latency_s": Family("total_latency", "seconds", 1),
    "response_time_s": Family("response_time", "seconds", 1),
    "tpot_s": Family("tpot", "seconds", 1),
    "itl_s": Family("itl", "seconds", 1),
    "icl_s": Family("icl", "seconds", 1),
    "tokens_per_sec": Family("decode_tokens", "per_second", 1),
    "latency_ms": Family("latency", "seconds", 1 / MS_PER_S),
    "output_tokens_per_sec": Family("output_tokens", "per_second", 1),
    "requests_per_sec": Family("requests", "per_second", 1),
    "goodput_per_sec": Family("goodput_requests", "per_second", 1),
    "slo_attainment_pct": Family("slo_attainment", "ratio", 0.01),
    "peak_ram_mb": Family("peak_ram", "bytes", BYTES_PER_MB),
    "peak_vram_mb": Family("peak_vram", "bytes", BYTES_PER_MB),
    "energy_wh": Family("energy", "joules", J_PER_WH),
    "energy_wh_per_request": Family("energy_per_request", "joules", J_PER_WH),
    "energy_wh_per_good_request": Family("energy_per_good_request", "joules", J_PER_WH),
    "energy_j_per_token": Family("energy_per_token", "joules", 1),
    "idle_power_w": Family("idle_power", "watts", 1),
    "energy_above_idle_wh": Family("energy_above_idle", "joules", J_PER_WH),
    "cost_usd": Family("cost", "usd", 1),
    "cost_usd_per_million_tokens": Family("cost_per_million_tokens", "usd", 1),
    "cost_usd_per_correct": Family("cost_per_correct", "usd", 1),
    "electricity_cost_usd": Family("electricity_cost", "usd", 1),
    "electricity_cost_usd_per_million_tokens": Family(
        "electricity_cost_per_million_tokens", "usd", 1
    ),
    "remote_energy_wh": Family("remote_energy", "joules", J_PER_WH),
    "remote_energy_wh_per_request": Family("remote_energy_per_request", "joules", J_PER_WH),
    "accuracy_pct": Family("accuracy", "ratio", 0.01),
    "cove_pass_rate": Family("cove_pass", "ratio", 0.01),
    "retrieval_score": Family("retrieval_score", "ratio", 0.01),
    "perplexity": Family("perplexity", "", 1),
    "kl_to_base": Family("kl_to_base", "nats", 1),
}
"""Every metric of ours by its name."""

_NAME = re.compile(r"[^a-z0-9_]")
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class _Samples:
    """Samples by their families, in the order in which the families first appear."""

    def __init__(self, stamp: str) -> None:
        self._stamp = stamp
        self._of: dict[str, tuple[str, list[str]]] = {}

    def add(self, name: str, help_text: str, labels: Mapping[str, str], value: float) -> None:
        inside = ",".join(f'{label}="{escaped(text)}"' for label, text in labels.items())
        line = f"{name}{{{inside}}} {_number(value)}{self._stamp}\n"
        self._of.setdefault(name, (help_text, []))[1].append(line)

    def text(self) -> Iterator[str]:
        for name, (help_text, lines) in self._of.items():
            yield f"# HELP {name} {_help(help_text)}\n# TYPE {name} gauge\n"
            yield from lines


def prometheus_text(run: BenchmarkRun, *, timestamps: bool = False) -> str:
    """The run in Prometheus's text format.

    `timestamps` puts the instant at which the run began behind each sample; node_exporter's
    folder of text files refuses these. A metric without a value has no sample.
    """
    began = _began(run)
    samples = _Samples(f" {round(began * MS_PER_S)}" if timestamps else "")
    run_id = run.metadata.run_id
    about = {
        "run_id": run_id,
        "program_version": run.metadata.program_version or "",
        "hostname": run.system_info.hostname or "",
        "git_sha": run.metadata.git_sha or "",
        "dry_run": str(run.metadata.dry_run).lower(),
    }
    samples.add(f"{PREFIX}_run_info", "What the run was, as labels; always 1", about, 1)
    samples.add(
        f"{PREFIX}_run_start_timestamp_seconds",
        "When the run began, in seconds since 1970",
        {"run_id": run_id},
        began,
    )
    for subject in subjects(run):
        _add(samples, subject, _labels(run_id, subject))
    return "".join(samples.text())


def _labels(run_id: str, subject: Subject) -> dict[str, str]:
    labels = {"run_id": run_id, "candidate": subject.name}
    cell = subject.cell
    if cell is None:
        return labels
    return labels | {
        "cell": cell.cell_id,
        "workload": cell.workload.name,
        "load": load_words(cell),
    }


def _add(samples: _Samples, subject: Subject, labels: dict[str, str]) -> None:
    for name, metric in subject.metrics.items():
        if metric.value is None:
            continue
        family = FAMILIES.get(name) or Family(_NAME.sub("_", name), "", 1)
        info = METRICS.get(name)
        what = info.description if info else f"The metric {name}"
        samples.add(family.name(), what, labels, metric.value * family.factor)
        low, high = bounds(metric)
        for end, bound in (("low", low), ("high", high)):
            if bound is not None:
                said = f"{'Lower' if end == 'low' else 'Upper'} end of the interval. {what}"
                samples.add(family.name(end), said, labels, bound * family.factor)
        for label, value in percentiles(metric).items():
            rank = {**labels, "percentile": label.removeprefix("p")}
            said = f"Percentile over requests. {what}"
            samples.add(family.name("percentile"), said, rank, value * family.factor)
    if subject.cell is None:
        return
    asked, failed = requests(subject)
    if asked is not None:
        samples.add(f"{PREFIX}_measured_requests", "Measured requests", labels, asked)
    if failed is not None:
        samples.add(f"{PREFIX}_failed_requests", "Measured requests that failed", labels, failed)
    for status in ("valid", "suspect", "invalid"):
        samples.add(
            f"{PREFIX}_verdict",
            "Whether the figures are to be believed: 1 for the verdict that holds",
            {**labels, "verdict": status},
            subject.cell.verdict.status == status,
        )


def _began(run: BenchmarkRun) -> float:
    at = datetime.fromisoformat(run.metadata.timestamp)
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).timestamp()


def _number(value: float) -> str:
    whole = float(value)
    return str(int(whole)) if whole.is_integer() and abs(whole) < 2**53 else repr(whole)


def escaped(text: str) -> str:
    """The value of a label: backslash, quote and line end escaped, other controls replaced."""
    text = _CONTROLS.sub("�", text)
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return _CONTROLS.sub("�", text).replace("\\", "\\\\").replace("\n", "\\n")
