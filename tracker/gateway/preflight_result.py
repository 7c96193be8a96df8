"""What a visit to the gateway brings home.

Owns plain values only, so that judging them needs no client library.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Reach(StrEnum):
    """Say how far a visit came."""

    NOWHERE = "nowhere"
    """Nothing took the connection."""
    SILENCE = "silence"
    """Something took it and said nothing."""
    STRANGER = "stranger"
    """What answered does not speak this protocol."""
    ID_TAKEN = "id_taken"
    """The gateway lets nobody in under this client id, since another session uses it (326)."""
    HALFWAY = "halfway"
    """The gateway greeted, and the login did not come to its end."""
    IN = "in"


@dataclass(frozen=True, slots=True)
class Clocked:
    """Hold the gateway's time, in whole seconds as it tells it, and ours around it; all aware UTC."""

    asked_at: datetime
    server_time: datetime
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """Hold what a visit heard; None is what was not answered."""

    reach: Reach
    reason: str = ""
    """Why it came no further, in plain words; empty when logged in."""
    accounts: tuple[str, ...] = ()
    server_version: int = 0
    greeting: str = ""
    """The time with which the gateway greets, and the zone that it was logged in with."""
    clocked: Clocked | None = None
    executions_listed: bool = False
    """Whether the answers about the day's executions ended."""
    of_others: int = 0
    """Executions of the day whose order came from another client, orders by hand left out."""
    of_others_with_fee: int = 0
    read_only: bool | None = None
    """Whether the Read-Only API refused a question that it refuses."""
    upstream: str = ""
    """Why the gateway is without IBKR; empty where it has not said so."""
