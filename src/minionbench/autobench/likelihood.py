"""How likely a model finds fixed texts: perplexity, and how far it is from its base model.

Each token of a passage is asked for by itself: the engine is given the tokens before it, forced to
the next one by a bias that its reported log-probabilities do not contain, and returns that one's
log-probability and those of the likeliest others. This needs no more of the engine than
`/completion` of llama.cpp's server. It is no part of what is timed.
"""

from __future__ import annotations

import hashlib
import math
import random
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter, mul, sub
from pathlib import Path
from typing import Any

import msgspec

from minionbench.clock import monotonic_ns
from minionbench.engines.engine import Engine
from minionbench.engines.probe import ask
from minionbench.errors import SetupError
from minionbench.metrics.value import MetricValue, ok, skipped
from minionbench.schema.atomic import write_atomically
from minionbench.stats import LEVEL
from minionbench.transport.http import Url
from minionbench.units import seconds

METRICS = ("perplexity", "kl_to_base")
SOURCE = "builtin:likelihood@1"
TOKENS_EACH = 24
"""Tokens of each passage that are scored."""
LIKELIEST = 4_096
"""Tokens whose log-probabilities are asked for: all that a small vocabulary has."""
FORCED = 10_000.0
"""Bias that makes a token the next one whatever the model thinks."""
ANSWER_S = 60.0
RESAMPLES = 2_000
LEAST = -103.0
"""Log-probability of what a 32-bit float has no room for; the engine writes its lowest number."""
NOTHING = 1e-9
"""Probability that is left to the tokens not listed, below which it is rounding."""
ENOUGH = 0.9999
"""Probability that the listed tokens must have together for the list to count as whole."""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """One scored token."""

    token: int
    logprob: float
    ids: bytes
    """The likeliest tokens in ascending order, as 32-bit integers."""
    logprobs: bytes
    """Their log-probabilities, as 32-bit floats."""

    def likeliest(self) -> dict[int, float]:
        """The likeliest tokens with their log-probabilities."""
        return dict(zip(array("I", self.ids), self.values(), strict=True))

    def values(self) -> Sequence[float]:
        """Their log-probabilities."""
        values = array("f", self.logprobs)
        if min(values, default=0.0) < LEAST:
            return [max(value, LEAST) for value in values]
        return values


class Passage(msgspec.Struct, frozen=True, array_like=True):
    """One text and what a model makes of it."""

    bytes: int
    """Of the part of the text that was scored."""
    positions: tuple[Position, ...]


class Likelihoods(msgspec.Struct, frozen=True, array_like=True):
    """What one model makes of all texts."""

    source: str
    seed: int
    passages: tuple[Passage, ...]
    engine_s: float = 0.0
    """How long the engine was asked."""

    def save(self, path: Path) -> None:
        """Writes the file in one go."""
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as refused:
            raise SetupError(f"{path.parent} cannot be made: {refused.strerror}") from refused
        write_atomically(path, zlib.compress(msgspec.msgpack.encode(self), 1))


def load(path: Path) -> Likelihoods | None:
    """What `save` wrote; None when it is not there or not whole."""
    try:
        return msgspec.msgpack.decode(zlib.decompress(path.read_bytes()), type=Likelihoods)
    except (OSError, zlib.error, msgspec.MsgspecError):
        return None


class NoLikelihood(Exception):
    """The engine gives no log-probabilities; the message says why."""


class NotANumber(Exception):
    """The model computes no numbers; the message says so."""


class CutShort(Exception):
    """The model's time was up before all texts were scored; the message says why."""


def texts(seed: int, number: int) -> list[str]:
    """The passages of a seed: so many of each workload, and as many of the corpus for retrieval."""
    from minionbench.quality.corpus_drawn import built_in_corpus
    from minionbench.workloads.catalog import workload

    found = list(built_in_corpus(seed).documents.values())[: 3 * number]
    for name in ("prefill", "balanced", "decode"):
        drawn = workload(name).requests(number, seed)
        found += [request.messages[-1].content for request in drawn]
    return found


