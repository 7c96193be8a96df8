"""The alerts that several trackers share, in PostgreSQL.

Owns when the server is read and written, and what is known about it in between. A tracker writes only its own
part of a record, as absolute values, so a repeated write changes nothing; it never reads or adds up the parts
of others. After each reconnect everything is read again: the pump's comparison finds what the server lost in
a failover, and writes it again.

Two connections: one reads what changed each `poll_seconds`, in a thread of its own, and shows that the
tracker is there; one writes, in the thread that calls `apply`. Questions are answered from memory.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from random import random
from types import TracebackType
from typing import Any, Final

from loguru import logger

from tracker.core.alerters import AlerterNames
from tracker.core.model import (
    Alert,
    AlertId,
    AlertUpdate,
    Execution,
    JsonValue,
    Outcome,
    StoreUnavailable,
)
from tracker.core.ports import Shown, StoreRefused
from tracker.stores.lock import Locked
from tracker.stores.shared_connection import (
    CALL_SECONDS,
    CONNECT_SECONDS,
    ConnectionLost,
    Deadlines,
    ServerConnection,
    StoreNotSetUp,
)
from tracker.stores.shared_records import SeatPart, SharedRecords, SharedRow, read_json_object
from tracker.stores.shared_seat import HeldSeat

_BEAT_SECONDS: Final = 15.0
_FIRST_LOOK_SECONDS: Final = 4.0
"""How long a start waits for the server, so that a seat that is taken is noticed before anything begins."""
_RETRY_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_NO_UPDATES: Final = "[]"


@dataclass(frozen=True, slots=True)
class SharedOptions:
    """Say which store to use, and under which seat."""

    url: str
    """The address of the database; a secret."""
    seat: str
    host: str
    zone_name: str
    """`stores.timezone`, which is the same for all trackers of the store."""
    poll_seconds: float = 1.0


class SharedAlerts:
    """Keep this tracker's parts in one shared store; implements `StorePort`.

    `refresh` reads the server only where no `hold` has started the reading thread. Raises Fenced (a Locked)
    from `hold`, `keep`, `refresh` and `apply` once another tracker has the seat or an account.
    """

    def __init__(
        self,
        options: SharedOptions,
        *,
        zone: tzinfo,
        now: Callable[[], datetime],
        names: AlerterNames,
        journal: str | None,
        enrich: Callable[[Alert], Alert] = lambda alert: alert,
        known_epoch: int = 0,
        remember: Callable[[int], None] = lambda epoch: None,
    ) -> None:
        """Take the zone in which a created_at without an offset was written.

        `journal` is the journal's uuid, None where it has none and nothing will be written; `known_epoch` is
        what the journal kept of `remember`. Nothing is read before the first `refresh` or `hold`. Raises
        StoreRefused for an invalid address.
        """
        self._options = options
        self._now = now
        self._deadlines = Deadlines()
        self._reading = ServerConnection(options.url, self._deadlines)
        self._writing = ServerConnection(options.url, self._deadlines)
        self.name = self._reading.name
        self._remember = remember
        self._seat = HeldSeat(
            *(options.seat, options.host, options.zone_name), journal=journal, known_epoch=known_epoch
        )
        self._records = SharedRecords(self.name, zone=zone, names=names, enrich=enrich)
        self._memory = threading.Lock()
        """Held while `_records` changes, never while the server is asked."""
        self._parts = threading.Lock()
        """Held while own parts are read or written, so that the two never overlap."""
        self._mark = ""
        self._read_once = self._changed = False
        self._read_anew = threading.Event()
        """Set while the server may have lost what is known here."""
        self._beat_at = 0.0
        self._troubles: dict[str, tuple[datetime, str]] = {}
        self._not_set_up = ""
        self._ended_by: Exception | None = None
        """The error that says why this tracker may no longer use the store."""
        self._thread: threading.Thread | None = None
        self._looked, self._stop = threading.Event(), threading.Event()
        self.looks = 0
        self.absent = False
        self.seen_at: datetime | None = None
        """When the server last answered."""

    # From memory.

    def alerts(self) -> Sequence[Alert]:
        return self._records.index.alerts

    def candidates(self, execution: Execution) -> Sequence[Alert]:
        return self._records.index.candidates(execution)

    def shown(self, alert: AlertId) -> Shown | None:
        entry = self._records.index.entry(alert)
        return entry.shown if entry else None

    def record(self, alert: AlertId) -> str | None:
        with self._memory:
            return self._records.text(alert)

    def expect(self) -> None:
        """Do nothing: a server that cannot be reached is an outage, whether or not it was reached before."""

    @property
    def trouble(self) -> tuple[datetime, str] | None:
        return min(self._troubles.values(), default=None)

    @property
    def figures(self) -> Mapping[str, int | str | None]:
        return {
            "kind": "shared",
            "seat": self._options.seat,
            "epoch": self._seat.epoch,
            "seen_at": None if self.seen_at is None else self.seen_at.isoformat(timespec="microseconds"),
            "late_writes_merged": 0,
            "late_writes_lost": 0,
        }

    def vet(self, accounts: Sequence[str]) -> str | None:
        """Return why a login with these accounts must not be used, as far as is known; never waits."""
        return self._seat.vet(accounts)

    def unchanged(self) -> bool:
        held = self._thread is not None and self._ended_by is None
        return held and self._read_once and not self._changed and not self._troubles

    def all_seats(self) -> Mapping[AlertId, dict[str, JsonValue]]:
        """Return what all trackers show together; uses a connection of its own, so that no fill waits."""
        connection = ServerConnection(self._options.url, self._deadlines)
        if self._troubles:
            return {}
        try:
            connection.open()
            rows = connection.call(
                "SELECT alerter, ticker, created_at, option_conid, open, seats, position ->> 'quantity',"
                " position ->> 'avg_price' FROM tracker.alerts"
            )
        except StoreUnavailable:
            # The threads that read and write fail as well, and report the outage.
            return {}
        finally:
            connection.close()
        return {
            AlertId(*row[:4]): {
                "open": row[4],
                "seats": row[5],
                "quantity": _number(row[6]),
                "avg_price": _number(row[7]),
            }
            for row in rows
        }

    # Start and end.

    def hold(self, holder: str) -> SeatHold:
        """Take the seat and start to read; if the server cannot be reached, both happen once it can.

        Raises Fenced, StoreMisconfigured.
        """
        self._thread = threading.Thread(target=self._read_on, name="shared store", daemon=True)
        self._thread.start()
        self._looked.wait(_FIRST_LOOK_SECONDS)
        hold = SeatHold(self)
        hold.keep()
        return hold

    def keep(self) -> None:
        """Raise the error that says why this tracker may no longer use the store; do nothing while it may."""
        if self._ended_by is not None:
            raise self._ended_by

    def remember_epoch(self) -> None:
        """Have the journal keep a new epoch; only its own thread may call this."""
        if self._seat.epoch > self._seat.known_epoch:
            self._seat.known_epoch = self._seat.epoch
            self._remember(self._seat.epoch)

    def check(self) -> None:
        """Raise StoreRefused where the server can be reached and lacks something that a person must set
        up.
        """
        if self._not_set_up:
            raise StoreRefused(self._not_set_up)

    def close(self) -> None:
        self._stop.set()
        self._deadlines.close()
        if self._thread is not None:
            self._thread.join(CALL_SECONDS)
        self._reading.close()
        self._writing.close()

    # Reading.

    def refresh(self) -> bool:
        self.looks += 1
        self.keep()
        if self._thread is None:
            self._look()
        elif away := self._troubles.get("read"):
            raise StoreUnavailable(away[1])
        elif not self._read_once:
            raise StoreUnavailable(f"{self.name} was not reached yet")
        with self._memory:
            changed, self._changed = self._changed, False
        return changed

    def _read_on(self) -> None:
        """Read changes until the store is closed; runs in the reading thread."""
        attempts = 0
        while not self._stop.is_set():
            try:
                self._look()
                if time.monotonic() >= self._beat_at:
                    self._beat()
            except StoreUnavailable:
                # `_look` noted the failure, and `refresh` raises it.
                pause = _RETRY_SECONDS[min(attempts, len(_RETRY_SECONDS) - 1)]
                attempts += 1
            except (Locked, StoreRefused) as error:
                self._ended_by = error
                return
            except Exception as error:
                logger.exception("the shared store cannot be read on")
                self._ended_by = error
                return
            else:
                pause, attempts = self._options.poll_seconds, 0
            finally:
                self._looked.set()
            # Vary the pause, so that many trackers that lost the same server do not all return at once.
            self._stop.wait(pause * (0.75 + 0.5 * random()))

    def _look(self) -> None:
        """Read what changed since the last time, or everything after a reconnect; raises what `refresh`
        raises.
        """
        with self._noting("read"):
            try:
                self._look_once()
            except ConnectionLost:
                self._look_once()

    def _look_once(self) -> None:
        connection = self._reading
        if not connection.is_open:
            connection.open()
            self._read_anew.set()
        if self._thread is not None:
            self._seat.take(connection)
        if self._read_anew.is_set() or not self._take_changes(connection):
            self._take_all(connection)
        self._read_once = True
        self.seen_at = self._now()

    def _take_changes(self, connection: ServerConnection) -> bool:
        """Read what changed; False where this is not the server that was read before."""
        mark, current, retired = self._alerts_since(connection, self._mark)
        if mark.partition(" ")[2] != self._mark.partition(" ")[2]:
            return False
        with self._memory:
            self._changed |= self._records.take(current, retired)
        self._mark = mark
        return True

    def _take_all(self, connection: ServerConnection) -> None:
        with self._own_parts(CALL_SECONDS):
            # Cleared before reading: a loss from here on must cause another full read.
            self._read_anew.clear()
            try:
                mark, current, _ = self._alerts_since(connection, "")
                parts = self._read_parts(connection)
            except BaseException:
                self._read_anew.set()
                raise
            with self._memory:
                self._changed |= self._records.replace_all(current, parts)
            self._mark = mark
        self._seat.read_others(connection)
        self._beat_at = 0.0

    def _alerts_since(
        self, connection: ServerConnection, mark: str
    ) -> tuple[str, list[SharedRow], list[SharedRow]]:
        rows = connection.call("SELECT * FROM tracker.alerts_since(%s)", mark)
        current: list[SharedRow] = []
        retired: list[SharedRow] = []
        for _, alert_id, alerter, ticker, created_at, con_id, is_retired, doc, hints in rows[1:]:
            row = SharedRow(alert_id, AlertId(alerter, ticker, created_at, con_id), doc, hints)
            (retired if is_retired else current).append(row)
        return str(rows[0][0]), current, retired

    def _read_parts(self, connection: ServerConnection) -> dict[int, SeatPart]:
        rows = connection.call(
            "SELECT alert_id, open, removed, last_order_update, position FROM tracker.own_parts(%s, %s)",
            *(self._options.seat, self._seat.journal),
        )
        return {
            alert_id: SeatPart(is_open, removed, read_json_object(order), read_json_object(position))
            for alert_id, is_open, removed, order, position in rows
        }

    def _beat(self) -> None:
        """Tell the server that the tracker runs, and read which accounts others count."""
        with self._noting("read"):
            self._seat.write(self._reading, _NO_UPDATES)
            self._seat.read_others(self._reading)
            self._beat_at = time.monotonic() + _BEAT_SECONDS * (0.75 + 0.5 * random())

    # Writing.

    @property
    def prepares(self) -> bool:
        return False

    def prepare(self, updates: Sequence[AlertUpdate]) -> bool:
        """Do nothing: `apply` does everything in one round trip."""
        return False

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        self.keep()
        with self._to_write():
            try:
                return self._apply(updates)
            except ConnectionLost:
                return self._apply(updates)

    @contextmanager
    def _to_write(self) -> Iterator[None]:
        """Limit a write to 5 s in all, and note its outcome."""
        try:
            with (
                self._noting("written"),
                self._writing.within(CALL_SECONDS),
                # So that the rest of the time is enough to connect.
                self._own_parts(CALL_SECONDS - CONNECT_SECONDS),
            ):
                yield
        except (Locked, StoreRefused) as error:
            self._ended_by = error
            raise

    def _apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        if not self._writing.is_open:
            self._connect_to_write()
        with self._memory:
            planned = self._records.plan(updates)
        alerts = list(planned.parts)
        found: dict[AlertId, int | None] = {}
        if alerts:
            rows = self._seat.write(self._writing, _as_json(planned.parts))
            found = {alerts[place]: alert_id for place, alert_id in rows}
            self.seen_at = self._now()
        with self._memory:
            self._changed |= self._records.wrote(planned.parts, found)
        gone = {alert for alert, alert_id in found.items() if alert_id is None}
        return [
            Outcome.GONE if update.alert in gone else outcome
            for update, outcome in zip(updates, planned.outcomes, strict=True)
        ]

    def _connect_to_write(self) -> None:
        """Connect, and read the server's parts of this seat: it may have lost some, or have more than is
        known here.
        """
        connection = self._writing
        connection.open()
        self._seat.take(connection)
        self._seat.forget_claims()
        # Alerts too, since parts are kept by their numbers.
        _, current, _ = self._alerts_since(connection, "")
        parts = self._read_parts(connection)
        with self._memory:
            self._changed |= self._records.replace_all(current, parts)
        # The reading thread may have read something newer meanwhile.
        self._read_anew.set()

    def restore(self, alert: AlertId, text: str) -> bool:
        """Undo this tracker's removal of a record; False where it was not removed, or is not there.

        Raises StoreUnavailable.
        """
        self.keep()
        with self._to_write():
            if not self._writing.is_open:
                self._connect_to_write()
            with self._memory:
                part = self._records.part(alert)
            if part is None or not part.removed:
                return False
            parts = {alert: part._replace(removed=False)}
            rows = self._seat.write(self._writing, _as_json(parts))
            with self._memory:
                self._changed |= self._records.wrote(parts, {alert: rows[0][1]})
            return rows[0][1] is not None

    # Both.

    @contextmanager
    def _own_parts(self, seconds: float) -> Iterator[None]:
        if not self._parts.acquire(timeout=seconds):
            raise StoreUnavailable(f"{self.name} did not answer within {seconds:g} s")
        try:
            yield
        finally:
            self._parts.release()

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Note since when, and why, the store cannot be `read` or `written`."""
        try:
            yield
        except StoreUnavailable as error:
            since = self._troubles.get(what, (self._now(),))[0]
            self._troubles = {**self._troubles, what: (since, str(error))}
            self._not_set_up = str(error) if isinstance(error, StoreNotSetUp) else ""
            raise
        self._troubles = {name: found for name, found in self._troubles.items() if name != what}
        self._not_set_up = ""


class SeatHold:
    """Hold the seat of one store until the block ends; the store's `close` closes the connections."""

    def __init__(self, store: SharedAlerts) -> None:
        self._store = store

    def keep(self) -> None:
        """Raise Fenced where another tracker has taken the seat; called by the journal's thread."""
        self._store.keep()
        self._store.remember_epoch()

    def __enter__(self) -> SeatHold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the seat for this journal, so that its next start takes it at once."""


def _number(text: str | None) -> int | float | None:
    if text is None:
        return None
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else float(value)


def _as_json(parts: Mapping[AlertId, SeatPart]) -> str:
    updates: list[dict[str, Any]] = [{**alert._asdict(), **part._asdict()} for alert, part in parts.items()]
    return json.dumps(updates)
