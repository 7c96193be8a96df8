"""The only way out: every message to the gateway is checked against the allowlist.

Owns the list of messages that may leave the process. It sits between ib_insync and the socket, so it never
lets an order message through, whoever calls. A refused message is not sent and ends the daemon.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

ALLOWED: Final = frozenset({"71", "61", "64", "7", "16", "17", "49", "99"})
"""startApi, positions and their cancel, executions, all open orders, accounts, time, completed orders."""

BINDING: Final = frozenset({"15", "5"})
"""Automatic and own open orders, which bind manual TWS orders to client 0; only when that is asked for."""

_GREETING: Final = re.compile(rb"API\0(?s:.{4})v\d+\.\.\d+")


class RefusedMessage(Exception):
    """Say that a message that is not on the allow-list was about to be sent; it was not sent."""


class AllowList:
    """Replace a connection's `sendMsg`: check, then send."""

    def __init__(
        self, send: Callable[[bytes], None], on_refused: Callable[[RefusedMessage], None], may_bind: bool
    ) -> None:
        self._send = send
        self._on_refused = on_refused
        self._allowed = ALLOWED | BINDING if may_bind else ALLOWED
        self._greeted = False

    def __call__(self, data: bytes) -> None:
        """Send bytes that consist of whole allowed messages; raise RefusedMessage for any others."""
        if not self._greeted and _GREETING.fullmatch(data):
            self._greeted = True
        elif objection := self._objection(data):
            error = RefusedMessage(f"{objection}; the tracker never sends it, so this is a programming error")
            self._on_refused(error)
            raise error
        self._send(data)

    def _objection(self, data: bytes) -> str:
        if not data:
            return "an empty message was to be sent"
        rest = data
        while rest:
            if len(rest) < 4 or len(rest) < 4 + struct.unpack(">I", rest[:4])[0]:
                return "bytes that are no whole message were to be sent"
            end = 4 + struct.unpack(">I", rest[:4])[0]
            message = rest[4:end].split(b"\0", 1)[0].decode("ascii", "replace")
            if message not in self._allowed:
                return f"message type {message[:20]!r} is not on the allow-list"
            rest = rest[end:]
        return ""
