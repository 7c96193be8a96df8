"""Arbitrary bytes and field lists: no crash, every answer a valid frame that a real client reads."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.paper_clients import (
    BOUND_SECONDS,
    NVDA,
    RawClient,
    fields_of_order,
    hello,
    library,
    make_gateway,
    raw_client,
    until,
)
from tracker.paper.framing import Fields, frame
from tracker.paper.order_engine import FillPolicy
from tracker.paper.server import PaperGateway

ODD = (
    *("", "0", "1", "-1", "1e5", "1E308", "1.7976931348623157e+308", "Infinity", "NaN", "2147483647"),
    *("2147483648", "9" * 30, "0.00000001", "1.5", "-0", "None", "BUY", "SELL", "LMT", "MKT", "STK", "OPT"),
    *("BAG", "SMART", "DU1234567", "20251121", "20251118-17:00:00", "x" * 600, "\ufffd", "\u0661", " ", "7"),
    *("PEG BENCH", "All"),
)
ODD_TEXTS = st.sampled_from(ODD)
TEXTS = st.one_of(
    ODD_TEXTS, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
)
KINDS = st.one_of(st.integers(0, 105).map(str), TEXTS)
ANY_FIELDS = st.builds(lambda kind, rest: (kind, *rest), KINDS, st.lists(TEXTS, max_size=20))


Act: TypeAlias = Callable[[PaperGateway], Awaitable[None]]


@cache
def templates() -> tuple[Fields, ...]:
    """Return well-formed requests to spoil."""
    return (
        fields_of_order(1, NVDA, action="BUY", totalQuantity=2, orderType="LMT", lmtPrice=2.5),
        fields_of_order(2, NVDA, action="SELL", totalQuantity=2, orderType="MKT", parentId=1),
        ("4", "1", "1", ""),
        ("7", "3", "9", "0", "", "", "", "", "", ""),
        tuple("9 8 9 0 NVDA OPT 20251121 122.5 C - SMART - USD - - 0 - - -".replace("-", "").split(" ")),
        ("62", "1", "9", "All", "NetLiquidation"),
        ("6", "2", "1", ""),
        ("74", "1", "9", "", ""),
        ("76", "1", "9", "", "", "1"),
        ("99", "0"),
        ("1", "11", "9"),
        ("15", "1", "1"),
    )


@st.composite
def spoiled(draw: st.DrawFn) -> Fields:
    fields = list(draw(st.sampled_from(templates())))
    for _ in range(draw(st.integers(0, 3))):
        index = draw(st.integers(0, len(fields) - 1))
        fields[index] = draw(TEXTS)
    if draw(st.booleans()):
        fields = fields[: draw(st.integers(1, len(fields)))]
    return tuple(fields)


class Complaints(logging.Handler):
    """Gather what ib_insync's decoder and the event loop could not take."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "Error handling fields" in text or "exception" in text.lower() or record.name == "asyncio":
            self.lines.append(text[:400])


def read_by_a_real_client(frames: list[Fields]) -> None:
    """Let ib_insync's decoder read every message; what it cannot read it logs."""
    ib_insync = library()
    decoder = ib_insync.decoder.Decoder(Silent(), 176)
    for fields in frames:
        decoder.interpret(list(fields))


class Silent:
    """Take every callback of a decoder."""

    ib: Any = None

    def __getattr__(self, name: str) -> Any:
        return lambda *values: None


async def served(act: Act) -> None:
    policy = FillPolicy(latency_seconds=0, partials=2)
    async with make_gateway(fills=policy) as gateway, raw_client(gateway, 0) as master:
        gateway.book.learn(NVDA)
        await act(gateway)
        await master.settle()
        read_by_a_real_client(master.frames)
        # Whatever happened, a new client is served.
        async with raw_client(gateway, 50) as after:
            after.send(7, 3, 1, 0, "", "", "", "", "", "")
            after.send(16, 1)
            await after.until("53")
            await after.until("55")
            read_by_a_real_client(after.frames)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(ANY_FIELDS, spoiled()), max_size=12))
def test_arbitrary_fields_never_crash(requests: list[Fields]) -> None:
    """Arbitrary field lists are answered or refused and never crash."""

    async def act(gateway: PaperGateway) -> None:
        async with raw_client(gateway, 7) as client:
            for fields in requests:
                client.send(*fields)
            await settled(client)
            read_by_a_real_client(client.frames)

    run_without_complaints(act)


async def settled(client: RawClient) -> None:
    """Wait until all requests are answered, or the connection was closed for one of them."""
    had = len(client.of("49"))
    client.send(49, 1)
    await until(lambda: client.closed or len(client.of("49")) > had)


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.lists(st.one_of(st.binary(max_size=300), ANY_FIELDS.map(frame)), max_size=8))
def test_arbitrary_bytes_never_crash_the_gateway(shake_hands: bool, pieces: list[bytes]) -> None:
    async def act(gateway: PaperGateway) -> None:
        reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
        if shake_hands:
            writer.write(hello() + frame(["71", "2", "7", ""]))
        for piece in pieces:
            writer.write(piece)
        writer.write_eof()
        data = await asyncio.wait_for(reader.read(1 << 24), BOUND_SECONDS)
        writer.transport.abort()
        read_by_a_real_client(whole_frames(data)[1:])

    run_without_complaints(act)


def whole_frames(data: bytes) -> list[Fields]:
    """Return the messages in what was received, which must be nothing but whole ones."""
    found: list[Fields] = []
    while data:
        end = 4 + struct.unpack(">I", data[:4])[0]
        body, data = data[4:end], data[end:]
        assert len(body) == end - 4
        assert body.endswith(b"\0")
        found.append(tuple(body.decode()[:-1].split("\0")))
    return found


def run_without_complaints(act: Act) -> None:
    handler = Complaints()
    loggers = [logging.getLogger(name) for name in ("ib_insync.Decoder", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        asyncio.run(served(act))
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    assert handler.lines == []
