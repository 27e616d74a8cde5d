"""Results of `vllm bench serve --save-result`.

Source: vllm/benchmarks/serve.py. Times are in milliseconds; a figure over no request at all is
written as 0. Failed requests are left out of every figure.
"""

from __future__ import annotations

import math
import re
from typing import Any

from minionbench.importers.draft import (
    WHOLE_RUN,
    Draft,
    DraftCandidate,
    DraftCell,
    Figure,
    Statistic,
    all_at_once,
    closed,
    percentiles,
    rest,
)
from minionbench.importers.foreign import Object, count, from_text, number, text
from minionbench.schema import LoadDocument
from minionbench.units import MS_PER_S

TOOL = "vLLM bench serve"

NAMES = {
    "ttft": (
        "ttft_s",
        "from the first event with a choice, which in a chat may hold no text yet",
    ),
    "tpot": ("tpot_s", "(latency − TTFT)/(output tokens − 1), of requests with 2 tokens or more"),
    "e2el": ("total_latency_s", "to the last event, which may be the one that counts the tokens"),
}
"""vLLM's quantities whose definition is ours."""

GAPS = "vLLM's ITL is the gap between two events, which may hold several tokens: it stands as icl_s"
LISTS = (
    "input_lens",
    "output_lens",
    "ttfts",
    "itls",
    "start_times",
    "generated_texts",
    "errors",
)
"""Fields with an entry per request: not kept."""
_STATISTIC = re.compile(r"(mean|median|std|p[0-9.]+)_(ttft|tpot|itl|e2el)_ms")


def is_result(tree: Any) -> bool:
    """Whether a piece of JSON is such a result."""
    if not isinstance(tree, dict) or "request_throughput" not in tree or "completed" not in tree:
        return False
    return "model_id" in tree or any(_STATISTIC.fullmatch(name) for name in tree)


def drafts(tree: Any) -> list[Draft]:
    """The runs of a file: one, or one per line where results were appended."""
    return [_draft(one) for one in (tree if isinstance(tree, list) else [tree])]


def _draft(tree: Object) -> Draft:
    completed, failed = count(tree.get("completed")), count(tree.get("failed"))
    prompts = count(tree.get("num_prompts"))
    asked = None if completed is None else completed + (failed or 0)
    if failed is None and asked is not None and prompts is not None:
        # Older versions do not count failures, but say how many prompts there were.
        failed, asked = max(0, prompts - asked), max(prompts, asked)
    cell = DraftCell(
        workload="vllm-bench-serve",
        source="vllm bench serve",
        load=_load(tree, prompts or asked or 1),
        items=prompts or asked or 0,
        requests=asked,
        failed=failed,
        settings=_settings(tree),
        stated={**rest(tree, _known(tree)), **_lists(tree)},
    )
    if completed == 0:
        cell.broken = "no request succeeded"
    else:
        _figures(tree, cell, completed)
    notes = ["The file's time has no time zone: it is taken as UTC."]
    started = from_text(tree.get("date"), "%Y%m%d-%H%M%S")
    return Draft(
        tool=TOOL,
        version=text(tree.get("vllm_version")),
        started=started,
        notes=notes if started else [],
        candidates=[
            DraftCandidate(
                model=text(tree.get("model_id")) or "unknown",
                cells=[cell],
                url=text(tree.get("base_url")),
                engine=text(tree.get("backend")) or text(tree.get("endpoint_type")),
            )
        ],
    )


def _load(tree: Object, requests: int) -> LoadDocument:
    concurrency = count(tree.get("max_concurrency"))
    rate = number(tree.get("request_rate"))
    if rate is None or rate <= 0:
        return closed(concurrency) if concurrency else all_at_once(requests)
    shape = number(tree.get("burstiness"))
    shape = shape if shape and shape > 0 else 1.0
    poisson = math.isclose(shape, 1.0)
    return LoadDocument(
        kind="open",
        rate_per_s=rate,
        arrivals="poisson" if poisson else "gamma",
        burstiness=None if poisson else shape,
    )


def _settings(tree: Object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if number(tree.get("request_rate")) is not None and tree.get("max_concurrency") is not None:
        found["max_concurrency"] = count(tree["max_concurrency"])
    for name in ("total_input_tokens", "total_output_tokens"):
        if (value := count(tree.get(name))) is not None:
            found[name] = value
    return found


def _known(tree: Object) -> list[str]:
    used = [name for name in tree if (m := _STATISTIC.fullmatch(name)) and m[2] in NAMES]
    return [*used, *LISTS, "model_id", "date", "completed", "failed", "num_prompts"]


def _lists(tree: Object) -> dict[str, str]:
    return {
        name: f"({len(tree[name])} entries, not kept)"
        for name in LISTS
        if isinstance(tree.get(name), list)
    }


def _figures(tree: Object, cell: DraftCell, completed: int | None) -> None:
    for quantity, (name, definition) in NAMES.items():
        _quantity(tree, cell, quantity, name, completed, definition)
    _quantity(tree, cell, "itl", "icl_s", None, "gaps between two events of a stream")
    cell.missing["itl_s"] = GAPS
    cell.missing["response_time_s"] = "vLLM does not tell when a request was planned"
    for name, field in (
        ("requests_per_sec", "request_throughput"),
        ("output_tokens_per_sec", "output_throughput"),
    ):
        value = number(tree.get(field))
        if value:
            more = {"definition": WHOLE_RUN}
            cell.figures[name] = Figure(value, "total", field, n=completed, more=more)
    # One version wrote the name with a colon behind it.
    if any(number(tree.get(field)) for field in ("request_goodput", "request_goodput:")):
        cell.missing["goodput_per_sec"] = "the file does not say which objective it was held to"


def _quantity(
    tree: Object, cell: DraftCell, quantity: str, name: str, n: int | None, definition: str
) -> None:
    found = {
        match[1]: value
        for field, stated in tree.items()
        if (match := _STATISTIC.fullmatch(field)) and match[2] == quantity
        if (value := number(stated)) is not None
    }
    statistic: Statistic = "median" if "median" in found else "mean"
    value = found.get(statistic)
    if value is None:
        return
    if not any(found.values()):
        cell.missing[name] = f"vLLM writes 0 for its {quantity}, which stands for nothing measured"
        return
    more: dict[str, Any] = {"definition": definition}
    ranks = {label: v / MS_PER_S for label, v in found.items() if label.startswith("p")}
    if ranks:
        more["percentiles"] = percentiles(ranks)
    for label in ("mean", "std"):
        if label in found:
            more[f"{label}_s"] = found[label] / MS_PER_S
    cell.figures[name] = Figure(
        value / MS_PER_S, statistic, f"{statistic}_{quantity}_ms", n=n, more=more
    )
