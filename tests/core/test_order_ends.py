"""How an order ends unseen: missing from an answer, listed as completed, or voided (rules 5.1 to 5.3)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    NVDA,
    Story,
    exec_id,
    execution,
    news,
    open_order,
    quantity,
    shown,
    status,
    untouched,
)
from tracker.core.model import BrokerFact, CompletedOrder, End, EndOf, Notice, Source
from tracker.core.state import ORDERS

OPEN_ORDERS_ENDED = End(EndOf.OPEN_ORDERS, -1)


def partly_filled() -> Story:
    """Return a story in which 4 of 10 were filled."""
    story = Story()
    story.tell(open_order(10), execution(exec_id(1), 4), status("Submitted", 4, 6))
    assert news(story)["remaining_qty"] == 6
    return story


def ask(story: Story, *answer: BrokerFact) -> None:
    """Ask for all open orders and let the broker answer with these."""
    story.note(Source.SENT, "open_orders")
    story.tell(*answer, OPEN_ORDERS_ENDED)


def completed(name: str = "Filled", *, filled: int | None = 10, total: int | None = None) -> CompletedOrder:
    """Return a completedOrder of the default order; the broker leaves the size of a filled one out."""
    return CompletedOrder(
        188,
        ACCOUNT,
        name,
        NVDA.con_id,
        None if total is None else Decimal(total),
        None if filled is None else Decimal(filled),
    )


def test_order_missing_from_a_complete_answer_ended() -> None:
    """10 ordered, 4 filled, link lost, the rest cancelled meanwhile: nothing of it works any more."""
    story = partly_filled()
    story.reconnect()
    ask(story)
    assert (news(story)["remaining_qty"], news(story)["status"], news(story)["filled_qty"]) == (
        0,
        "PARTIALLY_FILLED",
        4,
    )
    assert (quantity(story), shown(story).open) == (4, True)


@pytest.mark.parametrize(
    "heard",
    [open_order(10), status("Submitted", 4, 6), execution(exec_id(2), 1, at=1)],
    ids=["listed", "a status meanwhile", "a live fill meanwhile"],
)
def test_order_heard_of_meanwhile_works(heard: BrokerFact) -> None:
    story = partly_filled()
    ask(story, heard)
    assert news(story)["remaining_qty"] in (6, 5)


@pytest.mark.parametrize("newer", [status("Submitted", 4, 6), open_order(10)])
def test_newer_word_has_the_order_work_again(newer: BrokerFact) -> None:
    story = partly_filled()
    ask(story)
    story.tell(newer)
    assert news(story)["remaining_qty"] == 6


def test_live_fill_has_the_order_work_again() -> None:
    story = partly_filled()
    ask(story)
    story.tell(execution(exec_id(2), 1, at=1))
    assert (news(story)["filled_qty"], news(story)["remaining_qty"]) == (5, 5)


def test_swept_fill_is_no_newer_word() -> None:
    """A sweep brings what was filled before the answer; the order has ended all the same."""
    story = partly_filled()
    ask(story)
    story.sweep(execution(exec_id(2), 1, at=1, request_id=900))
    assert (news(story)["filled_qty"], news(story)["remaining_qty"]) == (5, 0)


def test_correction_is_no_newer_word() -> None:
    """It changes a fill in its place, also one that is pushed, and says nothing of what works now."""
    story = partly_filled()
    ask(story, execution(exec_id(1, 2), 4, "2.60"))
    story.tell(execution(exec_id(1, 3), 4, "2.70"))
    assert (news(story)["filled_qty"], news(story)["remaining_qty"]) == (4, 0)


def test_answer_that_timed_out_proves_nothing() -> None:
    """The late End of the first request is not the second one's, and ends nothing either."""
    story = partly_filled()
    story.note(Source.SENT, "open_orders")
    story.note(Source.LINK, "timeout", "open_orders", "-1")
    story.note(Source.SENT, "open_orders")
    story.tell(OPEN_ORDERS_ENDED)
    assert news(story)["remaining_qty"] == 6
    story.tell(OPEN_ORDERS_ENDED)
    assert news(story)["remaining_qty"] == 6
    ask(story)
    assert news(story)["remaining_qty"] == 0


@pytest.mark.parametrize("lost", [1100, 2110])
def test_answer_without_the_broker_proves_nothing(lost: int) -> None:
    """What the gateway answers while it has lost IBKR is what it knew before."""
    story = partly_filled()
    story.note(Source.SENT, "open_orders")
    story.tell(Notice(-1, lost, "lost"), OPEN_ORDERS_ENDED)
    ask(story)
    assert news(story)["remaining_qty"] == 6
    story.tell(Notice(-1, 1102, "restored"))
    ask(story)
    assert news(story)["remaining_qty"] == 0


