"""Send notifications without ever delaying anything else.

Owns one queue and one task for each url, and the bounds on both. It never raises an error of a service: a
notification that cannot be sent is tried again, finally given up, counted and logged. Nothing is kept on
disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from loguru import logger
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential,
    wait_random,
)

from tracker.core.model import JsonValue
from tracker.notify.apprise_services import Service
from tracker.notify.messages import Notification, NotificationRules, digest
from tracker.notify.thread_call import CallFailed, ThreadCall
from tracker.terminal import counted

_TICK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """Bound what is kept and how long it is tried; times in seconds."""

    queue: int = 100
    """How many messages may wait for one url; beyond that the oldest are dropped."""
    lines: int = 20
    """How many waiting messages are sent together."""
    attempt: float = 30.0
    retry_first: float = 2.0
    retry_most: float = 60.0
    give_up: float = 3600.0
    closing: float = 1.5
    """How long the end of the tracker waits for unsent messages."""


class Sender:
    """Call one service, with a limit in seconds on each call."""

    def __init__(self, service: Service, seconds: float) -> None:
        self._service = service
        self._call = ThreadCall(f"notify {service.label}", seconds)

    async def send(self, title: str, body: str, *, urgent: bool) -> None:
        """Send one message; raises CallFailed. While an attempt hangs, no other begins."""
        await self._call.run(partial(self._service.send, title, body, urgent=urgent))


class Channel:
    """Send the messages of one url, oldest first."""

    def __init__(self, service: Service, limits: RetryLimits, now: Callable[[], datetime]) -> None:
        self.label = service.label
        self._sender = Sender(service, limits.attempt)
        self._limits = limits
        self._now = now
        self._waiting: deque[Notification] = deque()
        self._under_way = 0
        self._dropped_before = 0
        self._arrived = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.sent = self.given_up = self.dropped = 0
        self.last_sent_at: datetime | None = None
        self.trouble = ""
        """Why the last attempt failed; empty after a success."""

    @property
    def waiting(self) -> int:
        """Return how many messages are not sent yet."""
        return len(self._waiting) + self._under_way

    def put(self, notification: Notification) -> None:
        """Append a notification to the queue; never waits, never raises."""
        if len(self._waiting) >= self._limits.queue:
            self._waiting.popleft()
            if not self.dropped:
                logger.warning("notify url {}: too many messages wait, the oldest are dropped", self.label)
            self.dropped += 1
            self._dropped_before += 1
        self._waiting.append(notification)
        self.idle.clear()
        self._arrived.set()

    async def run(self) -> None:
        """Send messages as they come; never returns."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._send_some()
            self.idle.set()

    async def _send_some(self) -> None:
        """Send waiting messages, up to the limit at once; try until the service accepts them or the time to
        give up has come.
        """
        count = min(len(self._waiting), self._limits.lines)
        batch = [self._waiting.popleft() for _ in range(count)]
        dropped, self._dropped_before = self._dropped_before, 0
        title, body = digest(batch, dropped)
        urgent = any(each.urgent for each in batch)
        limits = self._limits
        self._under_way = count
        try:
            await AsyncRetrying(
                retry=retry_if_exception_type(CallFailed),
                stop=stop_after_delay(limits.give_up),
                wait=wait_exponential(multiplier=limits.retry_first, max=limits.retry_most)
                + wait_random(0, limits.retry_first),
                before_sleep=self._failed,
                reraise=True,
            )(self._sender.send, title, body, urgent=urgent)
        except CallFailed as error:
            self.trouble = str(error)
            self.given_up += count
            logger.error("notify url {}: {} given up: {}", self.label, counted(count, "message"), error)
            return
        finally:
            self._under_way = 0
        if self.trouble:
            logger.info("notify url {}: messages are sent again", self.label)
        self.trouble = ""
        self.sent += count
        self.last_sent_at = self._now()

    def _failed(self, retry: RetryCallState) -> None:
        error = retry.outcome.exception() if retry.outcome is not None else None
        if not self.trouble:
            logger.warning("notify url {}: not sent, will be tried again: {}", self.label, error)
        self.trouble = str(error)


