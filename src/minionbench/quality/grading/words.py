"""Plain forms of text that all graders share: characters, sentences, tokens and denials."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

_SAME = str.maketrans(
    {
        **dict.fromkeys("−‒﹣－‐‑⁃", "-"),
        **dict.fromkeys("–—―", "–"),
        **dict.fromkeys("‘’‛ʼ′`´", "'"),
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", None),
    }
)
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")

_ABBREVIATION = re.compile(
    r"(?:\b(?:St|Mt|Mr|Mrs|Ms|Dr|Prof|No|Inc|Ltd|Co|Corp|Jr|Sr|vs|approx|ca|etc|e\.g|i\.e)|"
    r"(?:\b|\.)[A-Z])\.$"
)
_SENTENCE_END = re.compile(r"(?<=[.!?;])[\"')\]*_]*\s+(?=[\"'(\[*_$\\]*[A-Z0-9])|\n+")


def plain(text: str) -> str:
    """The text with one form for each minus, quote and space, and fractions as `1/2`.

    Compatibility forms (full width, superscripts, ligatures) become their plain characters.
    """
    text = _FRACTION.sub(" ", text.translate(_SAME))
    return unicodedata.normalize("NFKC", text).replace("\u2044", "/").translate(_SAME)


def sentences(text: str) -> list[str]:
    """The text cut at line ends and sentence ends, empty pieces left out."""
    found: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        piece = text[start : end.start()]
        if "\n" not in end.group() and _ABBREVIATION.search(piece[-8:]):
            continue
        found.append(piece)
        start = end.end()
    found.append(text[start:])
    return [piece.strip() for piece in found if piece.strip()]


_TOKEN = re.compile(r"[0-9]+(?:[.,:][0-9]+)*|[^\W\d_]+(?:'[^\W\d_]+)*[+#]*|[%$€£°/&]")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_ARTICLES = frozenset(("the", "a", "an"))
_SPELLED = {"&": "and"}


def tokens(text: str) -> tuple[str, ...]:
    """Words and numbers in lower case, without accents, articles, punctuation and possessives."""
    folded = unicodedata.normalize("NFD", plain(text).casefold())
    bare = "".join(c for c in folded if not unicodedata.combining(c))
    found = (_SPELLED.get(token, token) for token in _TOKEN.findall(bare))
    words = tuple(
        token.replace(",", "") if _THOUSANDS.fullmatch(token) else token.removesuffix("'s")
        for token in found
    )
    # A title may be an article ("The The"): what would become nothing stays as it is.
    return tuple(word for word in words if word not in _ARTICLES) or words


def places(inner: Sequence[str], outer: Sequence[str]) -> list[int]:
    """Where a run of tokens stands in another."""
    size = len(inner)
    return [
        at
        for at in range(len(outer) - size + 1)
        if size and tuple(outer[at : at + size]) == tuple(inner)
    ]


DENIALS = frozenset(
    ("not", "never", "neither", "nor", "without", "except", "unlike", "isn't", "wasn't", "aren't",
     "weren't", "cannot", "can't", "don't", "doesn't", "didn't", "won't", "isnt", "wasnt")
)  # fmt: skip
_DENYING_PAIRS = frozenset((("instead", "of"), ("rather", "than"), ("no", "longer")))
_REFUSALS = frozenset(("wrong", "incorrect", "false", "untrue", "mistaken"))
_LINKS = frozenset(("is", "was", "are", "were", "would", "be"))
DENIAL_REACH = 3
"""Tokens before a value within which a denial is of the value."""


def denied(found: Sequence[str], at: int, size: int) -> bool:
    """Whether the tokens at a place are denied: `not Oslo`, `rather than Oslo`, `Oslo is wrong`."""
    before = list(found[max(0, at - DENIAL_REACH) : at])
    if "but" in before:
        before = before[len(before) - before[::-1].index("but") :]
    if DENIALS.intersection(before):
        return True
    if any(pair in _DENYING_PAIRS for pair in pairwise(before)):
        return True
    after = list(found[at + size : at + size + 3])
    if not after or after[0] not in _LINKS:
        return False
    return bool(_REFUSALS.intersection(after[1:])) or "not" in after[1:2]
