"""Find in a Flex report why a position changed that no execution explains.

Owns which events of a report are journalled, and how.

| the event | what is journalled |
|---|---|
| the broker's answer shows exactly that change, no trade between, and it has no cause yet | its cause |
| the same, where it was settled as a change of unknown cause within `NEAR` of the event's day | its cause |
| an exercise or assignment of just what an option's expiry took | the cause of that expiry |
| another one that fits what was held at its time, and is not known | the change, at its time |
| any other | nothing |

Expiries, exercises and assignments are also among the trades, so at their time they count already. An older
report, or one imported twice, changes nothing.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from tracker.core.adjustment_rows import ADJUSTED, SPLIT, TRANSFERRED, Adjustment, Difference
from tracker.core.differences import leads_to, settled_of
from tracker.core.expirations import ASSIGNED, EXERCISED, expiry_of
from tracker.core.journal_entries import FlexAdjustment, PositionChanged
from tracker.core.model import ZERO
from tracker.core.position_history import PositionHistory
from tracker.core.scaling import scaled
from tracker.core.state import ADJUSTMENTS, DIFFERENCES, EXECUTIONS, HOLDINGS, POSITIONS, LedgerState
from tracker.gateway.flex_dates import hours_of
from tracker.gateway.flex_events import PositionEvent
from tracker.reconcile.flex_known_events import (
    NEAR,
    SECOND,
    Cancellations,
    into_key_of,
    is_same,
    key_of,
    text_of,
)

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
IN_PLACE: Final = (SPLIT, TRANSFERRED, ADJUSTED)
"""The causes that are never also among the trades."""


class EventPlan:
    """Decide for each event of one report whether it is journalled, and after which of the report's
    executions.

    It receives the executions in their order, so none of them has to be journalled: the plan of an import
    says what the import will do.
    """

    def __init__(
        self, state: LedgerState, events: Iterable[PositionEvent], cancelled: Cancellations | None = None
    ) -> None:
        self._state = state
        self._cancelled = cancelled or Cancellations(state, ())
        self._pasts: dict[str, PositionHistory] = {}
        by_time = sorted(events, key=lambda event: event.at or _LONG_AGO)
        shown = [(event, entry) for event in by_time for entry in _explanations(state, event)]
        known = [event for event, entry in shown if entry.contract != into_key_of(event)]
        # Where only what came is shown, a fill of this report may be missing for what went.
        halves = [event for event, _ in shown if event not in known and self._may_count(event)]
        self._shown = [(event, entry) for event, entry in shown if event not in halves]
        self._otherwise = {event: entry for event, entry in shown if event in halves}
        """What explains an event that does not fit what was held at its time."""
        known += [event for event, _ in self._shown]
        unshown = [event for event in by_time if event not in known and self._may_count(event)]
        for event in unshown:
            for key in (key_of(event), into_key_of(event)):
                self._pasts.setdefault(key, self._past(key))
        # Where an answer contains an event, the quantity held then is known once all executions are.
        self._last = [event for event in unshown if self._is_contained(event)]
        """Those to be decided after all executions of the report."""
        self._due = deque(event for event in unshown if not self._is_contained(event))
        """Those to be decided before the first execution that is newer, oldest first."""
        self._early: list[PositionEvent] = []
        """Those before the first execution of their contract, and what follows them: to be decided last."""
        self._ended = _ended(by_time)
        """What was exercised or assigned, by contract and cause: perhaps of options that expired."""
        for key, _ in self._ended:
            self._pasts.setdefault(key, self._past(key))
        self.unfit: list[PositionEvent] = []
        """The events of known contracts that do not fit what was held at their time."""
        self.taken: list[tuple[PositionEvent, FlexAdjustment | PositionChanged]] = []
        """The events that are to be journalled so far."""

    @property
    def waits(self) -> bool:
        """Whether an undecided event needs the executions."""
        return bool(self._due or self._early or self._last or self._ended)

    def until(self, at: datetime) -> Iterator[FlexAdjustment | PositionChanged]:
        """Yield the entries that come before an execution at that moment."""
        while self._due and (event := self._due[0]).at is not None and event.at < at:
            self._due.popleft()
            if self._is_before_all(event):
                self._early.append(event)
            else:
                yield from self._decide(event)

    def booked(self, key: str, at: datetime, signed: Decimal) -> None:
        """Add an execution that the journal lacks, or a void."""
        if key in self._pasts:
            self._pasts[key].traded(at, signed)

    def rest(self) -> Iterator[FlexAdjustment | PositionChanged]:
        """Yield the remaining entries, after all executions were received."""
        self._due.extendleft(reversed(self._early))
        while self._due:
            yield from self._decide(self._due.popleft())
        # The quantity held after them is known, so go from the newest to the oldest.
        while self._last:
            yield from self._decide(self._last.pop())
        yield from self._causes()
        self.taken += self._shown
        yield from (entry for _, entry in self._shown)

    def _is_before_all(self, event: PositionEvent) -> bool:
        """Return whether a contract was not traded yet, or an earlier event of it is undecided."""
        key = key_of(event)
        keys = {each for other in self._early for each in (key_of(other), into_key_of(other))}
        about = [each for each in (key, into_key_of(event)) if each]
        return key in keys or not any(self._pasts[each].is_known for each in about)

    def _causes(self) -> Iterator[PositionChanged]:
        """Yield why options expired, as far as nothing else says that they ended."""
        for (key, cause), events in self._ended.items():
            begins = min(hours_of(event.day, event.day)[0] for event in events if event.day is not None)
            amount = sum((event.quantity for event in events), ZERO)
            if expiry_of(self._state, self._pasts[key], amount, begins) is not None:
                found = PositionChanged(key, cause, begins.isoformat(), str(amount), text=text_of(events[0]))
                self.taken += [(event, found) for event in events]
                yield found

    def _may_count(self, event: PositionEvent) -> bool:
        """Return whether an event is neither among the trades nor already entered."""
        unclear = event.cause == SPLIT and event.ratio is None
        # A transfer that it cancels is in an older report, and never counts.
        unclear = unclear or (event.cancels and event.cause == TRANSFERRED)
        return event.at is not None and event.cause in IN_PLACE and not unclear and not self._is_known(event)

    def _past(self, key: str) -> PositionHistory:
        return PositionHistory(self._state, key, without=self._cancelled.undone)

    def _is_contained(self, event: PositionEvent) -> bool:
        assert event.at is not None, "only such an event may count"
        return self._pasts[key_of(event)].is_answered_behind(event.at)

    def _decide(self, event: PositionEvent) -> Iterator[FlexAdjustment | PositionChanged]:
        fitting = (change for one in _readings(event) if (change := self._fitting(one)) is not None)
        found = next(fitting, self._otherwise.get(event))
        if found is not None:
            self.taken.append((event, found))
            yield found
        elif any(self._pasts[each].is_known for each in (key_of(event), into_key_of(event)) if each):
            self.unfit.append(event)

    def _fitting(self, event: PositionEvent) -> PositionChanged | None:
        at, key, into = event.at, key_of(event), into_key_of(event)
        assert at is not None, "only such an event may count"
        if into and leads_to(self._state, into, key):
            return None
        past, ratio = self._pasts[key], event.ratio
        if not past.is_known and _came(event) and not past.is_listed_behind(at):
            past.came(at, event.quantity)
            return _changed(replace(event, becomes=event.contract), at)
        fit = past.fit(at, event.quantity, ratio=ratio, leaves=bool(into)) if past.is_known else None
        if fit is None:
            return None
        past.begins_with(fit.base)
        if into and ratio is not None:
            past.changed(at, held=Decimal(0))
            self._pasts[into].came(at, scaled(fit.before, ratio))
        elif ratio is not None:
            # The broker's quantity counts, which is rounded.
            if scaled(fit.before, ratio) != fit.before + event.quantity:
                ratio = (fit.before + event.quantity) / fit.before
            past.changed(at, ratio=ratio)
        else:
            past.changed(at, by=event.quantity)
        return _changed(replace(event, ratio=ratio), at)

    def _is_known(self, event: PositionEvent) -> bool:
        """Return whether a person or a report entered it already, even if that was taken back."""
        rows = self._state.find(ADJUSTMENTS, "contract", key_of(event))
        rows = [row for row in rows if row.told and is_same(row, event)]
        return any(not self._cancelled.is_booked_after(event, row) for row in rows)


def _came(event: PositionEvent) -> bool:
    """Return whether a report says plainly that a long position came from elsewhere."""
    return event.cause == TRANSFERRED and event.quantity > 0 and not event.unsigned


def _changed(event: PositionEvent, at: datetime) -> PositionChanged:
    return PositionChanged(
        key_of(event),
        event.cause,
        at.isoformat(),
        str(event.quantity),
        "" if event.ratio is None else str(event.ratio),
        text_of(event),
        event.becomes,
    )


def _ended(events: Iterable[PositionEvent]) -> dict[tuple[str, str], list[PositionEvent]]:
    found: dict[tuple[str, str], list[PositionEvent]] = defaultdict(list)
    for event in events:
        if event.cause in (EXERCISED, ASSIGNED) and event.day is not None:
            found[key_of(event), event.cause].append(event)
    return found


def _counts_at_its_time(state: LedgerState, event: PositionEvent, shown: Difference) -> bool:
    """Return whether what was traded between an event and the answer that shows it closes something else if
    the event is before it.
    """
    if event.at is None or event.ratio is not None or event.day is None:
        return False
    if any(abs(event.at - bound) <= SECOND for bound in hours_of(event.day, event.day)):
        return False  # The report says only the day.
    rows = state.find(EXECUTIONS, "contract", key_of(event))
    between = (event.at < row.moment.time <= shown.place.time for row in rows if row.counted)
    past = PositionHistory(state, key_of(event))
    return any(between) and past.fit(event.at, event.quantity) is not None


# Which contract became the other one


def directed(
    state: LedgerState, event: PositionEvent, cancelled: Collection[Adjustment] = ()
) -> PositionEvent:
    """Return an event in the direction that fits the journal without what is cancelled, as far as known.

    Of a short position the report adds to the contract that goes, and takes from the one that comes. The same
    holds for a short position that is transferred out.
    """
    if event.unsigned:
        past = PositionHistory(state, key_of(event), without=cancelled)
        short = past.is_known and event.at is not None and past.held_at(event.at) <= 0
        return replace(event, quantity=-event.quantity) if short else event
    fitting = (one for one in _readings(event) if _before(state, one) == -one.quantity)
    # Where fills of the report are missing, the side of what is held tells which of the two went.
    likely = (one for one in _readings(event) if _goes_from_its_side(state, one))
    return next(fitting, next(likely, event))


def _goes_from_its_side(state: LedgerState, event: PositionEvent) -> bool:
    past = PositionHistory(state, key_of(event))
    return past.is_known and event.at is not None and past.held_at(event.at) * event.quantity < 0


def _readings(event: PositionEvent) -> tuple[PositionEvent, ...]:
    """Return what an event can mean: for a long position, and for a short one."""
    if event.becomes is None or event.ratio is None:
        return (event,)
    came = scaled(-event.quantity, event.ratio)
    turned = replace(
        event,
        contract=event.becomes,
        becomes=event.contract,
        quantity=came,
        ratio=-event.quantity / came,
    )
    return event, turned


def _before(state: LedgerState, event: PositionEvent) -> Decimal | None:
    """Return what was held of the contract of an event before it; None where it was never traded."""
    waiting = _unexplained(state, key_of(event), event.day)
    if waiting is not None:
        held: Decimal = waiting.listed - waiting.amount
        return held
    past = PositionHistory(state, key_of(event))
    if not past.is_known:
        return None
    return past.held_now() if event.at is None else past.held_at(event.at)


# What the broker's answer showed


def _explanations(state: LedgerState, event: PositionEvent) -> Iterator[FlexAdjustment]:
    text, key = text_of(event), key_of(event)
    waiting = _unexplained(state, key, event.day)
    into = _into(state, event)
    apart = not into or _is_traded_behind(state, into, event, waiting)
    if waiting is not None and (_is_moved(state, event) or (apart and _goes_on(state, event))):
        return
    if waiting is not None and into and waiting.amount == event.quantity and not waiting.listed:
        yield FlexAdjustment(key, event.cause, str(event.ratio), text, into)
        return
    if waiting is not None and _fits(event, waiting) and not _counts_at_its_time(state, event, waiting):
        ratio = str(event.ratio) if event.ratio is not None and event.becomes is None else ""
        yield FlexAdjustment(key, event.cause, ratio, text)
    if event.becomes is None or event.ratio is None:
        return
    if waiting is None and _goes_on(state, event):
        return  # All of it goes on at its time, with its owners.
    key = into_key_of(event)
    waiting = _unexplained(state, key, event.day)
    if waiting is not None and waiting.amount == scaled(-event.quantity, event.ratio):
        yield FlexAdjustment(key, event.cause, "", text)


def _into(state: LedgerState, event: PositionEvent) -> str:
    """Return the contract that another one became, if the broker's positions or fills contain it."""
    if event.becomes is None or event.ratio is None:
        return ""
    into = into_key_of(event)
    known = state.get(POSITIONS, into) is not None or state.get(HOLDINGS, into) is not None
    return into if known and not leads_to(state, into, key_of(event)) else ""


