"""Sending: bounded, tried again, given up; nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from loguru import logger

from tests.notify.test_messages import NOON, Known, event, opened
from tracker.core.model import JsonValue
from tracker.notify.messages import Notification, NotificationRules
from tracker.notify.sender import Channel, Notifier, RetryLimits, send_test
from tracker.status.events import EventFeed

QUICK = RetryLimits(retry_first=0.001, retry_most=0.002, closing=5)


class Post:
    """A service that keeps what it is given; `reasons` are its answers, empty once they are used up."""

    def __init__(self, *reasons: str, label: str = "1 (post)") -> None:
        self.label = label
        self.reasons = list(reasons)
        self.digests: list[str] = []
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()

    def send(self, title: str, body: str, *, urgent: bool) -> str:
        self.attempts += 1
        self.gate.wait()
        reason = self.reasons.pop(0) if self.reasons else ""
        if not reason:
            self.digests.append(body)
        return reason

    @property
    def lines(self) -> list[str]:
        return [line for digest in self.digests for line in digest.splitlines()]


class Broken(Post):
    """A plugin with a bug, whose text holds the url."""

    def send(self, title: str, body: str, *, urgent: bool) -> str:
        super().send(title, body, urgent=urgent)
        raise ValueError("json://user:sesame@host")


@contextmanager
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="INFO")
    try:
        yield lines
    finally:
        logger.remove(sink)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def with_channel(
    post: Post, limits: RetryLimits, story: Callable[[Channel], Awaitable[None]]
) -> tuple[Channel, list[str]]:
    """Run a story beside an channel; returns it with what was logged."""

    async def main() -> Channel:
        channel = Channel(post, limits, lambda: NOON)
        task = asyncio.create_task(channel.run())
        try:
            await story(channel)
        finally:
            post.gate.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return channel

    with logged() as lines:
        return asyncio.run(main()), lines


def test_what_is_refused_is_tried_again() -> None:
    post = Post("the service answered 503", "the service answered 503")

    async def story(channel: Channel) -> None:
        channel.put(Notification("a"))
        await channel.idle.wait()

    channel, lines = with_channel(post, QUICK, story)
    assert post.lines == ["a"]
    assert (channel.sent, channel.given_up, channel.trouble, channel.waiting) == (1, 0, "", 0)
    assert channel.last_sent_at == NOON
    assert [line for line in lines if "tried again: the service answered 503" in line] == lines[:1]
    assert "sent again" in lines[1]


def test_long_refused_is_given_up() -> None:
    """What is refused for too long is given up and counted."""
    post = Post(*["no"] * 10_000)

    async def story(channel: Channel) -> None:
        channel.put(Notification("a"))
        await channel.idle.wait()
        post.reasons.clear()
        channel.put(Notification("b"))
        await channel.idle.wait()

    channel, lines = with_channel(post, replace(QUICK, give_up=0.05), story)
    assert post.lines == ["b"]
    assert (channel.sent, channel.given_up) == (1, 1)
    assert any("1 message given up: no" in line for line in lines)


def test_full_queue_drops_oldest() -> None:
    """The oldest are dropped where too many wait and that is said."""
    post = Post()
    post.gate.clear()

    async def story(channel: Channel) -> None:
        channel.put(Notification("first"))
        await until(lambda: post.attempts)
        for number in range(10):
            channel.put(Notification(str(number)))
        assert (channel.dropped, channel.waiting) == (6, 5)
        post.gate.set()
        await channel.idle.wait()

    channel, lines = with_channel(post, replace(QUICK, queue=4, lines=3), story)
    dropped = "6 older notifications could not be sent; see `tracker status`"
    assert post.digests == ["first", f"{dropped}\n6\n7\n8", "9"]
    assert channel.sent == 5
    assert sum("the oldest are dropped" in line for line in lines) == 1


def test_hanging_service_has_one_thread() -> None:
    """A service that hangs gets one thread and no more."""
    post = Post()
    post.gate.clear()

    async def story(channel: Channel) -> None:
        channel.put(Notification("a"))
        await until(lambda: "still has no answer" in channel.trouble)
        assert post.attempts == 1
        post.gate.set()
        await channel.idle.wait()

    channel, lines = with_channel(post, replace(QUICK, attempt=0.02), story)
    assert channel.sent == 1
    assert "no answer within 0.02 s" in lines[0]


def test_plugin_bug_shows_no_secret() -> None:
    """A bug in a plugin is a failed attempt that tells no secret."""

    async def story(channel: Channel) -> None:
        channel.put(Notification("a"))
        await until(lambda: channel.trouble)

    channel, lines = with_channel(Broken(), QUICK, story)
    assert channel.trouble == "it failed with ValueError"
    assert not any("sesame" in line for line in lines)


def choice(**changes: Any) -> NotificationRules:
    options: dict[str, Any] = {
        "started_at": NOON,
        "link_down": timedelta(minutes=5),
        "unproven": lambda now: "",
        "planned": lambda now: "",
    }
    return NotificationRules(Known(None, None), **(options | changes))


def alert(name: str) -> dict[str, JsonValue]:
    return unnumbered({**opened(), "alert": name})


def unnumbered(event: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return an event as it is published: the feed numbers it, and the end waits for that number."""
    return {key: value for key, value in event.items() if key != "seq"}


