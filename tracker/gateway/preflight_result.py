"""What a preflight check of the gateway found.

It holds plain values only, so that judging them needs no client library.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Reach(StrEnum):
    """Say how far the connection came."""

    NOWHERE = "nowhere"
    """Nothing accepts connections."""
    SILENCE = "silence"
    """Something accepts connections and sends nothing."""
    STRANGER = "stranger"
    """What answered does not speak this protocol."""
    ID_TAKEN = "id_taken"
    """Another program uses this client id (326)."""
    HALFWAY = "halfway"
    """The gateway greeted, but the login was not finished."""
    IN = "in"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Hold the gateway's time, which comes in whole seconds, and ours around it; all aware UTC."""

    asked_at: datetime
    server_time: datetime
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """Hold the answers; None where there was none."""

    reach: Reach
    reason: str = ""
    """Why the connection came no further, in plain words; empty after a login."""
    accounts: tuple[str, ...] = ()
    server_version: int = 0
    greeting: str = ""
    """The time in the gateway's greeting, and the zone that it was logged in with."""
    clocked: ClockReading | None = None
    executions_listed: bool = False
    """Whether the answers about the day's executions were complete."""
    of_others: int = 0
    """Executions of the day whose order came from another client, orders by hand left out."""
    of_others_with_fee: int = 0
    read_only: bool | None = None
    """Whether the gateway's Read-Only API is on: it refuses completed orders."""
    upstream: str = ""
    """Why the gateway has no link to IBKR; empty where it has not reported that."""
