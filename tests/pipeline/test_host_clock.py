"""The host's clock may be off by an hour, drift and jump: alerts show the same as with a right one.

The alert writer shares the clock, as it runs on the same host; the broker's time is asked for at the login,
hourly and at once after a jump.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.answer_rig import ROBIN, Desk, record
from tests.support.facts import ACCOUNT, BESIDE, NVDA, START, exec_id, execution, position
from tracker.core.model import BrokerTime, Contract, End, EndOf, Source
from tracker.core.ports import AlertStore
from tracker.pipeline.careful_match import MatchAlerts
from tracker.pipeline.pump import Pump

TICKERS: Final = ("NVDA", "TSLA", "AMD")
CONTRACTS: Final = {
    ticker: replace(NVDA, con_id=700 + number, symbol=ticker, local_symbol="", trading_class=ticker)
    for number, ticker in enumerate(TICKERS)
}
HOURLY: Final = timedelta(hours=1)


class Act(NamedTuple):
    """Let `after` seconds pass, then have this happen to a ticker."""

    after: int
    what: str
    """alert, fill, sweep (a fill of half a minute ago that was not pushed), positions."""
    ticker: str
    quantity: int = 0


class Clock(NamedTuple):
    """Describe the host's clock: how far it is ahead, what it gains in a day, and when it was set."""

    ahead: int = 0
    gains: float = 0.0
    jumps: tuple[tuple[int, int], ...] = ()
    """Before which act, and by how many seconds."""

    def shows(self, true: datetime, jumped: int) -> datetime:
        passed = (true - START) / timedelta(days=1)
        return true + timedelta(seconds=self.ahead + jumped + self.gains * passed)


class HostDesk(Desk):
    """Tell a day's acts to a pump on a host with such a clock."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.true = START
        super().__init__(folder, {})
        self.clock = clock
        self.jumped = 0
        self.number = 0
        self.asked = START
        self.broker_held = dict.fromkeys(TICKERS, 0)

    def make_pump(self, store: AlertStore, match: MatchAlerts | None = None, **more: Any) -> Pump:
        """Return a pump that runs by a clock that only runs forward, too."""
        return super().make_pump(store, match, monotonic=lambda: self.true.timestamp(), **more)

    def live(self, acts: Sequence[Act]) -> dict[str, Any]:
        """Live these acts; returns what each alert shows at the end."""
        self.pass_by(0)
        self.note(Source.LINK, "up", ACCOUNT, "176", after=0)
        self.ask_time()
        self.answer()
        for number, act in enumerate(acts):
            self.pass_by(act.after)
            if jump := dict(self.clock.jumps).get(number):
                self.jumped += jump
                self.pass_by(0)
            if jump or self.true - self.asked >= HOURLY:
                self.ask_time()
            self.act(act)
        self.pass_by(60)
        self.answer()
        shown = json.loads(self.alerts_path.read_text()).get(ROBIN, {})
        return {ticker: seen(shown[ticker]) for ticker in sorted(shown)}

    def act(self, act: Act) -> None:
        contract = CONTRACTS[act.ticker]
        if act.what == "alert":
            self.write_alert(act.ticker)
        elif act.what == "positions":
            self.answer()
        else:
            self.trade(contract, act, swept=act.what == "sweep")

    def trade(self, contract: Contract, act: Act, *, swept: bool) -> None:
        self.number += 1
        self.broker_held[act.ticker] += act.quantity
        at = int((self.true - START).total_seconds()) - (30 if swept else 0)
        fill = execution(
            exec_id(self.number), act.quantity, at=at, contract=contract, perm_id=1000 + self.number
        )
        if not swept:
            self.tell(fill, after=0)
            return
        self.sweep(replace(fill, request_id=self.number))

    def sweep(self, *facts: Any) -> None:
        self.note(Source.SENT, "executions", str(self.number), ACCOUNT, after=0)
        self.tell(*facts, End(EndOf.EXECUTIONS, self.number), after=0)
        self.note(Source.LINK, "proof", str(self.number), "complete", after=0)

    def answer(self) -> None:
        """Sweep, then ask for positions with the broker's time just before, and have them answered."""
        self.number += 1
        self.sweep()
        self.note(Source.SENT, "positions", after=0)
        self.ask_time()
        rows = [
            position(held, contract=CONTRACTS[ticker]) for ticker, held in self.broker_held.items() if held
        ]
        self.tell(position(1, contract=BESIDE), *rows, End(EndOf.POSITIONS, -1), after=0)

    def ask_time(self) -> None:
        self.asked = self.true
        self.tell(BrokerTime(self.true.replace(microsecond=0)), after=0)

    def pass_by(self, seconds: float) -> None:
        self.true += timedelta(seconds=seconds)
        self.now = self.clock.shows(self.true, self.jumped)

    def write_alert(self, ticker: str) -> None:
        """Write an alert as the other program does, by this host's clock, and let the pump see it."""
        alerts = json.loads(self.alerts_path.read_text())
        con_id = CONTRACTS[ticker].con_id
        alerts.setdefault(ROBIN, {})[ticker] = record(
            created_at=self.now.astimezone(UTC).replace(tzinfo=None).isoformat(),
            option_conid=con_id,
            option_conids=[con_id],
            alert_details={"ticker": ticker, "strike": "122.5", "side": "C", "expiry": "11/21/2025"},
        )
        self.write(alerts)
        self.run_pump()


