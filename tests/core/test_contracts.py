"""What people call a contract: tickers, days, and whether it is an adjusted one."""

from __future__ import annotations

from datetime import date

import pytest
from msgspec.structs import replace

from tests.support.matching_cases import EARLY_FILL, NVDA_STOCK, fill, option_alert
from tracker.core.contracts import adjustment_of, days_of, last_day, tickers_of
from tracker.core.matching import _BUILT_IN_NAMES, match_execution, same_contract
from tracker.core.model import Contract, Expiry, ExpiryKind, Unmatched
from tracker.core.references import NO_REFERENCE, read_reference


def option(local: str = "", *, symbol: str = "TSLA", trading_class: str = "", **more: object) -> Contract:
    plain = Contract(1, symbol, "OPT", date(2030, 12, 20), None, "C", "100", "USD", local, trading_class)
    return replace(plain, **more)


@pytest.mark.parametrize(
    ("contract", "tickers"),
    [
        (option("SPXW  301217P06600000", symbol="SPX", trading_class="SPXW"), {"SPX", "SPXW"}),
        (option("BRKB  301220C00500000", symbol="BRK B", trading_class="BRKB"), {"BRKB"}),
        (option("no date in it"), {"TSLA"}),
        # A future's class is what people call it: 6E for symbol EUR, VX for VIX.
        (
            Contract(1, "EUR", "FUT", date(2030, 12, 16), local_symbol="6EZ0", trading_class="6E"),
            {"EUR", "6E", "6EZ0"},
        ),
        # A stock's class names its market.
        (replace(NVDA_STOCK, trading_class="NMS", local_symbol="NVDA"), {"NVDA"}),
    ],
)
def test_tickers(contract: Contract, tickers: set[str]) -> None:
    assert tickers_of(contract) == tickers


@pytest.mark.parametrize(
    ("contract", "days"),
    [
        pytest.param(option(), (date(2030, 12, 20),), id="last trade date alone"),
        pytest.param(option("TSLA  301219C00095000"), (date(2030, 12, 19),), id="a login in Asia"),
        pytest.param(
            option("NDX   301221C00095000"),
            (date(2030, 12, 21), date(2030, 12, 20)),
            id="morning settlement",
        ),
        pytest.param(option("TSLA  301399C00095000"), (date(2030, 12, 20),), id="no day of the calendar"),
        pytest.param(
            option(symbol="SPX", trading_class="SPX"),
            (date(2030, 12, 23), date(2030, 12, 20)),
            id="a class that settles in the morning, over a weekend",
        ),
        pytest.param(option(expiry=None), (), id="none"),
    ],
)
def test_days(contract: Contract, days: tuple[date, ...]) -> None:
    assert days_of(contract) == days
    assert last_day(contract) == (days[0] if days else None)


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        (option("TSLA  301220C00095000", trading_class="TSLA"), ""),
        (option(trading_class="TSLA1"), "an adjusted contract (class TSLA1)"),
        (option("TSLA1 301220C00095000"), "an adjusted contract (root TSLA1)"),
        (option(multiplier="33"), "an adjusted contract (multiplier 33)"),
        (option(multiplier="5", currency="EUR"), ""),
        (option(sec_type="FOP", multiplier="50"), ""),
    ],
)
def test_adjusted_contracts(contract: Contract, words: str) -> None:
    assert adjustment_of(contract) == words


def test_adjusted_contract_is_a_near_miss() -> None:
    """An alert means it by its conid only, and a person is told."""
    execution = fill()
    adjusted = replace(execution, contract=replace(execution.contract, con_id=2, multiplier="33"))
    result = match_execution(adjusted, [option_alert()], early_fill=EARLY_FILL)
    assert isinstance(result, Unmatched)
    assert result.rejected[0].near
    assert "multiplier 33" in result.rejected[0].reason


def test_text_without_a_name_is_no_reference() -> None:
    assert read_reference("my note", option(), _BUILT_IN_NAMES) is NO_REFERENCE
    assert not read_reference("/", option(), _BUILT_IN_NAMES).keys


DAY = Expiry(ExpiryKind.DAY, date(2025, 11, 21))
MONTH = Expiry(ExpiryKind.MONTH, None, (2025, 11))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"symbol": "AMD"}, False),
        ({"right": "P"}, False),
        ({"expiry": MONTH}, True),
        ({"expiry": Expiry(ExpiryKind.DAY, date(2025, 11, 28))}, False),
        ({"expiry": Expiry(ExpiryKind.NONE)}, True),
        ({"right": "P", "con_ids": frozenset({5})}, False),
        ({"strike": None, "con_ids": frozenset({5})}, True),
    ],
)
def test_two_records_of_one_contract(changes: dict[str, object], same: bool) -> None:
    one = replace(option_alert(), expiry=DAY, con_ids=frozenset({5}))
    other = replace(one, **{"con_ids": frozenset({6}), **changes})
    assert same_contract(one, other) is same
