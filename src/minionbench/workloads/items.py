"""Items by their ids: exactly these are asked, in this order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

from minionbench.errors import UsageError
from minionbench.exchange import Request
from minionbench.units import number_of
from minionbench.workloads.jsonl import shown
from minionbench.workloads.workload import Workload

MOST_NAMED = 3
"""Ids that a message names."""


@runtime_checkable
class Recalling(Protocol):
    """A workload whose items can be asked for by their ids."""

    def has(self, item_id: str) -> bool:
        """Whether an id is one of this workload's kind of items."""
        ...

    def request(self, item_id: str, seed: int) -> Request:
        """The request of one item.

        Raises UsageError when there is no such item.
        """
        ...


def has_any(workload: Workload, item_ids: Sequence[str]) -> bool:
    """Whether one of the ids is of a workload's kind of items."""
    return isinstance(workload, Recalling) and any(map(workload.has, item_ids))


def named_requests(
    workloads: Sequence[Workload], item_ids: Sequence[str], seed: int
) -> list[tuple[Request, ...]]:
    """The requests of each workload that the ids name, in the order of the ids.

    An id goes to the first workload that has its kind of items. `seed` is that of the run, which
    goes into the limits; the items' texts depend on their ids alone.

    Raises:
        UsageError: an id is named twice, is of none of the workloads, or names no item; or a
            workload is left without an item.
    """
    twice = [item_id for item_id, count in Counter(item_ids).items() if count > 1]
    if twice:
        raise UsageError(
            f"{_some(twice)} named more than once; --repeats says how often each item is asked."
        )
    found: list[list[Request]] = [[] for _ in workloads]
    strangers: list[str] = []
    for item_id in item_ids:
        place = next((at for at, one in enumerate(workloads) if has_any(one, (item_id,))), None)
        if place is None:
            strangers.append(item_id)
            continue
        chosen = workloads[place]
        assert isinstance(chosen, Recalling)
        found[place].append(chosen.request(item_id, seed))
    if strangers:
        names = ", ".join(workload.name for workload in workloads)
        raise UsageError(
            f"{_some(strangers)} of none of the workloads ({names}). Name their workload with -w, "
            "and their data set with --dataset."
        )
    for workload, requests in zip(workloads, found, strict=True):
        if not requests:
            raise UsageError(f"None of the items is one of {workload.name}; leave it out.")
    return [tuple(requests) for requests in found]


def other_requests(
    workload: Workload, named: Sequence[Request], n: int, seed: int
) -> tuple[Request, ...]:
    """The first n requests of a seed that are not among those named.

    Raises:
        UsageError: the workload has too few items.
    """
    taken = {request.item_id for request in named}

    def others() -> Iterator[Request]:
        if n:
            drawn = workload.requests(n + len(taken), seed)
            yield from (request for request in drawn if request.item_id not in taken)

    try:
        return tuple(islice(others(), n))
    except UsageError as error:
        raise UsageError(
            f"{number_of(n, 'item')} of {workload.name} to warm up with cannot be had beside the "
            f"{len(taken)} that are named; take --warmup 0. {error}"
        ) from error


def _some(item_ids: Sequence[str]) -> str:
    names = ", ".join(map(shown, item_ids[:MOST_NAMED]))
    if len(item_ids) > MOST_NAMED:
        names += f" and {len(item_ids) - MOST_NAMED} more"
    return f"{names} {'is' if len(item_ids) == 1 else 'are'}"
