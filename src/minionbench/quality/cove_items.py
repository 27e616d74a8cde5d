"""Pairs of drafts to be verified: one with a single planted error, one without, otherwise alike.

A pair gives two requests, `…/planted` and `…/clean`, for a `ChainOfVerification`, and a third,
`…/base`, for the deployment alone: the same question without a draft.

A file of pairs is JSON Lines, one object per pair:

    {"id": "bridges-1",                          optional; else the line's number
     "kind": "bridges",                          optional; rates are also given per kind
     "question": "Name the length of the Aro bridge, the river under it.",
     "context": "…",                             optional text that the question is about
     "parts": [{"subject": "length of the Aro bridge", "value": "1,204", "type": "number",
                "unit": "m"},
               {"subject": "river under it", "value": "Tarn", "aliases": ["the Tarn river"]}],
     "clean": "The length of the Aro bridge is 1204 m. The river under it is the Tarn.",
     "planted": "The length of the Aro bridge is 1304 m. The river under it is the Tarn.",
     "error": 0}                                 index of the part that is wrong in `planted`

Both drafts have to be readable by the rules that judge the answers (`claims`), with every part
right in `clean` and exactly the named one wrong in `planted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias

import msgspec

from minionbench.exchange import Limits, Message, Reference, Request
from minionbench.quality.claims import Part, read_claims
from minionbench.quality.prompts import about, draft_prompt
from minionbench.workloads.jsonl import Line, identities, json_type, read_lines
from minionbench.workloads.tokenizer import reference_tokenizer
from minionbench.workloads.workload import answer_limits

NAME = "cove"

Draft: TypeAlias = Literal["planted", "clean", "base"]
"""Which draft a request brings; `base` brings none."""

MAX_OUTPUT_TOKENS = 256
"""Generous for any of the four steps: the longest right answer is a list of five questions."""

FILE_VERSION = 1
"""Raised whenever the pairs that are made of a given file change."""

LONGEST_TEXT = 20_000
"""Characters of a text in a file of pairs; longer ones are a mistake."""


class CovePair(msgspec.Struct, frozen=True, kw_only=True):
    """A question with what is right, and two drafts of which one has a known error."""

    pair_id: str
    kind: str
    question: str
    context: str | None
    """Text that the question is about; None where it stands alone."""
    parts: tuple[Part, ...]
    clean: str
    planted: str
    error: int
    """Which part is wrong in the planted draft, from 0."""
    questions: tuple[str, ...] = ()
    """Questions that verify the parts, one each; empty where a file's pair does not know them."""


