"""One connection asks for what may have been missed, and journals what it asks before it asks."""

from __future__ import annotations

import asyncio

import pytest
from loguru import logger

from tests.support.gateway_rig import requests, running_link, with_gateway
from tests.support.paper_clients import ACCOUNT, BOUND_SECONDS, NVDA, until
from tracker.core.model import Source
from tracker.gateway.capture_sink import CaptureFailed
from tracker.gateway.link import LinkPhase
from tracker.gateway.request_schedule import RequestSchedule
from tracker.paper.server import PaperGateway


def test_start_up_order_of_requests() -> None:
    """The start asks positions, the day's executions, open orders, completed ones, and binds nothing."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await until(lambda: link.sink.of("102"), "the completed orders")
            await until(lambda: len(link.sink.of("62")) == 2, "the positions behind the sweep")
            assert without_time(gateway) == ["71", "61", "7", "16", "99", "61"]
            assert requests(gateway)[1:3] == ["49", "61"], "the time dates the positions"
            sent = ["positions", "executions", "open_orders", "completed_orders", "positions"]
            assert link.sent() == sent
            assert link.sink.of("executions", Source.SENT)[0][2] == ACCOUNT
            notes = link.sink.fields(Source.LINK)
            proof = ("proof", "900000000", "complete")
            assert notes == [("up", ACCOUNT, "176"), proof, ("first_sweep",)]
            state = link.link.state
            assert (state.state, state.subscribed, state.accounts) == (LinkPhase.UP, True, (ACCOUNT,))
            assert (state.server_version, state.connection_no, state.attempts) == (176, 5, 1)
            assert state.last_sweep_at is not None
            assert state.last_frame_at is not None
        assert link.links("down") == [("down", "the tracker is stopping")]
        assert link.link.state.state is LinkPhase.STOPPED

    with_gateway(scenario)


def without_time(gateway: PaperGateway) -> list[str]:
    """Return the requests but for those of the time."""
    return [request for request in requests(gateway) if request != "49"]


def _sweeps(gateway: PaperGateway) -> int:
    """Count the requests for executions; others of the start may still be on their way."""
    return sum(fields[0] == "7" for _, fields in gateway.received)


def test_request_is_journalled_before_sending() -> None:
    """A request is journalled before it leaves."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            order = [
                fields[0]
                for fields in (*link.sink.fields(Source.SENT), *link.sink.fields())
                if fields[0] in ("positions", "62")
            ]
            assert order[0] == "positions"
            assert "62" in order
            link.sink.broken = "disk full"
            before = _sweeps(gateway)
            link.link.request_sweep("test")
            with pytest.raises(CaptureFailed, match="disk full"):
                await link.task
            assert _sweeps(gateway) == before

    with_gateway(scenario)


def test_each_error_of_a_link_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks fail at once: the first error ends the link, the other one is in the log."""

    async def positions(schedule: object) -> None:
        raise ValueError("no positions")

    async def orders(schedule: object) -> None:
        raise ValueError("no completed orders")

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            with pytest.raises(ValueError, match="no positions"):
                await link.task

    monkeypatch.setattr(RequestSchedule, "run_positions", positions)
    monkeypatch.setattr(RequestSchedule, "run_completed_orders", orders)
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="ERROR")
    try:
        with_gateway(scenario)
    finally:
        logger.remove(sink)
    assert "ValueError: no completed orders" in "".join(lines)


def test_each_account_is_swept() -> None:
    """Each account is asked with its own code."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            asked = [(fields[2], fields[4]) for _, fields in gateway.received if fields[0] == "7"]
            assert [account for _, account in asked] == ["DU9000001", "DU9000002"]
            assert len({request for request, _ in asked}) == 2
            assert [fields[2] for fields in link.sink.of("55")] == [request for request, _ in asked]

    with_gateway(scenario, accounts=("DU9000001", "DU9000002"))


