"""Dialects are found by their name."""

from __future__ import annotations

import pytest

from minionbench.errors import UsageError
from minionbench.wire.dialect import dialect


def test_the_openai_dialect_is_found() -> None:
    assert dialect("openai").name == "openai"


def test_an_unknown_dialect_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no dialect 'klingon'.*openai"):
        dialect("klingon")
