"""What each figure holds, without drawing it: its words, its table, and its data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minionbench.report.charts import (
    course,
    crossed,
    distribution,
    heat,
    intervals,
    metered,
    timeline,
)
from minionbench.report.charts.distribution import Curve
from minionbench.report.charts.drawn import Scale, axis, placed, scale_of
from minionbench.report.charts.scene import Scene, scene
from minionbench.report.charts.timeline import Clock
from minionbench.report.drawing import fit_to_draw
from minionbench.report.figure import NARROW, WIDE, Figure
from minionbench.report.palette import light
from minionbench.report.reading import CallTime, Drawn, material
from minionbench.schema import BenchmarkRun, MetricResult
from minionbench.traces import Begun, Look, Mark, Stream
from minionbench.units import NS_PER_S
from tests.report.material import candidate, cell, metric, requests, run, sweep, with_records


def seen(document: BenchmarkRun, path: Path = Path("run.json")) -> Scene:
    return scene(material([(path, document)]))


def measured(folder: Path, **records: Any) -> Scene:
    made = run(*(candidate(name, cell(name)) for name in records))
    path = with_records(folder, made, records)
    return seen(BenchmarkRun.load(path), path)


def rows(figure: Figure) -> list[dict[str, str]]:
    """The table as its reader sees it: by column, value and what stands below it."""
    names = [column.title for column in figure.table.columns]
    return [
        {
            name: " ".join(filter(None, (item.text, item.under, item.hint)))
            for name, item in zip(names, row, strict=True)
        }
        for row in figure.table.rows
    ]


def drawn(figure: Figure) -> str:
    """The plot's data for wide and narrow pages, which has to be fit to be drawn."""
    return json.dumps([fit_to_draw(figure.draw(room)) for room in (WIDE, NARROW)])


def test_the_overview_has_a_row_for_each_option_and_says_why_a_value_is_missing() -> None:
    made = seen(
        run(
            candidate("a", cell("a", total_latency_s=2.0, accuracy_pct=metric(50, 20, 80))),
            candidate("b", cell("b", total_latency_s=MetricResult.error("all failed"))),
        )
    )
    (figure,) = intervals.figures(made)
    first, second = rows(figure)
    assert first["total latency, s"] == "2.00 1.90–2.10"
    assert first["right answers, %"] == "50.0 20.0–80.0"
    assert second["total latency, s"] == "error all failed"
    assert second["right answers, %"] == "–"
    assert drawn(figure)


def test_of_many_options_the_best_of_each_workload_are_drawn_and_all_are_listed() -> None:
    (figure,) = intervals.figures(seen(sweep()))
    assert len(figure.table.rows) == 48
    assert "Drawn are 30 of 48 options" in figure.method
    assert drawn(figure)


def test_what_grey_means_is_said_where_there_is_some() -> None:
    (one,) = intervals.figures(seen(run(candidate("a", cell("a", total_latency_s=1.0)))))
    (many,) = intervals.figures(seen(sweep()))
    assert "Grey" not in one.method and "Grey" in many.method


def test_a_distribution_has_failures_in_its_denominator(tmp_path: Path) -> None:
    made = measured(tmp_path, a=requests([100] * 10, failed=[0, 1, 2, 3, 4, 5]))
    latency = next(f for f in distribution.figures(made) if f.key == "latency")
    assert "fewer than half of the requests succeeded" in latency.finding
    assert "6 failed requests never came to an end" in latency.method
    (row,) = rows(latency)
    assert (row["n"], row["failed"]) == ("10 10 items", "6")
    assert row["p50, ms"] == "error falls among the failed requests"
    assert row["p99, ms"].startswith("– needs n ≥ 662")
    assert drawn(latency)


def test_a_curve_rises_by_one_request_and_ends_at_the_share_that_succeeded() -> None:
    option = seen(run(candidate("a", cell("a", ttft_s=1.0)))).read.options[0]
    curve = Curve(option, (1.0, 2.0, 3.0), 4, 4)
    assert curve.steps() == [(1.0, 0.25), (2.0, 0.5), (3.0, 0.75)]
    thinned = Curve(option, tuple(map(float, range(10_000))), 10_000, 10_000).steps(100)
    assert len(thinned) == 100
    assert (thinned[0][0], thinned[-1]) == (0.0, (9_999.0, 1.0))
    assert all(share == pytest.approx((value + 1) / 10_000) for value, share in thinned)


