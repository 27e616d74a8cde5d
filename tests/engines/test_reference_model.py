"""The shipped model files: they load, they are what their card says, and they can what it says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

import minionbench.engines
from minionbench.workloads.tokenizer import reference_tokenizer
from training.engine import LoadedModel
from training.evaluation import examine

FOLDER = Path(minionbench.engines.__file__).parent / "reference_model"
FORMATS = ("f16", "q8_0", "q4_0")
ITEMS = 30


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    """The machine-readable card."""
    facts: dict[str, Any] = json.loads((FOLDER / "card.json").read_text("utf-8"))
    return facts


@pytest.fixture(scope="module", params=FORMATS)
def format_(request: pytest.FixtureRequest) -> str:
    """Each format in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def model(format_: str) -> Iterator[LoadedModel]:
    """The format's file in the real engine."""
    yield LoadedModel(FOLDER / f"reference-{format_}.gguf")


def test_the_files_are_below_eight_megabytes_together() -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.gguf")) < 8_000_000


def test_fewer_bits_make_a_smaller_file() -> None:
    sizes = [(FOLDER / f"reference-{format_}.gguf").stat().st_size for format_ in FORMATS]
    assert sizes == sorted(sizes, reverse=True)


def test_the_card_names_the_files_as_they_are(card: dict[str, Any]) -> None:
    sizes = {entry["file"]: entry["size_bytes"] for entry in card["formats"].values()}
    assert sizes == {file.name: file.stat().st_size for file in FOLDER.glob("*.gguf")}


def test_the_page_states_every_task_of_the_card(card: dict[str, Any]) -> None:
    page = (FOLDER / "CARD.md").read_text("utf-8")
    for task in card["formats"]["f16"]["tasks"]:
        assert f"| {task} |" in page


def test_at_f16_the_engine_continues_every_prompt_as_the_training_framework_did(
    card: dict[str, Any],
) -> None:
    stated = card["formats"]["f16"]
    assert stated["parity_n"] >= 50
    assert stated["parity_equal"] >= 0.98 * stated["parity_n"]


def test_the_context_is_at_least_4096_tokens(format_: str) -> None:
    field = GGUFReader(FOLDER / f"reference-{format_}.gguf").get_field("llama.context_length")
    assert field is not None
    assert int(field.contents()) >= 4096


def test_the_engine_tokenizes_as_the_reference_tokenizer_does(model: LoadedModel) -> None:
    texts = (
        "| Total revenue 2023: 4,512 | Total revenue 2022: 3,998 |\n\nWhat's it? I'll say: 12%.",
        "Привет, naïve 日本語 ½ ٣ e\u0301 \u00a0\u2028 x\u0085y 🙂🙂 'tis we've  \t end  ",
        "<|end|><|user|> is text here",
        "\x00\x01\x1c\x7f",
    )
    for text in texts:
        assert model.tokenize(text) == reference_tokenizer().encode(text)


@pytest.mark.parametrize("task", ["facts", "sums seen", "copying", "prefill, 600 tokens"])
def test_accuracy_is_what_the_card_says(
    model: LoadedModel, format_: str, card: dict[str, Any], task: str
) -> None:
    """Within three standard deviations of the card's rate, on fewer items."""
    stated = card["formats"][format_]["tasks"][task]
    rate = stated["right"] / stated["n"]
    score = examine(model, task, ITEMS)
    margin = 3 * math.sqrt(rate * (1 - rate) / score.n) + 1 / score.n
    assert score.right / score.n >= rate - margin


def test_answers_end_by_themselves(model: LoadedModel) -> None:
    assert examine(model, "facts", 10).ended == 10
