"""Hand-worked days of what an alert shows, and of when the tracker looks through the stores.

Written where a comparison with the tracker showed that the oracle had read the rules page too narrowly.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.sim.rules_oracle import facts as f
from tests.sim.rules_oracle.oracle import Oracle
from tests.support.oracle_day import ACC, ACC2, C95, C100, NOON, A, B, Day, alert, no_id, seen, shows

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


def test_handed_on_trip_leaves_nothing_of_the_one_before() -> None:
    """2 are bought and sold, then 3 bought, and 1 in another account: a re-alert takes over both.

    Nothing of the former record was closed since it opened again, so it has nothing to show.
    """
    first = alert(C95)
    day = Day({"real-day-trading": {"TSLA": first}}, policy="remove")
    for quantity in (2, -2, 3):
        day.fill(C95, quantity)
    day.fill(C95, 1, account=ACC2)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    shows(day, A, 4)
    former = day.right().alert(A, first["created_at"])
    assert (former.opened_at, former.closed_at, former.removed) == (None, None, False)


def test_void_alone_is_no_position() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}}, policy="remove")
    bought = day.fill(C95, 3)
    day.correct(bought, 0)
    one = day.right().alert(A)
    assert one.quantity == 0
    assert (one.opened_at, one.closed_at, one.removed) == (None, None, False)


def test_void_changes_no_trip_that_was_closed() -> None:
    """3 at 4 were bought and sold; 2 more are a void: the alert shows the trip and nothing of the void."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 3, 4)
    day.fill(C95, -3, 5)
    day.correct(day.fill(C95, 2, 6), 0)
    one = day.right().alert(A)
    assert seen(one.avg_price, one.opened_at) == (4, NOON)
    assert one.closed_at == NOON + timedelta(seconds=1)


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


