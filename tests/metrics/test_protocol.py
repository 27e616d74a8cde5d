"""Where the time of a request of several calls went, and what each side took."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.exchange import Outcome, Side, Usage
from minionbench.metrics.protocol import account, critical_calls, side_use, time_split
from minionbench.records import CallRecord, RequestRecord
from minionbench.units import seconds
from tests.making import ns, record, reply


def call(
    side: Side,
    planned: float,
    sent: float | None,
    end: float,
    *,
    admitted: float | None = None,
    usage: Usage | None = None,
) -> CallRecord:
    made = reply(planned, sent, (), admitted=admitted, end=end)
    made = msgspec.structs.replace(made, usage=usage)
    return CallRecord(side=side, role="worker", round=0, job=None, prompt=None, reply=made)


def of(*calls: CallRecord) -> RequestRecord:
    return msgspec.structs.replace(record(), calls=calls)


def test_the_parts_of_the_time_add_up_along_the_critical_path() -> None:
    request = of(
        call("remote", 0, 1, 100),
        call("local", 100, 102, 150),
        call("local", 100, 152, 180, admitted=150),
        call("remote", 200, 201, 300),
    )
    assert [c.reply.end_ns for c in critical_calls(request)] == [ns(100), ns(180), ns(300)]
    split = time_split(request)
    assert split is not None
    assert split.total_s == pytest.approx(0.3)
    assert split.remote_s == pytest.approx(0.198)
    assert split.local_s == pytest.approx(0.028)
    assert split.queueing_s == pytest.approx(0.05)
    assert split.paused_s == pytest.approx(0.02)
    assert split.harness_s == pytest.approx(0.004)
    assert split.critical_calls == 3


def test_a_call_that_was_never_sent_leaves_the_split_unknown() -> None:
    assert time_split(of(call("local", 0, None, 5))) is None
    assert time_split(of()) is None
    unended = msgspec.structs.replace(
        call("local", 0, 1, 5),
        reply=reply(0, 1, (), outcome="cut", end_ns=None),  # type: ignore[arg-type]
    )
    assert time_split(of(unended)) is None


@given(
    st.lists(
        st.lists(st.tuples(*[st.integers(0, 50)] * 3), min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_the_parts_always_add_up_to_the_whole(batches: list[list[tuple[int, int, int]]]) -> None:
    at, calls = 0, []
    for batch in batches:
        ends = []
        for index, (queue, lag, length) in enumerate(batch):
            admitted = at + queue
            ends.append(admitted + lag + length + 1)
            side: Side = "local" if index % 2 else "remote"
            calls.append(call(side, at, admitted + lag, ends[-1], admitted=admitted))
        at = max(ends)
    split = time_split(of(*calls))
    assert split is not None
    parts = split.local_s + split.remote_s + split.queueing_s + split.paused_s + split.harness_s
    assert parts == pytest.approx(split.total_s)
    assert split.total_s == seconds(ns(at))
    assert split.harness_s >= -1e-12
    assert split.critical_calls == len(batches)


def test_tokens_are_summed_side_by_side_and_never_guessed() -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=3, cached_tokens=4)
    request = of(
        call("remote", 0, 1, 5, usage=usage),
        call("remote", 5, 6, 9, usage=Usage(prompt_tokens=1, completion_tokens=1)),
        call("local", 9, 10, 12),
    )
    remote = side_use(request, "remote")
    assert (remote.calls, remote.prompt_tokens, remote.completion_tokens) == (2, 11, 4)
    assert (remote.cached_tokens, remote.reasoning_tokens) == (4, 0)
    local = side_use(request, "local")
    assert local.calls == 1
    assert local.prompt_tokens is local.completion_tokens is local.cached_tokens is None
    assert side_use(of(), "local").prompt_tokens == 0


def test_tokens_of_a_call_that_was_refused_are_none_and_of_one_that_broke_off_unknown() -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=1)
    whole = call("remote", 0, 1, 5, usage=usage)

    def ended(outcome: Outcome, usage: Usage | None) -> CallRecord:
        made = call("remote", 5, 6, 9, usage=usage)
        return msgspec.structs.replace(
            made, reply=msgspec.structs.replace(made.reply, outcome=outcome)
        )

    refused = side_use(of(whole, ended(Outcome.HTTP_ERROR, None)), "remote")
    assert (refused.calls, refused.prompt_tokens, refused.cached_tokens) == (2, 10, 0)
    broken = side_use(of(whole, ended(Outcome.TRUNCATED, usage)), "remote")
    assert broken.prompt_tokens is broken.completion_tokens is broken.cached_tokens is None


def test_an_account_tells_means_per_request_and_the_protocols_own_counts() -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=2)
    first = msgspec.structs.replace(
        of(call("remote", 0, 1, 10, usage=usage), call("local", 10, 11, 20)),
        tally={"rounds": 1, "jobs": 1},
    )
    second = msgspec.structs.replace(
        of(call("remote", 0, 1, 30, usage=usage), call("remote", 30, 31, 40, usage=usage)),
        tally={"rounds": 2},
        abstained="the supervisor failed: HTTP 500",
    )
    warm = msgspec.structs.replace(first, phase="warmup")
    told = account([warm, first, second])
    assert told["requests"] == 2
    assert told["calls"] == {"local": 0.5, "remote": 1.5}
    assert told["tokens"]["remote"]["prompt_tokens"] == 15
    assert told["tokens"]["local"]["prompt_tokens"] is None
    assert told["tally"] == {"rounds": 3, "jobs": 1}
    assert told["abstained"] == {"the supervisor failed": 1}
    assert told["time_s"]["total_s"] == pytest.approx(0.030)
    assert told["time_s"]["requests"] == 2
    assert told["harness_s_per_call"] == pytest.approx(0.001)
    assert account([warm]) == {}


def test_what_the_end_of_a_run_cut_off_is_in_no_mean_of_the_account() -> None:
    usage = Usage(prompt_tokens=10, completion_tokens=2)
    whole = msgspec.structs.replace(
        of(call("remote", 0, 1, 10, usage=usage), call("remote", 10, 11, 20, usage=usage)),
        tally={"rounds": 2},
    )
    cut = msgspec.structs.replace(
        of(call("remote", 0, 1, 5)), outcome=Outcome.CUT, tally={"rounds": 1}
    )
    unsent = msgspec.structs.replace(of(), outcome=Outcome.NOT_SENT)
    told = account([whole, cut, unsent])
    assert (told["requests"], told["cut_off"]) == (1, 2)
    assert told["calls"] == {"remote": 2}
    assert told["tokens"]["remote"]["prompt_tokens"] == 20
    assert told["tally"] == {"rounds": 2}
    assert "cut_off" not in account([whole])
    assert account([cut]) == {"cut_off": 1}