def _is_traded_behind(state: LedgerState, into: str, event: PositionEvent, shown: Difference | None) -> bool:
    """Return whether what an event brought was traded before the answer that shows it."""
    rows = state.find(EXECUTIONS, "contract", into)
    return (
        shown is not None
        and event.at is not None
        and any(event.at < row.moment.time <= shown.place.time for row in rows if row.counted)
    )


def _is_moved(state: LedgerState, event: PositionEvent) -> bool:
    """Return whether a person or a report said already which contract it became."""
    rows = state.find(ADJUSTMENTS, "contract", key_of(event))
    return any(row.into and row.into == into_key_of(event) and not row.undone for row in rows)


def _goes_on(state: LedgerState, event: PositionEvent) -> bool:
    """Return whether a position became another contract at its own time. Where the broker lists that one no
    more, what it became is perhaps in another event.
    """
    if event.becomes is None or event.ratio is None or event.at is None:
        return False
    if leads_to(state, into_key_of(event), key_of(event)):
        return False
    past = PositionHistory(state, key_of(event))
    return past.is_known and past.fit(event.at, event.quantity, leaves=True) is not None


def _unexplained(state: LedgerState, key: str, day: date | None) -> Difference | None:
    row = state.get(DIFFERENCES, key)
    if row is not None and not row.over:
        return row
    settled = settled_of(state, key)
    if settled is None or day is None or abs(settled.place.time.date() - day) > NEAR:
        return None
    seen = settled.as_difference
    before = PositionHistory(state, key, without=(settled,)).held_behind(settled.place)
    # What became known since may explain it, at least in part.
    return seen if seen.listed - before == seen.amount else None


def _fits(event: PositionEvent, waiting: Difference) -> bool:
    """Return whether an event explains exactly the change that the broker's answer showed."""
    ours: Decimal = waiting.listed - waiting.amount
    ratio = event.ratio if event.becomes is None else None
    # What was traded behind a split may happen to fit its ratio.
    return waiting.amount == event.quantity and (ratio is None or waiting.listed == scaled(ours, ratio))
