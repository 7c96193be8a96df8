"""Hand-worked days of section 5, and days on which several rules meet.

Written from the rules page before they were run; each names its rule.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.sim.rules_oracle import facts as f
from tests.support.oracle_day import (
    ACC,
    C95,
    C100,
    NOON,
    OTHER,
    STK,
    A,
    B,
    D,
    Day,
    alert,
    answer_with_fourteen,
    bought_ten,
    no_id,
    option,
    seen,
    shows,
)

# Rules 5.1 to 5.3: orders


def test_unlisted_order_does_not_work() -> None:
    """Order that the open orders lack does not work."""
    day = Day()
    day.add(f.OrderTold(day.now, Decimal(10), perm_id=9))
    day.fill(C95, 4, perm=9)
    order = next(iter(day.right().orders.values()))
    assert seen(order.status, order.remaining, order.filled_qty) == ("PARTIALLY_FILLED", 6, 4)
    day.add(f.OpenOrdersAsked(day.now))
    day.add(f.OpenOrdersAnswered(day.now, frozenset()))
    assert next(iter(day.right().orders.values())).remaining == 0
    day.fill(C95, 1, perm=9)
    assert next(iter(day.right().orders.values())).remaining == 5


def test_unlisted_order_without_perm_id_does_not_work() -> None:
    """It is known by its client and orderId, and is listed by these as long as it works."""
    day = Day()
    day.add(f.OrderTold(day.now, Decimal(10), perm_id=0, order_id=1))
    day.fill(C95, 4, perm=0)
    assert next(iter(day.right().orders.values())).remaining == 6
    day.add(f.OpenOrdersAsked(day.now))
    day.add(f.OpenOrdersAnswered(day.now, frozenset()))
    assert next(iter(day.right().orders.values())).remaining == 0


def test_correction_of_an_old_fill_is_no_newer_word() -> None:
    """Rules 1.1 and 5.1: it changes a fill in its place, and says nothing of what works now."""
    day = Day()
    day.add(f.OrderTold(day.now, Decimal(10), perm_id=9))
    exec_id = day.fill(C95, 4, perm=9)
    day.add(f.OpenOrdersAsked(day.now))
    day.correct(exec_id, 4, 3.99)
    day.add(f.OpenOrdersAnswered(day.now, frozenset()))
    assert next(iter(day.right().orders.values())).remaining == 0
    day.correct(f"{exec_id[:-1]}2", 4, 3.89)
    assert next(iter(day.right().orders.values())).remaining == 0


def test_completed_order_says_a_size_that_was_changed_unheard() -> None:
    """Of 10, reduced to 4 or enlarged to 14, all is filled; where 6 of all 10 were void, it is not."""
    for quantity in (4, 14):
        day = Day()
        day.add(f.OrderTold(day.now, Decimal(10), perm_id=9))
        day.fill(C95, quantity, perm=9)
        day.add(f.CompletedOrderTold(day.now, 9, "Filled", Decimal(quantity)))
        assert next(iter(day.right().orders.values())).status == "FILLED"
    day = Day()
    day.add(f.OrderTold(day.now, Decimal(10), perm_id=9))
    exec_id = day.fill(C95, 10, perm=9)
    day.correct(exec_id, 4, 4)
    day.add(f.CompletedOrderTold(day.now, 9, "Filled", Decimal(4)))
    assert next(iter(day.right().orders.values())).status == "PARTIALLY_FILLED"


@pytest.mark.parametrize("how", ["status", "completed"])
def test_order_enlarged_unheard_and_cancelled_is_no_whole_one(how: str) -> None:
    """Rule 5.2: all of 10 were filled, and 4 more were ordered before it was cancelled."""
    day = Day()
    day.add(f.OrderTold(day.now, Decimal(10), perm_id=9))
    day.fill(C95, 10, perm=9)
    if how == "status":
        day.add(f.StatusTold(day.now, "Cancelled", Decimal(10), Decimal(4), perm_id=9))
    else:
        day.add(f.CompletedOrderTold(day.now, 9, "Cancelled", Decimal(0), Decimal(14)))
    order = next(iter(day.right().orders.values()))
    assert seen(order.status, order.remaining) == ("PARTIALLY_FILLED", 0)


def test_completed_order_of_unreadable_quantity_is_what_was_filled() -> None:
    day = Day()
    day.fill(C95, 10, perm=9, live=False)
    day.add(f.CompletedOrderTold(day.now, 9, "Filled"))
    assert next(iter(day.right().orders.values())).status == "FILLED"


def test_what_filled_before_our_first_day_does_not_work() -> None:
    """What is left of an order is the broker's word, which counts earlier days too."""
    day = Day()
    day.add(f.OrderTold(day.now, Decimal(10), perm_id=9))
    day.add(f.StatusTold(day.now, "Submitted", Decimal(8), Decimal(2), perm_id=9))
    exec_id = day.fill(C95, 2, perm=9)
    assert next(iter(day.right().orders.values())).remaining == 2
    day.correct(exec_id, 1, 4)
    day.add(f.StatusTold(day.now, "Submitted", Decimal(7), Decimal(3), perm_id=9))
    assert next(iter(day.right().orders.values())).remaining == 3


