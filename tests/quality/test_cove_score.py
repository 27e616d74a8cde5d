"""The pass rate: scripted models get what their scripts imply, and small cases come out by hand."""

from __future__ import annotations

import msgspec
import pytest

from minionbench.deployments.single import Local
from minionbench.exchange import Outcome
from minionbench.metrics.value import MetricValue
from minionbench.quality.claims import Part
from minionbench.quality.cove import ChainOfVerification
from minionbench.quality.cove_drawn import KINDS, built_in_pairs
from minionbench.quality.cove_items import CovePair, CoveSet
from minionbench.quality.cove_score import cove_pass_rate
from minionbench.records import RequestRecord
from tests.quality.driving import Model, drive_all
from tests.quality.scripted import Gambling, agreeing, complaining, perfect

PAIRS = built_in_pairs(number=21)


def verified(pairs: CoveSet, model: Model) -> list[RequestRecord]:
    """The records of every draft of the pairs."""
    return drive_all(ChainOfVerification(Local()), pairs.requests(), model)


def scored(pairs: CoveSet, model: Model) -> MetricValue:
    """The pass rate of a scripted model, its base answers included."""
    base = drive_all(Local(), pairs.base_requests(), model)
    return cove_pass_rate(pairs.pairs, verified(pairs, model), base)


def test_a_perfect_model_gets_100() -> None:
    value = scored(PAIRS, perfect(PAIRS.pairs))
    assert value.status == "ok"
    assert value.value == 100
    assert value.metadata["correction_rate"] == 100
    assert value.metadata["over_correction_rate"] == 0
    assert value.metadata["detection"] == {
        "planted": 21,
        "flagged": 21,
        "hits": 21,
        "precision": 100,
        "recall": 100,
    }
    assert value.metadata["base_accuracy"]["value"] == 100
    assert value.metadata["net_gain"] == {"over_draft": 50, "over_base": 0}


def test_a_model_that_always_agrees_gets_exactly_50() -> None:
    value = scored(PAIRS, agreeing(PAIRS.pairs))
    assert value.value == 50
    assert value.metadata["planted_pass_rate"]["value"] == 0
    assert value.metadata["clean_pass_rate"]["value"] == 100
    assert value.metadata["correction_rate"] == value.metadata["over_correction_rate"] == 0
    assert value.metadata["detection"]["precision"] is None
    assert value.metadata["detection"]["recall"] == 0
    assert value.metadata["net_gain"] == {"over_draft": 0, "over_base": -50}


def test_a_model_that_always_complains_gets_at_most_50() -> None:
    value = scored(PAIRS, complaining(PAIRS.pairs))
    assert value.value == 50
    assert value.metadata["planted_pass_rate"]["value"] == 100
    assert value.metadata["clean_pass_rate"]["value"] == 0
    assert value.metadata["over_correction_rate"] == 100
    assert value.metadata["detection"]["precision"] == 50

    def spoiling(prompt: str) -> str:
        said = perfect(PAIRS.pairs)(prompt)
        if not prompt.endswith("final answer."):
            return said
        return said.replace("1", "4").replace("2", "1").replace(" is ", " is not ")

    assert (scored(PAIRS, spoiling).value or 0) < 10


@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_gambles_gets_what_its_draws_imply(seed: int) -> None:
    model = Gambling(PAIRS.pairs, seed)
    value = cove_pass_rate(PAIRS.pairs, verified(PAIRS, model))
    drawn = list(model.drawn.values())
    assert len(drawn) == 42
    assert value.value == pytest.approx(100 * drawn.count(0) / 42)
    assert value.metadata["judgements"] == {
        "passed": drawn.count(0),
        "wrong": drawn.count(1),
        "unread": drawn.count(2),
        "abstained": 0,
        "failed": 0,
    }
    planted = [kind for (_, draft), kind in model.drawn.items() if draft == "planted"]
    clean = [kind for (_, draft), kind in model.drawn.items() if draft == "clean"]
    assert value.metadata["planted_pass_rate"]["value"] == pytest.approx(
        100 * planted.count(0) / 21
    )
    assert value.metadata["over_correction_rate"] == pytest.approx(100 * clean.count(1) / 21)
    # It flags the planted part exactly where it changes it, in either direction.
    assert value.metadata["detection"]["hits"] == planted.count(0)
    assert value.metadata["detection"]["flagged"] == planted.count(0) + clean.count(1)


@pytest.mark.parametrize(
    ("said", "judgement"),
    [("", "abstained"), ("\x00\ufffd{}[]", "abstained"), ("1. ?", "unread"), ("- 7", "unread")],
)
def test_garbage_passes_nothing_and_stays_in_the_denominator(said: str, judgement: str) -> None:
    value = scored(PAIRS, lambda prompt: said)
    assert value.value == 0
    assert value.metadata["n"] == 21
    assert value.metadata["judgements"][judgement] == value.metadata["requests"] == 42


