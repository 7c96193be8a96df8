"""See from outside when a fill is in the alert file: the tracker reports it, and the file is read at once.

Owns the connection to the tracker's `subscribe` and the sightings. A sighting has the time at
which the tracker reported the file renamed and synced, if the file confirms it; else the time of reading.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from soaking.judging import Sighting
from tracker.clock import now

_QUIET_SECONDS: Final = 0.05
"""Without an event for so long the file is read again: a rewrite of a stale copy is no event."""


class Watcher:
    """Follow a tracker in a thread of its own."""

    def __init__(self, port: int, alerts: Path) -> None:
        self._alerts = alerts
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.settimeout(_QUIET_SECONDS)
        self._socket.sendall(b"subscribe\n")
        self._shown: dict[str, str] = {}
        self._read = (0, 0, 0)
        """Inode, time and size of the file that was read last."""
        self._news: list[Sighting] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.missed = 0
        """Events that the tracker forgot before they could be read."""
        self.failure: Exception | None = None
        """What ended the watch before `close`."""
        self._closing = False
        self._thread.start()

    def news(self) -> list[Sighting]:
        """Return the sightings since the last call."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def close(self) -> None:
        """End the watch."""
        self._closing = True
        with suppress(OSError):
            # The tracker may have closed it.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _follow(self) -> None:
        rest = b""
        try:
            while True:
                try:
                    data = self._socket.recv(1 << 16)
                except TimeoutError:
                    self._look({})
                    continue
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                self._take(map(json.loads, lines))
            if not self._closing:
                raise ConnectionError("the tracker ended the subscription")
        except Exception as error:
            # It is raised when the soak reads the sightings, since nobody waits for this thread.
            self.failure = error

    def _take(self, events: Iterable[dict[str, Any]]) -> None:
        written: dict[str, datetime] = {}
        for event in events:
            self.missed += int(event.get("missed", 0))
            if event.get("event") == "written":
                ticker = str(event["alert"]).rpartition("/")[2]
                written.setdefault(ticker, datetime.fromisoformat(event["at"]))
        if written:
            self._look(written)

    def _look(self, written: dict[str, datetime]) -> None:
        """Read the file, if it is another, and note which alerts show another execution than before."""
        try:
            found = self._alerts.stat()
            if (found.st_ino, found.st_mtime_ns, found.st_size) == self._read:
                return
            alerts = json.loads(self._alerts.read_bytes())
        except (OSError, ValueError):
            # The neighbour is writing it or has moved it; it is read again soon.
            return
        moment = now()
        self._read = (found.st_ino, found.st_mtime_ns, found.st_size)
        with self._lock:
            for records in alerts.values():
                for ticker, record in records.items():
                    shown = (record.get("last_order_update") or {}).get("exec_id")
                    if shown is not None and self._shown.get(ticker) != shown:
                        self._shown[ticker] = shown
                        self._news.append(Sighting(ticker, shown, written.get(ticker, moment), moment))
