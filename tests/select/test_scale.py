"""The scales: fixed points, the right direction, ratios where ratios count."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.metrics.table import METRICS
from minionbench.select import REFERENCES, Scale
from minionbench.select.scale import improves


def test_every_metric_has_a_scale_that_rises_as_it_gets_better() -> None:
    assert REFERENCES.keys() == METRICS.keys()
    assert all(improves(scale, name) for name, scale in REFERENCES.items())
    assert all(min(s.zero, s.one) > 0 for s in REFERENCES.values() if s.log)


def test_a_linear_scale_counts_differences() -> None:
    scale = Scale(20.0, 60.0, log=False)
    assert [scale.worth(v) for v in (20.0, 30.0, 40.0, 60.0)] == [0.0, 0.25, 0.5, 1.0]
    assert [scale.worth(v) for v in (-5.0, 61.0)] == [0.0, 1.0]
    assert [scale.place(v) for v in (10.0, 80.0)] == [-0.25, 1.5]


def test_a_logarithmic_scale_counts_ratios() -> None:
    scale = Scale(100_000.0, 10.0, log=True)
    worths = [scale.worth(v) for v in (100_000.0, 10_000.0, 1_000.0, 100.0, 10.0)]
    assert worths == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    halved = scale.worth(500.0) - scale.worth(1_000.0)
    assert halved == pytest.approx(math.log10(2) / 4)


def test_nothing_at_all_lies_at_the_end_of_small_values() -> None:
    assert Scale(100.0, 10.0, log=True).worth(0.0) == 1.0
    assert Scale(1.0, 10.0, log=True).worth(0.0) == 0.0
    assert Scale(1.0, 10.0, log=True).place(-1.0) == -math.inf


@given(
    st.sampled_from(list(METRICS)),
    st.floats(1e-9, 1e9),
    st.floats(1e-9, 1e9),
)
def test_a_better_value_is_never_worth_less(name: str, one: float, other: float) -> None:
    worse, better = sorted((one, other), reverse=METRICS[name].better == "lower")
    scale = REFERENCES[name]
    assert 0.0 <= scale.worth(worse) <= scale.worth(better) <= 1.0


def test_the_page_shows_the_table(root: Path) -> None:
    page = (root / "docs" / "select.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d.,]+) \| ([\d.,]+) \| (\w+) \|$", page, re.MULTILINE)
    shown = {
        name: Scale(
            float(zero.replace(",", "")), float(one.replace(",", "")), kind == "logarithmic"
        )
        for name, zero, one, kind in rows
    }
    assert shown == REFERENCES