def test_disturbed_positions_are_asked_again() -> None:
    """Positions are asked again while live executions come in between."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with running_link(gateway) as link:
            await until(lambda: "61" in requests(gateway), "the positions request")
            gateway.execute(NVDA, "BUY", 1, "2.50")
            gateway.push_raw("62", "1")
            await until(lambda: requests(gateway).count("61") == 2, "the second positions request")
            assert "7" not in requests(gateway)
            gateway.push_raw("62", "1")
            await link.subscribed()
            assert without_time(gateway)[:4] == ["71", "61", "61", "7"]

    with_gateway(scenario)


def test_busy_start_still_sweeps() -> None:
    """Endless executions do not keep the day from being asked."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with running_link(gateway) as link:
            for number in range(1, 5):
                await until(lambda n=number: requests(gateway).count("61") == n, "a positions request")  # type: ignore[misc]  # mypy infers no lambda with a default
                gateway.execute(NVDA, "BUY", 1, "2.50")
                gateway.push_raw("62", "1")
            await link.subscribed()
            asked = requests(gateway)
            assert asked[: asked.index("7")].count("61") == 4

    with_gateway(scenario)


def test_fill_of_sweep_is_journalled() -> None:
    """A fill that only a sweep brings is journalled."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            execution = gateway.execute(NVDA, "BUY", 1, "2.50", push=False)
            link.link.request_sweep("test")
            await until(lambda: link.sink.executions(), "the execution")
            assert link.sink.executions() == [execution.exec_id]

    with_gateway(scenario)


def test_sweeps_on_timer_and_demand() -> None:
    """Sweeps come on the timer, and equal requests are one."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, sweep_seconds=0.05) as link:
            await until(lambda: requests(gateway).count("7") >= 4, "four sweeps")
            assert link.link.state.last_sweep_timed_out is False
        async with running_link(gateway) as link:
            await link.subscribed()
            await until(lambda: link.sink.of("53"), "the end of the start")
            count = requests(gateway).count("7")
            for _ in range(10):
                link.link.request_sweep("test")
            await until(lambda: len(link.sink.of("55")) == 2, "the sweep")
            link.link.request_positions("a request behind it")
            await until(lambda: len(link.sink.of("62")) == 2, "the positions")
            assert requests(gateway).count("7") == count + 1

    with_gateway(scenario)


def test_snapshots_come_on_demand() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            link.link.request_positions("test")
            await until(lambda: len(link.sink.of("62")) == 2, "the answer")
            assert link.sent().count("positions") == 2

    with_gateway(scenario)


def test_positions_requested_during_answer() -> None:
    """Positions that are requested during an answer are asked for after the least pause."""

    async def scenario(gateway: PaperGateway) -> None:
        loop, gap = asyncio.get_running_loop(), 0.5
        async with running_link(gateway, gap_seconds=gap) as link:
            await link.subscribed()
            gateway.faults.withhold_position_end = True
            link.link.request_positions("one")
            await until(lambda: requests(gateway).count("61") == 2, "the request")
            link.link.request_positions("another, meanwhile")
            gateway.push_raw("62", "1")
            ended = loop.time()
            await until(lambda: requests(gateway).count("61") == 3, "the next request")
            assert loop.time() - ended > 0.9 * gap

    with_gateway(scenario)


