"""Sums, sizes and states of orders, fees that come later, and the shortfalls that prove a missed fill."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    BESIDE,
    NVDA,
    Story,
    exec_id,
    execution,
    fee,
    kinds,
    matched,
    news,
    open_order,
    position,
    quantity,
    shown,
    status,
    untouched,
)
from tracker.core.alert_updates import EventKind
from tracker.core.model import AlertId, Contract, End, EndOf, Notice, OpenOrder, OrderStatus, Source
from tracker.core.state import ORDERS, TOTALS

OTHER = AlertId("real-day-trading", "NVDA", "2025-11-18T15:40:00", 700100200)
SECOND_ACCOUNT = "DU9000001"


def opened(filled: int = 4) -> Story:
    story = Story()
    story.tell(execution(exec_id(1), filled))
    return story


# Sums


def test_alert_shows_its_whole_order() -> None:
    """An alert shows all of its order whoever the rest belongs to."""
    story = Story(lambda fill: matched(ALERT if fill.perm_id == 188 else OTHER)(fill))
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 6, at=1, perm_id=189))
    story.tell(execution(exec_id(3), -4, at=2, perm_id=190))
    assert (shown(story).open, news(story)["filled_qty"]) == (False, 4)
    story.tell(execution(exec_id(4), -6, at=3, perm_id=190))
    assert (news(story)["filled_qty"], news(story, OTHER)["filled_qty"]) == (10, 10)
    assert news(story)["exec_id"] == exec_id(3)


# Status and remaining


def test_filled_only_when_all_is() -> None:
    """Filled only when all of a known total is."""
    story = opened()
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", None)
    story.tell(open_order(10))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 6)
    story.tell(execution(exec_id(2), 6, at=1))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("FILLED", 0)


@pytest.mark.parametrize(
    "name", ["UNFILLED", "NOT_FILLED", "Inactive", "PendingSubmit", "Filled", "Submitted"]
)
def test_no_status_of_an_order_opens_anything(name: str) -> None:
    story = Story()
    story.tell(status(name, 10, 0))
    assert untouched(story)
    assert kinds(story) == []


def test_cancelled_with_nothing_left_is_no_fill() -> None:
    story = Story()
    story.sweep(request=899)
    story.tell(open_order(10), status("Cancelled", 0, 0))
    assert untouched(story)
    assert story.ledger.take_sweep_reasons() == []


def test_cancelled_after_partial_fill_is_over() -> None:
    """Cancelled after a partial fill leaves nothing to come."""
    story = opened()
    story.tell(open_order(10), status("Cancelled", 4, 6))
    assert (news(story)["status"], news(story)["remaining_qty"], news(story)["filled_qty"]) == (
        "PARTIALLY_FILLED",
        0,
        4,
    )
    assert (shown(story).open, quantity(story)) == (True, 4)


def test_filled_order_corrected_down_is_over() -> None:
    """A filled order that is corrected down has nothing to come."""
    story = opened()
    story.tell(open_order(4), status("Filled", 4, 0))
    story.tell(execution(exec_id(1, 2), 3))
    assert (news(story)["status"], news(story)["remaining_qty"], news(story)["filled_qty"]) == (
        "PARTIALLY_FILLED",
        0,
        3,
    )
    assert (shown(story).open, quantity(story)) == (True, 3)


def test_fully_filled_order_needs_no_status() -> None:
    """A status is not guaranteed; a fee that comes later changes nothing of it."""
    story = opened()
    story.tell(open_order(4))
    story.tell(execution(exec_id(1, 2), 3), fee(exec_id(1, 2), "2.60"))
    story.tell(fee(exec_id(1, 2), "2.70"))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)
    story.tell(execution(exec_id(1, 3), 2))
    assert (news(story)["filled_qty"], news(story)["remaining_qty"]) == (2, 0)


@pytest.mark.parametrize(
    ("told", "expected"),
    [(status("Submitted", 3, 1), 1), (open_order(5), 2)],
    ids=["the broker works it again", "it was made larger"],
)
def test_working_rest_after_a_correction(told: OrderStatus | OpenOrder, expected: int) -> None:
    """What works after a correction is still to come."""
    story = opened()
    story.tell(open_order(4))
    story.tell(execution(exec_id(1, 2), 3))
    story.tell(told)
    assert news(story)["remaining_qty"] == expected


def test_corrected_part_leaves_the_rest() -> None:
    """A part that is corrected down leaves the rest to come."""
    story = opened()
    story.tell(open_order(10))
    story.tell(execution(exec_id(1, 2), 3))
    assert news(story)["remaining_qty"] == 7


def test_a_fill_after_the_cancel_still_counts() -> None:
    story = Story()
    story.tell(open_order(10), status("Cancelled", 0, 10), execution(exec_id(1), 4))
    assert (quantity(story), news(story)["remaining_qty"]) == (4, 0)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (status("Submitted", 4, 6), ("PARTIALLY_FILLED", 6)),
        (status("Filled", 4, 0), ("FILLED", 0)),
        (status("Inactive", 0, 0), ("PARTIALLY_FILLED", None)),
        (status("PreSubmitted", 0, 0), ("PARTIALLY_FILLED", None)),
        (OrderStatus(42, 7, 188, "Submitted", None, Decimal(6)), ("PARTIALLY_FILLED", None)),
        (OrderStatus(42, 7, 188, "Submitted", Decimal(4), None), ("PARTIALLY_FILLED", None)),
    ],
)
def test_status_gives_a_missing_size(told: OrderStatus, expected: tuple[str, object]) -> None:
    """A status tells the size where no open order did."""
    story = opened()
    story.tell(told)
    assert (news(story)["status"], news(story)["remaining_qty"]) == expected


def test_the_newest_size_counts() -> None:
    story = opened()
    story.tell(open_order(10), status("Submitted", 4, 6), open_order(8), status("Submitted", 4, 4))
    assert news(story)["remaining_qty"] == 4
    story.tell(status("Filled", 4, 0))
    assert news(story)["status"] == "FILLED"


@pytest.mark.parametrize("late", [False, True], ids=["fill first", "status first"])
def test_what_filled_on_earlier_days_works_no_more(late: bool) -> None:
    """Of an order for 10 that had filled 6 before the first day, 2 fill today: 2 are left."""
    story, told = Story(), [execution(exec_id(1), 2), status("Submitted", 8, 2)]
    story.tell(open_order(10), status("Submitted", 6, 4), *(reversed(told) if late else told))
    assert (news(story)["status"], news(story)["filled_qty"], news(story)["remaining_qty"]) == (
        "PARTIALLY_FILLED",
        2,
        2,
    )
    story.tell(execution(exec_id(1, 2), 1))
    story.tell(status("Submitted", 7, 3))
    assert news(story)["remaining_qty"] == 3


def test_overfilled_order_has_no_negative_rest() -> None:
    """More filled than the order wanted leaves no negative rest."""
    story = opened()
    story.tell(open_order(3))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)


def test_order_of_another_account_is_ignored() -> None:
    """An order for another account says nothing of this one."""
    story = opened()
    story.tell(open_order(4, account=SECOND_ACCOUNT))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", None)


def test_order_over_several_accounts_is_filled_when_all_is() -> None:
    """An order that names no account may fill in several; its size is that of all of them."""
    story = Story()
    story.note(Source.LINK, "up", f"{ACCOUNT},{SECOND_ACCOUNT}", "176")
    for account in (ACCOUNT, SECOND_ACCOUNT):
        story.sweep(account=account)
    story.snapshot(position(1, account=SECOND_ACCOUNT, contract=BESIDE))
    story.tell(execution(exec_id(1), 4), replace(open_order(10), account=""))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 6)
    story.tell(execution(exec_id(1), 6, account=SECOND_ACCOUNT, at=1))
    assert (news(story)["status"], news(story)["remaining_qty"], news(story)["filled_qty"]) == (
        "FILLED",
        0,
        6,
    )
    story.note(Source.LINK, "up", SECOND_ACCOUNT, "176")
    story.tell(fee(exec_id(1), "0.65"))
    assert (news(story)["status"], news(story)["commission"]) == ("FILLED", 0.65), (
        "the login does not manage the first account any longer"
    )


def test_foreign_combo_says_nothing() -> None:
    """A combo of which this contract is no leg says nothing."""
    story = opened()
    bag = Contract(28812380, "NVDA", "BAG")
    story.tell(OpenOrder(42, 7, 188, ACCOUNT, bag, "BUY", Decimal(4), "", "Submitted", ((701, 1),)))
    assert news(story)["remaining_qty"] is None


def test_what_has_no_key_is_not_kept() -> None:
    story = Story()
    story.tell(OrderStatus(0, 0, 0, "Submitted", Decimal(0), Decimal(1)))
    story.tell(replace(open_order(1), order_id=0, perm_id=0))
    assert list(story.state.every(ORDERS)) == []


def test_later_open_order_blanks_nothing() -> None:
    """A later open order does not blank what is known."""
    story = opened()
    story.tell(open_order(10))
    story.tell(replace(open_order(10), account="", total=None, status=""))
    (order,) = story.state.every(ORDERS)
    assert (order.account, order.total, order.status) == (ACCOUNT, Decimal(10), "Submitted")


def test_a_repeated_status_is_no_news() -> None:
    story = opened()
    assert len(story.tell(status("Submitted", 4, 6))) == 1
    assert story.tell(status("Submitted", 4, 6)) == []


# Fees


def test_fee_that_comes_later_is_filled_in() -> None:
    story = opened()
    assert (news(story)["commission"], news(story)["realized_pnl"]) == (None, None)
    story.tell(fee(exec_id(1), "2.60"))
    assert (news(story)["commission"], news(story)["realized_pnl"]) == (2.6, None)
    assert EventKind.FEE in kinds(story)
    assert quantity(story) == 4


def test_a_fee_before_its_execution_counts_too() -> None:
    story = Story()
    story.tell(fee(exec_id(1), "2.60", "-5"), execution(exec_id(1), 4))
    assert (news(story)["commission"], news(story)["realized_pnl"]) == (2.6, -5)


def test_pending_fee_holds_up_no_fill() -> None:
    """A pending fee is unknown and holds no fill."""
    story = opened()
    story.tell(fee(exec_id(1), None))
    assert news(story)["commission"] is None
    (totals,) = story.state.every(TOTALS)
    assert totals.totals.fees_pending == 1
    story.tell(fee(exec_id(1), "2.60"))
    (totals,) = story.state.every(TOTALS)
    assert (news(story)["commission"], totals.totals.fees_pending) == (2.6, 0)


def test_pending_fee_takes_no_known_one_back() -> None:
    """The broker repeats a report with -1 or without a value: what was known stays."""
    story = Story()
    story.tell(execution(exec_id(1), 4), fee(exec_id(1), "1.3", "20"), fee(exec_id(1), None))
    assert (news(story)["commission"], news(story)["realized_pnl"]) == (1.3, 20)


def test_fees_are_summed_and_replaced() -> None:
    """Fees of an order are summed and a changed one replaces."""
    story = opened()
    story.tell(execution(exec_id(2), 6, at=1), fee(exec_id(1), "2.60", "1"), fee(exec_id(2), "3.90", "2"))
    assert (news(story)["commission"], news(story)["realized_pnl"]) == (6.5, 3)
    story.tell(fee(exec_id(2), "3.40", "2"))
    assert news(story)["commission"] == 6
    assert story.tell(fee(exec_id(2), "3.40", "2")) == []


def test_fee_of_replaced_version_no_longer_counts() -> None:
    story = opened()
    story.tell(fee(exec_id(1), "2.60"), execution(exec_id(1, 2), 4))
    assert news(story)["commission"] is None
    story.tell(fee(exec_id(1), "9"), fee(exec_id(1, 2), "2.70"))
    assert news(story)["commission"] == 2.7


# Missed fills


def test_status_ahead_asks_for_one_sweep() -> None:
    """A status ahead of us asks for one sweep."""
    story = opened()
    story.sweep(request=899)
    story.tell(open_order(10), status("Submitted", 6, 4))
    (reason,) = story.ledger.take_sweep_reasons()
    assert "6 filled" in reason
    assert "4 known here" in reason
    story.tell(status("Submitted", 6, 4), status("Submitted", 6, 4))
    assert story.ledger.take_sweep_reasons() == []
    story.tell(status("Submitted", 7, 3))
    assert len(story.ledger.take_sweep_reasons()) == 1


def test_status_before_its_execution_asks_nothing() -> None:
    """A status just before its execution asks for nothing."""
    story = opened()
    story.sweep(request=899)
    story.tell(open_order(10), status("Submitted", 6, 4), execution(exec_id(2), 2, at=1))
    assert story.ledger.take_sweep_reasons() == []


def test_cum_qty_ahead_asks_for_sweep() -> None:
    """Cum qty ahead of us asks for one sweep."""
    story = Story()
    story.sweep(request=899)
    story.tell(execution(exec_id(2), 4, cum_qty=10))
    assert len(story.ledger.take_sweep_reasons()) == 1
    story.tell(execution(exec_id(3), 2, cum_qty=12, at=1))
    assert story.ledger.take_sweep_reasons() == []


@pytest.mark.parametrize("brought", [True, False], ids=["the answer brings it", "it does not"])
def test_shortfall_waits_for_answer_under_way(brought: bool) -> None:
    """After a break the order's next status comes while the day is asked for anyway."""
    story = opened()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(open_order(10), status("Submitted", 6, 4))
    assert story.ledger.take_sweep_reasons() == []
    missed = [execution(exec_id(2), 2, at=1, request_id=900)] if brought else []
    story.tell(*missed, End(EndOf.EXECUTIONS, 900))
    assert len(story.ledger.take_sweep_reasons()) == (0 if brought else 1)


