"""Play a scenario: `tracker paper` plays it, the tracker watches, the gateway's own book is the truth.

Owns what is reported while the scenario runs, and the wait until the alerts agree with the book.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracker.clock import now
from tracker.demo.checks import differences, judge, tracker_keys
from tracker.demo.expectations import GatewayBook, OpeningPosition, alerts_for, expected, stores_for
from tracker.demo.morning_script import AlertName
from tracker.demo.processes import LOOK_SECONDS, START_SECONDS, DemoProcesses
from tracker.demo.report import Flat, RunOutcome, ShownAlert, TextReport
from tracker.paper.scenario import Scenario
from tracker.paper.service import DEFAULT_ZONE, shipped_scenarios

REST_SECONDS: Final = 30.0
"""Seconds that the alerts may take to show the gateway's book after the scenario has ended."""
ADJUSTMENT_SECONDS: Final = 360.0
"""The same where a position shrank without an execution: the tracker asks again for up to five minutes."""
MOST_SWEEPS: Final = 8
"""The number of complete answers of the broker after which an alert that disagrees is wrong, not late."""
SWEEP_SECONDS: Final = 5.0
"""The longest time in seconds to wait for another sweep at the end; where answers never end, there is
none.
"""
_BOOK: Final = {"do": "book"}
_OVER: Final = "the scenario is over"


class ScenarioChoice(NamedTuple):
    """Hold a scenario, its name on the command line, and the gateway's seed."""

    scenario: Scenario
    name: str
    seed: int

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options of `tracker paper`, which runs in another folder."""
        file = self.name if self.name in shipped_scenarios() else str(Path(self.name).resolve())
        return ("--scenario", file, "--seed", str(self.seed))


class ScenarioRun:
    """Play one scenario, and report it as it happens."""

    def __init__(
        self, processes: DemoProcesses, choice: ScenarioChoice, outcome: RunOutcome, report: TextReport
    ) -> None:
        self._processes = processes
        self._choice = choice
        self._outcome = outcome
        self._report = report
        self._stores: dict[str, str] = {}
        self._alerts: dict[AlertName, int] = {}
        self._before: tuple[OpeningPosition, ...] = ()
        self._book = GatewayBook((), {})
        self._shown: dict[AlertName, Flat] = {}
        self._read = 0
        """How many lines of the gateway were reported."""
        self._zone = choice.scenario.gateway.zone or DEFAULT_ZONE
        self._events = iter(choice.scenario.events)

    async def run(self) -> None:
        """Play it, and wait until the alerts show what the gateway's book says. Raises DemoFailed."""
        processes = self._processes
        await processes.start_gateway(*self._choice.options)
        book = await processes.control(_BOOK)
        contracts = book["contracts"]
        self._alerts = alerts_for(contracts)
        self._before = tuple(self._held(contracts, (await processes.control({"do": "status"}))["accounts"]))
        self._stores = stores_for(contracts, now())
        await processes.start_tracker(self._stores, self._zone)
        processes.file.read()
        self._shown = {alert: tracker_keys(processes.file, alert) for alert in self._alerts}
        self._report.begin(processes.gateway_port, self._outcome, [alert.title for alert in self._alerts])
        most = float(self._choice.scenario.events[-1].at) + 2 * START_SECONDS
        await processes.until(self._over, "the scenario is over", most, LOOK_SECONDS)
        await self._settle()

    def judge(self) -> None:
        """Compare every alert with the gateway's book."""
        if self._stores:
            judge(self._outcome, self._processes.file, self._stores, self._expected())

    async def _settle(self) -> None:
        """Wait until the alerts agree with the book, and still do after two more sweeps."""
        processes = self._processes
        self._book = await self._read_book()
        shrank = any(not one.grew for one in self._book.adjustments)
        deadline = time.monotonic() + (ADJUSTMENT_SECONDS if shrank else REST_SECONDS)
        sweeps = 0
        # The first moment of agreement is not enough: what the next sweep brings may be unconfirmed for
        # seconds.
        await self._wait_for_two_sweeps()
        while shrank or sweeps < MOST_SWEEPS:
            sweeps += 1
            # Fees may still be coming.
            self._book = await self._read_book()
            await processes.wait_for(self._agrees_or(processes.next_sweep()), deadline - time.monotonic())
            if self._agrees() or time.monotonic() > deadline:
                break
        await self._wait_for_two_sweeps()
        await processes.wait_for(self._delivered, SWEEP_SECONDS)
        self._book = await self._read_book()
        self._report_changes()
        self._report.line()

    async def _read_book(self) -> GatewayBook:
        return GatewayBook.read(await self._processes.control(_BOOK), self._zone)

    async def _wait_for_two_sweeps(self) -> None:
        """Wait until two more answers have ended: the second was surely requested after now."""
        for _ in range(2):
            await self._processes.wait_for(self._processes.next_sweep(), SWEEP_SECONDS)

    def _over(self) -> bool:
        self._report_changes()
        return _OVER in self._processes.gateway_lines

    def _agrees(self) -> bool:
        self._report_changes()
        return not any(
            differences(wanted, tracker_keys(self._processes.file, alert))
            for alert, wanted in self._expected().items()
        )

    def _agrees_or(self, next_sweep: Callable[[], bool]) -> Callable[[], bool]:
        return lambda: self._agrees() or next_sweep()

    def _delivered(self) -> bool:
        status = self._processes.status()
        return bool(status) and not status["store"]["undelivered"]

    def _report_changes(self) -> None:
        """Report what the gateway did since the last time, then what changed in the file."""
        lines = self._processes.gateway_lines[self._read :]
        self._read += len(lines)
        for line in lines:
            if re.match(r"[\d.]+ s: ", line):
                self._show(ShownAlert(now(), next(self._events).do, line, "", None, {}, {}, None))
        self._processes.file.read()
        for alert in self._alerts:
            shown, before = tracker_keys(self._processes.file, alert), self._shown[alert]
            if shown != before:
                self._shown[alert] = shown
                self._show(ShownAlert(now(), "file", str(alert), "", alert, before, shown, None))

    def _show(self, shown: ShownAlert) -> None:
        self._outcome.events.append(shown)
        self._report.event(shown)

    def _expected(self) -> dict[AlertName, Flat]:
        # The demo's tracker is client 0, which receives other clients' fees only as the master.
        fees = self._choice.scenario.gateway.master_client_id in (None, 0)
        file = self._processes.file
        return {
            alert: expected(self._book, con_id, self._before, tracker_keys(file, alert), fees=fees)
            for alert, con_id in self._alerts.items()
        }

    def _held(self, contracts: dict[str, Any], accounts: list[str]) -> Iterator[OpeningPosition]:
        for values in self._choice.scenario.positions:
            account = str(values.get("account") or accounts[0])
            con_id = contracts[str(values["contract"])]["con_id"]
            yield OpeningPosition(account, con_id, Decimal(str(values["quantity"])))
