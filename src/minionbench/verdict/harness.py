"""Rules about the harness: whether it was quick enough not to be what was measured."""

from __future__ import annotations

from minionbench.metrics import request
from minionbench.metrics.request import hides_reasoning
from minionbench.stats import quantile
from minionbench.units import NS_PER_MS, NS_PER_S, NS_PER_US, number_of
from minionbench.verdict.evidence import Evidence, RunFacts
from minionbench.verdict.finding import (
    INVALID_FACTOR,
    RELATIVE_ERROR,
    Finding,
    NotChecked,
    held,
    ns,
    percent,
)

START_LAG_NS = NS_PER_MS
"""A start lag below 1 ms is no worse than what a load generator that sleeps on timers has."""
SUSPECT_CPU_SHARE = 0.5
"""Of one core. A server with constant service times that is half busy makes its customers wait
half a service time on average (M/D/1: ρ/(2(1 − ρ))); from there on waiting grows steeply."""
INVALID_CPU_SHARE = 0.9
"""Of one core: waiting is 4.5 service times, and any burst makes the harness the bottleneck."""
DISTURBING_CPU_SHARE = 0.05
"""Of one core. A harness that shares the engine's cores takes at most this much of one from it."""
MERGED_SHARE = 0.01
"""Of token-bearing events. Gaps between events of one read are not seen; up to 1 % they stay
outside the 99th percentile. A kernel-stamped client loses 0 to 0.6 % at 25,000 tokens/s."""
USER_STAMP_SHARE = 0.01
"""Of reads. The first packets after a host's first use of kernel stamps carry none."""
LATENESS_NS = 10 * NS_PER_MS
"""A few time slices of the scheduler: a reader later than that was kept off its core."""
CLOCK_STEP_NS = 100 * NS_PER_US
"""Twice what the kernel's largest slew (500 ppm) changes between two samples of the clocks'
offset; interpolation accounts for a slew, and not for a step."""


def instants(evidence: Evidence) -> Finding:
    """Instants in an order that cannot be: no duration of the run can be believed."""
    if not evidence.measured:
        return NotChecked(rule="instants", why="no request was measured")
    count = evidence.contradictory
    return held(
        "instants",
        count,
        0,
        "calls",
        severity="invalid",
        message=f"{number_of(count, 'call has', 'calls have')} instants in an order that cannot "
        "be.",
        advice="Stop whatever steps the clock and run again; if it stays, report it as a bug.",
    )


def start_lag(evidence: Evidence) -> Finding:
    """The harness's own delay before it sent."""
    lags = [request.start_lag_ns(reply) for reply in evidence.replies]
    known = [lag for lag in lags if lag is not None]
    if not known:
        return NotChecked(rule="start_lag", why="no call was sent")
    p99 = quantile(known, 0.99)
    limit = max(float(START_LAG_NS), RELATIVE_ERROR * (evidence.median_ttft_ns or 0.0))
    return held(
        "start_lag",
        p99 / NS_PER_S,
        limit / NS_PER_S,
        "s",
        invalid_above=INVALID_FACTOR * limit / NS_PER_S,
        message=f"Requests were sent late by the harness itself: the 99th percentile is "
        f"{ns(p99)}, the limit {ns(limit)}.",
        advice="Give the harness a core of its own, or lower the load.",
    )


def own_cpu(evidence: Evidence) -> Finding:
    """Share of one core that the measuring thread used."""
    share = _cpu_share(evidence.facts)
    if share is None:
        return NotChecked(rule="own_cpu", why="the harness's own CPU time was not recorded")
    if not evidence.replies:
        return NotChecked(rule="own_cpu", why="no request was sent")
    return held(
        "own_cpu",
        share,
        SUSPECT_CPU_SHARE,
        "share",
        invalid_above=INVALID_CPU_SHARE,
        message=f"The measuring thread used {percent(share)} of a core: it may have been the "
        "bottleneck.",
        advice="Lower the load or the number of streams, or measure from a faster machine.",
    )


def _cpu_share(facts: RunFacts) -> float | None:
    if facts.own_cpu_ns is None or not facts.wall_ns:
        return None
    return facts.own_cpu_ns / facts.wall_ns


