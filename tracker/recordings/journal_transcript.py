"""The newest messages of the journal as a transcript like those of `tracker record`.

Turns the tracker's own notes back into the requests that they describe. It reads the journal and changes
nothing. Notes of what people and other programs did are not messages and are left out. Duplicates in a
sweep's answer are missing too, since they are not journalled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from tracker.core.journal_entries import (
    CompletedOrdersAsked,
    Entry,
    ExecutionsAsked,
    Fields,
    LinkDown,
    LinkUp,
    OpenOrdersAsked,
    PositionsAsked,
    read_entry,
)
from tracker.core.model import Frame, Source
from tracker.core.state import LINKS
from tracker.journal.journal import Journal
from tracker.recordings.link_frames import MANAGED_ACCOUNTS, START_API
from tracker.recordings.transcript import CLIENT, GATEWAY, HANDSHAKE, Line, LinkClosed, Said

MOST_FRAMES: Final = 5_000
"""The most frames that are read, counted from the newest one."""
_VERSION: Final = "176"
"""The newest server version that the tracker's client speaks, for a link whose beginning is too old."""


def newest_lines(journal: Journal, span: timedelta, client_id: int) -> tuple[datetime, list[Line]]:
    """Return when the first message came, and the lines of the last `span` before the newest message.

    A link that began earlier gets a made-up login, with the accounts of the newest login.
    """
    last = journal.cursor
    frames = [
        frame
        for frame in journal.frames_after(max(0, last - MOST_FRAMES), MOST_FRAMES)
        if frame.source in (Source.BROKER, Source.SENT, Source.LINK)
    ]
    if not frames:
        return datetime.fromtimestamp(0).astimezone(), []
    frames = [frame for frame in frames if frame.received_at >= frames[-1].received_at - span]
    began = frames[0].received_at
    link = journal.state.get(LINKS, "last")
    accounts = link.accounts if link is not None else ()
    return began, list(_lines(frames, began, accounts, client_id))


def _lines(
    frames: Sequence[Frame], began: datetime, accounts: tuple[str, ...], client_id: int
) -> Iterator[Line]:
    known: set[int] = set()
    for frame in frames:
        at, link = max(0.0, (frame.received_at - began).total_seconds()), frame.connection_no
        entry = read_entry(frame) if frame.source is not Source.BROKER else None
        if link not in known:
            known.add(link)
            if not isinstance(entry, LinkUp):
                yield from _login(at, link, LinkUp(accounts, _VERSION), client_id)
        if frame.source is Source.BROKER:
            yield Said(at, link, GATEWAY, frame.fields)
        elif isinstance(entry, LinkUp):
            yield from _login(at, link, entry, client_id)
        elif isinstance(entry, LinkDown):
            yield LinkClosed(at, link, GATEWAY)
        elif (request := _request(entry)) is not None:
            yield Said(at, link, CLIENT, request)


def _login(at: float, link: int, up: LinkUp, client_id: int) -> Iterator[Line]:
    version = up.server_version or _VERSION
    yield Said(at, link, CLIENT, (HANDSHAKE, f"v157..{version}"))
    yield Said(at, link, GATEWAY, (HANDSHAKE, version, ""))
    yield Said(at, link, CLIENT, (START_API, "2", str(client_id), ""))
    yield Said(at, link, GATEWAY, (MANAGED_ACCOUNTS, "1", ",".join(up.accounts)))


def _request(entry: Entry | None) -> Fields | None:
    """Return the request that a note stands for."""
    match entry:
        case PositionsAsked():
            return ("61", "1")
        case ExecutionsAsked(request, account):
            return ("7", "3", str(request), "0", account, "", "", "", "", "")
        case OpenOrdersAsked():
            return ("16", "1")
        case CompletedOrdersAsked():
            return ("99", "0")
    return None
