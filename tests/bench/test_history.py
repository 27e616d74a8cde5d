"""The bench of the history asks runs that it has generated itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.history import MEASURED, WORKLOADS, measure, write_runs
from minionbench.history.index import History

pytest.importorskip("duckdb")


def test_the_generated_runs_have_all_their_metrics(tmp_path: Path) -> None:
    write_runs(tmp_path, 2)
    with History.open(tmp_path) as history:
        assert history.refused == {}
        counted = "SELECT count(*) FROM metrics WHERE cell_id IS NOT NULL"
        assert history.ask(counted)[1] == [(2 * len(WORKLOADS) * len(MEASURED),)]


def test_every_question_but_the_first_has_a_target() -> None:
    result = measure(3)
    assert result["runs"] == 3
    assert set(result["met"]) == {"again_s", "after_a_run_s", "trend_s"}