class CoveSet(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs together with where they are from."""

    source: str
    """`builtin:cove@1`, or the file's content."""
    version: int
    seed: int | None
    """Seed that the pairs were drawn from; None for a file's."""
    pairs: tuple[CovePair, ...]

    @property
    def name(self) -> str:
        """What the workload is called in a document."""
        return NAME

    def requests(
        self, *, max_output_tokens: int = MAX_OUTPUT_TOKENS, seed: int = 0
    ) -> Iterator[Request]:
        """Each pair's two drafts, one after the other, for a `ChainOfVerification`."""
        limits = answer_limits(max_output_tokens, None, seed)
        for pair in self.pairs:
            yield _request(pair, "planted", self.source, limits)
            yield _request(pair, "clean", self.source, limits)

    def base_requests(
        self, *, max_output_tokens: int = MAX_OUTPUT_TOKENS, seed: int = 0
    ) -> Iterator[Request]:
        """Each pair's question without a draft, for the deployment alone."""
        limits = answer_limits(max_output_tokens, None, seed)
        return (_request(pair, "base", self.source, limits) for pair in self.pairs)


def item_id(pair: CovePair, draft: Draft) -> str:
    """Id of a pair's request."""
    return f"{pair.pair_id}/{draft}"


def _request(pair: CovePair, draft: Draft, source: str, limits: Limits) -> Request:
    messages = [Message("user", about(pair.context, draft_prompt(pair.question)))]
    if draft != "base":
        messages.append(Message("assistant", pair.planted if draft == "planted" else pair.clean))
    count = reference_tokenizer().count
    return Request(
        item_id=item_id(pair, draft),
        messages=tuple(messages),
        limits=limits,
        source=source,
        input_tokens=sum(count(message.content) for message in messages),
        reference=Reference(kind="text", value=pair.clean),
        document=pair.context,
        question=pair.question,
    )


def problem_with(pair: CovePair) -> str | None:
    """Why a pair cannot be judged; None when it can."""
    clean = read_claims(pair.parts, pair.clean)
    planted = read_claims(pair.parts, pair.planted)
    for name, claims in (("clean", clean), ("planted", planted)):
        for part, value in zip(pair.parts, claims.values, strict=True):
            if value is None:
                return f"nothing can be read about {part.subject!r:.80} in the {name} draft"
    for number, (part, right) in enumerate(zip(pair.parts, clean.right, strict=True)):
        if not right:
            return f"the clean draft is wrong about part {number}, {part.subject!r:.80}"
    wrong = [number for number, right in enumerate(planted.right) if not right]
    if wrong != [pair.error]:
        return f"the planted draft is wrong about the parts {wrong}; the error is {pair.error}"
    return None


def read_pairs(path: str | PathLike[str]) -> CoveSet:
    """The pairs in a file of JSON Lines, plain or gzipped.

    Raises:
        UsageError: the file cannot be read.
        SchemaError: a line is not a pair that can be judged; it names file and line.
    """
    lines = read_lines(path)
    names = identities(lines, "id")
    source = f"{NAME}-file@{lines.sha256[:12]}"
    pairs = tuple(
        _pair(line, f"{source}/{name}") for line, name in zip(lines.lines, names, strict=True)
    )
    return CoveSet(source=source, version=FILE_VERSION, seed=None, pairs=pairs)


_FIELDS = frozenset(("id", "kind", "question", "context", "parts", "clean", "planted", "error"))
_PART_FIELDS = frozenset(("subject", "value", "type", "unit", "aliases"))


def _pair(line: Line, pair_id: str) -> CovePair:
    _only(line, line.fields, _FIELDS, "")
    listed = line.fields.get("parts")
    if not isinstance(listed, list) or not listed:
        raise line.error("parts was expected to be a list of at least one part.")
    error = line.fields.get("error")
    if not isinstance(error, int) or isinstance(error, bool) or not 0 <= error < len(listed):
        raise line.error(f"error was expected to be the index of a part, 0 to {len(listed) - 1}.")
    pair = CovePair(
        pair_id=pair_id,
        kind=_text(line, line.fields, "kind", "", optional=True) or NAME,
        question=_text(line, line.fields, "question", ""),
        context=_text(line, line.fields, "context", "", optional=True) or None,
        parts=tuple(_part(line, part, number) for number, part in enumerate(listed)),
        clean=_text(line, line.fields, "clean", ""),
        planted=_text(line, line.fields, "planted", ""),
        error=error,
    )
    problem = problem_with(pair)
    if problem is not None:
        raise line.error(f"{problem}.")
    return pair


def _part(line: Line, fields: Any, number: int) -> Part:
    where = f"parts[{number}]"
    if not isinstance(fields, dict):
        raise line.error(f"{where} was expected to be an object, but is {json_type(fields)}.")
    _only(line, fields, _PART_FIELDS, f"{where}.")
    type_ = fields.get("type", "text")
    if type_ not in ("number", "text"):
        raise line.error(f'{where}.type was expected to be "number" or "text".')
    aliases = fields.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise line.error(f"{where}.aliases was expected to be a list of texts.")
    return Part(
        subject=_text(line, fields, "subject", f"{where}."),
        value=_text(line, fields, "value", f"{where}."),
        type=type_,
        unit=_text(line, fields, "unit", f"{where}.", optional=True) or None,
        aliases=tuple(aliases),
    )


def _only(line: Line, fields: dict[str, Any], known: Iterable[str], where: str) -> None:
    for field in fields:
        if field not in known:
            raise line.error(
                f"{where}{field!r:.60} is not a field of a pair; these are: "
                f"{', '.join(sorted(known))}."
            )


def _text(
    line: Line, fields: dict[str, Any], name: str, where: str, *, optional: bool = False
) -> str:
    value = fields.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise line.error(f"{where}{name} was expected to be a text that is not empty.")
    if len(value) > LONGEST_TEXT:
        raise line.error(f"{where}{name} has {len(value)} characters; at most {LONGEST_TEXT} fit.")
    return value


def by_kind(pairs: Sequence[CovePair]) -> dict[str, tuple[CovePair, ...]]:
    """The pairs of each kind, kinds in the order in which they first occur."""
    kinds: dict[str, list[CovePair]] = {}
    for pair in pairs:
        kinds.setdefault(pair.kind, []).append(pair)
    return {kind: tuple(members) for kind, members in kinds.items()}
