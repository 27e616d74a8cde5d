"""What goes out to a model and what comes back: the types that every floor above speaks in.

A `Request` is one item of a workload. A deployment turns it into one or more `Call`s; each call
goes to an `Endpoint` and comes back as a `Reply`; the deployment ends with an `Answer`. Between
endpoint and reply stands the `Exchange`: the bytes that were received and when.

All instants are integer nanoseconds of one monotonic clock. `None` means "not observed", never 0.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import msgspec

Side: TypeAlias = Literal["local", "remote"]
"""Where a call runs: on the user's machine, or at somebody else's."""


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How the model is to generate."""

    max_output_tokens: int | None = None
    """Upper limit of the answer; None leaves it to the server."""
    forced_output_tokens: int | None = None
    """Exact length that the answer is forced to, end of text ignored; None for a natural end."""
    temperature: float = 0.0
    seed: int | None = None
    likeliest: int | None = None
    """How many of the tokens that were likeliest to begin the answer are to be told, with their
    log-probabilities, where the server tells any; None for none."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The right answer to a request, as far as it is known."""

    kind: Literal["number", "text", "choice"]
    value: str
    """The answer as text; for a number its decimal form without separators."""
    unit: str | None = None
    """Unit or scale of a number ("USD million", "%"); None where it has none."""
    aliases: tuple[str, ...] = ()
    """Other texts that are just as right."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a workload: what to ask, and what is known of the right answer."""

    item_id: str
    """Names the item for ever: the same id is the same text."""
    messages: tuple[Message, ...]
    limits: Limits
    source: str
    """Where the item is from: `builtin:prefill@1`, or a data set's name."""
    input_tokens: int
    """Length of the messages by the reference tokenizer, not by the model under test."""
    reference: Reference | None = None
    document: str | None = None
    """The long text that a hybrid protocol keeps on the local side; None where there is none."""
    question: str | None = None
    """What is asked about the document; None where the messages cannot be split so."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One model call inside a request. It knows no URL and no time."""

    side: Side
    messages: tuple[Message, ...]
    limits: Limits
    role: Literal["assistant", "supervisor", "worker"] = "assistant"
    round: int = 0
    job: int | None = None
    attempt: int = 0
    """Which asking of the same thing, from 0: a later one follows an answer of the wrong form."""
    schema: dict[str, Any] | None = None
    """JSON Schema that the answer has to follow; None for free text."""


class Outcome(StrEnum):
    """How a call ended. Only `OK` is a success."""

    OK = "ok"
    HTTP_ERROR = "http_error"
    """The server answered with a status other than 2xx."""
    STREAM_ERROR = "stream_error"
    """An error event inside a stream that had begun with status 200."""
    MALFORMED = "malformed"
    """Bytes that are not what the protocol says: broken HTTP, SSE, UTF-8 or JSON."""
    MISSING_END = "missing_end"
    """The body ended properly, but without the protocol's closing event."""
    TRUNCATED = "truncated"
    """The connection ended before the body did."""
    FILTERED = "filtered"
    """The provider's own filter stopped the answer, or the model refused by its protocol's word."""
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    """Connected, but encryption did not come about: a certificate that does not verify, say."""
    RESET = "reset"
    """The connection was reset or closed before any byte of an answer."""
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    TOO_LARGE = "too_large"
    """The body passed the limit that bounds it."""
    CUT = "cut"
    """Ended by us while it was under way: deadline, budget or Ctrl-C."""
    NOT_SENT = "not_sent"
    """Planned, but the run ended before it was sent."""


COUNTED_WHOLE = (Outcome.OK, Outcome.FILTERED)
"""Outcomes whose counts are of the whole answer; those of one that broke off are of its beginning,
as Anthropic's one token of `message_start`."""
COST_NOTHING = (
    Outcome.NOT_SENT,
    Outcome.CONNECT_FAILED,
    Outcome.CONNECT_TIMEOUT,
    Outcome.TLS_FAILED,
    Outcome.HTTP_ERROR,
)
"""Outcomes of calls that reached no model, so that no provider charges for them."""
CUT_OFF = (Outcome.CUT, Outcome.NOT_SENT)
"""Outcomes of what the end of the run broke off or left unsent; they are no failures."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call did not succeed."""

    message: str
    http_status: int | None = None
    code: str | None = None
    """The provider's own code or type, such as `insufficient_quota`."""
    retry_after_s: float | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the server counted them; None where it did not say."""

    prompt_tokens: int | None = None
    """All tokens of the prompt, those served from a cache included."""
    completion_tokens: int | None = None
    """All generated tokens, reasoning included."""
    cached_tokens: int | None = None
    """Of the prompt, those read from a cache."""
    cache_write_tokens: int | None = None
    """Of the prompt, those written to a cache, which some providers charge for."""
    cache_write_1h_tokens: int | None = None
    """Of those written, the ones that are kept for an hour."""
    reasoning_tokens: int | None = None
    service_tier: str | None = None
    """In which tier the provider says that it has served the call, by its own word."""
    speed: str | None = None
    """How fast a mode the provider says that it has served the call in, by its own word."""


class EngineTimings(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's own view of a call, where it gives one."""

    cached_tokens: int | None = None
    prompt_tokens: int | None = None
    """Prompt tokens that were really processed, those served from a cache not included."""
    prompt_ms: float | None = None
    predicted_tokens: int | None = None
    predicted_ms: float | None = None
    load_ms: float | None = None
    """Loading the model for this call, where the engine did so."""
    total_ms: float | None = None


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """How well the arrival of a call's answer was observed."""

    reads: int
    """Reads from the socket that brought bytes of the answer."""
    kernel_reads: int
    """Reads whose stamp is the kernel's; the rest carry the user-space stamp taken after them."""
    merged_events: int
    """Token-bearing events that shared a read with a later one, so that their own arrival is only
    bounded: after the read before, not later than the stamp."""
    first_merged: bool
    """Whether the first token-bearing event is one of them, so that TTFT is an upper bound."""
    lateness_max_ns: int | None
    """Largest user stamp − kernel stamp: our own delay in reading. None without kernel stamps."""


