"""What the user asks of a model: weights, gates, and reference points of their own."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from minionbench.errors import UsageError
from minionbench.metrics.table import METRICS
from minionbench.select.scale import REFERENCES, Scale, improves
from minionbench.select.score import metric_of

WorstVerdict: TypeAlias = Literal["valid", "suspect", "invalid"]

SHORT: dict[str, tuple[str, ...]] = {
    "latency": ("latency_ms",),
    "throughput": ("tokens_per_sec",),
    "cove": ("cove_pass_rate",),
    "retrieval": ("retrieval_score",),
    "quality": ("cove_pass_rate", "retrieval_score"),
    "ram": ("peak_ram_mb",),
    "vram": ("peak_vram_mb",),
}
"""Short names that weights may use; the weight is shared equally among the metrics."""

DEFAULT_WEIGHTS = {
    "latency_ms": 0.25,
    "tokens_per_sec": 0.25,
    "cove_pass_rate": 0.25,
    "retrieval_score": 0.25,
}

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_GATE = re.compile(
    rf"\s*(?:([^\s.<>=]+)\.)?([A-Za-z_][A-Za-z0-9_]*)\s*(>=|<=|==|>|<)\s*({_NUMBER})\s*", re.ASCII
)
_WEIGHT = re.compile(
    rf"\s*((?:[^\s.<>=,]+\.)?)([A-Za-z_][A-Za-z0-9_]*)\s*=\s*({_NUMBER})\s*", re.ASCII
)
_REFERENCE = re.compile(
    rf"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*({_NUMBER})\s*:\s*({_NUMBER})\s*", re.ASCII
)


class Gate(NamedTuple):
    """A condition that a candidate has to meet, whatever its score."""

    metric: str
    operator: str
    limit: float
    workload: str | None = None
    """Workload in whose cells the metric is looked at, in each of them; None for the candidate's
    own metric."""

    def holds(self, value: float) -> bool:
        """Whether a value meets it."""
        return _OPERATORS[self.operator](value, self.limit)

    @property
    def text(self) -> str:
        """As the command line takes it."""
        where = "" if self.workload is None else f"{self.workload}."
        return f"{where}{self.metric}{self.operator}{self.limit:g}"


class Criteria(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate is judged by.

    Raises UsageError where a metric is not known, or a number is none that makes sense.
    """

    weights: dict[str, float] | None = None
    """By metric, or `workload.metric`; what they add up to counts as 1, and a metric without one
    does not enter the score. None for those that suit the run: `DEFAULT_WEIGHTS` for models."""
    gates: tuple[Gate, ...] = ()
    references: dict[str, Scale] = msgspec.field(default_factory=dict)
    """Scales that take the place of those in `REFERENCES`."""
    worst_verdict: WorstVerdict = "suspect"
    """The worst verdict of a cell with which a candidate may be chosen."""
    workloads: tuple[str, ...] = ()
    """Workloads by whose cells deployments are judged; none for all of them."""
    loads: tuple[str, ...] = ()
    """Loads by whose cells they are judged, as `c4` or `r2.5`; none for all of them."""

    def __post_init__(self) -> None:
        weights = self._weights
        gated = [gate.metric for gate in self.gates]
        for name in (*map(metric_of, weights), *gated, *self.references):
            _require_metric(name)
        for name, weight in weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise UsageError(f"The weight of {name} must be 0 or more, not {weight:g}.")
        if not any(weights.values()):
            raise UsageError("At least one weight must be above 0: nothing else makes a score.")
        if not math.isfinite(sum(weights.values())):
            raise UsageError("The weights are too large to be added up.")
        for gate in self.gates:
            if not math.isfinite(gate.limit):
                raise UsageError(f"The limit of {gate.metric} must be finite, not {gate.limit}.")
        for name, scale in self.references.items():
            _require_scale(name, scale)

    @property
    def shares(self) -> dict[str, float]:
        """The weights above 0, adding up to 1, in the order of their metrics' names."""
        weights = self._weights
        total = math.fsum(weights.values())
        return {name: w / total for name, w in sorted(weights.items()) if w / total > 0}

    @property
    def scales(self) -> dict[str, Scale]:
        """The scale of each metric that enters the score."""
        return {name: self.scale(metric_of(name)) for name in self.shares}

    def scale(self, metric: str) -> Scale:
        """The scale that a metric is placed on."""
        return self.references.get(metric, REFERENCES[metric])

    @property
    def _weights(self) -> dict[str, float]:
        return DEFAULT_WEIGHTS if self.weights is None else self.weights


