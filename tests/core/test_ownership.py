"""Whose an order's lots are: at booking, later, by a person, by succession, with places among the executions.

Expected values are worked out by hand from the rules (MATCHING.md), not from the code.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    NVDA,
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
from tests.support.ownership import OTHER, DatedStory, assign, places, rematch, swept
from tracker.core.model import (
    Ambiguous,
    Match,
    Matched,
    Moment,
    Rule,
    Source,
    Unmatched,
)
from tracker.core.order_owners import settle
from tracker.core.ownership_rows import OwnershipKind
from tracker.core.state import DECISIONS, HOLDINGS, OWNERS
from tracker.core.state_rows import Attention

# Decisions and their places


def test_late_match_owns_what_is_left() -> None:
    """Bought 7, sold 3, then the alert appears: it has 4, at the price of those bought."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 7, "4.00", at=0, perm_id=1))
    story.tell(execution(exec_id(2), -3, at=10, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 1)
    assert quantity(story) == 4
    assert places(story) == [(OwnershipKind.MATCHED, Moment(START + timedelta(seconds=10), story.seq))]


def test_late_match_of_round_trip_changes_nothing() -> None:
    """All that was bought was sold before the alert was there: its record is not written."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 3, at=0, perm_id=1), execution(exec_id(2), -3, at=10, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 1)
    assert untouched(story)
    assert booked(story, exec_id(1)).owners == ()


def test_what_was_closed_before_decision_stays_closed() -> None:
    """7 of no alert, then 5 of one, all 5 sold; the 7 find their alert: the 5 stay sold."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 7, at=0, perm_id=1))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 5, at=5, perm_id=2), execution(exec_id(3), -5, at=10, perm_id=3))
    assert (quantity(story), shown(story).open) == (0, False)
    story.decide = matched(OTHER)
    rematch(story, 1)
    assert (quantity(story), quantity(story, OTHER)) == (0, 7)


def test_late_execution_folds_before_an_older_decision() -> None:
    """A sale that is reported after the decision but stands before it takes what the alert would have had."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 7, at=0, perm_id=1), execution(exec_id(2), 1, at=20, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 1)
    assert quantity(story) == 7
    story.decide = unmatched
    story.tell(execution(exec_id(3), -7, at=10, perm_id=3))
    assert quantity(story) in (0, None) or not shown(story).open
    assert [lot.exec_id for lot in holding(story).lots] == [exec_id(2)]


def test_later_sale_of_place_closes_alert() -> None:
    """Accepted: one that comes after the place closes the alert that was told, as any sale."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 7, at=0, perm_id=1))
    story.decide = matched(ALERT)
    rematch(story, 1)
    story.tell(execution(exec_id(2), -7, at=1, perm_id=2))
    assert (quantity(story), shown(story).open) == (0, False)


def test_execution_of_places_second_stands_behind_it() -> None:
    """Known then is before, reported later is after: the sale of that second takes from the alert."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 7, at=0, perm_id=1))
    story.decide = matched(ALERT)
    rematch(story, 1)
    story.tell(execution(exec_id(2), -3, at=0, perm_id=2))
    assert quantity(story) == 4


def test_decision_survives_a_refold() -> None:
    """A correction folds everything again: the decision stands where it stood."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 7, at=0, perm_id=1), execution(exec_id(2), -3, at=10, perm_id=2))
    story.decide = matched(ALERT)
    rematch(story, 1)
    story.restart()
    story.tell(execution(exec_id(1, 2), 8, at=0, perm_id=1))
    assert quantity(story) == 5


def test_assignment_of_a_dismissed_fill_is_undone() -> None:
    """Dismissed, then given to an alert after all: taking that back leaves the alert nothing."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 2, at=0, perm_id=1))
    story.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1))
    assign(story, 1, ALERT)
    assert quantity(story) == 2
    story.note(Source.PERSON, "undo", str(story.seq), ACCOUNT, exec_id(1))
    assert (quantity(story), shown(story).open) == (0, False)


def test_assignment_moves_no_sale() -> None:
    """5 bought for one alert, 2 sold; a person gives the order to another: it has 3."""
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 5, at=0, perm_id=1), execution(exec_id(2), -2, at=10, perm_id=2))
    assign(story, 1, OTHER)
    assert (quantity(story), shown(story).open, quantity(story, OTHER)) == (0, False, 3)


def test_reassignment_keeps_the_average_of_the_rest() -> None:
    """Two orders at 1 and 3, average 2; the second is another alert's after all: 1 is left."""
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 5, "1", at=0, perm_id=1), execution(exec_id(2), 5, "3", at=5, perm_id=2))
    assert (shown(story).position or {})["avg_price"] == 2
    assign(story, 2, OTHER)
    assert ((shown(story).position or {})["avg_price"], quantity(story)) == (1, 5)
    assert ((shown(story, OTHER).position or {})["avg_price"], quantity(story, OTHER)) == (3, 5)


