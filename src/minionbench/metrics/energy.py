"""Energy of the device while the requests of a cell ran, from what its meters said.

It is the energy of the device and not of the engine: the harness, the operating system and whatever
else ran are in it. What the device takes with the engine loaded and nothing sent is measured apart,
before and after, and stands beside it.

Where requests follow one another, the stretch that counts goes from the first sending to the last
end, in each repeat. Where they overlap it is the steady state, and the energy belongs to all of
them together: it is divided by tokens, and by no request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from minionbench.exchange import Outcome
from minionbench.metrics import record as whole
from minionbench.metrics.meter_reading import (
    LONGEST_GAP_NS,
    Readings,
    Use,
    readings,
    together,
)
from minionbench.metrics.request import NegativeInterval
from minionbench.metrics.slo import Judged, Objective
from minionbench.metrics.throughput import (
    Window,
    arrivals_state,
    finished,
    steady_state,
    streams_at_work,
    tokens_within,
)
from minionbench.metrics.value import MetricValue, error, ok, skipped
from minionbench.records import RequestRecord
from minionbench.traces import Mark, Stream, Trace
from minionbench.units import J_PER_WH, number_of, seconds, significant

ENERGY = "energy_wh"
PER_REQUEST = "energy_wh_per_request"
PER_GOOD_REQUEST = "energy_wh_per_good_request"
PER_TOKEN = "energy_j_per_token"
IDLE_POWER = "idle_power_w"
ABOVE_IDLE = "energy_above_idle_wh"
ENERGY_METRICS = (ENERGY, PER_REQUEST, PER_GOOD_REQUEST, PER_TOKEN, IDLE_POWER, ABOVE_IDLE)
"""Names of the metrics that `energy_metrics` gives: always all of them."""

ENOUGH_UPDATES = 100
"""Updates of a meter within a stretch, from which on its ends weigh 1 % at most."""
MOST_UNCERTAIN = 0.25
"""Share of a value that its uncertainty may have; one that is less sure says nothing."""
MOST_DISAGREEMENT = 0.05
"""Share by which a counter of energy and samples of power of the same thing may differ."""
OF_THE_DEVICE = frozenset({"wall", "package", "dram", "gpu", "soc"})
"""Scopes that add up to the device. What a processor's cores take is in its package; what `psys`
counts holds the packages on one machine and not on another."""
HOW_TO_METER = (
    "`minionbench doctor` says what each kind of meter lacks; --meter-command reads one at the "
    "wall, --tdp gives a modelled figure"
)
NOT_LOOKED_AT = "no meter was looked at while the requests ran"
OVERLAPPING = (
    "the requests overlapped, so that the device's energy belongs to none of them by itself; see "
    f"{PER_TOKEN}"
)
INCLUDES = "all that ran on it, the harness included"
LATENESS = "the meter's own accuracy is not part of the uncertainty"


OF_EACH = ("basis", "device", "includes", "window", "window_s", "updates", "fewest_updates")
"""What every energy metric says of itself; the rest stands in the metadata of `energy_wh`."""


class Part(NamedTuple):
    """One thing whose energy is part of the device's."""

    stream: Stream
    checks: tuple[Stream, ...]
    """Streams that measure the same another way."""


class Device(NamedTuple):
    """What is added up to the energy of the device."""

    parts: tuple[Part, ...]
    beside: tuple[Stream, ...]
    """Streams of energy or power that are shown apart, since a part contains them, or they it."""

    @property
    def basis(self) -> str:
        """`measured`, `modelled`, or both where some parts are the one and some the other."""
        return " and ".join(sorted({part.stream.basis for part in self.parts}))

    @property
    def covers(self) -> list[str]:
        """The parts, for a person."""
        return [part.stream.covers for part in self.parts]


