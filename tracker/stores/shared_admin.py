"""Administer the shared store for a person: create it, list its seats, free one.

Owns these few statements, run as the owner of the database, and the words for their failures. A running
tracker never uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import psycopg

from tracker.stores.shared_connection import CONNECT_SECONDS, place_of
from tracker.stores.shared_setup import OLDEST_SERVER, SchemaCreated, create_schema


class StoreCommandFailed(Exception):
    """Say that the database could not be reached, or refused; the message says what to do."""

    def __init__(self, message: str, *, reached: bool) -> None:
        super().__init__(message)
        self.reached = reached


class Seat(NamedTuple):
    """Hold one seat as the view `seats` shows it."""

    seat: str
    host: str
    """The host on which its tracker runs; empty after it was freed."""
    accounts: Sequence[str]
    seen_at: datetime
    open_alerts: int
    """How many records are open at this seat."""


class Freed(NamedTuple):
    """Say what happened to a freed seat."""

    host: str
    """The host that had the seat."""
    seen_at: datetime
    open_alerts: int
    """How many records are still open at the seat; 0 where it was forgotten."""
    closed: int
    """How many records were closed because the seat was forgotten."""
    accounts: Sequence[str]
    """The accounts that it gave back."""


def create(url: str, zone: str) -> SchemaCreated:
    """Bring schema and roles to the newest version; raises StoreCommandFailed, StoreRefused."""
    with _connected(url) as connection:
        if connection.info.server_version < OLDEST_SERVER * 10_000:
            raise StoreCommandFailed(
                f"{place_of(url)} is version {connection.info.server_version // 10_000}; PostgreSQL"
                f" {OLDEST_SERVER} or newer is needed",
                reached=True,
            )
        return create_schema(connection, zone)


def seats(url: str) -> list[Seat]:
    """Return all seats, by name; raises StoreCommandFailed, StoreRefused."""
    with _connected(url) as connection:
        rows = connection.execute(
            "SELECT seat, host, accounts, seen_at,"
            " (SELECT count(*) FROM tracker.alerts WHERE seats.seat = ANY (alerts.seats))"
            " FROM tracker.seats ORDER BY seat"
        ).fetchall()
        return [Seat(*row) for row in rows]


def free(url: str, seat: str, *, forget: bool) -> Freed | None:
    """Let another journal take a seat; None where there is no such seat.

    Its parts stay, so that no alert closes. With `forget` its accounts are released and each of its parts is
    closed. Raises StoreCommandFailed, StoreRefused.
    """
    with _connected(url) as connection, connection.transaction():
        found = connection.execute(
            "SELECT host, seen_at FROM tracker.seat WHERE seat = %s FOR UPDATE", (seat,)
        ).fetchone()
        if found is None:
            return None
        connection.execute("UPDATE tracker.seat SET journal = NULL, host = '' WHERE seat = %s", (seat,))
        accounts: list[str] = []
        closed = 0
        if forget:
            rows = connection.execute(
                "DELETE FROM tracker.account WHERE seat = %s RETURNING account", (seat,)
            ).fetchall()
            accounts = sorted(row[0] for row in rows)
            # Closed, not deleted: a mirror could not distinguish a record without parts from a new one.
            closed = connection.execute(
                "UPDATE tracker.part SET open = false, changed = pg_current_xact_id(), position = position ||"
                " jsonb_build_object('quantity', 0, 'closed_by', NULL, 'closed_at',"
                " to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"'))"
                " WHERE seat = %s AND open AND NOT removed",
                (seat,),
            ).rowcount
        left = connection.execute(
            "SELECT count(*) FROM tracker.alerts WHERE %s = ANY (seats)", (seat,)
        ).fetchone()
        return Freed(found[0], found[1], left[0] if left is not None else 0, closed, accounts)


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    name = place_of(url)
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=CONNECT_SECONDS, fallback_application_name="tracker"
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        words = " ".join(str(error).removeprefix("connection failed: ").split())
        raise StoreCommandFailed(
            f"{name} cannot be reached: {words}; start or repair the server, or correct shared.url",
            reached=False,
        ) from None
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.UndefinedTable,
        psycopg.errors.InvalidSchemaName,
    ) as error:
        raise StoreCommandFailed(
            f"{name} refuses: {error.diag.message_primary}; do this as the owner of the database, after"
            " `tracker store create`",
            reached=True,
        ) from None
    except psycopg.Error as error:
        raise StoreCommandFailed(
            f"{name} refuses: {error.diag.message_primary or type(error).__name__}", reached=True
        ) from None
