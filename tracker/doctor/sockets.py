"""Find out what is on the port of the status socket.

Owns one bind that listens to nothing, and one question to whatever is there.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Final

from tracker.doctor.finding import PortState, StatusPort
from tracker.status.client import NotReachable, ask
from tracker.status.protocol import is_loopback

_PATIENCE_SECONDS: Final = 5.0


def look_at_port(host: str, port: int, token: str | None) -> StatusPort:
    """Tell whether the port is free, a tracker's, or taken by something else.

    `token` is sent beyond loopback only, where a tracker answers nothing without it.
    """
    loopback = is_loopback(host)
    if port == 0:
        return StatusPort(host, port, loopback, PortState.ANY)
    try:
        _try_to_bind(host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            reason = error.strerror or str(error)
            return StatusPort(host, port, loopback, PortState.UNUSABLE, reason)
        return _ask(host, port, token if not loopback else None)
    return StatusPort(host, port, loopback, PortState.FREE)


def _try_to_bind(host: str, port: int) -> None:
    """Bind as a server would, and let go; raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As asyncio's servers do, so that a port that was just let go is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _ask(host: str, port: int, token: str | None) -> StatusPort:
    loopback = is_loopback(host)
    request = {"command": "status", **({"token": token} if token else {})}
    try:
        answer = ask(host, port, request, _PATIENCE_SECONDS)
    except NotReachable as error:
        return StatusPort(host, port, loopback, PortState.STRANGER, str(error))
    if not answer.get("ok"):
        error_of = answer.get("error")
        reason = error_of.get("message") if isinstance(error_of, dict) else error_of
        return StatusPort(host, port, loopback, PortState.REFUSED, str(reason))
    journal = answer.get("journal")
    path = journal.get("path") if isinstance(journal, dict) else None
    if not isinstance(path, str):
        reason = "it answers like a tracker and names no journal"
        return StatusPort(host, port, loopback, PortState.STRANGER, reason)
    return StatusPort(host, port, loopback, PortState.TRACKER, status=answer, journal=Path(path))
