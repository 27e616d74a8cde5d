"""Promoting and going back: exactly one active version, and a last good one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.registry import promote, rollback
from tests.registry.registries import entry, marks, read, write


def test_the_version_that_was_active_becomes_the_last_good_one(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a", active=True), entry("b"), entry("c", last_good=True))
    activation = promote(path, "b")
    assert marks(path) == {"a": "g", "b": "a", "c": ""}
    assert (activation.version, activation.before, activation.last_good) == ("b", ("a",), "a")
    assert activation.changed


def test_the_first_promotion_has_no_last_good_version(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a"), entry("b"))
    activation = promote(path, "a")
    assert marks(path) == {"a": "a", "b": ""}
    assert (activation.before, activation.last_good) == ((), None)


def test_promoting_the_active_version_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a", active=True), entry("b", last_good=True))
    before = path.read_bytes()
    assert not promote(path, "a").changed
    assert path.read_bytes() == before


def test_a_rollback_goes_to_the_last_good_version_which_stays_it(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a", last_good=True), entry("b", active=True))
    activation = rollback(path)
    assert marks(path) == {"a": "ag", "b": ""}
    assert (activation.version, activation.before, activation.last_good) == ("a", ("b",), "a")
    with pytest.raises(UsageError, match="a, the last good version, is the active one"):
        rollback(path)
    promote(path, "b")
    assert marks(path) == {"a": "g", "b": "a"}


def test_without_a_last_good_version_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a", active=True), entry("b"))
    with pytest.raises(UsageError, match="no version is marked last_good"):
        rollback(path)
    path = write(tmp_path, entry("a", last_good=True), entry("b", last_good=True))
    with pytest.raises(UsageError, match="Several versions are marked last_good: a, b"):
        rollback(path)


def test_a_registry_with_two_active_versions_is_put_right(tmp_path: Path) -> None:
    path = write(
        tmp_path, entry("a", active=True), entry("b", active=True), entry("c", last_good=True)
    )
    activation = promote(path, "a")
    assert marks(path) == {"a": "a", "b": "", "c": "g"}
    assert "Several versions were active (a, b)" in activation.notes[0]


def test_a_version_that_is_not_there_or_not_alone_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a"), entry("b"), entry("b"), {"version": "c", "model_path": 7})
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"no version d: there are a, b, b, c\."):
        promote(path, "d")
    with pytest.raises(UsageError, match="stands in the registry 2 times"):
        promote(path, "b")
    with pytest.raises(UsageError, match="cannot be used"):
        promote(path, "c")
    assert path.read_bytes() == before


def test_a_version_whose_model_is_gone_is_not_made_active_unasked(tmp_path: Path) -> None:
    path = write(tmp_path, entry("a", model_path="gone"), entry("b", model_path="registry.json"))
    with pytest.raises(UsageError, match="No such file or directory"):
        promote(path, "a")
    assert promote(path, "b").changed
    assert promote(path, "a", check=False).changed
    assert marks(path) == {"a": "a", "b": "g"}


def test_fields_and_entries_of_others_are_kept(tmp_path: Path) -> None:
    strange = {"name": "no model", "active": "never"}
    path = write(tmp_path, {"version": "a", "owner": {"team": 7}}, strange, 5, entry("b", active=1))
    promote(path, "a")
    first, second, third, fourth = read(path)
    assert first == {"version": "a", "owner": {"team": 7}, "active": True, "last_good": False}
    assert third == 5
    # Whatever stood there, nothing but the one version is active any more.
    assert second == {"name": "no model", "active": False}
    assert fourth == entry("b", active=False)


@given(steps=st.lists(st.sampled_from(["a", "b", "c", None]), max_size=12))
def test_after_any_steps_one_version_is_active_and_at_most_one_last_good(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str | None]
) -> None:
    path = write(tmp_path_factory.mktemp("registry"), entry("a"), entry("b"), entry("c"))
    active: str | None = None
    good: str | None = None
    for step in steps:
        if step is None:
            if good is None or good == active:
                with pytest.raises(UsageError):
                    rollback(path)
            else:
                active = rollback(path).version
                assert active == good
        else:
            promote(path, step)
            if step != active:
                active, good = step, active if active is not None else good
        found: dict[str, Any] = marks(path)
        assert [version for version, mark in found.items() if "a" in mark] == (
            [] if active is None else [active]
        )
        assert [version for version, mark in found.items() if "g" in mark] == (
            [] if good is None else [good]
        )
