"""`tracker paper` as the command line calls it: options, ports, signals, and the control socket."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.paper.test_scenario import HEAD, ORDER, event
from tests.support.paper_clients import BOUND_SECONDS, Clock, fields_of_order, library, raw_client, until
from tracker.paper.book import stock
from tracker.paper.control import COMMANDS
from tracker.paper.order_engine import FillPolicy
from tracker.paper.scenario import ScenarioError
from tracker.paper.server import PaperGateway
from tracker.paper.service import OptionError, PaperOptions, load_scenario, make_gateway, serve

SHARES = stock("AAPL", con_id=265598)


class Service:
    """Hold a served gateway's ports and what it told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.host = "127.0.0.1"
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    def number(self, start: str) -> int:
        """Return the port in the line that begins so."""
        line = next(line for line in self.told if line.startswith(start))
        found = re.search(r":(\d+)", line)
        assert found is not None
        return int(found[1])

    @property
    def port(self) -> int:
        return self.number("paper gateway")

    async def ask(self, line: str | dict[str, Any]) -> dict[str, Any]:
        text = line if isinstance(line, str) else json.dumps(line)
        self.writer.write(text.encode() + b"\n")
        answer: dict[str, Any] = json.loads(await asyncio.wait_for(self.reader.readline(), BOUND_SECONDS))
        return answer


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Service]:
    service, stop = Service(), asyncio.Event()
    wanted = PaperOptions(port=0, control_port=0, **options)
    task = asyncio.create_task(serve(wanted, now=Clock(), tell=service.told.append, stop=stop))
    await until(lambda: len(service.told) >= 2 or task.done())
    service.reader, service.writer = await asyncio.open_connection("127.0.0.1", service.number("control"))
    try:
        yield service
    finally:
        service.writer.transport.abort()
        stop.set()
        await asyncio.wait_for(task, BOUND_SECONDS)


def test_ib_insync_and_control_socket_together() -> None:
    """Ib insync trades on a served gateway and a shell fills its order."""

    async def run() -> None:
        ib_insync = library()
        async with served(rest=True, accounts=("DU9000001",)) as service:
            ib = ib_insync.IB()
            await ib.connectAsync("127.0.0.1", service.port, clientId=5, timeout=5)
            trade = ib.placeOrder(
                ib_insync.Stock("AAPL", "SMART", "USD"), ib_insync.LimitOrder("BUY", 10, 200)
            )
            await until(lambda: trade.orderStatus.status == "Submitted")
            (order,) = (await service.ask("orders"))["orders"]
            assert (order["client_id"], order["account"], order["limit"]) == (5, "DU9000001", "200.0")
            assert (await service.ask({"do": "fill", "order": order["perm_id"], "quantity": 4}))[
                "quantity"
            ] == "4"
            await until(lambda: trade.filled() == 4)
            assert (await service.ask("fill"))["ok"]
            await until(lambda: trade.orderStatus.status == "Filled")
            assert (await service.ask("status"))["executions"] == 2
            ib.disconnect()

    asyncio.run(run())


def test_clients_and_orders_are_told() -> None:
    """Who comes and goes, what is ordered, filled, changed, cancelled and refused; nothing with --quiet."""

    async def run(*, quiet: bool) -> list[str]:
        async with served(latency=0.0, quiet=quiet) as service:
            begun = len(service.told)
            async with raw_client(service, 5) as client:
                first = int(client.of("9")[0][2])
                lines: tuple[dict[str, Any], ...] = (
                    {"orderType": "LMT", "lmtPrice": 150.0},
                    {"orderType": "STP", "auxPrice": 500.0},
                    {"orderType": "FOO"},
                )
                for number, terms in enumerate(lines, first):
                    client.send(*fields_of_order(number, SHARES, action="BUY", totalQuantity=3, **terms))
                await client.until("59", 2)
                client.send(
                    *fields_of_order(
                        first + 1, SHARES, action="BUY", totalQuantity=4, orderType="STP", auxPrice=510.0
                    )
                )
                client.send(4, 1, first + 1, "")
                await until(lambda: any(fields[3] == "202" for fields in client.of("4")))
            await until(lambda: quiet or service.told[-1] == "client 5 is gone")
            return [
                line.replace(f" {first}", " 1").replace(f" {first + 1}", " 2")
                for line in service.told[begun:]
            ]

    assert asyncio.run(run(quiet=True)) == []
    assert sorted(asyncio.run(run(quiet=False))) == sorted(
        [
            "client 5 is connected, protocol version 176",
            "client 5, order 1: BUY 3 AAPL LMT 150: Submitted",
            "client 5, order 1: 2 filled at 150, 1 left",
            "client 5, order 1: 1 filled at 150",
            "client 5, order 2: BUY 3 AAPL STP at 500: PreSubmitted",
            "client 5, request 3 refused: Unsupported order type for this exchange and security type.",
            "client 5, order 2: is now BUY 4 AAPL STP at 510: PreSubmitted",
            "client 5, order 2: Cancelled, 4 left",
            "client 5 is gone",
        ]
    )