def test_endless_answer_holds_up_no_shortfall() -> None:
    """An answer that never ends holds up no shortfall."""
    story = opened()
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(open_order(10), status("Submitted", 6, 4))
    story.note(Source.LINK, "timeout", "executions", "900")
    assert len(story.ledger.take_sweep_reasons()) == 1


@pytest.mark.parametrize("broken", ["reconnected", "IBKR was lost"])
def test_shortfall_waits_behind_each_break(broken: str) -> None:
    """It is not asked for yet, since the positions come first."""
    story = opened()
    story.sweep(request=899)
    if broken == "reconnected":
        story.reconnect()
    else:
        story.tell(Notice(-1, 1100, "lost"), Notice(-1, 1102, "restored"))
    story.tell(open_order(10), status("Submitted", 6, 4))
    assert story.ledger.take_sweep_reasons() == []
    story.sweep(request=900)
    assert len(story.ledger.take_sweep_reasons()) == 1


def test_a_shortfall_that_comes_back_asks_again() -> None:
    story = Story()
    story.sweep(request=899)
    story.tell(execution(exec_id(2), 4, cum_qty=6))
    assert len(story.ledger.take_sweep_reasons()) == 1
    story.tell(execution(exec_id(1), 2, cum_qty=2, at=-1), execution(exec_id(3), 1, cum_qty=7, at=1))
    assert story.ledger.take_sweep_reasons() == []
    story.tell(execution(exec_id(5), 1, cum_qty=10, at=2))
    assert len(story.ledger.take_sweep_reasons()) == 1


