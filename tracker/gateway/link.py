"""The state of the link, as `status` shows it, and the options that it is made with.

It holds plain values only, and does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final


class LinkPhase(StrEnum):
    """Name what the link is doing."""

    CONNECTING = "connecting"
    SYNCING = "syncing"
    """Logged in; the day's executions are being fetched."""
    UP = "up"
    UPSTREAM_DOWN = "upstream_down"
    """The socket is up, but the gateway has lost IBKR."""
    WAITING = "waiting"
    """Down; the next attempt has a time."""
    REFUSED = "refused"
    """The login does not belong to this journal; tried again at long intervals."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class LinkState:
    """Say what state the link is in; every time is aware UTC."""

    state: LinkPhase
    since: datetime
    """When `state` began."""
    reason: str
    """The reason in plain words, with what happens next."""
    next_attempt_at: datetime | None = None
    subscribed: bool = False
    """Whether the link is up and the first sweep of this connection was answered or timed out."""
    planned: bool = False
    """Whether the trouble is within a planned reset of IBKR, so that it is not an error."""
    accounts: tuple[str, ...] = ()
    """Managed accounts of the present or last login."""
    server_version: int = 0
    last_frame_at: datetime | None = None
    last_sweep_at: datetime | None = None
    """When a sweep of all accounts last ended."""
    last_sweep_timed_out: bool = False
    attempts: int = 0
    """Attempts since the last link that lasted, the present one included."""
    connection_no: int = 0


_SECONDS_PER_EXECUTION: Final = 0.005
"""The seconds for each listed execution: two hundred times the time it takes to recognise a known one, so
that sweeps take little of a busy day.
"""
_LONGEST_PAUSE: Final = 240.0
"""The longest pause between sweeps: a sweep proves the end of a day only in its last five minutes."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """Hold how to connect and how patiently; durations in seconds."""

    host: str
    port: int
    client_id: int
    login_zone: tzinfo
    """The zone that TWS was logged in with, for execution times that name none."""
    bind_manual_orders: bool = False
    connect_timeout: float = 10.0
    request_timeout: float = 20.0
    silent_timeout: float = 5.0
    """The limit for the next answer of a broker snapshot after an unanswered request; `request_timeout`
    limits it too.
    """
    probe_seconds: float = 30.0
    probe_timeout: float = 10.0
    """Never longer than `request_timeout`."""
    sweep_seconds: float = 15.0
    snapshot_seconds: float = 180.0
    """The time between two position snapshots on the timer."""
    gap_seconds: float = 1.0
    """The shortest time between the end of a sweep or a snapshot and the next one, whoever requests it."""
    quiet_seconds: float = 2.0
    """A sweep that brought executions, and then nothing for so long, is noted as quiet."""
    retry_first: float = 1.0
    retry_most: float = 60.0
    steady_seconds: float = 60.0
    """A link that lasted less than this counts as a failed attempt."""
    silent_upstream_seconds: float = 300.0
    """So long after notice 2110 the link is made again, since no notice may ever revoke 2110."""

    def sweep_pause(self, listed: int) -> float:
        """Return the seconds until the next sweep on the timer, after one that listed so many executions."""
        return max(self.sweep_seconds, min(_LONGEST_PAUSE, listed * _SECONDS_PER_EXECUTION))
