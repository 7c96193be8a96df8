"""Take a Flex report into the journal: what it knows and the journal does not, and the days that it covers.

Owns what of a report is journalled. It decides nothing: the pump applies the frames like any others, so that
importing a report twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tracker.core.journal_entries import DayCovered, FlexFee, FlexTrade
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
    """The open gaps that it covers."""

    def to_json(self) -> Json:
        """Describe it."""
        return {
            "executions": self.executions,
            "new": self.new,
            "closed_gaps": [day.isoformat() for day in self.closes],
        }


def prepare(journal: Journal, statements: Sequence[Statement]) -> FlexImport:
    """Return what a report adds to a journal; raises CommandError where it is another login's."""
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
    closes = _closes(journal, statements)
    new = sum(isinstance(entry, FlexTrade) for entry in wanted)
    entries = [*wanted, *map(DayCovered, closes)]
    return FlexImport(tuple(entry.arriving for entry in entries), len(rows), new, tuple(closes))


def _known(journal: Journal, row: Row, entry: FlexTrade | FlexFee) -> bool:
    if isinstance(entry, FlexFee):
        fee = journal.book.get(FEES, exec_id_of(row))
        if fee is None or fee.commission is None:
            return False
        # A trade that was booked again may cost something else than its first booking.
        return REBOOKED not in row or fee.commission == -Decimal(row["ibCommission"])
    return journal.book.has(EXECUTIONS, f"{row.get('accountId')} {exec_id_of(row)}")


def _closes(journal: Journal, statements: Sequence[Statement]) -> list[date]:
    """Return the gaps for which every account of the login is covered."""
    link = journal.book.get(LINKS, "last")
    accounts: Collection[str] = link.accounts if link is not None else ()
    days = {(statement.account, day) for statement in statements for day in statement.days}
    gaps = sorted(gap.day for gap in journal.book.find(GAPS, "open", "1"))
    return [day for day in gaps if accounts and all((account, day) in days for account in accounts)]
