"""The socket's commands that ask about fills and alerts, or decide about a fill.

Owns where the work of each is done: a question is answered in a thread of its own, from the committed
journal, so that a long list never delays a fill; a decision is journalled on the loop and pumped like any
other frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final, TypeVar

from msgspec.structs import asdict

from tracker.core.alert_updates import ClosingPolicy
from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import Entry
from tracker.core.model import AlertId, StoreUnavailable
from tracker.core.ports import AlertStore
from tracker.core.state import GAPS, OUTBOX, LedgerState
from tracker.journal.event_log import KeptEvents
from tracker.journal.journal import Journal, JournalFailed
from tracker.queries import adjustments, decisions
from tracker.queries.alerts import alerts
from tracker.queries.as_json import Json
from tracker.queries.day_report import report
from tracker.queries.dry_run import dry_run, dry_run_json, read_made_up_fill, write_copy
from tracker.queries.fills import Selection, fills
from tracker.queries.gaps import acceptance, gaps
from tracker.queries.inbox import inbox
from tracker.queries.lookup import alert_named, needing_decision, read_since
from tracker.queries.question_thread import QuestionThread
from tracker.queries.rehearsal import Overlay, rehearse
from tracker.queries.socket_arguments import (
    AdjustArguments,
    AlertsArguments,
    AssignArguments,
    DismissArguments,
    FillsArguments,
    GapsArguments,
    InboxArguments,
    TestArguments,
    UndoArguments,
    WhyArguments,
)
from tracker.queries.undoing import Undoing, undoing, undone_result
from tracker.queries.why import StoreNow, why
from tracker.status.arguments import read_arguments
from tracker.status.protocol import (
    Answer,
    CommandError,
    Request,
    SocketCommand,
    always,
    with_argument,
    with_token,
)

_DECISION_SECONDS: Final = 5.0
_TICK: Final = 0.01
Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class QueryContext:
    """Hold what answers are made from: plain values and read-only views."""

    store: AlertStore
    trouble: Callable[[], str]
    """Returns why the alert store cannot be read now, empty while it can."""
    names: AlerterNames
    alerts_path: Path
    """The path beside which a copy of the alerts is written."""
    store_zone: tzinfo
    login_zone: tzinfo
    early_fill: timedelta
    policy: ClosingPolicy
    now: Callable[[], datetime]
    copied_text: Callable[[], str] | None = None
    """Returns the text to copy where the alerts are not in a file."""
    all_seats: Callable[[], Mapping[AlertId, Json] | None] = lambda: None
    """Returns what all trackers of a shared store show together, by asking its server; None for the store of
    one tracker.
    """

    def store_now(self) -> StoreNow:
        """Return the store's last good state; for a shared store also ask its server what all trackers
        show.
        """
        return StoreNow(self.store.alerts(), self.store.shown, self.trouble(), self.all_seats())

    def rehearse(self, state: LedgerState, entries: Iterable[Entry]) -> Overlay:
        """Return the rows as these entries would leave them; nothing is written."""
        return rehearse(
            state,
            entries,
            self.store,
            self.names,
            early_fill=self.early_fill,
            policy=self.policy,
            zone=self.login_zone,
            now=self.now(),
        )

    def dry_run(self, given: Mapping[str, object], *, commit: bool) -> Json:
        """Try a fill; with `commit` write the copy. Raises CommandError, StoreUnavailable."""
        now = self.now()
        named = str(given.get("alert") or "")
        alert = alert_named(named, self.store.alerts(), self.names) if named else None
        made_up = read_made_up_fill(given, alert, now.astimezone(self.login_zone).date())
        found = dry_run(
            made_up,
            self.store.candidates,
            names=self.names,
            early_fill=self.early_fill,
            policy=self.policy,
            now=now,
        )
        copy = None
        if commit and found.updates:
            copy = write_copy(
                self.alerts_path,
                found.updates,
                zone=self.store_zone,
                now=self.now,
                text=None if self.copied_text is None else self.copied_text(),
            )
        return dry_run_json(found, copy)


class SocketCommands:
    """Answer them beside a running pump.

    `wake` tells the pump of new frames. The caller must also await `failure`.
    """

    def __init__(
        self,
        journal: Journal,
        context: QueryContext,
        *,
        accounts: Collection[str],
        wake: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._context = context
        self._accounts = accounts
        self._wake = wake
        self._counted: tuple[tuple[int, datetime], tuple[int, int]] | None = None
        """The cursor and the midnight for which the day's fills were counted, and how many there were."""
        self._journal_failure: JournalFailed | None = None
        self._failed = asyncio.Event()
        self._thread = QuestionThread("questions")
        self._counting = QuestionThread("status")
        """`status` must never wait for other requests."""

    def commands(self) -> dict[str, SocketCommand]:
        """Return the commands by name."""
        return {
            "fills": SocketCommand(self._fills, "list fills: since, alert, account, limit"),
            "inbox": SocketCommand(self._inbox, "list what needs a person: since, all, limit"),
            "why": SocketCommand(self._why, "explain an execution or an alert: of, account"),
            "alerts": SocketCommand(self._alerts, "list the alerts: alert, open, limit"),
            "test": SocketCommand(self._test, "show what a made-up fill would do", with_argument("commit")),
            "assign": SocketCommand(
                self._assign,
                "assign a fill and its order: exec_id or order, alert, account, quantity, dry_run",
                always,
            ),
            "gaps": SocketCommand(
                self._gaps,
                "list the days on which fills may be missing: all; accept DAY, dry_run",
                with_argument("accept"),
            ),
            "dismiss": SocketCommand(
                self._dismiss, "dismiss a fill and its order: exec_id or order, account, dry_run", always
            ),
            "adjust": SocketCommand(
                self._adjust,
                "say why a position changed without a fill: contract, account, split, becomes, ratio, moved,"
                " note, dry_run",
                always,
            ),
            "undo": SocketCommand(
                self._undo, "take a decision or an adjustment back: id, account, dry_run", always
            ),
        }

    async def failure(self) -> None:
        """Wait until a decision could not be journalled; raises JournalFailed, which is fatal."""
        await self._failed.wait()
        assert self._journal_failure is not None, "the event is set after the reason"
        raise self._journal_failure

    def close(self) -> None:
        """Drop the waiting questions; the one that is being answered ends by itself."""
        self._thread.close()
        self._counting.close()

    # Reading

    async def _fills(self, request: Request) -> Answer:
        asked = read_arguments(FillsArguments, request)
        since = asked.since or ("" if asked.alert else "today")
        selection = Selection(self._time(since) if since else None, asked.alert, asked.account)
        return await self._read(lambda journal: fills(journal, selection, self._context.names, asked.limit))

    async def _inbox(self, request: Request) -> Answer:
        asked = read_arguments(InboxArguments, request)
        since, context = self._time(asked.since), self._context
        return await self._read(
            lambda journal: inbox(
                journal,
                since,
                context.names,
                store_zone=context.store_zone,
                list_all=asked.all,
                limit=asked.limit,
            )
        )

    async def _why(self, request: Request) -> Answer:
        asked = read_arguments(WhyArguments, request)
        context = self._context
        return await self._read(
            lambda journal: why(
                journal, asked.of, asked.account, context.names, context.store_now(), context.now()
            )
        )

    async def _alerts(self, request: Request) -> Answer:
        asked = read_arguments(AlertsArguments, request)
        context = self._context
        return await self._read(
            lambda journal: alerts(
                journal.state,
                context.store_now(),
                context.names,
                name=asked.alert,
                only_open=asked.open,
                limit=asked.limit,
            )
        )

    async def _test(self, request: Request) -> Answer:
        asked = read_arguments(TestArguments, request)
        given = {name: value for name, value in asdict(asked).items() if name != "commit"}
        try:
            return await self._answered(lambda: self._context.dry_run(given, commit=asked.commit))
        except StoreUnavailable as error:
            raise CommandError("store_away", str(error)) from None

    def _time(self, since: str) -> datetime:
        return read_since(since, self._context.now(), self._context.login_zone)

    async def fills_today(self) -> tuple[int, int]:
        """Count the fills of the accounts' day, and those whose fee is pending.

        They are counted in the thread of questions, since late on a busy day that takes longer than a fill
        may wait, and counted again only after something was applied.
        """
        asked = (self._journal.cursor, read_since("today", self._context.now(), self._context.login_zone))
        if self._counted is None or self._counted[0] != asked:
            found = await self._counting.run(
                lambda: ask_for_client(self._journal.path, lambda journal: journal.fills_since(asked[1])),
                urgent=True,
            )
            self._counted = asked, found
        return self._counted[1]

    async def events(self, after: int, limit: int) -> KeptEvents:
        """Return the kept events after a number."""
        return await self._read(lambda journal: journal.events.after(after, limit))

    async def report(self, since: datetime, until: datetime) -> Json:
        """Return the report of a span of time, and how many fills need a person now."""
        return await self._read(
            lambda journal: {
                **report(journal, self._context.names, since, until),
                "needs_you": len(needing_decision(journal.state)),
            }
        )

    async def _read(self, question: Callable[[Journal], Reply]) -> Reply:
        """Ask a journal opened for this question, in the thread that it must stay in."""
        return await self._answered(lambda: ask_for_client(self._journal.path, question))

    async def _answered(self, question: Callable[[], Reply]) -> Reply:
        """Answer in the thread of questions, those of clients with the token first."""
        return await self._thread.run(question, urgent=with_token.get())

    # Deciding

    async def _assign(self, request: Request) -> Answer:
        asked = read_arguments(AssignArguments, request)
        _check_named(asked.exec_id, asked.order)

        def decide(state: LedgerState) -> decisions.Decision:
            return decisions.assignment(
                state,
                self._context.store.alerts(),
                self._context.names,
                exec_id=asked.exec_id,
                alert=asked.alert,
                account=asked.account,
                order=asked.order,
                quantity="" if asked.quantity is None else str(asked.quantity),
                watched=self._accounts,
            )

        return await self._decide(decide, dry_run=asked.dry_run)

    async def _dismiss(self, request: Request) -> Answer:
        asked = read_arguments(DismissArguments, request)
        _check_named(asked.exec_id, asked.order)

        def decide(state: LedgerState) -> decisions.Decision:
            return decisions.dismissal(state, asked.exec_id, asked.account, asked.order)

        return await self._decide(decide, dry_run=asked.dry_run)

    async def _adjust(self, request: Request) -> Answer:
        asked = read_arguments(AdjustArguments, request)
        reason = adjustments.Reason(
            asked.account, asked.split, asked.becomes, asked.ratio, asked.moved, asked.note
        )
        if asked.dry_run:
            return await self._read(
                lambda journal: rehearsed_adjustment(self._context, journal.state, asked.contract, reason)
            )
        state = self._journal.state
        one = adjustments.telling(state, asked.contract, reason)
        # Which records change is known only after the fold, so wait until the whole outbox is written.
        seq = await self._append([one.entry], lambda: not state.find(OUTBOX, "pending", "1"))
        return {**adjustments.told_result(state, one), "id": str(seq)}

    async def _undo(self, request: Request) -> Answer:
        asked = read_arguments(UndoArguments, request)
        one, planned = await self._read(
            lambda journal: rehearsed_undo(self._context, journal, asked.id, asked.account)
        )
        if asked.dry_run:
            return planned
        state = self._journal.state
        if one.entries:
            await self._append(one.entries, lambda: decisions.written_to(state, one.alerts))
        return undone_result(state, one)

    async def _gaps(self, request: Request) -> Answer:
        asked = read_arguments(GapsArguments, request)
        state, day, seq = self._journal.state, asked.accept, None
        if day and asked.dry_run:
            entry = acceptance(state, day)
            return await self._read(
                lambda journal: gaps(
                    self._context.rehearse(journal.state, [entry]), everything=asked.all, dry_run=True
                )
            )
        if day:
            seq = await self._append([acceptance(state, day)], lambda: not _is_open(state, day))
        return gaps(state, everything=asked.all, seq=seq)

    async def _decide(self, decide: Callable[[LedgerState], decisions.Decision], *, dry_run: bool) -> Answer:
        """Journal a decision, and answer when the store shows it, or when the time to wait for that is
        over.
        """
        if dry_run:
            return await self._read(
                lambda journal: rehearsed_decision(self._context, journal.state, decide(journal.state))
            )
        state = self._journal.state
        decision = decide(state)
        name: str | None = None
        if decision.entries:
            seq = await self._append(
                decision.entries,
                lambda: decision.taken(state) and decisions.written_to(state, decision.alerts),
            )
            name = str(seq)
        return {**decisions.decision_result(state, decision), "id": name}

    async def _append(self, entries: Sequence[Entry], taken: Callable[[], bool]) -> int:
        """Journal what a person decided, and wait until the state shows it; returns its last frame."""
        try:
            seq = self._journal.append(
                self._journal.last_connection_no, self._context.now(), [each.arriving for each in entries]
            )
        except JournalFailed as error:
            self._journal_failure = error
            self._failed.set()
            raise CommandError("journal_failed", str(error)) from None
        self._wake()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _DECISION_SECONDS
        while self._journal.cursor < seq or not taken():
            if loop.time() > deadline:
                break
            await asyncio.sleep(_TICK)
        return seq