@pytest.mark.parametrize(
    ("perm_id", "cum_qty", "source"),
    [(188, None, Source.BROKER), (0, 10, Source.BROKER), (188, 10, Source.FLEX)],
    ids=["no cumQty", "no order to sum", "not from the gateway"],
)
def test_no_sweep_where_nothing_can_be_compared(perm_id: int, cum_qty: int | None, source: Source) -> None:
    story = Story()
    story.sweep(request=899)
    fill = execution(exec_id(1), 4, perm_id=perm_id, order_id=0, cum_qty=cum_qty)
    story.tell(fill, source=source)
    assert story.ledger.take_sweep_reasons() == []


def test_correction_outdates_what_broker_counted_before() -> None:
    story = opened()
    story.sweep(request=899)
    story.tell(open_order(4), status("Filled", 4, 0))
    story.tell(execution(exec_id(1, 2), 3, cum_qty=3))
    (order,) = story.state.every(ORDERS)
    assert order.broker_filled is None
    assert story.ledger.take_sweep_reasons() == []
    story.tell(status("Submitted", 4, 0))
    assert len(story.ledger.take_sweep_reasons()) == 1


def test_correction_of_price_leaves_what_broker_counts() -> None:
    story = opened()
    story.sweep(request=899)
    story.tell(open_order(4), status("Filled", 4, 0), execution(exec_id(1, 2), 4, "2.60"))
    (order,) = story.state.every(ORDERS)
    assert order.broker_filled == 4


