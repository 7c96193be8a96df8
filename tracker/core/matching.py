"""Decides which alerts an opening fill belongs to.

Owns the rules below and the reason for every candidate that is not meant. Pure: it reads no store and no
clock, and its answer does not depend on the order of the candidates. It never lets a fill cross into
another symbol, from stock to option or from call to put, whatever an order's reference or a conid says.

Rules, strongest first:

    order_ref  the order's reference is ALERTER/TICKER: exclusive, whatever the record's age
    con_id     the fill's conId is one of the record's option conids
    contract   symbol, right, strike and expiry are equal
    strike     symbol, right and strike are equal, the record names no usable expiry or only a month that
               the fill's expiry is in, and is under a day old
    symbol     a stock fill and a record without option details, under a day old

order_ref decides alone. Else every record that con_id or contract names is meant. Else strike or symbol
decide, if exactly one record agrees; several are ambiguous. A fill may be at most `early_fill` older than
the record. Where a record's age is unknown the strong rules hold (an open alert is the safe side), the two
weak ones do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.model import (
    Alert,
    AlertId,
    Ambiguous,
    Contract,
    Execution,
    Expiry,
    ExpiryKind,
    Match,
    Matched,
    Rejection,
    Rule,
    StoredContract,
    Unmatched,
)

_DAY: Final = timedelta(days=1)
_STRONG: Final = (Rule.CON_ID, Rule.CONTRACT)
_REFERENCE_PREFIX: Final = "tracker:"
_REFERENCE_MAX: Final = 200
_SATURDAY: Final = 5
_BUILT_IN_NAMES: Final = AlerterNames()


def match_execution(
    execution: Execution,
    candidates: Iterable[Alert],
    *,
    early_fill: timedelta,
    names: AlerterNames | None = None,
) -> Match:
    """Say which of the candidates the execution belongs to.

    The candidates must hold every record that a rule could name, so the one that orderRef names too.
    Every candidate comes back, matched or with the reason why not, sorted by identity.
    """
    if execution.contract.is_combo:
        return Unmatched("combo line; its legs are counted")
    alerts = sorted({alert.id: alert for alert in candidates}.values(), key=lambda alert: _order(alert.id))
    reference = _read_reference(execution.order_ref, alerts, names or _BUILT_IN_NAMES)
    if reference is not None:
        return _match_by_reference(execution, reference, alerts, early_fill)
    return _match_by_record(execution, alerts, early_fill)


def fill_in(alert: Alert, stored: Sequence[StoredContract]) -> Alert:
    """Add to an alert what it lacks and its alerter's stored contracts know; override nothing.

    Only contracts that agree in symbol, right and strike count, and only such as had not expired when the
    alert was written. The expiry is taken where the alert names none; the conid where the alert has none
    and its expiry does not contradict. Contracts of several expiries add nothing.
    """
    agreeing = [contract for contract in stored if _agrees(alert, contract)]
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
    # created_at is in UTC, whose date may be a day ahead of the one on the wall.
    if alert.created_at is not None and day < alert.created_at.date() - _DAY:
        return False
    return _rule_of_expiry((day,), alert.expiry) is not None


class _Reference(Struct, frozen=True):
    """Hold what an order's reference names; no alert where the named record is not there."""

    text: str
    alerts: tuple[AlertId, ...]


def _read_reference(order_ref: str, alerts: Sequence[Alert], names: AlerterNames) -> _Reference | None:
    """Read ALERTER/TICKER; None where the reference is somebody else's note.

    Other programs put slashes into their references too, so it counts only with the prefix, for an alerter
    that the table lists, or for a record that is there. A ticker may hold a slash (`BRK/B`), hence every
    split is tried.
    """
    text = order_ref.strip()[:_REFERENCE_MAX]
    prefixed = text.lower().startswith(_REFERENCE_PREFIX)
    text = text[len(_REFERENCE_PREFIX) :].strip() if prefixed else text
    parts = [(text[:at].strip(), text[at + 1 :].strip()) for at, sign in enumerate(text) if sign == "/"]
    splits = [(alerter, ticker) for alerter, ticker in parts if alerter and ticker]
    keys = {(names.key(alerter), symbol_key(ticker)) for alerter, ticker in splits}
    named = tuple(alert.id for alert in alerts if _keys(alert.id, names) in keys)
    if len(named) > 1:
        # Two spellings of one alerter may both be keys of the store; the one written out is meant.
        named = tuple(alert for alert in named if alert.name.lower() == text.lower()) or named
    ours = named or (prefixed and splits) or any(names.knows(alerter) for alerter, _ in splits)
    return _Reference(text, named) if ours else None


