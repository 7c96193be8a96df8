"""What the ledger makes of executions: identity, decisions and the hands of a person."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    START,
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
from tracker.core.alert_updates import EventKind
from tracker.core.ledger import Ledger
from tracker.core.model import (
    AlertId,
    Ambiguous,
    CompletedOrder,
    End,
    EndOf,
    Execution,
    Match,
    Matched,
    Notice,
    Rejection,
    Rule,
    Source,
    Undecodable,
    Unmatched,
)
from tracker.core.state import ALERTS, EXECUTIONS, UNDECODED
from tracker.core.state_rows import Attention, alert_text

OTHER = AlertId("real-day-trading", "NVDA", "2025-11-18T15:40:00", 700100200)
SECOND_ACCOUNT = "DU9000001"
NEAR = Unmatched("no alert names this contract", (Rejection(ALERT, "another strike", near=True),))


# Opening and closing


def test_partial_fill_opens_and_rest_adds() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    assert (shown(story).open, quantity(story)) == (True, 4)
    story.tell(execution(exec_id(2), 6, at=1))
    assert (shown(story).open, quantity(story), news(story)["filled_qty"]) == (True, 10, 10)
    assert kinds(story) == [EventKind.FILL, EventKind.OPENED, EventKind.FILL, EventKind.CHANGED]


def test_partial_exit_keeps_it_open() -> None:
    """A partial exit keeps it open and the last sale closes it."""
    story = Story()
    story.tell(execution(exec_id(1), 10))
    story.tell(execution(exec_id(2), -4, at=1, perm_id=189))
    assert (shown(story).open, quantity(story)) == (True, 6)
    story.tell(execution(exec_id(3), -6, at=2, perm_id=189))
    assert (shown(story).open, quantity(story)) == (False, 0)
    assert kinds(story)[-1] is EventKind.CLOSED


def test_selling_to_open_shows_a_negative_quantity() -> None:
    story = Story()
    story.tell(execution(exec_id(1), -3))
    assert (shown(story).open, quantity(story)) == (True, -3)


def test_flip_closes_one_and_opens_other() -> None:
    story = Story(lambda execution: matched(ALERT if execution.signed > 0 else OTHER)(execution))
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -6, at=1, perm_id=189))
    assert (shown(story).open, quantity(story)) == (False, 0)
    assert (shown(story, OTHER).open, quantity(story, OTHER)) == (True, -2)


def test_a_fill_of_no_alert_touches_nothing() -> None:
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4))
    assert untouched(story)
    assert held(story) == 4
    assert booked(story, exec_id(1)).attention is Attention.NONE


# Identity


def test_five_deliveries_count_once() -> None:
    story = Story()
    for at in range(5):
        story.tell(execution(exec_id(1), 4, request_id=-1 if at % 2 else 900 + at))
    assert (quantity(story), news(story)["filled_qty"], held(story)) == (4, 4, 4)
    assert kinds(story).count(EventKind.FILL) == 1


def test_repeat_with_other_values_is_reported() -> None:
    """A repeat with other values is reported and changes nothing."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    (event,) = story.tell(execution(exec_id(1), 5))
    assert event.kind is EventKind.CONFLICT
    assert event.what["exec_id"] == exec_id(1)
    assert "other values" in str(event.what["note"])
    assert quantity(story) == 4


def test_exec_id_in_two_accounts() -> None:
    """One execId in two accounts is two fills."""
    story = Story()
    story.tell(execution(exec_id(1), 4), execution(exec_id(1), 6, account=SECOND_ACCOUNT))
    assert quantity(story) == 10
    assert (held(story), held(story, account=SECOND_ACCOUNT)) == (4, 6)


def test_long_and_short_accounts_are_open() -> None:
    """Long in one account and short in another is open."""
    story = Story()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -4, account=SECOND_ACCOUNT))
    assert (shown(story).open, quantity(story)) == (True, 0)


def test_five_segment_ids_are_separate_fills() -> None:
    story = Story()
    story.tell(execution("0000e0d5.00000001.01.01.01", 4), execution("0000e0d5.00000001.01.01.02", 6, at=1))
    assert quantity(story) == 10
    assert EventKind.CORRECTION not in kinds(story)


def test_orders_without_a_perm_id_are_apart() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4, perm_id=0, order_id=5))
    story.tell(execution(exec_id(2), 6, perm_id=0, order_id=6, at=1))
    assert (news(story)["filled_qty"], news(story)["order_id"], quantity(story)) == (6, "6", 10)