def parse_gate(text: str) -> Gate:
    """A gate as written on a command line: `cove_pass_rate>=90`, or `prefill.ttft_s<=0.5`.

    Raises UsageError for another form or an unknown metric.
    """
    match = _GATE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is no requirement: it has the form METRIC OPERATOR NUMBER, as in "
            f"'cove_pass_rate>=90', or WORKLOAD.METRIC OPERATOR NUMBER, as in "
            f"'prefill.ttft_s<=0.5', with one of {' '.join(_OPERATORS)}."
        )
    workload, metric, sign, number = match.groups()
    _require_metric(metric)
    return Gate(metric, sign, _finite(number, text), workload)


def parse_weights(text: str, short: Mapping[str, tuple[str, ...]] = SHORT) -> dict[str, float]:
    """Weights as written on a command line: `latency=1,throughput=1,quality=2`, or with a workload
    `prefill.ttft_s=1`.

    Names are those of metrics, or short ones of `short`; one that means several shares its weight
    among them. Raises UsageError for another form, an unknown name, or one that is weighted twice.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        match = _WEIGHT.fullmatch(part)
        if match is None:
            raise UsageError(
                f"{part!r} is no weight: it has the form NAME=NUMBER, as in 'latency=0.5', "
                "several of them with commas between."
            )
        where, named, number = match.groups()
        names = short.get(named, (named,))
        for metric in names:
            _require_metric(metric, short)
            name = f"{where}{metric}"
            if name in weights:
                raise UsageError(f"{name} is weighted twice in {text!r}.")
            weights[name] = _finite(number, text) / len(names)
    return weights


def parse_references(texts: Iterable[str]) -> dict[str, Scale]:
    """Reference points as written on a command line: `latency_ms=5000:50`.

    First the value that counts 0, then the one that counts 1. Raises UsageError for another form,
    an unknown metric, one that is named twice, or points that its scale cannot have.
    """
    scales: dict[str, Scale] = {}
    for text in texts:
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} names no reference points: they have the form METRIC=ZERO:ONE, as in "
                "'latency_ms=5000:50', the value that counts 0 and the one that counts 1."
            )
        name = match[1]
        _require_metric(name)
        if name in scales:
            raise UsageError(f"{name} has two pairs of reference points.")
        zero, one = _finite(match[2], text), _finite(match[3], text)
        scale = Scale(zero, one, REFERENCES[name].log)
        _require_scale(name, scale)
        scales[name] = scale
    return scales


def _finite(number: str, text: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise UsageError(f"{number} in {text!r} is too large a number.")
    return value


def _require_metric(name: str, short: Mapping[str, tuple[str, ...]] | None = None) -> None:
    if name in METRICS:
        return
    known = [*METRICS, *(short or {})]
    near = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(f"There is no metric {name!r}. {hint}Known: {', '.join(known)}.")


def _require_scale(name: str, scale: Scale) -> None:
    shown = f"{scale.zero:g}:{scale.one:g}"
    if not improves(scale, name):
        better = METRICS[name].better
        raise UsageError(
            f"{name} is better when it is {better}, so that the value that counts 1 must be "
            f"{better} than the one that counts 0; {shown} is not so."
        )
    if scale.log and min(scale.zero, scale.one) <= 0:
        raise UsageError(
            f"{name} is placed by its logarithm, so that its reference points must be above 0; "
            f"{shown} is not so."
        )
