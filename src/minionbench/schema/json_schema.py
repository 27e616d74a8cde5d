"""The run document's form as JSON Schema, for programs in other languages."""

from __future__ import annotations

import json
from inspect import cleandoc
from typing import Any

import msgspec

from minionbench.schema.cell import NEEDED_BY_LOAD
from minionbench.schema.complaint import END
from minionbench.schema.metric import KNOWN_KEYS, RULES
from minionbench.schema.migration import SCHEMA_VERSION
from minionbench.schema.run import BenchmarkRun

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the documents that this program writes.

    It holds the form and the rules of metrics. Two rules are beyond its language and stand in the
    code alone: cell ids are unique in a document, and a verdict is as bad as its worst reason.
    """
    _, parts = msgspec.json.schema_components([BenchmarkRun], ref_template="#/$defs/{name}")
    metric = parts["MetricResult"]
    metric["allOf"] = RULES
    metric["properties"]["metadata"]["properties"] = KNOWN_KEYS
    parts["LoadDocument"]["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {"properties": {field: {"not": {"type": "null"}} for field in needed}},
        }
        for kind, needed in NEEDED_BY_LOAD.items()
    ]
    return {
        "$schema": DIALECT,
        "$id": f"urn:minionbench:benchmark-run:{SCHEMA_VERSION}",
        **_tidied(parts.pop("BenchmarkRun")),
        "$defs": _tidied(parts),
    }


def _tidied(node: Any) -> Any:
    """The same with patterns as JSON Schema writes them, and without docstrings' indentation."""
    if isinstance(node, list):
        return [_tidied(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidied(inner) for key, inner in node.items()}
    if isinstance(pattern := tidy.get("pattern"), str):
        tidy["pattern"] = pattern.replace(END, "$")
    if isinstance(description := tidy.get("description"), str):
        tidy["description"] = cleandoc(description)
    return tidy


def json_schema_text() -> str:
    """The JSON Schema as the committed file holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
