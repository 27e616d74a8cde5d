"""A user's own table of prices."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minionbench.errors import UsageError
from minionbench.exchange import Usage
from minionbench.prices import Price, RemoteName
from minionbench.prices.finding import find_charges
from minionbench.prices.table import PriceTable, read_prices

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OURS = """
version = "contract of 2026"

["openai/gpt-5.5"]
input = 4.0
cached_input = 0.4
output = 24.0
above = [{ tokens = 100, input = 8.0, output = 36.0 }]
periods = [
    { since = 2026-12-01, input = 3.0, output = 20.0 },
    { between = ["22:00", "02:00"], input = 1.0, output = 2.0 },
]
tiers = { flex = { input = 2.0 }, batch = { input = 1.5 } }

["openai/gpt-*"]
input = 1
output = 2
"""


def table(folder: Path, text: str = OURS, name: str = "ours.toml") -> PriceTable:
    path = folder / name
    path.write_text(text)
    return read_prices(path)


def price(
    of: PriceTable, model: str = "openai/gpt-5.5", at: datetime = NOON, tokens: int = 1
) -> Price:
    tariff = of.find(model)
    assert tariff is not None
    found = tariff.price(at, Usage(prompt_tokens=tokens))
    assert found is not None
    return found


def test_a_table_has_prices_by_length_day_hour_and_tier(tmp_path: Path) -> None:
    ours = table(tmp_path)
    assert price(ours) == Price(input_usd=4, cached_input_usd=0.4, output_usd=24)
    long = price(ours, tokens=101)
    assert (long.input_usd, long.cached_input_usd, long.output_usd) == (8, 0.4, 36)
    assert price(ours, at=NOON.replace(month=12)).input_usd == 3
    assert price(ours, at=NOON.replace(hour=23)).output_usd == 2
    tariff = ours.find("openai/gpt-5.5")
    assert tariff is not None
    assert (tariff.source, tariff.version) == ("ours.toml", "contract of 2026")
    for tier, usd in (("flex", 2), ("batch", 1.5), ("default", 4)):
        found = tariff.price(NOON, Usage(prompt_tokens=1, service_tier=tier))
        assert found is not None and found.input_usd == usd
    assert tariff.price(NOON, Usage(service_tier="priority")) is None


def test_a_whole_name_goes_before_one_that_ends_in_a_star(tmp_path: Path) -> None:
    ours = table(tmp_path)
    assert price(ours, "openai/gpt-9").input_usd == 1
    assert ours.find("anthropic/claude") is None


def test_a_table_may_be_json(tmp_path: Path) -> None:
    text = json.dumps({"version": 3, "llama": {"input": 1, "output": 2}})
    assert price(table(tmp_path, text, "ours.json"), "llama").output_usd == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no prices"),
        ("[x", "are not TOML"),
        ('["m"]\ninput = 1', "input and output have to be there"),
        ('["m"]\ninput = -1\noutput = 1', "from 0 on"),
        ('["m"]\ninput = nan\noutput = 1', "from 0 on"),
        ('["m"]\ninput = "1"\noutput = 1', "Expected `float | null`"),
        ('["m"]\ninput = 1\noutput = 1\nouput = 2', "unknown field `ouput`"),
        ('["m"]\ninput = 1\noutput = 1\nperiods = [{input = 1}]', "either `since`"),
        (
            '["m"]\ninput = 1\noutput = 1\nperiods = [{input = 1, between = ["1", "2"]}]',
            "'1' is no hour",
        ),
        (
            '["m"]\ninput = 1\noutput = 1\nabove = [{tokens = 9, cached_input = 1}]',
            "a price that is not below",
        ),
        ('["m"]\ninput = 1\noutput = 1\nabove = [{tokens = 0, input = 1}]', "not 0"),
        ("m = 1", "'m' cannot be taken"),
        ("version = [1]", "version has to be a text"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        table(tmp_path, text)
    assert str(tmp_path / "ours.toml") in str(refused.value)


def test_a_table_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: No such file"):
        read_prices(tmp_path / "none.toml")
    with pytest.raises(UsageError, match=r"are not JSON"):
        table(tmp_path, "{", "ours.json")


def test_the_users_word_goes_before_the_users_table_and_that_before_the_catalogue(
    tmp_path: Path,
) -> None:
    remote = RemoteName("openai", "gpt-5.5")
    named = "openai/gpt-5.5"
    given = Price(input_usd=9, output_usd=9)
    ours = table(tmp_path)

    def source(**where: object) -> str:
        charges = find_charges(remote, named=named, **where)  # type: ignore[arg-type]
        assert charges.tariff is not None
        return charges.tariff.source

    assert source(given=given, table=ours) == "--remote-price"
    assert source(table=ours) == "ours.toml"
    assert source() == "genai-prices"


def test_what_is_served_on_this_machine_has_no_price_unless_it_is_given_one() -> None:
    remote = RemoteName(None, "q4_0")
    charges = find_charges(remote, named="reference/q4_0", elsewhere=False)
    assert charges.tariff is None and charges.served_here
    assert "served on this machine" in str(charges.why_none)
    unknown = find_charges(RemoteName("openai", "gpt-0"), named="openai/gpt-0")
    assert "--remote-price" in str(unknown.why_none) and "--prices" in str(unknown.why_none)
