"""The means by which doctor looks at the world, gathered so that a test can plant a fault in each.

Owns the real ones, and what is asked of Python itself.
"""

from __future__ import annotations

import asyncio
import platform
import time
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tracker import clock
from tracker.doctor.check_machine import LIBRARY, RIVALS, ZONES
from tracker.doctor.filesystems import read_mountinfo, space_at
from tracker.doctor.finding import Machine, Space, StatusPort
from tracker.doctor.sockets import look_at_port
from tracker.gateway.link import LinkOptions
from tracker.gateway.preflight_result import PreflightResult
from tracker.stores.filesystem import Disk, RealDisk


def look_at_machine() -> Machine:
    """Return what this Python is and what it has."""
    major, minor, patch = platform.python_version_tuple()
    digits = "".join(sign for sign in patch if sign.isdigit())
    versions = {}
    for package in ("order-tracker", LIBRARY, *RIVALS):
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


def visit_gateway(options: LinkOptions, now: Callable[[], datetime]) -> PreflightResult:
    """Visit the gateway in an event loop of its own."""
    # Only here: it loads ib_insync, which a look at the files does not need.
    from tracker.gateway.preflight import visit

    return asyncio.run(visit(options, now=now))


@dataclass(frozen=True, slots=True)
class Probes:
    """Hold the means; the defaults are the real ones."""

    now: Callable[[], datetime] = clock.now
    machine: Callable[[], Machine] = look_at_machine
    mountinfo: Callable[[], str | None] = read_mountinfo
    space: Callable[[Path], Space] = space_at
    disk: Disk = field(default_factory=RealDisk)
    pause: Callable[[float], None] = time.sleep
    port: Callable[[str, int, str | None], StatusPort] = look_at_port
    visit: Callable[[LinkOptions, Callable[[], datetime]], PreflightResult] = visit_gateway
