"""Bugs that the simulation found, each at its smallest; the seed that found it is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.facts import ALERT, NVDA, Story, exec_id, execution, matched, open_order, position, unmatched
from tracker.core.book import ALERTS, HOLDINGS, OUTBOX, Seed, alert_text
from tracker.core.model import AlertId, AlertUpdate, End, EndOf, Notice, Source

POSITIONS_END = End(EndOf.POSITIONS, -1)
HEIR = ALERT._replace(created_at="2025-11-18T15:50:00")


def fields(alert: AlertId) -> tuple[str, str, str, str]:
    return alert.alerter, alert.ticker, alert.created_at, str(alert.option_conid)


def shown(story: Story, alert: AlertId = ALERT) -> AlertUpdate:
    row = story.book.get(OUTBOX, alert_text(alert))
    assert row is not None
    return row.update


def quantity(story: Story, alert: AlertId = ALERT) -> object:
    position_shown = shown(story, alert).position
    assert position_shown is not None
    return position_shown["quantity"]


def seeded(story: Story) -> tuple[Seed, int, int]:
    """Return how the contract was seeded, its base and what is held."""
    row = story.book.get(HOLDINGS, f"DU1234567 {NVDA.con_id}")
    assert row is not None
    return row.seed, int(row.base), int(row.held)


def test_positions_told_while_ibkr_was_lost_seed_nothing() -> None:
    """Seed 3: the fill of the outage came later, with a time from before the request."""
    story = Story()
    story.tell(Notice(-1, 2110, "Connectivity between TWS and server is broken."))
    story.now += timedelta(seconds=60)
    story.snapshot(position(0))
    story.tell(Notice(-1, 1102, "Connectivity between IBKR and TWS has been restored."))
    story.tell(execution(exec_id(1), 4, at=30, request_id=900))
    assert quantity(story) == 4
    story.now += timedelta(seconds=60)
    story.snapshot(position(4))
    assert seeded(story) == (Seed.SNAPSHOT, 0, 4)


def test_a_swept_fill_without_a_readable_time_opens_until_the_next_snapshot_tells() -> None:
    """Seed 59: it was taken for part of the snapshot, so its alert showed too little for good."""
    story = Story()
    story.now += timedelta(seconds=60)
    story.snapshot(position(5))
    story.tell(replace(execution(exec_id(1), 4, at=120, request_id=900), time_known=False))
    assert (seeded(story)[0], quantity(story)) == (Seed.DOUBT, 4)
    story.now += timedelta(seconds=60)
    story.snapshot(position(9))
    assert seeded(story) == (Seed.SNAPSHOT, 5, 9)


def test_a_correction_that_comes_after_the_snapshot_leaves_doubt_until_the_next_one() -> None:
    """Seed 1249: it has the time of what it corrects, so the snapshot seemed to contain it."""
    story = Story()
    story.tell(execution(exec_id(1), 7))
    story.now += timedelta(seconds=60)
    story.snapshot(position(7))
    story.tell(execution(exec_id(1, 2), 1, request_id=900))
    story.now += timedelta(seconds=60)
    story.snapshot(position(1))
    assert seeded(story) == (Seed.SNAPSHOT, 0, 1)


def test_a_sold_leg_of_a_combo_order_is_filled_when_its_share_is() -> None:
    """Seed 32: its ratio is negative, so nothing remained and the order was never FILLED."""
    story = Story()
    order = replace(open_order(5), legs=((NVDA.con_id, -1), (701, 1)))
    story.tell(order, execution(exec_id(1), -4))
    update = shown(story).last_order_update
    assert update is not None
    assert (update["status"], update["remaining_qty"]) == ("PARTIALLY_FILLED", 1)
    story.tell(execution(exec_id(2), -1, at=1))
    update = shown(story).last_order_update
    assert update is not None
    assert (update["status"], update["remaining_qty"]) == ("FILLED", 0)


def test_an_alert_that_appears_is_matched_to_the_version_in_force() -> None:
    """Seed 2222: its appearance was noted for the first version, which a correction had replaced by then."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(1, 2), 3, at=0))
    story.decide = matched(ALERT)
    story.note(Source.STORE, "rematch", "DU1234567", exec_id(1))
    assert quantity(story) == 3


def test_a_record_that_a_stale_copy_brings_back_takes_back_what_it_handed_on() -> None:
    """Seed 0: it stayed as the copy had it, while its heir was gone with the position."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.note(Source.STORE, "replaced", *fields(ALERT), *fields(HEIR))
    assert quantity(story, HEIR) == 4
    story.note(Source.STORE, "replaced", *fields(HEIR), *fields(ALERT))
    story.tell(execution(exec_id(2), -1, at=9, perm_id=189))
    assert (shown(story).open, quantity(story)) == (True, 3)


def test_a_record_that_comes_back_after_its_heir_closed_says_so() -> None:
    """Seed 150: it showed the open position of the copy, which had been closed under its heir."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.note(Source.STORE, "replaced", *fields(ALERT), *fields(HEIR))
    story.tell(execution(exec_id(2), -4, at=9, perm_id=189))
    story.note(Source.STORE, "gone", *fields(HEIR))
    story.note(Source.STORE, "back", *fields(ALERT))
    assert (shown(story).open, quantity(story)) == (False, 0)


def test_a_new_record_shows_nothing_of_a_position_that_was_over_before_it() -> None:
    """Seed 0: the next alert of a contract showed the closed position of the one before."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.tell(execution(exec_id(2), -4, at=9, perm_id=189))
    story.note(Source.STORE, "replaced", *fields(ALERT), *fields(HEIR))
    assert story.book.get(ALERTS, alert_text(HEIR)) is None
    assert story.book.get(OUTBOX, alert_text(HEIR)) is None
