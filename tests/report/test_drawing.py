"""Drawing: whatever stands in the data, a plot is shapes and words, and its colours are roles."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

pytest.importorskip("vl_convert", reason="the extra `report` is not installed")

from minionbench.report.drawing import Spec, fit_to_draw, inline, picture, png, svg
from minionbench.report.palette import ROLES, light

HOSTILE = "</text></svg><script>alert(1)</script>\x01\x1b[31m\ud800\ufffe&quot;\u202e"


def bars(name: str) -> Spec:
    return {
        "data": {"values": [{"name": name, "value": 3}]},
        "title": name,
        "mark": {"type": "bar", "color": light("blue")},
        "encoding": {
            "x": {"field": "value", "type": "quantitative", "title": name},
            "y": {"field": "name", "type": "nominal"},
        },
    }


def test_hostile_words_are_drawn_as_words() -> None:
    root = ElementTree.fromstring(picture(bars(HOSTILE)))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "g", "path", "line", "rect", "text", "tspan"}
    assert any("<script>alert(1)" in (element.text or "") for element in root.iter())


def test_an_inline_plot_holds_nothing_that_could_run_or_load() -> None:
    made = inline(svg(bars("<b>x")), 'a "label" <b>')
    root = ElementTree.fromstring(made)
    assert root.get("aria-label") == 'a "label" <b>'
    for element in root.iter():
        for name in element.attrib:
            assert not name.startswith(("on", "style", "href", "{")), name


def test_an_inline_plot_has_no_colour_of_its_own() -> None:
    made = inline(svg(bars("x")), "label")
    assert "#" not in made and "rgb" not in made
    assert 'class="f-blue"' in made


def test_a_dark_picture_has_the_dark_colours() -> None:
    spec = bars("x")
    dark, day = picture(spec, dark=True), picture(spec)
    assert ROLES["blue"].dark in dark and ROLES["paper"].dark in dark
    assert ROLES["blue"].light in day and ROLES["paper"].light in day
    assert ROLES["blue"].light not in dark


def test_a_png_is_as_large_as_asked_for() -> None:
    drawn = picture(bars("x"))
    small, large = png(drawn, 1.0), png(drawn, 2.0)
    assert small[:8] == large[:8] == b"\x89PNG\r\n\x1a\n"
    width = [int.from_bytes(picture_[16:20], "big") for picture_ in (small, large)]
    assert width[1] == pytest.approx(2 * width[0], abs=2)


def test_nothing_is_fetched_for_a_plot() -> None:
    spec = bars("x") | {"data": {"url": "http://127.0.0.1:9/data.json"}}
    with pytest.raises(ValueError, match="allowed"):
        svg(spec)


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        fit_to_draw({"values": [{"x": float("nan")}]})
