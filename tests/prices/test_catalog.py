"""The catalogue of prices: ours says of each call what the package itself does."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.exchange import Usage
from minionbench.prices import cost_usd
from minionbench.prices.catalog import listed
from minionbench.prices.tariff import context_of

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MODELS = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    for model in provider.models
    if provider.id in ("openai", "anthropic", "deepseek", "google", "mistral", "x-ai", "groq")
]
TIERS = [None, "default", "flex", "priority", "batch"]


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.integers(0, 400_000),
    st.integers(0, 10_000),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    st.timedeltas(timedelta(days=-700), timedelta(days=60)),
    st.sampled_from(TIERS),
    st.sampled_from([None, "fast"]),
)
def test_every_call_costs_what_the_package_says_that_it_costs(
    named: tuple[str, str],
    prompt: int,
    completion: int,
    shares: tuple[float, float, float, float],
    later: timedelta,
    tier: str | None,
    speed: str | None,
) -> None:
    provider, model = named
    found = listed(provider, model)
    if found.tariff is None:
        assert found.why_none is not None and model in found.why_none
        return
    cached = int(prompt * shares[0])
    written = int((prompt - cached) * shares[1])
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=int(written * shares[2]),
        reasoning_tokens=int(completion * shares[3]),
        service_tier=tier,
        speed=speed,
    )
    at = NOON + later
    price = found.tariff.price(at, usage)
    if price is None:
        return  # A tier without prices: the package would charge it as a usual call.
    expected = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=prompt,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_tokens=completion,
            output_reasoning_tokens=usage.reasoning_tokens,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context=context_of(usage) or None,
    )
    assert cost_usd(usage, price) == pytest.approx(float(expected.total_price), abs=1e-12)


def test_a_model_is_found_by_the_names_that_providers_have_for_it() -> None:
    for name in ("gpt-5.5", "gpt-5.5-2026-04-23", "GPT-5.5"):
        tariff = listed("openai", name).tariff
        assert tariff is not None
        assert (tariff.provider, tariff.model) == ("openai", "gpt-5.5")
        assert (tariff.source, tariff.version) == ("genai-prices", genai_prices.__version__)


def test_who_serves_a_model_decides_about_its_price_not_its_name_alone() -> None:
    here = listed(None, "gpt-5.5", "http://user:hunter2@127.0.0.1:8000/v1")
    assert here.tariff is None
    assert here.why_none is not None
    assert "127.0.0.1" in here.why_none and "hunter2" not in here.why_none
    there = listed(None, "gpt-5.5", "https://api.openai.com/v1").tariff
    assert there is not None and there.provider == "openai"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("nobody", "gpt-5.5"),
        (None, "gpt-5.5"),
        ("openai", "text-embedding-3-small"),
    ],
)
def test_what_has_no_price_says_so(provider: str | None, model: str) -> None:
    found = listed(provider, model)
    assert found.tariff is None
    assert found.why_none is not None and model in found.why_none


def test_prices_of_two_days_and_of_two_hours_are_told_apart() -> None:
    sol = listed("openai", "gpt-5.6-sol").tariff
    deepseek = listed("deepseek", "deepseek-v4-pro").tariff
    assert sol is not None and deepseek is not None
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    before, after = datetime(2026, 8, 20, tzinfo=UTC), datetime(2026, 8, 21, tzinfo=UTC)
    assert [p.input_usd for d in (before, after) if (p := sol.price(d, usage))] == [5, 4]
    night, noon = NOON.replace(hour=2), NOON
    prices = [p.output_usd for h in (night, noon) if (p := deepseek.price(h, usage))]
    assert prices == [3.96, 1.98]


def test_help_and_local_work_do_not_load_the_catalogue() -> None:
    code = (
        "import sys; import minionbench.experiment, minionbench.prices, minionbench.cli.run; "
        "loaded = {'genai_prices', 'pydantic', 'httpx2', 'ecologits'} & set(sys.modules); "
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
