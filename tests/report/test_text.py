"""What documents hold stays text, whatever it is."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.report.text import bounds, clean, in_one_line, listed, markup, number, shortened


class Seen(HTMLParser):
    """What a browser's parser makes of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@settings(max_examples=50)
@given(st.text())
def test_any_text_is_shown_and_never_becomes_an_element(text: str) -> None:
    seen = Seen(f"<p>{markup(text)}</p>")
    assert seen.tags == ["p"]
    assert seen.text == clean(text)


def test_text_cannot_leave_an_attribute() -> None:
    assert '"' not in markup('" onclick="alert(1)')
    assert "'" not in markup("' onclick='alert(1)")


def test_what_would_reorder_a_line_or_break_xml_is_replaced() -> None:
    assert clean("a\x01b\x1b[2Jc\u202ed\u2066e\ufffef\ud800g") == "a�b�[2Jc�d�e�f�g"
    assert clean("two\nlines\tkept\r\n") == "two\nlines\tkept\n"
    assert in_one_line("two\nlines\u2028here") == "two lines here"


@settings(max_examples=50)
@given(st.text(), st.integers(2, 40))
def test_a_shortened_text_is_one_line_of_at_most_so_many_characters(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= most
    assert "\n" not in short


def test_a_shortened_name_keeps_both_ends() -> None:
    short = shortened("maker/a-very-long-name-of-a-model-q4_0", 15)
    assert short.startswith("maker/") and short.endswith("q4_0")


def test_numbers_have_three_digits_and_what_is_not_there_is_a_dash() -> None:
    assert [number(v) for v in (None, 0, 0.0012345, 1234.5, 1e-12)] == [
        "–",
        "0",
        "0.00123",
        "1,230",
        "1.00e-12",
    ]


def test_an_interval_that_the_data_cannot_bound_stays_open() -> None:
    assert bounds(1, 2) == "1.00–2.00"
    assert bounds(None, 2) == "≤ 2.00"
    assert bounds(1, None) == "≥ 1.00"
    assert bounds(None, None) == "no interval"


def test_names_are_listed_as_in_a_sentence() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d"], 3) == "a, b and 2 more"
