"""Whose an order's lots are when news come late: later fills, creations within a second, corrections.

Expected values are worked out by hand from the rules (MATCHING.md), not from the code.
"""

from __future__ import annotations

from datetime import timedelta

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    START,
    Story,
    alert_fields,
    booked,
    exec_id,
    execution,
    held,
    holding,
    matched,
    quantity,
    shown,
    unmatched,
    untouched,
)
from tests.support.held_stock import STOCK, Held
from tests.support.ownership import OTHER, DatedStory, assign, places, rematch, swept
from tracker.core.model import (
    Ambiguous,
    End,
    EndOf,
    Execution,
    Match,
    Moment,
    Rejection,
    Rule,
    Source,
    Unmatched,
)
from tracker.core.ownership_rows import OwnershipKind
from tracker.core.state import DECISIONS
from tracker.core.state_rows import Attention

NEAR = Unmatched("created 8 min after the fill")


def judged_by_time(fill: Execution) -> Match:
    """Match what was executed from 15:48 on, as for an alert that was created then."""
    early = fill.time < START + timedelta(seconds=300)
    return NEAR if early else matched(ALERT)(fill)


def test_later_fill_is_judged_by_the_first() -> None:
    """The alert is 8 minutes too young for the order's first fill, so its second one is not the alert's."""
    story = Story(judged_by_time)
    story.tell(execution(exec_id(1), 5, at=0), execution(exec_id(2), 1, at=480))
    assert untouched(story)
    assert [lot.owners for lot in holding(story).lots] == [(), ()]


def test_swept_fill_becomes_the_first() -> None:
    """The order is judged by the fill of 15:50 at first, and by the one of 15:42 that a sweep brings."""
    story = Story(judged_by_time)
    story.tell(execution(exec_id(3), 5, at=480, perm_id=9))
    assert quantity(story) == 5
    story.decide = unmatched
    story.tell(execution(exec_id(2), 1, at=480))
    swept(story, execution(exec_id(1), 2, at=1, request_id=900))
    story.decide = judged_by_time
    rematch(story, 2)
    assert (quantity(story), held(story)) == (5, 8)


def test_ambiguous_order_stays_before_a_person() -> None:
    """A rival's going settles nothing, also as a later fill of the order comes."""
    story = Story(lambda fill: Ambiguous(Rule.SYMBOL, (ALERT, OTHER)))
    story.tell(execution(exec_id(1), 5, at=0))
    story.decide = matched(ALERT, rule=Rule.SYMBOL)
    story.tell(execution(exec_id(2), 1, at=1))
    assert untouched(story)
    assert booked(story, exec_id(2)).attention is Attention.AMBIGUOUS


def test_swept_fill_closes_and_opens_for_a_younger_alert() -> None:
    """3 short of the alert since :20; swept: 5 bought at :10, which close 3 short of nobody and open 2.

    Created at :15 the alert has the 2 that were left then, though the very fill closed what was short.
    """
    story = DatedStory()
    story.created[ALERT] = 15
    story.tell(execution(exec_id(1), -3, at=5, perm_id=1))
    assert quantity(story) == -3
    swept(story, execution(exec_id(2), 5, "4.00", at=10, perm_id=2, request_id=900))
    assert (quantity(story), shown(story).open) == (2, True)
    assert (shown(story).position or {})["avg_price"] == 4
    assert places(story) == [(OwnershipKind.YOUNGER, Moment(START + timedelta(seconds=15), 0))]


def test_round_trip_before_the_creation_leaves_nothing() -> None:
    """An order bought 3 at :05 to close a short, and 1 at :10, which is swept; so is the sale at :10, later.

    Created at :15 the alert was written when the 1 had come and gone; the order's earlier fill, matched late,
    comes after that.
    """
    story = DatedStory(unmatched)
    story.created[ALERT] = 15
    story.tell(execution(exec_id(1), -3, at=1, perm_id=1), execution(exec_id(2), 3, at=5, perm_id=2))
    story.decide = matched(ALERT, rule=Rule.SYMBOL)
    swept(story, execution(exec_id(3), 1, at=10, perm_id=2, request_id=900))
    assert quantity(story) == 1
    story.decide = unmatched
    swept(story, execution(exec_id(4), -1, at=10, perm_id=1, request_id=900))
    at = START + timedelta(seconds=15)
    assert [(kind, place.time) for kind, place in places(story)] == [
        (OwnershipKind.YOUNGER, at),
        (OwnershipKind.MATCHED, at),
    ]
    assert (held(story), quantity(story), shown(story).open) == (0, 0, False)
    assert (shown(story).position or {})["opened_at"] is None


