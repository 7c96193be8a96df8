"""alerts.json: the alerts of another program, and the tracker's three fields in them.

Owns reading the file when it changed, writing updates into exactly the records they name, and merging what
the other program wrote into a file that had just been replaced. It never writes after a failed read, never
creates the file, never changes a byte of a record that it was not asked to change, and never brings a deleted
record back by itself. Local POSIX file systems only.

Rules that decide the steps:
    The other program truncates and rewrites the file in place, without lock or rename. So an empty or cut-off
    file is one being written (or lost): it is unreadable, never "no alerts". So is one that has been there
    and is gone.
    A file is replaced as a whole. Right before the rename it is read once more and compared byte for byte;
    if it differs, all is done again on what is there now.
    A writer that opened the file before the rename writes into the replaced inode. It is kept open for
    KEPT_OPEN and read again, and what was written there is merged.
    A stat that looks unchanged is trusted only once the file is older than FRESH: two writes of the same
    size within one tick of the file system's clock look alike.
"""

from __future__ import annotations

import dataclasses
import stat
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import chain, compress
from operator import is_not
from pathlib import Path
from typing import Final

from tracker.core.alerters import AlerterNames
from tracker.core.model import Alert, AlertId, AlertUpdate, Execution, Outcome, StoreUnavailable
from tracker.core.ports import Shown
from tracker.stores.alert_batch import Batch, fields_of
from tracker.stores.alert_index import AlertIndex, IndexedRecord, RecordKey, read_record, usable
from tracker.stores.alert_reader import read_id
from tracker.stores.atomic_replace import back_up, check_replaceable, put_in_place, throw_away, write_beside
from tracker.stores.filesystem import Disk, FileStat, RealDisk
from tracker.stores.json_document import Document, Key, PieceKind, parse
from tracker.stores.late_writes import LateWrites
from tracker.stores.troubles import Troubles, unreadable

FRESH: Final = timedelta(seconds=2)
_TRIES: Final = 10
_NOTHING: Final = Document.of((), "")


@dataclass(frozen=True, slots=True)
class _Held:
    """Hold the file at the path, as last read or written."""

    path: Path
    """The path without symbolic links."""
    file: int
    """Open for reading."""
    stat: FileStat
    content: bytes
    document: Document | None
    """The parsed content; None until it was read as alerts and published."""


@dataclass(frozen=True, slots=True)
class _Written:
    """Hold the new file, written and synced beside the old one, and what it was made from."""

    held: _Held
    before: Document
    document: Document
    content: bytes
    file: int
    """Open for reading."""


