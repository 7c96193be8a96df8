"""A tracker that has traded, and then a broken set of its stores: what is planted, and how."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from tests.support.daemon_rig import Rig, details, record
from tests.support.project import PROJECT
from tracker.clock import now
from tracker.core.model import CommissionReport, Moment, OrderKey
from tracker.core.state import EXECUTIONS, FEES, GAPS, ORDERS, OUTBOX, UNDECODED
from tracker.core.state_rows import Gap, OrderState
from tracker.journal.journal import Journal
from tracker.paper.contracts import PaperContract, option
from tracker.paper.model import PaperExecution

ROBIN = "robindahood-alerts"
OTHER = "prof-and-kian-alerts"
ACCOUNT = "DU1234567"
TICKERS = (
    *("AAPL", "AMD", "AMZN", "BABA", "COIN", "DIS", "F", "GOOG", "HOOD", "INTC", "META", "MSFT"),
    *("NFLX", "NVDA", "PLTR", "QCOM"),
)
CONTRACTS = {
    ticker: option(ticker, "20301220", "C", "122.5", con_id=800_000_000 + number)
    for number, ticker in enumerate(TICKERS)
}
UNREADABLE = "0000e0d5.99999999.01.01"
SCRIPT = PROJECT / "scripts" / "reconcile.py"


class Done(NamedTuple):
    """Hold what a run of a command gave."""

    code: int
    answer: dict[str, Any]

    @property
    def found(self) -> list[tuple[str, str]]:
        return _named(self.answer["discrepancies"])

    @property
    def repairable(self) -> list[tuple[str, str]]:
        return _named([each for each in self.answer["discrepancies"] if each["repairable"]])

    @property
    def repaired(self) -> list[tuple[str, str]]:
        return _named(self.answer["repaired"])


def _named(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["kind"], each["subject"]) for each in rows]


def play(folder: Path, story: Callable[[Rig], Awaitable[None]], **gateway: Any) -> None:
    """Run a story against a gateway and a rig."""

    async def main() -> None:
        async with Rig(folder, **gateway) as rig:
            await story(rig)

    asyncio.run(main())


def alert_of(ticker: str, **changes: Any) -> dict[str, Any]:
    """Return a record that names the contract of its ticker."""
    con_id = CONTRACTS[ticker].con_id
    base = {"option_conid": con_id, "option_conids": [con_id], "alert_details": details(ticker=ticker)}
    return record(**base | changes)


def about(ticker: str) -> str:
    """Return how an audit names the contract of a ticker."""
    return f"{ACCOUNT} {ticker} 2030-12-20 122.5 C ({CONTRACTS[ticker].con_id})"


async def traded(rig: Rig, *tickers: str, ago: float = 0) -> dict[str, PaperExecution]:
    """Start the tracker and buy each of these contracts, which opens their alerts; returns the executions."""
    asked = positions_requests(rig)
    await rig.start()
    # The first answer that can be certain is asked for after the first sweep.
    await rig.until(lambda: positions_requests(rig) >= asked + 2)
    fills = {ticker: buy(rig, CONTRACTS[ticker], ago=ago) for ticker in tickers}
    await rig.until(lambda: all(rig.read(ROBIN, ticker)["open"] for ticker in tickers))
    await rig.idle()
    return fills


def positions_requests(rig: Rig) -> int:
    """Count the requests for positions (message 61) that the gateway received."""
    return sum(fields[0] == "61" for _, fields in rig.gateway.received)


def loose(ticker: str) -> dict[str, Any]:
    """Return a record that names no conid and no expiry, so that two of them are ambiguous."""
    return alert_of(
        ticker, option_conid=None, option_conids=[], alert_details=details(ticker=ticker, expiry=None)
    )


def buy(rig: Rig, contract: PaperContract, quantity: int = 4, *, ago: float = 0) -> PaperExecution:
    """Buy in one order and one fill, so many seconds ago."""
    order = rig.gateway.order(contract, "BUY", quantity, limit="2.5")
    return rig.gateway.fill(order, time=now() - timedelta(seconds=ago))


def edit(rig: Rig, change: Callable[[dict[str, Any]], None]) -> None:
    """Change alerts.json as another program would."""
    alerts = json.loads(rig.alerts_path.read_text())
    change(alerts)
    rig.write(alerts)


async def reconcile(
    rig: Rig, *options: str, script: bool = True, command: Sequence[str] = ("reconcile",)
) -> Done:
    """Run scripts/reconcile.py, or a command that answers as it does, with this rig's settings."""
    script = script and tuple(command) == ("reconcile",)
    words = [str(SCRIPT)] if script else ["-m", "tracker", *command]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        "--json",
        *options,
        *rig.flags(),
        stdout=asyncio.subprocess.PIPE,
        cwd=rig.folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Done(process.returncode, json.loads(out))


