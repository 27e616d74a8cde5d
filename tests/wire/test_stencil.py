"""A stencil takes out of a body just what decoding each frame would give, and no more."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minionbench.wire.said import Said
from minionbench.wire.stencil import (
    FIRST_WINDOW_BYTES,
    Slots,
    Stencil,
    _numbers,
    _plain_words,
    _split_at,
    _strings,
    cut_stencil,
)

SLOTS = Slots(("text", "thought"), words=("at",), numbers=("n",))


class Line(msgspec.Struct):
    text: str = ""
    thought: str = ""
    other: str = ""


def read(raw: bytes) -> Said | None:
    """What a line says in a small protocol of these tests."""
    try:
        line = msgspec.json.decode(raw, type=Line)
    except msgspec.MsgspecError:
        return None
    return Said(visible=line.text, reasoning=line.thought, model=line.other)


def cut(raw: bytes) -> Stencil | None:
    said = read(raw)
    assert said is not None
    return cut_stencil(raw, said, SLOTS, read)


def lines(*texts: str, before: str = "", after: str = "") -> bytes:
    return b"".join(f'{{{before}"text":{json.dumps(text)}{after}}}\n'.encode() for text in texts)


def taken(stencil: Stencil, body: bytes, start: int = 0) -> tuple[list[str], int]:
    texts: list[str] = []
    while run := stencil.next_run(body, start):
        assert len(run.texts) == len(run.ends)
        for end in run.ends:
            assert body[end - 1 : end] == b"\n"
        texts += run.texts
        start = run.ends[-1]
    return texts, start


def test_lines_that_differ_in_their_text_are_taken_but_for_the_last() -> None:
    stencil = cut(lines("a"))
    assert stencil is not None
    body = lines("b", "c", "d")
    assert taken(stencil, body) == (["b", "c"], len(lines("b", "c")))
    assert taken(stencil, body, len(lines("b"))) == (["c"], len(lines("b", "c")))


def test_escapes_and_quotes_are_taken_as_what_they_stand_for() -> None:
    stencil = cut(lines("a"))
    assert stencil is not None
    texts = ['"', "\\", '\\"', "\n", "東🙂", '","', '"}\n{"text":"']
    assert taken(stencil, lines(*texts, "last"))[0] == texts


@pytest.mark.parametrize("stop", ["", "x"])
def test_an_empty_text_or_another_shape_ends_a_run(stop: str) -> None:
    stencil = cut(lines("a"))
    assert stencil is not None
    odd = lines(stop, after=',"more":1' if stop else "")
    body = lines("b") + odd + lines("c", "d")
    texts, end = taken(stencil, body)
    assert (texts, end) in ((["b"], len(lines("b"))), ([], 0))
    assert taken(stencil, body, len(lines("b") + odd))[0] == ["c"]


def test_runs_go_on_over_any_number_of_windows_and_stop_at_a_frame_longer_than_one() -> None:
    stencil = cut(lines("a"))
    assert stencil is not None
    texts = [str(i) for i in range(20_000)]
    assert taken(stencil, lines(*texts, "last"))[0] == texts
    long = "x" * 2 * FIRST_WINDOW_BYTES
    stencil = cut(lines("a"))
    assert stencil is not None
    assert taken(stencil, lines("b", long, "c"))[0] == ["b"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"n":{i},', ""),
        ("", ',"n":{i}'),
        ('"at":"{i}Z",', ',"n": {i}'),
        ('"at":"{i}","n":{i},', ""),
    ],
)
def test_a_number_and_a_word_that_are_not_read_may_be_new_in_each(before: str, after: str) -> None:
    def line(text: str, i: int) -> bytes:
        return lines(text, before=before.replace("{i}", str(i)), after=after.replace("{i}", str(i)))

    stencil = cut(line("a", 9))
    assert stencil is not None
    texts = [f"t{i}" for i in range(30)]
    body = b"".join(line(text, i) for i, text in enumerate(texts))
    assert taken(stencil, body)[0] == texts[:-1]


@pytest.mark.parametrize("wrong", ["01", "-1", "1.5", "1e3", "", "x", '"1"', "1 ", "1,2"])
def test_a_number_that_json_would_not_have_there_ends_a_run(wrong: str) -> None:
    stencil = cut(lines("a", before='"n":1,'))
    assert stencil is not None
    body = lines("b", before='"n":2,') + lines("c", before=f'"n":{wrong},')
    body += lines("d", "e", before='"n":3,')
    assert taken(stencil, body)[0] == ["b"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"other":"a"}\n',
        b'{"text":"a","thought":"b"}\n',
        b'{"text":"\\u0061"}\n',
        b'{"text":"a","te\\u0078t":"a"}\n',
        b'{"te\\u0078t":"a","x":{"text":"a"}}\n',
        b'{"text":"a","x":{"text":"b"}}\n',
    ],
)
def test_no_stencil_is_cut_where_the_slots_do_not_tell_all(raw: bytes) -> None:
    assert cut(raw) is None


def test_a_stencil_knows_whether_its_text_is_reasoning() -> None:
    stencil = cut(b'{"thought":"a"}\n')
    assert stencil is not None
    assert stencil.reasoning
    other = cut(lines("a"))
    assert other is not None
    assert not other.reasoning


insides = st.lists(
    st.lists(
        st.sampled_from(
            ['"', "\\", "\\\\", '\\"', ",", " ", "]", "[", "a", "\n", "\\n", "\\u00", "é"]
        )
    ).map("".join),
    max_size=5,
)


def strings_of(pieces: list[bytes]) -> list[str]:
    strings = []
    for piece in pieces:
        try:
            strings.append(json.loads(b'"' + piece + b'"'))
        except ValueError:
            break
    return strings


@given(insides)
@example(["x\\", ',"y'])
@example(['x\\\\",', ",", "z"])
@example(["x\\", ",", ",", "\\"])
@example(['"', '"'])
@example([])
@example([""])
def test_the_insides_of_strings_are_decoded_together_as_they_are_alone(pieces: list[str]) -> None:
    encoded = [piece.encode() for piece in pieces]
    assert _strings(encoded) == strings_of(encoded)


@given(st.lists(st.text("0123456789,-. x", max_size=3).filter(bool), max_size=5))
def test_numbers_are_those_of_json(numbers: list[str]) -> None:
    good = 0
    while (
        good < len(numbers) and numbers[good].isdigit() and str(int(numbers[good])) == numbers[good]
    ):
        good += 1
    assert _numbers([number.encode() for number in numbers]) == good


@given(
    st.lists(st.binary(min_size=1, max_size=3) | st.sampled_from([b"a1", b":-", b"Z."]), max_size=5)
)
def test_plain_words_stand_for_themselves(words: list[bytes]) -> None:
    good = _plain_words(words)
    assert all(json.loads(b'"' + word + b'"').encode() == word for word in words[:good])
    if good < len(words):
        assert any(
            byte < 32 or byte > 126 or byte in b'"\\' or chr(byte) in "!#$%&'()*<>?@[]^`{|}"
            for byte in words[good]
        )


@given(
    st.binary(min_size=1, max_size=30),
    st.lists(st.tuples(st.binary(max_size=4), st.booleans(), st.binary(max_size=4)), max_size=5),
)
def test_pieces_are_split_at_the_seam_as_far_as_they_have_it(
    seam: bytes, parts: list[tuple[bytes, bool, bytes]]
) -> None:
    pieces = [a + seam + b if has else a + b for a, has, b in parts]
    before, behind = _split_at(seam, pieces)
    assert len(before) == len(behind) <= len(pieces)
    for a, b, piece in zip(before, behind, pieces, strict=False):
        assert a + seam + b == piece
    if len(before) < len(pieces):
        piece = pieces[len(before)]
        # The first place where the seam's beginning stands decides.
        at = piece.find(seam[:12])
        assert at < 0 or not piece.startswith(seam, at)
