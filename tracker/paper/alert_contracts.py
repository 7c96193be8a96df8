"""The instruments that an alert file names, so that a program can order them by their conIds.

Owns reading an alerts.json for that. It is pure, and leaves out each record that it cannot read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from tracker.paper.contract_search import INDEXES
from tracker.paper.contracts import PaperContract, numbered, option, stock

_YEAR_FIRST: Final = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")
_MONTH_FIRST: Final = re.compile(r"(\d{1,2})/(\d{1,2})(?:/(\d{4}|\d\d))?|(\d\d)(\d\d)")


def contracts_of(text: str, today: date) -> list[PaperContract]:
    """Return the instruments that an alert file names by conId; ValueError where it is no alert file."""
    table = json.loads(text)
    if not isinstance(table, dict):
        raise ValueError("the file is not a table of alerters")
    records = (
        record
        for alerts in table.values()
        if isinstance(alerts, dict)
        for record in alerts.values()
        if isinstance(record, dict)
    )
    return [contract for record in records for contract in _of_record(record, today)]


def _of_record(record: Mapping[str, Any], today: date) -> Iterator[PaperContract]:
    details = record.get("alert_details")
    if not isinstance(details, dict) or not isinstance(details.get("ticker"), str):
        return
    symbol = details["ticker"].upper()
    underlying = record.get("conid")
    if type(underlying) is int and underlying > 0:
        if symbol in INDEXES:
            index = PaperContract(0, symbol, "IND", exchange=INDEXES[symbol], local_symbol=symbol)
            yield numbered(index, underlying)
        else:
            yield stock(symbol, underlying)
    con_id = record.get("option_conid")
    right = str(details.get("side") or "").upper()[:1]
    expiry = _expiry(str(details.get("expiry") or ""), today)
    try:
        strike = Decimal(str(details.get("strike")))
    except InvalidOperation:
        return
    if type(con_id) is int and con_id > 0 and right in ("C", "P") and expiry and 0 < strike < 10**7:
        yield option(symbol, expiry, right, strike, con_id)


def _expiry(text: str, today: date) -> str:
    """Read a day as alert writers spell it; without a year it is the next such day. Empty for none."""
    if found := _YEAR_FIRST.fullmatch(text):
        year, month, day = map(int, found.groups())
    elif found := _MONTH_FIRST.fullmatch(text):
        month, day = int(found[1] or found[4]), int(found[2] or found[5])
        year = int(found[3] or 0)
        if not year:
            year = today.year + ((month, day) < (today.month, today.day))
        elif year < 100:
            year += 2000
    else:
        return ""
    try:
        return f"{date(year, month, day):%Y%m%d}"
    except ValueError:
        return ""
