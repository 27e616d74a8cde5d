"""Colours that everybody can read: contrast by arithmetic, and no two roles with one colour."""

from __future__ import annotations

import pytest

from minionbench.report.palette import HEAT, ROLE_OF, ROLES, SERIES, heat_ink, style_rules


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


PAGES = ("light", "dark")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("role", ["ink", "muted", "good", "doubt", "bad", "blue"])
def test_text_can_be_read_on_the_page_and_on_its_bands(role: str, page: str) -> None:
    colour = getattr(ROLES[role], page)
    assert contrast(colour, getattr(ROLES["paper"], page)) >= 4.5
    assert contrast(colour, getattr(ROLES["band"], page)) >= 4.5


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("role", [*SERIES, "rest"])
def test_lines_and_names_of_options_stand_out_from_the_page(role: str, page: str) -> None:
    least = 3.0 if role == "rest" else 4.5  # names are written in the colours, but for the grey
    assert contrast(getattr(ROLES[role], page), getattr(ROLES["paper"], page)) >= least


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("step", range(len(HEAT)))
def test_figures_can_be_read_on_every_step_of_the_heat_map(step: int, page: str) -> None:
    ink = ROLES[heat_ink(step)]
    assert contrast(getattr(HEAT[step], page), getattr(ink, page)) >= 4.5


@pytest.mark.parametrize("page", PAGES)
def test_a_better_step_stands_out_more_from_the_page(page: str) -> None:
    paper = getattr(ROLES["paper"], page)
    contrasts = [contrast(getattr(colour, page), paper) for colour in HEAT]
    assert contrasts == sorted(contrasts)


def test_a_light_colour_stands_for_one_role() -> None:
    assert len(ROLE_OF) == len(ROLES)


def test_the_style_names_every_role_for_light_and_dark() -> None:
    rules = style_rules()
    assert "prefers-color-scheme:dark" in rules
    for role, colour in ROLES.items():
        assert f"--{role}:{colour.light}" in rules
        assert f"--{role}:{colour.dark}" in rules
        assert f".s-{role}{{stroke:var(--{role})}}" in rules
