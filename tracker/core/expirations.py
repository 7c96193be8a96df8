"""End a position in the ledger that ended without executions: expired, exercised or assigned.

Owns the two-witness rule. The broker sends no execution for these (a BookTrade is only in the Flex report),
so the position is missing from its answers without a reason. It counts as ended when two complete snapshots
at least `APART` from one another lack it, the ledger held the same at both, a sweep requested between them
ended, the link to IBKR did not break from the first to the second, and the contract's expiry day is over. A
contract without an expiry never ends by this rule: that is a discrepancy, for a person. An ended position
comes back when the contract trades later, or when an execution explains why it was missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from tracker.core.completeness import BROKEN
from tracker.core.expiration_rows import Expiration, MissingPosition, MissingPositions
from tracker.core.model import ZERO, BrokerFact, Moment, Notice
from tracker.core.position_history import PositionHistory
from tracker.core.state import ABSENCES, DEPARTURES, HOLDINGS, PROOFS, SNAPSHOTS, LedgerState
from tracker.core.state_rows import (
    ContractKey,
    Holding,
    LoginState,
    Snapshot,
)

APART: Final = timedelta(minutes=5)
EXPIRED: Final = "expired"
EXERCISED: Final = "exercised"
ASSIGNED: Final = "assigned"
"""Why an option ended; that it was exercised or assigned only a report tells."""


def expiry_of(
    state: LedgerState, past: PositionHistory, amount: Decimal, since: datetime
) -> Expiration | None:
    """Return the expiry that took just what a report says was exercised or assigned; `past` is of the
    contract, `amount` the change, and it was not before `since`.
    """
    rows = state.find(DEPARTURES, "contract", past.key)
    found = [row for row in rows if row.cause == EXPIRED and row.moment.time >= since]
    last = max(found, key=lambda row: row.moment, default=None)
    if last is None:
        return None
    before = Moment(last.moment.time, last.moment.seq - 1)
    return last if past.held_behind(before) == -amount else None


class Expirations:
    """Watch complete snapshots for positions that are gone; `zone` says when an expiry day has ended."""

    def __init__(self, state: LedgerState, zone: tzinfo) -> None:
        self._state = state
        self._zone = zone

    def apply(self, fact: BrokerFact | None) -> None:
        """Forget every first witness when the link to IBKR breaks."""
        if isinstance(fact, Notice) and fact.code in BROKEN:
            self._put([])

    def snapshot(self, link: LoginState) -> list[ContractKey]:
        """Compare the snapshot just taken with the ledger; return the contracts whose positions ended.

        None is taken while the gateway has lost IBKR.
        """
        snapshot = self._state.get(SNAPSHOTS, "last")
        assert snapshot is not None, "a snapshot was just taken"
        before = self._state.get(ABSENCES, "last") or MissingPositions()
        known = {(row.account, row.con_id): row for row in before.rows}
        missing: list[MissingPosition] = []
        departed: list[ContractKey] = []
        for holding in self._state.find(HOLDINGS, "held", "1"):
            if not self._is_gone(holding, snapshot, link):
                continue
            seen = known.get(holding.key)
            if seen is None or seen.held != holding.held:
                missing.append(MissingPosition(*holding.key, holding.held, snapshot.ended))
            elif self._agree(seen, snapshot, holding):
                cause = EXPIRED if holding.contract.is_option else "gone"
                self._state.put(DEPARTURES, Expiration(*holding.key, seen.ended, cause))
                departed.append(holding.key)
            else:
                missing.append(seen)
        self._put(missing)
        return departed

    def _is_gone(self, holding: Holding, snapshot: Snapshot, link: LoginState) -> bool:
        """Return whether a snapshot of this login lacks a position that can expire."""
        return (
            holding.contract.expiry is not None
            and holding.account in link.accounts
            and snapshot.rows.get(holding.key.text(), ZERO) == ZERO
            and holding.key.text() not in snapshot.disturbed
        )

    def _agree(self, seen: MissingPosition, snapshot: Snapshot, holding: Holding) -> bool:
        """Return whether a second witness is valid: a sweep between the two, and the expiry day over."""
        proof = self._state.get(PROOFS, holding.account)
        swept = proof is not None and proof.swept is not None and proof.swept.seq > seen.ended.seq
        today = snapshot.asked.time.astimezone(self._zone).date()
        expiry = holding.contract.expiry
        over = expiry is not None and expiry < today
        return swept and over and snapshot.asked.time - seen.ended.time >= APART

    def _put(self, rows: Iterable[MissingPosition]) -> None:
        after = MissingPositions(tuple(sorted(rows, key=lambda row: (row.account, row.con_id))))
        if after != (self._state.get(ABSENCES, "last") or MissingPositions()):
            self._state.put(ABSENCES, after)
