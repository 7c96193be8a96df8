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
from tracker.notify.messages import Choice, Notification
from tracker.notify.sender import Channel, Notifier, RetryLimits, try_out
from tracker.status.events import EventFeed

QUICK = RetryLimits(retry_first=0.001, retry_most=0.002, farewell=5)


class Post:
    """A service that keeps what it is given; `reasons` are its answers, empty once they are used up."""

    def __init__(self, *reasons: str, label: str = "1 (post)") -> None:
        self.label = label
        self.reasons = list(reasons)
        self.letters: list[str] = []
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()

    def send(self, title: str, body: str, *, grave: bool) -> str:
        self.attempts += 1
        self.gate.wait()
        reason = self.reasons.pop(0) if self.reasons else ""
        if not reason:
            self.letters.append(body)
        return reason

    @property
    def lines(self) -> list[str]:
        return [line for letter in self.letters for line in letter.splitlines()]


class Broken(Post):
    """A plugin with a bug, whose text holds the url."""

    def send(self, title: str, body: str, *, grave: bool) -> str:
        super().send(title, body, grave=grave)
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


def with_outlet(
    post: Post, patience: RetryLimits, story: Callable[[Channel], Awaitable[None]]
) -> tuple[Channel, list[str]]:
    """Run a story beside an outlet; returns it with what was logged."""

    async def main() -> Channel:
        outlet = Channel(post, patience, lambda: NOON)
        task = asyncio.create_task(outlet.run())
        try:
            await story(outlet)
        finally:
            post.gate.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return outlet

    with logged() as lines:
        return asyncio.run(main()), lines


def test_what_is_refused_is_tried_again() -> None:
    post = Post("the service answered 503", "the service answered 503")

    async def story(outlet: Channel) -> None:
        outlet.put(Notification("a"))
        await outlet.idle.wait()

    outlet, lines = with_outlet(post, QUICK, story)
    assert post.lines == ["a"]
    assert (outlet.sent, outlet.given_up, outlet.trouble, outlet.waiting) == (1, 0, "", 0)
    assert outlet.last_sent_at == NOON
    assert [line for line in lines if "tried again: the service answered 503" in line] == lines[:1]
    assert "taken again" in lines[1]


def test_what_is_refused_for_too_long_is_given_up_and_counted() -> None:
    post = Post(*["no"] * 10_000)

    async def story(outlet: Channel) -> None:
        outlet.put(Notification("a"))
        await outlet.idle.wait()
        post.reasons.clear()
        outlet.put(Notification("b"))
        await outlet.idle.wait()

    outlet, lines = with_outlet(post, replace(QUICK, give_up=0.05), story)
    assert post.lines == ["b"]
    assert (outlet.sent, outlet.given_up) == (1, 1)
    assert any("1 message given up: no" in line for line in lines)


def test_the_oldest_are_dropped_where_too_many_wait_and_that_is_said() -> None:
    post = Post()
    post.gate.clear()

    async def story(outlet: Channel) -> None:
        outlet.put(Notification("first"))
        await until(lambda: post.attempts)
        for number in range(10):
            outlet.put(Notification(str(number)))
        assert (outlet.dropped, outlet.waiting) == (6, 5)
        post.gate.set()
        await outlet.idle.wait()

    outlet, lines = with_outlet(post, replace(QUICK, queue=4, lines=3), story)
    dropped = "6 older messages could not be sent; see tracker status"
    assert post.letters == ["first", f"{dropped}\n6\n7\n8", "9"]
    assert outlet.sent == 5
    assert sum("the oldest are dropped" in line for line in lines) == 1


def test_a_service_that_hangs_gets_one_thread_and_no_more() -> None:
    post = Post()
    post.gate.clear()

    async def story(outlet: Channel) -> None:
        outlet.put(Notification("a"))
        await until(lambda: "still has no answer" in outlet.trouble)
        assert post.attempts == 1
        post.gate.set()
        await outlet.idle.wait()

    outlet, lines = with_outlet(post, replace(QUICK, attempt=0.02), story)
    assert outlet.sent == 1
    assert "no answer within 0.02 s" in lines[0]


def test_a_bug_in_a_plugin_is_a_failed_attempt_that_tells_no_secret() -> None:
    async def story(outlet: Channel) -> None:
        outlet.put(Notification("a"))
        await until(lambda: outlet.trouble)

    outlet, lines = with_outlet(Broken(), QUICK, story)
    assert outlet.trouble == "the service's plugin failed with ValueError"
    assert not any("sesame" in line for line in lines)


