"""The run document: everything that the program produces is one `BenchmarkRun`."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta

from minionbench.errors import SchemaError, UsageError
from minionbench.names import REGISTRY_METRICS
from minionbench.schema.atomic import write_atomically
from minionbench.schema.cell import CellResult
from minionbench.schema.complaint import document_error
from minionbench.schema.metric import MetricResult, Metrics, check_names
from minionbench.schema.migration import SCHEMA_VERSION, migrated
from minionbench.schema.part import (
    REFUSALS,
    Count,
    Part,
    PlainObject,
    Text,
    decoder,
    form,
)
from minionbench.schema.plain import EMPTY, PartError, check_depth, plain

ModelType = Literal["base", "quantized", "distilled", "quantized+distilled"]

RUN_ID_PATTERN = r"^benchmark_[0-9]{8}_[0-9]{6}$"

Instant = Annotated[
    str,
    form(
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
        r"(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?$"
    ),
]
"""ISO 8601, as 2026-11-21T20:11:00+00:00. Only the prototype's documents may lack the offset."""


class RunMetadata(Part):
    """Which run this is and how it was started."""

    run_id: Annotated[str, form(RUN_ID_PATTERN)]
    timestamp: Instant
    git_sha: str | None = None
    """Commit of the repository that the run was started in; None outside one."""
    git_branch: str | None = None
    git_dirty: bool | None = None
    """Whether there were uncommitted changes, untracked files included."""
    command_line: str
    """The command, shell-quoted, with keys left out."""
    dry_run: bool
    program_version: str | None = None
    """Version of minionbench; None in documents that it did not write."""
    seed: int | None = None
    finished: bool | None = None
    """False when the run was cut short; None where the writer did not say."""
    notes: tuple[str, ...] = ()
    """What a reader should know about the run as a whole, one sentence each."""

    def __post_init__(self) -> None:
        try:
            datetime.fromisoformat(self.timestamp)
        except ValueError as error:
            message = f"expected an ISO 8601 instant, found {self.timestamp!r}"
            raise PartError(message, "timestamp") from error


class SystemInfo(Part):
    """The machine that the run was made on. What could not be found out is None."""

    hostname: str | None = None
    platform: str | None = None
    """Linux, Darwin …"""
    platform_version: str | None = None
    python_version: str | None = None
    cpu_info: str | None = None
    cpu_count: Annotated[int, Meta(ge=1)] | None = None
    """Logical processors of the machine."""
    total_ram_gb: Annotated[float, Meta(ge=0)] | None = None
    """1 GB = 2³⁰ bytes."""
    gpu_info: str | None = None
    cuda_version: str | None = None
    kernel: str | None = None
    governor: str | None = None
    """How the kernel chooses the processors' frequency; several, comma-separated, where they
    differ."""
    virtualisation: str | None = None
    """The hypervisor, or "none" on bare metal."""
    container: str | None = None
    """The kind of container; None outside one or where it could not be told."""
    usable_cpus: Annotated[int, Meta(ge=1)] | None = None
    """Processors that this process may run on."""
    cgroup_cpu_limit: Annotated[float, Meta(gt=0)] | None = None
    """Processors' worth of time that the control group allows; None for no limit."""
    cgroup_memory_limit_gb: Annotated[float, Meta(ge=0)] | None = None
    load_average_1m: Annotated[float, Meta(ge=0)] | None = None
    """Load average over the last minute when the run began."""
    packages: dict[str, str] = EMPTY
    """Version of each installed package that takes part in measuring."""
    stamp_source: str | None = None
    """Where receive stamps come from: `kernel`, or `user` where the kernel gives none."""


class Factors(Part):
    """What a designed experiment varies: the candidate's place in the grid."""

    deployment: Literal["local", "remote", "hybrid"]
    model: Text
    """`provider/model`, as the command line names it."""
    engine: str | None = None
    """What serves the model, with its version."""
    reasoning: bool | None = None
    """None when the model was left to its own default."""
    quantization: str | None = None
    remote_model: str | None = None
    protocol: str | None = None
    """How models answer together, or what is retrieved for them; None where each item is asked as
    it stands."""
    flags: PlainObject = EMPTY
    """Flags of the model and engine: threads, context, GPU layers …"""

    def __post_init__(self) -> None:
        check_depth("flags", self.flags)


