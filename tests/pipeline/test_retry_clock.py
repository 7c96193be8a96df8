"""How long orders are matched again, and when undated records were first seen."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.fakes import MemoryAlerts
from tests.support.matching_cases import stored
from tracker.core.ownership_rows import FirstSeen, RetryWindow, RunTime
from tracker.core.state import FIRST_SEEN, RUN_TIME, WINDOWS, MemoryLedgerState, Row, Table
from tracker.core.stored_contracts import fill_in
from tracker.pipeline.retry_clock import RetryClock, SeenRecords

RETRY_FOR = timedelta(minutes=15)
EVENING = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
"""18:30 in New York, still in 2025; in Berlin it is 2026 already."""


class Ticker:
    """A clock in seconds that is set by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def started(state: MemoryLedgerState, ticker: Ticker) -> RetryClock:
    return RetryClock(state, monotonic=ticker, retry_for=RETRY_FOR, skew=lambda: timedelta(0))


def keep(state: MemoryLedgerState, clock: RetryClock) -> None:
    """Write what the clock wants kept."""
    for row in clock.to_keep():
        if isinstance(row, RunTime):
            state.put(RUN_TIME, row)
        else:
            state.put(WINDOWS, row)


def test_only_readable_time_counts() -> None:
    """10 s readable, 100 s away, 5 s readable: 15, of which the return itself counts nothing."""
    ticker = Ticker()
    clock = started(MemoryLedgerState(), ticker)
    for seconds, readable in [(0, True), (10, True), (50, False), (50, False), (0, True), (5, True)]:
        ticker.at += seconds
        clock.tick(readable)
    assert clock.ran() == 15


def test_time_since_last_look_counts() -> None:
    """A fill that is booked 60 s after the last look has its whole window left."""
    ticker = Ticker()
    clock = started(MemoryLedgerState(), ticker)
    clock.tick(True)
    ticker.at += 60
    assert clock.ran() == 60
    clock.tick(False)
    assert clock.ran() == 0


def test_backward_clock_takes_nothing_away() -> None:
    ticker = Ticker()
    clock = started(MemoryLedgerState(), ticker)
    clock.tick(True)
    ticker.at -= 500
    clock.tick(True)
    assert clock.ran() == 0


def test_window_goes_on_where_a_process_ended() -> None:
    """600 of 900 s were used up; the tracker is down for a day; 300 s later the window is over."""
    state, ticker = MemoryLedgerState(), Ticker()
    state.put(WINDOWS, RetryWindow("order", 0.0))
    clock = started(state, ticker)
    clock.tick(True)
    ticker.at += 600
    clock.tick(True)
    keep(state, clock)
    ticker.at = 3.0
    again = started(state, ticker)
    again.tick(True)
    ticker.at += 300
    again.tick(True)
    assert list(again.open_orders()) == ["order"]
    ticker.at += 1
    again.tick(True)
    assert list(again.open_orders()) == []
    keep(state, again)
    assert state.values(WINDOWS, "open") == []


def test_only_windows_that_may_be_over_are_read() -> None:
    """A busy day has tens of thousands of open ones.

    These began a minute apart, the last one now: four are over, one is after exactly 15 minutes still open.
    """
    state, ticker = MemoryLedgerState(), Ticker()
    for minute in range(20):
        state.put(WINDOWS, RetryWindow(f"order {minute}", 60.0 * minute))
    clock = started(state, ticker)
    read: list[str] = []
    find = state.find

    def reading(table: Table[Row], index: str, value: str) -> list[Row]:
        rows = find(table, index, value)
        read.extend(row.order for row in rows if isinstance(row, RetryWindow))
        return rows

    state.find = reading  # type: ignore[method-assign]  # watches what is read
    keep(state, clock)
    assert read == [f"order {minute}" for minute in range(5)]
    assert list(clock.open_orders()) == [f"order {minute}" for minute in range(4, 20)]


def test_crash_loses_no_more_than_began_since() -> None:
    """What was kept says 0, but a window began at 40 s: we ran at least that long."""
    state = MemoryLedgerState()
    state.put(WINDOWS, RetryWindow("order", 40.0))
    assert started(state, Ticker()).ran() == 40


