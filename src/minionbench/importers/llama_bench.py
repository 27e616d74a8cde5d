"""Results of llama-bench, `-o json` or `-o jsonl`.

Source: llama.cpp's tools/llama-bench. Each test reads `n_prompt` tokens, or generates `n_gen`, or
both, some times over; `samples_ts` are its rates in tokens per second. It runs in the engine: there
is no request, no first token and no answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from minionbench.importers.draft import Draft, DraftCandidate, DraftCell, Figure, closed, rest
from minionbench.importers.foreign import Object, count, from_text, number, text
from minionbench.schema import SystemInfo
from minionbench.stats import median
from minionbench.units import BYTES_PER_MB

TOOL = "llama-bench"

OF_A_TEST = (
    "n_prompt",
    "n_gen",
    "n_depth",
    "test_time",
    "avg_ns",
    "stddev_ns",
    "avg_ts",
    "stddev_ts",
    "samples_ns",
    "samples_ts",
)
"""Fields that differ from test to test of the same model under the same settings."""
OF_THE_MACHINE = ("cpu_info", "gpu_info", "build_commit", "build_number")
OF_THE_MODEL = ("model_filename", "model_type", "model_size", "model_n_params")

NO_REQUEST = "llama-bench asks nothing of a server: it runs the engine itself, without requests"
DEFINITION = (
    "n_gen/time of n_gen steps within the engine, without sampling, server and stream; median of "
    "the tests"
)


def is_result(tree: Any) -> bool:
    """Whether a piece of JSON is such a result."""
    tests = tree if isinstance(tree, list) else [tree]
    return bool(tests) and all(
        isinstance(one, dict) and {"avg_ts", "n_gen", "n_prompt"} <= one.keys() for one in tests
    )


def drafts(tree: Any) -> list[Draft]:
    """The run of a file: a candidate for each model with its settings, a cell for each test."""
    tests: list[Object] = tree if isinstance(tree, list) else [tree]
    by_candidate: dict[str, list[Object]] = {}
    for test in tests:
        key = json.dumps(rest(test, OF_A_TEST), sort_keys=True, default=str)
        by_candidate.setdefault(key, []).append(test)
    times = [found for test in tests if (found := from_text(test.get("test_time")))]
    build = tests[0]
    number_ = count(build.get("build_number"))
    version = None if number_ is None else f"b{number_}"
    if commit := text(build.get("build_commit")):
        version = f"{version} ({commit})" if version else commit
    return [
        Draft(
            tool=TOOL,
            version=version,
            started=min(times, default=None),
            system=SystemInfo(
                cpu_info=text(build.get("cpu_info")), gpu_info=text(build.get("gpu_info"))
            ),
            candidates=[_candidate(of, version) for of in by_candidate.values()],
        )
    ]


def _candidate(tests: Sequence[Object], version: str | None) -> DraftCandidate:
    one = tests[0]
    path = text(one.get("model_filename"))
    size = number(one.get("model_size"))
    return DraftCandidate(
        model=(path or "unknown").replace("\\", "/").rpartition("/")[2] or "unknown",
        model_path=path,
        engine=f"llama.cpp {version}" if version else "llama.cpp",
        deployment="local",
        quantization=_format(text(one.get("model_type"))),
        file_size_mb=None if size is None or size < 0 else size / BYTES_PER_MB,
        parameter_count=count(one.get("model_n_params")),
        flags=rest(one, [*OF_A_TEST, *OF_THE_MACHINE, *OF_THE_MODEL]),
        cells=[_cell(test) for test in tests],
    )


def _format(kind: str | None) -> str | None:
    """The weights' format, as the last words of `llama 7B Q4_K - Medium` have it."""
    if kind is None:
        return None
    words = [word for word in kind.split() if "_" in word or word in ("F16", "F32", "BF16")]
    if not words:
        return None
    size = {"- Small": "_S", "- Medium": "_M", "- Large": "_L"}
    return words[-1] + next((end for name, end in size.items() if kind.endswith(name)), "")


def _cell(test: Object) -> DraftCell:
    prompt, gen, depth = (count(test.get(n)) or 0 for n in ("n_prompt", "n_gen", "n_depth"))
    name = "+".join(
        part for part in (f"pp{prompt}" if prompt else "", f"tg{gen}" if gen else "") if part
    )
    name = (name or "empty") + (f"@d{depth}" if depth else "")
    listed = test.get("samples_ts")
    samples = (
        [v for one in listed if (v := number(one)) is not None and v > 0]
        if isinstance(listed, list)
        else []
    )
    cell = DraftCell(
        workload=name,
        source=f"llama-bench:{name}",
        load=closed(1),
        items=1,
        settings={
            "n_prompt": prompt,
            "n_gen": gen,
            "n_depth": depth,
            "tests": len(samples),
            "input_tokens": [prompt, prompt],
            "forced_output_tokens": [gen, gen],
        },
        stated={name: test.get(name) for name in OF_A_TEST if name in test},
    )
    cell.missing = dict.fromkeys(
        (
            "ttft_s",
            "ttfo_s",
            "total_latency_s",
            "response_time_s",
            "tpot_s",
            "itl_s",
            "icl_s",
            "requests_per_sec",
            "output_tokens_per_sec",
            "goodput_per_sec",
        ),
        NO_REQUEST,
    )
    cell.missing["accuracy_pct"] = "llama-bench judges no answers"
    mean = number(test.get("avg_ts"))
    if prompt or not gen:
        cell.missing["tokens_per_sec"] = (
            "the rate of this test is that of reading a prompt"
            if not gen
            else "the rate of this test mixes reading a prompt with generating"
        )
    elif samples:
        cell.figures["tokens_per_sec"] = Figure(
            median(samples),
            "median",
            "samples_ts",
            n=len(samples),
            more={"definition": DEFINITION, "mean": mean, "std": number(test.get("stddev_ts"))},
        )
    elif mean is not None and mean > 0:
        cell.figures["tokens_per_sec"] = Figure(
            mean, "mean", "avg_ts", more={"definition": DEFINITION}
        )
    return cell
