"""A contract that goes on as another one, or in another account, keeps its lots and owners (4.5 to 4.7)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    BESIDE,
    START,
    SUCCESSOR,
    alert_fields,
    exec_id,
    execution,
    held,
    holding,
    matched,
    position,
    quantity,
    shown,
    unmatched,
)
from tests.support.held_stock import KEY, STOCK, Held
from tracker.core.alert_updates import instant
from tracker.core.certainty import LAGGING
from tracker.core.model import Contract, Source
from tracker.core.state import DIFFERENCES, HOLDINGS
from tracker.core.state_rows import Baseline, Holding

NEW = replace(STOCK, con_id=701, symbol="NVDB", local_symbol="NVDB")
BECAME = f"{ACCOUNT} {NEW.con_id}"
OTHER_ACCOUNT = "DU7654321"
MOVED = f"{OTHER_ACCOUNT} {STOCK.con_id}"


class Moving(Held):
    """Hold 10 of a stock, at 2.50, that goes on elsewhere."""

    def merged(self, new: int, *, ratio: str = "0.5") -> int:
        """Have the broker list the new contract in place of the old one, and a person say so."""
        self.answer_with(position(new, contract=NEW))
        return self.say(BECAME, ratio)

    def say(self, into: str, ratio: str = "", contract: str = KEY) -> int:
        self.note(Source.PERSON, "adjust", contract, "adjusted", ratio, "", into)
        return self.seq

    def sell(self, size: int, *, account: str = ACCOUNT, contract: Contract = NEW) -> None:
        self.number += 1
        at = int((self.now - START).total_seconds())
        sold = execution(exec_id(self.number), -size, at=at, perm_id=self.number, account=account)
        self.tell(replace(sold, contract=contract))

    def of_new(self) -> float:
        return held(self, NEW.con_id)


def listed_with_five_more() -> Moving:
    """Return a story in which one of the new contract was bought, and 6 of it are listed in the end."""
    story = Moving(10, unmatched)
    story.decide = matched(SUCCESSOR)
    story.tell(execution(exec_id(7), 1, at=95, contract=NEW, perm_id=7))
    story.answer_with(position(10, contract=STOCK), position(1, contract=NEW))
    story.answer_with(position(6, contract=NEW))
    return story


def test_merger_keeps_the_alert_open() -> None:
    """10 at 2.50 become 5 at 5; selling these closes the alert."""
    story = Moving(10)
    story.merged(5)
    assert (held(story), story.of_new()) == (0, 5)
    assert (quantity(story), shown(story).open) == (5, True)
    assert (shown(story).position or {})["avg_price"] == 5
    assert story.state.find(DIFFERENCES, "open", "1") == []
    story.sell(2)
    assert (quantity(story), shown(story).open) == (3, True)
    story.sell(3)
    assert (quantity(story), shown(story).open) == (0, False)
    assert (shown(story).position or {})["closed_by"] is None


@pytest.mark.parametrize("traded", [True, False])
def test_merger_told_after_it_was_settled(traded: bool) -> None:
    """The alert was closed as its 10 were gone; by the merger it goes on with 5, and undo closes it again."""
    story = Moving(10, unmatched if traded else None)
    if traded:
        story.decide = matched(ALERT)
        story.tell(execution(exec_id(7), 1, at=95, contract=NEW, perm_id=7))
    listed = 6 if traded else 5
    story.answer_with(position(listed, contract=NEW))
    story.answer_with(position(listed, contract=NEW), after=301)
    assert (held(story), story.state.find(DIFFERENCES, "open", "1")) == (0, [])
    before = quantity(story), shown(story).open
    seq = story.say(BECAME, "0.5")
    assert (held(story), story.of_new()) == (0, listed)
    assert (quantity(story), shown(story).open) == (1 if traded else 5, True)
    assert story.state.find(DIFFERENCES, "open", "1") == []
    story.note(Source.PERSON, "undo", str(seq), "", "")
    assert (quantity(story), shown(story).open) == before


def test_merger_without_a_ratio_is_one_for_one() -> None:
    story = Moving(10)
    story.merged(10, ratio="")
    assert (quantity(story), story.of_new()) == (10, 10)


def test_fraction_that_was_paid_out_stays_a_difference() -> None:
    """11 become 5.5, and the broker holds 5: half a share went for cash, as a second answer confirms."""
    story = Moving(11)
    story.merged(5)
    assert story.of_new() == 5.5
    for _ in range(2):
        story.answer_with(position(5, contract=NEW))
    assert (quantity(story), story.of_new()) == (5, 5)


def test_late_sale_of_the_old_contract_lessens_what_came() -> None:
    """4 of the 10 had been sold before the merger, as is reported later: 3 came."""
    story = Moving(10)
    story.merged(5)
    story.trade(-4, ago=60)
    assert (held(story), story.of_new(), quantity(story)) == (0, 3, 3)


def test_undone_merger_gives_everything_back() -> None:
    story = Moving(10)
    seq = story.merged(5)
    story.note(Source.PERSON, "undo", str(seq), "", "")
    assert (held(story), story.of_new(), quantity(story)) == (10, 0, 10)
    assert (shown(story).position or {})["avg_price"] == 2.5
    story.say(BECAME, "0.5")
    assert (held(story), story.of_new(), quantity(story)) == (0, 5, 5)


def test_known_difference_of_the_new_contract_is_explained() -> None:
    """One of the new contract had been traded, so 5 more than that were unexplained."""
    story = listed_with_five_more()
    found = {row.con_id: row.amount for row in story.state.find(DIFFERENCES, "open", "1")}
    assert found == {STOCK.con_id: -10, NEW.con_id: 5}
    story.say(BECAME, "0.5")
    assert story.state.find(DIFFERENCES, "open", "1") == []
    assert (story.of_new(), quantity(story, SUCCESSOR)) == (6, 1)


def test_word_on_the_new_contract_contains_what_came() -> None:
    """The 6 listed were noted as they are, before the merger was told that brought 5 of them."""
    story = listed_with_five_more()
    story.note(Source.PERSON, "adjust", BECAME, "adjusted", "", "as listed", "")
    story.say(BECAME, "0.5")
    assert (story.of_new(), quantity(story, SUCCESSOR)) == (6, 1)
    story.answer_with(position(6, contract=NEW))
    assert story.state.find(DIFFERENCES, "open", "1") == []


def test_alert_that_has_both_has_the_sum() -> None:
    """5 came at 5, 5 were bought at 2.50: 10 at 3.75, and 4 of them sold leave 6."""
    story = Moving(10)
    story.tell(execution(exec_id(7), 5, at=95, contract=NEW, perm_id=7))
    story.merged(10)
    assert (quantity(story), story.of_new()) == (10, 10)
    assert (shown(story).position or {})["avg_price"] == 3.75
    story.sell(4)
    assert quantity(story) == 6


def test_opposite_sides_leave_lots_without_owner() -> None:
    """5 came to a short of 2 of another alert: that one is closed, 3 are nobody's."""
    story = Moving(10)
    story.decide = matched(SUCCESSOR)
    story.tell(execution(exec_id(7), -2, at=95, contract=NEW, perm_id=7))
    story.merged(3)
    assert (story.of_new(), quantity(story, SUCCESSOR)) == (3, 0)
    assert [lot.owners for lot in holding(story, NEW.con_id).lots] == [()]


