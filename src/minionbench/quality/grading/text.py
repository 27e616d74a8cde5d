"""The grader `text`: the known text stands in the answer, whole, stated and not denied.

Texts are compared as words: case, accents, articles, punctuation and the forms of quotes, dashes
and thousands separators make no difference. Of a marked answer the first sentence is looked at,
without a mark the whole answer. The known text (or an alias) is found where its words stand in one
sentence, as whole words and in order; the first place where it stands decides. It does not count
there when it is denied (`not Oslo`, `Oslo is wrong`) or offered beside another (`Oslo or Bergen`).
`Yes` and `No` have to be the first word.
"""

from __future__ import annotations

from collections.abc import Sequence

from minionbench.exchange import Reference
from minionbench.quality.grading.final import Final, finals
from minionbench.quality.grading.judgement import Judgement, decided, impossible, unread
from minionbench.quality.grading.words import denied, places, plain, sentences, tokens

LONGEST_REFERENCE_WORDS = 12
LONGEST_SENTENCE_WORDS = 5
"""Above these a known answer, or one that is a sentence with its full stop, is an explanation:
another wording of it is as right, and no fixed rule knows which."""

EXPLANATION = "the known answer is an explanation, which no fixed rule can judge"
NOTHING_KNOWN = "the known answer holds no word"
DENIED = "the known text is denied"
SEVERAL = "several texts are offered"

_SIDES = frozenset(("yes", "no", "true", "false"))
_SAME_SIDE = {"true": "yes", "false": "no"}
SHOWN = 80
"""Characters of an answer that a judgement shows."""


def judge_text(answer: str, reference: Reference, *, cut: bool = False) -> Judgement:
    """Whether an answer states the known text or one of its aliases."""
    known = accepted(reference)
    if not known:
        return impossible(NOTHING_KNOWN)
    if is_explanation(reference):
        return impossible(EXPLANATION)
    stretches = finals(answer, cut=cut)
    if cut and not stretches:
        # A text that was stated stays stated, whatever would have followed.
        stretches = (Final(answer.rpartition(" ")[0], "none"),)
    judged = unread("the answer is empty")
    for final in stretches:
        judged = _judged(final, known)
        if judged.grade == "right" or final.mark != "said":
            return judged
    return judged


def is_explanation(reference: Reference) -> bool:
    """Whether what is known is more than a text that can be found in an answer."""
    value = reference.value.strip()
    most = LONGEST_SENTENCE_WORDS if value.endswith((".", "!")) else LONGEST_REFERENCE_WORDS
    return len(tokens(value)) > most or len(sentences(plain(value))) > 1


def accepted(reference: Reference) -> list[tuple[str, ...]]:
    """The words of the known text and its aliases."""
    texts = (tokens(text) for text in (reference.value, *reference.aliases))
    return [words for words in texts if words]


def _judged(final: Final, known: Sequence[tuple[str, ...]]) -> Judgement:
    text = plain(final.text)
    shown = text.strip()[:SHOWN]
    whole = tokens(text)
    if not whole:
        return unread("the answer holds no word")
    if whole in known:
        return decided(True, shown)
    side = next((words[0] for words in known if len(words) == 1 and words[0] in _SIDES), None)
    if side is not None:
        if whole[0] not in _SIDES:
            return unread("the answer begins with neither yes nor no")
        return decided(_side(whole[0]) == _side(side), whole[0])
    stated = sentences(text)
    for sentence in stated if final.mark == "none" else stated[:1]:
        if sentence.rstrip("\"')*_ ").endswith("?"):
            continue
        found = tokens(sentence)
        places_of = [(at, words) for words in known for at in places(words, found)]
        if not places_of:
            continue
        # Of what begins at the same place the longest: `New York` before `York`.
        at, words = min(places_of, key=lambda place: (place[0], -len(place[1])))
        if denied(found, at, len(words)):
            return decided(False, sentence[:SHOWN], DENIED)
        if _beside_another(found, at, len(words), known):
            return decided(False, sentence[:SHOWN], SEVERAL)
        return decided(True, " ".join(words))
    return decided(False, shown)


def _side(word: str) -> str:
    return _SAME_SIDE.get(word, word)


def _beside_another(
    found: Sequence[str], at: int, size: int, known: Sequence[tuple[str, ...]]
) -> bool:
    """Whether the words at a place are one of several that are offered with `or` or `/`."""
    after = found[at + size :]
    if after and after[0] in ("or", "/"):
        rest = tuple(after[1:])
        return not any(rest[: len(words)] == words for words in known)
    if at and found[at - 1] in ("or", "/"):
        rest = tuple(found[: at - 1])
        return not any(rest[len(rest) - len(words) :] == words for words in known)
    return False