class Notifier:
    """Follow the events of a feed and send to every URL what the rules choose."""

    def __init__(
        self,
        services: Sequence[Service],
        rules: NotificationRules,
        *,
        now: Callable[[], datetime],
        limits: RetryLimits | None = None,
    ) -> None:
        self._limits = limits or RetryLimits()
        self._channels = [Channel(service, self._limits, now) for service in services]
        self._rules = rules
        self._now = now
        self._handled = 0
        """The number of the last event that the rules have seen."""
        self._progress = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, events: AsyncIterator[Mapping[str, JsonValue]], last: int = 0) -> None:
        """Begin to follow the events if there are urls; `events` yields each with its number as `seq`.

        `last` is the number before the first of them.
        """
        self._handled = last
        if not self._channels:
            return
        self._tasks = [
            asyncio.create_task(self._follow(events), name="notify"),
            asyncio.create_task(self._watch(), name="notify-watch"),
            *(asyncio.create_task(one.run(), name=f"notify-{one.label}") for one in self._channels),
        ]
        for task in self._tasks:
            task.add_done_callback(_log_failure)

    async def close(self, last: int) -> None:
        """Send what is left of the events up to `last`, within a short bound, and end.

        Messages not sent by then are lost: the log says how many, and a later start does not repeat them.
        """
        if not self._tasks:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.closing):
                while self._handled < last:
                    self._progress.clear()
                    await self._progress.wait()
                for channel in self._channels:
                    # A service that has just failed is not worth waiting for.
                    if not channel.trouble:
                        await channel.idle.wait()
        for task in self._tasks:
            task.cancel()
        unsent = {channel.label: channel.waiting for channel in self._channels if channel.waiting}
        for label, count in unsent.items():
            logger.warning("notify url {}: {} not sent before the end", label, counted(count, "message"))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def figures(self) -> dict[str, Any]:
        """Return counts since the start, summed over the urls; empty where there are none."""
        if not self._channels:
            return {}
        last = [channel.last_sent_at for channel in self._channels if channel.last_sent_at is not None]
        return {
            "urls": len(self._channels),
            "sent": sum(channel.sent for channel in self._channels),
            "waiting": sum(channel.waiting for channel in self._channels),
            "dropped": sum(channel.dropped for channel in self._channels),
            "given_up": sum(channel.given_up for channel in self._channels),
            "last_sent_at": max(last).isoformat(timespec="microseconds") if last else None,
            "trouble": {channel.label: channel.trouble for channel in self._channels if channel.trouble},
        }

    async def _follow(self, events: AsyncIterator[Mapping[str, JsonValue]]) -> None:
        async for event in events:
            self._put(partial(self._rules.handle, event))
            seq = event.get("seq")
            self._handled = seq if isinstance(seq, int) else self._handled
            self._progress.set()

    async def _watch(self) -> None:
        while True:
            self._put(self._rules.due)
            await asyncio.sleep(_TICK_SECONDS)

    def _put(self, choose: Callable[[datetime], list[Notification]]) -> None:
        try:
            chosen = choose(self._now())
        except Exception:
            # A bug in the wording must not stop later messages.
            logger.exception("a bug: no message could be made of an event")
            return
        for notification in chosen:
            for channel in self._channels:
                channel.put(notification)


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log that a task ended by a bug; fills are processed without messages from then on."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.opt(exception=error).error("{} ended, no more messages are sent by it", task.get_name())


async def send_test(
    services: Sequence[Service], notification: Notification, *, seconds: float = 30.0
) -> list[dict[str, Any]]:
    """Send one message to each service, once and at the same time; returns what came of it, in order."""

    async def one(service: Service) -> dict[str, Any]:
        reason = ""
        title, body = digest([notification])
        try:
            await Sender(service, seconds).send(title, body, urgent=notification.urgent)
        except CallFailed as error:
            reason = str(error)
        return {"url": service.label, "sent": not reason, "reason": reason or None}

    return list(await asyncio.gather(*(one(service) for service in services)))