def test_executions_without_order_stand_alone() -> None:
    """Executions that name no order stand for themselves."""
    story = Story()
    story.tell(execution(exec_id(1), 4, perm_id=0, order_id=0))
    story.tell(execution(exec_id(2), 6, perm_id=0, order_id=0, at=1))
    assert (news(story)["filled_qty"], quantity(story)) == (6, 10)


def test_order_id_with_two_perm_ids() -> None:
    """One order id with two perm ids is two orders."""
    story = Story()
    story.tell(execution(exec_id(1), 4, perm_id=188), execution(exec_id(2), 6, perm_id=189, at=1))
    assert (news(story)["filled_qty"], news(story)["perm_id"], quantity(story)) == (6, 189, 10)


def test_reused_order_id_is_another_order() -> None:
    """An order id that is used again is another order."""
    story = Story()
    story.tell(execution(exec_id(1), 4, order_id=3, perm_id=188))
    story.reconnect()
    story.tell(execution(exec_id(9), 2, order_id=3, perm_id=477, at=3600))
    assert (news(story)["filled_qty"], quantity(story)) == (2, 6)


def test_unwatched_account_opens_nothing() -> None:
    """An account that is not watched is booked and opens nothing."""
    story = Story()
    story.ledger = Ledger(story.state, lambda fill, now: matched(ALERT)(fill), accounts=[ACCOUNT])
    story.tell(execution(exec_id(1), 4, account=SECOND_ACCOUNT))
    assert untouched(story)
    assert held(story, account=SECOND_ACCOUNT) == 4
    assert "not watched" in str(booked(story, exec_id(1), SECOND_ACCOUNT).match)


# Decisions that come later


