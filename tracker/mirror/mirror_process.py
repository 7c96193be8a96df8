"""The process of `tracker mirror`: the lock, the loop, what is logged, and how it ends.

Owns when the file and the store are read, and what is logged while either is unavailable.
`tracker.mirror.mirror` owns what is exchanged.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from loguru import logger

from tracker import wiring
from tracker.clock import now
from tracker.config.settings import Settings, SettingsError
from tracker.core.model import StoreUnavailable
from tracker.core.ports import StoreRefused
from tracker.mirror.file_copy import Copy
from tracker.mirror.mirror import Mirror
from tracker.stores.alert_file import AlertFile
from tracker.stores.alerter_stores import AlerterStores
from tracker.stores.filesystem import failure_words
from tracker.stores.lock import FileLock, Locked
from tracker.stores.shared_connection import StoreNotSetUp
from tracker.stores.shared_producer import SharedProducer
from tracker.terminal import counted

EXIT_WELL: Final = 0
EXIT_STORE: Final = 5
_LOOK_SECONDS: Final = 0.25
"""Seconds between two looks at the file, the same as the tracker's."""
_LONGEST_PAUSE_SECONDS: Final = 10.0
"""Seconds between two attempts to reach a store that is unavailable."""


class Exchange(Protocol):
    """Do one round of the loop's work; `look` and `exchange` raise StoreUnavailable."""

    def look(self) -> None:
        """Look at the file."""

    def exchange(self) -> None:
        """Bring the store and the file up to date."""

    def close(self) -> None:
        """Close the file."""


def run(settings: Settings, *, copy: bool) -> int:
    """Mirror until a signal ends the process; returns the exit code. Raises SettingsError.

    `shared.url` is set.
    """
    _start_log(settings)
    path = settings.stores.alerts
    try:
        store = SharedProducer(settings.shared.url, settings.shared.seat_name)
        with FileLock(path, f"tracker mirror, process {os.getpid()}") as lock:
            job: Exchange = _Copying(path, store) if copy else _Mirroring(settings, store)
            logger.info(
                "mirroring {} {} {}{}",
                *(store.name, "into" if copy else "and", path),
                "" if copy else f" as source {settings.shared.seat_name}",
            )
            with closing(store), closing(job):
                asyncio.run(_Loop(job, lock, settings.shared.poll_seconds).run())
    except (Locked, StoreRefused) as error:
        logger.error("{}", error)
        return EXIT_STORE
    return EXIT_WELL


def _start_log(settings: Settings) -> None:
    try:
        wiring.start_log(settings)
    except OSError as error:
        place = settings.origin("log", "file")
        raise SettingsError(
            [f"{place}: {settings.log.file} cannot be written: {error.strerror or error}; name another file"]
        ) from None


class _Mirroring:
    """Mirror a file that has an alert writer."""

    def __init__(self, settings: Settings, store: SharedProducer) -> None:
        stores, zone, names = settings.stores, settings.store_zone(), wiring.names_of(settings)
        alerters = AlerterStores(stores.contracts, stores.stocks, zone=zone, names=names, now=now)
        self._file = AlertFile(stores.alerts, zone=zone, now=now, names=names)
        self._file.check()
        self._mirror = Mirror(self._file, alerters, store, settings.shared.seat_name)

    def look(self) -> None:
        self._mirror.read()

    def exchange(self) -> None:
        put, wanted = self._mirror.exchange()
        self._mirror.write(wanted)
        taken = len(wanted.updates) + len(wanted.restored)
        if put or taken:
            logger.info("{} put into the store, {} written into the file", counted(put, "record"), taken)

    def close(self) -> None:
        self._file.close()


class _Copying:
    """Write a copy for programs that only read it."""

    def __init__(self, path: Path, store: SharedProducer) -> None:
        self._copy = Copy(path)
        self._store = store

    def look(self) -> None:
        """Do nothing: nothing is read from a copy."""

    def exchange(self) -> None:
        records = self._store.summed()
        try:
            written = self._copy.write(records)
        except OSError as error:
            raise StoreUnavailable(f"{self._copy.path} cannot be written: {failure_words(error)}") from error
        if written:
            logger.info("{} written into the file", counted(len(records), "record"))

    def close(self) -> None:
        """Do nothing: no file is kept open."""


class _Loop:
    """Look at the file and the store in turn until a signal ends the process."""

    def __init__(self, job: Exchange, lock: FileLock, poll_seconds: float) -> None:
        self._job = job
        self._lock = lock
        self._poll_seconds = poll_seconds
        self._next = 0.0
        """When the store is asked next, in seconds of the monotonic clock."""
        self._failures = 0
        self._exchanged = False
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Run until a signal ends the process; raises Locked, StoreRefused."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in wiring.stop_signals():
            loop.add_signal_handler(number, stop.set)
        while not stop.is_set():
            self._lock.keep()
            await asyncio.to_thread(self._turn)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
        logger.info("stopping, as requested")

    def _turn(self) -> None:
        with self._noting("the file"):
            self._job.look()
        if time.monotonic() < self._next:
            return
        pause = self._poll_seconds
        with self._noting("the store"):
            self._failures += 1
            self._job.exchange()
            self._failures = 0
            self._exchanged = True
        if self._failures:
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 2 ** min(self._failures, 10))
        # A random part, so that many machines do not all ask at the same moment.
        self._next = time.monotonic() + pause * random.uniform(0.7, 1)

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Log once that the file or the store is unavailable, and once that it is back; both are tried
        again.
        """
        try:
            yield
        except StoreUnavailable as error:
            if isinstance(error, StoreNotSetUp) and not self._exchanged:
                raise StoreRefused(str(error)) from None
            if self._troubles.get(what) != str(error):
                logger.warning("{}; it is tried again", error)
                self._troubles[what] = str(error)
        else:
            if self._troubles.pop(what, None) is not None:
                logger.info("{} can be used again", what)
