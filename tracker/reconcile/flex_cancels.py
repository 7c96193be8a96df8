"""Find in the journal what a Flex report's bookings refer to: cancelled trades, voids, earlier versions.

Owns the comparison of one row with the executions that are booked. A trade date's report holds what was
booked on that date, so a trade, its cancellation and its second booking may come in three reports, in any
order.

| the row | what is in the journal | result |
|---|---|---|
| cancels a trade that the report lacks | that trade, by its id or by equal values | its void |
| books an execution | its void, made by an earlier transaction | the same again, in force |
| books an execution again | the same with other values | its next version |
| the same without execId, on a later trade date | its void, and its tradeID | its next version |
| books a trade without execId | one that says the same under another tradeID | another execution |
| voids an execution | the same, booked again by a later transaction | nothing |
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from tracker.core.corrections import MOST_VERSIONS, has_exec_id, has_unnamed, named_as, newest_of, unnamed_as
from tracker.core.journal_entries import FlexTrade
from tracker.core.model import Execution, correction_parts, correction_version
from tracker.core.state import EXECUTIONS, FEES
from tracker.core.state_rows import BookedExecution
from tracker.gateway.flex_bookings import (
    AFTER_ANOTHER,
    IN_PLACE,
    NAMES,
    fee_of,
    root_of,
    transaction_of,
    void_of,
)
from tracker.gateway.flex_columns import Row, is_cancel, read_row
from tracker.gateway.flex_rows import (
    LATE,
    NUMBER,
    REBOOKED,
    TIME,
    VOID,
    contract_of,
    exec_id_of,
    execution_of,
)
from tracker.journal.journal import Journal
from tracker.reconcile.flex_twins import Twins


class JournalBookings:
    """Compare the rows of one report with a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._twins = Twins(journal)
        self._unnamed: dict[str, bool] = {}
        """Account -> whether the journal had a trade without execId of that account before this import."""
        self._met: list[str] = []
        """Executions that rows without execId were recognised as."""
        self._voided: dict[tuple[str, str], Row] = {}
        """The voids of trades that the report lacks, by account and root of the execution."""

    def cancelled_by(self, cancel: Row) -> BookedExecution | None:
        """Return the trade that a row cancels; None where the journal does not clearly have it."""
        return self._named(cancel) or self._alike(cancel)

    def is_replaced(self, known: BookedExecution) -> bool:
        """Return whether a later version with other values is in force, from which a cancellation of this one
        takes nothing.
        """
        execution = known.execution
        newer = self._journal.state.get(EXECUTIONS, f"{execution.account} {known.superseded_by}")
        if newer is None or not newer.execution.quantity:
            return False
        same_root = root_of({"ibExecID": known.superseded_by}) == root_of({"ibExecID": execution.exec_id})
        return same_root and _differ(newer.execution, execution)

    def void_of(self, known: BookedExecution, cancel: Row) -> Row:
        """Return the void of a trade that a row cancels."""
        booking = _booking_of(known.execution, cancel)
        void = void_of(booking, cancel, self._fees(known.execution.exec_id, cancel))
        self._voided[cancel["accountId"], root_of(booking)] = void
        return void

    def placed(self, row: Row) -> Row | None:
        """Return a row with its version of the execution; None where a later version is known."""
        row = self._twins.numbered(row)
        if LATE in row and NUMBER in row:
            row = self._under_its_exec_id(row)
        versions = self._versions(row)
        if not versions:
            return row
        made_now = self._voided.get((row["accountId"], root_of(row)))
        newest = max(versions, key=lambda each: correction_version(each.execution.exec_id))
        in_force = newest_of(versions)
        # The execution from the gateway may name the order where the report has no column for it.
        row = {**row, "ibOrderID": str(newest.execution.perm_id or "")}
        number, version = transaction_of(row), correction_version(newest.execution.exec_id)
        if VOID in row:
            replaced = self._is_corrected(row, versions) or self._booked_again(row, number)
            return None if replaced else row
        if any(number == correction_version(each.execution.exec_id) for each in versions):
            return None
        if made_now is not None:
            version = max(version, transaction_of(made_now))
            return self._again(row, exec_id_of(made_now)) if number > version else row
        known = correction_version(in_force.execution.exec_id)
        if (
            newest is not in_force
            and in_force.execution.quantity
            and correction_version(exec_id_of(row)) <= known
        ):
            return row  # What was void has been corrected since.
        voided = not newest.execution.quantity
        # A row of an earlier version says nothing of a correction that the gateway told since.
        follows = newest.execution.exec_id == exec_id_of(row) or version > MOST_VERSIONS
        booked_again = (
            follows and (REBOOKED in row or LATE in row) and _differ(newest.execution, execution_of(row))
        )
        again = row.get(REBOOKED) == AFTER_ANOTHER or booked_again
        if (voided or again) and number > version:
            return self._again(row, newest.execution.exec_id)
        return row

    def is_void(self, row: Row) -> bool:
        """Return whether the journal has a row's execution, and what is in force of it is void."""
        versions = self._versions(row)
        return bool(versions) and not any(self._in_force(each).execution.quantity for each in versions)

    def _in_force(self, known: BookedExecution) -> BookedExecution:
        """Return what replaced an execution last, under whichever id."""
        while known.superseded_by:
            newer = self._journal.state.get(EXECUTIONS, f"{known.execution.account} {known.superseded_by}")
            if newer is None:
                break
            known = newer
        return known

    def is_known_otherwise(self, row: Row) -> bool:
        """Return whether the journal has the booked trade under another id: with an execId, or without."""
        if row.get("ibExecID") and not self._has_unnamed(row["accountId"]):
            return False
        execution = execution_of(row)
        if has_exec_id(execution.exec_id):
            return bool(unnamed_as(self._journal.state, execution))
        found = named_as(self._journal.state, execution, self._met)
        self._met += [each.execution.exec_id for each in found]
        return bool(found)

    def _has_unnamed(self, account: str) -> bool:
        if account not in self._unnamed:
            self._unnamed[account] = has_unnamed(self._journal.state, account)
        return self._unnamed[account]

    def _under_its_exec_id(self, row: Row) -> Row:
        """Return a trade without execId that is booked again after its void, under the execId that another
        report has beside its tradeID.
        """
        found = named_as(self._journal.state, execution_of(row))
        newest = max(found, key=lambda each: correction_version(each.execution.exec_id), default=None)
        if newest is None or newest.execution.quantity or not row.get("tradeID"):
            return row
        root = root_of({"ibExecID": newest.execution.exec_id})
        for entry in self._journal.flex_entries(root.encode()):
            known: Row = read_row(entry.row) if isinstance(entry, FlexTrade) else {}
            if known and root_of(known) == root and known.get("tradeID") == row["tradeID"]:
                return {**row, NUMBER: "", "ibExecID": newest.execution.exec_id}
        return row

    def has_entry_of(self, row: Row) -> bool:
        """Return whether this booking was journalled already, or has no number by which to recognise it."""
        if not transaction_of(row):
            return True
        entries = self._journal.flex_entries(f'"{row.get("transactionID", "")}"'.encode())
        return any(
            transaction_of(read_row(entry.row)) == transaction_of(row)
            for entry in entries
            if isinstance(entry, FlexTrade)
        )

    def _again(self, row: Row, before: str) -> Row:
        """Return a booking as the next version after the one that it follows."""
        parts = correction_parts(exec_id_of(row))
        assert parts is not None, "only such an id has versions"
        # The fee of a row that is booked again together with its first booking is that of both.
        fee = None if row.get(REBOOKED) == IN_PLACE else self._journal.state.get(FEES, before)
        known = Decimal(0) if fee is None or fee.commission is None else -fee.commission
        void = self._voided.get((row["accountId"], parts.root))
        if void is not None and exec_id_of(void) == before:
            known = fee_of(void)
        told = [each.execution for each in self._versions(row)]
        told = [each for each in told if correction_version(each.exec_id) <= MOST_VERSIONS]
        # A correction stands above what is void by its own number.
        own = all(correction_version(each.exec_id) < parts.version for each in told) and all(
            _differ(each, execution_of(row)) for each in told
        )
        return {
            **row,
            "ibExecID": exec_id_of(row) if own else f"{parts.root}.{transaction_of(row)}",
            "ibCommission": str(known + fee_of(row)),
            REBOOKED: "yes",
        }

    def _versions(self, row: Row) -> list[BookedExecution]:
        parts = correction_parts(exec_id_of(row))
        if parts is None:
            return []
        return self._journal.state.find(EXECUTIONS, "root", f"{row['accountId']} {parts.root}")

    def _is_corrected(self, void: Row, versions: list[BookedExecution]) -> bool:
        """Return whether the gateway corrected what a row voids to other values, and told that first."""
        voided = execution_of({name: value for name, value in void.items() if name != VOID})
        of = correction_version(void[VOID])
        return bool(of) and any(
            of < correction_version(each.execution.exec_id) <= MOST_VERSIONS
            and not each.superseded_by
            and bool(each.execution.quantity)
            and _differ(each.execution, voided)
            for each in versions
        )

    def _booked_again(self, void: Row, number: int) -> bool:
        """Return whether an imported report already had a later booking of a voided execution."""
        for entry in self._journal.flex_entries(root_of(void).encode()):
            if isinstance(entry, FlexTrade):
                row = read_row(entry.row)
                if VOID not in row and root_of(row) == root_of(void) and transaction_of(row) > number:
                    return True
        return False

    def _fees(self, exec_id: str, cancel: Row) -> Decimal | None:
        fee = self._journal.state.get(FEES, exec_id)
        return None if fee is None or fee.commission is None else fee_of(cancel) - fee.commission

    # Whom a row cancels

    def _named(self, cancel: Row) -> BookedExecution | None:
        """Return the journal's execution that a cancel row names."""
        for orig, own in NAMES:
            name = cancel.get(orig)
            if not name:
                continue
            for entry in reversed(self._journal.flex_entries(name.encode())):
                row: Row = read_row(entry.row) if isinstance(entry, FlexTrade) else {}
                # Several bookings may have one tradeID; what was booked later is not what the row cancels.
                later = transaction_of(row) > (transaction_of(cancel) or transaction_of(row))
                named = row.get(own) == name and row["accountId"] == cancel["accountId"]
                if named and VOID not in row and not later:
                    return self._journal.state.get(EXECUTIONS, f"{row['accountId']} {exec_id_of(row)}")
        return None

    def _alike(self, cancel: Row) -> BookedExecution | None:
        """Return the one execution with the same values as the cancelled one, as far as both have them."""
        key = f"{cancel['accountId']} {contract_of(cancel).con_id}"
        rows = self._journal.state.find(EXECUTIONS, "contract", key)
        alike = {root_of({"ibExecID": row.execution.exec_id}): row for row in rows if _is_like(row, cancel)}
        alike = {root: row for root, row in alike.items() if not self._has_other_names(row, cancel)}
        if len(alike) > 1:
            moment = datetime.fromisoformat(cancel[TIME])
            alike = {root: row for root, row in alike.items() if row.execution.time == moment}
        return next(iter(alike.values())) if len(alike) == 1 else None

    def _has_other_names(self, booked: BookedExecution, cancel: Row) -> bool:
        """Return whether imported reports name an execution, and never as a row names what it cancels."""
        exec_id, same = booked.execution.exec_id, []
        for entry in self._journal.flex_entries(exec_id.encode()):
            row: Row = read_row(entry.row) if isinstance(entry, FlexTrade) else {}
            if row and VOID not in row and exec_id_of(row) == exec_id:
                same += [
                    cancel[orig] == row[own]
                    for orig, own in NAMES
                    if cancel.get(orig, "0") != "0" and row.get(own)
                ]
        return bool(same) and not any(same)


