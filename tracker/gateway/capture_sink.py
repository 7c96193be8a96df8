"""Append to the journal what one connection brings, and our own entries about the link.

Owns the protocol by which the journal is reached (`Sink`), and the rule that a failed append ends the daemon:
the failure is put into a future that `ReconnectingLink` awaits, because ib_insync's events swallow
exceptions. It never retries, buffers or decodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from tracker.core.journal_entries import Entry, Fields
from tracker.core.model import CommissionReport, ExecutionKey, Source


class Sink(Protocol):
    """Append to and ask the journal."""

    def append(
        self, connection_no: int, received_at: datetime, frames: Sequence[tuple[Source, Fields]]
    ) -> object:
        """Make the frames durable, all in one commit, before returning; raise if that failed."""
        ...

    def prefetch(self, messages: Sequence[Fields]) -> None:
        """Look up all messages of one packet together, before the questions about each."""
        ...

    def contains(self, key: ExecutionKey) -> bool:
        """Return whether this execution is journalled in a form that could be read.

        False for one that was journalled but could not be decoded, so that a sweep can bring a better one.
        """
        ...

    def newest_fee(self, exec_id: str) -> CommissionReport | None:
        """Return the newest report of an execution, None where there is none."""
        ...

    def count_missing(self, account: str, listed: Collection[str], since: datetime, asked: datetime) -> int:
        """Count the account's executions since then that an answer should have listed and did not.

        Executions received after the request need not be in the answer. Any version of an execution counts:
        an answer may list only the one in force.
        """
        ...


class NullSink:
    """Drop everything, for a connection that must leave no trace; implements `Sink`."""

    def append(
        self, connection_no: int, received_at: datetime, frames: Sequence[tuple[Source, Fields]]
    ) -> None:
        """Drop the frames."""

    def prefetch(self, messages: Sequence[Fields]) -> None:
        """Do nothing."""

    def contains(self, key: ExecutionKey) -> bool:
        return False

    def newest_fee(self, exec_id: str) -> CommissionReport | None:
        return None

    def count_missing(self, account: str, listed: Collection[str], since: datetime, asked: datetime) -> int:
        return 0


class CaptureFailed(Exception):
    """Say that received messages can no longer be made durable, or that a forbidden message was about to be
    sent.
    """


Fatal: TypeAlias = asyncio.Future[CaptureFailed]
"""Done when capture has failed for good; nothing is journalled after that."""


class CaptureSink:
    """Append what one connection received, and our own entries about it, under its number."""

    def __init__(
        self,
        journal: Sink,
        connection_no: int,
        now: Callable[[], datetime],
        on_commit: Callable[[], None],
        fatal: Fatal,
    ) -> None:
        self.journal = journal
        self.connection_no = connection_no
        self.now = now
        self.fatal = fatal
        self._on_commit = on_commit

    def append(self, received_at: datetime, frames: Sequence[tuple[Source, Fields]]) -> None:
        """Append frames in one commit; raises CaptureFailed, now and ever after, if that fails."""
        if self.fatal.done():
            raise self.fatal.result()
        if not frames:
            return
        try:
            self.journal.append(self.connection_no, received_at, frames)
        except Exception as error:
            # Nothing may be decided or sent that the journal does not know.
            raise self.fail(f"the journal did not take {_count(frames)}: {error}") from error
        try:
            self._on_commit()
        except Exception as error:
            verb = "is" if len(frames) == 1 else "are"
            raise self.fail(
                f"{_count(frames)} {verb} in the journal, and what was to be done next failed,"
                f" {type(error).__name__}: {error}"
            ) from error

    def append_entry(self, entry: Entry) -> None:
        """Append an entry of our own: what is about to be sent, or what happened to the link."""
        self.append(self.now(), (entry.arriving,))

    def fail(self, reason: str) -> CaptureFailed:
        """End capture for good; return the error that says why, the first if there were several."""
        if not self.fatal.done():
            self.fatal.set_result(
                CaptureFailed(
                    f"capture stopped: {reason}. Nothing received after this is acted on; the next start "
                    "fetches it again from the gateway"
                )
            )
        return self.fatal.result()


def _count(frames: Sequence[tuple[Source, Fields]]) -> str:
    return "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
