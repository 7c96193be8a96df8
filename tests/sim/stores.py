"""The alert store of a simulated life, in its two forms, and how the neighbour reaches each.

Owns the wrapper that tells what the tracker can see and what it wrote, with the points at which it may be
killed. The store itself is `MemoryAlerts`, or the real `AlertFile` on a disk in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from tests.sim.clock import NEW_YORK, SimClock
from tests.sim.disk import Inode, MemoryDisk
from tests.sim.fates import Fates
from tests.support.fakes import MemoryAlerts, Records, copied
from tracker.core.model import Alert, AlertId, AlertUpdate, Execution, Outcome, StoreUnavailable
from tracker.core.ports import AlertStore, Shown
from tracker.stores.alert_file import AlertFile

PATH: Final = Path("/sim/alerts.json")
OUR_FIELDS: Final = ("open", "last_order_update", "position")

Observe = Callable[[AlertStore, bool | None], None]
"""Given the store, and whether a look at it found anything new; None where it could not be read."""
Applying = Callable[[Sequence[AlertUpdate]], None]


class Medium(Protocol):
    """Reach the store as the other program does."""

    def start(self) -> AlertStore:
        """Return the tracker's side of it, as a new process has it."""
        ...

    def records(self) -> Records | None:
        """Return a copy of what stands there, None while it is empty or cut off."""
        ...

    def write(self, records: Records) -> None:
        """Begin to write everything again; `go_on` until it is `written`."""
        ...

    def go_on(self) -> None:
        """Write a little more of it."""
        ...

    @property
    def written(self) -> bool: ...

    @property
    def astray(self) -> bool:
        """Return whether the last write went into a file that the tracker had just replaced."""
        ...

    def cut(self, left: float) -> None:
        """Leave only a part of the content."""
        ...


class MemoryMedium:
    """Change a `MemoryAlerts` in place; every write is done at once."""

    written = True
    astray = False

    def __init__(self) -> None:
        self._records: Records = {}
        self._store = MemoryAlerts(self._records, zone=NEW_YORK)

    def start(self) -> AlertStore:
        away = self._store.away
        self._store = MemoryAlerts(self._records, zone=NEW_YORK)
        self._store.away = away
        return self._store

    def records(self) -> Records | None:
        return None if self._store.away else copied(self._records)

    def write(self, records: Records) -> None:
        self._records.clear()
        self._records.update(copied(records))
        self._store.away = ""

    def go_on(self) -> None:
        pass

    def cut(self, left: float) -> None:
        self._store.away = "cut off"


class FileMedium:
    """Truncate and rewrite a file in place, in three writes, with other things in between."""

    def __init__(self, clock: SimClock, fates: Fates) -> None:
        self._clock = clock
        self._disk = MemoryDisk(clock, fates)
        self._rest: list[bytes] = []
        self._target: Inode = self._disk.inode(PATH)
        self._disk.overwrite(self._target, b"{}")
        self._disk.inode(PATH.parent).mode = 0o040755

    def start(self) -> AlertStore:
        self._disk.forget_open_files()
        return SettlingFile(AlertFile(PATH, zone=NEW_YORK, now=self._clock.host, disk=self._disk))

    def records(self) -> Records | None:
        try:
            found: Records = json.loads(self._disk.inode(PATH).content)
        except ValueError:
            return None
        return found

    def write(self, records: Records) -> None:
        content = json.dumps(records, indent=2).encode()
        half = len(content) // 2
        self._target = self._disk.inode(PATH)
        self._rest = [content[:half], content]
        self._disk.overwrite(self._target, b"")

    def go_on(self) -> None:
        if self._rest:
            self._disk.overwrite(self._target, self._rest.pop(0))

    @property
    def written(self) -> bool:
        return not self._rest

    @property
    def astray(self) -> bool:
        return self._target is not self._disk.inode(PATH)

    def cut(self, left: float) -> None:
        inode = self._disk.inode(PATH)
        self._disk.overwrite(inode, inode.content[: int(len(inode.content) * left)])


class SettlingFile:
    """Settle late writes before each look, as the daemon does."""

    def __init__(self, file: AlertFile) -> None:
        self._file = file
        self.alerts = file.alerts
        self.candidates = file.candidates
        self.apply = file.apply
        self.prepares = file.prepares
        self.prepare = file.prepare
        self.shown = file.shown
        self.unchanged = file.unchanged
        self.record = file.record
        self.expect = file.expect
        self.name = file.name

    @property
    def absent(self) -> bool:
        return self._file.absent

    def refresh(self) -> bool:
        merged = self._file.settle()
        return self._file.refresh() or merged


class SimStore:
    """Pass everything on; tell `applying` what is about to be written and `saw` what can be seen now.

    `compared` is called whenever the tracker asks what a record shows, to compare it with what it decided;
    `fill_in` adds to a record what the alerters' stored contracts say.
    """

    def __init__(
        self,
        store: AlertStore,
        fates: Fates,
        saw: Observe,
        applying: Applying,
        compared: Callable[[], None],
        fill_in: Callable[[Alert], Alert],
    ) -> None:
        self._fill_in = fill_in
        self._store = store
        self._fates = fates
        self._saw = saw
        self._applying = applying
        self._compared = compared

    def refresh(self) -> bool:
        self._fates.point("refresh.before")
        try:
            changed = self._store.refresh()
        except StoreUnavailable:
            self._saw(self._store, None)
            raise
        self._saw(self._store, changed)
        self._fates.point("refresh.after")
        return changed

    @property
    def name(self) -> str:
        return self._store.name

    @property
    def absent(self) -> bool:
        return self._store.absent

    def expect(self) -> None:
        self._store.expect()

    def unchanged(self) -> bool:
        self._fates.point("unchanged")
        return self._store.unchanged()

    def alerts(self) -> Sequence[Alert]:
        return [self._fill_in(alert) for alert in self._store.alerts()]

    def candidates(self, execution: Execution) -> Sequence[Alert]:
        return [self._fill_in(alert) for alert in self._store.candidates(execution)]

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        self._fates.point("apply.before")
        self._fates.between()
        self._applying(updates)
        outcomes = self._store.apply(updates)
        self._fates.point("apply.after")
        return outcomes

    @property
    def prepares(self) -> bool:
        """Say yes for every store, so that faults come there too."""
        return True

    def prepare(self, updates: Sequence[AlertUpdate]) -> bool:
        self._fates.point("prepare.before")
        prepared = self._store.prepare(updates)
        self._fates.point("prepare.after")
        return prepared

    def shown(self, alert: AlertId) -> Shown | None:
        self._compared()
        return self._store.shown(alert)

    def record(self, alert: AlertId) -> str | None:
        return self._store.record(alert)


def own_fields(records: Records) -> dict[tuple[str, str], dict[str, Any]]:
    """Return each record by (alerter, TICKER) without the tracker's fields."""
    return {
        (alerter, ticker): {name: value for name, value in record.items() if name not in OUR_FIELDS}
        for alerter, tickers in records.items()
        for ticker, record in tickers.items()
    }
