"""Runs held against each other in a report: what is drawn, said and listed."""

from __future__ import annotations

from pathlib import Path

from minionbench.report.charts import comparison
from minionbench.report.charts.scene import scene
from minionbench.report.reading import material
from minionbench.schema import BenchmarkRun
from tests.report.material import candidate, cell, requests, run, with_records
from tests.report.test_figures import drawn, rows


def sessions(folder: Path, run_id: str, *typical_ms: float) -> Path:
    """A run of one cell whose repeats, each a session of its own, have these latencies."""
    records = [
        one
        for repeat, latency in enumerate(typical_ms)
        for one in requests([latency + k for k in range(6)], repeat=repeat)
    ]
    one = cell("c").but(repeats=len(typical_ms), settings={"repeat_unit": "session"})
    made = run(candidate("m", one), run_id=run_id)
    return with_records(folder, made, {"c": records})


def compared(*paths: Path) -> comparison.Compared:
    found = comparison.compared(scene(material([(one, BenchmarkRun.load(one)) for one in paths])))
    assert found is not None
    return found


def latency(tmp_path: Path, base: tuple[float, ...], new: tuple[float, ...]) -> dict[str, str]:
    """The row of the table that is about total latency."""
    paths = (
        sessions(tmp_path, "benchmark_20261121_201100", *base),
        sessions(tmp_path, "benchmark_20261121_201530", *new),
    )
    read = scene(material([(one, BenchmarkRun.load(one)) for one in paths]))
    (figure,) = comparison.figures(read, compared(*paths))
    assert drawn(figure)
    return next(row for row in rows(figure) if row["metric"] == "total latency")


def test_a_slower_run_is_called_worse_with_its_interval(tmp_path: Path) -> None:
    row = latency(tmp_path, (100, 101, 102, 100, 101), (150, 151, 152, 150, 151))
    assert row["verdict"] == "worse"
    assert row["change"].startswith("+4") and " … " in row["change"]
    assert row["replicates"] == "5 against 5"


def test_what_could_never_have_been_found_is_no_astronomic_figure(tmp_path: Path) -> None:
    row = latency(tmp_path, (100,), (100, 400))
    assert row["verdict"] == "cannot tell"
    assert row["finds changes from"] == "beyond +1,000 %"


def test_one_run_is_compared_with_nothing(tmp_path: Path) -> None:
    path = sessions(tmp_path, "benchmark_20261121_201100", 100)
    assert comparison.compared(scene(material([(path, BenchmarkRun.load(path))]))) is None
