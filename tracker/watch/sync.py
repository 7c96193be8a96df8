"""Keep the screen's model current: follow the events, ask again for stale answers, reconnect.

Owns when each question is asked, and the pauses between attempts. The more a question costs, the longer the
pause after it, so that a screen never slows the daemon down. A failure is put into the model and never
raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final, NoReturn

from tracker.status.client import NotReachable
from tracker.status.protocol import CommandError
from tracker.watch.connection_to_daemon import DaemonConnection
from tracker.watch.screen_model import QUESTIONS, ScreenModel
from tracker.watch.screen_rows import Answer

_GATHER_SECONDS: Final = 0.1
"""Seconds in which events are gathered before the stale answers are asked for again."""
_SHARE: Final = 4.0
"""The pause after questions, as a multiple of the time they took."""
_STATUS_SECONDS: Final = 2.0
_STATUS_SHARE: Final = 50.0
"""Seconds between questions for `status`, which is answered on the loop that receives fills."""
_FULL_SECONDS: Final = 15.0
"""Seconds after which everything is asked again: what other programs write into the store is not an event."""
_FULL_SHARE: Final = 50.0
_RETRY_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 5.0)


class DaemonSync:
    """Follow one daemon for as long as the screen is open.

    `changed` is called after each change of the model; it must return at once.
    """

    def __init__(
        self,
        connection: DaemonConnection,
        model: ScreenModel,
        *,
        now: Callable[[], datetime],
        changed: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._model = model
        self._now = now
        self._changed = changed
        self._attempts = 0
        self._refresh = asyncio.Event()
        self._stale = asyncio.Event()

    def refresh(self) -> None:
        """Reconnect now if the daemon is away, else ask for everything again."""
        self._model.stale |= set(QUESTIONS)
        self._stale.set()
        self._refresh.set()

    async def run(self) -> NoReturn:
        """Follow the daemon, and reconnect, for ever."""
        while True:
            try:
                await self._follow()
                continue
            except NotReachable as error:
                self._model.on_lost(str(error))
            except CommandError as error:
                self._model.on_lost(f"the tracker refused: {error}")
            self._changed()
            pause = _RETRY_SECONDS[min(self._attempts, len(_RETRY_SECONDS) - 1)]
            self._attempts += 1
            self._refresh.clear()
            await _wait(self._refresh, pause)

    async def _follow(self) -> None:
        """Follow one daemon; returns when it was restarted, raises when it does not answer."""
        status = await self._connection.ask({"command": "status"})
        after = self._model.on_connected(status, self._now())
        self._changed()
        async with self._connection.follow(after) as events:
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
            self._model.on_event(event, self._now())
            if self._model.stale:
                self._stale.set()
            self._changed()
            # Lines that have arrived already come without a pause; let the screen react in between.
            await asyncio.sleep(0)

    async def _keep_current(self) -> None:
        """Ask for what is stale, `status` now and then, and everything once in a while."""
        loop = asyncio.get_running_loop()
        status_at = loop.time() + _STATUS_SECONDS
        full_at = loop.time()
        while True:
            begun = loop.time()
            if begun >= full_at:
                self._model.stale |= set(QUESTIONS)
            elif begun >= status_at:
                self._model.stale.add("status")
            everything = self._model.stale >= set(QUESTIONS)
            self._stale.clear()
            for command in [name for name in QUESTIONS if name in self._model.stale]:
                asked = loop.time()
                if not await self._ask(command):
                    return
                if command == "status":
                    status_at = loop.time() + max(_STATUS_SECONDS, _STATUS_SHARE * (loop.time() - asked))
            took = loop.time() - begun
            if everything:
                full_at = loop.time() + max(_FULL_SECONDS, _FULL_SHARE * took)
            await asyncio.sleep(_SHARE * took)
            await _wait(self._stale, max(0.0, min(status_at, full_at) - loop.time()))
            await asyncio.sleep(_GATHER_SECONDS)

    async def _ask(self, command: str) -> bool:
        """Ask one of QUESTIONS; False where the daemon was restarted."""
        seq = self._model.before_question(command)
        answer = await self._connection.ask({"command": command, **QUESTIONS[command]})
        if command == "status" and self._model.is_restarted_daemon(answer):
            return False
        self._model.on_answer(command, answer, self._now(), seq)
        self._changed()
        return True


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