def test_answer_on_a_connection_of_the_process_before_proves_nothing() -> None:
    """The gateway had lost IBKR when the process was killed; the next one decides what was answered then."""
    story = partly_filled()
    story.tell(Notice(-1, 1100, "lost"))
    story.restart()
    ask(story)
    assert news(story)["remaining_qty"] == 6
    story.reconnect()
    ask(story)
    assert news(story)["remaining_qty"] == 0


def test_connection_forgets_what_the_last_one_asked() -> None:
    story = partly_filled()
    story.note(Source.SENT, "open_orders")
    story.reconnect()
    story.tell(OPEN_ORDERS_ENDED)
    assert news(story)["remaining_qty"] == 6
    ask(story)
    assert news(story)["remaining_qty"] == 0


def test_order_filled_before_the_start_is_filled() -> None:
    """Swept fills and a completed order of 42: no openOrder ever came."""
    story = Story()
    story.sweep(execution(exec_id(1), 42, request_id=900))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", None)
    story.tell(completed(filled=42))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("FILLED", 0)


def test_completed_order_that_was_cancelled_stays_partial() -> None:
    story = Story()
    story.sweep(execution(exec_id(1), 4, request_id=900))
    story.tell(completed("Cancelled", filled=4, total=10))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)


def test_cancelled_order_without_size_is_not_filled() -> None:
    """Cancelled with fills is a partial fill, also where the broker names no size."""
    story = Story()
    story.sweep(execution(exec_id(1), 4, request_id=900))
    story.tell(completed("Cancelled", filled=4))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)


def test_order_in_another_end_state() -> None:
    """Order that ended in another state works no more."""
    story = partly_filled()
    story.tell(completed("Inactive", filled=4, total=10))
    assert news(story)["remaining_qty"] == 0


def test_late_status_revives_no_completed_order() -> None:
    """A status that was on its way when the order was filled comes behind the word that it was."""
    story = Story()
    story.sweep(execution(exec_id(1), 2, request_id=900))
    story.tell(completed(filled=5), status("Submitted", 3, 2))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)


@pytest.mark.parametrize("size", [4, 14], ids=["reduced", "enlarged"])
def test_size_that_was_changed_unheard(size: int) -> None:
    """4 of 10 are filled; while nobody listens the order is changed, and the rest of it filled."""
    story = partly_filled()
    story.reconnect()
    rest = [execution(exec_id(2), size - 4, at=1, request_id=900)] if size > 4 else []
    story.sweep(*rest)
    story.tell(completed(filled=size))
    assert (news(story)["status"], news(story)["remaining_qty"], news(story)["filled_qty"]) == (
        "FILLED",
        0,
        size,
    )


@pytest.mark.parametrize(
    "ended",
    [
        status("Cancelled", 10, 4),
        status("ApiCancelled", 10, 4),
        completed("Cancelled", filled=None, total=14),
    ],
    ids=["cancelled", "cancelled by the API", "listed as completed"],
)
def test_order_that_was_enlarged_unheard_and_cancelled(ended: BrokerFact) -> None:
    """All of 10 are filled; while nobody listens 4 more are ordered, and the order is cancelled then."""
    story = partly_filled()
    story.tell(execution(exec_id(2), 6, at=1))
    assert news(story)["status"] == "FILLED"
    story.tell(ended)
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)


def test_cancelled_order_that_reports_less_keeps_its_size() -> None:
    """What a cancelled order reports as left is unreliable: 4 of 10 stay a part."""
    story = partly_filled()
    story.tell(status("Cancelled", 4, 0))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)


@pytest.mark.parametrize(
    "ended",
    [completed(filled=None), replace(status("Filled", 0, 0), filled=None)],
    ids=["completed", "status"],
)
def test_filled_order_of_unreadable_size(ended: BrokerFact) -> None:
    """Its size is what was filled; a part of that is void later, and then it is not whole."""
    story = Story()
    story.sweep(execution(exec_id(1), 6, request_id=900), execution(exec_id(2), 4, at=1, request_id=900))
    story.tell(ended)
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("FILLED", 0)
    story.tell(replace(void(2, 4), time=execution(exec_id(2), 4, at=1).time))
    assert (news(story)["status"], news(story)["filled_qty"]) == ("PARTIALLY_FILLED", 6)


def test_filled_order_that_lost_a_fill_keeps_its_size() -> None:
    """All of 10 were filled, 6 of them are void: 4 of 10 is no whole order."""
    story = partly_filled()
    story.tell(execution(exec_id(2), 6, at=1))
    story.tell(replace(void(2, 6), time=execution(exec_id(2), 6, at=1).time))
    story.tell(completed(filled=4))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)