def shared_cores(evidence: Evidence) -> Finding:
    """A harness that takes CPU from the engine that it measures."""
    facts = evidence.facts
    if facts.engine_local is False:
        return NotChecked(rule="shared_cores", why="the engine runs on another machine")
    share = _cpu_share(facts)
    if facts.pinned is None or facts.engine_local is None or share is None:
        return NotChecked(rule="shared_cores", why="who ran on which cores is not known")
    return held(
        "shared_cores",
        0.0 if facts.pinned else share,
        DISTURBING_CPU_SHARE,
        "share",
        message=f"Harness and engine shared their cores, and the harness used {percent(share)} "
        "of one.",
        advice="Pin them apart, or give the engine fewer threads than there are cores.",
    )


def stamp_source(evidence: Evidence) -> Finding:
    """Share of reads without the kernel's stamp."""
    reads = sum(arrival.reads for arrival in evidence.arrivals)
    if not reads:
        return NotChecked(rule="stamp_source", why="no read of an answer was recorded")
    unstamped = reads - sum(arrival.kernel_reads for arrival in evidence.arrivals)
    share = unstamped / reads
    return held(
        "stamp_source",
        share,
        USER_STAMP_SHARE,
        "share",
        message=f"{percent(share)} of the reads carry the program's own stamp instead of the "
        "kernel's, so their lateness is unknown and part of every duration.",
        advice="Measure from Linux; elsewhere allow for about a millisecond, more under load.",
    )


def lateness(evidence: Evidence) -> Finding:
    """How late the harness read what had arrived."""
    late = [a.lateness_max_ns for a in evidence.arrivals if a.lateness_max_ns is not None]
    if not late:
        return NotChecked(rule="lateness", why="only the kernel's stamps can show it")
    p99 = quantile(late, 0.99)
    return held(
        "lateness",
        p99 / NS_PER_S,
        LATENESS_NS / NS_PER_S,
        "s",
        message=f"The harness read answers as late as {ns(p99)} (99th percentile of each "
        "call's worst): it was kept off its core.",
        advice="The stamps are not touched by it, but the machine is overloaded: free a core.",
    )


def clock_step(evidence: Evidence) -> Finding:
    """The largest sudden change between the wall clock and the monotonic one."""
    step = evidence.facts.clock_step_ns
    if step is None:
        return NotChecked(rule="clock_step", why="the clocks' offset was not sampled")
    if not any(arrival.kernel_reads for arrival in evidence.arrivals):
        return NotChecked(rule="clock_step", why="no stamp of the wall clock was used")
    limit = max(float(CLOCK_STEP_NS), RELATIVE_ERROR * (evidence.median_ttft_ns or 0.0))
    return held(
        "clock_step",
        step / NS_PER_S,
        limit / NS_PER_S,
        "s",
        invalid_above=INVALID_FACTOR * limit / NS_PER_S,
        message=f"The wall clock, which the kernel's stamps are on, moved by {ns(step)} between "
        "two samples.",
        advice="Wait until the time service has settled, or stop it while measuring.",
    )


def first_merged(evidence: Evidence) -> Finding:
    """Share of answers whose first token shared its read with the second."""
    observed = [reply for reply in evidence.successes if reply.arrival and reply.event_ns]
    if not observed:
        return NotChecked(rule="first_merged", why="no arrival of a token was recorded")
    share = sum(reply.arrival.first_merged for reply in observed if reply.arrival) / len(observed)
    # Where an answer hides its reasoning the cell has no TTFT, and the first token is visible.
    hidden = any(map(hides_reasoning, observed))
    late = "time to the first visible token (ttfo_s)" if hidden else "TTFT"
    return held(
        "first_merged",
        share,
        MERGED_SHARE,
        "share",
        message=f"In {percent(share)} of the answers the first token shared its read with the "
        f"next: their {late} is an upper bound.",
        advice="Lower the load, or free a core for the harness; some servers send the first "
        "tokens together.",
    )


def merged_reads(evidence: Evidence) -> Finding:
    """Share of token-bearing events whose own arrival was not seen."""
    observed = [reply for reply in evidence.replies if reply.arrival and reply.event_ns]
    events = sum(len(reply.event_ns) for reply in observed)
    if not events:
        return NotChecked(rule="merged_reads", why="no arrival of a token was recorded")
    merged = sum(reply.arrival.merged_events for reply in observed if reply.arrival)
    share = merged / events
    return held(
        "merged_reads",
        share,
        MERGED_SHARE,
        "share",
        message=f"{percent(share)} of the events shared a read with a later one, so that gaps "
        "between them were not seen.",
        advice="Gaps next to these events are not exact; total latency is not touched. Lower the "
        "load, or free a core for the harness.",
    )
