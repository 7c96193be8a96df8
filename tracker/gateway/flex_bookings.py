"""Find which of a Flex report's bookings are in force: some are cancelled, booked again, corrected.

Owns which rows of a report become executions. The broker's books are only ever added to: a trade that was
wrong is cancelled by a row of its own (`Ca`), and may be booked again.

| what the report holds of one execution | result |
|---|---|
| one booking | that booking |
| several at one price and time, each with a Trade ID of its own | their sum: they are parts of it |
| a cancelled booking, and a later one under its execId or a corrected one | the later one |
| a cancelled booking, and no other | that booking, and its correction to no quantity: a void |
| a cancelled booking of another side or order than the one in force | it, and its void |
| a cancel row whose booking is in no row | left to the import, which knows the journal |
| the same row again, in another statement | it counts once |

The fees of all bookings of one execution add up: a second booking carries the difference. A void is the
version that its cancel row's transactionID numbers, above each version of the gateway's, so that of two
reports the later booking is in force, whichever is imported first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tracker.core import limits
from tracker.core.model import ZERO, correction_parts
from tracker.gateway.flex_columns import Row, is_cancel, read_row, row_text
from tracker.gateway.flex_rows import NUMBER, REBOOKED, TIME, VOID, exec_id_of, own_id_of

IN_PLACE: Final = "yes"
AFTER_ANOTHER: Final = "after"
"""How a row is booked again: together with its first booking in the report, or after one of another report,
whose fee is added to its own.
"""
REPLACED: Final = "tracker:replaced"
"""Name of what is added to a row that replaces cancelled versions: these, a line of JSON each."""
_UNNUMBERED: Final = 999_999_999
"""Version of a void whose cancel row has no transactionID."""
NAMES: Final = (("origTradeID", "tradeID"), ("origTransactionID", "transactionID"))
"""The attribute by which a cancel row names a booking, and the booking's own attribute."""

_OF_PARTS: Final = ("ibExecID", "conid", TIME, "tradePrice", "ibOrderID")
"""What the parts of one fill have in common."""


@dataclass(slots=True)
class _Bookings:
    """Hold the bookings of one execution in their order."""

    in_force: list[Row] = field(default_factory=list)
    cancelled: list[tuple[Row, Row]] = field(default_factory=list)
    """Cancelled bookings, each with the row that cancels it."""
    cancelled_before: list[Row] = field(default_factory=list)
    """What is in no row and was cancelled before the first booking that is, by the cancel rows."""
    fees: Decimal = ZERO

    def add_fee(self, row: Row) -> None:
        self.fees += fee_of(row)