def test_rates_are_also_given_for_each_kind() -> None:
    right = perfect(PAIRS.pairs)
    wrong = agreeing(PAIRS.pairs)
    value = scored(PAIRS, lambda prompt: (right if " + " in prompt else wrong)(prompt))
    kinds = value.metadata["kinds"]
    assert list(kinds) == list(KINDS)
    assert kinds["sums"] == {
        "pairs": 3,
        "pass_rate": 100,
        "planted_pass_rate": 100,
        "clean_pass_rate": 100,
        "base_accuracy": 100,
    }
    assert kinds["facts"]["pass_rate"] == 50
    assert value.value == pytest.approx((3 * 100 + 18 * 50) / 21)


# --- by hand -----------------------------------------------------------------------------------

PARTS = (
    Part(subject="1 + 1", value="2", type="number"),
    Part(subject="2 + 2", value="4", type="number"),
)


def pair(name: str, error: int) -> CovePair:
    """A pair of two sums, one of which is planted as 9."""
    planted = ["1 + 1 = 2.", "2 + 2 = 4."]
    planted[error] = planted[error][:-2] + "9."
    return CovePair(
        pair_id=name,
        kind="hand",
        question="Work out these sums. 1 + 1, 2 + 2",
        context=None,
        parts=PARTS,
        clean="1 + 1 = 2. 2 + 2 = 4.",
        planted=" ".join(planted),
        error=error,
        questions=("What is 1 + 1?", "What is 2 + 2?"),
    )


HAND = CoveSet(
    source="hand", version=1, seed=None, pairs=(pair("a", 0), pair("b", 1), pair("c", 0))
)


def finals(*answers: str | Outcome) -> list[RequestRecord]:
    """Records of the hand-made pairs: planted and clean of each, with these final answers."""
    records = []
    for request, final in zip(HAND.requests(), answers, strict=True):

        def model(prompt: str, final: str | Outcome = final) -> str | Outcome:
            return final if "Verification:" in prompt else "1. What?"

        records += drive_all(ChainOfVerification(Local()), [request], model)
    return records


RIGHT = "1 + 1 = 2. 2 + 2 = 4."


def test_a_hand_made_case_comes_out_by_hand() -> None:
    value = cove_pass_rate(
        HAND.pairs,
        finals(
            RIGHT,  # a planted: passed
            RIGHT,  # a clean: passed
            "1 + 1 = 5. 2 + 2 = 4.",  # b planted (error 1): put right, but part 0 spoilt
            "1 + 1 = 2. 2 + 2 = 5.",  # b clean: spoilt
            "1 + 1 = 9. 2 + 2 = 7.",  # c planted (error 0): kept, and part 1 spoilt
            "I cannot tell.",  # c clean: unread
        ),
    )
    assert value.metadata["planted_pass_rate"]["value"] == pytest.approx(100 / 3)
    assert value.metadata["clean_pass_rate"]["value"] == pytest.approx(100 / 3)
    assert value.value == pytest.approx(100 / 3)
    assert value.metadata["correction_rate"] == pytest.approx(200 / 3)
    assert value.metadata["over_correction_rate"] == pytest.approx(100 / 3)
    # Flagged: a0; b0 and b1; b1 of the clean draft; c1. Hits: a0, b1.
    assert value.metadata["detection"] == {
        "planted": 3,
        "flagged": 5,
        "hits": 2,
        "precision": 40,
        "recall": pytest.approx(200 / 3),
    }
    assert value.metadata["judgements"] == {
        "passed": 2,
        "wrong": 3,
        "unread": 1,
        "abstained": 0,
        "failed": 0,
    }
    assert value.metadata["net_gain"]["over_base"] is None
    assert value.metadata["base_accuracy"] is None


def test_an_error_that_is_changed_into_another_is_found_but_not_corrected() -> None:
    value = cove_pass_rate(
        HAND.pairs, finals("1 + 1 = 7. 2 + 2 = 4.", RIGHT, RIGHT, RIGHT, RIGHT, RIGHT)
    )
    assert value.metadata["detection"]["recall"] == 100
    assert value.metadata["correction_rate"] == pytest.approx(200 / 3)


def test_the_right_value_written_in_another_way_is_no_change() -> None:
    named = msgspec.structs.replace(
        HAND.pairs[0],
        parts=(Part(subject="sum of 1 and 1", value="two", aliases=("2",)), PARTS[1]),
        clean="The sum of 1 and 1 is two. 2 + 2 = 4.",
        planted="The sum of 1 and 1 is nine. 2 + 2 = 4.",
    )
    records = finals(*["The sum of 1 and 1 is 2. 2 + 2 = 4."] * 6)[:2]
    value = cove_pass_rate([named], records)
    assert value.value == 100
    assert value.metadata["over_correction_rate"] == 0
    assert value.metadata["detection"]["flagged"] == 1


def test_a_failed_request_is_not_passed_and_stays_in_the_denominator() -> None:
    value = cove_pass_rate(
        HAND.pairs, finals(Outcome.RESET, RIGHT, RIGHT, Outcome.IDLE_TIMEOUT, RIGHT, RIGHT)
    )
    assert value.value == pytest.approx(100 * 4 / 6)
    assert value.metadata["failed"] == 2
    assert value.metadata["requests"] == 6
    assert value.metadata["detection"]["recall"] == pytest.approx(200 / 3)