def test_orders_of_the_control_port_are_told() -> None:
    """Who reads the terminal sees them beside those of clients; what is refused did not happen."""

    async def run(*, quiet: bool) -> list[str]:
        async with served(rest=True, quiet=quiet) as service:
            begun = len(service.told)
            named = {"do": "contract", "name": "shares", "kind": "stock", "symbol": "AAPL", "con_id": 265598}
            assert (await service.ask(named))["ok"]
            order = {"do": "order", "contract": "shares", "side": "BUY", "quantity": 10, "limit": 150}
            assert (await service.ask(order))["ok"]
            assert not (await service.ask({**order, "contract": "unknown"}))["ok"]
            assert (await service.ask({"do": "fill", "quantity": 4}))["ok"]
            await until(lambda: quiet or len(service.told) == begun + 2)
            return service.told[begun:]

    assert asyncio.run(run(quiet=True)) == []
    assert asyncio.run(run(quiet=False)) == [
        "control port: client 0 buys 10 shares at 150",
        "control port: 4 of the oldest order filled",
    ]


def test_control_port_lists_its_commands() -> None:
    async def run() -> None:
        async with served() as service:
            commands = (await service.ask("help"))["commands"]
            assert list(commands) == list(COMMANDS)
            assert commands["split"] == "contract new [old] [push]"
            assert commands["cancel"] == "order [push]"

    asyncio.run(run())


def test_bad_command_keeps_the_connection() -> None:
    """A command that the book refuses is answered, and the next one works."""

    async def run() -> None:
        async with served() as service:
            for line, message in (
                ("fill", "there is no working order"),
                ('{"do": "fill", "order": 5}', "there is no order 5"),
                ('{"do": "fill", "quantity": 1e999999999}', "must be below 1,000,000,000"),
                ('{"do": "fill", "quantity": 1e-999999999}', "at most 8 digits"),
                ('{"do": "fill", "at": 5}', "'at' is not a key here"),
                ('{"do": "repeat", "execution": "x"}', "there is no execution 'x'"),
                (
                    '{"do": "order", "contract": "x", "side": "BUY", "quantity": 1}',
                    "there is no contract 'x'",
                ),
            ):
                answer = await service.ask(line)
                assert answer["ok"] is False
                assert message in answer["error"]["message"], line
            assert (await service.ask({"do": "notice", "code": 1100}))["ok"]
            answer = await service.ask("x" * 70_000)
            assert answer["error"]["message"] == "the line is longer than 65536 bytes"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "'nonsense' is not a command"),
        ("{", "not JSON"),
        ('{"do":' + "[" * 30_000, "not JSON"),
        ('{"do": 5}', "'5' is not a command"),
        ("[1]", "'[1]' is not a command"),
        ('{"do": "fill", "quantity": ' + "9" * 5_000 + "}", "not JSON"),
    ],
)
def test_line_that_is_no_command_closes(line: str, message: str) -> None:
    """A line that is no command is answered, and ends the connection."""

    async def run() -> None:
        async with served() as service:
            answer = await service.ask(line)
            assert message in answer["error"]["message"]
            assert await asyncio.wait_for(service.reader.read(), BOUND_SECONDS) == b""

    asyncio.run(run())


