"""A model as a retriever: it reorders candidates, by lists or one by one, over any deployment.

Listwise: windows of passages slide from the back of the list to its front, and the model orders
each. Pointwise: the model says of each passage by itself whether it answers the query, and the
passages are ordered by the probabilities of its Yes and its No where the server tells them. These
are different measurements and are never compared.

Source: Sun and others, Is ChatGPT Good at Search? (RankGPT), arXiv 2304.09542.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence

import msgspec

from minionbench.deployments.deployment import Deployment
from minionbench.errors import UsageError
from minionbench.exchange import Answer, Plan, Request
from minionbench.quality.composing import Composition, OverDeployment, given_up
from minionbench.quality.prompts import ranking_prompt, relevance_prompt

LIKELIEST = 20
"""Tokens whose probabilities are asked for: the most that OpenAI's protocol allows."""
WINDOW = 5
STEP = 2
"""Passages in a window, and how far it moves. Small enough for the smallest models; the three best
passages of each window take part in the next. RankGPT's own are 20 and 10."""


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """The order that a reranker came to, and what had to be repaired in the model's answers."""

    order: tuple[int, ...]
    """Places of the passages as they were shown, from 0, best first."""
    answers: int
    """Answers of the model that the order was made from."""
    missing: int = 0
    """Passages that an order left out; they follow in the order shown."""
    repeated: int = 0
    """Passages that an order named again; the first time counts."""
    out_of_range: int = 0
    """Numbers in an order that are no passage's."""
    unread: int = 0
    """Answers that held no order, or neither yes nor no."""
    log_odds: tuple[float | None, ...] | None = None
    """ln(P(yes)/P(no)) of each passage as shown; None for one where neither was likely. None as a
    whole where the order is not by probabilities."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer to a window says."""

    order: tuple[int, ...]
    """Every place of the window, from 0, best first."""
    missing: int
    repeated: int
    out_of_range: int


_BRACKETED = re.compile(r"\[\s*([0-9]+)\s*\]")
_NUMBER = re.compile(r"[0-9]+")
_FIRST_WORD = re.compile(r"[^\W\d_]+")


def read_order(answer: str, size: int) -> Order:
    """The order of a window's passages in an answer such as `[2] > [1] > [3]`, repaired.

    Numbers in brackets count; where there is none, all numbers do. Those out of range and those
    named before are dropped, and the passages not named follow in the order shown.
    """
    numbers = _BRACKETED.findall(answer) or _NUMBER.findall(answer)
    named: dict[int, None] = {}
    repeated = out_of_range = 0
    for digits in numbers:
        # A number of many digits is out of any range, and int() refuses thousands of them.
        place = int(digits) - 1 if len(digits) < 10 else -1
        if not 0 <= place < size:
            out_of_range += 1
        elif place in named:
            repeated += 1
        else:
            named[place] = None
    left = [place for place in range(size) if place not in named]
    return Order(
        order=(*named, *left), missing=len(left), repeated=repeated, out_of_range=out_of_range
    )


def read_relevance(answer: str) -> bool | None:
    """Whether an answer begins with yes or no; None where it begins with neither."""
    first = _FIRST_WORD.search(answer)
    return {"yes": True, "no": False}.get(first[0].lower()) if first else None


def read_log_odds(likeliest: Sequence[tuple[str, float]]) -> float | None:
    """ln(P(yes)/P(no)) of an answer, from the likeliest tokens to begin it with.

    A token counts for the word that it is, or that it begins: small vocabularies have none for a
    whole word. A word that is not among the tokens counts as likely as the least likely of them,
    which is the most that it can be. None where neither word is among them.
    """
    shares = {"yes": 0.0, "no": 0.0}
    for token, logprob in likeliest:
        letters = _FIRST_WORD.search(token)
        begun = letters[0].lower() if letters else ""
        for word in shares:
            if begun and word.startswith(begun):
                shares[word] += math.exp(logprob)
    if not any(shares.values()):
        return None
    most = math.exp(min(logprob for _, logprob in likeliest))
    # The smallest of numbers keeps a share that rounding took from being nothing.
    yes, no = (max(share or most, sys.float_info.min) for share in shares.values())
    return math.log(yes / no)


def windows(number: int, size: int, step: int) -> Iterator[range]:
    """The places of each window over so many passages, from the back to the front.

    All are full, and the last one holds the front, also where the steps do not come out even.
    """
    last = max(0, number - size)
    for start in (*range(last, 0, -step), 0):
        yield range(start, min(start + size, number))


