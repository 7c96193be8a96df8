"""A preflight finds what a tracker would meet there, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.gateway_rig import SLOW_LINK, real_now, requests, with_gateway
from tests.support.paper_clients import ACCOUNT, NVDA, raw_client, until
from tracker.gateway.allowlist import ALLOWED
from tracker.gateway.preflight import run_preflight
from tracker.gateway.preflight_result import PreflightResult, Reach
from tracker.paper.server import PaperGateway


async def preflight_of(port: int, **options: Any) -> PreflightResult:
    return await run_preflight(replace(SLOW_LINK, port=port, **options), now=real_now)


def test_preflight_sends_allowed_messages() -> None:
    """A preflight sends allowed messages only, and disconnects."""

    async def scenario(gateway: PaperGateway) -> None:
        found = await preflight_of(gateway.port)
        assert (found.reach, found.reason) == (Reach.IN, "")
        assert (found.accounts, found.server_version) == ((ACCOUNT,), 176)
        assert found.executions_listed
        assert requests(gateway) == ["71", "49", "7", "99"]
        assert set(requests(gateway)) <= ALLOWED
        assert not gateway.book.orders
        await until(lambda: gateway.clients == (), "the visitor to be gone")

    with_gateway(scenario, clock=real_now)


def test_greeting_names_the_zone() -> None:
    """The greeting names the zone of the login."""

    async def scenario(gateway: PaperGateway) -> None:
        assert (await preflight_of(gateway.port)).greeting == "20251118 18:00:00 CET"

    with_gateway(scenario, zone="Europe/Berlin")


def test_gateway_time_is_bracketed() -> None:
    """The gateway's time is given with ours before and after it."""

    async def scenario(gateway: PaperGateway) -> None:
        clocked = (await preflight_of(gateway.port)).clocked
        assert clocked is not None
        assert clocked.asked_at <= clocked.answered_at
        ahead = clocked.server_time - clocked.asked_at
        assert timedelta(minutes=9) < ahead < timedelta(minutes=11)

    with_gateway(scenario, clock=lambda: real_now() + timedelta(minutes=10))


def test_fees_reach_the_master_only() -> None:
    """Fees of other clients reach the master client only."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.fill(gateway.order(NVDA, "BUY", 2, limit="2.51"))
        gateway.fill(gateway.order(NVDA, "BUY", 1, limit="2.51", manual=True))
        found = await preflight_of(gateway.port)
        assert (found.of_others, found.of_others_with_fee) == (1, 1)
        found = await preflight_of(gateway.port, client_id=3, request_timeout=0.5)
        assert (found.of_others, found.of_others_with_fee) == (1, 0)

    with_gateway(scenario, clock=real_now)


@pytest.mark.parametrize("read_only", [True, False])
def test_read_only_api_is_seen(read_only: bool) -> None:
    """The Read-Only API shows by the request that it refuses."""

    async def scenario(gateway: PaperGateway) -> None:
        assert (await preflight_of(gateway.port)).read_only is read_only

    with_gateway(scenario, read_only=read_only)


def test_what_is_not_answered_stays_unknown() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.ignored_requests |= {49, 7, 99}
        found = await preflight_of(gateway.port, request_timeout=0.1)
        assert found.reach is Reach.IN
        assert (found.clocked, found.executions_listed, found.read_only) == (None, False, None)

    with_gateway(scenario)


def test_lost_link_is_reported() -> None:
    """A link that ends in between is reported, and leaves the rest unanswered."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.ignored_requests.add(49)
        running = asyncio.create_task(preflight_of(gateway.port))
        await until(lambda: "49" in requests(gateway), "the question for the time")
        gateway.drop_connections()
        found = await running
        assert found.reach is Reach.IN
        assert "closed the connection" in found.reason
        assert found.clocked is None

    with_gateway(scenario)


def test_lost_ibkr_is_reported() -> None:
    """A gateway that has lost IBKR is reported."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.ignored_requests.add(49)
        running = asyncio.create_task(preflight_of(gateway.port))
        await until(lambda: "49" in requests(gateway), "the question for the time")
        gateway.notice(1100)
        gateway.push_raw(49, 1, int(real_now().timestamp()))
        assert "lost its link to IBKR" in (await running).upstream

    with_gateway(scenario)


def test_client_id_in_use_is_distinct() -> None:
    """A client id that is in use has a result of its own."""

    async def scenario(gateway: PaperGateway) -> None:
        async with raw_client(gateway, client_id=0):
            found = await preflight_of(gateway.port)
            assert (found.reach, found.reason) == (Reach.ID_TAKEN, "client id 0 is in use by another session")
            assert gateway.clients == (0,)

    with_gateway(scenario)


def test_an_empty_port_is_nowhere() -> None:
    async def scenario(gateway: PaperGateway) -> None:
        await gateway.stop()
        found = await preflight_of(gateway.port)
        assert found.reach is Reach.NOWHERE
        assert "nothing listens on" in found.reason

    with_gateway(scenario)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    """Serve a port with something that is no gateway; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(reader, writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    "says", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x05a\x00b\x00c"]
)
def test_other_protocol_is_a_stranger(says: bytes) -> None:
    """A peer that is no gateway is a stranger."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)

    async def scenario() -> None:
        async with listening(talk) as port:
            found = await preflight_of(port, connect_timeout=1.0)
        assert found.reach is Reach.STRANGER, found
        assert found.reason

    asyncio.run(scenario())


def test_mute_port_is_silence() -> None:
    """A port that accepts and sends nothing is silence."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return None

    async def scenario() -> None:
        async with listening(talk) as port:
            found = await preflight_of(port, connect_timeout=0.2)
        assert found.reach is Reach.SILENCE
        assert "says nothing" in found.reason

    asyncio.run(scenario())


def test_unfinished_login_is_halfway() -> None:
    """A gateway that greets and goes no further is halfway."""

    async def scenario(gateway: PaperGateway) -> None:
        gateway.faults.ignored_requests.add(71)
        found = await preflight_of(gateway.port, connect_timeout=0.5)
        assert found.reach is Reach.HALFWAY
        assert "does not finish the login" in found.reason

    with_gateway(scenario)