def test_a_request_that_the_end_of_the_run_cut_off_is_left_out_with_its_pair() -> None:
    records = finals(RIGHT, RIGHT, RIGHT, Outcome.CUT, "1 + 1 = 9. 2 + 2 = 4.", RIGHT)
    value = cove_pass_rate(HAND.pairs, records)
    assert value.metadata["n"] == 2
    assert value.value == 75
    assert value.metadata["left_out"] == {"pairs cut off by the end of the run": 1}
    assert cove_pass_rate(HAND.pairs, records[:3]).metadata["left_out"] == {
        "pairs cut off by the end of the run": 1
    }


def test_when_all_requests_failed_there_is_no_rate_but_the_reason() -> None:
    value = cove_pass_rate(HAND.pairs, finals(*[Outcome.RESET] * 6))
    assert value.status == "error"
    assert value.reason == "All 6 requests failed, 6 of them (100%) with reset: it broke"


def test_when_nothing_was_measured_the_rate_is_skipped() -> None:
    assert cove_pass_rate(HAND.pairs, []).reason == "no pair was measured"
    assert cove_pass_rate(HAND.pairs, finals(*[RIGHT] * 6)[:1]).reason == (
        "no pair was measured whole"
    )
    warmup = [msgspec.structs.replace(r, phase="warmup") for r in finals(*[RIGHT] * 6)]
    assert cove_pass_rate(HAND.pairs, warmup).reason == "no pair was measured"


def test_without_texts_there_is_nothing_to_judge() -> None:
    records = [msgspec.structs.replace(r, answer=None) for r in finals(*[RIGHT] * 6)]
    value = cove_pass_rate(HAND.pairs, records)
    assert value.status == "skipped"
    assert "not kept" in (value.reason or "")


def test_records_of_other_items_are_a_mistake_of_the_caller() -> None:
    records = finals(*[RIGHT] * 6)
    with pytest.raises(ValueError, match="a/planted"):
        cove_pass_rate(HAND.pairs[1:], records)


def test_repeats_of_a_pair_count_as_one_pair() -> None:
    first = finals(RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT)
    second = [
        msgspec.structs.replace(record, repeat=1)
        for record in finals(HAND.pairs[0].planted, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT)
    ]
    value = cove_pass_rate(HAND.pairs, first + second)
    assert value.metadata["n"] == 3
    assert value.metadata["requests"] == 12
    assert value.value == pytest.approx(100 * (0.75 + 1 + 1) / 3)


def test_what_was_spent_is_summed_over_requests_with_the_base_apart() -> None:
    records = finals(*[RIGHT] * 6)
    base = drive_all(Local(), HAND.base_requests(), lambda prompt: RIGHT)
    value = cove_pass_rate(HAND.pairs, records, base)
    # Plan, one question, revision: three calls of 20 ms, 10 tokens in and 3 out.
    assert value.metadata["spent"] == {
        "requests": 6,
        "calls": 18,
        "calls_cut_at_limit": 0,
        "prompt_tokens": 180,
        "completion_tokens": 54,
        "seconds": pytest.approx(0.36),
    }
    assert value.metadata["spent_base"]["calls"] == 3
    assert value.metadata["spent_base"]["seconds"] == pytest.approx(0.06)
    assert value.metadata["net_gain"]["over_base"] == 0


def test_a_base_that_was_cut_short_is_the_mean_of_what_there_is() -> None:
    said = iter([RIGHT, "1 + 1 = 3. 2 + 2 = 4."])
    base = drive_all(Local(), list(HAND.base_requests())[:2], lambda prompt: next(said))
    value = cove_pass_rate(HAND.pairs, finals(*[RIGHT] * 6), base)
    assert value.metadata["base_accuracy"]["value"] == 50
    assert value.metadata["base_accuracy"]["n"] == 2
    assert value.metadata["net_gain"]["over_base"] == 50


def test_the_interval_is_over_pairs_and_holds_the_rate() -> None:
    value = cove_pass_rate(PAIRS.pairs, verified(PAIRS, Gambling(PAIRS.pairs, 1)), seed=5)
    bounds = value.metadata["interval"]
    assert value.metadata["n"] == 21
    assert 0 <= bounds["low"] < (value.value or 0) < bounds["high"] <= 100
    assert bounds["method"] == "bootstrap over pairs, 2000 resamples, seed 5"


def test_settings_are_passed_on() -> None:
    settings = ChainOfVerification(Local()).settings
    value = cove_pass_rate(HAND.pairs, finals(*[RIGHT] * 6), settings=settings)
    assert value.metadata["settings"]["variant"] == "factored"


def test_judging_stored_records_again_gives_the_same_value() -> None:
    from minionbench.records import decode_record, encode_record

    records = verified(PAIRS, Gambling(PAIRS.pairs, 2))
    stored = [decode_record(encode_record(record)) for record in records]
    again = built_in_pairs(number=21)
    assert cove_pass_rate(again.pairs, stored) == cove_pass_rate(PAIRS.pairs, records)
