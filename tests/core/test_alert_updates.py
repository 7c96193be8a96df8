"""What a record must show, and what becomes of it when its position is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    NVDA,
    Story,
    alert_fields,
    exec_id,
    execution,
    fee,
    holding,
    kinds,
    matched,
    news,
    open_order,
    position,
    quantity,
    shown,
    untouched,
)
from tracker.core.alert_updates import ClosingPolicy, EventKind, instant, number
from tracker.core.model import AlertId, End, EndOf, Matched, OpenOrder, Rule, Source
from tracker.core.state import ALERTS
from tracker.core.state_rows import alert_text

OTHER = AlertId("real-day-trading", "NVDA", "2025-11-18T15:40:00", 700100200)
SECOND_ACCOUNT = "DU9000001"
LATER = replace(NVDA, con_id=700100201)


def where(story: Story, alert: AlertId = ALERT) -> dict[str, object]:
    told = shown(story, alert).position
    assert told is not None
    return dict(told)


def closed_story(policy: ClosingPolicy = ClosingPolicy.MARK) -> Story:
    story = Story(policy=policy)
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189))
    return story


def test_everything_that_a_record_shows() -> None:
    story = Story()
    story.tell(
        open_order(10),
        execution(exec_id(1), 1, "2.50"),
        execution(exec_id(2), 3, "2.54", at=60),
        fee(exec_id(1), "1.30"),
        fee(exec_id(2), "1.30"),
    )
    assert shown(story).alert == ALERT
    assert list(news(story).items()) == [
        ("order_id", "42"),
        ("status", "PARTIALLY_FILLED"),
        ("filled_qty", 4),
        ("updated_at", "2025-11-18T15:43:00.012000+00:00"),
        ("remaining_qty", 6),
        ("avg_fill_price", 2.53),
        ("last_fill_price", 2.54),
        ("side", "BUY"),
        ("account", ACCOUNT),
        ("perm_id", 188),
        ("con_id", 700100200),
        ("exec_id", exec_id(2)),
        ("matched_by", "con_id"),
        ("commission", 2.6),
        ("realized_pnl", None),
    ]
    assert list(where(story).items()) == [
        ("quantity", 4),
        ("avg_price", 2.53),
        ("opened_at", "2025-11-18T15:43:00.000000+00:00"),
        ("closed_at", None),
        ("closed_by", None),
        ("shared_with", []),
    ]
    assert json.dumps(where(story))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4", "4"), ("4.0", "4"), ("0.25", "0.25"), ("1E+2", "100"), ("-3", "-3"), ("0", "0"), (None, "null")],
)
def test_integral_numbers_are_ints(text: str | None, expected: str) -> None:
    assert json.dumps(number(None if text is None else Decimal(text))) == expected


@pytest.mark.parametrize(("order_id", "expected"), [(42, "42"), (0, "188"), (-7, "188")])
def test_manual_order_shows_its_perm_id(order_id: int, expected: str) -> None:
    """A manual order is named by its permId."""
    story = Story()
    story.tell(execution(exec_id(1), 4, order_id=order_id))
    assert news(story)["order_id"] == expected


@pytest.mark.parametrize("rule", list(Rule))
def test_the_rule_is_named(rule: Rule) -> None:
    story = Story(matched(ALERT, rule=rule))
    story.tell(execution(exec_id(1), 4))
    assert news(story)["matched_by"] == rule.value


def test_a_closing_fill_follows_ownership() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -1, at=1, perm_id=189))
    assert (news(story)["matched_by"], news(story)["side"]) == ("ownership", "SELL")


def test_each_alert_names_its_own_rule() -> None:
    """Each of several alerts names its own rule."""
    both = Matched(((ALERT, Rule.CON_ID), (OTHER, Rule.CONTRACT)))
    story = Story(lambda execution: both)
    story.tell(execution(exec_id(1), 4))
    assert (news(story)["matched_by"], news(story, OTHER)["matched_by"]) == ("con_id", "contract")
    assert where(story)["shared_with"] == ["real-day-trading/NVDA"]


def test_flip_is_ownership_for_closed_alert() -> None:
    """A flip into another alert is ownership for the one it closed."""
    story = Story(lambda execution: matched(ALERT if execution.signed > 0 else OTHER)(execution))
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -6, at=1, perm_id=189))
    assert (news(story)["matched_by"], news(story, OTHER)["matched_by"]) == ("ownership", "con_id")


def test_combo_leg_counts_what_its_ratio_wants() -> None:
    story = Story()
    bag = replace(NVDA, con_id=28812380, sec_type="BAG")
    legs = ((NVDA.con_id, 2), (LATER.con_id, 1))
    story.tell(
        OpenOrder(42, 7, 188, ACCOUNT, bag, "BUY", open_order(5).total, "", "Submitted", legs),
        execution(exec_id(1), 4),
    )
    assert (news(story)["filled_qty"], news(story)["remaining_qty"]) == (4, 6)


# Several contracts and accounts under one record


def test_contracts_are_never_netted_against_each_other() -> None:
    story = Story()
    story.tell(
        execution(exec_id(1), 4, "2"), execution(exec_id(2), -4, "3", contract=LATER, perm_id=189, at=1)
    )
    assert (shown(story).open, where(story)["quantity"], where(story)["avg_price"]) == (True, 0, 2.5)
    assert news(story)["con_id"] == LATER.con_id


def test_closes_when_last_contract_is_over() -> None:
    """It closes when the last of its contracts is over."""
    story = Story()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 2, contract=LATER, perm_id=189, at=1))
    story.tell(execution(exec_id(3), -2, contract=LATER, perm_id=190, at=2))
    assert (shown(story).open, quantity(story)) == (True, 4)
    story.tell(execution(exec_id(4), -4, perm_id=191, at=3))
    assert (shown(story).open, quantity(story)) == (False, 0)
    assert where(story)["closed_at"] == "2025-11-18T15:43:03.000000+00:00"


def test_accounts_closed_in_one_second() -> None:
    """The sale with the later execId is the last one, in any order of arrival; its account shows."""
    story = Story()
    story.tell(execution(exec_id(1), 1, "2"), execution(exec_id(2), 1, "7", account=SECOND_ACCOUNT, at=1))
    sold = execution(exec_id(4), -1, at=9, perm_id=189)
    story.tell(sold, execution(exec_id(3), -1, at=9, perm_id=190, account=SECOND_ACCOUNT))
    assert (where(story)["avg_price"], news(story)["exec_id"]) == (2, exec_id(4))


def test_one_account_may_be_over() -> None:
    """One account may be over while another is not."""
    story = Story()
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 3, account=SECOND_ACCOUNT, at=1))
    story.tell(execution(exec_id(3), -4, at=2, perm_id=189))
    assert (shown(story).open, quantity(story)) == (True, 3)


# Who is closed by a sale


def test_mirrored_alerts_are_closed_together() -> None:
    story = Story(matched(ALERT, OTHER))
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), -4, at=1, perm_id=189))
    assert (shown(story).open, shown(story, OTHER).open) == (False, False)


def test_the_oldest_is_closed_first() -> None:
    story = Story(lambda execution: matched(ALERT if execution.perm_id == 188 else OTHER)(execution))
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 4, perm_id=189, at=1))
    story.tell(execution(exec_id(3), -4, perm_id=190, at=2))
    assert (shown(story).open, shown(story, OTHER).open) == (False, True)


@pytest.mark.parametrize("reference", ["real-day-trading/NVDA", "tracker:REAL-DAY-TRADING/NVDA"])
def test_alert_that_order_names_is_closed_first(reference: str) -> None:
    story = Story(lambda execution: matched(ALERT if execution.perm_id == 188 else OTHER)(execution))
    story.tell(execution(exec_id(1), 4), execution(exec_id(2), 4, perm_id=189, at=1))
    story.tell(execution(exec_id(3), -4, perm_id=190, at=2, order_ref=reference))
    assert (shown(story).open, shown(story, OTHER).open) == (True, False)


# Policies


@pytest.mark.parametrize(
    ("policy", "is_open", "removed"),
    [
        (ClosingPolicy.MARK, False, False),
        (ClosingPolicy.KEEP, True, False),
        (ClosingPolicy.REMOVE, False, True),
    ],
)
def test_policy_says_what_becomes_of_closed_alert(
    policy: ClosingPolicy, is_open: bool, removed: bool
) -> None:
    story = closed_story(policy)
    assert (shown(story).open, shown(story).remove) == (is_open, removed)
    assert (where(story)["quantity"], where(story)["avg_price"]) == (0, 2.5)
    assert where(story)["closed_at"] == "2025-11-18T15:43:10.000000+00:00"
    assert where(story)["closed_by"] is None


def test_removed_record_is_not_kept_in_store() -> None:
    story = closed_story(ClosingPolicy.REMOVE)
    assert story.state.find(ALERTS, "kept", "1") == []


def test_opened_anew_it_shows_no_close() -> None:
    story = closed_story()
    story.tell(execution(exec_id(3), 2, "9", at=20, perm_id=190))
    assert (shown(story).open, quantity(story), where(story)["closed_at"]) == (True, 2, None)
    assert where(story)["opened_at"] == "2025-11-18T15:43:20.000000+00:00"
    assert story.events[-1].kind is EventKind.OPENED


def test_opening_and_closing_in_one_batch() -> None:
    """As when a first sweep brings a whole round trip, and again when a later one does."""
    story = Story()
    first = story.tell(execution(exec_id(1), 4), execution(exec_id(2), -4, at=10, perm_id=189))
    later = story.tell(
        execution(exec_id(3), 2, at=20, perm_id=190), execution(exec_id(4), -2, at=30, perm_id=191)
    )
    for events in (first, later):
        told = [EventKind.FILL, EventKind.FILL, EventKind.OPENED, EventKind.CLOSED]
        assert [event.kind for event in events] == told
        assert events[-1].what["alert"] == events[-2].what["alert"] == ALERT.name


def test_corrected_price_of_closed_alert_opens_nothing() -> None:
    story = closed_story()
    events = story.tell(execution(exec_id(1, 2), 4, "2.75", at=20))
    assert [event.kind for event in events] == [EventKind.CORRECTION, EventKind.CHANGED]


@pytest.mark.parametrize("policy", list(ClosingPolicy))
def test_record_that_owns_nothing_is_closed(policy: ClosingPolicy) -> None:
    """A record that owns nothing after all is closed whatever the policy."""
    story = Story(policy=policy)
    story.tell(execution(exec_id(1), 4))
    story.note(Source.PERSON, "assign", ACCOUNT, exec_id(1), *alert_fields(OTHER))
    assert (shown(story).open, shown(story).remove, quantity(story)) == (False, False, 0)
    assert news(story)["exec_id"] == exec_id(1)


def test_untouched_record_is_not_written() -> None:
    """A record that never showed anything is not written for nothing."""
    story = Story()
    frame = story._frame(Source.BROKER, ("fact",), 0.1)
    story.ledger.apply(frame, execution(exec_id(1), 4))
    frame = story._frame(Source.PERSON, ("assign", ACCOUNT, exec_id(1), *alert_fields(OTHER)), 0.1)
    story.ledger.apply(frame, None)
    story.ledger.settle(frame)
    assert untouched(story)
    assert quantity(story, OTHER) == 4


# A close that the broker contradicts


def sold_but_contradicted() -> Story:
    """Return a story whose alert is sold out, while a newer position says that 4 are still held."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189), position(4))
    return story


