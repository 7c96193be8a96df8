"""Report the state of the running tracker, from what is already known.

Owns the fields of `status`, `health` and `ready`, and whether capture is proven. It reads the ledger's state,
the pump and the link, changes none of them, and never asks the broker.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tracker.core.alert_updates import instant
from tracker.core.completeness import proven_until
from tracker.core.state import ALERTS, CLOCK, DIFFERENCES, EXECUTIONS, GAPS, OUTBOX, UNDECODED, LedgerState
from tracker.core.state_rows import Attention
from tracker.gateway.link import LinkState
from tracker.journal.journal import Journal
from tracker.journal.journal_file import size_of
from tracker.journal.rows import JournalState
from tracker.notify.heartbeat import LONGEST_SILENCE
from tracker.pipeline.pump import Pump
from tracker.stores.alert_stores import StorePort


def status(
    journal: Journal,
    pump: Pump,
    store: StorePort,
    link: LinkState,
    *,
    fills: tuple[int, int],
    started_at: datetime,
    now: datetime,
) -> dict[str, Any]:
    """Return the state of the tracker, as the status socket answers it.

    `fills` are those of the accounts' day, and how many of their fees are pending.
    """
    state = journal.state
    today, unpaid = fills
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
        "proven_until": instant(proven_until(state)),
        "gaps": [gap.day.isoformat() for gap in state.find(GAPS, "open", "1")],
        "link": _link(link),
        "store": _store(pump, store, state),
        "clock": _clock(state),
        "fills_today": today,
        "needs_you": needs_you(state),
        "fees_pending": unpaid,
        "undecodable": state.count(UNDECODED, "open", "1"),
        "journal": {
            "path": str(journal.path),
            "bytes": size_of(journal.path),
            "mode": journal.login_kind(),
            "cursor": journal.cursor,
        },
        "reapplied": counts.reapplied,
        "versions": {
            "tracker": _version("order-tracker"),
            "ib_insync": _version("ib_insync"),
            "python": platform.python_version(),
            "server": link.server_version,
        },
    }


def _version(package: str) -> str:
    """Return a package's version; a tracker run from its source folder has none installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def health(pump: Pump) -> dict[str, Any]:
    """Return whether the daemon works; trouble that ends without restarting it, such as a lost link, does not
    count.
    """
    away = pump.away
    return {"healthy": not away, "reasons": [f"{verb}: {why.reason}" for verb, why in away.items()]}


def ready(pump: Pump, link: LinkState) -> dict[str, Any]:
    """Return whether a fill at this moment would reach its alert."""
    reasons = list(health(pump)["reasons"])
    if not link.subscribed:
        reasons.append(f"link {link.state.value}: {link.reason}")
    elif link.last_sweep_timed_out:
        reasons.append("the gateway's last answer about the day's executions was cut short")
    return {"ready": not reasons, "reasons": reasons}


def unproven_capture(pump: Pump, link: LinkState, now: datetime) -> str:
    """Say why it is not proven that a fill at this moment would be received and kept; empty where it is
    proven.
    """
    reasons = list(ready(pump, link)["reasons"])
    if not reasons and (link.last_frame_at is None or now - link.last_frame_at > LONGEST_SILENCE):
        reasons.append("the gateway has sent nothing for some minutes")
    if not reasons and link.last_sweep_at is None:
        reasons.append("the day's executions are not fetched yet")
    return "; ".join(reasons)


def needs_you(state: JournalState) -> Mapping[str, int]:
    """Count what needs a person, by reason: fills, positions that no execution explains, and records that are
    gone while they hold a position.
    """
    reasons = [attention for attention in Attention if attention is not Attention.NONE]
    fills = {reason.value: state.count(EXECUTIONS, "inbox", reason.value) for reason in reasons}
    return {
        **fills,
        "unexplained": state.count(DIFFERENCES, "open", "1"),
        "orphaned": state.count(ALERTS, "orphaned", "1"),
    }


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


def _clock(state: LedgerState) -> dict[str, Any]:
    """Return how far this host's clock is ahead of the broker's, and when that was measured."""
    clock = state.get(CLOCK, "last")
    if clock is None:
        return {"skew_seconds": None, "asked_at": None}
    return {"skew_seconds": round(clock.skew_seconds, 1), "asked_at": instant(clock.received_at)}


def _store(pump: Pump, store: StorePort, state: LedgerState) -> dict[str, Any]:
    away = {verb: {"since": instant(each.since), "reason": each.reason} for verb, each in pump.away.items()}
    return {
        "away": away,
        "undelivered": len(state.find(OUTBOX, "pending", "1")),
        "absent": store.absent,
        **store.figures,
    }
