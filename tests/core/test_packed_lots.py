"""Lots in runs are what a tuple of them is, whichever of them are packed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.facts import START
from tracker.core import packed_lots
from tracker.core.lot_rows import Lot
from tracker.core.model import AlertId, Moment
from tracker.core.packed_lots import (
    LotRuns,
    LotsByOrder,
    PackedRun,
    alike_at_end,
    alike_at_start,
    appended,
    changed,
    of_order,
    owner_sets,
    packed,
)
from tracker.core.part_rows import LotPart

ROBIN = AlertId("robindahood-alerts", "NVDA", "2025-11-18T15:42:07.318245", 700100200)
OWNERS = ((), (ROBIN,), (ROBIN, ROBIN._replace(alerter="demslayer")))
RUN = packed_lots.RUN


def lot(number: int, quantity: str = "1") -> Lot:
    """Make the lot of one execution; each third is of another order, and each has its own price and time."""
    moment = Moment(START + timedelta(milliseconds=number), number)
    part = LotPart(number, OWNERS[1]) if number % 5 == 4 else None
    price = Decimal(number) / 7
    of = f"DU1234567 700100200 {number % 3}"
    return Lot(
        OWNERS[number % 3], Decimal(quantity), price, moment, f"e.{number}.01", of, ("a/b",), part=part
    )


def many(count: int) -> tuple[Lot, ...]:
    return tuple(lot(number) for number in range(count))


ACTS = st.lists(
    st.one_of(
        st.just("pack"),
        st.integers(1, 9).map(lambda more: ("append", more)),
        st.lists(st.tuples(st.integers(0, 40), st.sampled_from("0123")), max_size=4).map(
            lambda places: ("change", places)
        ),
    ),
    max_size=25,
)


@given(st.integers(1, 3), ACTS)
def test_runs_are_what_a_tuple_is(run: int, acts: list[object]) -> None:
    """Appended to, changed, emptied and packed in any order, with runs of few lots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_lots, "RUN", run)
        plain: tuple[Lot, ...] = ()
        runs: Sequence[Lot] = LotRuns((), ())
        for number, act in enumerate(acts):
            before, was = runs, plain
            match act:
                case ("append", int(more)):
                    for one in range(more):
                        plain, runs = (
                            (*plain, lot(100 * number + one)),
                            appended(runs, lot(100 * number + one)),
                        )
                case ("change", list(places)):
                    new = {
                        at % len(plain): replace(plain[at % len(plain)], quantity=Decimal(left))
                        for at, left in places
                        if plain
                    }
                    kept = [new.get(at, each) for at, each in enumerate(plain)]
                    plain, runs = tuple(each for each in kept if each.quantity), changed(runs, new)
                case _:
                    runs = packed(runs)
            assert (tuple(runs), len(runs), runs) == (plain, len(plain), plain)
            assert all(runs[at] == each and runs[at - len(plain)] == each for at, each in enumerate(plain))
            for begin, end in ((0, len(plain)), (1, -1), (len(plain) // 2, None), (-2, None), (3, 2)):
                assert runs[begin:end] == plain[begin:end]
            assert runs[::-1] == plain[::-1]
            for of in {each.order for each in plain}:
                assert list(of_order(runs, of)) == [each for each in plain if each.order == of]
                assert LotsByOrder(runs).of(of) == [each for each in plain if each.order == of]
            assert set(owner_sets(runs)) == {each.owners for each in plain}
            # What counts as alike is alike.
            start, end = alike_at_start(before, runs), alike_at_end(before, runs)
            assert was[:start] == plain[:start]
            assert was[len(was) - end :] == plain[len(plain) - end :]


def test_only_many_lots_are_packed() -> None:
    """The newest are left as they are: they are added to."""
    few = many(2 * RUN - 1)
    assert packed(few) is few
    runs = packed(many(2 * RUN))
    assert isinstance(runs, LotRuns)
    assert [type(each) for each in runs.runs] == [PackedRun, tuple]
    assert runs[-1] == lot(2 * RUN - 1)
    assert runs[RUN - 1 : RUN + 1] == (lot(RUN - 1), lot(RUN))
    more: Sequence[Lot] = runs
    for number in range(2 * RUN, 3 * RUN - 1):
        more = appended(more, lot(number))
    assert packed(more) is more
    more = packed(appended(more, lot(3 * RUN - 1)))
    assert tuple(more) == many(3 * RUN)
    assert isinstance(more, LotRuns)
    assert more.runs[0] is runs.runs[0]
    assert alike_at_start(runs, more) == RUN


def test_sale_of_the_oldest_leaves_the_other_runs() -> None:
    runs = packed(many(4 * RUN))
    sold = changed(runs, {0: lot(0, "0"), 1: lot(1, "0.5")})
    assert tuple(sold) == (lot(1, "0.5"), *many(4 * RUN)[2:])
    assert alike_at_end(runs, sold) >= 3 * RUN
    assert changed(runs, {at: lot(at, "0") for at in range(4 * RUN)}) == ()


def test_slice_leaves_other_runs_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit asks for the newest lots of a contract that may have thousands."""
    unpacked: list[PackedRun] = []
    whole = PackedRun.unpack

    def unpack(run: PackedRun) -> tuple[Lot, ...]:
        unpacked.append(run)
        return whole(run)

    monkeypatch.setattr(PackedRun, "unpack", unpack)
    runs = packed(many(5 * RUN))
    assert isinstance(runs, LotRuns)
    assert runs[4 * RUN :] == many(5 * RUN)[4 * RUN :]
    assert unpacked == []
    assert runs[RUN + 3 : RUN + 5] == many(RUN + 5)[RUN + 3 :]
    assert unpacked == [runs.runs[1]]


def test_packed_lots_take_little_memory() -> None:
    """A tenth of a lot's 500 bytes, with what is known of it without unpacking."""
    run = PackedRun(many(RUN))
    assert len(run._body) + run._orders.itemsize * len(run._orders) < 50 * RUN
    assert run.lots == many(RUN)


@pytest.mark.parametrize("other", [None, "text", [*range(3)]])
def test_lots_are_no_other_thing(other: object) -> None:
    assert packed(many(2 * RUN)) != other
