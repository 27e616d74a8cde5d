"""Numbers in answers: units, scales, signs, and which of several numbers is the answer."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.exchange import Reference
from minionbench.quality.grading.number import judge_amount, judge_number
from minionbench.quality.grading.quantity import flat, quantities, spelled
from tests.quality.grading.labelled import disagreements


def number(value: str, unit: str | None = None, *aliases: str) -> Reference:
    return Reference(kind="number", value=value, unit=unit, aliases=aliases)


LABELLED = [
    (
        number("18"),
        (
            "18",
            "18.0",
            "18.",
            "+18",
            "**18**",
            "$18",
            "$18.00",
            "18 dollars",
            "The answer is 18.",
            "Answer: 18",
            "**Answer:** 18",
            "### Final Answer\n\n18",
            "Final answer: $\\boxed{18}$",
            "#### 18",
            "She makes 9 * 2 = $18 every day.",
            "16 - 3 - 4 = 9\n9 * 2 = 18",
            "It is 36/2.",
            "First 9, then 12, and at last 18",
            "\\[ 9 \\times 2 = 18 \\]",
            "So she makes eighteen dollars: 18",
            "Answer: 18 (that is 9 * 2)",
            "Answer: 18, since 9 * 2 = 18",
            "The answer is 18. I checked 3 times.",
            "<think>maybe 17?</think>It is 18.",
            "the template opened the thought, 17</think>\n18",
            "The answer is not 17 but 18.",
            "18, not 17",
            "Answer: 1.8e1",
            "Answer: １８",
            "The answer is eighteen.",
            "18 or 18.0",
        ),
        (
            "17",
            "180",
            "1.8",
            "-18",
            "(18)",
            "18.4",
            "18%%5",
            "18 or 19",
            "either 17 or 18",
            "between 17 and 18",
            "17-18",
            "17–18",
            "18 to 20",
            "18 / 2",
            "18, 19",
            "Answer: 17. Or is it 18",
            "18 million",
            "18% of 200 = 36",
            "The answer is 18. Answer: 19",
            "<think>18</think>17",
        ),
        (
            "",
            "I do not know.",
            "<think>The answer is 18",
            "<think>18</think>",
            "It is on page A18.",
            "at 18:05",
            "Q18",
            "The answer is not 18.",
            "18 is wrong.",
            "9 + 9",
            "1,8",
            "18.000,00",
            "Answer: unknown",
        ),
    ),
    (
        number("1200", "USD million"),
        (
            "1200",
            "1,200",
            "$1,200",
            "$1,200 million",
            "$1.2 billion",
            "$1.2bn",
            "$1.2B",
            "1,200M",
            "USD 1,200 million",
            "1.2 billion dollars",
            "1,200,000,000",
            "$1,200,000 thousand",
            "$1,200,000k",
            "US$ 1.2 billion",
            "Answer: Total revenue 2023: 1,200",
            "Total revenue 2023: 1,200",
            "In 2023 revenue was $1.2 billion.",
            "Revenue was $1.2 billion in FY2023.",
            "Revenue was $1.2 billion in 2023, up from $1.1 billion in 2022.",
            "$1.2 billion (or $1,200 million)",
            "$1.2 billion or $1,200 million",
            "| Total revenue | 1,200 |",
        ),
        (
            "1.2",
            "1.2 million",
            "€1,200 million",
            "1,200 EUR",
            "1,200%",
            "12,00,000",
            "(1,200)",
            "-1,200",
            "$1.1 billion",
            "$1.1 billion or $1.2 billion",
            "2023",
            "1,201",
        ),
        ("Revenue rose.",),
    ),
    (
        number("-340", "USD million"),
        (
            "-340",
            "−340",
            "-$340",
            "$-340 million",
            "(340)",
            "$(340) million",
            "($340) million",
            "($340 million)",
            "Answer: Net income 2022: (340)",
            "a net loss of $340 million",
            "minus 340",
            "It was (340).",
            "Net income fell by $340 million.",
            "-0.34 billion",
        ),
        ("340", "+340", "$340 million", "net income of 340 (note 3)", "(430)"),
        (),
    ),
    (
        number("65.4", "%"),
        ("65.4%", "65.4 %", "65.4", "65.4 percent", "0.654", "65.4\\%", "65.42%", "65.4 per cent",
         "6540 basis points", "Answer: 65.4% (2016)", "an increase of 65.4%"),
        ("65%", "65.5%", "6.54%", "0.654%", "654", "-65.4%", "65.4 million", "64.4% to 65.4%"),
        ("a lot",),
    ),
    (number("65"), ("65%", "65 percent", "65", "0.65e2"), ("0.65%", "66%"), ()),
    (number("0.66"), ("0.66", ".66", "66%", "2/3 = 0.66", "0.664"), ("0.67", "66", "0.66%"), ()),
    (number("0.5"), ("1/2", "½", "50%", "\\frac{1}{2}", "0.50", "0.5 or 50%"), ("5", "1/3"), ()),
    (number("1.5"), ("1 1/2", "1½", "3/2", "one point five, so 1.5"), ("11/2", "1 and 1/2"), ()),
    (number("2000"), ("5 * 400 = 2000", "2,000", "2 thousand", "2k", "2 000 (2\u202f000)",
                      "Answer: 2000"), ("2000 in 2019 = 5",), ()),
    (number("2021"), ("2021", "It was founded in 2021.", "Answer: 2021"), ("2012",), ()),
    (number("1234567.5"), ("1,234,567.5", "1\u00a0234\u00a0567.5", "1'234'567.5", "1{,}234{,}567.5",
                           "1.2345675 × 10^6"), ("1.234.567,5", "1,234,567"), ()),
    (number("53", "USD million", "-53"), ("53", "-53", "Answer: 53", "a fall of 53"), ("35",), ()),
    (number("21"), ("twenty-one", "There are twenty one apples.", "21st of 3 = 21"), ("12",),
     ("the 21st",)),
    (number("1"), ("one", "The answer is one."), ("two",), ("I cannot tell which one.",
                                                          "It is one of them.")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "right", "wrong", "unread"), LABELLED, ids=[r.value for r, *_ in LABELLED]
)
def test_it_agrees_with_a_careful_person(
    reference: Reference, right: tuple[str, ...], wrong: tuple[str, ...], unread: tuple[str, ...]
) -> None:
    found = disagreements(judge_number, reference, right, (), unread)
    # What cannot be right may be found wrong or not be read at all.
    found += [text for text in wrong if judge_number(text, reference).grade == "right"]
    assert found == []


def test_there_are_enough_labelled_pairs() -> None:
    assert sum(len(right) + len(wrong) + len(unread) for _, right, wrong, unread in LABELLED) >= 150


AMOUNTS = [
    (
        number("8.70", "USD billion"),
        ("8.738 billion", "$8.7 billion", "$8,738 million", "8.70", "8.7", "$8,700,000 thousand",
         "Net PPNE was $8.738 billion at year end 2018.", "**Answer:** $8.74 billion",
         "Answer: approximately 8.7 billion USD", "$8,738,000,000"),
        ("8.8 billion", "$8.6 billion", "8,738", "8.738 million", "87", "$8.7 or $9.1 billion",
         "8.7%", "-8.7", "€8.7 billion", "0.87 billion"),
    ),
    (
        number("1577.00", "USD million"),
        ("$1577", "$1,577 million", "$1.577 billion", "$1.58 billion", "1,580 million", "$1.577bn",
         "1577.00", "Answer: $1,577.00 million", "CapEx was $1,577 million in FY2018 and $1,373 "
         "million in FY2017.", "$1,577,000,000"),
        ("$1.6 billion", "1,600", "1,477", "$1,577 billion", "15.77", "(1,577)", "1.577", "157",
         "$1,577 or $1,373 million"),
    ),
    (number("-0.02"), ("-0.02", "-0.0158", "(0.02)", "-2%", "-1.6%", "a loss of 0.02"),
     ("0.02", "-0.2", "-0.04", "2%", "-0.002")),
    (number("24.26"), ("24.26", "24.3", "24.26x", "24.26 times", "24.3 times", "2,426%"),
     ("25", "24", "2.426", "-24.26", "24.26 million")),
    (number("1.9", "%"), ("1.9%", "1.9", "0.019", "1.94%", "1.85%", "190 bps"),
     ("2%", "1.8%", "19%", "1.9 million", "1.7%")),
    (number("0"), ("0", "$0", "0%", "zero", "0.00", "Answer: $0 million", "none, so 0"),
     ("1", "0.1", "10")),
    (number("93.86"), ("93.86", "93.9", "94", "93.5 days", "93.86 days"), ("95", "9.386", "92")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "right", "wrong"), AMOUNTS, ids=[r.value for r, *_ in AMOUNTS]
)
def test_an_amount_may_be_rounded_as_gold_figures_are(
    reference: Reference, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    found = disagreements(judge_amount, reference, right)
    found += [text for text in wrong if judge_amount(text, reference).grade == "right"]
    assert found == []


def test_there_are_enough_labelled_amounts() -> None:
    assert sum(len(right) + len(wrong) for _, right, wrong in AMOUNTS) >= 60


def test_a_number_has_no_tolerance_where_the_known_one_is_whole() -> None:
    assert judge_number("70,001", number("70000")).grade == "wrong"
    assert judge_amount("70,001", number("70000")).grade == "right"


def test_of_an_answer_that_was_cut_off_only_what_is_marked_and_finished_counts() -> None:
    known = number("12")
    assert judge_number("It is 12", known, cut=True).grade == "unread"
    assert judge_number("Answer: 12", known, cut=True).grade == "unread"
    assert judge_number("Answer: 12 eggs, since", known, cut=True).grade == "right"
    assert judge_number("So \\boxed{12}", known, cut=True).grade == "right"


def test_a_reference_that_is_no_number_cannot_be_judged() -> None:
    judged = judge_number("5", number("five"))
    assert (judged.grade, judged.why) == (None, "the known answer is not a number")


HOSTILE = ("(", "1,", "answer ", "$", "1 - ", ". A", "\n", "9", "is ", "not ", "<think>", "1/",
           "(a", "one and ", " ", "\\boxed{")  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_makes_it_slow(text: str) -> None:
    """Every rule is bounded: the work grows with the text, not with its square."""
    assert judge_number(text * 20_000, number("5")).grade in ("unread", "wrong")


whole = st.integers(min_value=1, max_value=10**9)


@given(value=whole, style=st.sampled_from((
    "{:,}", "{}", "${:,}", "{:,} USD", "The answer is {:,}.", "Answer: {:,}", "#### {:,}",
    "\\boxed{{{:,}}}", "It was {:,} in 2023.", "12 + 7 = 19, so there are {:,}",
    "<think>5</think>It is {:,}", "**Final answer:** **{:,}**",
)))  # fmt: skip
@settings(max_examples=80)
def test_a_number_is_right_however_it_is_dressed(value: int, style: str) -> None:
    assert judge_number(style.format(value), number(str(value))).grade == "right"


@given(value=whole, off=st.integers(min_value=1, max_value=10**6), sign=st.sampled_from((1, -1)))
@settings(max_examples=80)
def test_another_whole_number_is_wrong(value: int, off: int, sign: int) -> None:
    assert judge_number(f"Answer: {value + sign * off:,}", number(str(value))).grade == "wrong"


@given(
    millions=st.integers(min_value=10, max_value=10**7),
    style=st.sampled_from(("{:,} million", "{:,}", "${:,}M", "USD {:,}mn")),
)
@settings(max_examples=40)
def test_millions_and_billions_are_the_same_money(millions: int, style: str) -> None:
    known = number(str(millions), "USD million")
    assert judge_number(style.format(millions), known).grade == "right"
    assert judge_number(f"${Decimal(millions) / 1000:f} billion", known).grade == "right"
    assert judge_number(f"{millions * 10**6:,}", known).grade == "right"


@given(
    value=st.decimals(min_value=1, max_value=10**6, places=2),
    share=st.floats(min_value=0.0051, max_value=0.5) | st.floats(min_value=-0.5, max_value=-0.0051),
)
@settings(max_examples=80)
def test_an_amount_beyond_the_tolerance_is_wrong(value: Decimal, share: float) -> None:
    half = Decimal("0.005")
    off = value * Decimal(share)
    if abs(off) <= half + Decimal("0.001"):
        off = Decimal("0.01").copy_sign(off)
    stated = (value + off).quantize(Decimal("0.0001"))
    judged = judge_amount(f"Answer: {stated:f}", number(f"{value:f}"))
    within = abs(Fraction(stated) - Fraction(value)) <= max(
        Fraction("0.005"), Fraction(value) * Fraction("0.005")
    )
    assert judged.grade == ("right" if within else "wrong")


@given(st.text(max_size=300))
@settings(max_examples=150)
def test_any_text_can_be_judged(text: str) -> None:
    assert judge_number(text, number("5")).grade in ("right", "wrong", "unread")


@given(st.text(alphabet="0123456789.,-+()$%eE/ xkMB:", max_size=60))
@settings(max_examples=150)
def test_numbers_are_read_inside_the_text_and_apart(text: str) -> None:
    found = quantities(flat(text))
    assert all(one.end <= other.start for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("one hundred", 100),
        ("hundred and five", 105),
        ("two hundred and five", 205),
        ("thousand", 1_000),
        ("twelve thousand three hundred", 12_300),
    ],
)
def test_numbers_in_words_are_added_up(text: str, value: int) -> None:
    assert spelled(text) == [(0, Fraction(value))]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(412)", -412),
        ("net, (412)", -412),
        ("net: (412)", -412),
        ("the result was (412)", -412),
        ("four hundred (412)", 412),
    ],
)
def test_brackets_are_a_minus_where_they_explain_nothing(text: str, value: int) -> None:
    (found,) = quantities(flat(text))
    assert found.value == value