def test_what_nobody_owns_is_closed_by_what_comes() -> None:
    """Of 5.5 shares the half is sold for no alert, at an earlier time than the merger's: 5 are left."""
    story = Moving(11)
    story.decide = unmatched
    sold = execution(exec_id(7), "-0.5", at=95, contract=NEW, perm_id=7)
    story.tell(sold)
    story.merged(5)
    assert (story.of_new(), quantity(story), shown(story).open) == (5, 5, True)
    assert (shown(story).position or {})["avg_price"] == 5
    story.sell(5)
    assert (quantity(story), shown(story).open) == (0, False)


def test_what_was_held_of_the_new_contract_before() -> None:
    """3 were listed before, and belong to nobody; 5 came."""
    story = Moving(10)
    story.answer_with(position(10, contract=STOCK), position(3, contract=NEW))
    story.merged(8)
    assert (story.of_new(), float(holding(story, NEW.con_id).base), quantity(story)) == (8, 3, 5)


@pytest.mark.parametrize(
    "later", [(), (20, 2)], ids=["told at once", "told after the position changed twice"]
)
def test_balance_is_of_the_last_answer_before_the_move(later: tuple[int, ...]) -> None:
    """None of the new contract was listed before the answer that lists 8: 5 came, and 3 nobody explains."""
    story = Moving(10)
    story.answer_with(position(8, contract=NEW))
    for quantity_listed in later:
        story.answer_with(position(quantity_listed, contract=NEW), after=301)
    story.say(BECAME, "0.5")
    assert (story.of_new(), float(holding(story, NEW.con_id).base), quantity(story)) == (5, 0, 5)
    story.answer_with(position(8, contract=NEW))
    found = {row.con_id: row.amount for row in story.state.find(DIFFERENCES, "open", "1")}
    assert found == {NEW.con_id: 3}


