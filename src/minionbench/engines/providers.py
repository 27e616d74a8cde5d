"""Providers of remote models: the dated table of what each of them, and each model, takes.

The table is data (`providers.toml`), since model names and sizes change from month to month. A
user's own file lies over it, key by key: the one that `MINIONBENCH_PROVIDERS` names, else
`minionbench/providers.toml` in the user's configuration folder.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from minionbench.errors import UsageError
from minionbench.exchange import Manners, Reasoning, ReasoningSwitch

TABLE = Path(__file__).parent / "providers.toml"
VARIABLE = "MINIONBENCH_PROVIDERS"

Reasons: TypeAlias = Literal["never", "always", "switchable", "unknown"]
"""Whether a model reasons, and whether it can be told."""


class RemoteTraits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one model of a provider takes; None where that is not known."""

    context_tokens: int | None = None
    """Prompt, reasoning and answer together."""
    max_output_tokens: int | None = None
    """Most tokens that one answer may have, reasoning included."""
    reasoning: Reasons = "unknown"
    switch: ReasoningSwitch = "none"
    on_effort: str | None = None
    """Effort that is asked for with reasoning on, where the user names none."""
    off_effort: str | None = None
    """The word that stands for no reasoning, where that is an effort of its own."""
    off_body: dict[str, Any] = {}
    """Merged into each request to switch reasoning off, where the switch has no word for it."""
    summarised: bool = False
    """Whether what is streamed of its reasoning is a summary, made while it reasons."""
    temperature: Literal["always", "never", "without_reasoning"] = "always"
    """When a temperature may be sent."""
    max_tokens_field: str = "max_tokens"
    min_tokens_field: str | None = None
    seed: bool = True
    ignores_end: bool = False
    schema: bool = True
    shutdown: str | None = None
    """Day from which the provider has announced to serve the model no more, as 2026-12-11."""
    confirmed: bool = True
    """Whether this was read in the provider's own documentation or client library."""
    source: str | None = None
    """Where it was read; None for the provider's own source."""

    def manners(self, reasoning: Reasoning | None) -> Manners:
        """How to speak to the model while it is to reason, or not, or as it likes (None)."""
        quiet = self.reasoning == "never" or (reasoning is not None and not reasoning.on)
        return Manners(
            max_tokens_field=self.max_tokens_field,
            temperature=self.temperature == "always"
            or (self.temperature == "without_reasoning" and quiet),
            seed=self.seed,
            ignores_end=self.ignores_end,
            min_tokens_field=self.min_tokens_field,
            schema=self.schema,
            switch=self.switch,
            summarised=self.summarised,
        )


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider: where it is, what it speaks, which key it takes, and its models."""

    title: str
    base_url: str
    base_url_variable: str | None = None
    """Environment variable that takes the place of `base_url`."""
    key_variable: str
    """Environment variable that the key is looked for in, unless the user says otherwise."""
    dialects: tuple[str, ...]
    """Wire protocols that it speaks, the usual one first."""
    default_model: str | None = None
    source: str | None = None
    defaults: dict[str, Any] = {}
    models: dict[str, dict[str, Any]] = {}

    def traits(self, model: str) -> tuple[RemoteTraits, bool]:
        """What a model takes, and whether the table knows it; else what most of its models take."""
        row = self.models.get(model)
        if row is None:
            fitting = [
                name for name in self.models if name[-1:] == "*" and model.startswith(name[:-1])
            ]
            row = self.models[max(fitting, key=len)] if fitting else None
        return msgspec.convert(self.defaults | (row or {}), RemoteTraits), row is not None

    def url(self, environment: Mapping[str, str] = os.environ) -> str:
        """The address: the one in its variable, else the provider's own."""
        variable = self.base_url_variable
        return (environment.get(variable, "").strip() if variable else "") or self.base_url


class Providers(msgspec.Struct, frozen=True):
    """The whole table, the user's file laid over it."""

    date: str
    by_name: dict[str, ProviderInfo]
    own_file: Path | None
    """The user's file; None where there is none."""


def providers(environment: Mapping[str, str] = os.environ) -> Providers:
    """The providers of remote models.

    Raises:
        UsageError: the user's file is named and missing, or is not of the table's form; the message
            names the place.
    """
    own_file = _own_file(environment)
    if own_file is None:
        return _table(None, 0)
    try:
        changed_ns = own_file.stat().st_mtime_ns
    except OSError as error:
        raise UsageError(f"{own_file} cannot be read: {error.strerror}") from error
    return _table(own_file, changed_ns)


def _own_file(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(VARIABLE, "").strip()
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise UsageError(f"{VARIABLE} names {path}, which is not there")
        return path
    home = environment.get("XDG_CONFIG_HOME", "").strip()
    folder = Path(home) if home else Path("~/.config").expanduser()
    path = folder / "minionbench" / "providers.toml"
    return path if path.is_file() else None


@cache
def _table(own_file: Path | None, changed_ns: int) -> Providers:
    """`changed_ns` has a file read anew that has been changed."""
    whole = _read(TABLE)
    where = TABLE
    if own_file is not None:
        whole, where = _over(whole, _read(own_file)), own_file
    date = whole.pop("date")
    if not isinstance(date, str):
        raise UsageError(f"{where}: date has to be a text")
    by_name = {}
    for name, fields in whole.items():
        try:
            info = msgspec.convert(fields, ProviderInfo)
            for model in info.models:
                if not model.strip("*"):
                    raise UsageError(f"{where}: {name} has a model without a name")
                info.traits(model)
            info.traits("")
        except msgspec.ValidationError as error:
            raise UsageError(f"{where}: the provider {name} is not described right: {error}") from (
                error
            )
        if not info.dialects:
            raise UsageError(f"{where}: the provider {name} speaks no dialect")
        by_name[name] = info
    return Providers(date, by_name, own_file)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """One table laid over another, tables within them likewise."""
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        both = isinstance(lower, dict) and isinstance(value, dict)
        merged[key] = _over(lower, value) if both and lower is not None else value
    return merged