def _keys(alert: AlertId, names: AlerterNames) -> tuple[str, str]:
    return names.key(alert.alerter), symbol_key(alert.ticker)


def _match_by_reference(
    execution: Execution, reference: _Reference, alerts: Sequence[Alert], early_fill: timedelta
) -> Match:
    meant: list[AlertId] = []
    rejected: list[Rejection] = []
    for alert in alerts:
        if alert.id not in reference.alerts:
            rejected.append(Rejection(alert.id, f"the order's reference names {reference.text}"))
        elif against := contradiction(execution.contract, alert) or _written_later(
            execution, alert, early_fill
        ):
            reason = f"{against}, though the order's reference names it"
            rejected.append(Rejection(alert.id, reason, near=True))
        else:
            meant.append(alert.id)
    if not meant:
        refusals = [f"{entry.alert.name}: {entry.reason}" for entry in rejected if entry.near]
        why = (
            refusals[0]
            if refusals
            else f"the order's reference names {reference.text}; there is no such record"
        )
        return Unmatched(why, tuple(rejected))
    if len(meant) > 1:
        return Ambiguous(Rule.ORDER_REF, tuple(meant), tuple(rejected))
    return Matched(((meant[0], Rule.ORDER_REF),), tuple(rejected))


def _match_by_record(execution: Execution, alerts: Sequence[Alert], early_fill: timedelta) -> Match:
    strong: list[tuple[AlertId, Rule]] = []
    weak: list[tuple[AlertId, Rule]] = []
    rejected: list[Rejection] = []
    for alert in alerts:
        verdict = _judge(execution, alert, early_fill)
        if verdict.rule is None:
            rejected.append(Rejection(alert.id, verdict.reason, verdict.near))
        elif verdict.rule in _STRONG:
            strong.append((alert.id, verdict.rule))
        else:
            weak.append((alert.id, verdict.rule))
    if strong:
        rejected += [
            Rejection(alert, f"it agrees by {rule} only, and a stronger rule names another")
            for alert, rule in weak
        ]
        return Matched(tuple(strong), tuple(sorted(rejected, key=lambda entry: _order(entry.alert))))
    if len(weak) == 1:
        return Matched(tuple(weak), tuple(rejected))
    if weak:
        return Ambiguous(weak[0][1], tuple(alert for alert, _ in weak), tuple(rejected))
    nearest = next((entry for entry in rejected if entry.near), None)
    if nearest is None:
        return Unmatched("no alert speaks of this contract", tuple(rejected))
    return Unmatched(f"no alert agrees; {nearest.alert.name} nearly: {nearest.reason}", tuple(rejected))


class _Verdict(Struct, frozen=True):
    """Hold the rule by which one record agrees, else why it does not."""

    rule: Rule | None
    reason: str = ""
    near: bool = False


def _judge(execution: Execution, alert: Alert, early_fill: timedelta) -> _Verdict:
    """Weigh one record by itself.

    A near miss is worth a person's look: a conid that is right beside something that is not, or a contract
    that is right but for its expiry or the record's age. Another strike or the other right is none, since a
    trader of one symbol fills many of them in a day (0DTE SPX).
    """
    contract = execution.contract
    later = _written_later(execution, alert, early_fill)
    if contract.con_id > 0 and contract.con_id in alert.con_ids:
        if against := contradiction(contract, alert) or later:
            return _Verdict(None, f"{against}, though its conid is the fill's", near=True)
        return _Verdict(Rule.CON_ID)
    if not contract.symbol or symbol_key(alert.symbol) != symbol_key(contract.symbol):
        return _Verdict(None, _difference("symbol", alert.symbol, contract.symbol))
    if crossing := _crossing_kind(contract, alert):
        return _Verdict(None, crossing)
    if contract.is_option:
        return _judge_option(execution, alert, later)
    if contract.sec_type != "STK":
        return _Verdict(None, f"a {contract.sec_type} fill is matched by conid or the order's reference only")
    against = later or _too_old(execution, alert, Rule.SYMBOL)
    return _Verdict(None, against, near=True) if against else _Verdict(Rule.SYMBOL)