def test_look_finds_only_what_it_saw() -> None:
    """A purchase of nobody is found as A was read; the one of A itself, and before A was read, is not."""
    day = Day({}, looks_are_told=True)
    day.fill(C95, 3)
    oracle = Oracle(day.settings)
    for event in day.events:
        oracle.handle(event)
    assert oracle.known() == f.Known((), frozenset())
    oracle.handle(f.StoreRead(day.now, {"real-day-trading": {"TSLA": alert(C95)}}, looked=False))
    assert [order.perm_id for order in oracle.known().orders] == [501]
    oracle.handle(f.LookedAgain(day.now, rematch=True, known=oracle.known()))
    newer = {"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}}
    oracle.handle(f.StoreRead(day.now, newer, looked=False))
    assert oracle.known().alerts == {0}


def test_full_look_finds_only_orders_with_lots_left() -> None:
    """Rule 1.6: of two purchases of nobody one is sold again, and their windows are over."""
    day = Day({}, looks_are_told=True)
    day.fill(C95, 3, at=-9)
    day.fill(C95, 2)
    day.fill(C95, -3)
    day.wait(1000)
    day.add(f.Started(day.now))
    day.add(f.StoreRead(day.now, {"real-day-trading": {"TSLA": alert(C95)}}, looked=False))
    oracle = Oracle(day.settings)
    for event in day.events:
        oracle.handle(event)
    assert [order.perm_id for order in oracle.known().orders] == [502]


def test_full_look_comes_again_behind_what_waited() -> None:
    """Rule 1.6: 3 of nobody; the first look of a start comes while frames wait, then the alert is read."""
    day = Day({}, looks_are_told=True)
    day.fill(C95, 3)
    day.wait(1000)
    day.add(f.Started(day.now))
    for records, known in (({}, f.Known((), frozenset())), ({"TSLA": alert(C95)}, None)):
        day.add(f.StoreRead(day.now, {"real-day-trading": records}, looked=False))
        day.add(f.LookedAgain(day.now, rematch=True, known=known))
    shows(day, A, 3)


def test_look_before_an_order_had_lots_does_not_match_it() -> None:
    """Short 3 of A: a purchase of 2 closes. B appears, and is looked for while an older purchase of 4 waits.

    That closes 3 and opens 1, of both. So the 2 open; whoever looked before could not know it.
    """
    mine = {"real-day-trading": {"TSLA": alert(C95)}}
    day = Day(mine, looks_are_told=True)
    day.fill(C95, -3, at=-30)
    day.fill(C95, 2, at=-10)
    both = mine | {"robindahood-alerts": {"TSLA": alert(C95)}}
    day.add(f.StoreRead(day.now, both, looked=False))
    day.fill(C95, 4, at=-20, live=False)
    day.add(f.LookedAgain(day.now, rematch=True, known=f.Known((), frozenset())))
    shows(day, A, 3)
    shows(day, B, 1)
    day.add(f.LookedAgain(day.now, rematch=True))
    shows(day, B, 3)


def test_look_before_an_alert_had_anything_finds_no_successor() -> None:
    """A re-alert is there while the purchase of A waits that nobody has decided; whoever looked knew no A."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}}, looks_are_told=True)
    day.fill(C95, 3, ref=A)
    newer = {"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}}
    day.add(f.StoreRead(day.now, newer, looked=False))
    day.add(f.LookedAgain(day.now, rematch=True, known=f.Known((), frozenset())))
    assert day.right().alert(A, alert(C95)["created_at"]).quantity == 3
    day.add(f.LookedAgain(day.now, rematch=True))
    assert day.right().alert(A, alert(C95)["created_at"]).quantity == 0


def test_successor_that_a_look_missed_shares_nothing() -> None:
    """A's re-alert was looked at before A had anything; it is A's successor, and shares nothing with it.

    The order is looked at again because of the re-alert, which its conid names.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}}, looks_are_told=True)
    day.fill(C95, 3)
    newer = {"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}}
    day.add(f.StoreRead(day.now, newer, looked=False))
    order = f.OrderKey(ACC, 95, 501)
    day.add(f.LookedAgain(day.now, rematch=True, known=f.Known((order,), frozenset())))
    assert not day.right().alert(A).shown
    day.add(f.LookedAgain(day.now, rematch=True))
    shows(day, A, 3)


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


def test_own_spelling_is_the_one_in_which_it_was_matched() -> None:
    """Looked at in one spelling, then matched in another: of two successors that one's own comes first."""
    lower = {"real-day-trading": {"TSLA": alert(C95)}}
    day = Day(lower)
    day.add(f.StoreRead(day.now, {"Real Day Trading": {"TSLA": alert(C95)}}, looked=False))
    day.fill(C95, 3)
    day.wait(1000)
    one, two = (alert(C95, created=day.ago(ago)) for ago in (10, 5))
    day.read({"Real Day Trading": {"TSLA": one}, "real-day-trading": {"TSLA": two}})
    shows(day, "Real Day Trading/TSLA", 3)
    shows(day, A, None)


def test_takeover_from_a_record_that_is_back_binds_no_later_one() -> None:
    """Another spelling shares the 3. A is missing once, which is noted for that one, and is back by then.

    Its conid lets it share again, and its own re-alert takes that over.
    """
    other = "Real Day Trading/TSLA"
    spelled = {"Real Day Trading": {"TSLA": alert(C95, created="2026-11-18T11:30:00")}}
    both = {"real-day-trading": {"TSLA": alert(C95)}, **spelled}
    day = Day(both, looks_are_told=True)
    day.fill(C95, 3)
    day.add(f.StoreRead(day.now, spelled, looked=False))
    day.add(f.LookNoted(day.now))
    day.add(f.StoreRead(day.now, both, looked=False))
    day.add(f.LookedAgain(day.now, rematch=True, noted=True))
    day.add(f.LookedAgain(day.now, rematch=True))
    shows(day, A, 3)
    day.wait(1000)
    newer = {"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}, **spelled}
    day.add(f.StoreRead(day.now, newer, looked=False))
    day.add(f.LookedAgain(day.now, rematch=True))
    shows(day, A, 3)
    shows(day, other, 3)


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


def test_re_alert_gets_what_the_alert_before_it_was_found_too_late_for() -> None:
    """A was away as 4 were bought and its 2 were sold, so the 4 are nobody's; then it bought 1 more.

    The re-alert, written before the 4, takes over the 1 and owns the 4 by rule 1.5.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2)
    day.read({})
    written = day.ago(0)
    day.wait(5)
    day.fill(C95, 4)
    day.fill(C95, -2, ref=f"tracker:{A}")
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, 0)
    day.fill(C95, 1)
    shows(day, A, 1)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=written)}})
    shows(day, A, 5)


def test_late_fill_of_another_account_goes_to_the_successor() -> None:
    """Rules 2.2 and 2.4: a re-alert took over what A held of the contract, in one account.

    In the other one 4 of A's order at 8 turn up, behind them 4 at 6 are bought and 4 are sold.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2, 5, perm=1)
    day.fill(C95, -2, 5)
    day.fill(C95, 4, 7, account=ACC2)
    day.wait(10)
    records = {"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}}
    day.read(records)
    day.read(None)
    day.fill(C95, 4, 8, perm=1, at=-5, live=False)
    day.fill(C95, 4, 6)
    day.fill(C95, -4, 9)
    day.read(records)
    shows(day, A, 8)
    assert day.right().alert(A).avg_price == 7


def test_later_fill_is_matched_with_its_whole_order() -> None:
    """Rule 2.2: 8 are bought; an order sells 4 for nobody, 2 as an alert is there. The 8 were 1 after all."""
    day = Day()
    bought = day.fill(C95, 8)
    day.fill(C95, -4, perm=2)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(60))}})
    day.fill(C95, -2, perm=2)
    day.correct(bought, 1)
    shows(day, A, -5)


