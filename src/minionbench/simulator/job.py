"""An answer that takes its time: waits for a slot, then comes step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Protocol

from minionbench.simulator.asked import words
from minionbench.simulator.breaking import break_stream, break_whole
from minionbench.simulator.encoding import Encoder, Served
from minionbench.simulator.faults import Fault
from minionbench.simulator.http import head
from minionbench.simulator.log import Entry
from minionbench.simulator.settings import SimulatorSettings
from minionbench.simulator.steps import Step, streamed, whole
from minionbench.simulator.timing import ready_ns

HARMLESS = words(
    "strange_event content_filter empty no_usage wrong_usage keep_alive delay close_silently"
)
"""Faults after which the answer is whole by its protocol."""


class Job(Protocol):
    """Something that is written over time."""

    entry: Entry
    needs_slot: bool
    faults: Sequence[Fault]

    def start(self, admitted_ns: int) -> Iterator[Step]:
        """The steps, their instants counted from the admission."""
        ...


class AnswerJob:
    """A generated answer, streamed or whole."""

    needs_slot = True

    def __init__(
        self,
        entry: Entry,
        served: Served,
        encoder_type: type[Encoder],
        settings: SimulatorSettings,
        headers: list[tuple[str, str]],
        faults: Sequence[Fault],
    ) -> None:
        self.entry = entry
        self.faults = faults
        self._served = served
        self._encoder_type = encoder_type
        self._settings = settings
        self._headers = headers

    def start(self, admitted_ns: int) -> Iterator[Step]:
        """Draws the answer's times and begins it."""
        served, settings = self._served, self._settings
        generated = served.generated
        count = len(generated.reasoning) + len(generated.text)
        ready = ready_ns(
            settings.timing,
            generated.prompt_tokens - generated.cached_tokens,
            max(1, count),
            Random(f"{settings.seed}|times|{self.entry.number}"),
        )
        ready = [int(at * generated.pace) for at in ready]
        generated.queue_ns = max(0, admitted_ns - self.entry.arrived_ns)
        generated.prefill_ns = ready[0]
        generated.decode_ns = ready[-1] - ready[0]
        ready = [at + generated.load_ns for at in ready]
        # Created only now: the encoder writes these durations.
        encoder = self._encoder_type(served)
        if not served.asked.stream:
            headers = [*self._headers, ("Content-Type", "application/json")]
            return break_whole(whole(headers, encoder, generated, ready), self.faults, headers)
        response_head = head(
            200,
            [
                *self._headers,
                ("Content-Type", encoder.content_type),
                ("Cache-Control", "no-cache"),
                ("Transfer-Encoding", "chunked"),
            ],
        )
        steps = streamed(
            response_head,
            encoder,
            generated,
            ready,
            per_event=settings.tokens_per_event,
            per_write=settings.tokens_per_write,
            early_head=settings.early_head or bool(self.faults),
        )
        return break_stream(steps, self.faults, encoder, response_head)


class LinesJob:
    """A response of steps that are known beforehand, outside the slots."""

    needs_slot = False

    def __init__(self, entry: Entry, steps: Iterator[Step], faults: Sequence[Fault]) -> None:
        self.entry = entry
        self.faults = faults
        self._steps = steps

    def start(self, admitted_ns: int) -> Iterator[Step]:
        """The steps as they are."""
        return self._steps
