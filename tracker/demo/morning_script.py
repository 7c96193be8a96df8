"""The morning that the demo plays: the stores at its start, what is traded, and what must be shown then.

Owns the steps as data. It starts nothing and reads nothing: `tracker paper` does what the steps say,
`morning_run` checks what they expect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from tracker.core.model import JsonValue

A_TIME: Final = "a time"
"""The expected value of a key that must hold any ISO time."""
TRACKER_KEYS: Final = ("open", "last_order_update", "position")
"""The keys of a record that the tracker writes; all others belong to the alert writer."""

NVDA_CON_ID: Final = 700100200
MEMBER: Final = 7
"""The client id of the trading program that places orders beside the tracker."""


class AlertName(NamedTuple):
    """Name a record of alerts.json, and the alerter as people write it."""

    alerter: str
    ticker: str
    title: str

    def __str__(self) -> str:
        return f"{self.title}/{self.ticker}"


AMD: Final = AlertName("real-day-trading", "AMD", "RealDayTrading")
SPX: Final = AlertName("demslayer", "SPX", "Demslayer")
TSLA: Final = AlertName("prof-and-kian-alerts", "TSLA", "ProfAndKian")
NVDA: Final = AlertName("robindahood-alerts", "NVDA", "RobinDaHood")
ALERTS: Final = (AMD, SPX, TSLA, NVDA)


Act: TypeAlias = Mapping[str, JsonValue]
"""A command of the paper gateway's control socket."""


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one moment of the morning."""

    cue: str
    words: str
    """What happens, as a person would say it."""
    acts: tuple[Act, ...]
    alert: AlertName | None = None
    """The alert whose record changes; with None no byte of the file may change."""
    shows: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the record must show after the step, by dotted key; keys that are not named stay."""
    why: str = ""
    """Why nothing changes."""

    @property
    def fills(self) -> int:
        """Return how many executions the step makes."""
        return sum(act["do"] == "fill" for act in self.acts)


@dataclass(frozen=True, slots=True)
class Morning:
    """Hold the stores' first content, by file name, the instruments by name, and the steps in their order."""

    stores: Mapping[str, str]
    contracts: Mapping[str, Act]
    steps: tuple[Step, ...]

    def expected(self, alert: AlertName, steps: Sequence[Step] | None = None) -> dict[str, JsonValue]:
        """Return what a record must show after these steps, all of them unless given, by dotted key."""
        found: dict[str, JsonValue] = {"open": False}
        for step in self.steps if steps is None else steps:
            if step.alert == alert:
                found.update(step.shows)
        return found


def expiry_after(day: date) -> date:
    """Return the first Friday that is at least two weeks away."""
    later = day + timedelta(days=14)
    return later + timedelta(days=(4 - later.weekday()) % 7)


def morning(moment: datetime) -> Morning:
    """Return the morning for this moment (aware); the alerts are a minute old."""
    expiry = expiry_after(moment.date())
    return Morning(_stores(moment - timedelta(minutes=1), expiry), _contracts(expiry), _steps(expiry))


def stamp(created: datetime) -> str:
    """Return a time as the alert writer writes it, without a zone; the demo's settings say that it is UTC."""
    return created.astimezone(UTC).replace(tzinfo=None).isoformat()


def _stores(created: datetime, expiry: date) -> dict[str, str]:
    """Return the stores as the alert writer and the alerters' programs have written them."""
    local = stamp(created)
    alerts = {
        AMD.alerter: {
            "AMD": alert_record(local, 4391, None, ticker="AMD", strike=None, side=None, expiry=None)
        },
        SPX.alerter: {
            "SPX": alert_record(
                local, 416904, None, ticker="SPX", strike="6600", side="P", expiry=f"{expiry:%m/%d}"
            )
        },
        TSLA.alerter: {
            "TSLA": alert_record(
                local, 76792991, None, ticker="TSLA", strike="450", side="C", expiry=f"{expiry:%m%d}"
            )
        },
        NVDA.alerter: {
            "NVDA": alert_record(
                local,
                4815747,
                NVDA_CON_ID,
                ticker="NVDA",
                strike="122.5",
                side="C",
                expiry=f"{expiry:%m/%d/%Y}",
            )
        },
    }
    contracts = {
        "demslayer-spx-alerts": _last("SPX", "PUT", 6600.0, expiry, local),
        "prof-and-kian-alerts": _last("TSLA", "CALL", 450.0, expiry, local),
        "RobinDaHood": _last("NVDA", "CALL", 122.5, expiry, local),
    }
    shares = {"status": "ACTIVE", "first_alert_time": local, "latest_alert_data": {"entry": "$158"}}
    stocks = {"Real Day Trading": {"AMD": shares}}
    return {
        "alerts.json": json.dumps(alerts, indent=2),
        "alerter_contracts.json": json.dumps(contracts, indent=2),
        "alerter_stocks.json": json.dumps(stocks, indent=2),
    }