class ListwiseReranker(OverDeployment):
    """Lets a deployment order passages, window by window.

    The request's `document` holds the passages, one per line, its `question` the query. The
    answer is a `Ranking` as JSON. A call that fails ends the request without an answer.
    """

    mode = "listwise"

    def __init__(self, inner: Deployment, *, window: int = WINDOW, step: int = STEP) -> None:
        """Raises UsageError for a window below 2 passages, or a step outside 1 … window."""
        if window < 2 or not 1 <= step <= window:
            raise UsageError(
                f"A window of {window} with a step of {step} cannot rank: the window must be 2 or "
                "more, and the step between 1 and the window."
            )
        super().__init__(inner)
        self.window = window
        self.step = step

    @property
    def settings(self) -> dict[str, str | int]:
        """What a document has to say of how the ranking was made."""
        return {"mode": self.mode, "window": self.window, "step": self.step}

    def plan(self, request: Request) -> Plan:
        """One call per window, one after the other."""
        query, passages = _query_and_passages(request)
        steps = Composition(self.inner, request)
        order = list(range(len(passages)))
        answers = missing = repeated = out_of_range = unread = 0
        call: int | None = None
        for places in windows(len(passages), self.window, self.step):
            inside = [order[place] for place in places]
            prompt = ranking_prompt(query, [passages[place] for place in inside])
            (answer,) = yield from steps.ask([prompt])
            if answer.text is None:
                return given_up(f"window {answers + 1}", answer)
            read = read_order(answer.text, len(inside))
            order[places.start : places.stop] = [inside[place] for place in read.order]
            answers += 1
            missing += read.missing
            repeated += read.repeated
            out_of_range += read.out_of_range
            unread += read.missing == len(inside)
            call = answer.call
        ranking = Ranking(
            order=tuple(order),
            answers=answers,
            missing=missing,
            repeated=repeated,
            out_of_range=out_of_range,
            unread=unread,
        )
        return Answer(text=_as_text(ranking), call=call)


class PointwiseReranker(OverDeployment):
    """Lets a deployment say of each passage whether it answers the query.

    Where the server tells how likely each first token was, of all of a query's passages, they are
    ordered by P(yes)/P(no), and those with neither come last. Elsewhere the answers' words are
    read: passages with a yes come first, and an answer that is neither counts as no. Equals stay
    in the order shown. Request and answer are those of `ListwiseReranker`.
    """

    mode = "pointwise"

    @property
    def settings(self) -> dict[str, str | int]:
        """What a document has to say of how the ranking was made."""
        return {"mode": self.mode, "likeliest": LIKELIEST}

    def plan(self, request: Request) -> Plan:
        """One call per passage, all side by side."""
        query, passages = _query_and_passages(request)
        limits = msgspec.structs.replace(request.limits, likeliest=LIKELIEST)
        steps = Composition(self.inner, msgspec.structs.replace(request, limits=limits))
        answers = yield from steps.ask([relevance_prompt(query, p) for p in passages], jobs=True)
        for number, answer in enumerate(answers, 1):
            if answer.text is None:
                return given_up(f"passage {number}", answer)
        told = [answer.likeliest for answer in answers if answer.likeliest]
        if len(told) == len(answers):
            ranking = _by_odds([read_log_odds(likeliest) for likeliest in told])
        else:
            ranking = _by_words([read_relevance(answer.text or "") for answer in answers])
        return Answer(text=_as_text(ranking), call=answers[-1].call)


def _by_odds(log_odds: Sequence[float | None]) -> Ranking:
    def place_of(place: int) -> float:
        odds = log_odds[place]
        return math.inf if odds is None else -odds

    return Ranking(
        order=tuple(sorted(range(len(log_odds)), key=place_of)),
        answers=len(log_odds),
        unread=list(log_odds).count(None),
        log_odds=tuple(log_odds),
    )


def _by_words(said: Sequence[bool | None]) -> Ranking:
    return Ranking(
        order=tuple(sorted(range(len(said)), key=lambda place: said[place] is not True)),
        answers=len(said),
        unread=list(said).count(None),
    )


def _query_and_passages(request: Request) -> tuple[str, list[str]]:
    if request.question is None or not request.document:
        raise ValueError(f"{request.item_id} brings no query with passages to rank")
    return request.question, request.document.split("\n")


def _as_text(ranking: Ranking) -> str:
    return msgspec.json.encode(ranking).decode()


def ranking_of(answer: str, passages: int) -> Ranking:
    """The ranking in a reranker's answer.

    Raises:
        ValueError: the text is no ranking of so many passages.
    """
    try:
        ranking = msgspec.json.decode(answer, type=Ranking)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a ranking: {error}") from error
    if sorted(ranking.order) != list(range(passages)):
        raise ValueError(f"not a ranking of {passages} passages")
    return ranking
