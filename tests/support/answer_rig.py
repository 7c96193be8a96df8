"""A folder with journal, stores and settings, filled through the real pump, for questions about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from tests.support.facts import ACCOUNT, START, execution
from tests.support.fakes import Records
from tracker import wiring
from tracker.config.loader import load
from tracker.config.settings import Settings
from tracker.core.alert_updates import ClosingPolicy
from tracker.core.matching import match_execution
from tracker.core.model import (
    Alert,
    BrokerFact,
    Contract,
    End,
    EndOf,
    Execution,
    Frame,
    Match,
    Position,
    Source,
)
from tracker.core.ports import AlertStore
from tracker.core.state import EXECUTIONS
from tracker.core.state_rows import BookedExecution
from tracker.journal.journal import Arriving, Journal
from tracker.pipeline.careful_match import MatchAlerts
from tracker.pipeline.pump import Pump
from tracker.queries.socket_commands import QueryContext
from tracker.queries.why import StoreNow

ROBIN = "robindahood-alerts"
CREATED = "2025-11-18T15:42:07.318245"


def record(**changes: Any) -> dict[str, Any]:
    """Return a record that means facts.NVDA, written a minute before facts.START."""
    base: dict[str, Any] = {
        "open": False,
        "created_at": CREATED,
        "option_conids": [700100200],
        "option_conid": 700100200,
        "sentiment": "bullish",
        "conid": 4815747,
        "alert_details": {"ticker": "NVDA", "strike": "122.5", "side": "C", "expiry": "11/21/2025"},
    }
    return base | changes


def loose(ticker: str = "NVDA", **details: Any) -> dict[str, Any]:
    """Return a record without conid; `details` change its alert_details."""
    wanted = {"ticker": ticker, "strike": "122.5", "side": "C", "expiry": "11/21/2025"} | details
    return record(option_conid=None, option_conids=[], alert_details=wanted)


def rivals() -> Records:
    """Return an alert about NVDA, and two that mean the same SPX calls."""
    return {
        ROBIN: {"NVDA": record()},
        "a": {"SPX": loose("SPX", strike="6600", expiry=None)},
        "b": {"SPX": loose("SPX", strike="6600", expiry=None)},
    }


class Desk:
    """Hold the files; tell facts to the pump, and ask about them."""

    def __init__(self, folder: Path, alerts: Records, *, policy: ClosingPolicy = ClosingPolicy.MARK) -> None:
        self.folder = folder
        self.alerts_path = folder / "alerts.json"
        self.write(alerts)
        self.settings_path = folder / "settings.toml"
        self.settings_path.write_text(SETTINGS)
        self.settings: Settings = load({}, str(self.settings_path))
        self.names = wiring.names_of(self.settings)
        self.now = START
        self.facts: list[BrokerFact] = []
        self.worker = ThreadPoolExecutor(1)
        self.journal = Journal(self.folder / "journal.db")
        self.store = wiring.alert_stores(self.settings, self.names)
        self._policy = policy
        self.pump = self.make_pump(self.store)

    def make_pump(self, store: AlertStore, match: MatchAlerts | None = None, **more: Any) -> Pump:
        """Return a pump of this journal into a store; `match` takes the place of the core's matching."""
        return Pump(
            self.journal,
            store,
            self._normalise,
            match or self.match,
            now=lambda: self.now,
            worker=self.worker,
            policy=self._policy,
            **more,
        )

    def match(self, execution: Execution, candidates: Sequence[Alert], **now: Any) -> Match:
        """Match as the tracker does."""
        early = timedelta(seconds=120)
        return match_execution(execution, candidates, early_fill=early, names=self.names, **now)

    def stop(self) -> None:
        """Close the files, so that only what was committed counts."""
        self.worker.shutdown()
        self.journal.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _normalise(self, frame: Frame) -> BrokerFact:
        return self.facts[int(frame.fields[1])]

    def write(self, alerts: Records) -> None:
        """Write alerts.json as its other program does."""
        self.alerts_path.write_text(json.dumps(alerts, indent=2))

    def tell(self, *facts: BrokerFact, after: float = 1.0) -> None:
        """Journal facts as one packet, and pump."""
        self.append(*facts, after=after)
        self.run_pump()

    def append(self, *facts: BrokerFact, after: float = 1.0) -> None:
        """Journal facts as one packet."""
        self.journal.append(1, *self._packet(facts, after))

    def take(self, *facts: BrokerFact, after: float = 1.0) -> None:
        """Have the pump take facts as one packet, as they come from the session."""
        self.pump.append(1, *self._packet(facts, after))

    def _packet(self, facts: Sequence[BrokerFact], after: float) -> tuple[datetime, Arriving]:
        self.now += timedelta(seconds=after)
        frames = [(Source.BROKER, ("fact", str(len(self.facts) + at))) for at in range(len(facts))]
        self.facts += facts
        return self.now, frames

    def note(self, source: Source, *fields: str, after: float = 1.0) -> None:
        """Journal a note of our own, and pump."""
        self.now += timedelta(seconds=after)
        self.journal.append(1, self.now, [(source, fields)])
        self.run_pump()

    def list_positions(self, *rows: Position) -> None:
        """Sweep without a fill, ask for positions, and have the broker list these."""
        self.note(Source.SENT, "executions", "900", ACCOUNT)
        self.tell(End(EndOf.EXECUTIONS, 900))
        self.note(Source.LINK, "proof", "900", "complete")
        self.note(Source.SENT, "positions")
        self.tell(*rows, End(EndOf.POSITIONS, -1))

    def run_pump(self) -> None:
        asyncio.run(self.pump.pump())

    def change(self, edit: Callable[[Records], object]) -> None:
        """Change alerts.json as its other program does, and let the pump see it."""
        alerts = json.loads(self.alerts_path.read_text())
        edit(alerts)
        self.write(alerts)
        self.now += timedelta(seconds=1)
        self.run_pump()

    def context(self) -> QueryContext:
        return wiring.query_context(self.settings, self.store, self.names)

    def store_now(self) -> StoreNow:
        return self.context().store_now()

    def booked(self, exec_id: str, account: str = ACCOUNT) -> BookedExecution:
        row = self.journal.state.get(EXECUTIONS, f"{account} {exec_id}")
        assert row is not None
        return row


SETTINGS = """
[gateway]
timezone = "UTC"
[stores]
alerts = "alerts.json"
contracts = "alerter_contracts.json"
stocks = "alerter_stocks.json"
journal = "journal.db"
timezone = "UTC"
[status]
token_file = "status.token"
"""


def at(text: str) -> datetime:
    """Return an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def buy(number: int, quantity: int, *, contract: Contract | None = None, **changes: Any) -> Execution:
    """Return a fill `number` seconds after START, of an order of its own."""
    given = {} if contract is None else {"contract": contract}
    return execution(
        f"0000e0d5.{number:08x}.01.01", quantity, at=number, **{"perm_id": 188 + number, **given, **changes}
    )
