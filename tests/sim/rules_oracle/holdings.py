"""What is held by the broker's word: opening balances, unexplained differences, adjustments (section 4).

Owns position answers and what each contains, told by order of arrival alone. It asks for our own position
through a callable and never looks at alerts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from tests.sim.rules_oracle.days import NEW_YORK, expiry_day
from tests.sim.rules_oracle.entries import Adjustment, Place, Unsettled
from tests.sim.rules_oracle.facts import (
    ZERO,
    AccountContract,
    AdjustmentTold,
    AdjustmentUndone,
    Connected,
    Contract,
    Event,
    Fact,
    GapClosed,
    GapFound,
    OpeningTold,
    PositionsAnswered,
    PositionsAsked,
    Settings,
    SweepEnded,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A position answer that counts, with what it contains."""

    number: int
    held: dict[AccountContract, Decimal]
    certain: bool
    accounts: frozenset[str]
    """Accounts of which it has a row; one that lacks every position of an account is never certain of it."""
    asked_no: int
    """Executions booked before it was asked; it contains them."""
    ended_no: int
    """Executions booked before it ended."""
    contained: dict[AccountContract, Decimal]
    """The sum of the executions booked before it was asked, in the versions known then."""
    second: datetime | None
    """The broker's time asked for just before."""
    disturbed: frozenset[AccountContract]
    gap_epoch: int

    def certain_of(self, holding: AccountContract) -> bool:
        return self.certain and holding[0] in self.accounts and holding not in self.disturbed

    def contains(self, fact: Fact) -> bool:
        """Tell by the order of arrival alone whether it contains an execution (rule 4.1)."""
        return fact.booked_no < self.asked_no

    def contains_move(self, moved: MovedIn) -> bool:
        """Tell by the broker's time, as of any adjustment (rule 4.4)."""
        return self.second is not None and moved.time <= self.second


@dataclass(frozen=True, slots=True)
class MovedIn:
    """What came from another account or contract, at the broker's time."""

    time: datetime
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Opening:
    quantity: Decimal
    confirmed: bool
    answer: int = -1
    """The number of the answer that it was taken from."""


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A difference that waits for a second witness (rule 4.3)."""

    held: Decimal
    difference: Decimal
    """The broker's quantity less ours."""
    place: Place
    time: datetime
    """The broker's time asked for just before."""
    at: datetime
    sweep: int
    vanished: bool
    after_gap: bool


@dataclass(slots=True)
class _Asked:
    number: int
    after_sweep: bool
    sums: dict[AccountContract, Decimal]


