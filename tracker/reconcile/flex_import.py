"""Import a Flex report into the journal: what the journal lacks, and the hours that the report covers.

Owns which parts of a report are journalled, and which gaps are closed. It decides nothing: the pump applies
the frames like any others, so importing a report twice changes nothing.

A trade date ends at 20:20 New York, so a day needs the report of the next one, too. The hours of each report
are journalled, and a day's gap closes once those of all reports cover it for every account of the login.

A row that cancels a trade which the report lacks voids that trade if `flex_cancels` finds it in the journal.
Otherwise the trade dates of that row are not proven.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from itertools import islice
from typing import Final

from tracker.core.alert_updates import instant, number
from tracker.core.journal_entries import (
    Arriving,
    DayCovered,
    EventCancelled,
    FlexAdjustment,
    FlexFee,
    FlexTrade,
    HoursCovered,
    PositionChanged,
)
from tracker.core.login_policy import kind_of
from tracker.core.model import Contract
from tracker.core.state import EXECUTIONS, FEES, GAPS, HOLDINGS, LINKS, POSITIONS, PROOFS, LedgerState
from tracker.core.state_rows import GapEnd
from tracker.gateway.flex import FlexReport, Statement
from tracker.gateway.flex_bookings import REPLACED, replaced_by, root_of
from tracker.gateway.flex_columns import SECTIONS, Row
from tracker.gateway.flex_dates import hours_of, trade_date_of
from tracker.gateway.flex_events import PositionEvent, PositionEvents, read_events
from tracker.gateway.flex_rows import (
    EXPIRY,
    LATE,
    REBOOKED,
    TIME,
    VOID,
    contract_of,
    exec_id_of,
    execution_of,
    frames_of,
)
from tracker.journal.journal import Journal
from tracker.journal.prefetch import FilledOrder, look_up_orders
from tracker.queries.as_json import Json, contract_json
from tracker.reconcile.flex_cancels import JournalBookings
from tracker.reconcile.flex_causes import EventPlan, directed
from tracker.reconcile.flex_known_events import Cancellations
from tracker.status.protocol import CommandError

_CHANGES_SHOWN: Final = 200
_BATCH: Final = 3000
"""Rows that are journalled in one commit."""


@dataclass(slots=True)
class FlexImport:
    """Hold the result of an import."""

    executions: int
    """The executions of the report, known ones included."""
    new: int = 0
    voided: int = 0
    """The executions that the report voids now."""
    closes: list[date] = field(default_factory=list)
    """The gaps that are fully covered now: open ones, and those that a person accepted."""
    waiting: list[date] = field(default_factory=list)
    """The open gaps that are partly covered."""
    foreign: list[str] = field(default_factory=list)
    """The accounts of the report that are none of the login's; their rows are left out."""
    unknown: list[Row] = field(default_factory=list)
    """The rows that cancel a trade which neither the report nor the journal has."""
    absent: tuple[str, ...] = ()
    """The sections that the report lacks."""
    changes: list[Json] = field(default_factory=list)
    """The first executions that the report adds or voids."""
    more_changes: int = 0
    events: PositionEvents = field(default_factory=PositionEvents)
    """The events in its other sections: positions that changed without a trade."""
    applied: list[tuple[PositionEvent, EventCancelled | FlexAdjustment | PositionChanged]] = field(
        default_factory=list
    )
    """The events that explain a position which no execution explains, or cancel one that did."""

    unfit: list[PositionEvent] = field(default_factory=list)
    """The events that do not fit what was held at their time, as far as the journal knows."""

    def add(self, row: Row, what: str) -> None:
        """Note an execution that the report adds or voids."""
        if len(self.changes) == _CHANGES_SHOWN:
            self.more_changes += 1
            return
        execution = execution_of(row)
        quantity = Decimal(row["quantity"].replace(",", ""))
        contract = contract_json(execution.contract)["contract"]
        side, price = execution.side.value, number(execution.price)
        of = f"{side} {number(abs(quantity))} {contract} at {price}"
        self.changes.append(
            {
                "what": what,
                "exec_id": execution.exec_id,
                "account": execution.account,
                "time": instant(execution.time),
                "execution": of,
            }
        )

    def to_json(self) -> Json:
        """Return the result as JSON."""
        applied = [event for event, _ in self.applied]
        return {
            "executions": self.executions,
            "new": self.new,
            "voided": self.voided,
            "closed_gaps": [day.isoformat() for day in self.closes],
            "waiting_gaps": [day.isoformat() for day in self.waiting],
            "foreign_accounts": self.foreign,
            "unknown_cancels": [_cancel_json(row) for row in self.unknown],
            "changes": self.changes,
            "changes_left_out": self.more_changes,
            "events": [
                {**_event_json(event), "applied": event in applied, "unfit": event in self.unfit}
                for event in self.events.events
            ],
            "unread_events": list(self.events.problems),
            "absent_sections": [
                {"section": SECTIONS[name].label, "tells": SECTIONS[name].tells} for name in self.absent
            ],
        }


