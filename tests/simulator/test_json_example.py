"""The example of a schema is valid by an independent validator."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from minionbench.simulator.asked import Refused
from minionbench.simulator.json_example import json_example

LEAVES = st.one_of(
    st.builds(
        lambda least, more: {"type": "integer", "minimum": least, "maximum": least + more},
        st.integers(-50, 50),
        st.integers(0, 9),
    ),
    st.builds(lambda n: {"type": "number", "exclusiveMinimum": n}, st.integers(-9, 9)),
    st.builds(lambda n: {"type": "number", "maximum": n}, st.integers(-9, 9)),
    st.builds(lambda n: {"type": "integer", "multipleOf": n, "minimum": 5}, st.integers(1, 9)),
    st.builds(lambda n: {"type": "string", "minLength": n, "maxLength": n}, st.integers(0, 9)),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers(), min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value}, st.one_of(st.text(), st.booleans(), st.none())),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}]),
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def an_object(properties: dict[str, Any], needed: int) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties)[:needed],
            "additionalProperties": False,
        }

    return st.one_of(
        st.builds(an_object, st.dictionaries(st.text(max_size=3), inner), st.integers(0, 4)),
        st.builds(
            lambda items, n: {"type": "array", "items": items, "minItems": n},
            inner,
            st.integers(0, 3),
        ),
        st.builds(lambda choices: {"anyOf": choices}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda one: {"allOf": [one]}, inner),
        st.builds(lambda one: {"$defs": {"x": one}, "$ref": "#/$defs/x"}, LEAVES),
    )


# A $ref leads from the document's root, so schemas with one are not put into others.
SCHEMAS = st.recursive(LEAVES, nested, max_leaves=8).filter(
    lambda schema: "$ref" in schema or "$ref" not in str(schema)
)


@settings(max_examples=150)
@given(SCHEMAS)
def test_the_example_is_valid(schema: Any) -> None:
    Draft202012Validator(schema).validate(json_example(schema))


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
        ({"type": "array"}, []),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        (
            {"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3},
            [1, 2, 2],
        ),
        ({"minimum": 3}, 3),
        ({"minLength": 2}, "xx"),
        ({"items": {"type": "string"}}, []),
        ({"type": ["integer", "string"]}, 0),
        ({}, {}),
        ({"properties": {"a": {"const": 1}}, "required": ["a"]}, {"a": 1}),
    ],
)
def test_the_example_is_the_smallest(schema: Any, example: Any) -> None:
    assert json_example(schema) == example


def test_a_type_that_holds_itself_ends() -> None:
    tree = {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["next"],
            }
        },
        "$ref": "#/$defs/node",
    }
    assert json_example(tree) == {"next": None}


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "nonsense"},
        {"$ref": "#/nowhere"},
        {"$ref": "http://example.org/schema"},
        {"$defs": {"x": {"$ref": "#/$defs/x"}}, "$ref": "#/$defs/x"},
        {"type": "integer", "minimum": 5, "maximum": 4},
    ],
)
def test_what_allows_nothing_is_refused(schema: Any) -> None:
    with pytest.raises(Refused):
        json_example(schema)
