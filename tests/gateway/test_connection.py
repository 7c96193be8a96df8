"""One connection asks for what may have been missed, and journals what it asks before it asks."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.gateway_rig import kept, requests, with_gateway
from tests.support.paper_clients import ACCOUNT, BOUND_SECONDS, NVDA, until
from tracker.core.model import Source
from tracker.gateway.capture_sink import CaptureFailed
from tracker.gateway.link import LinkPhase
from tracker.paper.server import PaperGateway


def test_start_asks_positions_then_the_day_then_orders_and_binds_nothing() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await until(lambda: link.sink.of("53"), "the open orders")
            assert requests(gateway) == ["71", "61", "7", "16"]
            assert link.sent() == ["positions", "executions", "open_orders"]
            assert link.sink.of("executions", Source.SENT)[0][2] == ACCOUNT
            notes = link.sink.fields(Source.LINK)
            proof = ("proof", "900000000", "complete")
            assert notes == [("up", ACCOUNT, "176"), proof, ("first_sweep",)]
            state = link.session.state
            assert (state.state, state.subscribed, state.accounts) == (LinkPhase.UP, True, (ACCOUNT,))
            assert (state.server_version, state.session, state.attempts) == (176, 5, 1)
            assert state.last_sweep_at is not None
            assert state.last_frame_at is not None
        assert link.links("down") == [("down", "the tracker is stopping")]
        assert link.session.state.state is LinkPhase.STOPPED

    with_gateway(scenario)


def _sweeps(gateway: PaperGateway) -> int:
    """Count the requests for executions; others of the start may still be on their way."""
    return sum(fields[0] == "7" for _, fields in gateway.received)


def test_a_request_is_journalled_before_it_leaves() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            order = [
                fields[0]
                for fields in (*link.sink.fields(Source.SENT), *link.sink.fields())
                if fields[0] in ("positions", "62")
            ]
            assert order == ["positions", "62"]
            link.sink.broken = "disk full"
            before = _sweeps(gateway)
            link.session.request_sweep("test")
            with pytest.raises(CaptureFailed, match="disk full"):
                await link.task
            assert _sweeps(gateway) == before

    with_gateway(scenario)


def test_each_account_is_asked_with_its_code() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            asked = [(fields[2], fields[4]) for _, fields in gateway.received if fields[0] == "7"]
            assert [account for _, account in asked] == ["DU9000001", "DU9000002"]
            assert len({request for request, _ in asked}) == 2
            assert [fields[2] for fields in link.sink.of("55")] == [request for request, _ in asked]

    with_gateway(scenario, accounts=("DU9000001", "DU9000002"))


def test_positions_are_asked_again_while_live_executions_come_in_between() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with kept(gateway) as link:
            await until(lambda: "61" in requests(gateway), "the positions request")
            gateway.execute(NVDA, "BUY", 1, "2.50")
            gateway.push_raw("62", "1")
            await until(lambda: requests(gateway).count("61") == 2, "the second positions request")
            assert "7" not in requests(gateway)
            gateway.push_raw("62", "1")
            await link.subscribed()
            assert requests(gateway)[:4] == ["71", "61", "61", "7"]

    with_gateway(scenario)


def test_endless_executions_do_not_keep_the_day_from_being_asked() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with kept(gateway) as link:
            for number in range(1, 5):
                await until(lambda n=number: requests(gateway).count("61") == n, "a positions request")  # type: ignore[misc]  # mypy infers no lambda with a default
                gateway.execute(NVDA, "BUY", 1, "2.50")
                gateway.push_raw("62", "1")
            await link.subscribed()
            assert requests(gateway).count("61") == 4

    with_gateway(scenario)


def test_a_fill_that_only_a_sweep_carries_is_journalled() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            execution = gateway.execute(NVDA, "BUY", 1, "2.50", push=False)
            link.session.request_sweep("test")
            await until(lambda: link.sink.executions(), "the execution")
            assert link.sink.executions() == [execution.exec_id]

    with_gateway(scenario)


def test_sweeps_come_on_the_timer_and_equal_wishes_are_one() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, sweep_seconds=0.05) as link:
            await until(lambda: requests(gateway).count("7") >= 4, "four sweeps")
            assert link.session.state.last_sweep_timed_out is False
        async with kept(gateway) as link:
            await link.subscribed()
            await until(lambda: link.sink.of("53"), "the end of the start")
            count = requests(gateway).count("7")
            for _ in range(10):
                link.session.request_sweep("test")
            await until(lambda: len(link.sink.of("55")) == 2, "the sweep")
            link.session.request_snapshot("a request behind it")
            await until(lambda: len(link.sink.of("62")) == 2, "the positions")
            assert requests(gateway).count("7") == count + 1

    with_gateway(scenario)


def test_snapshots_come_on_demand() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            link.session.request_snapshot("test")
            await until(lambda: len(link.sink.of("62")) == 2, "the answer")
            assert link.sent().count("positions") == 2

    with_gateway(scenario)


def test_positions_wanted_during_an_answer_are_asked_after_the_gap() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        loop, gap = asyncio.get_running_loop(), 0.5
        async with kept(gateway, gap_seconds=gap) as link:
            await link.subscribed()
            gateway.faults.withhold_position_end = True
            link.session.request_snapshot("one")
            await until(lambda: requests(gateway).count("61") == 2, "the request")
            link.session.request_snapshot("another, meanwhile")
            gateway.push_raw("62", "1")
            ended = loop.time()
            await until(lambda: requests(gateway).count("61") == 3, "the next request")
            assert loop.time() - ended > 0.9 * gap

    with_gateway(scenario)


def test_positions_follow_a_sweep_when_the_last_ones_are_old() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, sweep_seconds=0.02, snapshot_seconds=0.05) as link:
            await until(lambda: len(link.sink.of("62")) >= 3, "three snapshots")

    with_gateway(scenario)


def test_no_end_of_executions_is_shown_and_stops_nothing() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_exec_end = True
        execution = gateway.execute(NVDA, "BUY", 1, "2.50")
        async with kept(gateway, request_timeout=0.4, quiet_seconds=0.1) as link:
            await link.subscribed()
            request = link.sink.of("executions", Source.SENT)[0][1]
            assert link.sink.executions() == [execution.exec_id]
            assert link.links("quiet")[0] == ("quiet", request)
            assert link.links("timeout")[0] == ("timeout", "executions", request)
            assert link.links("first_sweep") == [("first_sweep",)]
            state = link.session.state
            assert (state.last_sweep_at, state.last_sweep_timed_out) == (None, True)
            assert "did not end" in state.reason
            gateway.faults.withhold_exec_end = False
            link.session.request_sweep("test")
            await until(lambda: link.session.state.last_sweep_at, "a sweep that ended")
            assert link.session.state.last_sweep_timed_out is False

    with_gateway(scenario)


def test_an_empty_answer_is_not_called_quiet() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_exec_end = True
        async with kept(gateway, request_timeout=0.3, quiet_seconds=0.05) as link:
            await link.subscribed()
            assert link.links("quiet") == []

    with_gateway(scenario)


def test_no_end_of_positions_or_orders_stops_nothing() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        gateway.faults.withhold_open_order_end = True
        async with kept(gateway, request_timeout=0.1) as link:
            await until(lambda: len(link.links("timeout")) == 2, "both timeouts")
            assert link.links("timeout") == [("timeout", "positions", "-1"), ("timeout", "open_orders", "-1")]
            assert link.session.state.subscribed

    with_gateway(scenario)


def test_positions_without_an_end_are_asked_again_at_once() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with kept(gateway, request_timeout=0.1) as link:
            for number in range(1, 4):
                await until(lambda n=number: len(link.links("timeout")) == n, "a timeout")  # type: ignore[misc]  # mypy infers no lambda with a default
                link.session.request_snapshot("test")
            await until(lambda: link.sent().count("positions") == 4, "one more request")

    with_gateway(scenario)


def test_an_end_that_is_still_owed_never_ends_the_next_answer() -> None:
    """Of two requests one End came, and a third is asked only when the other's came too."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with kept(gateway, request_timeout=1, sweep_seconds=0.05) as link:
            await until(lambda: link.links("timeout"), "a timeout")
            link.session.request_snapshot("after a timeout")
            await until(lambda: link.sent().count("positions") == 2, "the second request")
            gateway.push_raw("62", "1")
            await until(lambda: len(link.sink.of("62")) == 1, "one End")
            link.session.request_snapshot("after one End")
            swept = len(link.sink.of("55"))
            await until(lambda: len(link.sink.of("55")) > swept + 3, "some sweeps")
            assert link.sent().count("positions") == 2
            gateway.push_raw("62", "1")
            await until(lambda: link.sent().count("positions") == 3, "the third request")

    with_gateway(scenario)


