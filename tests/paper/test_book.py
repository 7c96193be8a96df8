"""The paper broker's book and what it is made of, without any socket."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paper_clients import AAPL, ACCOUNT, NOON, NVDA, SPXW, Clock, make_gateway
from tracker.paper import contract_search, formats
from tracker.paper.book import Book, PaperOrder, bag, future, numbered, stock
from tracker.paper.decode_orders import AskedContract

EASTERN = ZoneInfo("US/Eastern")


def book() -> Book:
    return Book([ACCOUNT], 1, EASTERN)


TODAY = NOON.date()


def asked(**given: object) -> AskedContract:
    nothing: dict[str, object] = dict.fromkeys(AskedContract.__slots__, "")
    nothing |= {"con_id": 0, "strike": None, "legs": ()}
    return AskedContract(**{**nothing, **given})  # type: ignore[arg-type]  # the test says what the types are


@given(st.lists(st.tuples(st.integers(-9, 9).filter(bool), st.integers(1, 500)), min_size=1, max_size=12))
def test_cash_positions_and_gains_add_up(fills: list[tuple[int, int]]) -> None:
    """Cash positions and realized gains add up."""
    made = book()
    start = made.cash[ACCOUNT]
    for signed, cents in fills:
        side = "BUY" if signed > 0 else "SELL"
        order = made.add_order(PaperOrder(7, ACCOUNT, NVDA, side, Decimal(abs(signed))))
        made.fill(order, order.quantity, Decimal(cents) / 100, NOON)
    held = made.position(ACCOUNT, NVDA)
    assert held.quantity == sum(signed for signed, _ in fills)
    # What came in and out is what was realized less what the position cost.
    paid = start - made.cash[ACCOUNT]
    assert abs(paid - (held.quantity * held.average_cost - held.realized)) < Decimal("1e-9")
    assert held.average_cost == 0 or held.quantity != 0


def test_impossible_order_is_refused() -> None:
    """An order that no broker takes is refused."""
    made = book()
    with pytest.raises(ValueError, match="must be above 0"):
        made.add_order(PaperOrder(7, ACCOUNT, NVDA, "BUY", Decimal(0)))
    with pytest.raises(ValueError, match="not one of the accounts"):
        made.add_order(PaperOrder(7, "DU9000009", NVDA, "BUY", Decimal(1)))
    with pytest.raises(ValueError, match="at least one account"):
        Book([], 1, EASTERN)
    order = made.add_order(PaperOrder(7, ACCOUNT, NVDA, "BUY", Decimal(1)))
    with pytest.raises(ValueError, match="1 is left"):
        made.fill(order, Decimal(2), Decimal(1), NOON)


def test_exec_ids_and_corrections() -> None:
    """An exec id is used once and only the latest version is corrected."""
    made = book()
    order = made.add_order(PaperOrder(7, ACCOUNT, NVDA, "BUY", Decimal(5)))
    first = made.fill(order, Decimal(2), Decimal(1), NOON)
    with pytest.raises(ValueError, match="is known already"):
        made.fill(order, Decimal(2), Decimal(1), NOON, exec_id=first.exec_id)
    second = made.correct(first, Decimal(1), Decimal(1))
    with pytest.raises(ValueError, match="was corrected before"):
        made.correct(first, Decimal(3), Decimal(1))
    assert made.correct(second, Decimal(3), Decimal(1)).exec_id.endswith(".03")


def test_repeated_fee_replaces_earlier() -> None:
    """A fee said again replaces the earlier one."""
    made = book()
    order = made.add_order(PaperOrder(7, ACCOUNT, NVDA, "BUY", Decimal(2)))
    execution = made.fill(order, Decimal(2), Decimal(1), NOON)
    made.charge(execution, None, None)
    before = made.cash[ACCOUNT]
    made.charge(execution, Decimal("2.3"), None)
    assert (order.commission, before - made.cash[ACCOUNT]) == (Decimal("2.3"), Decimal("1.0"))


def test_gateway_refuses_impossible_settings() -> None:
    """The gateway refuses what it cannot do."""
    gateway = make_gateway()
    order = gateway.order(NVDA, "BUY", 5, limit=2)
    gateway.fill(order, 2)
    with pytest.raises(ValueError, match="cannot shrink to 2"):
        gateway.change(order, quantity=2)
    gateway.cancel(order)
    with pytest.raises(ValueError, match="it is Cancelled"):
        gateway.cancel(order)
    with pytest.raises(ValueError, match="server version 200"):
        make_gateway(max_version=200)


def test_price_of_order_without_limit() -> None:
    """An order without a limit fills at a known or a made up price."""
    gateway = make_gateway()
    made_up = gateway.fill(gateway.order(AAPL, "BUY", 1, "MKT")).price
    assert gateway.fill(gateway.order(AAPL, "BUY", 1, "MKT")).price == made_up
    gateway.fill(gateway.order(AAPL, "BUY", 1, limit="201.94"))
    assert gateway.fill(gateway.order(AAPL, "SELL", 1, "MKT")).price == Decimal("201.94")
    fee = gateway.fee(gateway.fill(gateway.order(SPXW, "BUY", 1, "MKT"), fee=False))
    assert fee.commission == Decimal("0.65")


def test_complete_descriptions_make_contracts() -> None:
    """What is described completely is made up and nothing else."""
    whole = {"symbol": "ES", "expiry": "20301220", "strike": Decimal(95), "right": "C"}
    assert contract_search.make_up(asked(symbol="EUR", sec_type="CASH", currency="USD"), TODAY) is not None
    made = contract_search.make_up(
        asked(sec_type="FUT", symbol="ES", expiry="20301220", multiplier="50", exchange="CME"), TODAY
    )
    assert made is not None
    assert (made.multiplier, made.exchange, made.local_symbol) == ("50", "CME", "ESZ0")
    for changes in (
        {"symbol": ""},
        {"symbol": " "},
        {"expiry": "203012"},
        {"right": ""},
        {"strike": None},
        {"strike": Decimal(-1)},
        {"multiplier": "x"},
        {"multiplier": "0"},
    ):
        assert contract_search.make_up(asked(**{**whole, "sec_type": "OPT", **changes}), TODAY) is None, (
            changes
        )
    assert contract_search.make_up(asked(symbol="X", sec_type="WAR"), TODAY) is None
    assert contract_search.make_up(asked(**whole, sec_type="OPT"), TODAY) is not None


def test_known_contracts_are_found() -> None:
    """Known contracts are found by what is said."""
    known = {contract.con_id: contract for contract in (NVDA, SPXW, AAPL)}
    assert (
        contract_search.find(known, asked(con_id=AAPL.con_id, sec_type="STK", exchange="IEX"), TODAY)[
            0
        ].exchange
        == "IEX"
    )
    assert contract_search.find(known, asked(con_id=5, sec_type="STK"), TODAY) == []
    assert contract_search.find(known, asked(sec_type="OPT", symbol="SPX"), TODAY) == [SPXW]
    assert contract_search.find(known, asked(sec_type="OPT", symbol="SPX", trading_class="SPX"), TODAY) == []
    assert contract_search.find(known, asked(sec_type="OPT"), TODAY) == []
    combo = bag("SPX", (SPXW, 1, "BUY"), (NVDA, 1, "SELL"))
    assert [
        found.legs for found in contract_search.find(known, asked(sec_type="BAG", legs=combo.legs), TODAY)
    ] == [combo.legs]
    assert contract_search.find(known, asked(sec_type="BAG", legs=()), TODAY) == []


def test_made_up_con_ids_are_stable() -> None:
    """Made up con ids depend on what the contract is alone."""
    assert stock("AMD").con_id == stock("AMD").con_id != stock("AMDX").con_id
    assert future("ES", "20301220", "50", "ESZ0").con_id != future("ES", "20310320", "50", "ESH1").con_id
    assert numbered(AAPL, 7).con_id == 7


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", None),
        ("20251118-17:00:00", NOON),
        ("20251118 12:00:00", NOON),
        ("20251118 12:00:00 US/Eastern", NOON),
        ("20251118 17:00:00 UTC", NOON),
    ],
)
def test_filter_times_in_every_form(text: str, moment: datetime | None) -> None:
    """Filter times are read in every documented form."""
    assert formats.read_filter_time(text, EASTERN) == moment


@pytest.mark.parametrize(
    "text", ["noon", "20251118", "20251118 12:00:00 Mars/Olympus", "20251118 12:00:00 a b"]
)
def test_other_filter_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        formats.read_filter_time(text, EASTERN)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("5", "5"), ("0.7143", "0.7143"), ("", None), ("1.7976931348623157E308", None), ("NaN", None)),
        *(("Infinity", None), ("2147483647", None), ("9" * 40, None), ("1e-30", None), ("five", None)),
    ],
)
def test_numbers_read_or_unset(text: str, number: str | None) -> None:
    """Numbers of clients are read or unset."""
    assert formats.read_number(text) == (None if number is None else Decimal(number))


def test_numbers_written_as_by_gateway() -> None:
    """Numbers are written as the gateway does."""
    assert [formats.plain(Decimal(text)) for text in ("100", "1E+2", "0.71430")] == ["100", "100", "0.7143"]
    assert [formats.price(Decimal(text)) for text in ("96.90", "0.00", "-0.55")] == ["96.90", "0", "-0.55"]
    assert [formats.double(Decimal(text)) for text in ("5800", "87.160")] == ["5800.0", "87.16"]


def test_day_ends_at_login_midnight() -> None:
    """A day ends at the logins midnight for orders too."""
    clock = Clock(datetime(2025, 11, 19, 4, 59, tzinfo=UTC))
    gateway = make_gateway(clock)
    done = gateway.order(NVDA, "BUY", 5, limit=2)
    gateway.fill(done)
    resting = gateway.order(NVDA, "BUY", 5, limit=2)
    clock.advance(minutes=2)
    assert gateway.book.today(clock()) == ()
    assert list(gateway.book.orders) == [resting.perm_id]
    assert gateway.book.find_order(7, done.order_id) is None
