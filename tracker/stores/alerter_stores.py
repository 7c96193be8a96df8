"""Read the two alerter stores, which know the contracts of alerts.

Owns reading `alerter_contracts.json` and `alerter_stocks.json` when they changed. They belong to another
program, which truncates and rewrites them in place. They are never written here, and while one cannot be
read, its last good content still counts, with a note since when. Entries are free-form; one that names no
option contract is skipped, and does not hide the others.

Shapes:
    alerter_contracts.json  alerter -> {symbol, side: CALL|PUT, strike: 122.5, expiry: YYYYMMDD|null,
                                stored_at}
    alerter_stocks.json     alerter -> TICKER -> {latest_alert_data: {ibkr_contract_result:
                                {symbol, strike, right, expiry, conid}, ...}, ...}
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias

from loguru import logger

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.limits import clean_text, is_plausible
from tracker.core.model import Alert, StoredContract
from tracker.core.stored_contracts import fill_in
from tracker.stores.alert_reader import read_bounded_expiry, read_strike
from tracker.stores.filesystem import Disk, FileStat, RealDisk

_FRESH: Final = timedelta(seconds=2)
"""Seconds; a younger file is read again, since two writes of the same size within a tick of the clock look
alike.
"""
_RIGHTS: Final = {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}
_CON_ID_DIGITS_MAX: Final = 18

_Read: TypeAlias = Callable[[str, Mapping[str, object]], Iterator[StoredContract]]
"""Reads one alerter's entry, given its name as the store spells it and the value under that name."""


class AlerterStores:
    """Answer which contracts an alerter last named.

    `refresh` does I/O and belongs in a worker thread; the other methods read what was last published, from
    any thread.
    """

    def __init__(
        self,
        contracts_path: Path | None,
        stocks_path: Path | None,
        *,
        zone: tzinfo,
        names: AlerterNames,
        now: Callable[[], datetime],
        disk: Disk | None = None,
    ) -> None:
        """Take the paths (None: there is no such store) and the zone of the stores' local times.

        `now` is aware UTC. Nothing is read before the first `refresh`.
        """
        self._names = names
        self._now = now
        reader = _EntryReader(zone, names)
        disk = disk or RealDisk()
        self._files = [
            _StoreFile(path, read, disk, now)
            for path, read in ((contracts_path, reader.contracts), (stocks_path, reader.stocks))
            if path is not None
        ]
        self._contracts: Mapping[tuple[str, str], Sequence[StoredContract]] = {}
        self._troubles: Mapping[Path, tuple[datetime, str]] = {}

    def refresh(self) -> bool:
        """Read changed files again; True when any stored contract changed.

        A file that is not there counts as an empty store. A file that cannot be read raises nothing: its last
        content still counts, and `troubles` names it.
        """
        changed = [file.refresh() for file in self._files]
        self._troubles = {file.path: file.trouble for file in self._files if file.trouble is not None}
        if not any(changed):
            return False
        found: dict[tuple[str, str], list[StoredContract]] = {}
        for file in self._files:
            for contract in file.contracts:
                found.setdefault(self._key(contract.alerter, contract.symbol), []).append(contract)
        self._contracts = found
        return True

    def unchanged(self) -> bool:
        """Return whether both files are as they were last read; False in doubt. Raises nothing."""
        return all(file.unchanged() for file in self._files)

    @property
    def troubles(self) -> Mapping[Path, tuple[datetime, str]]:
        """Return since when each unreadable store cannot be read, and why, with the next step."""
        return self._troubles

    def stored_contract(self, alerter: str, symbol: str) -> Sequence[StoredContract]:
        """Return the contract of an alerter, under any of its names, and a ticker."""
        return tuple(self._contracts.get(self._key(alerter, symbol), ()))

    def enrich(self, alert: Alert) -> Alert:
        """Return the alert with missing details filled in; see `core.stored_contracts.fill_in`."""
        return fill_in(alert, self.stored_contract(alert.id.alerter, alert.symbol))

    def _key(self, alerter: str, symbol: str) -> tuple[str, str]:
        return self._names.key(alerter), symbol_key(symbol)


