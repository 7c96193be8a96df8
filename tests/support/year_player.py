"""Play a worked year beside the tracker's journal, pump and stores, with a clock of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from tests.support.answer_rig import SETTINGS
from tests.support.flex_report import ACCOUNT, write_report
from tests.support.worked_year import CONTRACTS, Line, lines, ratio
from tests.support.year_broker import NEW_YORK, YearBroker
from tracker import wiring
from tracker.config.loader import load
from tracker.core.adjustment_rows import SPLIT
from tracker.core.alert_updates import ClosingPolicy
from tracker.core.journal_entries import (
    AdjustmentTold,
    Arriving,
    ExecutionsAsked,
    Fields,
    LinkDown,
    LinkUp,
    PositionsAsked,
    SweepChecked,
)
from tracker.core.matching import match_execution
from tracker.core.model import Source
from tracker.core.state import GAPS, HOLDINGS
from tracker.gateway.decode import fact_of
from tracker.gateway.dedup import Deduplicator
from tracker.gateway.flex import read_report
from tracker.journal.journal import Journal
from tracker.pipeline.pump import Pump
from tracker.reconcile.flex_import import FlexImporter

MORNING: Final = time(8)
NIGHT: Final = time(23, 57)
"""When a tracker that runs asks the broker for everything; at night the answer comes after midnight, which
proves the day."""
QUIET: Final = timedelta(days=3)
"""So long after the last line of the year it asks at night alone, which costs the test half the time."""


class Way(Enum):
    """How the tracker learns of the year."""

    LIVE = "live"
    """It runs all year but for three days, of which it has the report."""
    COLD = "cold"
    """It never connects; it has each month's report on the morning after."""
    MIXED = "mixed"
    """It runs in every other month, and has each month's report as well."""
    LATE = "late"
    """It begins after the year, sees what the broker holds then, and has one report of all of it."""


