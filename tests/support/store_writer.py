"""A tracker's core reduced to what the shared store sees of it: a process that decides, keeps and delivers.

`python -m tests.support.store_writer URL SEAT HOST JOURNAL SEED` raises the quantity of random alerts, keeps
what it decided in a SQLite file before it writes it, and writes again whatever its seat does not show. At
SIGTERM it decides no more, and ends with 0 once the store shows all; with 5 once another has the seat.
"""

from __future__ import annotations

import signal
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC
from pathlib import Path
from random import Random
from uuid import uuid4

from tests.support.store_cases import update
from tracker.clock import now
from tracker.core.alerters import AlerterNames
from tracker.core.model import AlertId, StoreUnavailable
from tracker.stores.lock import Locked
from tracker.stores.shared import SharedAlerts, SharedOptions

ALERTER = "robindahood-alerts"
TICKERS = ("AMD", "NVDA", "SPX", "TSLA")
_PAUSE_SECONDS = 0.01


class Decided:
    """Keep what was decided, as a journal does: before anything is written."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS decided (ticker TEXT PRIMARY KEY, quantity INT NOT NULL)"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS journal (id TEXT NOT NULL)")
        if not self._db.execute("SELECT id FROM journal").fetchone():
            self._db.execute("INSERT INTO journal VALUES (?)", (str(uuid4()),))

    @property
    def journal(self) -> str:
        return str(self._db.execute("SELECT id FROM journal").fetchone()[0])

    def raise_one(self, ticker: str) -> None:
        self._db.execute(
            "INSERT INTO decided VALUES (?, 1) ON CONFLICT (ticker) DO UPDATE SET quantity = quantity + 1",
            (ticker,),
        )

    def all(self) -> Mapping[str, int]:
        return dict(self._db.execute("SELECT ticker, quantity FROM decided").fetchall())

    def close(self) -> None:
        self._db.close()


def decided_in(path: Path) -> Mapping[str, int]:
    """Return what a journal says was decided: ticker -> quantity."""
    with closing(Decided(path)) as decided:
        return decided.all()


def main(url: str, seat: str, host: str, path: Path, seed: int) -> int:
    """Decide and deliver until SIGTERM; returns the exit code."""
    ending = False

    def end(number: int, frame: object) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    decided, random = Decided(path), Random(seed)
    store = SharedAlerts(
        SharedOptions(url, seat, host, "UTC", 0.05),
        zone=UTC, now=now, names=AlerterNames(), journal=decided.journal,
    )  # fmt: skip
    try:
        store.hold("store writer")
        while True:
            if not ending:
                decided.raise_one(random.choice(TICKERS))
            if _deliver(store, decided) and ending:
                return 0
            time.sleep(_PAUSE_SECONDS)
    except Locked as error:
        print(error, file=sys.stderr)
        return 5
    finally:
        store.close()


def _deliver(store: SharedAlerts, decided: Decided) -> bool:
    """Write what the store does not show; True where it shows all."""
    try:
        store.refresh()
        wanted = decided.all()
        missing = []
        for alert in store.alerts():
            quantity, shown = wanted.get(alert.id.ticker, 0), store.shown(alert.id)
            if quantity and (shown is None or not shown.agrees(update(alert.id, quantity))):
                missing.append(update(alert.id, quantity))
        if missing:
            store.apply(missing)
        return not missing
    except StoreUnavailable:
        return False


def alert_of(ticker: str, created_at: str) -> AlertId:
    return AlertId(ALERTER, ticker, created_at, None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]), int(sys.argv[5])))
