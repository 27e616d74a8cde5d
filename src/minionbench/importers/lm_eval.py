"""Results of lm-evaluation-harness: `results_….json`.

Source: lm_eval/evaluator.py and lm_eval/loggers/evaluation_tracker.py. A task's scores have keys of
the form `metric,filter`; shares are from 0 to 1, each with a `metric_stderr,filter` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from minionbench.importers.draft import (
    OF_A_CELL,
    Draft,
    DraftCandidate,
    DraftCell,
    Figure,
    closed,
    rest,
)
from minionbench.importers.foreign import Object, count, from_epoch, member, number, text

TOOL = "lm-evaluation-harness"

SHARES = ("exact_match", "acc")
"""Scores that are the share of items answered right, the preferred one first."""
HOW = {
    "acc": "share of items whose right choice the model finds the likeliest",
    "exact_match": "share of items whose answer is the right one, after the filter",
}
NO_SPEED = "lm-evaluation-harness measures no speed"
Z_95 = 1.959964
"""Half width of a 95 % interval in standard errors, where they are normal."""
PERPLEXITY = (
    "lm-evaluation-harness gives perplexity per word or byte, or of a task's last words; ours is "
    "per token of a fixed text"
)


def is_result(tree: Any) -> bool:
    """Whether a piece of JSON is such a result."""
    results = member(tree, "results")
    if not isinstance(results, dict) or not results:
        return False
    if not all(isinstance(scores, dict) for scores in results.values()):
        return False
    return any(name in tree for name in ("versions", "configs", "n-shot", "lm_eval_version"))


def drafts(tree: Any) -> list[Draft]:
    """The run of a file: a cell for each task, and for each filter of its answers."""
    config = member(tree, "config")
    cells = [
        cell
        for task, scores in tree["results"].items()
        for cell in _cells(str(task), scores, tree, _concurrency(config))
    ]
    if cells:
        cells[0].stated["file"] = rest(tree, ["results", "samples"])
    model = text(tree.get("model_name")) or _of_args(config, "pretrained", "model", "path")
    system = text(member(config, "model")) or text(tree.get("model_source"))
    candidate = DraftCandidate(
        model=model or system or "unknown",
        engine=system,
        cells=cells,
        deployment=_deployment(system),
        url=_of_args(config, "base_url"),
        notes=["The scores are lm-evaluation-harness's own; no answer was judged here."],
    )
    return [
        Draft(
            tool=TOOL,
            version=text(tree.get("lm_eval_version")),
            started=from_epoch(tree.get("date")),
            seed=count(member(config, "random_seed")),
            candidates=[candidate],
        )
    ]


def _cells(task: str, scores: Object, tree: Object, streams: int) -> list[DraftCell]:
    """A cell per filter that has a score, so that two ways of judging stay apart."""
    filters: dict[str, dict[str, Any]] = {}
    for key, value in scores.items():
        metric, _, how = str(key).partition(",")
        if metric in ("alias", "name", "sample_len", "sample_count", ""):
            continue
        filters.setdefault(how or "none", {})[metric] = value
    judged = {how: found for how, found in filters.items() if _share(found) is not None}
    several = len(judged) > 1
    made = []
    for how, found in (judged or filters or {"none": {}}).items():
        name = text(task) or "task"
        cell = DraftCell(
            workload=f"{name} ({text(how) or 'filter'})" if several else name,
            source=f"lm-eval:{name}",
            load=closed(streams),
            items=_items(tree, task) or 0,
            seed=count(member(tree, "config", "random_seed")),
            settings=_settings(tree, task, how),
            missing=dict.fromkeys(OF_A_CELL, NO_SPEED),
            stated={"scores": found},
        )
        _score(cell, found)
        made.append(cell)
    return made


def _settings(tree: Object, task: str, how: str) -> dict[str, Any]:
    found = {
        "filter": text(how),
        "fewshot": count(member(tree, "n-shot", task)),
        "task_version": text(str(member(tree, "versions", task))),
        "batch_size": text(str(member(tree, "config", "batch_size"))),
        "limit": number(member(tree, "config", "limit")),
    }
    return {name: value for name, value in found.items() if value not in (None, "None")}


def _items(tree: Object, task: str) -> int | None:
    samples = member(tree, "n-samples", task)
    return count(member(samples, "effective")) if isinstance(samples, Mapping) else count(samples)


def _share(found: Mapping[str, Any]) -> str | None:
    """The score that is a share of right answers; None where there is none, or it is no share."""
    for metric in SHARES:
        value = number(found.get(metric))
        if value is not None and 0 <= value <= 1:
            return metric
    return None


def _score(cell: DraftCell, found: Mapping[str, Any]) -> None:
    if any("perplexity" in metric for metric in found):
        cell.missing["perplexity"] = PERPLEXITY
    metric = _share(found)
    if metric is None:
        names = ", ".join(text(name) or "" for name in list(found)[:5])
        cell.missing["accuracy_pct"] = (
            f"none of the task's scores is a share of right answers ({names or 'there are none'})"
        )
        return
    share = float(found[metric])
    more: dict[str, Any] = {"definition": HOW[metric]}
    error = number(found.get(f"{metric}_stderr"))
    if error is not None and error >= 0:
        more["interval"] = {
            "low": 100 * max(0.0, share - Z_95 * error),
            "high": 100 * min(1.0, share + Z_95 * error),
            "level": 0.95,
            "method": "normal, by the standard error that the file states",
        }
    del cell.missing["accuracy_pct"]
    cell.figures["accuracy_pct"] = Figure(
        100 * share, "share", metric, n=cell.items or None, more=more
    )


def _of_args(config: Any, *names: str) -> str | None:
    """A value of the model's arguments, which are text or an object."""
    args = member(config, "model_args")
    for name in names:
        if isinstance(args, Mapping) and (found := text(args.get(name))):
            return found
        if isinstance(args, str) and (match := re.search(rf"(?:^|,)\s*{name}=([^,]+)", args)):
            return text(match[1])
    return None


def _concurrency(config: Any) -> int:
    """Requests at the same time: one batch after the other, unless the file says more."""
    told = _of_args(config, "num_concurrent")
    return int(told) if told and told.isascii() and told.isdecimal() and 0 < len(told) < 6 else 1


def _deployment(system: str | None) -> Literal["local", "remote"] | None:
    if system is None or system.startswith("local-"):
        return None  # its address says
    remote = ("openai", "anthropic", "textsynth", "watsonx", "goose")
    return "remote" if system.startswith(remote) else "local"
