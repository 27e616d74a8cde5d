"""Records are written once and read back as they were; a killed run loses at most a cut line."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.errors import SchemaError
from minionbench.exchange import (
    Arrival,
    Call,
    EngineTimings,
    Failure,
    Limits,
    Message,
    Outcome,
    Reference,
    Reply,
    Usage,
)
from minionbench.records import (
    RECORD_VERSION,
    CallRecord,
    RequestRecord,
    call_record,
    decode_journal,
    decode_record,
    encode_record,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
count = st.integers(0, 2**53)
instant = st.integers(0, 2**63 - 1)
maybe_instant = st.none() | instant
number = st.floats(allow_nan=False, allow_infinity=False)

failures = st.builds(
    Failure,
    message=text,
    http_status=st.none() | st.integers(100, 599),
    code=st.none() | text,
    retry_after_s=st.none() | number,
)
replies = st.builds(
    Reply,
    outcome=st.sampled_from(Outcome),
    failure=st.none() | failures,
    text=st.none() | text,
    reasoning=st.none() | text,
    finish_reason=st.none() | text,
    model=st.none() | text,
    usage=st.none()
    | st.builds(Usage, prompt_tokens=st.none() | count, completion_tokens=st.none() | count),
    engine=st.none()
    | st.builds(EngineTimings, cached_tokens=st.none() | count, prompt_ms=st.none() | number),
    planned_ns=instant,
    admitted_ns=maybe_instant,
    connect_start_ns=maybe_instant,
    sent_ns=maybe_instant,
    first_byte_ns=maybe_instant,
    event_ns=st.lists(instant, max_size=5).map(tuple),
    end_ns=maybe_instant,
    replaced_connections=st.integers(0, 3),
    arrival=st.none()
    | st.builds(
        Arrival,
        reads=count,
        kernel_reads=count,
        merged_events=count,
        first_merged=st.booleans(),
        lateness_max_ns=maybe_instant,
    ),
)
call_records = st.builds(
    CallRecord,
    side=st.sampled_from(["local", "remote"]),
    role=st.sampled_from(["assistant", "supervisor", "worker"]),
    round=st.integers(0, 9),
    job=st.none() | st.integers(0, 9),
    prompt=st.none() | st.lists(st.tuples(text, text), max_size=3).map(tuple),
    reply=replies,
)
records = st.builds(
    RequestRecord,
    cell=text,
    index=st.integers(0, 10**6),
    item_id=text,
    phase=st.sampled_from(["warmup", "measured"]),
    repeat=st.integers(0, 9),
    planned_ns=instant,
    outcome=st.sampled_from(Outcome),
    failure=st.none() | failures,
    calls=st.lists(call_records, max_size=3).map(tuple),
    answer=st.none() | text,
    answer_call=st.none() | st.integers(0, 2),
    abstained=st.none() | text,
    reference=st.none()
    | st.builds(
        Reference,
        kind=st.sampled_from(["number", "text", "choice"]),
        value=text,
        unit=st.none() | text,
        aliases=st.lists(text, max_size=2).map(tuple),
    ),
    input_tokens=count,
    forced_output_tokens=st.none() | st.integers(1, 9_999),
)


def record(index: int = 0) -> RequestRecord:
    return RequestRecord(
        cell="c",
        index=index,
        item_id="i",
        phase="measured",
        repeat=0,
        planned_ns=1,
        outcome=Outcome.OK,
        calls=(),
        input_tokens=3,
    )


@given(records)
def test_a_record_comes_back_as_it_was_written(written: RequestRecord) -> None:
    line = encode_record(written)
    assert decode_record(line) == written
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


@given(records, st.data())
def test_of_a_record_that_was_cut_nothing_is_believed(
    written: RequestRecord, data: st.DataObject
) -> None:
    line = encode_record(written)
    length = data.draw(st.integers(1, len(line) - 2))
    with pytest.raises(SchemaError):
        decode_record(line[:length])


@given(st.binary() | st.text().map(str.encode))
def test_a_line_that_is_no_record_is_a_schema_error(line: bytes) -> None:
    with pytest.raises(SchemaError):
        decode_record(line)


@pytest.mark.parametrize(
    "line", [b'{"cell":"\xff"}', b'{"of old":' + b"[" * 100_000, b'{"of old":"\\ud800"}']
)
def test_a_hostile_line_is_a_schema_error_too(line: bytes) -> None:
    with pytest.raises(SchemaError):
        decode_record(line)


def test_a_record_without_one_of_its_fields_is_refused() -> None:
    fields = msgspec.to_builtins(record())
    for name in ("cell", "outcome", "calls", "planned_ns"):
        incomplete = {key: value for key, value in fields.items() if key != name}
        with pytest.raises(SchemaError, match=name):
            decode_record(msgspec.json.encode(incomplete))


def test_the_last_line_of_a_journal_may_be_cut_off() -> None:
    lines = [encode_record(record(i)) for i in range(3)]
    whole = list(decode_journal(lines))
    assert [r.index for r in whole] == [0, 1, 2]
    for cut in range(1, len(lines[2])):
        left = list(decode_journal([*lines[:2], lines[2][:cut]]))
        assert [r.index for r in left] == [0, 1]


def test_a_broken_line_inside_a_journal_is_an_error() -> None:
    lines = [encode_record(record(0)), b'{"cell": "c"\n', encode_record(record(2))]
    with pytest.raises(SchemaError, match="not a request record"):
        list(decode_journal(lines))


def test_a_record_written_behind_a_cut_line_is_an_error_and_not_lost_in_silence() -> None:
    lines = [encode_record(record(0)), b'{"cell": "c' + encode_record(record(1))]
    with pytest.raises(SchemaError):
        list(decode_journal(lines))


def test_an_empty_journal_holds_no_records() -> None:
    assert list(decode_journal([])) == []


def test_a_record_tells_the_version_of_its_form() -> None:
    assert decode_record(encode_record(record())).version == RECORD_VERSION


def test_only_the_outcome_ok_is_a_success() -> None:
    ok = {outcome for outcome in Outcome if msgspec.structs.replace(record(), outcome=outcome).ok}
    assert ok == {Outcome.OK}


def test_texts_are_left_out_where_they_are_not_to_be_kept() -> None:
    call = Call(
        side="remote",
        messages=(Message("system", "be brief"), Message("user", "why?")),
        limits=Limits(),
        role="worker",
        round=2,
        job=7,
    )
    reply = Reply(outcome=Outcome.OK, text="because", reasoning="hm", planned_ns=1, event_ns=(4, 5))
    kept = call_record(call, reply, keep_text=True)
    assert kept.prompt == (("system", "be brief"), ("user", "why?"))
    assert kept.reply is reply
    assert (kept.side, kept.role, kept.round, kept.job) == ("remote", "worker", 2, 7)
    bare = call_record(call, reply, keep_text=False)
    assert bare.prompt is None
    assert (bare.reply.text, bare.reply.reasoning) == (None, None)
    assert bare.reply.event_ns == (4, 5)
    for word in ("brief", "why", "because", "hm"):
        assert word.encode() not in msgspec.json.encode(bare)


def test_a_journal_from_before_protocols_still_loads() -> None:
    """Fields that came later have their defaults."""
    line = (
        b'{"cell":"c","index":0,"item_id":"i","phase":"measured","repeat":0,"planned_ns":5,'
        b'"outcome":"ok","calls":[{"side":"local","role":"assistant","round":0,"job":null,'
        b'"prompt":null,"reply":{"outcome":"ok","planned_ns":5,"event_ns":[7]}}],'
        b'"answer":"a","answer_call":0,"input_tokens":3,"version":1}\n'
    )
    record = decode_record(line)
    assert (record.answer_is_part, record.answer_at, record.tally) == (False, None, None)
    assert record.calls[0].attempt == 0
    assert record.calls[0].reply.visible_ends == ()
    assert decode_record(encode_record(record)) == record
