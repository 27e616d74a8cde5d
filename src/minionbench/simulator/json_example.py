"""A smallest value that a JSON Schema allows, as a model bound to the schema might answer.

Covers what structured outputs allow: types, `properties`, `required`, `items`, `prefixItems`,
`enum`, `const`, `anyOf`, `oneOf`, `allOf`, `$ref` inside the document, and the bounds of numbers,
strings and arrays. Not covered, and then possibly broken: `pattern`, `not`, `if`, and the
uniqueness of items.
"""

from __future__ import annotations

import math
from typing import Any

from minionbench.simulator.asked import Refused

_DEPTH = 40
"""Deeper than this a schema that refers to itself is not followed."""
_FORMATS = {
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "a@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "duration": "P1D",
}


def json_example(schema: Any) -> Any:
    """The value.

    Raises Refused when the schema allows none, or none that is found.
    """
    return _example(schema, schema, 0)


def _example(schema: Any, root: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise Refused("bad_request", "Invalid schema: it goes deeper than can be followed.")
    if schema is True or schema == {}:
        return {}
    if not isinstance(schema, dict):
        raise Refused("bad_request", "Invalid schema: it allows no value.")
    schema = _resolved(schema, root, depth)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        choices = schema.get(word)
        if isinstance(choices, list) and choices:
            return _first_possible(schema, word, choices, root, depth)
    return _of_type(schema, root, depth)


def _resolved(schema: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    """The schema with its `$ref` and `allOf` merged in."""
    merged = dict(schema)
    parts = []
    if isinstance(merged.get("$ref"), str):
        parts.append(_referred(merged.pop("$ref"), root))
    if isinstance(merged.get("allOf"), list):
        parts.extend(merged.pop("allOf"))
    for part in parts:
        if depth > _DEPTH or not isinstance(part, dict):
            raise Refused("bad_request", "Invalid schema: a part of it is no schema.")
        for word, value in _resolved(part, root, depth + 1).items():
            if word == "properties" and isinstance(value, dict):
                merged[word] = {**value, **merged.get(word, {})}
            elif word == "required" and isinstance(value, list):
                merged[word] = [*merged.get(word, []), *value]
            elif word.startswith("min") and word in merged:
                merged[word] = max(merged[word], value)
            else:
                merged.setdefault(word, value)
    return merged


def _referred(reference: str, root: Any) -> Any:
    found = root
    if not reference.startswith("#"):
        raise Refused("bad_request", f"Invalid schema: {reference} is not inside the document.")
    for name in reference.removeprefix("#").split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            raise Refused("bad_request", f"Invalid schema: {reference} leads nowhere.")
        found = found[name]
    return found


def _first_possible(
    schema: dict[str, Any], word: str, choices: list[Any], root: Any, depth: int
) -> Any:
    rest = {name: value for name, value in schema.items() if name != word}
    problem: Refused | None = None
    # What has no reference first, so that a recursive type ends at once.
    for choice in sorted(choices, key=lambda choice: "$ref" in str(choice)):
        try:
            if not isinstance(choice, dict):
                return _example(choice, root, depth + 1)
            return _example({"allOf": [choice], **rest}, root, depth + 1)
        except Refused as error:
            problem = error
    assert problem is not None
    raise problem


def _of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = "null" if "null" in kind else kind[0]
    if kind is None:
        kind = _guessed(schema)
    match kind:
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, root, depth)
        case "string":
            text = _FORMATS.get(schema.get("format", ""), "")
            return text.ljust(int(schema.get("minLength", 0)), "x")
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return False
        case "null":
            return None
    raise Refused("bad_request", f"Invalid schema: there is no type {kind!r}.")


def _guessed(schema: dict[str, Any]) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if "minimum" in schema or "maximum" in schema:
        return "number"
    if "minLength" in schema or "format" in schema:
        return "string"
    return "object"


def _object(schema: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = dict.fromkeys(schema.get("required", []))
    names = [name for name in properties if name in required]
    names += [name for name in required if name not in properties]
    return {name: _example(properties.get(name, True), root, depth + 1) for name in names}


def _array(schema: dict[str, Any], root: Any, depth: int) -> list[Any]:
    first = schema.get("prefixItems", [])
    items = schema.get("items", True)
    least = int(schema.get("minItems", 0))
    return [
        _example(first[index] if index < len(first) else items, root, depth + 1)
        for index in range(least)
    ]


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    low, above = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)
    high, below = schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf)
    step = schema.get("multipleOf", 1 if whole else None)

    def allowed(value: float) -> bool:
        return bool(low <= value <= high and above < value < below)

    candidates: list[int | float] = [0]
    if step:
        for bound, direction in ((max(low, above), 1), (min(high, below), -1)):
            if math.isfinite(bound):
                near = (math.ceil if direction > 0 else math.floor)(bound / step) * step
                candidates += [near, near + direction * step]
    else:
        least, most = max(low, above), min(high, below)
        if math.isfinite(least) and math.isfinite(most):
            candidates += [least, most, (least + most) / 2]
        else:
            candidates += [bound + offset for bound in (least, most) for offset in (0, 1, -1)]
    for candidate in candidates:
        if math.isfinite(candidate) and allowed(candidate):
            return int(candidate) if whole else candidate
    raise Refused("bad_request", "Invalid schema: no number is within its bounds.")
