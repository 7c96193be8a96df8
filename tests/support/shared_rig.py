"""A shared store for tests: its schema in a fresh database, a producer of records, and what readers see."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, tzinfo
from types import TracebackType
from typing import Any
from uuid import uuid4

from tests.support.fakes import Records
from tests.support.postgres import Database
from tracker.clock import now
from tracker.core.alerters import AlerterNames
from tracker.core.model import Alert, AlertId
from tracker.stores.alert_reader import read_id
from tracker.stores.shared import SharedAlerts, SharedOptions
from tracker.stores.shared_setup import create_schema

ROLES = ("tracker_seat", "tracker_producer", "tracker_reader")


class SharedRig:
    """Hold one database with the schema, and open stores of any seats on it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.connect() as connection:
            self.created = create_schema(connection, "UTC")
        self._stack = ExitStack()

    def __enter__(self) -> SharedRig:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # Trackers.

    def store(
        self,
        seat: str = "left",
        journal: str = "",
        *,
        host: str = "",
        port: int | None = None,
        url: str = "",
        zone: tzinfo = UTC,
        zone_name: str = "UTC",
        names: AlerterNames | None = None,
        enrich: Callable[[Alert], Alert] = lambda alert: alert,
        poll_seconds: float = 0.05,
        clock: Callable[[], datetime] = now,
        known_epoch: int = 0,
        remember: Callable[[int], None] = lambda epoch: None,
    ) -> SharedAlerts:
        """Return the store of one tracker, closed with the rig; another port is that of a proxy."""
        identity = journal or str(uuid4())
        store = SharedAlerts(
            SharedOptions(
                url or self.database.url_of("tracker_seat", port=port),
                seat, host or f"{seat}-host", zone_name, poll_seconds,
            ),
            zone=zone, now=clock, names=names or AlerterNames(), enrich=enrich, journal=identity,
            known_epoch=known_epoch, remember=remember,
        )  # fmt: skip
        self._stack.callback(store.close)
        return store

    # The producer, and readers.

    def put(self, records: Records, source: str = "box") -> None:
        """Put these records, and retire all others."""
        with self.database.connect() as connection:
            there = connection.execute("SELECT alerter, ticker, created_at, option_conid FROM tracker.alerts")
            kept = {(alerter, ticker) for alerter, tickers in records.items() for ticker in tickers}
            for row in there.fetchall():
                if row[:2] not in kept:
                    connection.execute("SELECT tracker.retire_alert(%s, %s, %s, %s, 'gone')", row)
            for alerter, tickers in records.items():
                for ticker, record in tickers.items():
                    put_alert(connection, read_id(alerter, ticker, record), record, source)

    def records(self) -> Records:
        """Return the current records as readers see them."""
        found: Records = {}
        for alerter, ticker, record in self.database.rows(
            "SELECT alerter, ticker, record FROM tracker.alerts ORDER BY put_at"
        ):
            found.setdefault(alerter, {})[ticker] = record
        return found

    def parts(self) -> Sequence[tuple[str, str, bool, bool, dict[str, Any] | None]]:
        """Return (ticker, seat, open, removed, position) of every part."""
        return self.database.rows(
            "SELECT ticker, seat, open, removed, position FROM tracker.part"
            " JOIN tracker.alert USING (alert_id) ORDER BY ticker, seat"
        )

    def lose_parts(self) -> None:
        """Have the server forget all parts, and cut all others: a failover to a replica that lagged."""
        with self.database.connect() as connection:
            connection.execute("DELETE FROM tracker.part")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def put_alert(
    connection: Any, alert: AlertId, record: dict[str, Any], source: str = "box", hints: str = "[]"
) -> int | None:
    """Put one record as its producer does; returns its number."""
    without = {key: value for key, value in record.items() if key not in ("last_order_update", "position")}
    row = connection.execute(
        "SELECT tracker.put_alert(%s, %s, %s, %s, %s, %s, %s)",
        (*alert, json.dumps({**without, "open": False}), hints, source),
    ).fetchone()
    found: int | None = row[0]
    return found
