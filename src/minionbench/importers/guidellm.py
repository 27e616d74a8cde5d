"""Results of guidellm: `benchmarks.json`.

Source: guidellm's schemas of benchmarks, metrics and statistics. A quantity has a distribution for
requests that were successful, incomplete and errored. What a request does not have counts as 0
there, so that a median of 0 stands for nothing measured.
"""

from __future__ import annotations

from typing import Any

from minionbench.importers.draft import (
    Draft,
    DraftCandidate,
    DraftCell,
    Figure,
    closed,
    percentiles,
    rest,
)
from minionbench.importers.foreign import Object, count, from_epoch, member, number, text
from minionbench.schema import LoadDocument, SystemInfo
from minionbench.units import MS_PER_S

TOOL = "guidellm"

TIMES = {
    "time_to_first_token_ms": ("ttft_s", 1 / MS_PER_S, "to the first event with a token"),
    "time_to_first_output_token_ms": (
        "ttfo_s",
        1 / MS_PER_S,
        "to the first token that is no reasoning",
    ),
    "request_latency": (
        "total_latency_s",
        1.0,
        "to the end of the response, which may come a little after its last token",
    ),
    "request_scheduled_latency": (
        "response_time_s",
        1.0,
        "from the planned instant to the end of the response",
    ),
}
TOTALS = {
    "requests_per_second": "requests_per_sec",
    "output_tokens_per_second": "output_tokens_per_sec",
}
DIFFERENT = {
    "tpot_s": "guidellm's time_per_output_token divides the whole latency by n tokens, ours what "
    "comes after the first token by n − 1",
    "itl_s": "guidellm's inter_token_latency is no gap between tokens but a mean per request, "
    "weighted by its tokens",
    "icl_s": "guidellm does not tell the gaps between events",
    "tokens_per_sec": "guidellm tells the rate of all requests together, not that of one",
}
_RANKS = {"p01": "p1", "p05": "p5"} | {f"p{n}": f"p{n}" for n in (10, 25, 50, 75, 90, 95, 99)}
_RANKS["p999"] = "p99.9"


def is_result(tree: Any) -> bool:
    """Whether a piece of JSON is such a result."""
    benchmarks = member(tree, "benchmarks")
    if not isinstance(benchmarks, list):
        return False
    metrics = [member(one, "metrics") for one in benchmarks]
    return any(
        isinstance(m, dict) and ("request_latency" in m or set(TIMES) & set(m)) for m in metrics
    )


def drafts(tree: Any) -> list[Draft]:
    """The run of a file; each of its benchmarks is a cell."""
    benchmarks = [one for one in tree["benchmarks"] if isinstance(member(one, "metrics"), dict)]
    about = member(tree, "metadata")
    args = member(tree, "args")
    cells = [_cell(one, args) for one in benchmarks]
    starts = [found for one in benchmarks if (found := _begun(one))]
    # What is said of the run as a whole stands in its first cell.
    cells[0].stated["file"] = rest(tree, ["benchmarks"])
    platform = text(member(about, "platform"))
    return [
        Draft(
            tool=TOOL,
            version=text(member(about, "guidellm_version")) or text(member(about, "version")),
            started=min(starts, default=None),
            system=SystemInfo(
                python_version=text(member(about, "python_version")),
                platform=platform.partition("-")[0] if platform else None,
                platform_version=platform,
            ),
            candidates=[
                DraftCandidate(
                    model=_model(args, benchmarks[0]),
                    cells=cells,
                    url=_url(args, benchmarks[0]),
                    engine=text(member(args, "backend")),
                )
            ],
        )
    ]


def _begun(benchmark: Object) -> Any:
    return from_epoch(benchmark.get("start_time")) or from_epoch(
        member(benchmark, "scheduler_metrics", "start_time")
    )


def _cell(benchmark: Object, args: Any) -> DraftCell:
    metrics: Object = benchmark["metrics"]
    totals = member(metrics, "request_totals") or member(benchmark, "run_stats", "requests_made")
    good, bad, cut = (count(member(totals, how)) for how in ("successful", "errored", "incomplete"))
    requests = None if good is None else good + (bad or 0)
    load, strategy = _load(benchmark, requests)
    cell = DraftCell(
        workload="guidellm",
        source=_source(args, benchmark),
        load=load,
        items=requests or 0,
        requests=requests,
        failed=bad,
        seed=_seed(args, benchmark),
        settings={"strategy": strategy, **({} if cut is None else {"incomplete_requests": cut})},
        stated={
            "metrics": rest(_without_points(metrics), [*TIMES, *TOTALS]),
            **rest(benchmark, ["metrics", "requests", "request_samples"]),
        },
    )
    if good == 0:
        cell.broken = "no request succeeded"
        return cell
    _figures(metrics, cell)
    return cell


