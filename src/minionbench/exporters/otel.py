"""A run as OpenTelemetry metrics, by OTLP over HTTP.

Two kinds: histograms of the single calls under the names of the semantic conventions, drawn from
the records; and a gauge for each figure of the document. Points carry the instants of the run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minionbench import __version__
from minionbench.errors import SetupError
from minionbench.exporters.figures import Subject, load_words, subjects
from minionbench.exporters.posting import Server
from minionbench.metrics.request import tpot_s, ttft_s
from minionbench.metrics.table import METRICS
from minionbench.schema import BenchmarkCandidate, BenchmarkRun, CellResult
from minionbench.store import read_all_records
from minionbench.units import NS_PER_S, seconds

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricsData

    from minionbench.records import CallRecord, RequestRecord

PATH = "/v1/metrics"
CONVENTIONS = "1.44.0"
"""Version of the semantic conventions whose names are used; those for GenAI still change."""
SCHEMA_URL = f"https://opentelemetry.io/schemas/{CONVENTIONS}"

_CHUNKS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18),
    *(0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.75, 1.0, 2.0, 5.0),
)


class Instrument(NamedTuple):
    """One histogram of the conventions."""

    name: str
    unit: str
    description: str
    buckets: tuple[float, ...]
    """The bounds that the conventions advise."""


DURATION = Instrument(
    "gen_ai.client.operation.duration",
    "s",
    "GenAI operation duration.",
    tuple(0.01 * 2**n for n in range(14)),
)
TOKENS = Instrument(
    "gen_ai.client.token.usage",
    "{token}",
    "Number of input and output tokens used.",
    tuple(4.0**n for n in range(14)),
)
FIRST_CHUNK = Instrument(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "Time to receive the first chunk of a streamed response.",
    _CHUNKS,
)
OUTPUT_CHUNK = Instrument(
    "gen_ai.client.operation.time_per_output_chunk",
    "s",
    "Time per output chunk after the first one.",
    _CHUNKS,
)
FIRST_TOKEN = Instrument(
    "gen_ai.server.time_to_first_token",
    "s",
    "Time to generate first token for successful responses; here as the client sees it.",
    (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
PER_TOKEN = Instrument(
    "gen_ai.server.time_per_output_token",
    "s",
    "Time per output token after the first, successful responses; here as the client sees it.",
    (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
INSTRUMENTS = (DURATION, TOKENS, FIRST_CHUNK, OUTPUT_CHUNK, FIRST_TOKEN, PER_TOKEN)
"""All names of the conventions that are used, in one place."""

UNITS = {"MB": "MiBy", "Wh": "W.h", "USD": "{USD}", "nat": "{nat}"}
"""Our units in UCUM, where they differ."""

Labels = tuple[tuple[str, str], ...]


class _Histogram:
    """Counts of one instrument for one set of attributes."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.min = float("inf")
        self.max = float("-inf")

    def add(self, value: float) -> None:
        # A bucket holds what is above its lower bound and not above its upper one.
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
        self.min, self.max = min(self.min, value), max(self.max, value)


class Sent(NamedTuple):
    """What was sent."""

    histograms: int
    gauges: int
    calls: int
    """Calls that the histograms count; 0 where no records are kept."""


def require_opentelemetry() -> None:
    """Raises SetupError where the packages of OpenTelemetry are not installed."""
    from importlib.util import find_spec

    try:
        there = find_spec("opentelemetry.exporter.otlp.proto.common") and find_spec(
            "opentelemetry.sdk"
        )
    except ModuleNotFoundError:
        there = None
    if there is None:
        raise SetupError(
            "OpenTelemetry needs packages that are not installed: pip install 'minionbench[otel]'. "
            "Prometheus text (--to prometheus) needs nothing."
        )


def export_run(run: BenchmarkRun, path: Path, server: Server) -> Sent:
    """Sends a run's metrics to a collector; `path` is where the document lies.

    Raises SetupError when the packages are missing, or the collector cannot be reached or refuses;
    UsageError or SchemaError when the records are gone or were changed.
    """
    require_opentelemetry()
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceResponse,
    )

    data, sent = metrics_data(run, path)
    answer = server.ask(
        "" if server.url.endswith(PATH) else PATH,
        encode_metrics(data).SerializeToString(),
        "application/x-protobuf",
    )
    response = ExportMetricsServiceResponse()
    try:
        response.ParseFromString(answer.body)
    except Exception:  # noqa: BLE001 - a collector may answer anything; its status says it took it
        return sent
    rejected = response.partial_success.rejected_data_points
    if rejected:
        why = " ".join(response.partial_success.error_message.split())[:300] or "it says not why"
        raise SetupError(f"{server.what} refused {rejected} of the data points: {why}.")
    return sent


