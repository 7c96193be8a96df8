"""What is held by the broker's word: opening balances, unexplained differences, adjustments (section 4).

Owns position answers and what each contains, told by order of arrival alone. It asks for our own position
through a callable and never looks at alerts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from tests.sim.rules_oracle.answers import Answer, MovedIn, Opening, Scaled, Sweep, was_pushed_behind
from tests.sim.rules_oracle.days import NEW_YORK, expiry_day
from tests.sim.rules_oracle.entries import Adjustment, Place, Unexplained, Unsettled
from tests.sim.rules_oracle.facts import (
    ZERO,
    AccountContract,
    AdjustmentTold,
    AdjustmentUndone,
    BrokerBack,
    BrokerLost,
    Connected,
    Contract,
    DaysUnproven,
    Event,
    Executed,
    Fact,
    PositionsAnswered,
    PositionsAsked,
    Started,
    SweepAsked,
    SweepChecked,
    SweepEnded,
    SweepGivenUp,
)
from tests.sim.rules_oracle.openings import Openings
from tests.sim.rules_oracle.settings import Settings


@dataclass(slots=True)
class _Asked:
    at: datetime
    number: int
    arrived: int
    swept: frozenset[str]
    sizes: dict[str, Decimal]


class Holdings:
    """Take in answers one after the other."""

    def __init__(
        self,
        settings: Settings,
        position: Callable[[AccountContract], Decimal],
        difference: Callable[[AccountContract], Decimal],
        moved_in: Callable[[AccountContract], list[MovedIn]],
    ) -> None:
        self._settings = settings
        self._position = position
        self._difference = difference
        """By how much an answer differs at its place, with what is known by now."""
        self._moved_in = moved_in
        self._facts: list[Fact] = []
        self._swept: dict[int, set[str]] = {}
        """connection -> the accounts of which a sweep ended since its link to the broker stands."""
        self._sweeps: list[Sweep] = []
        self._unchecked: dict[tuple[int, str], Sweep] = {}
        self._checked: list[Sweep] = []
        """Those that are known to have listed everything, so that they lack what came later."""
        self._sweeping: dict[tuple[int, str], int] = {}
        self._away = False
        """Whether the gateway lost its link to the broker: a sweep tells what it knew before."""
        self._arrived = 0
        """Counts what arrived, to tell before from after."""
        self._link = 0
        """Counts the connections and links to the broker."""
        self._asked: dict[int, _Asked] = {}
        self._news: dict[AccountContract, Decimal] = {}
        """What sweeps brought that no answer has agreed with yet (rule 4.1)."""
        self._quiet: dict[tuple[int, str], int] = {}
        """As `_sweeping`, of those that nobody waits for any longer; their end may come still."""
        self._arriving: dict[AccountContract, list[Fact]] = {}
        """Of what a sweep under way brought executions: others may be on their way."""
        self._lags = 0
        self.lagged = 0
        """How many answers lagged."""
        self._answers: list[Answer] = []
        self._openings = Openings(self._facts, self._answers, self._checked)
        self.contracts: dict[int, Contract] = {}
        self.unexplained: dict[AccountContract, Unexplained] = {}
        self._adjustments: list[Adjustment] = []

    # What arrives

    @property
    def arriving(self) -> int:
        """Return the number of what arrives now, among all that did."""
        return self._arrived + 1

    def handle(self, event: Event) -> None:
        """Take in what section 4 is about."""
        self._arrived += 1
        if isinstance(event, DaysUnproven):
            for holding in self._watched():
                if self.opening(holding).confirmed:
                    self._openings.taken(holding)
        self._openings.handle(event, self._arrived)
        if isinstance(event, SweepAsked):
            self._sweeping[event.connection, event.account] = self._arrived
            self._quiet.pop((event.connection, event.account), None)
        elif isinstance(event, BrokerLost | BrokerBack):
            self._swept[event.connection] = set()
            self._sweeping.clear()
            self._quiet.clear()
            self._unchecked.clear()
            self._away = isinstance(event, BrokerLost)
            self._link += 1
        elif isinstance(event, SweepGivenUp):
            asked = self._over(event.connection, event.account)
            if asked is not None:
                self._quiet[event.connection, event.account] = asked
        elif isinstance(event, Started):
            self._lags = 0
        elif isinstance(event, Connected):
            self.connected(event.connection)
        elif isinstance(event, SweepEnded):
            self.sweep_ended(event)
        elif isinstance(event, SweepChecked):
            if (sweep := self._unchecked.pop((event.connection, event.account), None)) is not None:
                self._checked.append(sweep)
        elif isinstance(event, PositionsAsked):
            self.asked(event)
        elif isinstance(event, PositionsAnswered):
            self.answered(event)
        elif isinstance(event, AdjustmentTold):
            self.told(event)
        elif isinstance(event, AdjustmentUndone):
            self.undone(event)

    def booked(self, fact: Fact) -> None:
        event = fact.now
        self._facts.append(fact)
        self._openings.booked(fact)
        self.contracts[event.contract.con_id] = event.contract
        self._expect(fact, event, event.signed)
        if not event.live and self._sweeping:
            self._arriving.setdefault(fact.order.holding, []).append(fact)

    def corrected(self, fact: Fact, version: int, event: Executed) -> None:
        """Rule 1.1: a correction changes a fact in its place."""
        before = fact.now.signed
        fact.versions.setdefault(version, event)
        fact.arrived.setdefault(version, self.arriving)
        self._openings.corrected()
        self._expect(fact, event, fact.now.signed - before)

    def _expect(self, fact: Fact, event: Executed, change: Decimal) -> None:
        """Rule 4.1: answers must agree with what a sweep brought."""
        if not event.live:
            key = fact.order.holding
            self._news[key] = self._news.get(key, ZERO) + change

    def connected(self, connection: int) -> None:
        self._swept[connection] = set()
        self._link += 1
        self._sweeping.clear()
        self._unchecked.clear()
        self._arriving.clear()
        self._away = False
        self._asked.pop(connection, None)

    def sweep_ended(self, event: SweepEnded) -> None:
        quiet = self._quiet.pop((event.connection, event.account), None)
        asked = self._over(event.connection, event.account)
        asked = quiet if asked is None else asked
        if asked is not None:
            self._swept.setdefault(event.connection, set()).add(event.account)
            if not self._away:
                sweep = Sweep(event.account, asked, self._arrived)
                self._sweeps.append(sweep)
                self._unchecked[event.connection, event.account] = sweep

    def _over(self, connection: int, account: str) -> int | None:
        asked = self._sweeping.pop((connection, account), None)
        if not self._sweeping:
            self._arriving.clear()
        if asked is not None:
            self._openings.swept(self._link, account)
        return asked

    def asked(self, event: PositionsAsked) -> None:
        self._asked[event.connection] = _Asked(
            event.at,
            len(self._facts),
            self._arrived,
            frozenset(self._swept.get(event.connection, ())),
            {fact.key: fact.now.signed for fact in self._facts},
        )

    def answered(self, event: PositionsAnswered) -> None:
        """Take in an answer: whether it lags, what it opens, what it leaves unexplained."""
        asked = self._asked.pop(event.connection, None)
        if asked is None or not event.complete:
            return
        answer = Answer(
            len(self._answers),
            dict(event.held),
            certain=event.undisturbed,
            accounts=frozenset(account for account, _ in event.held),
            swept=asked.swept,
            asked=asked.arrived,
            asked_at=asked.at,
            asked_no=asked.number,
            ended_no=len(self._facts),
            contained=asked.sizes,
            second=None if event.broker_time is None else event.broker_time.replace(microsecond=0),
            disturbed=frozenset(
                fact.order.holding for fact in self._facts if was_pushed_behind(fact, asked.arrived)
            ),
            gap_epoch=self._openings.gaps,
            unproven=self._openings.unproven,
            ended=self._arrived,
            ended_at=event.at,
            link=self._link,
        )
        if answer.disturbed:
            self._answers.append(answer)
            return
        certain = {account for account in answer.accounts if {account, ""} & answer.swept}
        if self._lags_behind(answer, certain):
            self._lags += 1
            self.lagged += 1
            if self._lags < self._settings.lag_asks:
                return
            answer = replace(answer, certain=False)
        # One that was asked before any sweep proves nothing about what the sweeps brought.
        if certain:
            self._lags = 0
        self._news = {key: total for key, total in self._news.items() if key[0] not in certain}
        self._answers.append(answer)
        for holding in self._watched():
            self._compare(holding, answer, event)

    def told(self, event: AdjustmentTold) -> None:
        """Take in a told cause; without a time it stands just before the difference that it explains."""
        holding, target = (event.account, event.con_id), None
        if event.becomes is not None or event.moved_to:
            con_id = event.becomes.con_id if event.becomes is not None else event.con_id
            target = (event.moved_to or event.account, con_id)
            if event.becomes is not None:
                self.contracts[con_id] = event.becomes
        if target is not None and self._leads(target, holding):
            return
        waiting = self.unexplained.get(holding)
        inferred = None if waiting is not None or event.time is not None else self._explained_by(event)
        may_be_flat = event.time is None and (event.ratio is None or target is not None)
        seen = waiting or inferred or (self._unlisted(holding) if may_be_flat else None)
        time, place = event.time, None
        if time is None:
            time = seen.time if seen is not None else self._now(holding, event)
            place = seen.place if seen is not None else Place(time, self._known())
        held = event.held
        if held is None and event.ratio is None and target is None:
            if seen is None and event.time is None:
                # There is nothing that it could explain.
                return
            held = seen.held if event.time is None and seen is not None else ZERO
        touched = [holding] if target is None else [holding, target]
        at = len(self._adjustments)
        if inferred is not None:
            at = self._adjustments.index(inferred)
            del self._adjustments[at]
        place = place or Place(time.replace(microsecond=0))
        told = Adjustment(
            holding,
            place,
            event.cause,
            time,
            held,
            event.ratio,
            target,
            instead=() if inferred is None else (inferred,),
            made=self._arrived if inferred is None else inferred.made,
            heard=self._heard(touched) if inferred is None else inferred.heard,
            known_since=(
                (event.at, self._arrived) if seen is None or event.time is not None else seen.known_since
            ),
        )
        self._adjustments.insert(at, told)
        if (there := self._brought(told)) is not None:
            self._adjustments.remove(there)
            self._adjustments[self._adjustments.index(told)] = replace(told, instead=(*told.instead, there))
        for each in touched:
            self._measure_again(each)

    def _leads(self, start: AccountContract, goal: AccountContract) -> bool:
        """Return whether a move would lead back to itself: such a word changes nothing."""
        onward = (one.target for one in self._adjustments if one.holding == start and one.target is not None)
        return start == goal or any(self._leads(each, goal) for each in onward)

    def _heard(self, touched: Collection[AccountContract]) -> int:
        """Return how much had arrived before all that a sweep under way brought of these."""
        arriving = (fact for holding in touched for fact in self._arriving.get(holding, ()))
        return min(
            (number - 1 for fact in arriving for number in fact.arrived.values()), default=self._arrived
        )

    def _brought(self, told: Adjustment) -> Adjustment | None:
        """Return the last inferred adjustment of where a position goes on, if it is what the move brought."""
        if told.target is None:
            return None
        inferred = [one for one in self.adjustments(told.target) if one.inferred]
        came = sum((one.quantity for one in self._moved_in(told.target) if one.time == told.place.time), ZERO)
        return inferred[-1] if inferred and inferred[-1].amount == came else None

    def _explained_by(self, event: AdjustmentTold) -> Adjustment | None:
        """Return the last inferred adjustment, where a told cause fits it; parts of a share are paid out."""
        inferred = [one for one in self.adjustments((event.account, event.con_id)) if one.inferred]
        if not inferred:
            return None
        last = inferred[-1]
        assert last.held is not None, "answers said what was held"
        if event.becomes is not None or event.moved_to:
            fits = not last.held
        elif event.ratio is not None:
            fits = abs(last.held - (last.held - last.amount) * event.ratio) < 1
        else:
            fits = True
        return last if fits else None

    def _unlisted(self, holding: AccountContract) -> Unexplained | None:
        """Return the zero of the last answer, if it lists nothing of the account: a person may confirm it."""
        ours = self._position(holding)
        if not ours or not self._answers or holding[0] in (last := self._answers[-1]).accounts:
            return None
        facts = [fact for fact in self._facts if fact.order.holding == holding]
        if any(fact.booked_no >= last.asked_no for fact in facts):
            return None
        time = max([last.second or last.asked_at, *(fact.time for fact in facts)])
        place = Place(time, frozenset(fact.key for fact in self._facts if fact.booked_no < last.asked_no))
        since = last.asked_at, last.asked
        return Unexplained(ZERO, -ours, place, time, last.ended_at, self._arrived, True, False, since)

    def _now(self, holding: AccountContract, event: AdjustmentTold) -> datetime:
        times = [fact.time for fact in self._facts if fact.order.holding == holding]
        return max([event.at.replace(microsecond=0), *times])

    def _known(self) -> frozenset[str]:
        """Return what is known, of where it may go on, too."""
        return frozenset(fact.key for fact in self._facts)

    def undone(self, event: AdjustmentUndone) -> None:
        """An adjustment is a fact and is undone in its place (rule 4.6)."""
        key = (event.account, event.con_id)
        latest = next((one for one in reversed(self._adjustments) if one.holding == key), None)
        if latest is not None:
            at = self._adjustments.index(latest)
            self._adjustments[at : at + 1] = latest.instead
            for each in (key, latest.target):
                if each is not None:
                    self._measure_again(each)

    # What follows

    def opening(self, holding: AccountContract, moved: Sequence[MovedIn] | None = None) -> Opening:
        """Return the opening balance; `moved` is what came from other accounts and contracts."""
        moved = self._moved_in(holding) if moved is None else moved
        adjusted = min((one.heard for one in self.touching(holding)), default=None)
        scaled = [
            Scaled(one.place, one.ratio, one.known_since[0])
            for one in self.adjustments(holding)
            if one.ratio is not None and one.target is None
        ]
        return self._openings.of(holding, moved, adjusted, scaled)

    def adjustments(self, holding: AccountContract) -> list[Adjustment]:
        return [one for one in self._adjustments if one.holding == holding]

    def touching(self, holding: AccountContract) -> list[Adjustment]:
        """Return its adjustments, and what goes on in it."""
        return [one for one in self._adjustments if holding in (one.holding, one.target)]

    def targets(self) -> set[AccountContract]:
        return {one.target for one in self._adjustments if one.target is not None}

    def sources(self, target: AccountContract) -> list[AccountContract]:
        """Return what was moved into an account and contract."""
        return list(dict.fromkeys(one.holding for one in self._adjustments if one.target == target))

    def unsettled(self, holding: AccountContract) -> Unsettled | None:
        waiting = self.unexplained.get(holding)
        return Unsettled(waiting.place, waiting.held, waiting.known_since) if waiting is not None else None

    # How

    def _watched(self) -> list[AccountContract]:
        keys = {fact.order.holding: None for fact in self._facts}
        keys.update({one.holding: None for one in self._adjustments})
        keys.update(dict.fromkeys(self.targets()))
        return list(keys)

    def _lags_behind(self, answer: Answer, certain: Collection[str]) -> bool:
        """Rule 4.1: it contradicts or lacks a contract of which a sweep brought older executions."""
        for key, total in self._news.items():
            if not total or key[0] not in certain or key in answer.disturbed:
                continue
            if key not in answer.held:
                return True
            difference = answer.held[key] - self._position(key)
            waiting = self.unexplained.get(key)
            explained = not difference or (waiting is not None and waiting.difference == difference)
            if self.opening(key).confirmed and not explained:
                return True
        return False

    def _compare(self, holding: AccountContract, answer: Answer, event: PositionsAnswered) -> None:
        """Rule 4.3: compare a later answer with what we have."""
        swept = bool({holding[0], ""} & answer.swept)
        if answer.disturbed or holding in self._arriving or not answer.certain or not swept:
            return
        expiring = self._expiring(holding, event)
        if holding[0] not in answer.accounts and not expiring:
            return
        if not self.opening(holding).confirmed and not expiring:
            return
        ours, held = self._position(holding), answer.held.get(holding, ZERO)
        if held == ours:
            self.unexplained.pop(holding, None)
            return
        seen = self.unexplained.get(holding)
        if seen is None or seen.difference != held - ours:
            self.unexplained[holding] = self._first_seen(holding, held, ours, event, answer)
            return
        wait = self._settings.vanished_witness if seen.vanished else self._settings.second_witness
        between = any(one.asked > seen.arrived and one.account in ("", holding[0]) for one in self._sweeps)
        if not between or event.at - seen.at < wait:
            return
        cause = self._cause(holding, seen, event)
        if cause:
            self._adjustments.append(
                Adjustment(
                    holding,
                    seen.place,
                    cause,
                    seen.time,
                    seen.held,
                    inferred=True,
                    amount=seen.difference,
                    made=self._arrived,
                    heard=self._arrived,
                    known_since=seen.known_since,
                )
            )
            del self.unexplained[holding]

    def _first_seen(
        self, holding: AccountContract, held: Decimal, ours: Decimal, event: PositionsAnswered, answer: Answer
    ) -> Unexplained:
        facts = [fact for fact in self._facts if fact.order.holding == holding]
        asked = (event.broker_time or (facts[-1].time if facts else event.at)).replace(microsecond=0)
        # It is compared with all that is known by its end, also with what was told while it was under way.
        told = self.touching(holding)
        time = max([asked, *(fact.time for fact in facts), *(one.place.time for one in told)])
        since = max([(answer.asked_at, answer.asked), *(one.known_since for one in told)])
        place = Place(time, self._known())
        after_gap = self._openings.after_gap
        vanished = not held and bool(ours)
        return Unexplained(
            held, held - ours, place, time, event.at, self._arrived, vanished, after_gap, since
        )

    def _today(self, event: PositionsAnswered) -> datetime:
        return (event.broker_time or event.at).astimezone(NEW_YORK)

    def _expiring(self, holding: AccountContract, event: PositionsAnswered) -> bool:
        """Return whether the contract is an option whose expiry day has come (rule 4.6)."""
        contract = self.contracts.get(holding[1])
        day = expiry_day(contract) if contract is not None and contract.is_option else None
        return day is not None and self._today(event).date() >= day

    def _cause(self, holding: AccountContract, seen: Unexplained, event: PositionsAnswered) -> str:
        """From its expiry day on an option goes only by the expiry rule: the day over, and whole."""
        if not self._expiring(holding, event):
            return "adjusted"
        day = expiry_day(self.contracts[holding[1]])
        assert day is not None
        return "expired" if seen.vanished and self._today(event).date() > day else ""

    def _measure_again(self, holding: AccountContract) -> None:
        """Drop a difference that a told cause explains; what is left of it waits on."""
        seen = self.unexplained.get(holding)
        if seen is None:
            return
        if left := self._difference(holding):
            self.unexplained[holding] = replace(seen, difference=left)
        else:
            del self.unexplained[holding]
