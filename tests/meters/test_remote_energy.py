"""The modelled energy of a remote model."""

from __future__ import annotations

import logging
import sys

import msgspec
import pytest

from minionbench.exchange import Outcome, Usage
from minionbench.meters.remote_energy import METRIC, PER_REQUEST, remote_energy
from minionbench.records import RequestRecord
from tests.making import record

llm = pytest.importorskip("ecologits.tracers.utils", reason="the extra is not installed")


def asked(
    tokens: int | None = 100, ms: float = 2_000, outcome: Outcome = Outcome.OK
) -> RequestRecord:
    """A request that took one remote call of so many generated tokens and milliseconds."""
    made = record(0, 0, [ms], outcome=outcome)
    usage = None if tokens is None else Usage(prompt_tokens=9, completion_tokens=tokens)
    reply = msgspec.structs.replace(made.calls[0].reply, usage=usage)
    call = msgspec.structs.replace(made.calls[0], side="remote", reply=reply)
    return msgspec.structs.replace(made, calls=(call,))


def test_the_model_of_each_call_is_summed_with_its_range() -> None:
    found = remote_energy([asked(100), asked(300, 5_000)], "openai", "gpt-4o-mini")
    each = [
        llm.llm_impacts("openai", "gpt-4o-mini", tokens, s).energy.value
        for tokens, s in ((100, 2.0), (300, 5.0))
    ]
    low, high = (1_000 * sum(getattr(one, end) for one in each) for end in ("min", "max"))
    whole, request = found[METRIC], found[PER_REQUEST]
    assert whole.value == pytest.approx((low + high) / 2)
    assert whole.metadata["range"] == {"low": pytest.approx(low), "high": pytest.approx(high)}
    assert request.value == pytest.approx((low + high) / 4)
    assert whole.metadata["basis"] == "modelled"
    assert whole.metadata["method"].startswith("ecologits ")
    assert (whole.metadata["requests"], whole.metadata["calls"]) == (2, 2)
    assert any("not been released" in warning for warning in whole.metadata["warnings"])


def test_nothing_is_written_where_people_read(capfd: pytest.CaptureFixture[str]) -> None:
    remote_energy([asked()], "openai", "gpt-4o")
    remote_energy([asked()], "openai", "never-heard-of")
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("ecologits").disabled


@pytest.mark.parametrize(
    ("provider", "model", "words"),
    [
        ("openai", "never-heard-of", "has no energy of never-heard-of: Could not find"),
        ("deepseek", "deepseek-chat", "for deepseek there is no model"),
        (None, "gpt-4o", "a server known by its address alone"),
    ],
)
def test_what_is_not_known_has_no_energy(provider: str | None, model: str, words: str) -> None:
    for value in remote_energy([asked()], provider, model).values():
        assert value.status == "skipped"
        assert words in str(value.reason)
        assert value.metadata["basis"] == "modelled"


def test_a_call_without_its_counts_leaves_the_energy_unknown() -> None:
    for broken in (asked(None), asked(5, outcome=Outcome.TRUNCATED)):
        value = remote_energy([asked(), broken], "openai", "gpt-4o")[METRIC]
        assert value.reason == "the tokens or the time of 1 call are not known"
    refused = asked(None, outcome=Outcome.HTTP_ERROR)
    both = remote_energy([asked(), refused], "openai", "gpt-4o")[METRIC]
    alone = remote_energy([asked()], "openai", "gpt-4o")[METRIC]
    assert both.value == alone.value, "what reached no model took no energy there"


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ecologits", None)
    value = remote_energy([asked()], "openai", "gpt-4o")[METRIC]
    assert "minionbench[energy]" in str(value.reason)
