"""Live a scenario: `tracker paper` plays it, the tracker watches, and the gateway's own book judges.

Owns what is told of it, as it happens, and the wait until both have come to rest.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracker.clock import now
from tracker.demo.checks import differences, judge, news
from tracker.demo.expectations import Broker, Held, alerts_for, expected, stores_for
from tracker.demo.morning_script import AlertName
from tracker.demo.processes import LOOK_SECONDS, START_SECONDS, DemoProcesses
from tracker.demo.report import Flat, ReportText, RunOutcome, ShownAlert
from tracker.paper.scenario import Scenario
from tracker.paper.service import shipped_scenarios

REST_SECONDS: Final = 30.0
"""The most that the alerts may take to show the gateway's book once the scenario is over."""
MOST_SWEEPS: Final = 8
"""After so many complete answers of the broker an alert that disagrees is no longer late."""
SWEEP_SECONDS: Final = 5.0
"""The most to wait for another sweep at the end; where answers never end, there is none."""
_BOOK: Final = {"do": "book"}
_OVER: Final = "the scenario is over"


class Played(NamedTuple):
    """Hold a scenario with what it was called on the command line, and the gateway's seed."""

    scenario: Scenario
    name: str
    seed: int

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options of `tracker paper`, which runs in another folder."""
        file = self.name if self.name in shipped_scenarios() else str(Path(self.name).resolve())
        return ("--scenario", file, "--seed", str(self.seed))


class ScenarioPlay:
    """Live one scenario on a stage, and tell it as it happens."""

    def __init__(self, stage: DemoProcesses, played: Played, outcome: RunOutcome, words: ReportText) -> None:
        self._stage = stage
        self._played = played
        self._outcome = outcome
        self._words = words
        self._stores: dict[str, str] = {}
        self._alerts: dict[AlertName, int] = {}
        self._before: tuple[Held, ...] = ()
        self._broker = Broker((), {})
        self._shown: dict[AlertName, Flat] = {}
        self._read = 0
        """How many lines of the gateway were told."""
        self._events = iter(played.scenario.events)

    async def run(self) -> None:
        """Live it, and wait until the alerts show what the gateway's book says. Raises Trouble."""
        stage, gateway = self._stage, self._played.scenario.gateway
        await stage.open_gateway(*self._played.options)
        book = await stage.control(_BOOK)
        contracts = book["contracts"]
        self._alerts = alerts_for(contracts)
        self._before = tuple(self._held(contracts, (await stage.control({"do": "status"}))["accounts"]))
        self._stores = stores_for(contracts, now())
        await stage.open_tracker(self._stores, gateway.zone or "US/Eastern")
        stage.file.look()
        self._shown = {alert: news(stage.file, alert) for alert in self._alerts}
        self._words.begin(stage.gateway_port, stage.folder, [alert.title for alert in self._alerts])
        most = float(self._played.scenario.events[-1].at) + 2 * START_SECONDS
        await stage.until(self._over, "the scenario is over", most, LOOK_SECONDS)
        await self._come_to_rest()

    def judge(self) -> None:
        """Compare every alert with the gateway's book."""
        if self._stores:
            judge(self._outcome, self._stage.file, self._stores, self._expected())

    async def _come_to_rest(self) -> None:
        """Wait until the alerts agree with the book, and still do after two more sweeps."""
        stage = self._stage
        deadline = time.monotonic() + REST_SECONDS
        # Not the first moment at which they agree: what a sweep brings next may be in doubt for seconds.
        await self._two_sweeps()
        for _ in range(MOST_SWEEPS):
            # Fees may still be coming.
            self._broker = Broker.read(await stage.control(_BOOK))
            await stage.waits(self._agrees_or(stage.swept()), deadline - time.monotonic())
            if self._agrees():
                break
        await self._two_sweeps()
        await stage.waits(self._delivered, SWEEP_SECONDS)
        self._broker = Broker.read(await stage.control(_BOOK))
        self._tell()
        self._words.line()

    async def _two_sweeps(self) -> None:
        """Wait until two more answers ended: the second was asked for after now."""
        for _ in range(2):
            await self._stage.waits(self._stage.swept(), SWEEP_SECONDS)

    def _over(self) -> bool:
        self._tell()
        return _OVER in self._stage.told

    def _agrees(self) -> bool:
        self._tell()
        return not any(
            differences(wanted, news(self._stage.file, alert)) for alert, wanted in self._expected().items()
        )

    def _agrees_or(self, swept: Callable[[], bool]) -> Callable[[], bool]:
        return lambda: self._agrees() or swept()

    def _delivered(self) -> bool:
        status = self._stage.status()
        return bool(status) and not status["store"]["undelivered"]

    def _tell(self) -> None:
        """Tell what the gateway did since, then what changed in the file."""
        lines = self._stage.told[self._read :]
        self._read += len(lines)
        for line in lines:
            if re.match(r"[\d.]+ s: ", line):
                self._show(ShownAlert(now(), next(self._events).do, line, "", None, {}, {}, None))
        self._stage.file.look()
        for alert in self._alerts:
            shown, before = news(self._stage.file, alert), self._shown[alert]
            if shown != before:
                self._shown[alert] = shown
                self._show(ShownAlert(now(), "file", str(alert), "", alert, before, shown, None))

    def _show(self, shown: ShownAlert) -> None:
        self._outcome.events.append(shown)
        self._words.event(shown)

    def _expected(self) -> dict[AlertName, Flat]:
        # The tracker of the demo is client 0, which hears of everybody's fees only as the master.
        fees = self._played.scenario.gateway.master_client_id in (None, 0)
        return {
            alert: expected(self._broker, con_id, self._before, news(self._stage.file, alert), fees=fees)
            for alert, con_id in self._alerts.items()
        }

    def _held(self, contracts: dict[str, Any], accounts: list[str]) -> Iterator[Held]:
        for values in self._played.scenario.positions:
            account = str(values.get("account") or accounts[0])
            con_id = contracts[str(values["contract"])]["con_id"]
            yield Held(account, con_id, Decimal(str(values["quantity"])))
