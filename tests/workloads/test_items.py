"""Items by their ids: the same text for ever, or an error that says why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.workloads.builtin import Balanced, Decode, Prefill, data_set_workload
from minionbench.workloads.catalog import workload
from minionbench.workloads.data_set import open_data_set
from minionbench.workloads.items import has_any, named_requests, other_requests
from minionbench.workloads.workload import Workload
from tests.study import Questions
from tests.workloads.test_data_set import numbered, written

FORMATS = ("financebench", "openassistant", "gsm8k", "math", "jsonl")


def data_set(folder: Path, name: str, lines: int = 12) -> Workload:
    opened = open_data_set(written(folder, *(numbered(name, at) for at in range(lines))))
    return data_set_workload(opened, 200 if opened.default_input_tokens else None)


@pytest.mark.parametrize("name", ["prefill", "balanced", "decode"])
@given(seed=st.integers(min_value=-5, max_value=10**9), size=st.integers(200, 500))
@settings(max_examples=5)
def test_a_built_in_id_is_enough_to_make_the_item_again(name: str, seed: int, size: int) -> None:
    drawn = list(workload(name, input_tokens=size).requests(3, seed))
    plain = workload(name)
    again = named_requests([plain], [request.item_id for request in reversed(drawn)], seed)
    assert again == [tuple(reversed(drawn))]


@pytest.mark.parametrize("name", FORMATS)
def test_an_id_of_a_data_set_is_enough_to_find_the_item_again(tmp_path: Path, name: str) -> None:
    source = data_set(tmp_path, name)
    drawn = list(source.requests(5, 3))
    ids = [request.item_id for request in reversed(drawn)]
    assert named_requests([source], ids, 3) == [tuple(reversed(drawn))]


@pytest.mark.parametrize("name", FORMATS)
def test_an_id_of_a_file_with_other_content_is_refused(tmp_path: Path, name: str) -> None:
    (request,) = data_set(tmp_path, name, 12).requests(1, 0)
    other = data_set(tmp_path, name, 13)
    with pytest.raises(UsageError, match="has other content"):
        named_requests([other], [request.item_id], 0)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("own", ["no-such", "999999", "0", "-1/0", "a/b/c", "1/0/x", ""])
def test_an_id_that_names_nothing_in_the_file_is_refused(
    tmp_path: Path, name: str, own: str
) -> None:
    source = data_set(tmp_path, name)
    with pytest.raises(UsageError, match="has no item"):
        named_requests([source], [f"{source.source}/{own}"], 0)


def test_names_of_ones_own_may_hold_slashes(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": "Say yes.", "id": "a/b c"}) + "\n")
    source = workload("jsonl", dataset=path)
    ((request,),) = named_requests([source], [f"{source.source}/a/b c"], 0)
    assert request.messages[0].content == "Say yes."


@pytest.mark.parametrize(
    ("item_id", "said"),
    [
        ("decode@1/0/3", "no item of decode; its ids are like decode@1/0/3/300"),
        ("decode@1/0/-1/300", "no item of decode"),
        ("decode@1/0/03/300", "no item of decode"),
        ("decode@1/0/3/300/4", "no item of decode"),
        ("decode@x/0/3/300", "no item of decode"),
        ("decode@7/0/3/300", "version 7 of decode's texts"),
        ("decode@1/0/3/30", "smallest is 200"),
        ("decode@1/0/3/99999999999", "largest is"),
        ("prefill@1/0/3/1200", "of none of the workloads"),
        ("gsm8k@0123456789ab/7", "of none of the workloads"),
        ("", "of none of the workloads"),
        ("decode@1/0/3/300\x1b[2J", "no item of decode"),
    ],
)
def test_what_is_no_item_is_refused_with_the_reason(item_id: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        named_requests([Decode()], [item_id], 0)
    assert said in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_each_id_goes_to_its_workload_and_the_order_stays() -> None:
    ids = ["prefill@1/0/5/300", "decode@1/0/2/300", "prefill@1/9/0/200", "decode@1/0/1/300"]
    prefill, decode = named_requests([Prefill(), Decode()], ids, 0)
    assert [request.item_id for request in prefill] == [ids[0], ids[2]]
    assert [request.item_id for request in decode] == [ids[1], ids[3]]


def test_limits_are_those_of_the_workload() -> None:
    ((request,),) = named_requests([Decode(output_tokens=9)], ["decode@1/4/2/300"], 0)
    assert request.limits.forced_output_tokens == 9


def test_an_item_is_named_once_and_each_workload_has_one() -> None:
    with pytest.raises(UsageError, match="more than once"):
        named_requests([Decode()], ["decode@1/0/1/300"] * 2, 0)
    with pytest.raises(UsageError, match="None of the items is one of prefill"):
        named_requests([Decode(), Prefill()], ["decode@1/0/1/300"], 0)


def test_a_workload_without_ids_has_none() -> None:
    assert not has_any(Questions(), ["balanced/0/0"])
    with pytest.raises(UsageError, match="of none of the workloads"):
        named_requests([Questions()], ["balanced/0/0"], 0)


def test_what_warms_up_is_not_among_the_named() -> None:
    named = tuple(Balanced().requests(4, 0))[1:3]
    others = other_requests(Balanced(), named, 3, 0)
    assert [request.item_id.split("/")[2] for request in others] == ["0", "3", "4"]
    assert other_requests(Balanced(), named, 0, 0) == ()


def test_a_data_set_that_has_no_more_items_to_warm_up_with_says_so(tmp_path: Path) -> None:
    source = data_set(tmp_path, "gsm8k", 3)
    named = tuple(source.requests(3, 0))
    assert len(other_requests(source, named[:2], 1, 0)) == 1
    with pytest.raises(UsageError, match="take --warmup 0"):
        other_requests(source, named, 1, 0)
