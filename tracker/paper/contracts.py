"""The instruments a paper gateway trades.

Owns their descriptions, and makes up the conId of an instrument that has none. Such a conId is computed from
the description, so that two runs agree. It knows no order.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

BAG_CON_ID: Final = 28812380
"""The conId of every combo in USD, as recorded."""


@dataclass(frozen=True, slots=True)
class PaperLeg:
    """Hold one leg of a combo."""

    con_id: int
    ratio: int
    action: str
    """BUY or SELL, as seen by a buyer of the combo."""
    exchange: str = "SMART"


@dataclass(frozen=True, slots=True)
class PaperContract:
    """Describe an instrument with the texts that messages carry."""

    con_id: int
    symbol: str
    sec_type: str
    expiry: str = ""
    """YYYYMMDD."""
    strike: Decimal | None = None
    right: str = ""
    """C, P or empty."""
    multiplier: str = ""
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = "USD"
    local_symbol: str = ""
    trading_class: str = ""
    legs: tuple[PaperLeg, ...] = ()
    leg_contracts: tuple[PaperContract, ...] = ()
    """The instruments of the legs, in their order."""

    @property
    def factor(self) -> Decimal:
        """What one unit of price is worth."""
        return Decimal(self.multiplier) if self.multiplier else Decimal(1)

    @property
    def venue(self) -> str:
        """Where executions happen: an exchange, never SMART for stocks and options."""
        if self.exchange != "SMART":
            return self.exchange
        return {"OPT": "CBOE", "STK": "ISLAND"}.get(self.sec_type, "SMART")

    @property
    def legs_text(self) -> str:
        """Return `conId|ratio,conId|-ratio`, as comboLegsDescrip is written."""
        return ",".join(f"{leg.con_id}|{'-' if leg.action == 'SELL' else ''}{leg.ratio}" for leg in self.legs)


def stock(
    symbol: str,
    con_id: int | None = None,
    exchange: str = "NASDAQ",
    currency: str = "USD",
    trading_class: str = "NMS",
) -> PaperContract:
    """Return a stock listed at `exchange`."""
    made = PaperContract(
        0,
        symbol,
        "STK",
        primary_exchange=exchange,
        currency=currency,
        local_symbol=symbol,
        trading_class=trading_class,
    )
    return numbered(made, con_id)


def option(
    symbol: str,
    expiry: str,
    right: str,
    strike: str | int | Decimal,
    con_id: int | None = None,
    trading_class: str = "",
    multiplier: str = "100",
    currency: str = "USD",
) -> PaperContract:
    """Return an option; `expiry` is YYYYMMDD, `trading_class` the symbol unless given (SPXW for weeklies)."""
    name = trading_class or symbol
    value = Decimal(strike)
    made = PaperContract(
        0,
        symbol,
        "OPT",
        expiry=expiry,
        strike=value,
        right=right[:1].upper(),
        multiplier=multiplier,
        currency=currency,
        local_symbol=f"{name:<6}{expiry[2:]}{right[:1].upper()}{int(value * 1000):08d}",
        trading_class=name,
    )
    return numbered(made, con_id)


def future(
    symbol: str,
    expiry: str,
    multiplier: str,
    local_symbol: str,
    exchange: str = "CME",
    con_id: int | None = None,
) -> PaperContract:
    """Return a future traded at `exchange`."""
    made = PaperContract(
        0,
        symbol,
        "FUT",
        expiry=expiry,
        multiplier=multiplier,
        exchange=exchange,
        local_symbol=local_symbol,
        trading_class=symbol,
    )
    return numbered(made, con_id)


def bag(symbol: str, *legs: tuple[PaperContract, int, str]) -> PaperContract:
    """Return a combo of (contract, ratio, action) legs."""
    return PaperContract(
        BAG_CON_ID,
        symbol,
        "BAG",
        local_symbol=str(BAG_CON_ID),
        trading_class="COMB",
        legs=tuple(PaperLeg(contract.con_id, ratio, action) for contract, ratio, action in legs),
        leg_contracts=tuple(contract for contract, _, _ in legs),
    )


def numbered(contract: PaperContract, con_id: int | None = None) -> PaperContract:
    """Return the contract with this conId, or with one computed from its description."""
    if con_id is not None:
        return replace(contract, con_id=con_id)
    strike = "" if contract.strike is None else str(contract.strike.normalize())
    kind = (contract.symbol, contract.sec_type, contract.expiry, contract.right, strike)
    name = "|".join((*kind, contract.trading_class, contract.currency, contract.exchange))
    return replace(contract, con_id=100_000_000 + zlib.crc32(name.encode()) % 800_000_000)


def made_up_leg_prices(contract: PaperContract, net: Decimal) -> list[Decimal]:
    """Return prices that add up to a combo's net price: the first leg takes what the others leave at 1.00."""
    prices = [Decimal("1.00") for _ in contract.legs]
    signs = [Decimal(leg.ratio if leg.action == "BUY" else -leg.ratio) for leg in contract.legs]
    first = (net - sum(signs[1:], Decimal(0))) / signs[0]
    if first <= 0:
        # A credit spread: the leg that is bought costs little and the sold one carries the credit.
        prices[-1] = _rounded((net - sum(signs[:-1], Decimal(0))) / signs[-1])
    else:
        prices[0] = _rounded(first)
    return prices


def _rounded(price: Decimal) -> Decimal:
    return price.quantize(Decimal("0.000001")).normalize()
