"""Replay the events: book executions, follow the store, and write down each decision with its place.

Owns section 1: when an order is matched, again or not, and where a decision stands. Lots, owners and
positions are folded again from all facts and decisions each time they are asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from tests.sim.rules_oracle.answers import MovedIn
from tests.sim.rules_oracle.entries import BEGINNING, Decision, Kind, Place
from tests.sim.rules_oracle.facts import (
    ZERO,
    AccountContract,
    ClockJumped,
    Connected,
    Event,
    Executed,
    Fact,
    FirstSeenKept,
    Known,
    LookedAgain,
    LookNoted,
    OrderKey,
    PersonDecided,
    RunTimeKept,
    SkewMeasured,
    Started,
    Stopped,
    StoreRead,
    StoreUnchanged,
    UndecodableArrived,
    fact_key,
    order_key,
    root_and_version,
)
from tests.sim.rules_oracle.folded import Folded, Lot
from tests.sim.rules_oracle.folds import Folds
from tests.sim.rules_oracle.holdings import Holdings
from tests.sim.rules_oracle.matching import ORDER_REF, PERSON, SETTLING, STRONG, Match, match
from tests.sim.rules_oracle.names import Alerters, Reference, contract_tickers, read_reference
from tests.sim.rules_oracle.persons import Persons
from tests.sim.rules_oracle.records import Registry
from tests.sim.rules_oracle.reopened import Reopened
from tests.sim.rules_oracle.settings import Settings
from tests.sim.rules_oracle.successors import Successions, Takeover
from tests.sim.rules_oracle.tallies import Tally, tally

_NO_TIME = timedelta(0)


class Replay:
    """Handle one event after the other, in the order in which the tracker did."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.alerters = Alerters(settings.aliases)
        self.holdings = Holdings(settings, self._position, self._difference, self._moved_in)
        self.registry = Registry(self.alerters, self._one_ticker, self.holdings.contracts)
        self.facts: dict[str, Fact] = {}
        self._exec_ids: set[tuple[str, str]] = set()
        self.decisions: list[Decision] = []
        self.persons = Persons()
        self.by_reference: set[OrderKey] = set()
        self.ambiguous: dict[OrderKey, tuple[int, ...]] = {}
        self.near: dict[OrderKey, dict[int, str]] = {}
        self.undecodable: dict[str, UndecodableArrived] = {}
        self._reopened = Reopened(self.facts, self.registry)
        self.unmanaged: frozenset[str] = frozenset()
        self._running = True
        self._readable = False
        self._was_read = False
        """Whether this process has read the store."""
        self._look = self._look_before = False
        self._noted: dict[Takeover, int] = {}
        """Takeovers that were written down and not decided yet -> the frame behind which they were."""
        self._returned: dict[int, int] = {}
        """alert -> how many decisions there were as it was there again last."""
        self._unlooked = False
        """Whether something was read that is not looked through yet."""
        self._lived = self._lived_seen = self._lived_kept = _NO_TIME
        """How long we ran with a readable store, up to the last look at it, and as outlasts a crash."""
        self._last_at: datetime | None = None
        self._tallied: list[Folded] = []
        self._tallies: dict[int, Tally] = {}
        """What was summed up of these folds last."""
        self.folds = Folds(self)

    # Events

    def handle(self, event: Event) -> None:
        """Take in one event and decide what it makes decidable."""
        self._live_until(event)
        if isinstance(event, Executed):
            self._executed(event)
        elif isinstance(event, StoreRead):
            self._store_read(event)
        elif isinstance(event, LookedAgain):
            self._look_again(event)
        elif isinstance(event, LookNoted):
            for takeover in self._takeovers():
                self._noted.setdefault(takeover, event.behind)
            self.registry.look(self.tallies())
        elif isinstance(event, PersonDecided):
            self._person_decided(event)
        elif isinstance(event, UndecodableArrived):
            self.undecodable[event.exec_id or f"frame {len(self.undecodable)}"] = event
        elif isinstance(event, SkewMeasured):
            # What was compared by a clock that was off by something else is compared once more.
            self._look = self.registry.measured(event.skew) or self._look
        elif isinstance(event, Started):
            self._look_before, self._look = self._look, True
            self._running, self._readable, self._unlooked, self._was_read = True, False, False, False
        elif isinstance(event, Stopped):
            self._running = False
            self._lived = self._lived_seen = self._lived_kept if event.killed else self._lived
            if event.killed:
                self.registry.lose_unkept()
        elif isinstance(event, RunTimeKept):
            self._lived_kept = self._lived
        elif isinstance(event, FirstSeenKept):
            self.registry.keep_seen()
        elif isinstance(event, Connected):
            known = frozenset(fact.order.account for fact in self.facts.values())
            self.unmanaged = known - event.accounts if event.accounts else frozenset()
        self.holdings.handle(event)
        if self._readable and not self._unlooked and not self.settings.looks_are_told:
            self._take_over(event.at, self._takeovers())
        self._reopened.note(event, self.tallies())

    def _live_until(self, event: Event) -> None:
        """Rule 1.6: the retry window counts only time in which we ran with a readable store.

        What lies between two looks, the later of which finds no store, is time in which nobody could look.
        """
        if isinstance(event, StoreRead) and event.alerts is None:
            self._lived = self._lived_seen
        if self._last_at is not None and self._running and self._readable and not isinstance(event, Started):
            jumped = event.by if isinstance(event, ClockJumped) else _NO_TIME
            if not (isinstance(event, StoreRead) and event.alerts is None):
                self._lived += max(event.at - self._last_at - jumped, _NO_TIME)
        if isinstance(event, StoreRead | StoreUnchanged | LookedAgain):
            self._lived_seen = self._lived
        # What was received while something else was read is handled later; that time passed only once.
        behind = self._last_at is not None and not isinstance(event, ClockJumped | Started)
        self._last_at = max(event.at, self._last_at) if behind and self._last_at is not None else event.at

    # Executions

    def _executed(self, event: Executed) -> None:
        if event.contract.sec_type == "BAG":
            return
        key, (root, version) = fact_key(event), root_and_version(event.exec_id)
        if not event.quantity and version <= 1 and key not in self.facts:
            self.undecodable[event.exec_id] = UndecodableArrived(event.at, event.exec_id)
            return
        self.undecodable.pop(event.exec_id, None)
        if (event.account, event.exec_id) in self._exec_ids:
            return
        self._exec_ids.add((event.account, event.exec_id))
        if (fact := self.facts.get(key)) is not None:
            self.holdings.corrected(fact, version, event)
            return
        order = order_key(event)
        before = self.fold_of(order.holding)
        owned = before.owners.get(order, {})
        self._lived_kept = self._lived
        fact = Fact(key, root, order, len(self.facts), self._lived)
        fact.versions[version], fact.arrived[version] = event, self.holdings.arriving
        self.facts[key] = fact
        self.holdings.booked(fact)
        if owned:
            self._follow(fact, before, owned)
        elif self._was_read and not self.persons.decided(order):
            # A store that cannot be read just now still has the alerts that it had.
            self._match_booked(fact)

    def _follow(self, fact: Fact, before: Folded, owned: Mapping[int, str]) -> None:
        """Rule 2.2: a fill follows its order's owners; a decision with a place behind it gives it to them."""
        since, placed = before.since[fact.order], before.placed.get(fact.order, ())
        now = {alert: rule for alert, rule in owned.items() if since[alert] <= fact.time}
        later = {alert: rule for alert, rule in owned.items() if alert not in (*now, *placed)}
        heirs = self._successions()
        for owners, known in ((now, True), (later, False)):
            for number, rule in owners.items():
                # Who took over stands in for a record that is gone, and owns no more of the order by that.
                owner = heirs.owner_now(self.registry.alerts[number], fact.order.con_id).number
                self._part_of(fact, {owner: rule}, known=known, instead_of=number)

    def _match_booked(self, fact: Fact) -> None:
        """Rule 1.3: match an execution as it is booked, also one that only closes."""
        siblings = self._facts_of(fact.order)
        found = self._match(fact.order)
        if fact.order in self.ambiguous:
            # It is settled by a strong rule only, not by a rival's going.
            found.alerts = {alert: rule for alert, rule in found.alerts.items() if rule in SETTLING}
        self._remember(fact.order, found)
        if not found.alerts:
            return
        self._part_of(fact, found.alerts)
        if len(siblings) > 1:
            # Those of the order that were booked before are matched late: with the whole order (rule 2.2), so
            # that what a correction leaves of them later is the alert's too.
            self._decide_late(fact.now.at, fact.order, found.alerts)

    def _part_of(
        self, fact: Fact, rules: dict[int, str], *, known: bool = False, instead_of: int = -1
    ) -> None:
        """Have alerts own an execution from its place on; `known` where they own its order by then."""
        for alert, rule in rules.items():
            created = self.registry.alerts[alert].created
            part = known or fact.now.live or created.replace(microsecond=0) <= fact.time
            kind = Kind.PART if part else Kind.CREATION
            # Where the alert of a swept execution is younger, the place is the alert's creation; what was
            # executed in the second of it counts as behind it.
            creation = Place(created.replace(microsecond=0), frozenset())
            place = self._behind_booked(fact.order.holding) if part else creation
            made = Decision(kind, fact.now.at, fact.order.holding, place, fact.order, {alert: rule}, fact.key)
            self._write(replace(made, instead_of=instead_of) if instead_of != alert else made)

    # The store

    def _store_read(self, event: StoreRead) -> None:
        if event.alerts is None:
            self._look = self._look or self._readable
            self._readable = False
            return
        self._readable = self._was_read = True
        gone = [alert for alert in self.registry.alerts if not alert.present]
        self.registry.read(event)
        self._returned |= {alert.number: len(self.decisions) for alert in gone if alert.present}
        self._unlooked = True
        if event.looked:
            self._look_again(LookedAgain(event.at))

    def _look_again(self, event: LookedAgain) -> None:
        """Find who took over, and match again what the rules let be matched again."""
        at, until = event.at, event.until
        noted = event.noted or (event.rematch and not self._was_read)
        looks = self._readable or noted
        written = [each for each, behind in self._noted.items() if until is None or behind <= until]
        found = self._takeovers() if looks and not noted else []
        if event.known is not None:
            found = [each for each in found if each.old in event.known.alerts]
        self._take_over(at, [*written, *found])
        self._noted = {each: behind for each, behind in self._noted.items() if each not in written}
        if not looks or not (self._unlooked or event.rematch):
            return
        if not noted and not event.partly:
            self.registry.look(self.tallies())
            self._unlooked = False
        full = self._look_before if noted else self._look
        # Where something waited that may leave lots, a full look comes again behind it.
        self._look = self._look and (noted or event.partly or event.known is not None)
        # What takes over as soon as the next look finds it shares nothing with whom it takes over from.
        waiting = [each for each in self._takeovers() if noted or each not in found]
        for order in self._oldest_first() if event.known is None else event.known.orders:
            if self._lots_left(order):
                self._match_again(order, at, full, waiting)

    def _oldest_first(self) -> list[OrderKey]:
        """Return all orders: what is older than a record's close must not follow what opens it again."""
        by_time = sorted(self.facts.values(), key=lambda fact: (fact.time, fact.root))
        return list(dict.fromkeys(fact.order for fact in by_time))

    def known(self) -> Known:
        """Return what a look finds something new for by now."""
        every = self._oldest_first()
        new = {order: found for order in every if (found := self._again(order, self._look)) is not None}
        orders = [
            order
            for order, found in new.items()
            if found.alerts
            or (self._lots_left(order) and (found.rivals or bool(found.near) != bool(self.near.get(order))))
        ]
        return Known(tuple(orders), frozenset(takeover.old for takeover in self._takeovers()))

    def _match_again(self, order: OrderKey, at: datetime, full: bool, waiting: Iterable[Takeover]) -> None:
        """Match an order with lots left again, while some takeovers wait."""
        if (found := self._again(order, full)) is None:
            return
        owners = {owner for lot in self._lots_left(order) for owner in lot.owners}
        heirs = {each.new for each in waiting if each.old in owners}
        found.alerts = {alert: rule for alert, rule in found.alerts.items() if alert not in heirs}
        if not self.fold_of(order.holding).owners.get(order):
            self._remember(order, found)
        self._decide_late(at, order, found.alerts)

    def _again(self, order: OrderKey, full: bool) -> Match | None:
        """Rules 1.5 and 1.6: judge an order again, by its first fill; None where that is over."""
        in_window = any(
            self._lived - fact.lived_at <= self.settings.retry_for for fact in self._facts_of(order)
        )
        owners = self.fold_of(order.holding).owners.get(order, {})
        left = self._lots_left(order)
        lots_owned = any(lot.owners for lot in left)
        over = self.persons.decided(order) or (order in self.by_reference and owners) or (owners and not left)
        if over or not (in_window or (full and left and not lots_owned)):
            return None
        found = self._match(order)
        if owners:
            known = {*owners, *(owner for lot in left for owner in lot.owners)}
            return Match({a: rule for a, rule in found.alerts.items() if rule in STRONG and a not in known})
        if order in self.ambiguous:
            # It is settled by a strong rule only, not by a rival's going.
            found.alerts = {alert: rule for alert, rule in found.alerts.items() if rule in SETTLING}
        return found

    def _remember(self, order: OrderKey, found: Match) -> None:
        if found.rivals:
            self.ambiguous[order] = found.rivals
        elif found.alerts:
            self.ambiguous.pop(order, None)
        self.near[order] = found.near
        if any(rule == ORDER_REF for rule in found.alerts.values()):
            self.by_reference.add(order)

    def _match(self, order: OrderKey) -> Match:
        if self.settings.accounts and order.account not in self.settings.accounts:
            return Match()
        first = min(self._facts_of(order), key=lambda fact: (fact.time, fact.root))
        owners = {
            alert
            for holding in self.folds.holdings()
            if holding[1] == order.con_id
            for lot in self.fold_of(holding).lots
            if lot.quantity
            for alert in lot.owners
        }
        return match(
            first.now.contract,
            first.told_time,
            self.reference(first),
            self.registry.present,
            owners,
            self.settings,
        )

    def _decide_late(self, at: datetime, order: OrderKey, rules: dict[int, str]) -> None:
        """Rule 1.4: a match found later has a place; what was closed before it stays closed."""
        if not rules:
            return
        tallies = self.tallies()
        closed: dict[int, datetime] = {}
        closing: dict[int, str] = {}
        for alert in rules:
            tally_of = tallies.get(alert)
            if tally_of is not None and not tally_of.open and tally_of.closed_at is not None:
                closed[alert], closing[alert] = tally_of.closed_at, tally_of.closing(order.holding)
        place = self._behind_booked(order.holding)
        made = Decision(Kind.LATE, at, order.holding, place, order, dict(rules), closed_at=closed)
        self._write(replace(made, closing=closing, behind=self.fold_of(order.holding).behind(order, closed)))

    def _take_over(self, at: datetime, takeovers: Iterable[Takeover]) -> None:
        """Hand over what records that are gone own, each contract by itself."""
        for old, new, holding in dict.fromkeys(takeovers):
            if holding is None:
                # It is the same alert, so what was decided about it by one name was by the other.
                self.decisions[:] = [one.renamed(old, new) for one in self.decisions]
            elif left := [lot for lot in self.fold_of(holding).lots if lot.quantity and old in lot.owners]:
                place, orders = self._behind_booked(holding), frozenset(lot.order for lot in left)
                self._write(Decision(Kind.TAKEOVER, at, holding, place, old=old, new=new, orders=orders))
                if self.registry.alerts[old].present:
                    # It was noted while the record was missing, and binds nothing once that is there again.
                    self._returned[old] = len(self.decisions)

    def _takeovers(self) -> list[Takeover]:
        """Find which records took over from those that are gone."""
        return self._successions().find()

    def _successions(self) -> Successions:
        alerts, contracts = self.registry.alerts, self.holdings.contracts
        folds, tallies = self.fold_all(), self.tallies()
        return Successions(alerts, folds, tallies, contracts, self.decisions, self._returned)

    # A person

    def _person_decided(self, event: PersonDecided) -> None:
        named = ((fact, one.exec_id) for fact in self.facts.values() for one in fact.versions.values())
        fact = next((fact for fact, exec_id in named if exec_id == event.exec_id), None)
        if fact is None:
            return
        order, rules = fact.order, dict[int, str]()
        kind = {"assign": Kind.ASSIGN, "dismiss": Kind.DISMISS, "undo": Kind.UNDO}[event.action]
        if kind is Kind.ASSIGN:
            meant = self.registry.named(event.alert, event.created_at)
            if meant is None:
                return
            rules = {meant.number: PERSON}
        owners = dict(self.fold_of(order.holding).owners.get(order, {}))
        same = self.persons.decided(order) and owners.keys() == rules.keys()
        if (kind is Kind.ASSIGN and same) or (kind is Kind.DISMISS and owners):
            # A person said so before, or it needs no person: nothing is decided, nor can it be taken back.
            return
        if self.persons.take(order, event):
            heirs, alerts = self._successions(), self.registry.alerts
            before = {heirs.owner_now(alerts[one], order.con_id).number: how for one, how in owners.items()}
            made = Decision(
                kind,
                event.at,
                order.holding,
                self._behind_booked(order.holding),
                order,
                rules,
                number=event.number,
                present=frozenset(alert.number for alert in self.registry.present),
                before=before,
            )
            self._write(made)

    def _one_ticker(self, alert: int, keys: set[str]) -> bool:
        """Return whether these spell one ticker (rule 2.5): of what the alert had, else of anything."""
        known, tallied = self.holdings.contracts, self.tallies().get(alert)
        had = [known[con_id] for _, con_id in tallied.parts] if tallied is not None else known.values()
        return len(keys) == 1 or any(keys <= contract_tickers(contract) for contract in had)

    # Places, lots, references

    def _write(self, decision: Decision) -> None:
        owners = self.fold_of(decision.holding).owners.get(decision.order, {}) if decision.order else {}
        for number in decision.rules.keys() - owners.keys():
            if number not in self.tallies():
                # It is known as it is spelled now, even if it was looked at in another spelling before.
                self.registry.alerts[number].looked = self.registry.alerts[number].record.spelled
        self.decisions.append(replace(decision, made=self.holdings.arriving))

    def _behind_booked(self, holding: AccountContract) -> Place:
        """Rule 1.2: behind the last execution, in the broker's order, that is booked now.

        Behind the decisions that were written down before it, too: it decides about what they left.
        """
        facts = [fact for fact in self.facts.values() if fact.order.holding == holding]
        decisions = [one for one in self.decisions if one.holding == holding and one.kind is not Kind.PART]
        times = [*(fact.time for fact in facts), *(one.place.time for one in decisions)]
        # What came from elsewhere or was adjusted is there as well, and what an answer showed if that counts.
        times += [one.place.time for one in self.holdings.touching(holding)]
        unsettled = self.holdings.unsettled(holding)
        if unsettled is not None and self.fold_of(holding).counts:
            times.append(unsettled.place.time)
        return Place(max(times, default=BEGINNING), frozenset(fact.key for fact in facts))

    def _facts_of(self, order: OrderKey) -> list[Fact]:
        return [fact for fact in self.facts.values() if fact.order == order]

    def _lots_left(self, order: OrderKey) -> list[Lot]:
        return [lot for lot in self.fold_of(order.holding).lots if lot.order == order and lot.quantity]

    def reference(self, fact: Fact) -> Reference | None:
        found = read_reference(fact.now.order_ref, fact.now.contract, self.alerters)
        if found is not None and fact.order in self.by_reference:
            # It named a record as it was matched, so it is meant for us at a close as well (rule 2.1).
            return replace(found, certain=True)
        return found

    def names_alert(self, reference: Reference, number: int, fact: Fact) -> bool:
        alert = self.registry.alerts[number]
        tickers = contract_tickers(fact.now.contract)
        return alert.record.alerter_key == reference.alerter and (
            alert.record.ticker_key == reference.ticker
            or (alert.record.ticker_key in tickers and reference.ticker in tickers)
        )

    # Folding

    def fold_of(self, holding: AccountContract, *, settled: bool = False) -> Folded:
        return self.folds.of(holding, settled=settled)

    def fold_all(self) -> dict[AccountContract, Folded]:
        return self.folds.every()

    def _position(self, holding: AccountContract) -> Decimal:
        """Return what we hold by executions and adjustments alone."""
        return self.fold_of(holding, settled=True).position

    def _difference(self, holding: AccountContract) -> Decimal:
        return self.folds.of(holding).difference or ZERO

    def _moved_in(self, holding: AccountContract) -> list[MovedIn]:
        return self.folds.moved_in(holding)

    @property
    def reopened(self) -> Collection[int]:
        """The alerts that opened again while their records are gone."""
        return self._reopened.alerts

    def tallies(self) -> dict[int, Tally]:
        folds = list(self.fold_all().values())
        if len(folds) != len(self._tallied) or any(
            one is not other for one, other in zip(folds, self._tallied, strict=True)
        ):
            self._tallied, self._tallies = folds, tally([one.changes for one in folds])
        return self._tallies
