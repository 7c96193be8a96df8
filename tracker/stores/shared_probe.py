"""One look at the shared store for `tracker doctor`, as a tracker of this machine would reach it.

Owns the queries that show whether a tracker could run on it. It writes nothing, takes no seat, and returns
plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from tracker.core.model import StoreUnavailable
from tracker.core.ports import StoreRefused
from tracker.stores.shared_connection import Deadlines, ServerConnection, place_of
from tracker.stores.shared_schema import MIGRATIONS

_FUNCTIONS: Final = ("take_seat", "claim_accounts", "write_parts", "alerts_since", "own_parts")


class SeatFacts(NamedTuple):
    """Hold the public facts of a seat."""

    host: str
    """The host of its tracker; empty for a free seat."""
    accounts: tuple[str, ...]
    seen_at: datetime


class StoreFacts(NamedTuple):
    """Hold what one look found; fields that could not be read after a failure have their defaults."""

    name: str
    """The store's name, without user and password."""
    trouble: str = ""
    """Why the server was not reached, with the next step."""
    user: str = ""
    address: str = ""
    """The server's address; empty for a socket of this machine."""
    encrypted: bool = False
    verified: bool = False
    """Whether the server's name is checked against its certificate."""
    server_version: int = 0
    """Major and minor in one number, as PostgreSQL counts: 150018."""
    is_replica: bool = False
    schema: int = 0
    """The schema's version; 0 where there is none, or this user may not see it."""
    newest_schema: int = 0
    functions: tuple[str, ...] = _FUNCTIONS
    """The functions that a tracker calls and the server has."""
    lacking: tuple[str, ...] = ()
    """Those functions that this user may not call."""
    may_put: bool = False
    """Whether this user may put alerts, as a mirror does."""
    zone: str = ""
    clock_ahead: timedelta = timedelta(0)
    """How far the server's clock is ahead of this host's."""
    seats: Mapping[str, SeatFacts] = {}
    alerts: int = 0
    """How many records are current."""
    open_alerts: int = 0


def look_at_store(url: str, now: Callable[[], datetime]) -> StoreFacts:
    """Connect once and ask; a failure is part of the result and not raised."""
    try:
        name = place_of(url)
    except StoreRefused as error:
        return StoreFacts("the shared store", trouble=str(error))
    deadlines = Deadlines()
    connection = ServerConnection(url, deadlines)
    try:
        connection.open()
        found = _look(connection, name, now)
        return found._replace(newest_schema=len(MIGRATIONS))
    except StoreUnavailable as error:
        return StoreFacts(name, trouble=str(error))
    finally:
        connection.close()
        deadlines.close()


def _look(connection: ServerConnection, name: str, now: Callable[[], datetime]) -> StoreFacts:
    before = now()
    ((user, version, replica, server_time, may_look),) = connection.call(
        "SELECT current_user, current_setting('server_version_num')::int, pg_is_in_recovery(),"
        " clock_timestamp(), coalesce(has_schema_privilege(to_regnamespace('tracker'), 'USAGE'), false)"
    )
    middle = before + (now() - before) / 2
    way = connection.way
    found = StoreFacts(
        name,
        user=user,
        address=way.address,
        encrypted=way.encrypted,
        verified=way.verified,
        server_version=version,
        is_replica=replica,
        clock_ahead=server_time - middle,
    )
    if not may_look:
        return found
    ((schema, zone),) = connection.call("SELECT version, zone FROM tracker.about")
    allowed = connection.call(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'tracker'::regnamespace"
        " AND has_function_privilege(oid, 'EXECUTE')"
    )
    may = {row[0] for row in allowed}
    seats = connection.call("SELECT seat, host, accounts, seen_at FROM tracker.seats")
    ((alerts, open_alerts),) = connection.call(
        "SELECT count(*), count(*) FILTER (WHERE open) FROM tracker.alerts"
    )
    return found._replace(
        schema=schema,
        zone=zone,
        may_put="put_alert" in may,
        lacking=tuple(name for name in _FUNCTIONS if name not in may),
        seats={seat: SeatFacts(host, tuple(accounts), seen_at) for seat, host, accounts, seen_at in seats},
        alerts=alerts,
        open_alerts=open_alerts,
    )