class BenchmarkCandidate(Part):
    """What is measured: a model in a deployment with its flags."""

    version: Text
    """The model's version identifier."""
    model_type: ModelType | None = None
    """None where nobody can tell, as behind an API."""
    model_path: str | None = None
    base_model: str | None = None
    quantization: str | None = None
    distilled_from: str | None = None
    file_size_mb: Annotated[float, Meta(ge=0)] | None = None
    """1 MB = 2²⁰ bytes; None where neither a local file nor the server tells."""
    parameter_count: Count | None = None
    metrics: Annotated[Metrics, Meta(extra_json_schema={"required": list(REGISTRY_METRICS)})]
    factors: Factors | None = None
    """None where nothing was deployed, as in a dry run."""
    cells: tuple[CellResult, ...] = ()
    notes: tuple[str, ...] = ()
    """Why a field is unknown, or what is odd about the candidate, one sentence each."""

    def __post_init__(self) -> None:
        check_names(self.metrics)
        for name in REGISTRY_METRICS:
            if name not in self.metrics:
                raise PartError("this metric is missing", "metrics", name)

    @property
    def latency_ms(self) -> MetricResult:
        """Median total latency of Balanced, one stream, cold prefix."""
        return self.metrics["latency_ms"]

    @property
    def tokens_per_sec(self) -> MetricResult:
        """Median decode rate of Decode, one stream."""
        return self.metrics["tokens_per_sec"]

    @property
    def peak_vram_mb(self) -> MetricResult:
        """Largest GPU memory of the engine."""
        return self.metrics["peak_vram_mb"]

    @property
    def peak_ram_mb(self) -> MetricResult:
        """Largest memory of the engine's process tree."""
        return self.metrics["peak_ram_mb"]

    @property
    def cove_pass_rate(self) -> MetricResult:
        """Share of Chain-of-Verification cases passed, in percent."""
        return self.metrics["cove_pass_rate"]

    @property
    def retrieval_score(self) -> MetricResult:
        """Quality of retrieval, 0–100."""
        return self.metrics["retrieval_score"]


class BenchmarkRun(Part):
    """One run: which, where, what was measured and how.

    `load` and `from_json` are the ways in for a document, and migrate older ones.
    """

    schema_version: Annotated[
        int,
        Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION, extra_json_schema={"const": SCHEMA_VERSION}),
    ] = SCHEMA_VERSION
    metadata: RunMetadata
    system_info: SystemInfo
    candidates: tuple[BenchmarkCandidate, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for index, candidate in enumerate(self.candidates):
            for place, cell in enumerate(candidate.cells):
                if cell.cell_id in seen:
                    raise PartError(
                        f"{cell.cell_id!r} names another cell of this document",
                        *("candidates", index, "cells", place, "cell_id"),
                    )
                seen.add(cell.cell_id)

    @classmethod
    def from_json(cls, document: bytes | str, source: str | None = None) -> Self:
        """The run that a document holds; older forms are migrated.

        `source` is the file to name in messages. Raises SchemaError, which names the path of
        what is wrong.
        """
        with collector_paused():
            try:
                run: Self = decoder(cls).decode(document)
                return run
            except REFUSALS as refusal:
                older = migrated(document, source)
                if older is None:
                    raise document_error(cls, document, refusal, source) from refusal
            return cls.decoded(older, source)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads and validates the document at `path`.

        Raises UsageError when it cannot be read, SchemaError when it is not a run document.
        """
        try:
            document = Path(path).read_bytes()
        except FileNotFoundError as error:
            raise UsageError(f"There is no run document at {path}.") from error
        except (OSError, ValueError) as error:
            raise UsageError(f"The run document {path} cannot be read: {error}") from error
        return cls.from_json(document, os.fspath(path))

    def to_json(self) -> str:
        """The document as indented JSON with a newline at its end."""
        return msgspec.json.format(self.encoded(), indent=2).decode() + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the document atomically: a reader sees the whole of it or nothing.

        What is written has passed the schema, whatever was done to the objects since they were
        made. Raises SchemaError when it does not, SetupError when the file cannot be written.
        """
        with collector_paused():
            write_atomically(Path(path), self._checked_pieces())

    def _checked_pieces(self) -> Iterator[bytes]:
        """What `to_json` gives, candidate by candidate, each held to the schema on its way.

        A registry of 100,000 models is a document of 140 MB, and several times that in memory:
        neither the whole text nor a second copy of the objects is made.
        """
        frame = self.but(candidates=()).to_json()
        type(self).from_json(frame)
        before, _, after = frame.rpartition("[]")
        yield before.encode()
        opening = b"[\n    "
        for place, candidate in enumerate(self.candidates):
            text = self._checked(candidate, place)
            yield opening + msgspec.json.format(text, indent=2).replace(b"\n", b"\n    ")
            opening = b",\n    "
        closing = "\n  ]" if self.candidates else "[]"
        yield (closing + after).encode()

    def _checked(self, candidate: BenchmarkCandidate, place: int) -> bytes:
        """A candidate as JSON that was read back and found to be the same."""
        try:
            text = candidate.encoded()
            if BenchmarkCandidate.decoded(text) != candidate:
                # NaN would be written as null.
                plain(msgspec.to_builtins(candidate))
        except SchemaError:
            # Said again of the whole document, so that the error names the whole path.
            type(self).from_json(self.to_json())
            raise
        except (PartError, TypeError, UnicodeError) as error:
            where = (*("candidates", place), *getattr(error, "where", ()))
            message = getattr(error, "message", str(error))
            raise SchemaError(message, ".".join(map(str, where))) from error
        return text


@contextmanager
def collector_paused() -> Iterator[None]:
    """Holds the cyclic collector off while a document is built.

    A document is a tree without cycles; looking for cycles in it again and again while it grows
    takes twice as long as building it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
