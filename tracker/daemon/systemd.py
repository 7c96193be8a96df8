"""Notify the service manager of the tracker's state: ready, alive, stopping (the protocol of sd_notify(3)).

Owns the datagrams to $NOTIFY_SOCKET and the test of whether the pump is alive. Without that variable it sends
nothing. It never waits for the manager, and never reports a pump that does not work as alive.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Final

from loguru import logger

_LONGEST_STATUS: Final = 200


class SystemdNotifier:
    """Send notifications to the service manager that started this process; `environ` and `pid` name it."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._failed = False
        self._words = ""
        self.watchdog_seconds = _watchdog(environ, pid) if self._address else None
        """The longest silence after which the manager still considers us alive; None where it does not
        watch.
        """

    def ready(self) -> None:
        """Say that the start is complete: questions are answered and fills are kept."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Report that the work continues."""
        self._send("WATCHDOG=1")

    def status(self, words: str) -> None:
        """Give the line that `systemctl status` shows; the same line is not sent twice."""
        if words == self._words:
            return
        self._words = words
        line = "".join(sign if sign.isprintable() else " " for sign in words)
        self._send(f"STATUS={line[:_LONGEST_STATUS]}")

    def _send(self, line: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.setblocking(False)
                notify.sendto(line.encode(), self._address)
        except OSError as error:
            # The manager is absent or busy; the next line may get through.
            if not self._failed:
                logger.warning("the service manager does not accept {}: {}", line, error)
            self._failed = True
        else:
            self._failed = False


class Pulse:
    """Return whether the pump is alive, by its progress since the last question.

    `looks` counts how often the pump's worker has looked at the alert store, which it does a few times a
    second; `cursor` is the last frame decided; `behind` says whether a later frame waits. A pump that has not
    looked since the last question, or has left a waiting frame undecided since then, is not alive.
    """

    def __init__(
        self, *, looks: Callable[[], int], cursor: Callable[[], int], behind: Callable[[], bool]
    ) -> None:
        self._looks = looks
        self._cursor = cursor
        self._behind = behind
        self._looks_before = -1
        self._stuck_at: int | None = None

    def beats(self) -> bool:
        """Compare with the last question; the first one always returns True."""
        looks, cursor = self._looks(), self._cursor()
        looked = looks != self._looks_before
        stuck_before, self._stuck_at = self._stuck_at, cursor if self._behind() else None
        self._looks_before = looks
        return looked and (self._stuck_at is None or self._stuck_at != stuck_before)


async def keep_alive(supervisor: SystemdNotifier, pulse: Pulse) -> None:
    """Tell the manager that the work continues, as long as it does; never returns.

    Runs on the event loop, so that a loop that hangs sends no sign of life.
    """
    assert supervisor.watchdog_seconds is not None, "only a manager that watches is notified"
    well = True
    while True:
        beats = pulse.beats()
        if beats:
            supervisor.alive()
        elif well:
            logger.error("the pump makes no progress; the service manager will restart the tracker")
        well = beats
        # As sd_watchdog_enabled(3) advises: half of the allowed time.
        await asyncio.sleep(supervisor.watchdog_seconds / 2)


def _address(named: str) -> str:
    """Return the socket's address; `@` begins the name of an abstract one (Linux). Empty for anything
    else.
    """
    if named.startswith("@"):
        return "\0" + named[1:]
    return named if named.startswith("/") else ""


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() and int(text) > 0 else None
