"""Change the lots and the alert positions of one contract for one entry.

Owns the arithmetic of opening, closing and ownership. It never orders entries: `lots` does.

- The opening part of an execution is a lot. The alerts decided as it was booked own it, else nobody.
- The closing part of an execution whose order has a reference takes lots that the reference names, by their
  owner or by their own order's reference (exclusive before shared); then lots without owner; then the opening
  balance; last other alerts' lots. Without a reference it takes owned lots, the oldest first; then lots
  without owner; then the opening balance.
- What an adjustment of unknown cause added is sold before owned lots.

An alert's average price is the running average of its openings; a sale does not change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tracker.core.lot_parts import cut, fill_name, handed_on, rejoin
from tracker.core.lot_rows import Lot
from tracker.core.model import ZERO, AlertId, Moment
from tracker.core.ownership_rows import Decided, OwnershipDecision, OwnershipKind
from tracker.core.packed_lots import appended, changed
from tracker.core.state_rows import AlertPosition, Holding

NameOf: TypeAlias = Callable[[AlertId], str]
"""Return the name key of a record for the contract, see `references.alert_key`."""


class Movement(Struct, frozen=True):
    """Hold one movement of a contract: an execution, or an expiration without one."""

    moment: Moment
    """The execution's time, and the frame that brought it first."""
    exec_id: str
    signed: Decimal
    price: Decimal
    owners: tuple[AlertId, ...] = ()
    """The alerts that its opening part belongs to."""
    order: str = ""
    """The order's key: its fills are decided together, see `ownership_rows.OrderOwners`."""
    reference: tuple[str, ...] = ()
    """The name keys that its order's reference may mean, see `references.Reference`."""
    referenced: bool = False
    """Whether the reference certainly means an alert: by our prefix, a listed alerter, or a match."""
    root: str = ""
    """The execId without its version."""
    expired: str = ""
    """Why the whole position went; `signed` and `price` mean nothing then."""

    @property
    def second(self) -> datetime:
        return second_of(self.moment.time)


def second_of(time: datetime) -> datetime:
    """Return the second of a time; the broker's times have no finer meaning."""
    return time.replace(microsecond=0) if time.microsecond else time


def stand_of(moment: Moment) -> tuple[datetime, int]:
    """Return the place of a decision, or of the last entry of a holding, for comparison with others."""
    return second_of(moment.time), moment.seq


def closing_of(mine: AlertPosition) -> str:
    """Return the name of the execution that closed an alert's position; empty where none did."""
    return "" if mine.closed_by is not None else fill_name(mine.last_exec_id)


def is_behind_close(lot: Lot, closed: AlertPosition) -> bool:
    """Return whether a lot was opened after a position was closed in the same second.

    What the closing execution itself opened was not.
    """
    if closed.closed_by is not None:
        # The broker's word stands behind what was known of that second as it was asked for.
        return lot.opened.seq > closed.last.seq
    return lot.exec_id != closed.last_exec_id and closed.closed_side * lot.quantity < 0


def last_stand(mine: AlertPosition) -> tuple[datetime, str]:
    """Return the place of the last execution of an alert's position, whatever the order of arrival."""
    return second_of(mine.last.time), mine.last_exec_id


