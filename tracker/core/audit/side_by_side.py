"""The three views of an audit side by side, with values that several of its rules need.

Owns which executions the journal lacks and how they would change positions. It judges nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from tracker.core.audit.inputs import BrokerView, ExecutionView, HeldView, LedgerView, StoreView
from tracker.core.model import ZERO, AlertId, Execution, Position, correction_parts


class SideBySide:
    """Hold the three views, with what several comparisons look up."""

    def __init__(self, ledger: LedgerView, store: StoreView, broker: BrokerView | None) -> None:
        self.ledger = ledger
        self.broker = broker
        self.store_name = store.name
        self.records = store.records
        self.held = [held for held in ledger.held if ledger.watches(held.account)]
        self.known = {view.execution.key: view for view in ledger.executions}
        self.in_force = _in_force(view for view in ledger.executions if not view.superseded)
        told = broker.positions if broker else None
        self.positions = None if told is None else _by_contract(told, ledger)
        self.missing = self._missing()
        self.moves = self._not_yet_counted()
        waiting = [view for view in ledger.executions if view.attention and not view.superseded]
        self.undecided = {contract_key(view.execution) for view in waiting}

    def _missing(self) -> list[Execution]:
        """Return the executions that the broker lists and the journal lacks, without replaced versions."""
        listed = self.broker.executions if self.broker else ()
        missing = {
            execution.key: execution
            for execution in listed
            if execution.key not in self.known and self.ledger.watches(execution.account)
        }
        versions = {key: list(executions) for key, executions in self.in_force.items()}
        for execution in missing.values():
            versions.setdefault(root(execution), []).append(execution)
        return [each for each in missing.values() if _newest(versions[root(each)]) is each]

    def _not_yet_counted(self) -> dict[tuple[str, int], Decimal]:
        """Return by how much missing and waiting executions would change the position of each contract."""
        moves: dict[tuple[str, int], Decimal] = defaultdict(lambda: ZERO)
        for view in self.ledger.executions:
            if not view.folded and not view.superseded and not view.execution.contract.is_combo:
                moves[contract_key(view.execution)] += view.execution.signed
        for execution in self.missing:
            if not execution.contract.is_combo:
                replaced = self.in_force.get(root(execution), ())
                moves[contract_key(execution)] += execution.signed
                moves[contract_key(execution)] -= sum((each.signed for each in replaced), ZERO)
        return moves

    def not_ours(self) -> tuple[Position, ...]:
        """Return the positions that the broker holds and no alert owns."""
        owned = {held.key for held in self.held if any(part.quantity for part in held.owned)}
        rows = self.positions or {}
        return tuple(rows[key] for key in sorted(rows) if key not in owned and rows[key].quantity)

    def live(self) -> dict[AlertId, list[HeldView]]:
        """Return the alerts that own something, each with what it owns a part of."""
        found: dict[AlertId, list[HeldView]] = defaultdict(list)
        for held in self.held:
            owners = [owner for part in held.owned if part.quantity for owner in part.owners]
            for owner in dict.fromkeys(owners):
                found[owner].append(held)
        return found


def _by_contract(positions: Sequence[Position], ledger: LedgerView) -> dict[tuple[str, int], Position]:
    return {(row.account, row.contract.con_id): row for row in positions if ledger.watches(row.account)}


def root(execution: Execution) -> tuple[object, ...]:
    """Return what all versions of one execution share (four-segment execIds only)."""
    parts = correction_parts(execution.exec_id)
    if parts is None:
        return execution.key
    return (execution.account, parts.root, execution.perm_id, execution.contract.con_id, execution.side)


def _in_force(views: Iterable[ExecutionView]) -> dict[tuple[object, ...], list[Execution]]:
    found: dict[tuple[object, ...], list[Execution]] = defaultdict(list)
    for view in views:
        found[root(view.execution)].append(view.execution)
    return found


def _newest(versions: Sequence[Execution]) -> Execution:
    def version(execution: Execution) -> int:
        parts = correction_parts(execution.exec_id)
        return -1 if parts is None else parts.version

    return max(versions, key=version)


def contract_key(execution: Execution) -> tuple[str, int]:
    """Name what an execution moves: one contract in one account."""
    return execution.account, execution.contract.con_id