def _event_json(event: PositionEvent) -> Json:
    return {
        "account": event.account,
        "contract": _name_of(event.contract),
        "con_id": event.contract.con_id,
        "cause": event.cause,
        "quantity": number(event.quantity),
        "ratio": number(event.ratio),
        "becomes": None if event.becomes is None else _name_of(event.becomes),
        "other_account": event.other_account or None,
        "day": None if event.day is None else event.day.isoformat(),
        "transaction_id": event.transaction,
        "cancels": event.cancels,
    }


def _name_of(contract: Contract) -> str:
    """Name the contract of an event; by its conid where the section has no Symbol."""
    return str(contract_json(contract)["contract"]) if contract.symbol else f"conid {contract.con_id}"


def _cancel_json(row: Row) -> Json:
    return {
        "account": row["accountId"],
        "transaction_id": row.get("transactionID", ""),
        "cancels": row.get("origTradeID") or row.get("origTransactionID") or "",
        "contract": contract_json(contract_of(row))["contract"],
        "quantity": row["quantity"],
        "trade_date": trade_date_of(datetime.fromisoformat(row[TIME])).isoformat(),
    }


class FlexImporter:
    """Compare a report with a journal; `result` is complete once all batches were taken.

    `zone` is that of the login, in which days end.
    """

    def __init__(self, journal: Journal, report: FlexReport, zone: tzinfo) -> None:
        self._journal = journal
        self._report = report
        self._zone = zone
        self._bookings = JournalBookings(journal)
        self._terms: dict[int, Row] = {}
        """The journal's contracts whose terms the report leaves out."""
        absent = dict.fromkeys(name for each in report.statements for name in each.absent)
        foreign = _foreign(journal.state, sorted({each.account for each in report.statements}))
        found = read_events(report.others)
        ours = (each for each in found.events if each.account not in foreign)
        self._cancelled = Cancellations(
            journal.state, ours, _cancelled_before(journal) if found.events else ()
        )
        undone = self._cancelled.undone
        left = [directed(journal.state, each, undone) for each in self._cancelled.left]
        events = replace(found, events=(*self._cancelled.gone, *left))
        self.result = FlexImport(report.executions, foreign=foreign, absent=tuple(absent), events=events)
        self._events = EventPlan(journal.state, left, self._cancelled)

    def batches(self) -> Iterator[list[Arriving]]:
        """Yield the entries to journal, each batch in one commit.

        To learn only the result, take the batches and journal nothing. Raises what `begin` raises, and
        FlexUnreadable if the file changes.
        """
        yield self.begin()
        rows = self._report.rows()
        while batch := list(islice(rows, _BATCH)):
            yield self.take(batch)
        yield self.finish()

    def planned(self) -> FlexImport:
        """Return the result of an import without journalling anything; raises what `batches` raises."""
        for _ in self.batches():
            pass
        return self.result

    def begin(self) -> list[Arriving]:
        """Return the entries that void trades which the report lacks, or take back what it cancels.

        Raises CommandError where the report is another login's, or lacks terms of a contract that the journal
        does not know either.
        """
        self._refuse_foreign()
        self._refuse_unnamed()
        voids = []
        for cancel in _each_once(self._report.statements):
            if cancel["accountId"] in self.result.foreign:
                continue
            known = self._bookings.cancelled_by(cancel)
            if known is None:
                self.result.unknown.append(cancel)
            elif not self._bookings.is_replaced(known):
                voids.append(self._bookings.void_of(known, cancel))
        return [*(entry.arriving for _, entry in self._cancelled.taken), *self.take(voids)]

    def _refuse_foreign(self) -> None:
        accounts = sorted({statement.account for statement in self._report.statements})
        bound_to = self._journal.login_kind()
        if bound_to is not None and kind_of(accounts) != bound_to:
            raise CommandError(
                "refused",
                f"the report is of {', '.join(accounts)}, a {kind_of(accounts)} login, and the journal holds"
                f" {bound_to} fills; import it into that login's own journal",
            )

    def _refuse_unnamed(self) -> None:
        """Refuse contracts whose terms neither the report nor the journal has."""
        left_out = self._report.left_out
        if left_out:
            self._find_terms()
        unknown = set(left_out).difference(self._terms)
        if unknown:
            labels = dict.fromkeys(label for con_id in unknown for label in left_out[con_id])
            them = "it" if len(labels) == 1 else "them"
            raise CommandError(
                "bad_request",
                f"{self._report.path} lacks {', '.join(labels)} for conid {min(unknown)}, a contract that the"
                f" tracker has not seen: tick {them} in the query's section Trades (option Executions), run"
                " it again and import the new file",
            )

    def _find_terms(self) -> None:
        book = self._journal.state
        listed = [row.position.contract for row in book.every(POSITIONS)]
        for contract in (*listed, *(row.contract for row in book.every(HOLDINGS))):
            if contract.con_id in self._report.left_out:
                self._terms[contract.con_id] = {
                    "symbol": contract.local_symbol if contract.is_option else contract.symbol,
                    "underlyingSymbol": contract.symbol,
                    "strike": "" if contract.strike is None else str(contract.strike),
                    "putCall": contract.right,
                    EXPIRY: "" if contract.expiry is None else contract.expiry.isoformat(),
                }

    def take(self, rows: Sequence[Row]) -> list[Arriving]:
        """Return the entries for the next rows of the report that the journal lacks."""
        rows = [row for row in rows if row["accountId"] not in self.result.foreign]
        book = self._journal.state
        book.look_up(EXECUTIONS, [_key(row) for row in rows])
        book.look_up(EXECUTIONS, [f"{row['accountId']} {root_of(row)}" for row in rows], "root")
        exec_ids = [exec_id_of(row) for row in rows]
        book.look_up(EXECUTIONS, exec_ids, "exec_id")
        book.look_up(FEES, exec_ids)
        look_up_orders(
            book, (FilledOrder(row["accountId"], row["conid"], row.get("ibOrderID", "")) for row in rows)
        )
        entries: list[Arriving] = []
        for each in rows:
            row = self._bookings.placed(each)
            if row is not None:
                entries += self._entries_of({**row, REPLACED: ""} if REPLACED in row else row)
            # Behind what replaces them, so that they never count.
            behind = [self._with_terms(row) for row in replaced_by(each)]
            entries += [
                entry.arriving
                for row in behind
                if not book.has(EXECUTIONS, _key(row))
                for entry in frames_of(row)
            ]
        return entries

    def _entries_of(self, row: Row) -> Iterator[Arriving]:
        row = self._with_terms(row)
        if self._events.waits and VOID not in row:
            before = self._events.until(datetime.fromisoformat(row[TIME]))
            yield from (entry.arriving for entry in before)
        for entry in frames_of(row):
            if self._known(row, entry):
                continue
            yield entry.arriving
            if isinstance(entry, FlexTrade):
                self._count(row)

    def _with_terms(self, row: Row) -> Row:
        """Return a row with the terms of its contract that the report leaves out."""
        terms = self._terms.get(contract_of(row).con_id) if self._terms else None
        return (
            {**row, **{name: value for name, value in terms.items() if not row.get(name)}} if terms else row
        )

    def _count(self, row: Row) -> None:
        if VOID in row:
            if self._bookings.is_void(row):
                return
            self.result.voided += 1
            self.result.add(row, "void")
        elif not self._journal.state.has(EXECUTIONS, _key(row)) and not self._bookings.is_known_otherwise(
            row
        ):
            self.result.new += 1
            self.result.add(row, "new")
        else:
            return
        if not self._events.waits:
            return
        signed = Decimal(row["quantity"].replace(",", "")) * (-1 if VOID in row else 1)
        contract = f"{row['accountId']} {int(row['conid'])}"
        self._events.booked(contract, datetime.fromisoformat(row[TIME]), signed)

    def _known(self, row: Row, entry: FlexTrade | FlexFee) -> bool:
        if isinstance(entry, FlexFee):
            fee = self._journal.state.get(FEES, exec_id_of(row))
            if fee is None or fee.commission is None:
                return False
            # A trade that was booked again may have another fee than its first booking.
            return REBOOKED not in row or fee.commission == -Decimal(row["ibCommission"])
        if not self._journal.state.has(EXECUTIONS, _key(row)):
            return False
        # The trade is booked again, so a cancellation of its first booking that is imported later must not
        # void it.
        return LATE not in row or self._bookings.has_entry_of(row)

    def finish(self) -> list[Arriving]:
        """Return the entries about the days that the report proves, after all of its rows were taken."""
        known = hours_covered(self._journal)
        unknown = self.result.unknown
        # With an unreadable row no day is proven.
        statements = () if self.result.events.problems else self._report.statements
        report = [
            entry
            for statement in statements
            if statement.account not in self.result.foreign
            for entry in _proven(statement, [row for row in statement.cancels if row in unknown])
        ]
        hours = [entry for entry in report if not _Hours(known).cover(entry.account, *_span(entry))]
        closes, waiting = _gaps(self._journal, _Hours([*known, *hours]), _Hours(report), self._zone)
        self.result.closes, self.result.waiting = closes, waiting
        told = list(self._events.rest())
        cancelled = [(event, entry) for event, entry in self._cancelled.taken if entry.frame]
        self.result.unfit = self._events.unfit
        self.result.applied = [*cancelled, *self._events.taken]
        return [entry.arriving for entry in (*told, *hours, *map(DayCovered, closes))]


