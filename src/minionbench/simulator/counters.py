"""The server's own metrics, in the names of vLLM, SGLang and llama.cpp, as Prometheus reads them.

They are made of the same true times as the log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from minionbench.simulator.log import Entry
from minionbench.simulator.settings import SimulatorSettings
from minionbench.units import NS_PER_S

_BOUNDS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(20, 40, 80, 160, 640, 2560),
)


class Histogram:
    """Durations in seconds, counted by bound."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS_S) + 1)
        self.total_s = 0.0

    def add(self, value_ns: float | None) -> None:
        """Counts one duration; None is not counted."""
        if value_ns is None:
            return
        seconds = value_ns / NS_PER_S
        self.counts[bisect_left(_BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """The histogram as Prometheus has it."""
        yield f"# TYPE {name} histogram"
        total = 0
        for bound, count in zip((*_BOUNDS_S, "+Inf"), self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}",{labels}}} {total}'
        yield f"{name}_sum{{{labels}}} {self.total_s}"
        yield f"{name}_count{{{labels}}} {total}"


class Counters:
    """What one simulator has done so far."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self.running = 0
        self.waiting = 0
        self._finished: dict[str, int] = {}
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._generated_tokens = 0
        self._prefill_s = 0.0
        self._decode_s = 0.0
        self._histograms = {
            name: Histogram() for name in ("ttft", "itl", "e2e", "queue", "prefill", "decode")
        }

    def finished(self, entry: Entry) -> None:
        """Counts a request whose answer was generated."""
        if entry.prompt_tokens is None or entry.end_ns is None:
            return
        reason = "abort" if entry.outcome == "client gone" else (entry.finish or "stop")
        self._finished[reason] = self._finished.get(reason, 0) + 1
        self._prompt_tokens += entry.prompt_tokens
        self._cached_tokens += entry.cached_tokens or 0
        generated = sum(write.reasoning_tokens + write.text_tokens for write in entry.writes)
        self._generated_tokens += generated
        histograms = self._histograms
        histograms["ttft"].add(entry.ttft_ns)
        histograms["queue"].add(entry.queued_ns)
        histograms["e2e"].add(entry.end_ns - entry.arrived_ns)
        first, last = entry.first_token_ns, entry.last_token_ns
        if first is None or last is None or entry.admitted_ns is None:
            return
        histograms["prefill"].add(first - entry.admitted_ns)
        histograms["decode"].add(last - first)
        self._prefill_s += (first - entry.admitted_ns) / NS_PER_S
        self._decode_s += (last - first) / NS_PER_S
        previous = first
        for write in entry.writes[1:]:
            count = write.reasoning_tokens + write.text_tokens
            for _ in range(count):
                histograms["itl"].add((write.written_ns - previous) / count)
            previous = write.written_ns

    def text(self) -> str:
        """Everything, in the names of the server that is posed as; vLLM's where it is none."""
        server = self._settings.server
        model = self._settings.models[0].name
        if server == "llamacpp":
            lines = self._llamacpp()
        elif server == "sglang":
            lines = self._sglang(f'model_name="{model}"')
        else:
            lines = self._vllm(f'engine="0",model_name="{model}"')
        return "\n".join(lines) + "\n"

    def _vllm(self, labels: str) -> list[str]:
        lines = []
        values = {
            "num_requests_running": ("gauge", self.running),
            "num_requests_waiting": ("gauge", self.waiting),
            "kv_cache_usage_perc": ("gauge", self._share_used()),
            "prefix_cache_queries_total": ("counter", self._prompt_tokens),
            "prefix_cache_hits_total": ("counter", self._cached_tokens),
            "prompt_tokens_total": ("counter", self._prompt_tokens),
            "generation_tokens_total": ("counter", self._generated_tokens),
        }
        for name, (kind, value) in values.items():
            lines += [f"# TYPE vllm:{name} {kind}", f"vllm:{name}{{{labels}}} {float(value)}"]
        lines.append("# TYPE vllm:request_success_total counter")
        for reason, count in self._finished.items():
            lines.append(
                f'vllm:request_success_total{{finished_reason="{reason}",{labels}}} {count}'
            )
        names = {
            "time_to_first_token_seconds": "ttft",
            "inter_token_latency_seconds": "itl",
            "e2e_request_latency_seconds": "e2e",
            "request_queue_time_seconds": "queue",
            "request_prefill_time_seconds": "prefill",
            "request_decode_time_seconds": "decode",
        }
        for name, key in names.items():
            lines += self._histograms[key].lines(f"vllm:{name}", labels)
        return lines

    def _sglang(self, labels: str) -> list[str]:
        hit_rate = self._cached_tokens / self._prompt_tokens if self._prompt_tokens else 0.0
        values = {
            "num_running_reqs": ("gauge", self.running),
            "num_queue_reqs": ("gauge", self.waiting),
            "token_usage": ("gauge", self._share_used()),
            "cache_hit_rate": ("gauge", hit_rate),
            "prompt_tokens_total": ("counter", self._prompt_tokens),
            "generation_tokens_total": ("counter", self._generated_tokens),
            "cached_tokens_total": ("counter", self._cached_tokens),
            "num_requests_total": ("counter", sum(self._finished.values())),
        }
        lines = []
        for name, (kind, value) in values.items():
            lines += [f"# TYPE sglang:{name} {kind}", f"sglang:{name}{{{labels}}} {float(value)}"]
        names = {
            "time_to_first_token_seconds": "ttft",
            "inter_token_latency_seconds": "itl",
            "e2e_request_latency_seconds": "e2e",
            "queue_time_seconds": "queue",
        }
        for name, key in names.items():
            lines += self._histograms[key].lines(f"sglang:{name}", labels)
        return lines

    def _llamacpp(self) -> list[str]:
        processed = self._prompt_tokens - self._cached_tokens
        values = {
            "prompt_tokens_total": ("counter", processed),
            "prompt_seconds_total": ("counter", self._prefill_s),
            "tokens_predicted_total": ("counter", self._generated_tokens),
            "tokens_predicted_seconds_total": ("counter", self._decode_s),
            "n_decode_total": ("counter", self._generated_tokens),
            "n_busy_slots_per_decode": ("gauge", max(1, self.running)),
            "prompt_tokens_seconds": ("gauge", processed / max(self._prefill_s, 1e-9)),
            "predicted_tokens_seconds": (
                "gauge",
                self._generated_tokens / max(self._decode_s, 1e-9),
            ),
            "requests_processing": ("gauge", self.running),
            "requests_deferred": ("gauge", self.waiting),
        }
        lines = []
        for name, (kind, value) in values.items():
            lines += [f"# TYPE llamacpp:{name} {kind}", f"llamacpp:{name} {value}"]
        return lines

    def _share_used(self) -> float:
        slots = self._settings.slots
        return 0.0 if slots is None else min(1.0, self.running / slots)
