from __future__ import annotations

import re

import pytest

from minionbench.engines import families
from minionbench.engines.catalog import ModelSpec
from minionbench.engines.families import FAMILIES, FORMATS, Q1_5B, Q3B, Q8B, Quant, pick
from minionbench.errors import UsageError


@pytest.mark.parametrize(
    ("model", "quant", "picked"),
    [
        ("llama3.2", Q3B(), "ollama/llama3.2:3b"),
        ("llama3.2", Q1_5B(), "ollama/llama3.2:1b"),
        ("ollama/llama3.2", Q3B(), "ollama/llama3.2:3b"),
        ("llama3.1", Q8B(), "ollama/llama3.1:8b"),
        ("qwen2.5", Q1_5B(), "ollama/qwen2.5:1.5b"),
        ("qwen2.5", Q8B(), "ollama/qwen2.5:7b"),
        ("qwen3", Q1_5B(), "ollama/qwen3:1.7b"),
        ("gemma3", Q3B(), "ollama/gemma3:4b"),
        ("llama3.2", Q3B("Q4_K_M"), "ollama/llama3.2:3b-instruct-q4_K_M"),
        ("gemma3", Q1_5B("f16"), "ollama/gemma3:1b-it-fp16"),
        ("llama3.2:1b", Quant("q8_0"), "ollama/llama3.2:1b-instruct-q8_0"),
        ("llama3.2", Quant("Q8_0"), "ollama/llama3.2:3b-instruct-q8_0"),
        ("reference", Quant("q4_0"), "reference/q4_0"),
        ("reference", Quant("fp16"), "reference/f16"),
        ("reference", None, "reference/q8_0"),
        ("llama3.2", None, "ollama/llama3.2"),
    ],
)
def test_a_name_and_a_tier_mean_a_real_tag(
    model: str, quant: families.LocalQuant | None, picked: str
) -> None:
    assert pick(model, quant).text == picked


@pytest.mark.parametrize(
    ("model", "quant", "said"),
    [
        ("llama3.2", Q8B(), r"no member near 8 billion .* has 1b, 3b .* llama3\.1"),
        ("llama3.1", Q1_5B(), "no member near 1.5 billion"),
        ("llama3.2:1b", Q3B(), "names its size already"),
        ("nosuch", Q3B(), "not in the table of families"),
        ("qwen3", Q8B("q4_0"), "known in q4_K_M, q8_0, fp16"),
        ("llama3.2:90b", Quant("q8_0"), r"llama3\.2:90b is not in the table"),
        ("reference", Q3B(), "has one size"),
        ("reference/q8_0", Quant("q4_0"), "names its format already"),
        ("reference", Quant("q5_0"), "no format 'q5_0'; it has f16, q8_0, q4_0"),
        ("llamacpp/a.gguf", Q3B(), "one size in one format"),
        ("openai/gpt", Quant("q8_0"), "one size in one format"),
    ],
)
def test_what_cannot_be_chosen_is_told(model: str, quant: families.LocalQuant, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pick(model, quant)


@pytest.mark.parametrize("make", [Quant, Q3B])
def test_an_unknown_format_is_refused_where_it_is_written(make: type) -> None:
    with pytest.raises(UsageError, match="no weight format 'q4'"):
        make("q4")


def test_labels_tell_tier_and_format() -> None:
    assert (Q3B().label, Q8B("Q4_k_m").label, Quant("F16").label) == ("Q3B", "Q8B q4_K_M", "fp16")


def test_the_table_names_only_tags_that_ollama_could_have() -> None:
    assert re.fullmatch(r"20\d\d-\d\d", families.TABLE_DATE)
    for family in FAMILIES.values():
        assert set(family.formats) <= set(FORMATS)
        assert list(family.members) == sorted(family.members, key=lambda m: m.parameters_b)
        for member in family.members:
            assert member.format_tag.startswith(f"{member.tag}-")
            assert member.format_tag.endswith("-{}")
            # A tag rounds the size that the model's card counts (qwen3's leave embeddings out).
            assert member.parameters_b == pytest.approx(float(member.tag[:-1]), rel=0.31)


def test_what_is_picked_is_a_name_that_parses_to_itself() -> None:
    for name in FAMILIES:
        for tier in (Q1_5B("q4_K_M"), Q3B("q4_K_M"), Q8B("q4_K_M")):
            try:
                spec = pick(name, tier)
            except UsageError as error:
                assert "no member near" in str(error)
            else:
                assert ModelSpec.parse(spec.text) == spec
