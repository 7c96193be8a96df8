"""Decide which answers about positions are certain, and take opening balances from them.

Owns the last certain answers of each account, the swept executions that no answer has confirmed yet, and the
choice of an opening balance. It folds nothing.

An answer is **certain** for an account if it was requested after a sweep of the account that ended, since the
last break of the link, lists something of the account (a zero is something), and does not lag. It **lags** if
it lacks a contract of which a sweep brought executions since the last such answer, or contradicts them: the
gateway's positions can be seconds older than its executions. A lagging answer is requested again; the last of
`LAGGING` in a row is used as uncertain.

The opening balance of a contract is the first of these that is known:
1. what the last certain answer before its first execution listed, with no unproven day between,
2. the first one from a certain answer, else the present one from such an answer, if it is clear which
   executions that answer contains,
3. what a later certain answer listed, less the executions that the answer contains,
4. an unconfirmed one, which the next certain answer replaces. It is taken, as in 3, from the newest
   uncertain answer, since no later one is compared with it, if that lists the contract, or decides which of
   two balances a certain one meant; else from an older certain answer; else it is the present one; else it is
   taken from an older uncertain answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from tracker.core.adjustment_rows import Adjustment
from tracker.core.answer_rows import CertainAnswers, PositionAnswer
from tracker.core.lot_changes import second_of, stand_of
from tracker.core.model import LIVE, ZERO, Moment, Source
from tracker.core.opening_balance import are_behind, base_of, bases_between, is_contained, is_uncertain
from tracker.core.position_history import PositionHistory
from tracker.core.state import ANSWERS, DIFFERENCES, GAPS, HOLDINGS, LedgerState
from tracker.core.state_rows import Baseline, BookedExecution, GapEnd, Holding, Snapshot
from tracker.core.untraded import changes_with, on_side_of

LAGGING: Final = 3
"""How many answers in a row may lag before the last one is used."""
KEPT: Final = 4
"""How many different answers are kept after the last complete sweep."""
_UNREAD_KEPT: Final = 24
"""How many are kept from before unreadable pushes: each may be read hours later, behind many others."""


class Certainty:
    """Judge the answers about positions for one ledger's state; `zone` is that of the accounts' days."""

    def __init__(self, state: LedgerState, zone: tzinfo) -> None:
        self._state = state
        self._zone = zone
        self._lags = 0

    # What arrives

    def booked(self, booked: BookedExecution, change: Decimal) -> None:
        """Expect the next answer after a sweep to agree with what a sweep brought.

        A correction changes what we hold by what its quantity differs from the one before.
        """
        execution = booked.execution
        if booked.source is not Source.BROKER or execution.request_id == LIVE:
            return
        row, text = self._row(execution.account), booked.contract_key.text()
        news = {**row.news, text: row.news.get(text, ZERO) + change}
        self._state.put(ANSWERS, replace(row, news=news))

    def proven(self, account: str, asked: int) -> None:
        """Note that a complete sweep was requested with that frame: what it lacked came later."""
        row = self._row(account)
        swept = next((one for one in row.all if one.ended.seq < asked), None)
        # None where a sweep that was requested before the proven one ends last.
        if swept is not None and swept != row.swept:
            behind = row.swept.ended.seq if row.swept is not None else 0
            between = tuple(one for one in row.between if one.ended.seq > behind and one != swept)
            self._state.put(ANSWERS, replace(row, swept=swept, between=between, earlier=row.swept))

    def lags(self, snapshot: Snapshot) -> bool:
        """Return whether an answer lacks known executions, and count it if it must be requested again."""
        rows = [self._row(account) for account in snapshot.certain]
        lagging = any(
            quantity and text not in snapshot.disturbed and self._disagrees(text, snapshot)
            for row in rows
            for text, quantity in row.news.items()
        )
        if lagging and self._lags + 1 < LAGGING:
            self._lags += 1
            return True
        for row in rows:
            if row.news:
                self._state.put(ANSWERS, replace(row, news={}))
        if rows:
            # An answer that is certain of no account says nothing about whether positions lag.
            self._lags = 0
        return lagging

    @property
    def asks_again(self) -> bool:
        """Whether the last answer lagged and was not used."""
        return self._lags > 0

    def _disagrees(self, text: str, snapshot: Snapshot) -> bool:
        listed = snapshot.rows.get(text)
        if listed is None:
            return True
        holding = self._state.get(HOLDINGS, text)
        if holding is None or holding.baseline is not Baseline.SNAPSHOT:
            return False
        difference = listed - (holding.held - holding.pending)
        waiting = self._state.get(DIFFERENCES, text)
        # A second answer that shows the same difference does not lag: it confirms the difference.
        return bool(difference) and (waiting is None or waiting.over or waiting.amount != difference)

    def remember(self, snapshot: Snapshot) -> None:
        """Keep what an answer lists for each account, separately where it is certain and where it is not."""
        for account in sorted({key.partition(" ")[0] for key in snapshot.rows}):
            row, answer = self._row(account), _of_account(snapshot, account)
            if account not in snapshot.certain:
                self._state.put(ANSWERS, replace(row, guess=answer))
                continue
            kept = replace(row, newest=answer, between=_between(row), began=row.began or snapshot.asked)
            self._state.put(ANSWERS, replace(kept, changes=changes_with(self._state, row, answer)))

    def mistrust(self, began: int) -> None:
        """Forget the answers since that frame: the gateway had lost IBKR."""
        for row in list(self._state.every(ANSWERS)):
            kept = [one for one in row.all if one.asked.seq < began]
            newest, swept = (kept[0] if kept else None), (row.swept if row.swept in kept else None)
            between = tuple(one for one in row.between if one in kept[1:])
            first = row.began if row.began is not None and row.began.seq < began else None
            guess = row.guess if row.guess is not None and row.guess.asked.seq < began else None
            changes = tuple(one for one in row.changes if one.asked.seq < began)
            earlier = row.earlier if row.earlier in kept else None
            unread = tuple(one for one in row.unread if one in kept)
            left = replace(row, newest=newest, swept=swept, between=between, began=first, changes=changes)
            self._state.put(ANSWERS, replace(left, guess=guess, earlier=earlier, unread=unread))

    # The opening balance

    def begin(self, rows: Sequence[BookedExecution], holding: Holding, answer: Snapshot | None) -> Holding:
        """Return a contract's holding with its opening balance; `answer` is an uncertain one to go by."""
        begun = self._begin(rows, holding, answer)
        if begun.baseline is not Baseline.SNAPSHOT or begun.listed is None or begun.asked is None:
            return begun
        if begun.began is not None and begun.began.asked.seq <= begun.asked.seq:
            return begun
        listed = {holding.key.text(): begun.listed}
        return replace(begun, began=PositionAnswer(begun.asked, begun.ended or begun.asked, listed))

    def _begin(self, rows: Sequence[BookedExecution], holding: Holding, answer: Snapshot | None) -> Holding:
        text = holding.key.text()
        row = self._row(holding.account)
        answers = [one for one in row.all if one.confirms(text)]
        for one in _with(answers, holding.began):
            # What it lacks was not held, unless an execution that it may contain contradicts that.
            told = replace(one, rows={text: ZERO, **one.rows})
            begun = _begun(rows, holding, told, Baseline.SNAPSHOT)
            before = are_behind(rows, one.asked, one.ended) and not is_uncertain(rows, begun)
            if before and self._no_day_between(one, rows, holding.began):
                return begun
        if holding.began is not None:
            first = _begun(rows, holding, holding.began, Baseline.SNAPSHOT)
            if not is_uncertain(rows, first):
                return first
        known = holding.baseline is Baseline.SNAPSHOT and holding.asked is not None
        if known and not is_uncertain(rows, holding):
            return replace(holding, base=base_of(rows, holding))
        for one in answers[:1]:
            unlisted = {text: ZERO} if self._says_by_silence(one, rows) else {}
            found = _begun(rows, holding, replace(one, rows={**unlisted, **one.rows}), Baseline.SNAPSHOT)
            behind = any(is_contained(row, one.asked, one.ended) for row in rows)
            if behind and not is_uncertain(rows, found):
                return found
        if answer is not None:
            told = PositionAnswer(answer.asked, answer.ended, answer.rows)
            guess = _begun(rows, holding, told, Baseline.UNCONFIRMED)
            if text in told.rows or any(guess.base in _possible(rows, holding, one) for one in answers[:1]):
                return guess
        for one in answers:
            if text in one.rows:
                return _begun(rows, holding, one, Baseline.UNCONFIRMED)
        older = row.guess
        if holding.listed is None and older is not None and older.confirms(text) and text in older.rows:
            return _begun(rows, holding, older, Baseline.UNCONFIRMED)
        return replace(holding, baseline=Baseline.UNCONFIRMED, base=base_of(rows, holding))

    def before_changes(
        self, rows: Sequence[BookedExecution], holding: Holding, adjustments: Sequence[Adjustment]
    ) -> Holding:
        """Return a confirmed opening balance less what its answer contains, reported changes included.

        It stays as it was where that contains none of them, and where an adjustment says what was held since
        or moves something.
        """
        moved = any(one.held is not None or one.came_from for one in adjustments)
        if moved or not rows or holding.listed is None or holding.asked is None:
            return holding
        asked = holding.asked
        later = [one for one in adjustments if _is_behind_answer(one, asked)]
        if len(later) == len(adjustments):
            return holding
        history = PositionHistory(self._state, holding.key.text(), without=later)
        traded = sum((row.execution.signed for row in rows if row.counted), ZERO)
        return replace(holding, base=history.base_that_holds(base_of(rows, holding) + traded))

    def behind_adjustments(
        self, rows: Sequence[BookedExecution], holding: Holding, adjustments: Sequence[Adjustment]
    ) -> Holding:
        """Confirm the opening balance of an adjusted contract by a certain answer after all adjustments."""
        if not rows:
            return self._before_moves(holding, [stand_of(one.place) for one in adjustments])
        text = holding.key.text()
        answer = next((one for one in self._row(holding.account).all if one.confirms(text)), None)
        if answer is None or any(one.place.seq > answer.asked.seq for one in adjustments):
            return holding
        listed = answer.rows.get(text, ZERO if self._says_by_silence(answer, rows) else None)
        if is_uncertain(rows, replace(holding, listed=listed, asked=answer.asked, ended=answer.ended)):
            return holding
        base = ZERO
        if listed is not None:
            history = PositionHistory(self._state, text)
            behind = [row for row in rows if is_contained(row, answer.asked, answer.ended) is False]
            since = sum((row.execution.signed for row in behind if row.counted), ZERO)
            base = history.base_with(listed + since - history.held_now())
            if any(one.came_from for one in adjustments):
                contained = sum((row.execution.signed for row in rows if row.counted), ZERO) - since
                base = on_side_of(base, listed - contained)
        # It tells the balance also once all of them are taken back.
        began = None if listed is None else PositionAnswer(answer.asked, answer.ended, {text: listed})
        # No listed quantity is kept, so that no late execution counts as contained in it.
        confirmed = replace(holding, base=base, baseline=Baseline.SNAPSHOT, listed=None)
        return replace(confirmed, asked=answer.asked, ended=answer.ended, began=holding.began or began)

    def _before_moves(self, holding: Holding, moves: Sequence[tuple[datetime, int]]) -> Holding:
        """Return what was held of a contract without executions before all moves, or after all were undone.

        The last certain answer before them tells it, else a certain one behind them, else an uncertain one.
        """
        text, row = holding.key.text(), self._row(holding.account)
        history = PositionHistory(self._state, text)
        certain = [one for one in row.all if one.confirms(text)]

        def is_before(answer: PositionAnswer) -> bool:
            return all(stand_of(answer.asked) < move for move in moves)

        before = list(filter(is_before, certain))
        guess = row.guess if row.guess is not None and text in row.guess.rows else None
        for answer in (*before[:1], *certain[:1], *([guess] if guess is not None else ())):
            listed = answer.rows.get(text, ZERO)
            if is_before(answer):
                base = listed
            elif all(stand_of(answer.asked) >= move for move in moves):
                base = on_side_of(history.base_with(listed - history.held_now()), listed)
            else:
                continue
            baseline = Baseline.UNCONFIRMED if answer is guess else Baseline.SNAPSHOT
            return replace(holding, base=base, baseline=baseline, asked=answer.asked, ended=answer.ended)
        return holding

    def _says_by_silence(self, answer: PositionAnswer, rows: Collection[BookedExecution]) -> bool:
        """Return whether a certain answer that lacks a contract proves that nothing was held at first.

        Where days between are unproven, or a report listed an execution, much else may have happened since.
        """
        return all(row.source is Source.BROKER for row in rows) and self._no_day_between(answer, rows)

    def _no_day_between(
        self,
        answer: PositionAnswer,
        rows: Collection[BookedExecution],
        began: PositionAnswer | None = None,
    ) -> bool:
        """Return whether each day between an answer and the first execution is proven.

        A day that ended when both were known says nothing of the hours between them. One that is proven only
        after the opening balance was taken from `began` brings no older answer back.
        """
        first, last = sorted((self._day(answer.asked.time), min(self._day(row.moment.time) for row in rows)))
        both_known = max(answer.ended.seq, min(row.seq for row in rows))
        taken = began.ended.seq if began is not None and began.asked.seq > answer.asked.seq else None
        return not any(
            first <= gap.day <= last
            and gap.opened.seq <= both_known
            and gap.closed_how != GapEnd.CLOCK
            and (
                gap.closed_how in ("", GapEnd.PERSON.value) or (taken is not None and gap.closed_seq >= taken)
            )
            for gap in self._state.every(GAPS)
        )

    def _day(self, moment: datetime) -> date:
        return moment.astimezone(self._zone).date()

    def _row(self, account: str) -> CertainAnswers:
        return self._state.get(ANSWERS, account) or CertainAnswers(account)


