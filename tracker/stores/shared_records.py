"""The state of the shared store that a tracker knows: the alerts, and its own parts of them.

Owns the state in memory from which questions are answered, and the outcome of each update on it. It does not
use the server; a reader of its index is not affected by later changes.

A record shows here only this seat's own part, which is what this tracker decided; the server's view adds all
parts up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Final, NamedTuple, TypeAlias

import msgspec
from loguru import logger
from msgspec.structs import replace

from tracker.core.alerters import AlerterNames
from tracker.core.model import Alert, AlertId, AlertUpdate, JsonValue, Outcome, StoredContract
from tracker.core.ports import Shown
from tracker.core.stored_contracts import fill_in
from tracker.stores.alert_batch import fields_of
from tracker.stores.alert_index import AlertIndex, IndexedRecord, RecordKey, read_record, usable
from tracker.stores.alert_reader import read_id

_HINTS: Final = msgspec.json.Decoder(tuple[StoredContract, ...])


class SharedRow(NamedTuple):
    """Hold one current record as the server has it."""

    alert_id: int
    alert: AlertId
    doc: str
    """The producer's text, without the tracker's two objects."""
    hints: str
    """Contracts that other stores of the producer's machine name, as JSON."""


class SeatPart(NamedTuple):
    """Hold one seat's part of one record."""

    open: bool = False
    removed: bool = False
    last_order_update: Mapping[str, object] | None = None
    position: Mapping[str, object] | None = None

    @property
    def shown(self) -> Shown:
        return Shown(self.open, self.last_order_update, self.position)

    def with_update(self, update: AlertUpdate) -> tuple[SeatPart, Outcome]:
        """Return the part after an update, and the update's outcome."""
        if self.removed:
            return self, Outcome.GONE
        if update.remove:
            return self._replace(open=False, removed=True), Outcome.APPLIED
        if self.shown.agrees(update):
            return self, Outcome.DUPLICATE
        news, position = update.last_order_update, update.position
        part = SeatPart(
            update.open,
            False,
            self.last_order_update if news is None else news,
            self.position if position is None else position,
        )
        return part, Outcome.APPLIED


NO_PART: Final = SeatPart()


class PlannedWrite(NamedTuple):
    """Hold the result of a batch of updates: the final part of each record that it changes."""

    parts: Mapping[AlertId, SeatPart]
    """The parts to send; other records already show what was asked, or are not there."""
    outcomes: Sequence[Outcome]
    """The outcomes, if every record is there."""


Enrich: TypeAlias = Callable[[Alert], Alert]