_LIMIT_REASONS = ("length", "max_tokens", "max_output_tokens", "model_context_window_exceeded")
"""Words of the protocols for an answer that ended at a limit."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back from one call, and when.

    `planned` ≤ `admitted` ≤ `sent` ≤ `sent_end`; an instant that was never reached is None.
    """

    outcome: Outcome
    failure: Failure | None = None
    """Present exactly when the outcome is not `OK`."""
    text: str | None = None
    """Visible text; None when nothing was received, or when texts are not kept."""
    reasoning: str | None = None
    summarised: bool = False
    """Whether that is a summary: then the reasoning's own tokens came unseen."""
    finish_reason: str | None = None
    """Why the answer ended, in the protocol's own word."""
    model: str | None = None
    """The model's name as the server reported it."""
    request_id: str | None = None
    """The provider's own name of the call, for its support."""
    usage: Usage | None = None
    engine: EngineTimings | None = None
    tokenizer_tokens: int | None = None
    """Tokens of the text that came, reasoning included, as the server's tokenizer counts them when
    it is asked after the run; None where nobody had to ask it, or could."""
    likeliest: tuple[tuple[str, float], ...] | None = None
    """The tokens that were likeliest in the place of the first visible one that is no white space,
    with their log-probabilities; None where they were not asked for or not told."""
    planned_ns: int
    admitted_ns: int | None = None
    connect_start_ns: int | None = None
    """None when a connection that was already open was used."""
    connect_end_ns: int | None = None
    sent_ns: int | None = None
    sent_end_ns: int | None = None
    first_byte_ns: int | None = None
    first_event_ns: int | None = None
    first_reasoning_ns: int | None = None
    first_visible_ns: int | None = None
    event_ns: tuple[int, ...] = ()
    """Arrival of each token-bearing event, reasoning and visible, in order."""
    visible_ends: tuple[int, ...] = ()
    """Characters of the visible text up to the end of each token-bearing event; empty where the
    endpoint does not keep them."""
    end_ns: int | None = None
    """Everything received, or the failure noticed."""
    replaced_connections: int = 0
    """Kept-alive connections found closed by the server when the request was to be sent."""
    arrival: Arrival | None = None

    @property
    def cut_at_limit(self) -> bool:
        """Whether the answer ended at a limit on its length, not by itself."""
        return self.finish_reason in _LIMIT_REASONS

    @property
    def first_token_ns(self) -> int | None:
        """Arrival of the first token-bearing event of any kind."""
        return self.event_ns[0] if self.event_ns else None

    @property
    def last_token_ns(self) -> int | None:
        """Arrival of the last token-bearing event of any kind."""
        return self.event_ns[-1] if self.event_ns else None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment answered to a request."""

    text: str | None
    call: int | None
    """Index of the call that produced the answer; None when none did."""
    abstained: str | None = None
    """Why there is no answer; None when there is one."""
    is_part: bool = False
    """Whether the answer is a part of that call's text, as a field of JSON is, not the whole."""
    at_character: int | None = None
    """Where in that call's text a part begins; None where it does not stand there word by word, or
    could not be known for the answer when it came."""
    tally: dict[str, int] | None = None
    """What a protocol counted on its way, such as jobs and abstentions; None where it counts
    nothing."""
    likeliest: tuple[tuple[str, float], ...] | None = None
    """The likeliest first tokens of that call, as in its reply, where the answer is its text."""


Plan: TypeAlias = Generator[tuple[Call, ...], tuple[Reply, ...], Answer]
"""A deployment at work on one request: yields tuples of calls, is sent as many replies."""


class Secret:
    """A key that no message, log or file can show."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the one line of the request that carries it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never pickled")


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part of a call may take, in seconds."""

    connect_s: float = 10.0
    """For the connection, a proxy's tunnel and the TLS handshake together."""
    first_byte_s: float = 300.0
    """From the last byte sent to the first of the answer's body: queueing, loading and prefill of
    a long prompt. A head alone is no answer yet, since servers send it before they begin."""
    idle_s: float = 60.0
    """Between two reads of an answer whose body has begun; comments that keep it alive count. A
    model that reasons unseen in the middle of an answer needs as much as that takes."""
    total_s: float = 900.0
    """From the first byte sent to the end."""


