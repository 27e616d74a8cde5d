"""How far each model is from its base model, which is known when both have been measured."""

from __future__ import annotations

from minionbench.assembly import metric_result
from minionbench.autobench.likelihood import kl_to_base, load
from minionbench.autobench.listing import Listed
from minionbench.autobench.model_run import likelihood_path
from minionbench.autobench.plan import Plan
from minionbench.metrics.value import MetricValue, skipped
from minionbench.schema import BenchmarkCandidate
from minionbench.store import RunFolder


def with_distance(
    plan: Plan, place: int, folder: RunFolder, candidate: BenchmarkCandidate
) -> BenchmarkCandidate:
    """The candidate with its distance to its base model, where it is asked for and not told yet."""
    name = "kl_to_base"
    if not plan.procedure.asks_for(name) or name in candidate.metrics:
        return candidate
    value = _distance(plan, place, folder)
    return candidate.but(metrics={**candidate.metrics, name: metric_result(value)})


def _distance(plan: Plan, place: int, folder: RunFolder) -> MetricValue:
    model = plan.models[place]
    bases = _full_precision(plan, model)
    if place in bases:
        return skipped("kl_to_base", "it is the base model itself")
    if len(bases) != 1:
        said = "no model" if not bases else f"{len(bases)} models"
        return skipped(
            "kl_to_base",
            f"{said} of full precision with the base_model {model.base_model!r} in this run",
        )
    base = bases[0]
    scored, of_base = (load(likelihood_path(folder, plan.slugs[p])) for p in (place, base))
    if scored is None or of_base is None:
        whose = "this model" if scored is None else plan.models[base].version
        return skipped("kl_to_base", f"the likelihoods of {whose} are not known")
    return kl_to_base(scored, of_base, plan.models[base].version, plan.procedure.seed)


def _full_precision(plan: Plan, model: Listed) -> list[int]:
    """Places of the models that a model is to be held against: of full precision, same base."""
    if not model.base_model:
        return []
    return [
        place
        for place, other in enumerate(plan.models)
        if other.version == model.base_model
        or (other.base_model == model.base_model and other.model_type == "base")
    ]