def alert_record(created: str, underlying: int, con_id: int | None, **details: Any) -> dict[str, Any]:
    """Return a record as the alert writer makes it; details are ticker, strike, side and expiry."""
    bullish = details["side"] != "P"
    return {
        "open": False,
        "created_at": created,
        "option_conids": [] if con_id is None else [con_id],
        "option_conid": con_id,
        "sentiment": "bullish" if bullish else "bearish",
        "conid": underlying,
        "alert_details": {**details, "is_bullish": bullish},
    }


def _last(symbol: str, side: str, strike: float, expiry: date, stored: str) -> dict[str, Any]:
    return {
        "strike": strike,
        "side": side,
        "symbol": symbol,
        "expiry": f"{expiry:%Y%m%d}",
        "stored_at": stored,
    }


def _contracts(expiry: date) -> dict[str, Act]:
    day = f"{expiry:%Y%m%d}"
    return {
        "call": _option("NVDA", day, "C", "122.5", con_id=NVDA_CON_ID),
        "put": _option("SPX", day, "P", "6600", trading_class="SPXW"),
        "other": _option("MSFT", day, "P", "480"),
        "amd": {"kind": "stock", "symbol": "AMD", "con_id": 4391},
        "tsla": {"kind": "stock", "symbol": "TSLA", "con_id": 76792991},
    }


def _option(symbol: str, expiry: str, right: str, strike: str, **more: JsonValue) -> Act:
    return {"kind": "option", "symbol": symbol, "expiry": expiry, "right": right, "strike": strike, **more}


def _place(name: str, contract: str, side: str, quantity: int, limit: str, *, manual: bool = False) -> Act:
    """Place an order; `manual` means by hand in TWS, with orderId 0."""
    whose: dict[str, JsonValue] = {"manual": True} if manual else {"client_id": MEMBER}
    return {
        "do": "order", "name": name, "contract": contract, "side": side, "quantity": quantity, "limit": limit,
        **whose,
    }  # fmt: skip


def _fill(order: str, quantity: int, price: str, *, unpaid: str = "") -> Act:
    """Fill a part of an order; with a name in `unpaid` its fee comes later."""
    act: dict[str, JsonValue] = {"do": "fill", "order": order, "quantity": quantity, "price": price}
    return act | {"fee": False, "name": unpaid} if unpaid else act


def _fees(*unpaid: str) -> tuple[Act, ...]:
    """Report fees that were held back."""
    return tuple({"do": "fee", "execution": name} for name in unpaid)


def _steps(expiry: date) -> tuple[Step, ...]:
    contracts = _contracts(expiry)
    call, put, other = (describe(contracts[name]) for name in ("call", "put", "other"))
    traded = (*_buying(call, put), *_elsewhere(other), *_selling(call))
    fills = sum(step.fills for step in traded)
    again = Step(
        "asked-again",
        f"Asked for the whole day, the broker sends all {fills} fills once more",
        (),
        why="each was counted already",
    )
    return (*traded, again)


