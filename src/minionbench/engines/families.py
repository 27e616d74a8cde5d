"""Local size tiers and weight formats, and which member of a model's family each one means."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, TypeAlias

import msgspec

from minionbench.engines.catalog import ModelSpec
from minionbench.errors import UsageError

TABLE_DATE = "2026-11"
"""When the table of families was last looked through."""
NEAR = 1.6
"""A member is near a tier when neither has more than so many times the other's weights: llama3.2's
1.24 B and gemma3's 4.3 B are taken for 1.5 B and 3 B, and nothing of llama3.2 for 8 B."""

FORMATS = (
    "q2_K", "q3_K_S", "q3_K_M", "q3_K_L", "q4_0", "q4_1", "q4_K_S", "q4_K_M", "q5_0", "q5_1",
    "q5_K_S", "q5_K_M", "q6_K", "q8_0", "fp16",
)  # fmt: skip
"""Weight formats as Ollama's tags write them."""
_SPELLINGS = {name.lower(): name for name in FORMATS} | {"f16": "fp16"}


class Quant(msgspec.Struct, frozen=True):
    """A weight format alone: `Quant("q4_0")`, spelled in any case.

    Raises UsageError for a format that is not in `FORMATS`.
    """

    format: str

    def __post_init__(self) -> None:
        canonical_format(self.format)

    @property
    def label(self) -> str:
        """As a factor of a run names it."""
        return canonical_format(self.format)


class SizeTier(msgspec.Struct, frozen=True):
    """The member of a model's family nearest a size, in a weight format or the family's default."""

    parameters_b: ClassVar[float]
    """Billions of weights."""

    format: str | None = None

    def __post_init__(self) -> None:
        if self.format is not None:
            canonical_format(self.format)

    @property
    def label(self) -> str:
        """As a factor of a run names it: `Q3B`, `Q3B q8_0`."""
        name = type(self).__name__
        return name if self.format is None else f"{name} {canonical_format(self.format)}"


class Q1_5B(SizeTier, frozen=True):
    """About 1.5 billion weights."""

    parameters_b: ClassVar[float] = 1.5


class Q3B(SizeTier, frozen=True):
    """About 3 billion weights."""

    parameters_b: ClassVar[float] = 3.0


class Q8B(SizeTier, frozen=True):
    """About 8 billion weights."""

    parameters_b: ClassVar[float] = 8.0


LocalQuant: TypeAlias = Quant | SizeTier


class Member(NamedTuple):
    """One size of a family in Ollama's library."""

    tag: str
    """Its default format's tag, as in `llama3.2:3b`."""
    parameters_b: float
    format_tag: str
    """Tag of a named format, which takes the place of {}."""


class Family(NamedTuple):
    """The sizes of a family, and the formats that every one of them has."""

    members: tuple[Member, ...]
    default_tag: str
    """What the bare name means in Ollama's library."""
    formats: tuple[str, ...]


_MANY = ("q4_0", "q4_K_M", "q5_K_M", "q8_0", "fp16")
_FEW = ("q4_K_M", "q8_0", "fp16")

FAMILIES: dict[str, Family] = {
    "llama3.2": Family(
        (Member("1b", 1.24, "1b-instruct-{}"), Member("3b", 3.21, "3b-instruct-{}")), "3b", _MANY
    ),
    "llama3.1": Family((Member("8b", 8.03, "8b-instruct-{}"),), "8b", _MANY),
    "llama3": Family((Member("8b", 8.03, "8b-instruct-{}"),), "8b", _MANY),
    "qwen2.5": Family(
        (
            Member("0.5b", 0.49, "0.5b-instruct-{}"),
            Member("1.5b", 1.54, "1.5b-instruct-{}"),
            Member("3b", 3.09, "3b-instruct-{}"),
            Member("7b", 7.62, "7b-instruct-{}"),
        ),
        "7b",
        _MANY,
    ),
    "qwen3": Family(
        (
            Member("0.6b", 0.75, "0.6b-{}"),
            Member("1.7b", 2.03, "1.7b-{}"),
            Member("4b", 4.02, "4b-{}"),
            Member("8b", 8.19, "8b-{}"),
        ),
        "8b",
        _FEW,
    ),
    "gemma2": Family(
        (Member("2b", 2.61, "2b-instruct-{}"), Member("9b", 9.24, "9b-instruct-{}")), "9b", _MANY
    ),
    "gemma3": Family((Member("1b", 1.0, "1b-it-{}"), Member("4b", 4.3, "4b-it-{}")), "4b", _FEW),
    "phi3": Family(
        (Member("3.8b", 3.82, "3.8b-mini-4k-instruct-{}"),), "3.8b", ("q4_0", "q4_K_M", "fp16")
    ),
    "phi4-mini": Family((Member("3.8b", 3.84, "3.8b-{}"),), "3.8b", _FEW),
    "mistral": Family((Member("7b", 7.25, "7b-instruct-v0.3-{}"),), "7b", _MANY),
    "deepseek-r1": Family(
        (
            Member("1.5b", 1.78, "1.5b-qwen-distill-{}"),
            Member("7b", 7.62, "7b-qwen-distill-{}"),
        ),
        "8b",
        _FEW,
    ),
}
"""Families of Ollama's library by name, as of `TABLE_DATE`; sizes too large for the tiers left out.

Source: ollama.com/library, weights as the models' own cards count them.
"""


