"""Call `notify.heartbeat_url` each minute while capture is proven, so that its silence raises an alarm.

Owns when to call, the call and its result. A tracker that is dead, cut off or out of disk space cannot send a
message; a service that expects a call each minute raises the alarm when none comes. The url is a secret: no
message and no log line holds it.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from loguru import logger

from tracker.notify.thread_call import CallFailed, ThreadCall

EVERY_SECONDS: Final = 60.0
LONGEST_SILENCE: Final = timedelta(minutes=2)
"""Seconds after which a silent link proves nothing. Together with the minute between calls, the calls stop at
most 3 minutes after a fault.
"""
LEAST_ROOM: Final = 1_000_000
"""Bytes that must be free on each disk that a fill is written to."""
_LOOK_SECONDS: Final = 1.0
"""Seconds until the next check whether capture is proven, after one that failed."""
_CALL_SECONDS: Final = 20.0
_SOCKET_SECONDS: Final = 10.0
_AGENT: Final = "order-tracker"


class Heartbeat:
    """Call one url each minute, but only while `withheld` gives no reason not to.

    `folders` are those that fills are written to; their disks are checked in the thread of the call, since a
    disk may hang.
    """

    def __init__(
        self,
        url: str,
        folders: Sequence[Path],
        withheld: Callable[[datetime], str],
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = url
        self._folders = list(dict.fromkeys(folders))
        self._withheld = withheld
        self._now = now
        self._sleep = sleep
        self._call = ThreadCall("heartbeat", _CALL_SECONDS)
        self._sent = self._failed = 0
        self._last_sent_at: datetime | None = None
        self._reason = "not proven yet"
        """Why capture is not proven now, empty while it is."""
        self._full = ""
        """Which disk was full when the last call was due."""
        self._trouble = ""
        """Why the last call failed, empty after a success."""

    def figures(self) -> dict[str, Any]:
        """Return counts since the start, and why calls are withheld or fail."""
        last = self._last_sent_at
        return {
            "sent": self._sent,
            "failed": self._failed,
            "last_sent_at": None if last is None else last.isoformat(timespec="microseconds"),
            "withheld": self._reason or self._full,
            "trouble": self._trouble,
        }

    async def run(self) -> None:
        """Call each minute; never returns."""
        while True:
            before, self._reason = self._reason, self._withheld(self._now())
            if bool(before) != bool(self._reason):
                _log_withheld(self._reason)
            if self._reason:
                await self._sleep(_LOOK_SECONDS)
            else:
                await self._beat()
                await self._sleep(EVERY_SECONDS)

    async def _beat(self) -> None:
        before = self._full
        try:
            await self._call.run(self._look_and_get)
        except CallFailed as error:
            self._failed += 1
            if not self._trouble:
                logger.warning("notify.heartbeat_url: the call failed and is made again: {}", error)
            self._trouble = str(error)
            return
        if bool(before) != bool(self._full):
            _log_withheld(self._full)
        if self._full:
            return
        if self._trouble:
            logger.info("notify.heartbeat_url: calls succeed again")
        self._trouble = ""
        self._sent += 1
        self._last_sent_at = self._now()

    def _look_and_get(self) -> str:
        begun = time.monotonic()
        self._full = full_disk(self._folders)
        if self._full:
            return ""
        if time.monotonic() - begun >= _CALL_SECONDS:
            # Capture was proven when this call was due, but may not be any more.
            return "a disk did not answer in time"
        return get(self._url)


def _log_withheld(reason: str) -> None:
    if reason:
        logger.warning("notify.heartbeat_url is not called: {}", reason)
    else:
        logger.info("notify.heartbeat_url is called: capture is proven")


def full_disk(folders: Sequence[Path]) -> str:
    """Name a folder whose disk has no room for a fill; empty where all disks have room."""
    for folder in folders:
        try:
            found = os.statvfs(folder)
        except OSError as error:
            return f"{folder} cannot be looked at: {error.strerror or error}"
        if found.f_bavail * found.f_frsize < LEAST_ROOM:
            return f"the disk of {folder} is full"
    return ""


def get(url: str) -> str:
    """Fetch an address, and return why that failed, empty for a success; the address is never repeated."""
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT})
    try:
        with closing(urllib.request.urlopen(request, timeout=_SOCKET_SECONDS)):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP status {error.code}"
    except urllib.error.URLError as error:
        cause = error.reason
        return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__
    except TimeoutError:
        return f"no answer within {_SOCKET_SECONDS:g} s"
    except (OSError, http.client.HTTPException) as error:
        return f"it does not answer as a web server ({type(error).__name__})"
