"""Hand-worked days of what an alert shows, and of when the tracker looks through the stores.

Written where a comparison with the tracker showed that the oracle had read the rules page too narrowly.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from tests.sim.rules_oracle import facts as f
from tests.support.oracle_day import ACC, ACC2, C95, C100, NOON, A, B, Day, alert, shows

BOTH = {"real-day-trading": {"TSLA": alert(C95)}, "robindahood-alerts": {"TSLA": alert(C100)}}


def test_each_account_keeps_its_average() -> None:
    """10 @ 1 in one account, 2 @ 7 in another: (10 + 14) / 12; without the first account 7 is left."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 10, 1)
    day.fill(C95, 2, 7, account=ACC2)
    assert day.right().alert(A).avg_price == 2
    day.fill(C95, -10, 3)
    assert day.right().alert(A).avg_price == 7
    assert day.right().alert(A).opened_at == NOON + timedelta(seconds=1)


def test_accounts_closed_in_one_second() -> None:
    """Both were sold at noon: the one whose sale has the later execId shows last, in any order of arrival."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 1, 7, at=-20, account=ACC2)
    day.fill(C95, 1, 2, at=-10)
    day.fill(C95, -1, 3, at=0, exec_id="0000e0d5.00000009.01.01")
    day.fill(C95, -1, 3, at=-1, exec_id="0000e0d5.00000008.01.01", account=ACC2)
    assert day.right().alert(A).avg_price == 2


def test_successor_keeps_opening_time() -> None:
    """Bought 3 at noon, 2 a second later, sold 3: still opened at noon, also under a new created_at."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3)
    day.fill(C95, 2)
    day.fill(C95, -3)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    shows(day, A, 2)
    assert day.right().alert(A).opened_at == NOON


def test_given_away_whole_is_not_closed() -> None:
    """The other alert has it all: there was no position here, so `remove` takes nothing out."""
    day = Day(BOTH, policy="remove")
    bought = day.fill(C95, 3)
    day.decide("assign", bought, B)
    shows(day, B, 3)
    one = day.right().alert(A)
    assert one.quantity == 0
    assert (one.opened_at, one.closed_at, one.avg_price) == (None, None, None)
    assert not one.removed


def test_given_away_rest_is_closed() -> None:
    """A part had been sold: that position was, and is over."""
    day = Day(BOTH, policy="remove")
    bought = day.fill(C95, 3)
    day.fill(C95, -1)
    day.decide("assign", bought, B)
    assert day.right().alert(A).closed_at is not None
    assert day.right().alert(A).removed


def test_void_alone_is_no_position() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}}, policy="remove")
    bought = day.fill(C95, 3)
    day.correct(bought, 0)
    one = day.right().alert(A)
    assert one.quantity == 0
    assert (one.opened_at, one.closed_at, one.removed) == (None, None, False)


def test_given_away_lot_leaves_average() -> None:
    """1 @ 1 and 9 @ 8; the second order goes to another alert: what is left cost 1."""
    day = Day(BOTH)
    day.fill(C95, 1, 1)
    second = day.fill(C95, 9, 8)
    day.decide("assign", second, B)
    one = day.right().alert(A)
    assert one.quantity == 1
    assert one.avg_price == 1
    day = Day(BOTH)
    first = day.fill(C95, 1, 1)
    day.fill(C95, 9, 8)
    day.decide("assign", first, B)
    assert day.right().alert(A).opened_at == NOON + timedelta(seconds=1)


def test_sale_in_second_of_creation() -> None:
    """Swept: 8 bought before the alert, 5 sold in the second of its creation: it had 8, and has 3."""
    day = Day({"real-day-trading": {}})
    created = (NOON + timedelta(microseconds=3)).replace(tzinfo=None).isoformat(timespec="microseconds")
    day.read({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    day.fill(C95, 3, 4, at=-10, live=False)
    day.fill(C95, 5, 8, at=-10, live=False)
    day.fill(C95, -5, 9, at=-2, live=False)
    shows(day, A, 3)
    assert day.right().alert(A).avg_price == Decimal("6.5")
    assert day.right().alert(A).opened_at == NOON - timedelta(seconds=10)


def test_look_comes_behind_what_waited() -> None:
    """A sale was on its way when the alert was read: it is booked before the late match is made."""
    day = Day({"real-day-trading": {}})
    day.fill(C95, 3)
    records = {"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}}
    day.add(f.StoreRead(day.now, records, looked=False))
    day.fill(C95, -3)
    day.add(f.LookedAgain(day.now))
    shows(day, A, None)


def test_noted_look_finds_nothing_more() -> None:
    """A process noted that A is gone, and ended; the next one finds a re-alert behind a sale."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}}, looks_are_told=True)
    day.fill(C95, 3)
    day.add(f.StoreRead(day.now, {}, looked=False))
    day.add(f.LookNoted(day.now))
    day.add(f.Stopped(day.now, killed=True))
    day.add(f.Started(day.now))
    records = {"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}}
    day.add(f.StoreRead(day.now, records, looked=False))
    day.add(f.LookedAgain(day.now, rematch=True, noted=True))
    day.fill(C95, -3)
    day.add(f.LookedAgain(day.now, rematch=True))
    shows(day, A, None)
    assert day.right().alert(A, "2026-11-18T11:00:00").closed_at is not None


def test_opening_is_told_from_outside() -> None:
    """5 were held before: selling 3 of them opens no short."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.add(f.OpeningTold(day.now, ACC, C95.con_id, Decimal(5)))
    day.fill(C95, -3)
    assert day.right().positions[ACC, C95.con_id] == 2
    shows(day, A, None)


def test_assignment_means_record_of_its_time() -> None:
    """The record that was meant is gone when the assignment is handled; another one has its name."""
    first = alert(C100)
    day = Day({"real-day-trading": {"TSLA": first}})
    bought = day.fill(C95, 2)
    day.read({"real-day-trading": {"TSLA": alert(None, created=day.ago(0))}})
    day.add(f.PersonDecided(day.now, "assign", bought, A, first["created_at"]))
    assert [orphan.created_at for orphan in day.right().orphans] == [first["created_at"]]
    assert not day.right().alert(A).shown
