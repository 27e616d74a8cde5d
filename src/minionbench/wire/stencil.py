"""Frames that repeat: what one says is known without decoding it, when only its text is new.

The frames of an answer's tokens are alike but for the text, and for a number or an instant that no
reading needs. From one frame that was decoded, a stencil is cut: the bytes that stay, and the
slots between them. Wherever the body goes on with the same bytes, the slots are taken out as they
are, many frames at a time.

That this reads the same as decoding each frame rests on two facts. JSON: the inside of a string
can be put in the place of another, digits in the place of digits, and nothing else changes its
meaning. And a probe: the frame with other fillings in its slots, decoded when the stencil is cut,
must say the same but for the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec

from minionbench.wire.said import Said

FIRST_WINDOW_BYTES = 4_096
"""Bytes that are looked through at once at first; few, since what follows may be of another kind.
It doubles while everything fits, up to the last window."""
LAST_WINDOW_BYTES = 65_536
NEEDLE_BYTES = 12
"""Enough to hold the name of a text field, which nothing else in a frame is like."""

_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 +,-./:;=_~"
"""Bytes that stand for themselves inside a JSON string."""
_TEXT, _WORD, _NUMBER = range(3)
"""Kinds of slots: the text that is read, a string and a number that are not."""

_decode_string = msgspec.json.Decoder(str).decode
_decode_strings = msgspec.json.Decoder(list[str]).decode


class Slots:
    """Which fields of a dialect's frames may be new in each frame."""

    def __init__(
        self,
        texts: Sequence[str],
        *,
        words: Sequence[str] = (),
        numbers: Sequence[str] = (),
    ) -> None:
        """Names of the string fields that are read as text, and of strings and numbers that are
        not read at all."""

        def names(of: Sequence[str]) -> str:
            return "|".join(map(re.escape, of)) or "(?!)"

        self.pattern = re.compile(
            rf'"(?:{names(texts)})": ?"([^"\\\x00-\x1f]+)"'
            rf'|"(?:{names(words)})": ?"([{re.escape(_PLAIN.decode())}]+)"'
            rf'|"(?:{names(numbers)})": ?(0|[1-9][0-9]*)(?=[,}}])'.encode()
        )


class Run:
    """Frames that a stencil fits, one directly after the other."""

    __slots__ = ("ends", "texts")

    def __init__(self, texts: list[str], ends: list[int]) -> None:
        self.texts = texts
        self.ends = ends
        """Position just after each frame."""


class Stencil:
    """The bytes that frames have in common, and the kinds of the slots between them."""

    __slots__ = (
        "_head",
        "_joint",
        "_kinds",
        "_needle",
        "_seams",
        "_tail",
        "_window",
        "reasoning",
    )

    def __init__(self, fixed: list[bytes], kinds: tuple[int, ...], reasoning: bool) -> None:
        self._head, *self._seams, self._tail = fixed
        # Between the last slot of a frame and the first of the next one stands a joint, then a
        # needle: bytes.split is several times quicker with a short separator.
        self._needle = self._head[-NEEDLE_BYTES:]
        self._joint = self._tail + self._head[:-NEEDLE_BYTES]
        self._kinds = kinds
        self._window = FIRST_WINDOW_BYTES
        self.reasoning = reasoning
        """Whether the text is reasoning, or else visible."""

    def next_run(self, body: bytes, start: int) -> Run | None:
        """As many frames as fit from this byte on, up to a window; None when the first does not.

        A joint that is found ends one frame and begins another wherever it stands, since the end
        of a frame is the end of a line. So only the slots between two joints are to be checked.
        """
        if not body.startswith(self._head, start):
            self._window = FIRST_WINDOW_BYTES
            return None
        begin = start + len(self._head)
        pieces = body[begin : begin + self._window].split(self._needle)
        # The last one goes on behind the window, or is of another kind.
        pieces.pop()
        found = len(pieces)
        texts = self._texts(_without(self._joint, pieces, bytes.removesuffix))
        self._window = min(2 * self._window, LAST_WINDOW_BYTES)
        if len(texts) < found:
            self._window = FIRST_WINDOW_BYTES
        if not texts:
            return None
        step = len(self._needle)
        del pieces[len(texts) :]
        ends = list(accumulate(map(step.__add__, map(len, pieces)), initial=start))
        return Run(texts, ends[1:])

    def _texts(self, pieces: list[bytes]) -> list[str]:
        """The texts of so many frames, from the first on, as have a proper filling in each slot."""
        texts: list[str] = []
        for kind, seam in zip(self._kinds, [*self._seams, None], strict=True):
            column = pieces
            if seam is not None:
                column, pieces = _split_at(seam, pieces)
            if b"" in column:
                del column[column.index(b"") :]
            if kind == _TEXT:
                texts = _strings(column)
                fit = len(texts)
            else:
                fit = _plain_words(column) if kind == _WORD else _numbers(column)
            del pieces[fit:]
        return texts[: len(pieces)]


