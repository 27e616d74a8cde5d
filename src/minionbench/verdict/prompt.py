"""Rules about the prompts: whether they were read whole, and processed anew."""

from __future__ import annotations

from minionbench.exchange import Outcome, Reply
from minionbench.verdict.evidence import Evidence
from minionbench.verdict.finding import (
    INVALID_SHARE,
    SUSPECT_SHARE,
    Finding,
    NotChecked,
    held,
    percent,
)

WARM_TOKENS = 16
"""Tokens with which a chat template is taken to open every prompt (begin of text, role header)
where its length is not known: they may be served from a cache however different the requests are.
"""
OPENING_TOKENS = 2
"""Tokens that unique beginnings have in common, after the template's own."""
FEWEST_SHARE = 1 / 3
"""Least tokens of a prompt as a share of the reference tokenizer's count. Its 512 words hold 2.5 to
3.7 bytes each, those of large vocabularies 4.5 on average; 7.5 would be none of a text's."""


def warm_prefix(evidence: Evidence) -> Finding:
    """Prompts of which a cache served more than the chat template, though they were to be cold."""
    facts = evidence.facts
    if not facts.cold_expected:
        return NotChecked(rule="warm_prefix", why="no cold prefix was asked for")
    cached = [_cached_tokens(reply) for reply in evidence.successes]
    known = [tokens for tokens in cached if tokens is not None]
    if not known:
        return NotChecked(rule="warm_prefix", why="the server does not say what its cache served")
    allowed = WARM_TOKENS
    if facts.template_tokens is not None:
        allowed = facts.template_tokens + OPENING_TOKENS
    share = sum(tokens > allowed for tokens in known) / len(known)
    return held(
        "warm_prefix",
        share,
        SUSPECT_SHARE,
        "share",
        invalid_above=INVALID_SHARE,
        message=f"{percent(share)} of the prompts came in part from a cache (up to {max(known)} "
        f"tokens, of which the chat template explains {allowed} at most), although a cold prefix "
        "was asked for.",
        advice="Turn prompt caching off in the server, or restart it before each run.",
    )


def truncated_prompt(evidence: Evidence) -> Finding:
    """Prompts that the server counts as filling its context, or as far shorter than they are.

    A prompt that fills the context leaves no room for an answer: it was cut to fit. One of fewer
    tokens than a third of what the reference tokenizer counts was cut, whatever the vocabulary.
    """
    context = evidence.facts.context_tokens
    counted = cut = 0
    for record in evidence.sound:
        for call in record.calls:
            usage = call.reply.usage
            tokens = usage.prompt_tokens if usage is not None else None
            if tokens is None or call.reply.outcome is not Outcome.OK:
                continue
            counted += 1
            alone = evidence.facts.asked_as_it_stands and len(record.calls) == 1
            cut += (context is not None and tokens >= context) or (
                alone and tokens < FEWEST_SHARE * record.input_tokens
            )
    if not counted:
        return NotChecked(
            rule="truncated_prompt", why="the server did not count the tokens of the prompts"
        )
    share = cut / counted
    room = "" if context is None else f" of {context:,} tokens"
    return held(
        "truncated_prompt",
        share,
        SUSPECT_SHARE,
        "share",
        invalid_above=INVALID_SHARE,
        message=f"The server read {percent(share)} of the prompts only in part: they fill its "
        f"context{room}, or have far fewer tokens than their text.",
        advice="Give the server a longer context, or take shorter prompts (--input-tokens).",
    )


def _cached_tokens(reply: Reply) -> int | None:
    told = [
        source.cached_tokens
        for source in (reply.engine, reply.usage)
        if source is not None and source.cached_tokens is not None
    ]
    return max(told, default=None)