def test_something_newer_was_heard_of_it() -> None:
    day = Day()
    day.fill(C95, 4, perm=9)
    day.add(f.OpenOrdersAsked(day.now))
    day.add(f.StatusTold(day.now, "Submitted", Decimal(4), Decimal(6), perm_id=9))
    day.add(f.OpenOrdersAnswered(day.now, frozenset()))
    assert next(iter(day.right().orders.values())).remaining == 6


def test_filled_or_cancelled_before_start() -> None:
    """Filled before we came and cancelled with fills."""
    day = Day()
    day.fill(C95, 4, perm=9, live=False)
    assert next(iter(day.right().orders.values())).remaining is None
    day.add(f.CompletedOrderTold(day.now, 9, "Filled", Decimal(4)))
    order = next(iter(day.right().orders.values()))
    assert seen(order.status, order.remaining) == ("FILLED", 0)
    day = Day()
    day.fill(C95, 4, perm=9)
    day.add(f.StatusTold(day.now, "Cancelled", Decimal(4), Decimal(6), perm_id=9))
    order = next(iter(day.right().orders.values()))
    assert seen(order.status, order.remaining) == ("PARTIALLY_FILLED", 0)


def test_last_status_needs_every_execution() -> None:
    """Filled by its last status only once every execution is there."""
    day = Day()
    day.fill(C95, 4, perm=9)
    day.add(f.StatusTold(day.now, "Filled", Decimal(10), Decimal(0), perm_id=9))
    assert next(iter(day.right().orders.values())).status == "PARTIALLY_FILLED"
    day.fill(C95, 6, perm=9, price=5)
    order = next(iter(day.right().orders.values()))
    assert seen(order.status, order.filled_qty, order.avg_fill_price) == ("FILLED", 10, 4)


def test_void_takes_off_what_was_filled() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    exec_id = day.fill(C95, 3)
    day.fill(C95, 2)
    day.correct(exec_id, 0)
    shows(day, A, 2)
    assert [order.filled_qty for order in day.right().orders.values()] == [0, 2]


# Where rules meet


def test_assigned_order_late_fill_moves_nothing() -> None:
    """A owns 2 and they are sold; an order is assigned to B; an older fill of it comes: A stays closed."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}, "robindahood-alerts": {"TSLA": alert(C100)}})
    day.fill(C95, 2, at=-50, ref=A)
    external = day.fill(C95, 3, at=-40, ref=D, perm=9)
    day.fill(C95, -2, at=-30)
    day.decide("assign", external, B)
    day.fill(C95, 4, at=-90, ref=D, perm=9)
    shows(day, A, 0)
    shows(day, B, 7)


def test_swept_order_owns_at_creation() -> None:
    """Bought 3 and sold 1 before the creation, sold 1 behind it: 1 is left."""
    day = Day({"real-day-trading": {"TSLA": alert(C95, created=(NOON - timedelta(seconds=20)).isoformat())}})
    day.fill(C95, 3, at=-80, live=False)
    day.fill(C95, -1, at=-61, live=False)
    shows(day, A, 2)
    day.fill(C95, -1, at=-5, live=False)
    shows(day, A, 1)


def test_successor_takes_each_contract_by_itself() -> None:
    """The 95's alert owns the 100 too, by reference; the new record is about the 100 only."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2)
    day.fill(C100, 3, ref=A)
    day.read({"real-day-trading": {"TSLA": alert(C100, created=day.ago(0))}})
    assert day.right().alert(A).quantities == {(ACC, 100): 3}
    assert [orphan.holding for orphan in day.right().orphans] == [(ACC, 95)]


def test_stale_copy_brings_record_back() -> None:
    """Stale copy brings the old record back."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    old = day.records
    day.fill(C95, 2, perm=9)
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    day.read(old)
    day.fill(C95, 1, perm=9)
    shows(day, A, 3)
    assert day.right().alert(A).created_at == old["real-day-trading"]["TSLA"]["created_at"]


def test_conid_settles_an_ambiguous_fill() -> None:
    loose = no_id(alert(C95, expiry=None))
    day = Day({"real-day-trading": {"TSLA": loose}, "robindahood-alerts": {"TSLA": loose}})
    day.fill(C95, 2)
    assert day.right().waiting("ambiguous")
    day.read({**day.records, "robindahood-alerts": {"TSLA": {**loose, "option_conid": 95}}})
    shows(day, A, None)
    shows(day, B, 2)
    assert not day.right().inbox


def test_time_while_stopped_does_not_count() -> None:
    """800 s, stopped for an hour, 90 s more: still in the window, for an order that has an owner too."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    created = day.ago(5)
    day.fill(C95, 2)
    day.wait(800)
    day.add(f.Stopped(day.now))
    day.wait(3600)
    day.add(f.Started(day.now))
    day.read(day.records)
    day.wait(90)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(C95, created=created)}})
    shows(day, B, 2)


