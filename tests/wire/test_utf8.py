"""Wrong bytes are found where decoding the whole would find them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.wire.utf8 import PART_BYTES, wrong_utf8_at

pieces = st.lists(
    st.text(max_size=4).map(str.encode)
    | st.sampled_from(
        [b"\xff", b"\xe6\x9d", b"\xed\xa0\x80", b"\xf0\x9f\x99", b"\x80", b"\xc0\xaf"]
    ),
    max_size=8,
)


def by_decoding(body: bytes) -> int | None:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


@given(pieces.map(b"".join) | st.binary(max_size=30), st.integers(4, 9))
def test_the_first_wrong_byte_is_found_however_the_body_is_parted(body: bytes, part: int) -> None:
    assert wrong_utf8_at(body, part) == wrong_utf8_at(body) == by_decoding(body)


@pytest.mark.parametrize("before", range(PART_BYTES - 4, PART_BYTES + 1))
def test_a_character_that_two_parts_share_is_whole(before: int) -> None:
    body = b"x" * before + "🙂".encode()
    assert wrong_utf8_at(body + b"y") is None
    assert wrong_utf8_at(body[:-1] + b"y") == before
    assert wrong_utf8_at(body[:-1]) == before
