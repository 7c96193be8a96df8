"""A link that looks alive and is not is ended: half a message, a wrong length, an answer that never comes."""

from __future__ import annotations

import asyncio
import struct

import pytest

from tests.gateway.test_capture import execution_fields
from tests.support.gateway_rig import running_link, with_gateway
from tests.support.paper_clients import until
from tracker.paper.server import PaperGateway


def framed(*fields: str) -> bytes:
    body = "\0".join([*fields, ""]).encode()
    return struct.pack(">I", len(body)) + body


def test_half_message_ends_the_link() -> None:
    """8 MiB are announced, and every later message vanishes in them until the link is made again."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, request_timeout=0.5) as link:
            await link.subscribed()
            gateway.push_bytes(struct.pack(">I", 8 << 20))
            for number in range(20):
                gateway.push_raw(*execution_fields(f"a.b.{number:02}.01"))
                await asyncio.sleep(0.01)
            await until(lambda: link.links("down"), "the end of the link")
            assert "a message of the gateway was not whole after 0.5 s" in link.links("down")[0][1]
            await until(lambda: len(link.links("up")) == 2, "the next connection")
            assert link.sink.executions() == []

    with_gateway(scenario)


def test_slow_message_within_its_time_is_whole() -> None:
    """A message that is cut over a while, and others whole after it, are no reason to end the link."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, request_timeout=2.0) as link:
            # The link is up before its login's last answers came; one in between would break the message.
            await until(lambda: len(link.sink.of("62")) == 2, "the positions behind the first sweep")
            data = framed(*execution_fields("a.b.01.01")) + framed(*execution_fields("a.b.02.01"))
            for start in range(0, len(data), 30):
                gateway.push_bytes(data[start : start + 30])
                await asyncio.sleep(0.05)
            await until(lambda: len(link.sink.executions()) == 2, "both executions")
            assert link.links("down") == []

    with_gateway(scenario)


@pytest.mark.parametrize("wrong", [-1, 1])
def test_wrong_length_ends_the_link(wrong: int) -> None:
    """A length that is one byte off leaves nothing behind it readable."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, request_timeout=0.5) as link:
            await link.subscribed()
            data = framed(*execution_fields("a.b.01.01"))
            gateway.push_bytes(struct.pack(">I", len(data) - 4 + wrong) + data[4:])
            gateway.push_raw(*execution_fields("a.b.02.01"))
            await until(lambda: len(link.links("up")) == 2, "the next connection")
            assert "a.b.02.01" not in link.sink.executions()

    with_gateway(scenario)


def test_other_messages_answer_no_probe() -> None:
    """Only the time answers the question for the time, whatever else the gateway sends meanwhile."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway, probe_seconds=0.3, probe_timeout=0.6) as link:
            await link.subscribed()
            gateway.faults.ignored_requests.add(49)
            probed = sum(fields[0] == "49" for _, fields in gateway.received)
            await until(lambda: sum(fields[0] == "49" for _, fields in gateway.received) > probed, "a probe")
            gateway.push_bytes(struct.pack(">I", 0) + framed("999", "1"))
            gateway.push_raw(*execution_fields("a.b.01.01"))
            await until(lambda: link.links("down"), "the end of the link")
            assert "no answer to a probe within 0.6 s" in link.links("down")[0][1]
            assert link.sink.executions() == ["a.b.01.01"]

    with_gateway(scenario)


def test_empty_frames_cost_little(caplog: pytest.LogCaptureFixture) -> None:
    """200,000 of them, and as many of no kind that the protocol has, are dropped without a log record."""

    async def scenario(gateway: PaperGateway) -> None:
        async with running_link(gateway) as link:
            await link.subscribed()
            loop = asyncio.get_running_loop()
            began = loop.time()
            gateway.push_bytes(bytes(4) * 200_000)
            gateway.push_bytes((framed("1e400") + framed("") + framed("\uff11") + framed("-0")) * 5_000)
            gateway.push_raw(*execution_fields("a.b.01.01"))
            await until(lambda: link.sink.executions(), "the fill behind them")
            assert loop.time() - began < 5.0
            assert link.links("down") == []

    with_gateway(scenario)
    assert caplog.records == []
