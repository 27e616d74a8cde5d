"""A server's own account of its work, from its Prometheus page before and after.

What it counts is its own: its time to first token begins when it has read a request and ends
before the answer is on its way. It stands beside what was measured here, and never in its place.

Source: Prometheus text exposition format 0.0.4; vLLM, SGLang, llama.cpp's server and Text
Generation Inference, production metrics.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

QUANTILES = (0.5, 0.9, 0.99)
MOST_SAMPLES = 100_000
"""Lines of a page that are read; a server has some thousands."""

_SAMPLE = re.compile(
    r"(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)(?:\{(?P<labels>.*)\})?[ \t]+(?P<value>\S+)"
    r"(?:[ \t]+-?[0-9]+(?:\.[0-9]+)?)?(?:[ \t]+# \{.*)?"
)
_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+|Inf|NaN)")
_ESCAPED = re.compile(r"\\(.)")


class UnreadablePage(Exception):
    """A page that is not in Prometheus' text form; the message names the line."""


class Histogram(NamedTuple):
    """Observations counted by size."""

    n: float
    total: float
    """Sum of all observations."""
    buckets: tuple[tuple[float, float], ...]
    """(upper bound, observations up to it), ascending; the last bound is infinite."""

    @property
    def mean(self) -> float | None:
        """None where nothing was observed."""
        return self.total / self.n if self.n else None

    def quantile_bounds(self, q: float) -> tuple[float, float] | None:
        """(above, up to): the bucket that the q-quantile lies in; None where nothing was observed.

        The first bucket begins at 0, the last one ends nowhere.
        """
        if not self.buckets or not self.n:
            return None
        below = 0.0
        for bound, up_to in self.buckets:
            if up_to >= q * self.n:
                return below, bound
            below = bound
        return None


class Account(NamedTuple):
    """What a server has counted, over all its workers."""

    counts: Mapping[str, float]
    histograms: Mapping[str, Histogram]

    def since(self, before: Account) -> Account | None:
        """What was counted between two pages; None where a count went back: a restart."""
        counts = {name: value - before.counts.get(name, 0) for name, value in self.counts.items()}
        histograms = {}
        for name, now in self.histograms.items():
            then = before.histograms.get(name)
            if then is None:
                histograms[name] = now
                continue
            if [bound for bound, _ in then.buckets] != [bound for bound, _ in now.buckets]:
                continue
            histograms[name] = Histogram(
                now.n - then.n,
                now.total - then.total,
                tuple(
                    (bound, up_to - earlier)
                    for (bound, up_to), (_, earlier) in zip(now.buckets, then.buckets, strict=True)
                ),
            )
            if histograms[name].n < 0:
                return None
        totals = {name: value for name, value in counts.items() if name.endswith("_total")}
        return None if any(value < 0 for value in totals.values()) else Account(totals, histograms)

    def plus(self, other: Account) -> Account:
        """What was counted in two stretches together."""
        counts = dict(self.counts)
        for name, value in other.counts.items():
            counts[name] = counts.get(name, 0) + value
        histograms = dict(self.histograms)
        for name, one in other.histograms.items():
            histograms[name] = _sum([histograms[name], one]) if name in histograms else one
        return Account(counts, histograms)


