"""Log-probabilities of fixed texts, by hand and on the reference model."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from array import array
from pathlib import Path

import pytest

from minionbench.autobench import Procedure
from minionbench.autobench.likelihood import (
    METRICS,
    SOURCE,
    Likelihoods,
    Passage,
    Position,
    kl_to_base,
    load,
    perplexity_of,
    texts,
)
from minionbench.measuring import Silent
from tests.autobench.support import by_version, entry, measured, registry, why

CORE = Procedure(metrics=METRICS, passages=1)


def position(token: int, *probabilities: float, ids: list[int] | None = None) -> Position:
    """A position at which the tokens 0, 1, … have these probabilities."""
    logprobs = [math.log(p) for p in probabilities]
    tokens = array("I", ids or range(len(logprobs)))
    place = list(tokens).index(token)
    return Position(token, logprobs[place], tokens.tobytes(), array("f", logprobs).tobytes())


def scored(*positions: Position) -> Likelihoods:
    return Likelihoods(SOURCE, 0, (Passage(2 * len(positions), positions),))


def test_perplexity_is_that_of_the_tokens_that_came() -> None:
    value = perplexity_of(scored(position(0, 0.5, 0.5), position(1, 0.875, 0.125)), seed=0)
    assert value.value == pytest.approx(4.0)  # (2 · 8)^(1/2)
    assert value.metadata["n"] == 2
    assert value.metadata["bits_per_byte"] == pytest.approx(1.0)  # 4 bits over 4 bytes


def test_the_divergence_is_that_of_the_definition() -> None:
    base, other = scored(position(0, 0.5, 0.5)), scored(position(0, 0.25, 0.75))
    value = kl_to_base(other, base, "base", seed=0)
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert value.value == pytest.approx(expected, rel=1e-6)
    assert value.metadata["method"] == "over the whole vocabulary"
    assert value.metadata["perplexity_ratio"]["value"] == pytest.approx(2.0)
    assert kl_to_base(base, base, "base", seed=0).value == 0


def test_the_same_tokens_are_told_from_others() -> None:
    half, quarter = position(0, 0.5, 0.5), position(0, 0.25, 0.75)
    base = perplexity_of(scored(half), seed=0).metadata["tokens"]
    assert perplexity_of(scored(quarter), seed=0).metadata["tokens"] == base
    assert kl_to_base(scored(quarter), scored(half), "v1", seed=0).metadata["tokens"] == base
    for other in (scored(position(1, 0.5, 0.5)), scored(half, half)):
        assert perplexity_of(other, seed=0).metadata["tokens"] != base


def test_what_is_not_in_both_lists_is_taken_together() -> None:
    base = scored(position(0, 0.5, 0.25, ids=[0, 1]))
    other = scored(position(0, 0.25, 0.25, ids=[0, 2]))
    value = kl_to_base(other, base, "base", seed=0)
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert value.value == pytest.approx(expected, rel=1e-6)
    assert "a lower bound" in value.metadata["method"]


def test_other_tokens_cannot_be_compared() -> None:
    base, other = scored(position(0, 0.5, 0.5)), scored(position(1, 0.5, 0.5))
    value = kl_to_base(other, base, "v1", seed=0)
    assert value.status == "skipped" and value.reason == "v1 has another tokenizer"


def test_what_is_saved_is_loaded_again_and_a_torn_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "v1.bin"
    likelihoods = scored(position(0, 0.5, 0.5))
    likelihoods.save(path)
    assert load(path) == likelihoods
    path.write_bytes(path.read_bytes()[:-5])
    assert load(path) is None
    assert load(tmp_path / "gone") is None


def test_the_texts_of_a_seed_are_always_the_same() -> None:
    assert texts(0, 4) == texts(0, 4)
    assert len(set(texts(0, 4))) == len(texts(0, 4)) == 24
    assert texts(0, 4) != texts(1, 4)


def test_the_formats_of_the_reference_model_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))
    path = registry(
        tmp_path,
        *(
            entry(form, f"reference/{form}", base_model="own", quantization=form)
            for form in ("f16", "q8_0", "q4_0")
        ),
        entry("alone", "reference/q8_0", quantization="q8_0"),
    )
    outcome = measured(path, tmp_path, CORE)
    found = by_version(outcome)
    near, far = (found[name].metrics["kl_to_base"] for name in ("q8_0", "q4_0"))
    assert near.value is not None and far.value is not None
    assert 0 < near.value < far.value
    assert near.metadata["interval"]["high"] < far.metadata["interval"]["low"]
    assert near.metadata["base"] == "f16"
    assert why(found["f16"], "kl_to_base") == "it is the base model itself"
    assert "no model of full precision" in why(found["alone"], "kl_to_base")
    assert found["q8_0"].metrics["perplexity"].value == (
        found["alone"].metrics["perplexity"].value
    ), "the same file must give the same figure twice"
    assert outcome.exit_code == 0
    assert json.loads(outcome.path.read_text())["metadata"]["finished"] is True


def test_a_model_of_damaged_weights_has_no_likelihood(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))
    content = bytearray(random_model.read_bytes())
    half = len(content) // 2
    content[half:] = b"\xff" * (len(content) - half)  # each pair of bytes is a NaN
    (tmp_path / "nan.gguf").write_bytes(content)
    (model,) = measured(registry(tmp_path, entry("v1", "nan.gguf")), tmp_path, CORE).run.candidates
    for name in METRICS:
        assert model.metrics[name].status == "error"
        assert "no numbers" in why(model, name)


class AtItsEnd(Silent):
    """Interrupts the run when a model has been asked everything."""

    def stage(self, text: str) -> None:
        if "computing the metrics" in text:
            os.kill(os.getpid(), signal.SIGINT)


def test_likelihoods_of_a_file_that_changed_meanwhile_are_not_taken_over(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILTON_STATE_DIR", str(tmp_path / "state"))
    shutil.copy(random_model, tmp_path / "model.gguf")
    path = registry(tmp_path, entry("v1", "model.gguf"))
    procedure = Procedure(metrics=("perplexity",), passages=1)
    assert measured(path, tmp_path, procedure, observer=AtItsEnd()).interrupted
    with (tmp_path / "model.gguf").open("ab") as file:
        file.write(b"more")
    (model,) = measured(None, tmp_path, resume="latest").run.candidates
    assert "do not belong together" in why(model, "perplexity")
