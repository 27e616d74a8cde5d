"""Drawing: a plot as plain data becomes SVG or PNG, on this machine and without a browser."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from minionbench.errors import SetupError
from minionbench.report.palette import ROLE_OF, ROLES, light
from minionbench.report.text import clean, markup

if TYPE_CHECKING:
    from types import ModuleType

Spec = dict[str, Any]
"""A plot in the words of Vega-Lite, as plain data."""

FONT = "Roboto, Helvetica Neue, Arial, sans-serif"
"""The first is the one that comes with what draws, so that pictures look alike everywhere."""

VEGA_LITE = "6.4"

CONFIG: Spec = {
    "aria": False,  # the page describes each plot as a whole, in words
    "background": None,
    "font": FONT,
    "padding": 8,  # browsers' letters may be wider than those that were measured
    "view": {"stroke": None},
    "axis": {
        "domainColor": light("rule"),
        "tickColor": light("rule"),
        "gridColor": light("grid"),
        "labelColor": light("muted"),
        "titleColor": light("muted"),
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 0,
        "titleLimit": 0,
        "labelOverlap": "greedy",
        "titlePadding": 8,
    },
    "axisY": {"minExtent": 34},  # so that panels below each other begin at the same place
    "title": {
        "color": light("ink"),
        "subtitleColor": light("muted"),
        "fontSize": 13,
        "fontWeight": 600,
        "subtitleFontSize": 12,
        "anchor": "start",
        "frame": "bounds",
        "offset": 10,
        "limit": 0,
    },
    "text": {"color": light("ink"), "fontSize": 12},
    "legend": {
        "labelColor": light("ink"),
        "titleColor": light("muted"),
        "labelFontSize": 12,
        "labelLimit": 0,
        "orient": "top",
        "title": None,
    },
    "concat": {"spacing": 28},
}

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_ELEMENTS = frozenset({"svg", "g", "path", "line", "rect", "circle", "text", "tspan"})
_KEPT = frozenset(
    {
        *("d", "transform", "x", "y", "x1", "x2", "y1", "y2", "dx", "dy", "r", "cx", "cy"),
        *("width", "height", "viewBox", "text-anchor", "font-size", "font-weight", "font-style"),
        *("stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin"),
        *("stroke-miterlimit", "stroke-opacity", "fill-opacity", "opacity", "display"),
    }
)
"""Attributes that say where and how, and can say nothing else."""


def svg(spec: Spec) -> str:
    """The plot as SVG in the light colours.

    Raises SetupError where what draws is not installed.
    """
    drawer = _drawer()
    # Nothing may be fetched, whatever stands in the data.
    drawn: str = drawer.vegalite_to_svg(
        fit_to_draw(spec), vl_version=VEGA_LITE, config=CONFIG, allowed_base_urls=[]
    )
    return drawn


def picture(spec: Spec, *, dark: bool = False) -> str:
    """The plot as an SVG file of its own: with its background, in light or dark colours."""
    root = ElementTree.fromstring(svg(spec))
    body = "".join(_element(child, _coloured(dark)) for child in root)
    paper = _coloured(dark)("fill", light("paper"))
    size = _attributes(root, _coloured(dark))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" font-family="{markup(FONT)}"{size}>'
        f'<rect width="100%" height="100%"{paper}/>{body}</svg>\n'
    )


def png(svg_text: str, scale: float = 2.0) -> bytes:
    """An SVG picture as PNG; `scale` is pixels per unit of it.

    Raises SetupError where what draws is not installed.
    """
    made: bytes = _drawer().svg_to_png(svg_text, scale=scale)
    return made


def inline(svg_text: str, label: str) -> str:
    """A drawn plot as a part of a page: nothing but shapes, its colours by the page's rules.

    What is kept is listed above; everything else of what was drawn is left out. `label` names the
    plot to those who cannot see it.
    """
    root = ElementTree.fromstring(svg_text)
    body = "".join(_element(child, _classed) for child in root)
    return f'<svg role="img" aria-label="{markup(label)}"{_attributes(root, _classed)}>{body}</svg>'


def _classed(name: str, value: str) -> str:
    role = ROLE_OF.get(value)
    if role is None:
        return f' {name}="{value}"' if value in ("none", "transparent") else ""
    return f' {"class"}="{name[0]}-{role}"'


def _coloured(dark: bool) -> Any:
    def painted(name: str, value: str) -> str:
        role = ROLE_OF.get(value)
        if role is None:
            return f' {name}="{value}"' if value in ("none", "transparent") else ""
        return f' {name}="{ROLES[role].dark if dark else ROLES[role].light}"'

    return painted


_NUMBER = re.compile(r"-?\d+\.\d{2,}")


def _rounded(found: re.Match[str]) -> str:
    """A coordinate to a tenth of a pixel: nobody sees more, and a plot is half as long."""
    return f"{float(found[0]):.1f}".removesuffix(".0")


def _attributes(element: ElementTree.Element, paint: Any) -> str:
    said = []
    classes = []
    for name, value in element.attrib.items():
        if name in ("fill", "stroke"):
            painted = paint(name, value)
            if painted.startswith(' class="'):
                classes.append(painted[8:-1])
            else:
                said.append(painted)
        elif name in _KEPT:
            if name in ("d", "transform"):
                value = _NUMBER.sub(_rounded, value)
            elif (name, value) in _DEFAULTS:
                continue
            said.append(f' {name}="{markup(value)}"')
    if classes:
        said.append(f' class="{" ".join(classes)}"')
    return "".join(said)


_DEFAULTS = {("opacity", "1"), ("stroke-width", "1"), ("text-anchor", "start")}


def _element(element: ElementTree.Element, paint: Any) -> str:
    name = element.tag.removeprefix(_NAMESPACE)
    if name not in _ELEMENTS or element.get("display") == "none":
        return ""
    inside = "".join(_contents(element, paint))
    if not inside and name in ("g", "text", "tspan"):
        return ""
    if name == "path" and not element.get("d", "").strip("M0,hvZ"):
        return ""  # the empty frames that every group brings
    attributes = _attributes(element, paint)
    if name == "g" and not attributes:
        return inside
    return f"<{name}{attributes}>{inside}</{name}>" if inside else f"<{name}{attributes}/>"


def _contents(element: ElementTree.Element, paint: Any) -> Iterator[str]:
    if element.text:
        yield markup(element.text)
    for child in element:
        yield _element(child, paint)
        if child.tail:
            yield markup(child.tail)


def fit_to_draw(value: Any) -> Any:
    """The plot's data without what would end the program that draws: see `clean`.

    Raises ValueError for a number that is not finite: a plot of it would be a lie.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): fit_to_draw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fit_to_draw(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a plot cannot show a number that is not finite")
    return value


def _drawer() -> ModuleType:
    try:
        import vl_convert
    except ImportError as error:
        raise SetupError(
            "Plots are drawn by vl-convert-python, which is not installed: "
            "pip install 'minionbench[report]'. A report without plots, tables only, needs nothing "
            "more: minionbench report --no-plots."
        ) from error
    drawer: ModuleType = vl_convert
    return drawer
