"""Corrections replace, whenever they come; a combo's own line is never counted."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    NVDA,
    SUCCESSOR,
    Story,
    alert_fields,
    booked,
    exec_id,
    execution,
    held,
    kinds,
    matched,
    news,
    quantity,
    shown,
    unmatched,
    untouched,
)
from tracker.core.alert_updates import ClosingPolicy, EventKind, settle_reopened
from tracker.core.model import (
    ZERO,
    AlertId,
    Ambiguous,
    Contract,
    OpenOrder,
    Rule,
    Source,
    correction_parts,
)
from tracker.core.state import EXECUTIONS
from tracker.core.state_rows import Attention

OTHER = AlertId("real-day-trading", "NVDA", "2025-11-18T15:40:00", 700100200)
SECOND_ACCOUNT = "DU9000001"


def test_a_correction_replaces_the_first_version() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4, "2.50"))
    story.tell(execution(exec_id(1, 2), 3, "2.60"))
    assert (quantity(story), news(story)["filled_qty"], news(story)["avg_fill_price"]) == (3, 3, 2.6)
    assert booked(story, exec_id(1)).superseded_by == exec_id(1, 2)
    assert kinds(story)[-2] is EventKind.CORRECTION


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
@pytest.mark.parametrize("cancel", ["never", "behind the first", "behind all"])
def test_what_a_report_voids_is_the_version_before_it(order: tuple[int, ...], cancel: str) -> None:
    """It takes nothing from a correction that comes later."""
    versions = {1: execution(exec_id(1), 4), 2: execution(exec_id(1, 2), 3), 3: execution(exec_id(1, 3), 2)}
    void = replace(execution(exec_id(1, 106002), 4), quantity=ZERO)
    story = Story()
    for number in order:
        story.tell(versions[number])
        if cancel == "behind the first" and number == order[0]:
            story.tell(void)
            assert held(story) == 0
    if cancel == "behind all":
        story.tell(void)
    voided = {"never": False, "behind the first": order[0] == 3, "behind all": True}
    assert held(story) == (0 if voided[cancel] else 2)


@pytest.mark.parametrize("void_first", [False, True])
def test_correction_that_changes_no_value_stays_void(void_first: bool) -> None:
    """A report's void is of each version with those values, and one of nothing known is of all."""
    story = Story()
    for number in (106002, 1, 2) if void_first else (1, 106002, 2):
        told = execution(exec_id(1, number), 4)
        story.tell(told if number < 999 else replace(told, quantity=ZERO))
    assert held(story) == 0


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_highest_correction_is_in_force(order: tuple[int, ...]) -> None:
    """Corrections in any order leave the highest in force."""
    versions = {
        1: execution(exec_id(1, 1), 4),
        2: execution(exec_id(1, 2), 5),
        3: execution(exec_id(1, 3), 7),
    }
    story = Story()
    for number in order:
        story.tell(versions[number])
    assert (quantity(story), news(story)["filled_qty"], news(story)["exec_id"]) == (7, 7, exec_id(1, 3))
    assert booked(story, exec_id(1, 3)).superseded_by == ""


def test_correction_stands_where_first_version_stood() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189))
    story.tell(execution(exec_id(1, 2), 4, "2.75", at=20))
    position = shown(story).position
    assert position is not None
    assert (position["quantity"], position["avg_price"], shown(story).open) == (0, 2.75, False)


def test_correction_after_close_opens_alert_again() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189))
    assert not shown(story).open
    events = story.tell(execution(exec_id(1, 2), 5))
    assert (shown(story).open, quantity(story)) == (True, 1)
    assert [event.kind for event in events] == [EventKind.CORRECTION, EventKind.OPENED]


def test_a_corrected_sale_can_shut_it() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -3, at=10, perm_id=189))
    story.tell(execution(exec_id(2, 2), -4, at=10, perm_id=189))
    assert (shown(story).open, quantity(story)) == (False, 0)


def test_reopened_removed_record_needs_a_person() -> None:
    """A record that was removed goes to the inbox when a correction reopens it."""
    story = Story(policy=ClosingPolicy.REMOVE)
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189))
    assert shown(story).remove
    story.tell(execution(exec_id(1, 2), 5))
    assert (shown(story).remove, shown(story).open) == (False, True)
    assert [event.kind for event in story.events][-2:] == [EventKind.NEEDS_YOU, EventKind.OPENED]
    (row,) = story.state.find(EXECUTIONS, "inbox", "reopened")
    assert row.execution.exec_id == exec_id(2)
    story.tell(execution(exec_id(3), 1, at=5, perm_id=190))
    assert booked(story, exec_id(2)).attention is Attention.REOPENED


def test_reopening_that_goes_leaves_what_the_fill_opens_itself() -> None:
    """What reopened the record is void: the sale opens a short again, of which several alerts agree."""
    story = Story(policy=ClosingPolicy.REMOVE)
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189))
    story.decide = lambda execution: Ambiguous(Rule.SYMBOL, (ALERT, SUCCESSOR))
    story.tell(execution(exec_id(3), -2, at=20, perm_id=190))
    assert booked(story, exec_id(3)).attention is Attention.AMBIGUOUS
    story.tell(execution(exec_id(1, 2), 7))
    assert booked(story, exec_id(3)).attention is Attention.REOPENED
    story.tell(execution(exec_id(1, 3), 4))
    assert booked(story, exec_id(3)).attention is Attention.AMBIGUOUS


