"""Keep the state of the link, and the requests that wait for it.

Owns the current `LinkState` and the pending requests for sweeps, positions and broker snapshots, which
outlive one connection. It neither connects nor sends requests.
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
    """Hold the state of the link, and emit its changes."""

    def __init__(self, now: Callable[[], datetime], on_state: Callable[[LinkState], None]) -> None:
        self._now = now
        self._on_state = on_state
        self._state = LinkState(LinkPhase.CONNECTING, now(), "not started yet")
        self.last_frame_at: datetime | None = None
        """Kept separate from the state, since it changes with every packet and is not published."""

    @property
    def state(self) -> LinkState:
        return replace(self._state, last_frame_at=self.last_frame_at)

    def update(self, **changes: Any) -> None:
        """Change fields of the LinkState, and emit the new state if it differs."""
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
    """Hold the requests that are not done yet; equal requests count as one."""

    def __init__(self) -> None:
        self.sweep = asyncio.Event()
        self.positions = False
        self.positions_added = asyncio.Event()
        """Set when `positions` becomes true."""
        self.snapshots: list[asyncio.Future[BrokerSnapshot]] = []
        """The futures that wait for a broker snapshot; one snapshot answers all of them."""

    def add_snapshot(self) -> asyncio.Future[BrokerSnapshot]:
        """Return a future for the next broker snapshot that begins from now on."""
        snapshot: asyncio.Future[BrokerSnapshot] = asyncio.get_running_loop().create_future()
        self.snapshots.append(snapshot)
        self.sweep.set()
        return snapshot

    def add_sweep(self) -> None:
        self.sweep.set()

    def add_positions(self) -> None:
        self.positions = True
        self.positions_added.set()
