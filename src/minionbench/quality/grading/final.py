"""Where in an answer the final answer stands.

Reasoning that a model wrote into its visible text (`<think>…</think>`) is no part of the answer.
Marks count, the last one first: `\\boxed{…}`, a line `Answer: …` (or `#### 42`, or a heading
`Answer`), and "the answer is …". After the first two nothing else is looked at; where none is, the
whole answer is open to the grader's own rule.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from minionbench.workloads.problems import boxed_answer

LONGEST_ANSWER = 20_000
"""Characters from its end in which the final answer of an answer is looked for."""

Mark: TypeAlias = Literal["boxed", "named", "said", "none"]

_TAG = re.compile(
    r"<(?P<closed>/)?(?:think|thinking|thought|reasoning)>|\[(?P<shut>/)?THINK\]|"
    r"<\|channel\|?>\s*(?:analysis|thought|commentary)|"
    r"(?P<final><\|channel\|>\s*final\s*(?:<\|message\|>)?|<channel\|>)",
    re.IGNORECASE,
)
"""How models open and close reasoning in their text: most, Mistral's, gpt-oss and Gemma."""
_NAMED = re.compile(
    r"\b(?:answer|answer\s*\([^()\n]{1,20}\))[*_`]{0,3}\s*[:：=][*_`\s]*|"
    r"^[ \t#>*_]*(?:the\s+)?(?:final\s+|correct\s+)?answer[ \t*_#]*\n|"
    r"^[ \t]*#{4}[ \t]*(?=[-−(]?[$€£]?[-−]?[ \t]*[0-9.][0-9.,]*[ \t]*%?[ \t]*\)?$)",
    re.IGNORECASE | re.MULTILINE,
)
_SAID = re.compile(
    r"\banswer(?:\s+(?!is\b|was\b|are\b)[\w'’-]+){0,6}?,?\s+"
    r"(?:is|was|are|would be|will be|must be|should be|equals|comes to)\b[*_`]*\s*:?[*_`\s]*",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(r"\S+\Z")


class Final(NamedTuple):
    """A stretch of an answer that may hold the final answer."""

    text: str
    """One line where there is a mark; the whole answer where there is none."""
    mark: Mark


def visible(answer: str) -> str:
    """The answer without reasoning between tags.

    A closing tag without an opening one ends reasoning that began before the answer did, as where
    a chat template writes the opening tag; an opening one without an end leaves nothing after it.
    """
    kept = ""
    at = 0
    inside = False
    for tag in _TAG.finditer(answer):
        closing = any(tag.groups())
        if closing:
            kept = kept if inside else ""
        elif not inside:
            kept += answer[at : tag.start()]
        inside = not closing
        at = tag.end()
    return kept if inside else kept + answer[at:]


def finals(answer: str, *, cut: bool = False) -> tuple[Final, ...]:
    """The stretches in which to look for the final answer, in the order of trust.

    Of an answer that was `cut` off only what is marked counts, without its last, unfinished word:
    its last number is not its result.
    """
    text = visible(answer)[-LONGEST_ANSWER:]
    found: list[tuple[int, Final]] = []
    boxed = boxed_answer(text)
    if boxed is not None:
        found.append((text.rfind("\\boxed"), Final(boxed, "boxed")))
    if cut:
        text = _UNFINISHED.sub("", text)
    found += _marked(text, _NAMED, "named")
    found += _marked(text, _SAID, "said")
    found.sort(key=lambda pair: pair[0], reverse=True)
    ordered: list[Final] = []
    for _, final in found:
        ordered.append(final)
        if final.mark != "said":
            return tuple(ordered)
    return tuple(ordered) if cut else (*ordered, Final(text, "none"))


def _marked(text: str, pattern: re.Pattern[str], mark: Mark) -> list[tuple[int, Final]]:
    found = []
    for match in pattern.finditer(text):
        line = text[match.end() :].lstrip().partition("\n")[0].strip().strip("*_`").strip()
        if line:
            found.append((match.end(), Final(line, mark)))
    return found
