"""Changing the registry's text: what is not changed stays character by character."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.errors import SchemaError
from minionbench.registry.source import RegistrySource

HERE = Path("registry.json")

PROTOTYPE = """\
[
    {"version": "a", "metrics": {"loss": 1.10, "huge": 1e400, "odd": NaN}, "x": "\\u00e4"},
    {
        "version": "b",
        "active": true
    },
    7
]
"""
"""A layout of its own, with values that this program would write in another way."""


def source(text: str) -> RegistrySource:
    return RegistrySource(text.encode(), HERE)


def text_of(made: RegistrySource) -> str:
    return made.content().decode()


def test_an_entry_is_replaced_in_its_place_and_nothing_else_is_touched() -> None:
    made = source(PROTOTYPE)
    made.replace(1, {"version": "b", "active": False})
    assert made.changed
    assert text_of(made) == PROTOTYPE.replace("true", "false")


def test_an_entry_is_added_behind_the_last_one_in_the_layout_of_the_file() -> None:
    made = source('[\n    {\n        "version": "a"\n    }\n]\n')
    made.append({"version": "b"})
    assert text_of(made) == (
        '[\n    {\n        "version": "a"\n    },\n    {\n        "version": "b"\n    }\n]\n'
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[]", '[\n  {\n    "version": "b"\n  }\n]\n'),
        ("[\n]\n", '[\n  {\n    "version": "b"\n  }\n]\n'),
        ('[{"version":"a"}]', '[{"version":"a"}, {"version": "b"}]'),
        ("[1,2]", '[1,2,{"version": "b"}]'),
        ('[\n{"version":"a"}\n]', '[\n{"version":"a"}, {\n  "version": "b"\n}\n]'),
    ],
)
def test_an_entry_is_added_to_a_file_of_any_layout(before: str, after: str) -> None:
    made = source(before)
    made.append({"version": "b"})
    assert text_of(made) == after


def test_an_entry_that_says_the_same_is_left_alone() -> None:
    made = source(PROTOTYPE)
    made.replace(1, {"version": "b", "active": True})
    assert not made.changed
    made.replace(1, {"version": "b", "active": 1})
    assert made.changed


def test_letters_stay_letters_where_they_were() -> None:
    made = source('[{"version": "ä"}]')
    made.replace(0, {"version": "ä", "active": True})
    assert text_of(made) == '[{"version": "ä", "active": true}]'
    made = source('[{"version": "\\u00e4"}]')
    made.replace(0, {"version": "ä", "active": True})
    assert text_of(made) == '[{"version": "\\u00e4", "active": true}]'


def test_line_ends_that_are_not_jsons_stay_in_their_strings() -> None:
    made = source('[\n  {"version": "ä"}\n]')
    made.replace(0, {"version": "ä\x85\u2028b"})
    assert json.loads(made.content()) == [{"version": "ä\x85\u2028b"}]


def test_a_byte_order_mark_and_other_encodings_become_utf_8() -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        made = RegistrySource('[{"version": "ä"}]'.encode(encoding), HERE)
        made.append({"version": "b"})
        assert json.loads(made.content()) == [{"version": "ä"}, {"version": "b"}]


def test_what_is_no_list_is_refused() -> None:
    for text in ("", "{}", "[1,]", "[1", '"[]"'):
        with pytest.raises(SchemaError, match=r"registry\.json"):
            source(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
entries = st.dictionaries(st.text(max_size=5), values, max_size=3)


@settings(max_examples=60)
@given(
    before=st.lists(entries | values, max_size=5),
    indent=st.none() | st.integers(0, 4) | st.just("\t"),
    ascii_only=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 7), entries), max_size=4),
)
def test_the_text_says_what_the_changes_say_and_keeps_the_rest(
    before: list[Any],
    indent: int | str | None,
    ascii_only: bool,
    changes: list[tuple[int, dict[str, Any]]],
) -> None:
    text = json.dumps(before, indent=indent, ensure_ascii=ascii_only)
    made = RegistrySource(text.encode("utf-8", "surrogatepass"), HERE)
    expected = list(before)
    touched = set()
    for place, fields in changes:
        if place < len(expected):
            made.replace(place, fields)
            expected[place] = fields
            touched.add(place)
        else:
            made.append(fields)
            expected.append(fields)
    after = made.content()
    assert json.dumps(json.loads(after)) == json.dumps(expected)
    for place, entry in enumerate(before):
        if place not in touched and isinstance(entry, int | float | str):
            as_written = json.dumps(entry, ensure_ascii=ascii_only)
            assert as_written.encode("utf-8", "surrogatepass") in after