def test_time_is_kept_now_and_then() -> None:
    """Not for each look, and not at all while no window is open."""
    state, ticker = MemoryLedgerState(), Ticker()
    clock = started(state, ticker)
    clock.tick(True)
    ticker.at += 60
    clock.tick(True)
    assert clock.to_keep() == []
    state.put(WINDOWS, RetryWindow("order", 60.0))
    assert clock.to_keep() == [RunTime(60.0)]
    ticker.at += 14
    clock.tick(True)
    assert clock.to_keep() == []


def test_full_look_follows_start_and_absence() -> None:
    ticker = Ticker()
    clock = started(MemoryLedgerState(), ticker)
    assert clock.take_full_look()
    clock.tick(True)
    assert clock.take_full_look()
    clock.tick(True)
    assert not clock.full_look_due
    clock.tick(False)
    assert not clock.full_look_due
    clock.tick(True)
    assert clock.full_look_due


def test_full_look_follows_a_setting_of_the_clock() -> None:
    """Below two seconds it is the same setting, since the broker gives whole seconds."""
    skew = timedelta(0)
    clock = RetryClock(MemoryLedgerState(), monotonic=Ticker(), retry_for=RETRY_FOR, skew=lambda: skew)
    clock.tick(True)
    assert clock.take_full_look()
    skew = timedelta(seconds=1.9)
    assert not clock.full_look_due
    skew = timedelta(seconds=-30)
    assert clock.take_full_look()
    assert not clock.full_look_due


def undated(expiry: str | None = None, strike: str | None = None) -> dict[str, Any]:
    details = {"ticker": "NVDA", "side": "C" if strike else None, "strike": strike, "expiry": expiry}
    return {"open": False, "created_at": None, "option_conid": None, "alert_details": details}


class Seen:
    """A store with one record, and what is known of when it was seen."""

    def __init__(self, zone: str = "America/New_York") -> None:
        self.now = EVENING
        self.state = MemoryLedgerState()
        self.store = MemoryAlerts({"demslayer": {}})
        self.records = SeenRecords(self.state, self.store, lambda: self.now, ZoneInfo(zone))

    def read(self, record: dict[str, Any]) -> list[FirstSeen]:
        """Take in the record, and keep when it was seen."""
        self.store.records["demslayer"]["NVDA"] = record
        self.store.refresh()
        return self.keep()

    def keep(self) -> list[FirstSeen]:
        rows = self.records.unseen()
        for row in rows:
            self.state.put(FIRST_SEEN, row)
        return rows

    def began(self) -> datetime | None:
        (alert,) = self.store.alerts()
        return self.records.dated(alert).began_at


def test_undated_record_counts_from_its_first_sight() -> None:
    seen = Seen()
    assert [row.at for row in seen.read(undated("1/2", "95"))] == [EVENING]
    seen.now += timedelta(hours=1)
    assert seen.read(undated("1/2", "95")) == []
    assert seen.began() == EVENING


def test_added_conid_leaves_an_undated_record_itself() -> None:
    """Its contract belongs to its identity, and that is the same with the conid."""
    seen = Seen()
    seen.read(undated("1/2", "95"))
    seen.now += timedelta(minutes=5)
    assert seen.read({**undated("1/2", "95"), "option_conid": 95}) == []
    assert seen.began() == EVENING


@pytest.mark.parametrize(("kept", "con_id", "since"), [(False, None, 0), (True, None, 5), (True, 95, 5)])
def test_respelled_undated_record_was_seen_before(kept: bool, con_id: int | None, since: int) -> None:
    """It is the same alert, unless the other spelling stands beside it, also with another conid by then."""
    seen = Seen()
    seen.read({**undated("1/2", "95"), "created_at": "2025-12-31T18:00"})
    seen.now += timedelta(minutes=5)
    if kept:
        seen.store.records["demslayer"]["NVDA"]["option_conid"] = con_id
    else:
        del seen.store.records["demslayer"]
    seen.store.records["Demslayer"] = {"NVDA": undated("1/2", "95")}
    seen.store.refresh()
    (alert,) = (alert for alert in seen.store.alerts() if alert.id.alerter == "Demslayer")
    assert seen.records.dated(alert).began_at == EVENING + timedelta(minutes=since)
    new = [row.at for row in seen.records.unseen() if row.alert == alert.id]
    assert new == [EVENING + timedelta(minutes=since)]


