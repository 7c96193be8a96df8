"""Measure how long an order without an alert is matched again, in time that we ran with a readable store.

Owns the retry windows and the full look after a start or an outage of the store. Its clock is monotonic and
continues after a restart from its last value. A wall clock that jumps, a tracker that is down and a store
that cannot be read use up nothing of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Final

from msgspec.structs import replace

from tracker.core.alerters import AlerterNames
from tracker.core.broker_clock import UNSEEN, as_shown_now
from tracker.core.expiry import read_expiry
from tracker.core.matching import same_contract
from tracker.core.model import Alert, AlertId
from tracker.core.ownership_rows import FirstSeen, RetryWindow, RunTime, span_text
from tracker.core.ports import AlertStore
from tracker.core.state import CLOCK, FIRST_SEEN, RUN_TIME, WINDOWS, LedgerState
from tracker.core.state_rows import name_text
from tracker.core.stored_contracts import as_written, fill_in_again
from tracker.core.succession import is_dated

_EARLIER: Final = 8
"""The most contracts that are kept of those that a record's name had."""
_KEEP_EVERY: Final = 15.0
"""Seconds after which our running time is journalled while a window is open; a crash loses no more than
that.
"""


class RetryClock:
    """Count the running time for one ledger's state; `monotonic` is a clock in seconds that never jumps."""

    def __init__(
        self,
        state: LedgerState,
        *,
        monotonic: Callable[[], float],
        retry_for: timedelta,
        skew: Callable[[], timedelta],
    ) -> None:
        self._state = state
        self._monotonic = monotonic
        self._retry_for = retry_for.total_seconds()
        self.skew = skew
        newest = state.values(WINDOWS, "open")[-1:]
        began = [window.began for span in newest for window in state.find(WINDOWS, "open", span)]
        kept = state.get(RUN_TIME, "last")
        # After a crash a window may have begun later than the stored time.
        self._ran = max(began, default=0.0)
        if kept is not None:
            self._ran = max(self._ran, kept.seconds)
        self._kept = self._ran
        self._since: float | None = None
        """When the store was last known to be readable, while it is."""
        self._full_look = True
        self._looked_early = False
        """Whether frames waited at the last full look."""
        self._looked_with: timedelta | None = None
        """The clock's skew at the last look; None before the first."""

    def ran(self) -> float:
        """Return for how many seconds we have run with a readable store, over all starts."""
        since = 0.0 if self._since is None else max(0.0, self._monotonic() - self._since)
        return self._ran + since

    @property
    def full_look_due(self) -> bool:
        """Whether every order without an owner is to be matched again, since we were down, the store could
        not be read, or times were compared by a clock that was off by something else.
        """
        set_since = self._looked_with is not None and abs(self.skew() - self._looked_with) >= UNSEEN
        return self._full_look or set_since

    def tick(self, readable: bool) -> None:
        """Count the time since the last call, if the store could be read at both ends of it."""
        at = self._monotonic()
        if self._since is not None and readable:
            self._ran += max(0.0, at - self._since)
        if self._since is None and readable:
            self._full_look = True
        self._since = at if readable else None

    def take_full_look(self, *, early: bool = False) -> bool:
        """Return `full_look_due`, and reset it.

        Frames that wait at an `early` look may leave something of an order, so behind them it is due again.
        """
        due, again = self.full_look_due, self._looked_early and not early
        self._looked_early = early and (due or self._looked_early)
        self._full_look, self._looked_with = False, self.skew()
        return due or again

    def open_orders(self) -> Iterator[str]:
        """Yield the orders whose window is open."""
        for span in self._state.values(WINDOWS, "open"):
            for window in self._state.find(WINDOWS, "open", span):
                if not self._is_over(window):
                    yield window.order

    @property
    def keep_due(self) -> bool:
        """Whether a window is open and our running time was not journalled for a while."""
        return self._ran - self._kept >= _KEEP_EVERY and bool(self._state.values(WINDOWS, "open"))

    def to_keep(self) -> list[RetryWindow | RunTime]:
        """Return the rows to write: ended windows, and now and then our running time."""
        spans = self._state.values(WINDOWS, "open")
        last = span_text(max(0.0, self._ran - self._retry_for))
        rows: list[RetryWindow | RunTime] = [
            replace(window, over=True)
            for span in spans
            if span <= last
            for window in self._state.find(WINDOWS, "open", span)
            if self._is_over(window)
        ]
        if rows or (spans and self._ran - self._kept >= _KEEP_EVERY):
            self._kept = self._ran
            rows.append(RunTime(self._ran))
        return rows

    def _is_over(self, window: RetryWindow) -> bool:
        return self._ran - window.began > self._retry_for