def test_filled_order_whose_lost_fill_is_known_late() -> None:
    """All 5 were filled, 4 of them are void, and the fill of 4 is only swept when the list came: 1 of 5."""
    story = Story()
    story.tell(execution(exec_id(1), 1), status("Filled", 5, 0), completed(filled=1))
    story.sweep(execution(exec_id(2), 4, at=1, request_id=900))
    assert (news(story)["status"], news(story)["filled_qty"]) == ("FILLED", 5)
    story.tell(replace(void(2, 4), time=execution(exec_id(2), 4, at=1).time))
    assert (news(story)["status"], news(story)["remaining_qty"], news(story)["filled_qty"]) == (
        "PARTIALLY_FILLED",
        0,
        1,
    )


def test_order_works_on_of_which_a_fill_was_void_unheard() -> None:
    """4 of 10 are filled and void while nobody listens, then 9 more: 1 is left, as the status says."""
    story = partly_filled()
    story.sweep(execution(exec_id(2), 9, at=1, request_id=900))
    story.tell(status("Submitted", 9, 1))
    story.tell(replace(void(1, 4), time=execution(exec_id(1), 4).time))
    assert (news(story)["status"], news(story)["remaining_qty"], news(story)["filled_qty"]) == (
        "PARTIALLY_FILLED",
        1,
        9,
    )


def test_filled_order_that_lost_a_fill_before_its_size_was_told() -> None:
    """Only the completed order says what it filled: 42, and 40 once 2 of these are void."""
    story = Story()
    story.sweep(execution(exec_id(1), 40, request_id=900), execution(exec_id(2), 2, request_id=900))
    story.tell(completed(filled=42))
    story.tell(replace(void(2, 2), time=execution(exec_id(2), 2).time))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)
    story.tell(completed(filled=40))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("FILLED", 0)


def test_completed_combo_keeps_its_size() -> None:
    """What its legs filled at most says little of the combo."""
    story = Story()
    story.tell(replace(open_order(3), legs=((NVDA.con_id, 2), (702, -1))), execution(exec_id(1), 4))
    story.tell(replace(completed(filled=2), legs=((NVDA.con_id, 2), (702, -1))))
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("PARTIALLY_FILLED", 0)


def test_completed_order_ahead_asks_for_sweep() -> None:
    """Completed order that filled more asks for a sweep."""
    story = partly_filled()
    story.sweep(request=901)
    story.tell(completed(filled=10))
    (reason,) = story.ledger.take_sweep_reasons()
    assert "10 filled" in reason
    assert "4 known here" in reason


def test_completed_combo_counts_combos_not_legs() -> None:
    story = Story()
    story.sweep(execution(exec_id(1), 4, request_id=900), request=900)
    story.tell(replace(completed(filled=2), legs=((NVDA.con_id, 2), (702, -1))))
    assert story.ledger.take_sweep_reasons() == []
    assert (news(story)["status"], news(story)["remaining_qty"]) == ("FILLED", 0)


def test_completed_order_without_permid_names_no_order() -> None:
    story = Story()
    story.tell(replace(completed(), perm_id=0))
    assert list(story.state.every(ORDERS)) == []


def void(number: int, signed: int) -> BrokerFact:
    """Return the correction that voids an execution of `signed` contracts: the same, to no quantity."""
    return replace(execution(exec_id(number, 2), signed), quantity=Decimal(0))


def test_bust_of_the_only_fill_leaves_nothing() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 3))
    story.tell(void(1, 3))
    assert (shown(story).open, quantity(story), news(story)["filled_qty"]) == (False, 0, 0)
    assert news(story)["avg_fill_price"] is None


def test_bust_of_one_fill_leaves_the_others() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 3), execution(exec_id(2), 2, at=1))
    story.tell(void(1, 3))
    assert (shown(story).open, quantity(story), news(story)["filled_qty"]) == (True, 2, 2)


def test_bust_of_the_closing_fill_opens_again() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 3))
    story.tell(execution(exec_id(2), -3, at=1, perm_id=189))
    assert shown(story).open is False
    story.tell(replace(void(2, -3), perm_id=189, time=execution(exec_id(2), 1, at=1).time))
    assert (shown(story).open, quantity(story)) == (True, 3)


def test_early_bust_moves_nothing() -> None:
    """The version that it voids comes after it and stays voided."""
    story = Story()
    story.tell(void(1, 3))
    assert untouched(story) or quantity(story) == 0
    story.tell(execution(exec_id(1), 3))
    assert untouched(story) or (shown(story).open, quantity(story)) == (False, 0)


def test_bust_that_is_corrected_again_counts_anew() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 3))
    story.tell(void(1, 3))
    story.tell(execution(exec_id(1, 3), 2))
    assert (shown(story).open, quantity(story), news(story)["filled_qty"]) == (True, 2, 2)
