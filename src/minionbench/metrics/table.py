"""The table of metrics: every name a document may carry, with its unit, direction and formula.

Names are for ever: a document written today is read by every later version. A metric whose
meaning changes gets a new name.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Better: TypeAlias = Literal["lower", "higher"]
"""Which direction of a metric is an improvement."""


class MetricInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric's name stands for."""

    name: str
    unit: str
    better: Better
    description: str
    """One line for a person."""
    formula: str
    """How the value of one request, cell or candidate comes to be."""


_TABLE = (
    MetricInfo(
        name="ttft_s",
        unit="s",
        better="lower",
        description="Time to the first generated token, of any kind",
        formula="first token-bearing event − sent",
    ),
    MetricInfo(
        name="ttfo_s",
        unit="s",
        better="lower",
        description="Time to the first visible token, reasoning not counted",
        formula="first visible token − sent",
    ),
    MetricInfo(
        name="total_latency_s",
        unit="s",
        better="lower",
        description="Time from sending a request to the last token of its answer",
        formula="last token-bearing event − sent",
    ),
    MetricInfo(
        name="response_time_s",
        unit="s",
        better="lower",
        description="Time from the planned instant to the last token: what a user waits",
        formula="last token-bearing event − planned",
    ),
    MetricInfo(
        name="tpot_s",
        unit="s",
        better="lower",
        description="Time per output token after the first",
        formula="(total latency − TTFT)/(n_out − 1); undefined for n_out < 2",
    ),
    MetricInfo(
        name="itl_s",
        unit="s",
        better="lower",
        description="Gap between two tokens that follow each other",
        formula="differences of neighbouring token arrivals; only where every event is one token",
    ),
    MetricInfo(
        name="icl_s",
        unit="s",
        better="lower",
        description="Gap between two events, each of which may hold several tokens or part of one",
        formula="differences of neighbouring event arrivals; never interpolated",
    ),
    MetricInfo(
        name="tokens_per_sec",
        unit="1/s",
        better="higher",
        description="Decode rate of one request; of a candidate over Decode with one stream",
        formula="(n_out − 1)/(last token − first token)",
    ),
    MetricInfo(
        name="latency_ms",
        unit="ms",
        better="lower",
        description="A candidate's latency: Balanced, one stream, cold prefix",
        formula="1000 × median total latency of that cell",
    ),
    MetricInfo(
        name="output_tokens_per_sec",
        unit="1/s",
        better="higher",
        description="Generated tokens per second of all streams together",
        formula="output tokens within the steady state/its length",
    ),
    MetricInfo(
        name="requests_per_sec",
        unit="1/s",
        better="higher",
        description="Answered requests per second of all streams together",
        formula="successful requests that end within the steady state/its length",
    ),
    MetricInfo(
        name="goodput_per_sec",
        unit="1/s",
        better="higher",
        description="Requests per second that meet the service-level objective",
        formula="requests that meet it and end within the steady state/its length",
    ),
    MetricInfo(
        name="slo_attainment_pct",
        unit="%",
        better="higher",
        description="Share of requests that meet the service-level objective",
        formula="100 × mean over items of the share of its repeats that meet it; failures do not",
    ),
    MetricInfo(
        name="peak_ram_mb",
        unit="MB",
        better="lower",
        description="Largest memory of the engine's process tree",
        formula="largest sum over the tree, 1 MB = 2²⁰ bytes; of a candidate: largest of its cells",
    ),
    MetricInfo(
        name="peak_vram_mb",
        unit="MB",
        better="lower",
        description="Largest accelerator memory of the engine's process tree",
        formula="largest sum over the tree, 1 MB = 2²⁰ bytes; of a candidate: largest of its cells",
    ),
    MetricInfo(
        name="energy_wh",
        unit="Wh",
        better="lower",
        description="Energy of the device while the requests ran",
        formula="measured energy of the window; the idle baseline is given apart",
    ),
    MetricInfo(
        name="energy_wh_per_request",
        unit="Wh",
        better="lower",
        description="Energy of the device per request, where requests do not overlap",
        formula="energy_wh/requests that ended in the window, failed ones too",
    ),
    MetricInfo(
        name="energy_wh_per_good_request",
        unit="Wh",
        better="lower",
        description="Energy of the device per request that succeeded, where they do not overlap",
        formula="energy_wh/requests that ended in the window and succeeded",
    ),
    MetricInfo(
        name="energy_j_per_token",
        unit="J",
        better="lower",
        description="Energy of the device per generated token",
        formula="measured energy of the window/output tokens",
    ),
    MetricInfo(
        name="idle_power_w",
        unit="W",
        better="lower",
        description="Power of the device with the engine loaded and nothing sent",
        formula="energy of the idle times before and after the requests/their length",
    ),
    MetricInfo(
        name="energy_above_idle_wh",
        unit="Wh",
        better="lower",
        description="Energy of the device beyond what it takes when idle",
        formula="energy_wh − idle_power_w × length of the window",
    ),
    MetricInfo(
        name="cost_usd",
        unit="USD",
        better="lower",
        description="What the remote model charges for a request, on average",
        formula="mean over items: tokens of each kind of the remote calls × their price then",
    ),
    MetricInfo(
        name="cost_usd_per_million_tokens",
        unit="USD",
        better="lower",
        description="What a million tokens of the remote model cost as they were mixed",
        formula="cost of the requests/prompt and generated tokens of their remote calls × 10⁶",
    ),
    MetricInfo(
        name="cost_usd_per_correct",
        unit="USD",
        better="lower",
        description="What the remote model charges for each answer that is right",
        formula="cost of the items that could be judged/how many of them are right",
    ),
    MetricInfo(
        name="electricity_cost_usd",
        unit="USD",
        better="lower",
        description="What the electricity of a request costs, on average",
        formula="energy_wh_per_request/1000 × price of a kWh",
    ),
    MetricInfo(
        name="electricity_cost_usd_per_million_tokens",
        unit="USD",
        better="lower",
        description="What the electricity of a million generated tokens costs",
        formula="energy_j_per_token/3.6 × price of a kWh",
    ),
    MetricInfo(
        name="remote_energy_wh",
        unit="Wh",
        better="lower",
        description="Energy of the remote model's requests at its provider, modelled",
        formula="sum over the measured remote calls of a model's energy; never measured",
    ),
    MetricInfo(
        name="remote_energy_wh_per_request",
        unit="Wh",
        better="lower",
        description="Energy of a request at the remote model's provider, modelled",
        formula="remote_energy_wh/requests",
    ),
    MetricInfo(
        name="accuracy_pct",
        unit="%",
        better="higher",
        description="Share of requests whose answer is right",
        formula="100 × mean over items of the share of their requests that are answered right; "
        "failed ones are not",
    ),
    MetricInfo(
        name="cove_pass_rate",
        unit="%",
        better="higher",
        description="Chain-of-Verification: errors corrected and right drafts kept",
        formula="mean of the pass rates over planted and over clean drafts, 0–100",
    ),
    MetricInfo(
        name="retrieval_score",
        unit="%",
        better="higher",
        description="Quality of the ranking of documents for queries",
        formula="100 × mean nDCG@10 over all queries",
    ),
    MetricInfo(
        name="perplexity",
        unit="1",
        better="lower",
        description="Perplexity of a fixed text",
        formula="exp(−mean log-likelihood per token)",
    ),
    MetricInfo(
        name="kl_to_base",
        unit="nat",
        better="lower",
        description="Divergence of a candidate's predictions from its base model's",
        formula="mean over tokens of KL(base ‖ candidate)",
    ),
)

METRICS: dict[str, MetricInfo] = {info.name: info for info in _TABLE}
"""Every metric by its name, in the order in which tables show them."""