def test_fill_before_its_alert_is_matched() -> None:
    """A fill before its alert is matched when the alert appears."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4))
    story.decide = matched(ALERT)
    story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1))
    assert (shown(story).open, quantity(story)) == (True, 4)


def test_rematch_that_finds_same_changes_nothing() -> None:
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4))
    assert story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1)) == []
    assert story.note(Source.STORE, "rematch", ACCOUNT, "never.heard.of.01") == []


def test_correction_without_time_takes_first_ones() -> None:
    """Found by seed 21118: the receipt of the correction made an old fill young enough for a new alert."""
    seen: list[Execution] = []

    def decide(execution: Execution) -> Match:
        seen.append(execution)
        return unmatched(execution)

    story = Story(decide)
    story.tell(execution(exec_id(1), 4, at=5))
    story.now += timedelta(seconds=900)
    story.tell(replace(execution(exec_id(1, 2), 3, at=900), time_known=False))
    story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1, 2))
    assert (seen[-1].exec_id, seen[-1].time) == (exec_id(1, 2), START + timedelta(seconds=5))


def test_referenced_order_is_not_matched_again() -> None:
    """What its reference decided stays, though a conid names another alert."""
    story = Story(matched(ALERT, rule=Rule.ORDER_REF))
    story.tell(execution(exec_id(1), 4))
    story.decide = matched(OTHER)
    assert story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1)) == []


def test_decision_before_fold_is_used_by_it() -> None:
    story = Story(unmatched)
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(1), 4, request_id=900))
    story.decide = matched(ALERT)
    story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1))
    assert untouched(story)
    story.note(Source.LINK, "timeout", "executions", "900")
    assert quantity(story) == 4


@pytest.mark.parametrize(
    ("match", "attention"),
    [
        (Ambiguous(Rule.SYMBOL, (ALERT, OTHER)), Attention.AMBIGUOUS),
        (NEAR, Attention.NEAR_MISS),
        (Unmatched("nothing"), Attention.NONE),
        (Matched(((ALERT, Rule.CON_ID),)), Attention.NONE),
    ],
)
def test_only_what_person_can_decide_needs_one(match: Match, attention: Attention) -> None:
    story = Story(lambda execution: match)
    story.tell(execution(exec_id(1), 4))
    assert booked(story, exec_id(1)).attention is attention
    found = story.state.find(EXECUTIONS, "inbox", attention.value) if attention else []
    assert len(found) == bool(attention)
    assert kinds(story).count(EventKind.NEEDS_YOU) == bool(attention)


def test_person_is_asked_once_for_each_reason() -> None:
    story = Story(lambda execution: NEAR)
    story.tell(execution(exec_id(2), 4, at=60))
    story.tell(execution(exec_id(1), 1, at=30))
    assert kinds(story).count(EventKind.NEEDS_YOU) == 2
    story.decide = lambda execution: Ambiguous(Rule.SYMBOL, (ALERT, OTHER))
    asked = story.note(Source.STORE, "rematch", ACCOUNT, exec_id(2))
    assert [(event.kind, event.what["note"]) for event in asked] == [(EventKind.NEEDS_YOU, "ambiguous")] * 2


def test_what_was_dismissed_is_not_asked_again() -> None:
    story = Story(lambda execution: NEAR)
    story.tell(execution(exec_id(1), 4))
    story.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1))
    story.decide = lambda execution: Ambiguous(Rule.SYMBOL, (ALERT, OTHER))
    assert story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1)) == []


def test_a_closing_fill_needs_nobody() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.decide = lambda execution: NEAR
    story.tell(execution(exec_id(2), -4, at=1, perm_id=189))
    assert booked(story, exec_id(2)).attention is Attention.NONE


def test_what_is_all_closed_is_not_matched_again() -> None:
    """Rule 1.5: nothing of it is left as that is decided, so its near miss is what is told of it."""
    story = Story(lambda execution: NEAR)
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -4, at=1, perm_id=189))
    story.decide = unmatched
    story.note(Source.STORE, "rematch", ACCOUNT, exec_id(1))
    assert booked(story, exec_id(1)).attention is Attention.NEAR_MISS


def test_person_assigns_fill_and_moves_it() -> None:
    story = Story(lambda execution: Ambiguous(Rule.SYMBOL, (ALERT, OTHER)))
    story.tell(execution(exec_id(1), 4))
    events = story.note(Source.PERSON, "assign", ACCOUNT, exec_id(1), *alert_fields(ALERT))
    assert [event.kind for event in events] == [EventKind.SETTLED, EventKind.OPENED]
    assert events[0].what["note"] == f"assigned to {ALERT.name}"
    assert (quantity(story), news(story)["matched_by"]) == (4, "person")
    assert booked(story, exec_id(1)).attention is Attention.NONE
    story.note(Source.PERSON, "assign", ACCOUNT, exec_id(1), *alert_fields(OTHER))
    assert (quantity(story), shown(story).open, quantity(story, OTHER)) == (0, False, 4)
    assert story.note(Source.PERSON, "assign", ACCOUNT, exec_id(1), *alert_fields(OTHER)) == []


def test_fill_reassigned_within_a_batch() -> None:
    """An alert that a person took the fill from in the same batch is never written."""
    story = Story()
    story.batch(
        execution(exec_id(1), 4),
        (Source.LINK, ("quiet", "900")),
        (Source.PERSON, ("assign", ACCOUNT, exec_id(1), *alert_fields(OTHER))),
    )
    assert (untouched(story), quantity(story, OTHER)) == (True, 4)


def test_a_person_dismisses_a_fill() -> None:
    story = Story(lambda execution: NEAR)
    story.tell(execution(exec_id(1), 4))
    (event,) = story.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1))
    assert story.state.find(EXECUTIONS, "inbox", "near_miss") == []
    assert (event.kind, event.what["exec_id"], event.what["note"]) == (
        EventKind.SETTLED,
        exec_id(1),
        "dismissed",
    )
    assert story.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1)) == []


def test_decision_about_unknown_fill_changes_nothing() -> None:
    """What a person says of an unknown fill changes nothing."""
    story = Story()
    assert story.note(Source.PERSON, "assign", ACCOUNT, exec_id(1), *alert_fields(ALERT)) == []
    assert story.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1)) == []


# A record that another one replaced


def test_a_record_is_not_taken_over_twice() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR))
    assert story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(OTHER)) == []
    assert story.note(Source.STORE, "replaced", *alert_fields(OTHER), *alert_fields(SUCCESSOR)) == []
    assert quantity(story, SUCCESSOR) == 4


def test_record_that_owns_nothing_hands_nothing_on() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -4, at=1, perm_id=189))
    assert story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR)) == []
    assert untouched(story, SUCCESSOR)
    assert story.state.find(ALERTS, "kept", "1") == []


def test_returning_record_takes_back_its_lots() -> None:
    """A record that a stale copy brings back takes back what it handed on."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR))
    story.note(Source.STORE, "replaced", *alert_fields(SUCCESSOR), *alert_fields(ALERT))
    story.tell(execution(exec_id(2), 1, at=9))
    assert (quantity(story), quantity(story, SUCCESSOR)) == (5, 4)
    (kept,) = story.state.find(ALERTS, "kept", "1")
    assert kept.alert == ALERT


