"""The two read-only alerter stores answer what contract an alerter last named, however they are left."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.support.matching_cases import CON_ID, option_alert
from tests.support.status_rig import logged
from tracker.core.alerters import AlerterNames
from tracker.core.model import NO_EXPIRY, ExpiryKind, StoredContract
from tracker.stores.alerter_stores import AlerterStores
from tracker.stores.filesystem import FileStat, RealDisk

NEW_YORK = ZoneInfo("America/New_York")

CONTRACTS = {
    "RobinDaHood": {
        "strike": 122.5,
        "side": "CALL",
        "symbol": "NVDA",
        "expiry": "20251121",
        "stored_at": "2025-11-18T15:42:07.318245",
    },
    "demslayer-spx-alerts": {"strike": 6600, "side": "PUT", "symbol": "SPX", "expiry": None},
}
STOCKS = {
    "Real Day Trading": {
        "BRK.B": {
            "status": "ACTIVE",
            "first_alert_time": "2025-11-18T10:00:00",
            "latest_alert_data": {
                "price": "$140",
                "expiry": "11/21",
                "ibkr_contract_result": {
                    "symbol": "BRK B",
                    "strike": 500.0,
                    "right": "C",
                    "expiry": "20251121",
                    "conid": CON_ID,
                },
            },
        }
    }
}


class CountingDisk(RealDisk):
    """Count the reads, and fail them on request."""

    def __init__(self) -> None:
        self.reads = 0
        self.failing: OSError | None = None

    def read(self, file: int) -> bytes:
        self.reads += 1
        if self.failing is not None:
            raise self.failing
        return super().read(file)


class Clock:
    """Stand still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time


class Stores:
    """Hold both stores of a folder, with a clock and a disk that can be counted."""

    def __init__(self, folder: Path) -> None:
        self.contracts_path = folder / "alerter_contracts.json"
        self.stocks_path = folder / "alerter_stocks.json"
        self.clock = Clock()
        self.disk = CountingDisk()
        self.stores = AlerterStores(
            self.contracts_path,
            self.stocks_path,
            zone=NEW_YORK,
            names=AlerterNames(),
            now=self.clock,
            disk=self.disk,
        )

    def write_contracts(self, content: object) -> bool:
        return self.write_text(json.dumps(content, indent=2))

    def write_text(self, text: str) -> bool:
        self.contracts_path.write_text(text, encoding="utf-8")
        return self.stores.refresh()

    def write_stocks(self, content: object) -> bool:
        self.stocks_path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        return self.stores.refresh()

    def only(self, alerter: str, symbol: str) -> StoredContract:
        (contract,) = self.stores.stored_contract(alerter, symbol)
        return contract

    def grow_old(self) -> None:
        """Move the file's last change out of the time in which a change may hide."""
        before = (self.clock.time - timedelta(seconds=60)).timestamp()
        for path in (self.contracts_path, self.stocks_path):
            if path.exists():
                os.utime(path, (before, before))


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


def test_contracts_store_knows_every_name(stores: Stores) -> None:
    """The contracts store answers under every name of the alerter."""
    assert stores.write_contracts(CONTRACTS)
    for name in ("robindahood-alerts", "RobinDaHood", "robin da hood"):
        contract = stores.only(name, "nvda")
        assert contract.alerter == "RobinDaHood"
        assert (contract.symbol, contract.right, contract.strike) == ("NVDA", "C", Decimal("122.5"))
        assert contract.expiry.day == date(2025, 11, 21)
        assert contract.con_id is None
    for name in ("demslayer", "demspxslayer-and-leaps"):
        contract = stores.only(name, "SPX")
        assert (contract.right, contract.strike, contract.expiry) == ("P", Decimal(6600), NO_EXPIRY)
    assert stores.stores.stored_contract("robindahood-alerts", "TSLA") == ()
    assert stores.stores.stored_contract("prof-and-kian-alerts", "NVDA") == ()


def test_stocks_store_gives_ibkr_contract(stores: Stores) -> None:
    """The stocks store answers with the contract that ibkr found."""
    assert stores.write_stocks(STOCKS)
    contract = stores.only("real-day-trading", "BRK/B")
    assert (contract.symbol, contract.right, contract.strike) == ("BRK B", "C", Decimal(500))
    assert contract.expiry.day == date(2025, 11, 21)
    assert contract.con_id == CON_ID


def test_an_alert_gains_what_it_lacks(stores: Stores) -> None:
    stores.write_contracts(CONTRACTS)
    alert = option_alert(expires=None)
    assert stores.stores.enrich(alert).expiry.day == date(2025, 11, 21)
    other = option_alert("demslayer", expires=None)
    assert stores.stores.enrich(other) == other


def test_both_stores_answer_together(stores: Stores) -> None:
    stores.write_contracts({"RobinDaHood": CONTRACTS["RobinDaHood"]})
    found = {"strike": "122.5", "right": "CALL", "conid": str(CON_ID), "expiry": "20251121"}
    stores.write_stocks(
        {"robindahood-alerts": {"NVDA": {"latest_alert_data": {"ibkr_contract_result": found}}}}
    )
    assert [each.con_id for each in stores.stores.stored_contract("robindahood", "NVDA")] == [None, CON_ID]
    assert stores.stores.enrich(option_alert(expires=None)).con_ids == {CON_ID}


