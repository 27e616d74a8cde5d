"""The colours of a report, each by what it says, for a light page and for a dark one.

A plot is drawn once, in the light colours. They stand for their roles: no two roles share one, so
that the colours of a finished plot can be replaced by style rules, which know light from dark.

Source: the hues are Okabe and Ito's, which people with any colour vision can tell apart, darkened
or lightened until each has a contrast of 3:1 against its page. Text has 4.5:1.
"""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """One colour of both pages."""

    light: str
    dark: str


SERIES: dict[str, Colour] = {
    "blue": Colour("#0069a8", "#5ab4f0"),
    "orange": Colour("#c94f00", "#ff9a5c"),
    "green": Colour("#00795a", "#35cfa2"),
    "pink": Colour("#b0437f", "#f09ccb"),
    "gold": Colour("#846200", "#e8c04a"),
    "violet": Colour("#6450c8", "#b0a3ff"),
}
"""Colours of what is told apart, in the order in which they are given out."""

HEAT: tuple[Colour, ...] = (
    Colour("#eef5fc", "#16283a"),
    Colour("#d5e7f7", "#193a57"),
    Colour("#abd0ee", "#1c4d75"),
    Colour("#74b1e0", "#226496"),
    Colour("#2a76b0", "#4d95c8"),
    Colour("#125f9c", "#82bbe4"),
    Colour("#08406f", "#b9dcf7"),
)
"""From the worst of a heat map to the best: away from the page."""

HEAT_INKS_CHANGE_AT = 4
"""The step of `HEAT` from which on the other ink is the readable one."""

ROLES: dict[str, Colour] = {
    "paper": Colour("#ffffff", "#11161c"),
    "ink": Colour("#1a2029", "#e8edf3"),
    "muted": Colour("#57606b", "#a3adb8"),
    "rule": Colour("#c9d0d8", "#3a444f"),
    "grid": Colour("#e6eaee", "#242c35"),
    "rest": Colour("#8a939d", "#77818c"),
    "band": Colour("#eceff3", "#1c232b"),
    "good": Colour("#1a7440", "#4fd07f"),
    "doubt": Colour("#8f5b00", "#edb84c"),
    "bad": Colour("#b6202b", "#ff8087"),
    "heat-ink-low": Colour("#14181d", "#f0f3f6"),
    "heat-ink-high": Colour("#fdfeff", "#0a0e13"),
    **SERIES,
    **{f"heat-{step}": colour for step, colour in enumerate(HEAT)},
}
"""Every colour that a plot may have, by its role."""

ROLE_OF = {colour.light: role for role, colour in ROLES.items()}
"""The role of each light colour."""


def light(role: str) -> str:
    """The colour of a role on a light page, as plots are drawn."""
    return ROLES[role].light


def heat_ink(step: int) -> str:
    """The role of the text on a step of the heat map."""
    return "heat-ink-low" if step < HEAT_INKS_CHANGE_AT else "heat-ink-high"


def style_rules() -> str:
    """The colours as custom properties, for light, dark and print, and the classes of plots."""
    lights = "".join(f"--{role}:{colour.light};" for role, colour in ROLES.items())
    darks = "".join(f"--{role}:{colour.dark};" for role, colour in ROLES.items())
    classes = "".join(
        f".f-{role}{{fill:var(--{role})}}.s-{role}{{stroke:var(--{role})}}" for role in ROLES
    )
    return (
        f":root{{color-scheme:light;{lights}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{color-scheme:dark;{darks}}}}}\n"
        f"{classes}\n"
    )