def _buying(call: str, put: str) -> tuple[Step, ...]:
    return (
        Step(
            "first-part",
            f"Another client ({MEMBER}) buys 10 {call}: 4 fill at 2.50",
            (_place("buy", "call", "BUY", 10, "2.52"), _fill("buy", 4, "2.50", unpaid="first part")),
            NVDA,
            {
                "open": True,
                **_order("BUY", "PARTIALLY_FILLED", 4, 6, 2.5, "con_id"),
                **_position(4, 2.5),
            },
        ),
        Step(
            "second-part",
            "The other 6 of that order fill at 2.52",
            (_fill("buy", 6, "2.52", unpaid="second part"),),
            NVDA,
            {**_order("BUY", "FILLED", 10, 0, 2.512, "con_id"), **_position(10, 2.512)},
        ),
        Step(
            "by-hand",
            f"By hand in TWS (orderId 0): 2 {put} bought at 12.40",
            (_place("hand", "put", "BUY", 2, "12.40", manual=True), _fill("hand", 2, "12.40")),
            SPX,
            {
                "open": True,
                **_order("BUY", "FILLED", 2, 0, 12.4, "contract", commission=1.3),
                **_position(2, 12.4),
            },
        ),
        Step(
            "late-fees",
            "Later the broker reports the fees of the 10 calls",
            _fees("first part", "second part"),
            NVDA,
            {"last_order_update.commission": 6.5},
        ),
    )


def _elsewhere(other: str) -> tuple[Step, ...]:
    return (
        Step(
            "shares",
            "50 AMD shares bought at 158.20; the alert is about shares",
            (_place("amd", "amd", "BUY", 50, "158.20"), _fill("amd", 50, "158.20")),
            AMD,
            {
                "open": True,
                **_order("BUY", "FILLED", 50, 0, 158.2, "symbol", commission=1),
                **_position(50, 158.2),
            },
        ),
        Step(
            "shares-of-an-option-alert",
            "100 TSLA shares bought at 428.75",
            (_place("tsla", "tsla", "BUY", 100, "429"), _fill("tsla", 100, "428.75")),
            why=f"{TSLA} is about a call, and these are shares",
        ),
        Step(
            "unasked",
            f"1 {other} bought at 3.10",
            (_place("msft", "other", "BUY", 1, "3.10"), _fill("msft", 1, "3.10")),
            why="no alert is about it",
        ),
    )


def _selling(call: str) -> tuple[Step, ...]:
    return (
        Step(
            "partial-exit",
            f"4 of the 10 {call} sold at 3.10",
            (_place("some", "call", "SELL", 4, "3.10"), _fill("some", 4, "3.10", unpaid="exit")),
            NVDA,
            {**_order("SELL", "FILLED", 4, 0, 3.1, "ownership"), **_position(6, 2.512)},
        ),
        Step(
            "last-sale",
            "The last 6 sold at 3.40",
            (_place("rest", "call", "SELL", 6, "3.40"), _fill("rest", 6, "3.40", unpaid="last sale")),
            NVDA,
            {
                "open": False,
                **_order("SELL", "FILLED", 6, 0, 3.4, "ownership"),
                **_position(0, 2.512, closed=True),
            },
        ),
        Step(
            "fees-of-the-sales",
            "Later the broker reports the sales' fees and what they earned",
            _fees("exit", "last sale"),
            NVDA,
            {"last_order_update.commission": 3.9, "last_order_update.realized_pnl": 528.9},
        ),
    )


def _order(
    side: str,
    status: str,
    filled: int,
    remaining: int,
    price: float,
    rule: str,
    commission: float | None = None,
) -> dict[str, JsonValue]:
    return {
        "last_order_update.status": status,
        "last_order_update.filled_qty": filled,
        "last_order_update.remaining_qty": remaining,
        "last_order_update.avg_fill_price": price,
        "last_order_update.side": side,
        "last_order_update.matched_by": rule,
        "last_order_update.commission": commission,
        "last_order_update.realized_pnl": None,
    }


def _position(quantity: int, price: float, *, closed: bool = False) -> dict[str, JsonValue]:
    return {
        "position.quantity": quantity,
        "position.avg_price": price,
        "position.opened_at": A_TIME,
        "position.closed_at": A_TIME if closed else None,
    }


def describe(contract: Act) -> str:
    """Name an option as traders do: NVDA 12/19 122.5 calls."""
    expiry = str(contract["expiry"])
    kind = "call" if contract["right"] == "C" else "put"
    return f"{contract['symbol']} {expiry[4:6]}/{expiry[6:]} {contract['strike']} {kind}s"