def _foreign(state: LedgerState, accounts: Sequence[str]) -> list[str]:
    """Return the accounts that no login of this journal ever managed, and of which it has no fill.

    They are another login's, and perhaps counted by its tracker. Before the first login none is known.
    """
    link = state.get(LINKS, "last")
    if link is None or not link.accounts:
        return []
    known = {*link.accounts, *(row.account for row in state.every(HOLDINGS))}
    return [each for each in accounts if each not in known and state.get(PROOFS, each) is None]


def hours_covered(journal: Journal) -> list[HoursCovered]:
    """Return which hours of which accounts Flex reports have covered, as far as retention keeps them."""
    entries = journal.flex_entries(b"\0".join((HoursCovered.NAME.encode(), b"")))
    return [entry for entry in entries if isinstance(entry, HoursCovered)]


def _cancelled_before(journal: Journal) -> list[EventCancelled]:
    """Return what earlier reports cancelled, as far as retention keeps it."""
    entries = journal.flex_entries(b"\0".join((EventCancelled.NAME.encode(), b"")))
    return [entry for entry in entries if isinstance(entry, EventCancelled)]


def _each_once(statements: Sequence[Statement]) -> list[Row]:
    """Return each row once that cancels a trade which no row has."""
    found: list[Row] = []
    for statement in statements:
        found += [row for row in statement.cancels if row not in found]
    return found


