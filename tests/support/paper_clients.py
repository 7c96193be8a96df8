"""What the paper gateway's tests share: a frozen clock, a gateway, clients, waiting with a bound."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from tracker.gateway.ib_insync_compat import ib_insync
from tracker.paper.book import PaperContract, option, stock
from tracker.paper.framing import Fields, FrameReader, frame
from tracker.paper.server import PaperGateway

NOON = datetime(2025, 11, 18, 17, 0, tzinfo=UTC)
"""12:00 in New York, on a Tuesday."""
NVDA = option("NVDA", "20251121", "C", "122.5", con_id=700100200)
SPXW = option("SPX", "20251118", "P", "6600", con_id=700100300, trading_class="SPXW")
AAPL = stock("AAPL", con_id=265598)
ACCOUNT = "DU1234567"
BOUND_SECONDS = 10.0
"""How long anything may take before a test gives up; nothing waits this long when all is well."""


class Clock:
    """Tell a time that only the test moves."""

    def __init__(self, start: datetime = NOON) -> None:
        self.time = start

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


def make_gateway(clock: Callable[[], datetime] | None = None, **settings: Any) -> PaperGateway:
    """Return a gateway that is not started yet."""
    return PaperGateway(now=clock or Clock(), **settings)


async def until(
    condition: Callable[[], object], what: str = "the condition", seconds: float = BOUND_SECONDS
) -> None:
    """Wait for a condition; AssertionError after the bound."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"{what} did not come true within {seconds} s"
        await asyncio.sleep(0.002)


class RawClient:
    """Speak the protocol by hand, so that every field that came can be looked at."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.handshake: Fields = ()
        self.frames: list[Fields] = []
        self.bytes_read = 0
        self.closed = False
        self._unframe = FrameReader(limit=1 << 24)
        self._task: asyncio.Task[None] | None = None

    def send(self, *fields: str | int) -> None:
        self.writer.write(frame(str(field) for field in fields))

    def of(self, *kinds: str) -> list[Fields]:
        """Return what came of these message ids, in order."""
        return [fields for fields in self.frames if fields[0] in kinds]

    def listen(self) -> None:
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65536):
                self.bytes_read += len(data)
                self.frames += self._unframe.feed(data)
        except ConnectionError:
            pass
        finally:
            self.closed = True

    async def until(self, kind: str, count: int = 1, seconds: float = BOUND_SECONDS) -> list[Fields]:
        """Wait until so many messages of a kind have come; return them."""
        await until(lambda: len(self.of(kind)) >= count, f"message {kind} x {count}", seconds)
        return self.of(kind)

    async def settle(self) -> None:
        """Wait until the gateway has answered everything sent so far."""
        had = len(self.of("49"))
        self.send(49, 1)
        await self.until("49", had + 1)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.writer.transport.abort()


def hello(versions: str = "v157..176") -> bytes:
    """Return what a client says first."""
    text = versions.encode()
    return b"API\0" + struct.pack(">I", len(text)) + text


class Address(Protocol):
    """Hold where a gateway listens."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


@asynccontextmanager
async def raw_client(
    gateway: Address, client_id: int | None = 0, versions: str = "v157..176"
) -> AsyncIterator[RawClient]:
    """Connect by hand; with a client id startApi is sent and answered, too."""
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    client = RawClient(reader, writer)
    try:
        writer.write(hello(versions))
        head = await asyncio.wait_for(reader.readexactly(4), BOUND_SECONDS)
        body = await asyncio.wait_for(reader.readexactly(struct.unpack(">I", head)[0]), BOUND_SECONDS)
        client.handshake = tuple(body.decode().split("\0")[:-1])
        client.listen()
        if client_id is not None:
            client.send(71, 2, client_id, "")
            await client.until("9")
        yield client
    finally:
        await client.close()


def library() -> Any:
    """Return ib_insync, untyped as it is."""
    return ib_insync


def fields_of_order(order_id: int, contract: PaperContract, **terms: Any) -> Fields:
    """Return placeOrder as ib_insync writes it at 176; keyword arguments are attributes of its Order."""
    its = library()
    sent: list[Any] = []
    client = its.Client(its.wrapper.Wrapper(its.IB()))
    client._serverVersion = 176
    client.connState = client.CONNECTED
    client.sendMsg = lambda text: sent.append(text)
    order = its.Order(**terms)
    client.placeOrder(order_id, library_contract(contract), order)
    return tuple(sent[0].split("\0")[:-1])


def library_contract(contract: PaperContract) -> Any:
    """Return ib_insync's object for a contract."""
    its = library()
    return its.Contract(
        secType=contract.sec_type,
        conId=contract.con_id,
        symbol=contract.symbol,
        lastTradeDateOrContractMonth=contract.expiry,
        strike=float(contract.strike or Decimal(0)),
        right=contract.right,
        multiplier=contract.multiplier,
        exchange=contract.exchange,
        currency=contract.currency,
        localSymbol=contract.local_symbol,
        tradingClass=contract.trading_class,
        comboLegs=[
            its.ComboLeg(conId=leg.con_id, ratio=leg.ratio, action=leg.action, exchange=leg.exchange)
            for leg in contract.legs
        ],
    )