@pytest.mark.parametrize("seconds", [1, -30], ids=["bought behind the answer", "told behind it"])
def test_balance_before_a_move_that_is_told_behind_a_fill(seconds: int) -> None:
    """None was listed before the answer with the 8; 2 more were bought before the cause was told: 5 came."""
    story = Moving(10)
    story.answer_with(position(8, contract=NEW))
    at = int((story.now - START).total_seconds()) + seconds
    story.tell(execution(exec_id(7), 2, at=at, contract=NEW, perm_id=7))
    assert (story.of_new(), float(holding(story, NEW.con_id).base)) == (10, 8)
    story.say(BECAME, "0.5")
    assert (story.of_new(), float(holding(story, NEW.con_id).base)) == (7, 0)


def test_first_certain_answer_contains_what_came() -> None:
    """The other account's first certain answer lists 13, with the 10 that came: 3 were there."""
    story = Moving(10)
    story.sweep(request=777, account=OTHER_ACCOUNT)
    story.answer_with(position(13, contract=STOCK, account=OTHER_ACCOUNT))
    story.say(MOVED)
    held_there = holding(story, STOCK.con_id, OTHER_ACCOUNT)
    assert (float(held_there.held), float(held_there.base), quantity(story)) == (13, 3, 10)


@pytest.mark.parametrize(("listed", "before"), [(12, 0), (14, 2)])
def test_unconfirmed_balance_is_confirmed_behind_the_move(listed: int, before: int) -> None:
    """Whether the 2 listed contain the 2 bought is open when 10 come; the next answer tells."""
    story = moved_into_doubt()
    story.sweep(request=779, account=OTHER_ACCOUNT)
    story.answer_with(position(listed, contract=STOCK, account=OTHER_ACCOUNT))
    confirmed = there(story)
    assert (confirmed.baseline, float(confirmed.base)) == (Baseline.SNAPSHOT, before)
    assert confirmed.held == listed
    assert story.state.find(DIFFERENCES, "open", "1") == []


