"""The paper broker's state as plain values, to compare a tracker with.

Owns the form. It changes nothing and leaves nothing out: an execution that was corrected stays listed, with
`in_force` false.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.paper import formats
from tracker.paper.book import Book
from tracker.paper.contracts import PaperContract


def book_report(book: Book, contracts: Mapping[str, PaperContract]) -> dict[str, Any]:
    """Return contracts by their names, the day's executions, fees, positions and their adjustments.

    JSON-ready, oldest first; numbers are exact texts, `signed` is below 0 for a sale, `time` ISO in UTC.
    """
    return {
        "contracts": {
            name: {
                "con_id": one.con_id,
                "symbol": one.symbol,
                "sec_type": one.sec_type,
                "expiry": one.expiry,
                "right": one.right,
                "strike": "" if one.strike is None else formats.plain(one.strike),
            }
            for name, one in contracts.items()
        },
        "executions": [
            {
                "exec_id": one.exec_id,
                "account": one.account,
                "con_id": one.contract.con_id,
                "perm_id": one.perm_id,
                "signed": formats.plain(one.signed),
                "price": formats.plain(one.price),
                "time": one.time.isoformat(),
                "in_force": one.contract.sec_type != "BAG"
                and _next_version(one.exec_id) not in book.executions,
            }
            for one in book.executions.values()
        ],
        "fees": {fee.exec_id: formats.plain(fee.commission) for fee in book.fees.values()},
        "positions": [
            {"account": one.account, "con_id": one.contract.con_id, "quantity": formats.plain(one.quantity)}
            for one in book.positions.values()
        ],
        "adjustments": [
            {
                "cause": one.cause,
                "account": one.account,
                "con_id": one.con_id,
                "before": formats.plain(one.before),
                "after": formats.plain(one.after),
                "ratio": None if one.ratio is None else formats.plain(one.ratio),
                "into": one.into or None,
                "time": one.time.isoformat(),
            }
            for one in book.adjustments
        ],
    }


def _next_version(exec_id: str) -> str:
    """Return the execId of its correction; empty for ids of five segments, which are never corrected."""
    root, _, version = exec_id.rpartition(".")
    if exec_id.count(".") != 3 or not version.isdecimal():
        return ""
    return f"{root}.{int(version) + 1:02d}"
