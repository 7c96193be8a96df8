"""The broker of a worked year: what it holds, what its gateway says of it, and its Flex statements."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from tests.support.flex_report import ACCOUNT, cancel, elements, statement, trade
from tests.support.worked_year import CONTRACTS, HELD_BEFORE, ratio
from tracker.core.journal_entries import Fields
from tracker.paper import encode_messages
from tracker.paper.contracts import PaperContract
from tracker.paper.model import Fee, PaperExecution, PaperPosition

NEW_YORK: Final = ZoneInfo("America/New_York")
VERSION: Final = 176
FEE: Final = Decimal("2.6")
_OTHERS: Final = {"OptionEAE": "OptionEAE", "CorporateActions": "CorporateAction", "Transfers": "Transfer"}
"""Section -> the name of its rows."""


class YearBroker:
    """Hold the truth; each thing that happens returns what the gateway pushes of it."""

    def __init__(self) -> None:
        self.positions: dict[str, Decimal] = dict(HELD_BEFORE)
        """By the name of the contract in the year's tables; zero for what was held."""
        self.executions: list[PaperExecution] = []
        self._rows: list[tuple[date, str, dict[str, str]]] = []
        """What statements list: trade date of the booking, section, row."""
        self._booked: dict[str, dict[str, str]] = {}
        """execId -> its row."""
        self._number = 0

    # What happens

    def trade(self, at: datetime, signed: Decimal, name: str, price: str, reference: str) -> list[Fields]:
        """Fill an order at once."""
        self._number += 1
        contract = CONTRACTS[name]
        made = PaperExecution(
            exec_id=f"0000e0d5.{self._number:08x}.01.01",
            perm_id=1000 + self._number,
            order_id=self._number,
            client_id=5,
            account=ACCOUNT,
            contract=contract,
            side="BOT" if signed > 0 else "SLD",
            quantity=abs(signed),
            price=Decimal(price),
            time=at,
            exchange=contract.venue,
            cum_qty=abs(signed),
            avg_price=Decimal(price),
            order_ref=reference,
        )
        self.executions.append(made)
        self._add(name, signed)
        row = self._row(name, at, signed) | {
            "tradePrice": price,
            "ibCommission": str(-FEE),
            "ibOrderID": str(made.perm_id),
            "ibExecID": made.exec_id,
            "orderReference": reference,
        }
        self._book(at, row)
        self._booked[made.exec_id] = row
        return [_execution(made, -1), encode_messages.commission_report(Fee(made.exec_id, FEE, "USD"))]

    def bust(self, at: datetime, name: str) -> list[Fields]:
        """Take the last execution back."""
        made = self._last(name)
        void = replace(made, exec_id=f"{made.exec_id[:-2]}02", quantity=Decimal(0))
        self.executions.append(void)
        self._add(name, -made.signed)
        self._book(at, cancel(self._booked[made.exec_id], self._next()))
        return [_execution(void, -1)]

    def rebook(self, at: datetime, name: str) -> list[Fields]:
        """Cancel the last execution in the books alone, and book it again for 40 cents more."""
        row = self._booked[self._last(name).exec_id]
        self._book(at, cancel(row, self._next()))
        self._book(at, row | {"transactionID": str(self._next()), "ibCommission": "-0.4"})
        return []

    def split(self, at: datetime, name: str, text: str) -> list[Fields]:
        """Change how many there are, and nothing else."""
        held = self.positions[name]
        self.positions[name] = held * ratio(text)
        words = f"{name} SPLIT {text.replace(':', ' FOR ')} ({name})"
        row = {"type": "FS", "quantity": str(held * ratio(text) - held), "actionID": str(self._next())}
        self._action(at, name, row | {"actionDescription": words})
        return []

    def becomes(self, at: datetime, name: str, into: str, text: str) -> list[Fields]:
        """Put another contract in the place of one."""
        held = self.positions[name]
        self._add(name, -held)
        self._add(into, held * ratio(text))
        words = {"type": "IC" if text == "1:1" else "RS", "actionDescription": f"{name} BECOMES {into}"}
        of = words | {"actionID": str(self._next())}
        self._action(at, name, of | {"quantity": str(-held)})
        self._action(at, into, of | {"quantity": str(held * ratio(text))})
        return []

    def transfer(self, at: datetime, signed: Decimal, name: str) -> list[Fields]:
        """Bring from another broker, or take there where it is negative."""
        self._add(name, signed)
        way = {"direction": "IN" if signed > 0 else "OUT", "type": "ACATS", "date": f"{at:%Y%m%d}"}
        row = _contract_columns(CONTRACTS[name]) | way | {"quantity": str(signed)}
        self._list(at, "Transfers", row | {"transactionID": str(self._next())})
        return []

    def assign(self, at: datetime, quantity: Decimal, name: str, shares: str) -> list[Fields]:
        """Turn options into shares at the strike: those that are held are exercised."""
        contract = CONTRACTS[name]
        held = self.positions[name]
        assert contract.strike is not None
        signed = quantity.copy_sign(-held)
        delivered = -signed * 100 * (1 if contract.right == "C" else -1)
        kind, code = ("Exercise", "Ex") if held > 0 else ("Assignment", "A")
        self._gone(at, name, signed, kind, code)
        self._add(shares, delivered)
        self._booking(at, shares, delivered, str(contract.strike), code)
        return []

    def expire(self, at: datetime, name: str) -> list[Fields]:
        """Let an option end worthless."""
        self._gone(at, name, -self.positions[name], "Expiration", "Ep")
        return []

    # What its gateway answers

    def positions_answer(self) -> list[Fields]:
        """Answer reqPositions."""
        listed = ((CONTRACTS[name], many) for name, many in self.positions.items() if many)
        held = (PaperPosition(ACCOUNT, contract, many) for contract, many in listed)
        return [*map(encode_messages.position, held), encode_messages.position_end()]

    def sweep(self, day: date, request: int) -> list[Fields]:
        """Answer reqExecutions: those of that day."""
        today = [made for made in self.executions if made.time.astimezone(NEW_YORK).date() == day]
        listed = [_execution(made, request) for made in today]
        fees = [Fee(made.exec_id, FEE, "USD") for made in today if made.quantity]
        reports = map(encode_messages.commission_report, fees)
        return [*listed, *reports, encode_messages.executions_end(request)]

    # Its statements

    def statement(self, first: date, last: date) -> str:
        """Return the statement of these trade dates, made on the morning after."""
        here = [(section, row) for day, section, row in self._rows if first <= day <= last]
        others = "".join(
            f"<{name}>{elements(tag, [row for section, row in here if section == name])}</{name}>"
            for name, tag in _OTHERS.items()
        )
        trades = [row for section, row in here if section == "Trades"]
        return statement(*trades, first=first, last=last, others=others)

    def month(self, number: int) -> str:
        """Return the statement of a month."""
        return self.statement(date(2025, number, 1), date(2025, number, calendar.monthrange(2025, number)[1]))

    # How it is done

    def _add(self, name: str, signed: Decimal) -> None:
        self.positions[name] = self.positions.get(name, Decimal(0)) + signed

    def _next(self) -> int:
        self._number += 1
        return 100_000 + self._number

    def _last(self, name: str) -> PaperExecution:
        return [made for made in self.executions if made.contract is CONTRACTS[name]][-1]

    def _gone(self, at: datetime, name: str, signed: Decimal, kind: str, code: str) -> None:
        self._add(name, signed)
        self._booking(at, name, signed, "0", code)
        row = {"transactionType": kind, "quantity": str(signed), "date": f"{at:%Y%m%d}"}
        listed = _contract_columns(CONTRACTS[name]) | row | {"tradeID": str(self._next())}
        self._list(at, "OptionEAE", listed)

    def _booking(self, at: datetime, name: str, signed: Decimal, price: str, code: str) -> None:
        booked = {"transactionType": "BookTrade", "tradePrice": price, "ibCommission": "0", "notes": code}
        self._book(at, self._row(name, at, signed) | booked | {"ibExecID": "", "ibOrderID": ""})

    def _row(self, name: str, at: datetime, signed: Decimal) -> dict[str, str]:
        """Return what every row of a trade says."""
        number = self._next()
        return trade(
            **_contract_columns(CONTRACTS[name]),
            tradeID=str(number + 600_000),
            transactionID=str(number),
            dateTime=f"{at:%Y%m%d;%H%M%S}",
            quantity=str(signed),
            buySell="BUY" if signed > 0 else "SELL",
        )

    def _book(self, at: datetime, row: dict[str, str]) -> None:
        self._list(at, "Trades", row)

    def _action(self, at: datetime, name: str, row: Mapping[str, str]) -> None:
        known = _contract_columns(CONTRACTS[name]) | {"dateTime": f"{at:%Y%m%d;%H%M%S}"}
        self._list(at, "CorporateActions", known | {"transactionID": str(self._next())} | dict(row))

    def _list(self, at: datetime, section: str, row: dict[str, str]) -> None:
        self._rows.append((trade_date(at), section, {"accountId": ACCOUNT, **row}))


def trade_date(at: datetime) -> date:
    """Return the trade date of a moment in New York: from 20:20 on it is the next weekday."""
    day = at.date()
    if (at.hour, at.minute) >= (20, 20):
        day += timedelta(days=1)
    return day + timedelta(days={5: 2, 6: 1}.get(day.weekday(), 0))


def _contract_columns(contract: PaperContract) -> dict[str, str]:
    is_option = contract.sec_type == "OPT"
    return {
        "assetCategory": contract.sec_type,
        "symbol": contract.local_symbol,
        "conid": str(contract.con_id),
        "underlyingSymbol": contract.symbol if is_option else "",
        "multiplier": contract.multiplier or "1",
        "strike": str(contract.strike) if is_option else "",
        "expiry": contract.expiry,
        "putCall": contract.right,
    }


def _execution(made: PaperExecution, request: int) -> Fields:
    text = f"{made.time.astimezone(NEW_YORK):%Y%m%d %H:%M:%S} US/Eastern"
    return encode_messages.execution_details(made, request, text, VERSION)