def read_page(text: str, model: str | None = None) -> Account:
    """What a page says, of one model where it tells models apart (label `model_name`).

    Values of the same name are added up, whatever their other labels: they are of several workers.

    Raises:
        UnreadablePage: a line that is none of a sample, a comment and nothing.
    """
    samples = list(_samples(text))
    if any(labels.get("model_name") == model for _, labels, _ in samples):
        samples = [one for one in samples if one[1].get("model_name") in (None, model)]
    counts: dict[str, float] = {}
    parts: dict[tuple[str, tuple[tuple[str, str], ...]], dict[float, float]] = {}
    for name, labels, value in samples:
        bound = labels.pop("le", None)
        if bound is not None and name.endswith("_bucket"):
            key = (name.removesuffix("_bucket"), tuple(sorted(labels.items())))
            if not math.isfinite(value):
                raise UnreadablePage(f"{name} counts {value}")
            parts.setdefault(key, {})[_number(bound, "a bucket's bound")] = value
        elif math.isfinite(value):
            counts[name] = counts.get(name, 0) + value
    by_name: dict[str, list[Histogram]] = {}
    for (name, _), buckets in parts.items():
        by_name.setdefault(name, []).append(Histogram(0, 0, tuple(sorted(buckets.items()))))
    histograms = {}
    for name, each in by_name.items():
        summed = _sum(each)
        # Without the sum of the observations, or where workers differ in their buckets, it tells
        # nothing that can be relied on.
        if summed.buckets and f"{name}_sum" in counts:
            n = counts.get(f"{name}_count", summed.buckets[-1][1])
            histograms[name] = summed._replace(n=n, total=counts[f"{name}_sum"])
    return Account(counts, histograms)


class _Names(NamedTuple):
    """Where a kind of server keeps its figures; of several names the first that it has."""

    times: Mapping[str, Sequence[str]]
    """Our word for a time, and the histogram of it in seconds."""
    counts: Mapping[str, Sequence[str]]
    requests: str | None = None
    """Histogram with one observation for each request."""
    means: Mapping[str, tuple[str, str]] = {}
    """Our word for a time, and the counters whose ratio is its mean."""


_NAMES: dict[str, _Names] = {
    "vllm:": _Names(
        times={
            "ttft_s": ("vllm:time_to_first_token_seconds",),
            "itl_s": ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
            "queue_s": ("vllm:request_queue_time_seconds",),
            "prefill_s": ("vllm:request_prefill_time_seconds",),
            "decode_s": ("vllm:request_decode_time_seconds",),
            "total_latency_s": ("vllm:e2e_request_latency_seconds",),
        },
        counts={
            "prompt_tokens": ("vllm:prompt_tokens_total",),
            "output_tokens": ("vllm:generation_tokens_total",),
            "cache_queried_tokens": ("vllm:prefix_cache_queries_total",),
            "cached_tokens": ("vllm:prefix_cache_hits_total",),
            "preemptions": ("vllm:num_preemptions_total",),
        },
        requests="vllm:e2e_request_latency_seconds",
    ),
    "sglang:": _Names(
        times={
            "ttft_s": ("sglang:time_to_first_token_seconds",),
            "itl_s": ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
            "queue_s": ("sglang:queue_time_seconds",),
            "total_latency_s": ("sglang:e2e_request_latency_seconds",),
        },
        counts={
            "prompt_tokens": ("sglang:prompt_tokens_total",),
            "output_tokens": ("sglang:generation_tokens_total",),
            "cached_tokens": ("sglang:cached_tokens_total",),
        },
        requests="sglang:e2e_request_latency_seconds",
    ),
    "llamacpp:": _Names(
        times={},
        counts={
            "prompt_tokens": ("llamacpp:prompt_tokens_total",),
            "output_tokens": ("llamacpp:tokens_predicted_total",),
        },
        means={
            "prefill_s_per_token": (
                "llamacpp:prompt_seconds_total",
                "llamacpp:prompt_tokens_total",
            ),
            "itl_s": ("llamacpp:tokens_predicted_seconds_total", "llamacpp:tokens_predicted_total"),
        },
    ),
    "tgi_": _Names(
        times={
            "queue_s": ("tgi_request_queue_duration",),
            "itl_s": ("tgi_request_mean_time_per_token_duration",),
            "total_latency_s": ("tgi_request_duration",),
        },
        counts={},
        requests="tgi_request_duration",
    ),
}
"""By the beginning of a kind's names, as of 2026-11."""


CACHE_SHARES = (
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",
    "sglang:token_usage",
    "llamacpp:kv_cache_usage_ratio",
)
"""Gauges of the share of the cache of keys and values that is in use, 1 for all of it, as of
2026-11; the second is that of older versions of vLLM, the last that of older ones of llama.cpp."""
_CACHE_LINES = re.compile(rf"^(?:{'|'.join(map(re.escape, CACHE_SHARES))})[{{ \t].*", re.MULTILINE)


