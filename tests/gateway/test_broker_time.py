"""The broker's time is asked for at the login, and at once when the host's clock was set."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from tests.support.gateway_rig import real_now, requests, running_link, with_gateway
from tracker.gateway.link import LinkOptions
from tracker.gateway.requests import Requests
from tracker.paper.server import PaperGateway


class HostClock:
    """Show the host's time, as far ahead as it was set."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return real_now() + self.ahead


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def test_jump_has_the_time_asked_at_once() -> None:
    """The clock is set, forward or back: the next request comes within seconds, not after an hour."""

    async def scenario(gateway: PaperGateway) -> None:
        clock = HostClock()
        async with running_link(gateway, now=clock) as link:
            await link.subscribed()
            for jump in (1800, -3600):
                before = requests(gateway).count("49")
                clock.ahead += timedelta(seconds=jump)
                await until(lambda before=before: requests(gateway).count("49") > before)

    with_gateway(scenario)


def test_day_begins_by_the_brokers_clock() -> None:
    """The host shows half past midnight, and is an hour ahead: the broker's day is yesterday's."""
    sink = SimpleNamespace(now=lambda: datetime(2025, 11, 19, 0, 30, tzinfo=UTC))

    async def midnight(ahead: timedelta) -> datetime:
        options = LinkOptions("127.0.0.1", 1, 0, login_zone=UTC)
        asked = Requests(None, cast(Any, sink), options)
        asked.skew = ahead
        return asked.midnight()

    assert asyncio.run(midnight(timedelta(0))) == datetime(2025, 11, 19, tzinfo=UTC)
    assert asyncio.run(midnight(timedelta(hours=1))) == datetime(2025, 11, 18, tzinfo=UTC)
