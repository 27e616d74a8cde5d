"""Known answers come where they should; made-up ones are the same for the same seed."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minionbench.errors import UsageError
from minionbench.simulator import Rule, SimulatorSettings
from minionbench.simulator.answers import Answers, made_up, read_rules
from minionbench.simulator.asked import Asked, Turn
from minionbench.simulator.tokens import tokens
from tests.simulator.conftest import Start
from tests.simulator.raw import CHAT, ask, chat


def asked(text: str, system: str = "") -> Asked:
    return Asked(route="chat", model="sim", turns=(Turn("system", system), Turn("user", text)))


def answers(*rules: Rule) -> Answers:
    return Answers(SimulatorSettings(rules=rules))


def test_the_first_rule_that_matches_answers() -> None:
    known = answers(Rule(match="capital", answer="Paris"), Rule(match=".", answer="What?"))
    assert known.scripted(asked("the capital of France")) == ("Paris", None)
    assert known.scripted(asked("something else")) == ("What?", None)
    assert known.scripted(asked("")) is None


def test_a_rule_may_look_at_the_system_text() -> None:
    known = answers(Rule(match=".", system="worker", answer="yes", reasoning="hm"))
    assert known.scripted(asked("do", "You are a worker.")) == ("yes", "hm")
    assert known.scripted(asked("do", "You supervise.")) is None


def test_a_rule_may_look_at_the_models_name() -> None:
    known = answers(Rule(match=".", model="8b|gpt", answer="right"), Rule(match=".", answer="no"))
    asked_of = [msgspec.structs.replace(asked("do"), model=m) for m in ("qwen3:8b", "qwen3:4b")]
    given = [known.scripted(one) for one in asked_of]
    assert [one and one[0] for one in given] == ["right", "no"]


def test_several_answers_come_in_turn_and_the_last_stays() -> None:
    known = answers(Rule(match=".", answer=("more", "done")))
    given = [known.scripted(asked("go")) for _ in range(3)]
    assert [one and one[0] for one in given] == ["more", "done", "done"]


def test_an_answer_may_be_made_of_the_match() -> None:
    known = answers(
        Rule(match=r"(\d+) plus (\d+)", answer=lambda found: str(int(found[1]) + int(found[2]))),
        Rule(match=r"I am (?P<name>\w+)", answer=r"Hello \g<name>", expand=True),
        Rule(match="maths", answer=r"\frac{1}{2}"),
    )
    assert known.scripted(asked("2 plus 3?")) == ("5", None)
    assert known.scripted(asked("I am Ann")) == ("Hello Ann", None)
    assert known.scripted(asked("maths")) == (r"\frac{1}{2}", None)


def test_made_up_text_depends_on_its_seed_alone() -> None:
    first, again, other = (list(islice(made_up(seed), 50)) for seed in ("a", "a", "b"))
    assert first == again != other
    assert tokens("".join(first)) == first


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    rules = [
        {"match": "a", "answer": "one", "reasoning": "because"},
        {"match": "b", "answer": {"n": 1}, "model": "gpt"},
        {"match": "c", "answer": ["x", {"y": 2}], "system": "s", "expand": False},
    ]
    path.write_text(json.dumps(rules))
    read = read_rules(path)
    assert [rule.answer for rule in read] == ["one", '{"n": 1}', ("x", '{"y": 2}')]
    assert (read[0].reasoning, read[1].model, read[2].system) == ("because", "gpt", "s")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        "[1]",
        '[{"match": "a"}]',
        '[{"match": 1, "answer": "a"}]',
        '[{"match": "(", "answer": "a"}]',
        '[{"match": "a", "answer": []}]',
        '[{"match": "a", "answer": "b", "anwser": "c"}]',
        '[{"match": "a", "answer": "b", "expand": "yes"}]',
    ],
)
def test_a_file_of_another_form_is_told_of(tmp_path: Path, content: str) -> None:
    path = tmp_path / "answers.json"
    path.write_text(content)
    with pytest.raises(UsageError):
        read_rules(path)


def test_a_missing_file_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_rules(tmp_path / "none.json")


@pytest.mark.parametrize(("mode", "answer"), [("echo", "hello"), ("Fixed text.", "Fixed text.")])
def test_the_server_echoes_or_says_one_thing(start: Start, mode: str, answer: str) -> None:
    received: Any = ask(start(answer=mode), CHAT, chat("hello")).json()
    assert received["choices"][0]["message"]["content"] == answer


def test_the_server_reasons_and_answers_as_scripted(start: Start) -> None:
    rule = Rule(match="2\\+2", answer="4", reasoning="Two and two.")
    body = chat("2+2", reasoning_effort="low")
    message = ask(start(rules=(rule,)), CHAT, body).json()["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("4", "Two and two.")
