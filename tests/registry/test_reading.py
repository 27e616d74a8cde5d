"""Reading the registry: each entry is judged on its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import SchemaError, UsageError
from minionbench.registry import RegistryEntry, UnusableEntry, model_type, read_registry

ENTRY = {
    "version": "v1.0",
    "base_model": "llama",
    "distilled_from": None,
    "quantization": "4bit",
    "model_path": "/models/v1.0",
    "timestamp": "2025-01-02T03:04:05",
    "metrics": {"loss": 0.5},
    "active": True,
    "last_good": False,
    "commit_hash": "abc",
}
"""An entry as the prototype of the registry wrote it."""


def registry(folder: Path, content: object) -> Path:
    path = folder / "registry.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("quantization", "distilled_from", "expected"),
    [
        (None, None, "base"),
        ("", "", "base"),
        ("4bit", None, "quantized"),
        ("Q4_0", "", "quantized"),
        (None, "adapter", "distilled"),
        ("8bit", "adapter", "quantized+distilled"),
        ("none", None, "base"),
        ("FP16", None, "base"),
        (" bf16 ", "adapter", "distilled"),
    ],
)
def test_the_type_follows_from_format_and_teacher(
    quantization: str | None, distilled_from: str | None, expected: str
) -> None:
    assert model_type(quantization, distilled_from) == expected
    entry = RegistryEntry(version="v", quantization=quantization, distilled_from=distilled_from)
    assert entry.model_type == expected


def test_an_entry_of_the_prototype_is_read(tmp_path: Path) -> None:
    assert read_registry(registry(tmp_path, [ENTRY])) == [
        RegistryEntry(
            version="v1.0", model_path="/models/v1.0", base_model="llama", quantization="4bit"
        )
    ]


@pytest.mark.parametrize(
    ("entry", "version", "problem"),
    [
        (5, "registry[1]", "Expected `object`, got `int`"),
        (None, "registry[1]", "Expected `object`, got `null`"),
        ({}, "registry[1]", "missing required field `version`"),
        ({"version": ""}, "registry[1]", "length >= 1 - at `$.version`"),
        ({"version": 1}, "registry[1]", "Expected `str`, got `int` - at `$.version`"),
        (ENTRY | {"model_path": 7}, "v1.0", "Expected `str | null`, got `int` - at `$.model_path`"),
        (ENTRY | {"quantization": 4}, "v1.0", "at `$.quantization`"),
        (ENTRY | {"base_model": "\ud800"}, "v1.0", "not valid Unicode"),
        (ENTRY | {"version": "\ud800"}, "registry[1]", "not valid Unicode"),
    ],
)
def test_one_bad_entry_does_not_hide_the_others(
    tmp_path: Path, entry: object, version: str, problem: str
) -> None:
    first, bad, last = read_registry(registry(tmp_path, [ENTRY, entry, ENTRY]))
    assert isinstance(first, RegistryEntry)
    assert first == last
    assert isinstance(bad, UnusableEntry)
    assert bad.version == version
    assert bad.problem.startswith("registry[1]: ")
    assert problem in bad.problem


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from([*ENTRY, "surprise"])


@given(st.lists(st.dictionaries(fields, json_values) | json_values, max_size=5))
def test_any_list_is_read_entry_by_entry(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Any]
) -> None:
    read = read_registry(registry(tmp_path_factory.mktemp("registry"), entries))
    assert len(read) == len(entries)
    for entry, found in zip(entries, read, strict=True):
        if isinstance(found, RegistryEntry):
            assert found.version == entry["version"] != ""


@pytest.mark.parametrize(
    "content",
    ["", "[", '[{"version": "v1"},]', "nonsense", "{}", "null", "3", '"text"', "[" * 100_000],
)
def test_a_corrupt_registry_is_an_error_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = registry(tmp_path, content)
    before = path.stat()
    with pytest.raises(SchemaError, match=r"registry\.json"):
        read_registry(path)
    assert path.read_text() == content
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert os.listdir(tmp_path) == ["registry.json"]


def test_bytes_that_are_not_text_are_a_corrupt_registry(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    path.write_bytes(b'["\xff"]')
    with pytest.raises(SchemaError, match="not valid JSON"):
        read_registry(path)


def test_a_registry_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no registry at"):
        read_registry(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_registry(tmp_path)


def test_the_example_on_the_page_is_a_registry(tmp_path: Path, root: Path) -> None:
    page = (root / "docs" / "registry.md").read_text(encoding="utf-8")
    example = page.partition("```json\n")[2].partition("```")[0]
    (entry,) = read_registry(registry(tmp_path, example))
    assert isinstance(entry, RegistryEntry)
    assert (entry.version, entry.model_type) == ("v1.0", "quantized")
