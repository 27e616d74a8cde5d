"""Dialects are found by their name."""

from __future__ import annotations

import pytest

from minionbench.errors import UsageError
from minionbench.wire.dialect import NAMES, dialect


@pytest.mark.parametrize("name", NAMES)
def test_each_dialect_is_found_by_its_name(name: str) -> None:
    assert dialect(name).name == name


def test_an_unknown_dialect_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no dialect 'klingon'.*openai, completions"):
        dialect("klingon")
