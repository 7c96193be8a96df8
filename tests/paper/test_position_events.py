"""Positions that change without an execution: what the book holds, what is pushed, what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from tests.support.paper_clients import AAPL, ACCOUNT, Clock, RawClient, make_gateway, raw_client
from tracker.paper.book_report import book_report
from tracker.paper.contracts import option, stock
from tracker.paper.scenario import ScenarioError, event_of
from tracker.paper.scenario_player import ScenarioPlayer
from tracker.paper.server import PaperGateway

CALL = option("AAPL", "20251121", "C", "150", con_id=700100201)
PUT = option("AAPL", "20251121", "P", "140", con_id=700100202)
NEW = stock("ABC", con_id=265599)
OTHER = "DU7654321"
INSTRUMENTS = {"stock": AAPL, "call": CALL, "put": PUT, "new": NEW}


class Table:
    """Hold a gateway with positions, and a client that has asked for them."""

    def __init__(self, gateway: PaperGateway, client: RawClient) -> None:
        self.gateway = gateway
        self.client = client
        self.player = ScenarioPlayer(gateway, Clock())
        for name, contract in INSTRUMENTS.items():
            self.player._contracts[name] = gateway.book.learn(contract)

    def hold(self, contract: Any, quantity: str, cost: str, account: str = ACCOUNT) -> None:
        """Hold this from the beginning."""
        self.gateway.set_position(account, contract, quantity, cost, push=False)
        self.gateway.book.adjustments.clear()

    async def do(self, do: str, **keys: Any) -> list[tuple[str, ...]]:
        """Do an event; return (account, conId, quantity, cost) of the positions that were pushed."""
        before = len(self.client.of("61"))
        self.player.perform_at_once(event_of({"do": do, **keys}, "event", timed=False))
        await self.client.settle()
        return [shown(fields) for fields in self.client.of("61")[before:]]

    async def ask(self) -> list[tuple[str, ...]]:
        """Ask for positions once more."""
        before = len(self.client.of("61"))
        ends = len(self.client.of("62"))
        self.client.send(61, 1)
        await self.client.until("62", ends + 1)
        return [shown(fields) for fields in self.client.of("61")[before:]]


def shown(fields: tuple[str, ...]) -> tuple[str, ...]:
    return (fields[2], fields[3], *fields[14:16])


@asynccontextmanager
async def table() -> AsyncIterator[Table]:
    async with make_gateway(accounts=(ACCOUNT, OTHER)) as gateway, raw_client(gateway) as client:
        client.send(61, 1)
        await client.until("62")
        yield Table(gateway, client)


def play(story: Callable[[Table], Any]) -> None:
    async def run() -> None:
        async with table() as found:
            await story(found)

    asyncio.run(run())


def test_split_scales_every_account() -> None:
    """Four for one: 10 at 200 become 40 at 50, in each account; no execution is made."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "10", "200")
        found.hold(AAPL, "-3", "100", OTHER)
        assert await found.do("split", contract="stock", new=4) == [
            (ACCOUNT, "265598", "40", "50"),
            (OTHER, "265598", "-12", "25"),
        ]
        assert not found.gateway.book.executions
        assert not found.client.of("11", "5", "3")

    play(story)


def test_reverse_split_leaves_fraction() -> None:
    """One for ten: 25 at 2 become 2.5 at 20."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "25", "2")
        assert await found.do("split", contract="stock", new=1, old=10) == [(ACCOUNT, "265598", "2.5", "20")]

    play(story)


def test_merger_brings_another_con_id() -> None:
    """Three new shares for two old ones: 10 at 30 are gone, 15 at 20 are there."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "10", "30")
        assert await found.do("merge", contract="stock", into="new", new=3, old=2) == [
            (ACCOUNT, "265598", "0", "0"),
            (ACCOUNT, "265599", "15", "20"),
        ]

    play(story)


