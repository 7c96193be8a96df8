"""Ask a running daemon over its status socket.

Owns the client's side of one request and its one answer. It never retries, and distinguishes a daemon that
cannot be reached from one that refuses.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Final

from tracker.status.protocol import Request

LONGEST_ANSWER: Final = 64 * 1024 * 1024


class NotReachable(Exception):
    """No daemon answered; the message says why and what to do."""


def connect_to(host: str) -> str:
    """Return the address at which a daemon bound to `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def ask(host: str, port: int, request: Request, timeout: float = 10.0) -> dict[str, Any]:
    """Send one request and return the answer, a refusal (`ok` false) included.

    `timeout` bounds the whole exchange, in seconds. Raises NotReachable.
    """
    deadline = time.monotonic() + timeout
    place = f"{host}:{port}"
    try:
        with socket.create_connection((connect_to(host), port), timeout) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = _read_line(connection, deadline)
    except OSError as error:
        raise unreachable(error, place, timeout) from None
    return understood(line, place)


def unreachable(error: OSError, place: str, timeout: float) -> NotReachable:
    """Say why no answer came from a place, and what to do; `timeout` is what was waited, in seconds."""
    match error:
        case ConnectionRefusedError():
            why = (
                f"the tracker is not running: nothing listens on {place}; start it with `tracker run`, or"
                " check status.host and status.port"
            )
        case TimeoutError():
            why = f"{place} gave no answer within {timeout:g} s; try again, or look at the tracker's log"
        case _:
            why = f"{place} cannot be reached ({error.strerror or error}); check status.host and status.port"
    return NotReachable(why)


def understood(line: bytes, place: str) -> dict[str, Any]:
    """Return the answer in a line; raises NotReachable where it is not a tracker's answer."""
    if not line:
        raise NotReachable(f"{place} closed the connection without an answer; look at the tracker's log")
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or "ok" not in answer:
        raise NotReachable(f"what listens on {place} is not the tracker; check status.host and status.port")
    return answer


def _read_line(connection: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        chunk = connection.recv(64 * 1024)
        if not chunk or len(received) > LONGEST_ANSWER:
            break
        received += chunk
    return bytes(received)
