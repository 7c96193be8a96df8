"""Each fault, as a client meets it."""

from __future__ import annotations

import asyncio
import struct

import pytest

from tests.support.paper_clients import ACCOUNT, BOUND_SECONDS, NVDA, library, make_gateway, raw_client, until
from tracker.paper.framing import frame
from tracker.paper.server import PaperGateway


def test_ends_are_withheld_on_demand() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.faults.withhold_exec_end = True
            gateway.faults.withhold_open_order_end = True
            gateway.faults.withhold_position_end = True
            gateway.faults.withhold_completed_end = True
            gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2, push=False), push=False)
            gateway.order(NVDA, "BUY", 1, limit=2, push=False)
            client.send(7, 3, 1, 0, "", "", "", "", "", "")
            client.send(16, 1)
            client.send(61, 1)
            client.send(99, 0)
            await client.settle()
            assert (
                len(client.of("11"))
                == len(client.of("5"))
                == len(client.of("61"))
                == len(client.of("101"))
                == 1
            )
            assert client.of("53", "55", "62", "102") == []

    asyncio.run(run())


def test_missing_executions_end_blocks_ib_insync() -> None:
    """Ib insync cannot connect without the executions end."""

    async def run() -> None:
        async with make_gateway() as gateway:
            gateway.faults.withhold_exec_end = True
            ib = library().IB()
            with pytest.raises(TimeoutError):
                await ib.connectAsync("127.0.0.1", gateway.port, clientId=3, timeout=0.3)

    asyncio.run(run())


def test_silent_gateway_stays_connected() -> None:
    """A silent gateway answers nothing and stays connected."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.faults.silent = True
            had = len(client.frames)
            client.send(49, 1)
            await until(lambda: gateway.broadcast.received_counts[0, "49"])
            gateway.order(NVDA, "BUY", 1, limit=2)
            gateway.faults.silent = False
            await client.settle()
            assert [fields[0] for fields in client.frames[had:]] == ["49"]
            assert not client.closed

    asyncio.run(run())


def test_silent_gateway_skips_handshake() -> None:
    """A silent gateway does not even shake hands."""

    async def run() -> None:
        async with make_gateway() as gateway:
            gateway.faults.silent = True
            with pytest.raises(TimeoutError):
                await library().IB().connectAsync("127.0.0.1", gateway.port, clientId=3, timeout=0.2)

    asyncio.run(run())


def test_single_requests_can_be_ignored() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.faults.ignored_requests = {61}
            client.send(61, 1)
            await client.settle()
            assert client.of("61", "62") == []

    asyncio.run(run())


def test_client_id_refused_with_326() -> None:
    """A client id is refused with 326 and the end."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, None) as client:
            gateway.faults.refuse_client_id = True
            client.send(71, 2, 5, "")
            await until(lambda: client.closed)
            assert [fields[3] for fields in client.of("4")] == ["326"]
            assert client.of("9", "15") == []

    asyncio.run(run())


def test_connection_dropped_on_connect() -> None:
    """A connection can be dropped at the door."""

    async def run() -> None:
        async with make_gateway() as gateway:
            gateway.faults.drop_on_connect = True
            reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
            assert await asyncio.wait_for(reader.read(), BOUND_SECONDS) == b""
            writer.close()

    asyncio.run(run())


def test_every_execution_can_come_several_times() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.faults.duplicate = 5
            execution = gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2))
            await client.settle()
            assert [fields[14] for fields in client.of("11")] == [execution.exec_id] * 5
            gateway.faults.duplicate = 1
            gateway.repeat(execution)
            await client.until("11", 6)

    asyncio.run(run())


def test_executions_can_come_before_their_order() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.faults.reorder = True
            order = gateway.order(NVDA, "BUY", 2, limit=2)
            gateway.fill(order, 1)
            await client.settle()
            assert [fields[0] for fields in client.of("3", "5", "11")] == ["11", "5", "3"]

    asyncio.run(run())


def test_perm_ids_can_be_missing() -> None:
    """Live and in answers, on all three messages that carry one; the execution is the same."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.faults.no_perm_ids = True
            order = gateway.order(NVDA, "BUY", 3, limit=2)
            gateway.fill(order, 1)
            client.send(7, 3, 1, 0, "", "", "", "", "", "")
            client.send(16, 1)
            await client.until("53")
            assert {fields[25] for fields in client.of("5")} == {"0"}
            assert {fields[6] for fields in client.of("3")} == {"0"}
            assert [fields[21] for fields in client.of("11")] == ["0", "0"]
            gateway.faults.no_perm_ids = False
            gateway.fill(order)
            await client.settle()
            assert client.of("11")[-1][21] == client.of("3")[-1][6] == str(order.perm_id)

    asyncio.run(run())


def test_a_fee_can_lag() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.faults.late_fee_seconds = 0.5
            gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2))
            await client.settle()
            assert client.of("59") == []
            assert client.of("5")[-1][104] == ""
            await client.until("59")
            assert client.of("5")[-1][104] == "0.65"

    asyncio.run(run())


def test_fee_given_later() -> None:
    """A fee can stay out and be given later."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            execution = gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2), fee=False)
            client.send(7, 3, 1, 0, "", "", "", "", "", "")
            await client.until("55")
            assert client.of("59") == []
            gateway.fee(execution, "1.05", "-3")
            assert (await client.until("59"))[0][2:6] == (execution.exec_id, "1.05", "USD", "-3")

    asyncio.run(run())


