"""Which record is the same alert as one that is gone (rule 2.3), or takes over what it owns (rule 2.4)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from tests.sim.rules_oracle.days import Expiry, expiry_day
from tests.sim.rules_oracle.entries import Decision
from tests.sim.rules_oracle.facts import AccountContract, Contract
from tests.sim.rules_oracle.folded import Folded
from tests.sim.rules_oracle.matching import rule_of
from tests.sim.rules_oracle.names import contract_tickers
from tests.sim.rules_oracle.records import Alert, Record, same_contract
from tests.sim.rules_oracle.tallies import Tally


class Takeover(NamedTuple):
    """What goes from a record that is gone to one that is there."""

    old: int
    new: int
    holding: AccountContract | None = None
    """None where it is the same alert by another name, which keeps all that it ever had."""


@dataclass(slots=True)
class Successions:
    """Find every takeover by what is known at one moment."""

    alerts: Sequence[Alert]
    folds: Mapping[AccountContract, Folded]
    tallies: Mapping[int, Tally]
    contracts: Mapping[int, Contract]
    decisions: Sequence[Decision]
    returned: Mapping[int, int]
    """alert -> how many decisions there were as it was there again last."""

    def find(self) -> list[Takeover]:
        """Return all of them.

        Of several that hand over to one the rules page says no word: first the one that is spelled as it,
        then the oldest.
        """

        def turn(takeover: Takeover) -> tuple[bool, datetime]:
            old, new = self.alerts[takeover.old], self.alerts[takeover.new]
            return old.spelled != new.record.spelled, old.created

        gone = [alert for alert in self.alerts if not alert.present and alert.number in self.tallies]
        return sorted((each for old in gone for each in self._of(old)), key=turn)

    def _of(self, old: Alert) -> Iterator[Takeover]:
        owned = [
            holding
            for holding, folded in self.folds.items()
            if any(lot.quantity and old.number in lot.owners for lot in folded.lots)
        ]
        before = {holding: self.successor_before(old, holding[1]) for holding in owned}
        present = [alert for alert in self.alerts if alert.present]
        had = [self.contracts[con_id] for _, con_id in self.tallies[old.number].parts]
        # One that handed on all it owned is over, unless something of it is told late.
        over = not owned and any(one.old == old.number for one in self._since_return(old))
        if not over and (not owned or None in before.values()):
            same = same_alert(old, present, self.contracts, had)
            if same is not None:
                yield Takeover(old.number, same.number)
                return
        for holding in owned:
            new = before[holding] or successor(old, self.contracts[holding[1]], present, self.contracts, had)
            if new is not None:
                yield Takeover(old.number, new.number, holding)

    def owner_now(self, old: Alert, con_id: int) -> Alert:
        """Return whose a fill is that follows an order of a record which may be gone.

        One that took over all it had takes over this contract too, where rule 2.4 lets it.
        """
        if old.present:
            return old
        if (heir := self.successor_before(old, con_id)) is not None:
            return heir
        heirs = self._heirs(old)
        # It may have had nothing yet, or nothing any longer: it is told by what it would own, too.
        tally = self.tallies.get(old.number)
        con_ids = {con_id, *(each for _, each in (tally.parts if tally is not None else ()))}
        had = [self.contracts[each] for each in con_ids]
        there = [alert for alert in self.alerts if alert.present and alert.number in heirs]
        return successor(old, self.contracts[con_id], there, self.contracts, had) or old

    def _heirs(self, old: Alert) -> list[int]:
        """Return the records that took over something of it, also from one that had taken over from it."""
        found = [old.number]
        for number in found:
            since = self._since_return(self.alerts[number])
            new = {one.new for one in since if one.old == number}
            found += sorted(new.difference(found))
        return found[1:]

    def _since_return(self, alert: Alert) -> Sequence[Decision]:
        return self.decisions[self.returned.get(alert.number, 0) :]

    def successor_before(self, old: Alert, con_id: int) -> Alert | None:
        """Return who took over this contract from a record before, while it is there.

        What is told late of the record, in any account, goes the same way; the rules page says no word of it.
        Once the record is there again, it is as if none had.
        """
        after = {
            one.old: one.new
            for number, one in enumerate(self.decisions)
            if one.new >= 0 and one.holding[1] == con_id and number >= self.returned.get(one.old, 0)
        }
        number, passed = old.number, set[int]()
        while number in after and number not in passed:
            passed.add(number)
            number = after[number]
            if self.alerts[number].present:
                return self.alerts[number]
        return None


def same_alert(
    old: Alert, present: Sequence[Alert], contracts: Mapping[int, Contract], had: Collection[Contract]
) -> Alert | None:
    """Return the record that is the same alert by another name.

    Two spellings side by side are two alerts; once one is gone, the other is the same alert (rule 2.3). What
    spells its ticker is told by every contract that it `had`: SPX is SPXW for what it owns of another class
    too. Of several the rules page says no word: one of its own spelling comes first, then the first by name.
    """
    by_name = sorted(present, key=lambda alert: (alert.record.spelled != old.spelled, alert.record.spelled))
    for alert in by_name:
        if _same_name(alert, old, had) and _same_identity(alert, old, contracts):
            return alert
    return None


def successor(
    old: Alert,
    contract: Contract,
    present: Sequence[Alert],
    contracts: Mapping[int, Contract],
    had: Collection[Contract],
) -> Alert | None:
    """Return the record of the same name that speaks of the contract, or of the one that the old spoke of.

    Of several the rules page says no word: one of its own spelling comes first, then the newest.
    """
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
