"""What a simulator is told: its models, answers, timing, limits and faults."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from minionbench.errors import SetupError, UsageError
from minionbench.exchange import Secret
from minionbench.simulator.faults import read_fault
from minionbench.simulator.server_kind import SERVER_KINDS, ServerKind
from minionbench.simulator.timing import Fixed, Timing

ReasoningMode: TypeAlias = Literal["switch", "always", "never", "none"]
"""`switch` does as it is asked; `always` and `never` take the wish and ignore it; `none` cannot
reason, and says so where its protocol has a word for it."""

ThinkingKind: TypeAlias = Literal["both", "budget", "adaptive"]
"""Which form of Anthropic's `thinking` a model takes: `enabled` with a budget, or `adaptive`."""

ReasoningShown: TypeAlias = Literal["apart", "inline", "hidden"]
"""`apart` from the answer, as the protocol has it; `inline` in the answer between `<think>` tags;
`hidden`: counted, not streamed."""

LOOPBACK = ("127.0.0.1", "::1")
"""The only addresses that a simulator listens on."""


class SimulatedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model that the simulator serves."""

    name: str = "simulated"
    reasoning: ReasoningMode = "switch"
    reasons_by_default: bool = False
    """Whether it reasons when the request does not say."""
    shown: ReasoningShown = "apart"
    thinking: ThinkingKind = "both"
    context_tokens: int = 32_768
    """Prompt and answer together."""
    max_output_tokens: int = 8_192
    installed: bool = True
    """False: known to Ollama's library, but to be pulled before it answers."""
    pace: float = 1.0
    """How many times the stated delays this model takes: 2 is half as fast."""

    def __post_init__(self) -> None:
        """Raises UsageError for a model that cannot be."""
        if not self.name or not self.name.isprintable() or " " in self.name:
            raise UsageError(f"{self.name!r} is no name of a model")
        if self.context_tokens < 2 or self.max_output_tokens < 1:
            raise UsageError(f"The model {self.name} needs a context and an output of some tokens")
        if not 0 < self.pace < float("inf"):
            raise UsageError(f"The pace of the model {self.name} is a number above 0")


ScriptedText: TypeAlias = str | tuple[str, ...] | Callable[[re.Match[str]], str]
"""One answer; several, the first time the first and in the end always the last; or what a function
makes of the match."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is known beforehand: given when `match` is found in the last message."""

    match: str
    """Regular expression, searched for in the last message."""
    answer: ScriptedText
    reasoning: str | None = None
    """What is reasoned before it where reasoning is on; None for made-up text."""
    system: str | None = None
    """Regular expression that has to be found in the system messages as well."""
    model: str | None = None
    """Regular expression that has to be found in the model's name as well."""
    expand: bool = False
    """Whether `\\1` and `\\g<name>` in the answer stand for the groups of the match."""

    def __post_init__(self) -> None:
        """Raises UsageError for an expression that is none, or for no answer at all."""
        for expression in (self.match, self.system or "", self.model or ""):
            try:
                re.compile(expression)
            except re.error as error:
                raise UsageError(f"{expression!r} is no regular expression: {error}") from error
        if self.answer == ():
            raise UsageError(f"The rule for {self.match!r} has no answer")


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one minute allows, and how much there is in all; None for no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    quota_tokens: int | None = None
    """Tokens after which every request is refused for want of quota."""

    def __post_init__(self) -> None:
        """Raises UsageError for limits below one."""
        for value in (self.requests_per_minute, self.tokens_per_minute, self.quota_tokens):
            if value is not None and value < 1:
                raise UsageError("A limit of the simulator is at least 1; leave it out for none")


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what a simulator answers and when."""

    server: ServerKind = "any"
    models: tuple[SimulatedModel, ...] = (SimulatedModel(),)
    any_model: bool = False
    """Whether a model of another name is answered as the first one would be."""
    port: int = 0
    """0 for any free one."""
    hosts: tuple[str, ...] = ("127.0.0.1",)
    """Addresses to listen on, all of them loopback."""
    api_key: Secret | None = None
    """The key that every request has to carry; None for no check."""
    answer: Literal["markov", "echo"] | str = "markov"
    """What is answered where no rule applies: made-up text, the last message, or this text."""
    answer_tokens: int = 64
    """Natural length of made-up text."""
    reasoning_tokens: int = 24
    """Natural length of made-up reasoning at medium effort."""
    rules: tuple[Rule, ...] = ()
    """The first that matches gives the answer."""
    timing: Timing = Fixed()
    slots: int | None = None
    """Answers under way at once; further requests wait in order of arrival. None for no limit."""
    load_ms: float = 0.0
    """Loading a model that is not in memory (Ollama's routes)."""
    tokens_per_write: int = 1
    """Events that leave in one write; it leaves when its last token is ready."""
    tokens_per_event: int = 1
    """Tokens in one event."""
    early_head: bool = True
    """Whether the response's head and opening event leave on admission, or with the first
    token."""
    cache: bool = True
    """Whether the beginning of a prompt seen before counts as cached and costs no prefill."""
    cache_block_tokens: int = 16
    """Whole blocks of this size are cached."""
    usage: bool = True
    """Whether tokens are reported at all."""
    limits: RateLimits = RateLimits()
    faults: tuple[tuple[str, float], ...] = ()
    """Faults of any request with their probability, as `("reset=3", 0.1)`."""
    seed: int = 0
    """Decides every made-up text, noise and fault."""
    spin_us: float = 150.0
    """The last part of the wait for a write is spent looking at the clock, for precision."""
    keep_log: bool = True
    """Whether the log is kept in memory for `Simulator.log`."""
    keep_requests: bool = False
    """Whether the log in memory keeps each request's JSON; a log file never has it."""
    log_file: str | None = None
    """Where the true times go, a JSON object per line; None for nowhere."""
    embedding_dimensions: int = 64
    max_body_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        """Raises UsageError for what cannot be carried out."""
        if self.server not in SERVER_KINDS:
            raise UsageError(f"A simulator poses as one of {', '.join(SERVER_KINDS)}")
        if not self.models:
            raise UsageError("A simulator needs at least one model")
        if not self.hosts or set(self.hosts) - set(LOOPBACK):
            raise UsageError(f"A simulator listens on {' and '.join(LOOPBACK)} only")
        if not 0 <= self.port <= 65_535:
            raise UsageError(f"{self.port} is no port")
        atleast_one = {
            "answer_tokens": self.answer_tokens,
            "tokens_per_write": self.tokens_per_write,
            "tokens_per_event": self.tokens_per_event,
            "cache_block_tokens": self.cache_block_tokens,
            "embedding_dimensions": self.embedding_dimensions,
            "slots": 1 if self.slots is None else self.slots,
        }
        for name, value in atleast_one.items():
            if value < 1:
                raise UsageError(f"{name} of a simulator is at least 1, not {value}")
        if min(self.reasoning_tokens, self.load_ms, self.spin_us) < 0:
            raise UsageError(
                "reasoning_tokens, load_ms and spin_us of a simulator are not negative"
            )
        for fault, probability in self.faults:
            read_fault(fault)
            if not 0 <= probability <= 1:
                raise UsageError(f"{probability} is no probability of the fault {fault}")


def key_of_variable(name: str) -> Secret:
    """The key that an environment variable holds.

    Raises SetupError when there is none.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise SetupError(
            f"The environment variable {name}, which should hold the key that the simulator asks "
            f"for, is {'empty' if name in os.environ else 'not set'}"
        )
    return Secret(value)
