"""The graders on real data sets: their own gold answers are right, another item's are not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from minionbench.quality.grading.catalog import grader_of
from minionbench.workloads.data_set import open_data_set
from minionbench.workloads.tokenizer import reference_tokenizer
from minionbench.workloads.workload import Item

COUNT = reference_tokenizer().count


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def items(path: Path) -> list[Item]:
    data_set = open_data_set(path)
    return list(data_set.items(len(data_set), 0, None, COUNT))


def grade(item: Item, answer: str) -> str | None:
    assert item.reference is not None
    return grader_of(item.reference, item.item_id).judge(answer, item.reference).grade


def test_gsm8ks_own_solutions_are_right_and_its_neighbours_are_not(test_data: Path) -> None:
    path = test_data / "gsm8k" / "test.jsonl"
    solutions = {str(number): line["answer"] for number, line in enumerate(lines(path), 1)}
    drawn = items(path)[:400]
    own = [solutions[item.item_id.rpartition("/")[2]] for item in drawn]
    assert {grade(item, text) for item, text in zip(drawn, own, strict=True)} == {"right"}
    others = [grade(item, text) for item, text in zip(drawn, own[1:] + own[:1], strict=True)]
    assert others.count("right") < 20
    # Without its mark a solution's last sentence says the result in all but a few.
    bare = [re.sub(r"<<.*?>>", "", text.rpartition("####")[0]) for text in own]
    found = [grade(item, text) for item, text in zip(drawn, bare, strict=True)]
    assert found.count("right") >= 390


def test_financebenchs_gold_answers_are_right_or_explanations(test_data: Path) -> None:
    path = test_data / "financebench" / "sample20.jsonl"
    gold = {line["financebench_id"]: line["answer"] for line in lines(path)}
    grades = {}
    for item in items(path):
        name = item.item_id.split("/")[1]
        grades[name] = grade(item, gold[name])
    assert set(grades.values()) == {"right", None}
    assert list(grades.values()).count("right") >= 10
