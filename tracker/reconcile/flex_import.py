"""Take a Flex report into the journal: what it holds and the journal does not, and the hours that it covers.

Owns what of a report is journalled, and which gaps are closed. It decides nothing: the pump applies the
frames like any others, so that importing a report twice changes nothing.

A trade date ends at 20:20 New York, so a day needs the report of the next one, too. The hours of each report
are journalled, and a day's gap closes once those of all reports cover it for every account of the login.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal

from tracker.core.journal_entries import DayCovered, FlexFee, FlexTrade, HoursCovered
from tracker.core.login_policy import kind_of
from tracker.core.model import Source
from tracker.core.state import EXECUTIONS, FEES, GAPS, LINKS
from tracker.gateway.flex import Statement
from tracker.gateway.flex_rows import REBOOKED, Row, exec_id_of, frames_of
from tracker.journal.journal import Journal
from tracker.queries.as_json import Json
from tracker.status.protocol import CommandError


@dataclass(frozen=True, slots=True)
class FlexImport:
    """Hold what a report brings."""

    frames: tuple[tuple[Source, tuple[str, ...]], ...]
    executions: int
    """Of the report, known ones included."""
    new: int
    closes: tuple[date, ...]
    """The open gaps that are covered now."""
    waiting: tuple[date, ...] = ()
    """The open gaps that it covers in part."""

    def to_json(self) -> Json:
        """Describe it."""
        return {
            "executions": self.executions,
            "new": self.new,
            "closed_gaps": [day.isoformat() for day in self.closes],
            "waiting_gaps": [day.isoformat() for day in self.waiting],
        }


def prepare(journal: Journal, statements: Sequence[Statement], zone: tzinfo) -> FlexImport:
    """Return what a report adds to a journal; raises CommandError where it is another login's.

    `zone` is that of the login, in which days end.
    """
    accounts = [statement.account for statement in statements]
    bound_to = journal.login_kind()
    if bound_to is not None and kind_of(accounts) != bound_to:
        raise CommandError(
            "refused",
            f"the report is of {', '.join(accounts)}, a {kind_of(accounts)} login, and the journal holds"
            f" {bound_to} fills; import it into that login's own journal",
        )
    rows = [row for statement in statements for row in statement.rows]
    wanted = [entry for row in rows for entry in frames_of(row) if not _known(journal, row, entry)]
    known = journal.hours_covered()
    report = [
        HoursCovered(statement.account, statement.begins.isoformat(), statement.ends.isoformat())
        for statement in statements
        if statement.begins < statement.ends
    ]
    hours = [entry for entry in report if not _Hours(known).cover(entry.account, *_span(entry))]
    closes, waiting = _gaps(journal, _Hours([*known, *hours]), _Hours(report), zone)
    new = sum(isinstance(entry, FlexTrade) for entry in wanted)
    entries = [*wanted, *hours, *map(DayCovered, closes)]
    return FlexImport(
        tuple(entry.arriving for entry in entries), len(rows), new, tuple(closes), tuple(waiting)
    )


class _Hours:
    """Hold the hours that reports cover, by account; those that touch are one span."""

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
        """Tell whether they cover all of a span."""
        return any(first <= begins and ends <= last for first, last in self._spans.get(account, ()))

    def meet(self, account: str, begins: datetime, ends: datetime) -> bool:
        """Tell whether they cover a part of a span."""
        return any(first < ends and begins < last for first, last in self._spans.get(account, ()))


def _span(entry: HoursCovered) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(entry.begins), datetime.fromisoformat(entry.ends)


def _known(journal: Journal, row: Row, entry: FlexTrade | FlexFee) -> bool:
    if isinstance(entry, FlexFee):
        fee = journal.state.get(FEES, exec_id_of(row))
        if fee is None or fee.commission is None:
            return False
        # A trade that was booked again may cost something else than its first booking.
        return REBOOKED not in row or fee.commission == -Decimal(row["ibCommission"])
    return journal.state.has(EXECUTIONS, f"{row.get('accountId')} {exec_id_of(row)}")


def _gaps(journal: Journal, hours: _Hours, report: _Hours, zone: tzinfo) -> tuple[list[date], list[date]]:
    """Return the open gaps that every account of the login is covered for, and those that wait for more."""
    link = journal.state.get(LINKS, "last")
    accounts: Collection[str] = link.accounts if link is not None else ()
    closes: list[date] = []
    waiting: list[date] = []
    for day in sorted({gap.day for gap in journal.state.find(GAPS, "open", "1")}):
        begins, ends = (datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1)))
        if accounts and all(hours.cover(account, begins, ends) for account in accounts):
            closes.append(day)
        elif any(report.meet(account, begins, ends) for account in accounts):
            waiting.append(day)
    return closes, waiting
