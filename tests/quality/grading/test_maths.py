"""Expressions in answers: equal ones in all their spellings, and those that only look equal."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.exchange import Reference
from minionbench.quality.grading.arithmetic import Unreadable
from minionbench.quality.grading.expression import read
from minionbench.quality.grading.maths import judge_maths


def maths(value: str, *aliases: str) -> Reference:
    return Reference(kind="text", value=value, aliases=aliases)


def boxed(text: str) -> str:
    return f"Thus it is $\\boxed{{{text}}}$."


EQUAL = [
    # (known, stated, …)
    ("\\frac12", "\\frac{1}{2}", "\\dfrac{2}{4}", "0.5", ".5", "1/2", "½", "50\\%", "x=\\tfrac12",
     "\\frac1{2}", "2^{-1}", "\\left(\\frac{1}{2}\\right)", "-\\frac{-1}{2}", "0.50"),
    ("5", "5", "x = 5", "5 = x", "\\$5", "5\\text{ cm}", "5 \\mathrm{cm}^2", "5^\\circ", "+5",
     "\\frac{10}{2}", "\\sqrt{25}", "\\text{5}", "a + b = 5", "5.0", "\\log_2 32", "10 \\div 2"),
    ("1234", "1,234", "1{,}234", "1\\,234" , "1234.0"),
    ("x^2+2x+1", "(x+1)^2", "1+2x+x^2", "x^{2}+2\\cdot x+1", "(x+1)(x+1)", "y = x^2+2x+1",
     "x²+2x+1"),
    ("\\sqrt{8}", "2\\sqrt2", "2\\sqrt{2}", "√8", "8^{1/2}", "\\frac{4}{\\sqrt{2}}", "sqrt(8)"),
    ("\\frac{\\pi}{2}", "\\pi/2", "\\frac12\\pi", "π/2", "0.5\\pi", "\\frac{1}{2} \\cdot \\pi"),
    ("-2", "−2", "\\sqrt[3]{-8}", "-\\frac{4}{2}", "(-2)"),
    ("1,2", "2, 1", "\\{1,2\\}", "x = 1 \\text{ or } x = 2", "1 and 2", "\\{2, 1\\}",
     "1, \\frac42"),
    ("(1,2)", "(1, 2)", "\\left(1,2\\right)", "(1,\\frac{4}{2})", "(1.0, 2)"),
    ("[1,\\infty)", "[1, \\infty)", "\\left[1,\\infty\\right)"),
    ("(-\\infty,2]\\cup[3,\\infty)", "[3,\\infty) \\cup (-\\infty, 2]"),
    ("3\\pm\\sqrt2", "3+\\sqrt{2}, 3-\\sqrt{2}", "3 \\pm \\sqrt{2}", "3-\\sqrt2,3+\\sqrt2"),
    ("y=2x+1", "y = 1 + 2x", "2x - y + 1 = 0", "2y=4x+2", "2x+1"),
    ("x<5", "5 > x", "x < 5", "x \\lt 5"),
    ("x\\ge -1", "x \\geq -1", "-1 \\leq x", "x>=-1"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
     "\\begin{bmatrix} 1 & 2 \\\\ 3 & \\frac82 \\end{bmatrix}"),
    ("\\text{even}", "even", "\\text{Even}", "\\textbf{even}"),
    ("\\text{(C)}", "C", "(C)", "\\text{C}"),
    ("12\\%", "12%", "12", "0.12", "\\frac{12}{100}"),
    ("120", "5!", "\\binom{16}{2}", "1.2 \\times 10^2", "12*10", "12 \\cdot 10"),
    ("\\frac32", "1\\frac12", "1\\frac{1}{2}", "1 1/2", "1.5", "1½"),
    ("10.5", "10.5", "\\frac{21}{2}", "10.46", "10.54"),
    ("\\frac{x+1}{x-1}", "1+\\frac{2}{x-1}", "\\frac{-x-1}{1-x}", "(x+1)/(x-1)"),
    ("2^{100}", "2^{100}", "4^{50}", "1024^{10}"),
    ("3+4i", "4i+3", "3 + 4i"),
    ("e^{2x}", "(e^x)^2", "e^x e^x", "e^{x+x}"),
    ("\\emptyset", "\\{\\}", "\\varnothing"),
    ("\\infty", "\\infty", "∞"),
    ("1", "\\sin^2 x + \\cos^2 x", "\\tan\\frac{\\pi}{4}", "\\ln e", "|{-1}|"),
    ("ab", "ba", "a \\cdot b"),
    ("x_1+x_2", "x_2 + x_1", "x_{1}+x_{2}"),
]  # fmt: skip

DIFFERENT = [
    ("\\frac12", "\\frac21", "2", "0.05", "0.501", "-\\frac12", "\\frac{1}{3}", "5\\%"),
    ("5", "-5", "50", "5.01", "5x", "x^5", "5!", "4 or 5", "4, 5", "\\{5, 6\\}", "(5, 5)",
     "x > 5", "\\sqrt5", "05 and 6", "\\text{five}"),
    ("x^2+2x+1", "x^2+2x+2", "(x-1)^2", "x^2", "(x+1)^3", "(y+1)^2"),
    ("\\sqrt2", "1.414", "1.41421356", "2", "\\sqrt3", "2\\sqrt2"),
    ("\\pi", "3.14", "3.14159", "\\frac{22}{7}", "p"),
    ("(1,2)", "(2,1)", "[1,2]", "(1,2]", "1,2", "(1,2,3)", "12"),
    ("1,2", "1", "2", "1,2,3", "1,3", "12"),
    ("[1,\\infty)", "(1,\\infty)", "[1,\\infty]", "[-\\infty,1)"),
    ("y=2x+1", "y=2x", "y=2x-1", "x=2y+1", "2x+2"),
    ("x<5", "x>5", "x\\le 5", "5"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
     "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}", "\\begin{pmatrix}1&2&3&4\\end{pmatrix}"),
    ("\\text{even}", "odd", "\\text{neither even}", "evan"),
    ("2^{100}", "2^{100}+1", "1.2676506e30", "2^{101}", "9^{9^{9^9}}"),
    ("10.5", "10.56", "10.44", "11"),
    ("12\\%", "0.0012", "120"),
    ("|x|", "x", "-x"),
    ("x", "\\sqrt{x^2}", "y"),
    ("\\infty", "-\\infty", "8"),
    ("1", "\\frac{0}{0}", "\\frac{1}{0}", "", "?"),
    ("abc", "acd"),
]  # fmt: skip


@pytest.mark.parametrize(("known", "stated"), [(k, s) for k, *all_ in EQUAL for s in all_])
def test_equal_expressions_are_right(known: str, stated: str) -> None:
    judged = judge_maths(boxed(stated), maths(known))
    assert judged.grade == "right", judged


@pytest.mark.parametrize(("known", "stated"), [(k, s) for k, *all_ in DIFFERENT for s in all_])
def test_other_expressions_are_not(known: str, stated: str) -> None:
    assert judge_maths(boxed(stated), maths(known)).grade in ("wrong", "unread")


IN_PROSE = [
    ("7", "right", "So there are 7 apples."),
    ("7", "right", "Answer: 7 because 3 + 4 = 7"),
    ("7", "right", "Therefore $a=3$ and $b=4$, so $a+b=7$."),
    ("7", "right", "The answer is $7$."),
    ("7", "right", "**Answer:** \\(\\frac{14}{2}\\)"),
    ("7", "right", "**Final Answer**\n\n\\[ x = 7 \\]"),
    ("7", "right", "#### 7"),
    ("7", "right", "<think>\\boxed{8}</think>\\boxed{7}"),
    ("7", "right", "\\boxed{8} is what I had first; it is \\boxed{7}"),
    ("7", "right", "The result is 7 cm."),
    ("7", "wrong", "either 7 or 8"),
    ("7", "wrong", "The answer is 7 or 8."),
    ("7", "wrong", "\\boxed{7} is wrong. Answer: 8"),
    ("7", "wrong", "<think>\\boxed{7}</think>8"),
    ("7", "unread", "<think>\\boxed{7}"),
    ("7", "unread", "I do not know"),
    ("7", "unread", ""),
    ("7", "wrong", "7 + 8"),
    ("\\frac{7}{8}", "right", "The value is 7/8."),
    ("\\frac{7}{8}", "wrong", "The value is 8/7."),
    ("4,5", "right", "x = 4 or x = 5"),
    ("4,5", "right", "$x = 4$ or $x = 5$"),
    ("4,5", "wrong", "x = 4"),
    ("x+1", "right", "f(x) = x + 1"),
]


@pytest.mark.parametrize(("known", "grade", "answer"), IN_PROSE)
def test_the_answer_is_found_in_prose(known: str, grade: str, answer: str) -> None:
    judged = judge_maths(answer, maths(known))
    assert judged.grade == grade, judged


def test_there_are_enough_labelled_pairs() -> None:
    pairs = sum(len(case) - 1 for case in (*EQUAL, *DIFFERENT)) + len(IN_PROSE)
    assert pairs >= 200


def test_an_answer_that_was_cut_off_has_what_it_boxed_and_nothing_else() -> None:
    assert judge_maths("so \\boxed{7}", maths("7"), cut=True).grade == "right"
    assert judge_maths("so 3 + 4 = 7", maths("7"), cut=True).grade == "unread"


def test_a_reference_of_nothing_cannot_be_judged() -> None:
    assert judge_maths("7", maths(" ")).grade is None


@pytest.mark.parametrize(
    "text",
    ["9^{9^{9^9}}", "(((((", "2^" * 150 + "2", "1+" * 250 + "1", "99999!", "\\binom{9999}{44}",
     "(" * 60 + "1" + ")" * 60, "1" * 500, "__import__('os')", "x.y", "lambda: 0", "\\frac{1}"],
)  # fmt: skip
def test_what_is_too_large_or_no_mathematics_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text).at({"x": Fraction(1), "y": Fraction(1)})


fractions = st.fractions(min_value=-1000, max_value=1000, max_denominator=100)


@given(value=fractions, times=st.integers(min_value=1, max_value=9))
@settings(max_examples=80)
def test_a_fraction_is_itself_in_every_spelling(value: Fraction, times: int) -> None:
    above, below = value.numerator * times, value.denominator * times
    known = maths(f"\\frac{{{value.numerator}}}{{{value.denominator}}}")
    for stated in (f"{above}/{below}", f"\\dfrac{{{above}}}{{{below}}}", f"x = {above}/{below}"):
        assert judge_maths(boxed(stated), known).grade == "right"


@given(one=fractions, other=fractions)
@settings(max_examples=80)
def test_two_fractions_are_the_same_only_if_equal(one: Fraction, other: Fraction) -> None:
    judged = judge_maths(boxed(f"{one.numerator}/{one.denominator}"),
                         maths(f"\\frac{{{other.numerator}}}{{{other.denominator}}}"))  # fmt: skip
    assert (judged.grade == "right") == (one == other)


coefficients = st.integers(min_value=-9, max_value=9)


@given(a=coefficients, b=coefficients, c=coefficients, d=coefficients)
@settings(max_examples=80)
def test_a_product_is_equal_to_what_it_expands_to_and_to_nothing_near_it(
    a: int, b: int, c: int, d: int
) -> None:
    product = f"({a}x+({b}))({c}x+({d}))"
    expanded = f"({a * c})x^2+({a * d + b * c})x+({b * d})"
    assert judge_maths(boxed(product), maths(expanded)).grade == "right"
    assert judge_maths(boxed(f"{product}+1"), maths(expanded)).grade == "wrong"


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_any_text_can_be_judged(answer: str) -> None:
    for known in (maths("7"), maths("x+1"), maths("\\text{even}")):
        assert judge_maths(answer, known).grade in ("right", "wrong", "unread")
        assert judge_maths(boxed(answer), known).grade in ("right", "wrong", "unread")


@given(st.text(alphabet="0123456789xy+-*/^(){}[]\\frac,=<>|!.% ", max_size=60))
@settings(max_examples=200)
def test_whatever_can_be_read_is_equal_to_itself_or_has_no_value(text: str) -> None:
    known = maths(text)
    assert judge_maths(boxed(text), known).grade in ("right", "wrong", "unread", None)
