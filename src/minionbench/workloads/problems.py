"""GSM8K and MATH: real maths problems that ask for a worked solution.

Sources: https://github.com/openai/grade-school-math (`answer` ends in `#### N`);
https://github.com/hendrycks/math (`solution` holds the answer in `\\boxed{…}`).
"""

from __future__ import annotations

from collections.abc import Iterator

from minionbench.exchange import Message, Reference
from minionbench.workloads.jsonl import Line, Lines, as_decimal, no_item, own_id
from minionbench.workloads.sampling import drawn
from minionbench.workloads.workload import Count, Item

INSTRUCTION = (
    "Solve the problem step by step. Show every calculation, and end with a line: Answer: result."
)
GSM8K_FIELDS = ("question", "answer")
MATH_FIELDS = ("problem", "solution")

_BOXED = "\\boxed"


class Problems:
    """The problems of a GSM8K or MATH file; each has its own length."""

    default_input_tokens = None
    max_output_tokens = 768

    def __init__(self, name: str, lines: Lines) -> None:
        self.name = name
        self.file = lines.file
        self.source = f"{name}@{lines.sha256[:12]}"
        read = _gsm8k if name == "gsm8k" else _math
        self._problems = [(line.number, *read(line)) for line in lines.lines]

    def __len__(self) -> int:
        return len(self._problems)

    def items(self, n: int, seed: int, input_tokens: int | None, count: Count) -> Iterator[Item]:
        """The first n problems of a seed.

        Raises:
            UsageError: there are fewer problems than n, or a length was asked for.
        """
        order = drawn(self.file, self.source, len(self), "problems", n, seed, input_tokens)
        return (self._item(at, count) for at in order)

    def item(self, item_id: str, count: Count) -> Item:
        """The item of an id.

        Raises:
            UsageError: the file has none.
        """
        own = own_id(self.file, self.source, item_id)
        for at, (number, _, _) in enumerate(self._problems):
            if str(number) == own:
                return self._item(at, count)
        raise no_item(self.file, item_id)

    def _item(self, at: int, count: Count) -> Item:
        number, text, reference = self._problems[at]
        content = f"{INSTRUCTION}\n\nProblem: {text}"
        return Item(
            item_id=f"{self.source}/{number}",
            messages=(Message("user", content),),
            input_tokens=count(content),
            reference=reference,
        )


def _gsm8k(line: Line) -> tuple[str, Reference | None]:
    text, answer = line.text("question"), line.text("answer")
    _, mark, last = answer.rpartition("####")
    value = as_decimal(last.strip().removeprefix("$")) if mark else None
    if value is None:
        raise line.error('answer was expected to end in "#### " and a number.')
    return text, Reference(kind="number", value=value)


def _math(line: Line) -> tuple[str, Reference | None]:
    """The problem and the last boxed text of its solution; None where nothing is boxed."""
    text, boxed = line.text("problem"), boxed_answer(line.text("solution"))
    if boxed is None:
        return text, None
    value = as_decimal(boxed.replace("{,}", ",").replace("\\!", ""))
    if value is not None:
        return text, Reference(kind="number", value=value)
    return text, Reference(kind="text", value=boxed)


def boxed_answer(solution: str) -> str | None:
    """What the last `\\boxed{…}` or `\\boxed x` of a solution holds; None where there is none."""
    _, mark, rest = solution.rpartition(_BOXED)
    rest = rest.lstrip()
    if not mark or not rest:
        return None
    if not rest.startswith("{"):
        words = rest.partition("$")[0].split()
        return (words[0].rstrip(".,") or None) if words else None
    depth = 0
    for at, character in enumerate(rest):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[1:at].strip() or None
    return None
