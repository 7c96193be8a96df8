"""Split the bytes of one connection, after the login, into messages and their fields.

Owns the length prefix and the split at NUL; an unfinished message waits for its rest. It does not interpret a
field. Until the end of the login ib_insync does the same; after that it would copy the rest of its buffer for
every message, and split the 150 fields of an order again each time they are repeated.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from tracker.core.journal_entries import Fields

FRAME_LIMIT: Final = 0xFFFFFF
"""The longest message that the official client accepts, in bytes; a larger length is not this protocol."""

FIELDS_LIMIT: Final = 10_000
"""The most fields of one message, far more than an order with many legs has; the rest is dropped."""

_LENGTH: Final = 4
_READ_LENGTH: Final = Struct(">I").unpack_from
_REPEATED: Final = (b"5\0", b"3\0")
"""openOrder and orderStatus, which a gateway repeats with each fill of the order."""
_REPEATED_KEPT: Final = 64


def announced(data: bytes, at: int = 0) -> int | None:
    """Return the length of the message that begins there, None where its length has not come completely."""
    head = data[at : at + _LENGTH]
    return int.from_bytes(head, "big") if len(head) == _LENGTH else None


def objection(length: int | None) -> str:
    """Say what is wrong with a length that no gateway sends; empty for any other."""
    return f"a message of {length} bytes is announced" if length and length > FRAME_LIMIT else ""


class Framing:
    """Read a stream of messages that begins with `rest`, whole or not."""

    def __init__(self, rest: bytes) -> None:
        self.broken = ""
        """Why nothing more can be read; empty while more can be."""
        self._rest = bytearray(rest)
        self._needed = 0
        """The number of bytes that `_rest` needs before its first message can be whole."""
        self._known: dict[bytes, Fields] = {}
        """Raw messages about orders -> their fields; a repeated message returns the very same object."""

    @property
    def unfinished(self) -> bool:
        """Whether a message has come only in part."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Fields]:
        """Return the messages that are whole now; one without fields is left out."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
        messages: list[Fields] = []
        start, size = 0, len(data)
        self._needed = 0
        while size - start >= _LENGTH:
            begin = start + _LENGTH
            (length,) = _READ_LENGTH(data, start)
            if begin + length > size:
                self.broken = objection(length)
                self._needed = _LENGTH + length
                break
            start = begin + length
            if not length:
                continue
            body = data[begin:start]
            fields = self._repeated(body) if body.startswith(_REPEATED) else _split(body)
            if fields:
                messages.append(fields)
        self._rest = bytearray(data[start:])
        return messages

    def _repeated(self, body: bytes) -> Fields:
        fields = self._known.get(body)
        if fields is None:
            if len(self._known) >= _REPEATED_KEPT:
                self._known.clear()
            fields = self._known[body] = _split(body)
        return fields


def _split(body: bytes) -> Fields:
    """Split as ib_insync does: invalid UTF-8 is escaped, and text after the last NUL is not a field."""
    fields = body.decode("utf-8", "backslashreplace").split("\0", FIELDS_LIMIT)
    fields.pop()
    return tuple(fields)
