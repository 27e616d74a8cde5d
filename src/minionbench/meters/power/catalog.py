"""All kinds of meters that this program knows, asked in turn."""

from __future__ import annotations

from collections.abc import Iterable

from minionbench.meters.power.meter import Found, PowerSettings

SWITCHED_OFF = "the meters were switched off (--no-meters)"


def find_meters(wanted: PowerSettings) -> tuple[Found, ...]:
    """What each kind of meter says of this machine; those that are there are open.

    Raises MeterError when a meter that was asked for by name cannot be read.
    """
    if wanted.off:
        return (Found(name="power meters", status="unavailable", reason=SWITCHED_OFF),)
    from minionbench.meters.power import amd, apple, jetson, nvidia, rapl, tdp, wall

    found: list[Found] = []
    try:
        for kind in (wall, rapl, nvidia, amd, apple, jetson, tdp):
            found.extend(kind.find(wanted))
    except BaseException:  # Ctrl-C too: a meter may be a process, which would go on
        close_all(found)
        raise
    return tuple(found)


def close_all(found: Iterable[Found]) -> None:
    """Closes the meters that are there."""
    for one in found:
        if one.meter is not None:
            one.meter.close()