def device(trace: Trace) -> Device | None:
    """What makes up the device, none of it twice; None where no meter tells of it.

    A meter at the wall has all in it. Else it is what the meters of processors, memory and
    accelerators show, but for those that another one contains. A modelled stream stands in only
    where nothing of its scope is measured.
    """
    streams = trace.of_quantity("energy", "power")
    known = [s for s in streams if s.scope in OF_THE_DEVICE and s.checks is None]
    chosen = [stream for stream in known if stream.basis == "measured"]
    walls = [stream for stream in chosen if stream.scope == "wall"]
    if walls:
        chosen = walls[:1]
    else:
        ids = {stream.stream_id for stream in chosen}
        chosen = [stream for stream in chosen if not ids.intersection(stream.inside)]
        scopes = {stream.scope for stream in chosen}
        if "soc" not in scopes:
            chosen += [s for s in known if s.basis == "modelled" and s.scope not in scopes]
    if not chosen:
        return None
    parts = tuple(
        Part(stream, tuple(s for s in streams if s.checks == stream.stream_id)) for stream in chosen
    )
    taken = {s.stream_id for part in parts for s in (part.stream, *part.checks)}
    return Device(parts, tuple(s for s in streams if s.stream_id not in taken))


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """The device's energy in some stretches."""

    parts: tuple[tuple[Part, Use], ...]
    window_s: float
    fewest_updates: int
    """In the stretch and of the part that had the fewest."""
    disagreement: float | None
    """Largest share by which two ways to measure the same differed; None where there was one."""

    @property
    def total(self) -> Use:
        """Of all parts."""
        return together([use for _, use in self.parts])


def spent(
    made_of: Device, reading: Mapping[str, Readings], windows: Sequence[Window]
) -> Spent | str:
    """The energy of the device in these stretches, or why it is not known."""
    parts: list[tuple[Part, Use]] = []
    fewest: list[int] = []
    differences: list[float] = []
    for part in made_of.parts:
        uses = _uses(reading[part.stream.stream_id], windows)
        if isinstance(uses, str):
            return uses
        fewest.append(min(use.updates for use in uses))
        parts.append((part, together(uses)))
        for check in part.checks:
            other = _uses(reading[check.stream_id], windows)
            if isinstance(other, str):
                continue  # It is the cross-check that failed, not the measurement.
            differs = _difference(uses, other)
            if differs is None:
                continue
            if differs > MOST_DISAGREEMENT:
                return (
                    f"{part.stream.covers}: {_way(part.stream)} and {_way(check)} of the same "
                    f"thing differ by {differs:.0%}, more than {MOST_DISAGREEMENT:.0%}: one of "
                    "them is wrong"
                )
            differences.append(differs)
    return Spent(
        parts=tuple(parts),
        window_s=math.fsum(seconds(window.length_ns) for window in windows),
        fewest_updates=min(fewest),
        disagreement=max(differences, default=None),
    )


def _uses(reading: Readings, windows: Sequence[Window]) -> list[Use] | str:
    uses: list[Use] = []
    for window in windows:
        use = reading.use(window)
        if isinstance(use, str):
            return use
        uses.append(use)
    return uses


def _difference(uses: Sequence[Use], others: Sequence[Use]) -> float | None:
    """By what share two measurements differ; None where there is nothing to be compared.

    In a short stretch both are uncertain, and only what goes beyond that is a difference.
    """
    use, other = together(uses), together(others)
    if use.joules <= 0:
        return None
    apart = abs(use.joules - other.joules)
    if min(one.updates for one in (*uses, *others)) < ENOUGH_UPDATES:
        apart = max(0.0, apart - use.uncertainty_j - other.uncertainty_j)
    return apart / use.joules


def _way(stream: Stream) -> str:
    return "its counter of energy" if stream.quantity == "energy" else "its samples of power"


def energy_metrics(
    trace: Trace | None,
    records: Sequence[RequestRecord],
    *,
    cell: str,
    streams: int | None,
    objective: Objective | None = None,
    open_loop: bool = False,
) -> dict[str, MetricValue]:
    """The metrics of a cell that follow from its records and the trace of its run.

    `streams` is the number of streams of a closed loop; None takes it from the records, as the
    most requests that were in flight at once. A good request is one that meets the `objective`,
    whose clock starts at the planned instant in an open loop; without one, one that succeeded.
    """
    if trace is None:
        return no_energy(NOT_LOOKED_AT)
    made_of = device(trace)
    if made_of is None:
        return no_energy(_no_meter(trace), **_meters(trace))
    measured = [record for record in records if record.phase == "measured"]
    reading = readings(trace)
    known_until = _known_until(made_of, reading)
    try:
        stretches = _stretches(measured, streams, known_until, open_loop)
        judged = None
        if objective is not None:
            judged = Judged(objective, measured, from_planned=open_loop)
    except NegativeInterval as fault:
        message = f"Instants contradict each other, so no clock can be believed: {fault}"
        return {name: error(name, message) for name in ENERGY_METRICS}
    if isinstance(stretches, str):
        return no_energy(stretches)
    found = spent(made_of, reading, [window for _, window in stretches.groups])
    about = _about(trace, made_of, stretches)
    if isinstance(found, str):
        return {name: error(name, _not_to_be_believed(found), **about) for name in ENERGY_METRICS}
    idle = _idle(trace, made_of, reading, cell, stretches)
    whole_story = about | _how_exact(found) | _beside(made_of, reading, stretches)
    whole_story |= _idle_beside(idle)
    about = {key: value for key, value in whole_story.items() if key in OF_EACH}
    total = found.total
    values = {
        ENERGY: _told(ENERGY, total.joules / J_PER_WH, total, whole_story),
        **_per_request(total, stretches, judged, about),
        PER_TOKEN: _per_token(total, stretches, about),
    }
    values |= _against_idle(total, found.window_s, idle, about)
    return {name: values[name] for name in ENERGY_METRICS}