class LotChanges:
    """Change lots and alert positions of one contract for one entry."""

    def __init__(self, holding: Holding, moment: Moment) -> None:
        self.lots: Sequence[Lot] = holding.lots
        """Never changed in place, since other holdings share it: there can be thousands of lots."""
        self.alerts = {each.alert: each for each in holding.alerts}
        self.touched: dict[AlertId, None] = {}
        self.gained: dict[AlertId, None] = {}
        self._moment = moment
        self._sold_with: dict[AlertId, dict[AlertId, None]] = {}
        """Alert -> the other owners of the lots of which this entry sold a part."""
        in_lots = holding.in_lots
        self.in_lots = sum((abs(lot.quantity) for lot in holding.lots), ZERO) if in_lots is None else in_lots
        self._unowned = abs(holding.held) - self.in_lots
        """What is left of the opening balance."""
        self._has_surplus = holding.has_surplus
        self.of_alerts = ZERO
        """How much was closed of lots with an owner."""

    # Executions

    def close(self, quantity: Decimal, movement: Movement, name_of: NameOf) -> tuple[AlertId, ...]:
        """Take `quantity` (positive) from lots and opening balance.

        Returns the alerts whose lots were taken although the reference names others.
        """
        left = quantity
        taken_from: dict[int, Lot] = {}
        named = frozenset(movement.reference)
        ours = named & {name_of(each.alert) for each in self.alerts.values() if each.quantity}
        if named and (movement.referenced or ours or any(named & set(lot.reference) for lot in self.lots)):
            mine = [at for at, lot in enumerate(self.lots) if _is_named(lot, named, name_of)]
            mine.sort(key=lambda at: len(self.lots[at].owners) > 1)
            free = [at for at, lot in enumerate(self.lots) if not lot.owners and at not in mine]
            rest = [at for at, lot in enumerate(self.lots) if lot.owners and at not in mine]
            left = self._take(mine + free, left, movement, taken_from)
            left -= min(left, self._unowned)
            foreign = {owner for at in rest for owner in self.lots[at].owners} if left else ()
            self._take(rest, left, movement, taken_from)
            taken = tuple(alert for alert in foreign if alert in self.touched)
        else:
            # Generators, which search no further than needed: a sale closes few of thousands of lots.
            surplus: list[int] = []
            if self._has_surplus:
                surplus = [at for at, lot in enumerate(self.lots) if lot.surplus and not lot.owners]
            of_alerts = (at for at, lot in enumerate(self.lots) if lot.owners)
            of_nobody = (at for at, lot in enumerate(self.lots) if not lot.owners and at not in surplus)
            self._take(chain(surplus, of_alerts, of_nobody), left, movement, taken_from)
            taken = ()
        self.lots = changed(self.lots, taken_from)
        return taken

    def _take(
        self, order: Iterable[int], quantity: Decimal, movement: Movement, taken_from: dict[int, Lot]
    ) -> Decimal:
        """Take from these lots in turn; returns the quantity still to take.

        Adds to `taken_from` what is left of each lot.
        """
        left = quantity
        for at in order:
            if not left:
                break
            lot = self.lots[at]
            taken = min(abs(lot.quantity), left)
            left -= taken
            self.in_lots -= taken
            self.of_alerts += taken if lot.owners else ZERO
            part = taken.copy_sign(lot.quantity)
            taken_from[at] = replace(lot, quantity=lot.quantity - part)
            for owner in lot.owners:
                self._sell(owner, part, movement, lot.owners)
        return left

    def _sell(self, alert: AlertId, part: Decimal, movement: Movement, owners: tuple[AlertId, ...]) -> None:
        before = self.alerts[alert]
        quantity = before.quantity - part or ZERO
        self.touched[alert] = None
        with_it = self._sold_with.setdefault(alert, {})
        with_it.update(dict.fromkeys(owner for owner in owners if owner != alert))
        self.alerts[alert] = replace(
            before,
            quantity=quantity,
            sold=True,
            closed_at=None if quantity else movement.moment.time,
            closed_by=None if quantity else movement.expired or None,
            last_exec_id=before.last_exec_id if movement.expired else movement.exec_id,
            last_account=before.last_account if movement.expired else "",
            last=movement.moment,
            sold_with=() if quantity else tuple(with_it),
            closed_side=0 if quantity else 1 if part > 0 else -1,
            earlier=before.earlier if quantity else None,
        )

    def open(self, opening: Decimal, movement: Movement) -> None:
        """Add the lot of an opening part."""
        lot = Lot(
            movement.owners,
            opening,
            movement.price,
            movement.moment,
            movement.exec_id,
            movement.order,
            movement.reference,
        )
        self.lots = appended(self.lots, lot)
        self.in_lots += abs(opening)
        for owner in movement.owners:
            self._gain(owner, lot, newest=True)

    def _gain(self, alert: AlertId, lot: Lot, *, newest: bool = False) -> None:
        """Add a lot to what an alert owns; the running average counts the lot at its own price.

        `newest`: the lot is of the last entry; else its second and execId decide whether it is the newest.
        """
        before = self.alerts.get(alert)
        self.touched[alert] = None
        self.gained[alert] = None
        if before is None or not before.quantity:
            self.alerts[alert] = AlertPosition(
                alert,
                lot.quantity,
                lot.price,
                lot.opened.time,
                closed_at=None,
                closed_by=None,
                last_exec_id=lot.exec_id,
                last=lot.opened,
                earlier=before.last_closed if before is not None else None,
            )
            return
        size = abs(before.quantity) + abs(lot.quantity)
        cost = abs(before.quantity) * before.avg_price + abs(lot.quantity) * lot.price
        stands = (second_of(lot.opened.time), lot.exec_id)
        newer = newest or stands >= last_stand(before)
        self.alerts[alert] = replace(
            before,
            quantity=before.quantity + lot.quantity,
            avg_price=cost / size,
            opened_at=min(before.opened_at, lot.opened.time),
            last_exec_id=lot.exec_id if newer else before.last_exec_id,
            last_account="" if newer else before.last_account,
            last=lot.opened if newer else before.last,
        )

    # Decisions

    def decide(self, decision: OwnershipDecision) -> Mapping[str, Decimal]:
        """Apply a decision; returns execId and quantity of each lot that changed owners."""
        if decision.kind is OwnershipKind.SUCCEEDED:
            return self._succeed(decision)
        if decision.kind in (OwnershipKind.PART, OwnershipKind.REJOINED):
            return self._divide(decision)
        if decision.kind is OwnershipKind.ASSIGNED:
            # Taken back, it leaves a record that a late match found closed what that gave it.
            return self._own(decision.order, lambda lot: tuple(self._allowed(lot, decision.alerts)))
        # A match found as the execution was booked is no late match.
        late = decision.kind is OwnershipKind.MATCHED
        known = [replace(one, closed=self._closed_at(one) if late else None) for one in decision.alerts]

        def with_more(lot: Lot) -> tuple[AlertId, ...]:
            return tuple(dict.fromkeys((*lot.owners, *self._allowed(lot, known))))

        return self._own(decision.order, with_more)

    def _allowed(self, lot: Lot, alerts: Iterable[Decided]) -> list[AlertId]:
        """Return which of these alerts may have a lot: closed ones only what was opened after their close."""
        return [one.alert for one in alerts if one.closed is None or self._is_behind(lot, one, one.closed)]

    def _is_behind(self, lot: Lot, one: Decided, at: datetime) -> bool:
        """Return whether a lot was opened after a record had closed at that time.

        Where something else closed it in that second by now, what was decided stays.
        """
        opened, closed = second_of(lot.opened.time), second_of(at)
        if opened != closed:
            return opened > closed
        here = self.alerts.get(one.alert)
        last = here.last_closed if here is not None else None
        if last is None or last.closed_at != at or one.closing not in (None, closing_of(last)):
            return fill_name(lot.exec_id) in one.behind
        return is_behind_close(lot, last)

    def _closed_at(self, one: Decided) -> datetime | None:
        """Return when a record had closed, None where it was open; only newer lots open it again."""
        if one.closed_known:
            return one.closed
        here = self.alerts.get(one.alert)
        if one.open_elsewhere or (here is not None and here.quantity):
            return None
        known = [at for at in (one.closed_elsewhere, here.closed_at if here is not None else None) if at]
        return max(known) if known else None

    def _own(self, order: str, owners_of: Callable[[Lot], tuple[AlertId, ...]]) -> Mapping[str, Decimal]:
        given: dict[str, Decimal] = {}
        of_order = [
            (at, lot) for at, lot in enumerate(self.lots) if order and lot.order == order and lot.part is None
        ]
        # All new owners are found first: giving one lot would make a closed record open for the next one.
        for at, lot, owners in [(at, lot, owners_of(lot)) for at, lot in of_order]:
            if owners == lot.owners:
                continue
            after = replace(lot, owners=owners)
            self.lots = changed(self.lots, {at: after})
            given[lot.exec_id] = lot.quantity
            self._change_hands(lot, after)
        return given

    def _change_hands(self, before: Lot, after: Lot) -> None:
        # The owners that keep it share it with others now.
        self.touched.update(dict.fromkeys((*before.owners, *after.owners)))
        for owner in before.owners:
            if owner not in after.owners:
                self._lose(owner, before)
        for owner in after.owners:
            if owner not in before.owners:
                self._gain(owner, after)

    def _divide(self, decision: OwnershipDecision) -> Mapping[str, Decimal]:
        """Split a part off a fill, or join parts with the rest again."""
        divide = cut if decision.kind is OwnershipKind.PART else rejoin
        lots, moved = divide(self.lots, decision)
        self.lots = tuple(lots)
        given: dict[str, Decimal] = {}
        for before, after in moved:
            given[after.exec_id] = given.get(after.exec_id, ZERO) + after.quantity
            self._change_hands(before, after)
        return given

    def _lose(self, alert: AlertId, lot: Lot) -> None:
        """Take a lot from an alert without a sale, since a decision gave it to another.

        The average is computed again from the lots that the alert keeps. If it keeps none and sold none, it
        is what it was before they were its own.
        """
        before = self.alerts[alert]
        quantity = before.quantity - lot.quantity or ZERO
        self.touched[alert] = None
        if not quantity and not before.sold:
            del self.alerts[alert]
            if before.earlier is not None:
                self.alerts[alert] = before.earlier
            return
        mine = [each for each in self.lots if alert in each.owners]
        average, opened_at = before.avg_price, before.opened_at
        if mine:
            cost = sum((abs(each.quantity) * each.price for each in mine), ZERO)
            average = cost / sum((abs(each.quantity) for each in mine), ZERO)
            opened_at = min(each.opened.time for each in mine)
        self.alerts[alert] = replace(
            before,
            quantity=quantity,
            avg_price=average,
            opened_at=opened_at,
            closed_at=None if quantity else self._moment.time,
        )

    def _succeed(self, decision: OwnershipDecision) -> Mapping[str, Decimal]:
        """Give what is left of an alert's lots to its successor, with the average and the time of opening."""
        old, (new,) = decision.taken_from, decision.alerts
        before = self.alerts.get(old) if old is not None else None
        if old is None or before is None or not before.quantity or old == new.alert:
            return {}
        self.touched.update({old: None, new.alert: None})
        given = {lot.exec_id: lot.quantity for lot in self.lots if old in lot.owners}
        # Lots that both own are in the successor's average already.
        taken = [lot for lot in self.lots if old in lot.owners and new.alert not in lot.owners]
        self.touched.update((owner, None) for lot in self.lots if old in lot.owners for owner in lot.owners)
        self.lots = tuple(handed_on(lot, old, new.alert) for lot in self.lots)
        self.gained[new.alert] = None
        mine = self.alerts.get(new.alert)
        del self.alerts[old]
        quantity = sum((lot.quantity for lot in self.lots if new.alert in lot.owners), ZERO)
        if mine is None or not mine.quantity:
            earlier = mine.last_closed if mine is not None else None
            self.alerts[new.alert] = replace(before, alert=new.alert, earlier=earlier)
        else:
            more = sum((abs(lot.quantity) for lot in taken), ZERO)
            # Where nothing was sold, the average is that of the lots' own prices.
            its_cost = sum((abs(lot.quantity) * lot.price for lot in taken), ZERO)
            cost = more * before.avg_price if before.sold else its_cost
            size = more + abs(mine.quantity)
            cost += abs(mine.quantity) * mine.avg_price
            newest = max(before, mine, key=last_stand)
            self.alerts[new.alert] = replace(
                mine,
                quantity=quantity,
                avg_price=cost / size,
                opened_at=min(before.opened_at, mine.opened_at) if more else mine.opened_at,
                last_exec_id=newest.last_exec_id,
                last_account=newest.last_account,
                last=newest.last,
                sold=mine.sold or (before.sold and bool(more)),
            )
        return given


def _is_named(lot: Lot, named: frozenset[str], name_of: NameOf) -> bool:
    """Return whether a reference names a lot: by an owner, or by its own order's reference."""
    return not named.isdisjoint(lot.reference) or any(name_of(owner) in named for owner in lot.owners)
