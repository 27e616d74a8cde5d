"""Gates: how many calls an endpoint takes at once, and who goes next."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


class Gate(Generic[Waiting]):
    """A number of slots that calls wait for, shared out round-robin by request.

    A request that asks for many calls at once does not keep the others out: each free slot goes
    to the next request in turn, and to that request's oldest call.
    """

    def __init__(self, slots: int | None) -> None:
        """`slots` is the number of calls let in at once; None lets all in."""
        if slots is not None and slots < 1:
            raise ValueError("a gate needs at least one slot")
        self.slots = slots
        self.taken = 0
        self._turns: OrderedDict[Hashable, deque[Waiting]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return sum(len(queue) for queue in self._turns.values())

    def enter(self) -> bool:
        """Takes a slot; False when none is free."""
        if self.slots is not None and self.taken >= self.slots:
            return False
        self.taken += 1
        return True

    def wait(self, request: Hashable, call: Waiting) -> None:
        """Queues a call that found no slot free."""
        self._turns.setdefault(request, deque()).append(call)

    def leave(self) -> Waiting | None:
        """Gives a slot back; the call that takes it over, None when nobody waits."""
        if not self._turns:
            self.taken -= 1
            return None
        request, queue = self._turns.popitem(last=False)
        call = queue.popleft()
        if queue:
            self._turns[request] = queue
        return call

    def forget(self, request: Hashable, call: Waiting) -> bool:
        """Takes a call out of the queue; False when it was not in it."""
        queue = self._turns.get(request)
        if queue is None or call not in queue:
            return False
        queue.remove(call)
        if not queue:
            del self._turns[request]
        return True
