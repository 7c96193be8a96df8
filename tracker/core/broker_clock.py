"""How far our clock is ahead of the broker's, and the broker's time for our own moments.

Owns the skew: our time at the receipt of a current-time answer (49) less what it says. Execution times are
the broker's; an alert's written time and the receipt of frames are ours, so they meet only through this.
The broker gives whole seconds, so less than `UNSEEN` of difference is none. It reports a clock that is
`TOLD` or more off, and of a pushed execution whose time is `FAR` from its receipt: one of the two is in
another zone then.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from tracker.core.alert_updates import EventKind, TrackerEvent
from tracker.core.clock_rows import BrokerClock, EarlierSkew
from tracker.core.model import LIVE, BrokerTime, Frame, Moment
from tracker.core.state import CLOCK, LedgerState
from tracker.core.state_rows import BookedExecution

UNSEEN: Final = timedelta(seconds=2)
TOLD: Final = timedelta(seconds=5)
FAR: Final = timedelta(minutes=15)
_NOTICED: Final = timedelta(seconds=10)
"""Within this after our clock was set the broker's is asked for, and has answered."""
_KEPT: Final = 8
"""How many times that our clock was set are remembered."""
_HALF: Final = timedelta(seconds=0.5)
"""What a time that is cut to the second lacks on average."""


class BrokerTimes:
    """Follow the broker's clock in a ledger's state."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state
        clock = state.get(CLOCK, "last")
        self.skew = timedelta(seconds=clock.skew_seconds) if clock is not None else timedelta(0)
        self._told = timedelta(0)
        """The skew that was last reported."""

    def set_clock(self, frame: Frame, time: BrokerTime) -> list[TrackerEvent]:
        """Take in what the broker's clock shows; return the event that ours is off, or right again."""
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
        """Return the event that a pushed execution's time is far from when it came."""
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

    def moment(self, frame: Frame) -> Moment:
        """Return when a frame came, by the broker's clock."""
        return Moment(frame.received_at - self.skew, frame.seq)


def as_shown_now(written: datetime, clock: BrokerClock | None, now: datetime) -> datetime:
    """Return a time that was written by our clock as the clock would have shown it as it is set now.

    `now` is what it shows. A time that would be before the clock was set last, or is still to come, was
    written before that.
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
    """Return how far the clock that a receipt is stamped by is ahead of the one that a time was read from."""
    ahead = received_at - (told + _HALF)
    return timedelta(0) if abs(ahead) < UNSEEN else ahead
