from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.autobench.listing import Listed
from minionbench.autobench.plan import PLAN, Plan, digest_of, order_of, read_plan, slugs
from minionbench.autobench.procedure import Procedure
from minionbench.clock import utc_now
from minionbench.errors import UsageError
from minionbench.schema import CellResult
from tests.documents import cell


def plan() -> Plan:
    return Plan(
        run_id="benchmark_20261121_201100",
        started=utc_now(),
        registry="/models/registry.json",
        registry_sha256=None,
        notes=("a note",),
        models=(Listed(version="v1", path="/models/a.gguf", mark=(3, 4)),),
        slugs=("v1",),
        order=(0,),
        procedure=Procedure(budget_s=600),
        sources=("builtin:balanced@1",),
    )


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = plan()
    written.save(tmp_path)
    assert read_plan(tmp_path) == written


def test_a_path_that_is_not_utf_8_is_refused_by_its_name(tmp_path: Path) -> None:
    written = msgspec.structs.replace(plan(), registry="/models/n\udcff/registry.json")
    with pytest.raises(UsageError, match=r"n\\udcff/registry\.json' is no path that JSON"):
        written.save(tmp_path)


def test_a_plan_that_cannot_be_followed_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no plan to resume by"):
        read_plan(tmp_path)
    (tmp_path / PLAN).write_text("{}")
    with pytest.raises(UsageError, match="not one that this version can follow"):
        read_plan(tmp_path)
    plan().save(tmp_path)
    content = (tmp_path / PLAN).read_text()
    (tmp_path / PLAN).write_text(content.replace('"format":1', '"format":2'))
    with pytest.raises(UsageError, match="has form 2"):
        read_plan(tmp_path)


@given(st.lists(st.text(min_size=1, max_size=200), max_size=8))
def test_every_version_gets_a_name_of_its_own_that_is_fit_for_an_id(versions: list[str]) -> None:
    names = slugs(versions)
    assert len({name.lower() for name in names}) == len(versions)
    for name in names:
        made: CellResult = cell(f"{name}.cove-base")
        assert made.cell_id.startswith(name)


def test_a_name_stays_readable() -> None:
    assert slugs(["v1.0", "v1.0", "my model/q4", "../x", "日本"]) == (
        *("v1.0", "v1.0-2", "my-model-q4", "x", "model"),
    )


def test_the_order_is_the_seeds_and_favours_no_place() -> None:
    assert order_of(5, 1) == order_of(5, 1)
    assert sorted(order_of(5, 1)) == list(range(5))
    first = [order_of(4, seed)[0] for seed in range(400)]
    for place in range(4):
        assert 60 < first.count(place) < 140


def test_a_file_that_cannot_be_read_has_no_digest(tmp_path: Path) -> None:
    assert digest_of(tmp_path / "gone") is None
    (tmp_path / "there").write_bytes(b"")
    assert digest_of(tmp_path / "there") is not None
