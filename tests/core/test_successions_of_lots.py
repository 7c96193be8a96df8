"""What a successor takes of the lots of one contract: all that is left, and nothing where nothing is."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.core.test_lots import ONE, TWO, entry, quantities, start
from tests.support.facts import ACCOUNT, NVDA, START
from tracker.core.lots import fold, stands_behind
from tracker.core.model import AlertId, Moment
from tracker.core.ownership_rows import Decided, OwnershipDecision, OwnershipKind

NEW = AlertId("one", "NVDA", "2025-11-18T16:30:00", None)


def succession(old: AlertId, new: AlertId = NEW, *, at: int = 60, whole: bool = False) -> OwnershipDecision:
    """Return the decision that `new` takes over what is left for `old`, `at` seconds after START."""
    place = Moment(START + timedelta(seconds=at), at)
    decided = (Decided(new, None, False, None),)
    return OwnershipDecision(
        ACCOUNT, NVDA.con_id, at, 0, place, OwnershipKind.SUCCEEDED, decided, "", old, whole, START, 0.0
    )


def test_successor_takes_what_is_left() -> None:
    folded = fold(start(), [entry(1, 5, "1"), entry(2, -2)], [succession(ONE)])
    assert [(lot.owners, lot.quantity) for lot in folded.holding.lots] == [((NEW,), Decimal(3))]


def test_who_owns_nothing_hands_nothing_on() -> None:
    folded = fold(start(), [entry(1, 5, "1")], [succession(TWO)])
    assert [lot.owners for lot in folded.holding.lots] == [(ONE,)]
    assert NEW not in {each.alert for each in folded.holding.alerts}


@pytest.mark.parametrize(("whole", "handed_on"), [(False, False), (True, True)])
def test_closed_position_goes_only_to_same_alert(whole: bool, handed_on: bool) -> None:
    """Rule 2.3: the same alert keeps what it had; a successor by contract takes over what is left only."""
    folded = fold(start(), [entry(1, 5, "1"), entry(2, -5)], [succession(ONE, whole=whole)])
    assert (NEW in {each.alert for each in folded.holding.alerts}) is handed_on
    assert set(quantities(folded.holding).values()) == {"0"}


def test_first_movement_stands_behind_nothing() -> None:
    assert stands_behind(entry(1, 5), start())


def test_same_alert_has_what_it_had_from_the_start() -> None:
    """Respelled at :60; a purchase of :02 that is told after that averages with the one of :01: 2 and 4."""
    late = replace(entry(2, 5, price="4"), owners=(NEW,), moment=Moment(START + timedelta(seconds=2), 70))
    folded = fold(start(), [entry(1, 5, "1"), late], [succession(ONE, whole=True)])
    (mine,) = folded.holding.alerts
    assert (mine.alert, mine.quantity, mine.avg_price) == (NEW, Decimal(10), Decimal(3))


def test_former_name_may_be_anothers_later() -> None:
    """What is booked under the old name after the respelling is not the respelled alert's."""
    later = replace(entry(70, 3), owners=(ONE,))
    folded = fold(start(), [entry(1, 5, "1"), later], [succession(ONE, whole=True)])
    assert [lot.owners for lot in folded.holding.lots] == [(NEW,), (ONE,)]


def test_takeover_of_shared_lots_counts_them_once() -> None:
    """5 at 2 shared by both, 5 at 4 of the old one alone: the successor has 10 at 3."""
    lots = [entry(1, 5, "12"), entry(2, 5, "1", price="4")]
    folded = fold(start(), lots, [succession(ONE, TWO)])
    (mine,) = folded.holding.alerts
    assert (mine.alert, mine.quantity, mine.avg_price) == (TWO, Decimal(10), Decimal(3))


def test_takeover_of_what_is_shared_already_changes_nothing() -> None:
    """Both own the same lots, the old one for longer: the successor's average and time stay its own."""
    lots = [entry(1, 5, "1"), entry(2, -5), entry(3, 4, "12", price="6")]
    folded = fold(start(), lots, [succession(ONE, TWO)])
    mine = next(each for each in folded.holding.alerts if each.alert == TWO)
    assert (mine.quantity, mine.avg_price) == (Decimal(4), Decimal(6))


def test_takeover_of_what_is_shared_already_passes_on_no_sale() -> None:
    """A sale reduced what one had. Two has all that is left of it, and nothing of two's own was sold: so who
    takes over from two, and has the lot at 8 already, counts the lot at 4 at its own price. It has 10 at 6.

    Found by seed 1010003538.
    """
    lots = [entry(1, 5, "1"), entry(2, 5, "12", price="4"), entry(3, -5)]
    lots.append(replace(entry(4, 5, price="8"), owners=(TWO, NEW)))
    folded = fold(start(), lots, [succession(ONE, TWO), succession(TWO, at=61)])
    (mine,) = folded.holding.alerts
    assert (mine.alert, mine.quantity, mine.avg_price) == (NEW, Decimal(10), Decimal(6))
