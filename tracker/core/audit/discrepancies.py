"""The kinds of discrepancy that an audit can find.

Owns these kinds, and how contracts and fills are named in messages. It compares nothing.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from tracker.core.model import Contract, Execution, Position


class DiscrepancyKind(StrEnum):
    """Name a kind of discrepancy."""

    NOT_ANSWERED = "not_answered"
    STORE_UNREADABLE = "store_unreadable"
    GAP = "gap"
    UNDECODED = "undecoded"
    EXECUTION_MISSING = "execution_missing"
    EXECUTION_UNKNOWN = "execution_unknown"
    EXECUTION_DIFFERS = "execution_differs"
    EXECUTION_WAITING = "execution_waiting"
    ORDER_AHEAD = "order_ahead"
    COMPLETED_WITHOUT_FILLS = "completed_without_fills"
    ACCOUNT_NOT_MANAGED = "account_not_managed"
    BASELINE_UNCONFIRMED = "baseline_unconfirmed"
    SUM_DIFFERS = "sum_differs"
    OWNED_EXCEEDS_HELD = "owned_exceeds_held"
    POSITION_GONE = "position_gone"
    POSITION_DIFFERS = "position_differs"
    POSITION_WITHOUT_OPEN_ALERT = "position_without_open_alert"
    OPEN_WITHOUT_POSITION = "open_without_position"
    OPEN_WITHOUT_FILLS = "open_without_fills"
    QUANTITY_DIFFERS = "quantity_differs"
    VANISHED_WHILE_OWNED = "vanished_while_owned"
    REPLACED_WHILE_OWNED = "replaced_while_owned"
    STORE_DIFFERS = "store_differs"
    DELIVERY_PENDING = "delivery_pending"
    REMAINING_NOT_WORKING = "remaining_not_working"
    FILL_UNDECIDED = "fill_undecided"
    FEE_MISSING = "fee_missing"


class Discrepancy(Struct, frozen=True):
    """Hold one discrepancy, in words that a person can act on."""

    kind: DiscrepancyKind
    subject: str
    """What it is about: ALERTER/TICKER, an execId, an account and contract."""
    message: str
    next_step: str
    repairable: bool = False


class Audit(Struct, frozen=True):
    """Hold what an audit found, sorted by kind and subject."""

    discrepancies: tuple[Discrepancy, ...]
    not_ours: tuple[Position, ...] = ()
    """Positions that the broker holds and no alert owns."""


def add_up(base: Decimal) -> str:
    """Return the words before the sum of what is known of a contract; `base` was held before its fills."""
    return f"the {base.normalize():f} held before and the fills add up to" if base else "the fills add up to"


def contract_words(contract: Contract) -> str:
    """Name a contract as people do, with its conid."""
    details = (
        (contract.expiry, contract.strike, contract.right) if contract.is_option else (contract.sec_type,)
    )
    return " ".join([contract.symbol, *(str(each) for each in details if each), f"({contract.con_id})"])


def fill_words(execution: Execution) -> str:
    """Describe a fill in one line."""
    return (
        f"{execution.side} {execution.quantity} {contract_words(execution.contract)} at {execution.price} "
        f"in {execution.account}"
    )