def _differ(one: Execution, other: Execution) -> bool:
    """Return whether two versions of an execution have other quantities or prices."""
    return (one.signed, one.price) != (other.signed, other.price)


def _is_like(booked: BookedExecution, cancel: Row) -> bool:
    execution = booked.execution
    if booked.superseded_by and not has_exec_id(execution.exec_id) and has_exec_id(booked.superseded_by):
        return False  # The execution that replaced it has the same values.
    order = cancel.get("ibOrderID")
    return (
        execution.quantity == abs(Decimal(cancel["quantity"].replace(",", "")))
        and execution.price == Decimal(cancel["tradePrice"].replace(",", ""))
        and execution.side.value in _side_of(cancel)
        and (
            str(execution.perm_id) == order
            if order
            else execution.time == datetime.fromisoformat(cancel[TIME])
        )
    )


def _side_of(cancel: Row) -> str:
    """Return the side of the cancelled trade, as the row writes it: `BUY (Ca.)`."""
    return cancel.get("buySell", "").upper()


def _booking_of(execution: Execution, cancel: Row) -> Row:
    """Return an execution as a report's row would show it."""
    quantity = execution.quantity * execution.side.sign
    return {
        **{name: value for name, value in cancel.items() if not is_cancel({name: value})},
        "ibExecID": execution.exec_id,
        "ibOrderID": str(execution.perm_id or ""),
        "tradePrice": str(execution.price),
        "quantity": str(quantity),
        "buySell": "BUY" if quantity > 0 else "SELL",
        TIME: execution.time.isoformat(),
    }