def test_newer_position_of_broker_keeps_it_open() -> None:
    story = sold_but_contradicted()
    assert (shown(story).open, quantity(story), where(story)["closed_at"]) == (True, 0, None)


@pytest.mark.parametrize("told", [0, -1])
def test_it_closes_as_soon_as_position_agrees(told: int) -> None:
    story = sold_but_contradicted()
    if told < 0:
        # We know of one more sale, of no alert, so that what is held is not zero.
        story.decide = lambda execution: matched()(execution)
        story.tell(execution(exec_id(3), -1, at=20, perm_id=190))
    story.tell(position(told))
    assert (shown(story).open, quantity(story)) == (False, 0)


def test_a_position_of_zero_contradicts_no_close() -> None:
    story = Story(
        lambda execution: matched(ALERT)(execution) if execution.signed > 0 else matched()(execution)
    )
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -6, at=10, perm_id=189), position(0))
    assert not shown(story).open


def test_closes_when_position_is_not_listed() -> None:
    """It closes when a complete answer no longer lists the position."""
    story = sold_but_contradicted()
    story.snapshot()
    assert not shown(story).open


def test_stays_open_while_position_is_listed() -> None:
    """It stays open while a complete answer lists the position."""
    story = sold_but_contradicted()
    story.snapshot(position(4))
    assert shown(story).open
    story.restart()
    story.snapshot(position(0))
    assert not shown(story).open


