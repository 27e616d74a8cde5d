"""The run document: everything that the program produces is one `BenchmarkRun`."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from minionbench.errors import UsageError
from minionbench.names import REGISTRY_METRICS
from minionbench.schema.atomic import write_atomically
from minionbench.schema.cell import CellResult
from minionbench.schema.complaint import schema_error
from minionbench.schema.metric import MetricResult
from minionbench.schema.migration import SCHEMA_VERSION, migrated
from minionbench.schema.part import (
    FROM_DOCUMENT,
    Count,
    MetricName,
    Part,
    PlainObject,
    Text,
    Texts,
    check_fields,
    rule,
)

ModelType = Literal["base", "quantized", "distilled", "quantized+distilled"]

RUN_ID_PATTERN = r"^benchmark_[0-9]{8}_[0-9]{6}$"
_INSTANT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$"


def _real_instant(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise rule(f"expected an ISO 8601 instant, found {text!r}") from error
    return text


Instant = Annotated[str, StringConstraints(pattern=_INSTANT), AfterValidator(_real_instant)]
"""ISO 8601, as 2026-11-21T20:11:00+00:00. Only the prototype's documents may lack the offset."""


class RunMetadata(Part):
    """Which run this is and how it was started."""

    run_id: Annotated[str, StringConstraints(pattern=RUN_ID_PATTERN)]
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
    notes: Texts = ()
    """What a reader should know about the run as a whole, one sentence each."""


class SystemInfo(Part):
    """The machine that the run was made on. What could not be found out is None."""

    hostname: str | None = None
    platform: str | None = None
    """Linux, Darwin …"""
    platform_version: str | None = None
    python_version: str | None = None
    cpu_info: str | None = None
    cpu_count: Annotated[int, Field(ge=1)] | None = None
    """Logical processors of the machine."""
    total_ram_gb: Annotated[float, Field(ge=0)] | None = None
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
    usable_cpus: Annotated[int, Field(ge=1)] | None = None
    """Processors that this process may run on."""
    cgroup_cpu_limit: Annotated[float, Field(gt=0)] | None = None
    """Processors' worth of time that the control group allows; None for no limit."""
    cgroup_memory_limit_gb: Annotated[float, Field(ge=0)] | None = None
    load_average_1m: Annotated[float, Field(ge=0)] | None = None
    """Load average over the last minute when the run began."""
    packages: dict[str, str] = Field(default_factory=dict)
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
    flags: PlainObject = Field(default_factory=dict)
    """Flags of the model and engine: threads, context, GPU layers …"""


def _require_registry_metrics(schema: dict[str, Any]) -> None:
    schema["properties"]["metrics"]["required"] = list(REGISTRY_METRICS)


class BenchmarkCandidate(Part):
    """What is measured: a model in a deployment with its flags."""

    model_config = ConfigDict(json_schema_extra=_require_registry_metrics)

    version: Text
    """The model's version identifier."""
    model_type: ModelType | None = None
    """None where nobody can tell, as behind an API."""
    model_path: str | None = None
    base_model: str | None = None
    quantization: str | None = None
    distilled_from: str | None = None
    file_size_mb: Annotated[float, Field(ge=0)] | None = None
    """1 MB = 2²⁰ bytes; None where neither a local file nor the server tells."""
    parameter_count: Count | None = None
    metrics: dict[MetricName, MetricResult]
    factors: Factors | None = None
    """None where nothing was deployed, as in a dry run."""
    cells: Annotated[tuple[CellResult, ...], Field(strict=False)] = ()
    notes: Texts = ()
    """Why a field is unknown, or what is odd about the candidate, one sentence each."""

    def _check(self, from_document: bool) -> None:
        check_fields(self, from_document)
        for name in REGISTRY_METRICS:
            if name not in self.metrics:
                raise rule("this metric is missing", "metrics", name)

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

    `load` and `from_json` are the ways in for a document: they migrate, demand every field, and
    say what is wrong. Pydantic's own methods do none of that.
    """

    schema_version: Annotated[
        int,
        Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION, json_schema_extra={"const": SCHEMA_VERSION}),
    ] = SCHEMA_VERSION
    metadata: RunMetadata
    system_info: SystemInfo
    candidates: Annotated[tuple[BenchmarkCandidate, ...], Field(strict=False)]

    def _check(self, from_document: bool) -> None:
        check_fields(self, from_document)
        seen: set[str] = set()
        for index, candidate in enumerate(self.candidates):
            for place, cell in enumerate(candidate.cells):
                if cell.cell_id in seen:
                    raise rule(
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
        with _collector_paused():
            try:
                return cls.model_validate_json(document, context=FROM_DOCUMENT)
            except ValidationError as error:
                refused = error
            older = migrated(document, source)
            if older is None:
                raise schema_error(refused, source) from refused
            try:
                return cls.model_validate_json(older, context=FROM_DOCUMENT)
            except ValidationError as error:
                raise schema_error(error, source) from error

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
        return self.model_dump_json(indent=2) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the document atomically: a reader sees the whole of it or nothing.

        What is written has passed the schema, whatever was done to the objects since they were
        made. Raises SchemaError when it does not, SetupError when the file cannot be written.
        """
        with _collector_paused():
            write_atomically(Path(path), self._checked_pieces())

    def _checked_pieces(self) -> Iterator[bytes]:
        """What `to_json` gives, candidate by candidate, each held to the schema on its way.

        A registry of 100,000 models is a document of 140 MB, and five times as much in memory:
        neither the whole text nor a second copy of the objects is made.
        """
        frame = self.model_copy(update={"candidates": ()}).to_json()
        type(self).from_json(frame)
        try:
            self._check(from_document=False)
        except PydanticCustomError:
            type(self).from_json(self.to_json())
            raise
        before, _, after = frame.rpartition("[]")
        yield before.encode()
        opening = b"[\n    "
        for candidate in self.candidates:
            text = candidate.model_dump_json(indent=2)
            try:
                BenchmarkCandidate.model_validate_json(text, context=FROM_DOCUMENT)
            except ValidationError:
                # Said again of the whole document, so that the error names the whole path.
                type(self).from_json(self.to_json())
                raise
            yield opening + text.replace("\n", "\n    ").encode()
            opening = b",\n    "
        closing = "\n  ]" if self.candidates else "[]"
        yield (closing + after).encode()


@contextmanager
def _collector_paused() -> Iterator[None]:
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
