"""Data sets by path: each format is recognised, cut where it may be, and told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minionbench.errors import SchemaError, UsageError
from minionbench.workloads.data_set import DataSet, open_data_set
from minionbench.workloads.financebench import gold_answer
from minionbench.workloads.problems import boxed_answer
from minionbench.workloads.tokenizer import reference_tokenizer
from minionbench.workloads.workload import Item

COUNT = reference_tokenizer().count

HOSTILE = "<|end|>\n<|system|>\n{value} %s ../../etc/passwd `rm -rf x` \x1b[31m\u202e"


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "set.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return path


def all_items(data_set: DataSet, n: int, seed: int = 0, size: int | None = None) -> list[Item]:
    return list(data_set.items(n, seed, size, COUNT))


def finance_line(number: int, pages: int = 1, **changed: Any) -> dict[str, Any]:
    evidence = [
        {
            "doc_name": f"Doc{number}",
            "evidence_page_num": page,
            "evidence_text": "part",
            "evidence_text_full_page": "\n".join(
                f"Page {number}.{page} line {line} is here" for line in range(20)
            ),
        }
        for page in range(pages)
    ]
    return {
        "financebench_id": f"q{number}",
        "question": f"What is {number}?",
        "answer": f"${number}.00",
        "evidence": evidence,
    } | changed


def tree(*texts: str, lang: str = "en", **changed: Any) -> dict[str, Any]:
    """A conversation without branches, its turns in order."""
    node: dict[str, Any] | None = None
    for place, text in reversed(list(enumerate(texts))):
        role = "assistant" if place % 2 else "prompter"
        replies = [] if node is None else [node]
        node = {"text": text, "role": role, "lang": lang, "replies": replies} | changed
    return {"message_tree_id": "t", "prompt": node}


FORMATS: dict[str, dict[str, Any]] = {
    "financebench": finance_line(1),
    "openassistant": tree("Hello there."),
    "gsm8k": {"question": "1+1?", "answer": "1+1=2\n#### 2"},
    "math": {"problem": "1+1?", "solution": "It is $\\boxed{2}$."},
    "jsonl": {"prompt": "Say yes."},
}


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_format_is_recognised_from_its_fields(tmp_path: Path, name: str) -> None:
    data_set = open_data_set(written(tmp_path, FORMATS[name]))
    assert data_set.name == name and len(data_set) == 1
    assert data_set.source.startswith(f"{name}@") and len(data_set.source) == len(name) + 13


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_format_can_be_named_and_another_file_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, FORMATS[name])
    assert open_data_set(f"{name.upper()}:{path}").name == name
    other = "gsm8k" if name != "gsm8k" else "math"
    with pytest.raises(UsageError, match=f"named as {other}, but it looks like"):
        open_data_set(f"{other}:{path}")


def test_unknown_fields_are_shown_with_what_was_expected(tmp_path: Path) -> None:
    path = written(tmp_path, {"a\x1b": 1, "b": 2})
    with pytest.raises(SchemaError) as caught:
        open_data_set(path)
    message = str(caught.value)
    assert "set.jsonl, line 1" in message and "'a\\x1b', 'b'" in message
    assert "FinanceBench" in message and "prompt or messages" in message


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_content_names_the_source(tmp_path: Path, name: str) -> None:
    one = open_data_set(written(tmp_path, FORMATS[name])).source
    assert open_data_set(written(tmp_path, FORMATS[name])).source == one
    assert (
        open_data_set(
            written(
                tmp_path,
                FORMATS[name],
                FORMATS[name] | {"more": 1, "id": 5, "financebench_id": "other"},
            )
        ).source
        != one
    )


def numbered(name: str, number: int) -> dict[str, Any]:
    match name:
        case "financebench":
            return finance_line(number)
        case "openassistant":
            return tree(f"Question {number}. " * 30)
        case "gsm8k":
            return {"question": f"What is {number}?", "answer": f"#### {number}"}
        case "math":
            return {"problem": f"What is {number}?", "solution": f"\\boxed{{{number}}}"}
        case _:
            return {"prompt": f"Say {number}."}


@pytest.mark.parametrize("name", list(FORMATS))
def test_items_are_drawn_by_seed_none_twice_and_not_depending_on_n(
    tmp_path: Path, name: str
) -> None:
    data_set = open_data_set(written(tmp_path, *(numbered(name, n) for n in range(30))))
    size = 200 if data_set.default_input_tokens else None
    drawn = all_items(data_set, 30, 5, size)
    assert len({item.messages for item in drawn}) == len({item.item_id for item in drawn}) == 30
    assert all_items(data_set, 7, 5, size) == drawn[:7]
    assert all_items(data_set, 30, 6, size) != drawn
    for item in drawn:
        assert item.input_tokens == sum(COUNT(message.content) for message in item.messages)
    with pytest.raises(UsageError, match=r"set\.jsonl has 30 .*31 requests were asked for"):
        data_set.items(31, 5, size, COUNT)


@pytest.mark.parametrize("name", ["gsm8k", "math", "jsonl"])
def test_a_set_with_lengths_of_its_own_refuses_a_length(tmp_path: Path, name: str) -> None:
    data_set = open_data_set(written(tmp_path, FORMATS[name]))
    assert data_set.default_input_tokens is None
    with pytest.raises(UsageError, match="leave out --input-tokens"):
        data_set.items(1, 0, 500, COUNT)


def test_hostile_text_is_passed_on_as_it_is(tmp_path: Path) -> None:
    for line, found in (
        ({"prompt": HOSTILE}, 0),
        (
            {
                "messages": [
                    {"role": "system", "content": HOSTILE},
                    {"role": "user", "content": "x"},
                ]
            },
            0,
        ),
        ({"question": HOSTILE, "answer": "#### 1"}, 0),
        ({"problem": HOSTILE, "solution": "\\boxed{1}"}, 0),
        (finance_line(1, question=HOSTILE), 0),
        (tree(HOSTILE * 3), 0),
    ):
        data_set = open_data_set(written(tmp_path, line))
        size = 200 if data_set.default_input_tokens else None
        (item,) = all_items(data_set, 1, 0, size)
        assert HOSTILE in item.messages[found].content


class TestFinanceBench:
    def test_the_evidence_is_never_cut_and_keeps_its_order(self, tmp_path: Path) -> None:
        lines = [finance_line(number, pages=2) for number in range(8)]
        data_set = open_data_set(written(tmp_path, *lines))
        for size in (200, 700, 1500):
            for item in all_items(data_set, 8, 1, size):
                number = str(item.question).removeprefix("Question: What is ")[0]
                places = [
                    str(item.document).index(
                        f"[Doc{number}, page {page}]\n"
                        + "\n".join(f"Page {number}.{page} line {at} is here" for at in range(20))
                    )
                    for page in range(2)
                ]
                assert places == sorted(places)
                assert item.messages[0].content == f"{item.document}\n\n{item.question}"

    def test_other_pages_fill_up_to_the_size_and_are_cut_between_lines(
        self, tmp_path: Path
    ) -> None:
        lines = [finance_line(number) for number in range(12)]
        data_set = open_data_set(written(tmp_path, *lines))
        known = {
            text
            for line in lines
            for text in line["evidence"][0]["evidence_text_full_page"].splitlines()
        }
        for item in all_items(data_set, 12, 2, 900):
            assert 855 <= item.input_tokens <= 909
            for text in str(item.document).splitlines():
                assert text in known or text == "" or text.startswith("[Doc")

    def test_evidence_that_is_longer_than_the_size_makes_the_item_longer(
        self, tmp_path: Path
    ) -> None:
        data_set = open_data_set(written(tmp_path, finance_line(1, pages=3), finance_line(2)))
        items = {str(item.question)[:19]: item for item in all_items(data_set, 2, 0, 300)}
        assert items["Question: What is 1"].input_tokens > 500

    def test_a_size_above_all_pages_is_refused(self, tmp_path: Path) -> None:
        data_set = open_data_set(written(tmp_path, finance_line(1), finance_line(2)))
        with pytest.raises(UsageError, match=r"has pages for \d+ input tokens, but 50000"):
            data_set.items(1, 0, 50_000, COUNT)

    def test_where_the_evidence_stands_is_drawn(self, tmp_path: Path) -> None:
        data_set = open_data_set(written(tmp_path, *(finance_line(n) for n in range(12))))
        first = {
            str(item.document).startswith(f"[Doc{str(item.question)[18:].split('?')[0]},")
            for item in all_items(data_set, 12, 3, 1500)
        }
        assert first == {True, False}

    @pytest.mark.parametrize(
        ("answer", "question", "value", "unit"),
        [
            ("$1577.00", "What is it (in USD millions)?", "1577.00", "USD million"),
            ("$8.70", "Answer in USD billions.", "8.70", "USD billion"),
            ("$3,410", "What is it?", "3410", "USD"),
            ("$1.2 billion", "In USD millions?", "1.2", "USD billion"),
            ("65.4%", "In percents?", "65.4", "%"),
            ("24.26", "What is the ratio?", "24.26", None),
            ("-0.02", "What is the return?", "-0.02", None),
            ("($12)", "What is it?", "-12", "USD"),
            ("-$12", "What is it?", "-12", "USD"),
            ("0", "How many?", "0", None),
        ],
    )
    def test_a_gold_number_has_its_unit(
        self, answer: str, question: str, value: str, unit: str | None
    ) -> None:
        reference = gold_answer(answer, question)
        assert (reference.kind, reference.value, reference.unit) == ("number", value, unit)

    @pytest.mark.parametrize("answer", ["No, it is not.", "FY2021", "The 3 largest are A, B.", "$"])
    def test_other_gold_answers_are_text(self, answer: str) -> None:
        reference = gold_answer(answer, "What?")
        assert (reference.kind, reference.value, reference.unit) == ("text", answer, None)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"evidence": []}, "evidence was expected to be a list of at least one page"),
            ({"evidence": "page"}, "evidence was expected to be a list"),
            ({"evidence": ["page"]}, r"evidence\.0 was expected to be an object, but is a text"),
            ({"evidence": [{"doc_name": "D"}]}, "evidence_text_full_page is missing"),
            ({"question": ""}, "question is empty"),
            ({"answer": 5}, "answer was expected to be a text, but is a number"),
            ({"financebench_id": "q1"}, "was used in line 1 already"),
        ],
    )
    def test_a_faulty_line_is_named(
        self, tmp_path: Path, changed: dict[str, Any], message: str
    ) -> None:
        path = written(tmp_path, finance_line(1), finance_line(2, **changed))
        with pytest.raises(SchemaError, match=rf"set\.jsonl, line 2: .*{message}"):
            open_data_set(path)


class TestOpenAssistant:
    def test_an_item_ends_with_a_turn_of_the_users(self, tmp_path: Path) -> None:
        data_set = open_data_set(written(tmp_path, tree("a " * 100, "b " * 90, "c " * 50, "d")))
        (item,) = all_items(data_set, 1, 0, 300)
        assert [message.role for message in item.messages] == ["user", "assistant", "user"]
        assert item.reference is None

    def test_the_path_nearest_to_the_size_is_taken(self, tmp_path: Path) -> None:
        path = written(tmp_path, tree("a " * 100, "b " * 100, "c " * 100))
        data_set = open_data_set(path)
        (short,) = all_items(data_set, 1, 0, 120)
        (long,) = all_items(data_set, 1, 0, 280)
        assert (len(short.messages), len(long.messages)) == (1, 3)
        assert short.item_id != long.item_id

    def test_branches_are_followed(self, tmp_path: Path) -> None:
        fork = tree("a " * 40, "b " * 40)
        reply = fork["prompt"]["replies"][0]
        reply["replies"] = [
            {"text": "c " * length, "role": "prompter", "lang": "en"} for length in (10, 200)
        ]
        data_set = open_data_set(written(tmp_path, fork))
        for size, length in ((90, 10), (280, 200)):
            (item,) = all_items(data_set, 1, 0, size)
            assert item.messages[-1].content == "c " * length

    def test_other_languages_deleted_messages_and_far_sizes_are_left_out(
        self, tmp_path: Path
    ) -> None:
        path = written(
            tmp_path,
            tree("Guten Tag " * 30, lang="de"),
            tree("gone " * 100, deleted=True),
            tree("far " * 2000),
            tree("near " * 100),
        )
        data_set = open_data_set(path)
        (item,) = all_items(data_set, 1, 0, 150)
        assert item.messages[0].content.startswith("near")
        with pytest.raises(UsageError, match="has 1 English conversation of 75 to 225 tokens"):
            data_set.items(2, 0, 150, COUNT)

    @pytest.mark.parametrize(
        ("prompt", "message"),
        [
            ("x", "a message was expected to be an object, but is a text"),
            (None, "a message was expected to be an object, but is null"),
            ({"text": "x", "role": "robot", "lang": "en"}, "role was expected .* 'robot'"),
            ({"text": "x", "lang": "en"}, "role was expected .* null"),
            ({"text": 3, "role": "prompter", "lang": "en"}, "text was expected to be a text"),
            ({"text": "x", "role": "prompter", "replies": 3}, "replies was expected to be a list"),
        ],
    )
    def test_a_faulty_tree_is_named(self, tmp_path: Path, prompt: object, message: str) -> None:
        path = written(tmp_path, tree("ok"), {"message_tree_id": "t", "prompt": prompt})
        with pytest.raises(SchemaError, match=rf"set\.jsonl, line 2: {message}"):
            open_data_set(path)

    def test_a_conversation_of_many_turns_needs_no_deep_stack(self, tmp_path: Path) -> None:
        data_set = open_data_set(written(tmp_path, tree(*["word"] * 301)))
        (item,) = all_items(data_set, 1, 0, 300)
        assert len(item.messages) > 90


class TestProblems:
    def test_the_answers_of_gsm8k_stand_after_the_mark(self, tmp_path: Path) -> None:
        answers = ["a #### 1\n#### 1,200", "#### -3", "#### $7.50"]
        lines = [{"question": f"Q{at}?", "answer": answer} for at, answer in enumerate(answers)]
        found = {
            item.messages[0].content[-3:]: item.reference
            for item in all_items(open_data_set(written(tmp_path, *lines)), 3)
        }
        values = [found[f"Q{at}?"] for at in range(3)]
        assert [value and value.value for value in values] == ["1200", "-3", "7.50"]
        assert all(value and value.kind == "number" for value in values)

    @pytest.mark.parametrize("answer", ["42", "#### ", "#### many"])
    def test_an_answer_of_gsm8k_without_a_number_is_named(
        self, tmp_path: Path, answer: str
    ) -> None:
        path = written(tmp_path, FORMATS["gsm8k"], {"question": "Q?", "answer": answer})
        with pytest.raises(SchemaError, match=r'line 2: answer was expected to end in "#### "'):
            open_data_set(path)

    @pytest.mark.parametrize(
        ("solution", "boxed"),
        [
            ("so $\\boxed{12}$.", "12"),
            ("$\\boxed{1}$ no, $\\boxed{\\frac{1}{2}}$", "\\frac{1}{2}"),
            ("$\\boxed 5$", "5"),
            ("$\\boxed{ x }$", "x"),
            ("nothing", None),
            ("$\\boxed{open", None),
            ("\\boxed", None),
            ("\\boxed{}", None),
            ("\\boxed$", None),
        ],
    )
    def test_the_last_box_is_the_answer(self, solution: str, boxed: str | None) -> None:
        assert boxed_answer(solution) == boxed

    def test_an_answer_of_math_is_a_number_a_text_or_unknown(self, tmp_path: Path) -> None:
        solutions = ["\\boxed{1{,}234}", "\\boxed{x+1}", "unknown"]
        lines = [{"problem": f"P{at}", "solution": text} for at, text in enumerate(solutions)]
        found = {
            item.messages[0].content[-2:]: item.reference
            for item in all_items(open_data_set(written(tmp_path, *lines)), 3)
        }
        number, text, unknown = (found[f"P{at}"] for at in range(3))
        assert number is not None and (number.kind, number.value) == ("number", "1234")
        assert text is not None and (text.kind, text.value) == ("text", "x+1")
        assert unknown is None


class TestPlain:
    def test_prompts_messages_answers_and_ids_are_taken_over(self, tmp_path: Path) -> None:
        path = written(
            tmp_path,
            {"prompt": "One?", "answer": 1, "id": "first"},
            {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]},
            {"prompt": "Three?", "answer": "1,000.5"},
            {"prompt": "Four?", "answer": "maybe"},
            {"prompt": "Five?", "answer": 0.0000001},
        )
        data_set = open_data_set(path)
        found = {item.item_id.partition("/")[2]: item for item in all_items(data_set, 5)}
        assert set(found) == {"first", "line 2", "line 3", "line 4", "line 5"}
        assert [message.role for message in found["line 2"].messages] == ["system", "user"]
        answers = {name: item.reference for name, item in found.items()}
        assert answers["line 2"] is None
        kinds = {name: (ref.kind, ref.value) for name, ref in answers.items() if ref}
        assert kinds == {
            "first": ("number", "1"),
            "line 3": ("number", "1000.5"),
            "line 4": ("text", "maybe"),
            "line 5": ("number", "0.0000001"),
        }

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ({"prompt": ""}, "prompt is empty"),
            ({"prompt": ["x"]}, "prompt was expected to be a text, but is a list"),
            ({"prompt": "x", "messages": []}, "cannot both be given"),
            ({"messages": []}, "messages was expected to be a list of at least one"),
            ({"messages": "x"}, "messages was expected to be a list"),
            ({"messages": ["x"]}, r"messages\.0 was expected to be an object"),
            ({"messages": [{"role": "tool", "content": "x"}]}, r"messages\.0\.role .* 'tool'"),
            ({"messages": [{"role": "user"}]}, r"messages\.0\.content is missing"),
            (
                {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
                r"messages\.0\.content was expected to be a text, but is a list",
            ),
            ({"messages": [{"role": "assistant", "content": "x"}]}, "expected to be the user's"),
            ({"prompt": "x", "answer": []}, "answer was expected to be a text or a number"),
            ({"prompt": "x", "answer": True}, "answer .* truth value"),
            ({"prompt": "x", "answer": ""}, "answer is empty"),
            ({"prompt": "x", "id": {}}, "id was expected to be a text or a whole number"),
            ({"question": "x"}, "prompt is missing"),
        ],
    )
    def test_a_faulty_line_is_named(
        self, tmp_path: Path, line: dict[str, Any], message: str
    ) -> None:
        path = written(tmp_path, {"prompt": "fine"}, line)
        with pytest.raises(SchemaError, match=rf"set\.jsonl, line 2: .*{message}"):
            open_data_set(path)


class TestRealData:
    def test_financebench_items_hold_their_evidence(self, test_data: Path) -> None:
        path = test_data / "financebench" / "sample20.jsonl"
        raw = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        questions = {entry["question"]: entry for entry in raw}
        for size in (1200, 8000):
            items = all_items(open_data_set(path), 20, 1, size)
            assert len({item.messages for item in items}) == 20
            for item in items:
                text = str(item.question).removeprefix("Question: ").rsplit("\n", 1)[0]
                evidence = questions[text]["evidence"]
                for page in evidence:
                    assert page["evidence_text_full_page"].strip() in item.messages[0].content
                if size == 8000:
                    longest = max(8000 * 1.02, COUNT(str(evidence)))
                    assert 8000 * 0.98 <= item.input_tokens <= longest
            numbers = [item.reference for item in items if item.reference]
            assert len(numbers) == 20
            assert sum(reference.kind == "number" for reference in numbers) == 11

    def test_openassistant_conversations_are_near_the_size(self, test_data: Path) -> None:
        data_set = open_data_set(test_data / "oasst" / "en_100_tree.jsonl")
        items = all_items(data_set, 40, 1, 750)
        assert all(375 <= item.input_tokens <= 1125 for item in items)
        assert all(item.messages[-1].role == "user" for item in items)
        assert any(len(item.messages) >= 3 for item in items)

    def test_every_problem_of_gsm8k_has_a_number(self, test_data: Path) -> None:
        items = all_items(open_data_set(test_data / "gsm8k" / "test.jsonl"), 1319)
        assert len({item.messages for item in items}) == 1319
        assert all(item.reference and item.reference.kind == "number" for item in items)