def no_energy(reason: str, **metadata: Any) -> dict[str, MetricValue]:
    """All energy metrics without a value, for one reason."""
    return {name: skipped(name, reason, **metadata) for name in ENERGY_METRICS}


class _Stretches(NamedTuple):
    """Each repeat's requests with the stretch that counts."""

    groups: tuple[tuple[list[RequestRecord], Window], ...]
    overlapping: bool
    left_out: int
    """Requests at the end that ended after the last reading, of a run that was broken off."""

    @property
    def ended(self) -> list[RequestRecord]:
        """The requests that ended within."""
        return [record for group, window in self.groups for record in finished(group, window)]


def _known_until(made_of: Device, reading: Mapping[str, Readings]) -> int | None:
    """Until when all parts were read; None where one of them never was."""
    last = [reading[part.stream.stream_id].last_ns for part in made_of.parts]
    known = [at_ns for at_ns in last if at_ns is not None]
    return min(known) if len(known) == len(last) else None


def _is_just_after(instant_ns: int, known_until: int | None) -> bool:
    return known_until is not None and 0 < instant_ns - known_until <= LONGEST_GAP_NS


def _stretches(
    records: Sequence[RequestRecord],
    streams: int | None,
    known_until: int | None,
    open_loop: bool,
) -> _Stretches | str:
    repeats: dict[int, list[RequestRecord]] = {}
    left_out = 0
    for record in records:
        ended = whole.end_ns(record)
        # A run that was killed ends between two readings. Where the meter fell silent long before,
        # the request stays, and the silence is told.
        if ended is not None and _is_just_after(ended, known_until):
            left_out += 1
            continue
        repeats.setdefault(record.repeat, []).append(record)
    at_work = max(map(streams_at_work, repeats.values()), default=0)
    if at_work == 0:
        return "no request ended before the last reading" if left_out else "no request was sent"
    overlapping = at_work > 1
    groups = []
    for repeat, group in sorted(repeats.items()):
        window: Window | str | None
        if not overlapping:
            window = _in_sequence(group)
        elif open_loop:
            window = arrivals_state(group)
        else:
            window = steady_state(group, streams or at_work)
        if window is None:
            continue
        if isinstance(window, str):
            return window if len(repeats) == 1 else f"repeat {repeat + 1}: {window}"
        groups.append((group, window))
    if not groups:
        return "no request came to an end of its own"
    return _Stretches(tuple(groups), overlapping, left_out)


def _in_sequence(records: Sequence[RequestRecord]) -> Window | None:
    """From the first sending to the last end of requests that follow one another.

    It ends before the first one that was cut off. None where nothing is left.
    """
    start: int | None = None
    end: int | None = None
    for record in sorted(records, key=lambda one: whole.sent_ns(one) or 0):
        sent, ended = whole.sent_ns(record), whole.end_ns(record)
        if sent is None or ended is None:
            continue
        if record.outcome is Outcome.CUT:
            break
        if ended < sent:
            raise NegativeInterval(f"request {record.index} ends {sent - ended} ns before it began")
        start = sent if start is None else start
        end = ended if end is None else max(end, ended)
    if start is None or end is None or end <= start:
        return None
    return Window(start, end)


def _told(name: str, value: float, use: Use, about: Mapping[str, Any]) -> MetricValue:
    """A value with its uncertainty, which is that of the energy; or that it says nothing."""
    share = use.uncertainty_j / use.joules if use.joules > 0 else math.inf
    if share > MOST_UNCERTAIN:
        said = f"±{share:.0%}" if math.isfinite(share) else "of unknown size"
        reason = (
            f"the requests ran for {significant(about['window_s'])} s, in which the meter gave "
            f"{number_of(about['updates'], 'reading')}: the uncertainty is {said}. Ask more "
            "requests (-n), or longer answers"
        )
        return skipped(name, reason, **about)
    few = about["fewest_updates"] < ENOUGH_UPDATES
    note = (
        {
            "note": f"a stretch held only {number_of(about['fewest_updates'], 'reading')} of the "
            f"meter, and {ENOUGH_UPDATES} are enough for ±1 %"
        }
        if few
        else {}
    )
    return ok(name, value, **about, uncertainty=share * abs(value), **note)


