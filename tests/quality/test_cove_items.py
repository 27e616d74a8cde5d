"""Requests made of pairs, and pairs read from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from minionbench.deployments.single import Local
from minionbench.errors import SchemaError, UsageError
from minionbench.exchange import Message
from minionbench.quality.claims import Part
from minionbench.quality.cove_drawn import built_in_pairs
from minionbench.quality.cove_items import CovePair, read_pairs
from tests.quality.driving import drive

PAIR: dict[str, Any] = {
    "id": "bridges-1",
    "kind": "bridges",
    "question": "Name the length of the Aro bridge, the river under it.",
    "context": "The Aro bridge spans the Tarn over 1,204 m.",
    "parts": [
        {"subject": "length of the Aro bridge", "value": "1,204", "type": "number", "unit": "m"},
        {"subject": "river under it", "value": "Tarn", "aliases": ["Tarn river"]},
    ],
    "clean": "The length of the Aro bridge is 1204 m. The river under it is the Tarn.",
    "planted": "The length of the Aro bridge is 1304 m. The river under it is the Tarn.",
    "error": 0,
}


def written(path: Path, *pairs: dict[str, Any]) -> Path:
    """A file of pairs."""
    file = path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return file


def test_each_pair_gives_a_planted_and_a_clean_request_with_the_draft_as_the_last_turn() -> None:
    pairs = built_in_pairs(number=2, kinds=["sums"])
    planted, clean, *_ = requests = list(pairs.requests(max_output_tokens=99, seed=7))
    pair = pairs.pairs[0]
    asked = f"Question: {pair.question}\nAnswer in one short sentence for each part."
    assert planted.messages == (Message("user", asked), Message("assistant", pair.planted))
    assert clean.messages == (Message("user", asked), Message("assistant", pair.clean))
    assert [request.item_id for request in requests] == [
        f"cove@1/0/sums/{index}/{draft}" for index in (0, 1) for draft in ("planted", "clean")
    ]
    assert (planted.limits.max_output_tokens, planted.limits.seed) == (99, 7)
    assert planted.limits.temperature == 0
    assert planted.question == pair.question
    assert planted.reference is not None
    assert planted.reference.value == pair.clean
    assert planted.input_tokens > 20


def test_the_base_request_is_the_question_alone() -> None:
    pairs = built_in_pairs(number=1, kinds=["context"])
    (base,) = pairs.base_requests()
    pair = pairs.pairs[0]
    assert base.item_id == f"{pair.pair_id}/base"
    record = drive(Local(), base, lambda prompt: prompt)
    assert record.answer == (
        f"{pair.context}\n\nQuestion: {pair.question}\nAnswer in one short sentence for each part."
    )


def test_pairs_are_read_from_a_file(tmp_path: Path) -> None:
    bare = {k: v for k, v in PAIR.items() if k not in ("id", "kind", "context")}
    read = read_pairs(written(tmp_path, PAIR, bare))
    assert read.pairs[0] == CovePair(
        pair_id=f"{read.source}/bridges-1",
        kind="bridges",
        question=PAIR["question"],
        context=PAIR["context"],
        parts=(
            Part(subject="length of the Aro bridge", value="1,204", type="number", unit="m"),
            Part(subject="river under it", value="Tarn", aliases=("Tarn river",)),
        ),
        clean=PAIR["clean"],
        planted=PAIR["planted"],
        error=0,
    )
    assert (read.pairs[1].pair_id, read.pairs[1].kind) == (f"{read.source}/line 2", "cove")
    assert read.pairs[1].context is None
    assert re.fullmatch("cove-file@[0-9a-f]{12}", read.source)
    assert read.seed is None


def test_the_description_of_the_format_can_be_read(tmp_path: Path, root: Path) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", (root / "docs/quality.md").read_text(), re.DOTALL)
    assert read_pairs(written(tmp_path, json.loads(example))).pairs[0].kind == "bridges"


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in PAIR.items() if k != name}


FIRST, SECOND = PAIR["parts"]


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (without("question"), "question was expected"),
        (without("clean"), "clean was expected"),
        (without("parts"), "parts was expected to be a list"),
        (PAIR | {"parts": []}, "parts was expected to be a list"),
        (PAIR | {"parts": ["x", SECOND]}, r"parts\[0\] was expected to be an object"),
        (PAIR | {"parts": [FIRST | {"value": ""}, SECOND]}, r"parts\[0\].value was expected"),
        (PAIR | {"parts": [FIRST, SECOND | {"type": "date"}]}, r"parts\[1\].type was expected"),
        (PAIR | {"parts": [FIRST, SECOND | {"aliases": "x"}]}, r"parts\[1\].aliases was"),
        (PAIR | {"parts": [FIRST, SECOND | {"answer": "x"}]}, r"parts\[1\].'answer' is not a"),
        (PAIR | {"gold": 1}, "'gold' is not a field"),
        (PAIR | {"error": 2}, "0 to 1"),
        (PAIR | {"error": True}, "0 to 1"),
        (PAIR | {"error": 1}, r"wrong about the parts \[0\]; the error is 1"),
        (PAIR | {"clean": PAIR["planted"]}, "the clean draft is wrong about part 0"),
        (PAIR | {"planted": PAIR["clean"]}, r"wrong about the parts \[\]"),
        (
            PAIR | {"planted": PAIR["planted"].replace("Tarn", "Orb")},
            r"wrong about the parts \[0, 1\]; the error is 0",
        ),
        (PAIR | {"planted": "No idea. None."}, "nothing can be read about 'length of"),
        (PAIR | {"question": "x" * 20_001}, "at most 20000"),
        (PAIR | {"question": 5}, "question was expected to be a text"),
    ],
)
def test_a_line_that_cannot_be_judged_is_refused_by_file_and_line(
    tmp_path: Path, pair: dict[str, Any], words: str
) -> None:
    file = written(tmp_path, PAIR | {"id": "fine"}, pair)
    with pytest.raises(SchemaError, match=words) as raised:
        read_pairs(file)
    assert f"{file}, line 2: " in str(raised.value)


def test_a_file_that_is_missing_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_pairs(tmp_path / "none.jsonl")


def test_the_workload_is_called_cove_whatever_it_is_made_of(tmp_path: Path) -> None:
    assert built_in_pairs(number=1).name == read_pairs(written(tmp_path, PAIR)).name == "cove"