def test_a_band_holds_the_true_curve_as_often_as_it_says() -> None:
    option = seen(run(candidate("a", cell("a", ttft_s=1.0)))).read.options[0]
    # Massart's constant by hand: √(ln 40 / 200) for 100 items.
    assert Curve(option, (1.0,), 100, 100).reach == pytest.approx(0.13581015)


def test_a_quantity_that_the_document_skips_has_no_distribution(tmp_path: Path) -> None:
    records = {"a": requests([100] * 4)}
    hidden = cell("a", ttft_s=MetricResult.skipped("the reasoning was hidden"))
    path = with_records(tmp_path, run(candidate("a", hidden)), records)
    made = seen(BenchmarkRun.load(path), path)
    assert [figure.key for figure in distribution.figures(made)] == ["latency"]


def test_throughput_joins_the_loads_of_a_candidate() -> None:
    made = seen(
        run(
            candidate(
                "a",
                *(
                    cell(
                        f"c{n}", streams=n, total_latency_s=0.1 * n, output_tokens_per_sec=50.0 * n
                    )
                    for n in (1, 2, 4)
                ),
            )
        )
    )
    (figure,) = crossed.throughput(made)
    assert "4 streams" in figure.finding and '"type": "line"' in drawn(figure)


def test_workloads_of_one_candidate_are_no_alternatives() -> None:
    cells = [
        cell(name, name, total_latency_s=1.0, output_tokens_per_sec=9.0, accuracy_pct=50.0)
        for name in ("prefill", "decode")
    ]
    made = seen(run(candidate("a", *cells)))
    assert crossed.throughput(made) == crossed.fronts(made) == heat.figures(made) == []


def test_the_front_leaves_out_who_is_dominated() -> None:
    made = seen(
        run(
            candidate("good", cell("a", total_latency_s=1.0, accuracy_pct=90.0, cost_usd=0.1)),
            candidate("cheap", cell("b", total_latency_s=1.0, accuracy_pct=50.0, cost_usd=0.01)),
            candidate("bad", cell("c", total_latency_s=2.0, accuracy_pct=40.0, cost_usd=0.2)),
        )
    )
    (figure,) = crossed.fronts(made)
    assert {row["option"]: row["on the front"] for row in rows(figure)} == {
        "good": "yes",
        "cheap": "yes",
        "bad": "no",
    }
    assert drawn(figure)


def test_what_is_named_lies_above_the_rest_and_the_best_on_top() -> None:
    (front,) = crossed.fronts(seen(sweep()))
    panels = [panel for row in front.draw(WIDE)["vconcat"] for panel in row["hconcat"]]
    assert panels
    for panel in panels:
        rest = [row["colour"] == light("rest") for row in panel["data"]["values"]]
        assert rest == sorted(rest, reverse=True) and not rest[-1]


def test_the_heat_map_marks_what_is_not_valid_and_what_failed() -> None:
    (figure,) = heat.figures(seen(sweep()))
    data = drawn(figure)
    assert '"said": "error"' in data and " !" in data
    assert len(figure.table.rows) == 48


def test_a_time_line_shows_waiting_tokens_and_failures(tmp_path: Path) -> None:
    made = measured(tmp_path, a=requests([100, 200], failed=[1]))
    (line,) = timeline.figures(made)
    (over_time,) = course.figures(made)
    kinds = {kind for kind, *_ in timeline.KINDS if f'"kind": "{kind}"' in drawn(line)}
    assert kinds == {"waits", "local", "local-tokens", "failed"}
    assert [row["outcome"] for row in rows(line)] == ["ok", "failed"]
    assert "1 failed" in line.finding
    assert over_time.table.rows


