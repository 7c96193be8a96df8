"""One connection to the shared store's server, whose calls end within a time limit even if the server hangs.

Owns connecting, the deadline of every call, and the words for each failure. It sends nothing that is tied to
a session (no SET, LISTEN, prepared statement, temporary table, session lock), so that PgBouncer in
transaction mode may be in front of the server. It never shows the address with its password.

A server that freezes keeps its sockets open, and psycopg's own timeouts wait for it (psycopg#1371). So a
separate thread shuts down the socket of a call that is overdue.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tracker.core.model import StoreUnavailable
from tracker.core.ports import StoreRefused
from tracker.stores.shared_schema import FENCED

CALL_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 2
_LONGEST_REASON: Final = 300
_NOT_SET_UP: Final = {
    "42501": "give this user the role tracker_seat",
    "3F000": "run `tracker store create` as the owner of the database",
    "42P01": "run `tracker store create` as the owner of the database",
    "42883": "run `tracker store create` as the owner of the database",
    "28000": "correct the user in shared.url, or allow it to connect (pg_hba.conf)",
    "28P01": "correct the user or its password",
    "3D000": "make the database, or correct its name in shared.url",
    "08001": "correct sslmode and sslrootcert in shared.url, or the server's certificate",
}
"""SQLSTATE of an error that does not pass by itself -> what to do."""
_PASSES: Final = {
    "25006": "it is a replica; name the primary in shared.url, or wait until this one is promoted",
    "53300": "raise max_connections, or put PgBouncer before the server",
    "55P03": "another call of this tracker holds its seat",
    "57014": "the server was too busy",
}


class StoreNotSetUp(StoreUnavailable):
    """Say that the server can be reached but lacks something that a person must set up; the message says what
    to do.
    """


class ConnectionLost(StoreUnavailable):
    """Say that the connection had ended, as after a restart of the server; a new one may work at once."""


class SeatLost(Exception):
    """Say that, according to the server, the seat is not this journal's in this epoch."""

    def __init__(self, detail: str | None) -> None:
        super().__init__("the seat is another's")
        found = json.loads(detail or "null")
        self.there: bool = found is not None
        found = found or {}
        self.ours: bool = found.get("ours", True)
        """Whether the seat is this journal's, in any epoch; a seat that does not exist is free."""
        self.epoch: int = found.get("epoch", 0)
        self.host: str = found.get("host", "")
        self.seen_at = datetime.fromisoformat(found["seen_at"]) if "seen_at" in found else None


class _Call(NamedTuple):
    ends: float
    """The time of the deadline, by the monotonic clock."""
    overdue: threading.Event


class Deadlines:
    """End overdue calls of any number of connections; its thread starts with the first call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: dict[socket.socket, _Call] = {}
        self._thread: threading.Thread | None = None
        self._looks_at = math.inf
        """When the thread checks next, by the monotonic clock."""
        self._closed = False

    @contextmanager
    def within(self, seconds: float, connected: socket.socket) -> Iterator[threading.Event]:
        """Shut the socket down if the block takes longer; the event that it yields says whether that
        happened.
        """
        call = _Call(time.monotonic() + seconds, threading.Event())
        with self._changed:
            self._calls[connected] = call
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="store deadlines", daemon=True)
                self._thread.start()
            # Otherwise the thread checks early enough by itself: waking it for each call would cost more than
            # the call.
            if call.ends < self._looks_at:
                self._changed.notify()
        try:
            yield call.overdue
        finally:
            with self._changed:
                self._calls.pop(connected, None)

    def close(self) -> None:
        """Shut down every socket with a call in progress, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for connected, call in list(self._calls.items()):
                    if call.ends <= now:
                        self._shut(connected)
                self._looks_at = min((call.ends for call in self._calls.values()), default=math.inf)
                self._changed.wait(None if math.isinf(self._looks_at) else self._looks_at - now)
            for connected in list(self._calls):
                self._shut(connected)

    def _shut(self, connected: socket.socket) -> None:
        self._calls.pop(connected).overdue.set()
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)


def place_of(url: str) -> str:
    """Return an address in a form for people, without user and password; raises StoreRefused.

    The address is anything that libpq understands: a url, or `service=NAME`.
    """
    try:
        found = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError):
        # The error's message may repeat the address.
        raise StoreRefused(
            "shared.url is not an address that PostgreSQL's clients understand; write it as"
            " postgresql://USER@HOST:PORT/DATABASE"
        ) from None
    if service := found.get("service"):
        return f"the PostgreSQL service {service}"
    host, port, database = found.get("host") or "localhost", found.get("port"), found.get("dbname")
    return f"PostgreSQL {host}{f':{port}' if port else ''}{f'/{database}' if database else ''}"


