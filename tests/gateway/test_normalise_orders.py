"""The tail of an order message, whose length varies, is read as ib_insync reads it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.test_normalise import MAX_DOUBLE, completed_order, open_order, read, split
from tracker.core.model import (
    CompletedOrder,
    OpenOrder,
)
from tracker.gateway.ib_insync_compat import Decoder


class Kept:
    """Stand in for ib_insync's wrapper and keep the call that a decoded message makes."""

    def __init__(self) -> None:
        self.call: list[Any] = []

    def openOrder(self, *call: Any) -> None:  # noqa: N802 (the name that the library calls)
        self.call = list(call)

    def completedOrder(self, *call: Any) -> None:  # noqa: N802 (the name that the library calls)
        self.call = list(call)


def several(size: int, most: int = 3) -> st.SearchStrategy[list[str]]:
    """Return a count and that many groups of `size` fields."""
    return st.integers(0, most).map(lambda count: [str(count), *["7"] * (size * count)])


def optional(*values: str) -> st.SearchStrategy[list[str]]:
    return st.sampled_from([[""], list(values)])


LEG = st.sampled_from([split("11|1|BUY|SMART|0|0||-1"), split("12|2|SELL|SMART|0|0||-1")])


LEGS = st.lists(LEG, max_size=4).map(lambda legs: [str(len(legs)), *(text for leg in legs for text in leg)])


SCALE = st.sampled_from(
    [["", "", ""], ["1", "1", MAX_DOUBLE], ["1", "1", "0"], ["1", "1", "0.5", *["0"] * 7]]
)


ALGO = st.one_of(st.just([""]), several(2).map(lambda params: ["Vwap", *params]))


@given(st.booleans(), st.data())
def test_order_tail_agrees_with_ib_insync(completed: bool, data: st.DataObject) -> None:
    """The part of an order whose length varies is read as ib_insync reads it."""
    begins = (completed_order() if completed else open_order())[: 53 if completed else 62]
    neutral = data.draw(st.sampled_from([["", "0"], ["LMT", "0", *["0"] * (4 if completed else 8)]]))
    middle = ["0"] * (4 if completed else 6) + ["11|1,12|-2"]
    legs, prices, routing = data.draw(LEGS), data.draw(several(1)), data.draw(several(2))
    hedge = data.draw(optional("D", "1"))
    clearing = ["", "IB", "0"] if completed else ["0", "", "IB", "0"]
    contract = data.draw(st.sampled_from([["0"], ["1", "9", "0.5", "1"]]))
    parts = [
        neutral,
        middle,
        legs,
        prices,
        routing,
        data.draw(SCALE),
        hedge,
        clearing,
        contract,
        data.draw(ALGO),
    ]
    what_if = [] if completed else [data.draw(st.sampled_from(["0", "1"]))]
    tail = (completed_order() if completed else open_order(what_if="".join(what_if)))[
        -34 if completed else -60 :
    ]
    at = tail.index("Filled" if completed else "Submitted")
    fields = [*begins, *(text for part in parts for text in part), "0", *what_if, *tail[at:]]
    kept = Kept()
    decoder: Any = Decoder(kept, 176)  # type: ignore[arg-type]  # a stand-in, not a Wrapper
    getattr(decoder, "completedOrder" if completed else "openOrder")(list(fields))
    contract_read, order, state = kept.call[-3:]
    fact = read(fields)
    if completed:
        assert isinstance(fact, CompletedOrder)
    elif order.whatIf:
        assert fact is None
        return
    else:
        assert isinstance(fact, OpenOrder)
        signed = [
            (leg.conId, -leg.ratio if leg.action == "SELL" else leg.ratio) for leg in contract_read.comboLegs
        ]
        assert list(fact.legs) == signed
    assert fact.status == state.status
