from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minionbench.cli.text import aligned, printable, wrapped


def test_a_message_cannot_command_the_terminal() -> None:
    hostile = "\x1b[2Jgone\x9b31m\r\x07 \u202eflipped"
    assert printable(hostile) == "�[2Jgone�31m�� �flipped"
    assert printable("two lines\n\tand a tab, 3 × µs") == "two lines\n\tand a tab, 3 × µs"


@given(st.text())
def test_printable_text_has_no_control_characters(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not [c for c in shown if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"]


def test_columns_line_up() -> None:
    rows = [["name", "ms"], ["a", "1.5"], ["longer", "120"]]
    assert list(aligned(rows, [False, True])) == ["name     ms", "a       1.5", "longer  120"]


def test_a_name_with_a_line_end_makes_up_no_row() -> None:
    rows = [["good\nevil", "1"], ["fine\u2028too", "2"], ["a\tb", "3"]]
    assert list(aligned(rows, [False, True])) == ["good evil  1", "fine too   2", "a b        3"]


def test_what_follows_the_first_line_is_indented() -> None:
    assert list(wrapped("one two three", 9, "→ ")) == ["→ one two", "  three"]
    assert list(wrapped("", 9, "→ ")) == ["→"]


@given(st.text(), st.integers(20, 100))
def test_a_wrapped_line_is_too_long_only_for_a_word_that_is(text: str, columns: int) -> None:
    for line in wrapped(text, columns, "  - "):
        assert len(line) <= columns or len(line.removeprefix("  - ").split()) == 1


def test_lines_of_a_message_stay_lines() -> None:
    assert list(wrapped("last words:\n  a\n  b", 40, "- ")) == ["- last words:", "    a", "    b"]
