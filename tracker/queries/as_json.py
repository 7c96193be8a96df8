"""Turn rows of the state into the JSON that all answers share: fills, decisions, what an alert shows.

Owns those shapes (ANSWERS.md documents them). Numbers are JSON numbers, times ISO in UTC, alerts named
ALERTER/TICKER with the fields that distinguish their records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, assert_never

from tracker.core.alert_updates import OWNERSHIP, instant, matched_by, number
from tracker.core.model import (
    Alert,
    AlertId,
    AlertUpdate,
    Ambiguous,
    Contract,
    Expiry,
    ExpiryKind,
    JsonValue,
    Match,
    Matched,
    Rejection,
    Rule,
    Side,
    Unmatched,
)
from tracker.core.part_rows import FillPart
from tracker.core.state import FEES, LINKS, LedgerState
from tracker.core.state_rows import Attention, BookedExecution
from tracker.queries.rehearsal import FIRST_REHEARSED

_LONGEST: Final = 10_000
"""The longest text in characters of what a record shows, in an answer."""
_REOPENED: Final = "its alert is open again, and the record had been taken out of the file"

Json: TypeAlias = dict[str, Any]
"""An object of an answer, ready to be written as JSON."""


def alert_json(alert: AlertId) -> Json:
    """Name one record: its name, and the fields that distinguish it from another one of the same name."""
    return {"alert": alert.name, "created_at": alert.created_at, "option_conid": alert.option_conid}


def contract_json(contract: Contract) -> Json:
    """Describe a contract, first in words."""
    return {
        "contract": contract_words(contract),
        "con_id": contract.con_id,
        "symbol": contract.symbol,
        "sec_type": contract.sec_type,
        "expiry": None if contract.expiry is None else contract.expiry.isoformat(),
        "strike": number(contract.strike),
        "right": contract.right or None,
        "multiplier": contract.multiplier or None,
        "currency": contract.currency or None,
        "local_symbol": contract.local_symbol or None,
        "trading_class": contract.trading_class or None,
    }


def contract_words(contract: Contract) -> str:
    """Name a contract: an option by expiry, strike and right."""
    if not contract.is_option:
        return f"{contract.symbol} {contract.sec_type}"
    parts = (contract.symbol, contract.expiry, number(contract.strike), contract.right)
    return " ".join(str(part) for part in parts if part not in (None, ""))


def is_managed(state: LedgerState, account: str) -> bool:
    """Return whether the newest login manages an account; other accounts are left out of answers."""
    link = state.get(LINKS, "last")
    return link is None or link.manages(account)


def fill_json(state: LedgerState, row: BookedExecution) -> Json:
    """Describe one fill: what the broker said, and in short what the tracker decided."""
    execution = row.execution
    fee = state.get(FEES, execution.exec_id)
    return {
        "exec_id": execution.exec_id,
        "account": execution.account,
        "time": instant(execution.time),
        "time_known": execution.time_known,
        "received_at": instant(row.received_at),
        **contract_json(execution.contract),
        "side": execution.side.value,
        "quantity": number(execution.quantity),
        "price": number(execution.price),
        "commission": None if fee is None else number(fee.commission),
        "commission_currency": None if fee is None else fee.currency or None,
        "realized_pnl": None if fee is None else number(fee.realized_pnl),
        "perm_id": execution.perm_id,
        "order_id": execution.order_id,
        "client_id": execution.client_id,
        "order_ref": execution.order_ref or None,
        "source": row.source.value,
        "counted": row.counted,
        "superseded_by": row.superseded_by or None,
        "waiting": not row.folded,
        "opening": number(row.opening),
        "closing": number(row.closing),
        "alerts": [{"alert": owner.name, "matched_by": matched_by(row, owner)} for owner in row.owners],
        "attention": row.attention.value or None,
        "dismissed": row.dismissed,
        "parts": [_part_json(part) for part in row.parts],
        "outcome": outcome(row),
    }


def _part_json(part: FillPart) -> Json:
    """Describe a part; a part of a dry run has no ID."""
    name = str(part.seq) if part.seq < FIRST_REHEARSED else None
    return {"alert": part.alert.name, "quantity": number(part.quantity), "id": name}


def outcome(row: BookedExecution) -> str:
    """Return in one line what happened to a fill, and why it needs a person where that is not part of it."""
    if row.attention is Attention.REOPENED and not row.dismissed:
        return f"{_what_happened(row)}; {_REOPENED}"
    return _what_happened(row)


def _what_happened(row: BookedExecution) -> str:
    touched = ", ".join(dict.fromkeys(owner.name for owner in row.owners))
    if row.superseded_by:
        return f"corrected by {row.superseded_by}"
    if row.execution.contract.is_combo:
        return "the combo's own line; its legs are counted instead"
    if not row.execution.quantity:
        return "the broker cancelled this fill: nothing of it counts"
    if not row.folded:
        return "not decided yet: the broker's answer that it came in, or the positions, are not complete"
    if row.opening and row.closing:
        split = f"closed {number(abs(row.closing))} and opened {number(abs(row.opening))}"
        return f"{split}: {touched or 'no alert'}"
    if row.closing:
        verb = "sold" if row.execution.side is Side.SELL else "bought back"
        if not touched:
            return "closed a position that no alert opened"
        size = abs(row.closing)
        owned = size if row.of_alerts is None else row.of_alerts
        rest = f", {number(size - owned)} of no alert" if owned != size else ""
        return f"{verb} {number(owned)} of {touched}{rest}"
    if not (isinstance(row.match, Matched) or row.divided):
        # A person may have taken back the assignment to an alert.
        given = ", ".join(f"{number(part.quantity)} given to {part.alert.name}" for part in row.parts)
        return f"{given}; the rest: {why_not(row.match)}" if given else why_not(row.match)
    if touched:
        return _opened(row)
    return why_not(row.match)


def _opened(row: BookedExecution) -> str:
    """Name the alerts that own the fill, with their rules; an alert from which it was taken is left out."""
    rules = {owner: matched_by(row, owner) for owner in row.owners}
    bound = {owner: rule for owner, rule in rules.items() if rule != OWNERSHIP} or rules
    names = dict.fromkeys(owner.name for owner in bound)
    return f"opened {', '.join(names)} by {', '.join(dict.fromkeys(bound.values()))}"


def why_not(match: Match) -> str:
    """Say in one line why a fill opened no alert."""
    match match:
        case Unmatched():
            return match.reason
        case Ambiguous():
            return f"{len(match.alerts)} alerts agree by {match.rule.value}: one of them is meant"
        case Matched():
            return "its alert is named, but nothing of it was left"
    assert_never(match)


def why_undecided(booked: BookedExecution) -> str:
    """Say in one line why a fill needs a person; empty where it does not."""
    match = booked.match
    if booked.attention is Attention.REOPENED:
        return _REOPENED
    if isinstance(match, Ambiguous):
        return f"it may belong to {' or '.join(alert.name for alert in match.alerts)}"
    near = [rejection for rejection in match.rejected if rejection.near]
    if near:
        return "; ".join(f"nearly {each.alert.name}, but: {each.reason}" for each in near[:3])
    return why_not(match) if booked.attention is not Attention.NONE else ""


def decision_json(match: Match) -> Json:
    """Describe a decision: the alerts with their rules, and every rejected candidate with its reason."""
    kind, alerts, reason = _parts(match)
    return {
        "decision": kind,
        "reason": reason,
        "alerts": [{**alert_json(alert), "rule": rule.value} for alert, rule in alerts],
        "rejected": [rejection_json(each) for each in match.rejected],
    }


def fill_decision_json(row: BookedExecution) -> Json:
    """Describe the decision about a fill; a fill that only closed belongs to the owners of the position."""
    if not (row.folded and row.closing and not row.opening):
        return decision_json(row.match)
    return {
        "decision": "matched" if row.owners else "unmatched",
        "reason": None if row.owners else outcome(row),
        "alerts": [{**alert_json(owner), "rule": OWNERSHIP} for owner in row.owners],
        "rejected": [],
    }


def _parts(match: Match) -> tuple[str, Sequence[tuple[AlertId, Rule]], str | None]:
    match match:
        case Matched():
            return "matched", match.alerts, None
        case Ambiguous():
            return "ambiguous", [(alert, match.rule) for alert in match.alerts], why_not(match)
        case Unmatched():
            return "unmatched", (), match.reason
    assert_never(match)


def rejection_json(rejection: Rejection) -> Json:
    """Describe a candidate that was rejected, with the reason."""
    return {**alert_json(rejection.alert), "reason": rejection.reason, "near": rejection.near}


def reads_as(alert: Alert) -> Json:
    """Return what matching reads from a record of the store, and what it could not read."""
    return {
        "symbol": alert.symbol,
        "option": alert.is_option,
        "right": alert.right or None,
        "strike": number(alert.strike),
        "expiry": _read_as_day(alert.expiry),
        "con_ids": sorted(alert.con_ids),
        "problems": list(alert.problems),
    }


def _read_as_day(expiry: Expiry) -> str | None:
    """Return the day in ISO form; where a month may be meant, the text of the record."""
    if expiry.kind is ExpiryKind.DAY and expiry.day is not None:
        return expiry.day.isoformat()
    return expiry.text or None


def update_json(update: AlertUpdate) -> Json:
    """Describe what a record must show, under the keys that it has in alerts.json."""
    return {
        **alert_json(update.alert),
        "open": update.open,
        "last_order_update": plain_json(update.last_order_update),
        "position": plain_json(update.position),
        "remove": update.remove,
    }


def plain_json(value: Mapping[str, object] | None) -> JsonValue:
    """Return a copy that can always be written as JSON, whatever another program wrote.

    NaN and infinity become texts; a value that is huge or nested too deeply becomes None.
    """
    if value is None:
        return None
    try:
        text = json.dumps(value)
    except RecursionError:
        return None
    plain: JsonValue = json.loads(text, parse_constant=str) if len(text) <= _LONGEST else None
    return plain
