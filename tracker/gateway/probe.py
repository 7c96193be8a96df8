"""Check whether the gateway still responds: probe a quiet connection, and limit the time of an unfinished
message.

Owns when a request for the time is sent as a probe, and how long its answer and an unfinished message may
take. It closes nothing: each wait returns the reason why the connection has to end.

| what is seen | what follows |
|---|---|
| no message for `probe_seconds` | the time is asked for (49) |
| no message 49 within `probe_timeout`, and `request_timeout` | the connection ends |
| a message that is not whole after `request_timeout` | the connection ends |

Received bytes alone prove nothing: after a wrong length prefix the unfinished message swallows every later
one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from tracker.core.journal_entries import Fields
from tracker.core.message_fields import Message
from tracker.gateway.link import LinkOptions

_GAP_SECONDS: Final = 1.0
"""The shortest time between two probes."""
_CHECKS: Final = 10
"""How often an unfinished message is checked within its time limit."""


class Probe:
    """Watch one connection; `ask_time` sends a probe.

    `unfinished_since` returns the loop's time at which the beginning of a still unfinished message came.
    """

    def __init__(
        self,
        ask_time: Callable[[], None],
        options: LinkOptions,
        unfinished_since: Callable[[], float | None],
    ) -> None:
        self._ask_time = ask_time
        self._options = options
        self._unfinished_since = unfinished_since
        self._loop = asyncio.get_running_loop()
        self._message_at = self._loop.time()
        self._answered = asyncio.Event()

    def on_packet(self, frames: Sequence[Fields]) -> None:
        """Process whole messages, at least one."""
        self._message_at = self._loop.time()
        if any(fields[0] == Message.CURRENT_TIME for fields in frames):
            self._answered.set()

    async def wait_for_silence(self) -> str:
        """Probe whenever the connection is quiet; return the reason to end it once a probe is not
        answered.
        """
        options = self._options
        limit = min(options.request_timeout, options.probe_timeout)
        while True:
            idle = self._loop.time() - self._message_at
            if idle < options.probe_seconds:
                await asyncio.sleep(options.probe_seconds - idle)
                continue
            self._answered.clear()
            self._ask_time()
            with suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._answered.wait()
            if not self._answered.is_set():
                return f"the gateway is silent: no answer to a probe within {limit:g} s"
            await asyncio.sleep(_GAP_SECONDS)

    async def wait_for_half_message(self) -> str:
        """Return the reason to end the connection once a message stays unfinished for too long."""
        limit = self._options.request_timeout
        while True:
            since = self._unfinished_since()
            if since is not None and self._loop.time() - since >= limit:
                return (
                    f"a message of the gateway was not whole after {limit:g} s, so its length cannot be"
                    " trusted; connecting again to fetch what came after it"
                )
            await asyncio.sleep(limit / _CHECKS)
