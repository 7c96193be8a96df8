"""What changes a position without a fill: splits, transfers, assignments, exercises, mergers, a new account.

Owns when each happens in a life and what the person beside the tracker knows of it. It is drawn apart from
the rest of the life: lives before `FIRST` have none of it and stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from random import Random
from typing import Final

from tests.sim.broker import AccountContract, Event, SimBroker
from tests.sim.options import Options
from tracker.core.adjustment_rows import Adjustment
from tracker.core.journal_entries import AdjustmentTold
from tracker.core.state import ADJUSTMENTS, DIFFERENCES, HOLDINGS, LedgerState
from tracker.paper.contracts import PaperContract
from tracker.queries.adjustments import Reason, telling
from tracker.status.protocol import CommandError

FIRST: Final = 5_000_000_000
"""From this seed on positions change without fills."""
_RATIOS: Final = ("4:1", "2:1", "3:2", "1:3", "1:10")
_NAMES: Final = {
    "_split": "split",
    "_transfer": "transfer",
    "_assign": "option assigned",
    "_exercise": "option exercised",
    "_merge": "merger",
    "_renumber": "renumbered account",
}
_SHARES: Final = 100
"""What one option is about."""
_LISTED: Final = Decimal("0.0001")
"""The parts of a share in which the broker lists positions."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a person could say about a position that changed."""

    holding: AccountContract
    reason: Reason