class Holdings:
    """Take in answers one after the other."""

    def __init__(
        self,
        settings: Settings,
        position: Callable[[AccountContract], Decimal],
        moved_in: Callable[[AccountContract], list[MovedIn]],
    ) -> None:
        self._settings = settings
        self._position = position
        self._moved_in = moved_in
        self._facts: list[Fact] = []
        self._epochs: dict[str, int] = {}
        """execution -> how many gaps were known when it was booked."""
        self._gaps = self._gaps_closed = 0
        self._sweeps: dict[int, int] = {}
        self._sweep_no = 0
        self._asked: dict[int, _Asked] = {}
        self._arriving: dict[AccountContract, Decimal] = {}
        self._news: dict[AccountContract, Decimal] = {}
        """What sweeps brought that no answer has agreed with yet (rule 4.1)."""
        self._lags = 0
        self._answers: list[Answer] = []
        self.contracts: dict[int, Contract] = {}
        self.unexplained: dict[AccountContract, Unexplained] = {}
        self._adjustments: list[Adjustment] = []
        self._openings: dict[AccountContract, Decimal] = {}
        """Openings that were told from outside."""

    # What arrives

    def handle(self, event: Event) -> None:
        """Take in what section 4 is about."""
        if isinstance(event, Connected):
            self.connected(event.connection)
        elif isinstance(event, SweepEnded):
            self.sweep_ended(event.connection)
        elif isinstance(event, PositionsAsked):
            self.asked(event.connection)
        elif isinstance(event, PositionsAnswered):
            self.answered(event)
        elif isinstance(event, OpeningTold):
            self.opening_told(event)
        elif isinstance(event, GapFound):
            self.gap_found()
        elif isinstance(event, GapClosed):
            self.gap_closed()
        elif isinstance(event, AdjustmentTold):
            self.told(event)
        elif isinstance(event, AdjustmentUndone):
            self.undone(event)

    def booked(self, fact: Fact) -> None:
        event = fact.now
        self._facts.append(fact)
        self._epochs[fact.key] = self._gaps
        self.contracts[event.contract.con_id] = event.contract
        if not event.live:
            key = fact.order.holding
            self._arriving[key] = self._arriving.get(key, ZERO) + event.signed

    def gap_found(self) -> None:
        self._gaps += 1

    def gap_closed(self) -> None:
        self._gaps_closed = self._gaps

    def connected(self, connection: int) -> None:
        self._sweeps[connection] = 0
        self._asked.pop(connection, None)

    def sweep_ended(self, connection: int) -> None:
        self._sweep_no += 1
        self._sweeps[connection] = self._sweeps.get(connection, 0) + 1
        for key, quantity in self._arriving.items():
            self._news[key] = self._news.get(key, ZERO) + quantity
        self._arriving = {}

    def asked(self, connection: int) -> None:
        self._asked[connection] = _Asked(
            len(self._facts), self._sweeps.get(connection, 0) > 0, self._sums(self._facts)
        )

    def answered(self, event: PositionsAnswered) -> None:
        """Take in an answer: whether it lags, what it opens, what it leaves unexplained."""
        asked = self._asked.pop(event.connection, None)
        if asked is None or not event.complete:
            return
        disturbed = frozenset(fact.order.holding for fact in self._facts[asked.number :])
        lags = self._lags_behind(event, disturbed)
        if lags and self._lags + 1 < self._settings.lag_asks:
            self._lags += 1
            return
        self._lags = 0
        self._news = {}
        answer = Answer(
            len(self._answers),
            dict(event.held),
            certain=asked.after_sweep and event.undisturbed and not lags,
            accounts=frozenset(account for account, _ in event.held),
            asked_no=asked.number,
            ended_no=len(self._facts),
            contained=asked.sums,
            second=None if event.broker_time is None else event.broker_time.replace(microsecond=0),
            disturbed=disturbed,
            gap_epoch=self._gaps,
        )
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
        waiting = self.unexplained.get(holding)
        unknown = [one for one in self.adjustments(holding) if one.inferred and one.cause == "adjusted"]
        seen = waiting or (unknown[-1] if unknown else None)
        time, at = event.time, len(self._adjustments)
        if time is None:
            time = seen.time if seen is not None else event.at
            if waiting is None and unknown:
                at = self._adjustments.index(unknown[-1])
        place = seen.place if event.time is None and seen is not None else Place(time.replace(microsecond=0))
        held = event.held
        if held is None and event.ratio is None and target is None:
            held = ZERO
            if event.time is None and seen is not None and seen.held is not None:
                held = seen.held
                if waiting is None and unknown:
                    # The same word, now with its cause.
                    del self._adjustments[at]
        before = self._position(holding)
        self._adjustments.insert(at, Adjustment(holding, place, event.cause, time, held, event.ratio, target))
        self._settle_again(holding, self._position(holding) - before)

    def opening_told(self, event: OpeningTold) -> None:
        self._openings[event.account, event.con_id] = event.quantity

    def undone(self, event: AdjustmentUndone) -> None:
        """An adjustment is a fact and is undone in its place (rule 4.6)."""
        key = (event.account, event.con_id)
        latest = next((one for one in reversed(self._adjustments) if one.holding == key), None)
        if latest is not None:
            self._adjustments.remove(latest)

    # What follows

    def opening(self, holding: AccountContract, moved: Sequence[MovedIn] | None = None) -> Opening:
        """Return the opening balance (rule 4.2); `moved` is what came from other accounts and contracts."""
        if holding in self._openings:
            return Opening(self._openings[holding], True)
        facts = [fact for fact in self._facts if fact.order.holding == holding]
        moved = self._moved_in(holding) if moved is None else moved
        for certain in (True, False):
            usable = [one for one in self._answers if not certain or one.certain_of(holding)]
            if not certain:
                usable = [one for one in usable if holding not in one.disturbed]
            before = [one for one in usable if self._is_before(one, facts, moved)]
            if before:
                last = before[-1]
                return Opening(last.held.get(holding, ZERO), certain, last.number)
            # An answer that lacks a whole account says nothing against executions that it should contain.
            after = [
                one
                for one in usable
                if holding[0] in one.accounts
                and (
                    any(one.contains(fact) for fact in facts)
                    or any(one.contains_move(each) for each in moved)
                )
            ]
            if after:
                one = after[0]
                return Opening(
                    one.held.get(holding, ZERO) - self._contained(one, holding, moved),
                    certain,
                    one.number,
                )
        return Opening(ZERO, False)

    def _is_before(self, answer: Answer, facts: Sequence[Fact], moved: Sequence[MovedIn]) -> bool:
        """Tell whether an answer came before all that we know of a holding, with no unproven day between."""
        return (
            not any(answer.contains_move(each) for each in moved)
            and all(answer.ended_no <= fact.booked_no for fact in facts)
            and (not facts or self._near(answer, facts[0]))
        )

    @staticmethod
    def _contained(answer: Answer, holding: AccountContract, moved: Sequence[MovedIn]) -> Decimal:
        return answer.contained.get(holding, ZERO) + sum(
            (each.quantity for each in moved if answer.contains_move(each)), ZERO
        )

    def adjustments(self, holding: AccountContract) -> list[Adjustment]:
        return [one for one in self._adjustments if one.holding == holding]

    def targets(self) -> set[AccountContract]:
        return {one.target for one in self._adjustments if one.target is not None}

    def sources(self, target: AccountContract) -> list[AccountContract]:
        """Return what was moved into an account and contract."""
        return list(dict.fromkeys(one.holding for one in self._adjustments if one.target == target))

    def unsettled(self, holding: AccountContract) -> Unsettled | None:
        waiting = self.unexplained.get(holding)
        return Unsettled(waiting.place, waiting.held) if waiting is not None else None

    # How

    def _near(self, answer: Answer, fact: Fact) -> bool:
        """Tell whether no unproven day lies between an answer and an execution behind it."""
        gaps = self._epochs[fact.key]
        return answer.gap_epoch == gaps or gaps <= self._gaps_closed

    @staticmethod
    def _sums(facts: Iterable[Fact]) -> dict[AccountContract, Decimal]:
        sums: dict[AccountContract, Decimal] = {}
        for fact in facts:
            key = fact.order.holding
            sums[key] = sums.get(key, ZERO) + fact.now.signed
        return sums

    def _watched(self) -> list[AccountContract]:
        keys = {fact.order.holding: None for fact in self._facts}
        keys.update({one.holding: None for one in self._adjustments})
        keys.update(dict.fromkeys(self.targets()))
        return list(keys)

    def _lags_behind(self, event: PositionsAnswered, disturbed: frozenset[AccountContract]) -> bool:
        """Rule 4.1: it contradicts or lacks a contract of which a sweep brought older executions."""
        for key, total in self._news.items():
            if not total or key in disturbed:
                continue
            if key not in event.held:
                return True
            known = self.opening(key)
            if known.confirmed and event.held[key] != self._position(key):
                return True
        return False

    def _compare(self, holding: AccountContract, answer: Answer, event: PositionsAnswered) -> None:
        """Rule 4.3: compare a later answer with what we have."""
        if holding in answer.disturbed or not answer.certain:
            return
        expiring = self._expiring(holding, event)
        if holding[0] not in answer.accounts and not expiring:
            return
        opening = self.opening(holding)
        if (not opening.confirmed or opening.answer == answer.number) and not expiring:
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
        if self._sweep_no <= seen.sweep or event.at - seen.at < wait:
            return
        cause = self._cause(holding, seen, event)
        if cause:
            self._adjustments.append(
                Adjustment(holding, seen.place, cause, seen.time, seen.held, inferred=True)
            )
            del self.unexplained[holding]

    def _first_seen(
        self,
        holding: AccountContract,
        held: Decimal,
        ours: Decimal,
        event: PositionsAnswered,
        answer: Answer,
    ) -> Unexplained:
        facts = [fact for fact in self._facts if fact.order.holding == holding]
        asked = (event.broker_time or (facts[-1].time if facts else event.at)).replace(microsecond=0)
        time = max([asked, *(fact.time for fact in facts)])
        place = Place(time, frozenset(fact.key for fact in facts))
        after_gap = self._gaps > self._gaps_closed
        return Unexplained(
            held, held - ours, place, asked, event.at, self._sweep_no, not held and bool(ours), after_gap
        )

    def _today(self, event: PositionsAnswered) -> datetime:
        return (event.broker_time or event.at).astimezone(NEW_YORK)

    def _expiring(self, holding: AccountContract, event: PositionsAnswered) -> bool:
        """Tell whether the contract is an option whose expiry day has come (rule 4.6)."""
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

    def _settle_again(self, holding: AccountContract, explained: Decimal) -> None:
        """Drop a difference that a told cause explains; what is left of it waits on."""
        seen = self.unexplained.pop(holding, None)
        if seen is not None and seen.difference != explained:
            self.unexplained[holding] = replace(seen, difference=seen.difference - explained)
