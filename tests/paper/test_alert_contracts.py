"""Contracts that an alert file names, and orders by conId."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import details, record
from tests.support.paper_clients import AAPL, NVDA, library, make_gateway, until
from tracker.paper.alert_contracts import contracts_of
from tracker.paper.service import OptionError, learn_alerts

TODAY = date(2025, 11, 18)


def read(**changes: Any) -> list[tuple[Any, ...]]:
    text = json.dumps({"robindahood-alerts": {"NVDA": record(**changes)}})
    return [
        (one.con_id, one.sec_type, one.symbol, one.expiry, one.right, str(one.strike))
        for one in contracts_of(text, TODAY)
    ]


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("12/20/2030", "20301220"),
        ("2030-12-20", "20301220"),
        ("20301220", "20301220"),
        ("12/20/30", "20301220"),
        ("12/20", "20251220"),
        ("1120", "20251120"),
        # Over for this year.
        ("11/17", "20261117"),
    ],
)
def test_contracts_of_a_record(written: str, day: str) -> None:
    """A record names its option and its underlying, each by conId."""
    assert read(alert_details=details(expiry=written)) == [
        (4815747, "STK", "NVDA", "", "", "None"),
        (700100200, "OPT", "NVDA", day, "C", "122.5"),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"alert_details": None},
        {"alert_details": details(ticker=5)},
        {"conid": "x", "alert_details": details(expiry="2/31")},
        {"conid": None, "alert_details": details(strike="many")},
        {"conid": None, "option_conid": True},
    ],
)
def test_unreadable_record_names_nothing(changes: dict[str, Any]) -> None:
    """A record that cannot be read hides no other."""
    assert read(**changes) == []


def test_index_of_an_alert() -> None:
    """The conId of SPX is an index's, not a share's."""
    rows = read(conid=416904, option_conid=None, alert_details=details(ticker="SPX"))
    assert [row[:3] for row in rows] == [(416904, "IND", "SPX")]


def test_unreadable_alert_file_is_refused(tmp_path: Path) -> None:
    """A file that is absent, no JSON or no table is named."""
    for text in (None, "{", "[]"):
        path = tmp_path / "alerts.json"
        if text is not None:
            path.write_text(text)
        with pytest.raises(OptionError, match=r"--alerts .*alerts\.json cannot be read"):
            learn_alerts(make_gateway(), str(path), TODAY)


def test_orders_and_details_by_con_id(tmp_path: Path) -> None:
    """A conId is enough, with or without an exchange; one that nobody named is error 200."""
    path = tmp_path / "alerts.json"
    path.write_text(json.dumps({"robindahood-alerts": {"NVDA": record()}}))

    async def run() -> None:
        its = library()
        async with make_gateway() as gateway:
            assert learn_alerts(gateway, str(path), TODAY) == 2
            gateway.book.learn(AAPL)
            ib = its.IB()
            errors: list[tuple[int, int]] = []
            ib.errorEvent.connect(lambda request, code, text, contract: errors.append((request, code)))
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=5, timeout=5)
            trades = [
                ib.placeOrder(its.Contract(conId=con_id, exchange=exchange), its.MarketOrder("BUY", 1))
                for con_id, exchange in ((NVDA.con_id, "SMART"), (AAPL.con_id, "SMART"), (AAPL.con_id, ""))
            ]
            await until(lambda: all(trade.orderStatus.status == "Filled" for trade in trades))
            assert [one.contract.con_id for one in gateway.book.executions.values()] == [
                NVDA.con_id, AAPL.con_id, AAPL.con_id,
            ]  # fmt: skip
            (found,) = await ib.qualifyContractsAsync(its.Contract(conId=NVDA.con_id))
            assert (found.symbol, found.strike, found.lastTradeDateOrContractMonth) == (
                "NVDA", 122.5, "20301220",
            )  # fmt: skip
            unknown = ib.placeOrder(its.Contract(conId=77, exchange="SMART"), its.MarketOrder("BUY", 1))
            await until(lambda: (unknown.order.orderId, 200) in errors)
            ib.disconnect()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("Index", "SPX", "CBOE"), ("IND", "SPX", "")),
        (("Future", "ES", "202612", "CME"), ("FUT", "ESZ6", "20261218")),
        (("Future", "ES", "20261218", "CME"), ("FUT", "ESZ6", "20261218")),
        (("Option", "SPY", "20270115", 600, "C", "SMART"), ("OPT", "SPY   270115C00600000", "20270115")),
    ],
)
def test_details_of_indexes_and_futures(asked: tuple[Any, ...], found: tuple[str, ...]) -> None:
    """An index, a future by its month or day, and an option have one contract each."""

    async def run() -> None:
        its = library()
        async with make_gateway() as gateway:
            ib = its.IB()
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=5, timeout=5)
            (details,) = await ib.reqContractDetailsAsync(getattr(its, asked[0])(*asked[1:]))
            one = details.contract
            assert (one.secType, one.localSymbol, one.lastTradeDateOrContractMonth) == found
            ib.disconnect()

    asyncio.run(run())


@pytest.mark.parametrize(
    "asked",
    [
        ("Option", "SPY", "20270132", 600, "C", "SMART"),
        ("Option", "SPY", "20270231", 600, "C", "SMART"),
        ("Option", "SPY", "20251117", 600, "C", "SMART"),
        ("Stock", "X" * 3, "SMART", "USD"),
        ("Index", "XYZ", "CBOE"),
        ("Future", "ES", "202613", "CME"),
        ("Future", "ES", "202509", "CME"),
    ],
)
def test_what_does_not_exist_has_no_details(asked: tuple[Any, ...]) -> None:
    """A day that cannot be or is over, and a symbol that there is not, are error 200."""

    async def run() -> None:
        its = library()
        async with make_gateway() as gateway:
            ib = its.IB()
            codes: list[int] = []
            ib.errorEvent.connect(lambda request, code, text, contract: codes.append(code))
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=5, timeout=5)
            assert await ib.reqContractDetailsAsync(getattr(its, asked[0])(*asked[1:])) == []
            assert 200 in codes
            ib.disconnect()

    asyncio.run(run())