def score(
    engine: Engine, given: Sequence[str], seed: int, why_end: Callable[[], str | None]
) -> Likelihoods:
    """Scores passages, which are those of a seed.

    Raises NoLikelihood where the engine cannot, NotANumber where the model cannot, CutShort when
    `why_end` says so, ProbeError when the engine does not answer.
    """
    asked = _Asked(engine)
    passages = []
    for text in given:
        tokens = asked.tokens(text)
        positions = []
        for place in range(1, min(len(tokens), 1 + TOKENS_EACH)):
            why = why_end()
            if why is not None:
                raise CutShort(why)
            positions.append(asked.position(tokens[:place], tokens[place]))
        scored = asked.bytes_of(tokens[1 : 1 + TOKENS_EACH])
        passages.append(Passage(scored, tuple(positions)))
    return Likelihoods(SOURCE, seed, tuple(passages), seconds(asked.ns))


class _Tokens(msgspec.Struct):
    """The answer of `/tokenize`."""

    tokens: list[int]


class _Text(msgspec.Struct):
    """The answer of `/detokenize`."""

    content: str


class _Token(msgspec.Struct, gc=False):
    """One of the likeliest tokens; the engine writes null for what is no number."""

    id: int
    logprob: Any


class _Generated(msgspec.Struct):
    """The generated token, with the likeliest ones in its place."""

    id: int
    logprob: Any
    top_logprobs: list[_Token]


class _Completion(msgspec.Struct):
    """What is needed of the answer of `/completion`."""

    completion_probabilities: list[_Generated]


_decode_completion = msgspec.json.Decoder(_Completion).decode


class _Asked:
    """An engine that is asked for likelihoods."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.root = Url(engine.endpoint.base_url.removesuffix("/v1"))
        self.ns = 0
        """How long it was asked."""

    def tokens(self, text: str) -> list[int]:
        """The text in the model's tokens, with what it puts before a text."""
        answer = self._ask("/tokenize", {"content": text, "add_special": True})
        try:
            return msgspec.json.decode(answer, type=_Tokens).tokens
        except msgspec.MsgspecError as odd:
            raise NoLikelihood("the engine tells no tokens") from odd

    def bytes_of(self, tokens: Sequence[int]) -> int:
        """Length of the text that tokens stand for."""
        answer = self._ask("/detokenize", {"tokens": list(tokens)})
        try:
            return len(msgspec.json.decode(answer, type=_Text).content.encode())
        except msgspec.MsgspecError as odd:
            raise NoLikelihood("the engine tells no text") from odd

    def position(self, before: Sequence[int], token: int) -> Position:
        """What the model makes of a token after those before it."""
        answer = self._ask(
            "/completion",
            {
                "prompt": list(before),
                "n_predict": 1,
                "n_probs": LIKELIEST,
                "temperature": 0,
                "logit_bias": [[token, FORCED]],
                # The prefix is that of the request before: only its last token is new.
                "cache_prompt": True,
            },
        )
        try:
            (listed,) = _decode_completion(answer).completion_probabilities
        except (msgspec.MsgspecError, ValueError) as odd:
            raise NoLikelihood("the engine's log-probabilities are not understood") from odd
        top = sorted(listed.top_logprobs, key=attrgetter("id"))
        ids = array("I", [one.id for one in top])
        try:
            logprobs = array("f", [one.logprob for one in top])
            logprob = max(float(listed.logprob), LEAST)
        except TypeError as null:
            raise NotANumber(
                "the model's probabilities are no numbers; its weights may be damaged"
            ) from null
        if listed.id != token:
            raise NoLikelihood("the engine gives no log-probability of the token that was forced")
        return Position(token, logprob, ids.tobytes(), logprobs.tobytes())

    def _ask(self, target: str, body: dict[str, Any]) -> bytes:
        key = self.engine.endpoint.key
        start_ns = monotonic_ns()
        answer = ask(self.root, target, key=key, body=body, timeout_s=ANSWER_S)
        self.ns += monotonic_ns() - start_ns
        if answer.status != 200:
            raise NoLikelihood(f"the engine gives no log-probabilities: {answer.complaint()}")
        return answer.body


def perplexity_of(scored: Likelihoods, seed: int) -> MetricValue:
    """exp of the mean negative log-likelihood per token."""
    sums = [
        (-math.fsum(position.logprob for position in passage.positions), len(passage.positions))
        for passage in scored.passages
        if passage.positions
    ]
    if not sums:
        return skipped("perplexity", "no token was scored")
    point, low, high = (math.exp(value) for value in _ratio(sums, seed))
    nats, letters = math.fsum(s for s, _ in sums), sum(p.bytes for p in scored.passages)
    return ok(
        "perplexity",
        point,
        n=sum(count for _, count in sums),
        interval=_interval(low, high),
        passages=len(sums),
        source=scored.source,
        tokens=_digest(scored),
        engine_s=scored.engine_s,
        bits_per_byte=nats / math.log(2) / letters if letters else None,
        comparable="between models of one tokenizer; bits_per_byte between all",
    )