def metrics_data(run: BenchmarkRun, path: Path) -> tuple[MetricsData, Sent]:
    """What is sent of a run, and how much of it there is."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    began_ns = _began_ns(run)
    cells = [(one, cell) for one in run.candidates for cell in one.cells]
    records = read_all_records(path, (cell for _, cell in cells))
    histograms, calls, length_ns = _histograms(cells, records)
    made = [
        *_as_histograms(histograms, began_ns, began_ns + length_ns),
        *_gauges(run, began_ns + length_ns),
    ]
    about = {
        "service.name": "minionbench",
        "service.version": run.metadata.program_version or __version__,
        "host.name": run.system_info.hostname,
        "minionbench.run_id": run.metadata.run_id,
    }
    scope = ScopeMetrics(
        scope=InstrumentationScope("minionbench", __version__, SCHEMA_URL),
        metrics=made,
        schema_url=SCHEMA_URL,
    )
    resource = Resource({name: value for name, value in about.items() if value is not None})
    data = MetricsData([ResourceMetrics(resource, [scope], SCHEMA_URL)])
    of_calls = len({instrument for instrument, _ in histograms})
    return data, Sent(of_calls, len(made) - of_calls, calls)


def _histograms(
    cells: Iterable[tuple[BenchmarkCandidate, CellResult]],
    records: Mapping[str, list[RequestRecord]],
) -> tuple[dict[tuple[Instrument, Labels], _Histogram], int, int]:
    """Histograms by instrument and attributes, the calls in them, and how long they took."""
    found: dict[tuple[Instrument, Labels], _Histogram] = {}
    calls, first_ns, last_ns = 0, None, 0
    for candidate, cell in cells:
        for record in records[cell.cell_id]:
            if record.phase != "measured":
                continue
            for call in record.calls:
                reply = call.reply
                if reply.sent_ns is None or reply.end_ns is None:
                    continue
                calls += 1
                first_ns = reply.sent_ns if first_ns is None else min(first_ns, reply.sent_ns)
                last_ns = max(last_ns, reply.end_ns)
                labels = _labels(candidate, cell, call)
                for instrument, more, value in _values(call):
                    key = (instrument, tuple(sorted((labels | more).items())))
                    if key not in found:
                        found[key] = _Histogram(instrument.buckets)
                    found[key].add(value)
    return found, calls, 0 if first_ns is None else last_ns - first_ns


def _values(call: CallRecord) -> Iterator[tuple[Instrument, dict[str, str], float]]:
    """What one call adds: instrument, further attributes, value."""
    reply = call.reply
    assert reply.sent_ns is not None and reply.end_ns is not None
    ok = reply.failure is None
    failed = {} if ok else {"error.type": str(reply.outcome.value)}
    yield DURATION, failed, seconds(max(0, reply.end_ns - reply.sent_ns))
    if reply.event_ns:
        yield FIRST_CHUNK, {}, seconds(max(0, reply.event_ns[0] - reply.sent_ns))
    for before, after in pairwise(reply.event_ns):
        yield OUTPUT_CHUNK, {}, seconds(max(0, after - before))
    if reply.usage is not None:
        for kind, count in (
            ("input", reply.usage.prompt_tokens),
            ("output", reply.usage.completion_tokens),
        ):
            if count is not None:
                yield TOKENS, {"gen_ai.token.type": kind}, count
    if ok:
        for instrument, quantity in ((FIRST_TOKEN, ttft_s), (PER_TOKEN, tpot_s)):
            value = quantity(reply)
            if value is not None:
                yield instrument, {"minionbench.measured_at": "client"}, value


def _labels(candidate: BenchmarkCandidate, cell: CellResult, call: CallRecord) -> dict[str, str]:
    factors = candidate.factors
    model = factors.model if factors else candidate.version
    if factors and call.side == "remote" and factors.remote_model:
        model = factors.remote_model
    provider, slash, name = model.partition("/")
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider if slash else "unknown",
        "gen_ai.request.model": name if slash else model,
        "minionbench.cell": cell.cell_id,
        "minionbench.workload": cell.workload.name,
    }


def _as_histograms(
    histograms: Mapping[tuple[Instrument, Labels], _Histogram], began_ns: int, end_ns: int
) -> Iterator[Metric]:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Histogram,
        HistogramDataPoint,
        Metric,
    )

    for instrument in INSTRUMENTS:
        points = [
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=began_ns,
                time_unix_nano=end_ns,
                count=sum(histogram.counts),
                sum=histogram.sum,
                bucket_counts=histogram.counts,
                explicit_bounds=histogram.bounds,
                min=histogram.min,
                max=histogram.max,
            )
            for (of, labels), histogram in histograms.items()
            if of is instrument
        ]
        if points:
            data = Histogram(points, AggregationTemporality.CUMULATIVE)
            yield Metric(instrument.name, instrument.description, instrument.unit, data)


def _gauges(run: BenchmarkRun, at_ns: int) -> Iterator[Metric]:
    """A gauge for each metric of the document that has a value somewhere."""
    from opentelemetry.sdk.metrics.export import Gauge, Metric, NumberDataPoint

    points: dict[str, list[Any]] = {}
    for subject in subjects(run):
        for name, metric in subject.metrics.items():
            if metric.value is not None:
                point = NumberDataPoint(_where(subject), at_ns, at_ns, float(metric.value))
                points.setdefault(name, []).append(point)
    for name, of in points.items():
        info = METRICS.get(name)
        unit = info.unit if info else "1"
        yield Metric(
            f"minionbench.{name}",
            info.description if info else name,
            UNITS.get(unit, unit),
            Gauge(of),
        )


def _where(subject: Subject) -> dict[str, str]:
    found = {"minionbench.candidate": subject.name}
    if subject.cell is not None:
        found["minionbench.cell"] = subject.cell.cell_id
        found["minionbench.workload"] = subject.cell.workload.name
        found["minionbench.load"] = load_words(subject.cell)
        found["minionbench.verdict"] = subject.cell.verdict.status
    return found


def _began_ns(run: BenchmarkRun) -> int:
    at = datetime.fromisoformat(run.metadata.timestamp)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return round(at.timestamp()) * NS_PER_S
