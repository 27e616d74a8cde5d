"""Prefill, Balanced, Decode and data sets as workloads, found by name."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from minionbench.errors import UsageError
from minionbench.workloads import Balanced, Decode, Prefill, Workload
from minionbench.workloads.builtin import TextWorkload
from minionbench.workloads.catalog import BUILT_IN, workload
from minionbench.workloads.tokenizer import reference_tokenizer

BUILT_IN_WORKLOADS = [(Prefill, 1200), (Balanced, 750), (Decode, 300)]


def question_file(folder: Path, lines: int = 5) -> Path:
    path = folder / "gsm.jsonl"
    rows = [{"question": f"What is {n}?", "answer": f"#### {n}"} for n in range(lines)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize(("kind", "size"), BUILT_IN_WORKLOADS)
def test_a_built_in_workload_has_its_documented_defaults(
    kind: type[TextWorkload], size: int
) -> None:
    made: Workload = kind()  # type: ignore[call-arg]
    name = kind.__name__.lower()
    assert (made.name, made.version, made.source) == (name, 1, f"builtin:{name}@1")
    (request,) = made.requests(1, 0)
    assert abs(request.input_tokens - size) <= 0.02 * size
    assert request.item_id == f"{name}@1/0/0/{size}"
    assert request.source == made.source
    assert request.limits.temperature == 0.0 and request.limits.seed == 0
    assert request.limits.forced_output_tokens is None
    assert request.reference is not None


@pytest.mark.parametrize(("kind", "size"), BUILT_IN_WORKLOADS)
def test_the_limit_of_an_answer_leaves_room_for_the_right_one(
    kind: type[TextWorkload], size: int
) -> None:
    module = {"Prefill": "finance", "Balanced": "chat", "Decode": "maths"}[kind.__name__]
    example = __import__(f"minionbench.workloads.{module}", fromlist=["example"]).example
    count = reference_tokenizer().count
    (request,) = kind().requests(1, 0)  # type: ignore[call-arg]
    cap = request.limits.max_output_tokens
    longest = max(count(example(1, index, count, size).solution) for index in range(200))
    assert cap is not None and longest * 1.25 <= cap


@pytest.mark.parametrize(("kind", "size"), BUILT_IN_WORKLOADS)
def test_request_i_does_not_depend_on_n(kind: type[TextWorkload], size: int) -> None:
    made = kind()  # type: ignore[call-arg]
    many = list(made.requests(6, 3))
    assert list(made.requests(2, 3)) == many[:2]
    assert len({request.messages for request in many}) == 6
    assert list(made.requests(0, 3)) == []


def test_prefill_gives_a_hybrid_its_document_and_question() -> None:
    (request,) = Prefill(input_tokens=400).requests(1, 1)
    assert request.document is not None and request.question is not None
    assert request.messages[0].content == f"{request.document}\n\n{request.question}"
    (conversation,) = Balanced().requests(1, 1)
    assert conversation.document is None and conversation.question is None


def test_lengths_can_be_chosen() -> None:
    (request,) = Decode(input_tokens=1000, output_tokens=50).requests(1, 0)
    assert abs(request.input_tokens - 1000) <= 20
    assert request.limits.forced_output_tokens == request.limits.max_output_tokens == 50
    (request,) = Decode(max_output_tokens=99).requests(1, 0)
    assert request.limits.max_output_tokens == 99


def test_faulty_lengths_are_refused_before_anything_is_run() -> None:
    for wrong in ({"input_tokens": 10}, {"output_tokens": 0}, {"max_output_tokens": 0}):
        with pytest.raises(UsageError):
            Prefill(**wrong)
    with pytest.raises(UsageError, match="-1 requests"):
        Prefill().requests(-1, 0)


GOLDEN = {
    "prefill": "dd4db29e900e35db9d5f0af8eaf27e7d79e8f0293828eba951945d1276b7ba03",
    "balanced": "7813b08c20b902a6d0aec536e814f907dcc9313828548b64a7b2b0115b29c6eb",
    "decode": "8511cdff02aed9958e2a8d9f979104b6cb10ce675e51679cba4235e91eb90437",
}
"""SHA-256 of item 0 of seed 0 at the default length.

If one of these changes, texts of the same id have changed: raise the generator's VERSION, and only
then write the new hash here.
"""


@pytest.mark.parametrize("name", list(GOLDEN))
def test_the_text_of_an_id_is_the_same_for_ever(name: str) -> None:
    (request,) = workload(name).requests(1, 0)
    reference = request.reference
    assert reference is not None
    texts = [request.item_id, reference.kind, reference.value, str(reference.unit)]
    texts += [text for message in request.messages for text in (message.role, message.content)]
    assert hashlib.sha256("\0".join(texts).encode()).hexdigest() == GOLDEN[name]


def test_a_data_set_can_take_the_place_of_the_built_in_text(tmp_path: Path) -> None:
    path = question_file(tmp_path)
    for made in (Decode(dataset=path), workload("decode", dataset=f"gsm8k:{path}")):
        assert made.name == "decode" and made.source.startswith("gsm8k@")
        requests = list(made.requests(5, 0))
        assert sorted(str(r.reference and r.reference.value) for r in requests) == list("01234")
        assert all(request.source == made.source for request in requests)
    with pytest.raises(UsageError, match="has 5 problems, but 6 requests"):
        Decode(dataset=path).requests(6, 0)
    with pytest.raises(UsageError, match="their own lengths"):
        Decode(dataset=path, input_tokens=500).requests(1, 0)


def test_a_data_set_can_be_a_workload_of_its_own(tmp_path: Path) -> None:
    path = question_file(tmp_path)
    made = workload("GSM8K", dataset=path, output_tokens=20)
    assert (made.name, made.version) == ("gsm8k", 1)
    (request,) = made.requests(1, 4)
    assert request.limits.forced_output_tokens == 20 and request.limits.seed == 4


def test_every_built_in_name_is_found_in_any_case() -> None:
    for name, kind in BUILT_IN.items():
        assert type(workload(name)) is type(workload(name.upper())) is kind
    sized = workload("prefill", input_tokens=500, output_tokens=3)
    (request,) = sized.requests(1, 0)
    assert request.item_id.endswith("/500") and request.limits.forced_output_tokens == 3


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'prefil'.*prefill, balanced, decode.*financebench"):
        workload("prefil")


def test_a_data_set_name_needs_a_file_of_that_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="math needs your copy of the data set"):
        workload("math")
    path = question_file(tmp_path)
    with pytest.raises(UsageError, match="named as math, but it looks like GSM8K"):
        workload("math", dataset=path)
    with pytest.raises(UsageError, match="math was asked for, but the data set is gsm8k"):
        workload("math", dataset=f"gsm8k:{path}")


def test_importing_the_package_loads_none_of_its_modules() -> None:
    code = (
        "import sys, minionbench.workloads as w;"
        "loaded = [m for m in sys.modules if m.startswith('minionbench.workloads.')];"
        "assert not loaded, loaded;"
        "assert w.Prefill.__name__ == 'Prefill';"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_workload_shows_where_its_text_is_from() -> None:
    assert repr(Decode()) == "Decode(source='builtin:decode@1', input_tokens=300)"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    import minionbench.workloads

    with pytest.raises(AttributeError, match="nothing"):
        _ = minionbench.workloads.nothing