ReasoningSwitch: TypeAlias = Literal[
    "none",
    "reasoning_effort",
    "thinking_type",
    "thinking_budget",
    "thinking_adaptive",
    "think",
    "enable_thinking",
    "template_thinking",
]
"""The wire form in which a server takes the wish to reason: `reasoning_effort` (OpenAI),
`thinking_type` (DeepSeek), `thinking_budget` and `thinking_adaptive` (Anthropic), `think` (Ollama),
`chat_template_kwargs.enable_thinking` (llama.cpp, vLLM), `chat_template_kwargs.thinking`; `none`
where there is no switch."""


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the model is to reason, and how much."""

    on: bool
    effort: str | None = None
    """The server's own word for how hard, such as `low`; None for its default."""
    budget_tokens: int | None = None
    """Most tokens of reasoning, apart from those of the answer; None for the server's default."""


class Manners(msgspec.Struct, frozen=True, kw_only=True):
    """What servers and models of one dialect take differently."""

    max_tokens_field: str = "max_tokens"
    """Name of the limit on generated tokens."""
    temperature: bool = True
    """Whether a temperature may be sent."""
    seed: bool = True
    """Whether a seed may be sent."""
    ignores_end: bool = True
    """Whether `ignore_eos` makes the model go on past its own end, so that a length can be
    forced."""
    min_tokens_field: str | None = None
    """Name of a lower limit on generated tokens, sent along where a length is forced."""
    schema: bool = True
    """Whether an answer can be bound to a JSON Schema."""
    logprobs: bool = False
    """Whether it tells the log-probabilities of the likeliest tokens."""
    switch: ReasoningSwitch = "none"
    summarised: bool = False
    """Whether what is streamed as reasoning is a summary of it, and not its own tokens."""
    raw: bool = False
    """Whether prompts go to the completions route as plain text, without a chat template."""
    closing_mark: bool = True
    """Whether the dialect's own mark closes a stream; without it the finish reason does."""


class Endpoint:
    """Where calls of one side go: a server, how to speak to it, and how many calls it takes.

    `slots` is how many calls it may have under way at once; None for no limit. `extra_body` is
    merged into every request's JSON, `headers` are sent with it. `reasoning` None leaves reasoning
    to the model's default. `insecure` takes a certificate that cannot be verified. With
    `unique_prefix` each call's prompt begins with words of its own, so that no cache has it. With
    `visible_ends` replies tell how far the visible text had come with each event.
    """

    __slots__ = (
        "base_url",
        "dialect",
        "extra_body",
        "headers",
        "insecure",
        "key",
        "manners",
        "model",
        "reasoning",
        "slots",
        "timeouts",
        "unique_prefix",
        "visible_ends",
    )

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        dialect: str = "openai",
        key: Secret | None = None,
        slots: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        extra_body: dict[str, Any] | None = None,
        timeouts: Timeouts | None = None,
        manners: Manners | None = None,
        reasoning: Reasoning | None = None,
        insecure: bool = False,
        unique_prefix: bool = False,
        visible_ends: bool = False,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.dialect = dialect
        self.key = key
        self.slots = slots
        self.headers = headers
        self.extra_body = extra_body or {}
        self.timeouts = timeouts or Timeouts()
        self.manners = manners or Manners()
        self.reasoning = reasoning
        self.insecure = insecure
        self.unique_prefix = unique_prefix
        self.visible_ends = visible_ends

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url!r}, {self.model!r}, dialect={self.dialect!r})"


class Exchange:
    """The bytes of one call's answer as they arrived, before any meaning is given to them.

    `body` is the entity body with the transfer coding removed. Read i brought it up to byte
    `read_ends[i]` (cumulative) and arrived at `read_ns[i]`; `kernel_reads` of the stamps are the
    kernel's, the others were taken in user space after the read.
    """

    __slots__ = (
        "admitted_ns",
        "body",
        "connect_end_ns",
        "connect_start_ns",
        "end_ns",
        "failure",
        "first_byte_ns",
        "headers",
        "kernel_reads",
        "lateness_max_ns",
        "outcome",
        "planned_ns",
        "read_ends",
        "read_ns",
        "reads",
        "replaced_connections",
        "sent_end_ns",
        "sent_ns",
        "status",
    )

    def __init__(self, planned_ns: int) -> None:
        self.planned_ns = planned_ns
        self.admitted_ns: int | None = None
        self.connect_start_ns: int | None = None
        self.connect_end_ns: int | None = None
        self.sent_ns: int | None = None
        self.sent_end_ns: int | None = None
        self.first_byte_ns: int | None = None
        self.end_ns: int | None = None
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.read_ends: list[int] = []
        self.read_ns: list[int] = []
        self.reads = 0
        self.kernel_reads = 0
        self.lateness_max_ns: int | None = None
        self.replaced_connections = 0
        self.outcome: Outcome | None = None
        """What went wrong on the way; None when an HTTP answer arrived whole, of any status."""
        self.failure: Failure | None = None
