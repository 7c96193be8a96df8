"""The socket's commands that ask about fills and alerts, or decide about a fill.

Owns the arguments of each, and where the work is done: questions are read in a thread of their own, from the
journal as it is committed, so that a long list never holds up a fill; decisions are journalled on the loop
and pumped like everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, TypeVar

from tracker.core.alert_updates import ClosingPolicy
from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import Entry
from tracker.core.model import StoreUnavailable
from tracker.core.ports import AlertStore
from tracker.core.state import GAPS, LedgerState
from tracker.journal.journal import Journal, JournalFailed
from tracker.queries import decisions
from tracker.queries.alerts import alerts
from tracker.queries.as_json import Json
from tracker.queries.dry_run import imagine, trial_json, try_out, write_copy
from tracker.queries.fills import Selection, fills
from tracker.queries.gaps import acceptance, gaps
from tracker.queries.inbox import inbox
from tracker.queries.lookup import is_alert_name, read_since
from tracker.queries.why import StoreNow, why_alert, why_execution
from tracker.status.protocol import (
    Answer,
    CommandError,
    Request,
    SocketCommand,
    always,
    quoted,
    with_argument,
)

MOST: Final = 1000
"""The most rows of one answer, and its default."""
_DECISION_SECONDS: Final = 5.0
_TICK: Final = 0.01
_ENVELOPE: Final = ("command", "token")
_TRIAL: Final = ("symbol", "side", "quantity", "strike", "right", "expiry", "con_id", "order_ref")

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class QueryContext:
    """Hold what the answers are about; plain values and read-only views."""

    store: AlertStore
    trouble: Callable[[], str]
    """Why the alert store cannot be read now, empty while it can."""
    names: AlerterNames
    alerts_path: Path
    store_zone: tzinfo
    login_zone: tzinfo
    early_fill: timedelta
    policy: ClosingPolicy
    now: Callable[[], datetime]

    def store_now(self) -> StoreNow:
        """Return the store's last good state."""
        return StoreNow(self.store.alerts(), self.store.shown, self.trouble())

    def trial(self, given: Mapping[str, object], *, commit: bool) -> Json:
        """Try a fill; with `commit` write the copy. Raises CommandError, StoreAway."""
        imagined = imagine(given)
        now = self.now()
        found = try_out(
            imagined,
            self.store.candidates,
            names=self.names,
            early_fill=self.early_fill,
            policy=self.policy,
            now=now,
        )
        copy = None
        if commit and found.updates:
            copy = write_copy(self.alerts_path, found.updates, zone=self.store_zone, now=self.now)
        return trial_json(found, copy)


