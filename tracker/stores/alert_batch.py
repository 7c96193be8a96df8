"""Put the updates of one write into the text of alerts.json.

Owns the outcome of each update on one state of the file. It is pure: it reads and writes no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tracker.core.model import AlertId, AlertUpdate, JsonValue, Outcome
from tracker.stores.alert_reader import read_id, read_shown
from tracker.stores.json_document import Document
from tracker.stores.json_scan import read_json
from tracker.stores.json_splice import splice


class Batch:
    """Apply updates to a document; run again from the start on each new state of the file."""

    def __init__(self, updates: Sequence[AlertUpdate]) -> None:
        self.updates = updates
        self.outcomes: list[Outcome] = []
        self.removed: dict[AlertId, str] = {}

    def edit(self, document: Document) -> Document:
        self.outcomes, self.removed = [], {}
        for update in self.updates:
            document, outcome = self._one(document, update)
            self.outcomes.append(outcome)
        return document

    def _one(self, document: Document, update: AlertUpdate) -> tuple[Document, Outcome]:
        key = (update.alert.alerter, update.alert.ticker)
        place = document.records.get(key)
        if place is None:
            return document, Outcome.GONE
        piece = document.pieces[place]
        fields = fields_of(piece.text)
        if read_id(*key, fields) != update.alert:
            return document, Outcome.GONE
        if update.remove:
            self.removed[update.alert] = piece.text
            return document.without(key), Outcome.APPLIED
        if read_shown(fields).agrees(update):
            return document, Outcome.DUPLICATE
        values: dict[str, object] = {"open": update.open}
        for name, value in (("last_order_update", update.last_order_update), ("position", update.position)):
            if value is not None:
                values[name] = dict(value)
        text = splice(piece.text, values, piece.before)
        # A file that other programs cannot load would cost them every alert, so check the text before it is
        # written.
        assert read_shown(fields_of(text)).agrees(update), f"{key} would not show what was asked"
        return document.changed(key, text), Outcome.APPLIED


def fields_of(text: str) -> dict[str, JsonValue]:
    """Read a record's text."""
    return cast(dict[str, JsonValue], read_json(text))