def pushed_unread(state: LedgerState) -> None:
    """Keep the last certain answers, since an execution was pushed that could not be read."""
    for row in list(state.every(ANSWERS)):
        if row.newest is not None and row.newest not in row.unread[-1:]:
            state.put(ANSWERS, replace(row, unread=(*row.unread, row.newest)[-_UNREAD_KEPT:]))


def _is_behind_answer(one: Adjustment, asked: Moment) -> bool:
    """Return whether an adjustment is not contained in the answer that was requested then.

    Of a reported change only the second is known.
    """
    if one.change is not None:
        return second_of(one.place.time) > second_of(asked.time)
    return stand_of(one.place) > stand_of(asked)


def _of_account(snapshot: Snapshot, account: str) -> PositionAnswer:
    prefix = f"{account} "
    return PositionAnswer(
        snapshot.asked,
        snapshot.ended,
        {key: quantity for key, quantity in snapshot.rows.items() if key.startswith(prefix)},
        tuple(key for key in snapshot.disturbed if key.startswith(prefix)),
    )


def _between(row: CertainAnswers) -> tuple[PositionAnswer, ...]:
    """Return the answers to keep beside the one that becomes the newest."""
    before = row.newest
    if before is None or before == row.swept:
        return row.between
    kept = [one for one in (*row.between, row.swept) if one is not None]
    last = max(kept, key=lambda one: one.ended.seq, default=None)
    same = last is not None and (last.rows, last.disturbed) == (before.rows, before.disturbed)
    return row.between if same else (*row.between, before)[-KEPT:]


def _with(answers: Sequence[PositionAnswer], began: PositionAnswer | None) -> list[PositionAnswer]:
    """Return answers, newest first, with the one that an opening balance was taken from."""
    known = {one.ended.seq: one for one in (began, *answers) if one is not None}
    return [known[ended] for ended in sorted(known, reverse=True)]


def _possible(
    rows: Sequence[BookedExecution], holding: Holding, answer: PositionAnswer
) -> tuple[Decimal, ...]:
    """Return the two balances that an answer can mean, if it may or may not contain a swept execution.

    An account that is flat since then lists nothing. That is never certain, but decides between the two.
    """
    begun = _begun(rows, holding, answer, Baseline.UNCONFIRMED)
    return bases_between(rows, begun) if is_uncertain(rows, begun) else ()


def _begun(
    rows: Sequence[BookedExecution], holding: Holding, answer: PositionAnswer, baseline: Baseline
) -> Holding:
    listed = answer.rows.get(holding.key.text())
    begun = replace(holding, baseline=baseline, listed=listed, asked=answer.asked, ended=answer.ended)
    return replace(begun, base=base_of(rows, begun))
