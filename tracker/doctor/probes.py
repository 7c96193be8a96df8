"""What doctor reads outside its own process, in one place so that a test can replace each probe.

Owns the real probes: Python and its packages, the port of the status socket (one bind without listening, one
question to the program that listens there), and the login at the gateway.
"""

from __future__ import annotations

import asyncio
import errno
import platform
import socket
import time
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracker import clock
from tracker.doctor.check_machine import CONFLICTING, LIBRARY, ZONES
from tracker.doctor.filesystems import read_mountinfo, space_at
from tracker.doctor.finding import Machine, PortState, Space, StatusPort
from tracker.gateway.link import LinkOptions
from tracker.gateway.preflight_result import PreflightResult
from tracker.status.client import NotReachable, ask
from tracker.status.protocol import is_loopback
from tracker.stores.filesystem import Disk, RealDisk

if TYPE_CHECKING:
    from tracker.stores.shared_probe import StoreFacts

_PATIENCE_SECONDS: Final = 5.0
"""Seconds to wait for an answer on the port of the status socket."""


def inspect_machine() -> Machine:
    """Return the version of this Python, its packages and its time zones."""
    major, minor, patch = platform.python_version_tuple()
    digits = "".join(sign for sign in patch if sign.isdigit())
    versions = {}
    for package in ("order-tracker", LIBRARY, *CONFLICTING):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    missing = tuple(name for name in ZONES if not _is_known(name))
    return Machine(
        (int(major), int(minor), int(digits or 0)), versions, missing, len(zoneinfo.available_timezones())
    )


def _is_known(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError):
        return False
    return True


def inspect_port(host: str, port: int, token: str | None) -> StatusPort:
    """Return whether the port is free, a tracker's, or in use by another program.

    `token` is sent beyond loopback only, where a tracker answers nothing without it.
    """
    loopback = is_loopback(host)
    if port == 0:
        return StatusPort(host, port, loopback, PortState.ANY_FREE)
    try:
        _try_to_bind(host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            reason = error.strerror or str(error)
            return StatusPort(host, port, loopback, PortState.UNUSABLE, reason)
        return _ask(host, port, token if not loopback else None)
    return StatusPort(host, port, loopback, PortState.FREE)


def _try_to_bind(host: str, port: int) -> None:
    """Bind as a server would, and close again; raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # Asyncio's servers set it too, so that a port that was just closed counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _ask(host: str, port: int, token: str | None) -> StatusPort:
    loopback = is_loopback(host)
    request = {"command": "status", **({"token": token} if token else {})}
    try:
        answer = ask(host, port, request, _PATIENCE_SECONDS)
    except NotReachable as error:
        return StatusPort(host, port, loopback, PortState.OTHER_PROGRAM, str(error))
    if not answer.get("ok"):
        error_of = answer.get("error")
        reason = error_of.get("message") if isinstance(error_of, dict) else error_of
        return StatusPort(host, port, loopback, PortState.REFUSED, str(reason))
    journal = answer.get("journal")
    path = journal.get("path") if isinstance(journal, dict) else None
    if not isinstance(path, str):
        reason = "it answers like a tracker but names no journal"
        return StatusPort(host, port, loopback, PortState.OTHER_PROGRAM, reason)
    return StatusPort(host, port, loopback, PortState.TRACKER, status=answer, journal=Path(path))


def run_preflight(options: LinkOptions, now: Callable[[], datetime]) -> PreflightResult:
    """Log in to the gateway and out again, in an event loop of its own."""
    # Imported here, since it loads ib_insync, which the checks of files do not need.
    from tracker.gateway.preflight import run_preflight

    return asyncio.run(run_preflight(options, now=now))


def look_at_store(url: str, now: Callable[[], datetime]) -> StoreFacts:
    """Ask the shared store; raises ModuleNotFoundError where its client library is not installed."""
    from tracker.stores.shared_probe import look_at_store

    return look_at_store(url, now)


@dataclass(frozen=True, slots=True)
class Probes:
    """Hold the probes; the defaults are the real ones."""

    now: Callable[[], datetime] = clock.now
    machine: Callable[[], Machine] = inspect_machine
    mountinfo: Callable[[], str | None] = read_mountinfo
    space: Callable[[Path], Space] = space_at
    disk: Disk = field(default_factory=RealDisk)
    pause: Callable[[float], None] = time.sleep
    port: Callable[[str, int, str | None], StatusPort] = inspect_port
    store: Callable[[str, Callable[[], datetime]], StoreFacts] = look_at_store
    preflight: Callable[[LinkOptions, Callable[[], datetime]], PreflightResult] = run_preflight