def test_an_older_position_contradicts_nothing() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4), position(4))
    story.tell(execution(exec_id(2), -4, at=10, perm_id=189))
    assert not shown(story).open


@pytest.mark.parametrize("at", [-60, 60])
def test_swept_close_is_newer_than_the_position(at: float) -> None:
    """What was reported before the sweep brought the sale need not contain it, whatever either clock says."""
    story = Story()
    story.tell(execution(exec_id(1), 4, at=-90))
    story.tell(position(4))
    story.sweep(execution(exec_id(2), -4, at=at, perm_id=189, request_id=900))
    assert not shown(story).open


def test_later_position_reopens_nothing() -> None:
    """Once closed a later position does not open it."""
    story = closed_story()
    story.tell(position(4))
    story.snapshot(position(4))
    assert not shown(story).open


# When there is nothing to say


def test_shown_values_are_not_written_again() -> None:
    """What a record shows already is not written again."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    before = shown(story)
    assert story.tell(execution(exec_id(1), 4), End(EndOf.EXECUTIONS, 900), position(4)) == []
    assert shown(story) is before


def test_fills_of_one_batch_update_once() -> None:
    """Several fills of one batch are one piece of news."""
    story = Story()
    events = story.tell(execution(exec_id(1), 4), execution(exec_id(2), 6, at=1))
    assert [event.kind for event in events] == [EventKind.FILL, EventKind.FILL, EventKind.OPENED]


def test_the_state_names_what_its_record_shows() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 4))
    alert_state = story.state.get(ALERTS, alert_text(ALERT))
    assert alert_state is not None
    assert (alert_state.shown, alert_state.order) == (shown(story), "188/0/0")


def test_event_tells_sale_for_another_alert_once() -> None:
    """A reference to an alert that has nothing closes this alert's lots; a fee later is no such news."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    (event,) = [
        each
        for each in story.tell(execution(exec_id(2), -4, perm_id=9, order_ref="tracker:demslayer/NVDA"))
        if each.kind is EventKind.CLOSED
    ]
    assert event.what["note"] == "the order's reference names another alert, of which nothing was left"
    changed = [each for each in story.tell(fee(exec_id(2), "1.05")) if each.kind is EventKind.CHANGED]
    assert [each.what.get("note") for each in changed] == [None]