def _key(row: Row) -> str:
    return f"{row['accountId']} {exec_id_of(row)}"


class _Hours:
    """Hold the hours that reports cover, by account; adjacent hours form one span."""

    def __init__(self, entries: Sequence[HoursCovered]) -> None:
        self._spans: dict[str, list[tuple[datetime, datetime]]] = {}
        for entry in sorted(entries, key=_span):
            begins, ends = _span(entry)
            spans = self._spans.setdefault(entry.account, [])
            if spans and begins <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(spans[-1][1], ends))
            else:
                spans.append((begins, ends))

    def cover(self, account: str, begins: datetime, ends: datetime) -> bool:
        """Return whether the reports cover a whole span of time."""
        return any(first <= begins and ends <= last for first, last in self._spans.get(account, ()))

    def meet(self, account: str, begins: datetime, ends: datetime) -> bool:
        """Return whether the reports cover a part of a span of time."""
        return any(first < ends and begins < last for first, last in self._spans.get(account, ()))


def _span(entry: HoursCovered) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(entry.begins), datetime.fromisoformat(entry.ends)


def _proven(statement: Statement, unknown: Sequence[Row]) -> Iterator[HoursCovered]:
    """Yield the hours of a statement without the trade dates of its rows that cancel an unknown trade.

    Such a row of another time belongs to no trade date of the statement, so nothing of that one is proven.
    """
    begins = statement.begins
    for row in sorted(unknown, key=lambda row: row[TIME]):
        day = trade_date_of(datetime.fromisoformat(row[TIME]))
        first, last = hours_of(day, day)
        if last <= statement.begins or statement.ends <= first:
            return
        if begins < first:
            yield HoursCovered(statement.account, begins.isoformat(), first.isoformat())
        begins = max(begins, last)
    if begins < statement.ends:
        yield HoursCovered(statement.account, begins.isoformat(), statement.ends.isoformat())


def _gaps(journal: Journal, hours: _Hours, report: _Hours, zone: tzinfo) -> tuple[list[date], list[date]]:
    """Return the gaps that are covered for every account of the login, and the open ones that are partly
    covered. A gap that a person accepted is unproven until then.
    """
    link = journal.state.get(LINKS, "last")
    accounts: Collection[str] = link.accounts if link is not None else ()
    closes: list[date] = []
    waiting: list[date] = []
    unproven = [gap for gap in journal.state.every(GAPS) if gap.closed_how in ("", GapEnd.PERSON)]
    for gap in sorted(unproven, key=lambda each: each.day):
        day = gap.day
        begins, ends = (datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1)))
        if accounts and all(hours.cover(account, begins, ends) for account in accounts):
            closes.append(day)
        elif not gap.closed_how and any(report.meet(account, begins, ends) for account in accounts):
            waiting.append(day)
    return closes, waiting