def test_undecided_fill_leaves_the_balance_unconfirmed() -> None:
    """The answer after the move may contain another fill, or not; the next one does."""
    story = moved_into_doubt()
    story.sweep(request=779, account=OTHER_ACCOUNT)
    story.answer_with(position(15, contract=STOCK, account=OTHER_ACCOUNT))
    story.state.put(HOLDINGS, replace(there(story), baseline=Baseline.UNCONFIRMED))
    bought = execution(exec_id(8), 3, at=60, perm_id=8, account=OTHER_ACCOUNT, request_id=780)
    story.sweep(replace(bought, contract=STOCK), request=780, account=OTHER_ACCOUNT)
    assert there(story).baseline is Baseline.UNCONFIRMED
    story.answer_with(position(15, contract=STOCK, account=OTHER_ACCOUNT))
    assert (there(story).baseline, float(there(story).base)) == (Baseline.SNAPSHOT, 0)


def test_silence_behind_an_unproven_day_gives_no_balance() -> None:
    """Two days pass unseen, and nothing of it is listed: the 12 are a difference."""
    story = moved_into_doubt()
    story.note(Source.LINK, "down", "lost")
    story.now += timedelta(days=2)
    story.note(Source.LINK, "up", f"{ACCOUNT},{OTHER_ACCOUNT}", "176")
    story.sweep(request=779, account=OTHER_ACCOUNT)
    for _ in range(LAGGING + 1):
        story.answer_with(position(1, contract=NEW, account=OTHER_ACCOUNT))
    assert (there(story).baseline, float(there(story).base)) == (Baseline.SNAPSHOT, 0)
    found = {(row.account, row.con_id): row.amount for row in story.state.find(DIFFERENCES, "open", "1")}
    assert found == {(OTHER_ACCOUNT, STOCK.con_id): -12}


def moved_into_doubt() -> Moving:
    """Return a story in which 10 came to what was held, 2 or none, and 2 that were bought."""
    story = Moving(10)
    story.sweep(request=777, account=OTHER_ACCOUNT)
    here = position(10, contract=STOCK)
    story.answer_with(here, position(2, contract=STOCK, account=OTHER_ACCOUNT))
    bought = execution(exec_id(7), 2, at=50, perm_id=7, account=OTHER_ACCOUNT, request_id=778)
    story.sweep(replace(bought, contract=STOCK), request=778, account=OTHER_ACCOUNT)
    assert there(story).baseline is Baseline.UNCONFIRMED
    story.say(MOVED)
    assert there(story).baseline is Baseline.UNCONFIRMED
    return story


def there(story: Moving) -> Holding:
    return holding(story, STOCK.con_id, OTHER_ACCOUNT)


def test_opening_balance_comes_without_owner() -> None:
    story = Moving(10, unmatched)
    story.merged(5)
    assert story.of_new() == 5
    assert [lot.owners for lot in holding(story, NEW.con_id).lots] == [()]


def test_opening_balance_goes_along() -> None:
    """6 were held before the alert's 10: 8 come, of which 5 are the alert's."""
    story = Moving(10, before=6)
    story.merged(8)
    assert (story.of_new(), quantity(story)) == (8, 5)
    story.sell(5)
    assert (quantity(story), shown(story).open, story.of_new()) == (0, False, 3)


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("sold", [False, True])
def test_opening_balance_is_one_where_it_goes_on(*, later: bool, sold: bool) -> None:
    """5 held before all go on beside 10 of an alert; 3 were, or are, bought there by an order of nobody.

    A sale takes the lots first, all 13, and the balance last; a word that 4 are gone takes the balance first.
    """
    story = Moving(10, before=5)
    story.decide = unmatched
    story.now += timedelta(seconds=5)
    fill = execution(exec_id(7), 3, at=95 if not later else 300, contract=NEW, perm_id=7)
    if not later:
        story.tell(fill)
    story.answer_with(position(15, contract=STOCK), *([position(3, contract=NEW)] if not later else []))
    story.answer_with(position(15 if later else 18, contract=NEW))
    story.say(BECAME)
    if later:
        story.now += timedelta(seconds=90)
        story.tell(fill)
    if sold:
        story.sell(14)
    else:
        story.answer_with(position(14, contract=NEW))
        story.answer_with(position(14, contract=NEW))
    left = {lot.exec_id: lot.quantity for lot in holding(story, NEW.con_id).lots}
    assert (story.of_new(), left.get(exec_id(7), 0)) == ((4, 0) if sold else (14, 3))


