"""Split the text of alerts.json into pieces, so that one record can change and every other byte stays.

Owns reading a two-level JSON object (alerter, ticker, value) into pieces, and adding, changing and removing
single values. Joined again, the pieces are the text that was read: formatting, key order, duplicate keys and
number spellings survive. It is pure, and never rebuilds a value that it was not asked to change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from tracker.stores.json_scan import SPACE, after_sign, after_space, scan_key, scan_value

Key: TypeAlias = tuple[str, str | None]
"""(alerter, ticker); the ticker is None for the alerter itself."""

_LEAD: Final = re.compile(r'([ \t\n\r]*)"')
_COLON: Final = re.compile(r"[ \t\n\r]*:[ \t\n\r]*\Z")


class PieceKind(Enum):
    """Say which kind of piece it is."""

    GROUP = "group"
    """An alerter's object; its text is only the opening brace, and its members are pieces of their own."""
    RECORD = "record"
    """An object under a ticker: an alert."""
    OTHER = "other"
    """Any other value under an alerter or a ticker; kept, never read."""


class Piece(NamedTuple):
    """Hold one member's value, and the text between it and the piece before it."""

    kind: PieceKind
    key: Key
    before: str
    """The closing braces before it, the comma, the key and the colon."""
    text: str


@dataclass(frozen=True)
class Document:
    """Hold the pieces of one text; changing one makes a new document that shares the others."""

    pieces: tuple[Piece, ...]
    tail: str
    places: Mapping[Key, int] = field(repr=False)
    """Place of the piece of each key; of duplicate keys the last, which is the one that readers see."""

    @classmethod
    def of(cls, pieces: tuple[Piece, ...], tail: str) -> Document:
        return cls(pieces, tail, {piece.key: place for place, piece in enumerate(pieces)})

    @property
    def text(self) -> str:
        """Join the pieces."""
        return "".join(self._parts)

    @cached_property
    def _parts(self) -> list[str]:
        return [*chain.from_iterable(piece[2:] for piece in self.pieces), self.tail]

    @cached_property
    def records(self) -> Mapping[Key, int]:
        """Return the place of each record that a reader of the file sees."""
        return {
            key: place for key, place in self.values.items() if self.pieces[place].kind is PieceKind.RECORD
        }

    @cached_property
    def values(self) -> Mapping[Key, int]:
        """Return the place of each value that a reader sees; of an alerter that occurs twice it sees the
        last.
        """
        places = self.places
        if len(places) == len(self.pieces):
            return places
        return {key: at for key, at in places.items() if key[1] is None or at > places[(key[0], None)]}

    def value(self, key: Key) -> Piece | None:
        """Return the piece that a reader finds under this key."""
        place = self.values.get(key)
        return None if place is None else self.pieces[place]

    def changed(self, key: Key, text: str) -> Document:
        """Return the document with another text for one ticker's value; raises KeyError."""
        place = self.values[key]
        kind = _kind(text)
        pieces = list(self.pieces)
        same_kind = pieces[place].kind is kind
        pieces[place] = pieces[place]._replace(kind=kind, text=text)
        changed = Document(tuple(pieces), self.tail, self.places)
        # Reuse what was derived from a large file; deriving it again would cost more than the write.
        derived = changed.__dict__
        parts = derived["_parts"] = self._parts
        parts[2 * place + 1] = text
        del self.__dict__["_parts"]
        if same_kind:
            derived.update(records=self.records, values=self.values)
        return changed

    def without(self, key: Key) -> Document:
        """Return the document without a ticker's member and one comma; raises KeyError.

        A ticker that occurs twice under its alerter is removed both times, or its older text would come
        back.
        """
        document = self
        group = self.places[(key[0], None)]
        place = self.values[key]
        while place > group:
            document = _take_out(document, place)
            place = document.places.get(key, -1)
        return document

    def added(self, key: tuple[str, str], text: str) -> Document:
        """Return the document with one more member at the end of its alerter, which is added if missing.

        The spacing is that of its neighbours. Raises ValueError when the alerter is not an object.
        """
        document = self if (key[0], None) in self.values else _add_group(self, key[0])
        return _add_member(document, key, text)


class NotAnObject(ValueError):
    """Say that a text does not begin as a JSON object."""


def parse(text: str, known: Document | None = None) -> Document:
    """Split a text into pieces; raises ValueError when it is not exactly one JSON object.

    Pieces of `known` that the text contains unchanged are reused as the same objects, so a caller can find
    changes by identity, and a small change to a large file costs little more than comparing it.
    """
    try:
        return _Walk(text, known).document()
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None


