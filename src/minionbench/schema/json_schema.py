"""The run document's form as JSON Schema, for programs in other languages."""

from __future__ import annotations

import json
from typing import Any

from minionbench.schema.migration import SCHEMA_VERSION
from minionbench.schema.run import BenchmarkRun

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the documents that this program writes.

    It holds the form and the rules of metrics. Two rules are beyond its language and stand in the
    code alone: cell ids are unique in a document, and a verdict is as bad as its worst reason.
    """
    schema = BenchmarkRun.model_json_schema(mode="serialization")
    return {
        "$schema": DIALECT,
        "$id": f"urn:minionbench:benchmark-run:{SCHEMA_VERSION}",
        **schema,
    }


def json_schema_text() -> str:
    """The JSON Schema as the committed file holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
