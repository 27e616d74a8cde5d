"""A hybrid protocol of your own in one file: the local model answers, the remote one checks.

A protocol is a generator: it yields the calls that may run side by side, is sent their replies,
and returns an answer. It opens no connection and reads no clock; that is the runner's part.

    python examples/own_protocol.py      # drives it by hand, without any model
"""

from minionbench.exchange import Answer, Call, Limits, Message, Outcome, Plan, Reply, Request


class CheckedAnswer:
    """Local model answers from the document, remote one sees only question and answer."""

    name = "hybrid"
    sides = ("local", "remote")
    asks_once = False
    prepares = False

    def plan(self, request: Request) -> Plan:
        """Two calls, one after the other."""
        ask = Call(side="local", role="worker", messages=request.messages, limits=request.limits)
        (draft,) = yield (ask,)
        if draft.outcome is not Outcome.OK or not draft.text:
            return Answer(text=None, call=None, abstained="the local model gave no answer")
        prompt = f"Question: {request.question}\nAnswer: {draft.text}\nIs it plausible? Yes or No."
        check = Message("user", prompt)
        limits = Limits(max_output_tokens=8)
        (verdict,) = yield (
            Call(side="remote", role="supervisor", round=1, messages=(check,), limits=limits),
        )
        if (verdict.text or "").strip().lower().startswith("no"):
            return Answer(text=None, call=None, abstained="the remote model did not believe it")
        return Answer(text=draft.text, call=0)


if __name__ == "__main__":
    asked = Request(
        item_id="example/0",
        messages=(Message("user", "Revenue was 7.\n\nWhat was revenue?"),),
        question="What was revenue?",
        limits=Limits(max_output_tokens=64),
        source="example",
        input_tokens=12,
    )
    plan = CheckedAnswer().plan(asked)
    (first,) = next(plan)
    (second,) = plan.send((Reply(outcome=Outcome.OK, text="7", planned_ns=0),))
    print(f"local was asked:  {first.messages[-1].content!r}")
    print(f"remote was asked: {second.messages[-1].content!r}")
    try:
        plan.send((Reply(outcome=Outcome.OK, text="Yes", planned_ns=0),))
    except StopIteration as end:
        print(f"answer:           {end.value.text!r}")
