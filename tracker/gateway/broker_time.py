"""Ask for the broker's time, so that our clock need not be right.

Owns when the time is requested (message 49): at the login, before each request for positions, every hour, and
at once when the host's clock was set. The answers are journalled like any message; the core decides what
follows from them. At most one request a second is sent, since the previous answer is as good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

HOURLY: Final = 3600.0
LOOK_SECONDS: Final = 1.0
"""Seconds between two comparisons of the host's clock with the monotonic one."""
_JUMP_SECONDS: Final = 1.0
_APART_SECONDS: Final = 1.0
"""The shortest time between two requests: a gateway does not answer a second one earlier."""


class BrokerTimeRequests:
    """Ask over one connection; `now` is the host's clock."""

    def __init__(self, client: Any, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._asked_at: float | None = None

    def ask(self) -> None:
        """Ask for the time, unless it was requested within the last second."""
        if self._asked_at is None or self._loop.time() - self._asked_at >= _APART_SECONDS:
            self.probe()

    def probe(self) -> None:
        """Ask for the time in any case; the answer shows that the gateway still responds."""
        self._asked_at = self._loop.time()
        self._client.reqCurrentTime()

    async def run(self) -> None:
        """Ask at once, then hourly and whenever the host's clock jumped."""
        self.ask()
        offset = self._offset()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before, offset = offset, self._offset()
            asked = self._loop.time() if self._asked_at is None else self._asked_at
            if abs(offset - before) >= _JUMP_SECONDS or self._loop.time() - asked >= HOURLY:
                self.ask()

    def _offset(self) -> float:
        """Return the difference between the host's clock and the monotonic one."""
        return self._now().timestamp() - self._loop.time()
