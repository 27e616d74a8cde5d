"""The page on the simulator says what the code does."""

from __future__ import annotations

from pathlib import Path

from click import Option

from minionbench.cli.simulate import command
from minionbench.simulator.faults import FAULTS
from minionbench.simulator.routes import ANSWER_ROUTES, INQUIRIES

LEFT_OUT = {"/", "/get_model_info", "/get_server_info", "/api/v0/models", "/api/embeddings"}
"""Routes of minor interest."""


def page(root: Path) -> str:
    return (root / "docs" / "simulator.md").read_text(encoding="utf-8")


def test_every_fault_stands_on_the_page_as_in_the_code(root: Path) -> None:
    text = page(root)
    missing = [name for name, what in FAULTS.items() if f"| `{name}` | {what} |" not in text]
    assert missing == []


def test_every_route_stands_on_the_page(root: Path) -> None:
    text = page(root)
    routes = {*ANSWER_ROUTES, *INQUIRIES} - LEFT_OUT
    assert [route for route in routes if route not in text] == []


def test_every_flag_that_the_page_names_exists(root: Path) -> None:
    flags = {
        flag for option in command.params if isinstance(option, Option) for flag in option.opts
    }
    words = page(root).replace("`", " ").replace(",", " ").replace(")", " ").split()
    named = {word.strip("(;.:") for word in words if word.startswith("--")}
    assert named - flags == set()
