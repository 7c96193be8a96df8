"""Say what this run works with: alerts, journal, login and zones, and what comes next.

Owns those words, for the log at the start and for `status` at any time. It reads and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from loguru import logger

from tracker.config.settings import Settings
from tracker.core.ports import AlertStore
from tracker.gateway.link import LinkPhase, LinkState
from tracker.logs.masking import mask
from tracker.progress import Stage

HERE: Final = "this machine's zone"
_FETCH: Final = "ask for positions, today's executions and the orders"


def log_banner(settings: Settings, store: str) -> None:
    """Log what this run reads and writes, in which zones, and what comes next."""
    stores, gateway = settings.stores, settings.gateway
    accounts = ", ".join(gateway.accounts) or "all accounts of the login"
    logger.info("alerts: {} (times in {}); journal: {}", store, stores.timezone or HERE, stores.journal)
    logger.info(
        "gateway: {}:{} as client {}, {} (days in {}); next: connect, then {}",
        *(gateway.host, gateway.port, gateway.client_id, accounts, gateway.timezone or HERE, _FETCH),
    )


def login_of(accounts: Sequence[str], kind: str | None) -> str:
    """Describe a login: its accounts, masked as in the log, and whether it is paper or live."""
    names = ", ".join(mask(account) for account in accounts)
    return f"{kind or 'unknown'} login {names or 'without accounts'}"


def banner(
    settings: Settings, store: AlertStore, link: LinkState, kind: str | None, stage: Stage | None
) -> dict[str, Any]:
    """Return the same facts for `status`, as they are now; `stage` is the long work in progress."""
    stores, gateway = settings.stores, settings.gateway
    read = Counter(alert.id.alerter for alert in store.alerts())
    return {
        "alerts": store.name,
        "alerts_read": [{"alerter": name, "count": count} for name, count in sorted(read.items())],
        "alerts_timezone": stores.timezone or HERE,
        "gateway": f"{gateway.host}:{gateway.port}",
        "client_id": gateway.client_id,
        "login": login_of(link.accounts, kind) if link.accounts else None,
        "login_timezone": gateway.timezone or HERE,
        "work": None if stage is None else stage.in_words(),
        "next": _next(link, gateway.sweep_seconds),
    }


def _next(link: LinkState, sweep_seconds: float) -> str:
    if link.subscribed:
        return f"receive fills as they happen, and ask for all of the day every {sweep_seconds:g} s"
    return _FETCH if link.state is LinkPhase.SYNCING else f"{link.reason}, then {_FETCH}"