class AlertFile:
    """Read and write one alerts.json; implements `core.ports.AlertStore`.

    `refresh`, `apply`, `settle`, `enrich_again` and `close` do I/O or long work and exclude one another; run
    them in a worker thread. The rest reads the last published state and may be called from any thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        zone: tzinfo,
        now: Callable[[], datetime],
        enrich: Callable[[Alert], Alert] = lambda alert: alert,
        names: AlerterNames | None = None,
        disk: Disk | None = None,
    ) -> None:
        """Take the path, and the zone in which created_at is written; `now` is aware UTC.

        `enrich` adds to an alert what another store knows about it; it runs once per changed record. Nothing
        is read before the first `refresh`.
        """
        self.path = path
        self._zone = zone
        self._now = now
        self._enrich = enrich
        self._disk = disk or RealDisk()
        self._lock = threading.RLock()
        self._view = AlertIndex(names or AlerterNames())
        self._known = _NOTHING
        """The last document that could be read, which the view shows."""
        self._held: _Held | None = None
        self._expected = False
        """Whether the file existed before, so that its absence is an outage."""
        self.absent = False
        self._unreported = False
        """Whether a read before a write found a change that no `refresh` has returned yet."""
        self._fresh = False
        self._unsynced = True
        """Whether the content may not be synced to the disk yet: at the start, and after a folder sync
        failed.
        """
        self._backed_up = False
        self._late = LateWrites(self._disk)
        self._ahead: tuple[Batch, _Written] | None = None
        """What `prepare` made; everything else that writes beside the file discards it first."""
        self._removed: Mapping[AlertId, str] = {}
        self._troubles = Troubles(path, now)

    # The last published state.

    def alerts(self) -> Sequence[Alert]:
        return self._view.alerts

    def candidates(self, execution: Execution) -> Sequence[Alert]:
        return self._view.candidates(execution)

    def shown(self, alert: AlertId) -> Shown | None:
        entry = self._view.entry(alert)
        return entry.shown if entry else None

    def record(self, alert: AlertId) -> str | None:
        entry = self._view.entry(alert)
        return entry.text if entry else None

    @property
    def removed(self) -> Mapping[AlertId, str]:
        """Return the text of each record that the last `apply` removed, as it was at that instant."""
        return self._removed

    @property
    def trouble(self) -> tuple[datetime, str] | None:
        """Return since when the file cannot be read or written, and why; None while all is well."""
        return self._troubles.first

    @property
    def late_writes_merged(self) -> int:
        """Count what other programs wrote into replaced files and the tracker took over."""
        return self._late.merged

    @property
    def late_writes_lost(self) -> int:
        """Count what other programs wrote into replaced files and never finished."""
        return self._late.lost

    # The file.

    def check(self) -> None:
        """Check at the start that the file can be read and replaced; raises StoreRefused, which says what to
        do.
        """
        check_replaceable(self._disk, self.path)

    def refresh(self) -> bool:
        """Read what other programs wrote; True when anything changed since the last call.

        Changes that `apply` found count too. Raises StoreUnavailable. A file that never existed has no alerts
        yet; one that is gone, empty or cut off is unreadable.
        """
        with self._lock:
            changed = self._look() or self._unreported
            self._unreported = False
            return changed

    @property
    def name(self) -> str:
        return str(self.path)

    def expect(self) -> None:
        """Note that the file existed before: from now on its absence is an outage."""
        self._expected = True
        self.absent = False

    def unchanged(self) -> bool:
        """Return whether the file is as it was last read; False in doubt, or while another thread works on
        it.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            held = self._held
            if held is None or held.document is None or self._unreported or self._troubles.first:
                return False
            # The inode also shows where a link leads.
            same = self._disk.stat(self.path) == held.stat
            return same and (not self._fresh or self._disk.read(held.file) == held.content)
        except OSError:
            return False
        finally:
            self._lock.release()

    def apply(self, updates: Sequence[AlertUpdate]) -> Sequence[Outcome]:
        """Write all updates in one replacement; one outcome for each, in order.

        An update that is APPLIED or DUPLICATE is on the disk. Raises StoreUnavailable: then nothing was
        written, or (if only the last sync failed) everything was, and the next call answers DUPLICATE once
        the sync succeeds.
        """
        with self._lock, self._troubles.noting("written"):
            if self._late.crowded:
                self._unreported |= self._settle()
            batch = self._finish(updates)
            if batch is None:
                batch = Batch(updates)
                self._rewrite(batch.edit)
            self._removed = batch.removed
            return batch.outcomes

    @property
    def prepares(self) -> bool:
        return True

    def prepare(self, updates: Sequence[AlertUpdate]) -> bool:
        """Write the file that `apply` would put in place beside the old one, where nobody reads it.

        True when it is written, so that only a rename is left. It is made from what was last read, without
        reading the file again: `apply` checks whether that is still current. An error here occurs again in
        `apply`, which raises it.
        """
        batch = Batch(updates)
        with self._lock, suppress(OSError, RecursionError):
            held = self._held
            if held is not None and held.document is not None:
                document = batch.edit(held.document)
                if document is not held.document:
                    self._ahead = batch, self._write(held, held.document, document)
                    return True
        return False

    def restore(self, alert: AlertId, text: str) -> bool:
        """Put a deleted record back with its kept text; False where another record has its place.

        For an audit that a person asked for. Raises StoreUnavailable.
        """

        def edit(document: Document) -> Document:
            key = (alert.alerter, alert.ticker)
            alerter = document.value((alert.alerter, None))
            free = document is not _NOTHING and document.value(key) is None
            if not free or (alerter is not None and alerter.kind is not PieceKind.GROUP):
                return document
            return document.added(key, text)

        assert read_id(alert.alerter, alert.ticker, fields_of(text)) == alert, "the text is another record's"
        with self._lock, self._troubles.noting("written"):
            return self._rewrite(edit)

    def settle(self) -> bool:
        """Merge what was written into replaced files since then; True when there was anything. Raises
        StoreUnavailable.

        Call it a few times a second after `apply`.
        """
        with self._lock, self._troubles.noting("written"):
            return self._settle()

    def enrich_again(self) -> None:
        """Enrich every alert again, after the other store changed."""
        with self._lock:
            changes: dict[RecordKey, IndexedRecord | None] = {}
            for key, entry in self._view.entries.items():
                alert = self._enrich(entry.read)
                if alert != entry.alert:
                    changes[key] = entry._replace(alert=alert)
            if changes:
                self._view = self._view.with_changes(changes)

    def close(self) -> None:
        """Read the replaced files a last time, then close all files. Raises StoreUnavailable."""
        with self._lock:
            try:
                with self._troubles.noting("written"):
                    self._settle(last=True)
            finally:
                self._late.close()
                self._drop()
                self._hold(None)

    # Reading.

    def _look(self) -> bool:
        with self._troubles.noting("read"):
            return self._read_if_changed()

    def _read_if_changed(self) -> bool:
        path = self._disk.real_path(self.path)
        try:
            found = self._disk.stat(path)
        except FileNotFoundError:
            # If the folder is gone too, the store is unavailable (an unmounted disk), not empty.
            self._disk.stat(path.parent)
            if self._expected:
                raise StoreUnavailable(
                    f"{self.path} is gone; put it back, or correct stores.alerts"
                ) from None
            self.absent = True
            return False
        if not stat.S_ISREG(found.mode):
            raise StoreUnavailable(
                f"{self.path} is not a regular file; put the file of alerts back in its place"
            )
        held = self._held
        if held is None or (held.path, held.stat) != (path, found) or self._fresh:
            content = self._read(path, found)
            if held is None or held.document is None or content != held.content:
                return self._take_content(content)
        elif held.document is None:
            return self._take_content(held.content)
        return False

    def _read(self, path: Path, found: FileStat) -> bytes:
        """Read the path's file, and hold it."""
        held = self._held
        known = held is not None and held.stat[:2] == found[:2]
        file = held.file if held is not None and known else self._disk.open(path)
        try:
            for _ in range(_TRIES):
                before = self._disk.stat_open(file)
                content = self._disk.read(file)
                if self._disk.stat_open(file) == before:
                    break
            else:
                raise StoreUnavailable(f"{self.path} changed each time while it was read")
        except BaseException:
            if not known:
                self._disk.close(file)
            raise
        document = held.document if held is not None and held.content == content else None
        self._hold(_Held(path, file, before, content, document))
        age = self._now().timestamp() - before.modified_ns / 1e9
        self._fresh = age < FRESH.total_seconds()
        return content

    def _take_content(self, content: bytes) -> bool:
        held = self._held
        assert held is not None, "content comes from a held file"
        try:
            document = parse(content.decode("utf-8"), self._known)
        except ValueError as error:
            raise StoreUnavailable(f"{self.path} {unreadable(content, error)}") from error
        self.expect()
        changed = self._use(document)
        self._held = dataclasses.replace(held, document=document)
        return changed

    def _use(self, document: Document) -> bool:
        changed = document.pieces != self._known.pieces
        if changed:
            self._view = self._view_after(self._known, document)
        self._known = document
        return changed

    def _view_of(self, document: Document, keys: Iterable[Key]) -> AlertIndex:
        """Show the changed records of the document; a key without a record is removed."""
        entries = self._view.entries
        changes: dict[RecordKey, IndexedRecord | None] = {}
        for key in keys:
            alerter, ticker = key
            assert ticker is not None, "a record is under a ticker"
            place = document.records.get(key)
            before = entries.get((alerter, ticker))
            if place is None:
                changes[(alerter, ticker)] = None
            elif before is None or before.text != document.pieces[place].text:
                changes[(alerter, ticker)] = self._entry(alerter, ticker, document.pieces[place].text)
        return self._view.with_changes(changes) if changes else self._view

    def _entry(self, alerter: str, ticker: str, text: str) -> IndexedRecord | None:
        """Read a record; None for one that cannot be used."""
        return usable(
            self.path,
            alerter,
            ticker,
            lambda: read_record(alerter, ticker, text, self._zone, self._enrich),
        )

    def _hold(self, held: _Held | None) -> None:
        before, self._held = self._held, held
        if before is not None and (held is None or held.file != before.file):
            self._disk.close(before.file)

    # Writing.

    def _rewrite(self, edit: Callable[[Document], Document]) -> bool:
        """Replace the file by an edited version of itself; False when the edit changes nothing.

        The edit may run several times, each time on the file's current content.
        """
        for _ in range(_TRIES):
            self._unreported |= self._look()
            held = self._held
            if held is None or held.document is None:
                # An absent file is never created: the edit finds no record in it.
                edit(_NOTHING)
                return False
            document = edit(held.document)
            if document is held.document:
                self._make_sure(held)
                return False
            if self._put(self._write(held, held.document, document)):
                return True
        raise StoreUnavailable(f"{self.path} changed {_TRIES} times while it was being written")

    def _finish(self, updates: Sequence[AlertUpdate]) -> Batch | None:
        """Put in place what `prepare` made for these updates; None where that is no longer current."""
        if self._ahead is None:
            return None
        batch, written = self._ahead
        held = self._held
        if held is None or held.document is not written.before or batch.updates != updates:
            self._drop()
            return None
        self._ahead = None
        return batch if self._put(dataclasses.replace(written, held=held)) else None

    def _drop(self) -> None:
        """Discard what `prepare` made."""
        if self._ahead is not None:
            (_, written), self._ahead = self._ahead, None
            throw_away(self._disk, written.held.path, written.file)

    def _write(self, held: _Held, before: Document, document: Document) -> _Written:
        """Write the document beside the file."""
        self._drop()
        if not self._backed_up:
            back_up(self._disk, held.path, held.content, held.file, held.stat)
            self._backed_up = True
        content = document.text.encode()
        file = write_beside(self._disk, held.path, content, held.file, held.stat)
        return _Written(held, before, document, content, file)

    def _put(self, written: _Written) -> bool:
        """Put the written file in place; False where another program has written meanwhile."""
        held, before, document, file = written.held, written.before, written.document, written.file
        if not put_in_place(self._disk, held.path, file, lambda: self._stands(held)):
            return False
        self._unsynced = True
        self._late.watch(held.file, held.stat.same_content, before, document, self._now())
        self._held = _Held(held.path, file, self._disk.stat_open(file), written.content, None)
        self._fresh = True
        try:
            self._disk.sync_folder(held.path.parent)
            self._unsynced = False
        finally:
            self._view = self._view_after(before, document)
            self._known = document
            self._held = dataclasses.replace(self._held, document=document)
        return True

    def _view_after(self, before: Document, document: Document) -> AlertIndex:
        """Return the view to show once the document has replaced the one before."""
        if document.places is before.places:
            differ = map(is_not, before.pieces, document.pieces)
            return self._view_of(document, [piece.key for piece in compress(document.pieces, differ)])
        return self._view_of(document, dict.fromkeys(chain[Key](document.records, self._view.entries)))

    def _stands(self, held: _Held) -> bool:
        """Return whether the file still is, byte for byte, what the edit was made from."""
        try:
            found = self._disk.stat(held.path)
        except FileNotFoundError:
            return False
        return found.same_content == held.stat.same_content and self._disk.read(held.file) == held.content

    def _make_sure(self, held: _Held) -> None:
        """Sync the current file to the disk: a run that crashed may have left it in memory only."""
        if self._unsynced:
            self._disk.sync(held.file)
            self._disk.sync_folder(held.path.parent)
            self._unsynced = False

    def _settle(self, *, last: bool = False) -> bool:
        changed = False
        for write in self._late.due(self._now(), last=last):
            changed = self._rewrite(write.merge.into) or changed
            self._late.done(write, self._known)
        return changed
