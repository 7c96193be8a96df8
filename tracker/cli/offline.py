"""Answer and decide without the daemon: read journal and store, or take a decision while no tracker runs.

Owns which files a command opens for reading while a daemon may be running. A decision takes both locks. It
never connects to the gateway.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from tracker import wiring
from tracker.clock import now
from tracker.config.settings import Settings
from tracker.core.journal_entries import Entry
from tracker.core.model import StoreUnavailable
from tracker.core.state import LedgerState
from tracker.journal.journal import Journal
from tracker.logs import log
from tracker.queries.as_json import Json
from tracker.queries.fills import Selection, csv_lines, selected
from tracker.queries.socket_commands import QueryContext, ask_journal, missing_journal
from tracker.status.protocol import CommandError
from tracker.wiring import OpenedFiles

Reply = TypeVar("Reply")
EntriesAndAnswer = tuple[Sequence[Entry], Callable[[LedgerState], Json]]
Decide = Callable[[Journal, QueryContext], EntriesAndAnswer]
"""Return the entries to journal (none if there is nothing to do), and a function that makes the answer once
they are applied.
"""


def read(
    settings: Settings, question: Callable[[Journal, QueryContext], Reply], *, must_read: bool = False
) -> Reply:
    """Answer a question from journal and store; raises JournalFailed, and what the question raises.

    A store that cannot be read is part of the answer where the question asks for it; with `must_read` it
    raises StoreUnavailable.
    """
    with _query_context(settings, must_read=must_read) as context:
        return ask_journal(settings.stores.journal, lambda journal: question(journal, context))


def export(settings: Settings, wanted: Selection, path: Path | None, say: Callable[[str], None]) -> int:
    """Write fills as CSV into a file, whole or not at all, or line by line to `say`; returns their number.

    Raises CommandError where the file cannot be written, JournalFailed.
    """
    stores = settings.stores
    own_files = (stores.alerts, stores.contracts, stores.stocks, stores.journal)
    if path is not None and os.path.realpath(path) in map(os.path.realpath, own_files):
        raise CommandError("bad_request", f"{path} is one of the tracker's own files; name another")

    def lines(journal: Journal, context: QueryContext) -> Iterator[str]:
        return csv_lines(journal.state, selected(journal, wanted, context.names))

    def write(journal: Journal, context: QueryContext) -> int:
        if path is None:
            return _count(say, lines(journal, context))
        if path.exists() and not path.is_file():
            # Exporting replaces the file, which would turn a device or a pipe into a regular file.
            raise CommandError(
                "not_written",
                f"{path} cannot be written: it is not a regular file; name one, or `-` for standard output",
            )
        beside = path.with_name(f".{path.name}.tracker-export")
        try:
            # O_EXCL: if somebody has put a file or a link there, nothing is written into it.
            beside.unlink(missing_ok=True)
            with beside.open("x", encoding="utf-8") as file:
                count = _count(lambda line: _write(file, line), lines(journal, context))
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
    """Write each line; returns the number of lines without the heading."""
    count = -1
    for line in lines:
        write(line)
        count += 1
    return count


def _write(file: IO[str], line: str) -> None:
    file.write(f"{line}\n")


def dry_run(settings: Settings, given: dict[str, object], *, commit: bool) -> Json:
    """Say what a made-up fill would do; raises CommandError, StoreUnavailable."""
    with _query_context(settings, must_read=True) as context:
        return context.dry_run(given, commit=commit)


@contextmanager
def _query_context(settings: Settings, *, must_read: bool) -> Iterator[QueryContext]:
    log.configure("WARNING", mask_accounts=settings.log.mask_accounts)
    names = wiring.names_of(settings)
    store = wiring.alert_stores(settings, names, partial(_journal_id, settings.stores.journal))
    try:
        # `context` says why a store could not be read.
        with suppress(*(() if must_read else (StoreUnavailable,))):
            store.refresh()
        yield wiring.query_context(settings, store, names)
    finally:
        store.close()


def _journal_id(path: Path) -> str | None:
    """Return the uuid by which a shared store knows the journal, None where it has none."""
    if not path.exists():
        return None
    return ask_journal(path, partial(wiring.journal_id, make=False))


def decide(settings: Settings, decision: Decide, command: str) -> Json:
    """Take a decision while no daemon runs, and write its result into the alert store.

    `command` tells others who holds the locks. Raises Locked where a daemon runs after all, StoreRefused,
    StoreUnavailable and StoreFull for the alert store, JournalFailed, and what `decision` raises.
    """
    log.configure("WARNING", mask_accounts=settings.log.mask_accounts)
    if not settings.stores.journal.exists():
        raise missing_journal(settings.stores.journal)
    with wiring.opened(settings, f"tracker {command}, process {os.getpid()}") as files:
        return asyncio.run(_decide(files, decision))


async def _decide(files: OpenedFiles, decision: Decide) -> Json:
    files.store.refresh()
    pump = wiring.make_pump(files)
    # Frames that the last daemon journalled and did not decide may change what there is to decide.
    await pump.pump()
    journal = files.journal
    entries, answer = decision(journal, wiring.query_context(files.settings, files.store, files.names))
    if not entries:
        return {**answer(journal.state), "id": None}
    arriving = [entry.arriving for entry in entries]
    name = str(journal.append(journal.last_connection_no, now(), arriving))
    await pump.pump()
    return {**answer(journal.state), "id": name}
