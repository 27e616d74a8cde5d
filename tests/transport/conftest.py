"""What several tests of the transport are run with."""

from __future__ import annotations

import pytest


@pytest.fixture
def far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are made ready at once, however far away the instant is."""
    monkeypatch.setattr("minionbench.transport.loop.CONNECT_LEAD_NS", 10**15)
