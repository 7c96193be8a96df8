"""Whose the later fills of an order are once its owner's record was respelled while it owned nothing."""

from __future__ import annotations

from tests.core.test_successors import take_over
from tests.support.facts import ALERT, SUCCESSOR, exec_id, execution, holding, matched, unmatched
from tests.support.ownership import DatedStory


def test_who_took_over_from_the_respelled_record_has_the_rest_of_the_order() -> None:
    """Found by seed 1290003322: its order closed what nobody owned, so its new spelling was not noted.

    Under that it sold 6 of another order and was written anew. The record that has its old spelling by then
    is another alert (rules 2.3, 2.4).
    """
    story = DatedStory()
    story.decide = unmatched
    story.tell(execution(exec_id(1), 4))
    story.created[ALERT] = -60
    story.decide = matched(ALERT)
    story.tell(execution(exec_id(2), -3, at=5, perm_id=189))
    respelled = ALERT._replace(alerter="Robindahood Alerts")
    story.created = {respelled: -60}
    story.decide = matched(respelled)
    story.tell(execution(exec_id(3), -7, at=9, perm_id=190))
    anew = SUCCESSOR._replace(alerter=respelled.alerter)
    story.created = {anew: 15, ALERT._replace(created_at="2025-11-18T15:43:12.000001"): 12}
    take_over(story, respelled, anew)
    story.tell(execution(exec_id(4), -1, at=20, perm_id=189))
    assert [lot.owners for lot in holding(story).lots] == [(anew,), (anew,)]
