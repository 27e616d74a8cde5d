"""BM25 over an inverted index: which texts share the most telling words with a query.

Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), in
the form of Lucene, whose idf is never negative.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

K1 = 1.2
B = 0.75
"""Lucene's defaults: how soon a repeated word stops to count, and how much length counts."""

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text in lower case: runs of letters, digits and underscores."""
    return _WORD.findall(text.lower())


class Bm25:
    """An index over texts, which are known by their place in the sequence."""

    def __init__(self, texts: Iterable[str], *, k1: float = K1, b: float = B) -> None:
        postings: dict[str, list[tuple[int, int]]] = {}
        lengths = []
        for place, text in enumerate(texts):
            found = words(text)
            lengths.append(len(found))
            for word, count in Counter(found).items():
                entry = postings.get(word)
                if entry is None:
                    postings[word] = [(place, count)]
                else:
                    entry.append((place, count))
        self._postings = postings
        self._k1 = k1
        mean = sum(lengths) / len(lengths) if lengths else 0.0
        self._norms = [k1 * (1 - b + b * length / mean) if mean else k1 for length in lengths]

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self._norms)

    def scores(self, query: str) -> dict[int, float]:
        """The score of each text that shares a word with the query, by its place.

        Formula: Σ over the query's words of idf · tf/(tf + k1·(1 − b + b·length/mean length)) with
        idf = ln(1 + (N − df + ½)/(df + ½)). A word that stands twice in the query counts twice.
        """
        norms, size = self._norms, len(self._norms)
        scores: dict[int, float] = {}
        for word, repeats in Counter(words(query)).items():
            entry = self._postings.get(word)
            if entry is None:
                continue
            weight = repeats * math.log(1 + (size - len(entry) + 0.5) / (len(entry) + 0.5))
            for place, count in entry:
                gain = weight * count / (count + norms[place])
                scores[place] = scores.get(place, 0.0) + gain
        return scores

    def top(self, query: str, k: int) -> list[int]:
        """Places of the k best texts, best first, of equal score the earlier one first.

        Fewer where fewer share a word with the query.
        """
        scores = self.scores(query)
        return heapq.nsmallest(k, scores, key=lambda place: (-scores[place], place))


def best(texts: Sequence[str], query: str, k: int) -> list[int]:
    """Places of the k texts that fit a query best; see `Bm25.top`."""
    return Bm25(texts).top(query, k)