def test_long_pauses_are_cut_out_of_a_time_line_and_short_ones_are_not() -> None:
    def at(start: float) -> Drawn:
        call = CallTime("local", start, start, start + 0.5, start + 1, start + 1, True)
        return Drawn(0, "measured", True, start, (call,))

    clock = Clock([at(10.0), at(11.1), at(100.0)])
    assert len(clock.cuts) == 1
    assert clock.cuts[0][1] == pytest.approx(87.9)
    assert clock.place(10.0) == 0.0
    assert clock.place(11.6) == pytest.approx(1.6)
    assert clock.place(100.5) == pytest.approx(2.1 + 0.06 + 0.5)


def test_a_long_run_is_drawn_in_stretches_from_the_fastest_to_the_slowest(tmp_path: Path) -> None:
    made = measured(tmp_path, a=requests([100 + k % 7 for k in range(500)]))
    (figure,) = course.figures(made)
    assert "stretches of time" in figure.method
    assert '"high": 106' in drawn(figure)


def test_power_and_memory_are_drawn_with_their_phases(tmp_path: Path) -> None:
    trace = [
        Begun(at_ns=0, utc="2026-11-21T20:11:00+00:00"),
        Stream("p", "energy", "uJ", "processor package 0", "package", method="powercap"),
        Stream("m", "memory", "bytes", "the engine", "process-tree"),
        # 20 W: 2 J, or 2,000,000 µJ, in each tenth of a second.
        *(Look("p", k * NS_PER_S // 10, 2_000_000 * k) for k in range(200)),
        *(Look("m", k * NS_PER_S // 10, 2**20 * (100 + k)) for k in range(200)),
        Mark("idle", ("a",), None, 0, 5 * NS_PER_S),
        Mark("measured", ("a",), 0, 5 * NS_PER_S, 19 * NS_PER_S),
    ]
    path = with_records(tmp_path, run(candidate("a", cell("a"))), {"a": requests([9] * 3)}, trace)
    power, memory = metered.figures(seen(BenchmarkRun.load(path), path))
    assert "processor package 0 at most 20.0 W" in power.finding
    assert "the engine at most 299 MB" in memory.finding
    assert [row["phase"] for row in rows(power)] == ["idle", "measured"]
    assert [row["most, W"] for row in rows(power)] == ["20.0", "20.0"]
    assert drawn(power) and drawn(memory)


@pytest.mark.parametrize("covers", ["processors", "processors (modelled)"])
def test_what_is_modelled_is_called_so_once(tmp_path: Path, covers: str) -> None:
    trace = [
        Begun(at_ns=0, utc="2026-11-21T20:11:00+00:00"),
        Stream("p", "energy", "uJ", covers, "package", basis="modelled", method="tdp"),
        *(Look("p", k * NS_PER_S // 10, 2_000_000 * k) for k in range(200)),
        Mark("measured", ("a",), 0, 0, 19 * NS_PER_S),
    ]
    path = with_records(tmp_path, run(candidate("a", cell("a"))), {"a": requests([9] * 3)}, trace)
    (power,) = metered.figures(seen(BenchmarkRun.load(path), path))
    assert "processors (modelled) at most 20.0 W" in power.finding


def test_an_axis_begins_at_zero_unless_values_span_a_decade() -> None:
    assert scale_of([2.0, 5.0]).low == 0.0
    wide = scale_of([0.01, 10.0])
    assert wide.log and wide.low < 0.01 and wide.high > 10.0
    assert not scale_of([0.0, 10.0]).log
    assert axis("s", Scale(1.0, 100.0, True))["values"] == [1.0, 3.0, 10.0, 30.0, 100.0]


def test_names_cover_neither_each_other_nor_what_is_drawn() -> None:
    line = [(x, 50.0) for x in range(0, 300, 3)]
    wanted = [("one", [(100.0, 50.0)]), ("two", [(100.0, 50.0)]), ("three", [(100.0, 50.0)])]
    labels = placed(wanted, line, 300, 100)
    assert all(label is not None for label in labels)
    heights = [label.y for label in labels if label is not None]
    assert all(abs(height - 50.0) > 7 for height in heights)
    assert len(set(heights)) == 3 or len({label.x for label in labels if label}) == 3
    assert placed([("much too long a name", [(10.0, 10.0)])], [], 40, 40) == [None]
