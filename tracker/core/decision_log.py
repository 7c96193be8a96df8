"""Record decisions about ownership, each with its place among the executions, and apply them.

Owns the place of a decision, its number, and what is stored about its alerts at that time. `ownership`
decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from tracker.core.lot_changes import closing_of
from tracker.core.model import ZERO, AlertId, Frame, Match, Moment, Rule
from tracker.core.ownership_rows import Decided, OwnershipDecision, OwnershipKind
from tracker.core.positions import Positions
from tracker.core.state import ALERTS, DECISIONS, HOLDINGS, LedgerState
from tracker.core.state_rows import AlertPosition, ContractKey, Holding, alert_text


class Ruling(NamedTuple):
    """Hold what is decided about the lots of one contract, see `OwnershipDecision`."""

    contract: ContractKey
    kind: OwnershipKind
    alerts: Sequence[tuple[AlertId, Rule | None]]
    order: str = ""
    place: Moment | None = None
    """None: after everything that is booked and decided."""
    taken_from: AlertId | None = None
    whole: bool = False
    in_vain: bool = False
    before: tuple[tuple[AlertId, Rule], ...] = ()
    was: Match | None = None
    fill: str = ""
    quantity: Decimal = ZERO
    undone: int = 0
    continued: Mapping[AlertId, frozenset[AlertId]] = {}
    """Alert of a late match -> the records that were the same alert and are gone."""
    known: Mapping[AlertId, Decided] = {}
    """Alert of an assignment that is taken back -> what was known of it as it was matched late."""


class DecisionLog:
    """Record the decisions of one ledger.

    `folded` returns the contracts that the present batch has folded for an alert so far.
    """

    def __init__(
        self,
        state: LedgerState,
        positions: Positions,
        folded: Callable[[AlertId], Iterable[ContractKey]],
    ) -> None:
        self._state = state
        self._positions = positions
        self._folded = folded
        self._seq = 0
        """The frame of the last decision."""
        self._number = 0
        """The last decision's among those of its frame."""

    def make(self, frame: Frame, ruling: Ruling, skew: timedelta) -> Moment:
        """Record a decision and apply it; returns its place."""
        decision = self.write(frame, ruling, skew)
        self._positions.decide(decision)
        return decision.place

    def write(self, frame: Frame, ruling: Ruling, skew: timedelta) -> OwnershipDecision:
        """Record a decision without applying it."""
        self._number = self._number + 1 if self._seq == frame.seq else 0
        self._seq = frame.seq
        key = ruling.contract
        decision = OwnershipDecision(
            *key,
            frame.seq,
            self._number,
            ruling.place or Moment(self._positions.newest(key), frame.seq),
            ruling.kind,
            tuple(self._decided(alert, rule, ruling) for alert, rule in ruling.alerts),
            ruling.order,
            ruling.taken_from,
            ruling.whole,
            frame.received_at,
            skew.total_seconds(),
            ruling.in_vain,
            ruling.before,
            ruling.was,
            ruling.fill,
            ruling.quantity,
            ruling.undone,
        )
        self._state.put(DECISIONS, decision)
        return decision

    def _decided(self, alert: AlertId, rule: Rule | None, ruling: Ruling) -> Decided:
        """Return an alert of a decision; of a late match with the time at which it had closed."""
        if ruling.kind is not OwnershipKind.MATCHED:
            known = ruling.known.get(alert, Decided(alert))
            return Decided(alert, rule, closed=known.closed, closing=known.closing)
        state = self._state.get(ALERTS, alert_text(alert))
        # Its row lacks the contracts that this batch folded for it, and those with waiting executions.
        folded = (*(state.contracts if state is not None else ()), *self._folded(alert))
        holdings = {key: self._state.get(HOLDINGS, key.text()) for key in folded}
        holdings |= {holding.key: holding for holding in self._positions.waiting()}
        holdings[ruling.contract] = self._positions.with_all_booked(ruling.contract)
        names = {alert, *ruling.continued.get(alert, ())}
        found = [mine for each in holdings.values() for mine in _of(names, each)]
        closed = [mine.closed_at for mine in found if mine.closed_at is not None]
        is_open = any(mine.quantity for mine in found)
        over = None if is_open else max(closed, default=None)
        here = [mine for mine in _of(names, holdings[ruling.contract]) if mine.closed_at is not None]
        last = max(here, key=lambda mine: mine.last, default=None)
        closing = closing_of(last) if last is not None else None
        return Decided(alert, rule, closed=over, closed_known=True, closing=closing)


def _of(names: Collection[AlertId], holding: Holding | None) -> list[AlertPosition]:
    """Return what a record of these names has, or had, of a contract."""
    return [mine for mine in (holding.alerts if holding is not None else ()) if mine.alert in names]
