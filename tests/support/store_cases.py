"""Records, updates, and a disk with faults, for the tests of the alert stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.fakes import Records
from tracker.core.model import AlertId, AlertUpdate, Value
from tracker.stores.alert_reader import read_id
from tracker.stores.filesystem import FileStat, RealDisk

CREATED = "2025-11-18T15:42:07.318245"


def record(ticker: str = "NVDA", con_id: int | None = 700100200, **more: Any) -> dict[str, Any]:
    """Return a record as the alert writer makes it."""
    return {
        "open": False,
        "created_at": CREATED,
        "option_conids": [] if con_id is None else [con_id],
        "option_conid": con_id,
        "sentiment": "bullish",
        "conid": 4815747,
        "alert_details": {
            "ticker": ticker,
            "strike": "122.5",
            "side": "C",
            "expiry": "11/21/2025",
            "is_bullish": True,
        },
        **more,
    }


def some_records() -> Records:
    """Return three records of two alerters."""
    return {
        "robindahood-alerts": {"NVDA": record(), "TSLA": record("TSLA", 700100300)},
        "demslayer": {"SPX": record("SPX", None, note="caf\u00e9 \U0001f600", weight=1e22)},
    }


def id_of(records: Records, alerter: str, ticker: str) -> AlertId:
    """Return the identity of a record."""
    return read_id(alerter, ticker, records[alerter][ticker])


def update(alert: AlertId, quantity: int = 4, *, open: bool = True) -> AlertUpdate:
    """Return an update with the values of a fill of this quantity."""
    order: dict[str, Value] = {
        "order_id": "1042",
        "status": "PARTIALLY_FILLED",
        "filled_qty": quantity,
        "updated_at": "2025-11-18T15:43:10.120000+00:00",
        "avg_fill_price": 2.51,
        "commission": None,
    }
    position: dict[str, Value] = {
        "quantity": quantity,
        "avg_price": 2.51,
        "closed_at": None,
        "shared_with": [],
    }
    return AlertUpdate(alert, open, order, position)


def removal(alert: AlertId) -> AlertUpdate:
    """Return an update that takes the record out."""
    return AlertUpdate(alert, False, None, None, remove=True)


def shown_by(change: AlertUpdate) -> dict[str, Any]:
    """Return the fields that a record has after an update."""
    assert change.last_order_update is not None
    assert change.position is not None
    return {
        "open": change.open,
        "last_order_update": dict(change.last_order_update),
        "position": dict(change.position),
    }


def dump(records: object) -> str:
    """Return the text that the alert writer writes."""
    return json.dumps(records, indent=2)


class Clock:
    """A clock that stands still until it is moved; it starts far from the files' times, so none is fresh."""

    def __init__(self) -> None:
        self.now = datetime(2100, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Crash(BaseException):
    """The process is gone; nothing after this line runs."""


class FaultyDisk(RealDisk):
    """The real disk, which keeps a list of its calls and fails where it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.before: dict[str, Callable[[], None]] = {}
        """What happens right before a call of this name, once."""
        self.failing: dict[str, BaseException] = {}
        """Which calls fail, and how, until they are taken out again."""
        self.crash_at = -1
        """The number of the call at which the process is killed."""

    def _call(self, name: str) -> None:
        if self.crash_at == 0:
            raise Crash
        self.crash_at -= 1
        if name in self.before:
            self.before.pop(name)()
        if name in self.failing:
            raise self.failing[name]
        self.calls.append(name)

    def stat(self, path: Path) -> FileStat:
        self._call("stat")
        return super().stat(path)

    def open(self, path: Path) -> int:
        self._call("open")
        return super().open(path)

    def open_new(self, path: Path) -> int:
        self._call("open_new")
        return super().open_new(path)

    def set_owner(self, file: int, user: int, group: int, mode: int) -> None:
        self._call("set_owner")
        super().set_owner(file, user, group, mode)

    def copy_attributes(self, old: int, new: int) -> None:
        self._call("copy_attributes")
        super().copy_attributes(old, new)

    def read(self, file: int) -> bytes:
        self._call("read")
        return super().read(file)

    def write(self, file: int, content: bytes) -> None:
        if self.crash_at == 0:
            # A crash in the middle of a write leaves half of it.
            super().write(file, content[: len(content) // 2])
        self._call("write")
        super().write(file, content)

    def sync(self, file: int) -> None:
        self._call("sync")
        super().sync(file)

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder")
        super().sync_folder(path)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self._call("remove")
        super().remove(path)
