"""The bench of hybrid protocols: its own arithmetic, and a small run of it."""

from __future__ import annotations

import msgspec
import pytest

from bench.hybrid import busy_share, lags_ms, measure, request
from minionbench.protocols.chunking import Chunking, chunks
from minionbench.records import CallRecord
from tests.making import record, reply


def job(index: int, planned: float, admitted: float, sent: float, end: float) -> CallRecord:
    made = reply(planned, sent, (), admitted=admitted, end=end)
    return CallRecord(side="local", role="worker", round=0, job=index, prompt=None, reply=made)


def test_slots_are_busy_while_jobs_wait_as_far_as_calls_cover_them() -> None:
    calls = (job(0, 0, 0, 0, 10), job(1, 0, 0, 0, 10), job(2, 0, 10, 15, 20))
    waiting = msgspec.structs.replace(record(), calls=calls)
    assert busy_share(waiting, 2) == pytest.approx(1.0)
    late = msgspec.structs.replace(record(), calls=(calls[0], job(1, 0, 0, 5, 10), calls[2]))
    assert busy_share(late, 2) == pytest.approx(0.75)
    assert busy_share(msgspec.structs.replace(record(), calls=calls[:2]), 2) is None
    assert lags_ms([late]) == pytest.approx([5.0])


def test_a_document_has_a_chunk_for_each_job_and_one_number() -> None:
    found = chunks(request(3).document or "", Chunking("characters", 400))
    assert len(found) == 64
    assert sum("the number of the day is 1003" in chunk for chunk in found) == 1


def test_a_small_run_answers_right_and_states_every_target() -> None:
    result = measure(1)
    assert result["wrong_answers"] == []
    assert result["requests"] == 1
    assert set(result["met"]) == {"answers", "overhead", "slots", "preparing"}
    assert result["preparing"]["tokens"] == pytest.approx(120_000, rel=0.02)
