"""The Minion protocol, driven by hand through its branches."""

from __future__ import annotations

import pytest

from minionbench.errors import UsageError
from minionbench.exchange import Call, Reply
from minionbench.protocols.minion import Minion
from tests.protocols.driving import drive, failed, request, said, scripted

OPENING = {"reasoning": "r", "message": "What does it say of revenue?"}
MORE = {"decision": "request_additional_info", "message": "And of costs?", "answer": None}


def final(answer: str | None) -> dict[str, str | None]:
    return {"decision": "provide_final_answer", "answer": answer, "message": None}


def roles(batches: list[tuple[Call, ...]]) -> str:
    return "".join("SW"[call.role == "worker"] for batch in batches for call in batch)


def test_an_answer_in_the_first_round_takes_three_calls_of_the_supervisor_and_one_worker() -> None:
    answer, batches = drive(
        Minion().plan(request()),
        scripted(OPENING, "that settles it", final("7")),
        scripted("Revenue was 7."),
    )
    assert answer.text == "7"
    assert answer.call == 3
    assert roles(batches) == "SWSS"
    assert answer.tally == {"rounds": 1}
    text = '{"decision": "provide_final_answer", "answer": "7"'
    assert answer.at_character == len(text) - len('7"')


def test_the_document_stays_with_the_worker() -> None:
    document = "SECRET FIGURES 7"
    _, batches = drive(
        Minion().plan(request(document=document)),
        scripted(OPENING, "hm", MORE, "hm", final("7")),
        scripted("Seven.", "Eight."),
    )
    for (call,) in batches:
        told = any(document in message.content for message in call.messages)
        assert told is (call.side == "local")


def test_each_side_remembers_what_was_said() -> None:
    _, batches = drive(
        Minion().plan(request()),
        scripted(OPENING, "hm", MORE, "ah", final("7")),
        scripted("Seven.", "Eight."),
    )
    assert roles(batches) == "SWSSWSS"
    worker = batches[4][0]
    assert [m.role for m in worker.messages] == ["system", "user", "assistant", "user"]
    assert [m.content for m in worker.messages[1:]] == [
        OPENING["message"],
        "Seven.",
        MORE["message"],
    ]
    supervisor = batches[-1][0]
    assert [m.role for m in supervisor.messages] == ["user", "assistant"] * 4 + ["user"]
    assert "Eight." in supervisor.messages[-3].content
    assert [call.round for (call,) in batches] == [0, 0, 0, 0, 1, 1, 1]


def test_the_last_round_has_one_call_that_must_answer() -> None:
    answer, batches = drive(
        Minion(max_rounds=2).plan(request()),
        scripted(OPENING, "hm", MORE, {**MORE, "answer": "7"}),
        scripted("Seven.", "Eight."),
    )
    assert roles(batches) == "SWSSWS"
    assert answer.text == "7"
    assert answer.tally == {"rounds": 2}


def test_rounds_bound_the_calls_as_published() -> None:
    for rounds in range(1, 6):
        turns: list[dict[str, str | None] | str] = [OPENING]
        turns += ["hm", MORE] * (rounds - 1)
        _, batches = drive(
            Minion(max_rounds=rounds).plan(request()),
            scripted(*turns, final("7")),
            lambda call: said("Seven."),
        )
        assert roles(batches).count("S") == 2 * rounds
        assert roles(batches).count("W") == rounds


@pytest.mark.parametrize("nothing", [None, "", "None", "null"])
def test_no_answer_is_an_abstention(nothing: str | None) -> None:
    answer, _ = drive(
        Minion(max_rounds=1).plan(request()), scripted(OPENING, final(nothing)), scripted("Seven.")
    )
    assert answer.text is answer.call is None
    assert answer.abstained == "the supervisor gave no answer"


@pytest.mark.parametrize("broken", [failed("overloaded"), said("")])
def test_a_worker_that_does_not_answer_is_told_of_and_the_talk_goes_on(broken: Reply) -> None:
    answer, batches = drive(
        Minion(max_rounds=2).plan(request()),
        scripted(OPENING, "hm", MORE, final("7")),
        scripted(broken, "Seven."),
    )
    assert answer.text == "7"
    assert "gave no answer" in batches[2][0].messages[-1].content
    # The unanswered message is not repeated: the next one stands for it.
    assert [m.role for m in batches[4][0].messages] == ["system", "user"]


def test_prose_instead_of_json_is_asked_for_again_and_counted() -> None:
    answer, batches = drive(
        Minion(max_rounds=1).plan(request()),
        scripted("I would ask about revenue.", OPENING, "It is 7.", "7!", final("7")),
        scripted("Seven."),
    )
    assert answer.text == "7"
    assert answer.tally == {"repairs": 3, "rounds": 1}
    assert [call.attempt for (call,) in batches] == [0, 1, 0, 0, 1, 2]
    assert answer.call == 5
    # Only the last wrong answer is shown beside the question.
    assert len(batches[-1][0].messages) == len(batches[3][0].messages) + 2


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ((failed("no credit"),), "the supervisor did not begin: no credit"),
        (("no", "no", "no"), "the supervisor did not begin: it holds no JSON object"),
        ((OPENING, failed("gone")), "the supervisor failed: gone"),
        ((OPENING, "hm", failed("gone")), "the supervisor did not decide: gone"),
        (
            (OPENING, "hm", {**MORE, "message": " "}),
            "the supervisor asked for more without saying what",
        ),
    ],
)
def test_a_supervisor_that_fails_ends_the_request_without_an_answer(
    turns: tuple[Reply | str, ...], why: str
) -> None:
    answer, _ = drive(Minion().plan(request()), scripted(*turns), scripted("Seven."))
    assert answer.text is None
    assert answer.abstained is not None
    assert answer.abstained.startswith(why)


@pytest.mark.parametrize("word", ["length", "max_tokens", "max_output_tokens"])
def test_an_answer_cut_by_its_length_is_not_asked_for_again(word: str) -> None:
    """Each wire protocol has its own word for it."""
    answer, batches = drive(
        Minion().plan(request()), scripted(said('{"message": "wh', word)), scripted()
    )
    assert len(batches) == 1
    assert answer.abstained is not None
    assert "cut by its length limit" in answer.abstained


def test_limits_of_each_side_and_the_seed_are_kept() -> None:
    protocol = Minion(supervisor_tokens=11, worker_tokens=12, max_rounds=1)
    _, batches = drive(protocol.plan(request()), scripted(OPENING, final("7")), scripted("Seven."))
    for (call,) in batches:
        assert call.limits.max_output_tokens == (12 if call.role == "worker" else 11)
        assert call.limits.seed == 5


def test_a_task_without_a_document_is_told_whole() -> None:
    _, batches = drive(
        Minion(max_rounds=1).plan(request("2 + 2?", None)),
        scripted(OPENING, final("4")),
        scripted("Four."),
    )
    assert "2 + 2?" in batches[0][0].messages[0].content


def test_no_round_is_no_conversation() -> None:
    with pytest.raises(UsageError):
        Minion(max_rounds=0)
