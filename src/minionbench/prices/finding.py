"""Where the prices of a run come from: the user's word, the user's table, the catalogue."""

from __future__ import annotations

import msgspec

from minionbench.prices.charges import Charges, RemoteName
from minionbench.prices.price import Price
from minionbench.prices.table import PriceTable
from minionbench.prices.tariff import Tariff

FLAG = "--remote-price"
ADVICE = "give it with --remote-price IN[,CACHED],OUT, or in a file with --prices"


def find_charges(
    remote: RemoteName,
    *,
    named: str,
    given: Price | None = None,
    table: PriceTable | None = None,
    base_url: str | None = None,
    elsewhere: bool = True,
    own_address: bool = True,
) -> Charges:
    """By which prices the calls of a remote side are charged; why by none, where there are none.

    `named` is the model as the user named it, by which the table is searched. `elsewhere` False is
    a remote side that is served on this machine: only the user gives that a price. `own_address`
    False is a provider's model that is asked for at another address.
    """
    tariff = _given(remote, named, given, table)
    why: str | None = None
    if tariff is None and not elsewhere:
        why = f"the remote side was served on this machine and has no price: {ADVICE}"
    elif tariff is None:
        from minionbench.prices.catalog import listed

        found = listed(remote.provider, remote.model, base_url)
        tariff = found.tariff
        if tariff is None:
            why = f"{found.why_none}: {ADVICE}"
        elif not own_address:
            note = f"It was asked for at another address than {tariff.provider}'s own"
            tariff = msgspec.structs.replace(tariff, note=note)
    return Charges(remote=remote, served_here=not elsewhere, tariff=tariff, why_none=why)


def _given(
    remote: RemoteName, named: str, given: Price | None, table: PriceTable | None
) -> Tariff | None:
    if given is not None:
        return Tariff.of(given, model=remote.model, source=FLAG)
    return None if table is None else table.find(named)
