"""Hand-worked days of the rules' oracle: which of several spellings is an alert's own (rules 2.3 and 2.4)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.sim.rules_oracle import facts as f
from tests.sim.rules_oracle.oracle import Oracle
from tests.support.oracle_day import ACC, C95, C100, STK, A, Day, alert, option, seen, shows


def test_spelling_of_an_alert_that_had_nothing_is_the_one_in_which_it_was_matched() -> None:
    """A's order sold what was held before. Respelled, it is replaced by one record of each spelling.

    The order then sells 3 short. Nothing of A was ever shown in its second spelling.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.add(f.OpeningTold(day.now, ACC, C95.con_id, Decimal(5)))
    day.fill(C95, -5, perm=1)
    day.read({"Real Day Trading": {"TSLA": alert(C95)}})
    one, two = (alert(C95, created=day.ago(ago)) for ago in (5, 10))
    day.read({"Real Day Trading": {"TSLA": one}, "real-day-trading": {"TSLA": two}})
    day.fill(C95, -3, perm=1)
    shows(day, A, -3)
    shows(day, "Real Day Trading/TSLA", None)


def test_record_that_continues_two_is_as_old_as_the_older_one() -> None:
    """Two spellings of an undated record, seen 1000 s apart, are gone for a third one: it is both of them.

    A fill of 100 s after the first sight is told only then.
    """
    record = {"TSLA": alert(C95, created=None)}
    day = Day({"Real Day Trading": record})
    day.wait(1000)
    day.read({"Real Day Trading": record, "real-day-trading": record})
    day.read({"RealDayTrading": record})
    day.fill(C95, 2, at=-900, live=False)
    shows(day, "RealDayTrading/TSLA", 2)


def test_undated_record_is_the_same_in_another_spelling_before_its_contract_is_told() -> None:
    """Its details say SPX under both names; that its contract is of class SPXW is told only by the fill.

    The fill is 400 s younger than the record's first name, and 600 s older than its second.
    """
    owned = option(6000, "SPX", "6000", trading_class="SPXW")
    record = alert(owned, "SPX", created=None) | {"option_conid": None, "option_conids": []}
    day = Day({"real-day-trading": {"SPX": record}})
    day.wait(1000)
    day.read({"Real Day Trading": {"SPXW": record}})
    day.fill(owned, 2, at=-600, live=False)
    shows(day, "Real Day Trading/SPXW", 2)