class _Walk:
    """Go through a text once, member by member.

    If the walk is at the same point of the grammar as the known document was before a piece, and the text
    continues with that piece, reading it again would give the same piece, so it is reused. That holds for
    values that mark their own end (a number could continue), from any piece that both documents have.
    """

    def __init__(self, text: str, known: Document | None) -> None:
        self.text = text
        self.known = known.pieces if known else ()
        self.known_places: Mapping[Key, int] = known.places if known else {}
        self.next_known = 0
        self.pieces: list[Piece] = []
        self.mark = 0
        """Where the last piece ended."""
        self.depth = 1
        self.alerter = ""
        self.first = True
        """Whether no member of the current object has been read yet."""

    def document(self) -> Document:
        text = self.text
        start = after_space(text, 0)
        if text[start : start + 1] != "{":
            raise NotAnObject(f"not a JSON object: it starts with {text[start : start + 1]!r}")
        at = start + 1
        while self.depth:
            if not self.pieces or at == self.mark:
                at = self._take_over(at)
            at = after_space(text, at)
            if text[at : at + 1] == "}":
                at += 1
                self.depth -= 1
                self.first = False
            else:
                at = self._member(at)
        end = after_space(text, at)
        if end != len(text):
            raise ValueError(f"not JSON: more text follows the end at character {end}")
        return Document.of(tuple(self.pieces), text[self.mark :])

    def _take_over(self, at: int) -> int:
        """Reuse known pieces as long as the text continues with them; return where it stops."""
        starts_with, known, pieces = self.text.startswith, self.known, self.pieces
        mark, place, last = self.mark, self.next_known, len(known)
        begun = place
        while place < last:
            piece = known[place]
            value = mark + len(piece.before)
            if piece.kind is PieceKind.OTHER and piece.text[-1] not in '"]}':
                break
            if not (starts_with(piece.before, mark) and starts_with(piece.text, value)):
                break
            pieces.append(piece)
            mark = value + len(piece.text)
            place += 1
        # After a difference, only a newly read piece says where to continue.
        self.next_known = last
        if place == begun:
            return at
        self.mark = mark
        self._stand_after(pieces[-1])
        return mark

    def _stand_after(self, piece: Piece) -> None:
        self.alerter = piece.key[0]
        self.first = piece.kind is PieceKind.GROUP
        self.depth = 1 if piece.key[1] is None and not self.first else 2

    def _member(self, at: int) -> int:
        text = self.text
        if not self.first:
            at = after_space(text, after_sign(",", text, at))
        name, _, at = scan_key(text, at)
        if self.depth == 1 and text[at : at + 1] == "{":
            kind, end = PieceKind.GROUP, at + 1
            key: Key = (name, None)
        else:
            value, end = scan_value(text, at)
            is_record = self.depth == 2 and isinstance(value, dict)
            kind = PieceKind.RECORD if is_record else PieceKind.OTHER
            key = (self.alerter, name) if self.depth == 2 else (name, None)
        piece = Piece(kind, key, text[self.mark : at], text[at:end])
        self.pieces.append(piece)
        self.mark = end
        self._stand_after(piece)
        place = self.known_places.get(key)
        if place is not None and self.known[place].kind is kind:
            self.next_known = place + 1
        return end


def _kind(text: str) -> PieceKind:
    return PieceKind.RECORD if text.startswith("{") else PieceKind.OTHER


def _take_out(document: Document, place: int) -> Document:
    """Remove one ticker's member."""
    pieces, tail = list(document.pieces), document.tail
    gone = pieces.pop(place)
    if pieces[place - 1].kind is PieceKind.GROUP:
        # The first member of its alerter: the next one moves up, without the comma or the space before the
        # brace.
        after = pieces[place].before if place < len(pieces) else tail
        bare = after.lstrip(SPACE)
        if bare[0] == ",":
            space = gone.before[: len(gone.before) - len(gone.before.lstrip(SPACE))]
            bare = space + bare[1:].lstrip(SPACE)
        if place < len(pieces):
            pieces[place] = pieces[place]._replace(before=bare)
        else:
            tail = bare
    return Document.of(tuple(pieces), tail)


def _add_group(document: Document, alerter: str) -> Document:
    pieces, tail = document.pieces, document.tail
    model = next((piece for piece in pieces if piece.key[1] is None and not piece.text[1:]), None)
    lead, colon = _spacing(model) if model else ("\n  ", ": ")
    end = tail.rindex("}")
    head = tail[:end].rstrip(SPACE)
    closing = tail[len(head) : end] if pieces else "\n"
    before = head + _comma(lead, colon, first=not pieces) + lead + json.dumps(alerter) + colon
    group = Piece(PieceKind.GROUP, (alerter, None), before, "{")
    return Document.of((*pieces, group), "}" + closing + tail[end:])


def _add_member(document: Document, key: tuple[str, str], text: str) -> Document:
    group = document.values[(key[0], None)]
    pieces = list(document.pieces)
    if pieces[group].kind is not PieceKind.GROUP:
        raise ValueError(f"{key[0]} is not an object, so {key[1]} cannot be in it")
    end = group + 1
    while end < len(pieces) and pieces[end].key[1] is not None:
        end += 1
    first = end == group + 1
    model = (
        pieces[end - 1] if not first else next((piece for piece in pieces if piece.key[1] is not None), None)
    )
    lead, colon = _spacing(model) if model else _default_spacing(pieces[group])
    before = _comma(lead, colon, first=first) + lead + json.dumps(key[1]) + colon
    pieces.insert(end, Piece(_kind(text), key, before, text))
    tail = document.tail
    if first:
        line, indent = _split_line(lead)
        closing = line + indent[: len(indent) // 2]
        if end + 1 < len(pieces):
            after = pieces[end + 1]
            pieces[end + 1] = after._replace(before=closing + after.before.lstrip(SPACE))
        else:
            tail = closing + tail.lstrip(SPACE)
    return Document.of(tuple(pieces), tail)


def _default_spacing(group: Piece) -> tuple[str, str]:
    return ("\n    " if "\n" in group.before else "", ": ")


def _spacing(piece: Piece) -> tuple[str, str]:
    """Return the white space before a member's key, and its colon with the space around it."""
    lead, colon = _LEAD.search(piece.before), _COLON.search(piece.before)
    assert lead is not None, "every member has a key"
    assert colon is not None, "every member has a colon"
    return lead[1], colon[0]


def _comma(lead: str, colon: str, *, first: bool) -> str:
    if first:
        return ""
    return ", " if not lead and colon != ":" else ","


def _split_line(lead: str) -> tuple[str, str]:
    """Split the space before a key into its line breaks and its indent."""
    cut = lead.rfind("\n") + 1
    return lead[:cut], lead[cut:]
