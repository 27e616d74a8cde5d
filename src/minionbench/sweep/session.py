"""One session: the engines of a cell started or attached to, one repeat measured, and their end."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from minionbench.clock import ClockAnchor, monotonic_ns, utc_now
from minionbench.counting import count_afterwards
from minionbench.errors import DeploymentError, MinionbenchError, UsageError
from minionbench.experiment import planned_candidates, reasoning_to_find, serving
from minionbench.measuring import Cell, Observer, measure
from minionbench.metering import Metering
from minionbench.records import RequestRecord
from minionbench.runner import StopSwitch
from minionbench.sides import require_named_keys
from minionbench.store import RunFolder
from minionbench.sweep.grid import Candidate
from minionbench.sweep.purse import Purse
from minionbench.sweep.sessions import Session, keep
from minionbench.units import seconds

UNEXPECTED = "minionbench failed at this session, which is a bug"


class Bench(NamedTuple):
    """What all sessions of a sweep are measured with."""

    folder: RunFolder
    stop: StopSwitch
    observer: Observer
    metering: Metering
    purse: Purse


def run_session(
    bench: Bench,
    candidate: Candidate,
    cell: Cell,
    begun: Session,
    earlier: Sequence[RequestRecord],
) -> Session:
    """Measures one repeat of a cell; what goes wrong with it is told by the session.

    `begun` says which one it is. `earlier` are the records that a broken-off session has left of
    this repeat: what they hold is not asked again. That the engines serve is kept on file before
    anything is sent.

    Raises SetupError when the results cannot be kept, KeyboardInterrupt while engines start.
    """
    now = msgspec.structs.replace(cell, session=begun.repeat)
    rows = bench.folder.journal().rows
    try:
        return _measured(bench, candidate, now, begun, earlier)
    except (DeploymentError, UsageError) as error:
        return msgspec.structs.replace(begun, why=str(error))
    except MinionbenchError:
        raise
    except Exception as fault:  # noqa: BLE001 - a fault of ours with one cell must not cost the others their night
        path = bench.folder.log_folder() / f"{cell.cell_id}.{begun.repeat}.fault.txt"
        path.write_text("".join(traceback.format_exception(fault)), encoding="utf-8")
        said = f"{UNEXPECTED}: {type(fault).__name__}: {fault}. More is in {path}"
        return msgspec.structs.replace(begun, why=said)
    finally:
        bench.stop.heeded = True
        left = now.total - (bench.folder.journal().rows - rows)
        if left:
            bench.observer.left_out(left, left * now.calls)


def _measured(
    bench: Bench,
    candidate: Candidate,
    cell: Cell,
    begun: Session,
    earlier: Sequence[RequestRecord],
) -> Session:
    settings = candidate.settings_of(cell)
    # A key that is named and not there fails the cells that need it, and no other.
    require_named_keys(settings, candidate.models)
    opened_ns = monotonic_ns()
    bench.stop.heeded = False
    with serving(
        settings,
        candidate.models,
        candidate.cells,
        candidate.deployments,
        bench.folder.log_folder(),
        bench.observer.stage,
    ) as engines:
        asked = {candidate.member: [cell]}
        planned = planned_candidates(settings, candidate.models, asked, engines)[0]
        allowance = bench.purse.allowance(settings, planned)
        pricing = planned.charges.pricing(ClockAnchor.now())
        if pricing is not None:
            bench.observer.costs(pricing.request_usd, settings.max_cost_usd)
        begun = msgspec.structs.replace(
            begun,
            started=utc_now().isoformat(timespec="seconds"),
            start_s=seconds(monotonic_ns() - opened_ns),
            engines={side: engine.facts for side, engine in engines.items()},
            planned=planned,
        )
        keep(bench.folder.folder, begun)
        bench.stop.heeded = True
        try:
            measured = measure(
                [cell],
                candidate.deployments,
                engines,
                bench.folder.journal(),
                stop=bench.stop,
                observer=bench.observer,
                keep_text=settings.keep_text,
                cold=None if settings.engine.cache_prompt else True,
                earlier={cell.cell_id: earlier},
                reasoning=reasoning_to_find(settings.reasoning_wish, engines),
                allowance=allowance,
                metering=bench.metering,
                # Where all is elsewhere, there is nothing here whose idling would tell anything.
                baseline=any(not engine.facts.remote for engine in engines.values()),
            )
        finally:
            bench.purse.settle(allowance)
        (measured_cell,) = count_afterwards(
            measured, engines, bench.folder.journal(), stop=bench.stop
        )
    return begun.with_measured(measured_cell)