def test_average_runs_over_openings() -> None:
    """4 at 2, a sale of 2, 2 at 4: (2 x 2 + 2 x 4) / 4 = 3; a sale does not change it."""
    story = Story()
    for number, (signed, price) in enumerate([(4, "2"), (-2, "9"), (2, "4"), (-1, "9")], 1):
        story.tell(execution(exec_id(number), signed, price, at=number, perm_id=number))
    assert ((shown(story).position or {})["avg_price"], quantity(story)) == (3, 3)


# Orders stay together


def test_later_fill_follows_its_order() -> None:
    """Whatever a match by itself would say: an order goes to one alert."""
    story = Story()
    story.tell(execution(exec_id(1), 4, at=0))
    story.decide = unmatched
    story.tell(execution(exec_id(2), 6, at=90_000))
    assert quantity(story) == 10


def test_earlier_fill_joins_its_order() -> None:
    """The first fill found no alert, the second did: what is left of the first is the alert's too."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4, at=0))
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), 6, at=9))
    assert quantity(story) == 10
    assert booked(story, exec_id(1)).match == booked(story, exec_id(2)).match


def test_fill_without_perm_id_stands_alone() -> None:
    """Two fills that name no order are matched each by itself."""
    story = Story()
    story.tell(execution(exec_id(1), 4, at=0, perm_id=0, order_id=0))
    story.decide = unmatched
    story.tell(execution(exec_id(2), 6, at=9, perm_id=0, order_id=0))
    assert (quantity(story), held(story)) == (4, 10)


def test_assignment_takes_the_order() -> None:
    """Also its fills to come."""
    story = Story(matched(ALERT))
    story.tell(execution(exec_id(1), 4, at=0), execution(exec_id(2), 1, at=1))
    assign(story, 1, OTHER)
    story.tell(execution(exec_id(3), 5, at=2))
    assert (quantity(story), quantity(story, OTHER)) == (0, 10)


def test_fill_swept_before_assignment_is_persons_too() -> None:
    """A fill of the order that was missed stands before the decision, which gives it to the alert."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4, at=10))
    assign(story, 1, ALERT)
    story.tell(execution(exec_id(2), 3, at=5, request_id=0))
    assert quantity(story) == 7


def test_dismissed_order_is_never_matched() -> None:
    """Neither its later fills, nor what is left of it."""
    story = Story(lambda fill: Ambiguous(Rule.SYMBOL, (ALERT, OTHER)))
    story.tell(execution(exec_id(1), 4))
    story.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1))
    story.decide = matched(ALERT)
    rematch(story, 1)
    story.tell(execution(exec_id(2), 4, at=9))
    assert untouched(story)
    assert booked(story, exec_id(2)).dismissed


def test_second_alert_shares_all_lots_of_order() -> None:
    """Two fills of an order and an alert; another record of the contract appears: both show both fills."""
    story = Story()
    story.tell(execution(exec_id(1), 4, at=0), execution(exec_id(2), 1, at=1))
    story.decide = matched(ALERT, OTHER)
    rematch(story, 1)
    assert (quantity(story), quantity(story, OTHER)) == (5, 5)
    assert (shown(story).position or {})["shared_with"] == ["demslayer/NVDA"]


@pytest.mark.parametrize(
    ("before", "now", "settled"),
    [
        pytest.param(
            Matched(((ALERT, Rule.CON_ID),)),
            Matched(((OTHER, Rule.CONTRACT),)),
            Matched(((ALERT, Rule.CON_ID), (OTHER, Rule.CONTRACT))),
            id="a strong rule adds",
        ),
        pytest.param(
            Matched(((ALERT, Rule.CON_ID),)),
            Matched(((OTHER, Rule.STRIKE),)),
            None,
            id="a weak rule does not",
        ),
        pytest.param(
            Ambiguous(Rule.SYMBOL, (ALERT, OTHER)),
            Matched(((ALERT, Rule.SYMBOL),)),
            None,
            id="a rival's going settles nothing",
        ),
        pytest.param(
            Ambiguous(Rule.SYMBOL, (ALERT, OTHER)),
            Matched(((ALERT, Rule.CON_ID),)),
            Matched(((ALERT, Rule.CON_ID),)),
            id="a strong rule settles",
        ),
        pytest.param(Unmatched("no"), Unmatched("still no"), None, id="nothing new"),
        pytest.param(
            Unmatched("no"),
            Matched(((ALERT, Rule.SYMBOL),)),
            Matched(((ALERT, Rule.SYMBOL),)),
            id="a weak rule opens what has no owner",
        ),
    ],
)
def test_new_look_settles(before: Match, now: Match, settled: Match | None) -> None:
    assert settle(before, now) == settled


# Swept executions and younger alerts


def test_round_trip_before_the_alert_leaves_nothing() -> None:
    """Swept: bought at 0, sold at 30, the alert created at 60: it was over by then."""
    story = DatedStory()
    story.created[ALERT] = 60
    swept(
        story,
        execution(exec_id(1), 3, at=0, perm_id=1, request_id=900),
        execution(exec_id(2), -3, at=30, perm_id=2, request_id=900),
    )
    assert untouched(story)


