"""The link is made again for ever, says how it stands, and asks for what it may have missed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.gateway_rig import NEW_YORK, MemorySink, real_now
from tests.paper_clients import ACCOUNT, BOUND_SECONDS, NVDA, make_gateway, until
from tracker.core.model import Source
from tracker.gateway.link import LinkOptions, LinkPhase, LinkState
from tracker.gateway.notices import new_port, planned_reset
from tracker.gateway.recording import FatalCapture
from tracker.gateway.session import Session
from tracker.paper.server import PaperGateway

PATIENT = LinkOptions(
    "127.0.0.1",
    0,
    0,
    NEW_YORK,
    connect_timeout=BOUND_SECONDS,
    request_timeout=BOUND_SECONDS,
    sweep_seconds=60,
    gap_seconds=0.01,
    retry_first=0.02,
    retry_most=0.1,
)
"""Quick to try again, and otherwise slower than any test."""


class Kept:
    """Hold a running session and everything that it told."""

    def __init__(self, options: LinkOptions, *, now: Callable[[], datetime] = real_now) -> None:
        self.sink = MemorySink()
        self.states: list[LinkState] = []
        self.refusal: str | None = None
        self.session = Session(
            options,
            sink=self.sink,
            now=now,
            next_session=5,
            vet=lambda accounts: self.refusal,
            on_commit=lambda: None,
            on_state=self.states.append,
        )
        self.task = asyncio.create_task(self.session.run())

    def links(self, event: str) -> list[tuple[str, ...]]:
        return self.sink.of(event, Source.LINK)

    def sent(self) -> list[str]:
        return [fields[0] for fields in self.sink.fields(Source.SENT)]

    async def reaches(self, phase: LinkPhase, words: str = "") -> LinkState:
        """Wait until the link was told to be in a phase for a reason that holds these words."""

        def told() -> LinkState | None:
            return next((s for s in self.states if s.state is phase and words in s.reason), None)

        await until(lambda: told() or self.task.done(), f"{phase}: {words}")
        found = told()
        assert found is not None, (
            f"{phase} {words!r} is not among {[(s.state, s.reason) for s in self.states]}"
        )
        return found

    async def subscribed(self) -> None:
        await until(lambda: self.session.state.subscribed or self.task.done(), "subscribed")
        assert self.session.state.subscribed


@asynccontextmanager
async def kept(gateway: PaperGateway | int, **options: Any) -> AsyncIterator[Kept]:
    """Run a session towards a gateway, or a port, and close it in the end."""
    now = options.pop("now", real_now)
    port = gateway if isinstance(gateway, int) else gateway.port
    link = Kept(replace(PATIENT, port=port, **options), now=now)
    try:
        yield link
    finally:
        await link.session.close()
        assert link.task.done(), "the session outlived its close"


def run(scenario: Callable[[PaperGateway], Awaitable[None]], **gateway: Any) -> None:
    async def play() -> None:
        async with make_gateway(**gateway) as paper:
            await scenario(paper)

    asyncio.run(asyncio.wait_for(play(), 3 * BOUND_SECONDS))


def requests(gateway: PaperGateway) -> list[str]:
    return [fields[0] for _, fields in gateway.received]


def test_start_asks_positions_then_the_day_then_orders_and_binds_nothing() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await until(lambda: link.sink.of("53"), "the open orders")
            assert requests(gateway) == ["71", "61", "7", "16"]
            assert link.sent() == ["positions", "executions", "open_orders"]
            assert link.sink.of("executions", Source.SENT)[0][2] == ACCOUNT
            notes = link.sink.fields(Source.LINK)
            assert notes == [("up", ACCOUNT, "176"), ("first_sweep",)]
            state = link.session.state
            assert (state.state, state.subscribed, state.accounts) == (LinkPhase.UP, True, (ACCOUNT,))
            assert (state.server_version, state.session, state.attempts) == (176, 5, 1)
            assert state.last_sweep_at is not None
            assert state.last_frame_at is not None
        assert link.links("down") == [("down", "the tracker is stopping")]
        assert link.session.state.state is LinkPhase.STOPPED

    run(scenario)


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
            count = len(gateway.received)
            link.session.request_sweep("test")
            with pytest.raises(FatalCapture, match="disk full"):
                await link.task
            assert len(gateway.received) == count

    run(scenario)


def test_each_account_is_asked_with_its_code() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            asked = [(fields[2], fields[4]) for _, fields in gateway.received if fields[0] == "7"]
            assert [account for _, account in asked] == ["DU9000001", "DU9000002"]
            assert len({request for request, _ in asked}) == 2
            assert [fields[2] for fields in link.sink.of("55")] == [request for request, _ in asked]

    run(scenario, accounts=("DU9000001", "DU9000002"))


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

    run(scenario)


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

    run(scenario)


def test_a_fill_that_only_a_sweep_carries_is_journalled() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            execution = gateway.execute(NVDA, "BUY", 1, "2.50", push=False)
            link.session.request_sweep("test")
            await until(lambda: link.sink.executions(), "the execution")
            assert link.sink.executions() == [execution.exec_id]

    run(scenario)


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
            link.session.request_completed_orders("a request behind it")
            await until(lambda: link.sink.of("102"), "the completed orders")
            assert requests(gateway).count("7") == count + 1

    run(scenario)


def test_snapshots_and_completed_orders_come_on_demand() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            link.session.request_snapshot("test")
            link.session.request_completed_orders("test")
            await until(lambda: len(link.sink.of("62")) == 2 and link.sink.of("102"), "both answers")
            assert [kind for kind in link.sent() if kind not in ("executions", "open_orders")] == [
                "positions",
                "positions",
                "completed_orders",
            ]

    run(scenario)


def test_positions_follow_a_sweep_when_the_last_ones_are_old() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, sweep_seconds=0.02, snapshot_seconds=0.05) as link:
            await until(lambda: len(link.sink.of("62")) >= 3, "three snapshots")

    run(scenario)


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

    run(scenario)


def test_an_empty_answer_is_not_called_quiet() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_exec_end = True
        async with kept(gateway, request_timeout=0.3, quiet_seconds=0.05) as link:
            await link.subscribed()
            assert link.links("quiet") == []

    run(scenario)


def test_no_end_of_positions_or_orders_stops_nothing() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.withhold_position_end = True
        gateway.faults.withhold_open_order_end = True
        async with kept(gateway, request_timeout=0.1) as link:
            await until(lambda: len(link.links("timeout")) == 2, "both timeouts")
            assert link.links("timeout") == [("timeout", "positions", "-1"), ("timeout", "open_orders", "-1")]
            assert link.session.state.subscribed
            # The End of the lost request comes late; the next snapshot must not be taken for ended by it.
            link.session.request_snapshot("test")
            gateway.push_raw("62", "1")
            await until(lambda: link.sink.of("62"), "the late End")
            assert link.sent().count("positions") == 1

    run(scenario)


def test_a_refused_request_ends_at_once() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.ignored_requests = {7}
        async with kept(gateway) as link:
            await until(lambda: link.sink.of("executions", Source.SENT), "the request")
            request = link.sink.of("executions", Source.SENT)[0][1]
            gateway.push_raw("4", "2", request, "321", "Error validating request", "")
            await link.subscribed()
            assert link.links("timeout") == [("timeout", "executions", request)]

    run(scenario)


def test_read_only_mode_refuses_completed_orders_at_once() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            link.session.request_completed_orders("test")
            await until(lambda: link.links("timeout"), "the refusal")
            assert link.links("timeout") == [("timeout", "completed_orders", "-1")]

    run(scenario, read_only=True)


def test_a_silent_peer_is_dropped_and_connected_anew() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, probe_seconds=0.1, probe_timeout=0.1) as link:
            await until(lambda: link.sink.of("53"), "the end of the start")
            gateway.faults.silent = True
            await until(lambda: link.links("down"), "the drop")
            assert "silent" in link.links("down")[0][1]
            gateway.faults.silent = False
            await until(lambda: len(link.links("up")) == 2, "the new link")
            await link.subscribed()
            assert [session for session, _, _ in link.sink.commits][-1] > 5

    run(scenario)


def test_a_quiet_peer_that_answers_the_probe_is_kept() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, probe_seconds=0.05, probe_timeout=5.0) as link:
            await until(lambda: requests(gateway).count("49") >= 2, "two probes")
            assert link.links("down") == []
            assert link.sink.of("49") == []

    run(scenario)


def test_a_client_id_in_use_is_told_at_once() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.refuse_client_id = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with kept(gateway, retry_first=8.0, retry_most=60.0) as link:
            state = await link.reaches(
                LinkPhase.WAITING, "client id 0 is in use by another session; retrying"
            )
            assert loop.time() - began < 2.0
            assert state.next_attempt_at is not None
            assert 7.0 < (state.next_attempt_at - real_now()).total_seconds() < 17.0
            assert state.reason.endswith(" s")
            assert not state.subscribed
            assert link.links("down") == []

    run(scenario)


def test_a_client_id_that_becomes_free_is_taken() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.refuse_client_id = True
        async with kept(gateway) as link:
            await until(lambda: link.session.state.attempts >= 3, "three attempts")
            gateway.faults.refuse_client_id = False
            await link.subscribed()

    run(scenario)


def test_a_refused_port_is_told_at_once_and_tried_for_ever() -> None:
    async def play() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            async with kept(port) as link:
                state = await link.reaches(LinkPhase.WAITING, f"nothing listens on 127.0.0.1:{port} (502)")
                assert state.state is LinkPhase.WAITING
                await until(lambda: link.session.state.attempts >= 4, "four attempts")
                assert link.sink.commits == []

    asyncio.run(play())


def test_a_peer_that_accepts_and_closes_is_told_at_once_at_a_bounded_rate() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.drop_on_connect = True
        async with kept(gateway, retry_first=0.2, retry_most=1.0) as link:
            await link.reaches(LinkPhase.WAITING, "closed the connection before the login was done")
            loop = asyncio.get_running_loop()
            began = loop.time()
            await until(lambda: link.session.state.attempts >= 3, "three attempts")
            assert loop.time() - began >= 0.3

    run(scenario)


def test_a_peer_of_another_protocol_is_named() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def play() -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server, kept(server.sockets[0].getsockname()[1]) as link:
            await link.reaches(LinkPhase.WAITING, "does not speak the TWS protocol")

    asyncio.run(play())


def test_a_peer_that_says_nothing_is_named() -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            async with kept(mute.getsockname()[1], connect_timeout=0.1) as link:
                await link.reaches(LinkPhase.WAITING, "accepts but says nothing")

    asyncio.run(play())


def test_a_short_link_counts_as_a_failed_attempt() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            gateway.drop_connections()
            await link.reaches(LinkPhase.WAITING, "the gateway closed the connection; retrying in")
            await until(lambda: len(link.links("up")) == 2, "the new link")
            assert link.session.state.attempts == 2
            assert link.session.state.session == 6

    run(scenario)


def test_a_link_that_lasted_is_made_again_without_delay() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, steady_seconds=0.0, retry_first=30.0, retry_most=60.0) as link:
            await link.subscribed()
            gateway.drop_connections()
            await until(lambda: len(link.links("up")) == 2, "the new link")
            assert link.session.state.attempts == 1
            assert any("after: the gateway closed the connection" in state.reason for state in link.states)
            lost = [state for state in link.states if state.session == 5 and not state.subscribed]
            assert lost

    run(scenario)


def test_connectivity_lost_and_restored_sweeps_again_and_asks_nothing_else() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await until(lambda: link.sink.of("53"), "the end of the start")
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

    run(scenario)


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

    run(scenario)


def test_a_broken_server_link_without_a_word_after_it_is_made_anew() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, silent_upstream_seconds=0.2) as link:
            await link.subscribed()
            gateway.notice(2110)
            await link.reaches(LinkPhase.UPSTREAM_DOWN, "2110")
            await until(lambda: len(link.links("up")) == 2, "the new link")
            assert "2110" in link.links("down")[0][1]

    run(scenario)


def test_a_moved_port_is_followed_and_given_up_when_nobody_is_there() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with make_gateway() as other, kept(gateway) as link:
            await link.subscribed()
            gateway.notice(
                1300, f"TWS socket port has been reset. Please reconnect on the new port - {other.port}"
            )
            await until(lambda: other.clients, "the link on the new port")
            await link.reaches(LinkPhase.WAITING, f"moved its API to port {other.port} (1300)")
            await until(lambda: len(link.links("up")) == 2, "the new link")
            await other.stop()
            await until(lambda: len(link.links("up")) == 3, "the link on the old port")
            assert gateway.clients == (0,)

    run(scenario)


def test_a_refused_login_is_told_journals_nothing_and_is_tried_slowly() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with make_gateway() as paper:
            link = Kept(replace(PATIENT, port=paper.port, retry_most=30.0))
            link.refusal = "the journal holds live accounts, this login is a paper one"
            try:
                state = await link.reaches(LinkPhase.REFUSED, "the journal holds live accounts")
                assert "retrying in 30 s" in state.reason
                assert state.accounts == (ACCOUNT,)
                assert link.sink.commits == []
            finally:
                await link.session.close()

    run(scenario)


def test_manual_orders_are_bound_only_where_that_was_asked_for() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, bind_manual_orders=True) as link:
            await link.subscribed()
            assert requests(gateway)[:3] == ["71", "15", "5"]

    run(scenario)


def test_a_failed_append_ends_the_session() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            link.sink.broken = "database or disk is full"
            gateway.execute(NVDA, "BUY", 1, "2.50")
            with pytest.raises(FatalCapture, match="disk is full"):
                await link.task
            assert link.session.state.state is LinkPhase.STOPPED
            assert "disk is full" in link.session.state.reason
            assert link.links("down") == []

    run(scenario)


def test_a_callback_that_fails_ends_the_session() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            link.states = Broken()
            link.session._board._on_state = link.states.append
            with pytest.raises(FatalCapture, match="cannot show"):
                await link.task

    run(scenario)


class Broken(list[LinkState]):
    """Fail once the login was told."""

    def append(self, state: LinkState) -> None:
        if state.accounts and state.state is not LinkPhase.STOPPED:
            raise RuntimeError("cannot show")


@pytest.mark.parametrize("moment", ["unstarted", "connecting", "waiting", "up", "silent"])
def test_close_is_quick_at_any_moment(moment: str) -> None:
    async def scenario(gateway: PaperGateway) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as mute:
            gateway.faults.refuse_client_id = moment == "waiting"
            port = mute.getsockname()[1] if moment == "connecting" else gateway.port
            link = Kept(replace(PATIENT, port=port, retry_first=30.0, retry_most=60.0))
            if moment == "connecting":
                await link.reaches(LinkPhase.CONNECTING, "connecting")
            elif moment == "waiting":
                await link.reaches(LinkPhase.WAITING, "retrying")
            elif moment in ("up", "silent"):
                await link.subscribed()
                gateway.faults.silent = moment == "silent"
            began = loop.time()
            await link.session.close()
            await until(link.task.done, "the end of run")
            assert loop.time() - began < 2.0
            assert link.task.exception() is None

    run(scenario)


def test_cancelling_run_ends_it() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        link = Kept(replace(PATIENT, port=gateway.port))
        await link.subscribed()
        link.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await link.task
        await until(lambda: not gateway.clients, "the closed socket")

    run(scenario)


@pytest.mark.parametrize(
    ("moment", "named"),
    [
        (datetime(2025, 11, 19, 4, 45, tzinfo=UTC), "nightly"),
        (datetime(2025, 11, 19, 5, 44, tzinfo=UTC), "nightly"),
        (datetime(2025, 11, 19, 5, 46, tzinfo=UTC), ""),
        (datetime(2025, 11, 19, 4, 44, tzinfo=UTC), ""),
        (datetime(2025, 11, 22, 4, 1, tzinfo=UTC), "weekly"),
        (datetime(2025, 11, 22, 7, 59, tzinfo=UTC), "weekly"),
        (datetime(2025, 11, 22, 8, 1, tzinfo=UTC), ""),
    ],
)
def test_planned_resets_are_known(moment: datetime, named: str) -> None:
    assert named in planned_reset(moment)
    assert bool(planned_reset(moment)) is bool(named)


def test_trouble_within_a_planned_reset_is_called_planned() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.drop_on_connect = True
        async with kept(gateway, now=lambda: datetime(2025, 11, 19, 4, 50, tzinfo=UTC)) as link:
            state = await link.reaches(LinkPhase.WAITING, "(planned: IBKR's nightly reset")
            assert state.planned

    run(scenario)


@pytest.mark.parametrize(
    ("text", "port"), [("new port - 7497", 7497), ("port 99999 or 4002", 4002), ("no port", None), ("", None)]
)
def test_the_new_port_is_read_from_the_text(text: str, port: int | None) -> None:
    assert new_port(text) == port
