"""Pass events on to followers without ever waiting for them.

Owns the latest events in memory. Publishing costs the same however many follow and however slow they are: a
follower that falls behind gets stored events, and the number of those that it missed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias

from tracker.core.model import JsonValue
from tracker.status.arguments import CommandArguments, EventNumber, read_arguments
from tracker.status.protocol import Answer, Request, Stream

Event: TypeAlias = Mapping[str, JsonValue]
"""An event, as it is written to followers."""
Stored: TypeAlias = Callable[[int, int], Awaitable[tuple[int, Sequence[tuple[int, Event]]]]]
"""Takes a number and a limit; returns the highest number that is no longer stored, and the stored events
after that number, at least `limit` of them if there are so many.
"""
_AT_ONCE: Final = 500


class EventFeed:
    """Keep the latest events, and let any number of readers follow them.

    `first` is the number of the next event; `stored` returns earlier events, also those of earlier starts.
    """

    def __init__(self, capacity: int = 1000, *, first: int = 1, stored: Stored | None = None) -> None:
        self._latest: deque[Event | Callable[[], Event]] = deque(maxlen=capacity)
        self._first = self._next = first
        self._stored = stored
        self._news: asyncio.Event | None = None
        """The future that followers wait for, None where there are none."""

    @property
    def last(self) -> int:
        """The number of the latest event, one less than the first before there is one."""
        return self._next - 1

    def publish(self, event: Event | Callable[[], Event]) -> None:
        """Take an event, or a function that makes it when a follower reads it.

        It is passed on with its number as `seq`, one more than that of the event before.
        """
        self._latest.append(event)
        self._next += 1
        if self._news is not None:
            self._news.set()
            self._news = None

    async def follow(self, after: int | None = None) -> AsyncGenerator[Answer, None]:
        """Yield each event with a higher number than `after`, without end; None means only future events.

        Where events were forgotten before they could be passed on, {"missed": n} with their count comes in
        their place. 0 means all events of this start that are in memory, and so does a number that no event
        has had.
        """
        position = self.last if after is None else after
        if position == 0 or position > self.last:
            position = self._first - 1
        while True:
            oldest = self._next - len(self._latest)
            if position + 1 < oldest and self._stored is not None:
                dropped, events = await self._stored(position, _AT_ONCE)
                if dropped > position:
                    yield {"missed": dropped - position}
                    position = dropped
                earlier = [(number, event) for number, event in events if number < oldest]
                for number, event in earlier:
                    yield {"seq": number, **event}
                    position = number
                if earlier:
                    continue
                position = max(position, self._first - 1)
                oldest = self._next - len(self._latest)
            if position + 1 < oldest:
                yield {"missed": oldest - 1 - position}
                position = oldest - 1
            elif position < self.last:
                position += 1
                latest = self._latest[position - oldest]
                yield {"seq": position, **(latest() if callable(latest) else latest)}
            else:
                if self._news is None:
                    self._news = asyncio.Event()
                await self._news.wait()


class SubscribeArguments(CommandArguments, frozen=True):
    """Say where to begin: after this event, or with future events."""

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

    return Stream(events, "follow the events, one line each; `after` N continues after event N")
