"""Make a blocking call in a thread that the process does not wait for when it ends: the call may hang for
ever.

Owns that thread and the time limit of one call. A call that hangs delays only the next one of its kind.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


class CallFailed(Exception):
    """Say why a call did not succeed."""


class ThreadCall:
    """Make calls one at a time, each with a limit in seconds."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._under_way = False

    async def run(self, call: Callable[[], str]) -> None:
        """Make a call that returns why it failed, empty for a success; raises CallFailed.

        While an earlier call hangs, no other begins.
        """
        if self._under_way:
            raise CallFailed("the attempt before this one still has no answer")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[str] = loop.create_future()

        def answer(reason: str) -> None:
            if not answered.done():
                answered.set_result(reason)

        def work() -> None:
            try:
                reason = call()
            except Exception as error:
                # The error's text may hold a url, so only its type is named.
                reason = f"it failed with {type(error).__name__}"
            self._under_way = False
            # The loop is closed where the tracker ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(answer, reason)

        self._under_way = True
        threading.Thread(target=work, name=self._name, daemon=True).start()
        try:
            async with asyncio.timeout(self._seconds):
                reason = await answered
        except TimeoutError:
            raise CallFailed(f"no answer within {self._seconds:g} s") from None
        if reason:
            raise CallFailed(reason)