def canonical_format(name: str) -> str:
    """A weight format as Ollama's tags write it.

    Raises:
        UsageError: there is none of that name.
    """
    format_ = _SPELLINGS.get(name.strip().lower())
    if format_ is None:
        raise UsageError(f"There is no weight format {name!r}; one of: {', '.join(FORMATS)}")
    return format_


def pick(model: str, quant: LocalQuant | None) -> ModelSpec:
    """The model that a name, and a size tier or weight format, mean together.

    `pick("llama3.2", Q3B())` is ollama/llama3.2:3b.

    Raises:
        UsageError: the family has no member near the size or no such format, is not in the table,
            or the name settles already what the tier or format would.
    """
    spec = ModelSpec.parse(model)
    if quant is None:
        return spec
    if spec.provider == "reference":
        return _reference(model, quant)
    if spec.provider != "ollama" or spec.name is None:
        raise UsageError(
            f"{spec.text} is one size in one format, so {quant.label} cannot be chosen for it"
        )
    name, _, tag = spec.name.partition(":")
    family = FAMILIES.get(name)
    if family is None:
        raise UsageError(
            f"{name} is not in the table of families ({', '.join(FAMILIES)}; as of {TABLE_DATE}), "
            f"so {quant.label} cannot be chosen; name the model in full, as ollama/{name}:TAG"
        )
    if isinstance(quant, SizeTier):
        if tag:
            raise UsageError(
                f"{spec.name} names its size already, so {quant.label} cannot choose it"
            )
        return _tagged(name, family, _nearest(name, family, quant), quant.format)
    wanted = tag or family.default_tag
    for member in family.members:
        if member.tag == wanted:
            return _tagged(name, family, member, quant.format)
    raise UsageError(
        f"{name}:{wanted} is not in the table of families (as of {TABLE_DATE}), so its format "
        f"{quant.label} is not known; name the model in full, as ollama/{name}:TAG"
    )


def _nearest(name: str, family: Family, tier: SizeTier) -> Member:
    def distance(member: Member) -> float:
        ratio = member.parameters_b / tier.parameters_b
        return max(ratio, 1 / ratio)

    nearest = min(family.members, key=distance)
    if distance(nearest) > NEAR:
        others = [
            other
            for other, candidate in FAMILIES.items()
            if min(map(distance, candidate.members)) <= NEAR
        ]
        raise UsageError(
            f"{name} has no member near {tier.parameters_b:g} billion weights: it has "
            f"{', '.join(member.tag for member in family.members)} (as of {TABLE_DATE}). "
            f"Families that have one: {', '.join(others)}"
        )
    return nearest


def _tagged(name: str, family: Family, member: Member, format_: str | None) -> ModelSpec:
    if format_ is None:
        return ModelSpec("ollama", f"{name}:{member.tag}")
    canonical = canonical_format(format_)
    if canonical not in family.formats:
        raise UsageError(
            f"{name} is known in {', '.join(family.formats)} (as of {TABLE_DATE}), not in "
            f"{canonical}; name the model in full, as ollama/{name}:TAG"
        )
    return ModelSpec("ollama", f"{name}:{member.format_tag.format(canonical)}")


def _reference(model: str, quant: LocalQuant) -> ModelSpec:
    if isinstance(quant, SizeTier):
        raise UsageError(
            f"The reference model has one size, so {quant.label} cannot be chosen for it; "
            'a format can, as Quant("q4_0")'
        )
    if "/" in model:
        raise UsageError(f"{model} names its format already, so {quant.label} cannot choose it")
    return ModelSpec.parse(f"reference/{canonical_format(quant.format)}")
