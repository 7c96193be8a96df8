"""Complete an alert from the contracts in its alerter's own stores.

Owns which values of a stored contract may be used. It overrides nothing that a record says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from msgspec.structs import replace

from tracker.core.alerters import symbol_key
from tracker.core.model import Alert, Expiry, ExpiryKind, StoredContract, Unfilled

_DAY = timedelta(days=1)


def fill_in(alert: Alert, stored: Sequence[StoredContract]) -> Alert:
    """Add to an alert what it lacks and its alerter's stored contracts have; override nothing.

    Only contracts count that agree in symbol, right and strike and had not expired on the writer's date when
    the alert was written. The expiry is taken if the alert names none, the conid if the alert has none and
    its expiry does not contradict. Contracts of several expiries add nothing.

    If it is unknown when the alert was written, all contracts count, until `fill_in_again` is called.
    """
    agreeing = [contract for contract in stored if _agrees(alert, contract)]
    if agreeing and _written_on(alert) is None:
        alert = replace(alert, unfilled=Unfilled(alert.expiry, alert.con_ids, tuple(agreeing)))
    expiries = {
        contract.expiry.day: contract.expiry for contract in agreeing if contract.expiry.day is not None
    }
    if len(expiries) > 1:
        return alert
    expiry = alert.expiry
    if expiry.kind is ExpiryKind.NONE:
        expiry = next(iter(expiries.values()), expiry)
    con_ids = alert.con_ids or frozenset(contract.con_id for contract in agreeing if contract.con_id)
    return replace(alert, expiry=expiry, con_ids=con_ids)


def as_written(alert: Alert) -> Alert:
    """Return an alert without additions that were made while it was unknown when it was written."""
    own = alert.unfilled
    return alert if own is None else replace(alert, expiry=own.expiry, con_ids=own.con_ids)


def fill_in_again(alert: Alert) -> Alert:
    """Fill in an alert `as_written` anew, now that its `written_on` is known."""
    own = alert.unfilled
    return alert if own is None else fill_in(replace(alert, unfilled=None), own.stored)


def _agrees(alert: Alert, stored: StoredContract) -> bool:
    if alert.strike is None or alert.strike != stored.strike:
        return False
    if (
        not alert.right
        or alert.right != stored.right
        or symbol_key(alert.symbol) != symbol_key(stored.symbol)
    ):
        return False
    day = stored.expiry.day
    if day is None:
        return True
    written_on = _written_on(alert)
    if written_on is not None and day < written_on:
        return False
    return _allows(alert.expiry, day)


def _written_on(alert: Alert) -> date | None:
    """Return the writer's date; a day earlier where only the UTC date is known, which may be a day ahead."""
    if alert.written_on is not None:
        return alert.written_on
    return None if alert.created_at is None else alert.created_at.date() - _DAY


def _allows(expiry: Expiry, day: date) -> bool:
    return expiry.day == day or not expiry.usable or (day.year, day.month) == expiry.month
