"""Matching beyond the age limit for an alert that owns the contract, and with clocks that disagree."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, ALERT, exec_id, execution, position
from tests.support.matching_cases import CREATED, EARLY_FILL, NVDA_STOCK, fill, option_alert, stock_alert
from tests.support.ownership import OTHER, DatedStory, swept
from tracker.core import whole_past
from tracker.core.lots import Folded, fold
from tracker.core.matching import match_execution
from tracker.core.model import Alert, AlertId, Ambiguous, Match, Matched, Rule, Source, Unmatched

NEXT_DAY = CREATED + timedelta(hours=25)
EARLY = CREATED - timedelta(seconds=150)


def late_match(*alerts: Alert, owning: Collection[AlertId] = ()) -> Match:
    """Match a stock fill of the next day; `owning` own a lot of the contract."""
    execution = fill(NVDA_STOCK, time=NEXT_DAY)
    return match_execution(execution, alerts, early_fill=EARLY_FILL, owns=frozenset(owning).__contains__)


def test_owner_matches_beyond_the_age_limit() -> None:
    """Rule 2.2: an alert that owns a lot counts as a weak match where nobody younger agrees."""
    alert = stock_alert()
    assert isinstance(late_match(alert), Unmatched)
    assert late_match(alert, owning=[alert.id]) == Matched(((alert.id, Rule.SYMBOL),))


def test_younger_alert_comes_before_an_old_owner() -> None:
    old, young = stock_alert(), stock_alert("demslayer", created=NEXT_DAY - timedelta(hours=1))
    match = late_match(old, young, owning=[old.id])
    assert isinstance(match, Matched)
    assert match.alerts == ((young.id, Rule.SYMBOL),)


def test_two_old_owners_are_ambiguous() -> None:
    one, other = stock_alert(), stock_alert("demslayer")
    assert isinstance(late_match(one, other, owning=[one.id, other.id]), Ambiguous)


def test_skew_is_taken_off_the_written_time() -> None:
    """A clock of the stores that is a minute ahead writes 150 s where 90 passed: within early_fill."""
    alert = option_alert()
    execution = fill(time=EARLY)
    assert isinstance(match_execution(execution, [alert], early_fill=EARLY_FILL), Unmatched)
    skewed = match_execution(execution, [alert], early_fill=EARLY_FILL, skew=timedelta(minutes=1))
    assert skewed == Matched(((alert.id, Rule.CONTRACT),))


def test_skew_is_taken_off_the_first_sight() -> None:
    """A record without a time of creation counts as created when first seen, by the broker's clock."""
    alert = replace(option_alert(created=None), first_seen=CREATED)
    execution = fill(time=EARLY)
    assert isinstance(match_execution(execution, [alert], early_fill=EARLY_FILL), Unmatched)
    skewed = match_execution(execution, [alert], early_fill=EARLY_FILL, skew=timedelta(minutes=1))
    assert isinstance(skewed, Matched)


def test_matching_knows_who_owns_the_contract() -> None:
    """An owner counts as a weak match beyond the age limit, so matching knows of it."""
    story = DatedStory()
    story.tell(execution(exec_id(1), 3, at=0, perm_id=1))
    story.tell(execution(exec_id(2), 3, at=9, perm_id=2))
    assert story.owned == [False, True]


def test_sale_that_closes_all_leaves_no_owner() -> None:
    """Rule 2.2: of 9 sold the first 8 close the alert, so it owns nothing when the short 1 is matched."""
    story = DatedStory()
    story.tell(execution(exec_id(1), 8, at=0, perm_id=1))
    story.tell(execution(exec_id(2), -9, at=9, perm_id=2))
    assert story.owned == [False, False]


def test_sale_that_leaves_something_leaves_the_owner() -> None:
    story = DatedStory()
    story.tell(execution(exec_id(1), 8, at=0, perm_id=1))
    story.tell(execution(exec_id(2), -7, at=9, perm_id=2))
    assert story.owned == [False, True]


def test_owner_in_another_account_counts() -> None:
    """Rule 2.2 speaks of a lot of the contract, whichever account holds it."""
    other = "DU7654321"
    story = DatedStory()
    story.note(Source.LINK, "up", f"{ACCOUNT},{other}", "176")
    story.tell(execution(exec_id(1), 3, at=0, perm_id=1))
    story.tell(execution(exec_id(2), 3, at=9, perm_id=2, account=other))
    assert story.owned == [False, True]


def test_swept_fill_is_matched_behind_those_before_it() -> None:
    """A sale of the same sweep closed the alert, so it owns nothing when the next fills are matched.

    The fourth is told late: the third closes it and opens nothing, so the fifth opens a short, which is left.
    """
    story = DatedStory()
    story.tell(execution(exec_id(1), 3, at=0, perm_id=1))
    swept(
        story,
        execution(exec_id(2), -3, at=5, perm_id=2, request_id=900),
        execution(exec_id(3), 1, at=9, perm_id=3, request_id=900),
        execution(exec_id(5), -1, at=12, perm_id=5, request_id=900),
        execution(exec_id(4), -1, at=8, perm_id=4, request_id=900),
        execution(exec_id(6), 1, at=15, perm_id=6, request_id=900),
    )
    assert story.owned == [False, False, False, False, True, False]


def imported(story: DatedStory, *signed: int, owner: AlertId = ALERT) -> int:
    """Report a fill of today, then fills of before it, the second of which is `owner`'s; return how often the
    past was folded to match them.
    """
    story.snapshot(position(10))
    story.decide = lambda fill: Unmatched("") if fill.perm_id != 2 else Matched(((owner, Rule.SYMBOL),))
    story.tell(execution(exec_id(99), 1, at=3600, perm_id=99))
    story.owned.clear()
    older = [execution(exec_id(n), each, at=n, perm_id=n) for n, each in enumerate(signed, start=1)]
    folds: list[None] = []

    def counting(*entries: Any) -> Folded:
        folds.append(None)
        return fold(*entries)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_past, "fold", counting)
        story.tell(*older, source=Source.FLEX)
    return len(folds)


def test_older_fill_of_an_alert_that_nothing_names_folds_no_past() -> None:
    """Each fill of a report had the past of its contract folded: 1,000 of one stock took most of a minute."""
    story = DatedStory()
    assert imported(story, *[3, 4, -2, 1] * 10, owner=OTHER) == 0
    assert story.owned == [False] * 40


def test_older_fill_finds_the_owner_that_its_batch_names() -> None:
    """Rule 3.1: sales close owned lots first, so the sales of 2 leave 2 and 0 of the 4."""
    story = DatedStory()
    assert imported(story, 3, 4, 1, -2, -2, 1) > 0
    assert story.owned == [False, False, True, True, False, False]
