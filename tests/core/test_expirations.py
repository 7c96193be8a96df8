"""A position that went without executions is believed on the word of two witnesses, and not before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from tests.support.facts import (
    ACCOUNT,
    ALERT,
    NVDA,
    Story,
    booked,
    exec_id,
    execution,
    held,
    holding,
    position,
    quantity,
    shown,
    unmatched,
    untouched,
)
from tracker.core.alert_updates import ClosingPolicy
from tracker.core.ledger import Ledger
from tracker.core.model import Contract, End, EndOf, Notice, Source, Undecodable
from tracker.core.state import ABSENCES, DEPARTURES

EASTERN = ZoneInfo("US/Eastern")
FRIDAY = datetime(2025, 11, 21, 21, 0, tzinfo=UTC)
"""The expiry day of the contract, one hour before its market closes."""
SATURDAY = datetime(2025, 11, 22, 6, 0, tzinfo=UTC)
"""After midnight in New York."""
STOCK = Contract(4815747, "NVDA", "STK")
FUTURE = replace(NVDA, con_id=701, sec_type="FUT", right="", strike=None)
SECOND_ACCOUNT = "DU9000001"


class Holder(Story):
    """A story whose accounts have their midnight in New York; it owns 4 contracts that expire on Friday."""

    def __init__(self, contract: Contract = NVDA, policy: ClosingPolicy = ClosingPolicy.MARK) -> None:
        super().__init__(policy=policy)
        self.tell(execution(exec_id(1), 4, contract=contract))
        self.tell(position(4, contract=contract))

    def restart(self) -> None:
        self.ledger = Ledger(
            self.state, lambda fill, now: self.decide(fill), policy=self.policy, zone=EASTERN
        )

    def at(self, moment: datetime) -> None:
        self.now = moment

    def witness(self, *listed: int, contract: Contract = NVDA) -> None:
        """Take a complete snapshot, in which the position is listed with a quantity or absent."""
        self.snapshot(*(position(quantity, contract=contract) for quantity in listed))

    def swept(self) -> None:
        self.sweep()

    def minutes(self, number: float) -> None:
        self.now += timedelta(minutes=number)

    def expired(self) -> Holder:
        """Let the expiry day pass and both witnesses speak."""
        self.at(SATURDAY)
        self.witness()
        self.swept()
        self.minutes(6)
        self.witness()
        return self


def where(story: Story) -> dict[str, object]:
    told = shown(story).position
    assert told is not None
    return dict(told)


@pytest.mark.parametrize("listed", [(), (0,)], ids=["absent", "listed as zero"])
def test_two_witnesses_close_what_expired(listed: tuple[int, ...]) -> None:
    story = Holder()
    story.at(SATURDAY)
    story.witness(*listed)
    story.swept()
    story.minutes(6)
    assert shown(story).open
    story.witness(*listed)
    assert (shown(story).open, quantity(story), held(story)) == (False, 0, 0)
    assert where(story)["closed_by"] == "expired"
    assert str(where(story)["closed_at"]).startswith("2025-11-22T06:00:00.0")


def test_the_policy_holds_for_what_expired_too() -> None:
    assert shown(Holder(policy=ClosingPolicy.REMOVE).expired()).remove
    assert shown(Holder(policy=ClosingPolicy.KEEP).expired()).open


def test_a_future_that_is_over_is_gone() -> None:
    story = Holder(FUTURE)
    story.expired()
    assert where(story)["closed_by"] == "gone"


def test_contract_without_an_expiry_goes_by_adjustment() -> None:
    """Two certain answers, at least five minutes apart, lack it: it is closed, of unknown cause."""
    story = Holder(STOCK)
    story.expired()
    assert (shown(story).open, quantity(story), held(story, STOCK.con_id)) == (False, 0, 0)
    assert where(story)["closed_by"] == "adjusted"


def test_what_no_alert_owns_leaves_ledger_too() -> None:
    story = Holder()
    story.decide = unmatched
    story.tell(execution(exec_id(2), -6, at=60, perm_id=189))
    assert held(story) == -2
    story.expired()
    assert held(story) == 0
    assert where(story)["closed_by"] is None


def _timed_out(story: Holder) -> None:
    story.note(Source.SENT, "executions", "900", ACCOUNT)
    story.note(Source.LINK, "timeout", "executions", "900")
    story.minutes(6)
    story.witness()


def _swept_elsewhere(story: Holder) -> None:
    story.sweep(account=SECOND_ACCOUNT)
    story.minutes(6)
    story.witness()


def _broke(story: Holder, code: int) -> None:
    story.tell(Notice(-1, code, "lost"), Notice(-1, 1102, "restored"))
    story.swept()
    story.minutes(6)
    story.witness()


def _filled(story: Holder) -> None:
    story.swept()
    story.tell(execution(exec_id(2), 1, at=60))
    story.minutes(6)
    story.witness()


def _disturbed(story: Holder) -> None:
    story.swept()
    story.minutes(6)
    story.note(Source.SENT, "positions")
    story.tell(execution(exec_id(2), 1, at=60), End(EndOf.POSITIONS, -1))


def _other_login(story: Holder) -> None:
    story.note(Source.LINK, "up", SECOND_ACCOUNT, "176")
    story.swept()
    story.minutes(6)
    story.witness()


def _not_swept(story: Holder) -> None:
    story.minutes(6)
    story.witness()


def _too_soon(story: Holder) -> None:
    story.swept()
    story.minutes(4)
    story.witness()


def _listed(story: Holder) -> None:
    story.swept()
    story.minutes(6)
    story.witness(4)


BREAK: dict[str, Callable[[Holder], None]] = {
    "one witness alone": Holder.swept,
    "no sweep in between": _not_swept,
    "a sweep that timed out": _timed_out,
    "a sweep of another account": _swept_elsewhere,
    "too soon": _too_soon,
    "the second lists it": _listed,
    "the link to IBKR broke (1100)": lambda story: _broke(story, 1100),
    "the link to IBKR broke (2110)": lambda story: _broke(story, 2110),
    "a fill in between": _filled,
    "a fill during the second answer": _disturbed,
    "another login": _other_login,
}


@pytest.mark.parametrize("then", list(BREAK.values()), ids=list(BREAK))
def test_it_stays_open_without_two_good_witnesses(then: Callable[[Holder], None]) -> None:
    story = Holder()
    story.at(SATURDAY)
    story.witness()
    then(story)
    assert shown(story).open
    assert list(story.state.every(DEPARTURES)) == []


def test_stays_open_until_accounts_expiry_day_ends() -> None:
    """It stays open until the expiry day is over where the account is."""
    story = Holder()
    story.at(FRIDAY)
    story.witness()
    story.swept()
    story.at(SATURDAY - timedelta(hours=2))
    story.witness()
    assert shown(story).open
    story.at(SATURDAY)
    story.witness()
    assert not shown(story).open


def test_after_break_two_new_witnesses_are_needed() -> None:
    story = Holder()
    story.at(SATURDAY)
    story.witness()
    _broke(story, 1100)
    assert shown(story).open
    story.swept()
    story.minutes(6)
    story.witness()
    assert not shown(story).open


def test_snapshot_during_loss_is_no_witness() -> None:
    """A snapshot while IBKR is lost is no witness."""
    story = Holder()
    story.at(SATURDAY)
    story.tell(Notice(-1, 1100, "lost"))
    story.witness()
    assert story.state.get(ABSENCES, "last") is None
    story.tell(Notice(-1, 1101, "restored"))
    story.witness()
    assert story.state.get(ABSENCES, "last") is not None


def test_fill_between_witnesses_starts_over() -> None:
    """A fill between the witnesses makes the second the first."""
    story = Holder()
    story.at(SATURDAY)
    story.witness()
    _filled(story)
    assert quantity(story) == 5
    story.swept()
    story.minutes(6)
    story.witness()
    assert (shown(story).open, quantity(story)) == (False, 0)


def test_restart_keeps_the_first_witness() -> None:
    """A restart and a new connection do not lose the first witness."""
    story = Holder()
    story.at(SATURDAY)
    story.witness()
    story.restart()
    story.minutes(6)
    story.reconnect()
    assert shown(story).open
    story.swept()
    story.restart()
    story.minutes(6)
    story.reconnect()
    assert not shown(story).open


def test_listed_again_clears_first_witness() -> None:
    """A position that is listed again clears the first witness."""
    story = Holder()
    story.at(SATURDAY)
    story.witness()
    story.swept()
    story.minutes(6)
    story.witness(4)
    story.minutes(6)
    story.swept()
    story.witness()
    assert shown(story).open


# What an execution that comes later says


def test_explaining_sale_replaces_the_expiration() -> None:
    """A sale that explains it takes the place of the expiration."""
    story = Holder().expired()
    sale = execution(exec_id(2), -4, at=3600, perm_id=189, request_id=5)
    story.tell(sale, source=Source.FLEX)
    assert (shown(story).open, where(story)["closed_by"]) == (False, None)
    assert where(story)["closed_at"] == "2025-11-18T16:43:00.000000+00:00"


def test_row_that_cannot_be_read_is_no_witness() -> None:
    story = Holder()
    story.at(SATURDAY)
    for _ in range(2):
        story.note(Source.SENT, "positions")
        unread = Undecodable("position", "odd", contract=f"{ACCOUNT} {NVDA.con_id}")
        story.tell(unread, End(EndOf.POSITIONS, -1))
        story.swept()
        story.minutes(6)
    assert (shown(story).open, held(story)) == (True, 4)


def test_partial_sale_leaves_rest_expired() -> None:
    """A sale of a part leaves the rest expired."""
    story = Holder().expired()
    story.tell(execution(exec_id(2), -1, at=3600, perm_id=189), source=Source.FLEX)
    assert (shown(story).open, where(story)["closed_by"]) == (False, "expired")
    assert booked_closing(story) == -1


def booked_closing(story: Story) -> Decimal:
    row = holding(story)
    assert row.expired
    return booked(story, exec_id(2)).closing


def test_an_execution_after_the_departure_undoes_it() -> None:
    story = Holder().expired()
    late = (SATURDAY + timedelta(hours=1) - datetime(2025, 11, 18, 15, 43, tzinfo=UTC)).total_seconds()
    story.tell(execution(exec_id(2), -1, at=late, perm_id=189))
    assert (shown(story).open, quantity(story), held(story)) == (True, 3, 3)
    story.tell(execution(exec_id(3), -3, at=late + 1, perm_id=189))
    assert (shown(story).open, where(story)["closed_by"]) == (False, None)


def test_what_was_undone_may_depart_again() -> None:
    story = Holder().expired()
    late = (SATURDAY + timedelta(hours=1) - datetime(2025, 11, 18, 15, 43, tzinfo=UTC)).total_seconds()
    story.tell(execution(exec_id(2), -1, at=late, perm_id=189))
    story.at(SATURDAY + timedelta(hours=2))
    story.witness()
    story.swept()
    story.minutes(6)
    story.witness()
    assert (shown(story).open, where(story)["closed_by"], held(story)) == (False, "expired", 0)


def test_a_short_position_departs_as_well() -> None:
    story = Story(up=False)
    story.ledger = Ledger(story.state, lambda fill, now: story.decide(fill), zone=EASTERN)
    story.note(Source.LINK, "up", ACCOUNT, "176")
    story.snapshot()
    story.tell(execution(exec_id(1), -4))
    story.now = SATURDAY
    story.snapshot()
    story.sweep()
    story.now += timedelta(minutes=6)
    story.snapshot()
    assert (shown(story).open, quantity(story)) == (False, 0)
    assert not untouched(story, ALERT)


def test_option_settled_in_the_morning_is_compared_before_its_day() -> None:
    """It trades last on Tuesday and expires on Wednesday; 2 of 5 that go on Tuesday are an adjustment."""
    symbol = "SPX   251119C06600000"
    contract = replace(NVDA, expiry=date(2025, 11, 18), local_symbol=symbol, trading_class="SPX")
    story = Story()
    story.tell(execution(exec_id(1), 5, contract=contract))
    for number in (901, 902):
        story.now += timedelta(seconds=90)
        story.sweep(request=number)
        story.snapshot(position(3, contract=contract))
    assert (quantity(story), held(story)) == (3, 3)
