"""How one contract's entries become what is held and who owns it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.support.facts import ACCOUNT, NVDA, START
from tracker.core.lot_changes import Movement
from tracker.core.lots import Split, at_opening_balance
from tracker.core.lots import fold as fold_entries
from tracker.core.model import AlertId, Moment
from tracker.core.state_rows import AlertPosition, Baseline, Holding

ONE = AlertId("one", "NVDA", "2025-11-18T15:42:00", 700100200)
TWO = AlertId("two", "NVDA", "2025-11-18T15:42:10", 700100200)
OWNERS = {"": (), "1": (ONE,), "2": (TWO,), "12": (ONE, TWO)}


def start(base: str | int = 0) -> Holding:
    return Holding(ACCOUNT, NVDA, Decimal(base), Decimal(base), Baseline.SNAPSHOT, by_execution=True)


def fold(before: Holding, entries: Sequence[Movement]) -> tuple[Holding, list[Split]]:
    """Fold movements; returns the splits in the order of the movements."""
    done = fold_entries(before, entries)
    return done.holding, [done.splits[each.exec_id] for each in entries]


def entry(
    at: int, signed: str | int, owners: str = "", price: str = "2", *, named: str = "", expired: str = ""
) -> Movement:
    moment = Moment(START + timedelta(seconds=at), at)
    return Movement(
        moment,
        f"e{at}",
        Decimal(signed),
        Decimal(price),
        OWNERS[owners],
        "",
        (named,) if named else (),
        bool(named),
        "",
        expired,
    )


def folded(base: str | int, *moves: tuple[str | int, str]) -> tuple[Holding, list[Split]]:
    """Fold movements a second apart, each (signed, owners)."""
    return fold(start(base), [entry(at, *move) for at, move in enumerate(moves, 1)])


def quantities(holding: Holding) -> dict[str, str]:
    return {position.alert.alerter: str(position.quantity) for position in holding.alerts}


def position(holding: Holding, alert: AlertId) -> AlertPosition:
    return next(position for position in holding.alerts if position.alert == alert)


@pytest.mark.parametrize(
    ("base", "moves", "held", "owned"),
    [
        pytest.param(0, [(4, "1"), (6, "1")], "10", {"one": "10"}, id="two partial fills"),
        pytest.param(0, [(4, "1"), (-3, "")], "1", {"one": "1"}, id="a partial exit keeps the rest"),
        pytest.param(0, [(4, "1"), (-4, "")], "0", {"one": "0"}, id="the last sale closes"),
        pytest.param(10, [(-4, "1")], "6", {}, id="what was held before belongs to no alert"),
        pytest.param(10, [(4, "1"), (-4, "")], "10", {"one": "0"}, id="an owner is closed before the rest"),
        pytest.param(10, [(4, "1"), (-9, "")], "5", {"one": "0"}, id="beyond the owner it takes the rest"),
        pytest.param(0, [(-3, "1")], "-3", {"one": "-3"}, id="selling to open is negative"),
        pytest.param(0, [(-3, "1"), (2, "")], "-1", {"one": "-1"}, id="buying to cover closes"),
        pytest.param(-5, [(2, "1")], "-3", {}, id="covering an old short opens nothing"),
        pytest.param(0, [(4, "1"), (-6, "2")], "-2", {"one": "0", "two": "-2"}, id="a flip does both"),
        pytest.param(0, [(4, "1"), (-6, "1")], "-2", {"one": "-2"}, id="a flip of one alert"),
        pytest.param(2, [(-5, "1")], "-3", {"one": "-3"}, id="a flip of what was held before"),
        pytest.param(0, [(4, "12")], "4", {"one": "4", "two": "4"}, id="two alerts mirror one fill"),
        pytest.param(0, [(4, "12"), (-4, "")], "0", {"one": "0", "two": "0"}, id="and are closed together"),
        pytest.param(
            0, [(2, "1"), (3, "2"), (-2, "")], "3", {"one": "0", "two": "3"}, id="the oldest closes first"
        ),
        pytest.param(
            0, [(2, "1"), (3, "2"), (-4, "")], "1", {"one": "0", "two": "1"}, id="then the next oldest"
        ),
        pytest.param(
            0, [(2, "1"), (3, "12"), (-3, "")], "2", {"one": "2", "two": "2"}, id="a sale spans two groups"
        ),
        pytest.param(0, [("0.25", "1"), ("0.5", "1")], "0.75", {"one": "0.75"}, id="fractions of a share"),
        pytest.param(
            0, [("0.3", "1"), ("-0.1", ""), ("-0.2", "")], "0.0", {"one": "0"}, id="down to nothing"
        ),
        pytest.param(0, [(4, "")], "4", {}, id="a fill of no alert has no owner"),
        pytest.param(0, [(4, ""), (2, "1"), (-6, "")], "0", {"one": "0"}, id="owned and not owned"),
        pytest.param(3, [(0, "1")], "3", {}, id="a bust to nothing touches nobody"),
    ],
)
def test_movements_become_held_and_owned(
    base: int, moves: Sequence[tuple[str | int, str]], held: str, owned: dict[str, str]
) -> None:
    holding, _ = folded(base, *moves)
    assert str(holding.held) == held
    assert quantities(holding) == owned


@pytest.mark.parametrize(
    ("base", "signed", "opening", "closing"),
    [
        (0, 4, 4, 0),
        (3, 4, 4, 0),
        (3, -2, 0, -2),
        (3, -5, -2, -3),
        (-3, 5, 2, 3),
        (-3, -1, -1, 0),
        (3, 0, 0, 0),
    ],
)
def test_an_entry_splits_at_zero(base: int, signed: int, opening: int, closing: int) -> None:
    _, (parts,) = folded(base, (signed, ""))
    assert parts == Split(Decimal(opening), Decimal(closing), ())


def test_each_part_says_whom_it_touched() -> None:
    _, parts = folded(0, (4, "1"), (-6, "2"), (1, "1"))
    assert [part.touched for part in parts] == [(ONE,), (ONE, TWO), (TWO,)]


def test_named_lot_closes_first() -> None:
    """The lot that the order names closes first."""
    entries = [entry(1, 2, "1"), entry(2, 3, "2"), entry(3, -3, named="two/NVDA")]
    holding, _ = fold(start(), entries)
    assert quantities(holding) == {"one": "2", "two": "0"}


def test_reference_without_lots_takes_the_oldest() -> None:
    """Naming an alert that owns nothing falls back to the oldest."""
    entries = [entry(1, 2, "1"), entry(2, 3, "2"), entry(3, -2, named="else/NVDA")]
    holding, _ = fold(start(), entries)
    assert quantities(holding) == {"one": "0", "two": "3"}


def test_oldest_lots_close_first() -> None:
    """Each lot by its own time, whoever owns it: a later opening of the first alert waits its turn."""
    holding, _ = folded(0, (2, "1"), (3, "2"), (1, "1"), (-3, ""))
    assert quantities(holding) == {"one": "1", "two": "2"}


def test_the_average_is_that_of_the_openings() -> None:
    entries = [entry(1, 4, "1", "2.50"), entry(2, -3), entry(3, 1, "1", "3.50"), entry(4, -1)]
    holding, _ = fold(start(), entries)
    mine = position(holding, ONE)
    assert mine.quantity == 1
    assert mine.avg_price == 3
    assert mine.opened_at == entries[0].moment.time
    assert mine.closed_at is None


def test_reopened_position_starts_over() -> None:
    """Opened again after a close it begins again."""
    entries = [entry(1, 4, "1", "2.50"), entry(2, -4), entry(3, 2, "1", "9")]
    holding, _ = fold(start(), entries)
    mine = position(holding, ONE)
    assert mine.quantity == 2
    assert mine.avg_price == 9
    assert mine.opened_at == entries[2].moment.time
    assert mine.closed_at is None


def test_closed_position_keeps_time_and_cause() -> None:
    """A closed position remembers when and by what."""
    entries = [entry(1, 4, "1"), entry(2, -4)]
    mine = position(fold(start(), entries)[0], ONE)
    assert (mine.closed_at, mine.closed_by, mine.last_exec_id) == (entries[1].moment.time, None, "e2")


def test_expiration_closes_every_owner() -> None:
    """A expiration closes every owner and names no execution."""
    gone = Movement(Moment(START + timedelta(days=4), 9), "", Decimal(0), Decimal(0), expired="expired")
    holding, parts = fold(start(3), [entry(1, 4, "1"), entry(2, 1, "2"), gone])
    assert holding.held == 0
    assert holding.lots == ()
    assert parts[-1] == Split(Decimal(0), Decimal(-8), (ONE, TWO), of_alerts=Decimal(5))
    mine = position(holding, ONE)
    assert mine.quantity == 0
    assert (mine.closed_by, mine.last_exec_id) == ("expired", "e1")
    assert mine.closed_at == gone.moment.time


def test_a_departure_of_nothing_touches_nobody() -> None:
    holding, parts = fold(start(), [entry(1, 4, "1"), entry(2, -4), entry(3, 0, expired="expired")])
    assert holding.held == 0
    assert parts[-1].touched == ()
    assert position(holding, ONE).closed_by is None


def test_folding_starts_from_base_whatever_was_held() -> None:
    once, _ = folded(2, (4, "1"))
    again, _ = fold(at_opening_balance(once), [entry(1, 4, "1")])
    assert again == once


def test_folding_in_parts_equals_at_once() -> None:
    """Folding in two parts is folding at once."""
    moves = [entry(1, 4, "1"), entry(2, -1, "1"), entry(3, 2, "12"), entry(4, -3)]
    first, _ = fold(start(2), moves[:2])
    assert fold(first, moves[2:])[0] == fold(start(2), moves)[0]


def test_entries_come_in_any_order() -> None:
    """The fold puts them into the broker's order itself."""
    moves = [entry(1, 4, "1"), entry(2, -1), entry(3, 2, "2"), entry(4, -4)]
    assert fold(start(), moves[::-1])[0] == fold(start(), moves)[0]


@pytest.mark.parametrize(
    ("moves", "unowned", "with_one"),
    [
        pytest.param([], False, set(), id="no lots"),
        pytest.param([(4, "")], True, set(), id="of nobody"),
        pytest.param([(4, "1")], False, set(), id="of one alert"),
        pytest.param([(4, "1"), (2, "")], True, set(), id="of one alert and of nobody"),
        pytest.param([(4, "1"), (2, ""), (-5, "")], True, set(), id="its alert is closed"),
        pytest.param([(4, "1"), (2, "2")], False, set(), id="of two alerts, each by itself"),
        pytest.param([(4, "12"), (2, "2")], False, {TWO}, id="of two alerts that share"),
        pytest.param([(4, "12"), (2, "")], True, {TWO}, id="shared, and of nobody"),
    ],
)
def test_whose_lots_there_are(moves: list[tuple[int, str]], unowned: bool, with_one: set[AlertId]) -> None:
    """The answers are those that looking at each lot would give, also where nothing was summed up."""
    holding, _ = folded(10, *moves)
    for row in (holding, replace(holding, in_lots=None)):
        assert row.has_unowned_lots == unowned
        assert row.sharing_with(ONE) == with_one
        assert row.owners == {owner for lot in row.lots for owner in lot.owners}
