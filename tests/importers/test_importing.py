"""Files of other programs become documents that say whose figures they are, and what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minionbench.errors import UsageError
from minionbench.importers import import_files, read_results
from minionbench.importers.importing import KINDS, document
from minionbench.schema import BenchmarkRun, CellResult, MetricResult
from tests.importers import foreign_results as foreign

RUN_ID = "benchmark_20261121_201100"
SAMPLES: dict[str, Any] = {
    "vllm": foreign.vllm(),
    "aiperf": foreign.aiperf(),
    "guidellm": foreign.guidellm(),
    "llama-bench": [foreign.llama_bench(512, 0, 900.0), foreign.llama_bench(0, 128, 40.0)],
    "lm-eval": foreign.lm_eval(),
}


def imported(tmp_path: Path, tree: Any, kind: str | None = None) -> BenchmarkRun:
    """The document of a result, read back from its file."""
    path = tmp_path / "result.json"
    path.write_text(json.dumps(tree), encoding="utf-8")
    [made] = import_files([path], tmp_path / "runs", command_line="import", kind=kind)
    return BenchmarkRun.load(made.path)


def only_cell(run: BenchmarkRun) -> CellResult:
    [candidate] = run.candidates
    [cell] = candidate.cells
    return cell


def reason(metric: MetricResult) -> str:
    assert metric.value is None
    return str(metric.error_message or metric.metadata["reason"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_is_recognised_by_what_it_holds(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "whatever.txt"
    path.write_text(json.dumps(SAMPLES[kind]))
    assert read_results(path)[0] == kind
    assert read_results(path, kind)[0] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_each_metric_of_a_cell_has_a_value_or_the_reason_why_not(kind: str, tmp_path: Path) -> None:
    run = imported(tmp_path, SAMPLES[kind])
    for candidate in run.candidates:
        assert candidate.cells
        for cell in candidate.cells:
            assert {"ttft_s", "tpot_s", "itl_s", "accuracy_pct"} <= cell.metrics.keys()
            assert cell.verdict.status == "suspect"
            for metric in cell.metrics.values():
                assert metric.value is not None or reason(metric)


def test_vllm_s_medians_are_taken_in_seconds(tmp_path: Path) -> None:
    run = imported(tmp_path, foreign.vllm())
    metrics = only_cell(run).metrics
    assert metrics["ttft_s"].value == pytest.approx(0.05)
    assert metrics["tpot_s"].value == pytest.approx(0.01)
    assert metrics["total_latency_s"].value == pytest.approx(0.68)
    about = metrics["ttft_s"].metadata
    assert about["statistic"] == "median"
    assert about["mean_s"] == pytest.approx(0.06)
    assert about["percentiles"]["p99"]["value"] == pytest.approx(0.09)
    assert (about["requests"], about["failed"], about["n"]) == (10, 0, 10)
    assert run.metadata.timestamp == "2026-11-20T14:05:09+00:00"
    assert run.metadata.run_id == "benchmark_20261120_140509"


def test_vllm_s_gaps_between_events_are_no_gaps_between_tokens(tmp_path: Path) -> None:
    metrics = only_cell(imported(tmp_path, foreign.vllm())).metrics
    assert "icl_s" in reason(metrics["itl_s"])
    assert metrics["icl_s"].value == pytest.approx(0.009)


def test_a_mean_is_never_passed_off_as_a_median(tmp_path: Path) -> None:
    tree = foreign.vllm()
    for name in ("median_ttft_ms", "p99_ttft_ms"):
        del tree[name]
    cell = only_cell(imported(tmp_path, tree))
    assert cell.metrics["ttft_s"].value == pytest.approx(0.06)
    assert cell.metrics["ttft_s"].metadata["statistic"] == "mean"
    assert cell.settings["flags"]["statistic"] == {"ttft_s": "mean"}


def test_zeros_that_stand_for_nothing_measured_are_no_times(tmp_path: Path) -> None:
    zeros = {name: 0.0 for name in foreign.vllm() if name.endswith("_ttft_ms")}
    cell = only_cell(imported(tmp_path, foreign.vllm(**zeros)))
    assert "nothing measured" in reason(cell.metrics["ttft_s"])
    tree = foreign.guidellm(time_to_first_token_ms=foreign.distribution(0.0, 0.0))
    assert "not streamed" in reason(only_cell(imported(tmp_path, tree)).metrics["ttft_s"])


def test_a_run_in_which_every_request_failed_has_errors_for_figures(tmp_path: Path) -> None:
    cell = only_cell(imported(tmp_path, foreign.vllm(completed=0, failed=10)))
    assert cell.metrics["ttft_s"].error_message == "no request succeeded"
    assert {r.rule for r in cell.verdict.reasons} == {"imported", "failures"}


def test_failures_that_a_program_leaves_out_make_its_figures_doubtful(tmp_path: Path) -> None:
    tree = foreign.vllm(completed=8)
    del tree["failed"]  # as older versions
    cell = only_cell(imported(tmp_path, tree))
    assert cell.metrics["ttft_s"].metadata["failed"] == 2
    assert any("2 of 10 requests failed" in r.message for r in cell.verdict.reasons)


@pytest.mark.parametrize(
    ("fields", "load"),
    [
        ({}, {"kind": "closed", "concurrency": 4}),
        ({"max_concurrency": None}, {"kind": "closed", "concurrency": 10}),
        ({"request_rate": float("inf")}, {"kind": "closed", "concurrency": 4}),
        ({"request_rate": 2.5}, {"kind": "open", "rate_per_s": 2.5, "arrivals": "poisson"}),
        (
            {"request_rate": 2.5, "burstiness": 0.5},
            {"kind": "open", "rate_per_s": 2.5, "arrivals": "gamma", "burstiness": 0.5},
        ),
    ],
)
def test_vllm_s_load_is_told_in_our_words(
    fields: dict[str, Any], load: dict[str, Any], tmp_path: Path
) -> None:
    found = only_cell(imported(tmp_path, foreign.vllm(**fields))).load
    for name, value in load.items():
        assert getattr(found, name) == value


def test_appended_results_of_vllm_are_a_document_each(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    lines = [foreign.vllm(), foreign.vllm(date="20261120-150000")]
    path.write_text("\n".join(map(json.dumps, lines)))
    made = import_files([path], tmp_path, command_line="")
    assert [one.run.metadata.run_id[-6:] for one in made] == ["140509", "150000"]


def test_two_results_of_one_second_both_survive(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(foreign.vllm()))
    made = import_files([path, path], tmp_path, command_line="")
    assert len({one.path for one in made}) == 2
    assert all(one.path.is_file() for one in made)


def test_aiperf_s_mean_per_request_is_neither_our_itl_nor_our_tpot(tmp_path: Path) -> None:
    run = imported(tmp_path, foreign.aiperf())
    cell = only_cell(run)
    assert "mean per request" in reason(cell.metrics["itl_s"])
    assert "mean per request" in reason(cell.metrics["tpot_s"])
    kept = cell.settings["imported"]["inter_token_latency"]
    assert kept["avg"] == 11.0
    assert cell.metrics["ttft_s"].value == pytest.approx(0.04)
    assert cell.metrics["requests_per_sec"].metadata["statistic"] == "total"
    assert cell.load.concurrency == 8
    [candidate] = run.candidates
    assert candidate.factors is not None
    assert (candidate.version, candidate.factors.deployment) == ("acme/tiny-1b", "local")
    assert run.system_info.gpu_info == "Acme GPU"
    assert run.metadata.seed == 44


def test_the_unit_that_aiperf_states_is_the_one_that_counts(tmp_path: Path) -> None:
    tree = foreign.aiperf(
        time_to_first_token=foreign.block(0.045, 0.04, "sec"),
        request_latency=foreign.block(1, 1, "fortnights"),
    )
    metrics = only_cell(imported(tmp_path, tree)).metrics
    assert metrics["ttft_s"].value == pytest.approx(0.04)
    assert "unit" in reason(metrics["total_latency_s"])


def test_aiperf_s_newer_configuration_tells_model_address_and_rate(tmp_path: Path) -> None:
    config = {
        "models": {"items": [{"name": "acme/new"}]},
        "endpoint": {"urls": ["https://llm.example.com/v1"]},
        "phases": [
            {"name": "warmup", "type": "concurrency", "concurrency": 99},
            {"name": "profiling", "type": "poisson", "rate": 4.0},
        ],
    }
    run = imported(tmp_path, foreign.aiperf(input_config=config))
    [candidate] = run.candidates
    assert candidate.version == "acme/new"
    assert candidate.factors is not None and candidate.factors.deployment == "remote"
    assert candidate.cells[0].load.rate_per_s == 4.0


def test_no_key_of_a_configuration_reaches_a_document(tmp_path: Path) -> None:
    text = imported(tmp_path, foreign.aiperf()).to_json()
    assert "sk-very-secret-key" not in text
    assert "open-sesame" not in text


def test_prompts_and_answers_do_not_reach_a_document(tmp_path: Path) -> None:
    for tree in (foreign.vllm(), foreign.guidellm()):
        assert "secret words" not in imported(tmp_path, tree).to_json()


def test_guidellm_s_time_per_token_divides_by_n_and_is_not_ours(tmp_path: Path) -> None:
    run = imported(tmp_path, foreign.guidellm())
    cell = only_cell(run)
    assert "n − 1" in reason(cell.metrics["tpot_s"])
    assert "weighted" in reason(cell.metrics["itl_s"])
    assert cell.settings["imported"]["metrics"]["time_per_output_token_ms"]["successful"][
        "median"
    ] == pytest.approx(8.0)
    assert cell.metrics["ttft_s"].value == pytest.approx(0.04)
    assert cell.metrics["total_latency_s"].value == pytest.approx(0.8)
    assert cell.metrics["requests_per_sec"].value == 1.5
    assert cell.metrics["ttft_s"].metadata["percentiles"]["p99.9"]["value"] == pytest.approx(0.12)
    assert cell.workload.seed == 42
    assert run.candidates[0].factors is not None
    assert run.candidates[0].factors.deployment == "remote"


@pytest.mark.parametrize(
    ("strategy", "load"),
    [
        ({"type_": "synchronous"}, {"kind": "closed", "concurrency": 1}),
        ({"type_": "throughput"}, {"kind": "closed", "concurrency": 30}),
        ({"type_": "poisson", "rate": 5.0}, {"rate_per_s": 5.0, "arrivals": "poisson"}),
        ({"type_": "constant", "rate": 5.0}, {"rate_per_s": 5.0, "arrivals": "constant"}),
    ],
)
def test_guidellm_s_strategies_are_loads(
    strategy: dict[str, Any], load: dict[str, Any], tmp_path: Path
) -> None:
    tree = foreign.guidellm()
    tree["benchmarks"][0]["config"]["strategy"] = strategy
    found = only_cell(imported(tmp_path, tree)).load
    for name, value in load.items():
        assert getattr(found, name) == value


def test_llama_bench_s_generation_is_a_decode_rate_and_its_reading_is_none(tmp_path: Path) -> None:
    tests = [
        foreign.llama_bench(512, 0, 900.0, 910.0),
        foreign.llama_bench(0, 128, 40.0, 42.0, 50.0),
        foreign.llama_bench(512, 128, 100.0),
        foreign.llama_bench(0, 128, 20.0, n_threads=4),
    ]
    run = imported(tmp_path, tests)
    first, second = run.candidates
    reading, generating, both = first.cells
    assert generating.metrics["tokens_per_sec"].value == 42.0
    assert generating.metrics["tokens_per_sec"].metadata["n"] == 3
    assert "reading a prompt" in reason(reading.metrics["tokens_per_sec"])
    assert "mixes" in reason(both.metrics["tokens_per_sec"])
    assert "without requests" in reason(generating.metrics["ttft_s"])
    assert first.quantization == "Q4_K_M"
    assert first.file_size_mb == 700
    assert second.factors is not None and second.factors.flags["n_threads"] == 4
    assert run.system_info.cpu_info == "Acme CPU"


def test_lm_eval_s_share_of_right_answers_is_accuracy_with_its_interval(tmp_path: Path) -> None:
    cell = only_cell(imported(tmp_path, foreign.lm_eval()))
    metric = cell.metrics["accuracy_pct"]
    assert metric.value == 75.0
    assert metric.metadata["interval"]["low"] == pytest.approx(65.2, abs=0.01)
    assert metric.metadata["n"] == 80
    assert "no speed" in reason(cell.metrics["ttft_s"])
    assert cell.settings["fewshot"] == 5


def test_two_ways_of_judging_the_same_answers_are_two_cells(tmp_path: Path) -> None:
    scores = {
        "exact_match,strict-match": 0.4,
        "exact_match_stderr,strict-match": 0.02,
        "exact_match,flexible-extract": 0.5,
        "exact_match_stderr,flexible-extract": 0.02,
    }
    run = imported(tmp_path, foreign.lm_eval(gsm8k=scores))
    found = {c.workload.name: c.metrics["accuracy_pct"].value for c in run.candidates[0].cells}
    assert found["gsm8k (strict-match)"] == 40.0
    assert found["gsm8k (flexible-extract)"] == 50.0


def test_perplexity_per_word_is_not_ours(tmp_path: Path) -> None:
    run = imported(tmp_path, foreign.lm_eval(wikitext={"word_perplexity,none": 12.0}))
    cell = next(c for c in run.candidates[0].cells if c.workload.name == "wikitext")
    assert "per word" in reason(cell.metrics["perplexity"])
    assert "word_perplexity" in reason(cell.metrics["accuracy_pct"])


def test_a_file_that_is_no_result_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for content, said in (
        (b"", "is empty"),
        (b"ttft,10\n", "not valid JSON"),
        (b"\xff\xfe\xff", "UTF-8 or UTF-16"),
        (b'{"alpha": 1, "beta": 2}', "alpha, beta"),
        (b"[]", "list of 0"),
        (b"[" * 100_000, "nested too deep"),
        (b"9" * 10_000, "not valid JSON"),
        (b"3", "JSON int"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=said):
            read_results(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_results(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="cannot be read"):
        read_results(tmp_path)


def test_a_run_document_is_not_imported_again(tmp_path: Path) -> None:
    run = imported(tmp_path, foreign.vllm())
    path = tmp_path / "again.json"
    path.write_text(run.to_json())
    with pytest.raises(UsageError, match="run document already"):
        read_results(path)


def test_a_wrong_kind_is_refused_with_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(foreign.aiperf()))
    with pytest.raises(UsageError, match="looks like one of aiperf"):
        read_results(path, "vllm")


def test_one_wrong_file_leaves_nothing_behind(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(foreign.vllm()))
    bad.write_text("{}")
    with pytest.raises(UsageError):
        import_files([good, bad], tmp_path / "runs", command_line="")
    assert not (tmp_path / "runs").exists()


def test_a_file_redirected_by_powershell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(json.dumps([foreign.llama_bench(0, 8, 5.0)]).encode("utf-16"))
    assert read_results(path)[0] == "llama-bench"


def test_long_and_deep_things_are_kept_in_part(tmp_path: Path) -> None:
    deep: Any = "bottom"
    for _ in range(50):
        deep = {"in": deep}
    tree = foreign.vllm(
        long="x" * 10_000,
        many=list(range(10_000)),
        deep=deep,
        huge=10**400,
        nan=float("nan"),
        half="\ud800",
        wide={str(n): n for n in range(5_000)},
    )
    run = imported(tmp_path, tree)
    assert len(run.to_json()) < 40_000
    kept = only_cell(run).settings["imported"]
    assert kept["many"][-1] == "(9980 items more)"
    assert kept["nan"] == "nan"
    assert kept["something_new"] == {"a": 1}


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["inf", "unit", "ms", "poisson", "2026-01-01", "20260101-000000"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["unit", "avg", "p50", "successful", "median", "strategy", "type_", "rate", "model"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_field_becomes_a_valid_document_or_an_error(
    kind: str, data: st.DataObject
) -> None:
    tree = json.loads(json.dumps(SAMPLES[kind]))
    for _ in range(3):
        here = tree
        while isinstance(here, dict | list) and here:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = data.draw(st.sampled_from(keys))
            inner = here[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                here[key] = data.draw(anything)
                break
            here = inner
    found = KINDS[kind]
    if not found.is_result(tree):
        return
    for draft in found.drafts(tree):
        try:
            run = document(draft, Path("x.json"), RUN_ID, "2026-11-21T20:11:00+00:00", "")
        except UsageError:
            continue
        assert BenchmarkRun.from_json(run.to_json()) == run