def test_fill_missing_beside_correction_is_swept() -> None:
    """A fill missing beside a correction is still swept for."""
    story = opened()
    story.sweep(request=899)
    story.tell(open_order(10), status("Submitted", 6, 4), execution(exec_id(1, 2), 3))
    (reason,) = story.ledger.take_sweep_reasons()
    assert "5 filled" in reason
    assert "3 known here" in reason


def test_status_before_fill_and_correction() -> None:
    """A status just before its fill and a correction asks for nothing."""
    story = opened()
    story.tell(open_order(6), status("Filled", 6, 0), execution(exec_id(2), 2, at=1))
    story.tell(status("Filled", 6, 0), execution(exec_id(2, 2), 1, at=1))
    assert story.ledger.take_sweep_reasons() == []


def test_correction_of_fill_without_order_outdates_nothing() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4, perm_id=0, order_id=0))
    story.tell(execution(exec_id(1, 2), 3, perm_id=0, order_id=0))
    assert (quantity(story), list(story.state.every(ORDERS))) == (3, [])


def test_corrected_combo_outdates_the_count() -> None:
    """A combo line that is corrected outdates what the broker counted."""
    story = Story()
    bag = Contract(28812380, "NVDA", "BAG")
    line = replace(execution(exec_id(1), 4), contract=bag)
    story.tell(open_order(4), line, status("Filled", 4, 0))
    story.tell(replace(line, exec_id=exec_id(1, 2), quantity=Decimal(3)))
    (order,) = story.state.every(ORDERS)
    assert order.broker_filled is None
    assert list(story.state.every(TOTALS)) == []


@pytest.mark.parametrize(
    "order",
    [
        replace(open_order(10), account=""),
        replace(open_order(10), legs=((NVDA.con_id, 1), (702, 1))),
        None,
    ],
    ids=["of an FA group", "of a combo", "unknown"],
)
def test_status_of_other_things_is_ignored(order: OpenOrder | None) -> None:
    """A status is not compared where it counts something else."""
    story = Story(matched(ALERT))
    if order is not None:
        story.tell(order)
    story.tell(status("Submitted", 10, 0))
    assert story.ledger.take_sweep_reasons() == []
