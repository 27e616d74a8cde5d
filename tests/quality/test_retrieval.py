"""Reranking, window by window and passage by passage."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.deployments.single import Local
from minionbench.errors import UsageError
from minionbench.exchange import Limits, Message, Outcome, Reply, Request
from minionbench.quality.retrieval import (
    ListwiseReranker,
    Order,
    PointwiseReranker,
    Ranking,
    ranking_of,
    read_log_odds,
    read_order,
    read_relevance,
    windows,
)
from tests.quality.driving import drive

PASSAGE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)


def request(passages: list[str]) -> Request:
    """A request to rank passages."""
    return Request(
        item_id="q:1",
        messages=(Message("user", "unused"),),
        limits=Limits(max_output_tokens=64),
        source="test",
        input_tokens=10,
        document="\n".join(passages),
        question="the query",
    )


def by_number(prompt: str) -> str:
    """A model that ranks passages by the number that each holds, the largest first."""
    shown = sorted(PASSAGE.findall(prompt), key=lambda found: -int(found[1]))
    return " > ".join(f"[{number}]" for number, _ in shown)


def ranked(passages: list[str], window: int, step: int) -> list[str]:
    """The passages in the order that `by_number` brings them to."""
    reranker = ListwiseReranker(Local(), window=window, step=step)
    record = drive(reranker, request(passages), by_number)
    assert record.answer is not None
    return [passages[place] for place in ranking_of(record.answer, len(passages)).order]


def test_windows_slide_from_the_back_and_always_reach_the_front() -> None:
    assert list(windows(10, 4, 2)) == [range(6, 10), range(4, 8), range(2, 6), range(4)]
    assert list(windows(9, 4, 2)) == [range(5, 9), range(3, 7), range(1, 5), range(4)]
    assert list(windows(12, 5, 2)) == [
        range(7, 12),
        range(5, 10),
        range(3, 8),
        range(1, 6),
        range(5),
    ]
    assert list(windows(4, 4, 2)) == [range(4)]
    assert list(windows(3, 4, 2)) == [range(3)]


@given(st.integers(1, 60), st.integers(2, 20), st.data())
def test_windows_leave_no_passage_out_and_overlap_as_the_step_says(
    number: int, size: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(1, size))
    found = list(windows(number, size, step))
    assert {place for window in found for place in window} == set(range(number))
    assert found[0].stop == number
    assert found[-1].start == 0
    assert all(len(window) == min(size, number) for window in found)
    for back, front in itertools.pairwise(found):
        assert 1 <= back.start - front.start <= step


def test_the_model_is_asked_with_the_words_it_was_trained_on() -> None:
    (call,) = next(ListwiseReranker(Local(), window=2, step=1).plan(request(["a", "b", "c"])))
    assert call.messages == (
        Message(
            "user",
            "[1] b\n[2] c\n\nQuery: the query\nRank the 2 passages by relevance to the query. "
            "Reply with the order only, best first, as in [2] > [1] > [3].",
        ),
    )


def test_one_window_over_all_is_the_models_own_order() -> None:
    assert ranked(["3", "9", "5", "1"], window=20, step=10) == ["9", "5", "3", "1"]


def test_the_best_of_each_window_goes_on_to_the_next() -> None:
    # By hand, window 3, step 1: 1 2 3 4 9 → 9 4 3 behind 1 2 → 9 4 2 behind 1 → 9 4 1 in front.
    assert ranked(["1", "2", "3", "4", "9"], window=3, step=1) == ["9", "4", "1", "2", "3"]


@given(st.permutations([str(number) for number in range(12)]))
def test_windows_of_five_bring_the_three_best_to_the_front(passages: list[str]) -> None:
    assert ranked(passages, window=5, step=2)[:3] == ["11", "10", "9"]


def test_every_window_is_a_call_and_the_answer_names_the_last() -> None:
    record = drive(ListwiseReranker(Local()), request([str(n) for n in range(12)]), by_number)
    assert [call.round for call in record.calls] == [0, 1, 2, 3, 4]
    assert record.answer_call == 4
    assert ranking_of(record.answer or "", 12).answers == 5


@pytest.mark.parametrize(
    ("answer", "order", "missing", "repeated", "out_of_range"),
    [
        ("[2] > [1] > [3]", (1, 0, 2), 0, 0, 0),
        ("2 > 1 > 3", (1, 0, 2), 0, 0, 0),
        ("2, 1, 3", (1, 0, 2), 0, 0, 0),
        ("[3]", (2, 0, 1), 2, 0, 0),
        ("[3] > [3] > [3] > [1]", (2, 0, 1), 1, 2, 0),
        ("[4] > [0] > [2]", (1, 0, 2), 2, 0, 2),
        ("The 3 passages in order: [ 2 ] > [3] > [1].", (1, 2, 0), 0, 0, 0),
        ("I cannot.", (0, 1, 2), 3, 0, 0),
        ("", (0, 1, 2), 3, 0, 0),
        ("[-1] > [2]", (1, 0, 2), 2, 0, 0),
        (f"[{'9' * 5000}] > [2]", (1, 0, 2), 2, 0, 1),
        ("\u0662 > \u0661", (0, 1, 2), 3, 0, 0),
    ],
)
def test_an_order_is_repaired_and_every_repair_counted(
    answer: str, order: tuple[int, ...], missing: int, repeated: int, out_of_range: int
) -> None:
    assert read_order(answer, 3) == Order(
        order=order, missing=missing, repeated=repeated, out_of_range=out_of_range
    )


@given(st.text() | st.text("[]0123456789 >"), st.integers(1, 30))
def test_whatever_the_model_says_every_passage_is_ranked_once(answer: str, size: int) -> None:
    read = read_order(answer, size)
    assert sorted(read.order) == list(range(size))
    assert 0 <= read.missing <= size


def test_repairs_are_summed_over_windows() -> None:
    said = iter(["[1] > [1]", "nothing", "[3] > [2] > [1] > [9]"])
    record = drive(
        ListwiseReranker(Local(), window=3, step=1),
        request(["a", "b", "c", "d", "e"]),
        lambda prompt: next(said),
    )
    assert ranking_of(record.answer or "", 5) == Ranking(
        order=(2, 1, 0, 3, 4), answers=3, missing=5, repeated=1, out_of_range=1, unread=1
    )


def test_a_call_that_fails_fails_the_request() -> None:
    said: list[str | Outcome] = ["[1] > [2]", Outcome.RESET]
    reranker = ListwiseReranker(Local(), window=2, step=1)
    record = drive(reranker, request(["a", "b", "c"]), lambda prompt: said.pop(0))
    assert record.outcome is Outcome.RESET
    assert (record.answer, record.abstained) == (None, "window 2 failed: it broke")
    record = drive(PointwiseReranker(Local()), request(["a", "b"]), lambda p: Outcome.TRUNCATED)
    assert (record.answer, record.abstained) == (None, "passage 1 failed: it broke")


@pytest.mark.parametrize(("window", "step"), [(1, 1), (4, 0), (4, 5)])
def test_windows_that_cannot_rank_are_refused(window: int, step: int) -> None:
    with pytest.raises(UsageError):
        ListwiseReranker(Local(), window=window, step=step)


def test_pointwise_asks_of_every_passage_side_by_side_and_puts_yes_first() -> None:
    said = {"a": "No.", "b": "Yes", "c": "Maybe", "d": "yes, it does"}

    def model(prompt: str) -> str:
        match = re.fullmatch(
            r"Passage: (.)\nQuery: the query\n"
            r"Does the passage answer the query\? Reply Yes or No\.",
            prompt,
        )
        assert match
        return said[match[1]]

    record = drive(PointwiseReranker(Local()), request(["a", "b", "c", "d"]), model)
    assert [(call.round, call.job) for call in record.calls] == [(0, n) for n in range(4)]
    assert ranking_of(record.answer or "", 4) == Ranking(order=(1, 3, 0, 2), answers=4, unread=1)


def replied(text: str, likeliest: tuple[tuple[str, float], ...] | None) -> Reply:
    return Reply(outcome=Outcome.OK, text=text, likeliest=likeliest, planned_ns=0, end_ns=1)


def tokens(**shares: float) -> tuple[tuple[str, float], ...]:
    return tuple((token, math.log(share)) for token, share in shares.items())


def ended(*replies: Reply) -> Ranking:
    """What pointwise makes of these replies, one for each passage."""
    plan = PointwiseReranker(Local()).plan(request([str(n) for n in range(len(replies))]))
    calls = next(plan)
    assert {call.limits.likeliest for call in calls} == {20}
    with pytest.raises(StopIteration) as end:
        plan.send(replies)
    return ranking_of(end.value.value.text, len(replies))


def test_pointwise_orders_by_the_probabilities_where_all_answers_tell_them() -> None:
    # All say the same word, and only the probabilities tell the passages apart.
    ranking = ended(
        replied("Yes", tokens(Yes=0.5, No=0.4)),
        replied("Yes", tokens(Perhaps=0.9, So=0.1)),
        replied("Yes", tokens(Yes=0.8, No=0.1)),
        replied("Yes", tokens(Yes=0.6, No=0.3)),
    )
    assert ranking.order == (2, 3, 0, 1)
    assert ranking.unread == 1
    assert ranking.log_odds is not None and ranking.log_odds[1] is None
    assert ranking.log_odds[2] == pytest.approx(math.log(8))


def test_one_answer_without_probabilities_has_all_of_the_query_read_by_their_words() -> None:
    ranking = ended(
        replied("No", tokens(Yes=0.9, No=0.1)),
        replied("Yes", None),
        replied("Yes", tokens(Yes=0.1, No=0.9)),
    )
    assert ranking == Ranking(order=(1, 2, 0), answers=3)


@pytest.mark.parametrize(
    ("likeliest", "odds"),
    [
        (tokens(Yes=0.6, No=0.2), 3.0),
        (tokens(Y=0.4, yes=0.2, N=0.1, no=0.1), 3.0),
        ((("▁Yes", math.log(0.6)), (" no", math.log(0.2))), 3.0),
        # The other word is at most as likely as the last of the tokens that were told.
        (tokens(Yes=0.8, Well=0.1), 8.0),
        (tokens(No=0.8, Well=0.1), 1 / 8),
        (tokens(Yesterday=0.5, Not=0.3, Note=0.1), None),
        (tokens(Maybe=1.0), None),
    ],
)
def test_odds_are_those_of_the_two_words_and_their_beginnings(
    likeliest: tuple[tuple[str, float], ...], odds: float | None
) -> None:
    found = read_log_odds(likeliest)
    if odds is None:
        assert found is None
    else:
        assert found == pytest.approx(math.log(odds))


def test_odds_of_what_is_all_but_impossible_are_finite() -> None:
    found = read_log_odds((("Yes", 0.0), ("No", -4000.0)))
    assert found is not None and math.isfinite(found) and found > 100


@pytest.mark.parametrize(
    ("answer", "relevant"),
    [
        ("Yes", True),
        ("yes.", True),
        ("**No**", False),
        ("No, it does not.", False),
        ("Not sure", None),
        ("I know that it does", None),
        ("Yesterday", None),
        ("Answer: yes", None),
        ("", None),
        ("42", None),
    ],
)
def test_relevance_is_the_first_word_and_only_as_a_whole(
    answer: str, relevant: bool | None
) -> None:
    assert read_relevance(answer) is relevant


@pytest.mark.parametrize(
    "answer",
    ["", "{}", "[2] > [1]", '{"order": [0, 0], "answers": 1}', '{"order": [0], "answers": 1}'],
)
def test_a_text_that_is_no_ranking_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match="not a ranking"):
        ranking_of(answer, 2)


def test_a_request_without_passages_is_a_mistake_of_the_caller() -> None:
    bare = Request(
        item_id="x", messages=(Message("user", "x"),), limits=Limits(), source="t", input_tokens=1
    )
    for reranker in (ListwiseReranker(Local()), PointwiseReranker(Local())):
        with pytest.raises(ValueError, match="no query with passages"):
            next(reranker.plan(bare))


def test_name_sides_and_settings_say_what_was_done() -> None:
    listwise, pointwise = ListwiseReranker(Local(), window=20, step=10), PointwiseReranker(Local())
    assert (listwise.name, listwise.sides) == (pointwise.name, pointwise.sides)
    assert (listwise.name, listwise.sides) == ("local", ("local",))
    assert listwise.settings == {"mode": "listwise", "window": 20, "step": 10}
    assert pointwise.settings == {"mode": "pointwise", "likeliest": 20}
