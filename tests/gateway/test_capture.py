"""Every frame is durable before anything can fail on it, and no order message can leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from pytest_mock import MockerFixture

from tests.support.gateway_rig import CapturedConnection, FakeListener, MemorySink, captured
from tests.support.paper_clients import ACCOUNT, BOUND_SECONDS, NVDA, make_gateway, until
from tracker.core.model import Source
from tracker.gateway.ib_insync_compat import Fill, Trade
from tracker.paper import encode_messages, responses
from tracker.paper.broadcast import Broadcaster
from tracker.paper.connection import Connection
from tracker.paper.framing import Fields
from tracker.paper.server import PaperGateway


def run(scenario: Callable[[PaperGateway, CapturedConnection], Awaitable[None]]) -> MemorySink:
    """Play a scenario on a tapped connection; return what was journalled."""

    async def play() -> MemorySink:
        async with make_gateway() as gateway, captured(gateway) as link:
            await scenario(gateway, link)
            return link.sink

    return asyncio.run(asyncio.wait_for(play(), 3 * BOUND_SECONDS))


def execution_fields(
    exec_id: str, request: str = "-1", time: str = "20251118 10:43:10 US/Eastern"
) -> list[str]:
    head = f"11|{request}|7|700100200|NVDA|OPT|20251121|122.5|C|100|CBOE|USD|NVDA  251121C00122500|NVDA"
    tail = f"{exec_id}|{time}|{ACCOUNT}|CBOE|BOT|4|2.51|188|5|0|4|2.51|||||2"
    return f"{head}|{tail}".split("|")


def test_link_up_precedes_first_frame() -> None:
    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.push_raw(*execution_fields("a.b.01.01"))
        await link.received("11")

    sink = run(scenario)
    assert sink.commits[0][2][0] == (Source.LINK, ("up", ACCOUNT, "176"))
    assert sink.executions() == ["a.b.01.01"]


def test_early_notice_follows_link_up(mocker: MockerFixture) -> None:
    """A gateway that has lost IBKR may say so first, and it is true of this link."""

    def lost_first(hub: Broadcaster, connection: Connection, fields: Fields) -> Iterator[Fields]:
        yield encode_messages.error(-1, 2110, "Connectivity is broken.", connection.version)
        yield from responses.start_api(hub, connection, fields)

    mocker.patch.dict(responses._TABLE, {"71": lost_first})

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        await link.settle()

    frames = [fields for _, _, frames in run(scenario).commits for _, fields in frames]
    assert [(fields[0], fields[-3]) for fields in frames[:2]] == [("up", "up"), ("4", "2110")]


def test_failed_login_keeps_early_notices() -> None:
    """What came before a login that never finished is journalled, without a link that is up."""

    async def play() -> MemorySink:
        async with make_gateway() as gateway:
            gateway.faults.refuse_client_id = True
            link = CapturedConnection(MemorySink(), FakeListener())
            connecting = asyncio.create_task(link.connect(gateway.port))
            await until(link.capture.gone.done, "the socket's end")
            connecting.cancel()
            await asyncio.wait({connecting})
            return link.sink

    sink = asyncio.run(play())
    assert [fields[3] for fields in sink.of("4")] == ["326"]
    assert not sink.of("up", Source.LINK)


def test_partial_fills_are_one_commit() -> None:
    """Partial fills in one packet are one commit."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        order = gateway.order(NVDA, "BUY", 10, limit="2.52")
        await link.settle()
        commits = len(link.sink.commits)
        with gateway.one_packet():
            gateway.fill(order, 4)
            gateway.fill(order, 6)
        await link.settle()
        # And one for the time, by which the test settles.
        assert len(link.sink.commits) == commits + 1 + 1
        assert link.wakes == len(link.sink.commits)

    assert len(run(scenario).executions()) == 2