class SocketCommands:
    """Answer them beside a running pump.

    `wake` tells the pump of new frames. Whoever runs this runs `failure` beside it.
    """

    def __init__(
        self,
        journal: Journal,
        ground: QueryContext,
        *,
        accounts: Collection[str],
        wake: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._ground = ground
        self._accounts = accounts
        self._wake = wake
        self._counted: tuple[tuple[int, datetime], tuple[int, int]] | None = None
        """The cursor and the midnight for which the day's fills were counted, and how many there were."""
        self._broken: JournalFailed | None = None
        self._broke = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="questions")

    def commands(self) -> dict[str, SocketCommand]:
        """Return the commands by name."""
        return {
            "fills": SocketCommand(self._fills, "list fills: since, alert, account, limit"),
            "inbox": SocketCommand(self._inbox, "list what needs a person: since, all, limit"),
            "why": SocketCommand(self._why, "account for an execution or an alert: of, account"),
            "alerts": SocketCommand(self._alerts, "list the alerts: alert, open, limit"),
            "test": SocketCommand(self._test, "say what a made-up fill would do", with_argument("commit")),
            "assign": SocketCommand(self._assign, "assign a fill: exec_id, alert, account", always),
            "gaps": SocketCommand(
                self._gaps, "list the days that are not proven: all; accept DAY", with_argument("accept")
            ),
            "dismiss": SocketCommand(self._dismiss, "dismiss a fill: exec_id, account", always),
        }

    async def failure(self) -> None:
        """Wait until a decision could not be journalled; raises JournalFailed, which is fatal."""
        await self._broke.wait()
        assert self._broken is not None, "the event is set after the reason"
        raise self._broken

    def close(self) -> None:
        """Drop the questions that wait; one that is being read ends by itself."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    # Reading

    async def _fills(self, request: Request) -> Answer:
        _check(request, "since", "alert", "account", "limit")
        selection = Selection(
            self._since(request, "" if request.get("alert") else "today"),
            _text(request, "alert"),
            _text(request, "account"),
        )
        limit = _limit(request)
        return await self._read(lambda journal: fills(journal, selection, self._ground.names, limit))

    async def _inbox(self, request: Request) -> Answer:
        _check(request, "since", "all", "limit")
        since = self._since(request, "today")
        assert since is not None, "today is a time"
        list_all, limit = _flag(request, "all"), _limit(request)
        return await self._read(
            lambda journal: inbox(journal, since, self._ground.names, list_all=list_all, limit=limit)
        )

    async def _why(self, request: Request) -> Answer:
        _check(request, "of", "account")
        of, account = _needed(request, "of", "an execId or ALERTER/TICKER"), _text(request, "account")
        if not is_alert_name(of):
            return await self._read(lambda journal: why_execution(journal, of, account))
        ground = self._ground
        return await self._read(
            lambda journal: why_alert(journal, of, ground.names, ground.store_now(), ground.now())
        )

    async def _alerts(self, request: Request) -> Answer:
        _check(request, "alert", "open", "limit")
        name, only_open, limit = _text(request, "alert"), _flag(request, "open"), _limit(request)
        ground = self._ground
        return await self._in_worker(
            lambda: alerts(ground.store_now(), ground.names, name=name, only_open=only_open, limit=limit)
        )

    async def _test(self, request: Request) -> Answer:
        _check(request, *_TRIAL, "commit")
        given = {name: request.get(name) for name in _TRIAL}
        commit = _flag(request, "commit")
        try:
            return await self._in_worker(lambda: self._ground.trial(given, commit=commit))
        except StoreUnavailable as error:
            raise CommandError("store_away", str(error)) from None

    def _since(self, request: Request, default: str) -> datetime | None:
        text = _text(request, "since") or default
        return read_since(text, self._ground.now(), self._ground.login_zone) if text else None

    async def fills_today(self) -> tuple[int, int]:
        """Count the fills of the accounts' day, and those whose fee is pending.

        Counted aside, since late on a busy day that takes longer than a fill may wait, and not again before
        something was applied.
        """
        asked = (self._journal.cursor, read_since("today", self._ground.now(), self._ground.login_zone))
        if self._counted is None or self._counted[0] != asked:
            found = await self._read(lambda journal: journal.fills_since(asked[1]))
            self._counted = asked, found
        return self._counted[1]

    async def _read(self, question: Callable[[Journal], Reply]) -> Reply:
        """Ask a journal opened for this question, in the thread that it must stay in."""
        return await self._in_worker(lambda: ask_journal(self._journal.path, question))

    async def _in_worker(self, question: Callable[[], Reply]) -> Reply:
        return await asyncio.get_running_loop().run_in_executor(self._worker, question)

    # Deciding

    async def _assign(self, request: Request) -> Answer:
        _check(request, "exec_id", "alert", "account")
        decision = decisions.assignment(
            self._journal.book,
            self._ground.store.alerts(),
            self._ground.names,
            exec_id=_needed(request, "exec_id", "an execId"),
            alert=_needed(request, "alert", "ALERTER/TICKER"),
            account=_text(request, "account"),
            watched=self._accounts,
        )
        return await self._decide(decision)

    async def _dismiss(self, request: Request) -> Answer:
        _check(request, "exec_id", "account")
        exec_id = _needed(request, "exec_id", "an execId")
        decision = decisions.dismissal(self._journal.book, exec_id, _text(request, "account"))
        return await self._decide(decision)

    async def _gaps(self, request: Request) -> Answer:
        _check(request, "all", "accept")
        book, day = self._journal.book, _text(request, "accept")
        if day:
            await self._append(acceptance(book, day), lambda: not _is_open(book, day))
        return gaps(book, everything=_flag(request, "all"))

    async def _decide(self, decision: decisions.Decision) -> Answer:
        """Journal a decision, and answer when the store shows it, or can be said not to yet."""
        book = self._journal.book
        if decision.entry is not None:
            await self._append(
                decision.entry, lambda: decision.taken(book) and decisions.delivered(book, decision)
            )
        return decisions.what_came_of_it(book, decision)

    async def _append(self, entry: Entry, taken: Callable[[], bool]) -> None:
        """Journal what a person decided, and wait a while until the book shows it."""
        try:
            self._journal.append(self._journal.last_session, self._ground.now(), [entry.arriving])
        except JournalFailed as error:
            self._broken = error
            self._broke.set()
            raise CommandError("journal_failed", str(error)) from None
        self._wake()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _DECISION_SECONDS
        while not taken():
            if loop.time() > deadline:
                break
            await asyncio.sleep(_TICK)


def _is_open(book: LedgerState, day: str) -> bool:
    gap = book.get(GAPS, day)
    return gap is not None and not gap.closed_how


def ask_journal(path: Path, question: Callable[[Journal], Reply]) -> Reply:
    """Answer a question from the journal as it is committed, beside whoever writes it.

    Raises JournalFailed, and what the question raises.
    """
    if not path.exists():
        raise missing_journal(path)
    journal = Journal(path, read_only=True)
    try:
        return question(journal)
    finally:
        journal.close()


def missing_journal(path: Path) -> JournalFailed:
    """Return the refusal where there is nothing to read; opening it would make an empty one."""
    return JournalFailed(
        f"the journal {path} does not exist; `tracker run` makes it, or correct stores.journal"
    )


# Arguments


def _check(request: Request, *known: str) -> None:
    """Refuse an argument that does not exist: a misspelt filter would answer with everything."""
    for name in request:
        if name not in known and name not in _ENVELOPE:
            raise CommandError(
                "bad_request",
                f"{request['command']} has no argument {quoted(name)}; it has {', '.join(known)}",
            )


def _text(request: Request, name: str) -> str:
    value: Any = request.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CommandError("bad_request", f"{name} must be a text")
    return value.strip()


def _needed(request: Request, name: str, what: str) -> str:
    text = _text(request, name)
    if not text:
        raise CommandError("bad_request", f"{name} is missing: {what}")
    return text


def _flag(request: Request, name: str) -> bool:
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise CommandError("bad_request", f"{name} must be true or false")
    return value


def _limit(request: Request) -> int:
    value = request.get("limit", MOST)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST:
        raise CommandError("bad_request", f"limit must be a whole number from 1 to {MOST}")
    return value
