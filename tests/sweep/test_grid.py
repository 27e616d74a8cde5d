from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench import (
    Q1_5B,
    Q3B,
    Q8B,
    Claude,
    DeepSeek,
    Hybrid,
    Local,
    OpenAI,
    Prefill,
    Quant,
    Remote,
)
from minionbench.errors import UsageError
from minionbench.exchange import Request
from minionbench.sweep.definition import Definition
from minionbench.sweep.grid import Grid, blocks, grid
from tests.study import Questions

THREE = [Questions("prefill"), Questions("balanced"), Questions("decode")]


def made(**levels: object) -> Grid:
    levels = {"workload": THREE, "num_requests": 1, "warmup": 0} | levels
    return grid(Definition.of(**levels))  # type: ignore[arg-type]


def names(cells: Grid) -> list[str]:
    return [cell.cell_id for _, cell in cells.cells]


def test_the_whole_table_of_variables_has_ninety_cells() -> None:
    cells = made(
        deployment=[Local("ollama/qwen3"), Remote(), Hybrid("ollama/qwen3")],
        reasoning=[True, False],
        quant=[Q1_5B(), Q3B(), Q8B()],
        remote_model=[DeepSeek(), OpenAI(), Claude()],
    )
    assert len(cells.cells) == len(set(names(cells))) == 3 * 2 * (3 + 3 + 9)
    assert cells.left_out == ()
    assert "72 combinations would repeat a cell" in cells.notes[0]
    assert len(cells.candidates) == 2 * (3 + 3 + 9)
    factors = [candidate.planned.factors for candidate in cells.candidates]
    local = [one for one in factors if one.deployment == "local"]
    assert {one.model for one in local} == {f"ollama/qwen3:{tag}" for tag in ("1.7b", "4b", "8b")}
    assert {one.remote_model for one in local} == {None}
    assert {one.quantization for one in factors if one.deployment == "remote"} == {None}
    assert "prefill.minion.Q3B.gpt-5.5.plain" in names(cells)


def test_what_cannot_be_is_left_out_and_named_with_the_reason() -> None:
    cells = made(
        deployment=[Local("ollama/llama3.2"), Local("reference/q4_0"), Hybrid("reference/q4_0")],
        quant=[Q8B(), None],
        reasoning=[True, None],
        remote_model="openai/gpt-4o-mini",
    )
    reasons = {why: one for one in cells.left_out for why in [one.why]}
    nothing_near = next(one for why, one in reasons.items() if "no member near 8" in why)
    assert "prefill.local.ollama-llama3.2.Q8B.reasoning" in nothing_near.cells
    assert any("reference/q4_0 does not reason" in why for why in reasons)
    assert any("gpt-4o-mini of OpenAI does not reason" in why for why in reasons)
    assert any(note.startswith("Left out: ") and "Q8B" in note for note in cells.notes)
    assert "prefill.local.ollama-llama3.2.reasoning" in names(cells)
    assert not set(names(cells)) & {name for one in cells.left_out for name in one.cells}


def test_a_workload_that_a_protocol_cannot_do_leaves_the_others() -> None:
    cells = made(
        workload=[Questions("balanced"), Prefill(input_tokens=300)],
        deployment=Hybrid("reference/q4_0", "openai/gpt-5.5", "minions", max_rounds=1),
    )
    assert names(cells) == ["prefill.minions"]
    (one,) = cells.left_out
    assert one.cells == ("balanced.minions",)
    assert "cuts a document into chunks" in one.why


def test_no_cell_at_all_is_a_mistake_of_the_user() -> None:
    with pytest.raises(UsageError, match=r"No combination .*does not reason"):
        made(deployment=Local("reference/q4_0"), reasoning=True)


def test_a_cell_names_its_levels_but_not_those_that_all_share() -> None:
    assert names(made(workload=Questions("decode"), load=[1, 4])) == [
        "decode.local.c1",
        "decode.local.c4",
    ]
    assert names(
        made(
            workload=Questions("decode"),
            quant=[Quant("q4_0"), Quant("q8_0")],
            deployment=Local("reference"),
        )
    ) == ["decode.local.q4_0", "decode.local.q8_0"]


class Counting(Questions):
    """Counts how often its requests are drawn."""

    drawn = 0

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        Counting.drawn += 1
        return super().requests(n, seed)


def test_the_requests_are_drawn_once_for_all_cells() -> None:
    cells = made(workload=Counting("decode"), load=[1, 2, 3])
    assert Counting.drawn == 1
    asked = {tuple(request.item_id for request in cell.requests) for _, cell in cells.cells}
    assert len(asked) == 1


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(1, 6), st.integers())
def test_each_block_holds_every_cell_once(cells: int, repeats: int, seed: int) -> None:
    order = blocks(cells, repeats, seed)
    assert Counter(order) == Counter((p, r) for p in range(cells) for r in range(repeats))
    assert [repeat for _, repeat in order] == sorted(repeat for _, repeat in order)
    assert order == blocks(cells, repeats, seed)


def test_the_order_is_another_in_each_block_and_with_each_seed() -> None:
    order = [place for place, _ in blocks(20, 2, 0)]
    assert order[:20] != order[20:] != list(range(20))
    assert blocks(20, 2, 0) != blocks(20, 2, 1)