def test_old_positions_are_asked_again() -> None:
    """Positions follow a sweep when the last ones are old."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, sweep_seconds=0.02, snapshot_seconds=0.05) as link:
            await until(lambda: len(link.sink.of("62")) >= 3, "three snapshots")

    with_gateway(scenario)


def test_sweep_without_end_stops_nothing() -> None:
    """A sweep without an End is shown, and stops nothing."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_exec_end = True
        execution = gateway.execute(NVDA, "BUY", 1, "2.50")
        async with running_link(gateway, request_timeout=0.4, quiet_seconds=0.1) as link:
            await link.subscribed()
            request = link.sink.of("executions", Source.SENT)[0][1]
            assert link.sink.executions() == [execution.exec_id]
            assert link.links("quiet")[0] == ("quiet", request)
            assert link.links("timeout")[0] == ("timeout", "executions", request)
            assert link.links("first_sweep") == [("first_sweep",)]
            state = link.link.state
            assert (state.last_sweep_at, state.last_sweep_timed_out) == (None, True)
            assert "was cut short" in state.reason
            gateway.faults.withhold_exec_end = False
            link.link.request_sweep("test")
            await until(lambda: link.link.state.last_sweep_at, "a sweep that ended")
            assert link.link.state.last_sweep_timed_out is False

    with_gateway(scenario)


def test_empty_answer_is_not_quiet() -> None:
    """An empty answer is not called quiet."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_exec_end = True
        async with running_link(gateway, request_timeout=0.3, quiet_seconds=0.05) as link:
            await link.subscribed()
            assert link.links("quiet") == []

    with_gateway(scenario)


def test_missing_ends_stop_nothing() -> None:
    """Positions and orders without an End stop nothing."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        gateway.faults.withhold_open_order_end = True
        async with running_link(gateway, request_timeout=0.1) as link:
            await until(lambda: len(link.links("timeout")) == 2, "both timeouts")
            assert link.links("timeout") == [("timeout", "positions", "-1"), ("timeout", "open_orders", "-1")]
            assert link.link.state.subscribed

    with_gateway(scenario)


def test_positions_without_end_asked_again() -> None:
    """Positions without an End are asked for again at once."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with running_link(gateway, request_timeout=0.1) as link:
            for number in range(1, 4):
                await until(lambda n=number: len(link.links("timeout")) == n, "a timeout")  # type: ignore[misc]  # mypy infers no lambda with a default
                link.link.request_positions("test")
            await until(lambda: link.sent().count("positions") == 4, "one more request")

    with_gateway(scenario)


def test_owed_end_delays_positions() -> None:
    """Of two requests one End came, and a third is asked only when the other's came too."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with running_link(gateway, request_timeout=1, sweep_seconds=0.05) as link:
            await until(lambda: link.links("timeout"), "a timeout")
            link.link.request_positions("after a timeout")
            await until(lambda: link.sent().count("positions") == 2, "the second request")
            gateway.push_raw("62", "1")
            await until(lambda: len(link.sink.of("62")) == 1, "one End")
            link.link.request_positions("after one End")
            swept = len(link.sink.of("55"))
            await until(lambda: len(link.sink.of("55")) > swept + 3, "some sweeps")
            assert link.sent().count("positions") == 2
            gateway.push_raw("62", "1")
            await until(lambda: link.sent().count("positions") == 3, "the third request")

    with_gateway(scenario)


def test_lost_end_delays_only_so_long() -> None:
    """An End that never comes does not keep positions from being asked for ever."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with running_link(gateway, request_timeout=0.1) as link:
            await until(lambda: link.links("timeout"), "a timeout")
            gateway.faults.withhold_position_end = False
            for number in range(1, 4):
                link.link.request_positions("test")
                await until(lambda n=number: len(link.sink.of("62")) == n, "an answer")  # type: ignore[misc]  # mypy infers no lambda with a default

    with_gateway(scenario)


def test_a_refused_request_ends_at_once() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.ignored_requests = {7}
        async with running_link(gateway, request_timeout=60) as link:
            await until(lambda: link.sink.of("executions", Source.SENT), "the request")
            request = link.sink.of("executions", Source.SENT)[0][1]
            gateway.push_raw("4", "2", request, "321", "Error validating request", "")
            await link.subscribed()
            assert link.links("timeout") == [("timeout", "executions", request)]

    with_gateway(scenario)


def test_silent_gateway_ends_snapshot_early() -> None:
    """Two questions in a row without an answer: the rest is not asked, and named as not answered."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, request_timeout=0.6, silent_timeout=0.2) as link:
            await link.subscribed()
            gateway.faults.ignored_requests = {61, 7, 16, 99}
            snapshot = await link.link.broker_snapshot(BOUND_SECONDS)
            assert snapshot is not None
            assert snapshot.view.unanswered == (
                "positions",
                "open orders",
                "completed orders",
                "executions of DU1234567",
            )
            asked = [int(fields[0]) for _, fields in gateway.received]
            assert (asked.count(16), asked.count(99)) == (1, 1), "asked at the start only"

    with_gateway(scenario)


