"""The link is made again for ever, and says how it stands."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.support.gateway_rig import PATIENT, Kept, kept, requests, with_gateway
from tests.support.paper_clients import ACCOUNT, NOON, NVDA, Clock, make_gateway, until
from tracker.gateway.capture_sink import CaptureFailed
from tracker.gateway.error_codes import new_port, planned_reset, why_not_connected
from tracker.gateway.link import LinkPhase, LinkState
from tracker.paper.server import PaperGateway


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

    with_gateway(scenario)


def test_a_quiet_peer_that_answers_the_probe_is_kept() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, probe_seconds=0.05, probe_timeout=5.0) as link:
            await until(lambda: requests(gateway).count("49") >= 2, "two probes")
            assert link.links("down") == []
            assert link.sink.of("49") == []

    with_gateway(scenario)


def test_a_client_id_in_use_is_told_at_once() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.refuse_client_id = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        # At noon: in the hour of IBKR's reset the reason tells of that, too.
        async with kept(gateway, now=Clock(), retry_first=8.0, retry_most=60.0) as link:
            state = await link.reaches(
                LinkPhase.WAITING, "client id 0 is in use by another session; retrying"
            )
            assert loop.time() - began < 2.0
            assert state.next_attempt_at is not None
            assert 8.0 <= (state.next_attempt_at - NOON).total_seconds() < 17.0
            assert state.reason.endswith(" s")
            assert not state.subscribed
            assert link.links("down") == []

    with_gateway(scenario)


def test_a_client_id_that_becomes_free_is_taken() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.refuse_client_id = True
        async with kept(gateway) as link:
            await until(lambda: link.session.state.attempts >= 3, "three attempts")
            gateway.faults.refuse_client_id = False
            await link.subscribed()

    with_gateway(scenario)


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

    with_gateway(scenario)


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak the TWS protocol"),
        (b"\0\0\0\x09soon\0now\0\0", "does not speak the TWS protocol"),
        (b"\0\0\0\x08100\0now\0", "the gateway is too old"),
    ],
)
def test_a_peer_of_another_protocol_is_named(greeting: bytes, words: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(greeting)
        await reader.read()
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server, kept(server.sockets[0].getsockname()[1]) as link:
            await link.reaches(LinkPhase.WAITING, words)

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
            await link.reaches(LinkPhase.WAITING, "the gateway closed the connection")
            await until(lambda: len(link.links("up")) == 2, "the new link")
            assert link.session.state.attempts == 2
            assert link.session.state.session == 6

    with_gateway(scenario)


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

    with_gateway(scenario)


def test_a_broken_server_link_without_a_word_after_it_is_made_anew() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway, silent_upstream_seconds=0.2) as link:
            await link.subscribed()
            gateway.notice(2110)
            await link.reaches(LinkPhase.UPSTREAM_DOWN, "2110")
            await until(lambda: len(link.links("up")) == 2, "the new link")
            assert "2110" in link.links("down")[0][1]

    with_gateway(scenario)


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

    with_gateway(scenario)


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

    with_gateway(scenario)


def test_a_failed_append_ends_the_session() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            await link.subscribed()
            link.sink.broken = "database or disk is full"
            gateway.execute(NVDA, "BUY", 1, "2.50")
            with pytest.raises(CaptureFailed, match="disk is full"):
                await link.task
            assert link.session.state.state is LinkPhase.STOPPED
            assert "disk is full" in link.session.state.reason
            assert link.links("down") == []

    with_gateway(scenario)


def test_a_callback_that_fails_ends_the_session() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        async with kept(gateway) as link:
            link.states = Broken()
            link.session._board._on_state = link.states.append
            with pytest.raises(CaptureFailed, match="cannot show"):
                await link.task

    with_gateway(scenario)


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

    with_gateway(scenario)


def test_cancelling_run_ends_it() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        link = Kept(replace(PATIENT, port=gateway.port))
        await link.subscribed()
        link.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await link.task
        await until(lambda: not gateway.clients, "the closed socket")

    with_gateway(scenario)


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

    with_gateway(scenario)


@pytest.mark.parametrize(
    ("error", "sent", "answered", "words"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            False,
            False,
            "the host name gw cannot be resolved",
        ),
        (TimeoutError(), False, False, "gw:4002 does not answer"),
        (TimeoutError(), True, False, "gw:4002 accepts but says nothing"),
        (TimeoutError(), True, True, "gw:4002 does not finish the login"),
        (OSError(113, "No route to host"), False, False, "gw:4002 cannot be reached: No route to host"),
        (RuntimeError("odd"), True, True, "gw:4002: RuntimeError: odd"),
    ],
)
def test_every_failure_to_connect_names_its_cause(
    error: Exception, sent: bool, answered: bool, words: str
) -> None:
    assert why_not_connected(error, "gw", 4002, sent=sent, answered=answered).startswith(words)


@pytest.mark.parametrize(
    ("text", "port"), [("new port - 7497", 7497), ("port 99999 or 4002", 4002), ("no port", None), ("", None)]
)
def test_the_new_port_is_read_from_the_text(text: str, port: int | None) -> None:
    assert new_port(text) == port
