"""What a session shows of its link, and what others want of it.

Owns the current `LinkState` and the open wishes for sweeps and snapshots, which outlive one connection. It
neither connects nor asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from loguru import logger

from tracker.gateway.broker_snapshot import BrokerSnapshot
from tracker.gateway.link import LinkPhase, LinkState

_TROUBLE = (LinkPhase.WAITING, LinkPhase.REFUSED, LinkPhase.UPSTREAM_DOWN)


class LinkMonitor:
    """Hold the state of the link and tell of its changes."""

    def __init__(self, now: Callable[[], datetime], on_state: Callable[[LinkState], None]) -> None:
        self._now = now
        self._on_state = on_state
        self._state = LinkState(LinkPhase.CONNECTING, now(), "not started yet")
        self.last_frame_at: datetime | None = None
        """Kept apart from the state, since it changes with every packet and is nobody's news."""

    @property
    def state(self) -> LinkState:
        return replace(self._state, last_frame_at=self.last_frame_at)

    def change(self, **changes: Any) -> None:
        """Take over changes of LinkState's fields and tell of them, if they are any."""
        before = self._state
        if changes.get("state", before.state) is not before.state:
            changes["since"] = self._now()
        after = replace(before, **changes)
        if after == before:
            return
        self._state = after
        if (after.state, after.reason) != (before.state, before.reason):
            level = "WARNING" if after.state in _TROUBLE and not after.planned else "INFO"
            logger.log(level, "link {}: {}", after.state, after.reason)
        self._on_state(self.state)


class PendingRequests:
    """Hold what was asked of the link and not yet done; equal wishes are one."""

    def __init__(self) -> None:
        self.sweep = asyncio.Event()
        self.errand = asyncio.Event()
        """Set when `positions` becomes wanted."""
        self.positions = False
        self.looks: list[asyncio.Future[BrokerSnapshot]] = []
        """Who waits for a look; one look answers all of them."""

    def want_look(self) -> asyncio.Future[BrokerSnapshot]:
        """Return what will hold the next look that begins from now on."""
        look: asyncio.Future[BrokerSnapshot] = asyncio.get_running_loop().create_future()
        self.looks.append(look)
        self.sweep.set()
        return look

    def want_sweep(self) -> None:
        self.sweep.set()

    def want_positions(self) -> None:
        self.positions = True
        self.errand.set()
