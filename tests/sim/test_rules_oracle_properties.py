"""What holds for any day, whatever happens on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest

from tests.sim.rules_oracle import facts as f
from tests.sim.rules_oracle.decisions import Replay
from tests.sim.rules_oracle.oracle import Expected, Oracle, expected
from tests.support.oracle_day import ACC, ACC2, C95, C100, OTHER, STK, A, B, D, Day, Records, alert

CONTRACTS = (C95, C100, STK)


def random_records(rng: Random, day: Day) -> Records:
    records: Records = {}
    for name in ("real-day-trading", "robindahood-alerts", "demslayer"):
        if rng.random() < 0.7:
            contract = rng.choice(CONTRACTS)
            created = day.ago(rng.choice((0, 5, 100, 5000))) if rng.random() < 0.3 else ""
            records[name] = {"TSLA": alert(contract, created=created)}
    return records


def random_day(seed: int, *, steps: int = 40, answers: bool = True) -> Day:
    """Trade, correct, rewrite the store, stop and start, decide, answer positions."""
    rng = Random(seed)
    day = Day(policy=rng.choice(("mark", "remove", "keep")))
    made: list[str] = []
    for _ in range(steps):
        roll = rng.random()
        if roll < 0.5:
            quantity = rng.choice((-5, -3, -2, -1, 1, 2, 3, 5))
            ref = rng.choice(("", "", "", A, B, D))
            perm = rng.choice((None, None, 0, 9))
            account = rng.choice((ACC, ACC, ACC2))
            at, live = rng.choice((0, -1, -40, -300)), rng.random() < 0.7
            contract = rng.choice(CONTRACTS)
            made.append(day.fill(contract, quantity, at=at, ref=ref, perm=perm, live=live, account=account))
        elif roll < 0.65:
            day.read(random_records(rng, day))
        elif roll < 0.7:
            day.read(None)
        elif roll < 0.75 and made:
            day.correct(made.pop(), rng.choice((0, 1, 4)))
        elif roll < 0.8 and made:
            day.decide(rng.choice(("assign", "dismiss", "undo")), rng.choice(made), rng.choice((A, B, D)))
        elif roll < 0.85:
            day.wait(rng.choice((30, 400, 1000)))
        elif roll < 0.88:
            day.add(f.Stopped(day.now))
            day.now += timedelta(seconds=100)
            day.add(f.Started(day.now))
            day.connect()
        elif answers:
            held = {
                (ACC, contract): rng.choice((-2, 0, 3, 9)) for contract in CONTRACTS if rng.random() < 0.7
            }
            day.answer({**held, (ACC, OTHER): 1}, sweep=rng.random() < 0.8)
    return day


def check(right: Expected) -> None:
    """Nobody owns more than is held, nor against it, and every alert shows the sum of its lots."""
    for key, lots in right.lots.items():
        total = right.opening_left[key] + sum((lot.quantity for lot in lots), Decimal(0))
        assert all(lot.quantity * total > 0 for lot in lots)
        assert right.opening_left[key] * total >= 0
    for one in right.alerts:
        for key, quantity in one.quantities.items():
            owned = [lot.quantity for lot in right.lots[key] if one.name in lot.owners]
            # Two alerts may have had one name, one after the other.
            same = [other for other in right.alerts if other.name == one.name]
            if len(same) == 1:
                assert quantity == sum(owned)
        if one.shown and not one.quantities:
            # Closed, or left with nothing of its own: all was void, or went to others.
            assert (one.closed_at is None) == (one.opened_at is None)
        if one.quantities:
            assert one.open
            assert one.closed_at is None
            assert one.opened_at is not None


@pytest.mark.parametrize("seed", range(60))
def test_any_day_adds_up(seed: int) -> None:
    day = random_day(seed)
    right = day.right()
    check(right)
    assert day.right() == right


@pytest.mark.parametrize("seed", range(25))
def test_every_prefix_keeps_its_decisions(seed: int) -> None:
    """A decision is written down once: what a longer day adds never changes the earlier ones."""
    day = random_day(1000 + seed, steps=25)
    replay = Replay(day.settings)
    before: list[object] = []
    for number, event in enumerate(day.events, 1):
        replay.handle(event)
        decisions: list[object] = list(replay.decisions)
        assert decisions[: len(before)] == before
        before = decisions
        if number % 5 == 0:
            check(expected(day.events[:number], day.settings))


@pytest.mark.parametrize("seed", range(25))
def test_repeats_change_nothing(seed: int) -> None:
    day = random_day(2000 + seed, answers=False)
    right = day.right()
    told = [event for event in day.events if isinstance(event, f.Executed)]
    repeats: list[f.Event] = [replace(event, at=day.now, live=False) for event in told]
    assert replace(expected([*day.events, *repeats], day.settings), decisions=()) == replace(
        right, decisions=()
    )


@pytest.mark.parametrize("seed", range(25))
def test_arrival_order_does_not_matter(seed: int) -> None:
    """Alerts that were there all day, by conid or by reference: the broker's order alone counts."""
    rng = Random(seed)
    day = Day({"real-day-trading": {"TSLA": alert(C95)}, "robindahood-alerts": {"TSLA": alert(C100)}})
    first = len(day.events)
    for _ in range(12):
        contract, ref = rng.choice((C95, C100)), rng.choice(("", "", A, B))
        day.fill(
            contract, rng.choice((-3, -2, -1, 1, 2, 4)), rng.randint(1, 9), at=rng.choice((0, -1)), ref=ref
        )
    shuffled = day.events[first:]
    rng.shuffle(shuffled)
    one, two = day.right(), expected([*day.events[:first], *shuffled], day.settings)
    assert one.alerts == two.alerts
    assert one.lots == two.lots


def test_asking_in_between_changes_nothing() -> None:
    day = random_day(11)
    oracle = Oracle(day.settings)
    for event in day.events:
        oracle.handle(event)
        oracle.now()
    assert oracle.now() == day.right()