def test_successor_stands_behind_a_decision_of_an_earlier_process() -> None:
    """3 of :05 wait for their sweep's end, and are the alert's from its creation at :15 on.

    The next process hears of its successor before the 3 are folded: that is after :15 all the same.
    """
    story = DatedStory()
    story.created[ALERT] = 15
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(1), 3, at=5, request_id=900))
    story.restart()
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(OTHER))
    story.reconnect()
    swept(story)
    assert quantity(story, OTHER) == 3


def test_late_match_stands_behind_what_waits_to_be_folded() -> None:
    """The same on a first start: nothing is folded before the sweep ends, the alert appears within it."""
    story = DatedStory(unmatched)
    story.created[ALERT] = 15
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(1), 3, at=5, perm_id=2, request_id=900))
    story.decide = matched(ALERT, rule=Rule.SYMBOL)
    story.tell(execution(exec_id(2), 1, at=10, perm_id=2, request_id=900), End(EndOf.EXECUTIONS, 900))
    assert [place.time for _, place in places(story)] == [START + timedelta(seconds=15)] * 2


def test_late_match_gives_what_waits_in_the_second_of_its_place() -> None:
    """6 of :42 are nobody's. 1 more of their order and second waits for its sweep's end, and is known as the
    alert is found: all 7 are the alert's once the sweep ends.
    """
    story = DatedStory(unmatched)
    story.created[ALERT] = -15
    story.tell(execution(exec_id(1), 6, at=42, perm_id=2))
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(2), 1, at=42, perm_id=2, request_id=900))
    story.decide = matched(ALERT)
    rematch(story, 1)
    story.tell(End(EndOf.EXECUTIONS, 900))
    assert quantity(story) == 7


def test_execution_of_the_creations_second_stands_behind_it() -> None:
    """Swept: bought 3 at :10, sold 3 at :15, in whose second the alert was created: it had the 3."""
    story = DatedStory()
    story.created[ALERT] = 15.5
    swept(
        story,
        execution(exec_id(1), 3, at=10, perm_id=1, request_id=900),
        execution(exec_id(2), -3, at=15, perm_id=2, request_id=900),
    )
    assert (quantity(story), shown(story).open) == (0, False)


