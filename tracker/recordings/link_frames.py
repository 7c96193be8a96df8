"""The frames that the tracker would have journalled of a recorded connection: messages and its own notes.

Owns reading a client's requests as the notes that the tracker makes about its own requests: the recorded
client may be any program. Only a request for all executions of a day counts as a sweep, and only one for the
orders of all clients shows which orders still work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from tracker.core.journal_entries import (
    Arriving,
    CompletedOrdersAsked,
    Entry,
    ExecutionsAsked,
    Fields,
    FirstSweepOver,
    LinkDown,
    LinkUp,
    OpenOrdersAsked,
    PositionsAsked,
    RequestTimedOut,
    SweepChecked,
)
from tracker.core.message_fields import ExecutionAt, ExecutionsEndAt, Message, field_at
from tracker.core.model import EndOf, Source
from tracker.gateway.dedup import Deduplicator
from tracker.journal.journal import Journal
from tracker.recordings.transcript import CLIENT, HANDSHAKE, Line, LinkClosed, Said

START_API: Final = "71"
MANAGED_ACCOUNTS: Final = "15"
_POSITIONS: Final = "61"
_EXECUTIONS: Final = "7"
_OPEN_ORDERS: Final = "16"
_COMPLETED_ORDERS: Final = "99"
_NO_REQUEST: Final = -1
_ENDS: Final = {
    Message.POSITIONS_END: EndOf.POSITIONS,
    Message.OPEN_ORDERS_END: EndOf.OPEN_ORDERS,
    Message.COMPLETED_ORDERS_END: EndOf.COMPLETED_ORDERS,
}


def client_ids(lines: Iterable[Line]) -> dict[int, int]:
    """Return link -> the client id of its login, for links that logged in."""
    return {
        line.link: int(line.fields[2])
        for line in lines
        if isinstance(line, Said) and line.by == CLIENT and line.fields[0] == START_API
        if len(line.fields) > 2 and line.fields[2].isdecimal()
    }


class LinkFrames:
    """Turn the lines of one connection into frames; `now` is the time of the line that is given."""

    def __init__(
        self, journal: Journal, zone: tzinfo, patience: timedelta, now: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._zone = zone
        self._patience = patience
        self._now = now
        self._dedup = Deduplicator(journal.contains, journal.newest_fee)
        self._accounts: tuple[str, ...] = ()
        self._version = ""
        self._up = False
        self._early: list[Arriving] = []
        """Messages that came before the accounts; they follow the note that the link is up."""
        self._pending: dict[tuple[EndOf, int], datetime] = {}
        """Request -> when it was sent."""
        self._sweeps: dict[int, tuple[str, set[str], datetime]] = {}
        """Request of a sweep -> its account, what its answer named, the midnight it reaches back to."""
        self._unswept: set[str] | None = None
        """Accounts whose first sweep is not over yet; None once all sweeps are."""

    def frames_of(self, line: Line) -> Iterator[Arriving]:
        """Yield what is to be journalled of one line, in order."""
        yield from self._late()
        if isinstance(line, LinkClosed):
            if self._up:
                yield LinkDown(f"the {line.by} closed the connection").arriving
        elif line.blocked:
            return
        elif line.by == CLIENT:
            yield from (entry.arriving for entry in self._asked(line.fields))
        else:
            yield from self._came(line.fields)

    def _asked(self, fields: Fields) -> Sequence[Entry]:
        kind = fields[0]
        if kind == _POSITIONS:
            return [self._wait_for(EndOf.POSITIONS, _NO_REQUEST, PositionsAsked())]
        if kind == _OPEN_ORDERS:
            self._dedup.forget_orders()
            return [self._wait_for(EndOf.OPEN_ORDERS, _NO_REQUEST, OpenOrdersAsked())]
        if kind == _COMPLETED_ORDERS:
            return [self._wait_for(EndOf.COMPLETED_ORDERS, _NO_REQUEST, CompletedOrdersAsked())]
        if kind == _EXECUTIONS and _is_sweep(fields):
            request, account = int(fields[2]), fields[4]
            local = self._now().astimezone(self._zone)
            midnight = local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
            self._sweeps[request] = (account, set(), midnight)
            return [self._wait_for(EndOf.EXECUTIONS, request, ExecutionsAsked(request, account))]
        return ()

    def _wait_for(self, of: EndOf, request: int, entry: Entry) -> Entry:
        self._pending[of, request] = self._now()
        return entry

    def _late(self) -> Iterator[Arriving]:
        """Yield notes about requests that were not answered in time."""
        for (of, request), asked in list(self._pending.items()):
            if self._now() - asked >= self._patience:
                del self._pending[of, request]
                yield RequestTimedOut(of.value, request).arriving
                if of is EndOf.EXECUTIONS:
                    yield from self._swept(request)

    def _came(self, fields: Fields) -> Iterator[Arriving]:
        kind = fields[0]
        if kind == HANDSHAKE:
            self._version = fields[1]
        elif kind == MANAGED_ACCOUNTS and not self._up:
            self._up = True
            self._accounts = tuple(name for name in fields[2].split(",") if name)
            self._unswept = set(self._accounts)
            yield LinkUp(self._accounts, self._version).arriving
            yield from self._early
        elif self._dedup.is_new(fields):
            frame = (Source.BROKER, fields)
            if self._up:
                yield frame
            else:
                self._early.append(frame)
        if kind == Message.EXECUTION:
            self._name(fields)
        elif kind == Message.EXECUTIONS_END:
            yield from self._answered(field_at(fields, ExecutionsEndAt.REQUEST) or "")
        elif kind in _ENDS:
            self._pending.pop((_ENDS[kind], _NO_REQUEST), None)

    def _name(self, fields: Fields) -> None:
        request = field_at(fields, ExecutionAt.REQUEST) or ""
        if request.isdecimal() and int(request) in self._sweeps:
            self._sweeps[int(request)][1].add(field_at(fields, ExecutionAt.EXEC_ID) or "")

    def _answered(self, text: str) -> Iterator[Arriving]:
        if not text.isdecimal() or (sent := self._pending.pop((EndOf.EXECUTIONS, int(text)), None)) is None:
            return
        request = int(text)
        account, named, midnight = self._sweeps[request]
        accounts = (account,) if account else self._accounts
        missing = sum(self._journal.count_missing(one, named, midnight, sent) for one in accounts)
        yield SweepChecked.of(request, missing).arriving
        yield from self._swept(request)

    def _swept(self, request: int) -> Iterator[Arriving]:
        """Yield the note that the first sweep of all accounts is over, once it is."""
        account, _, _ = self._sweeps.pop(request)
        if self._unswept is None:
            return
        self._unswept -= {account} if account else set(self._accounts)
        if not self._unswept:
            self._unswept = None
            yield FirstSweepOver().arriving


def _is_sweep(fields: Fields) -> bool:
    """Return whether a request for executions asks for all of a day, of one account or of all."""
    return len(fields) >= 5 and fields[2].isdecimal() and fields[3] in ("", "0") and not any(fields[5:10])