class Changes:
    """Change positions at the broker."""

    def __init__(self, seed: int, broker: SimBroker, options: Options) -> None:
        self.rng = rng = Random(f"positions of {seed}")
        self._broker = broker
        self._fractional = options.fractional
        self._rate = rng.uniform(0.02, 0.1)
        self._told = rng.choice((0.0, 0.1, 0.5))
        self._sold = rng.choice((0.0, 0.5, 0.9))
        self._grows = Random(f"owned positions that grow of {seed}")
        self._growing = self._grows.choice((0.0, 0.1, 0.2))
        self._owned = Random(f"owned positions that change of {seed}")
        self._owned_rate = self._owned.choice((0.0, 0.02, 0.05))
        self._waits = Random(f"a person who waits of {seed}")
        self.patient = self._waits.random() < 0.4
        """Whether a person says why a position changed only once two answers have settled it."""
        kinds: list[Callable[[], list[Event]]] = [
            *(self._split, self._transfer, self._transfer, self._assign, self._exercise, self._merge)
        ]
        if not options.watched and len(broker.accounts) > 1:
            kinds.append(self._renumber)
        self._kinds = kinds
        self.known: list[Known] = []
        self.happened: Counter[str] = Counter()
        """How often each kind happened."""

    def happen(self) -> list[Event]:
        """Return what changes now, mostly nothing."""
        if self.rng.random() >= self._rate:
            return []
        kind = self.rng.choice(self._kinds)
        events = kind()
        if events:
            self.happened[_NAMES[kind.__name__]] += 1
        return events

    def told(self, state: LedgerState) -> AdjustmentTold | None:
        """Return what a person tells now of a position that the tracker cannot explain."""
        rng = self._waits if self.patient else self.rng
        if rng.random() >= (0.9 if self.patient else self._told) or not self.known:
            return None
        waiting = {(row.account, row.con_id) for row in state.every(DIFFERENCES) if not row.over}
        settled = {(row.account, row.con_id) for row in state.every(ADJUSTMENTS) if _is_unexplained(row)}
        open_now = settled - waiting if self.patient else settled | waiting
        choices = [one for one in self.known if one.holding in open_now]
        if not choices:
            return None
        one = rng.choice(choices)
        self.known.remove(one)
        try:
            entry = telling(state, str(one.holding[1]), one.reason).entry
        except CommandError:
            # What the broker does not list yet cannot be told yet.
            return None
        self.happened["told cause, settled before" if one.holding in settled - waiting else "told cause"] += 1
        return entry

    def grown(self, state: LedgerState) -> list[Event]:
        """Return that more came of a position of which an alert owns a part, mostly nothing."""
        if self._grows.random() >= self._growing:
            return []
        waiting = {(row.account, row.con_id) for row in state.every(DIFFERENCES) if not row.over}
        keys = [key for key in self._of_alerts(state) if key not in waiting]
        if not keys:
            return []
        key = self._grows.choice(keys)
        held, more = self._at(key), self._grows.randint(1, 9)
        self.happened["more of what is owned"] += 1
        return [self._hold(key, held + (more if held > 0 else -more), _noted(key))]

    def changed(self, state: LedgerState) -> list[Event]:
        """Return what changes of a position of which an alert owns a part, mostly nothing."""
        if self._owned.random() >= self._owned_rate:
            return []
        keys = self._of_alerts(state)
        if not keys:
            return []
        key = self._owned.choice(keys)
        contract = self._broker.contract(key[1])
        if contract.sec_type == "OPT" and self._owned.random() < 0.5:
            self.happened["owned option delivered"] += 1
            return self._delivered(key, self._owned)
        self.happened["owned contract split"] += 1
        return self._split_of(contract, self._owned)

    def sold(self, state: LedgerState) -> tuple[AccountContract, Decimal] | None:
        """Return a position of which an alert owns a part, and how much of it is closed now.

        The broker holds more of it than the tracker can explain: so much is closed, or all.
        """
        if self.rng.random() >= self._sold:
            return None
        choices = sorted(
            ((row.account, row.con_id), row.amount)
            for row in state.every(DIFFERENCES)
            if not row.over
            and row.listed * row.amount > 0
            and self._at((row.account, row.con_id))
            and (holding := state.get(HOLDINGS, f"{row.account} {row.con_id}")) is not None
            and holding.owners
        )
        if not choices:
            return None
        key, more = self.rng.choice(choices)
        held = self._at(key)
        part = more if more * held > 0 and abs(more) < abs(held) else held
        return key, self.rng.choice((held, part))

    # What happens

    def _split(self) -> list[Event]:
        contract = self._stock()
        return [] if contract is None else self._split_of(contract, self.rng)

    def _split_of(self, contract: PaperContract, rng: Random) -> list[Event]:
        text = rng.choice(_RATIOS)
        return [
            self._hold(key, self._whole(held * _ratio(text), contract), Reason(key[0], split=text))
            for key, held in self._held(contract)
        ]

    def _merge(self) -> list[Event]:
        """Have shares become those of another company, in all accounts."""
        contract = self._stock()
        others = [one for one in self._broker.contracts if one.sec_type == "STK" and one is not contract]
        if contract is None or not others:
            return []
        into, text = self.rng.choice(others), self.rng.choice(("1:1", "1:2", "2:1", "3:2"))
        events = []
        for key, held in self._held(contract):
            target = (key[0], into.con_id)
            more = self._whole(held * _ratio(text), into)
            if self._at(target) * more < 0:
                continue
            reason = Reason(key[0], becomes=str(into.con_id), ratio=text)
            events += [self._hold(key, Decimal(0), reason), self._hold(target, self._at(target) + more)]
        return events

    def _renumber(self) -> list[Event]:
        """Have all of an account go on under another number."""
        old, new = self._broker.accounts[:2]
        events = []
        for key, held in list(self._broker.positions.items()):
            target = (new, key[1])
            if key[0] == old and held and self._at(target) * held >= 0:
                events += [
                    self._hold(key, Decimal(0), Reason(old, moved=new)),
                    self._hold(target, self._at(target) + held),
                ]
        return events

    def _transfer(self) -> list[Event]:
        """Have some of a position go, or come."""
        keys = [key for key, held in self._broker.positions.items() if held]
        if not keys:
            return []
        key = self.rng.choice(keys)
        held = self._at(key)
        whole = int(abs(held))
        out = Decimal(self.rng.randint(1, whole)) if whole else abs(held)
        more = self.rng.choice((-out, -out, Decimal(self.rng.randint(1, 9))))
        return [self._hold(key, held + (more if held > 0 else -more), _noted(key))]

    def _assign(self) -> list[Event]:
        """Have some of the options that were sold assigned."""
        return self._some_delivered(-1)

    def _exercise(self) -> list[Event]:
        return self._some_delivered(1)

    def _some_delivered(self, sign: int) -> list[Event]:
        keys = [
            key
            for key, held in self._broker.positions.items()
            if held * sign > 0 and self._broker.contract(key[1]).sec_type == "OPT"
        ]
        return self._delivered(self.rng.choice(keys), self.rng) if keys else []

    def _delivered(self, key: AccountContract, rng: Random) -> list[Event]:
        """Have some of an option delivered: an assignment where it was sold, else an exercise."""
        held, contract = self._at(key), self._broker.contract(key[1])
        sign, whole = 1 if held > 0 else -1, int(abs(held))
        if not whole:
            # Of an option of which parts were sold, less than a whole one may be left.
            return []
        count = rng.randint(1, whole)
        stock = next(
            one for one in self._broker.contracts if (one.symbol, one.sec_type) == (contract.symbol, "STK")
        )
        shares = count * _SHARES * sign * (1 if contract.right == "C" else -1)
        under = (key[0], stock.con_id)
        return [
            self._hold(key, held - count * sign, _noted(key)),
            self._hold(under, self._at(under) + shares, _noted(under)),
        ]

    # How

    def _stock(self) -> PaperContract | None:
        held = {key[1] for key, quantity in self._broker.positions.items() if quantity}
        stocks = [one for one in self._broker.contracts if one.sec_type == "STK" and one.con_id in held]
        return self.rng.choice(stocks) if stocks else None

    def _of_alerts(self, state: LedgerState) -> list[AccountContract]:
        """Return the positions of which an alert owns a part, and which the broker still has on that side."""
        owned = {(row.account, row.contract.con_id): row.held for row in state.every(HOLDINGS) if row.owners}
        return sorted(key for key, held in owned.items() if self._at(key) * held > 0)

    def _held(self, contract: PaperContract) -> list[tuple[AccountContract, Decimal]]:
        positions = self._broker.positions.items()
        return [(key, held) for key, held in positions if held and key[1] == contract.con_id]

    def _at(self, key: AccountContract) -> Decimal:
        return self._broker.positions.get(key, Decimal(0))

    def _whole(self, quantity: Decimal, contract: PaperContract) -> Decimal:
        """Return what is left where parts of a share, or of an option, are paid out."""
        parts = self._fractional and contract.sec_type == "STK"
        return quantity.quantize(_LISTED if parts else Decimal(1), ROUND_DOWN)

    def _hold(self, key: AccountContract, quantity: Decimal, reason: Reason | None = None) -> Event:
        if reason is not None:
            self.known.append(Known(key, reason))
        return self._broker.hold(key, quantity)


def _ratio(text: str) -> Decimal:
    new, _, old = text.partition(":")
    return Decimal(new) / Decimal(old)


def _noted(key: AccountContract) -> Reason:
    return Reason(key[0], note="as the broker says")


def _is_unexplained(row: Adjustment) -> bool:
    return row.amount is not None and not row.undone
