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
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from itertools import islice
from operator import attrgetter, mul, sub
from pathlib import Path
from typing import Any

import msgspec

from minionbench.engines.engine import Engine
from minionbench.engines.probe import Conversation
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
HEAD_BYTES = 8
"""Of a file, before its head, telling how long that is."""
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
    """Time in which the engine had a question to answer."""

    def save(self, path: Path) -> None:
        """Writes the file in one go."""
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as refused:
            raise SetupError(f"{path.parent} cannot be made: {refused.strerror}") from refused
        # Lists of tokens are much alike; random digits of numbers take time and do not get smaller.
        logprobs = [position.logprobs for one in self.passages for position in one.positions]
        thin = self._with_logprobs(lambda position: b"")
        head = zlib.compress(msgspec.msgpack.encode(thin), 1)
        write_atomically(path, len(head).to_bytes(HEAD_BYTES) + head + b"".join(logprobs))

    def _with_logprobs(self, of: Callable[[Position], bytes]) -> Likelihoods:
        replace = msgspec.structs.replace
        passages = (
            replace(one, positions=tuple(replace(p, logprobs=of(p)) for p in one.positions))
            for one in self.passages
        )
        return replace(self, passages=tuple(passages))


def load(path: Path) -> Likelihoods | None:
    """What `save` wrote; None when it is not there or not whole."""
    try:
        content = path.read_bytes()
        end = HEAD_BYTES + int.from_bytes(content[:HEAD_BYTES])
        thin = msgspec.msgpack.decode(zlib.decompress(content[HEAD_BYTES:end]), type=Likelihoods)
    except (OSError, zlib.error, msgspec.MsgspecError):
        return None
    logprobs = BytesIO(content[end:])
    # A token's number takes as many bytes as its log-probability.
    whole = thin._with_logprobs(lambda position: logprobs.read(len(position.ids)))
    is_whole = logprobs.tell() == len(content) - end and all(
        len(p.ids) == len(p.logprobs) for one in whole.passages for p in one.positions
    )
    return whole if is_whole else None


class NoLikelihood(Exception):
    """The engine gives no log-probabilities; the message says why."""


class NotANumber(Exception):
    """The model computes no numbers; the message says so."""


class CutShort(Exception):
    """The model's time was up before all texts were scored; the message says why."""


@lru_cache(maxsize=1)
def texts(seed: int, number: int) -> tuple[str, ...]:
    """The passages of a seed: so many of each workload, and as many of the corpus for retrieval."""
    from minionbench.quality.corpus_drawn import built_in_corpus
    from minionbench.workloads.catalog import workload

    found = list(built_in_corpus(seed).documents.values())[: 3 * number]
    for name in ("prefill", "balanced", "decode"):
        drawn = workload(name).requests(number, seed)
        found += [request.messages[-1].content for request in drawn]
    return tuple(found)


def score(
    engine: Engine, given: Sequence[str], seed: int, why_end: Callable[[], str | None]
) -> Likelihoods:
    """Scores passages, which are those of a seed.

    Raises NoLikelihood where the engine cannot, NotANumber where the model cannot, CutShort when
    `why_end` says so, ProbeError when the engine does not answer.
    """
    url, key = Url(engine.endpoint.base_url.removesuffix("/v1")), engine.endpoint.key
    with Conversation(url, key=key, timeout_s=ANSWER_S) as conversation:
        asked = _Asked(conversation, why_end)
        tokens = asked.tokens(given)
        lengths = asked.lengths([of_text[1 : 1 + TOKENS_EACH] for of_text in tokens])
        positions = asked.positions(tokens)
        passages = [
            Passage(length, tuple(islice(positions, len(_places(of_text)))))
            for length, of_text in zip(lengths, tokens, strict=True)
        ]
        return Likelihoods(SOURCE, seed, tuple(passages), seconds(conversation.asked_ns))


def _places(tokens: Sequence[int]) -> range:
    """The places of a text's tokens that are scored: all but the first, which follows nothing."""
    return range(1, min(len(tokens), 1 + TOKENS_EACH))


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

    def __init__(self, conversation: Conversation, why_end: Callable[[], str | None]) -> None:
        self._conversation = conversation
        self._why_end = why_end

    def tokens(self, given: Sequence[str]) -> list[list[int]]:
        """Each text in the model's tokens, with what it puts before a text."""
        questions = [("/tokenize", {"content": text, "add_special": True}) for text in given]
        try:
            answers = self._answers(questions)
            return [msgspec.json.decode(answer, type=_Tokens).tokens for answer in answers]
        except msgspec.MsgspecError as odd:
            raise NoLikelihood("the engine tells no tokens") from odd

    def lengths(self, tokens: Sequence[Sequence[int]]) -> list[int]:
        """Length in bytes of the texts that tokens stand for."""
        questions = [("/detokenize", {"tokens": list(some)}) for some in tokens]
        try:
            answers = self._answers(questions)
            return [
                len(msgspec.json.decode(answer, type=_Text).content.encode()) for answer in answers
            ]
        except msgspec.MsgspecError as odd:
            raise NoLikelihood("the engine tells no text") from odd

    def positions(self, tokens: Sequence[Sequence[int]]) -> Iterator[Position]:
        """What the model makes of each token that is scored, text by text."""
        wanted = [(text, place) for text in tokens for place in _places(text)]
        questions = (
            (
                "/completion",
                {
                    "prompt": list(text[:place]),
                    "n_predict": 1,
                    "n_probs": LIKELIEST,
                    "temperature": 0,
                    "logit_bias": [[text[place], FORCED]],
                    # The prefix is that of the request before: only its last token is new.
                    "cache_prompt": True,
                },
            )
            for text, place in wanted
        )
        for answer, (text, place) in zip(self._answers(questions), wanted, strict=True):
            yield _position(answer, text[place])

    def _answers(self, questions: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
        for answer in self._conversation.answers(self._while_time_is_left(questions)):
            if answer.status != 200:
                raise NoLikelihood(f"the engine gives no log-probabilities: {answer.complaint()}")
            yield answer.body

    def _while_time_is_left(
        self, questions: Iterable[tuple[str, dict[str, Any]]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for question in questions:
            why = self._why_end()
            if why is not None:
                raise CutShort(why)
            yield question


def _position(answer: bytes, token: int) -> Position:
    """What an answer of `/completion` says of the token that was forced."""
    try:
        (listed,) = _decode_completion(answer).completion_probabilities
    except (msgspec.MsgspecError, ValueError) as odd:
        raise NoLikelihood("the engine's log-probabilities are not understood") from odd
    top = sorted(listed.top_logprobs, key=attrgetter("id"))
    ids = array("I", [one.id for one in top])
    try:
        logprobs = array("f", [max(one.logprob, LEAST) for one in top])
        logprob = max(float(listed.logprob), LEAST)
    except TypeError as null:
        raise NotANumber(
            "the model's probabilities are no numbers; its weights may be damaged"
        ) from null
    if listed.id != token:
        raise NoLikelihood("the engine gives no log-probability of the token that was forced")
    return Position(token, logprob, ids.tobytes(), logprobs.tobytes())


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
    # Of shares that differ by forty powers of ten an exact sum takes ten times as long, for digits
    # far below the rounding of what is added.
    value = sum(map(mul, shares, map(sub, theirs, ours)))
    rest, other_rest = 1 - sum(shares), 1 - sum(map(math.exp, ours))
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
