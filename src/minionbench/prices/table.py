"""A user's own table of prices, a TOML or JSON file, which goes before the catalogue.

version = "our contract of 2026"

["openai/gpt-5.5"]                  # the model as it is named with -m; `gpt-5*` is any of them
input = 5.0                         # dollars per million tokens
cached_input = 0.5
output = 30.0
above = [{ tokens = 272_000, input = 10.0, cached_input = 1.0, output = 45.0 }]
periods = [{ between = ["01:00", "04:00"], input = 10.0, output = 60.0 }]
tiers = { flex = { input = 2.5, output = 15.0 } }
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

import msgspec

from minionbench.errors import UsageError
from minionbench.prices.price import Price
from minionbench.prices.tariff import Kind, Rate, Step, Tariff, Terms, context_of_tier

VERSION = "version"
ANY = "*"


class _Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars per million tokens; `request` per call. What is left out is as in `Price`."""

    input: float | None = None
    output: float | None = None
    cached_input: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    reasoning: float | None = None
    request: float | None = None


class _Above(_Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates for a whole call whose prompt is longer than so many tokens."""

    tokens: int


class _Period(_Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates from a day on, or between two hours of each day in UTC."""

    since: date | None = None
    between: tuple[str, str] | None = None


class _Model(_Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All prices of a model."""

    above: tuple[_Above, ...] = ()
    periods: tuple[_Period, ...] = ()
    tiers: dict[str, _Rates] = {}


class PriceTable:
    """Prices by the model's name."""

    def __init__(self, tariffs: Mapping[str, Tariff]) -> None:
        self._tariffs = dict(tariffs)

    def find(self, model: str) -> Tariff | None:
        """The prices of a model as it is named with -m; None where the table has none.

        A name goes before one that ends in `*`, a longer one before a shorter.
        """
        found = self._tariffs.get(model)
        if found is not None:
            return found
        fitting = [n for n in self._tariffs if n.endswith(ANY) and model.startswith(n[:-1])]
        return self._tariffs[max(fitting, key=len)] if fitting else None


def read_prices(path: Path) -> PriceTable:
    """The table in a file, TOML or JSON by its ending.

    Raises UsageError for a file that cannot be read or is not of this form; it names the place.
    """
    whole = _whole(path)
    version = whole.pop(VERSION, None)
    if version is not None and not isinstance(version, str | int | float | date):
        raise UsageError(f"{path}: version has to be a text")
    tariffs = {}
    for name, fields in whole.items():
        try:
            model = msgspec.convert(fields, _Model)
            tariffs[name] = _tariff(name, model, path, None if version is None else str(version))
        except (msgspec.ValidationError, UsageError) as error:
            raise UsageError(f"{path}: the prices of {name!r} cannot be taken: {error}") from error
    if not tariffs:
        raise UsageError(f'{path} has no prices; one model\'s are as ["openai/gpt-5.5"] with input')
    return PriceTable(tariffs)


def _whole(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        read = json.loads if path.suffix.lower() == ".json" else tomllib.loads
        whole = read(text)
    except OSError as error:
        raise UsageError(f"The prices {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        form = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise UsageError(f"The prices {path} are not {form}: {error}") from error
    if not isinstance(whole, dict):
        raise UsageError(f"The prices {path} are no table of models")
    return whole


def _tariff(name: str, model: _Model, path: Path, version: str | None) -> Tariff:
    if model.input is None or model.output is None:
        raise UsageError("input and output have to be there, in dollars per million tokens")
    terms = [Terms(rates=_rates(model, model.above))]
    for period in model.periods:
        if (period.since is None) == (period.between is None):
            raise UsageError("a period has either `since`, a day, or `between`, two hours in UTC")
        begin, end = (None, None) if period.between is None else map(_hour, period.between)
        if begin is not None and begin == end:
            raise UsageError("a period ends at another hour than it begins")
        rates = terms[0].rates | _rates(period)
        terms.append(Terms(rates=rates, from_date=period.since, daily_from=begin, daily_until=end))
    variants = [
        Terms(rates=_rates(rates), when=context_of_tier(tier))
        for tier, rates in model.tiers.items()
    ]
    return Tariff(
        model=name,
        source=path.name,
        version=version,
        terms=tuple(terms),
        variants=tuple(variants),
        any_context=not variants,
    )


def _rates(rates: _Rates, above: tuple[_Above, ...] = ()) -> dict[Kind, Rate]:
    given = dict(_given(rates))
    _check(given)
    steps: dict[Kind, list[Step]] = {}
    for step in sorted(above, key=lambda step: step.tokens):
        if step.tokens < 1:
            raise UsageError(f"above is from so many tokens of the prompt on, not {step.tokens}")
        changed = dict(_given(step))
        _check(changed)
        for kind, usd in changed.items():
            if kind not in given:
                raise UsageError(f"above {step.tokens} tokens there is a price that is not below")
            steps.setdefault(kind, []).append(Step(step.tokens, usd))
    return {kind: Rate(usd, tuple(steps.get(kind, ()))) for kind, usd in given.items()}


def _given(rates: _Rates) -> Iterator[tuple[Kind, float]]:
    kinds: tuple[tuple[Kind, float | None], ...] = (
        ("input_usd", rates.input),
        ("cached_input_usd", rates.cached_input),
        ("cache_write_usd", rates.cache_write),
        ("cache_write_1h_usd", rates.cache_write_1h),
        ("output_usd", rates.output),
        ("reasoning_usd", rates.reasoning),
        ("request_usd", rates.request),
    )
    for kind, usd in kinds:
        if usd is not None:
            yield kind, usd


def _check(given: Mapping[Kind, float]) -> None:
    """Raises UsageError for a price that is negative or no number."""
    Price(**{"input_usd": 0.0, "output_usd": 0.0, **given})


def _hour(text: str) -> time:
    try:
        hour = time.fromisoformat(text)
    except ValueError:
        hour = None
    if hour is None or hour.tzinfo is not None:
        raise UsageError(f"{text!r} is no hour in UTC, as 01:00")
    return hour
