"""Serve a producer of alerts: put records into the shared store, retire them, read what trackers say about
them.

Owns the calls of the role `tracker_producer` and the reading of the views. It writes no part of a record:
only trackers do that, each under its seat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
import psycopg

from tracker.core.model import AlertId, StoredContract, StoreUnavailable, Value
from tracker.stores.shared_connection import Deadlines, ServerConnection, StoreNotSetUp
from tracker.stores.shared_schema import REFUSED

_UNREADABLE: Final = "22"
"""Begins the SQLSTATE of values that PostgreSQL cannot keep, as a text with \\u0000 in it."""
_NO_RIGHT: Final = "42501"


class RecordRefused(Exception):
    """Say that the store will never accept this record; the message says why."""


class SummedRecord(NamedTuple):
    """Hold one current record, and the sum of the parts of all seats."""

    alert: AlertId
    source: str
    """The source that put the record."""
    seats: Sequence[str]
    """The seats at which it is open."""
    open: bool
    last_order_update: Mapping[str, Value] | None
    position: Mapping[str, Value] | None
    doc: str
    """The producer's text, without the tracker's two objects."""
    removed: bool
    """Whether every seat with a part of it has removed it (closing.policy = remove)."""

    @property
    def has_part(self) -> bool:
        """Return whether any tracker has written a part of it."""
        return self.open or self.last_order_update is not None or self.position is not None


class SharedProducer:
    """Use the store as one source of alerts; only one thread may use it."""

    def __init__(self, url: str, source: str) -> None:
        """Take the address, a secret, and the name under which records are put; raises StoreRefused."""
        self._deadlines = Deadlines()
        self._connection = ServerConnection(url, self._deadlines)
        self._source = source

    @property
    def name(self) -> str:
        """Return where the store is, without user and password."""
        return self._connection.name

    def put(self, alert: AlertId, doc: str, hints: Sequence[StoredContract]) -> bool:
        """Put a record; putting the same again changes nothing. False where another source has a newer one.

        Raises RecordRefused; StoreUnavailable, and then it is unknown whether it was put.
        """
        try:
            rows = self._call(
                "SELECT tracker.put_alert(%s, %s, %s, %s, %s::json, %s::jsonb, %s)",
                *(alert.alerter, alert.ticker, alert.created_at, alert.option_conid),
                *(doc, msgspec.json.encode(tuple(hints)).decode(), self._source),
            )
        except StoreUnavailable as error:
            state = _sqlstate(error)
            if state == REFUSED or state.startswith(_UNREADABLE):
                raise RecordRefused(_words(error.__cause__)) from None
            raise
        except (UnicodeEncodeError, psycopg.DataError) as error:
            # A name with half a surrogate pair, or with NUL, cannot be sent at all.
            raise RecordRefused(str(error)) from None
        return rows[0][0] is not None

    def retire(self, alert: AlertId, why: str) -> bool:
        """Retire the record with exactly this identity; False where it is not current.

        Raises StoreUnavailable.
        """
        rows = self._call(
            "SELECT tracker.retire_alert(%s, %s, %s, %s, %s)",
            *(alert.alerter, alert.ticker, alert.created_at, alert.option_conid, why),
        )
        return bool(rows[0][0])

    def summed(self) -> Sequence[SummedRecord]:
        """Return every current record, including those that all seats removed. Raises StoreUnavailable."""
        rows = self._call(
            "SELECT alerter, ticker, created_at, option_conid, source, seats, open,"
            " last_order_update, position, doc::text, false FROM tracker.alerts"
            " UNION ALL SELECT alerter, ticker, created_at, option_conid, source, '{}', false,"
            " NULL, NULL, doc::text, true FROM tracker.removed ORDER BY 1, 2"
        )
        return [SummedRecord(AlertId(*row[:4]), *row[4:6], *row[6:]) for row in rows]

    def close(self) -> None:
        self._connection.close()
        self._deadlines.close()

    def _call(self, query: LiteralString, *values: object) -> Sequence[tuple[Any, ...]]:
        # No second attempt where the connection had ended: the caller must know, since the server may have
        # lost a put.
        try:
            if not self._connection.is_open:
                self._connection.open()
            return self._connection.call(query, *values)
        except StoreNotSetUp as error:
            if _sqlstate(error) != _NO_RIGHT:
                raise
            raise StoreNotSetUp(
                f"{self.name} does not let this user put alerts; give it the role tracker_producer"
            ) from error


def _sqlstate(error: StoreUnavailable) -> str:
    cause = error.__cause__
    return (cause.sqlstate or "") if isinstance(cause, psycopg.Error) else ""


def _words(cause: BaseException | None) -> str:
    """Return the server's own words about a record, with the place in it if the server names one."""
    if not isinstance(cause, psycopg.Error):
        return "it cannot be kept"
    found = [text for text in (cause.diag.message_primary, cause.diag.message_detail) if text]
    return ": ".join(found) or "it cannot be kept"
