"""Since when, and by which rule, alerts own an order."""

from __future__ import annotations

import pytest

from tests.support.facts import ALERT, alert_fields, booked, exec_id, execution, held, quantity, unmatched
from tests.support.ownership import DatedStory, rematch, swept
from tracker.core.model import AlertId, Matched, Rule, Source
from tracker.core.state_rows import rules_of

SPELLED = ALERT._replace(alerter="RobinDaHood", created_at="2025-11-18T15:43:00")


@pytest.mark.parametrize(("old", "new"), [(ALERT, SPELLED), (SPELLED, ALERT)])
def test_swept_fill_follows_who_owned_its_order_first(old: AlertId, new: AlertId) -> None:
    """One alert owns the order since :05, another since :30; one takes over, and who is gone comes back.

    The order's fill of :10 is at once the alert's that took over, by its own rule: the 6 sold at :20 are
    these 2 and the 4 of :05, and not 2 of the 3 that are nobody's. Found by seed 5400050957.
    """
    story = DatedStory(unmatched)
    story.created = {ALERT: 0, SPELLED: 30}
    story.tell(execution(exec_id(1), 3, at=2))
    both = Matched(((ALERT, Rule.CON_ID), (SPELLED, Rule.CONTRACT)))
    story.decide = lambda fill: both
    swept(story, execution(exec_id(2), 4, at=5, perm_id=2, request_id=900))
    story.note(Source.STORE, "replaced", *alert_fields(old), *alert_fields(new))
    rematch(story, 2)
    swept(
        story,
        execution(exec_id(3), 2, at=10, perm_id=2, request_id=900),
        execution(exec_id(4), -6, at=20, perm_id=4, request_id=900),
    )
    assert (quantity(story, new), held(story)) == (0, 3)
    assert set(rules_of(booked(story, exec_id(3)).match)) == set(rules_of(both))
