"""Keep a board current: follow the events, ask again for what they made old, and come back by itself.

Owns when what is asked, and the pauses between attempts. Questions are spaced by what they cost, so that a
screen never slows the daemon down; whatever happens to the daemon ends at the board.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final, NoReturn

from tracker.status.client import NotReachable
from tracker.status.protocol import CommandError
from tracker.watch.connection_to_daemon import DaemonConnection
from tracker.watch.screen_model import QUESTIONS, Answer, ScreenModel

_GATHER_SECONDS: Final = 0.1
"""How long events gather before what they made old is asked for."""
_SHARE: Final = 4.0
"""After questions, so many times what they took is left to the daemon before more are asked."""
_STATUS_SECONDS: Final = 2.0
_STATUS_SHARE: Final = 50.0
"""`status` is answered on the daemon's own loop, beside the fills."""
_ANEW_SECONDS: Final = 15.0
"""When all is asked again: what other programs write into the store is no event."""
_ANEW_SHARE: Final = 50.0
_RETRY_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 5.0)


class DaemonSync:
    """Talk with one daemon for as long as the screen is there.

    `changed` is called after each change of the board; it must return at once.
    """

    def __init__(
        self,
        wire: DaemonConnection,
        board: ScreenModel,
        *,
        now: Callable[[], datetime],
        changed: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._board = board
        self._now = now
        self._changed = changed
        self._attempts = 0
        self._hurry = asyncio.Event()
        self._stale = asyncio.Event()

    def hurry(self) -> None:
        """Try now if the daemon is away, and ask for everything again if it is not."""
        self._board.stale |= set(QUESTIONS)
        self._stale.set()
        self._hurry.set()

    async def run(self) -> NoReturn:
        """Converse for ever."""
        while True:
            try:
                await self._live()
                continue
            except NotReachable as error:
                self._board.lost(str(error))
            except CommandError as error:
                self._board.lost(f"the daemon refuses: {error}")
            self._changed()
            pause = _RETRY_SECONDS[min(self._attempts, len(_RETRY_SECONDS) - 1)]
            self._attempts += 1
            self._hurry.clear()
            await _wait(self._hurry, pause)

    async def _live(self) -> None:
        """Follow one life of the daemon; returns when another one answers, raises when none does."""
        status = await self._wire.ask({"command": "status"})
        after = self._board.greeted(status, self._now())
        self._changed()
        async with self._wire.follow(after) as events:
            self._attempts = 0
            tasks = [asyncio.create_task(self._listen(events)), asyncio.create_task(self._keep_current())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, events: AsyncIterator[Answer]) -> None:
        async for event in events:
            self._board.happened(event, self._now())
            if self._board.stale:
                self._stale.set()
            self._changed()
            # Lines that are there already come without a pause; the screen must stay alive meanwhile.
            await asyncio.sleep(0)

    async def _keep_current(self) -> None:
        """Ask for what is old, `status` now and then, and for everything once in a while."""
        loop = asyncio.get_running_loop()
        status_at = loop.time() + _STATUS_SECONDS
        anew_at = loop.time()
        while True:
            begun = loop.time()
            if begun >= anew_at:
                self._board.stale |= set(QUESTIONS)
            elif begun >= status_at:
                self._board.stale.add("status")
            everything = self._board.stale >= set(QUESTIONS)
            self._stale.clear()
            for command in [name for name in QUESTIONS if name in self._board.stale]:
                asked = loop.time()
                if not await self._ask(command):
                    return
                if command == "status":
                    status_at = loop.time() + max(_STATUS_SECONDS, _STATUS_SHARE * (loop.time() - asked))
            took = loop.time() - begun
            if everything:
                anew_at = loop.time() + max(_ANEW_SECONDS, _ANEW_SHARE * took)
            await asyncio.sleep(_SHARE * took)
            await _wait(self._stale, max(0.0, min(status_at, anew_at) - loop.time()))
            await asyncio.sleep(_GATHER_SECONDS)

    async def _ask(self, command: str) -> bool:
        """Ask one of QUESTIONS; False where another daemon than before answers."""
        seq = self._board.asking(command)
        answer = await self._wire.ask({"command": command, **QUESTIONS[command]})
        if command == "status" and self._board.is_another_life(answer):
            return False
        self._board.answered(command, answer, self._now(), seq)
        self._changed()
        return True


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
