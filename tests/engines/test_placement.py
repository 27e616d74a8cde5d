from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.engines.placement import (
    cpu_quota,
    default_threads,
    engine_cpus,
    usable_cpus,
)

CPUS = st.sets(st.integers(0, 255), min_size=1).map(lambda s: tuple(sorted(s)))


def test_one_core_less_than_there_are_computes() -> None:
    assert default_threads((0, 1, 2, 3), None) == 3
    assert default_threads((0, 1), None) == 1
    assert default_threads((0,), None) == 1


def test_a_containers_quota_counts_for_cores_that_are_only_seen() -> None:
    assert default_threads(tuple(range(64)), 4) == 3
    assert default_threads((0, 1), 64) == 1


def test_the_first_core_stays_free() -> None:
    assert engine_cpus((0, 1, 2, 3), 3) == (1, 2, 3)
    assert engine_cpus((4, 9), 1) == (9,)


def test_a_thread_for_every_core_takes_every_core() -> None:
    assert engine_cpus((0, 1), 2) == (0, 1)
    assert engine_cpus((0, 1), 5) == (0, 1)


def test_a_single_core_is_shared() -> None:
    assert engine_cpus((7,), 1) == (7,)


@given(cpus=CPUS, threads=st.integers(1, 512))
def test_the_engine_has_a_core_for_each_thread_as_far_as_there_are_any(
    cpus: tuple[int, ...], threads: int
) -> None:
    chosen = engine_cpus(cpus, threads)
    assert set(chosen) <= set(cpus)
    assert len(chosen) >= min(threads, len(cpus))
    if len(cpus) > 1 and threads < len(cpus):
        assert cpus[0] not in chosen


def test_at_least_one_core_is_usable() -> None:
    assert len(usable_cpus()) >= 1


def group(root: Path, name: str, limit: str) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / "cpu.max").write_text(limit)


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000\n", None), ("250000 100000\n", 2), ("50000 100000\n", 1)]
)
def test_the_quota_is_whole_cores_and_never_none_of_them(
    tmp_path: Path, limit: str, cores: int | None
) -> None:
    (tmp_path / "cgroup").write_text("0::/a\n")
    group(tmp_path / "root", "a", limit)
    assert cpu_quota(tmp_path / "root", tmp_path / "cgroup") == cores


def test_the_tightest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    group(tmp_path / "root", "a/b", "max 100000\n")
    group(tmp_path / "root", "a", "300000 100000\n")
    assert cpu_quota(tmp_path / "root", tmp_path / "cgroup") == 3


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "none") is None
    (tmp_path / "cgroup").write_text("0::/a\n")
    assert cpu_quota(tmp_path / "root", tmp_path / "cgroup") is None