def test_renumbered_account_keeps_the_alert_open() -> None:
    """10 go on in the account's new number, and are sold there."""
    story = Moving(10)
    story.say(MOVED)
    assert (held(story), held(story, account=OTHER_ACCOUNT), quantity(story)) == (0, 10, 10)
    story.sell(4, account=OTHER_ACCOUNT, contract=STOCK)
    assert (quantity(story), shown(story).open) == (6, True)
    story.sell(6, account=OTHER_ACCOUNT, contract=STOCK)
    assert (quantity(story), shown(story).open) == (0, False)


def renumbered() -> Moving:
    """Return 10 in an account that the login has under another number since, which lists them."""
    story = Moving(10)
    story.note(Source.LINK, "down", "lost")
    story.session += 1
    story.note(Source.LINK, "up", OTHER_ACCOUNT, "176")
    story.now += timedelta(seconds=90)
    story.sweep(request=990, account=OTHER_ACCOUNT)
    story.snapshot(position(10, contract=STOCK, account=OTHER_ACCOUNT))
    return story


def test_new_number_told_behind_its_answers() -> None:
    """What they list is what came, so it is not held twice."""
    story = renumbered()
    story.say(MOVED)
    assert (held(story), held(story, account=OTHER_ACCOUNT), quantity(story)) == (0, 10, 10)


def test_new_number_told_behind_a_sale_there() -> None:
    """4 of the alert's 10 were sold under the new number before a person said that it is one."""
    story = renumbered()
    story.sell(4, account=OTHER_ACCOUNT, contract=STOCK)
    story.say(MOVED)
    assert (held(story, account=OTHER_ACCOUNT), quantity(story)) == (6, 6)
    story.sell(6, account=OTHER_ACCOUNT, contract=STOCK)
    assert (quantity(story), shown(story).open) == (0, False)


def test_lots_moved_to_a_respelled_alert_are_what_it_handed_on_there() -> None:
    """3 under the other number went to a successor; the alert is respelled then. It is told that its 10 had
    come there before: they went with the 3.
    """
    story = Moving(10)
    story.sell(-2, account=OTHER_ACCOUNT, contract=STOCK)
    story.answer_with(position(0, contract=STOCK), position(2, contract=STOCK, account=OTHER_ACCOUNT))
    story.now += timedelta(seconds=9)
    story.sell(-1, account=OTHER_ACCOUNT, contract=STOCK)
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(SUCCESSOR), MOVED)
    respelled = ALERT._replace(alerter="Robindahood Alerts")
    story.note(Source.STORE, "replaced", *alert_fields(ALERT), *alert_fields(respelled), "", "whole")
    story.say(MOVED)
    assert (quantity(story, SUCCESSOR), quantity(story, respelled)) == (13, 0)


def test_earlier_move_is_told_behind_a_later_one() -> None:
    """10 became the new contract, then 6 of another one did: the 16 that are listed are these.

    As the 6 were told first, the 10 that were listed by then counted as held before.
    """
    story = Moving(10)
    third = replace(STOCK, con_id=702, symbol="NVDC", local_symbol="NVDC")
    story.decide = unmatched
    story.sell(-6, contract=third)
    story.answer_with(position(10, contract=STOCK), position(6, contract=third))
    for after in (90, 301):
        story.answer_with(position(10, contract=NEW), position(6, contract=third), after=after)
    story.answer_with(position(16, contract=NEW))
    story.say(BECAME, contract=f"{ACCOUNT} {third.con_id}")
    assert (story.of_new(), float(holding(story, NEW.con_id).base)) == (16, 10)
    story.say(BECAME)
    assert (story.of_new(), float(holding(story, NEW.con_id).base), quantity(story)) == (16, 0, 10)


