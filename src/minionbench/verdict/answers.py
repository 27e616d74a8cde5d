"""Rules about the answers: whether they came, and are what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from minionbench.exchange import Outcome
from minionbench.metrics import record as whole
from minionbench.metrics import request
from minionbench.metrics.cell import most_frequent_failure
from minionbench.records import RequestRecord
from minionbench.stats import median
from minionbench.units import number_of, significant
from minionbench.verdict.evidence import Evidence
from minionbench.verdict.finding import (
    INVALID_SHARE,
    SUSPECT_SHARE,
    Finding,
    NotChecked,
    held,
    percent,
)

TOKEN_SLACK = 1
"""The token that ends an answer is counted by some and not by others."""
LUMPED_SHARE = 0.05
"""Differences of speed below 5 % are no more than a shared machine makes by itself."""


def failures(evidence: Evidence) -> Finding:
    """Share of requests that failed; those that the end of the run cut off do not count."""
    ended = [r for r in evidence.measured if r.outcome not in (Outcome.CUT, Outcome.NOT_SENT)]
    if not ended:
        return NotChecked(rule="failures", why="no request came to its end")
    failed = [r for r in ended if r.outcome is not Outcome.OK]
    share = len(failed) / len(ended)
    words = most_frequent_failure(failed)[0] if failed else ""
    return held(
        "failures",
        share,
        SUSPECT_SHARE,
        "share",
        invalid_above=INVALID_SHARE,
        message=f"{len(failed):,} of {number_of(len(ended), 'request')} failed, most often with "
        f"{words.rstrip('.')}.",
        advice=f"Failures rank as infinitely slow; {_remedy(failed)}.",
    )


def _remedy(failed: Sequence[RequestRecord]) -> str:
    """What to do about the commonest way in which requests failed."""
    ways = Counter(
        (r.outcome, r.failure.http_status, r.failure.code) if r.failure else (r.outcome, None, None)
        for r in failed
    )
    if not ways:
        return "remove their cause"
    (outcome, status, code), _ = ways.most_common(1)[0]
    if status in (401, 403):
        return "the server wants a key, or another: name its place with --api-key-env or --key-from"
    if status == 402:
        return "the account at the provider has no credit left: add some, or take another key"
    if code == "insufficient_quota":
        return "the account's quota at the provider is used up: raise it, or take another key"
    if status == 429:
        return "the server limits its rate: lower the load (-c), or ask more slowly"
    if outcome is Outcome.CONNECT_FAILED:
        return "the server does not take connections: see whether it still runs"
    if outcome.value.endswith("_timeout"):
        return "lower the load, or allow longer with the --timeout flags"
    if status in (503, 529):
        return "the server has too much to do: lower the load (-c), or ask at another time"
    if outcome is Outcome.HTTP_ERROR and status is not None and 400 <= status < 500:
        return "the server does not take the requests as they are, and says above why"
    if outcome is Outcome.FILTERED:
        return "the provider's filter refuses what is asked: take other items"
    if outcome is Outcome.HTTP_ERROR:
        return "the server's own log may say why; lower the load if it was too much"
    return "remove their cause, or lower the load"


def empty_answers(evidence: Evidence) -> Finding:
    """Successful calls whose answer holds no token."""
    if not evidence.successes:
        return NotChecked(rule="empty_answers", why="no call succeeded")
    empty = sum(not reply.event_ns for reply in evidence.successes)
    share = empty / len(evidence.successes)
    return held(
        "empty_answers",
        share,
        SUSPECT_SHARE,
        "share",
        invalid_above=INVALID_SHARE,
        message=f"{empty:,} of {number_of(len(evidence.successes), 'answer')} without any token.",
        advice="Check the chat template and the limit of output tokens.",
    )


def buffered(evidence: Evidence) -> Finding:
    """Answers of several tokens that arrived all at once."""
    longer = [r for r in evidence.successes if r.event_ns and (request.output_tokens(r) or 0) >= 2]
    if not longer:
        return NotChecked(rule="buffered", why="no answer was known to hold several tokens")
    share = sum(r.event_ns[0] == r.event_ns[-1] for r in longer) / len(longer)
    return held(
        "buffered",
        share,
        SUSPECT_SHARE,
        "share",
        message=f"{percent(share)} of the answers arrived all at once although they hold several "
        "tokens: their TTFT is their total latency.",
        advice="Something on the way buffers the stream: turn that off in the server or proxy.",
    )


def token_count(evidence: Evidence) -> Finding:
    """Answers whose token count is contradicted by what else is known of them."""
    comparable = odd = 0
    for reply in evidence.successes:
        tokens = request.told_tokens(reply)
        if tokens is None:
            continue
        comparable += 1
        own = reply.engine.predicted_tokens if reply.engine else None
        differs = own is not None and abs(own - tokens) > TOKEN_SLACK
        odd += differs or len(reply.event_ns) > tokens
    if not comparable:
        return NotChecked(rule="token_count", why="the server did not count the tokens")
    share = odd / comparable
    return held(
        "token_count",
        share,
        SUSPECT_SHARE,
        "share",
        message=f"In {percent(share)} of the answers the server's token count differs from the "
        "engine's own, or is smaller than the number of events.",
        advice="Rates and TPOT rest on that count: compare it with the model's tokenizer.",
    )


def reasoning_count(evidence: Evidence) -> Finding:
    """Answers whose count of reasoning tokens is contradicted by the other count or the text."""
    told = [
        (reply, reply.usage.reasoning_tokens)
        for reply in evidence.successes
        if reply.usage is not None and reply.usage.reasoning_tokens is not None
    ]
    if not told:
        return NotChecked(
            rule="reasoning_count", why="the server did not count tokens of reasoning"
        )
    odd = sum(
        tokens > (request.output_tokens(reply) or tokens)
        or (tokens == 0 and reply.first_reasoning_ns is not None)
        for reply, tokens in told
    )
    share = odd / len(told)
    return held(
        "reasoning_count",
        share,
        SUSPECT_SHARE,
        "share",
        message=f"In {percent(share)} of the answers the server counts more reasoning than tokens "
        "in all, or none although it streamed some.",
        advice="Do not rest on its count of reasoning tokens; the count of all tokens is checked "
        "apart.",
    )


def lumped_events(evidence: Evidence) -> Finding:
    """How much too fast the decode rate looks because events hold several tokens.

    Formula: of n tokens in e events the first event holds about n/e, whose decoding came before
    it was seen; so (n − 1)/(n − n/e) − 1 is what the n − 1 of the rate's formula adds. Median over
    the answers.
    """
    counted = [
        (tokens, len(reply.event_ns))
        for reply in evidence.successes
        if (tokens := request.output_tokens(reply)) is not None and len(reply.event_ns) >= 2
    ]
    excess = [(n - 1) / (n - n / e) - 1 for n, e in counted if n >= e]
    if not excess:
        return NotChecked(
            rule="lumped_events", why="no answer of several events had its tokens counted"
        )
    share = median(excess)
    each = median(n / e for n, e in counted)
    return held(
        "lumped_events",
        share,
        LUMPED_SHARE,
        "share",
        message=f"The events hold {significant(each)} tokens each, and those of the first are "
        f"not timed: the decode rate looks about {percent(share)} too fast, TPOT too short.",
        advice="Have the server stream token by token, or compare total latencies instead.",
    )


def forced_length(evidence: Evidence) -> Finding:
    """Answers that do not have the length that was asked for."""
    asked = [
        (record.forced_output_tokens, whole.told_tokens(record))
        for record in evidence.measured
        if record.ok and record.forced_output_tokens is not None
    ]
    known = [(forced, tokens) for forced, tokens in asked if tokens is not None]
    if not known:
        return NotChecked(rule="forced_length", why="no length was forced, or none was counted")
    share = sum(abs(forced - tokens) > TOKEN_SLACK for forced, tokens in known) / len(known)
    return held(
        "forced_length",
        share,
        SUSPECT_SHARE,
        "share",
        message=f"{percent(share)} of the answers do not have the length that was asked for.",
        advice="The server ignores the request to go on after the end of the text: compare with "
        "natural ends instead.",
    )