class Repeated:
    """Find the rows that depend on others, by looking at all of them once."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()
        self._repeated: set[tuple[str, str]] = set()
        self._named: set[tuple[str, str, str]] = set()

    def add(self, row: Row) -> None:
        account = row["accountId"]
        if is_cancel(row):
            self._named.update((account, own, row[orig]) for orig, own in NAMES if row.get(orig))
            return
        key = (account, _own_root(row))
        if key in self._seen:
            self._repeated.add(key)
        self._seen.add(key)

    def __contains__(self, row: Row) -> bool:
        """Return whether other rows of the report affect a row."""
        account = row["accountId"]
        return (
            is_cancel(row)
            or (bool(self._repeated) and (account, _own_root(row)) in self._repeated)
            or (
                bool(self._named) and any((account, own, row.get(own, "")) in self._named for _, own in NAMES)
            )
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """Hold the rows in force of a group that depends on one another."""

    rows: tuple[Row, ...]
    cancels: tuple[Row, ...]
    """The rows that cancel a trade which is in no row."""
    executions: int
    """How many executions `rows` are of."""


def settle(rows: list[Row]) -> Settled:
    """Return the rows in force among readable rows of any accounts."""
    executions: dict[tuple[str, str], _Bookings] = {}
    unknown: list[Row] = []
    for row in _once(rows):
        account = row["accountId"]
        if not is_cancel(row):
            bookings = executions.setdefault((account, _execution_of(row)), _Bookings())
            bookings.in_force.append(row)
            if before := [each for each in unknown if _is_behind(row, each)]:
                # The first booking is in another report, and this one follows its cancellation.
                bookings.cancelled_before += [_booking_of(each, row) for each in before]
                unknown = [each for each in unknown if each not in before]
                for each in before:
                    bookings.add_fee(each)
        elif (found := _cancelled_by(row, executions)) is not None:
            bookings, booking = found
            bookings.in_force.remove(booking)
            bookings.cancelled.append((booking, row))
        elif later := [b for b in executions.values() if any(_is_behind(each, row) for each in b.in_force)]:
            # The first booking is in another report, and its cancellation has the higher number.
            bookings = later[0]
            bookings.cancelled_before.append(_booking_of(row, bookings.in_force[-1]))
        else:
            unknown.append(row)
            continue
        bookings.add_fee(row)
    counted = [row for bookings in executions.values() for row in _counted(bookings)]
    return Settled(tuple(counted), tuple(unknown), len(executions))


def void_of(booking: Row, cancel: Row, fees: Decimal | None) -> Row:
    """Return the correction of a booking to no quantity; the opposite trade where its id has no versions.

    `fees` are those of all its bookings, None where they are not known.
    """
    parts = correction_parts(exec_id_of(booking))
    if parts is None:
        return {
            **booking,
            "ibExecID": f"{exec_id_of(booking)}-cancelled",
            "quantity": _opposite(booking),
            "ibOrderID": "",
        }
    return {
        **booking,
        "ibExecID": f"{parts.root}.{transaction_of(cancel) or _UNNUMBERED}",
        "transactionID": cancel.get("transactionID", ""),
        "ibCommission": "" if fees is None else str(fees),
        VOID: exec_id_of(booking),
    }


def fee_of(row: Row) -> Decimal:
    """Return the fee of a row that can be read, as Flex signs it; zero where it has none."""
    text = row.get("ibCommission", "").replace(",", "")
    return limits.read_number(text) if text else ZERO


def transaction_of(row: Row) -> int:
    """Return the number of a row's transaction; 0 where it has none."""
    text = row.get("transactionID", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def root_of(row: Row) -> str:
    """Return the name that all versions of an execution share."""
    exec_id = exec_id_of(row)
    parts = correction_parts(exec_id)
    return exec_id if parts is None else parts.root


def _own_root(row: Row) -> str:
    """Return the name of an execution within its report; the report's form of dates need not be known yet."""
    return root_of(row) if row.get("ibExecID") else own_id_of(row)


def _execution_of(row: Row) -> str:
    """Return what names the execution of a row among the others of its report.

    A trade without execId is named by its values, so what is booked again with others is another one, also
    under its tradeID.
    """
    return f"{_own_root(row)} {exec_id_of(row)}" if NUMBER in row else _own_root(row)


def _is_behind(booking: Row, cancel: Row) -> bool:
    """Return whether a booking takes the place of a cancelled one of its trade: without execId only an equal
    one.
    """
    same_trade = cancel["accountId"] == booking["accountId"] and any(
        cancel.get(orig) and cancel[orig] == booking.get(own) for orig, own in NAMES
    )
    return same_trade and (NUMBER not in booking or _values_of(booking) == _values_of(cancel))


def _booking_of(cancel: Row, again: Row) -> Row:
    """Return the booking that a row cancels, under the execId that it is booked again with."""
    return {**again, **{name: cancel[name] for name in ("tradePrice", TIME)}, "quantity": _opposite(cancel)}


def _opposite(row: Row) -> str:
    quantity = row["quantity"]
    return quantity[1:] if quantity.startswith("-") else f"-{quantity}"


def _values_of(row: Row) -> tuple[Decimal, Decimal]:
    quantity, price = (limits.read_number(row[name].replace(",", "")) for name in ("quantity", "tradePrice"))
    return abs(quantity), price


def _once(rows: list[Row]) -> Iterator[Row]:
    """Yield each row once, in the order of the transactions."""
    seen: set[tuple[str, ...]] = set()
    for row in sorted(rows, key=transaction_of):
        identity = (row["accountId"], row.get("transactionID", ""), exec_id_of(row), row["quantity"])
        if identity not in seen:
            seen.add(identity)
            yield row


def _cancelled_by(cancel: Row, executions: dict[tuple[str, str], _Bookings]) -> tuple[_Bookings, Row] | None:
    """Return the newest booking in force that a row names as the one that it cancels."""
    for bookings in executions.values():
        for booking in reversed(bookings.in_force):
            if _names(cancel, booking):
                return bookings, booking
    return None


def _names(cancel: Row, booking: Row) -> bool:
    """Return whether a row cancels a booking: several may have one tradeID, so the transactionID decides."""
    for orig, own in reversed(NAMES):
        if cancel.get(orig, "0") != "0" and booking.get(own):
            return cancel["accountId"] == booking["accountId"] and cancel[orig] == booking[own]
    return False


def _counted(bookings: _Bookings) -> Iterator[Row]:
    in_force = _with_parts_together(bookings.in_force)
    last = in_force[-1] if in_force else bookings.cancelled[-1][0]
    for booking, cancel in bookings.cancelled:
        numbered = correction_parts(exec_id_of(booking)) and exec_id_of(booking) != exec_id_of(last)
        if numbered and not _is_version(booking, last):
            # What has another side or order is no version, so nothing replaces it.
            yield {**booking, "ibCommission": ""}
            yield void_of(booking, cancel, ZERO)
    if not in_force:
        yield last
        yield _replacing(void_of(last, bookings.cancelled[-1][1], bookings.fees), last, bookings)
    elif bookings.cancelled or bookings.cancelled_before:
        how = IN_PLACE if bookings.cancelled else AFTER_ANOTHER
        yield _replacing({**last, "ibCommission": str(bookings.fees), REBOOKED: how}, last, bookings)
    else:
        # Each version once: without a cancel row two equal ones are the same booking.
        yield from {exec_id_of(row): row for row in in_force}.values()


def _with_parts_together(rows: list[Row]) -> list[Row]:
    """Return bookings with those added up that are parts of one fill."""
    found: list[list[Row]] = []
    for row in rows:
        if found and all(_is_other_part(row, each) for each in found[-1]):
            found[-1].append(row)
        else:
            found.append([row])
    return [parts[0] if len(parts) == 1 else _sum_of(parts) for parts in found]


def _is_other_part(row: Row, other: Row) -> bool:
    """Return whether two bookings are parts of one fill: they say the same, and each has numbers of its own;
    what is booked again has its first Trade ID, or another price.
    """
    sides = {each["quantity"].startswith("-") for each in (row, other)}
    same = len(sides) == 1 and all(row.get(name) == other.get(name) for name in _OF_PARTS)
    return same and all(
        "" != row.get(name, "") != other.get(name, "") != "" for name in ("tradeID", "transactionID")
    )


def _sum_of(parts: list[Row]) -> Row:
    sums = {}
    for name in ("quantity", "ibCommission", "fifoPnlRealized"):
        values = [limits.read_number(text.replace(",", "")) for part in parts if (text := part.get(name))]
        if values:
            sums[name] = str(sum(values, ZERO))
    return {**parts[0], **sums}


def _replacing(row: Row, booking: Row, bookings: _Bookings) -> Row:
    """Return a row that says which cancelled versions with other values it replaces.

    Another report may list one of them without its execId, and only its values say that it is known.
    """
    taken = {exec_id_of(booking)}
    replaced = []
    cancelled = [*bookings.cancelled_before, *(each for each, _ in bookings.cancelled)]
    for each in reversed(cancelled):
        parts = correction_parts(exec_id_of(each))
        if parts is None or _values_of(each) == _values_of(booking) or not _is_version(each, booking):
            continue
        exec_id = exec_id_of(each) if exec_id_of(each) not in taken else f"{parts.root}.00"
        if exec_id not in taken:
            taken.add(exec_id)
            replaced.append(row_text({**each, "ibExecID": exec_id, "ibCommission": ""}).decode())
    return {**row, REPLACED: "\n".join(replaced)} if replaced else row


def _is_version(one: Row, other: Row) -> bool:
    """Return whether two bookings are of one contract, side and order, so that one can replace the other."""
    orders = {row.get("ibOrderID") or "" for row in (one, other)} - {""}
    sells = {row["quantity"].startswith("-") for row in (one, other)}
    return len(orders) <= 1 and len(sells) == 1 and one["conid"] == other["conid"]


def replaced_by(row: Row) -> Iterator[Row]:
    """Yield the cancelled versions that a row of `settle` replaces, the newest first."""
    if REPLACED in row:
        yield from map(read_row, row[REPLACED].split("\n"))
