"""No message leaves that is not on the allow-list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.gateway.test_capture import run
from tests.support.gateway_rig import CapturedConnection, FakeListener, MemorySink
from tests.support.paper_clients import make_gateway, until
from tracker.gateway.allowlist import RefusedMessage
from tracker.gateway.ib_insync_compat import ib_insync
from tracker.paper.server import PaperGateway

LIMIT_ORDER = ib_insync.LimitOrder("BUY", 1, 1.0, orderId=7)


FORBIDDEN: list[Callable[[CapturedConnection], object]] = [
    lambda link: link.ib.placeOrder(ib_insync.Stock("AAPL", "SMART", "USD"), LIMIT_ORDER),
    lambda link: link.ib.cancelOrder(LIMIT_ORDER),
    lambda link: link.ib.reqGlobalCancel(),
    lambda link: link.ib.reqAutoOpenOrders(True),
    lambda link: link.ib.client.reqOpenOrders(),
    lambda link: link.ib.client.reqAccountSummary(1, "All", "NetLiquidation"),
    lambda link: link.ib.client.send("  3", 1),
    lambda link: link.ib.client.conn.sendMsg(b"\0\0\0\x025\0"),
    lambda link: link.ib.client.conn.sendMsg(b"\0\0\0\x0449\x001\0\0\0\0\x043\x007\0"),
    lambda link: link.ib.client.conn.sendMsg(b"\0\0\0\x0949\0"),
    lambda link: link.ib.client.conn.sendMsg(b""),
    lambda link: link.ib.client.conn.sendMsg(b"API\0\0\0\0\x09v157..176"),
]


@pytest.mark.parametrize("attempt", range(len(FORBIDDEN)))
def test_forbidden_message_is_fatal(attempt: int) -> None:
    """No message beside the allow-list leaves, and the attempt is fatal."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        received = len(gateway.received)
        with pytest.raises(RefusedMessage):
            FORBIDDEN[attempt](link)
        assert "the tracker never sends it" in str(await link.fatal)
        await until(link.capture.gone.done, "the socket's end")
        assert gateway.received[received:] == []

    run(scenario)


def test_binding_needs_its_setting() -> None:
    """Requests that bind manual orders leave only where the setting allows it."""

    async def play() -> list[str]:
        async with make_gateway() as gateway:
            link = CapturedConnection(MemorySink(), FakeListener(), may_bind=True)
            await link.connect(gateway.port)
            link.ib.client.reqAutoOpenOrders(True)
            link.ib.client.reqOpenOrders()
            await link.received("53")
            link.capture.close("over")
            await until(link.capture.gone.done, "the socket's end")
            return [fields[0] for _, fields in gateway.received]

    assert asyncio.run(play()) == ["71", "15", "5"]


def test_connectivity_restored_sends_nothing_by_itself() -> None:
    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.notice(1102)
        await link.settle()
        assert [fields[0] for _, fields in gateway.received] == ["71", "49"]
        assert not link.fatal.done()

    assert [fields[3] for fields in run(scenario).of("4")] == ["1102"]
