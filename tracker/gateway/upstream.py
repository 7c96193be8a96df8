"""Follow whether the gateway itself is linked to IBKR, by its notices.

Owns what the notices 1100, 1101, 1102 and 2110 change, for one connection. It neither closes the connection
nor sends a request.

| notice | meaning |
|---|---|
| 1100, 2110 | the gateway has lost IBKR; the socket to it stays up |
| 1101, 1102 | IBKR is back; executions in between have to be fetched |

No notice may ever revoke 2110, so a connection that stays in that state is made again
(`wait_for_silence`).
"""

from __future__ import annotations

import asyncio
from typing import Final

_LOST_WITHOUT_END: Final = 2110


class Upstream:
    """Follow the gateway's own link to IBKR."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost_at: float | None = None
        self._may_stay_silent = False
        self.interruptions = 0
        """Counts all four notices, to recognise that one came during an answer."""

    @property
    def lost(self) -> bool:
        return self._lost_at is not None

    def lose(self, code: int) -> None:
        """Process 1100 or 2110."""
        self.interruptions += 1
        if self._lost_at is None:
            self._lost_at = self._loop.time()
        self._may_stay_silent = code == _LOST_WITHOUT_END

    def restore(self) -> None:
        """Process 1101 or 1102."""
        self.interruptions += 1
        self._lost_at = None
        self._may_stay_silent = False

    async def wait_for_silence(self, seconds: float) -> None:
        """Return once so many seconds have passed after 2110 without 1101 or 1102."""
        while True:
            lost_at = self._lost_at
            if lost_at is None or not self._may_stay_silent:
                await asyncio.sleep(seconds / 10)
            elif (left := lost_at + seconds - self._loop.time()) > 0:
                await asyncio.sleep(left)
            else:
                return
