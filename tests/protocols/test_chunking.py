"""Cutting documents into chunks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.protocols.chunking import LEAST_SIZE, By, Chunking, chunks

BY = st.sampled_from(["section", "page", "paragraph", "characters"])
TEXT = st.text(
    st.sampled_from("ab \n\f#A") | st.characters(exclude_categories=["Cs"]), max_size=1_500
)


@given(TEXT, BY, st.integers(LEAST_SIZE, 400))
def test_no_character_is_lost_and_no_chunk_is_too_long(text: str, by: By, size: int) -> None:
    found = chunks(text, Chunking(by, size))
    assert "".join(found) == (text if text.strip() else "")
    assert all(0 < len(chunk) <= size for chunk in found)


@given(st.text(min_size=1, max_size=900), st.integers(0, 50))
def test_an_overlap_repeats_the_end_of_the_chunk_before(text: str, overlap: int) -> None:
    found = chunks(text, Chunking("characters", LEAST_SIZE, overlap))
    for before, after in itertools.pairwise(found):
        assert after.startswith(before[len(before) - overlap :])
    if found:
        assert found[0] + "".join(chunk[overlap:] for chunk in found[1:]) == text


def test_pages_stay_apart_and_short_paragraphs_come_together() -> None:
    assert chunks("one\ftwo\fthree", Chunking("page")) == ("one\f", "two\f", "three")
    assert chunks("a\n\nb\n\nc", Chunking("paragraph")) == ("a\n\nb\n\nc",)
    long = "x" * 80
    assert chunks(f"{long}\n\n{long}\n\nend", Chunking("paragraph", 100)) == (
        f"{long}\n\n",
        f"{long}\n\nend",
    )


def test_a_section_begins_with_its_heading() -> None:
    body = "word " * 30
    text = f"# One\n{body}\n# Two\n{body}\n"
    assert chunks(text, Chunking("section", 200)) == (f"# One\n{body}\n", f"# Two\n{body}\n")


def test_a_cut_by_length_is_at_the_end_of_a_line_or_word() -> None:
    text = "word " * 50
    assert all(chunk.endswith("word ") for chunk in chunks(text, Chunking("characters", 101)))


def test_an_empty_document_has_no_chunk() -> None:
    assert chunks(" \n\f ", Chunking()) == ()


@pytest.mark.parametrize(("size", "overlap"), [(LEAST_SIZE - 1, 0), (200, 101), (200, -1)])
def test_sizes_that_make_no_chunks_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(UsageError):
        Chunking("section", size, overlap)