def test_younger_alert_owns_what_is_left() -> None:
    """Swept: bought 3, sold 1 before the alert's creation and 1 after it: 2 were left, 1 is."""
    story = DatedStory()
    story.created[ALERT] = 60
    swept(
        story,
        execution(exec_id(1), 3, at=0, perm_id=1, request_id=900),
        execution(exec_id(2), -1, at=30, perm_id=2, request_id=900),
        execution(exec_id(3), -1, at=90, perm_id=3, request_id=900),
    )
    assert quantity(story) == 1
    assert booked(story, exec_id(2)).owners == ()
    assert booked(story, exec_id(3)).owners == (ALERT,)


@pytest.mark.parametrize("created", [-5, 0.9])
def test_alert_of_the_fills_second_owns_it(created: float) -> None:
    """Created no later than the second of a swept execution: the match is part of it."""
    story = DatedStory()
    story.created[ALERT] = created
    swept(story, execution(exec_id(1), 3, at=0, perm_id=1, request_id=900))
    assert (quantity(story), places(story)) == (3, [])


def test_live_fill_takes_an_earlier_alert() -> None:
    """It was in the store before the execution came, whatever its own clock says."""
    story = DatedStory()
    story.created[ALERT] = 100
    story.tell(execution(exec_id(1), 3, at=0, perm_id=1))
    assert (quantity(story), places(story)) == (3, [])


def test_skew_is_taken_off_a_creation() -> None:
    """Our clock is 40 s ahead: an alert of 30 s after the fill was there 10 s before it."""
    story = DatedStory()
    story.ledger._ownership.skew = timedelta(seconds=40)
    story.created[ALERT] = 30
    swept(story, execution(exec_id(1), 3, at=0, perm_id=1, request_id=900))
    assert (quantity(story), places(story)) == (3, [])
    assert story.circumstances[-1].skew == timedelta(seconds=40)


# Rows


def test_decision_keeps_order_and_skew() -> None:
    """What `why` needs: when, for which order, with which clock."""
    story = DatedStory(unmatched)
    story.ledger._ownership.skew = timedelta(seconds=2)
    story.tell(execution(exec_id(1), 4, at=0))
    story.decide = matched(ALERT)
    rematch(story, 1)
    (row,) = story.state.every(DECISIONS)
    assert (row.order, row.skew_seconds) == (f"{ACCOUNT} {NVDA.con_id} 188", 2.0)
    assert [one.rule for one in row.alerts] == [Rule.CON_ID]
    known = story.state.get(OWNERS, row.order)
    assert known is not None
    assert known.match == booked(story, exec_id(1)).match


def test_unowned_orders_are_found_by_their_holdings() -> None:
    """A holding with lots of no owner is indexed, for the full look after a start."""
    story = Story(unmatched)
    story.tell(execution(exec_id(1), 4, at=0))
    assert len(story.state.find(HOLDINGS, "unowned", "1")) == 1
    assign(story, 1, ALERT)
    assert story.state.find(HOLDINGS, "unowned", "1") == []


def test_ambiguity_is_kept_until_a_strong_rule() -> None:
    """A rematch by a weak rule leaves it before a person."""
    story = Story(lambda fill: Ambiguous(Rule.SYMBOL, (ALERT, OTHER)))
    story.tell(execution(exec_id(1), 4))
    story.decide = matched(ALERT, rule=Rule.SYMBOL)
    rematch(story, 1)
    assert booked(story, exec_id(1)).attention is Attention.AMBIGUOUS
    story.decide = matched(ALERT)
    rematch(story, 1)
    assert (quantity(story), booked(story, exec_id(1)).attention) == (4, Attention.NONE)


def test_rematch_of_an_unknown_execution_does_nothing() -> None:
    story = Story(unmatched)
    rematch(story, 7)
    assert places(story) == []


def test_dismissal_of_owned_fill_keeps_its_owner() -> None:
    """It only goes out of what needs a person; later fills of its order follow the owner."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    story.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(1))
    assert booked(story, exec_id(1)).dismissed
    story.decide = unmatched
    story.tell(execution(exec_id(2), 3, at=1))
    assert quantity(story) == 7


def test_succession_stands_behind_a_later_decision() -> None:
    """A swept sale of 15:00:03 belongs to an alert created at :08, where its decision stands; the successor,
    reported after that, takes it over though no execution is younger than :03.
    """
    story = DatedStory(unmatched)
    story.created = {ALERT: 8}
    story.decide = matched(ALERT)
    story.sweep(execution(exec_id(1), -4, at=3, request_id=900))
    assert quantity(story) == -4
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(OTHER))
    assert (quantity(story, OTHER), shown(story, OTHER).open) == (-4, True)


def test_succession_renames_no_order_without_alert() -> None:
    """The lots go to the successor; an order that is known to belong to no alert stays so."""
    story = Story()
    story.tell(execution(exec_id(1), 4))
    (order,) = story.state.every(OWNERS)
    story.state.put(OWNERS, replace(order, match=Unmatched("dismissed")))
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(OTHER))
    assert quantity(story, OTHER) == 4
    (order,) = story.state.every(OWNERS)
    assert order.match == Unmatched("dismissed")
