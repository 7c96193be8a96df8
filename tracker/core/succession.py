"""Find the record of the store that continues a deleted one.

Owns identity and succession. Pure: it compares what records say, and reads no store.

- The same alert is the same alerter (by names and aliases), the same ticker (any spelling) and the same
  `created_at` to the second or finer, whatever its conid or details say now. Where neither has such a
  `created_at`, it is about the same contract. It keeps everything that it owned.
- A successor is another record of the same alerter and ticker that is about a contract that the old record
  owns, or about the same contract as the old record. It takes over what is left, each contract by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime

from msgspec.structs import replace

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.contracts import days_of, tickers_of
from tracker.core.matching import same_details, speaks_of
from tracker.core.model import Alert, AlertId, Contract, Expiry, ExpiryKind, Rule
from tracker.core.references import alert_key
from tracker.core.state_rows import AlertState

_UNTIL = " until "
_TO_THE_SECOND = re.compile(r".*\d[T ]\d\d:?\d\d:?\d\d.*")


def same_name(one: AlertId, other: AlertId, contract: Contract, names: AlerterNames) -> bool:
    """Return whether two records have the same alerter and ticker, in any spelling for this contract."""
    return alert_key(one, contract, names) == alert_key(other, contract, names)


def records_like(
    alerts: Iterable[Alert], gone: AlertId, contracts: Collection[Contract], names: AlerterNames
) -> list[Alert]:
    """Return the other records of the alerter and ticker: those of the same spelling first, then the newest.

    The ticker is spelled as for one of these contracts.
    """

    def place(alert: Alert) -> tuple[bool, float, AlertId]:
        began = alert.began_at.timestamp() if alert.began_at is not None else 0.0
        return alert.id[:2] != gone[:2], -began, alert.id

    found = {
        alert
        for alert in alerts
        if alert.id != gone and any(same_name(alert.id, gone, contract, names) for contract in contracts)
    }
    return sorted(found, key=place)


def successor_among(
    alerts: Collection[Alert], gone: AlertState, contract: Contract, named: Collection[Contract] = ()
) -> Alert | None:
    """Return the record that continues the one that is gone in what it owns of a contract.

    All `alerts` have its name, in the order of `records_like`. `named`: see `takes_over`.
    """
    same = same_alert_among(alerts, gone, [contract, *named])
    return same or next((alert for alert in alerts if takes_over(alert, gone, contract, named)), None)


def same_alert_among(
    alerts: Iterable[Alert], gone: AlertState, contracts: Collection[Contract] = ()
) -> Alert | None:
    """Return the record that is the same alert as the one that is gone; all `alerts` have its name.

    `contracts` are those that it had, and those of the records' conids. Of several it is the one that is
    spelled as it was, else the first by name.
    """
    same = (alert for alert in alerts if _same_identity(alert, gone, contracts))
    return min(same, key=lambda alert: (alert.id[:2] != gone.alert[:2], alert.id[:2]), default=None)


def is_dated(alert: AlertId) -> bool:
    """Return whether a record's time of creation is to the second; if not, its contract identifies it too."""
    return _TO_THE_SECOND.fullmatch(alert.created_at.strip()) is not None


def dated_as(record: Alert | None, old: AlertId, new: AlertId) -> Alert | None:
    """Return what is known of a record for its successor, created as much later as their names say."""
    was, now = _moment(old.created_at), _moment(new.created_at)
    if record is None or record.created_at is None or was is None or now is None:
        return record
    if (was.tzinfo is None) is not (now.tzinfo is None):
        # A zone in one of them only: the older time is the best that is known.
        return record
    return replace(record, created_at=record.created_at + (now - was))


def takes_over(alert: Alert, gone: AlertState, contract: Contract, named: Collection[Contract] = ()) -> bool:
    """Return whether a record takes over what the record that is gone owns of a contract.

    `named` are the contracts of the conids of both, as far as they are known: a record without expiry means
    that of its conid's contract.
    An old record that names neither a conid nor a day of expiry counts as naming that of the contract it
    owns, where its other details fit. So does one of which only the record before it is known.
    """
    if speaks_of(contract, alert) is not None:
        return True
    record = gone.record
    if record is None:
        return False
    vague = not record.con_ids or record.id.created_at != gone.alert.created_at
    if vague and speaks_of(contract, record) is Rule.STRIKE and (days := days_of(contract)):
        record = replace(record, expiry=Expiry(ExpiryKind.DAY, days[0]))
    symbols = {symbol_key(record.symbol), symbol_key(alert.symbol)}
    one_symbol = len(symbols) == 1 or symbols <= tickers_of(contract)
    contracts = [contract, *named]
    return one_symbol and same_details(_with_expiry(record, contracts), _with_expiry(alert, contracts))


def former_name(alert: AlertId, newest: int) -> AlertId:
    """Return the name of what had an alert's identity before another contract's record has it.

    `newest` is the number of the last frame that changed what it owned.
    """
    return alert._replace(created_at=f"{alert.created_at}{_UNTIL}{newest}".strip())


def is_former_name(name: AlertId, alert: AlertId) -> bool:
    """Return whether `former_name` gave this name to what had the alert's identity before."""
    return name.created_at.startswith(f"{alert.created_at}{_UNTIL}".lstrip())


def without_namesake(
    known: AlertState, now: Alert | None, contract: Contract, newest: int
) -> AlertState | None:
    """Return an alert by its former name, if another contract's record has its identity; None if not.

    The alert is one without a time of creation, which a rule matched with the contract. `now` is the record
    that the store has; see `former_name`.
    """
    latest = now or known.record
    if latest is None or speaks_of(contract, latest) is not None:
        return None
    mine = known.record is not None and speaks_of(contract, known.record) is not None
    return AlertState(former_name(known.alert, newest), record=known.record if mine else None)


def _same_identity(alert: Alert, gone: AlertState, contracts: Collection[Contract]) -> bool:
    if is_dated(alert.id) != is_dated(gone.alert):
        return False
    if is_dated(alert.id):
        return _same_creation(alert, gone)
    if gone.record is None:
        return False
    return same_details(_with_expiry(gone.record, contracts), _with_expiry(alert, contracts))


def _with_expiry(record: Alert, contracts: Iterable[Contract]) -> Alert:
    """Return a record without expiry with that of its conid's contract, if that is among these."""
    named = (each for each in contracts if each.con_id in record.con_ids)
    days = [day for each in named for day in days_of(each)[:1]]
    if record.expiry.usable or not days:
        return record
    return replace(record, expiry=Expiry(ExpiryKind.DAY, days[0]))


def _same_creation(alert: Alert, gone: AlertState) -> bool:
    texts = (alert.id.created_at, gone.alert.created_at)
    if texts[0] == texts[1]:
        return True
    record = gone.record
    # A record that was gone before it was read keeps the record of the one that it replaced.
    if record is not None and record.id.created_at == gone.alert.created_at and record.created_at is not None:
        return alert.created_at == record.created_at
    one, other = (_moment(text) for text in texts)
    return one is not None and one == other


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None
