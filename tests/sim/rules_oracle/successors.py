"""Which record takes over what one that is gone owns of a contract (rule 2.4), and what it had (rule 2.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from tests.sim.rules_oracle.days import Expiry, expiry_day
from tests.sim.rules_oracle.facts import Contract
from tests.sim.rules_oracle.matching import rule_of
from tests.sim.rules_oracle.names import contract_tickers
from tests.sim.rules_oracle.records import Alert, Record, same_contract
from tests.sim.rules_oracle.tallies import Tally


def successor(
    old: Alert,
    contract: Contract,
    present: Sequence[Alert],
    contracts: Mapping[int, Contract],
    had: Collection[Contract],
) -> Alert | None:
    """Return the record of the same name that speaks of the contract, or of the one that the old spoke of.

    Two spellings side by side are two alerts; once one is gone, the other is the same alert (rule 2.3). What
    spells its ticker is told by every contract that it `had`: SPX is SPXW for what it owns of another class
    too. Of several the rules page says no word: one of its own spelling comes first, then the newest.
    """
    moment = old.record.created.moment
    if moment is not None:
        for alert in present:
            if _same_name(alert, old, had) and alert.record.created.moment == moment:
                return alert
    meant = _with_day_of(contract, old.record)
    candidates = [
        alert
        for alert in present
        if _same_name(alert, old, had)
        and (
            rule_of(alert.record, contract)[0]
            or (
                _one_symbol(old.record, alert.record, contract)
                and same_contract(meant, alert.record, contracts)
            )
        )
    ]
    as_spelled = [alert for alert in candidates if alert.record.spelled == old.spelled]
    return max(as_spelled or candidates, key=lambda alert: alert.created, default=None)


def with_pasts(
    alerts: Sequence[Alert], tallies: Mapping[int, Tally], one_ticker: Callable[[set[str]], bool]
) -> dict[int, Tally]:
    """Return what present alerts show that another spelling of theirs closed, which is gone (rule 2.3).

    It is the same alert, so that is its own; what was closed last is shown.
    """
    pasts: dict[int, Tally] = {}
    closed = [alert for alert in alerts if not alert.present and _last_close(tallies.get(alert.number))]
    for alert in alerts:
        mine = tallies.get(alert.number)
        if not alert.present or alert.record.created.moment is None or (mine is not None and mine.open):
            continue
        for other in closed:
            if _is_same(alert, other, one_ticker):
                best = max(mine, tallies[other.number], key=_last_close) if mine else tallies[other.number]
                pasts[alert.number] = mine = best
    return pasts


def _last_close(tally: Tally | None) -> float:
    """Return when it closed last, 0 where it did not."""
    if tally is None or tally.open or tally.emptied or tally.closed_at is None:
        return 0.0
    return tally.closed_at.timestamp()


def _is_same(one: Alert, other: Alert, one_ticker: Callable[[set[str]], bool]) -> bool:
    return (
        one.record.alerter_key == other.record.alerter_key
        and one.record.created.moment == other.record.created.moment
        and one_ticker({one.record.ticker_key, other.record.ticker_key})
    )


def _with_day_of(contract: Contract, record: Record) -> Record:
    """Have a record without conid and day mean the day of the contract which it owns, where that fits.

    The rules page says no word of it. A record of another day is about another contract, though, and takes
    over nothing.
    """
    day = expiry_day(contract)
    if record.con_ids or record.expiry.day is not None or day is None or not rule_of(record, contract)[0]:
        return record
    return replace(record, expiry=Expiry(day=day))


def _one_symbol(one: Record, other: Record, contract: Contract) -> bool:
    """Rule 2.5: what refuses the contract by its ticker is about no contract of it."""
    keys = {one.symbol_key, other.symbol_key}
    return len(keys) == 1 or keys <= contract_tickers(contract)


def _same_name(one: Alert, other: Alert, had: Collection[Contract]) -> bool:
    """Rules 2.3 and 2.5: any spelling, and any of the contract's tickers for another."""
    keys = {one.record.ticker_key, other.record.ticker_key}
    same_ticker = len(keys) == 1 or any(keys <= contract_tickers(contract) for contract in had)
    return one.record.alerter_key == other.record.alerter_key and same_ticker
