"""Results of aiperf: `profile_export_aiperf.json`.

Source: aiperf's docs/reference/json-export-schema.md and docs/metrics-reference.md. Each quantity
is an object with its unit, `avg`, percentiles where there is a distribution, and `count`. Requests
that failed are left out of all of them.
"""

from __future__ import annotations

from typing import Any

from minionbench.importers.draft import (
    WHOLE_RUN,
    Draft,
    DraftCandidate,
    DraftCell,
    Figure,
    closed,
    percentiles,
    rest,
)
from minionbench.importers.foreign import Object, count, from_text, member, number, text
from minionbench.schema import LoadDocument, SystemInfo

TOOL = "aiperf"

SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
RATES = {
    "requests/sec": 1.0,
    "requests/s": 1.0,
    "tokens/sec": 1.0,
    "tokens/s": 1.0,
}
"""Units by their names there, and the factor to ours."""

TIMES = {
    "time_to_first_token": ("ttft_s", "to the first response with content, reasoning included"),
    "time_to_first_output_token": ("ttfo_s", "to the first response that is no reasoning"),
    "request_latency": ("total_latency_s", "to the last response with content"),
    "inter_chunk_latency": ("icl_s", "gaps between two responses of a stream"),
}
TOTALS = {
    "request_throughput": "requests_per_sec",
    "output_token_throughput": "output_tokens_per_sec",
}
ITL = (
    "aiperf's inter_token_latency is no gap between tokens but a mean per request, (latency − "
    "TTFT)/(tokens − 1) with tokens counted by aiperf's own tokenizer"
)
DIFFERENT = {
    "itl_s": ITL,
    "tpot_s": ITL,
    "response_time_s": "aiperf counts latency from the sending, not from the plan",
    "tokens_per_sec": "aiperf's output_token_throughput_per_user is 1/inter_token_latency, by its "
    "own count of tokens",
    "goodput_per_sec": "the objective of aiperf's goodput is told in another form",
}
_RANKS = ("p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99")


def is_result(tree: Any) -> bool:
    """Whether a piece of JSON is such a result."""
    if not isinstance(tree, dict):
        return False
    told = "aiperf_version" in tree or "input_config" in tree
    return told and any(_is_block(tree.get(name)) for name in (*TIMES, *TOTALS))


def _is_block(value: Any) -> bool:
    return isinstance(value, dict) and "unit" in value and ("avg" in value or "p50" in value)


def drafts(tree: Any) -> list[Draft]:
    """The run of a file."""
    config = member(tree, "input_config")
    answered = _whole(tree, "request_count")
    failed = _whole(tree, "error_request_count")
    requests = None if answered is None else answered + (failed or 0)
    load, told = _load(config)
    cell = DraftCell(
        workload="aiperf",
        source=text(_found(config, "dataset", "custom_dataset_type", "public_dataset")) or "aiperf",
        load=load,
        items=requests or 0,
        requests=requests,
        failed=failed,
        seed=count(member(tree, "run_info", "random_seed")),
        stated=rest(tree, [*TIMES, *TOTALS]),
    )
    _figures(tree, cell)
    notes = [] if told else ["The file tells no load: one stream, aiperf's own default, is taken."]
    if answered == 0:
        cell.broken = "no request succeeded"
    cancelled = tree.get("was_cancelled")
    return [
        Draft(
            tool=TOOL,
            version=text(tree.get("aiperf_version")),
            started=from_text(tree.get("start_time")),
            finished=not cancelled if isinstance(cancelled, bool) else None,
            seed=cell.seed,
            system=SystemInfo(gpu_info=_gpus(tree)),
            candidates=[
                DraftCandidate(model=_model(config), cells=[cell], url=_url(config), notes=notes)
            ],
        )
    ]


def _whole(tree: Object, name: str) -> int | None:
    return count(member(tree, name, "avg"))