def test_record_that_came_back_keeps_what_it_is_matched_to_since() -> None:
    """A re-alert in another spelling took over A's 1; A is there again beside it, and shares that (rule 1.5).

    A new order is matched to both. Its first fill, of 2, is older than the takeover and goes over with that;
    its second one, of 3, is both's.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 1)
    day.wait(10)
    other = {"Real Day Trading": {"TSLA": alert(C95, created=day.ago(0))}}
    day.read(other)
    day.read({"real-day-trading": {"TSLA": alert(C95)}, **other})
    day.fill(C95, 2, at=-20, perm=9, live=False)
    day.fill(C95, 3, perm=9)
    shows(day, A, 4)
    shows(day, "Real Day Trading/TSLA", 6)


def test_strong_rule_settles_for_a_closed_record() -> None:
    """Rules 1.4 and 1.6: 3 were A's or B's. A was closed since; now its conid names them."""
    vague = no_id(alert(C95, expiry=None))
    day = Day({"real-day-trading": {"TSLA": vague}, "robindahood-alerts": {"TSLA": vague}})
    day.fill(C95, 1, ref=f"tracker:{A}")
    day.fill(C95, 3)
    assert len(day.right().waiting("ambiguous")) == 1
    day.fill(C95, -1, ref=f"tracker:{A}")
    day.read({**day.records, "real-day-trading": {"TSLA": alert(C95, expiry=None)}})
    shows(day, A, 0)
    assert not day.right().waiting("ambiguous")


@pytest.mark.parametrize("created", [None, "2026-11-18T11:59"])
def test_undated_record_that_comes_back_was_seen_before(created: str | None) -> None:
    """Rule 1.6: it counts as created when first seen, also beside another spelling that it had in between.

    A time that is not to the second makes it no other alert (rule 2.3).
    """
    record = alert(C95, created=None)
    day = Day({"real-day-trading": {"TSLA": alert(C95, created=created)}})
    other = {"Real Day Trading": {"TSLA": alert(C95, created="2026-11-18T11:00")}}
    day.read(other)
    day.wait(200)
    day.fill(C95, 2)
    day.wait(200)
    day.read({"real-day-trading": {"TSLA": record}, **other})
    shows(day, A, 2)


def test_respelled_undated_record_is_the_one_that_was_there() -> None:
    """A day after it was first seen, another spelling of it comes and goes; then it is respelled.

    It counts as created when it was first seen, so its contract's strike alone names it no longer.
    """
    there = {"TSLA": no_id(alert(C95, created=None, expiry=None))}
    day = Day({"real-day-trading": there})
    day.wait(25 * 3600)
    day.read({"real-day-trading": there, "Real Day Trading": there})
    day.read({"real-day-trading": there})
    day.read({"RealDayTrading": there})
    day.fill(C95, 2)
    shows(day, "RealDayTrading/TSLA", None)


def test_crash_forgets_no_first_sight_that_was_kept() -> None:
    """Seen at noon, in another spelling, and as at first beside that: a crash loses the last sight only."""
    record = alert(C95, created=None)
    day = Day({"real-day-trading": {"TSLA": record}})
    day.add(f.FirstSeenKept(day.now))
    other = {"Real Day Trading": {"TSLA": record}}
    both = {**other, "real-day-trading": {"TSLA": record}}
    day.read(other)
    day.read(both)
    day.add(f.Stopped(day.now, killed=True))
    day.add(f.Started(day.now))
    day.fill(C95, 2)
    day.wait(200)
    day.read(both)
    shows(day, A, 2)


def test_record_that_came_back_is_still_too_late() -> None:
    """Rule 1.4: A was away as 4 were bought and its 2 were sold: the 4 stay nobody's.

    It buys 1, which goes to another spelling that is younger than the 4. A is back, and shares the 1 only.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2)
    day.read({})
    day.fill(C95, 4)
    day.fill(C95, -2, ref=f"tracker:{A}")
    day.wait(130)
    day.read({"real-day-trading": {"TSLA": alert(C95)}})
    shows(day, A, 0)
    day.fill(C95, 1)
    other = {"Real Day Trading": {"TSLA": alert(C95, created=day.ago(0))}}
    day.read(other)
    shows(day, "Real Day Trading/TSLA", 1)
    day.read({"real-day-trading": {"TSLA": alert(C95)}, **other})
    shows(day, A, 1)