def cut_stencil(
    raw: bytes, said: Said, slots: Slots, read: Callable[[bytes], Said | None]
) -> Stencil | None:
    """The stencil of a frame; None when more than the slots' fillings may matter to its meaning.

    `read` says what other bytes in the frame's place would say; None where they are no such frame.
    """
    if bool(said.visible) == bool(said.reasoning) or said.closes or said.aside:
        return None
    fixed: list[bytes] = []
    kinds: list[int] = []
    probe: list[bytes] = []
    at = 0
    for slot in slots.pattern.finditer(raw):
        kind = slot.lastindex
        assert kind is not None
        begin, end = slot.span(kind)
        filling = raw[begin:end]
        fixed.append(raw[at:begin])
        kinds.append(kind - 1)
        other = b"7" if filling != b"7" else b"8"
        probe += (raw[at:begin], other if kind - 1 == _NUMBER else filling + b"~")
        at = end
    if kinds.count(_TEXT) != 1:
        return None
    probed = read(b"".join([*probe, raw[at:]]))
    if said.visible:
        expected = msgspec.structs.replace(said, visible=said.visible + "~")
    else:
        expected = msgspec.structs.replace(said, reasoning=said.reasoning + "~")
    if probed != expected:
        return None
    return Stencil([*fixed, raw[at:]], tuple(kinds), bool(said.reasoning))


def _split_at(seam: bytes, pieces: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """What stands before and behind the seam in so many pieces, from the first on, as have it."""
    if not pieces:
        return [], []
    begin, rest = seam[:NEEDLE_BYTES], seam[NEEDLE_BYTES:]
    before, found, behind = zip(*[piece.partition(begin) for piece in pieces], strict=True)
    whole = found.index(b"") if b"" in found else len(found)
    fit = _without(rest, behind[:whole], bytes.removeprefix)
    return list(before[: len(fit)]), fit


def _without(
    part: bytes, pieces: Sequence[bytes], remove: Callable[[bytes, bytes], bytes]
) -> list[bytes]:
    """The pieces without a part at their beginning or end, up to the first that has it not."""
    without = [remove(piece, part) for piece in pieces]
    size = len(part)
    if sum(map(len, pieces)) - sum(map(len, without)) == size * len(pieces):
        return without
    pairs = enumerate(zip(pieces, without, strict=True))
    return without[: next(i for i, (piece, rest) in pairs if len(piece) - len(rest) != size)]


def _strings(insides: list[bytes]) -> list[str]:
    """The strings that these are the insides of, up to the first that is no string's inside."""
    if not insides or _has_bare_quote(insides):
        return _strings_one_by_one(insides)
    try:
        return _decode_strings(b'["' + b'","'.join(insides) + b'"]')
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _strings_one_by_one(insides)


def _has_bare_quote(insides: list[bytes]) -> bool:
    """Whether a quote stands in one of them without a backslash before it.

    If none does, they can be decoded as one array: whatever inside were no inside of a string (its
    last backslash escapes the quote put behind it, or its backslash is itself escaped), from there
    on the next ones would stand outside of strings, where neither a backslash nor a closing quote
    brings them in again. So the array is refused, or its strings are just these.
    """
    together = b" ".join(insides)
    return together.count(b'"') != together.count(b'\\"')


def _strings_one_by_one(insides: list[bytes]) -> list[str]:
    strings = []
    for inside in insides:
        try:
            strings.append(_decode_string(b'"' + inside + b'"'))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            break
    return strings


def _plain_words(words: list[bytes]) -> int:
    """How many of these, from the first on, hold plain characters only."""
    if not b"".join(words).translate(None, _PLAIN):
        return len(words)
    return next(i for i, word in enumerate(words) if word.translate(None, _PLAIN))


def _numbers(numbers: list[bytes]) -> int:
    """How many of these, from the first on, are whole numbers as JSON writes them."""
    if b"".join(numbers).isdigit() and b",0" not in b",".join((b"", *numbers)):
        return len(numbers)
    wrong = (i for i, n in enumerate(numbers) if not n.isdigit() or (n[0] == 48 and n != b"0"))
    return next(wrong, len(numbers))
