"""A server's own account of its work, from two pages."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minionbench.meters.server_metrics import (
    Account,
    Histogram,
    UnreadablePage,
    cache_share,
    figures,
    read_page,
)

TTFT = "vllm:time_to_first_token_seconds"
E2E = "vllm:e2e_request_latency_seconds"
INF = math.inf


def histogram(name: str, *up_to: int, total: float, labels: str = 'model_name="m"') -> str:
    """Buckets up to 0.1 s, 0.5 s and without end."""
    lines = [f"# TYPE {name} histogram"]
    for bound, n in zip(("0.1", "0.5", "+Inf"), up_to, strict=True):
        lines.append(f'{name}_bucket{{le="{bound}",{labels}}} {n}.0')
    lines += [f"{name}_count{{{labels}}} {up_to[-1]}.0", f"{name}_sum{{{labels}}} {total}"]
    return "\n".join(lines) + "\n"


def vllm(requests: int, *, prompt: int, hits: int = 0, ttft: str = "") -> str:
    return (
        "# HELP vllm:prompt_tokens_total Number of prefill tokens processed.\n"
        f'vllm:prompt_tokens_total{{engine="0",model_name="m"}} {prompt}.0\n'
        f'vllm:prefix_cache_queries_total{{engine="0",model_name="m"}} {prompt}.0\n'
        f'vllm:prefix_cache_hits_total{{engine="0",model_name="m"}} {hits}.0\n'
        'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25\n'
        + ttft
        + histogram(E2E, requests, requests, requests, total=requests * 0.05)
    )


def between(before: str, after: str, model: str | None = "m") -> Account:
    account = read_page(after, model).since(read_page(before, model))
    assert account is not None
    return account


def test_what_was_counted_between_two_pages_is_told_in_our_words() -> None:
    before = vllm(3, prompt=100, ttft=histogram(TTFT, 2, 3, 3, total=0.4))
    after = vllm(7, prompt=500, hits=40, ttft=histogram(TTFT, 2, 6, 7, total=2.4))
    told = figures(between(before, after))
    assert told["requests"] == 4
    assert (told["prompt_tokens"], told["cached_tokens"]) == (400, 40)
    assert told["ttft_s"]["n"] == 4
    assert told["ttft_s"]["mean"] == pytest.approx(0.5)
    assert told["ttft_s"]["p50"] == {"above": 0.1, "up_to": 0.5}
    assert told["ttft_s"]["p90"] == {"above": 0.5, "up_to": None}
    assert "itl_s" not in told
    assert "note" not in told


def test_requests_of_others_are_noted() -> None:
    account = between(vllm(0, prompt=0), vllm(5, prompt=9))
    assert figures(account, calls=3)["note"] == "2 of the requests were somebody else's"
    assert "note" not in figures(account, calls=5)


def test_the_older_name_of_a_figure_is_known() -> None:
    page = histogram("vllm:time_per_output_token_seconds", 1, 2, 2, total=0.3)
    assert figures(between("", page))["itl_s"]["mean"] == pytest.approx(0.15)


def test_llama_cpp_tells_means_only() -> None:
    page = (
        "llamacpp:prompt_tokens_total {}\nllamacpp:prompt_seconds_total {}\n"
        "llamacpp:tokens_predicted_total {}\nllamacpp:tokens_predicted_seconds_total {}\n"
        "llamacpp:requests_processing 1\n"
    )
    told = figures(between(page.format(100, 1.5, 10, 0.5), page.format(300, 3.5, 60, 1.5)))
    assert told == {
        "prefill_s_per_token": {"n": 200, "mean": 0.01},
        "itl_s": {"n": 50, "mean": 0.02},
        "prompt_tokens": 200,
        "output_tokens": 50,
    }


def test_sglang_and_tgi_are_known() -> None:
    page = histogram("sglang:queue_time_seconds", 4, 4, 4, total=0.2, labels='model_name="m"')
    page += 'sglang:cached_tokens_total{model_name="m"} 7\n'
    told = figures(between("", page))
    assert told["queue_s"]["mean"] == pytest.approx(0.05)
    assert told["cached_tokens"] == 7
    page = histogram("tgi_request_duration", 1, 2, 3, total=9, labels='x="y"')
    assert figures(between("", page))["requests"] == 3


def test_workers_are_added_up() -> None:
    page = "".join(
        histogram(TTFT, 1, 2, 3, total=1.0, labels=f'engine="{i}",model_name="m"') for i in (0, 1)
    )
    assert read_page(page).histograms[TTFT] == Histogram(6, 2.0, ((0.1, 2), (0.5, 4), (INF, 6)))


def test_another_model_of_the_server_is_left_out() -> None:
    page = histogram(TTFT, 1, 1, 1, total=0.05)
    page += histogram(TTFT, 0, 0, 9, total=99, labels='model_name="other"')
    assert read_page(page, "m").histograms[TTFT].n == 1
    assert read_page(page, "unknown to it").histograms[TTFT].n == 10


def test_a_restart_in_between_leaves_nothing_to_tell() -> None:
    assert read_page(vllm(1, prompt=1)).since(read_page(vllm(5, prompt=9))) is None
    fewer = read_page("vllm:prompt_tokens_total 3\n")
    assert fewer.since(read_page("vllm:prompt_tokens_total 4\n")) is None


def test_two_stretches_together_are_as_one() -> None:
    pages = [vllm(n, prompt=100 * n, ttft=histogram(TTFT, n, n, 2 * n, total=n)) for n in (1, 3, 6)]
    parts = between(pages[0], pages[1]).plus(between(pages[1], pages[2]))
    assert parts == between(pages[0], pages[2])


def test_a_page_that_knows_none_of_the_names_tells_nothing() -> None:
    assert figures(between("", "go_goroutines 7\n")) == {}
    assert figures(between("", "")) == {}


def test_a_histogram_without_its_sum_or_with_workers_that_differ_tells_nothing() -> None:
    page = histogram(TTFT, 1, 2, 3, total=1.0)
    assert TTFT in read_page(page).histograms
    without = "".join(line for line in page.splitlines(True) if "_sum" not in line)
    assert TTFT not in read_page(without).histograms
    differing = f'{TTFT}_bucket{{le="9",engine="1"}} 4\n'
    assert TTFT not in read_page(page + differing).histograms


def test_nothing_observed_has_no_mean_and_no_quantile() -> None:
    none = Histogram(0, 0.0, ((0.1, 0), (INF, 0)))
    assert none.mean is None
    assert none.quantile_bounds(0.5) is None
    assert Histogram(1, 1.0, ()).quantile_bounds(0.5) is None


def test_the_form_is_read_as_it_is_written() -> None:
    page = (
        "  \n# EOF\n"
        'a_total{x="1,}\\"\\\\",y="\\n"} 1 1700000000000\n'
        "b_total\t+Inf\nc_total NaN\nd_total 1e3 # {} 1\n"
    )
    assert read_page(page).counts == {"a_total": 1, "d_total": 1000}


@pytest.mark.parametrize(
    "line",
    [
        "<html>",
        "a b",
        "a{x=1} 2",
        'a{x="1"',
        'a{x="1";} 2',
        "1a 2",
        "a 0x10",
        "a 1 2 3",
        'a_bucket{le="much"} 1',
        'a_bucket{le="1"} NaN',
    ],
)
def test_what_is_not_in_that_form_is_refused(line: str) -> None:
    with pytest.raises(UnreadablePage):
        read_page(f"ok_total 1\n{line}\n")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        figures(between(text, text))
    except (UnreadablePage, AssertionError):
        return


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_lies_between_its_bounds(values: list[float], q: float) -> None:
    bounds = (0.1, 0.5, INF)
    counted = Histogram(
        len(values), sum(values), tuple((b, sum(v <= b for v in values)) for b in bounds)
    )
    found = counted.quantile_bounds(q)
    assert found is not None
    above, up_to = found
    true = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    assert above <= true <= up_to


@pytest.mark.parametrize(
    "line",
    [
        'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25',
        'vllm:gpu_cache_usage_perc{model_name="m"} 0.25',
        'sglang:token_usage{engine_type="unified",model_name="m",tp_rank="0"} 0.25',
        "llamacpp:kv_cache_usage_ratio 0.25",
    ],
)
def test_the_use_of_the_cache_is_found_among_everything_else(line: str) -> None:
    page = vllm(3, prompt=9).replace("vllm:kv_cache", "other:kv_cache")
    assert cache_share(page, "m") is None
    assert cache_share(page + "# TYPE x gauge\n" + line + "\n", "m") == 0.25
    assert cache_share(line, "m") == 0.25


def test_of_several_workers_the_fullest_counts_and_other_models_do_not() -> None:
    page = (
        'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25\n'
        'vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5\n'
        'vllm:kv_cache_usage_perc{engine="0",model_name="n"} 0.9\n'
    )
    assert cache_share(page, "m") == 0.5
    assert cache_share(page) == 0.9


@pytest.mark.parametrize("told", ["NaN", "1.5", "-0.1", "+Inf", "x", "", '0.2" 3'])
def test_what_is_no_share_of_a_cache_is_none(told: str) -> None:
    assert cache_share(f"sglang:token_usage {told}\n") is None
    assert cache_share(f"sglang:token_usage {told}\nsglang:token_usage 0.5\n") is None


def test_a_name_that_only_begins_alike_is_another_one() -> None:
    assert cache_share("sglang:token_usage_total 0.5\n# sglang:token_usage 0.5\n") is None