def test_averages_have_eight_digits() -> None:
    """1 at 1 and 2 at 2 are 1.6666667 on average; the journal has the exact sum, to go on with."""
    story = Story()
    story.tell(execution(exec_id(1), 1, "1"), execution(exec_id(2), 2, "2", at=1))
    assert where(story)["avg_price"] == news(story)["avg_fill_price"] == 1.6666667
    assert holding(story).alerts[0].avg_price == Decimal(5) / 3
    story.tell(execution(exec_id(3), 3, "3", at=2))
    assert where(story)["avg_price"] == 2.3333333, "5 and 9 are 14, of 6"


def test_large_averages_are_rounded_too() -> None:
    story = Story()
    story.tell(execution(exec_id(1), 1, "701234.56"), execution(exec_id(2), 2, "701234.5", at=1))
    assert where(story)["avg_price"] == 701234.52


def test_unrounded_average_of_older_version_is_no_news() -> None:
    """It stays in the file until something else changes; then it is rounded."""
    story = Story()
    story.tell(execution(exec_id(1), 1, "1"), execution(exec_id(2), 2, "2", at=1), fee(exec_id(1), "1"))
    state = story.state.get(ALERTS, alert_text(ALERT))
    assert state is not None
    assert state.shown is not None
    exact = {"avg_price": 5 / 3}, {"avg_fill_price": 5 / 3}
    older = replace(
        state.shown,
        position={**(state.shown.position or {}), **exact[0]},
        last_order_update={**(state.shown.last_order_update or {}), **exact[1]},
    )
    story.state.put(ALERTS, replace(state, shown=older))
    told = len(story.events)
    story.restart()
    story.tell(execution(exec_id(1, 2), 1, "1"), fee(exec_id(1, 2), "1"))
    assert [event.kind for event in story.events[told:] if event.kind is EventKind.CHANGED] == []
    story.tell(fee(exec_id(2), "1"))
    assert where(story)["avg_price"] == 1.6666667
    assert kinds(story)[-1] is EventKind.CHANGED


def test_time_is_written_in_its_own_zone() -> None:
    """The same moment in another zone is another text, whichever was written before."""
    there = timezone(timedelta(hours=-5))
    for _ in range(2):
        assert instant(datetime(2025, 11, 18, 15, 43, tzinfo=UTC)) == "2025-11-18T15:43:00.000000+00:00"
        assert instant(datetime(2025, 11, 18, 10, 43, tzinfo=there)) == "2025-11-18T10:43:00.000000-05:00"


def test_booking_of_a_report_says_what_closed_an_alert() -> None:
    """An exercise that is booked as a trade closes by its cause, a sale by none."""
    for cause in ("exercised", ""):
        story = Story()
        story.tell(execution(exec_id(1), 4))
        story.tell(replace(execution(exec_id(2), -4, at=1), cause=cause), source=Source.FLEX)
        assert (shown(story).position or {})["closed_by"] == (cause or None)