class YearPlayer:
    """Hold the broker, the alert writer and the tracker; `played` is the month that was played last."""

    def __init__(self, folder: Path, way: Way) -> None:
        self._folder = folder
        self._way = way
        self._broker = YearBroker()
        self._alerts = folder / "alerts.json"
        self._alerts.write_text("{}")
        (folder / "settings.toml").write_text(SETTINGS)
        settings = load({}, str(folder / "settings.toml"))
        names = wiring.names_of(settings)
        self._now = datetime(2025, 1, 1, 7, tzinfo=NEW_YORK)
        self._worker = ThreadPoolExecutor(1)
        self.journal = Journal(folder / "journal.db")
        self._store = wiring.alert_stores(settings, names)
        self._pump = Pump(
            self.journal,
            self._store,
            partial(fact_of, login_zone=NEW_YORK),
            partial(match_execution, early_fill=timedelta(minutes=2), names=names),
            now=lambda: self._now.astimezone(UTC),
            worker=self._worker,
            policy=ClosingPolicy.MARK,
            names=names,
            zone=NEW_YORK,
        )
        self._running = False
        self._requests = 900
        self._missed: tuple[date, date] | None = None
        """The trade dates of a downtime, while their report is not imported."""
        self._lines = lines()
        self._last_line = self._now.date()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._worker.shutdown()
        self.journal.close()
        self._store.close()

    def play(self, month: int) -> None:
        """Play a month, and the morning of the next one."""
        day = date(2025, month, 1)
        self._begin_month(day)
        while day.month == month:
            self._play_day(day)
            day += timedelta(days=1)
        self._go_to(day, MORNING)
        self._routine()
        if self._way in (Way.COLD, Way.MIXED):
            self._take_in(self._broker.month(month))

    def begin_late(self) -> None:
        """Start after the year, look at what the broker holds, and import the report of all of it."""
        self._start()
        self._now += timedelta(minutes=1)
        self._routine()
        self._take_in(self._broker.statement(date(2025, 1, 1), date(2025, 12, 31)))
        self._now += timedelta(minutes=1)
        self._routine()

    def shown(self) -> dict[str, str]:
        """Return what each alert shows, as the year's table writes it."""
        found = json.loads(self._alerts.read_text())
        return {
            f"{alerter}/{ticker}": _shown(record)
            for alerter, records in found.items()
            for ticker, record in records.items()
        }

    def held(self) -> dict[str, Decimal]:
        """Return what the tracker says is held, by the name of the contract, where it is anything."""
        rows = {row.contract.con_id: row.held for row in self.journal.state.every(HOLDINGS)}
        return {name: rows[one.con_id] for name, one in CONTRACTS.items() if rows.get(one.con_id)}

    def truth(self) -> dict[str, Decimal]:
        """Return the same of the broker, but for what was held before and never traded."""
        return {name: many for name, many in self._broker.positions.items() if many and name != "SPY"}

    def gaps(self) -> dict[str, str]:
        """Return each day that was not proven, with what closed its gap."""
        return {gap.day.isoformat(): gap.closed_how for gap in self.journal.state.every(GAPS)}

    def closed_by(self, alerter: str, ticker: str) -> str | None:
        """Return by what an alert was closed."""
        found: str | None = json.loads(self._alerts.read_text())[alerter][ticker]["position"].get("closed_by")
        return found

    # The days

    def _begin_month(self, day: date) -> None:
        runs = self._way is Way.LIVE or (self._way is Way.MIXED and day.month % 2 == 1)
        self._go_to(day, time(0, 10))
        if runs and not self._running:
            self._start()
        elif not runs and self._running:
            self._stop()

    def _play_day(self, day: date) -> None:
        waiting = [line for line in self._lines if line.at.startswith(day.isoformat())]
        for clock in (MORNING, NIGHT):
            due = [line for line in waiting if datetime.fromisoformat(line.at).time() < clock]
            for line in due:
                self._go_to(day, datetime.fromisoformat(line.at).time())
                self._happens(line)
                waiting.remove(line)
            self._go_to(day, clock)
            if clock is NIGHT or day - self._last_line <= QUIET:
                self._routine()
        for line in waiting:
            self._go_to(day, datetime.fromisoformat(line.at).time())
            self._happens(line)

    def _go_to(self, day: date, clock: time) -> None:
        self._now = datetime.combine(day, clock, NEW_YORK)

    def _happens(self, line: Line) -> None:
        """Have a line of the year happen, and the gateway push what it pushes."""
        self._last_line = self._now.date()
        words, broker, at = line.words, self._broker, self._now
        pushed: Sequence[Fields] = ()
        match line.verb:
            case "alert":
                self._write_alert(*words)
            case "buy" | "sell":
                many, name, _, price, *reference = words
                signed = Decimal(many) * (1 if line.verb == "buy" else -1)
                pushed = broker.trade(at, signed, name, price, reference[1] if reference else "")
            case "bust":
                pushed = broker.bust(at, *words)
            case "rebook":
                pushed = broker.rebook(at, *words)
            case "split":
                pushed = broker.split(at, *words)
            case "becomes":
                pushed = broker.becomes(at, *words)
            case "transfer":
                pushed = broker.transfer(at, Decimal(words[0]), words[1])
            case "assign":
                pushed = broker.assign(at, Decimal(words[0]), *words[1:])
            case "expire":
                pushed = broker.expire(at, *words)
            case "told":
                self._tell(*words)
            case "stop":
                self._stop()
            case "start":
                self._start_again()
            case _:
                raise AssertionError(f"{line.verb} is no verb of the year")
        if self._running and pushed:
            self._append(*[(Source.BROKER, fields) for fields in pushed])

    def _write_alert(self, alerter: str, ticker: str, name: str) -> None:
        """Write the record as its program does: the whole file, and the other records as they are."""
        contract = CONTRACTS[name]
        details: dict[str, Any] = {"ticker": ticker, "is_bullish": True}
        con_ids = []
        if contract.strike is not None:
            con_ids = [contract.con_id]
            day = date.fromisoformat(contract.expiry)
            details |= {"strike": str(contract.strike), "side": contract.right, "expiry": f"{day:%m/%d/%Y}"}
        alerts = json.loads(self._alerts.read_text())
        alerts.setdefault(alerter, {})[ticker] = {
            "open": False,
            "created_at": self._now.astimezone(UTC).replace(tzinfo=None).isoformat(),
            "option_conids": con_ids,
            "option_conid": next(iter(con_ids), None),
            "sentiment": "bullish",
            "conid": 1,
            "alert_details": details,
        }
        self._alerts.write_text(json.dumps(alerts, indent=2))
        asyncio.run(self._pump.pump())

    # The tracker

    def _start_again(self) -> None:
        if self._missed is not None:
            self._missed = (self._missed[0], self._now.date())
            self._start()

    def _start(self) -> None:
        self._running = True
        self._append(LinkUp((ACCOUNT,), "176").arriving)
        self._routine()

    def _stop(self) -> None:
        if self._running:
            self._append(LinkDown("the tracker stops").arriving)
            self._running = False
            self._missed = (self._now.date(), date.max)

    def _routine(self) -> None:
        """Ask the broker for everything, and import the report of a downtime once it can be had."""
        if not self._running:
            return
        self._requests += 1
        known = Deduplicator(self.journal.contains, self.journal.newest_fee)
        sweep = self._broker.sweep(self._now.date(), self._requests)
        self._append(ExecutionsAsked(self._requests, ACCOUNT).arriving)
        self._now += timedelta(minutes=4)
        self._append(
            *[(Source.BROKER, fields) for fields in sweep if known.is_new(fields)],
            SweepChecked.of(self._requests, 0).arriving,
        )
        answer = [(Source.BROKER, fields) for fields in self._broker.positions_answer()]
        self._append(PositionsAsked().arriving, *answer)
        if self._way is Way.LIVE and self._missed is not None and self._now.date() > self._missed[1]:
            self._take_in(self._broker.statement(*self._missed))
            self._missed = None

    def _tell(self, name: str, *words: str) -> None:
        """Say as a person does why a position changed, where the tracker runs."""
        if not self._running:
            return
        into, new = ("", words[0]) if len(words) == 1 else (words[0], words[1])
        goes_on = f"{ACCOUNT} {CONTRACTS[into].con_id}" if into else ""
        key = f"{ACCOUNT} {CONTRACTS[name].con_id}"
        self._append(AdjustmentTold(key, SPLIT, str(ratio(new)), "", goes_on).arriving)

    def _take_in(self, statement: str) -> None:
        report = read_report(write_report(self._folder / "flex.xml", statement))
        for frames in FlexImporter(self.journal, report, NEW_YORK).batches():
            if frames:
                self._append(*frames)

    def _append(self, *frames: Arriving) -> None:
        """Journal frames as one packet, and have them decided and written."""
        self._now += timedelta(seconds=1)
        self.journal.append(self.journal.last_connection_no or 1, self._now.astimezone(UTC), list(frames))
        asyncio.run(self._pump.pump())


def _shown(record: Mapping[str, Any]) -> str:
    if not record["open"]:
        return "closed"
    position = record["position"]
    return f"{position['quantity']:g}@{position['avg_price']:g}"
