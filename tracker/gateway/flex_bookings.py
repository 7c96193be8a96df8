"""What is in force of a Flex report's bookings: cancelled, booked again, corrected.

Owns which rows of a report become executions. The broker's books are only ever added to: a trade that was
wrong is cancelled by a row of its own (`Ca`), and may be booked again.

| what the report holds of one execution | what comes of it |
|---|---|
| one booking | it |
| a cancelled booking, and a later one under its execId or a corrected one | the later one |
| a cancelled booking, and no other | it, and its correction to no quantity: a void |
| a cancel row whose booking is in no row | that row, with the opposite sign |
| the same row again, in another statement | it counts once |

The fees of all bookings of one execution add up: a second booking carries the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tracker.core import limits
from tracker.core.model import ZERO, correction_parts
from tracker.gateway.flex_rows import REBOOKED, VOID, Row, exec_id_of, is_cancel

_VOID_VERSION: Final = 99
"""Above each correction of the same execution that the gateway may have sent."""
_NAMES: Final = (("origTradeID", "tradeID"), ("origTransactionID", "transactionID"))
"""By which attribute a cancel row names a booking, and by which the booking names itself."""


@dataclass(slots=True)
class _Bookings:
    """Hold the bookings of one execution in their order."""

    in_force: list[Row] = field(default_factory=list)
    cancelled: list[Row] = field(default_factory=list)
    fees: Decimal = ZERO

    def add_fee(self, row: Row) -> None:
        if row.get("ibCommission"):
            self.fees += limits.read_number(row["ibCommission"].replace(",", ""))


def in_force(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of one account that count; each of them can be read."""
    executions: dict[str, _Bookings] = {}
    unknown: list[Row] = []
    for row in _once(rows):
        if not is_cancel(row):
            bookings = executions.setdefault(_root(row), _Bookings())
            bookings.in_force.append(row)
        elif (found := _cancelled_by(row, executions)) is not None:
            bookings, booking = found
            bookings.in_force.remove(booking)
            bookings.cancelled.append(booking)
        else:
            unknown.append(row)
            continue
        bookings.add_fee(row)
    return [*(row for bookings in executions.values() for row in _counted(bookings)), *unknown]


def _once(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield each row once, in the order of the transactions."""
    seen: set[tuple[str, ...]] = set()
    for row in sorted(rows, key=lambda row: (len(row["transactionID"]), row["transactionID"])):
        identity = (row["transactionID"], exec_id_of(row), row["quantity"])
        if identity not in seen:
            seen.add(identity)
            yield row


def _cancelled_by(cancel: Row, executions: dict[str, _Bookings]) -> tuple[_Bookings, Row] | None:
    """Return the newest booking in force that a row names as the one that it cancels."""
    for bookings in executions.values():
        for booking in reversed(bookings.in_force):
            if any(cancel.get(orig) and cancel[orig] == booking.get(own) for orig, own in _NAMES):
                return bookings, booking
    return None


def _counted(bookings: _Bookings) -> Iterator[Row]:
    if not bookings.cancelled:
        yield from bookings.in_force
    elif bookings.in_force:
        yield {**bookings.in_force[-1], "ibCommission": str(bookings.fees), REBOOKED: "yes"}
    else:
        last = bookings.cancelled[-1]
        yield last
        yield _taken_back(last)


def _taken_back(row: Row) -> Row:
    """Return the correction of a row to no quantity; the opposite trade where its id has no versions."""
    parts = correction_parts(exec_id_of(row))
    if parts is None:
        quantity = row["quantity"]
        opposite = quantity[1:] if quantity.startswith("-") else f"-{quantity}"
        return {**row, "ibExecID": f"{exec_id_of(row)}-cancelled", "quantity": opposite, "ibOrderID": ""}
    return {**row, "ibExecID": f"{parts.root}.{_VOID_VERSION}", "ibCommission": "", VOID: "yes"}


def _root(row: Row) -> str:
    exec_id = exec_id_of(row)
    parts = correction_parts(exec_id)
    return exec_id if parts is None else parts.root
