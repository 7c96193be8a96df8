"""A copy of the shared store's alerts as a file, for programs of this machine that only read alerts.json.

Owns the text of the copy and its replacement as a whole. It never reads alerts from the file, and stops if
another program writes into it: a file with an alert writer is a source, not a copy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tracker.core.ports import StoreRefused
from tracker.mirror.record_text import with_fields
from tracker.stores.atomic_replace import backup_path, temp_path
from tracker.stores.filesystem import Disk, FileStat, RealDisk
from tracker.stores.shared_producer import SummedRecord

_MODE: Final = 0o644


class Copy:
    """Write one file; only one thread may use it."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or RealDisk()
        self._left: FileStat | None = None
        """The file as it was after the last write; None before the first."""
        self._text = ""

    def write(self, records: Sequence[SummedRecord]) -> bool:
        """Write these records into the file; False where it has them already.

        Before the first write the old file is kept beside it, once. Raises StoreRefused where another program
        wrote the file meanwhile; OSError.
        """
        text = text_of_file(records)
        found = self._stat()
        if self._left is not None and found is not None and found.same_content != self._left.same_content:
            raise StoreRefused(
                f"{self.path} was written by another program while the mirror copies into it; a file with an"
                " alert writer is mirrored without --copy, else name another file (stores.alerts)"
            )
        if self._left is not None and found is not None and text == self._text:
            return False
        if self._left is None and found is not None:
            self._keep()
        self._replace(text.encode())
        self._left, self._text = self._disk.stat(self.path), text
        return True

    def _stat(self) -> FileStat | None:
        try:
            return self._disk.stat(self.path)
        except FileNotFoundError:
            return None

    def _keep(self) -> None:
        backup = backup_path(self.path)
        if not backup.exists():
            os.link(self.path, backup)

    def _replace(self, content: bytes) -> None:
        temp = temp_path(self.path)
        self._disk.remove(temp)
        file = self._disk.open_new(temp)
        try:
            os.fchmod(file, _MODE)
            self._disk.write(file, content)
            self._disk.sync(file)
        finally:
            self._disk.close(file)
        self._disk.rename(temp, self.path)
        self._disk.sync_folder(self.path.parent)


def text_of_file(records: Iterable[SummedRecord]) -> str:
    """Return the file's text; records are unchanged from their producers."""
    groups: dict[str, list[str]] = {}
    for record in records:
        if not record.removed:
            text = with_fields(
                record.doc,
                is_open=record.open,
                last_order_update=record.last_order_update,
                position=record.position,
            )
            groups.setdefault(record.alert.alerter, []).append(
                f"    {json.dumps(record.alert.ticker)}: {text}"
            )
    members = (
        f"  {json.dumps(alerter)}: {{\n" + ",\n".join(texts) + "\n  }" for alerter, texts in groups.items()
    )
    return "{\n" + ",\n".join(members) + "\n}\n" if groups else "{}\n"