@pytest.mark.parametrize(("other", "new"), [("DemSlayer", "dem-slayer"), ("dem-slayer", "DemSlayer")])
def test_second_spelling_beside_a_respelled_record_is_new(other: str, new: str) -> None:
    """The record as it was first spelled is gone, and is the one that was respelled, whichever is first."""
    seen = Seen()
    seen.read(undated("1/2", "95"))
    seen.now += timedelta(minutes=5)
    del seen.store.records["demslayer"]
    for name, since in ((other, 0), (new, 10)):
        seen.store.records[name] = {"NVDA": undated("1/2", "95")}
        seen.store.refresh()
        kept = [row.at for row in seen.keep() if row.alert.alerter == name]
        assert kept == [EVENING + timedelta(minutes=since)]
        seen.now += timedelta(minutes=5)


@pytest.mark.parametrize(("kept", "since"), [(True, 10), (False, 0)])
def test_first_spelling_beside_a_respelled_record_is_new(kept: bool, since: int) -> None:
    """Two spellings side by side are two alerts (rule 2.3); if it is respelled back it is the same one.

    Found by seed 5400371634.
    """
    seen = Seen()
    seen.read(undated("1/2", "95"))
    seen.now += timedelta(minutes=5)
    seen.store.records["Demslayer"] = seen.store.records.pop("demslayer")
    seen.store.refresh()
    seen.keep()
    seen.now += timedelta(minutes=5)
    if not kept:
        del seen.store.records["Demslayer"]
    seen.store.records["demslayer"] = {"NVDA": undated("1/2", "95")}
    seen.store.refresh()
    seen.keep()
    (alert,) = (alert for alert in seen.store.alerts() if alert.id.alerter == "demslayer")
    assert seen.records.dated(alert).began_at == EVENING + timedelta(minutes=since)
    assert seen.keep() == []


@pytest.mark.parametrize(("expiry", "strike"), [("1/2", "100"), ("1/9", "95")])
def test_undated_record_of_another_contract_is_new(expiry: str, strike: str) -> None:
    """Also where only the day differs, which names no year: it is read as of the day of its first sight."""
    seen = Seen()
    seen.read(undated("1/2", "95"))
    seen.now += timedelta(minutes=5)
    assert len(seen.read(undated(expiry, strike))) == 1
    assert seen.began() == seen.now


def test_undated_record_that_comes_back_was_seen_before() -> None:
    """Another contract had its name in between."""
    seen = Seen()
    for strike in ("95", "100"):
        seen.read(undated("1/2", strike))
        seen.now += timedelta(minutes=5)
    assert seen.read(undated("1/2", "95")) == []
    assert seen.began() == EVENING


def test_dated_record_is_left_alone() -> None:
    seen = Seen()
    assert seen.read({**undated(), "created_at": "2025-12-30T09:30:00"}) == []
    assert seen.began() == datetime(2025, 12, 30, 9, 30, tzinfo=UTC)


def test_stored_contract_that_had_expired_fills_in_nothing() -> None:
    """Nobody knows when the record was written but by its first sight, on 31 December."""
    seen = Seen()
    seen.read(undated(strike="122.5"))
    (alert,) = seen.store.alerts()
    expired = seen.records.dated(fill_in(alert, [stored(date(2025, 12, 30), con_id=95)]))
    assert (expired.expiry.day, expired.con_ids) == (None, frozenset())
    of_today = seen.records.dated(fill_in(alert, [stored(date(2025, 12, 31), con_id=95)]))
    assert (of_today.expiry.day, of_today.con_ids) == (date(2025, 12, 31), frozenset([95]))


@pytest.mark.parametrize(("zone", "year"), [("America/New_York", 2025), ("Europe/Berlin", 2026)])
def test_date_without_year_counts_from_the_first_sight(zone: str, year: int) -> None:
    """12/31, seen on the evening of that day in New York, when Berlin has the next year."""
    seen = Seen(zone)
    seen.read(undated("12/31", "95"))
    (alert,) = seen.store.alerts()
    assert seen.records.dated(alert).expiry.day == date(year, 12, 31)
