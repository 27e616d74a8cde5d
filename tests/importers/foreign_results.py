"""Small results in the forms of other programs, with numbers of our own."""

from __future__ import annotations

from typing import Any


def vllm(**fields: Any) -> dict[str, Any]:
    """As `vllm bench serve --save-result --save-detailed` writes it."""
    return {
        "date": "20261120-140509",
        "endpoint_type": "openai-chat",
        "backend": "openai-chat",
        "label": None,
        "model_id": "acme/tiny-1b",
        "tokenizer_id": "acme/tiny-1b",
        "num_prompts": 10,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 4,
        "duration": 5.0,
        "completed": 10,
        "failed": 0,
        "total_input_tokens": 1000,
        "total_output_tokens": 640,
        "request_throughput": 2.0,
        "request_goodput": None,
        "output_throughput": 128.0,
        "total_token_throughput": 328.0,
        "input_lens": [100] * 10,
        "output_lens": [64] * 10,
        "ttfts": [0.05] * 10,
        "itls": [[0.01] * 63] * 10,
        "generated_texts": ["secret words"] * 10,
        "errors": [""] * 10,
        "mean_ttft_ms": 60.0,
        "median_ttft_ms": 50.0,
        "std_ttft_ms": 5.0,
        "p99_ttft_ms": 90.0,
        "mean_tpot_ms": 11.0,
        "median_tpot_ms": 10.0,
        "std_tpot_ms": 1.0,
        "p99_tpot_ms": 14.0,
        "mean_itl_ms": 12.0,
        "median_itl_ms": 9.0,
        "std_itl_ms": 2.0,
        "p99_itl_ms": 30.0,
        "mean_e2el_ms": 700.0,
        "median_e2el_ms": 680.0,
        "std_e2el_ms": 20.0,
        "p99_e2el_ms": 800.0,
        "something_new": {"a": 1},
        **fields,
    }


def aiperf(**fields: Any) -> dict[str, Any]:
    """As `aiperf profile` writes `profile_export_aiperf.json`."""
    return {
        "schema_version": "1.5",
        "aiperf_version": "0.13.0",
        "benchmark_id": "b-1",
        "input_config": {
            "endpoint": {
                "model_names": ["acme/tiny-1b"],
                "url": "http://localhost:8000",
                "api_key": "sk-very-secret-key",
                "headers": [["X-Door", "open-sesame"]],
            },
            "loadgen": {"concurrency": 8, "warmup_request_count": 5},
        },
        "start_time": "2026-11-20T14:05:09.123456",
        "end_time": "2026-11-20T14:06:09.123456",
        "was_cancelled": False,
        "request_throughput": {"unit": "requests/sec", "avg": 3.0},
        "output_token_throughput": {"unit": "tokens/sec", "avg": 96.0},
        "request_count": {"unit": "requests", "avg": 20.0},
        "error_request_count": {"unit": "requests", "avg": 0.0},
        "request_latency": block(500.0, 480.0),
        "time_to_first_token": block(45.0, 40.0),
        "inter_token_latency": block(11.0, 10.0),
        "run_info": {"random_seed": 44, "cli_command": "aiperf profile --model acme/tiny-1b"},
        "telemetry_data": {"endpoints": {"e": {"gpus": {"0": {"gpu_name": "Acme GPU"}}}}},
        **fields,
    }


def block(mean: float, median: float, unit: str = "ms") -> dict[str, Any]:
    """A distribution as aiperf writes it."""
    return {
        "unit": unit,
        "avg": mean,
        "p50": median,
        "p99": 2 * median,
        "std": 3.0,
        "count": 20,
        "sum": 20 * mean,
    }


def distribution(mean: float, median: float) -> dict[str, Any]:
    """A distribution as guidellm writes it."""
    found = {
        "mean": mean,
        "median": median,
        "std_dev": 1.0,
        "count": 30,
        "percentiles": {"p01": median / 2, "p50": median, "p99": 2 * median, "p999": 3 * median},
        "pdf": [[median, 1.0]] * 500,
    }
    return {"successful": found, "incomplete": found, "errored": found, "total": found}


def guidellm(**metrics: Any) -> dict[str, Any]:
    """As `guidellm benchmark` writes `benchmarks.json`."""
    return {
        "metadata": {
            "version": 1,
            "guidellm_version": "0.8.0",
            "python_version": "3.12.1",
            "platform": "Linux-6.1-x86_64",
        },
        "args": {
            "target": "http://10.0.0.7:8000",
            "model": "acme/tiny-1b",
            "backend": "openai_http",
            "data": ["prompt_tokens=256,output_tokens=128"],
            "random_seed": 42,
        },
        "benchmarks": [
            {
                "type_": "generative_benchmark",
                "config": {"strategy": {"type_": "concurrent", "streams": 3}},
                "start_time": 1_795_183_509.0,
                "duration": 20.0,
                "metrics": {
                    "request_totals": {
                        "successful": 30,
                        "incomplete": 2,
                        "errored": 0,
                        "total": 32,
                    },
                    "requests_per_second": distribution(1.5, 9.0),
                    "output_tokens_per_second": distribution(150.0, 90.0),
                    "request_latency": distribution(0.9, 0.8),
                    "time_to_first_token_ms": distribution(45.0, 40.0),
                    "time_per_output_token_ms": distribution(9.0, 8.0),
                    "inter_token_latency_ms": distribution(8.0, 7.5),
                    **metrics,
                },
                "requests": {"successful": [{"output": "secret words"}]},
            }
        ],
    }


def llama_bench(prompt: int, gen: int, *samples: float, **fields: Any) -> dict[str, Any]:
    """A test as `llama-bench -o json` writes it."""
    return {
        "build_commit": "abc1234",
        "build_number": 9000,
        "cpu_info": "Acme CPU",
        "gpu_info": "Acme GPU",
        "backends": "CUDA",
        "model_filename": "/models/tiny-q4.gguf",
        "model_type": "llama 1B Q4_K - Medium",
        "model_size": 2**20 * 700,
        "model_n_params": 1_000_000_000,
        "n_batch": 2048,
        "n_threads": 8,
        "n_gpu_layers": 99,
        "flash_attn": True,
        "n_prompt": prompt,
        "n_gen": gen,
        "n_depth": 0,
        "test_time": "2026-11-20T14:05:09Z",
        "avg_ns": 1_000_000,
        "stddev_ns": 1_000,
        "avg_ts": sum(samples) / len(samples),
        "stddev_ts": 1.0,
        "samples_ns": [1_000_000 for _ in samples],
        "samples_ts": list(samples),
        **fields,
    }


def lm_eval(**results: Any) -> dict[str, Any]:
    """As lm-evaluation-harness writes `results_….json`."""
    return {
        "results": {
            "arc_easy": {
                "alias": "arc_easy",
                "acc,none": 0.75,
                "acc_stderr,none": 0.05,
                "acc_norm,none": 0.7,
                "acc_norm_stderr,none": "N/A",
            },
            **results,
        },
        "configs": {"arc_easy": {"task": "arc_easy"}},
        "versions": {"arc_easy": 1.0},
        "n-shot": {"arc_easy": 5},
        "n-samples": {"arc_easy": {"original": 2376, "effective": 80}},
        "config": {
            "model": "hf",
            "model_args": "pretrained=acme/tiny-1b,dtype=float16",
            "batch_size": "8",
            "limit": 80.0,
            "random_seed": 0,
        },
        "date": 1_795_183_509.5,
        "lm_eval_version": "0.4.12",
        "model_name": "acme/tiny-1b",
        "total_evaluation_time_seconds": "12.5",
    }
