from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minionbench.engines.foreign import one_line


def test_foreign_text_becomes_one_line_of_bounded_length() -> None:
    assert one_line("a\n\tb\x1b[0m\x00c") == "a b [0m c"
    assert one_line("x" * 20, 10) == "x" * 10 + "…"


@given(text=st.text())
def test_whatever_it_was_it_can_be_printed(text: str) -> None:
    assert one_line(text).isprintable()
    assert len(one_line(text, 20)) <= 21