def test_large_packet_is_one_commit() -> None:
    """Three hundred frames in one packet are one commit."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        commits = len(link.sink.commits)
        with gateway.one_packet():
            for number in range(300):
                gateway.push_raw("4", "2", "-1", "2109", f"notice {number}", "")
        await link.settle()
        # The kernel may cut 300 frames in two; a commit per frame would be 300.
        assert len(link.sink.commits) - commits <= 3

    assert [fields[4] for fields in run(scenario).of("4")] == [f"notice {number}" for number in range(300)]


@pytest.mark.parametrize("time", ["20251118 10:43:10 Mars/Olympus", "", "20251118", "20251118 10:43:10 PST"])
def test_odd_time_costs_no_fill(time: str) -> None:
    """No text of a time costs a fill, or the event that ib_insync makes of it."""
    seen: list[str] = []

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        order = gateway.order(NVDA, "BUY", 10, limit="2.52")
        link.ib.execDetailsEvent.connect(lambda trade, fill: seen.append(fill.execution.execId))
        gateway.fill(order, 4, time=time, exec_id="a.b.01.01")
        await link.settle()
        assert not link.fatal.done()

    sink = run(scenario)
    assert sink.executions() == ["a.b.01.01"]
    assert sink.of("11")[0][15] == time
    assert seen == ["a.b.01.01"]


def test_appended_fields_cost_no_fill() -> None:
    """Fields that later servers append cost neither the fill nor its event."""
    seen: list[str] = []

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        order = gateway.order(NVDA, "BUY", 10, limit="2.52")
        await link.settle()
        fields = execution_fields("a.b.01.01")
        fields[21] = str(order.perm_id)
        link.ib.execDetailsEvent.connect(lambda trade, fill: seen.append(fill.execution.execId))
        gateway.push_raw(*fields, "0")
        await link.settle()

    assert len(run(scenario).of("11")[0]) == 32
    assert seen == ["a.b.01.01"]


def test_malformed_frames_are_journalled() -> None:
    """Short and strange frames are journalled and harm nothing."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.push_raw(*execution_fields("a.b.01.01")[:20])
        gateway.push_raw("11")
        gateway.push_raw("5", "7")
        gateway.push_raw("999", "x")
        gateway.push_raw("word")
        gateway.push_bytes(b"\0\0\0\0")
        gateway.push_raw(*execution_fields("a.b.02.01"))
        await link.settle()
        assert not link.fatal.done()

    sink = run(scenario)
    assert [len(fields) for fields in sink.of("11")] == [20, 1, 31]
    assert sink.of("5") == [("5", "7")]
    assert sink.of("999") == []


def test_fill_before_order_is_journalled() -> None:
    """A fill that comes before its openOrder is journalled."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.faults.reorder = True
        order = gateway.order(NVDA, "BUY", 4, limit="2.52")
        gateway.fill(order)
        await link.settle()
        assert not link.fatal.done()

    sink = run(scenario)
    kinds = [fields[0] for fields in sink.fields() if fields[0] in ("5", "11")]
    assert kinds[0] == "11"
    assert "5" in kinds


def test_five_copies_are_one_frame() -> None:
    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.faults.duplicate = 5
        order = gateway.order(NVDA, "BUY", 4, limit="2.52")
        execution = gateway.fill(order)
        await link.received("11", 5)
        gateway.repeat(execution)
        await link.received("11", 10)

    assert len(run(scenario).of("11")) == 1


def test_sweep_brings_only_unknown_fills() -> None:
    """A sweep adds the fill that was missed, and no duplicate of a known one."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.execute(NVDA, "BUY", 1, "2.50", exec_id="a.b.01.01")
        gateway.execute(NVDA, "BUY", 2, "2.50", exec_id="a.b.02.01", push=False)
        await link.settle()
        for request in (11, 12, 13):
            link.ib.client.send(7, 3, request, 0, ACCOUNT, "", "", "", "", "")
        await link.received("55", 3)
        assert sum(fields[0] == "11" for fields in link.listener.frames) == 7

    sink = run(scenario)
    assert [(fields[14], fields[1]) for fields in sink.of("11")] == [("a.b.01.01", "-1"), ("a.b.02.01", "11")]
    assert [fields[2] for fields in sink.of("55")] == ["11", "12", "13"]
    assert len({fields[2] for fields in sink.of("59")}) == len(sink.of("59")) == 2


def test_unreadable_execution_is_journalled_once() -> None:
    """An execution that cannot be read is journalled once, and its readable form again."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        link.sink.known = KnowsNothing()
        broken = execution_fields("a.b.01.01")
        broken[19] = "many"
        gateway.push_raw(*broken)
        for request in ("11", "12"):
            gateway.push_raw(*[broken[0], request, *broken[2:]])
        gateway.push_raw(*execution_fields("a.b.01.01", request="13"))
        await link.settle()

    assert [(fields[1], fields[19]) for fields in run(scenario).of("11")] == [("-1", "many"), ("13", "4")]


class KnowsNothing(set[tuple[str, str]]):
    """Stand for a journal that could read none of its executions."""

    def __contains__(self, key: object) -> bool:
        return False


def test_duplicate_order_is_journalled_once() -> None:
    """Identical copies of an order are journalled once, unless all orders were asked for again."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.order(NVDA, "BUY", 10, limit="2.52")
        for _ in range(2):
            link.ib.client.reqAllOpenOrders()
        await link.received("53", 2)
        assert (len(link.sink.of("5")), len(link.sink.of("3"))) == (1, 1)
        link.capture.forget_orders()
        link.ib.client.reqAllOpenOrders()
        await link.received("53", 3)
        assert (len(link.sink.of("5")), len(link.sink.of("3"))) == (2, 2)

    assert len(run(scenario).of("53")) == 3