def test_an_end_that_never_comes_does_not_bar_positions_for_ever() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        async with kept(gateway, request_timeout=0.1) as link:
            await until(lambda: link.links("timeout"), "a timeout")
            gateway.faults.withhold_position_end = False
            for number in range(1, 4):
                link.session.request_snapshot("test")
                await until(lambda n=number: len(link.sink.of("62")) == n, "an answer")  # type: ignore[misc]  # mypy infers no lambda with a default

    with_gateway(scenario)


def test_a_refused_request_ends_at_once() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.ignored_requests = {7}
        async with kept(gateway, request_timeout=60) as link:
            await until(lambda: link.sink.of("executions", Source.SENT), "the request")
            request = link.sink.of("executions", Source.SENT)[0][1]
            gateway.push_raw("4", "2", request, "321", "Error validating request", "")
            await link.subscribed()
            assert link.links("timeout") == [("timeout", "executions", request)]

    with_gateway(scenario)


def test_read_only_mode_refuses_completed_orders_at_once() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            assert await link.session.look(BOUND_SECONDS) is not None
            assert link.links("timeout") == [("timeout", "completed_orders", "-1")]

    with_gateway(scenario, read_only=True)


def test_connectivity_lost_and_restored_sweeps_again_and_asks_nothing_else() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await until(lambda: link.sink.of("53"), "the end of the start")
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
            await until(lambda: len(link.sink.of("62")) == 2, "the positions again")
            assert link.sink.executions() == [execution.exec_id, missed.exec_id]
            assert sorted(requests(gateway)[before:]) == ["16", "61", "7"]
            assert [fields[3] for fields in link.sink.of("4")] == ["1100", "1102"]
            assert (len(link.sink.of("5")), len(link.sink.of("3"))) == (2, 2), "no whole snapshot of orders"

    with_gateway(scenario)


def test_a_sweep_that_began_before_the_restoration_proves_nothing() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            gateway.faults.withhold_exec_end = True
            link.session.request_sweep("test")
            await until(lambda: link.sent().count("executions") == 2, "the second sweep")
            gateway.notice(1100)
            gateway.notice(1101)
            await link.reaches(LinkPhase.SYNCING, "1101")
            request = link.sink.of("executions", Source.SENT)[1][1]
            gateway.push_raw("55", "1", request)
            await until(lambda: link.sent().count("executions") == 3, "the third sweep")
            assert not link.session.state.subscribed
            gateway.push_raw("55", "1", link.sink.of("executions", Source.SENT)[2][1])
            await link.subscribed()

    with_gateway(scenario)


def test_manual_orders_are_bound_only_where_that_was_asked_for() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, bind_manual_orders=True) as link:
            await link.subscribed()
            assert requests(gateway)[:3] == ["71", "15", "5"]

    with_gateway(scenario)