def test_move_behind_a_move() -> None:
    """First another account, then another contract there; a late sale at first lessens the last."""
    story = Moving(10)
    story.say(MOVED)
    last = f"{OTHER_ACCOUNT} {NEW.con_id}"
    story.tell(position(5, contract=NEW, account=OTHER_ACCOUNT))
    story.say(last, "0.5", MOVED)
    assert (held(story, NEW.con_id, OTHER_ACCOUNT), quantity(story)) == (5, 5)
    story.trade(-4, ago=60)
    assert (held(story, NEW.con_id, OTHER_ACCOUNT), quantity(story)) == (3, 3)


@pytest.mark.parametrize("into", [KEY, f"{ACCOUNT} 999"])
def test_move_to_nowhere_changes_nothing(into: str) -> None:
    """Neither to itself, nor to a contract of which nothing is known."""
    story = Moving(10)
    story.say(into)
    assert (held(story), quantity(story), story.adjustments) == (10, 10, [])
    assert story.state.get(HOLDINGS, f"{ACCOUNT} 999") is None


def test_move_back_is_refused() -> None:
    """It would lead in a circle; the move itself can be undone."""
    story = Moving(10)
    story.say(MOVED)
    story.say(KEY, "", MOVED)
    assert (held(story), held(story, account=OTHER_ACCOUNT)) == (0, 10)


def test_restart_keeps_what_came() -> None:
    story = Moving(10)
    story.merged(5)
    story.restart()
    story.sell(5)
    assert (quantity(story), shown(story).open) == (0, False)


def test_what_goes_on_and_vanishes_there_in_one_second() -> None:
    """11 and 3 vanish from two accounts; a person says that the 11 had gone to the other account.

    The broker's word about that account, of the same second, closes them there: that is the last change.
    """
    story = Moving(10)
    story.sell(-3, account=OTHER_ACCOUNT, contract=STOCK)
    story.trade(1)
    for request, here, there in ((700, 11, 3), (710, 0, 0), (720, 0, 0)):
        story.now += timedelta(seconds=301)
        story.sweep(request=request)
        story.sweep(request=request + 1, account=OTHER_ACCOUNT)
        beside = position(1, contract=BESIDE, account=OTHER_ACCOUNT)
        listed = position(here, contract=STOCK), position(there, contract=STOCK, account=OTHER_ACCOUNT)
        story.snapshot(beside, *listed)
    story.note(Source.PERSON, "adjust", KEY, "transferred", "", "", MOVED)
    position_shown = shown(story).position
    assert position_shown is not None
    assert (position_shown["quantity"], position_shown["closed_by"]) == (0, "adjusted")


def test_what_goes_on_leaves_before_what_vanishes_elsewhere() -> None:
    """11 and 3 vanish in one second from two accounts, of the 11 something was traded last.

    A person says that these became another contract, of which 20 were short: the 3 were closed last.
    """
    story = Moving(10)
    story.now += timedelta(seconds=30)
    story.sell(-3, account=OTHER_ACCOUNT, contract=STOCK)
    bought = story.now.replace(microsecond=0)
    story.trade(1)
    story.decide = unmatched
    story.sell(20)
    for request, here, there, new in ((700, 11, 3, -20), (710, 0, 0, -9), (720, 0, 0, -9)):
        story.now += timedelta(seconds=301)
        story.sweep(request=request)
        story.sweep(request=request + 1, account=OTHER_ACCOUNT)
        beside = position(1, contract=BESIDE, account=OTHER_ACCOUNT), position(new, contract=NEW)
        listed = position(here, contract=STOCK), position(there, contract=STOCK, account=OTHER_ACCOUNT)
        story.snapshot(*beside, *listed)
    story.say(BECAME)
    assert (quantity(story), story.of_new()) == (0, -9)
    assert (shown(story).position or {})["opened_at"] == instant(bought)