def test_status_that_returns_is_journalled() -> None:
    """A status that returns to an earlier one is journalled."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        for status in ("Submitted", "PreSubmitted", "Submitted", "Submitted"):
            gateway.push_raw("3", "7", status, "0", "10", "0", "188", "0", "0", "5", "", "0")
        await link.settle()

    assert [fields[2] for fields in run(scenario).of("3")] == ["Submitted", "PreSubmitted", "Submitted"]


def test_data_farm_notices_are_skipped() -> None:
    """Notices about data farms are not journalled, all others are."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        for code in (2103, 2104, 2105, 2106, 2107, 2108, 2119, 2157, 2158, 2109, 1100, 2110):
            gateway.push_raw("4", "2", "-1", code, "text", "")
        await link.settle()

    assert [fields[3] for fields in run(scenario).of("4")] == ["2109", "1100", "2110"]


def test_garbage_ends_the_link() -> None:
    """A packet that ends in garbage is committed up to there, and ends the link."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        with gateway.one_packet():
            gateway.push_raw(*execution_fields("a.b.01.01"))
            gateway.push_bytes(b"HTTP/1.1 400 Bad Request\r\n")
        reason = await link.capture.closed
        assert "does not speak the TWS protocol" in reason
        assert not link.fatal.done()

    assert run(scenario).executions() == ["a.b.01.01"]


def test_split_frame_is_captured_whole() -> None:
    """A frame that is cut over several packets is captured whole."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        body = "\0".join([*execution_fields("a.b.01.01"), ""]).encode()
        data = len(body).to_bytes(4, "big") + body
        for start in range(0, len(data), 7):
            gateway.push_bytes(data[start : start + 7])
            await asyncio.sleep(0)
        await link.settle()

    assert run(scenario).executions() == ["a.b.01.01"]


def test_close_by_peer_keeps_frames() -> None:
    """The peer's close is shown, with everything before it committed."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.push_raw(*execution_fields("a.b.01.01"))
        gateway.drop_connections()
        assert (await link.capture.closed).startswith("the gateway closed the connection")

    assert run(scenario).executions() == ["a.b.01.01"]


def test_refused_login_journals_nothing() -> None:
    async def play() -> MemorySink:
        async with make_gateway() as gateway:
            link = CapturedConnection(MemorySink(), FakeListener("this journal is for live accounts"))
            await link.connect(gateway.port)
            assert await link.capture.closed == "this journal is for live accounts"
            assert link.listener.accounts == (ACCOUNT,)
            assert not link.fatal.done()
            await until(link.capture.gone.done, "the socket's end")
            return link.sink

    assert asyncio.run(play()).commits == []


def test_known_order_emits_both_events() -> None:
    """ib_insync emits both events for an order that was passed on to it."""
    heard: list[str] = []

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        link.ib.orderStatusEvent.connect(lambda trade: heard.append(trade.orderStatus.status))
        link.ib.execDetailsEvent.connect(lambda trade, fill: heard.append(fill.execution.execId))
        order = gateway.order(NVDA, "BUY", 4, limit="2.52")
        gateway.fill(order, exec_id="a.b.01.01")
        await link.settle()
        assert link.ib.trades()[0].order.permId == order.perm_id
        assert not link.fatal.done()

    run(scenario)
    assert heard == ["Submitted", "a.b.01.01", "Filled"]


def test_ib_insync_gets_durable_fills_only() -> None:
    """A fill is passed on to ib_insync once it is durable."""
    durable: list[bool] = []

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        def heard(trade: Trade, fill: Fill) -> None:
            durable.append(fill.execution.execId in link.sink.executions())

        link.ib.execDetailsEvent.connect(heard, keep_ref=True)
        order = gateway.order(NVDA, "BUY", 10, limit="2.52")
        gateway.fill(order, 4)
        gateway.fill(order, 6)
        await link.settle()

    run(scenario)
    assert durable == [True, True]


def test_order_message_passes_cross_check() -> None:
    """A message about an order, by which ib_insync cancels it locally, passes the cross-check."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        order = gateway.order(NVDA, "BUY", 10, limit="2.52", client_id=0)
        await link.settle()
        gateway.push_raw("4", "2", order.order_id, "10349", "Order TIF was set to DAY", "")
        await link.settle()
        assert not link.fatal.done()

    assert [fields[3] for fields in run(scenario).of("4")] == ["10349"]


def test_what_ib_insync_keeps_is_bounded() -> None:
    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        order = gateway.order(NVDA, "BUY", 10, limit="2.52")
        await link.settle()
        trade = link.ib.trades()[0]
        for _ in range(20):
            with gateway.one_packet():
                for _ in range(500):
                    fields = execution_fields(f"a.{len(link.sink.known)}.{gateway.book.next_exec_root()}.01")
                    fields[21] = str(order.perm_id)
                    gateway.push_raw(*fields)
            await link.settle()
            assert len(link.ib.wrapper.fills) <= 3_000
            assert max(len(trade.fills), len(trade.log)) <= 3_000
        assert not link.fatal.done()

    assert len(run(scenario).of("11")) == 10_000
