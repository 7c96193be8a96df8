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
    by_name = sorted(present, key=lambda alert: (alert.record.spelled != old.spelled, alert.record.spelled))
    for alert in by_name:
        if _same_name(alert, old, had) and _same_identity(alert, old, contracts):
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
    alerts: Sequence[Alert],
    tallies: Mapping[int, Tally],
    one_ticker: Callable[[set[str]], bool],
    contracts: Mapping[int, Contract],
) -> dict[int, Tally]:
    """Return what present alerts show that another spelling of theirs closed, which is gone (rule 2.3).

    It is the same alert, so that is its own; what was closed last is shown.
    """
    pasts: dict[int, Tally] = {}
    for gone in alerts:
        if gone.present or not _last_close(tallies.get(gone.number)):
            continue
        same = [one for one in alerts if one.present and _is_same(one, gone, one_ticker, contracts)]
        if not same:
            continue
        heir = min(same, key=lambda one: (one.record.spelled != gone.spelled, one.record.spelled))
        mine = pasts.get(heir.number) or tallies.get(heir.number)
        if mine is None or not mine.open:
            pasts[heir.number] = max((mine or Tally(), tallies[gone.number]), key=_last_close)
    return pasts


def _last_close(tally: Tally | None) -> float:
    """Return when it closed last, 0 where it did not."""
    if tally is None or tally.open or tally.emptied or tally.closed_at is None:
        return 0.0
    return tally.closed_at.timestamp()


def _is_same(
    one: Alert, other: Alert, one_ticker: Callable[[set[str]], bool], contracts: Mapping[int, Contract]
) -> bool:
    return (
        one.record.alerter_key == other.record.alerter_key
        and one_ticker({one.record.ticker_key, other.record.ticker_key})
        and _same_identity(one, other, contracts)
    )


def _same_identity(one: Alert, other: Alert, contracts: Mapping[int, Contract]) -> bool:
    """Rule 2.3: of one creation; where neither has one to the second, about one contract."""
    if one.record.created.moment is not None or other.record.created.moment is not None:
        return one.record.created.moment == other.record.created.moment
    untouched = one.record.details_text == other.record.details_text
    return untouched or same_contract(other.record, one.record, contracts)


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
