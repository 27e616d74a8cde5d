"""Protocols held against remote-only, with hand-sized numbers."""

from __future__ import annotations

import math

import msgspec
import pytest

from minionbench.exchange import Outcome, Reference, Usage
from minionbench.prices import Price, Pricing
from minionbench.protocols.comparison import bootstrap, comparisons, gap_closed, ratio
from minionbench.records import CallRecord, RequestRecord
from tests.making import record

PRICE = Pricing.of(Price(input_usd=1, output_usd=0))


def answered(
    item: int, answer: str | None, ms: float, tokens: int = 0, *, side: str = "remote"
) -> RequestRecord:
    """A request whose right answer is 7, which took so long and so many remote tokens."""
    made = record(0, 0, [ms], item=f"item-{item}", index=item)
    reply = msgspec.structs.replace(
        made.calls[0].reply, usage=Usage(prompt_tokens=tokens, completion_tokens=0), text=answer
    )
    call = CallRecord(
        side=side,  # type: ignore[arg-type]
        role="assistant",
        round=0,
        job=None,
        prompt=(("user", "?"),),
        reply=reply,
    )
    return msgspec.structs.replace(
        made,
        calls=(call,),
        answer=answer,
        answer_call=None if answer is None else 0,
        abstained="no" if answer is None else None,
        reference=Reference(kind="number", value="7"),
    )


def rows(**answers: str) -> dict[str, list[RequestRecord]]:
    """Rows of right (`7`), wrong (`5`) and missing (`-`) answers, item by item."""
    return {
        name: [answered(i, None if a == "-" else a, 10.0) for i, a in enumerate(said)]
        for name, said in answers.items()
    }


def test_items_on_which_two_rows_differ_decide_about_accuracy() -> None:
    found = comparisons(rows(remote="7777755", minion="7555577"), None)
    accuracy = found["minion"]["accuracy"]
    assert (accuracy["items"], accuracy["better"], accuracy["worse"]) == (7, 2, 4)
    # Exact McNemar: P(at most 2 of 6 coins) · 2 = 2 · (1 + 6 + 15)/64.
    assert accuracy["p"] == pytest.approx(44 / 64)
    assert accuracy["difference_pct"]["value"] == pytest.approx(100 * (3 - 5) / 7)
    assert "remote" not in found


def test_the_gap_that_is_closed_is_not_the_ratio() -> None:
    """The paper's own figures: .630 between .444 and .724 are 66 % of the gap, a ratio of 87 %."""
    items = [f"i{i}" for i in range(1_000)]

    def shares(right: int) -> dict[str, float]:
        return {item: float(i < right) for i, item in enumerate(items)}

    ours, local, remote = shares(630), shares(444), shares(724)
    assert gap_closed(ours, local, remote)["value"] == pytest.approx(66.4, abs=0.1)
    assert ratio(ours, remote)["value"] == pytest.approx(87.0, abs=0.1)


def test_without_a_gap_none_is_closed() -> None:
    found = comparisons(rows(local="77", remote="75", minion="77"), None)
    assert "not better" in found["minion"]["gap_closed"]["reason"]
    assert "gap_closed" not in found["local"]
    none_right = comparisons(rows(remote="55", minion="77"), None)["minion"]
    assert none_right["ratio"] == {"reason": "remote-only was right on no item"}
    assert "gap_closed" not in none_right


def test_an_abstention_is_wrong_and_takes_no_part_in_latency() -> None:
    found = comparisons(rows(remote="777", minion="7--"), None)["minion"]
    assert found["accuracy"]["worse"] == 2
    assert found["latency"]["items"] == 1


def test_a_gap_of_rounding_is_none() -> None:
    """Shares of three askings: 1 − 2/3 is more than 2/3 − 1/3 by the last bit."""
    ours, local, remote = {"a": 1.0, "b": 1.0}, {"a": 2 / 3, "b": 2 / 3}, {"a": 1.0, "b": 1 / 3}
    assert "not better" in gap_closed(ours, local, remote)["reason"]
    # Here the six items together have a gap; draws of them without one have no value.
    more = {str(i): 1.0 for i in range(4)}
    wide = gap_closed(ours | more, local | dict.fromkeys(more, 0.0), remote | more)
    assert wide["value"] == pytest.approx(100 * (4 + 2 / 3) / 4)
    assert wide["interval"]["low"] is wide["interval"]["high"] is None
    assert "no such value" in wide["interval"]["note"]