def test_decision_within_a_second_reorders_nothing() -> None:
    """8 short; in one second 10 are bought, the alert appears for them, and 7 sold come in late.

    What grows the position comes first: 15 short, 10 of them bought back, none of the 10 is left to own.
    """
    story = Story(unmatched)
    story.tell(execution(exec_id(1), -8, at=0, perm_id=1))
    story.tell(execution(exec_id(2), 10, at=5, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 2)
    assert quantity(story) == 2
    story.decide = unmatched
    story.tell(execution(exec_id(3), -7, at=5, perm_id=3))
    assert held(story) == -5
    assert quantity(story) in (0, None) or not shown(story).open
    assert booked(story, exec_id(2)).opening == 0


def test_match_in_vain_gives_nothing_later() -> None:
    """Sold out before the alert was there; the sale is void after all: only a new look gives what is left."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4, at=0, perm_id=1), execution(exec_id(2), -4, at=10, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 1)
    rematch(story, 1)
    assert [row.in_vain for row in story.state.every(DECISIONS)] == [True]
    story.tell(execution(exec_id(3), 1, at=20, perm_id=3))
    story.tell(execution(exec_id(2, 2), 0, at=10, perm_id=2))
    assert quantity(story) == 1
    rematch(story, 1)
    assert quantity(story) == 5
    assert places(story)[1] == (OwnershipKind.MATCHED, Moment(START + timedelta(seconds=20), story.seq))


def test_assigned_lots_take_their_time_along() -> None:
    """Bought at :00 and :05; a person gives the first order to another alert: the rest opened at :05."""
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 5, at=0, perm_id=1), execution(exec_id(2), 5, at=5, perm_id=2))
    assign(story, 1, OTHER)
    opened = (START + timedelta(seconds=5)).isoformat(timespec="microseconds")
    assert ((shown(story).position or {})["opened_at"], quantity(story)) == (opened, 5)


def test_late_match_has_all_that_was_opened_in_the_second_of_its_close() -> None:
    """4 are sold, and in that second an order sells 3 and 1 more: matched later, the alert is short 4."""
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 4, at=0))
    story.tell(execution(exec_id(2), -4, at=60, perm_id=2))
    story.decide = unmatched
    story.tell(execution(exec_id(3), -3, at=60, perm_id=9), execution(exec_id(4), -1, at=60, perm_id=9))
    assert quantity(story) == 0
    story.decide = matched(ALERT)
    rematch(story, 3)
    assert (quantity(story), held(story)) == (-4, -4)


def test_late_match_has_what_its_own_close_opened() -> None:
    """5 bought are matched late; 3 sold before, reported later, are the alert's too: it closes, and has 2."""
    story = Story(unmatched)
    story.tell(execution(exec_id(2), 5, at=20, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 2)
    swept(story, execution(exec_id(1), -3, at=10, perm_id=1, request_id=900))
    assert (quantity(story), held(story)) == (2, 2)


def test_record_that_its_own_batch_opens_is_open() -> None:
    """Found by seed 930006: bought in another account, and only then matched with what it had closed."""
    story = Story()
    story.tell(execution(exec_id(1), 8, at=0, perm_id=1))
    story.decide = matched(OTHER)
    story.tell(execution(exec_id(2), -10, at=9, perm_id=2))
    assert (quantity(story), quantity(story, OTHER)) == (0, -2)
    story.decide = matched(OTHER, ALERT)
    bought = execution(exec_id(3), 3, at=20, perm_id=3, account="DU9000001")
    story.batch(bought, (Source.STORE, ("rematch", ACCOUNT, exec_id(2))))
    assert (quantity(story), quantity(story, OTHER)) == (1, 1)


def test_record_open_as_decided_keeps_what_it_got() -> None:
    """It had 3 and got 2 older ones; 3 sold in between, reported later, leave it the 2."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 2, at=0, perm_id=1))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 3, at=5, perm_id=2))
    story.decide = unmatched
    story.tell(execution(exec_id(4), 1, at=20, perm_id=4))
    story.decide = matched(ALERT)
    rematch(story, 1)
    assert quantity(story) == 5
    story.decide = unmatched
    swept(story, execution(exec_id(3), -3, at=10, perm_id=3, request_id=900))
    assert (quantity(story), held(story)) == (2, 3)


def test_what_is_kept_is_averaged_over_its_own_lots() -> None:
    """4 at 8, sold, then 5 at 2 and 2 at 6; a person gives the 5 to another alert: 2 at 6 are left."""
    story = Story(matched(ALERT))
    story.tell(
        execution(exec_id(1), 4, "8.00", at=0, perm_id=1),
        execution(exec_id(2), -4, "9.00", at=3, perm_id=2),
        execution(exec_id(3), 5, "2.00", at=5, perm_id=3),
        execution(exec_id(4), -1, "3.00", at=7, perm_id=4),
        execution(exec_id(5), 2, "6.00", at=9, perm_id=5),
    )
    assign(story, 3, OTHER)
    position = shown(story).position or {}
    opened = (START + timedelta(seconds=9)).isoformat(timespec="microseconds")
    assert (quantity(story), position["avg_price"], position["opened_at"]) == (2, 6, opened)


def test_second_owner_is_found_while_a_fill_waits() -> None:
    """All of the order was sold but a fill of the sweep under way, which a second alert shares."""
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 2, at=0), execution(exec_id(2), -2, at=5, perm_id=2))
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.tell(execution(exec_id(3), 1, at=9, request_id=900))
    story.decide = matched(ALERT, OTHER)
    rematch(story, 1)
    story.tell(End(EndOf.EXECUTIONS, 900))
    assert (quantity(story), quantity(story, OTHER)) == (1, 1)


def test_owner_that_is_gone_shares_with_no_successor() -> None:
    """The store has another record of its name, which takes its lots over; it is no second owner of them."""
    story = DatedStory()
    story.created[OTHER] = 0
    story.tell(execution(exec_id(1), 4))
    newer = ALERT._replace(alerter="RobinDaHood", created_at="2025-11-18T15:50:00")
    story.created[newer] = 1
    story.decide = matched(newer, OTHER)
    rematch(story, 1)
    assert [lot.owners for lot in holding(story).lots] == [(ALERT, OTHER)]
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(newer))
    assert (quantity(story, newer), quantity(story, OTHER)) == (4, 4)


def test_successor_alone_changes_no_owner_of_one_that_is_gone() -> None:
    story = DatedStory()
    story.tell(execution(exec_id(1), 4))
    newer = ALERT._replace(created_at="2025-11-18T15:50:00")
    story.created[newer] = 1
    story.decide = matched(newer)
    rematch(story, 1)
    assert places(story) == []


def test_second_spelling_shares_with_the_successor_of_one_that_is_gone() -> None:
    """Rule 1.5: the record of its own spelling takes over, so the other one, which the conid names, shares.

    The successor is too young to be matched itself. Found by seed 1030000693.
    """
    story = DatedStory()
    story.tell(execution(exec_id(1), 4))
    respelled = ALERT._replace(alerter="RobinDaHood", created_at="2025-11-18T15:45:00")
    newer = ALERT._replace(created_at="2025-11-18T15:50:00")
    story.created |= {respelled: 1, newer: 300}
    story.decide = matched(respelled)
    rematch(story, 1)
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(newer))
    assert (quantity(story, newer), quantity(story, respelled)) == (4, 4)


def test_namesake_of_an_owner_without_lots_owns_what_is_left() -> None:
    """3 short of the alert, whose record goes; 10 are bought: 3 close it, 7 are nobody's.

    It comes back closed, and a late match opens it only with newer lots. The record that replaces it then is
    an alert of its own: nothing is left to be taken over, and the 7 are in its order's retry window.
    """
    story = DatedStory()
    story.tell(execution(exec_id(1), -3, at=0, perm_id=1))
    story.decide = unmatched
    story.tell(execution(exec_id(2), 10, at=9, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 2)
    assert (quantity(story), held(story)) == (0, 7)
    newer = ALERT._replace(created_at="2025-11-18T15:50:00")
    story.decide = matched(newer)
    rematch(story, 2)
    assert (quantity(story), quantity(story, newer)) == (0, 7)


def test_respelled_record_was_closed_when_the_one_before_it_was() -> None:
    """3 short of the alert; 10 are bought as its record is away: 3 close it, 7 are nobody's; then 2 more.

    The record comes back, is noted, and stands in another spelling when the note is decided: it is the same
    alert, closed by the 10, so that it owns the 2 only. Found by seed 1140000012.
    """
    story = DatedStory()
    story.tell(execution(exec_id(1), -3, at=0, perm_id=1))
    story.decide = unmatched
    story.tell(execution(exec_id(2), 10, at=9, perm_id=2), execution(exec_id(3), 2, at=15, perm_id=2))
    respelled = ALERT._replace(alerter="RobinDaHood")
    story.created = {respelled: -1}
    story.decide = matched(respelled)
    rematch(story, 2)
    assert (quantity(story, respelled), held(story)) == (2, 9)
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(respelled), "", "whole")
    assert quantity(story, respelled) == 2


def test_swept_fill_follows_an_owner_that_is_younger() -> None:
    """The alert took the order over at :20, when only the fill of :05 was known; that of :10 follows.

    The record was created at :30, after the place, so its age would give it only what is left then.
    """
    story = DatedStory(unmatched)
    story.created[ALERT] = 30
    story.tell(execution(exec_id(1), 5, at=5))
    story.decide = matched(ALERT)
    rematch(story, 1)
    swept(story, execution(exec_id(2), 2, at=10, request_id=900))
    story.decide = unmatched
    swept(story, execution(exec_id(3), -6, at=20, perm_id=3, request_id=900))
    assert (quantity(story), len(places(story))) == (1, 1)


def test_swept_fill_of_a_former_owner_is_its_successors_at_once() -> None:
    """The order's fill of :05 was sold, so that the successor got only its fill of :40, in the owner's place.

    That of :10 was the first owner's already: the 2 sold at :20 are these, and not the 3 of another alert.
    """
    story = DatedStory()
    story.tell(execution(exec_id(1), 5, at=5), execution(exec_id(2), -5, at=6, perm_id=2))
    story.decide = matched(OTHER)
    story.tell(execution(exec_id(3), 3, at=15, perm_id=3))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(4), 2, at=25, perm_id=4))
    newer = ALERT._replace(created_at="2025-11-18T15:45:00")
    story.created = {OTHER: 0, newer: 30}
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(newer))
    story.tell(execution(exec_id(5), 1, at=40))
    swept(
        story,
        execution(exec_id(6), 2, at=10, request_id=900),
        execution(exec_id(7), -2, at=20, perm_id=7, request_id=900),
    )
    assert (quantity(story, newer), quantity(story, OTHER)) == (3, 3)


def test_older_swept_fill_is_owned_from_the_creation_on() -> None:
    """Matched as the fill of :20 was booked; of the 2 of :01 one was sold before the alert of :10."""
    story = DatedStory()
    story.created[ALERT] = 10
    story.tell(execution(exec_id(3), 5, at=20))
    swept(
        story,
        execution(exec_id(1), 2, at=1, request_id=900),
        execution(exec_id(2), -1, at=5, perm_id=2, request_id=900),
    )
    assert quantity(story) == 6


def test_order_follows_the_successor_of_a_sold_owner() -> None:
    """Sold out, then replaced: the order's next fill is the successor's, which is no second alert of it."""
    story = DatedStory(matched(ALERT))
    story.tell(execution(exec_id(1), 5, at=0), execution(exec_id(2), -5, at=1, perm_id=2))
    story.created[OTHER] = 2
    fields = (*alert_fields(ALERT), *alert_fields(OTHER))
    story.note(Source.STORE, "replaced", *fields, "", "whole")
    story.decide = matched(OTHER)
    story.tell(execution(exec_id(3), 2, at=3))
    rematch(story, 1)
    assert (quantity(story, OTHER), len(places(story))) == (2, 1)


def test_later_fill_tells_what_its_order_nearly_found() -> None:
    """The first fill found nothing; as the second comes the order has a near miss, told of both fills."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 5, at=0))
    rejected = Rejection(ALERT, "created 8 min after the fill", near=True)
    story.decide = lambda fill: Unmatched("none agrees", (rejected,))
    story.tell(execution(exec_id(2), 1, at=1))
    assert [booked(story, exec_id(number)).attention for number in (1, 2)] == [Attention.NEAR_MISS] * 2


def test_copied_position_is_emptied_once() -> None:
    """A new record was written with another one's position; one that shows its own is left alone."""
    story = Story(matched(ALERT))
    story.note(Source.STORE, "copied", *alert_fields(OTHER))
    assert (shown(story, OTHER).open, quantity(story, OTHER)) == (False, 0)
    assert shown(story, OTHER).last_order_update == {}
    story.tell(execution(exec_id(1), 5, at=0))
    story.note(Source.STORE, "copied", *alert_fields(ALERT))
    assert quantity(story) == 5
    story.note(Source.STORE, "gone", *alert_fields(OTHER))
    story.note(Source.STORE, "back", *alert_fields(OTHER))
    assert (shown(story, OTHER).open, shown(story, OTHER).last_order_update) == (False, {})


class HeldDated(Held, DatedStory):
    """Hold a stock for an alert, and know whether it owned some as each fill was matched."""


def test_fill_is_matched_behind_an_adjustment() -> None:
    """All of the alert's went without a fill; what came out of order before that brings none of it back."""
    story = HeldDated(10)
    story.tell(execution(exec_id(1), 1, at=150, contract=STOCK, perm_id=1))
    story.batch(
        execution(exec_id(2), 1, at=130, contract=STOCK, perm_id=2),
        execution(exec_id(3), 1, at=152, contract=STOCK, perm_id=3),
    )
    for _ in range(2):
        story.answer(0, after=301)
    assert (quantity(story), held(story)) == (0, 0)
    story.decide = unmatched
    story.owned.clear()
    story.batch(
        execution(exec_id(4), 1, at=155, contract=STOCK, perm_id=4),
        execution(exec_id(5), 1, at=900, contract=STOCK, perm_id=5),
    )
    assert story.owned == [False, False]