class SeenRecords:
    """Know when records without a creation time were first seen; `zone` is the zone of their writer.

    A time that is not exact to the second counts as none.
    """

    def __init__(
        self,
        state: LedgerState,
        store: AlertStore,
        now: Callable[[], datetime],
        zone: tzinfo,
        names: AlerterNames | None = None,
    ) -> None:
        self._names = names or AlerterNames()
        self._state = state
        self._store = store
        self._now = now
        self._zone = zone

    def unseen(self) -> list[FirstSeen]:
        """Return a new row for each such record that has none yet, and the changed rows of former names."""
        at, rows = self._now(), []
        undated = [alert for alert in self._store.alerts() if not is_dated(alert.id)]
        for alert in undated:
            if self._seen_as_spelled(alert) is not None:
                continue
            before = self._seen_in_other_spelling(alert)
            if before is not None:
                rows.append(self._respelled(before))
            since = at if before is None else before.at
            rows.append(FirstSeen(alert.id, since, alert, self._of_name(alert.id)[:_EARLIER]))
        return rows

    def _respelled(self, before: FirstSeen) -> FirstSeen:
        """Return the row of a name whose record has another name now."""
        first, *earlier = (
            replace(seen, respelled=seen.respelled or seen == before) for seen in self._of_name(before.alert)
        )
        return replace(first, earlier=tuple(earlier))

    def dated(self, alert: Alert) -> Alert:
        """Return a record with the time at which it was first seen, if it has none itself.

        The time is given by this host's clock as it is set now.
        """
        clock = self._state.get(CLOCK, "last")
        if alert.created_at is not None:
            # Each candidate of each fill comes here, and the clock is hardly ever set.
            if clock is None or not clock.earlier:
                return alert
            created_at = as_shown_now(alert.created_at, clock, self._now())
            return alert if created_at == alert.created_at else replace(alert, created_at=created_at)
        now = self._now()
        at = as_shown_now(self._seen_at(alert) or now, clock, now)
        return replace(self._as_of(at, alert), first_seen=at)

    def _as_of(self, at: datetime, alert: Alert) -> Alert:
        """Return a record without a creation time, read as if it was written at that moment."""
        written_on, alert = at.astimezone(self._zone).date(), as_written(alert)
        expiry = alert.expiry
        if not expiry.usable or expiry.day is None:
            # A date without a year, which could not be resolved before.
            expiry = read_expiry(expiry.text, written_on)
        return fill_in_again(replace(alert, written_on=written_on, expiry=expiry))

    def _is_of(self, seen: FirstSeen, alert: Alert) -> bool:
        """Return whether a record is about the same contract as the one that was seen.

        An older version stored none.
        """
        return seen.record is None or same_contract(
            self._as_of(seen.at, seen.record), self._as_of(seen.at, alert)
        )

    def _seen_at(self, alert: Alert) -> datetime | None:
        at = self._seen_as_spelled(alert)
        if at is None and (before := self._seen_in_other_spelling(alert)) is not None:
            return before.at
        return at

    def _seen_as_spelled(self, alert: Alert) -> datetime | None:
        seen = (each for each in self._of_name(alert.id) if not each.respelled and self._is_of(each, alert))
        return next((each.at for each in seen), None)

    def _of_name(self, alert: AlertId) -> tuple[FirstSeen, ...]:
        """Return the records seen under a record's name, the newest first."""
        row = self._state.get(FIRST_SEEN, name_text(alert))
        return () if row is None else _records_of(row)

    def _seen_in_other_spelling(self, alert: Alert) -> FirstSeen | None:
        """Return the same alert as first seen under another spelling that is no longer in the store."""
        found = [
            seen
            for row in self._state.every(FIRST_SEEN)
            for seen in _records_of(row)
            if seen.record is not None
            and seen.alert[:2] != alert.id[:2]
            and self._names.same(seen.alert.alerter, alert.id.alerter)
            and self._is_of(seen, alert)
            and not self._is_there(seen)
            and not self._is_anothers(seen, alert)
        ]
        return min(found, key=lambda seen: seen.at, default=None)

    def _is_there(self, seen: FirstSeen) -> bool:
        """Return whether the store has a record that was seen, whatever conid it has by now."""
        spelled = (each for each in self._store.alerts() if each.id[:2] == seen.alert[:2])
        return any(not is_dated(each.id) and self._is_of(seen, each) for each in spelled)

    def _is_anothers(self, seen: FirstSeen, alert: Alert) -> bool:
        """Return whether what was seen is another record by now: respelled before, or first by name."""
        return any(
            each.id != alert.id
            and not is_dated(each.id)
            and self._names.same(seen.alert.alerter, each.id.alerter)
            and self._is_of(seen, each)
            and (each.id[:2] < alert.id[:2] or self._seen_as_spelled(each) == seen.at)
            for each in self._store.alerts()
        )


def _records_of(row: FirstSeen) -> tuple[FirstSeen, ...]:
    """Return the records that were seen under one name, the newest first."""
    return (replace(row, earlier=()), *row.earlier)
