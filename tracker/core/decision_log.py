"""Record decisions about ownership, each with its place among the executions, and apply them.

Owns the place of a decision, its number, and what is stored about its alerts at that time. `ownership`
decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from tracker.core.lot_changes import closing_of, is_behind_close, second_of
from tracker.core.lot_parts import fill_name
from tracker.core.lot_rows import Lot
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
            return replace(known, alert=alert, rule=rule, closed_known=False)
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
        held = holdings[ruling.contract]
        here = [mine for mine in _of(names, held) if mine.closed_at is not None]
        last = max(here, key=lambda mine: mine.last, default=None)
        decided = Decided(alert, rule, closed=over, closed_known=True)
        if last is None or held is None:
            return decided
        lots = held.lots if last.closed_at == over else ()
        behind = [fill_name(lot.exec_id) for lot in lots if _is_behind(lot, ruling.order, last)]
        return replace(decided, closing=closing_of(last), behind=tuple(dict.fromkeys(behind)))


def _is_behind(lot: Lot, order: str, closed: AlertPosition) -> bool:
    """Return whether a lot is of an order, and of the second of a close, which it is behind."""
    assert closed.closed_at is not None, "a position was closed at some time"
    same = lot.order == order and second_of(lot.opened.time) == second_of(closed.closed_at)
    return same and is_behind_close(lot, closed)


def _of(names: Collection[AlertId], holding: Holding | None) -> list[AlertPosition]:
    """Return what a record of these names has, or had, of a contract."""
    return [mine for mine in (holding.alerts if holding is not None else ()) if mine.alert in names]
