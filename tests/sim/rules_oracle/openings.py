"""Opening balances: what was held of an account and contract before all that we know of it (rule 4.2).

Owns which of the answers is taken, and what is unproven between one and an execution. Answers, executions and
sweeps are lists that `holdings` fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from tests.sim.rules_oracle.answers import Answer, Heard, MovedIn, Opening, Scaled, Sweep
from tests.sim.rules_oracle.days import NEW_YORK
from tests.sim.rules_oracle.entries import BEGINNING
from tests.sim.rules_oracle.facts import (
    ZERO,
    AccountContract,
    DaysUnproven,
    Event,
    Fact,
    GapClosed,
    GapFound,
    OpeningTold,
    UndecodableArrived,
    root_and_version,
)
from tests.sim.rules_oracle.ratios import in_units


class Openings:
    """Choose among the answers."""

    def __init__(self, facts: Sequence[Fact], answers: Sequence[Answer], sweeps: Sequence[Sweep]) -> None:
        self._facts, self._answers = facts, answers
        self._unread: dict[str, tuple[int, int, bool]] = {}
        self._heard = Heard(sweeps, self._unread)
        self._epochs: dict[str, int] = {}
        """execution -> how many gaps were known when it was booked."""
        self.gaps = self._gaps_closed = 0
        self.unproven: frozenset[date] = frozenset()
        self._unproven_then: dict[str, frozenset[date]] = {}
        """execution -> the days that were unproven when it was booked."""
        self._unproven_once: dict[AccountContract, frozenset[date]] = {}
        """The days unproven while an opening was certain: one that is proven later changes nothing of it."""
        self._told: dict[AccountContract, Decimal] = {}
        """Openings that were told from outside."""
        self._swept: set[tuple[int, str]] = set()
        """The links, each with an account of which a sweep is over."""
        self._found: dict[object, Opening] = {}
        """Each opening with all that it was asked by, until anything changes."""

    def handle(self, event: Event, number: int) -> None:
        """Take in what arrives; `number` counts all that did."""
        if isinstance(event, UndecodableArrived | OpeningTold | GapFound | GapClosed | DaysUnproven):
            self._found.clear()
        if isinstance(event, UndecodableArrived):
            root, version = root_and_version(event.exec_id)
            came = version, number, event.live
            self._unread[root] = min(came, self._unread.get(root, came))
        elif isinstance(event, OpeningTold):
            self._told[event.account, event.con_id] = event.quantity
        elif isinstance(event, GapFound):
            self.gaps += 1
        elif isinstance(event, GapClosed):
            self._gaps_closed = self.gaps
        elif isinstance(event, DaysUnproven):
            self.unproven = event.days

    def taken(self, holding: AccountContract) -> None:
        """Take in that an opening is certain, with the days that are unproven now."""
        self._found.clear()
        self._unproven_once[holding] = self._unproven_once.get(holding, frozenset()) | self.unproven

    def booked(self, fact: Fact) -> None:
        self._found.clear()
        self._epochs[fact.key] = self.gaps
        self._unproven_then[fact.key] = self.unproven

    def corrected(self) -> None:
        """Take in that one of the executions has another version."""
        self._found.clear()

    @property
    def after_gap(self) -> bool:
        """Whether fills may have been missed."""
        return self.gaps > self._gaps_closed

    def of(
        self,
        holding: AccountContract,
        moved: Sequence[MovedIn],
        adjusted: int | None = None,
        scaled: Sequence[Scaled] = (),
    ) -> Opening:
        """Return the opening balance; `moved` is what came from other accounts and contracts.

        `adjusted` counts what had arrived by the first adjustment in force: from there on the broker's word
        counts, and what comes later puts no balance in doubt that was certain by then.
        """
        counted = len(self._answers), len(self._heard.sweeps)
        asked_by = (holding, tuple(moved), adjusted, tuple(scaled), *counted)
        found = self._found.get(asked_by)
        if found is None:
            found = self._found[asked_by] = self._find(holding, moved, adjusted, scaled)
        return found

    def _find(
        self,
        holding: AccountContract,
        moved: Sequence[MovedIn],
        adjusted: int | None,
        scaled: Sequence[Scaled],
    ) -> Opening:
        if holding in self._told:
            return Opening(self._told[holding], True)
        facts = [fact for fact in self._facts if fact.order.holding == holding]
        usable = [one for one in self._answers if one.certain_of(holding)]
        if adjusted is not None:
            by_then = [fact for fact in (_as_of(each, adjusted) for each in facts) if fact.versions]
            known = [one for one in usable if one.ended <= adjusted]
            if (found := self._certain(known, holding, by_then, moved, scaled)) is not None:
                return found
        found = self._certain(usable, holding, facts, moved, scaled)
        if found is not None:
            return found
        # No later answer is compared with what an uncertain one told, so the newest word counts. What one
        # lacks it says nothing of.
        told = [one for one in self._answers if holding in one.held and holding not in one.disturbed]
        if told:
            one = next((one for one in reversed(told) if self._is_swept(one, holding[0])), told[-1])
            return Opening(self._first_held(one, holding, facts, moved, scaled), False, one.number)
        return Opening(ZERO, False)

    def _certain(
        self,
        usable: Sequence[Answer],
        holding: AccountContract,
        facts: Sequence[Fact],
        moved: Sequence[MovedIn],
        scaled: Sequence[Scaled],
    ) -> Opening | None:
        """Return what the last certain answer before all of these tells, else the first one behind some."""
        before = [one for one in usable if self._is_before(one, facts, moved)]
        if before:
            last = before[-1]
            return Opening(last.held.get(holding, ZERO), True, last.number)
        for one in usable:
            if not self._is_after(one, facts, moved):
                continue
            if holding not in one.held and facts and not self._proven_between(one, facts[0]):
                # It may have been sold, or have expired, on a day of which nothing is known.
                return Opening(ZERO, True, one.number)
            return Opening(self._first_held(one, holding, facts, moved, scaled), True, one.number)
        return None

    def _is_swept(self, answer: Answer, account: str) -> bool:
        """Return whether a sweep of its link is over; it may list executions that only a sweep brings."""
        return not self._swept.isdisjoint({(answer.link, account), (answer.link, "")})

    def swept(self, link: int, account: str) -> None:
        """Take in that a sweep of that link is over, whether or not it was answered in whole."""
        self._swept.add((link, account))
        self._found.clear()

    def _is_before(self, answer: Answer, facts: Sequence[Fact], moved: Sequence[MovedIn]) -> bool:
        """Return whether an answer came before all we know of a holding, with no unproven day between."""
        return (
            not any(answer.contains_move(each) for each in moved)
            and all(self._contains(answer, fact) is False for fact in facts)
            and (not facts or self._near(answer, facts[0]))
        )

    def _is_after(self, answer: Answer, facts: Sequence[Fact], moved: Sequence[MovedIn]) -> bool:
        """Return whether an answer contains something that we know of a holding."""
        contained = [self._contains(answer, fact) for fact in facts]
        if None in contained:
            return False
        return any(contained) or any(answer.contains_move(each) for each in moved)

    def _contains(self, answer: Answer, fact: Fact) -> bool | None:
        contained = answer.contains(fact, self._heard)
        return None if contained and answer.may_contain_either(fact, self._heard) else contained

    def _first_held(
        self,
        answer: Answer,
        holding: AccountContract,
        facts: Sequence[Fact],
        moved: Sequence[MovedIn],
        scaled: Sequence[Scaled],
    ) -> Decimal:
        """Return what was held before all executions and moves that an answer contains.

        Where more came from elsewhere than is held now, the rules page says no word of it: that makes no
        position of the other side, some of it went again.
        """
        known = [one for one in self._facts if one.order.holding == holding and one.key in answer.contained]
        sizes = [(fact, answer.contained[fact.key]) for fact in known]
        later = [fact for fact in facts if fact.key not in answer.contained]
        sizes += [(fact, fact.now.signed) for fact in later if answer.seems_to_contain(fact, self._heard)]
        parts = [size * answer.factor(scaled, fact.time, fact.key) for fact, size in sizes]
        untraded = in_units(answer.held.get(holding, ZERO) - sum(parts, ZERO))
        came = [each for each in moved if answer.contains_move(each)]
        rest = untraded - sum((each.quantity * answer.factor(scaled, each.time) for each in came), ZERO)
        first = ZERO if came and in_units(rest) * untraded <= 0 else rest
        return in_units(first / answer.factor(scaled, BEGINNING))

    def _near(self, answer: Answer, fact: Fact) -> bool:
        """Return whether no unproven day lies between an answer and an execution behind it."""
        gaps = self._epochs[fact.key]
        near = answer.gap_epoch == gaps or gaps <= self._gaps_closed
        return near and self._proven_between(answer, fact)

    def _proven_between(self, answer: Answer, fact: Fact) -> bool:
        """Return whether each day between an answer and an execution is proven.

        A day that ended unproven since both were there says nothing of the hours between them.
        """
        then = self._unproven_then[fact.key] if fact.booked_no >= answer.ended_no else answer.unproven
        times = (answer.second or answer.ended_at, fact.time)
        first, last = sorted(each.astimezone(NEW_YORK).date() for each in times)
        unproven = self.unproven | self._unproven_once.get(fact.order.holding, frozenset())
        return not any(first <= day <= last for day in unproven & then)


def _as_of(fact: Fact, arrived: int) -> Fact:
    """Return an execution with the versions that were among so many arrivals."""
    versions = {version: told for version, told in fact.versions.items() if fact.arrived[version] <= arrived}
    return replace(fact, versions=versions)