class _StoreFile:
    """Keep the last good content of one store."""

    def __init__(self, path: Path, read: _Read, disk: Disk, now: Callable[[], datetime]) -> None:
        self.path = path
        self.contracts: Sequence[StoredContract] = ()
        self.trouble: tuple[datetime, str] | None = None
        self._read = read
        self._disk = disk
        self._now = now
        self._stat: FileStat | None = None
        """The stat of the content last read, valid or not; None where the next look must read the file."""
        self._content: bytes | None = None
        """The last good content."""

    def refresh(self) -> bool:
        """Read the file if it changed; True when its contracts changed."""
        before = self.contracts
        try:
            self._look()
        except (OSError, ValueError) as error:
            since = self.trouble[0] if self.trouble else self._now()
            reason = f"{self.path} {_why(error)}; its last good content still counts"
            if self.trouble is None or self.trouble[1] != reason:
                logger.warning("{}", reason)
            self.trouble = (since, reason)
        return self.contracts != before

    def unchanged(self) -> bool:
        """Return whether the file is as it was last read."""
        try:
            return self._disk.stat(self.path) == self._stat
        except FileNotFoundError:
            return self._stat is None and self._content is None and self.trouble is None
        except OSError:
            return False

    def _look(self) -> None:
        try:
            found = self._disk.stat(self.path)
        except FileNotFoundError:
            self._stat = self._content = self.trouble = None
            self.contracts = ()
            return
        if found == self._stat:
            return
        self._stat = None
        if not stat.S_ISREG(found.mode):
            raise ValueError("is not a regular file; name the store's file in the settings")
        content = self._read_whole()
        if self._now().timestamp() - found.modified_ns / 1e9 >= _FRESH.total_seconds():
            self._stat = found
        if content != self._content:
            self.contracts = tuple(self._parse(content))
            self._content = content
        self.trouble = None

    def _read_whole(self) -> bytes:
        file = self._disk.open(self.path)
        try:
            return self._disk.read(file)
        finally:
            self._disk.close(file)

    def _parse(self, content: bytes) -> Iterator[StoredContract]:
        if not content.strip():
            raise ValueError("is empty, probably since it is being rewritten; it is read again")
        try:
            # Decimal keeps a number as written, without binary rounding; and an integer of any length can be
            # read.
            store = json.loads(content.decode("utf-8"), parse_float=str, parse_int=str)
        except RecursionError:
            raise ValueError("is nested too deeply to be read; it is read again when it changes") from None
        except ValueError as error:
            raise ValueError(
                f"is not complete JSON ({error}), probably since it is being rewritten; it is read again"
            ) from None
        if not isinstance(store, dict):
            raise ValueError("holds no JSON object; it is read again when it changes")
        for alerter, entry in store.items():
            if isinstance(entry, dict):
                yield from self._read(clean_text(alerter), entry)


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error}); give the tracker's user read access"
    return str(error)


class _EntryReader:
    """Read one alerter's entry of either store."""

    def __init__(self, zone: tzinfo, names: AlerterNames) -> None:
        self._zone = zone
        self._names = names

    def contracts(self, alerter: str, entry: Mapping[str, object]) -> Iterator[StoredContract]:
        """Read an entry of alerter_contracts.json; it names one contract, without conid."""
        written = self._local_date(entry.get("stored_at"))
        yield from self._contract(alerter, entry, entry.get("side"), _text(entry.get("symbol")), written)

    def stocks(self, alerter: str, entry: Mapping[str, object]) -> Iterator[StoredContract]:
        """Read an entry of alerter_stocks.json; each ticker may name a contract that IBKR knows."""
        for ticker, details in entry.items():
            found = _object(_object(_object(details).get("latest_alert_data")).get("ibkr_contract_result"))
            symbol = _text(found.get("symbol")) or ticker
            yield from self._contract(alerter, found, found.get("right"), symbol, None)

    def _contract(
        self, alerter: str, entry: Mapping[str, object], side: object, symbol: str, written: date | None
    ) -> Iterator[StoredContract]:
        symbol = symbol or self._names.fixed_symbol(alerter)
        right, strike = _RIGHTS.get(_text(side).upper(), ""), _strike(entry.get("strike"))
        if symbol and right and strike is not None:
            expiry = read_bounded_expiry(entry.get("expiry"), written)
            yield StoredContract(alerter, symbol, right, strike, expiry, _con_id(entry.get("conid")))

    def _local_date(self, text: object) -> date | None:
        try:
            written = datetime.fromisoformat(_text(text))
        except ValueError:
            # Only a date without a year needs a reference date, and the store writes YYYYMMDD.
            return None
        if not is_plausible(written.date()):
            return None
        return (written.astimezone(self._zone) if written.tzinfo else written).date()


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """Return a text within its length limit; a number as it was written."""
    return clean_text(value.strip()) if isinstance(value, str) else ""


def _strike(value: object) -> Decimal | None:
    return read_strike(value) if isinstance(value, str) else None


def _con_id(value: object) -> int | None:
    digits = _text(value)
    readable = digits.isascii() and digits.isdecimal() and len(digits) <= _CON_ID_DIGITS_MAX
    return int(digits) or None if readable else None