def test_record_put_back_is_kept() -> None:
    """A record that another program put back is kept again."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.note(Source.STORE, "gone", *alert_fields(ALERT))
    story.note(Source.STORE, "back", *alert_fields(ALERT))
    story.note(Source.STORE, "back", *alert_fields(OTHER))
    (kept,) = story.state.find(ALERTS, "kept", "1")
    assert kept.alert == ALERT


def test_record_that_is_gone_is_not_kept() -> None:
    """A record that is gone is no longer kept as it was."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.note(Source.STORE, "gone", *alert_fields(ALERT))
    assert story.state.find(ALERTS, "kept", "1") == []
    story.note(Source.STORE, "gone", *alert_fields(OTHER))
    assert story.state.get(ALERTS, alert_text(OTHER)) is None


def test_record_without_contract_can_be_named() -> None:
    bare = AlertId("real-day-trading", "TSLA", "2025-11-18T15:40:00", None)
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4))
    story.note(Source.PERSON, "assign", ACCOUNT, exec_id(1), *alert_fields(bare))
    assert quantity(story, bare) == 4


# What could not be read, and what says nothing


def test_unreadable_execution_asks_for_one_sweep() -> None:
    """An execution that cannot be read asks for one sweep and is healed by it."""
    story = Story()
    (event,) = story.tell(Undecodable("execution", "no such time zone", exec_id(1)))
    assert (event.kind, event.what["reason"]) == (EventKind.UNDECODABLE, "no such time zone")
    assert story.ledger.take_sweep_reasons() == [f"execution {exec_id(1)} could not be read"]
    story.tell(Undecodable("execution", "no such time zone", exec_id(1)))
    assert story.ledger.take_sweep_reasons() == []
    story.sweep(execution(exec_id(1), 4, request_id=900))
    assert story.state.find(UNDECODED, "open", "1") == []
    assert quantity(story) == 4


def test_one_sweep_even_after_a_restart() -> None:
    story = Story()
    story.tell(Undecodable("execution", "no such time zone", exec_id(1)))
    story.tell(Undecodable("order", "too short"))
    story.restart()
    story.tell(Undecodable("execution", "no such time zone", exec_id(1)))
    assert story.ledger.take_sweep_reasons() == []
    story.tell(execution(exec_id(1), 4))
    assert [row.kind for row in story.state.find(UNDECODED, "open", "1")] == ["order"]


def test_unrelated_facts_change_nothing() -> None:
    """What says nothing of a fill changes nothing."""
    story = Story()
    assert story.tell(Notice(-1, 2104, "a data farm"), CompletedOrder(188, ACCOUNT, "Filled")) == []
    assert story.tell(End(EndOf.OPEN_ORDERS, -1)) == []
    assert story.note(Source.LINK, "weather", "fine") == []


# Times


def test_fills_fold_by_execution_time() -> None:
    """Fills fold by execution time and not by arrival."""
    story = Story()
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189))
    assert quantity(story) == -4
    story.tell(execution(exec_id(1), 4, at=5))
    assert (shown(story).open, quantity(story)) == (False, 0)
    position = shown(story).position
    assert position is not None
    assert position["opened_at"] == (START + timedelta(seconds=5)).isoformat(timespec="microseconds")


def test_execution_decides_with_alerts_of_its_arrival() -> None:
    asked: list[Execution] = []

    def decide(execution: Execution) -> Match:
        asked.append(execution)
        return Unmatched("none yet")

    story = Story(decide)
    story.tell(execution(exec_id(1), 4), execution(exec_id(1), 4))
    assert [one.exec_id for one in asked] == [exec_id(1)]


def test_new_ledger_continues_the_state() -> None:
    """A new ledger over the same state goes on."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.restart()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 6, at=1))
    story.restart()
    story.tell(execution(exec_id(3), -10, at=2, perm_id=189))
    assert (shown(story).open, quantity(story)) == (False, 0)


def test_unrefused_frame_needs_no_healing() -> None:
    """Frame that was never refused needs no healing."""
    story = Story()
    story.ledger.heal(99)
    assert list(story.state.every(UNDECODED)) == []