def test_post_of_a_web_page_does_nothing() -> None:
    """The body of a POST without preflight holds commands, and none of them is done."""
    body = (
        '{"do": "contract", "name": "T", "kind": "stock", "symbol": "TSLA"}\n'
        '{"do": "execute", "contract": "T", "side": "BUY", "quantity": 5, "price": 1}\n'
    )

    async def run() -> None:
        async with served() as service:
            service.writer.write(
                f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\r\n{body}".encode()
            )
            answers = await asyncio.wait_for(service.reader.read(), BOUND_SECONDS)
            assert answers.count(b"\n") == 1
            service.writer.transport.abort()
            port = service.number("control")
            service.reader, service.writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await service.ask("status"))["executions"] == 0
            assert (await service.ask("book"))["contracts"] == {}

    asyncio.run(run())


def test_commands_use_scenario_names(tmp_path: Path) -> None:
    """Commands reach orders and contracts of the scenario."""
    (tmp_path / "s.toml").write_text('begins = "start"\n' + HEAD + ORDER.replace("0.1", "0"))

    async def run() -> None:
        async with (
            served(scenario=str(tmp_path / "s.toml")) as service,
            raw_client(gateway_at(service)) as client,
        ):
            await until(lambda: "the scenario is over" in service.told)
            filled = await service.ask({"do": "fill", "order": "a", "quantity": 4, "name": "f"})
            corrected = await service.ask({"do": "correct", "execution": filled["exec_id"], "quantity": 3})
            assert corrected["exec_id"][-2:] == "02"
            assert (await service.ask({"do": "change", "order": "a", "limit": 2.6}))["ok"]
            assert (await service.ask({"do": "cancel", "order": "a"}))["ok"]
            assert not (await service.ask({"do": "cancel", "order": "a"}))["ok"]
            assert (await service.ask({"do": "position", "contract": "nvda", "quantity": 0}))[
                "con_id"
            ] == 700100200
            await client.settle()
            assert [f[19] for f in client.of("11")] == ["4", "3"]
            assert client.of("3")[-1][2] == "Cancelled"

    asyncio.run(run())


def test_contract_and_book_commands() -> None:
    """An instrument can be made and the book be read."""

    async def run() -> None:
        async with served() as service, raw_client(gateway_at(service)):
            amd = {"do": "contract", "name": "amd", "kind": "stock", "symbol": "AMD", "con_id": 4391}
            assert await service.ask(amd) == {"ok": True, "con_id": 4391, "expiry": ""}
            bought = {"do": "execute", "contract": "amd", "side": "BUY", "quantity": 5, "price": 158.2}
            fill = await service.ask(bought)
            await service.ask({"do": "correct", "execution": fill["exec_id"], "quantity": 4})
            await service.ask({**bought, "exec_id": "a.b.c.d.01"})
            book = await service.ask("book")
            assert book["contracts"]["amd"]["symbol"] == "AMD"
            assert [(one["signed"], one["in_force"]) for one in book["executions"]] == [
                ("5", False),
                ("4", True),
                ("5", True),
            ]
            assert book["fees"][fill["exec_id"]] == "1"
            assert [one["quantity"] for one in book["positions"]] == ["9"]
            for line, message in (
                ({"do": "contract", "kind": "stock", "symbol": "AMD"}, "name is missing"),
                (
                    {"do": "contract", "name": "x", "kind": "bag", "symbol": "SPX"},
                    "only a scenario file can make a combo",
                ),
                ({"do": "contract", "name": "x", "kind": "bond"}, "must be one of stock"),
            ):
                answer = await service.ask(line)
                assert message in answer["error"]["message"]

    asyncio.run(run())


def gateway_at(service: Service) -> PaperGateway:
    """Return something that raw_client can connect to."""
    return PaperGateway(service.host, service.port, now=Clock())


