"""Chain-of-Verification as a deployment over another one: draft, plan, answer, revise.

The factored variant: each verification question is asked by itself, side by side with the others
and without the draft in sight, so that a wrong draft cannot talk the model into agreeing.

Source: Dhuliawala and others, Chain-of-Verification Reduces Hallucination in Large Language
Models, arXiv 2309.11495.
"""

from __future__ import annotations

import re

from minionbench.deployments.deployment import Deployment
from minionbench.exchange import Answer, Plan, Request
from minionbench.quality.composing import Composition, OverDeployment, given_up
from minionbench.quality.prompts import plan_prompt, revise_prompt

VARIANT = "factored"
"""How step 3 is done, in the words of the paper."""

MOST_QUESTIONS = 5
"""Verification questions that are asked at most; what a plan holds beyond is left out."""

DRAFT_ROUND, PLAN_ROUND, ANSWER_ROUND, REVISE_ROUND = range(4)
"""Round of each step's calls over a deployment that asks once."""

_MARKER = re.compile(r"\s*(?:\(?\d{1,3}[.):]|[-*•])\s+")
"""What begins an entry of a list."""


class ChainOfVerification(OverDeployment):
    """Lets a deployment verify a draft and revise it.

    A request whose last message is the assistant's brings the draft with it: that message is the
    draft, `question` is what was asked, and `document`, where there is one, the text that it was
    asked about. Any other request is first answered as it stands, and that answer is the draft.

    A step that fails, or a plan without a single question, ends the request without an answer.
    """

    def __init__(self, inner: Deployment, *, most_questions: int = MOST_QUESTIONS) -> None:
        super().__init__(inner)
        self.most_questions = most_questions

    @property
    def settings(self) -> dict[str, str | int]:
        """What a document has to say of how the drafts were verified."""
        return {"variant": VARIANT, "most_questions": self.most_questions}

    def plan(self, request: Request) -> Plan:
        """The four steps, the first one only where the request brings no draft."""
        question = request.question or request.messages[-1].content
        given = request.messages[-1].role == "assistant"
        steps = Composition(
            self.inner,
            request,
            document=request.document,
            first_round=PLAN_ROUND if given else DRAFT_ROUND,
        )
        if given:
            draft = request.messages[-1].content
        else:
            (drafted,) = yield from steps.answer()
            if drafted.text is None:
                return given_up("the draft", drafted)
            draft = drafted.text
        (planned,) = yield from steps.ask([plan_prompt(question, draft)])
        if planned.text is None:
            return given_up("the plan", planned)
        questions = read_questions(planned.text, self.most_questions)
        if not questions:
            return Answer(text=None, call=None, abstained=NO_QUESTION)
        answers = yield from steps.ask(questions, jobs=True)
        for number, answer in enumerate(answers, 1):
            if answer.text is None:
                return given_up(f"verification answer {number}", answer)
        verified = [
            (asked, " ".join((answer.text or "").split()))
            for asked, answer in zip(questions, answers, strict=True)
        ]
        (final,) = yield from steps.ask([revise_prompt(question, draft, verified)])
        return final if final.text is not None else given_up("the revision", final)


NO_QUESTION = "no verification question could be read from the plan"
"""Why there is no answer when step 2 brought nothing to ask."""


def read_questions(plan: str, most: int = MOST_QUESTIONS) -> tuple[str, ...]:
    """The verification questions in the answer to step 2, in their order, at most so many.

    A line counts when it is an entry of a list or ends with a question mark; each question counts
    once.
    """
    questions: dict[str, None] = {}
    for line in plan.splitlines():
        marker = _MARKER.match(line)
        text = line[marker.end() :].strip() if marker else line.strip()
        if text and (marker or text.endswith("?")):
            questions[text] = None
    return tuple(questions)[:most]
