"""The requests of a client that the recorder passes on to the gateway.

Owns the list. It allows requests that are known to change nothing; it blocks orders, settings, login secrets
and unknown requests. Orders pass only with --allow-orders.
"""

from __future__ import annotations

import re
from typing import Final

from tracker.core.journal_entries import Fields

READING: Final = frozenset(
    re.findall(
        r"\d+",
        "1 2 5 6 7 8 9 10 11 12 13 16 17 18 20 22 23 24 25 49 50 51 52 53 54 55 56 57 59 61 62 63 64 67 71 74"
        " 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98 99 100 101 102 103 104",
    )
)
"""Data, lists and their cancellations, startApi."""
ORDERING: Final = frozenset({"3", "4", "15", "21", "58"})
"""placeOrder, cancelOrder, reqAutoOpenOrders (it binds manual orders), exerciseOptions, reqGlobalCancel."""

_OWN_ORDERS: Final = "5"
"""reqOpenOrders, with which client 0 binds manual orders as well."""
_OTHER_NUMBER: Final = re.compile(r"0*[1-9]\d*", re.ASCII)


def why_blocked(fields: Fields, client_id: str, *, allow_orders: bool) -> str:
    """Return why a request is not passed on; empty for one that is."""
    kind = fields[0]
    # A gateway may read as 0 whatever is not another number.
    may_be_zero = _OTHER_NUMBER.fullmatch(client_id) is None
    if kind in ORDERING or (kind == _OWN_ORDERS and may_be_zero):
        return (
            ""
            if allow_orders
            else "it may change orders; start the recorder with --allow-orders to pass it on"
        )
    return "" if kind in READING else "the recorder passes on only requests that are known to change nothing"