def rehearsed_decision(context: QueryContext, state: LedgerState, decision: decisions.Decision) -> Json:
    """Return what a decision would do."""
    after = context.rehearse(state, decision.entries)
    return {**decisions.decision_result(after, decision, dry_run=True), "id": None}


def rehearsed_undo(context: QueryContext, journal: Journal, name: str, account: str) -> tuple[Undoing, Json]:
    """Decide to take a decision back, and say what that would do; raises CommandError."""
    one = undoing(journal, name, account)
    after = context.rehearse(journal.state, one.entries)
    one = replace(one, alerts=tuple(row.update.alert for row in after.changed(OUTBOX)))
    return one, undone_result(after, one, dry_run=True)


def rehearsed_adjustment(
    context: QueryContext, state: LedgerState, contract: str, reason: adjustments.Reason
) -> Json:
    """Return what an adjustment would change; raises CommandError where it makes no sense."""
    one = adjustments.telling(state, contract, reason)
    after = context.rehearse(state, [one.entry])
    return {**adjustments.told_result(after, one, dry_run=True), "id": None}


def _check_named(exec_id: str, order: str) -> None:
    """Raise CommandError unless exactly one of both names what is meant."""
    if exec_id and order:
        raise CommandError("bad_request", "exec_id and order name one thing each; leave one out")
    if not exec_id and not order:
        raise CommandError(
            "bad_request", "exec_id is missing: an execId, or a number of the inbox; or give order, a permId"
        )


def _is_open(state: LedgerState, day: str) -> bool:
    gap = state.get(GAPS, day)
    return gap is not None and not gap.closed_how


def ask_journal(path: Path, question: Callable[[Journal], Reply]) -> Reply:
    """Answer a question from the committed journal, also while another process writes it.

    Raises JournalFailed, and what the question raises.
    """
    if not path.exists():
        raise missing_journal(path)
    journal = Journal(path, read_only=True)
    try:
        return question(journal)
    finally:
        journal.close()


def ask_for_client(path: Path, question: Callable[[Journal], Reply]) -> Reply:
    """Answer a question as `ask_journal` does, for a client of the daemon: a failed journal is refused, not
    logged as a bug.

    Raises CommandError where the journal cannot be read, and what the question raises.
    """
    try:
        return ask_journal(path, question)
    except JournalFailed as error:
        raise CommandError("journal_failed", str(error)) from None


def missing_journal(path: Path) -> JournalFailed:
    """Return the refusal where there is no journal; opening it would create an empty one."""
    return JournalFailed(
        f"the journal {path} does not exist; `tracker run` makes it, or correct stores.journal"
    )
