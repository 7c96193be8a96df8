"""The link is made again for ever, and says how it stands."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.support.gateway_rig import SLOW_LINK, RunningLink, requests, running_link, with_gateway
from tests.support.paper_clients import ACCOUNT, NOON, NVDA, Clock, make_gateway, until
from tracker.gateway.capture_sink import CaptureFailed
from tracker.gateway.error_codes import (
    NEWEST_SERVER_VERSION,
    new_port,
    planned_reset,
    unreadable_version,
    why_not_connected,
)
from tracker.gateway.ib_insync_compat import Client
from tracker.gateway.link import LinkPhase, LinkState
from tracker.paper.server import PaperGateway


def test_silent_peer_is_reconnected() -> None:
    """A silent peer is dropped, and connected again."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, probe_seconds=0.1, probe_timeout=0.1) as link:
            await until(lambda: link.sink.of("53"), "the end of the start")
            gateway.faults.silent = True
            await until(lambda: link.links("down"), "the drop")
            assert "silent" in link.links("down")[0][1]
            gateway.faults.silent = False
            await until(lambda: len(link.links("up")) == 2, "the new link")
            await link.subscribed()
            assert [session for session, _, _ in link.sink.commits][-1] > 5

    with_gateway(scenario)


def test_answered_probe_keeps_the_link() -> None:
    """A quiet peer that answers the probe is kept."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, probe_seconds=0.05, probe_timeout=5.0) as link:
            await until(lambda: requests(gateway).count("49") >= 2, "two probes")
            assert link.links("down") == []

    with_gateway(scenario)


def test_client_id_in_use() -> None:
    """A client id that is in use is shown at once, and tried again."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.refuse_client_id = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        # At noon: in the hour of IBKR's reset the reason says that, too.
        async with running_link(gateway, now=Clock(), retry_first=8.0, retry_most=60.0) as link:
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


def test_client_id_becomes_free() -> None:
    """A client id that becomes free is taken."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.refuse_client_id = True
        async with running_link(gateway) as link:
            await until(lambda: link.link.state.attempts >= 3, "three attempts")
            gateway.faults.refuse_client_id = False
            await link.subscribed()

    with_gateway(scenario)


def test_refused_port_is_retried_for_ever() -> None:
    """A refused port is shown at once, and tried for ever."""

    async def play() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            async with running_link(port) as link:
                state = await link.reaches(LinkPhase.WAITING, f"nothing listens on 127.0.0.1:{port}")
                assert state.state is LinkPhase.WAITING
                await until(lambda: link.link.state.attempts >= 4, "four attempts")
                assert link.sink.commits == []

    asyncio.run(play())


def test_closing_peer_is_retried_slowly() -> None:
    """A peer that accepts and closes is shown at once, and tried at a bounded rate."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.drop_on_connect = True
        async with running_link(gateway, retry_first=0.2, retry_most=1.0) as link:
            await link.reaches(LinkPhase.WAITING, "closed the connection before the login was done")
            loop = asyncio.get_running_loop()
            began = loop.time()
            await until(lambda: link.link.state.attempts >= 3, "three attempts")
            assert loop.time() - began >= 0.3

    with_gateway(scenario)


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak the TWS protocol"),
        (b"\0\0\0\x09soon\0now\0\0", r"does not speak the TWS protocol (its login cannot be read: b'\x00"),
        (b"\0\0\0\x08100\0now\0", "the gateway is too old"),
    ],
)
def test_other_protocol_is_named(greeting: bytes, words: str) -> None:
    """A peer of another protocol is named as such."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(greeting)
        await reader.read()
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server, running_link(server.sockets[0].getsockname()[1]) as link:
            await link.reaches(LinkPhase.WAITING, words)

    asyncio.run(play())


def test_newer_server_version_is_refused() -> None:
    """Its messages would be misread, so nothing of that login is journalled."""
    greeting = b"20251118 10:43:00 EST\0"
    login = [b"177\0" + greeting, b"15\0001\0DU1234567\0", b"9\0001\0001\0"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        for message in login:
            writer.write(len(message).to_bytes(4, "big") + message)
        await reader.read()
        writer.close()

    async def play() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, running_link(server.sockets[0].getsockname()[1], retry_most=5.0) as link:
            state = await link.reaches(LinkPhase.REFUSED, "the gateway answers at server version 177")
            assert "was asked for 176 at most" in state.reason
            assert link.sink.commits == []

    asyncio.run(play())


def test_announced_version_is_ib_insyncs() -> None:
    """ib_insync 0.9.86 asks for 157 to 176, which is what the reading of messages is made for."""
    assert (Client.MinClientVersion, Client.MaxClientVersion) == (157, NEWEST_SERVER_VERSION)
    assert NEWEST_SERVER_VERSION == 176
    assert unreadable_version(NEWEST_SERVER_VERSION) == ""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            assert link.link.state.server_version == NEWEST_SERVER_VERSION

    with_gateway(scenario)


def test_mute_peer_is_named() -> None:
    """A peer that sends nothing is named as such."""

    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            async with running_link(mute.getsockname()[1], connect_timeout=0.1) as link:
                await link.reaches(LinkPhase.WAITING, "accepts but says nothing")

    asyncio.run(play())


def test_short_link_is_a_failed_attempt() -> None:
    """A link that was soon lost counts as a failed attempt."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            gateway.drop_connections()
            await link.reaches(LinkPhase.WAITING, "the gateway closed the connection")
            await until(lambda: len(link.links("up")) == 2, "the new link")
            assert link.link.state.attempts == 2
            assert link.link.state.connection_no == 6

    with_gateway(scenario)


