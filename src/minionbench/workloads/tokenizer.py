"""The reference tokenizer: a byte-level BPE in pure Python, the same ids as the engine's.

Workload text is sized with it, so that a request's length depends on its seed and size only and
never on the model under test. It is also the tokenizer of the reference model.

Source: the byte-level BPE and the split pattern of GPT-2, as llama.cpp's pre-tokenizer "gpt-2".
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
END = "<|end|>"
SPECIAL_TOKENS = (BOS, EOS, PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
"""The control tokens, ids 0 to 6. Text never becomes one of them; only a chat template does."""

WORD_CACHE_LIMIT = 100_000
"""Words remembered before the cache is dropped: a few MB, never reached by the workloads."""

_SPACES = " \t\n\v\f\r"
_WORD = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d"
    r"| ?[A-Za-z]+"
    r"| ?[0-9]+"
    rf"| ?[^{_SPACES}A-Za-z0-9]+"
    rf"|[{_SPACES}]+(?![^{_SPACES}])"
    rf"|[{_SPACES}]+"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Shapes(dict[int, str]):
    """Maps a code point to the ASCII character of its class, so that `_WORD` needs only ASCII.

    ASCII stays; other letters become ``a``, numbers ``0``, white space ``\\n`` (only U+0020 may
    lead a word), everything else ``!``. Entries are made when first asked for.
    """

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        category = unicodedata.category(character)
        if code_point < 128:
            shape = character
        elif category[0] == "L":
            shape = "a"
        elif category[0] == "N":
            shape = "0"
        elif category[0] == "Z" or code_point == 0x85:
            shape = "\n"
        else:
            shape = "!"
        self[code_point] = shape
        return shape


_SHAPES = _Shapes()


def split_words(text: str) -> list[str]:
    """Split text into the pieces that are tokenized on their own; joined they are the text."""
    if text.isascii():
        return _WORD.findall(text)
    shape = text.translate(_SHAPES)
    return [text[match.start() : match.end()] for match in _WORD.finditer(shape)]


def byte_symbols() -> dict[int, str]:
    """Return GPT-2's printable stand-in for every byte.

    Source: ``bytes_to_unicode`` of the GPT-2 release; llama.cpp expects the same alphabet.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = {byte: chr(byte) for byte in printable}
    absent = (byte for byte in range(256) if byte not in symbols)
    symbols.update({byte: chr(256 + index) for index, byte in enumerate(absent)})
    return symbols


class ReferenceTokenizer:
    """A byte-level BPE over a fixed list of merges.

    Ids: the control tokens, then the 256 bytes in their own order, then one id per merge, in the
    order of the merges.
    """

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        """Make a tokenizer from merges written in GPT-2's byte symbols, strongest first."""
        symbols = byte_symbols()
        self.merges = tuple(merges)
        self.tokens = (
            *SPECIAL_TOKENS,
            *(symbols[byte] for byte in range(256)),
            *(left + right for left, right in self.merges),
        )
        byte_of = {symbol: byte for byte, symbol in symbols.items()}
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        self._bytes = [token.encode() for token in SPECIAL_TOKENS]
        self._bytes += [
            bytes(byte_of[symbol] for symbol in token)
            for token in self.tokens[len(SPECIAL_TOKENS) :]
        ]
        self._ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        self._symbols = [symbols[byte] for byte in range(256)]
        self._words: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without any control token.

        A lone surrogate, which no valid text holds, counts as U+FFFD.
        """
        words = self._words
        ids: list[int] = []
        for word in split_words(text):
            known = words.get(word)
            ids += self._remember(word) if known is None else known
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are not UTF-8 become U+FFFD."""
        return b"".join([self._bytes[index] for index in ids]).decode("utf-8", "replace")

    def count(self, text: str) -> int:
        """Return how many tokens a text has, without any control token."""
        words = self._words
        total = 0
        for word in split_words(text):
            known = words.get(word)
            total += len(self._remember(word) if known is None else known)
        return total

    def id_of(self, token: str) -> int:
        """Return the id of a token by its own spelling, such as ``<|end|>``.

        Raises:
            KeyError: no such token.
        """
        return self._ids[token]

    def _remember(self, word: str) -> tuple[int, ...]:
        if len(self._words) >= WORD_CACHE_LIMIT:
            self._words.clear()
        ids = self._words[word] = self._merge(word)
        return ids

    def _merge(self, word: str) -> tuple[int, ...]:
        """Apply the strongest merge, leftmost first, until none is left."""
        data = _SURROGATE.sub("\ufffd", word).encode()
        parts = [self._symbols[byte] for byte in data]
        never = len(self._ranks)
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, never) for pair in itertools.pairwise(parts)]
            best = min(ranks)
            if best == never:
                break
            at = ranks.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return tuple(self._ids[part] for part in parts)


@cache
def reference_tokenizer() -> ReferenceTokenizer:
    """Return the tokenizer of the reference model, loaded once per process."""
    data = json.loads(Path(__file__).with_name("tokenizer.json").read_text("utf-8"))
    merges = [tuple(line.split(" ")) for line in data["merges"]]
    return ReferenceTokenizer([(left, right) for left, right in merges])