def test_spx_alerter_needs_no_symbol(stores: Stores) -> None:
    """A name that always is about spx needs no symbol."""
    stores.write_contracts(
        {"demspxslayer": {"strike": 6600, "side": "CALL"}, "else": {"strike": 1, "side": "C"}}
    )
    assert stores.only("demslayer", "SPX").strike == 6600
    assert stores.stores.stored_contract("else", "") == ()


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "NVDA 122.5c",
        [],
        {},
        {"strike": None, "side": "CALL", "symbol": "NVDA"},
        {"strike": True, "side": "CALL", "symbol": "NVDA"},
        {"strike": 0, "side": "CALL", "symbol": "NVDA"},
        {"strike": "high", "side": "CALL", "symbol": "NVDA"},
        {"strike": float("nan"), "side": "CALL", "symbol": "NVDA"},
        {"strike": "Infinity", "side": "CALL", "symbol": "NVDA"},
        {"strike": 122.5, "side": "BOTH", "symbol": "NVDA"},
        {"strike": 122.5, "side": 1, "symbol": "NVDA"},
        {"strike": 122.5, "side": "CALL", "symbol": ["NVDA"]},
    ],
)
def test_entry_without_contract_hides_none(stores: Stores, entry: object) -> None:
    """An entry that names no contract hides no other."""
    stores.write_contracts({"odd": entry, **CONTRACTS})
    assert stores.only("robindahood", "NVDA").strike == Decimal("122.5")
    assert stores.stores.stored_contract("odd", "NVDA") == ()
    assert not stores.stores.troubles
    latest = {
        "ibkr_contract_result": {**entry, "right": entry.get("side")} if isinstance(entry, dict) else entry
    }
    stores.write_stocks({"odd": {"NVDA": entry, "": {"latest_alert_data": latest}}, "x": entry, **STOCKS})
    assert stores.only("real-day-trading", "BRK B").con_id == CON_ID
    assert stores.stores.stored_contract("odd", "NVDA") == ()
    assert not stores.stores.troubles


@pytest.mark.parametrize("con_id", [None, True, 0, -5, 1.5, "1.5", "", "7" * 19, "\u0667", [7]])
def test_what_is_no_conid_is_none(stores: Stores, con_id: object) -> None:
    found = {"strike": 122.5, "right": "C", "conid": con_id}
    stores.write_stocks({"x": {"NVDA": {"latest_alert_data": {"ibkr_contract_result": found}}}})
    assert stores.only("x", "NVDA").con_id is None


