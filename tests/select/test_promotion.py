"""Only what was measured is made active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minionbench.errors import UsageError
from minionbench.schema import BenchmarkCandidate
from minionbench.select import Criteria, Selection, choose, promote_choice
from minionbench.units import BYTES_PER_MB
from tests.documents import run
from tests.registry.registries import entry, marks, write
from tests.select.candidates import made

SIZE = 1000


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry of two models, the first of which is active."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(SIZE))
    return write(
        tmp_path, entry("a", active=True, model_path="a"), entry("b", model_path="b"), entry("c")
    )


def selection(*candidates: BenchmarkCandidate) -> Selection:
    return choose(run(*candidates), Criteria(weights={"latency_ms": 1.0}))


def measured(version: str, latency_ms: float = 10.0, **fields: Any) -> BenchmarkCandidate:
    fields = {"model_path": version, "size_mb": SIZE / BYTES_PER_MB} | fields
    return made(version, latency_ms=latency_ms, **fields)


def test_the_choice_becomes_active(registry: Path) -> None:
    activation = promote_choice(selection(measured("a", 100.0), measured("b")), registry)
    assert (activation.version, activation.last_good) == ("b", "a")
    assert marks(registry) == {"a": "g", "b": "a", "c": ""}


def test_without_a_choice_nothing_is_promoted(registry: Path) -> None:
    with pytest.raises(UsageError, match="No candidate was chosen"):
        promote_choice(selection(made("b")), registry)


@pytest.mark.parametrize(
    ("candidates", "problem"),
    [
        ([measured("d")], "no version d"),
        ([measured("b"), measured("b")], "2 candidates of the run are called b"),
        ([measured("b"), made("b")], "2 candidates of the run are called b"),
        ([measured("b", model_path="elsewhere")], "was measured at elsewhere"),
        ([measured("b", size_mb=2.0)], "has another size now"),
        ([measured("c")], "the registry has it at None"),
    ],
)
def test_what_is_not_the_model_that_was_measured_is_not_promoted(
    registry: Path, candidates: list[BenchmarkCandidate], problem: str
) -> None:
    before = registry.read_bytes()
    with pytest.raises(UsageError, match=problem):
        promote_choice(selection(*candidates), registry)
    assert registry.read_bytes() == before
