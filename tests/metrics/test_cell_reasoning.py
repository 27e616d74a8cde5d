"""What a cell's metrics say of reasoning and of the tokens that they count."""

from __future__ import annotations

from typing import Any

import pytest

from minionbench.exchange import EngineTimings, Outcome, Usage
from minionbench.metrics import record as whole
from minionbench.metrics import request
from minionbench.metrics.cell import cell_metrics
from minionbench.metrics.request import Absence
from minionbench.records import RequestRecord
from tests.making import record, reply

STREAMED: dict[str, Any] = {"reasoning": [60, 80], "reasoning_tokens": 2}
HIDDEN: dict[str, Any] = {"reasoning_tokens": 7, "tokens": 10}


def cell(*kinds: dict[str, Any]) -> list[RequestRecord]:
    """Requests one after the other, so that all are in the steady state."""
    return [record(0, 10, item=f"i{n}", index=n, **kind) for n, kind in enumerate(kinds)]


def test_the_first_thought_has_a_time_of_its_own() -> None:
    thinking = reply(0, 10, [110, 130], reasoning=[60, 80])
    assert request.first_reasoning_s(thinking) == pytest.approx(0.05)
    assert request.ttft_s(thinking) == pytest.approx(0.05)
    assert request.ttfo_s(thinking) == pytest.approx(0.1)
    assert whole.first_reasoning_s(record(0, 10, reasoning=[60])) == pytest.approx(0.05)


def test_without_a_streamed_thought_there_is_no_time_of_it() -> None:
    absence = request.first_reasoning_s.or_absence
    assert absence(reply()) is Absence.NO_REASONING
    assert absence(reply(**HIDDEN)) is Absence.HIDDEN_REASONING
    assert absence(reply(events=(), tokens=0)) is Absence.NO_TOKEN
    assert absence(reply(outcome=Outcome.RESET)) is Absence.FAILED
    of_record = whole.first_reasoning_s.or_absence
    assert of_record(record()) is Absence.NO_REASONING
    assert of_record(record(**HIDDEN)) is Absence.HIDDEN_REASONING
    assert of_record(record(outcome=Outcome.RESET)) is Absence.FAILED


def test_streamed_reasoning_is_in_every_metric_and_visible_text_in_its_own() -> None:
    metrics = cell_metrics(cell(STREAMED, STREAMED), streams=1)
    assert metrics["ttft_s"].value == pytest.approx(0.05)
    assert metrics["ttfo_s"].value == pytest.approx(0.1)
    assert metrics["ttfo_s"].metadata["reasoning"] == {
        "answers": 2,
        "streamed": 2,
        "hidden": 0,
        "inline": 0,
        "first_s": pytest.approx(0.05),
    }
    # Five tokens of both kinds between 60 and 150 ms.
    assert metrics["tokens_per_sec"].value == pytest.approx(4 / 0.09)
    assert metrics["tokens_per_sec"].metadata["tokens"] == {
        "counted": "visible and reasoning tokens",
        "by": "the server's usage",
        "output": 10,
        "reasoning": 4,
        "events": 10,
    }


@pytest.mark.parametrize("others", [HIDDEN, STREAMED])
def test_hidden_reasoning_in_one_answer_leaves_the_cell_without_what_it_hides(
    others: dict[str, Any],
) -> None:
    metrics = cell_metrics(cell(HIDDEN, others, others), streams=1)
    for name in ("ttft_s", "tpot_s", "itl_s", "tokens_per_sec"):
        assert metrics[name].status == "skipped", name
        assert Absence.HIDDEN_REASONING.value in metrics[name].metadata["reason"], name
    for name in ("ttfo_s", "total_latency_s"):
        assert metrics[name].status == "ok", name
    assert metrics["ttfo_s"].metadata["reasoning"]["hidden"] >= 1


def test_where_some_failed_and_others_have_no_value_not_all_are_said_to_have_failed() -> None:
    failed = {"outcome": Outcome.HTTP_ERROR}
    ttft = cell_metrics(cell(HIDDEN, failed, failed), streams=1)["ttft_s"]
    assert (ttft.status, ttft.metadata["reason"]) == ("skipped", Absence.HIDDEN_REASONING.value)
    rate = cell_metrics(cell({"tokens": None}, failed, failed), streams=1)["tokens_per_sec"]
    assert rate.status == "error"
    assert rate.error_message == (
        "2 requests failed, most often with http_error: it broke; of the others: "
        f"{Absence.NO_USAGE.value}"
    )


def test_a_thought_inside_the_text_is_counted_as_such() -> None:
    metrics = cell_metrics(cell({"text": "<think>a</think>b"}, {"text": "b"}), streams=1)
    assert metrics["ttfo_s"].metadata["reasoning"]["inline"] == 1


def test_the_engines_own_count_takes_the_place_of_a_missing_one() -> None:
    """Never the number of events: nine tokens came in three."""
    own = EngineTimings(predicted_tokens=9)
    assert request.output_tokens(reply(usage=None, engine=own)) == 9
    assert request.output_tokens(reply(usage=Usage(), engine=own)) == 9
    assert request.output_tokens(reply(tokens=5, engine=own)) == 5
    assert request.output_tokens(reply(usage=None)) is None
    metrics = cell_metrics(cell({"usage": None, "engine": own}), streams=1)
    assert metrics["tokens_per_sec"].value == pytest.approx(8 / 0.04)
    assert metrics["tokens_per_sec"].metadata["tokens"] == {
        "counted": "visible and reasoning tokens",
        "by": "the engine's own count",
        "output": 9,
        "reasoning": None,
        "events": 3,
    }


def test_an_uncounted_answer_leaves_the_sum_unknown() -> None:
    metrics = cell_metrics(cell({"usage": None}, {}), streams=1)
    assert metrics["tpot_s"].metadata["tokens"]["output"] is None
    assert metrics["tpot_s"].metadata["tokens"]["events"] == 6


def test_throughput_says_which_tokens_it_counts() -> None:
    one_by_one = [
        record(100 * n, 100 * n, [100 * n + 50, 100 * n + 90], item=f"i{n}", reasoning_tokens=1)
        for n in range(3)
    ]
    metrics = cell_metrics(one_by_one, streams=1)
    throughput = metrics["output_tokens_per_sec"]
    assert throughput.status == "ok"
    assert throughput.metadata["tokens"]["output"] == 6
    assert throughput.metadata["tokens"]["reasoning"] == 3


def test_thoughts_before_the_sending_are_an_error_and_no_crash() -> None:
    broken = cell({"reasoning": [5], "events": [110]})
    assert cell_metrics(broken, streams=1)["ttfo_s"].status == "error"