def test_orphan_is_told_as_it_was_known_last() -> None:
    """A is written in another spelling, and is gone before anybody looked at that."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3)
    day.add(f.StoreRead(day.now, {"Real Day Trading": {"TSLA": alert(C95)}}, looked=False))
    day.read({})
    assert [orphan.alert for orphan in day.right().orphans] == [A]


def test_fill_of_an_alert_that_had_nothing_stays_its_own_once_who_took_over_is_gone() -> None:
    """4 bought and 2 sold before A was there. It has the 2 left and is given the sale; a re-alert takes over.

    That is gone as well when it is told that the 4 closed 2 that were short: A never had anything. The
    sale's order then sells 1 more: whom a person gave it to is short 1.
    """
    day = Day({})
    day.fill(C95, 4, perm=1)
    sale = day.fill(C95, -2, perm=2)
    created = day.ago(0)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    day.decide("assign", sale, A)
    day.wait(1)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    shows(day, A, 2)
    day.wait(1)
    day.read({"real-day-trading": {"TSLA": alert(C100, created=day.ago(0))}})
    day.add(f.OpeningTold(day.now, ACC, C95.con_id, Decimal(-2)))
    assert day.right().orphans == ()
    day.fill(C95, -1, perm=2, live=False)
    (orphan,) = day.right().orphans
    assert seen(orphan.created_at, orphan.quantity) == (created, -1)


def test_fill_of_an_alert_that_had_nothing_goes_to_who_took_over_in_another_spelling() -> None:
    """As before, but the re-alert is there, spelled SPXW for SPX, and the fill is of another contract of SPX.

    It is told late: what it sold was bought back by then, which the re-alert shows.
    """
    owned, other = (option(number, "SPX", str(number), trading_class="SPXW") for number in (6000, 6100))
    day = Day({})
    day.add(f.OpeningTold(day.now, ACC, other.con_id, Decimal(2)))
    day.fill(owned, 4)
    sale = day.fill(other, -2, perm=2)
    day.read({"real-day-trading": {"SPX": alert(owned, created=day.ago(0))}})
    day.decide("assign", sale, "real-day-trading/SPX")
    day.wait(1)
    day.read({"real-day-trading": {"SPXW": alert(owned, created=day.ago(0))}})
    shows(day, "real-day-trading/SPXW", 4)
    day.add(f.OpeningTold(day.now, ACC, owned.con_id, Decimal(-4)))
    day.wait(10)
    day.fill(other, 1)
    day.fill(other, -1, perm=2, at=-5, live=False)
    shows(day, "real-day-trading/SPXW", 0)
    shows(day, "real-day-trading/SPX", None)


def test_look_after_a_sale_finds_no_successor() -> None:
    """A's 3 are sold. It is missing once, while 2 more of its order wait, and has them as it is back."""
    mine = {"real-day-trading": {"TSLA": alert(None)}}
    other = {"Real Day Trading": {"TSLA": alert(None, created="2026-11-18T11:30:00")}}
    day = Day(mine, looks_are_told=True)
    day.fill(STK, 3, perm=9)
    day.fill(STK, -3)
    day.add(f.StoreRead(day.now, other, looked=False))
    oracle = Oracle(day.settings)
    for event in day.events:
        oracle.handle(event)
    day.fill(STK, 2, perm=9)
    day.add(f.LookedAgain(day.now, rematch=True, known=oracle.known()))
    day.add(f.StoreRead(day.now, mine | other, looked=False))
    day.add(f.LookedAgain(day.now, rematch=True))
    shows(day, A, 2)
    shows(day, "Real Day Trading/TSLA", None)


@pytest.mark.parametrize("stays", [A, "Real Day Trading/TSLA"])
def test_fill_follows_who_owned_its_order_first(stays: str) -> None:
    """A owns an order since a minute ago, its other spelling since 30 s; one takes over from the other.

    A fill of the order 5 s behind its first one follows A, or who stands in for it: 6 that were sold then are
    the 4 and the 2 of the order, and not 2 of the 3 that are nobody's (rules 2.2 and 3.1).
    """
    day = Day({"real-day-trading": {}})
    dismissed = day.fill(C95, 3, at=-70)
    day.decide("dismiss", dismissed)
    younger = {"Real Day Trading": {"TSLA": alert(C95, created=day.ago(30))}}
    records = {"real-day-trading": {"TSLA": alert(C95)}, **younger}
    day.read(records)
    day.fill(C95, 4, perm=2, at=-60, live=False)
    day.read({"real-day-trading": records["real-day-trading"]} if stays == A else younger)
    day.read(records)
    day.fill(C95, 2, perm=2, at=-56, live=False)
    day.fill(C95, -6, at=-50, live=False)
    shows(day, stays, 0)
    assert day.right().unowned((ACC, 95)) == 3


def test_late_fill_goes_to_the_last_of_several_that_took_over_one_after_the_other() -> None:
    """A bought and sold one contract and holds another; it is replaced twice. Then its first order fills on.

    That fill is 20 s younger than its first one. What A had of that contract before is A's alone.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    began = day.now
    day.fill(C95, 2, perm=1)
    day.wait(60)
    day.fill(C95, -2)
    day.fill(C100, 5, ref="tracker:real-day-trading/TSLA")
    for _ in range(2):
        day.wait(60)
        day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    day.fill(C95, 1, perm=1, at=(began - day.now).total_seconds() + 20, live=False)
    one = day.right().alert(A)
    assert seen(one.quantity, one.opened_at) == (6, began + timedelta(seconds=20))