@pytest.mark.parametrize(
    ("stored_at", "day"),
    [
        ("2025-11-18T15:42:07.318245", date(2025, 11, 19)),
        ("2025-11-20T02:00:00+00:00", date(2025, 11, 19)),
        ("2025-11-20T02:00:00", date(2026, 11, 19)),
        ("9999-12-31T23:59:59+00:00", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_yearless_expiry_uses_stored_day(stores: Stores, stored_at: object, day: date | None) -> None:
    """An expiry without a year is relative to the local day of storing."""
    entry = {"strike": 95, "side": "CALL", "symbol": "TSLA", "expiry": "11/19", "stored_at": stored_at}
    stores.write_contracts({"x": entry})
    expiry = stores.only("x", "TSLA").expiry
    assert expiry.day == day
    assert expiry.kind is (ExpiryKind.UNUSABLE if day is None else ExpiryKind.DAY)


def test_strikes_are_the_numbers_as_written(stores: Stores) -> None:
    stores.write_text('{"x": {"strike": 0.100000000000000005551115, "side": "PUT", "symbol": "F"}}')
    assert stores.only("x", "F").strike == Decimal("0.100000000000000005551115")
    stores.write_text('{"x": {"strike": 1e99999999999999999999, "side": "PUT", "symbol": "F"}}')
    assert stores.stores.stored_contract("x", "F") == ()
    assert not stores.stores.troubles


def test_absent_stores_are_empty(stores: Stores, tmp_path: Path) -> None:
    assert not stores.stores.refresh()
    assert not stores.stores.troubles
    unset = AlerterStores(None, None, zone=NEW_YORK, names=AlerterNames(), now=stores.clock)
    assert not unset.refresh()
    assert unset.stored_contract("robindahood", "NVDA") == ()
    assert list(tmp_path.iterdir()) == []


def test_removed_store_loses_its_contracts(stores: Stores) -> None:
    """A store that goes takes its contracts with it."""
    stores.write_contracts(CONTRACTS)
    stores.contracts_path.unlink()
    assert stores.stores.refresh()
    assert stores.stores.stored_contract("robindahood", "NVDA") == ()
    assert stores.write_contracts(CONTRACTS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty, probably since it is being rewritten"),
        ("  \n", "is empty"),
        (json.dumps(CONTRACTS, indent=2)[:-40], "is not complete JSON"),
        ("[]", "holds no JSON object"),
        ('"\ud800"', "is not complete JSON"),
        ('{"a":' * 100_000, "is nested too deeply"),
    ],
)
def test_unreadable_store_keeps_last_content(stores: Stores, text: str, words: str) -> None:
    """An unreadable store keeps its last good content and says since when."""
    stores.write_contracts(CONTRACTS)
    stores.contracts_path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with logged() as lines:
        assert not stores.stores.refresh()
        assert not stores.stores.refresh()
    assert [words in line for line in lines] == [True], "logged once"
    since, why = stores.stores.troubles[stores.contracts_path]
    assert since == stores.clock.time
    assert str(stores.contracts_path) in why
    assert words in why
    assert stores.only("robindahood", "NVDA").strike == Decimal("122.5")
    stores.clock.time += timedelta(seconds=7)
    stores.stores.refresh()
    assert stores.stores.troubles[stores.contracts_path][0] == since
    stores.grow_old()
    stores.stores.refresh()
    reads = stores.disk.reads
    stores.stores.refresh()
    assert stores.disk.reads == reads
    assert stores.stores.troubles[stores.contracts_path][0] == since
    assert not stores.write_contracts(CONTRACTS)
    assert not stores.stores.troubles


def test_failed_read_is_tried_again(stores: Stores) -> None:
    """A read that fails is tried again."""
    stores.write_contracts(CONTRACTS)
    stores.disk.failing = PermissionError(13, "Permission denied")
    stores.clock.time += timedelta(seconds=1)
    assert not stores.write_contracts({})
    _, why = stores.stores.troubles[stores.contracts_path]
    assert "cannot be read (Permission denied); give the tracker's user read access" in why
    assert stores.only("robindahood", "NVDA").right == "C"
    stores.grow_old()
    stores.stores.refresh()
    stores.disk.failing = None
    assert stores.stores.refresh()
    assert not stores.stores.troubles
    assert stores.stores.stored_contract("robindahood", "NVDA") == ()


def test_pipe_or_folder_does_not_block(stores: Stores) -> None:
    """A pipe or a folder in the stores place is reported and not waited for."""
    os.mkfifo(stores.contracts_path)
    stores.stocks_path.mkdir()
    assert not stores.stores.refresh()
    assert len(stores.stores.troubles) == 2
    for _, why in stores.stores.troubles.values():
        assert "is not a regular file" in why


def test_old_file_once_young_file_again(stores: Stores) -> None:
    """An old file is read once and a young one again."""
    stores.write_contracts(CONTRACTS)
    stores.stores.refresh()
    assert stores.disk.reads == 2
    stores.grow_old()
    for _ in range(3):
        assert not stores.stores.refresh()
    assert stores.disk.reads == 3


def test_young_file_change_is_seen(stores: Stores) -> None:
    """A change that the stat does not show is seen while the file is young."""

    class BlindDisk(CountingDisk):
        def stat(self, path: Path) -> FileStat:
            return super().stat(path)._replace(size=7, modified_ns=young, changed_ns=young)

    young = int((stores.clock.time - timedelta(seconds=1)).timestamp() * 1e9)
    stores.contracts_path.write_text(json.dumps(CONTRACTS))
    blind = AlerterStores(
        stores.contracts_path, None, zone=NEW_YORK, names=AlerterNames(), now=stores.clock, disk=BlindDisk()
    )
    assert blind.refresh()
    stores.contracts_path.write_text("{}")
    assert blind.refresh()
    assert blind.stored_contract("robindahood", "NVDA") == ()


def test_unchanged_needs_no_reading(stores: Stores) -> None:
    """A look that takes nothing in tells whether the files stand."""
    assert stores.stores.unchanged(), "absent stores are empty"
    stores.write_contracts(CONTRACTS)
    assert not stores.stores.unchanged()
    stores.stores.refresh()
    assert not stores.stores.unchanged(), "the file is young"
    stores.grow_old()
    stores.stores.refresh()
    assert stores.stores.unchanged()
    stores.contracts_path.unlink()
    assert not stores.stores.unchanged()
    stores.stores.refresh()
    assert stores.stores.unchanged()


def test_unreadable_store_is_never_unchanged(stores: Stores) -> None:
    """A store that cannot be looked at is not said to stand."""

    class BrokenDisk(CountingDisk):
        def stat(self, path: Path) -> FileStat:
            raise OSError(errno.EIO, "Input/output error")

    broken = AlerterStores(
        stores.contracts_path, None, zone=NEW_YORK, names=AlerterNames(), now=stores.clock, disk=BrokenDisk()
    )
    assert not broken.unchanged()


def test_the_stores_are_never_written(stores: Stores) -> None:
    stores.write_contracts(CONTRACTS)
    stores.write_stocks(STOCKS)
    stores.grow_old()
    for path in (stores.contracts_path, stores.stocks_path):
        path.chmod(0o444)
    paths = (stores.contracts_path, stores.stocks_path)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    stores.stores.refresh()
    stores.stores.enrich(option_alert(expires=None))
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before
    assert sorted(stores.contracts_path.parent.iterdir()) == sorted(paths)
