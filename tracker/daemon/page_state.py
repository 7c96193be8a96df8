"""What the page in a browser shows, made once for all open browsers.

Owns the answer of `page`: the answers of status, alerts, inbox and fills together, the times of the day, and
what to do in words. However many pages ask, those commands are run at most once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from tracker.status.protocol import Answer, EncodedAnswer, Request
from tracker.terminal import counted

_QUESTIONS: Final[Mapping[str, Request]] = {
    "status": {},
    "alerts": {"open": True, "limit": 1000},
    "inbox": {"limit": 200},
    "fills": {"limit": 100},
}
_FRESH_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 10.0
"""The oldest answer in seconds that is given again; after an event it is made anew."""

Ask = Callable[[Request], Awaitable[Answer]]


class PageState:
    """Answer `page`; `ask` holds the commands that it is made of, `last` returns the number of the latest
    event.
    """

    def __init__(
        self,
        ask: Mapping[str, Ask],
        last: Callable[[], int],
        latencies: Callable[[], list[tuple[datetime, float]]],
    ) -> None:
        self._ask = ask
        self._last = last
        self._latencies = latencies
        self._made: asyncio.Task[EncodedAnswer] | None = None
        self._made_at = 0.0
        self._made_last = 0

    async def answer(self, request: Request) -> Answer:
        """Return what the page shows; `last` in it is the number of the event after which to follow."""
        if not self._is_fresh():
            self._made_last = self._last()
            self._made = asyncio.get_running_loop().create_task(self._make(self._made_last))
        assert self._made is not None, "it was begun above, or is fresh"
        # Another page may be waiting for the same answer.
        return await asyncio.shield(self._made)

    def _is_fresh(self) -> bool:
        made = self._made
        if made is None or made.cancelled() or (made.done() and made.exception() is not None):
            return False
        age = asyncio.get_running_loop().time() - self._made_at
        return not made.done() or age < (
            _FRESH_SECONDS if self._last() != self._made_last else _LONGEST_SECONDS
        )

    async def _make(self, last: int) -> EncodedAnswer:
        answers: dict[str, Any] = {}
        for name, arguments in _QUESTIONS.items():
            answers[name] = await self._ask[name]({"command": name, **arguments})
        latencies = [[at.timestamp(), seconds] for at, seconds in self._latencies()]
        todo = list(what_to_do(answers["status"]))
        state = {"last": last, **answers, "latencies": latencies, "todo": todo}
        # Some 300 kB with 500 alerts: encoded in a thread, so that no fill waits for it.
        made = await asyncio.to_thread(EncodedAnswer, state)
        self._made_at = asyncio.get_running_loop().time()
        return made


def what_to_do(status: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield what a person should do or know, most urgent first: `level` is bad, decide, note or well."""
    link, store = status["link"], status["store"]
    found = False
    for level, text in (*_troubles(status, link, store), *_decisions(status), *_notes(status)):
        found = True
        yield {"level": level, "text": text}
    if not found:
        yield {"level": "well", "text": "Nothing to do: fills are received, and the alert store shows them."}


def _troubles(
    status: Mapping[str, Any], link: Mapping[str, Any], store: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    if not status["subscribed"]:
        yield "bad", f"No fills are received: {link['reason']}."
    elif link["last_sweep_timed_out"]:
        yield "bad", "The gateway's last answer about the day's executions was cut short; it is asked again."
    for verb, why in store["away"].items():
        yield "bad", f"The alert store cannot be {verb}: {why['reason']}. Fills are kept and applied later."
    if store["absent"]:
        yield "bad", "The alert store is not there yet, so fills open no alert; see stores.alerts."
    if status["heartbeat"].get("trouble"):
        yield "bad", f"notify.heartbeat_url is not reached: {status['heartbeat']['trouble']}."
    for url, why in (status["notify"].get("trouble") or {}).items():
        yield "bad", f"Messages to url {url} are not sent: {why}."
    for why in status["log"]["trouble"]:
        yield "bad", f"Log lines are lost: {why}."


def _decisions(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    needs = status["needs_you"]
    fills = sum(count for reason, count in needs.items() if reason not in ("unexplained", "orphaned"))
    if fills:
        yield "decide", f"{counted(fills, 'fill')} to decide: run `tracker inbox`, or `tracker watch`."
    if needs["unexplained"]:
        what = counted(needs["unexplained"], "position")
        yield "decide", f"{what} that no fill explains: `tracker inbox` says what to do."
    if needs["orphaned"]:
        what = counted(needs["orphaned"], "record")
        yield "decide", f"{what} gone from the alert store with a position: `tracker inbox` says what to do."
    if status["undecodable"]:
        what = counted(status["undecodable"], "message")
        yield "decide", f"{what} that could not be used: see `tracker inbox`."
    if status["gaps"]:
        days = ", ".join(status["gaps"])
        yield "decide", f"Fills may be missing on {days}: run `tracker gaps`."


def _notes(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    skew = status["clock"]["skew_seconds"]
    if skew is not None and abs(skew) >= 5:
        yield (
            "note",
            f"This host's clock is {abs(skew):g} s {'ahead of' if skew > 0 else 'behind'} the broker's.",
        )
    if status["fees_pending"]:
        yield (
            "note",
            f"{counted(status['fees_pending'], 'fill')} of today without a fee yet; it comes by itself.",
        )
