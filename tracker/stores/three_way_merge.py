"""Merge a write that another program made into a file that the tracker had just replaced.

Owns the three-way merge: what the other program changed, compared with the file it had read, goes into the
current file. Its changes to other records and fields win; the tracker's fields win in the records that the
tracker wrote. It is pure, takes nothing from a record that was changed again since, and brings no deleted
record back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from tracker.core.model import JsonValue
from tracker.core.ports import same_json
from tracker.stores.alert_reader import read_id
from tracker.stores.json_document import Document, Key, Piece, PieceKind
from tracker.stores.json_scan import read_json
from tracker.stores.json_splice import splice

OUR_FIELDS: Final = ("open", "last_order_update", "position")

_Fields: TypeAlias = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge one late write; all four are documents of the same store."""

    base: Document
    """The replaced file as the tracker last read it."""
    written: Document
    """What the tracker put in its place."""
    theirs: Document
    """What the other program wrote into the replaced file."""

    def into(self, current: Document) -> Document:
        """Return the current document with the other program's changes; the same object where nothing
        changes.
        """
        for key in dict.fromkeys((*self.base.values, *self.theirs.values)):
            current = self._one(key, current)
        return current

    def _one(self, key: Key, current: Document) -> Document:
        before, after, now = self.base.value(key), self.theirs.value(key), current.value(key)
        if key[1] is None or _text(before) == _text(after) or _text(after) == _text(now):
            # An alerter's own piece has no content: its tickers are added, removed and changed one by one.
            return current
        if after is None:
            return current.without(key) if now is not None and self._goes(key, before, now) else current
        if now is None:
            is_new = before is None or _identity(before) != _identity(after)
            return _added(current, key, after) if is_new else current
        text = self._changed_text(key, before, after, now)
        return current if text is None else current.changed(key, text)

    def _goes(self, key: Key, before: Piece | None, now: Piece) -> bool:
        """Return whether the other program's deletion holds.

        Not if the tracker opened the record and they had not seen that.
        """
        if self._changed_since(key, now) or before is None:
            return False
        return not (_fields(now).get("open") is True and _fields(before).get("open") is not True)

    def _changed_text(self, key: Key, before: Piece | None, after: Piece, now: Piece) -> str | None:
        if after.kind is not PieceKind.RECORD or now.kind is not PieceKind.RECORD:
            return after.text if _text(self.written.value(key)) == now.text else None
        if _identity(after) != _identity(now):
            # They wrote another alert there; the current one is either the one that it replaces, or newer.
            return after.text if before is not None and _identity(before) == _identity(now) else None
        if before is None or self._changed_since(key, now):
            return None
        return splice(after.text, self._ours(key, before, now), after.before)

    def _ours(self, key: Key, before: Piece, now: Piece) -> _Fields:
        """Return the tracker's fields that the tracker changed in this replacement or later."""
        had, wrote, has = _fields(before), _fields(self.written.value(key)), _fields(now)
        return {
            name: has[name]
            for name in OUR_FIELDS
            if name in has and not (_same(had, wrote, name) and _same(wrote, has, name))
        }

    def _changed_since(self, key: Key, now: Piece) -> bool:
        """Return whether anything besides the tracker's fields differs from what the tracker wrote."""
        return not same_json(_rest(self.written.value(key)), _rest(now))


def _text(piece: Piece | None) -> str | None:
    return None if piece is None else piece.text


def _fields(piece: Piece | None) -> _Fields:
    if piece is None or piece.kind is not PieceKind.RECORD:
        return {}
    fields: _Fields = read_json(piece.text)
    return fields


def _rest(piece: Piece | None) -> JsonValue:
    if piece is not None and piece.kind is not PieceKind.RECORD:
        other: JsonValue = read_json(piece.text)
        return [other]
    return {name: value for name, value in _fields(piece).items() if name not in OUR_FIELDS}


def _same(one: Mapping[str, JsonValue], other: Mapping[str, JsonValue], name: str) -> bool:
    return (name in one) == (name in other) and same_json(one.get(name), other.get(name))


def _identity(piece: Piece) -> object:
    if piece.kind is not PieceKind.RECORD:
        return piece.text
    alerter, ticker = piece.key
    return read_id(alerter, ticker or "", _fields(piece))


def _added(current: Document, key: Key, piece: Piece) -> Document:
    alerter, ticker = key
    assert ticker is not None, "a bare alerter is never added"
    group = current.value((alerter, None))
    if group is not None and group.kind is not PieceKind.GROUP:
        return current
    return current.added((alerter, ticker), piece.text)