def test_difference_from_zero_counts_either_way() -> None:
    """We know of nothing left, the broker says -2: 2 bought back open nothing."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({OTHER: 1})
    day.fill(C95, 1)
    day.fill(C95, -1)
    day.answer({C95: -2, OTHER: 1})
    day.fill(C95, 2)
    shows(day, A, 0)


def test_smaller_difference_changes_nothing() -> None:
    day = bought_ten()
    day.answer({STK: 7, OTHER: 1})
    day.fill(STK, -4, 200)
    shows(day, A, 6)


def test_disturbed_answer_is_not_compared() -> None:
    day = bought_ten()
    day.sweep()
    day.add(f.PositionsAsked(day.now, day.connection))
    day.fill(STK, 5, 200)
    day.add(f.PositionsAnswered(day.now, day.connection, {(ACC, 7): Decimal(10), (ACC, 55): Decimal(1)}))
    assert not day.right().inbox
    shows(day, A, 15)


def test_old_version_disturbs_no_answer() -> None:
    """Rule 4.3: 2 were corrected to 1; that they were 2 is pushed only now, and changes nothing any more."""
    day, root = bought_ten(), "0000e0d5.00000009.01"
    day.fill(C95, 1, perm=77, exec_id=f"{root}.02")
    answer_with_fourteen(day, lambda: day.fill(C95, 2, perm=77, exec_id=f"{root}.01"))
    assert day.right().waiting("unexplained")


def test_correction_of_the_price_alone_disturbs_no_answer() -> None:
    day = bought_ten()
    exec_id = day.fill(C95, 2)
    answer_with_fourteen(day, lambda: day.correct(exec_id, 2, 3.99))
    assert day.right().waiting("unexplained")


@pytest.mark.parametrize("reconnects", [False, True])
def test_repeatedly_lagging_answer_is_uncertain(*, reconnects: bool) -> None:
    """Rule 4.1: prior 5, a sweep brings 3, thrice the answer says 5; behind a further sweep it is certain.

    The first answer of a new connection is asked before its sweep, so it is none of the three.
    """
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.answer({C95: 5, OTHER: 1})
    day.wait(60)
    day.connect()
    day.fill(C95, 3, live=False)
    for number in range(3):
        if reconnects and number == 2:
            day.connect()
            day.answer({C95: 5, OTHER: 1}, sweep=False)
        day.answer({C95: 5, OTHER: 1})
        assert not day.right().inbox
    day.answer({C95: 5, OTHER: 1})
    assert day.right().waiting("unexplained")
    shows(day, A, 3)


def test_order_without_perm_id_sums() -> None:
    """Order without perm id sums by its clients order id."""
    day = Day()
    for number in (1, 2):
        event = f.Executed(
            day.now,
            f"0000e0d5.0000000{number}.01.01",
            ACC,
            C95,
            "BOT",
            Decimal(2),
            Decimal(number),
            day.now,
            client_id=7,
            order_id=3,
        )
        day.add(event)
    day.add(f.OrderTold(day.now, Decimal(4), client_id=7, order_id=3))
    assert [(one.filled_qty, one.status) for one in day.right().orders.values()] == [
        (Decimal(4), "FILLED")
    ] * 2


def test_reference_to_other_ticker_is_told() -> None:
    """Reference to another ticker is told and taken by no one."""
    day = Day({"real-day-trading": {"TSLA": alert(C95), "NVDA": alert(None, "NVDA")}})
    day.fill(C95, 2, ref="real-day-trading/NVDA")
    shows(day, A, None)
    assert day.right().waiting("near miss")[0].alerts == ("real-day-trading/NVDA",)


def test_only_position_of_an_account_expires() -> None:
    """The answers lack every position of the account; the expiry rule closes the alert all the same."""
    today = option(300, expiry="20261118")
    day = Day({"real-day-trading": {"TSLA": alert(today)}})
    day.fill(today, 2)
    day.answer({today: 2})
    day.wait(13 * 3600)
    day.answer({})
    shows(day, A, 2)
    day.wait(301)
    day.answer({})
    shows(day, A, 0)
    assert day.right().alert(A).closed_by == "expired"


def test_unrecorded_reference_closes_own_lots() -> None:
    """Reference without a record closes its own lots before other unowned ones."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    day.fill(C95, 1, 9, at=-30)
    day.fill(C95, 2, 3, ref=D, at=-20)
    day.fill(C95, -2, ref="Demslayer/tsla")
    assert [seen(lot.quantity, lot.price) for lot in day.right().lots[ACC, 95]] == [(1, 9)]


