"""A folder with journal and stores, into which the gateway's messages and Flex reports come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from tests.support.answer_rig import SETTINGS, record
from tests.support.flex_report import ACCOUNT, write_report
from tracker import wiring
from tracker.config.loader import load
from tracker.core.alert_updates import ClosingPolicy
from tracker.core.journal_entries import Arriving, ExecutionsAsked, LinkUp, PositionsAsked, SweepChecked
from tracker.core.matching import match_execution
from tracker.core.model import Moment, Source
from tracker.core.state import EXECUTIONS, GAPS, HOLDINGS
from tracker.core.state_rows import Gap
from tracker.gateway.decode import fact_of
from tracker.gateway.flex import read_report
from tracker.journal.journal import Journal
from tracker.pipeline.pump import Pump
from tracker.reconcile.flex_import import FlexImport, FlexImporter

NEW_YORK = ZoneInfo("America/New_York")
CON_ID = 700100200
OPENING = datetime(2025, 11, 18, 14, 31, tzinfo=UTC)
"""Before all fills: no answer about positions that is asked now contains them."""
IMPORTED = datetime(2025, 11, 20, 12, tzinfo=UTC)
"""When the first import is made."""
CREATED = "2025-11-18T15:30:00"


class FlexDesk:
    """Hold one alert about the contract of `flex_report.trade`, and what is said about it."""

    def __init__(
        self, folder: Path, *, created: str = CREATED, zone: tzinfo = NEW_YORK, began: datetime = IMPORTED
    ) -> None:
        self.folder = folder
        self._alerts = folder / "alerts.json"
        self._alerts.write_text(
            json.dumps({"robindahood-alerts": {"NVDA": record(created_at=created)}}, indent=2)
        )
        (folder / "settings.toml").write_text(SETTINGS)
        self._settings = load({}, str(folder / "settings.toml"))
        self._names = wiring.names_of(self._settings)
        self._zone = zone
        self._now = began
        self._sweeps = 899
        self._worker = ThreadPoolExecutor(1)
        self.journal = Journal(folder / "journal.db")
        self._store = wiring.alert_stores(self._settings, self._names)
        self._pump = Pump(
            self.journal,
            self._store,
            partial(fact_of, login_zone=NEW_YORK),
            partial(match_execution, early_fill=timedelta(minutes=2), names=self._names),
            now=lambda: self._now,
            worker=self._worker,
            policy=ClosingPolicy.MARK,
            names=self._names,
            zone=zone,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._worker.shutdown()
        self.journal.close()
        self._store.close()

    def append(self, *frames: Arriving) -> None:
        """Journal frames as one packet, and have them decided and written."""
        self._now += timedelta(seconds=1)
        self.journal.append(1, self._now, list(frames))
        asyncio.run(self._pump.pump())

    def connect(self, held: int = 0) -> None:
        """Connect, sweep without a fill, and answer which position the broker has."""
        fields = f"61|3|{ACCOUNT}|{CON_ID}|NVDA|OPT|20251121|122.5|C|100||USD|NVDA  251121C00122500|NVDA"
        rows = [(Source.BROKER, tuple(f"{fields}|{held}|2.51".split("|")))] if held else []
        # An answer that lacks every position of an account is not certain.
        other = f"61|3|{ACCOUNT}|756733|SPY|STK||0||||USD|SPY|SPY|1|600"
        rows.append((Source.BROKER, tuple(other.split("|"))))
        end = (Source.BROKER, ("62", "1"))
        self.append(LinkUp((ACCOUNT,), "176").arriving, *self._swept())
        self.append(PositionsAsked().arriving, *rows, end)

    def pass_days(self) -> None:
        """Let the days until the import go by; a sweep just before and one just after its end proves each."""
        while self._now < IMPORTED:
            next_day = self._now.astimezone(self._zone).date() + timedelta(days=1)
            midnight = datetime.combine(next_day, time(), self._zone).astimezone(UTC)
            if midnight > IMPORTED:
                self._now = IMPORTED
                return
            for seconds in (-10, 1):
                self._now = midnight + timedelta(seconds=seconds)
                self.append(*self._swept())

    def _swept(self) -> list[Arriving]:
        """Return a sweep that ends without a fill."""
        self._sweeps += 1
        return [
            ExecutionsAsked(self._sweeps, ACCOUNT).arriving,
            (Source.BROKER, ("55", "1", str(self._sweeps))),
            SweepChecked.of(self._sweeps, 0).arriving,
        ]

    def bought(
        self,
        exec_id: str,
        quantity: int = 4,
        *,
        perm_id: int = 188,
        clock: str = "10:43:10",
        day: date = date(2025, 11, 18),
        fee: str = "2.6",
    ) -> None:
        """Tell a fill as the gateway does, and its fee unless it is empty; a negative quantity was sold."""
        side = "BOT" if quantity > 0 else "SLD"
        head = f"11|-1|7|{CON_ID}|NVDA|OPT|20251121|122.5|C|100|CBOE|USD|NVDA  251121C00122500|NVDA|{exec_id}"
        tail = f"{day:%Y%m%d} {clock} US/Eastern|{ACCOUNT}|CBOE|{side}|{abs(quantity)}|2.51|{perm_id}|5|0"
        fill = f"{head}|{tail}|{abs(quantity)}|2.51|||||2"
        report = f"59|1|{exec_id}|{fee}|USD|1.7976931348623157E308|1.7976931348623157E308|"
        told = (fill, report) if fee else (fill,)
        self.append(*[(Source.BROKER, tuple(text.split("|"))) for text in told])

    def gap(self, day: date) -> None:
        """Leave a day unproven."""
        self.pass_days()
        with self.journal.step():
            self.journal.state.put(GAPS, Gap(day, Moment(self._now, 1)))

    def importer(self, *statements: str) -> FlexImporter:
        """Return the import of a report of these statements, not yet made."""
        self.pass_days()
        report = read_report(write_report(self.folder / "flex.xml", *statements))
        return FlexImporter(self.journal, report, self._zone)

    def plan(self, *statements: str) -> FlexImport:
        """Return what an import of a report of these statements would bring."""
        return self.importer(*statements).planned()

    def take_in(self, *statements: str) -> FlexImport:
        """Import a report of these statements."""
        importer = self.importer(*statements)
        for frames in importer.batches():
            if frames:
                self.append(*frames)
        return importer.result

    def shown(self) -> Mapping[str, Any]:
        """Return the alert as its file shows it."""
        found: Mapping[str, Any] = json.loads(self._alerts.read_text())["robindahood-alerts"]["NVDA"]
        return found

    def held(self) -> Sequence[Any]:
        """Return whether the alert is open, how much it shows, and what the account holds of the contract."""
        shown = self.shown()
        holding = self.journal.state.get(HOLDINGS, f"{ACCOUNT} {CON_ID}")
        quantity = shown.get("position", {}).get("quantity", 0)
        return shown["open"], quantity, int(holding.held) if holding is not None else 0

    def text(self) -> str:
        """Return the whole alert file."""
        return self._alerts.read_text()

    def in_force(self) -> list[tuple[str, int]]:
        """Return the executions that count, with their quantities."""
        rows = self.journal.state.every(EXECUTIONS)
        return sorted((row.execution.exec_id, int(row.execution.quantity)) for row in rows if row.counted)