def choice(**changes: Any) -> Choice:
    options: dict[str, Any] = {
        "started_at": NOON,
        "link_down": timedelta(minutes=5),
        "unproven": lambda now: "",
        "planned": lambda now: "",
    }
    return Choice(Known(None, None), **(options | changes))


def alert(name: str) -> dict[str, JsonValue]:
    return unnumbered({**opened(), "alert": name})


def unnumbered(event: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return an event as it is published: the feed numbers it, and the end waits for that number."""
    return {key: value for key, value in event.items() if key != "seq"}


def test_what_was_published_before_the_end_still_goes_out() -> None:
    """Also what the follower has not even seen yet."""
    posts = [Post(), Post(label="2 (post)")]

    async def main() -> dict[str, Any]:
        feed = EventFeed()
        courier = Notifier(posts, choice(), now=lambda: NOON, patience=QUICK)
        courier.start(feed.follow(0))
        for number in range(50):
            feed.publish(alert(f"a/{number}"))
        await courier.close(feed.last)
        return courier.figures()

    figures = asyncio.run(main())
    for post in posts:
        assert [line.split()[3] for line in post.lines] == [f"a/{number}:" for number in range(50)]
    assert (figures["urls"], figures["sent"], figures["waiting"], figures["trouble"]) == (2, 100, 0, {})


def test_the_end_waits_for_a_service_that_hangs_only_so_long_and_says_what_is_lost() -> None:
    hanging, good = Post(), Post(label="2 (post)")
    hanging.gate.clear()

    async def main() -> float:
        feed = EventFeed()
        loop = asyncio.get_running_loop()
        courier = Notifier([hanging, good], choice(), now=lambda: NOON, patience=replace(QUICK, farewell=0.2))
        courier.start(feed.follow(0))
        feed.publish(alert("a/1"))
        began = loop.time()
        await courier.close(feed.last)
        return loop.time() - began

    with logged() as lines:
        took = asyncio.run(main())
    hanging.gate.set()
    assert took < 10
    assert len(good.lines) == 1
    assert [line for line in lines if "1 (post): 1 message not sent before the end" in line]


def test_a_bug_in_the_words_ends_nothing() -> None:
    def broken(text: str) -> str:
        if "a/1" in text:
            raise KeyError("a bug")
        return text

    post = Post()

    async def main() -> None:
        feed = EventFeed()
        courier = Notifier([post], choice(mask=broken), now=lambda: NOON, patience=QUICK)
        courier.start(feed.follow(0))
        feed.publish(alert("a/1"))
        feed.publish(alert("a/2"))
        await courier.close(feed.last)

    with logged() as lines:
        asyncio.run(main())
    assert [line.split()[3] for line in post.lines] == ["a/2:"]
    assert any("could not be put in words" in line for line in lines)


def test_events_that_the_feed_forgot_are_told_as_a_number() -> None:
    post = Post()

    async def main() -> None:
        feed = EventFeed(capacity=2)
        courier = Notifier([post], choice(), now=lambda: NOON, patience=QUICK)
        for _ in range(9):
            feed.publish(unnumbered(event("fee")))
        courier.start(feed.follow(0))
        await courier.close(feed.last)

    asyncio.run(main())
    assert "7 events came too fast" in post.lines[0]


def test_without_urls_there_are_no_figures_and_nothing_waits() -> None:
    async def main() -> dict[str, Any]:
        feed = EventFeed()
        courier = Notifier([], choice(), now=lambda: NOON, patience=QUICK)
        courier.start(feed.follow(0))
        feed.publish(alert("a/1"))
        await courier.close(feed.last)
        return courier.figures()

    assert asyncio.run(main()) == {}


def test_a_trial_says_for_each_url_what_came_of_it() -> None:
    posts = [Post(), Post("the service answered 404", label="2 (post)"), Post(label="3 (post)")]
    posts[2].gate.clear()
    results = asyncio.run(try_out(posts, Notification("hello"), seconds=0.3))
    posts[2].gate.set()
    assert results == [
        {"url": "1 (post)", "sent": True, "reason": None},
        {"url": "2 (post)", "sent": False, "reason": "the service answered 404"},
        {"url": "3 (post)", "sent": False, "reason": "no answer within 0.3 s"},
    ]
