"""How far our clock is ahead of the broker's, and the broker's time for our own moments.

Owns the skew: our time at the receipt of a current-time answer (49) less the time in it. Execution times are
by the broker's clock; an alert's written time and the receipt of frames are by ours, so the skew is needed to
compare the two. The broker gives whole seconds, so a difference below `UNSEEN` counts as none. A clock that
is off by `TOLD` or more is reported, and so is a pushed execution whose time is `FAR` from its receipt: then
one of the two is in another zone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from tracker.core.alert_updates import EventKind, TrackerEvent
from tracker.core.clock_rows import BrokerClock, EarlierSkew
from tracker.core.model import LIVE, BrokerTime, Execution, Frame, Moment
from tracker.core.state import CLOCK, LedgerState
from tracker.core.state_rows import BookedExecution

UNSEEN: Final = timedelta(seconds=2)
TOLD: Final = timedelta(seconds=5)
FAR: Final = timedelta(minutes=15)
_NOTICED: Final = timedelta(seconds=10)
"""The time within which, after our clock was set, the broker's time is requested and answered."""
_KEPT: Final = 8
"""How many settings of our clock are remembered."""
_HALF: Final = timedelta(seconds=0.5)
"""The part of a second that a time cut to the second lacks on average."""


class BrokerTimes:
    """Follow the broker's clock in a ledger's state."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state
        clock = state.get(CLOCK, "last")
        self.skew = timedelta(seconds=clock.skew_seconds) if clock is not None else timedelta(0)
        self._told = timedelta(0)
        """The skew that was last reported."""

    def set_clock(self, frame: Frame, time: BrokerTime) -> list[TrackerEvent]:
        """Process the broker's time; return the event that our clock is off, or right again."""
        before = self._state.get(CLOCK, "last")
        self.skew = skew_of(time.at, frame.received_at)
        earlier = before.earlier if before is not None else ()
        if before is not None and abs(self.skew - timedelta(seconds=before.skew_seconds)) >= UNSEEN:
            was = EarlierSkew(before.skew_seconds, frame.received_at - self.skew)
            earlier = (*earlier, was)[-_KEPT:]
        clock = BrokerClock(time.at, frame.received_at, self.skew.total_seconds(), earlier)
        self._state.put(CLOCK, clock)
        if abs(self.skew - self._told) < TOLD:
            return []
        self._told = self.skew
        seconds = round(self.skew.total_seconds(), 1)
        what: dict[str, str | int | float | None] = {
            "skew_seconds": seconds,
            "note": words_for(self.skew),
        }
        return [TrackerEvent(EventKind.CLOCK, frame.received_at, what)]

    def far_from_receipt(self, booked: BookedExecution) -> list[TrackerEvent]:
        """Return the event that a pushed execution's time is far from its receipt."""
        execution = booked.execution
        if execution.request_id != LIVE or not execution.time_known:
            return []
        late = booked.received_at - self.skew - execution.time
        if abs(late) < FAR:
            return []
        note = (
            f"it came {abs(late) // timedelta(minutes=1)} min {'after' if late > timedelta(0) else 'before'}"
        )
        note += " its own time; check gateway.timezone"
        return [TrackerEvent(EventKind.CLOCK, booked.received_at, booked, note)]

    def dated(self, frame: Frame, execution: Execution) -> Execution:
        """Return an execution with its receipt by the broker's clock, where its own time cannot be read."""
        return execution if execution.time_known else replace(execution, time=self.moment(frame).time)

    def moment(self, frame: Frame) -> Moment:
        """Return when a frame came, by the broker's clock."""
        return Moment(frame.received_at - self.skew, frame.seq)


def as_shown_now(written: datetime, clock: BrokerClock | None, now: datetime) -> datetime:
    """Return a time that was written by our clock as the clock would show it with its present setting.

    `now` is the clock's time. A written time that is in the future, or would be before the clock was last
    set, was written before it was set.
    """
    if clock is None or not clock.earlier:
        return written
    skew = timedelta(seconds=clock.skew_seconds)
    if clock.earlier[-1].until - _NOTICED <= written - skew <= now - skew:
        return written
    for number, was in reversed(list(enumerate(clock.earlier))):
        told = written - timedelta(seconds=was.skew_seconds)
        began = clock.earlier[number - 1].until - _NOTICED if number else None
        if told <= was.until and (began is None or told >= began):
            return told + skew
    return written


def words_for(skew: timedelta) -> str:
    """Say how far this host's clock is from the broker's."""
    if abs(skew) < TOLD:
        return "this host's clock agrees with the broker's"
    word = "ahead of" if skew > timedelta(0) else "behind"
    return (
        f"this host's clock is {abs(skew.total_seconds()):.0f} s {word} the broker's; set it by a time server"
    )


def skew_of(told: datetime, received_at: datetime) -> timedelta:
    """Return how far the clock of a receipt is ahead of the clock of a time."""
    ahead = received_at - (told + _HALF)
    return timedelta(0) if abs(ahead) < UNSEEN else ahead
