"""The energy of a remote model at its provider: modelled, never measured.

Nobody outside a provider can measure it. The package ecologits (extra `energy`) has a model of it:
from the generated tokens, the time that an answer took, what is known or guessed of the model's
size, and the overhead of the data centre. It gives a range, and so do the figures here.

Source: EcoLogits, https://ecologits.ai, methodology of LLM inference.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from minionbench.exchange import COST_NOTHING, COUNTED_WHOLE, CUT_OFF
from minionbench.metrics.value import MetricValue, ok, skipped
from minionbench.records import CallRecord, RequestRecord
from minionbench.units import number_of, seconds

if TYPE_CHECKING:
    from ecologits.tracers.utils import ImpactsOutput

METRIC = "remote_energy_wh"
PER_REQUEST = "remote_energy_wh_per_request"
METRICS = (METRIC, PER_REQUEST)

WH_PER_KWH = 1_000
INSTALL = "install minionbench[energy] for a model of it"
SCOPE = "the provider's data centre: accelerators, their servers' share, and its overhead"

_PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "mistral": "mistralai",
    "cohere": "cohere",
    "google": "google_genai",
}
"""Its names of the providers that it has models of."""


class _Range(NamedTuple):
    """Watt-hours, from the least to the most that the model gives."""

    low: float
    high: float


def remote_energy(
    records: Sequence[RequestRecord], provider: str | None, model: str
) -> dict[str, MetricValue]:
    """`remote_energy_wh` of a cell and of one of its requests, modelled.

    The value is the middle of the range, which stands in the metadata. Skipped where the package is
    not installed or does not know the model, or where tokens or time of a call are not known.
    """
    known = _PROVIDERS.get(provider or "")
    if known is None:
        who = provider or "a server known by its address alone"
        return not_modelled(
            f"the energy of a remote model is modelled, and for {who} there is no model"
        )
    try:
        import ecologits
        from ecologits.tracers.utils import llm_impacts
    except ImportError:
        return not_modelled(f"the energy of a remote model cannot be measured from here: {INSTALL}")
    method = f"ecologits {ecologits.__version__}"
    requests = [r for r in records if r.phase == "measured" and r.outcome not in CUT_OFF]
    if not requests:
        return not_modelled("no request was measured", method=method)
    calls = [call for r in requests for call in r.calls if call.side == "remote"]
    spent = [_spent(call) for call in calls if call.reply.outcome not in COST_NOTHING]
    unknown = sum(one is None for one in spent)
    if unknown:
        what = number_of(unknown, "call")
        return not_modelled(f"the tokens or the time of {what} are not known", method=method)
    ranges: list[_Range] = []
    warnings: Counter[str] = Counter()
    with _Quiet():
        for tokens, latency_s in (one for one in spent if one is not None):
            impacts = llm_impacts(known, model, tokens, latency_s)
            energy = _range(impacts)
            if energy is None:
                why = "; ".join(error.message for error in impacts.errors or ())
                return not_modelled(f"{method} has no energy of {model}: {why}", method=method)
            ranges.append(energy)
            warnings.update(warning.message for warning in impacts.warnings or ())
    low, high = (math.fsum(part) for part in zip(*ranges, strict=True)) if ranges else (0.0, 0.0)
    about = {
        "basis": "modelled",
        "method": method,
        "provider": known,
        "model": model,
        "covers": SCOPE,
        "requests": len(requests),
        "calls": len(calls),
        "warnings": list(warnings),
    }
    n = len(requests)
    return {
        METRIC: ok(METRIC, (low + high) / 2, range={"low": low, "high": high}, **about),
        PER_REQUEST: ok(
            PER_REQUEST,
            (low + high) / 2 / n,
            range={"low": low / n, "high": high / n},
            **about,
        ),
    }


def not_modelled(reason: str, **about: Any) -> dict[str, MetricValue]:
    """That there is no figure, and why."""
    return {name: skipped(name, reason, basis="modelled", **about) for name in METRICS}


def _spent(call: CallRecord) -> tuple[int, float] | None:
    """Generated tokens and seconds of a call; None where one of them is not known."""
    reply = call.reply
    usage = reply.usage
    if reply.outcome not in COUNTED_WHOLE or usage is None or usage.completion_tokens is None:
        return None
    if reply.sent_ns is None or reply.end_ns is None:
        return None
    return usage.completion_tokens, seconds(reply.end_ns - reply.sent_ns)


def _range(impacts: ImpactsOutput) -> _Range | None:
    """What the model gives, a range or a number, in Wh; None where it gives nothing."""
    if impacts.energy is None or impacts.energy.unit != "kWh":
        return None
    value = impacts.energy.value
    low, high = (value, value) if isinstance(value, int | float) else (value.min, value.max)
    return _Range(low * WH_PER_KWH, high * WH_PER_KWH)


class _Quiet:
    """Keeps the package from writing its warnings on standard error: they are in the metadata."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("ecologits")
        self._disabled = self._logger.disabled
        self._logger.disabled = True

    def __exit__(self, *_: object) -> None:
        self._logger.disabled = self._disabled
