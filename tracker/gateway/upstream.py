"""Whether the gateway itself is linked to IBKR, as its notices say.

Owns what 1100, 1101, 1102 and 2110 change, for one connection. It neither closes the connection nor asks for
anything.

| notice | meaning |
|---|---|
| 1100, 2110 | the gateway has lost IBKR; the socket to it stays up |
| 1101, 1102 | IBKR is back; what happened meanwhile has to be fetched |

Nothing need ever take back 2110, so a connection that stays in it is made again (`wait_for_silence`).
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
        """Counts all four notices, so that an answer can tell that one came in between."""

    @property
    def lost(self) -> bool:
        return self._lost_at is not None

    def lose(self, code: int) -> None:
        """Take in 1100 or 2110."""
        self.interruptions += 1
        if self._lost_at is None:
            self._lost_at = self._loop.time()
        self._may_stay_silent = code == _LOST_WITHOUT_END

    def restore(self) -> None:
        """Take in 1101 or 1102."""
        self.interruptions += 1
        self._lost_at = None
        self._may_stay_silent = False

    async def wait_for_silence(self, seconds: float) -> None:
        """Return once 2110 has stood for so long with neither 1101 nor 1102 behind it."""
        while True:
            lost_at = self._lost_at
            if lost_at is None or not self._may_stay_silent:
                await asyncio.sleep(seconds / 10)
            elif (left := lost_at + seconds - self._loop.time()) > 0:
                await asyncio.sleep(left)
            else:
                return
