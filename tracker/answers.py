"""Answer questions about the running tracker, from what is already known.

Owns the shape of `status`. It reads the book, the pump and the link, changes none of them, and never asks
the broker.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any

from tracker.core.book import EXECUTIONS, OUTBOX, TOTALS, UNDECODED, Attention, Book
from tracker.core.updates import instant
from tracker.gateway.link import LinkState
from tracker.pump import Pump
from tracker.stores.journal import Journal


def status(
    journal: Journal, pump: Pump, link: LinkState, *, started_at: datetime, now: datetime
) -> dict[str, Any]:
    """Return how the tracker is, as the status socket tells it."""
    book = journal.book
    counts = pump.counts
    return {
        "running": True,
        "subscribed": link.subscribed,
        "last_polled_at": instant(link.last_sweep_at),
        "stats": {
            "orders_processed": counts.fills,
            "alerts_updated": counts.alerts_updated,
            "last_update": instant(counts.last_update),
        },
        "now": instant(now),
        "started_at": instant(started_at),
        "link": _link(link),
        "store": _store(pump, book),
        "fills_today": len(book.find(EXECUTIONS, "day", now.date().isoformat())),
        "needs_you": needs_you(book),
        "fees_pending": sum(row.totals.fees_pending for row in _totals_of_today(book, now)),
        "undecodable": len(book.find(UNDECODED, "open", "1")),
        "journal": {
            "path": str(journal.path),
            "bytes": journal.path.stat().st_size,
            "mode": journal.meta("mode"),
            "cursor": journal.cursor,
        },
        "reapplied": counts.reapplied,
        "versions": {
            "tracker": version("order-tracker"),
            "ib_insync": version("ib_insync"),
            "python": platform.python_version(),
            "server": link.server_version,
        },
    }


def needs_you(book: Book) -> Mapping[str, int]:
    """Count the fills that want a person, by reason; a fill of no alert wants none."""
    reasons = [attention for attention in Attention if attention is not Attention.NONE]
    return {reason.value: len(book.find(EXECUTIONS, "inbox", reason.value)) for reason in reasons}


def _totals_of_today(book: Book, now: datetime) -> list[Any]:
    orders = {row.order for row in book.find(EXECUTIONS, "day", now.date().isoformat()) if row.counted}
    return [row for order in orders if (row := book.get(TOTALS, order)) is not None]


def _link(link: LinkState) -> dict[str, Any]:
    return {
        "state": link.state.value,
        "since": instant(link.since),
        "reason": link.reason,
        "next_attempt_at": instant(link.next_attempt_at),
        "last_frame_at": instant(link.last_frame_at),
        "accounts": list(link.accounts),
        "attempts": link.attempts,
        "last_sweep_timed_out": link.last_sweep_timed_out,
    }


def _store(pump: Pump, book: Book) -> dict[str, Any]:
    away = {verb: {"since": instant(each.since), "reason": each.reason} for verb, each in pump.away.items()}
    return {"away": away, "undelivered": len(book.find(OUTBOX, "pending", "1"))}