def _judge_option(execution: Execution, alert: Alert, later: str) -> _Verdict:
    contract = execution.contract
    against = []
    if not alert.right or alert.right != contract.right:
        against.append(_difference("right", alert.right, contract.right))
    if alert.strike is None or alert.strike != contract.strike:
        against.append(_difference("strike", alert.strike, contract.strike))
    elsewhere = bool(against)
    rule = _rule_of_expiry(_days_meant(contract), alert.expiry)
    if rule is None:
        meant = alert.expiry.day if alert.expiry.month is None else alert.expiry.text
        against.append(_difference("expiry", meant, contract.expiry))
    if later:
        against.append(later)
    elif rule is Rule.STRIKE and (old := _too_old(execution, alert, rule)):
        against.append(old)
    if not against:
        return _Verdict(rule)
    return _Verdict(None, "; ".join(against), near=len(against) == 1 and not elsewhere)


def _difference(what: str, ours: object, theirs: object) -> str:
    return f"its {what} is {ours or 'unknown'}, the fill's is {theirs or 'unknown'}"


def contradiction(contract: Contract, alert: Alert) -> str:
    """Say what neither rule nor person may cross (symbol, stock or option, call or put); empty if nothing.

    What is unknown contradicts nothing.
    """
    ours, theirs = symbol_key(alert.symbol), symbol_key(contract.symbol)
    if ours and theirs and ours != theirs:
        return _difference("symbol", alert.symbol, contract.symbol)
    if crossing := _crossing_kind(contract, alert):
        return crossing
    if contract.is_option and alert.right and contract.right and alert.right != contract.right:
        return _difference("right", alert.right, contract.right)
    return ""


def _crossing_kind(contract: Contract, alert: Alert) -> str:
    if contract.is_option:
        return "" if alert.is_option else "it speaks of no option, the fill is one"
    if contract.sec_type == "STK":
        return "it speaks of an option, the fill is stock" if alert.is_option else ""
    # A future has an expiry and a conid as an option has, but neither strike nor right.
    speaks_of_option = alert.strike is not None or bool(alert.right)
    return f"it speaks of an option, the fill is {contract.sec_type}" if speaks_of_option else ""


def _rule_of_expiry(days: Sequence[date], expiry: Expiry) -> Rule | None:
    """Say how far an alert's expiry carries: to CONTRACT, to STRIKE only, or against the fill (None)."""
    if expiry.day in days:
        return Rule.CONTRACT
    if not expiry.usable or any((day.year, day.month) == expiry.month for day in days):
        return Rule.STRIKE
    return None


def _days_meant(contract: Contract) -> tuple[date, ...]:
    """Return the days by which people call this contract's expiry.

    AM-settled SPX options carry the trading day before as last trade date, where people write the day of
    settlement. Holidays are not known here: a weekend is all that lies between two trading days.
    """
    if contract.expiry is None:
        return ()
    if contract.trading_class != "SPX":
        return (contract.expiry,)
    settled = contract.expiry + _DAY
    while settled.weekday() >= _SATURDAY:
        settled += _DAY
    return (contract.expiry, settled)


def _written_later(execution: Execution, alert: Alert, early_fill: timedelta) -> str:
    if alert.created_at is None or alert.created_at - execution.time <= early_fill:
        return ""
    return f"created {_duration(alert.created_at - execution.time)} after the fill"


def _too_old(execution: Execution, alert: Alert, rule: Rule) -> str:
    if alert.created_at is None:
        return f"its age is unknown, and {rule} alone counts for a day"
    if execution.time - alert.created_at < _DAY:
        return ""
    age = _duration(execution.time - alert.created_at)
    return f"created {age} before the fill, and {rule} alone counts for a day"


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _order(alert: AlertId) -> tuple[str, str, str, int]:
    return (alert.alerter, alert.ticker, alert.created_at, alert.option_conid or -1)
