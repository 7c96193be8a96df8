"""Keep alerts.json and the shared store in step: put the file's records into the store, and write into the
file what all trackers say about them.

Owns which records are put and retired for one file, and which records of the file get the tracker's fields.
Each record has one source, so nothing is merged: what the alert writer says goes to the store, what the
trackers say goes to the file. It never retires a record because of a file that is absent, empty, cut off or
unreadable, and never touches a record of the store that another source put.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from loguru import logger

from tracker.core.model import Alert, AlertId, AlertUpdate, Outcome, StoredContract, StoreUnavailable
from tracker.mirror.record_text import order_in_order, position_in_order, producers_text, with_fields
from tracker.stores.alert_file import AlertFile
from tracker.stores.alerter_stores import AlerterStores
from tracker.stores.shared_producer import RecordRefused, SharedProducer, SummedRecord

_GONE: Final = "gone from the file of its source"


class _Put(NamedTuple):
    """Hold what was put into the store of one record."""

    text: str
    """The record as it is in the file."""
    doc: str
    hints: Sequence[StoredContract]
    taken: bool
    """Whether the store accepted it; else it keeps its older text, or another source's record."""


class ForFile(NamedTuple):
    """Hold what is to be written into the file."""

    updates: Sequence[AlertUpdate]
    restored: Sequence[tuple[AlertId, str]]
    """Removed records that a tracker put back."""


class Mirror:
    """Keep one alerts.json and the store in step; `source` is this machine's name in the store.

    One thread uses it.
    """

    def __init__(self, file: AlertFile, alerters: AlerterStores, store: SharedProducer, source: str) -> None:
        self._file = file
        self._alerters = alerters
        self._store = store
        self._source = source
        self._put: dict[AlertId, _Put] = {}
        """What the store has from this file, including records that it refused, until they change."""
        self._readable = False
        """Whether the last look at the file found it there and could read it."""
        self._changed = True
        """Whether anything may have changed since everything was put."""
        self._taken_out: set[AlertId] = set()

    def read(self) -> None:
        """Read what the alert writer wrote; raises StoreUnavailable."""
        self._readable = False
        added = self._alerters.refresh()
        merged = self._file.settle()
        self._changed |= self._file.refresh() or merged or added
        self._readable = not self._file.absent

    def exchange(self) -> tuple[int, ForFile]:
        """Put what changed, and retire what the file no longer has; raises StoreUnavailable.

        Returns how many records were put, and what is to be written into the file.
        """
        try:
            return self._put_changes(), self._fetch()
        except StoreUnavailable:
            # A store that could not be reached may have been restored, with records lost.
            self._put.clear()
            self._changed = True
            raise

    def _put_changes(self) -> int:
        if not self._changed:
            return 0
        alerts = self._file.alerts()
        count = sum(self._put_one(alert) for alert in alerts)
        there = {alert.id for alert in alerts}
        self._put = {alert: put for alert, put in self._put.items() if alert in there}
        self._changed = False
        return count

    def _fetch(self) -> ForFile:
        updates, restored = [], []
        records = self._store.summed()
        self._forget_lost(records)
        for record in records:
            shown = self._file.shown(record.alert)
            if shown is None:
                if record.source == self._source and self._readable and not record.removed:
                    if record.alert in self._taken_out:
                        restored.append((record.alert, _text_of(record)))
                    else:
                        self._store.retire(record.alert, _GONE)
            elif (update := _update(record)) is not None and not shown.agrees(update):
                updates.append(update)
        return ForFile(updates, restored)

    def _forget_lost(self, records: Sequence[SummedRecord]) -> None:
        """Have what the store took and does not show put again: a backup of it may have been put back."""
        shown = {record.alert: record for record in records}
        for alert, put in list(self._put.items()):
            record = shown.get(alert)
            is_mine = record is None or record.source == self._source
            if put.taken and is_mine and (record is None or record.doc != put.doc):
                del self._put[alert]
                self._changed = True

    def write(self, wanted: ForFile) -> None:
        """Write into the file what `exchange` returned; raises StoreUnavailable."""
        for alert, text in wanted.restored:
            self._file.restore(alert, text)
            self._taken_out.discard(alert)
        if wanted.updates:
            self._file.prepare(wanted.updates)
            outcomes = self._file.apply(wanted.updates)
            for update, outcome in zip(wanted.updates, outcomes, strict=True):
                if update.remove and outcome is Outcome.APPLIED:
                    self._taken_out.add(update.alert)

    def _put_one(self, alert: Alert) -> bool:
        text = self._file.record(alert.id)
        if text is None:
            return False
        known = self._put.get(alert.id)
        hints = self._alerters.stored_contract(alert.id.alerter, alert.symbol)
        if known is not None and (known.text, known.hints) == (text, hints):
            return False
        doc = producers_text(text)
        taken = known.taken if known is not None else False
        if known is None or (known.doc, known.hints) != (doc, hints):
            taken = self._taken(alert, doc, hints)
        self._put[alert.id] = _Put(text, doc, hints, taken)
        return True

    def _taken(self, alert: Alert, doc: str, hints: Sequence[StoredContract]) -> bool:
        """Put a record; False where the store keeps what it has."""
        try:
            taken = self._store.put(alert.id, doc, hints)
        except RecordRefused as error:
            logger.warning("{}: the store does not take this record: {}", alert.id.name, error)
            return False
        if not taken:
            logger.warning(
                "{}: the store has a newer record from another source; this one is left out", alert.id.name
            )
        return taken


def _update(record: SummedRecord) -> AlertUpdate | None:
    """Return what the file must show of a record; None where no tracker has changed it."""
    if record.removed:
        return AlertUpdate(record.alert, False, None, None, remove=True)
    if not record.has_part:
        return None
    news, position = record.last_order_update, record.position
    return AlertUpdate(
        record.alert,
        record.open,
        None if news is None else order_in_order(news),
        None if position is None else position_in_order(position),
    )


def _text_of(record: SummedRecord) -> str:
    return with_fields(
        record.doc,
        is_open=record.open,
        last_order_update=record.last_order_update,
        position=record.position,
    )
