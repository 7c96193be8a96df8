"""A store on a bench: a folder, a clock that is moved by hand and a disk that can fail."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path

from tests.support.fakes import Records
from tests.support.store_cases import Clock, FaultyDisk, dump, id_of, shown_by, some_records
from tracker.core.model import AlertUpdate
from tracker.stores.alert_file import AlertFile

ROBIN = "robindahood-alerts"
NVDA = id_of(some_records(), ROBIN, "NVDA")
TSLA = id_of(some_records(), ROBIN, "TSLA")
SPX = id_of(some_records(), "demslayer", "SPX")


class Bench:
    """A folder with a store in it, a clock that is moved by hand and a disk that can fail."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "alerts.json"
        self.clock = Clock()
        self.disk = FaultyDisk()
        self.stores: list[AlertFile] = []
        self.store = self.again()

    def again(self) -> AlertFile:
        """Start another run of the tracker."""
        self.stores.append(AlertFile(self.path, zone=UTC, now=self.clock, disk=self.disk))
        return self.stores[-1]

    def put(self, records: object) -> None:
        self.path.write_text(dump(records))

    def records(self) -> Records:
        found: Records = json.loads(self.path.read_text())
        return found


def expected(*updates: AlertUpdate) -> Records:
    records = some_records()
    for each in updates:
        records[each.alert.alerter][each.alert.ticker].update(shown_by(each))
    return records
