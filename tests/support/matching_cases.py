"""Fills and alerts for the tests of matching: one option, one stock, one alert of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from tracker.core.expiry import read_expiry
from tracker.core.matching import match_execution
from tracker.core.model import (
    NO_EXPIRY,
    Alert,
    AlertId,
    Contract,
    Execution,
    Expiry,
    ExpiryKind,
    Match,
    Rejection,
    Side,
    StoredContract,
    Unmatched,
)

CREATED = datetime(2025, 11, 18, 15, 42, tzinfo=UTC)
FILLED = CREATED + timedelta(minutes=1)
EARLY_FILL = timedelta(seconds=120)
CON_ID = 700100200

NVDA_CALL = Contract(CON_ID, "NVDA", "OPT", date(2025, 11, 21), Decimal("122.5"), "C", "100", "USD")
NVDA_STOCK = Contract(4815747, "NVDA", "STK", currency="USD")


def expiry(text: object) -> Expiry:
    return read_expiry(text, CREATED.date())


def fill(contract: Contract = NVDA_CALL, *, ref: str = "", time: datetime = FILLED) -> Execution:
    return Execution(
        exec_id="0000e0d5.6596b0d8.01.01",
        account="DU1234567",
        contract=contract,
        side=Side.BUY,
        quantity=Decimal(4),
        price=Decimal("2.51"),
        time=time,
        time_text="20251118  15:43:00",
        time_known=True,
        perm_id=188,
        order_id=1042,
        client_id=7,
        cum_qty=Decimal(4),
        avg_price=Decimal("2.51"),
        order_ref=ref,
        request_id=-1,
    )


def option_alert(
    alerter: str = "robindahood-alerts",
    ticker: str = "NVDA",
    *,
    right: str = "C",
    strike: str | None = "122.5",
    expires: object = "1121",
    con_ids: Sequence[int] = (),
    created: datetime | None = CREATED,
) -> Alert:
    return Alert(
        id=AlertId(alerter, ticker, "unreadable" if created is None else created.isoformat(), None),
        open=False,
        created_at=created,
        con_ids=frozenset(con_ids),
        symbol=ticker,
        is_option=True,
        strike=None if strike is None else Decimal(strike),
        right=right,
        expiry=expiry(expires),
    )


def stock_alert(
    alerter: str = "real-day-trading", ticker: str = "NVDA", *, created: datetime | None = CREATED
) -> Alert:
    return replace(
        option_alert(alerter, ticker, right="", strike=None, expires=None, created=created), is_option=False
    )


def match(execution: Execution, *alerts: Alert) -> Match:
    return match_execution(execution, alerts, early_fill=EARLY_FILL)


def only_rejection(result: Match) -> Rejection:
    assert isinstance(result, Unmatched)
    (rejection,) = result.rejected
    return rejection


def stored(
    day: date | None = date(2025, 11, 21),
    *,
    symbol: str = "NVDA",
    right: str = "C",
    strike: str | None = "122.5",
    con_id: int | None = None,
) -> StoredContract:
    read = NO_EXPIRY if day is None else Expiry(ExpiryKind.DAY, day=day, text=f"{day:%Y%m%d}")
    return StoredContract(
        "RobinDaHood", symbol, right, None if strike is None else Decimal(strike), read, con_id
    )
