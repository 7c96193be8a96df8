"""What ends capture for good: a failed append, a mistake of ours, an event that was never captured."""

from __future__ import annotations

import pytest
from pytest_mock import MockerFixture

from tests.gateway.test_capture import execution_fields, run
from tests.support.gateway_rig import CapturedConnection, MemorySink
from tests.support.paper_clients import NVDA, until
from tracker.core.journal_entries import LinkDown
from tracker.core.model import ExecutionKey, Source
from tracker.gateway.capture_sink import CaptureFailed
from tracker.gateway.framing import Framing
from tracker.paper.server import PaperGateway


def test_failed_append_is_fatal() -> None:
    """A failed append is fatal, and nothing is journalled after it."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        link.sink.broken = "database or disk is full"
        gateway.push_raw(*execution_fields("a.b.01.01"))
        error = await link.fatal
        assert "database or disk is full" in str(error)
        link.sink.broken = ""
        gateway.push_raw(*execution_fields("a.b.02.01"))
        await until(link.capture.gone.done, "the socket's end")
        with pytest.raises(CaptureFailed, match="disk is full"):
            link.capture._sink.append_entry(LinkDown("late"))

    sink = run(scenario)
    assert sink.executions() == []
    assert sink.of("down", Source.LINK) == []


def test_unreadable_journal_is_fatal() -> None:
    """A journal that cannot be asked ends capture, with what came before committed."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        def contains(key: ExecutionKey) -> bool:
            if key.exec_id == "a.b.02.01":
                raise OSError("disk I/O error")
            return False

        link.capture._dedup._contains = contains
        with gateway.one_packet():
            for number in ("01", "02", "03"):
                gateway.push_raw(*execution_fields(f"a.b.{number}.01"))
        assert "disk I/O error" in str(await link.fatal)

    assert run(scenario).executions() == ["a.b.01.01"]


@pytest.mark.parametrize("part", ["framing", "looking up"])
def test_programming_error_is_fatal(mocker: MockerFixture, part: str) -> None:
    """It was reported as a peer that does not speak the protocol, and the link was made again for ever."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        owner, name = (Framing, "feed") if part == "framing" else (MemorySink, "prefetch")
        mocker.patch.object(owner, name, side_effect=KeyError("ours"))
        gateway.push_raw(*execution_fields("a.b.01.01"))
        assert "KeyError: 'ours'" in str(await link.fatal)

    assert run(scenario).executions() == []


def test_event_without_message_is_fatal() -> None:
    """An event of ib_insync without a captured message is fatal."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        gateway.order(NVDA, "BUY", 10, limit="2.52")
        await link.settle()
        trade = link.ib.trades()[0]
        link.ib.orderStatusEvent.emit(trade)
        assert "cross-check" in str(await link.fatal)

    run(scenario)


def test_event_of_other_execution_is_fatal() -> None:
    """An event about another execution than the captured one is fatal."""

    async def scenario(gateway: PaperGateway, link: CapturedConnection) -> None:
        order = gateway.order(NVDA, "BUY", 10, limit="2.52")
        gateway.fill(order, 4)
        await link.settle()
        trade = link.ib.trades()[0]
        assert trade.fills
        link.ib.execDetailsEvent.emit(trade, trade.fills[0])
        assert "which was never captured" in str(await link.fatal)

    run(scenario)