def test_takeover_hands_on_no_order_of_which_nothing_was_left() -> None:
    """2 of one order were sold, 4 of another taken over; the old record is back, and the first order goes on.

    By 2 that are told late it was others that were sold, so the first 2 go over; 3 bought now do not.
    """
    old = alert(C95)
    day = Day({"Real Day Trading": {"TSLA": old}})
    day.fill(C95, 2, perm=1)
    day.fill(C95, -2)
    day.fill(C95, 4, perm=2)
    day.wait(10)
    day.read({"real-day-trading": {"TSLA": (new := alert(C95, created=day.ago(0)))}})
    day.read({"Real Day Trading": {"TSLA": old}, "real-day-trading": {"TSLA": new}})
    day.fill(C95, 2, perm=3, at=-30, live=False)
    day.fill(C95, 3, perm=1)
    shows(day, A, 6)
    shows(day, "Real Day Trading/TSLA", 7)


def test_late_fill_is_what_was_decided_of_its_order_before_a_newer_one() -> None:
    """The alert is younger than 2 bought and 1 sold; 1 more of the order is its own from the first.

    1 bought with the 2 at 7 is told last: nobody's as the 1 was sold, so the alert has 1, 1 and 1.
    """
    day = Day()
    day.fill(C95, 2, 1, perm=1, at=-60, live=False)
    day.fill(C95, -1, 1, at=-40, live=False)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(30))}})
    day.fill(C95, 1, 1, perm=1)
    day.fill(C95, 1, 7, perm=1, at=-55)
    shows(day, A, 3)
    assert day.right().alert(A).avg_price == 3