@pytest.mark.parametrize("how", ["sold", "back", "replaced"])
def test_reopened_record_needs_nobody_once_that_is_settled(how: str) -> None:
    """What was held again is sold, the record is back, or another record took it over."""
    story = Story(policy=ClosingPolicy.REMOVE)
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189))
    story.tell(execution(exec_id(1, 2), 5))
    story.note(Source.STORE, "gone", *alert_fields(ALERT))
    settle_reopened(story.state, SUCCESSOR)
    assert booked(story, exec_id(2)).attention is Attention.REOPENED
    if how == "sold":
        story.tell(execution(exec_id(3), -1, at=20, perm_id=190))
    elif how == "back":
        story.note(Source.STORE, "back", *alert_fields(ALERT))
    else:
        story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR))
    assert booked(story, exec_id(2)).attention is Attention.NONE


@pytest.mark.parametrize(
    "change",
    [
        {"perm_id": 189},
        {"contract": replace(NVDA, con_id=700100201)},
        {"account": SECOND_ACCOUNT},
        {"signed": -3},
    ],
    ids=["another order", "another contract", "another account", "another side"],
)
def test_other_digits_are_no_correction(change: dict[str, object]) -> None:
    """What differs in more than the last digits is no correction."""
    story = Story(unmatched)
    other = execution(exec_id(1, 2), **{"signed": 3, **change})  # type: ignore[arg-type]  # a table of changes
    story.tell(execution(exec_id(1), 4), other)
    assert booked(story, exec_id(1)).superseded_by == ""
    assert EventKind.CORRECTION not in kinds(story)


@pytest.mark.parametrize("known", [(0, 188), (188, 0)], ids=["later", "before"])
def test_a_version_without_order_is_a_version(known: tuple[int, int]) -> None:
    """A report without IB Order ID, or the broker at first, names no order: it may be any."""
    story = Story()
    story.tell(execution(exec_id(1, 2), 3, perm_id=known[0]))
    assert quantity(story) == 3
    story.tell(execution(exec_id(1), 4, perm_id=known[1]))
    assert (quantity(story), held(story)) == (3, 3)
    story.tell(replace(execution(exec_id(1, 3), 4, perm_id=known[1]), quantity=Decimal(0)))
    assert (quantity(story), held(story)) == (0, 0)


def test_a_correction_keeps_the_decision_made_before() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.decide = matched(OTHER)
    story.tell(execution(exec_id(1, 2), 5))
    assert (quantity(story), untouched(story, OTHER)) == (5, True)


def test_a_bust_to_nothing_empties_the_alert() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    nothing = replace(execution(exec_id(1, 2), 1), quantity=Decimal(0))
    story.tell(nothing)
    assert (shown(story).open, quantity(story)) == (False, 0)
    assert shown(story).position == {
        "quantity": 0,
        "avg_price": None,
        "opened_at": None,
        "closed_at": None,
        "closed_by": None,
        "shared_with": [],
    }


# Combos

BAG = Contract(28812380, "SPX", "BAG")
LONG_LEG = replace(NVDA, con_id=701, symbol="SPX")
SHORT_LEG = replace(NVDA, con_id=702, symbol="SPX")


def test_combo_counts_its_legs_and_not_itself() -> None:
    story = Story()
    legs = ((701, 1), (702, 2))
    story.tell(OpenOrder(42, 7, 188, ACCOUNT, BAG, "BUY", Decimal(5), "", "Submitted", legs))
    story.tell(
        execution("0000e0d5.00000001.01.01", 5, "1.20", contract=BAG, cum_qty=5),
        execution("0000e0d5.00000001.02.01", 5, "3.00", contract=LONG_LEG),
        execution("0000e0d5.00000001.03.01", -10, "0.90", contract=SHORT_LEG),
    )
    assert (held(story, 701), held(story, 702)) == (5, -10)
    assert story.state.find(EXECUTIONS, "contract", f"{ACCOUNT} {BAG.con_id}")[0].folded
    assert (news(story)["con_id"], news(story)["filled_qty"], news(story)["status"]) == (702, 10, "FILLED")
    assert story.ledger.take_sweep_reasons() == []


def test_a_corrected_combo_line_still_counts_nothing() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 5, contract=BAG), execution(exec_id(1, 2), 4, contract=BAG))
    assert untouched(story)
    assert booked(story, exec_id(1)).superseded_by == exec_id(1, 2)


def test_late_match_takes_newest_version() -> None:
    """The store's note names the version that was found unmatched first."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(1, 2), 3))
    story.decide = matched(ALERT)
    story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1))
    assert booked(story, exec_id(1, 2)).owners == (ALERT,)


@pytest.mark.parametrize("version", ["1" * 5000, "1" * 19, "٣", "", "1a"])
def test_impossible_version_is_no_correction(version: str) -> None:
    """It is asked of fields that nobody has bounded yet, and never raises."""
    assert correction_parts(f"a.b.c.{version}") is None
