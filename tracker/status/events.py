"""Hand events on to whoever follows, without ever waiting for them.

Owns the numbers of the events and the memory of the latest. Publishing costs the same however many follow
and however slow they are: who falls behind the memory is told how much was missed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import TypeAlias

from tracker.core.model import JsonValue
from tracker.status.arguments import CommandArguments, EventNumber, read_arguments
from tracker.status.protocol import Answer, Request, Stream

Event: TypeAlias = Mapping[str, JsonValue]
"""What happened, as it is written to followers."""


class EventFeed:
    """Number events, keep the latest, and let any number of readers follow."""

    def __init__(self, capacity: int = 1000) -> None:
        self._latest: deque[Event | Callable[[], Event]] = deque(maxlen=capacity)
        self._next = 1
        self._news: asyncio.Event | None = None
        """What those wait for who follow, where any do."""

    @property
    def last(self) -> int:
        """The number of the latest event, 0 before the first."""
        return self._next - 1

    def publish(self, event: Event | Callable[[], Event]) -> None:
        """Take an event, or what makes it for those who read it.

        It is handed on with its number as `seq`, which begins at 1 with each start.
        """
        self._latest.append(event)
        self._next += 1
        if self._news is not None:
            self._news.set()
            self._news = None

    async def follow(self, after: int | None = None) -> AsyncGenerator[Answer, None]:
        """Yield each event with a higher number than `after`, for ever; None means those still to come.

        Where events were forgotten before they could be handed on, their count comes in their place as
        {"missed": n}. A number above the latest is one of an earlier start, so everything is handed on.
        """
        position = self.last if after is None else after
        if position > self.last:
            position = 0
        while True:
            oldest = self._next - len(self._latest)
            if position + 1 < oldest:
                yield {"missed": oldest - 1 - position}
                position = oldest - 1
            elif position < self.last:
                position += 1
                event = self._latest[position - oldest]
                yield {"seq": position, **(event() if callable(event) else event)}
            else:
                if self._news is None:
                    self._news = asyncio.Event()
                await self._news.wait()


class SubscribeArguments(CommandArguments, frozen=True):
    """Say where to begin: behind this event, or with what comes from now on."""

    after: EventNumber | None = None


def subscription(feed: EventFeed) -> Stream:
    """Return the command that follows a feed: {"command": "subscribe", "after": N}, or without a number.

    Its first line says the number of the latest event (`last`), so that a client can ask for `status` and
    then go on from there.
    """

    async def events(request: Request) -> AsyncGenerator[Answer, None]:
        asked = read_arguments(SubscribeArguments, request)
        yield {"subscribed": True, "last": feed.last}
        async with aclosing(feed.follow(asked.after)) as following:
            async for event in following:
                yield event

    return Stream(events, "follow the events, one line each; `after` N goes on behind event N")