def test_lasting_link_reconnects_at_once() -> None:
    """A link that lasted is made again without delay."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, steady_seconds=0.0, retry_first=30.0, retry_most=60.0) as link:
            await link.subscribed()
            gateway.drop_connections()
            await until(lambda: len(link.links("up")) == 2, "the new link")
            assert link.link.state.attempts == 1
            assert any("after: the gateway closed the connection" in state.reason for state in link.states)
            lost = [state for state in link.states if state.connection_no == 5 and not state.subscribed]
            assert lost

    with_gateway(scenario)


def test_silent_upstream_is_reconnected() -> None:
    """A link that stays at 2110 is made again."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, silent_upstream_seconds=0.2) as link:
            await link.subscribed()
            gateway.notice(2110)
            await link.reaches(LinkPhase.UPSTREAM_DOWN, "2110")
            await until(lambda: len(link.links("up")) == 2, "the new link")
            assert "2110" in link.links("down")[0][1]

    with_gateway(scenario)


def test_moved_port_is_followed() -> None:
    """A port that 1300 names is followed, and given up when nobody is there."""

    async def scenario(gateway: PaperGateway) -> None:
        async with make_gateway() as other, running_link(gateway) as link:
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


def test_refused_login_is_retried_slowly() -> None:
    """A refused login is shown, journals nothing, and is tried slowly."""

    async def scenario(gateway: PaperGateway) -> None:
        async with make_gateway() as paper:
            link = RunningLink(replace(SLOW_LINK, port=paper.port, retry_most=30.0))
            link.refusal = "the journal holds live accounts, this login is a paper one"
            try:
                state = await link.reaches(LinkPhase.REFUSED, "the journal holds live accounts")
                assert "retrying in 30 s" in state.reason
                assert state.accounts == (ACCOUNT,)
                assert link.sink.commits == []
            finally:
                await link.link.close()

    with_gateway(scenario)


def test_failed_append_ends_the_link() -> None:
    """A failed append ends the link for good."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            link.sink.broken = "database or disk is full"
            gateway.execute(NVDA, "BUY", 1, "2.50")
            with pytest.raises(CaptureFailed, match="disk is full"):
                await link.task
            assert link.link.state.state is LinkPhase.STOPPED
            assert "disk is full" in link.link.state.reason
            assert link.links("down") == []

    with_gateway(scenario)


def test_failed_callback_ends_the_link() -> None:
    """A callback that fails ends the link for good."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            link.states = Broken()
            link.link._monitor._on_state = link.states.append
            with pytest.raises(CaptureFailed, match="cannot show"):
                await link.task

    with_gateway(scenario)


class Broken(list[LinkState]):
    """Fail once the login was reported."""

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
            link = RunningLink(replace(SLOW_LINK, port=port, retry_first=30.0, retry_most=60.0))
            if moment == "connecting":
                await link.reaches(LinkPhase.CONNECTING, "connecting")
            elif moment == "waiting":
                await link.reaches(LinkPhase.WAITING, "retrying")
            elif moment in ("up", "silent"):
                await link.subscribed()
                gateway.faults.silent = moment == "silent"
            began = loop.time()
            await link.link.close()
            await until(link.task.done, "the end of run")
            assert loop.time() - began < 2.0
            assert link.task.exception() is None

    with_gateway(scenario)


def test_cancelling_run_ends_it() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        link = RunningLink(replace(SLOW_LINK, port=gateway.port))
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


def test_planned_trouble_is_called_planned() -> None:
    """Trouble within a planned reset is called planned."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.drop_on_connect = True
        async with running_link(gateway, now=lambda: datetime(2025, 11, 19, 4, 50, tzinfo=UTC)) as link:
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
def test_failure_to_connect_names_cause(error: Exception, sent: bool, answered: bool, words: str) -> None:
    """Every failure to connect names its cause."""
    assert why_not_connected(error, "gw", 4002, sent=sent, answered=answered).startswith(words)


@pytest.mark.parametrize(
    ("text", "port"), [("new port - 7497", 7497), ("port 99999 or 4002", 4002), ("no port", None), ("", None)]
)
def test_new_port_is_read(text: str, port: int | None) -> None:
    """The new port is read from the text of 1300."""
    assert new_port(text) == port
