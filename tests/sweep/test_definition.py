from __future__ import annotations

import pytest

from minionbench import Q3B, Claude, DeepSeek, Hybrid, Local, OpenAI, Prefill, Remote, Sweep
from minionbench.errors import UsageError
from minionbench.load import ClosedLoop, OpenLoop
from minionbench.prices import Price
from minionbench.protocols.hybrid import Protocols
from minionbench.sweep.definition import DEFAULT_REPEATS, Definition


def test_each_factor_is_one_level_or_several() -> None:
    one = Sweep(Prefill()).definition
    assert one.deployments[0].model == "reference/q8_0"
    assert (one.reasoning, one.quants, one.remote_models) == ((None,), (None,), (None,))
    assert (one.loads, one.common.repeats) == ((ClosedLoop(),), DEFAULT_REPEATS)
    several = Sweep(
        workload=[Prefill()],
        deployment=[Local("ollama/qwen3"), Remote(), Hybrid("ollama/qwen3")],
        reasoning=[True, False],
        quant=[Q3B()],
        remote_model=[DeepSeek(), OpenAI(), Claude("claude-sonnet-5")],
        load=[1, OpenLoop(rate_per_s=2)],
        repeats=3,
        prices={"openai/gpt-5.5": "2,10"},
    ).definition
    assert several.crossing == 1 * 3 * 2 * 1 * 3 * 2
    assert several.prices == {"openai/gpt-5.5": Price(input_usd=2, output_usd=10)}


def test_a_remote_model_alone_means_a_remote_deployment() -> None:
    made = Definition.of(Prefill(), remote_model=OpenAI())
    assert isinstance(made.deployments[0], Remote)


def test_several_protocols_are_a_deployment_each() -> None:
    both = Protocols("ollama/qwen3", "openai/gpt-5.5", ("minion", "rag"))
    made = Definition.of(Prefill(), both)
    assert [one.names for one in made.deployments] == [("minion",), ("rag",)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("levels", "complaint"),
    [
        ({"load": []}, "no level of load"),
        ({"load": [2, 2]}, "twice"),
        ({"load": True}, "number of streams"),
        ({"reasoning": [True, True]}, "twice"),
        ({"deployment": Local("olama/x")}, "no provider 'olama'"),
        ({"servers": {"azure": "http://x"}}, "no server 'azure'"),
        ({"prices": {"openai/x": "cheap"}}, "A price is"),
        ({"concurrency": 2}, "no setting concurrency"),
        ({"quants": ["q4_0"]}, "no setting quants"),
        ({"repeats": 0}, "repeats is 0"),
    ],
)
def test_levels_that_make_no_sweep_are_refused(levels: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Definition.of(Prefill(), **levels)  # type: ignore[arg-type]