class Way(NamedTuple):
    """Say where a connection goes, and how it is protected."""

    address: str
    """The server's address; empty for a socket of this machine."""
    encrypted: bool
    verified: bool
    """Whether the server's name is checked against its certificate."""


class ServerConnection:
    """Hold one connection, opened again on request; one thread uses it at a time."""

    def __init__(self, url: str, deadlines: Deadlines) -> None:
        """Take the address, which is a secret; raises StoreRefused where it is invalid."""
        self.name = place_of(url)
        self._url = url
        self._deadlines = deadlines
        self._connection: psycopg.Connection | None = None
        self._socket: socket.socket | None = None
        self._ends: float | None = None
        """When all calls of `within` must have ended."""

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Limit all calls of the block together to so many seconds."""
        self._ends = time.monotonic() + seconds
        try:
            yield
        finally:
            self._ends = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    @property
    def way(self) -> Way:
        """Return where the open connection goes, and how it is protected."""
        assert self._connection is not None, "it is open"
        info = self._connection.info
        socket_of_machine = info.host.startswith("/")
        return Way(
            "" if socket_of_machine else info.hostaddr or info.host,
            bool(self._connection.pgconn.ssl_in_use),
            info.get_parameters().get("sslmode") == "verify-full",
        )

    def open(self) -> None:
        """Connect again; raises StoreUnavailable."""
        self.close()
        try:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=CONNECT_SECONDS,
                fallback_application_name="tracker",
                # Keepalives notice a router that dropped the idle connection before the next fill needs it.
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
            )
            self._socket = socket.socket(fileno=os.dup(self._connection.pgconn.socket))
        except psycopg.Error as error:
            raise self._unavailable(error) from error
        except OSError as error:
            self.close()
            raise StoreUnavailable(f"{self.name} cannot be reached: {error.strerror or error}") from error

    def call(self, query: LiteralString, *values: object) -> Sequence[tuple[Any, ...]]:
        """Return the rows of a query; raises StoreUnavailable, SeatLost."""
        connection, connected = self._connection, self._socket
        seconds = CALL_SECONDS
        if self._ends is not None:
            seconds = min(seconds, max(0.0, self._ends - time.monotonic()))
        assert connection is not None, "it is open"
        assert connected is not None, "it is open"
        with self._deadlines.within(seconds, connected) as overdue:
            try:
                return connection.execute(query, values).fetchall()
            except psycopg.Error as error:
                if error.sqlstate == FENCED:
                    raise SeatLost(error.diag.message_detail) from None
                if overdue.is_set():
                    self.close()
                    raise StoreUnavailable(f"{self.name} did not answer within {CALL_SECONDS:g} s") from error
                if connection.closed or connection.broken:
                    self.close()
                    raise ConnectionLost(str(self._unavailable(error))) from error
                raise self._unavailable(error) from error

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        connected, self._socket = self._socket, None
        if connection is not None:
            connection.close()
        if connected is not None:
            connected.close()

    def _unavailable(self, error: psycopg.Error) -> StoreUnavailable:
        state = error.sqlstate or ""
        # A failed login has no SQLSTATE of its own, only the server's text.
        words = error.diag.message_primary or str(error).removeprefix("connection failed: ")
        reason = " ".join(words.split())[:_LONGEST_REASON] or type(error).__name__
        if step := _NOT_SET_UP.get(state) or _login_step(reason):
            return StoreNotSetUp(f"{self.name} does not serve this tracker: {reason}; {step}")
        if step := _PASSES.get(state):
            reason = f"{reason}; {step}"
        what = "cannot be reached" if self._connection is None or not state else "cannot be used now"
        return StoreUnavailable(f"{self.name} {what}: {reason}")


def _login_step(reason: str) -> str | None:
    found = {
        "password authentication failed": "28P01",
        "no password supplied": "28P01",
        "no pg_hba.conf entry": "28000",
        "certificate verify failed": "08001",
        "server certificate for": "08001",
        "root certificate file": "08001",
        "server does not support SSL": "08001",
    }
    state = next((state for words, state in found.items() if words in reason), None)
    if state is None and "database" in reason and "does not exist" in reason:
        state = "3D000"
    if state is None and "role" in reason and "does not exist" in reason:
        state = "28000"
    return None if state is None else _NOT_SET_UP[state]
