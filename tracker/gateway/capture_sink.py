"""The road into the journal, for one connection's frames and for our own notes about the link.

Owns the sink's protocol and the rule that a failed append ends the daemon: the failure is put into a future
that the session awaits, because ib_insync's events swallow exceptions. It never retries, buffers or decodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from tracker.core.journal_entries import Entry, Fields
from tracker.core.model import CommissionReport, Source


class Sink(Protocol):
    """Take frames into the journal."""

    def append(self, session: int, received_at: datetime, frames: Sequence[tuple[Source, Fields]]) -> None:
        """Make the frames durable, all in one commit, before returning; raise if that failed."""
        ...

    def expect(self, messages: Sequence[Fields]) -> None:
        """Learn what came in one packet, ahead of what is asked about each message."""
        ...

    def knows(self, account: str, exec_id: str) -> bool:
        """Say whether this execution is journalled in a form that could be read.

        False for one that was journalled but could not be decoded, so that a sweep can bring a better one.
        """
        ...

    def knows_fee(self, fee: CommissionReport) -> bool:
        """Say whether the newest report of that execution says the same."""
        ...

    def unlisted(self, account: str, listed: Collection[str], since: datetime, asked: datetime) -> int:
        """Count the account's executions since then that an answer should have listed and did not.

        Those that were received after it was asked for are none of its. Any version of an execution stands
        for all: an answer may list only the one in force.
        """
        ...


class NullSink:
    """Keep nothing of a connection, for a visit that must leave no trace; fulfils `Sink`."""

    def append(self, session: int, received_at: datetime, frames: Sequence[tuple[Source, Fields]]) -> None:
        """Let the frames go."""

    def expect(self, messages: Sequence[Fields]) -> None:
        """Let them come."""

    def knows(self, account: str, exec_id: str) -> bool:
        return False

    def knows_fee(self, fee: CommissionReport) -> bool:
        return False

    def unlisted(self, account: str, listed: Collection[str], since: datetime, asked: datetime) -> int:
        return 0


class CaptureFailed(Exception):
    """What is received can no longer be made durable, or a promise was about to be broken."""


Fatal: TypeAlias = asyncio.Future[CaptureFailed]
"""Done when capture has failed for good; nothing is journalled after that."""


class CaptureSink:
    """Commit what one connection received and what we say about it, under its session number."""

    def __init__(
        self,
        sink: Sink,
        session: int,
        now: Callable[[], datetime],
        on_commit: Callable[[], None],
        fatal: Fatal,
    ) -> None:
        self.sink = sink
        self.session = session
        self.now = now
        self.fatal = fatal
        self._on_commit = on_commit

    def commit(self, received_at: datetime, frames: Sequence[tuple[Source, Fields]]) -> None:
        """Append frames in one commit; raise FatalCapture, now and ever after, if that fails."""
        if self.fatal.done():
            raise self.fatal.result()
        if not frames:
            return
        try:
            self.sink.append(self.session, received_at, frames)
        except Exception as error:
            # Nothing may be decided, or sent, of which the journal does not know.
            raise self.fail(f"the journal did not take {_count(frames)}: {error}") from error
        try:
            self._on_commit()
        except Exception as error:
            verb = "is" if len(frames) == 1 else "are"
            raise self.fail(
                f"{_count(frames)} {verb} in the journal, and what hears of them failed,"
                f" {type(error).__name__}: {error}"
            ) from error

    def note(self, entry: Entry) -> None:
        """Journal a note of our own: what is about to be sent, or what became of the link."""
        self.commit(self.now(), (entry.arriving,))

    def fail(self, reason: str) -> CaptureFailed:
        """End capture for good; return the error that says why, the first one if there were several."""
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