def test_latency_is_compared_item_by_item() -> None:
    ours = [answered(i, "7", ms) for i, ms in enumerate([20, 40, 60, 80, 100, 120])]
    theirs = [answered(i, "7", ms) for i, ms in enumerate([10, 20, 30, 40, 50, 60])]
    latency = comparisons({"remote": theirs, "rag": ours}, None)["rag"]["latency"]
    assert latency["times"]["value"] == pytest.approx(2)
    assert latency["times"]["interval"]["low"] == pytest.approx(2)
    assert latency["p"] == pytest.approx(2 / 64)


def test_a_failed_request_is_infinitely_slow() -> None:
    failed = msgspec.structs.replace(answered(0, None, 5), outcome=Outcome.RESET, abstained=None)
    pair = {"remote": [answered(0, "7", 10)], "minion": [failed]}
    assert "falls among the failures" in comparisons(pair, None)["minion"]["latency"]["reason"]


def test_failures_on_either_side_decide_about_latency_too() -> None:
    def one(item: int, ms: float | None) -> RequestRecord:
        if ms is not None:
            return answered(item, "7", ms)
        made = answered(item, None, 5)
        return msgspec.structs.replace(made, outcome=Outcome.RESET, abstained=None)

    ours = [one(i, ms) for i, ms in enumerate([None, 20, 30, 10, None])]
    theirs = [one(i, ms) for i, ms in enumerate([10, 10, 10, None, None])]
    latency = comparisons({"remote": theirs, "minion": ours}, None)["minion"]["latency"]
    assert latency["items"] == 4  # both failed on the fifth
    # Slower three times of four: 2 · (1 + 4)/16.
    assert latency["p"] == pytest.approx(10 / 16)
    assert latency["times"]["value"] == pytest.approx(2.5)


def test_saving_is_of_the_sums_over_the_same_items() -> None:
    ours = [answered(i, "7", 10, tokens) for i, tokens in enumerate([100, 900])]
    theirs = [answered(i, "7", 10, tokens) for i, tokens in enumerate([1_000, 3_000])]
    theirs.append(answered(2, "7", 10, 5_000))
    cost = comparisons({"remote": theirs, "minion": ours}, PRICE)["minion"]["cost"]
    assert cost["items"] == 2
    assert cost["saving_pct"]["value"] == pytest.approx(75)  # not 80, the items' mean
    low, high = (cost["saving_pct"]["interval"][end] for end in ("low", "high"))
    assert (low, high) == (pytest.approx(70), pytest.approx(90))
    local = [answered(i, "7", 10, 9_000, side="local") for i in range(2)]
    free = comparisons({"remote": theirs, "local": local}, PRICE)["local"]["cost"]
    assert free["saving_pct"]["value"] == 100


def test_without_a_price_nothing_is_saved() -> None:
    found = comparisons(rows(remote="7", minion="7"), None)["minion"]["cost"]
    assert found == {"items": 0, "reason": "no price of the remote model is known"}


def test_without_remote_only_there_is_nothing_to_hold_against() -> None:
    assert comparisons(rows(local="7", minion="7"), PRICE) == {}


def test_draws_without_a_value_leave_the_interval_open_and_say_so() -> None:
    estimate = bootstrap(
        [(1.0, 0.0), (1.0, 1.0)],
        lambda r: sum(a for a, _ in r) / (sum(b for _, b in r) or math.nan),
    )
    assert estimate.low is None and estimate.high is None
    assert "draws" in str(estimate.note)
    alike = bootstrap([(1.0,), (1.0,)], lambda r: r[0][0])
    assert alike.low is None and "alike" in str(alike.note)


def test_the_bootstraps_interval_leaves_half_of_the_rest_on_each_side() -> None:
    rows = [(float(value),) for value in range(100)]
    estimate = bootstrap(rows, lambda drawn: sum(row[0] for row in drawn) / len(drawn))
    reach = 1.96 * math.sqrt((100**2 - 1) / 12) / math.sqrt(100)
    assert estimate.low == pytest.approx(49.5 - reach, abs=0.6)
    assert estimate.high == pytest.approx(49.5 + reach, abs=0.6)
