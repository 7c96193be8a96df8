"""Do without the daemon what a command asks: read its journal, read the store, take a decision.

Owns which files a command opens beside a running daemon (for reading), and the two locks that it takes where
there is none (for a decision). It never talks to the gateway.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from tracker import logs, wiring
from tracker.clock import now
from tracker.config.settings import Settings
from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import Entry
from tracker.core.model import Alert, StoreUnavailable
from tracker.core.state import LedgerState
from tracker.journal.journal import Journal
from tracker.queries.as_json import Json
from tracker.queries.fills import Selection, csv_lines, selected
from tracker.queries.socket_commands import QueryContext, ask_journal, missing_journal
from tracker.status.protocol import CommandError
from tracker.stores.lock import FileLock

Reply = TypeVar("Reply")
Taken = tuple[Entry | None, Callable[[LedgerState], Json]]
Take = Callable[[LedgerState, Sequence[Alert], AlerterNames], Taken]
"""Decide: the entry to journal (None: there is nothing to do), and what to answer once it is applied."""


def read(settings: Settings, question: Callable[[Journal, QueryContext], Reply]) -> Reply:
    """Answer a question from journal and store; raises JournalFailed, and what the question raises.

    A store that cannot be read is part of the answer where the question asks for it.
    """
    with _ground(settings, must_read=False) as ground:
        return ask_journal(settings.stores.journal, lambda journal: question(journal, ground))


def export(settings: Settings, wanted: Selection, path: Path | None, say: Callable[[str], None]) -> int:
    """Write fills as CSV into a file, whole or not at all, or line by line to `say`; returns their number.

    Raises CommandError where the file cannot be written, JournalFailed.
    """
    stores = settings.stores
    own = (stores.alerts, stores.contracts, stores.stocks, stores.journal)
    if path is not None and path.resolve() in [each.resolve() for each in own]:
        raise CommandError("bad_request", f"{path} is one of the tracker's own files; name another")

    def lines(journal: Journal, ground: QueryContext) -> Iterator[str]:
        return csv_lines(journal.book, selected(journal, wanted, ground.names))

    def write(journal: Journal, ground: QueryContext) -> int:
        if path is None:
            return _count(say, lines(journal, ground))
        beside = path.with_name(f".{path.name}.tracker-export")
        try:
            with beside.open("w", encoding="utf-8") as file:
                count = _count(lambda line: _write(file, line), lines(journal, ground))
            beside.replace(path)
        except OSError as error:
            raise CommandError(
                "not_written", f"{path} cannot be written: {error.strerror or error}; name another file"
            ) from None
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
        return count

    return read(settings, write)


def _count(write: Callable[[str], None], lines: Iterable[str]) -> int:
    """Write each line; returns how many there were below the heading."""
    count = -1
    for line in lines:
        write(line)
        count += 1
    return count


def _write(file: IO[str], line: str) -> None:
    file.write(f"{line}\n")


def try_fill(settings: Settings, given: dict[str, object], *, commit: bool) -> Json:
    """Say what a made-up fill would do; raises CommandError, StoreAway."""
    with _ground(settings, must_read=True) as ground:
        return ground.trial(given, commit=commit)


@contextmanager
def _ground(settings: Settings, *, must_read: bool) -> Iterator[QueryContext]:
    names = wiring.names_of(settings)
    store = wiring.alert_stores(settings, names)
    try:
        # The ground itself tells why a store could not be read.
        with suppress(*(() if must_read else (StoreUnavailable,))):
            store.refresh()
        yield wiring.ground(settings, store, names)
    finally:
        store.alerts_file.close()


def decide(settings: Settings, take: Take, command: str) -> Json:
    """Take a decision while no daemon runs, and bring it into the alert store.

    `command` tells others who holds the locks. Raises Locked where a daemon runs after all, StoreRefused,
    StoreAway and StoreFull for the alert store, JournalFailed, and what `take` raises.
    """
    logs.configure("WARNING", mask_accounts=settings.log.mask_accounts)
    if not settings.stores.journal.exists():
        raise missing_journal(settings.stores.journal)
    holder = f"tracker {command}, process {os.getpid()}"
    with ExitStack() as stack:
        stack.enter_context(FileLock(settings.stores.journal, holder))
        stack.enter_context(FileLock(settings.stores.alerts, holder))
        journal = Journal(settings.stores.journal)
        stack.callback(journal.close)
        worker = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="alerts"))
        return asyncio.run(_decide(settings, journal, worker, take))


async def _decide(settings: Settings, journal: Journal, worker: ThreadPoolExecutor, take: Take) -> Json:
    names = wiring.names_of(settings)
    store = wiring.alert_stores(settings, names)
    try:
        store.alerts_file.check()
        store.refresh()
        pump = wiring.make_pump(settings, journal, store, names, worker)
        # What was journalled before the last daemon ended may change what there is to decide.
        await pump.pump()
        entry, answer = take(journal.book, store.alerts(), names)
        if entry is not None:
            journal.append(journal.last_session, now(), [entry.arriving])
            await pump.pump()
        return answer(journal.book)
    finally:
        store.alerts_file.close()