def _per_request(
    total: Use, stretches: _Stretches, judged: Judged | None, about: Mapping[str, Any]
) -> dict[str, MetricValue]:
    names = (PER_REQUEST, PER_GOOD_REQUEST)
    if stretches.overlapping:
        return {name: skipped(name, OVERLAPPING, **about) for name in names}
    ended = stretches.ended
    each = total.joules / J_PER_WH / len(ended)
    requests = {"requests": len(ended)}
    return {
        PER_REQUEST: _told(PER_REQUEST, each, total, {**about, **requests}),
        PER_GOOD_REQUEST: _per_good_request(total, ended, judged, {**about, **requests}),
    }


def _per_good_request(
    total: Use, ended: Sequence[RequestRecord], judged: Judged | None, about: Mapping[str, Any]
) -> MetricValue:
    if judged is None:
        good, did = sum(record.ok for record in ended), "succeeded"
    else:
        about = {**about, **judged.about}
        if judged.why_unknown is not None:
            return skipped(PER_GOOD_REQUEST, judged.why_unknown, **about)
        good, did = judged.good(ended), "met the objective"
    about = {**about, "good": good}
    if not good:
        why = f"none of the {number_of(len(ended), 'request')} {did}"
        return error(PER_GOOD_REQUEST, why, **about)
    return _told(PER_GOOD_REQUEST, total.joules / J_PER_WH / good, total, about)


def _per_token(total: Use, stretches: _Stretches, about: Mapping[str, Any]) -> MetricValue:
    """Joules per token that arrived within the stretches."""
    tokens = [
        tokens_within(record, window) for group, window in stretches.groups for record in group
    ]
    uncounted = tokens.count(None)
    if uncounted:
        reason = f"{number_of(uncounted, 'answer')} came without a token count"
        return skipped(PER_TOKEN, reason, **about)
    count = math.fsum(one for one in tokens if one is not None)
    if count <= 0:
        return error(PER_TOKEN, "No token of a successful answer arrived", **about)
    return _told(PER_TOKEN, total.joules / count, total, {**about, "tokens": round(count, 3)})


class _Idle(NamedTuple):
    """Power of the device with the engine loaded and nothing sent."""

    watts: float
    uncertainty_w: float
    before_w: float | None
    after_w: float | None
    window_s: float


def _idle(
    trace: Trace,
    made_of: Device,
    reading: Mapping[str, Readings],
    cell: str,
    stretches: _Stretches,
) -> _Idle | str:
    """The idle baseline of a cell, or why there is none."""
    start = min(window.start_ns for _, window in stretches.groups)
    end = max(window.end_ns for _, window in stretches.groups)
    marks = [mark for mark in trace.marks if mark.phase == "idle" and cell in mark.cells]
    before = _idle_use(made_of, reading, [m for m in marks if m.end_ns <= start][-1:])
    after = _idle_use(made_of, reading, [m for m in marks if m.start_ns >= end][:1])
    whys = [one for one in (before, after) if isinstance(one, str)]
    known = [one for one in (before, after) if isinstance(one, Spent)]
    if not known:
        return whys[0] if whys else "the device was not looked at while it was idle"
    length = math.fsum(one.window_s for one in known)
    total = together([one.total for one in known])
    each = [one.total.joules / one.window_s for one in known]
    watts = {id(one): w for one, w in zip(known, each, strict=True)}
    return _Idle(
        watts=total.joules / length,
        uncertainty_w=max(total.uncertainty_j / length, (max(each) - min(each)) / 2),
        before_w=watts.get(id(before)),
        after_w=watts.get(id(after)),
        window_s=length,
    )


def _idle_use(
    made_of: Device, reading: Mapping[str, Readings], marks: Sequence[Mark]
) -> Spent | str | None:
    """What was used in an idle time; None where there was none."""
    known_until = _known_until(made_of, reading)
    windows = []
    for mark in marks:
        end_ns = mark.end_ns
        # Power is told now and then, and after the last idle time nothing comes any more.
        if known_until is not None and _is_just_after(end_ns, known_until):
            end_ns = known_until
        if 2 * (end_ns - mark.start_ns) > mark.end_ns - mark.start_ns:
            windows.append(Window(mark.start_ns, end_ns))
    return spent(made_of, reading, windows) if windows else None


