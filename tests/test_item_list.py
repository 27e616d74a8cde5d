"""Lists of items: what a file names, and what a run asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import SchemaError, UsageError
from minionbench.records import encode_record
from minionbench.store import item_ids_of_run, listed, read_item_ids
from tests import making
from tests.test_regrading import judged_record, saved

IDS = ("decode@1/0/3/300", "jsonl@0123456789ab/a/b c", "prefill@1/0/0/1200")


def written(folder: Path, text: str) -> Path:
    path = folder / "items"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(IDS),
        json.dumps(IDS, indent=2),
        "".join(json.dumps(one) + "\n" for one in IDS),
        "\ufeff" + "\n\n".join(json.dumps(one) for one in IDS),
        "".join(json.dumps({"item_id": one, "more": 1}) + "\n" for one in IDS),
        json.dumps([{"item_id": one} for one in IDS]),
        listed(IDS),
    ],
)
def test_a_list_may_be_json_or_json_lines(tmp_path: Path, text: str) -> None:
    assert read_item_ids(written(tmp_path, text)) == IDS


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=8))
def test_what_is_listed_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str]
) -> None:
    path = tmp_path_factory.mktemp("list") / "items"
    path.write_bytes(listed(ids).encode("utf-8", "surrogatepass"))
    assert read_item_ids(path) == tuple(ids)


def test_a_journal_gives_its_measured_items_once_in_the_order_of_the_plan(tmp_path: Path) -> None:
    records = [
        making.record(item="w", index=0, phase="warmup"),
        making.record(item="b", index=2),
        making.record(item="a", index=1),
        making.record(item="a", index=3, repeat=1),
    ]
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"".join(map(encode_record, records)) + b'{"torn')
    assert read_item_ids(path) == ("a", "b")
    path.write_bytes(encode_record(records[1]))
    assert read_item_ids(path) == ("b",)


def test_a_document_gives_the_items_of_its_records(tmp_path: Path) -> None:
    path, run = saved(tmp_path, judged_record("a", "1"), judged_record("b", "2"))
    assert read_item_ids(path) == item_ids_of_run(path, run) == ("a", "b")
    assert item_ids_of_run(path, run, "decode") == ("a", "b")
    with pytest.raises(UsageError, match="has no cell 'prefill'; its cells are: decode"):
        item_ids_of_run(path, run, "prefill")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no item"),
        ("[]", "names no item"),
        ("decode@1/0/3/300\n", "entry 1: an item id was expected"),
        ('["a", 5]', "entry 2"),
        ('"a"\n{"id": "b"}\n', "entry 2"),
        ('[""]', "entry 1"),
        ("[" * 5000, "entry 1"),
        ('{"a": 1}', "entry 1"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_item_ids(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no-such does not exist"):
        read_item_ids(tmp_path / "no-such")
    with pytest.raises(UsageError, match="cannot be read"):
        read_item_ids(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SchemaError, match="entry 1"):
        read_item_ids(tmp_path / "binary")