def cache_share(page: str, model: str | None = None) -> float | None:
    """The share of a server's cache of keys and values that is in use, from 0 to 1.

    Of several workers that of the fullest. None where the page does not tell it. The rest of the
    page is not read, which would take milliseconds.
    """
    try:
        samples = list(_samples("\n".join(_CACHE_LINES.findall(page))))
    except UnreadablePage:
        return None
    if any(labels.get("model_name") == model for _, labels, _ in samples):
        samples = [one for one in samples if one[1].get("model_name") == model]
    shares = [value for _, _, value in samples if 0 <= value <= 1]
    return max(shares) if len(shares) == len(samples) and shares else None


def figures(account: Account, *, calls: int | None = None) -> dict[str, Any]:
    """A server's figures of a stretch of work, as plain values; empty where none is known.

    Of a time its count `n`, its `mean`, and of some quantiles between which bounds they lie: a
    histogram tells no more. `calls` is how many of the requests were ours.
    """
    found: dict[str, Any] = {}
    for prefix, names in _NAMES.items():
        if any(name.startswith(prefix) for name in (*account.counts, *account.histograms)):
            found |= _figures(account, names)
    others = found["requests"] - calls if calls is not None and "requests" in found else 0
    if others > 0:
        found["note"] = f"{others} of the requests were somebody else's"
    return found


def _figures(account: Account, names: _Names) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if names.requests is not None and names.requests in account.histograms:
        found["requests"] = round(account.histograms[names.requests].n)
    for ours, theirs in names.times.items():
        histogram = next(
            (account.histograms[name] for name in theirs if name in account.histograms), None
        )
        if histogram is not None and histogram.mean is not None:
            found[ours] = {"n": round(histogram.n), "mean": histogram.mean} | {
                f"p{round(100 * q)}": _bounds(bounds)
                for q in QUANTILES
                if (bounds := histogram.quantile_bounds(q)) is not None
            }
    for ours, (time, number) in names.means.items():
        n = account.counts.get(number)
        if n and time in account.counts:
            found[ours] = {"n": round(n), "mean": account.counts[time] / n}
    for ours, theirs in names.counts.items():
        value = next((account.counts[name] for name in theirs if name in account.counts), None)
        if value is not None:
            found[ours] = round(value)
    return found


def _bounds(bounds: tuple[float, float]) -> dict[str, float | None]:
    above, up_to = bounds
    return {"above": above, "up_to": None if math.isinf(up_to) else up_to}


def _sum(each: Sequence[Histogram]) -> Histogram:
    """Several histograms as one; without buckets where theirs are not the same."""
    bounds = [bound for bound, _ in each[0].buckets]
    count = sum(one.n for one in each)
    total = sum(one.total for one in each)
    if any([bound for bound, _ in one.buckets] != bounds for one in each):
        return Histogram(count, total, ())
    buckets = zip(*(one.buckets for one in each), strict=True)
    return Histogram(
        count, total, tuple((column[0][0], sum(n for _, n in column)) for column in buckets)
    )


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if number > MOST_SAMPLES:
            raise UnreadablePage(f"it has more than {MOST_SAMPLES} lines")
        match = _SAMPLE.fullmatch(stripped)
        if match is None:
            raise UnreadablePage(f"line {number} is no sample")
        value = _number(match["value"], f"the value in line {number}")
        yield match["name"], _labels(match["labels"] or "", number), value


def _labels(text: str, number: int) -> dict[str, str]:
    labels: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _LABEL.match(text, position)
        if match is None:
            raise UnreadablePage(f"the labels in line {number} are not in the form of labels")
        labels[match[1]] = _ESCAPED.sub(lambda m: "\n" if m[1] == "n" else m[1], match[2])
        position = match.end()
    return labels


def _number(text: str, what: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise UnreadablePage(f"{what} is no number")
    return float(text)
