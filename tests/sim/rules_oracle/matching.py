"""Which alerts an order's fill belongs to, judged as of one moment (section 2).

Owns the rules and what is a near miss. It knows nothing of lots; who owns a lot of the contract is given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tests.sim.rules_oracle.days import meant_days
from tests.sim.rules_oracle.facts import Contract
from tests.sim.rules_oracle.names import Reference, contract_tickers, is_adjusted
from tests.sim.rules_oracle.records import Alert, Record
from tests.sim.rules_oracle.settings import Settings

ORDER_REF: Final = "order_ref"
CON_ID: Final = "con_id"
CONTRACT: Final = "contract"
STRIKE: Final = "strike"
SYMBOL: Final = "symbol"
PERSON: Final = "person"

STRONG: Final = frozenset({CON_ID, CONTRACT})
SETTLING: Final = STRONG | {ORDER_REF}
"""The rules that settle what was ambiguous."""


@dataclass(slots=True)
class Match:
    """The alerts found, each with its rule; or the rivals, of which none is taken."""

    alerts: dict[int, str] = field(default_factory=dict)
    rivals: tuple[int, ...] = ()
    near: dict[int, str] = field(default_factory=dict)
    """Alerts that failed by one thing only, with that thing."""


def rule_of(record: Record, contract: Contract) -> tuple[str, str]:
    """Return the rule by which the record is about the contract, without age; else "" and what was near."""
    by_con_id = contract.con_id in record.con_ids
    if record.symbol_key not in contract_tickers(contract):
        # Rule 2.5: a ticker that is none of these refuses, also with the right conid.
        return "", "the conid agrees, the ticker does not" if by_con_id else ""
    if by_con_id:
        against = contradicts(record, contract)
        return ("", f"the conid agrees, {against}") if against else (CON_ID, "")
    if contract.is_option:
        rule = _option_rule(record, contract)
        if rule and is_adjusted(contract):
            # Rule 2.7: by conid only.
            return "", "the contract was adjusted by a corporate action"
        return rule, ""
    if contract.sec_type == "STK" and record.stock:
        return SYMBOL, ""
    return "", ""


def contradicts(record: Record, contract: Contract) -> str:
    """No rule crosses stock and option or call and put; say which it would cross."""
    if contract.is_option and record.right and record.right != contract.right[:1].upper():
        return "call and put do not"
    if contract.is_option and record.stock:
        return "the alert is for shares"
    if contract.sec_type == "STK" and not record.stock:
        return "the alert is for an option"
    return ""


def _option_rule(record: Record, contract: Contract) -> str:
    if not record.right or record.right != contract.right[:1].upper():
        return ""
    if record.strike is None or record.strike != contract.strike:
        return ""
    days = meant_days(contract)
    if record.expiry.day is not None:
        return CONTRACT if record.expiry.day in days else ""
    if record.expiry.month is not None:
        return STRIKE if record.expiry.month in {(day.year, day.month) for day in days} else ""
    return STRIKE


def named_by(reference: Reference, alerts: Sequence[Alert], contract: Contract) -> list[Alert]:
    """Return the alerts that a reference names, the closest spelling first and alone (rule 2.1)."""
    tickers = contract_tickers(contract)
    tiers: tuple[list[Alert], ...] = ([], [], [])
    for alert in alerts:
        record = alert.record
        if record.alerter_key != reference.alerter:
            continue
        if (record.alerter, record.ticker) == (reference.alerter_text, reference.ticker_text):
            tiers[0].append(alert)
        elif record.ticker_key == reference.ticker:
            tiers[1].append(alert)
        elif record.ticker_key in tickers and reference.ticker in tickers:
            tiers[2].append(alert)
    return next((tier for tier in tiers if tier), [])


def match(
    contract: Contract,
    when: datetime,
    reference: Reference | None,
    alerts: Sequence[Alert],
    owners: Collection[int],
    settings: Settings,
) -> Match:
    """Match the first fill of an order, at `when`; `owners` are the alerts that own a lot of the contract."""
    found = Match()

    def young_enough(alert: Alert) -> bool:
        """An alert may be at most `early_fill` younger than the fill; tell what came just too late."""
        return alert.created <= when + settings.early_fill

    def told_late(alert: Alert) -> bool:
        return alert.created <= when + settings.retry_for

    if reference is not None and (reference.certain or named_by(reference, alerts, contract)):
        _by_reference(found, reference, contract, alerts, young_enough, told_late)
        return found
    weak: dict[int, str] = {}
    old: dict[int, str] = {}
    for alert in alerts:
        rule, near = rule_of(alert.record, contract)
        if near:
            if young_enough(alert):
                found.near[alert.number] = near
        elif rule and not young_enough(alert):
            if told_late(alert):
                found.near[alert.number] = "the alert came too long after the fill"
        elif rule in STRONG:
            found.alerts[alert.number] = rule
        elif rule and when - alert.created < settings.weak_age:
            weak[alert.number] = rule
        elif rule and alert.number in owners:
            # Rule 2.2: it counts beyond the age limit where nobody younger agrees.
            old[alert.number] = rule
    if not found.alerts:
        _one_of(found, weak or old)
    if found.alerts:
        found.near.clear()
    return found


def _by_reference(
    found: Match,
    reference: Reference,
    contract: Contract,
    alerts: Sequence[Alert],
    young_enough: Callable[[Alert], bool],
    told_late: Callable[[Alert], bool],
) -> None:
    """First and alone: an order with a reference belongs to no other alert, even without such a record."""
    named = named_by(reference, alerts, contract)
    fitting: dict[int, str] = {}
    for alert in named:
        against = contradicts(alert.record, contract)
        if against:
            found.near[alert.number] = f"the order's reference names the alert, {against}"
        elif alert.record.symbol_key not in contract_tickers(contract):
            # Rule 2.5: its key is one of the contract's tickers, what its details say is none.
            found.near[alert.number] = "the order's reference names the alert, its ticker is another one"
        elif young_enough(alert):
            fitting[alert.number] = ORDER_REF
        elif told_late(alert):
            found.near[alert.number] = "the alert came too long after the fill"
    _one_of(found, fitting)


def _one_of(found: Match, candidates: dict[int, str]) -> None:
    if len(candidates) == 1:
        found.alerts.update(candidates)
    elif candidates:
        found.rivals = tuple(sorted(candidates))