def _figures(tree: Object, cell: DraftCell) -> None:
    cell.missing |= DIFFERENT
    for field, (name, definition) in TIMES.items():
        block = tree.get(field)
        if not isinstance(block, dict) or not _is_block(block):
            continue
        factor = SECONDS.get(str(block.get("unit")).strip().lower())
        if factor is None:
            cell.missing[name] = f"aiperf gives {field} in a unit that is not known here"
            cell.stated[field] = block
            continue
        found = {label: number(block.get(label)) for label in ("avg", *_RANKS)}
        median, mean = found["p50"], found["avg"]
        value = mean if median is None else median
        if value is None:
            continue
        ranks = {label: None if (v := found[label]) is None else v * factor for label in _RANKS}
        more: dict[str, Any] = {"definition": definition, "percentiles": percentiles(ranks)}
        if mean is not None:
            more["mean_s"] = mean * factor
        if (spread := number(block.get("std"))) is not None:
            more["std_s"] = spread * factor
        cell.figures[name] = Figure(
            value * factor,
            "mean" if median is None else "median",
            f"{field}.{'avg' if median is None else 'p50'}",
            n=count(block.get("count")) if name != "icl_s" else None,
            more=more,
        )
    for field, name in TOTALS.items():
        block = tree.get(field)
        value = number(member(block, "avg"))
        if value is None:
            continue
        if str(member(block, "unit")).strip().lower() not in RATES:
            cell.missing[name] = f"aiperf gives {field} in a unit that is not known here"
            cell.stated[field] = block
            continue
        cell.figures[name] = Figure(value, "total", field, more={"definition": WHOLE_RUN})


def _load(config: Any) -> tuple[LoadDocument, bool]:
    """The load, and whether the file tells one."""
    rate = number(_found(config, "request_rate", "rate"))
    concurrency = count(_found(config, "concurrency"))
    if rate:
        shape = number(_found(config, "arrival_smoothness", "smoothness"))
        constant = "constant" in str(_found(config, "arrival_pattern", "request_rate_mode", "type"))
        arrivals = "constant" if constant else "gamma" if shape and shape != 1 else "poisson"
        return LoadDocument(
            kind="open",
            rate_per_s=rate,
            arrivals=arrivals,  # type: ignore[arg-type]
            burstiness=shape if arrivals == "gamma" else None,
        ), True
    return closed(concurrency or 1), concurrency is not None


def _found(config: Any, *names: str) -> Any:
    """The first plain value of one of these names, wherever the configuration has it.

    Where it lies has changed from version to version; what belongs to a warm-up is left out.
    """
    waiting = [config]
    while waiting:
        here = waiting.pop(0)
        if isinstance(here, list):
            waiting += [one for one in here[:20] if not _is_warmup(one)]
        if not isinstance(here, dict):
            continue
        for name in names:
            value = here.get(name)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                return value
        waiting += [inner for name, inner in list(here.items())[:200] if "warm" not in str(name)]
    return None


def _is_warmup(value: Any) -> bool:
    return isinstance(value, dict) and "warm" in f"{value.get('name')}{value.get('phase')}".lower()


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _model(config: Any) -> str:
    for value in (
        _first(member(config, "endpoint", "model_names")),
        member(config, "model"),
        _first(member(config, "models")),
        member(_first(member(config, "models", "items")), "name"),
        member(_first(member(config, "models")), "name"),
        _found(config, "model_name", "model"),
    ):
        if found := text(value):
            return found
    return "unknown"


def _url(config: Any) -> str | None:
    endpoint = member(config, "endpoint")
    return text(_first(member(endpoint, "urls"))) or text(member(endpoint, "url"))


def _gpus(tree: Object) -> str | None:
    names: dict[str, int] = {}
    for endpoint in _values(member(tree, "telemetry_data", "endpoints")):
        for gpu in _values(member(endpoint, "gpus")):
            if name := text(member(gpu, "gpu_name")):
                names[name] = names.get(name, 0) + 1
    return "; ".join(name if n == 1 else f"{n} × {name}" for name, n in names.items()) or None


def _values(value: Any) -> list[Any]:
    return list(value.values())[:100] if isinstance(value, dict) else []