def kl_to_base(scored: Likelihoods, base: Likelihoods, name: str, seed: int) -> MetricValue:
    """Mean over tokens of KL(base ‖ candidate), in nats.

    Where a vocabulary is larger than what is listed, the tokens that are not in both lists are
    taken together, which gives a lower bound.
    """
    if _tokens(scored) != _tokens(base) or scored.source != base.source:
        return skipped("kl_to_base", f"{name} has another tokenizer", base=name)
    sums, paired, whole = [], [], True
    for ours, theirs in zip(scored.passages, base.passages, strict=True):
        values, gaps = [], []
        for position, base_position in zip(ours.positions, theirs.positions, strict=True):
            gaps.append(base_position.logprob - position.logprob)
            value, is_whole = _divergence(base_position, position)
            values.append(value)
            whole = whole and is_whole
        if values:
            sums.append((math.fsum(values), len(values)))
            paired.append((math.fsum(gaps), len(gaps)))
    if not sums:
        return skipped("kl_to_base", "no token was scored", base=name)
    point, low, high = _ratio(sums, seed)
    return ok(
        "kl_to_base",
        point,
        n=sum(count for _, count in sums),
        interval=_interval(low, high),
        passages=len(sums),
        source=scored.source,
        tokens=_digest(scored),
        base=name,
        perplexity_ratio=_perplexity_ratio(paired, seed),
        method="over the whole vocabulary"
        if whole
        else f"a lower bound: over the {LIKELIEST} likeliest tokens, the others together",
    )


def _tokens(scored: Likelihoods) -> list[list[int]]:
    return [[position.token for position in passage.positions] for passage in scored.passages]


def _digest(scored: Likelihoods) -> str:
    """Tells whether two models, or two runs, were asked for the same tokens."""
    return hashlib.sha256(repr(_tokens(scored)).encode()).hexdigest()[:12]


def _divergence(base: Position, other: Position) -> tuple[float, bool]:
    """KL(base ‖ other) over the tokens in both lists and the rest together; whether it is exact."""
    ours, theirs = other.values(), base.values()
    if base.ids != other.ids:
        of_base, of_other = base.likeliest(), other.likeliest()
        both = of_base.keys() & of_other.keys()
        ours, theirs = [of_other[token] for token in both], [of_base[token] for token in both]
    shares = list(map(math.exp, theirs))
    value = math.fsum(map(mul, shares, map(sub, theirs, ours)))
    rest, other_rest = 1 - math.fsum(shares), 1 - math.fsum(map(math.exp, ours))
    whole = 1 - rest >= ENOUGH and 1 - other_rest >= ENOUGH
    if rest > NOTHING and other_rest > NOTHING:
        value += rest * math.log(rest / other_rest)
    return max(0.0, value), whole


def _perplexity_ratio(paired: Sequence[tuple[float, int]], seed: int) -> dict[str, Any]:
    """The candidate's perplexity by its base's, token by token, so that the texts cancel out."""
    point, low, high = (math.exp(value) for value in _ratio(paired, seed))
    return {"value": point, "interval": _interval(low, high)}


def _ratio(sums: Sequence[tuple[float, int]], seed: int) -> tuple[float, float, float]:
    """Mean per token, and the interval of a bootstrap over passages."""
    draws = random.Random(f"likelihood/{seed}")
    means = sorted(_resampled(sums, draws))
    tail = (1 - LEVEL) / 2
    low, high = means[int(tail * RESAMPLES)], means[math.ceil((1 - tail) * RESAMPLES) - 1]
    return _mean(sums), low, high


def _resampled(sums: Sequence[tuple[float, int]], draws: random.Random) -> Iterator[float]:
    for _ in range(RESAMPLES):
        yield _mean(draws.choices(sums, k=len(sums)))


def _mean(sums: Sequence[tuple[float, int]]) -> float:
    return math.fsum(value for value, _ in sums) / sum(count for _, count in sums)


def _interval(low: float, high: float) -> dict[str, Any]:
    return {"low": low, "high": high, "level": LEVEL, "method": "bootstrap over passages"}
