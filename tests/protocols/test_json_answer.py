"""Finding the JSON in what a model wrote."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.protocols.json_answer import NotTheForm, as_text, read_json, where


class Found(msgspec.Struct):
    answer: Any
    explanation: str = ""


OBJECT = {"answer": "{7}", "explanation": 'a } and a ``` and a "'}
WRITTEN = json.dumps(OBJECT)


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        f"\n  {WRITTEN}\n",
        f"```json\n{WRITTEN}\n```",
        f"Sure! Here it is:\n```\n{json.dumps({'answer': '{7}'})}\n```\nAnything else?",
        f"I think {{this}} is it: {WRITTEN} (as asked)",
        f'First {{"answer": "wrong"}}, no: {WRITTEN}',
        f'{{"other": 1}} then {WRITTEN}',
        f"{WRITTEN} {{broken",
    ],
)
def test_the_object_is_found_in_whatever_stands_around_it(text: str) -> None:
    assert read_json(text, Found).answer == "{7}"


@pytest.mark.parametrize(
    "text", ["", "no", "{", "{}", '{"explanation": "x"}', '{"answer": 1, "explanation": 2}', "[1]"]
)
def test_what_is_not_of_the_form_says_why(text: str) -> None:
    with pytest.raises(NotTheForm) as caught:
        read_json(text, Found)
    assert str(caught.value)


def test_deep_nesting_and_endless_braces_are_no_danger() -> None:
    for text in ("{" * 100_000, '{"a":' * 20_000, "[" * 100_000, "{}" * 100_000):
        with pytest.raises(NotTheForm):
            read_json(text, Found)


@given(st.text())
def test_any_text_gives_an_object_or_a_reason(text: str) -> None:
    try:
        found = read_json(text, Found)
    except NotTheForm:
        return
    assert isinstance(found, Found)


@given(st.dictionaries(st.text(), st.text() | st.none() | st.integers()), st.text("ab \n"))
def test_an_object_that_was_written_is_read_back(extra: dict[str, Any], around: str) -> None:
    written = json.dumps({**extra, "answer": "yes", "explanation": ""})
    assert read_json(f"{around}{written}{around}", Found).answer == "yes"


@pytest.mark.parametrize("value", [None, "", " ", "null", "None", "N/A", "none."])
def test_no_answer_is_none(value: Any) -> None:
    assert as_text(value) is None


def test_half_a_surrogate_pair_never_comes_out_of_what_a_model_wrote() -> None:
    """No such text can be sent to a server or written into a record."""
    written = r'{"answer": ["\ud83d 7", {"\ud800": "\ud83d\ude00"}], "explanation": "\udc00"}'
    for text in (written, f"So: {written}."):
        found = read_json(text, Found)
        assert found.answer == ["\ufffd 7", {"\ufffd": "\U0001f600"}]
        assert found.explanation == "\ufffd"
    assert read_json(r'{"answer": "\ud83d\ude00"}', Found).answer == "\U0001f600"


def test_numbers_and_lists_are_written_as_json() -> None:
    assert as_text(12.5) == "12.5"
    assert as_text(0) == "0"
    assert as_text(False) == "false"
    assert as_text(["a", 1]) == '["a", 1]'
    assert as_text(" nothing was paid ") == "nothing was paid"


def test_where_the_answer_begins_is_known_when_it_stands_there_word_by_word() -> None:
    text = '{"explanation": "7", "decision": "provide_final_answer", "answer": "7 euros"}'
    assert where(text, "7 euros") == text.index("7 euros")
    assert where('{"answer": "a\\nb"}', "a\nb") is None
    assert where("7 euros", "7 euros") is None


def test_an_answer_before_its_decision_is_not_known_for_one_when_it_comes() -> None:
    assert where('{"answer": "7", "decision": "provide_final_answer"}', "7") is None
    assert where('{"answer": "7"}', "7") is None


@pytest.mark.parametrize(
    "text",
    [
        '{"decision": "request_additional_info"} {"answer": "7", "decision": "x"}',
        r'{"decision": "x", "answer": "\u0037", "explanation": "it is 7"}',
        '{"decision": "x", "answer": "7"} That is the "answer": 7',
        '{"decision": "x", "answer": "7", "message": {"answer": "7"}}',
    ],
)
def test_where_the_answer_begins_is_never_guessed(text: str) -> None:
    assert where(text, "7") is None


def test_where_the_answer_begins_is_known_for_any_spacing_and_kind() -> None:
    for text, answer in (
        ('{"decision" : "x",\n "answer" :\n "  7 euros"}', "7 euros"),
        ('{"decision":"x","answer":7.5}', "7.5"),
        ('{"decision": "x", "answer": "7"} is the "answer"; 7', "7"),
    ):
        assert where(text, answer) == text.index(answer)