def test_successor_shows_shown_average() -> None:
    """2 @ 2 and 2 @ 4, of which 2 are sold: 3 on average, before and behind the takeover."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2, 2)
    day.fill(C95, 2, 4)
    day.fill(C95, -2)
    assert day.right().alert(A).avg_price == 3
    day.read({"real-day-trading": {"TSLA": alert(C95, created=day.ago(0))}})
    one = day.right().alert(A)
    assert seen(one.quantity, one.avg_price) == (2, 3)


def test_average_begins_anew_behind_a_close() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    day.fill(C95, 2, 2)
    day.fill(C95, -2, 9)
    day.fill(C95, 1, 6)
    assert day.right().alert(A).avg_price == 6


def test_downward_takes_younger_unowned_lots() -> None:
    """Downward takes younger unowned lots before owned ones."""
    day = bought_ten()
    day.fill(STK, 5, 200, ref=D)
    for _ in range(2):
        day.answer({STK: 12, OTHER: 1})
        day.wait(61)
    shows(day, A, 10)
    assert day.right().unowned((ACC, 7)) == 2


def test_smaller_difference_keeps_purchase() -> None:
    """Smaller difference does not swallow a purchase."""
    day = bought_ten()
    day.answer({STK: 7, OTHER: 1})
    day.fill(STK, 2, 200)
    shows(day, A, 12)


def test_late_push_is_part_of_execution() -> None:
    """Rule 1.3: pushed 30 s late, older than the alert, sold before its creation: told, and closed."""
    day = Day({"real-day-trading": {"TSLA": alert(C95, created=(NOON - timedelta(seconds=20)).isoformat())}})
    day.fill(C95, 3, at=-30)
    day.fill(C95, -3, at=-26)
    shows(day, A, 0)


def test_late_matched_order_moves_no_sale() -> None:
    """Late fill of a late matched order moves no sale."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    created = day.ago(95)
    day.fill(C95, 2, at=-50, ref=A)
    day.fill(C95, 3, at=-40, perm=9)
    day.fill(C95, -2, at=-30)
    shows(day, A, 0)
    day.read({**day.records, "robindahood-alerts": {"TSLA": alert(C95, created=created)}})
    shows(day, B, 3)
    day.fill(C95, 4, at=-90, perm=9)
    shows(day, A, 0)
    shows(day, B, 7)


def test_full_look_leaves_owned_orders_alone() -> None:
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    created = day.ago(5)
    day.fill(C95, 2)
    day.wait(1000)
    records = day.records
    day.read(records)
    day.read(None)
    day.read({**records, "robindahood-alerts": {"TSLA": alert(C95, created=created)}})
    shows(day, B, None)


def test_unseen_time_uses_up_no_retry_window() -> None:
    """The look after it finds no store, and nobody knows since when; so the window is open still."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    created, records = day.ago(5), day.records
    day.fill(C95, 2)
    day.wait(1000)
    day.read(None)
    day.read({**records, "robindahood-alerts": {"TSLA": alert(C95, created=created)}})
    shows(day, B, 2)


def test_cancelled_completed_order_is_unfilled() -> None:
    """Completed order that was cancelled is not filled."""
    day = Day()
    day.fill(C95, 4, perm=9, live=False)
    day.add(f.CompletedOrderTold(day.now, 9, "Cancelled", Decimal(4)))
    order = next(iter(day.right().orders.values()))
    assert seen(order.status, order.remaining) == ("PARTIALLY_FILLED", 0)


def test_opened_at_is_oldest_lots_time() -> None:
    """Opened at is the oldest lots time."""
    day = Day({"real-day-trading": {"TSLA": alert(C100)}})
    older = day.fill(C95, 1, at=-30)
    day.fill(C95, 2, at=-10, ref=A)
    day.decide("assign", older, A)
    assert day.right().alert(A).opened_at == NOON - timedelta(seconds=30)


def test_absent_store_stops_owned_window() -> None:
    """Time without a store does not count for an owned order either."""
    day = Day({"real-day-trading": {"TSLA": alert(C95)}})
    created = day.ago(5)
    day.fill(C95, 2)
    records = day.records
    day.read(None)
    day.wait(1000)
    day.read({**records, "robindahood-alerts": {"TSLA": alert(C95, created=created)}})
    shows(day, A, 2)
    shows(day, B, 2)