def test_price_command_in_words() -> None:
    """`price NAME VALUE` sets a price, and a resting stop fills at it."""

    async def run() -> None:
        async with served() as service, raw_client(gateway_at(service), 7) as client:
            aapl = stock("AAPL", con_id=265598)
            client.send(
                *fields_of_order(1, aapl, action="SELL", totalQuantity=9, orderType="STP", auxPrice=40)
            )
            await client.settle()
            await service.ask(
                {"do": "contract", "name": "AAPL", "kind": "stock", "symbol": "AAPL", "con_id": 265598}
            )
            assert await service.ask("price AAPL 39.50") == {"ok": True, "con_id": 265598}
            await client.until("11")
            assert [f[20] for f in client.of("11")] == ["39.50"]
            assert "must be a number" in (await service.ask("price AAPL x"))["error"]["message"]

    asyncio.run(run())


def test_options_set_the_fill_policy() -> None:
    """The policy of the options fills orders."""

    async def run() -> None:
        async with served(latency=0.005, partials=3) as service, raw_client(gateway_at(service), 7) as client:
            aapl = stock("AAPL", con_id=265598)
            client.send(
                *fields_of_order(1, aapl, action="BUY", totalQuantity=9, orderType="LMT", lmtPrice=200)
            )
            await client.until("59", 3)
            assert [f[19] for f in client.of("11")] == ["3", "3", "3"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70_000}, "port must be 0 to 65535, not 70000"),
        ({"control_port": -1}, "control port must be 0 to 65535"),
        ({"latency": -1.0}, "latency must be 0 or more"),
        ({"partials": 0}, "partials must be 1 to 1000"),
        ({"time_form": "x"}, "time_form 'x' is not one of zone"),
        ({"zone": "Mars"}, "zone 'Mars' is not a time zone"),
        ({"accounts": ()}, "at least one account"),
    ],
)
def test_unusable_option_is_named(options: dict[str, Any], message: str) -> None:
    """An option that cannot be used is named."""
    with pytest.raises(OptionError, match=message):
        make_gateway(PaperOptions(**options), None, Clock())


def test_command_line_over_scenario(tmp_path: Path) -> None:
    """The command line wins over the scenario and that over the default."""
    (tmp_path / "s.toml").write_text(
        '[gateway]\naccounts = ["DU9000001"]\nmaster_client_id = -1\n'
        "partials = 5\nlatency = 2\nread_only = true\n"
        + HEAD + ORDER
    )  # fmt: skip
    scenario = load_scenario(str(tmp_path / "s.toml"))
    gateway = make_gateway(PaperOptions(port=0, partials=3), scenario, Clock())
    assert gateway.book.accounts == ("DU9000001",)
    assert gateway.broadcast.rules.master_client_id is None
    assert gateway.broadcast.rules.read_only
    assert gateway.engine.policy == FillPolicy(2.0, 3, False)


def test_unplayable_scenario_ends_the_service(tmp_path: Path) -> None:
    """A scenario that cannot be played ends the service."""
    bad = 'begins = "start"\n' + HEAD + ORDER + event("do = 'fill'; order = 'a'; quantity = 11")
    (tmp_path / "s.toml").write_text(bad)

    async def run() -> None:
        options = PaperOptions(port=0, scenario=str(tmp_path / "s.toml"))
        with pytest.raises(ScenarioError, match="cannot fill 11"):
            await asyncio.wait_for(serve(options, now=Clock(), tell=lambda line: None), BOUND_SECONDS)

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_cleanly(number: signal.Signals) -> None:
    async def run() -> None:
        told: list[str] = []
        options = PaperOptions(port=0, scenario="trading-morning")
        task = asyncio.create_task(serve(options, now=Clock(), tell=told.append))
        await until(lambda: len(told) == 2)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(task, BOUND_SECONDS)

    asyncio.run(run())


def test_taken_port_is_os_error() -> None:
    """A taken port is an os error."""

    async def run() -> None:
        async with served() as service:
            with pytest.raises(OSError, match="address already in use"):
                await serve(PaperOptions(port=service.port), now=Clock(), tell=lambda line: None)

    asyncio.run(run())
