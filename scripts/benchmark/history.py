"""A journal as it is after months: any number of executions, written without waiting for months.

Owns making it. One execution goes through the tracker's own types and rows; SQLite multiplies those rows.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, timedelta
from pathlib import Path

from benchmark import streams
from benchmark.streams import Plan
from tracker.clock import now
from tracker.core.model import CommissionReport, Execution, Frame, Source, Totals, Unmatched
from tracker.core.state import EXECUTIONS, FEES, TOTALS
from tracker.core.state_rows import BookedExecution, OrderTotals
from tracker.gateway.normalise import normalise
from tracker.journal.journal import Journal

_DAYS = 250

_NUMBERS = """
    CREATE TEMP TABLE numbers AS
    WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :last)
    SELECT n, printf('.%08x.', n) AS exec, CAST(900000001 + n AS TEXT) AS perm FROM counted
"""
_MULTIPLIED = {
    "executions": """
        INSERT INTO executions (key, contract, root, orders, exec_id, waiting, inbox, day, body)
        SELECT replace(key, '.00000000.', exec), contract, replace(root, '.00000000.', exec),
            replace(orders, '900000001', perm), replace(exec_id, '.00000000.', exec), waiting, inbox,
            date(day, '-' || (n % :days) || ' days'),
            CAST(replace(replace(body, '.00000000.', exec), '900000001', perm) AS BLOB)
        FROM numbers, executions WHERE key = :execution
    """,
    "fees": """
        INSERT INTO fees (key, body)
        SELECT replace(key, '.00000000.', exec), CAST(replace(body, '.00000000.', exec) AS BLOB)
        FROM numbers, fees WHERE key = :fee
    """,
    "totals": """
        INSERT INTO totals (key, body)
        SELECT replace(key, '900000001', perm), CAST(replace(body, '900000001', perm) AS BLOB)
        FROM numbers, totals WHERE key = :total
    """,
    "frames": """
        INSERT INTO frames (received_at, session, source, fields)
        SELECT received_at, session, source, CAST(replace(fields, '.00000000.', exec) AS BLOB)
        FROM numbers, frames WHERE seq = 1
    """,
}


def make(path: Path, executions: int) -> None:
    """Write a journal of executions from yesterday back through the last months."""
    yesterday = now() - timedelta(days=1)
    fields = streams.stream(Plan(1, 1, 1, alone=True), yesterday).parts[0]
    frame = Frame(1, yesterday, 1, Source.BROKER, fields)
    execution = normalise(frame, UTC)
    assert isinstance(execution, Execution), "a stream holds executions"
    row = BookedExecution(
        execution, 1, yesterday, 1, Unmatched("no alert is about this contract"), folded=True
    )
    journal = Journal(path)
    journal.append(1, yesterday, [(Source.BROKER, fields)])
    with journal.step() as advance:
        journal.state.put(EXECUTIONS, row)
        journal.state.put(FEES, CommissionReport(execution.exec_id, execution.price, "USD", None))
        journal.state.put(TOTALS, OrderTotals(row.order, Totals(execution.quantity, execution.price)))
        advance(1)
    journal.close()
    named = {"execution": EXECUTIONS.key(row), "fee": execution.exec_id, "total": row.order, "days": _DAYS}
    db = sqlite3.connect(path)
    db.execute(_NUMBERS, {"last": executions - 1})
    for statement in _MULTIPLIED.values():
        db.execute(statement, named)
    db.execute("UPDATE meta SET value = (SELECT max(seq) FROM frames) WHERE name = 'cursor'")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