def test_snapshot_passes_one_silent_answer() -> None:
    """A gateway that never ends its positions still has its executions and orders compared."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, request_timeout=0.6, silent_timeout=0.4) as link:
            await link.subscribed()
            gateway.faults.withhold_position_end = True
            snapshot = await link.link.broker_snapshot(BOUND_SECONDS)
            assert snapshot is not None
            assert snapshot.view.unanswered == ("positions",)

    with_gateway(scenario)


def test_read_only_refuses_completed_orders() -> None:
    """The Read-Only API refuses completed orders at once."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            assert await link.link.broker_snapshot(BOUND_SECONDS) is not None
            # Refused after the first sweep, and again on demand: a person may have allowed it meanwhile.
            assert set(link.links("timeout")) == {("timeout", "completed_orders", "-1")}

    with_gateway(scenario, read_only=True)


def test_restored_link_is_swept() -> None:
    """After 1100 and 1102 the day is asked for again, and nothing else."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await until(lambda: len(link.sink.of("62")) == 2, "the end of the start")
            gateway.order(NVDA, "BUY", 10, limit="2.52")
            await until(lambda: link.sink.of("3"), "the order")
            before = len(gateway.received)
            gateway.notice(1100)
            state = await link.reaches(LinkPhase.UPSTREAM_DOWN, "1100")
            assert not state.subscribed
            execution = gateway.execute(NVDA, "BUY", 1, "2.50")
            missed = gateway.execute(NVDA, "BUY", 1, "2.51", push=False)
            await until(lambda: link.sink.executions(), "the fill during 1100")
            gateway.notice(1102)
            await link.subscribed()
            await until(lambda: len(link.sink.of("53")) == 2, "the orders again")
            await until(lambda: len(link.sink.of("62")) == 3, "the positions again")
            assert link.sink.executions() == [execution.exec_id, missed.exec_id]
            assert sorted(set(requests(gateway)[before:]) - {"49"}) == ["16", "61", "7"]
            assert [fields[3] for fields in link.sink.of("4")] == ["1100", "1102"]
            assert (len(link.sink.of("5")), len(link.sink.of("3"))) == (2, 2), "no whole snapshot of orders"

    with_gateway(scenario)


def test_interrupted_sweep_proves_nothing() -> None:
    """A sweep that began before IBKR was back does not make the link subscribed."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            gateway.faults.withhold_exec_end = True
            link.link.request_sweep("test")
            await until(lambda: link.sent().count("executions") == 2, "the second sweep")
            gateway.notice(1100)
            gateway.notice(1101)
            await link.reaches(LinkPhase.SYNCING, "1101")
            request = link.sink.of("executions", Source.SENT)[1][1]
            gateway.push_raw("55", "1", request)
            await until(lambda: link.sent().count("executions") == 3, "the third sweep")
            assert not link.link.state.subscribed
            gateway.push_raw("55", "1", link.sink.of("executions", Source.SENT)[2][1])
            await link.subscribed()

    with_gateway(scenario)


def test_manual_orders_bound_by_setting() -> None:
    """Manual orders are bound only where the setting asks for it."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, bind_manual_orders=True) as link:
            await link.subscribed()
            assert requests(gateway)[:3] == ["71", "15", "5"]

    with_gateway(scenario)
