"""What one answer about positions says, and which executions it contains (rules 4.1 and 4.2).

Owns before and after, told by the order of arrival. It decides nothing about a contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import prod

from tests.sim.rules_oracle.entries import Place
from tests.sim.rules_oracle.facts import AccountContract, Executed, Fact


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep that ended."""

    account: str
    asked: int
    """Counts what had arrived when it was asked."""
    ended: int
    """The same of its end."""


def was_pushed_behind(fact: Fact, arrived: int) -> bool:
    """Return whether a push behind so many arrivals told an execution, or changed how much it is of.

    A price, and a version that had been replaced by then, change nothing that is held.
    """
    known: list[int] = []
    for version, number in fact.arrived.items():
        before = fact.versions[max(known)].signed if known else None
        known.append(version)
        changed = fact.versions[max(known)].signed != before
        if changed and number > arrived and fact.versions[version].live:
            return True
    return False


@dataclass(slots=True)
class Heard:
    """What tells what an answer contains."""

    sweeps: Sequence[Sweep]
    """Those that are known to have listed everything."""
    unread: Mapping[str, tuple[int, int, bool]]
    """What the versions of an execution have in common -> the first that came and could not be read, its
    number among all that arrived, and whether it was pushed."""

    def came_unread(self, fact: Fact, version: int) -> bool:
        """Return whether a version, or one before it, had come unreadable."""
        first, number, _ = self.unread.get(fact.root, (version + 1, 0, False))
        return first <= version and number < fact.arrived[version]

    def was_pushed_unread(self, fact: Fact, version: int, behind: int) -> bool:
        """Return whether its first version had been pushed behind so many arrivals, and could not be read."""
        if not self.came_unread(fact, version):
            return False
        first, number, pushed = self.unread[fact.root]
        return pushed and first <= 1 and number > behind


@dataclass(frozen=True, slots=True)
class Answer:
    """A position answer that counts, with what it contains."""

    number: int
    held: dict[AccountContract, Decimal]
    certain: bool
    accounts: frozenset[str]
    """Accounts of which it has a row; one that lacks every position of an account is never certain of it."""
    swept: frozenset[str]
    """Accounts of which a sweep had ended, on this connection and link, when it was asked."""
    asked: int
    """Counts what had arrived when it was asked."""
    asked_at: datetime
    asked_no: int
    """Executions booked before it was asked; it contains them."""
    ended_no: int
    """Executions booked before it ended."""
    contained: dict[str, Decimal]
    """Of each execution booked before it was asked the quantity, in the version known then."""
    second: datetime | None
    """The broker's time asked for just before."""
    disturbed: frozenset[AccountContract]
    """What was pushed between request and end."""
    gap_epoch: int
    unproven: frozenset[date]
    """Days that were unproven when it ended."""
    ended: int
    """Counts what arrived by its end."""
    ended_at: datetime
    link: int = 0
    """Counts the connections, and links to the broker, up to the one of this answer."""

    def certain_of(self, holding: AccountContract) -> bool:
        account = holding[0]
        swept = account in self.swept or "" in self.swept
        return self.certain and swept and account in self.accounts and not self.disturbed

    def contains(self, fact: Fact, heard: Heard) -> bool | None:
        """Return whether it contains an execution; None where nothing tells.

        First by the order of arrival (rule 4.1): what a sweep brings later was not executed yet if another
        one that was asked behind the answer had ended without it. An answer may lag, so an execution that is
        older than it need not be in it; one that is younger is not.
        """
        if fact.booked_no < self.asked_no:
            return True
        first = next(iter(fact.versions))
        if 1 in fact.versions and not fact.versions[1].live:
            first = 1
        if fact.versions[first].live:
            # What a correction is of was perhaps missed long before.
            behind = first <= 1 or heard.was_pushed_unread(fact, first, self.ended)
            return False if behind else None
        return False if self._is_later(fact, first, heard) else None

    def may_contain_either(self, fact: Fact, heard: Heard) -> bool:
        """Return whether it contains an execution in one of two sizes, and nothing tells in which."""
        undecided = [
            version
            for version, event in fact.versions.items()
            if fact.arrived[version] > self.asked
            and (
                fact.arrived[version] < self.ended if event.live else not self._is_later(fact, version, heard)
            )
        ]
        known = [version for version in fact.versions if fact.arrived[version] <= self.asked]
        # Of those known when it was asked only the last one counts: the others were replaced by then.
        last = max(known, default=0)
        undecided = [version for version in undecided if version > last]
        sizes = {*undecided, last} if known else {*fact.versions}
        return bool(undecided) and len({fact.versions[version].signed for version in sizes}) > 1

    def _is_later(self, fact: Fact, version: int, heard: Heard) -> bool:
        """Return whether a version that a sweep brought was made behind the answer.

        Of what had come before and could not be read only its own push tells that.
        """
        if heard.came_unread(fact, version):
            return heard.was_pushed_unread(fact, version, self.ended)
        account = fact.order.holding[0]
        # A sweep that lists its correction leaves out what that replaced.
        told = min(number for each, number in fact.arrived.items() if each >= version)
        return self._is_younger(fact.versions[version]) or any(
            one.asked >= self.ended and one.ended < told and one.account in ("", account)
            for one in heard.sweeps
        )

    def _is_younger(self, event: Executed) -> bool:
        return event.time_known and event.time.replace(microsecond=0) > self.ended_at

    def seems_to_contain(self, fact: Fact, heard: Heard) -> bool:
        """Guess where nothing tells: by the broker's time."""
        told = self.contains(fact, heard)
        if told is not None:
            return told
        return not fact.now.time_known or (self.second is not None and fact.time <= self.second)

    def contains_move(self, moved: MovedIn) -> bool:
        """Tell by the broker's time, as of any adjustment (rule 4.4).

        Within a second by what was known first. What was told while it was under way counts as contained,
        as where a difference is measured.
        """
        by_then = self.second is not None and (moved.time, moved.known_at) <= (self.second, self.asked_at)
        return by_then or self.asked < moved.made <= self.ended

    def factor(self, scaled: Sequence[Scaled], time: datetime, key: str = "") -> Decimal:
        """Return what the ratios that it contains made of one unit that came at a time."""
        ratios = [one.ratio for one in scaled if one.known_at <= self.asked_at and one.scales(time, key)]
        return prod(ratios, start=Decimal(1))


@dataclass(frozen=True, slots=True)
class MovedIn:
    """What came from another account or contract, at the broker's time."""

    time: datetime
    quantity: Decimal
    made: int
    """Counts what had arrived when it was told."""
    known_at: datetime
    """When the answer that shows it was asked, or it was told; the beginning where a time was told too."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A ratio by which all that was held by then was multiplied."""

    place: Place
    ratio: Decimal
    known_at: datetime
    """When the answer that shows it was asked, or it was told."""

    def scales(self, time: datetime, key: str) -> bool:
        """Return whether what came at a time, by an execution if `key` names one, was multiplied."""
        known = self.place.known
        behind = known is None or key in known
        return time < self.place.time or (time == self.place.time and behind)


@dataclass(frozen=True, slots=True)
class Opening:
    quantity: Decimal
    confirmed: bool
    answer: int = -1
    """The number of the answer that it was taken from."""
