"""Apply what happened to records in the store: they were replaced, deleted, put back, or copied.

Owns what that changes in the rows of alerts, and the events about it. `pipeline/store_changes` finds which
record replaces another; `ownership` decides which lots it takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import msgspec
from msgspec.structs import replace

from tracker.core.alert_updates import (
    EventKind,
    TrackerEvent,
    nothing_owned,
    partners_of,
    positions_of,
    settle_reopened,
)
from tracker.core.journal_entries import WHOLE, RecordReplaced
from tracker.core.model import Alert, AlertId, AlertUpdate, Frame
from tracker.core.ownership import Ownership
from tracker.core.state import ALERTS, OUTBOX, LedgerState
from tracker.core.state_rows import AlertState, ContractKey, Delivery, alert_text
from tracker.core.succession import dated_as, is_former_name


class RecordChanges:
    """Change one ledger's state; `touch` marks alerts to be shown again when the batch ends.

    `folded` returns the contracts that this batch has folded for an alert so far.
    """

    def __init__(
        self,
        state: LedgerState,
        ownership: Ownership,
        touch: Callable[[Iterable[AlertId]], None],
        folded: Callable[[AlertId], Iterable[ContractKey]],
    ) -> None:
        self._state = state
        self._ownership = ownership
        self._touch = touch
        self._folded = folded
        self._left: dict[AlertId, None] = {}
        """The records that went in this batch."""

    def replaced(self, frame: Frame, entry: RecordReplaced) -> list[TrackerEvent]:
        """Give what a record that is gone owns to its successor; no contracts named means all."""
        new, contracts, whole = entry.new, entry.contracts, entry.whole == WHOLE
        # It may have got another spelling after the note was written, and has what it had by that.
        last = self._ownership.last_name(entry.old)
        old = entry.old if whole or last == new else last
        told = msgspec.json.decode(entry.record, type=Alert) if entry.record else None
        self.gone(old)
        self.back(new)
        alert_state = self._state.get(ALERTS, alert_text(old))
        if alert_state is None:
            return []
        # Its row lacks the contracts that this batch folded for it.
        folded = dict.fromkeys((*alert_state.contracts, *self._folded(old)))
        alert_state = replace(alert_state, contracts=tuple(folded))
        known = dict.fromkeys((*folded, *self._ownership.waiting_of(old)))
        keys = [key for key in known if not contracts or key.text() in contracts]
        if not self._ownership.succeed(frame, old, new, keys, whole=whole, told=told):
            # What it handed on already stays its successor's, also where a process that ended noted it first.
            if whole and (alert_state.successor is None or is_former_name(new, old)):
                self._rename(frame, alert_state, new, told)
            elif whole:
                # It is that alert all the same, so what comes to it from now on does so by its new name.
                self._state.put(ALERTS, replace(alert_state, successor=new))
            return []
        successor = self._state.get(ALERTS, alert_text(new)) or AlertState(new)
        theirs = tuple(dict.fromkeys((*successor.contracts, *(key for key in keys if key in folded))))
        # A note of an older version does not tell its record; assume that it named the same contract.
        record = successor.record or dated_as(alert_state.record, old, new)
        self._state.put(ALERTS, replace(successor, contracts=theirs, successor=None, record=record))
        if not self._ownership.owns(old, known):
            settle_reopened(self._state, old)
            self._state.put(ALERTS, replace(alert_state, successor=new, unconfirmed=False))
        self._touch([new])
        what = {"alert": new.name, "created_at": new.created_at}
        return [TrackerEvent(EventKind.TAKEN_OVER, frame.received_at, what)]

    def _rename(self, frame: Frame, former: AlertState, new: AlertId, told: Alert | None) -> None:
        """Make a renamed record that owns nothing any longer, and showed a fill, show that it is closed."""
        # Another contract's record may have its former identity by now; else its orders follow the new name.
        is_former = is_former_name(new, former.alert)
        # A fill may have been matched to that one since the note was written, which tells the former record.
        theirs = former.record if is_former and former.record != told else None
        self._state.put(ALERTS, AlertState(former.alert, successor=None if is_former else new, record=theirs))
        known = self._state.get(ALERTS, alert_text(new))
        if former.shown is not None and (known is None or known.shown is None):
            shown = replace(former.shown, alert=new)
            renamed = replace(former, alert=new, shown=shown, gone=False, successor=None, contracts=())
            renamed = replace(renamed, record=told or former.record)
            self._state.put(ALERTS, renamed)
            self._state.put(OUTBOX, Delivery(shown, frame.seq, frame.received_at))
            self._touch([new])

    def hand_on(self, frame: Frame, alert: AlertId, contracts: Collection[ContractKey]) -> None:
        """Give a successor what was folded late for a record whose lots it had taken over."""
        row = self._state.get(ALERTS, alert_text(alert))
        if row is not None and row.successor is not None:
            self._touch(self._ownership.hand_on(frame, alert, contracts))
            if row.gone and self._ownership.owns(alert, contracts):
                # Its successor takes over nothing of these contracts; another record may.
                self._state.put(ALERTS, replace(row, successor=None))

    def gone(self, alert: AlertId) -> None:
        """Note that the store no longer has a record."""
        alert_state = self._state.get(ALERTS, alert_text(alert))
        if alert_state is not None:
            if not alert_state.gone:
                self._left[alert] = None
            self._state.put(ALERTS, replace(alert_state, gone=True))
            self._touch(partners_of(self._state, alert))

    def back(self, alert: AlertId) -> None:
        """Keep a record again that another program put back."""
        alert_state = self._state.get(ALERTS, alert_text(alert))
        if alert_state is None or not (alert_state.gone or alert_state.successor):
            return
        settle_reopened(self._state, alert)
        # If a successor took over what it owned, the copy still shows that; so it is written again.
        self._state.put(ALERTS, replace(alert_state, gone=False, successor=None))
        self._touch([alert, *partners_of(self._state, alert)])

    def copied(self, frame: Frame, alert: AlertId) -> None:
        """Make a record that was written with another record's position show that it has none."""
        alert_state = self._state.get(ALERTS, alert_text(alert)) or AlertState(alert)
        if alert_state.successor is not None:
            # The other one is a former record, whose identity this one has now.
            alert_state = AlertState(alert)
        if alert_state.shown is not None:
            return
        update = AlertUpdate(alert, False, {}, nothing_owned())
        self._state.put(ALERTS, replace(alert_state, shown=update, closed=True))
        self._state.put(OUTBOX, Delivery(update, frame.seq, frame.received_at))

    def take_orphans(self, frame: Frame) -> list[TrackerEvent]:
        """Return events about what records own that were deleted in this batch without a successor."""
        events: list[TrackerEvent] = []
        for alert in self._left:
            alert_state = self._state.get(ALERTS, alert_text(alert))
            assert alert_state is not None, "an alert that was written stays in the state"
            quantities = [
                mine.quantity for _, mine in positions_of(self._state, alert_state) if mine.quantity
            ]
            if alert_state.gone and quantities:
                what = {"alert": alert.name, "created_at": alert.created_at, "quantity": str(sum(quantities))}
                events.append(TrackerEvent(EventKind.ORPHANED, frame.received_at, what))
        self._left.clear()
        return events