def test_times_come_in_every_form() -> None:
    async def run(form: str, bad_zone: str = "") -> str:
        async with make_gateway(time_form=form) as gateway, raw_client(gateway) as client:
            gateway.faults.bad_zone = bad_zone
            gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2))
            return (await client.until("11"))[0][15]

    assert asyncio.run(run("zone")) == "20251118 12:00:00 US/Eastern"
    assert asyncio.run(run("utc_dash")) == "20251118-17:00:00"
    assert asyncio.run(run("naive")) == "20251118  12:00:00"
    assert asyncio.run(run("zone", "India Standard Time")) == "20251118 22:30:00 India Standard Time"
    assert asyncio.run(run("zone", "Nowhere Time")) == "20251118 12:00:00 Nowhere Time"


def test_time_texts_of_old_versions() -> None:
    """Old versions write no zone and a single time can be any text."""

    async def run() -> None:
        async with (
            make_gateway() as gateway,
            raw_client(gateway, 0, "v157..165") as old,
            raw_client(gateway, 7, "v157..178") as new,
        ):
            gateway.fill(gateway.order(NVDA, "BUY", 2, limit=2), 1)
            gateway.fill(gateway.book.open_orders()[0], time="nonsense")
            assert [fields[15] for fields in await old.until("11", 2)] == ["20251118  12:00:00", "nonsense"]
            assert (await new.until("11"))[0][15] == "20251118 12:00:00 US/Eastern"
            assert len(new.of("11")[0]) == 32
            assert len(old.of("11")[0]) == 31

    asyncio.run(run())


def test_fill_missing_from_live_stream() -> None:
    """A fill can be missing from the live stream."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            client.send(61, 1)
            await client.until("62")
            order = gateway.order(NVDA, "BUY", 1, limit=2, push=False)
            execution = gateway.fill(order, push=False)
            await client.settle()
            assert client.of("3", "5", "11", "59", "61") == []
            client.send(7, 3, 9, 0, ACCOUNT, "", "", "", "", "")
            await client.until("55")
            assert [(f[1], f[14]) for f in client.of("11")] == [("9", execution.exec_id)]
            assert len(client.of("59")) == 1

    asyncio.run(run())


def test_an_order_can_stay_unannounced() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            gateway.fill(gateway.order(NVDA, "BUY", 2, limit=2, announce=False), 1)
            client.send(16, 1)
            await client.until("53")
            assert client.of("5") == []
            assert len(client.of("11")) == 1

    asyncio.run(run())


def test_a_push_can_reach_single_clients() -> None:
    async def run() -> None:
        async with (
            make_gateway() as gateway,
            raw_client(gateway, 0) as master,
            raw_client(gateway, 7) as owner,
        ):
            gateway.fill(gateway.order(NVDA, "BUY", 1, limit=2, to=[7]), to=[7])
            for client in (master, owner):
                await client.settle()
            assert master.of("3", "5", "11", "59") == []
            assert len(owner.of("11")) == 1

    asyncio.run(run())


def test_notices_come_in_their_usual_texts() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            for code in (1100, 1101, 1102, 2110, 1300):
                gateway.notice(code)
            gateway.notice(2103, "something else")
            errors = (await client.until("4", 9))[3:]
            assert [fields[2:4] for fields in errors] == [
                ("-1", str(code)) for code in (1100, 1101, 1102, 2110, 1300, 2103)
            ]
            assert "has been lost" in errors[0][4]
            assert errors[4][4].endswith(str(gateway.port))
            assert errors[5][4] == "something else"

    asyncio.run(run())


def test_connections_can_be_dropped() -> None:
    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway, 0) as one, raw_client(gateway, 7) as two:
            gateway.drop_connections(to=[7])
            await until(lambda: two.closed)
            assert not one.closed
            gateway.drop_connections()
            await until(lambda: one.closed)
            assert gateway.clients == ()

    asyncio.run(run())


def test_connections_can_be_reset() -> None:
    async def run() -> None:
        async with make_gateway() as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            await until(lambda: len(gateway.broadcast.connections) == 1)
            gateway.drop_connections(reset=True)
            async with asyncio.timeout(BOUND_SECONDS):
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            writer.close()
            await until(lambda: not gateway.broadcast.connections)

    asyncio.run(run())


def test_raw_messages_and_bytes() -> None:
    """Any message and any bytes can be sent."""

    async def run() -> None:
        async with make_gateway() as gateway, raw_client(gateway) as client:
            data = frame(["49", "1", "5"])
            gateway.push_raw(77, "x")
            gateway.push_bytes(data[:3])
            gateway.push_bytes(data[3:])
            assert (await client.until("49"))[0] == ("49", "1", "5")
            assert client.of("77") == [("77", "x")]

    asyncio.run(run())


def test_pushes_in_one_packet() -> None:
    """Pushes can be gathered into one packet."""

    async def read_once(gateway: PaperGateway) -> int:
        reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
        try:
            writer.write(b"API\0" + struct.pack(">I", 9) + b"v157..176")
            await reader.readexactly(struct.unpack(">I", await reader.readexactly(4))[0])
            writer.write(frame(["71", "2", "0", ""]))
            await until(lambda: gateway.clients == (0,))
            while not (await reader.read(1 << 16)).endswith(b"secdefil\0\0"):
                pass
            with gateway.one_packet():
                for _ in range(20):
                    gateway.notice(1100)
            return (await asyncio.wait_for(reader.read(1 << 16), BOUND_SECONDS)).count(b"1100")
        finally:
            writer.transport.abort()

    async def run() -> None:
        async with make_gateway() as gateway:
            assert await read_once(gateway) == 20

    asyncio.run(run())
