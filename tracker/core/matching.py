"""Decide which alerts an opening fill belongs to.

Owns the rules below and the reason for every rejected candidate. Pure: it reads no store and no clock, and
its answer does not depend on the order of the candidates. It never lets a fill cross into another symbol,
from stock to option or from call to put, whatever an order's reference or a conid says.

| rule, strongest first | holds when |
|---|---|
| order_ref | the order's reference is ALERTER/TICKER: exclusive, whatever the record's age |
| con_id | the fill's conId is one of the record's option conids |
| contract | symbol, right, strike and expiry are equal |
| strike | symbol, right and strike equal, no usable expiry or only the fill's month, under a day old |
| symbol | a stock fill and a record without option details, under a day old |

- order_ref decides alone. Else every record that con_id or contract names matches. Else strike or symbol
  decides, if exactly one record agrees; several are ambiguous.
- A fill may be at most `early_fill` older than the record.
- If a record's age is unknown, the strong rules apply (an open alert is the safe side), the weak ones do not.
- After its first day a record that owns a part of the contract agrees by a weak rule, if no younger one does.
- An adjusted contract (corporate action) matches by its conid only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.contracts import adjustment_of, days_of, tickers_of
from tracker.core.model import (
    Alert,
    AlertId,
    Ambiguous,
    Contract,
    Execution,
    Expiry,
    Match,
    Matched,
    Rejection,
    Rule,
    Unmatched,
)
from tracker.core.references import Reference, alert_key, read_reference, written_key

_DAY: Final = timedelta(days=1)
STRONG: Final = (Rule.CON_ID, Rule.CONTRACT)
"""The rules that name a contract; several records may match by them."""
_BUILT_IN_NAMES: Final = AlerterNames()
_NO_SKEW: Final = timedelta(0)


def nothing_owned_by(alert: AlertId) -> bool:
    """Return False: the record owns no part of the contract."""
    return False


def match_execution(
    execution: Execution,
    candidates: Iterable[Alert],
    *,
    early_fill: timedelta,
    names: AlerterNames | None = None,
    owns: Callable[[AlertId], bool] = nothing_owned_by,
    skew: timedelta = _NO_SKEW,
) -> Match:
    """Return which of the candidates the execution belongs to.

    The candidates must include every record that a rule could name, also the one that orderRef names. `owns`
    returns whether a record owns a part of the contract; it is called for old records only. `skew` is how far
    the clock of the stores is ahead of the broker's. The result has every candidate, matched or with the
    reason why not, sorted by identity.
    """
    if execution.contract.is_combo:
        return Unmatched("combo line; its legs are counted")
    alerts = sorted({alert.id: alert for alert in candidates}.values(), key=lambda alert: _order(alert.id))
    if skew:
        alerts = [_on_the_brokers_clock(alert, skew) for alert in alerts]
    found = read_reference(execution.order_ref, execution.contract, names or _BUILT_IN_NAMES)
    named = _named(found, execution.contract, alerts, names or _BUILT_IN_NAMES)
    if named or found.certain:
        return _match_by_reference(execution, found.text, named, alerts, early_fill)
    return _match_by_record(execution, alerts, early_fill, owns)


def _on_the_brokers_clock(alert: Alert, skew: timedelta) -> Alert:
    return replace(
        alert,
        created_at=None if alert.created_at is None else alert.created_at - skew,
        first_seen=None if alert.first_seen is None else alert.first_seen - skew,
    )


def speaks_of(contract: Contract, alert: Alert) -> Rule | None:
    """Return the rule by which a record names a contract, whatever its age; None if it does not."""
    return _rule_of(contract, alert).rule


def same_contract(one: Alert, other: Alert) -> bool:
    """Return whether two records are about the same contract, as far as both name it."""
    return symbol_key(one.symbol) == symbol_key(other.symbol) and same_details(one, other)


def same_details(one: Alert, other: Alert) -> bool:
    """Return whether two records of one ticker are about the same contract, as far as both name it.

    An equal conid is not enough if other details differ: then one of the two records is wrong.
    """
    if one.is_option != other.is_option:
        return False
    if (one.right, one.strike) == (other.right, other.strike):
        return _same_expiry(one.expiry, other.expiry)
    both_say = all(alert.right and alert.strike is not None for alert in (one, other))
    return bool(one.con_ids & other.con_ids) and not both_say


def _same_expiry(one: Expiry, other: Expiry) -> bool:
    if not one.usable or not other.usable or (one.day is not None and one.day == other.day):
        return True
    if one.month is None and other.month is None:
        return False
    return bool(_months(one) & _months(other))


def _months(expiry: Expiry) -> set[tuple[int, int]]:
    if expiry.month is not None:
        return {expiry.month}
    return set() if expiry.day is None else {(expiry.day.year, expiry.day.month)}


def _named(
    reference: Reference, contract: Contract, alerts: Sequence[Alert], names: AlerterNames
) -> tuple[AlertId, ...]:
    """Return the records that a reference names."""
    if not reference.keys:
        return ()
    named = tuple(alert.id for alert in alerts if alert_key(alert.id, contract, names) in reference.keys)
    if len(named) < 2:
        return named
    # The store may have several spellings: the exact name wins, else the exact ticker.
    exactly = tuple(alert for alert in named if alert.name.lower() == reference.text.lower())
    by_ticker = (alert for alert in named if written_key(*alert[:2], names) in reference.as_written)
    return exactly or tuple(by_ticker) or named


def _match_by_reference(
    execution: Execution, text: str, named: Collection[AlertId], alerts: Sequence[Alert], early: timedelta
) -> Match:
    meant: list[AlertId] = []
    rejected: list[Rejection] = []
    for alert in alerts:
        if alert.id not in named:
            rejected.append(Rejection(alert.id, f"the order's reference names {text}"))
        elif against := contradiction(execution.contract, alert) or _written_later(execution, alert, early):
            reason = f"{against}, though the order's reference names it"
            rejected.append(Rejection(alert.id, reason, near=True))
        else:
            meant.append(alert.id)
    if not meant:
        refusals = [f"{entry.alert.name}: {entry.reason}" for entry in rejected if entry.near]
        why = refusals[0] if refusals else f"the order's reference names {text}; there is no such record"
        return Unmatched(why, tuple(rejected))
    if len(meant) > 1:
        return Ambiguous(Rule.ORDER_REF, tuple(meant), tuple(rejected))
    return Matched(((meant[0], Rule.ORDER_REF),), tuple(rejected))


def _match_by_record(
    execution: Execution, alerts: Sequence[Alert], early: timedelta, owns: Callable[[AlertId], bool]
) -> Match:
    strong: list[tuple[AlertId, Rule]] = []
    weak: list[tuple[AlertId, Rule]] = []
    older: list[tuple[AlertId, Rule]] = []
    rejected: list[Rejection] = []
    for alert in alerts:
        verdict = _judge(execution, alert, early)
        if verdict.rule is None:
            if verdict.too_old is not None:
                older.append((alert.id, verdict.too_old))
            rejected.append(Rejection(alert.id, verdict.reason, verdict.near))
        elif verdict.rule in STRONG:
            strong.append((alert.id, verdict.rule))
        else:
            weak.append((alert.id, verdict.rule))
    if strong:
        rejected += [
            Rejection(alert, f"it agrees by {rule} only, and a stronger rule names another")
            for alert, rule in weak
        ]
        return Matched(tuple(strong), tuple(sorted(rejected, key=lambda entry: _order(entry.alert))))
    if not weak:
        # To find what a record owns can cost a look at the whole past of the contract.
        weak = [(alert, rule) for alert, rule in older if owns(alert)]
        kept = {alert for alert, _ in weak}
        rejected = [entry for entry in rejected if entry.alert not in kept]
    if len(weak) == 1:
        return Matched(tuple(weak), tuple(rejected))
    if weak:
        return Ambiguous(weak[0][1], tuple(alert for alert, _ in weak), tuple(rejected))
    nearest = next((entry for entry in rejected if entry.near), None)
    if nearest is None:
        return Unmatched("no alert is about this contract", tuple(rejected))
    return Unmatched(f"no alert agrees; {nearest.alert.name} nearly: {nearest.reason}", tuple(rejected))


class _Verdict(Struct, frozen=True):
    """Hold the rule by which one record agrees, else why it does not."""

    rule: Rule | None
    reason: str = ""
    near: bool = False
    too_old: Rule | None = None
    """The weak rule by which it would agree if it were younger."""


def _judge(execution: Execution, alert: Alert, early: timedelta) -> _Verdict:
    """Judge one record by itself, its age included.

    A near miss needs a person: an equal conid with a different detail, or an equal contract except for its
    expiry, its deliverable or the record's age. Another strike or right is no near miss, since a trader of
    one symbol fills many of them in a day (0DTE SPX).
    """
    verdict = _rule_of(execution.contract, alert)
    if verdict.rule is None:
        later = _written_later(execution, alert, early) if verdict.near else ""
        if not later or _has_con_id(execution.contract, alert):
            return verdict
        # Two details differ, so it is no near miss any more.
        return _Verdict(None, f"{verdict.reason}; {later}")
    if later := _written_later(execution, alert, early):
        by_con_id = ", though its conid is the fill's" if verdict.rule is Rule.CON_ID else ""
        return _Verdict(None, later + by_con_id, near=True)
    if verdict.rule not in STRONG and (old := _too_old(execution, alert, verdict.rule)):
        return _Verdict(None, old, near=True, too_old=verdict.rule)
    return verdict


def _has_con_id(contract: Contract, alert: Alert) -> bool:
    return contract.con_id > 0 and contract.con_id in alert.con_ids


def _rule_of(contract: Contract, alert: Alert) -> _Verdict:
    """Judge what one record says about a contract, whatever its age."""
    if _has_con_id(contract, alert):
        if against := contradiction(contract, alert):
            return _Verdict(None, f"{against}, though its conid is the fill's", near=True)
        return _Verdict(Rule.CON_ID)
    if symbol_key(alert.symbol) not in tickers_of(contract):
        return _Verdict(None, _difference("symbol", alert.symbol, contract.symbol))
    if crossing := _crossing_kind(contract, alert):
        return _Verdict(None, crossing)
    if contract.is_option:
        return _rule_of_option(contract, alert)
    if contract.sec_type != "STK":
        return _Verdict(None, f"a {contract.sec_type} fill is matched by conid or the order's reference only")
    return _Verdict(Rule.SYMBOL)


def _rule_of_option(contract: Contract, alert: Alert) -> _Verdict:
    against = []
    if not alert.right or alert.right != contract.right:
        against.append(_difference("right", alert.right, contract.right))
    if alert.strike is None or alert.strike != contract.strike:
        against.append(_difference("strike", alert.strike, contract.strike))
    elsewhere = bool(against)
    rule = _rule_of_expiry(days_of(contract), alert.expiry)
    if rule is None:
        meant = alert.expiry.day if alert.expiry.month is None else alert.expiry.text
        theirs = next(iter(days_of(contract)), None)
        against.append(_difference("expiry", meant, theirs))
    if adjustment := adjustment_of(contract):
        against.append(f"the fill is of {adjustment}, which an alert means by its conid only")
    if not against:
        return _Verdict(rule)
    return _Verdict(None, "; ".join(against), near=len(against) == 1 and not elsewhere)


def _difference(what: str, ours: object, theirs: object) -> str:
    return f"its {what} is {ours or 'unknown'}, the fill's is {theirs or 'unknown'}"


def contradiction(contract: Contract, alert: Alert) -> str:
    """Return the difference that neither rule nor person may cross (symbol, stock or option, call or put).

    Empty if there is none; what is unknown contradicts nothing.
    """
    ours, theirs = symbol_key(alert.symbol), tickers_of(contract)
    if ours and theirs and ours not in theirs:
        return _difference("symbol", alert.symbol, contract.symbol)
    if crossing := _crossing_kind(contract, alert):
        return crossing
    if contract.is_option and alert.right and contract.right and alert.right != contract.right:
        return _difference("right", alert.right, contract.right)
    return ""


def _crossing_kind(contract: Contract, alert: Alert) -> str:
    if contract.is_option:
        return "" if alert.is_option else "it is about shares, the fill is an option"
    if contract.sec_type == "STK":
        return "it is about an option, the fill is shares" if alert.is_option else ""
    # A future has an expiry and a conid like an option, but neither strike nor right.
    about_option = alert.strike is not None or bool(alert.right)
    return f"it is about an option, the fill is {contract.sec_type}" if about_option else ""


def _rule_of_expiry(days: Sequence[date], expiry: Expiry) -> Rule | None:
    """Return the rule that an alert's expiry allows: CONTRACT, STRIKE only, or None if it contradicts."""
    if expiry.day in days:
        return Rule.CONTRACT
    if not expiry.usable or any((day.year, day.month) == expiry.month for day in days):
        return Rule.STRIKE
    return None


def _written_later(execution: Execution, alert: Alert, early: timedelta) -> str:
    began = alert.began_at
    if began is None or began - execution.time <= early:
        return ""
    return f"{_began(alert)} {_duration(began - execution.time)} after the fill"


def _too_old(execution: Execution, alert: Alert, rule: Rule) -> str:
    began = alert.began_at
    if began is None:
        return f"its age is unknown, and {rule} alone counts for a day"
    if execution.time - began < _DAY:
        return ""
    age = _duration(execution.time - began)
    return f"{_began(alert)} {age} before the fill, and {rule} alone counts for a day"


def _began(alert: Alert) -> str:
    return "created" if alert.created_at is not None else "first seen"


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            # Hours with their minutes: an alert in a wrong zone is off by nearly whole hours.
            minutes = seconds % 3_600 // 60 if unit == "h" else 0
            return f"{seconds // length} {unit}" + (f" {minutes} min" if minutes else "")
    return f"{seconds} s"


def _order(alert: AlertId) -> tuple[str, str, str, int]:
    return (alert.alerter, alert.ticker, alert.created_at, alert.option_conid or -1)