class SharedRecords:
    """Hold the state of the store for one seat; only one thread may change it at a time."""

    def __init__(self, place: str, *, zone: tzinfo, names: AlerterNames, enrich: Enrich) -> None:
        """Take the store's name, and the zone in which a created_at without an offset was written."""
        self.index = AlertIndex(names)
        self._place = place
        self._zone = zone
        self._enrich = enrich
        self._rows: dict[RecordKey, SharedRow] = {}
        self._read_from: dict[RecordKey, SharedRow] = {}
        """The row from which each record of the index was read."""
        self._parts: dict[int, SeatPart] = {}

    def replace_all(self, rows: Iterable[SharedRow], parts: Mapping[int, SeatPart]) -> bool:
        """Apply everything that the server has now; True when anything changed."""
        known = self._parts
        # A written part comes back with its keys in another order, which is not a change.
        self._parts = {each: known[each] if known.get(each) == part else part for each, part in parts.items()}
        before, self._rows = self._rows, {row.alert[:2]: row for row in rows}
        return self._show({**before, **self._rows})

    def take(self, current: Iterable[SharedRow], retired: Iterable[SharedRow]) -> bool:
        """Apply changes; True when anything changed."""
        keys: dict[RecordKey, None] = {}
        for row in retired:
            known = self._rows.get(row.alert[:2])
            if known is not None and known.alert_id == row.alert_id:
                del self._rows[row.alert[:2]]
                keys[row.alert[:2]] = None
        for row in current:
            if self._rows.get(row.alert[:2]) != row:
                self._rows[row.alert[:2]] = row
                keys[row.alert[:2]] = None
        return bool(keys) and self._show(keys)

    def text(self, alert: AlertId) -> str | None:
        """Return a record's text with this seat's part in it; None where the index has no such record."""
        row = self._row(alert)
        if row is None or self.index.entry(alert) is None:
            return None
        return text_of(row, self._parts.get(row.alert_id, NO_PART))

    def part(self, alert: AlertId) -> SeatPart | None:
        """Return this seat's part of a current record; None where no such record is known."""
        row = self._row(alert)
        return None if row is None else self._parts.get(row.alert_id, NO_PART)

    def plan(self, updates: Sequence[AlertUpdate]) -> PlannedWrite:
        """Return the result of a batch, to be sent."""
        parts: dict[AlertId, SeatPart] = {}
        outcomes: list[Outcome] = []
        for update in updates:
            known = self.part(update.alert)
            before = parts.get(update.alert, NO_PART if known is None else known)
            part, outcome = before.with_update(update)
            outcomes.append(outcome)
            # Only the server knows whether a record that was not seen yet is there.
            if outcome is Outcome.APPLIED or known is None:
                parts[update.alert] = part
        return PlannedWrite(parts, outcomes)

    def wrote(self, parts: Mapping[AlertId, SeatPart], found: Mapping[AlertId, int | None]) -> bool:
        """Apply what was written, and which records were missing; True where one of these was known
        here.
        """
        keys: dict[RecordKey, None] = {}
        lost = False
        for alert, part in parts.items():
            alert_id = found[alert]
            row = self._row(alert)
            if alert_id is not None:
                self._parts[alert_id] = part
            elif row is not None:
                del self._rows[alert[:2]]
                lost = True
            keys[alert[:2]] = None
        self._show(keys)
        return lost

    def _row(self, alert: AlertId) -> SharedRow | None:
        row = self._rows.get(alert[:2])
        return row if row is not None and row.alert == alert else None

    def _show(self, keys: Iterable[RecordKey]) -> bool:
        """Update these records in the index; True when one looks different now."""
        changes: dict[RecordKey, IndexedRecord | None] = {}
        for key in keys:
            row = self._rows.get(key)
            if row is None:
                self._read_from.pop(key, None)
            record = None if row is None else self._record(row)
            before = self.index.entries.get(key)
            if record != before:
                changes[key] = record
        if changes:
            self.index = self.index.with_changes(changes)
        return bool(changes)

    def _record(self, row: SharedRow) -> IndexedRecord | None:
        part = self._parts.get(row.alert_id, NO_PART)
        if part.removed:
            return None

        alerter, ticker = key = row.alert[:2]
        known = self.index.entries.get(key)
        if known is not None and self._read_from.get(key) is row:
            # Only our part changed, as after each fill.
            return _with_part(known, part)
        self._read_from[key] = row
        hints = self._hints(row)

        def enrich(alert: Alert) -> Alert:
            return self._enrich(fill_in(alert, hints))

        def read() -> IndexedRecord:
            record = read_record(alerter, ticker, text_of(row, part), self._zone, enrich)
            if record.read.id != row.alert:
                # An update of it would never reach the row.
                raise ValueError(f"{row.alert.option_conid} is not a conId")
            return record._replace(text=row.doc)

        return usable(self._place, alerter, ticker, read)

    def _hints(self, row: SharedRow) -> Sequence[StoredContract]:
        try:
            return _HINTS.decode(row.hints)
        except msgspec.DecodeError as error:
            logger.warning("{}: the hints of {} are not used: {}", self._place, row.alert.name, error)
            return ()


def _with_part(record: IndexedRecord, part: SeatPart) -> IndexedRecord:
    """Return a record that shows another part; reading all of its text again would delay a fill."""
    if record.read.open == part.open:
        return record._replace(shown=part.shown)
    read, alert = replace(record.read, open=part.open), replace(record.alert, open=part.open)
    return IndexedRecord(record.text, read, alert, part.shown)


def hints_text(contracts: Sequence[StoredContract]) -> str:
    """Return the contracts that other stores name for a record, in the form that `put_alert` takes."""
    return msgspec.json.encode(contracts).decode()


def text_of(row: SharedRow, part: SeatPart) -> str:
    """Return a record's text with a part's fields in it; raises ValueError for a record that cannot be
    read.
    """
    fields = fields_of(row.doc)
    if read_id(*row.alert[:2], fields) != row.alert:
        # The identity comes from the row's columns, whatever the text of the record says.
        fields["created_at"], fields["option_conid"] = row.alert.created_at, row.alert.option_conid
    shown: dict[str, object] = {"open": part.open}
    for name in ("last_order_update", "position"):
        fields.pop(name, None)
        value = getattr(part, name)
        if value is not None:
            shown[name] = value
    return json.dumps({**fields, **shown}, indent=2)


def read_json_object(text: str | None) -> Mapping[str, JsonValue] | None:
    """Read one of the JSON objects of a part."""
    return None if text is None else fields_of(text)
