"""Number trades without execId that say the same, so that each keeps its number in all reports.

Owns which of such twins a row of a report is. Their names are made of their details and a number, which a
report gives in its own order; another report may list only one of them. Their Trade IDs tell them apart.
"""

from __future__ import annotations

from collections import defaultdict

from tracker.core.corrections import has_exec_id
from tracker.core.journal_entries import FlexTrade, read_entry
from tracker.core.model import correction_parts
from tracker.core.state import EXECUTIONS
from tracker.gateway.flex_columns import Row, read_row
from tracker.gateway.flex_rows import NUMBER, exec_id_of
from tracker.journal.journal import Journal


class Twins:
    """Give the trades of one report the numbers that the journal has for them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._given: dict[str, dict[str, int]] = defaultdict(dict)
        """What twins are called without their number -> Trade ID -> number, of this report."""

    def numbered(self, row: Row) -> Row:
        """Return a row under the number of its trade; of one that the journal lacks, under a free one."""
        parts = correction_parts(exec_id_of(row)) if NUMBER in row and row.get("tradeID") else None
        if parts is None or has_exec_id(parts.root):
            return row
        name = parts.root.rsplit(".", 2)[0]
        known = self._known(row["accountId"], name)
        # One of which no Trade ID is known may be this one.
        if not known or (row["tradeID"] not in known and "" in known):
            return row
        given, trade_id, number = self._given[name], row["tradeID"], int(row[NUMBER])
        if trade_id in known or trade_id in given:
            number = known.get(trade_id) or given[trade_id]
        else:
            taken = {*known.values(), *given.values()}
            while number in taken:
                number += 1
        given[trade_id] = number
        renumbered = {**row, NUMBER: str(number)}
        if row.get("ibExecID"):  # The void of a trade has the trade's name.
            renumbered["ibExecID"] = f"{name}.{number}.00.{exec_id_of(row).rpartition('.')[2]}"
        return renumbered

    def _known(self, account: str, name: str) -> dict[str, int]:
        """Return the numbers of the twins that reports have told, by Trade ID; empty where it is unknown."""
        found: dict[str, int] = {}
        number = 1
        while booked := self._journal.state.get(EXECUTIONS, f"{account} {name}.{number}.00.01"):
            frame = self._journal.frame(booked.seq)
            entry = read_entry(frame) if frame is not None else None
            row: Row = read_row(entry.row) if isinstance(entry, FlexTrade) else {}
            found[row.get("tradeID", "")] = number
            number += 1
        return found