# Planting


def plant_in_store(rig: Rig) -> None:
    """Damage alerts.json while no tracker runs."""

    def change(alerts: dict[str, Any]) -> None:
        mine = alerts[ROBIN]
        del mine["AAPL"]
        mine["AMD"] |= {"open": False, "last_order_update": None}
        mine["AMZN"] = alert_of(
            "AMZN", option_conid=5, option_conids=[5], alert_details=details(ticker="AMZN", strike="130")
        )
        mine["HOOD"] = alert_of("HOOD", open=True)
        mine["INTC"] = alert_of("INTC", open=True)
        del mine["META"]["position"]

    edit(rig, change)


def plant_at_broker(rig: Rig, fills: dict[str, PaperExecution]) -> tuple[PaperExecution, PaperExecution]:
    """Change what the broker tells from now on; returns the execution that the journal lacks, and another one
    that the broker does not list although its order is filled.
    """
    gateway = rig.gateway
    # Long enough ago for the positions that are asked next to contain it without doubt.
    missed = buy(rig, CONTRACTS["BABA"], 2, ago=10)
    gateway.set_position(ACCOUNT, CONTRACTS["COIN"], 7)
    gateway.set_position(ACCOUNT, CONTRACTS["DIS"], 0)
    gateway.set_position(ACCOUNT, CONTRACTS["INTC"], 3)
    known = gateway.book.executions
    del known[fills["F"].exec_id]
    known[fills["GOOG"].exec_id] = dataclasses.replace(known[fills["GOOG"].exec_id], price=Decimal("2.75"))
    unlisted = buy(rig, CONTRACTS["QCOM"])
    del known[unlisted.exec_id]
    del gateway.book.fees[fills["MSFT"].exec_id]
    gateway.set_position(ACCOUNT, CONTRACTS["QCOM"], 0)
    return missed, unlisted


def plant_in_journal(rig: Rig, fills: dict[str, PaperExecution]) -> None:
    """Damage rows of the journal while no tracker runs."""
    journal = Journal(rig.folder / "journal.db")
    state = journal.state
    with journal.step():
        state.put(GAPS, Gap(date(2025, 11, 17), Moment(now(), 1)))
        ahead = OrderKey(77, 0, 0)
        state.put(ORDERS, OrderState(ahead, ACCOUNT, 5, broker_filled=Decimal(3), status="Submitted"))
        late = state.get(EXECUTIONS, f"{ACCOUNT} {fills['MSFT'].exec_id}")
        assert late is not None
        old = replace(late.execution, time=late.execution.time - timedelta(minutes=20))
        state.put(EXECUTIONS, replace(late, execution=old))
        state.put(FEES, CommissionReport(old.exec_id, None, "", None))
        (delivery,) = [row for row in state.every(OUTBOX) if row.update.alert.ticker == "META"]
        state.put(OUTBOX, replace(delivery, state="pending"))
    journal.close()


def unreadable() -> list[str]:
    """Return an execution that no version can read: it names no contract."""
    head = f"11|-1|7|0|NVDA|OPT|20301220|122.5|C|100|CBOE|USD||NVDA|{UNREADABLE}"
    tail = f"20301120 10:43:10 US/Eastern|{ACCOUNT}|CBOE|BOT|4|2.51|188|5|0|4|2.51|||||2"
    return f"{head}|{tail}".split("|")


def frame_of(rig: Rig, exec_id: str) -> str:
    """Return how an audit names the frame that could not be read."""
    journal = Journal(rig.folder / "journal.db", read_only=True)
    try:
        (row,) = [row for row in journal.state.every(UNDECODED) if row.exec_id == exec_id]
        return f"frame {row.seq}"
    finally:
        journal.close()


def import_answer(executions: int, new: int, *closed: str) -> dict[str, Any]:
    """Return what an import answers that brought executions alone, and closed the gaps of these days."""
    return {
        "executions": executions,
        "new": new,
        "voided": 0,
        "closed_gaps": list(closed),
        "waiting_gaps": [],
        "unknown_cancels": [],
        "foreign_accounts": [],
        "changes_left_out": 0,
        "events": [],
        "unread_events": [],
    }
