"""A key is in nothing that is kept, however it is quoted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Endpoint, Secret
from minionbench.wire.secrecy import hide, looks_like_key, secrets_of

KEY = "sk-proj-0123456789abcdef"


def test_the_key_is_hidden_wherever_it_stands() -> None:
    assert hide(f"wrong key {KEY}, not {KEY}!", [KEY]) == "wrong key …, not …!"
    assert hide("nothing here", [KEY]) == "nothing here"
    assert hide("nothing here", []) == "nothing here"


@given(st.integers(8, len(KEY)), st.text(max_size=5), st.text(max_size=5))
def test_a_key_that_a_cut_quotation_left_in_part_is_hidden_too(
    length: int, before: str, after: str
) -> None:
    hidden = hide(f"{before} {KEY[:length]} {after}", [KEY])
    assert KEY[:8] not in hidden
    assert hidden == f"{before} … {after}"


def test_hiding_is_quick_however_often_a_server_repeats_the_key() -> None:
    assert hide(KEY * 200_000, [KEY]) == "…" * 200_000
    assert hide(KEY[:8] * 200_000, [KEY]) == "…" * 200_000


def test_a_placeholder_that_local_servers_take_for_a_key_is_no_secret() -> None:
    for placeholder in ("", "x", "EMPTY", "none"):
        assert hide("an EMPTY box, none of x", [placeholder]) == "an EMPTY box, none of x"


def test_the_secrets_of_an_endpoint_are_its_key_and_what_its_headers_carry() -> None:
    headers = (
        ("X-Api-Key", "one"),
        ("Authorization", "Bearer two"),
        ("X-Auth-Token", " three "),
        ("Cookie", "session=four"),
        ("X-Title", "no secret"),
    )
    endpoint = Endpoint("http://h", "m", key=Secret("zero"), headers=headers)
    assert secrets_of(endpoint) == ["zero", "one", "two", "three", "session=four"]
    assert secrets_of(Endpoint("http://h", "m")) == []


@pytest.mark.parametrize(
    "name",
    [
        *("openai/gpt-5.5", "xai-grok-4-fast-reasoning", "deepseek/deepseek-chat", "gpt-oss:20b"),
        *("hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", "nvapi-models/nemotron-4-340b"),
        *(
            "llamacpp/models/task-specific-distilled-model.gguf",
            "anthropic/claude-opus-4-1-20250805",
        ),
        *("ollama/sk-learn-distilled-model-v1", "rk-llama32_3b_w8a8_rk3588_npu"),
        *("llamacpp/hf_meta_llama_3_8b_instruct_q4.gguf", "gsk_models_something_long_q4km"),
    ],
)
def test_the_name_of_a_model_does_not_look_like_a_key(name: str) -> None:
    assert not looks_like_key(name)


@pytest.mark.parametrize(
    "key",
    [
        *(KEY, "sk-ant-api03-aB3_x-4567890123456789", "hf_AbCdEfGhIjKlMnOpQrStUvWx"),
        *("gsk_0123456789abcdefghijABCD", "xai-0123456789abcdefghijABCD", "AKIAIOSFODNN7EXAMPLE"),
        *(f"sk-proj-aB3_x-{'Zy9' * 20}-4_x", "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuv"),
        *("Bearer abcdef123456", "eyJhbGciOi.eyJzdWIiOi.c2ln", f"AIza{'x' * 35}"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "openai/{}", " {} "])
def test_keys_of_well_known_services_are_known_by_their_looks(key: str, around: str) -> None:
    assert looks_like_key(around.format(key))
