"""Sessions: each a process of its own that measures one side once and leaves a run document.

Two sides are measured in turn, A B B A, by seeded blocks: what drifts on the machine in the
meantime meets both alike.
"""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from minionbench.compare.comparison import Side
from minionbench.compare.reading import Document, Wanted, measurements
from minionbench.errors import SchemaError, SetupError, UsageError
from minionbench.measuring import stopped_by_signals
from minionbench.runner import StopSwitch
from minionbench.schema import BenchmarkRun

OUTPUT_VARIABLE = "MINIONBENCH_OUTPUT_DIR"
"""Where a command of the user's own finds the folder to put its document in."""
ENDING_S = 30
"""How long a session may take to end and write its document after Ctrl-C."""

Pair = tuple[str, str]


def turns(seed: int) -> Iterator[Pair]:
    """Which side goes first in each pair, for ever: blocks of two pairs, A B B A or B A A B."""
    draw = random.Random(seed)
    while True:
        first: Pair = ("base", "new") if draw.random() < 0.5 else ("new", "base")
        yield first
        yield first[1], first[0]


class Arm(NamedTuple):
    """One side of what is measured in turn."""

    name: str
    text: str
    """What the user gave."""
    command: tuple[str, ...]
    own: bool
    """Whether it is a command of the user's own, and not `minionbench run`."""


def arm(name: str, text: str, more: Sequence[str], folder: Path) -> Arm:
    """A side from its flags of `minionbench run`, or from a command of the user's own.

    Raises UsageError where it is neither.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--{name} {text!r} cannot be read: {error}") from error
    if words[:2] == ["minionbench", "run"]:
        words = words[2:]
    if words and not words[0].startswith("-"):
        return Arm(name, text, tuple(words), True)
    for taken in ("-o", "--output-dir", "--format", "--dry-run"):
        if any(word == taken or word.startswith(f"{taken}=") for word in (*words, *more)):
            raise UsageError(f"{taken} cannot be given to a session: the sides are kept together")
    program = (sys.executable, "-m", "minionbench", "run", "--format", "json")
    return Arm(name, text, (*program, "-o", str(folder), *words, *more), False)


def run_session(one: Arm, folder: Path) -> Document:
    """Measures a side once and returns its document.

    Raises UsageError or SetupError with what the session said when it left no document.
    """
    environ = {**os.environ, OUTPUT_VARIABLE: str(folder)}
    switch = StopSwitch()
    switch.heeded = False  # so that whatever ends a program is a KeyboardInterrupt here
    with stopped_by_signals(switch):
        try:
            process = subprocess.Popen(
                one.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                # Ctrl-C does not reach it there: it is told once, by the lines below.
                process_group=0,
            )
        except OSError as error:
            raise SetupError(f"{one.command[0]} cannot be started: {error.strerror}") from error
        try:
            output, said = process.communicate()
        except BaseException:  # Ctrl-C too: no session outlives the command that began it
            _end(process)
            raise
    message = _last_line(said)
    if process.returncode == 130:
        raise KeyboardInterrupt
    if process.returncode not in (0, 1) or not output.strip():
        text = f"The session of the {one.name} side ended with {process.returncode}: {message}"
        raise UsageError(text) if process.returncode == 2 else SetupError(text)
    try:
        run = BenchmarkRun.from_json(output, f"what the {one.name} side printed")
    except SchemaError as error:
        if not one.own:
            raise
        raise UsageError(
            f"--{one.name} has to print a run document, as `minionbench run --format json` does: "
            f"{error}"
        ) from error
    path = folder / f"{run.metadata.run_id}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        run.save(path)
    return Document(path, run)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Has a session end in its own way, which keeps what it has measured; else kills it."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=ENDING_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # too long for us, or for the user
        process.kill()
        process.communicate()


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("minionbench: ") if lines else "it said nothing"


def side_of(name: str, documents: Sequence[Document], wanted: Wanted) -> Side:
    """A side from the documents of its sessions."""
    found = [
        one
        for document in documents
        for candidate in document.run.candidates
        for one in measurements(document, candidate, wanted)
    ]
    return Side(name=name, measurements=tuple(found))


def believable_pairs(base: Side, new: Side) -> int:
    """Pairs of sessions in which the harness measured rightly on both sides."""
    wrong = {one.run_id for side in (base, new) for one in side.measurements if one.invalid}
    pairs = zip(base.run_ids, new.run_ids, strict=False)
    return sum(wrong.isdisjoint(pair) for pair in pairs)


def nothing_measured(side: Side) -> str | None:
    """Why not one session of a side measured anything; None where one did."""
    if any(one.broken is None for one in side.measurements):
        return None
    return next((one.broken for one in side.measurements), "it has no candidate")
