"""The bytes of one connection, once it is logged in, as messages and their fields.

Owns the length prefix and the split at NUL; a message that has not come whole waits for its rest. It does not
interpret a field. ib_insync does the same until the login is over; after that it would copy what is left of
its buffer for every message, and split the 150 fields of an order again each time they are repeated.
"""

from __future__ import annotations

from typing import Final

from tracker.core.journal_entries import Fields

FRAME_LIMIT: Final = 0xFFFFFF
"""Longest message that the official client takes, in bytes; a larger length is not this protocol."""

FIELDS_LIMIT: Final = 10_000
"""Most fields of one message, far above what an order with many legs has; the rest is dropped."""

_LENGTH: Final = 4
_OPEN_ORDER: Final = b"5\0"
_ORDERS_KEPT: Final = 64


def announced(data: bytes, at: int = 0) -> int | None:
    """Return the length of the message that begins there, None where too little of it has come."""
    head = data[at : at + _LENGTH]
    return int.from_bytes(head, "big") if len(head) == _LENGTH else None


def objection(length: int | None) -> str:
    """Say what is wrong with a length that no gateway sends; empty for any other."""
    return f"a message of {length} bytes is announced" if length and length > FRAME_LIMIT else ""


class Framing:
    """Read a stream of messages that begins with `rest`, whole or not."""

    def __init__(self, rest: bytes) -> None:
        self.broken = ""
        """Why nothing more can be read; empty as long as something can."""
        self._rest = bytearray(rest)
        self._needed = 0
        """Bytes from which on the first message of `_rest` may be whole."""
        self._orders: dict[bytes, Fields] = {}
        """Descriptions of orders as they came: a gateway repeats that of an order with each of its fills."""

    @property
    def unfinished(self) -> bool:
        """Whether the beginning of a message has come, and not all of it."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Fields]:
        """Return the messages that are whole now; one without a field says nothing and is left out."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
        messages: list[Fields] = []
        start = 0
        self._needed = 0
        while (length := announced(data, start)) is not None:
            begin = start + _LENGTH
            if begin + length > len(data):
                self.broken = objection(length)
                self._needed = _LENGTH + length
                break
            start = begin + length
            if length:
                messages.append(self._fields(data[begin:start]))
        self._rest = bytearray(data[start:])
        return messages

    def _fields(self, body: bytes) -> Fields:
        if not body.startswith(_OPEN_ORDER):
            return _split(body)
        fields = self._orders.get(body)
        if fields is None:
            if len(self._orders) >= _ORDERS_KEPT:
                self._orders.clear()
            fields = self._orders[body] = _split(body)
        return fields


def _split(body: bytes) -> Fields:
    """Split as ib_insync does: what is no UTF-8 is spelled out, what follows the last NUL is no field."""
    return tuple(body.decode(errors="backslashreplace").split("\0", FIELDS_LIMIT)[:-1])