def test_close_sends_what_was_published() -> None:
    """Also what the follower has not even seen yet."""
    posts = [Post(), Post(label="2 (post)")]

    async def main() -> dict[str, Any]:
        feed = EventFeed()
        notifier = Notifier(posts, choice(), now=lambda: NOON, limits=QUICK)
        notifier.start(feed.follow(0))
        for number in range(50):
            feed.publish(alert(f"a/{number}"))
        await notifier.close(feed.last)
        return notifier.figures()

    figures = asyncio.run(main())
    for post in posts:
        assert [line.split()[3] for line in post.lines] == [f"a/{number}:" for number in range(50)]
    assert (figures["urls"], figures["sent"], figures["waiting"], figures["trouble"]) == (2, 100, 0, {})


def test_close_is_bounded() -> None:
    """The end waits for a service that hangs only so long and says what is lost."""
    hanging, good = Post(), Post(label="2 (post)")
    hanging.gate.clear()

    async def main() -> float:
        feed = EventFeed()
        loop = asyncio.get_running_loop()
        notifier = Notifier([hanging, good], choice(), now=lambda: NOON, limits=replace(QUICK, closing=0.2))
        notifier.start(feed.follow(0))
        feed.publish(alert("a/1"))
        began = loop.time()
        await notifier.close(feed.last)
        return loop.time() - began

    with logged() as lines:
        took = asyncio.run(main())
    hanging.gate.set()
    assert took < 10
    assert len(good.lines) == 1
    assert [line for line in lines if "1 (post): 1 message not sent before the end" in line]


def test_rules_bug_ends_nothing() -> None:
    """A bug in the words ends nothing."""

    def broken(text: str) -> str:
        if "a/1" in text:
            raise KeyError("a bug")
        return text

    post = Post()

    async def main() -> None:
        feed = EventFeed()
        notifier = Notifier([post], choice(mask=broken), now=lambda: NOON, limits=QUICK)
        notifier.start(feed.follow(0))
        feed.publish(alert("a/1"))
        feed.publish(alert("a/2"))
        await notifier.close(feed.last)

    with logged() as lines:
        asyncio.run(main())
    assert [line.split()[3] for line in post.lines] == ["a/2:"]
    assert any("no message could be made of an event" in line for line in lines)


def test_forgotten_events_are_counted() -> None:
    """Events that the feed forgot are reported as a number."""
    post = Post()

    async def main() -> None:
        feed = EventFeed(capacity=2)
        notifier = Notifier([post], choice(), now=lambda: NOON, limits=QUICK)
        for _ in range(9):
            feed.publish(unnumbered(event("fee")))
        notifier.start(feed.follow(0))
        await notifier.close(feed.last)

    asyncio.run(main())
    assert "7 events came too fast" in post.lines[0]


def test_no_urls_no_figures() -> None:
    """Without urls there are no figures and nothing waits."""

    async def main() -> dict[str, Any]:
        feed = EventFeed()
        notifier = Notifier([], choice(), now=lambda: NOON, limits=QUICK)
        notifier.start(feed.follow(0))
        feed.publish(alert("a/1"))
        await notifier.close(feed.last)
        return notifier.figures()

    assert asyncio.run(main()) == {}


def test_trial_reports_each_url() -> None:
    """A dry run says for each url what came of it."""
    posts = [Post(), Post("the service answered 404", label="2 (post)"), Post(label="3 (post)")]
    posts[2].gate.clear()
    results = asyncio.run(send_test(posts, Notification("hello"), seconds=0.3))
    posts[2].gate.set()
    assert results == [
        {"url": "1 (post)", "sent": True, "reason": None},
        {"url": "2 (post)", "sent": False, "reason": "the service answered 404"},
        {"url": "3 (post)", "sent": False, "reason": "no answer within 0.3 s"},
    ]