def _figures(metrics: Object, cell: DraftCell) -> None:
    cell.missing |= DIFFERENT
    if "request_scheduled_latency" not in metrics:
        cell.missing["response_time_s"] = "this version of guidellm does not tell it"
    for field, (name, factor, definition) in TIMES.items():
        found = member(metrics, field, "successful")
        median, mean = number(member(found, "median")), number(member(found, "mean"))
        value = mean if median is None else median
        if value is None:
            continue
        if value <= 0:
            cell.missing[name] = (
                f"guidellm writes 0 for {field}, which stands for nothing measured: the answers "
                "were not streamed"
            )
            continue
        ranks = {
            label: None
            if (v := number(member(found, "percentiles", theirs))) is None
            else v * factor
            for theirs, label in _RANKS.items()
        }
        more: dict[str, Any] = {"definition": definition, "percentiles": percentiles(ranks)}
        if mean is not None:
            more["mean_s"] = mean * factor
        if (spread := number(member(found, "std_dev"))) is not None:
            more["std_s"] = spread * factor
        cell.figures[name] = Figure(
            value * factor,
            "mean" if median is None else "median",
            f"{field}.successful.{'mean' if median is None else 'median'}",
            n=count(member(found, "count")),
            more=more,
        )
    for field, name in TOTALS.items():
        value = number(member(metrics, field, "successful", "mean"))
        if value is not None and value > 0:
            cell.figures[name] = Figure(
                value,
                "total",
                f"{field}.successful.mean",
                more={"definition": "over guidellm's own measured time, its warm-up apart"},
            )


def _without_points(metrics: Object) -> dict[str, Any]:
    """The metrics without the points of their distributions, of which there are thousands."""
    return {
        name: {
            how: rest(found, ["pdf", "percentiles", "cumulative_distribution_function"])
            for how, found in value.items()
            if how == "successful" and isinstance(found, dict)
        }
        if isinstance(value, dict) and isinstance(value.get("successful"), dict)
        else value
        for name, value in metrics.items()
    }


def _load(benchmark: Object, requests: int | None) -> tuple[LoadDocument, str]:
    """The load of a benchmark, and what guidellm calls its strategy."""
    for holder in (
        member(benchmark, "config", "strategy"),
        member(benchmark, "scheduler", "strategy"),
        member(benchmark, "args", "strategy"),
    ):
        if not isinstance(holder, dict):
            continue
        kind = str(holder.get("type_") or holder.get("kind") or holder.get("type") or "")
        rate = number(holder.get("rate"))
        if rate and rate > 0 and ("poisson" in kind or "constant" in kind or "async" in kind):
            return LoadDocument(
                kind="open",
                rate_per_s=rate,
                arrivals="poisson" if "poisson" in kind else "constant",
            ), kind
        streams = count(holder.get("streams")) or count(holder.get("max_concurrency"))
        if "synchronous" in kind:
            streams = 1
        if "throughput" in kind and not streams:
            streams = requests
        if streams:
            return closed(streams), kind
    return closed(_most_at_once(benchmark) or 1), "not told"


def _most_at_once(benchmark: Object) -> int | None:
    found = number(member(benchmark, "metrics", "request_concurrency", "successful", "max"))
    return None if found is None else round(found)


def _source(args: Any, benchmark: Object) -> str:
    data = member(args, "data")
    data = data[0] if isinstance(data, list) and data else data
    return text(data) or text(member(benchmark, "request_loader", "data")) or "guidellm"


def _seed(args: Any, benchmark: Object) -> int | None:
    for value in (member(args, "random_seed"), member(benchmark, "config", "random_seed")):
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
            return value
    return None


def _model(args: Any, benchmark: Object) -> str:
    for value in (
        member(args, "model"),
        member(args, "backend_kwargs", "model"),
        member(args, "backend", "model"),
        member(benchmark, "config", "backend", "model"),
        member(benchmark, "worker", "backend_model"),
    ):
        if found := text(value):
            return found
    return "unknown"


def _url(args: Any, benchmark: Object) -> str | None:
    for value in (
        member(args, "target"),
        member(args, "backend_kwargs", "target"),
        member(args, "backend", "target"),
        member(benchmark, "config", "backend", "target"),
        member(benchmark, "worker", "backend_target"),
    ):
        if found := text(value):
            return found
    return None