def _against_idle(
    total: Use, window_s: float, idle: _Idle | str, about: Mapping[str, Any]
) -> dict[str, MetricValue]:
    """The idle power, and the energy that goes beyond it."""
    if isinstance(idle, str):
        return {name: skipped(name, idle, **about) for name in (IDLE_POWER, ABOVE_IDLE)}
    above = total.joules - idle.watts * window_s
    doubt = total.uncertainty_j + idle.uncertainty_w * window_s
    idle_about = {
        **{key: value for key, value in about.items() if key in ("basis", "device", "includes")},
        "window_s": idle.window_s,
        "before_w": idle.before_w,
        "after_w": idle.after_w,
    }
    if about["fewest_updates"] == 0 or doubt > MOST_UNCERTAIN * total.joules:
        reason = (
            "the device's energy or its idle power is too uncertain for a difference: "
            f"±{significant(doubt)} J of {significant(total.joules)} J"
        )
        difference = skipped(ABOVE_IDLE, reason, **about)
    else:
        difference = ok(ABOVE_IDLE, above / J_PER_WH, **{**about, "uncertainty": doubt / J_PER_WH})
    return {
        IDLE_POWER: ok(IDLE_POWER, idle.watts, **idle_about, uncertainty=idle.uncertainty_w),
        ABOVE_IDLE: difference,
    }


def _about(trace: Trace, made_of: Device, stretches: _Stretches) -> dict[str, Any]:
    """What is true of every energy metric of a cell, with or without a value."""
    about: dict[str, Any] = {
        "basis": made_of.basis,
        "device": made_of.covers,
        "includes": INCLUDES,
        "method": {part.stream.covers: part.stream.method for part in made_of.parts},
        "window": "steady state"
        if stretches.overlapping
        else "first request sent to last one ended",
        "repeats": len(stretches.groups),
        **({"left_out": stretches.left_out} if stretches.left_out else {}),
    }
    unread = {one.name: _with_remedy(one.why, one.remedy) for one in trace.missing if one.remedy}
    if unread and not any(part.stream.scope == "wall" for part in made_of.parts):
        about["not_measured"] = unread
    return about


def _how_exact(found: Spent) -> dict[str, Any]:
    total = found.total
    return {
        "window_s": found.window_s,
        "updates": total.updates,
        "fewest_updates": found.fewest_updates,
        "failed_looks": total.failed_looks,
        "parts_wh": {part.stream.covers: use.joules / J_PER_WH for part, use in found.parts},
        "disagreement": found.disagreement,
        "uncertainty_of": LATENESS,
    }


def _beside(
    made_of: Device, reading: Mapping[str, Readings], stretches: _Stretches
) -> dict[str, Any]:
    """What else was measured, and is not part of the sum."""
    windows = [window for _, window in stretches.groups]
    apart = {
        stream.covers: together(uses).joules / J_PER_WH
        for stream in made_of.beside
        if not isinstance(uses := _uses(reading[stream.stream_id], windows), str)
    }
    return {"beside_wh": apart} if apart else {}


def _idle_beside(idle: _Idle | str) -> dict[str, Any]:
    if isinstance(idle, str):
        return {"idle_w": None}
    return {"idle_w": idle.watts, "idle_before_w": idle.before_w, "idle_after_w": idle.after_w}


def _no_meter(trace: Trace) -> str:
    """Why no meter tells of the device, and what can be done about it."""
    unread = [
        f"{one.name}: {_with_remedy(one.why, one.remedy)}" for one in trace.missing if one.remedy
    ]
    if unread:
        return f"no power meter can be read: {'; '.join(unread)}. {HOW_TO_METER}"
    if len(trace.missing) == 1:
        return trace.missing[0].why
    return f"this machine has no power meter that can be read; {HOW_TO_METER}"


def _meters(trace: Trace) -> dict[str, Any]:
    found = {one.name: _with_remedy(one.why, one.remedy) for one in trace.missing}
    return {"meters": found} if found else {}


def _with_remedy(why: str, remedy: str | None) -> str:
    return why if remedy is None else f"{why}; {remedy}"


def _not_to_be_believed(why: str) -> str:
    return f"The energy is not known: {why}"