def test_transfer_between_accounts_and_brokers() -> None:
    """4 of 10 go to the other account at their cost, 6 to another broker, 100 come from one."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "10", "200")
        assert await found.do(
            "transfer", contract="stock", quantity=4, from_account=ACCOUNT, to_account=OTHER
        ) == [(ACCOUNT, "265598", "6", "200"), (OTHER, "265598", "4", "200")]
        assert await found.do("transfer", contract="stock", quantity=6, from_account=ACCOUNT) == [
            (ACCOUNT, "265598", "0", "0")
        ]
        assert await found.do("transfer", contract="stock", quantity=100, to_account=ACCOUNT) == [
            (ACCOUNT, "265598", "100", "0")
        ]
        for keys, message in (
            ({"from_account": ACCOUNT, "quantity": 101}, "holds 100, so 101 cannot be transferred"),
            ({"quantity": 1}, "needs from_account or to_account"),
            ({"from_account": "U1", "quantity": 1}, "U1 is not one of the accounts"),
        ):
            with pytest.raises(ScenarioError, match=message):
                await found.do("transfer", contract="stock", **keys)

    play(story)


@pytest.mark.parametrize(
    ("name", "held", "quantity", "left", "shares"),
    [
        ("put", "-5", 2, "-3", "200"),
        ("put", "5", 5, "0", "-500"),
        ("call", "-1", 1, "0", "-100"),
        ("call", "2", 1, "1", "100"),
    ],
)
def test_assignment_turns_options_into_stock(
    name: str, held: str, quantity: int, left: str, shares: str
) -> None:
    """A short put brings shares at the strike, a long one takes them; calls the other way round."""

    async def story(found: Table) -> None:
        contract = INSTRUMENTS[name]
        found.hold(contract, held, "250")
        pushed = await found.do("assign", contract=name, stock="stock", quantity=quantity)
        cost = "0" if left == "0" else "250"
        strike = "140" if name == "put" else "150"
        assert pushed == [
            (ACCOUNT, str(contract.con_id), left, cost),
            (ACCOUNT, "265598", shares, strike),
        ]
        assert {one.cause for one in found.gateway.book.adjustments} == {
            "assigned" if held.startswith("-") else "exercised"
        }

    play(story)


def test_assignment_against_held_shares() -> None:
    """100 shares called away at 150 leave none."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "100", "120")
        found.hold(CALL, "-1", "250")
        pushed = await found.do("assign", contract="call", stock="stock", quantity=1)
        assert pushed[1] == (ACCOUNT, "265598", "0", "0")
        with pytest.raises(ScenarioError, match="holds 0, so 1 cannot be assigned"):
            await found.do("assign", contract="call", stock="stock", quantity=1)
        with pytest.raises(ScenarioError, match="turns an option"):
            await found.do("assign", contract="stock", stock="call", quantity=1)

    play(story)


def test_expiry_removes_the_option() -> None:
    """An expired option is pushed with nothing, and no more in the answer."""

    async def story(found: Table) -> None:
        found.hold(CALL, "2", "250")
        assert await found.do("expire", contract="call") == [(ACCOUNT, "700100201", "0", "0")]
        assert await found.ask() == []
        with pytest.raises(ScenarioError, match="no account holds"):
            await found.do("expire", contract="call")

    play(story)


def test_renumbered_account() -> None:
    """The new number holds what the old one held; the login manages only the new one."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "10", "200")
        pushed = await found.do("renumber", account=ACCOUNT, into="DU1111111")
        assert pushed == [("DU1111111", "265598", "10", "200")]
        assert await found.ask() == pushed
        async with raw_client(found.gateway, 5) as client:
            assert client.of("15")[0][2] == f"DU1111111,{OTHER}"
        with pytest.raises(ScenarioError, match="choose one that is not in use"):
            await found.do("renumber", account="DU1111111", into=OTHER)

    play(story)


def test_late_positions() -> None:
    """While they are late, answers show the positions from before; afterwards what changed is pushed."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "10", "200")
        await found.do("fault", late_positions=True)
        before = len(found.client.of("61"))
        found.gateway.execute(AAPL, "BUY", 5, "210")
        await found.client.settle()
        assert len(found.client.of("61")) == before
        assert [row[2] for row in await found.ask()] == ["10"]
        assert [row[2] for row in await found.do("fault", late_positions=False)] == ["15"]
        assert [row[2] for row in await found.ask()] == ["15"]

    play(story)


def test_missing_positions() -> None:
    """A position that is withheld is neither pushed nor answered until it is let through."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "10", "200")
        found.hold(CALL, "1", "250")
        await found.do("fault", missing_positions=["stock"])
        assert [row[1] for row in await found.ask()] == ["700100201"]
        assert await found.do("split", contract="stock", new=2) == []
        await found.do("fault", missing_positions=[])
        assert [row[2] for row in await found.ask()] == ["20", "1"]

    play(story)


def test_report_lists_adjustments() -> None:
    """The book's report has each change with its cause, before, after and ratio."""

    async def story(found: Table) -> None:
        found.hold(AAPL, "10", "200")
        await found.do("split", contract="stock", new=4)
        await found.do("position", contract="stock", quantity=30)
        rows = book_report(found.gateway.book, found.player.contracts)["adjustments"]
        assert [(row["cause"], row["before"], row["after"], row["ratio"]) for row in rows] == [
            ("split", "10", "40", "4"),
            ("set", "40", "30", None),
        ]
        assert found.gateway.book.positions[ACCOUNT, 265598].quantity == Decimal(30)

    play(story)