def seen(shown: dict[str, Any]) -> Any:
    """Return what an alert shows, but for our own time and the one that it was written at."""
    last = {
        key: value for key, value in (shown.get("last_order_update") or {}).items() if key != "updated_at"
    }
    return shown["open"], shown.get("position"), last


def lived(clock: Clock, acts: Sequence[Act]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, HostDesk(Path(folder), clock) as desk:
        return desk.live(acts)


def _act() -> st.SearchStrategy[Act]:
    trades = st.builds(
        Act,
        st.integers(1, 200),
        st.sampled_from(["fill", "sweep"]),
        st.sampled_from(TICKERS),
        st.sampled_from([4, 2, -2, -4]),
    )
    others = st.builds(
        Act, st.integers(1, 200), st.sampled_from(["alert", "alert", "positions"]), st.sampled_from(TICKERS)
    )
    return trades | others


def _clock() -> st.SearchStrategy[Clock]:
    hour = st.integers(-3600, 3600)
    jumps = st.lists(st.tuples(st.integers(0, 11), hour), max_size=2).map(tuple)
    return st.builds(Clock, hour, st.floats(-8, 8), jumps)


BOUGHT_LATER: Final = (Act(1, "alert", "NVDA"), Act(60, "fill", "NVDA", 4))
BOUGHT_BEFORE: Final = (Act(1, "fill", "NVDA", 4), Act(90, "alert", "NVDA"), Act(60, "positions", "NVDA"))


@given(_clock(), st.lists(_act(), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
@example(Clock(ahead=3600), BOUGHT_BEFORE)
@example(Clock(ahead=-3600), BOUGHT_BEFORE)
@example(Clock(jumps=((1, 1800),)), BOUGHT_BEFORE)
@example(Clock(ahead=1800, jumps=((1, -1800),)), BOUGHT_LATER)
@example(Clock(ahead=-1800, jumps=((1, 1800),)), BOUGHT_BEFORE)
def test_wrong_clock_changes_no_alert(clock: Clock, acts: Sequence[Act]) -> None:
    assert lived(clock, acts) == lived(Clock(), acts)


def test_alert_written_before_the_setting_of_the_clock_is_noticed(tmp_path: Path) -> None:
    """An hour forward: until the broker's time is asked the alert looks an hour younger than the fill."""
    with HostDesk(tmp_path, Clock()) as desk:
        desk.pass_by(0)
        desk.note(Source.LINK, "up", ACCOUNT, "176", after=0)
        desk.ask_time()
        desk.answer()
        desk.act(Act(0, "fill", "NVDA", 4))
        desk.pass_by(20)
        desk.jumped = 3600
        desk.pass_by(0)
        desk.write_alert("NVDA")
        assert not shown_of(desk)["open"]
        desk.ask_time()
        assert shown_of(desk)["position"]["quantity"] == 4


def shown_of(desk: HostDesk) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(desk.alerts_path.read_text())[ROBIN]["NVDA"]
    return shown
