"""Fold one account's executions of one contract, with decisions and adjustments in their places, into lots.

Owns whose lots are, what a fill closes (3.1) and what an adjustment takes (4.5).
It starts from nothing each time and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from tests.sim.rules_oracle.entries import BEGINNING, FIRST, Adjustment, Decision, Kind, Since, Unsettled
from tests.sim.rules_oracle.facts import ZERO, Fact, OrderKey
from tests.sim.rules_oracle.folded import Arrival, Folded, Given, Kept, Lot
from tests.sim.rules_oracle.names import Reference
from tests.sim.rules_oracle.ratios import in_units, quantities
from tests.sim.rules_oracle.seconds import behind, in_order
from tests.sim.rules_oracle.tallies import Change, Did, tally_of

Step = Decision | Adjustment | Unsettled | Arrival


def fold(given: Given) -> Folded:
    """Fold from nothing."""
    return _Fold(given).run()


class _Fold:
    def __init__(self, given: Given) -> None:
        self._given = given
        self._out = Folded(given.holding, given.opening)
        self._parts: dict[str, list[Decision]] = {}
        for decision in given.decisions:
            if decision.kind is Kind.PART:
                self._parts.setdefault(decision.fact, []).append(decision)
        self._written = {id(decision): number for number, decision in enumerate(given.decisions)}
        self._renamed: dict[int, list[tuple[int, int]]] = {}
        """alert -> number of a takeover and the successor, in the order in which they were written."""
        self._before_person: dict[OrderKey, list[tuple[Decision, dict[int, str], dict[int, Decision]]]] = {}
        """Each decision of a person that stands, who owned the order before it, and their late matches."""
        self._late: dict[OrderKey, dict[int, Decision]] = {}
        """The late match by which an alert owns an order."""
        self._named: dict[tuple[OrderKey, int], int] = {}
        """Number of the last decision that made an alert an owner of an order."""
        self._index = 0
        self._now = BEGINNING
        self._root = ""
        """The execution that is being folded."""
        self._listed = (BEGINNING, 0)
        """Time and index of what waits for settlement."""

    def run(self) -> Folded:
        steps: list[tuple[datetime, Step]] = [
            *((one.time, one) for one in self._given.incoming),
            *((one.place.time, one) for one in self._given.decisions if one.kind is not Kind.PART),
            *((one.place.time, one) for one in self._given.adjustments),
        ]
        if self._given.unsettled is not None:
            steps.append((self._given.unsettled.place.time, self._given.unsettled))
        waiting = sorted(steps, key=lambda step: (step[0], _known(step[1])))
        by_second = sorted(self._given.facts, key=lambda fact: fact.time)
        for second, group in groupby(by_second, key=lambda fact: fact.time):
            while waiting and waiting[0][0] < second:
                self._take(waiting.pop(0))
            facts = in_order(list(group), self._out.counted)
            here = []
            while waiting and waiting[0][0] == second:
                step = waiting.pop(0)[1]
                here.append((behind(step.place, facts), step))
            here.sort(key=lambda each: each[0])
            for number, fact in enumerate(facts):
                while here and here[0][0] == number:
                    self._take((second, here.pop(0)[1]))
                self._now, self._root = second, fact.root
                self._execute(fact)
            for _, step in here:
                self._take((second, step))
        for step_at_end in waiting:
            self._take(step_at_end)
        return self._out

    def _take(self, step: tuple[datetime, Step]) -> None:
        self._now, what = step
        self._root = ""
        self._index += 1
        if isinstance(what, Decision):
            self._decide(what)
        elif isinstance(what, Adjustment):
            self._adjust(what)
        elif isinstance(what, Unsettled):
            self._wait_for_settlement(what)
        else:
            self._receive(what)

    # Executions

    def _execute(self, fact: Fact) -> None:
        self._index += 1
        out, event, order = self._out, fact.now, fact.order
        of_order = out.owners.setdefault(order, {})
        since = out.since.setdefault(order, {})
        # What was decided with another execution of its order is no part of this one (rules 1.3 and 1.4).
        owners: dict[int, str] = {}
        for decision in self._parts.get(fact.key, ()):
            for alert, rule in decision.rules.items():
                now = self._now_called(alert, decision)
                owners[now] = rule
                if decision.instead_of < 0:
                    of_order[now] = rule
                    self._named[order, now] = self._written[id(decision)]
                    since.setdefault(now, fact.time)
        rest = event.signed
        if rest * out.position < 0 or (rest and rest * out.left_over < 0):
            rest = self._close(fact, rest)
        grows = out.counted * (1 if event.side == "BOT" else -1) >= 0
        if rest or (not event.quantity and grows and fact.was_in_force):
            # A void is a lot of nothing: who had it is known to have nothing left.
            lot = Lot(
                rest,
                event.price,
                fact.time,
                self._index,
                order,
                self._given.reference(fact),
                root=fact.root,
            )
            self._add(lot, owners)

    def _add(self, lot: Lot, owners: Mapping[int, str], kept: Mapping[int, Kept] | None = None) -> None:
        lot.index, lot.owners, lot.number = self._index, {}, len(self._out.lots)
        self._out.lots.append(lot)
        for alert, rule in owners.items():
            self._own(lot, alert, rule, (kept or {}).get(alert))

    def _close(self, fact: Fact, signed: Decimal) -> Decimal:
        """Close what the execution closes, in the order of rule 3.1; return what is left of it."""
        reference = self._given.reference(fact)
        rest = abs(signed)
        for tier, told in self._tiers(fact, reference):
            if not rest:
                break
            if tier == "opening":
                part = min(rest, abs(self._out.opening)) if self._out.opening * signed < 0 else ZERO
                self._out.opening += part if signed > 0 else -part
                rest -= part
            elif tier == "left over":
                part = min(rest, abs(self._out.left_over)) if self._out.left_over * signed < 0 else ZERO
                self._out.left_over += part if signed > 0 else -part
                rest -= part
            else:
                assert isinstance(tier, list)
                part = self._reduce(tier, rest, fact.time, Did.CLOSED, "")
                if part and told:
                    self._out.took_from_others.append(fact.now.exec_id)
                rest -= part
        return rest if signed > 0 else -rest

    def _tiers(self, fact: Fact, reference: Reference | None) -> list[tuple[list[Lot] | str, bool]]:
        lots = sorted((lot for lot in self._out.lots if lot.quantity), key=lambda lot: lot.age)
        named = [
            lot
            for lot in lots
            if reference is not None
            and (
                reference.same_name(lot.reference)
                or any(self._given.names_alert(reference, alert, fact) for alert in lot.owners)
            )
        ]
        if reference is None or not (reference.certain or named):
            first = [lot for lot in lots if lot.unknown_cause and not lot.owners]
            owned = [lot for lot in lots if lot.owners]
            free = [lot for lot in lots if not lot.owners and lot not in first]
            # What waits for settlement is counted where it would stand once settled, so that nothing is told
            # closed now and opened again a minute later.
            tiers: list[list[Lot] | str] = ["left over", first, owned, free, "opening"]
            return [(tier, False) for tier in tiers]
        exclusive = [lot for lot in named if len(lot.owners) <= 1]
        shared = [lot for lot in named if len(lot.owners) > 1]
        free = [lot for lot in lots if not lot.owners and lot not in named]
        # What waits for settlement is a lot without owner, of the time at which it was listed.
        older = [lot for lot in free if (lot.time, lot.index) < self._listed]
        younger = [lot for lot in free if lot not in older]
        others = [lot for lot in lots if lot.owners and lot not in named]
        by_name: list[list[Lot] | str] = [exclusive, shared, older, "left over", younger, "opening"]
        return [*((tier, False) for tier in by_name), (others, True)]

    def _reduce(self, lots: Sequence[Lot], most: Decimal, time: datetime, did: Did, cause: str) -> Decimal:
        """Take up to `most` off the lots; shared lots shrink for all owners alike."""
        done = ZERO
        for lot in lots:
            part = min(most - done, abs(lot.quantity))
            if not part:
                continue
            signed = part if lot.quantity > 0 else -part
            lot.quantity -= signed
            done += part
            for alert in lot.owners:
                self._note(alert, did, -signed, None, time, cause, lot=lot.number)
        return done

    # Decisions

    def _decide(self, decision: Decision) -> None:
        if decision.kind is Kind.TAKEOVER:
            self._take_over(decision)
            return
        assert decision.order is not None
        owners = self._out.owners.setdefault(decision.order, {})
        placed = self._out.placed.setdefault(decision.order, set())
        since = self._out.since.setdefault(decision.order, {})
        lots = [lot for lot in self._out.lots if lot.order == decision.order and lot.quantity]
        if decision.kind in (Kind.LATE, Kind.CREATION):
            for alert, rule in decision.rules.items():
                alert = self._now_called(alert, decision)
                self._late.setdefault(decision.order, {})[alert] = decision
                written = self._written[id(decision)]
                followed = self._named.get((decision.order, alert), -1) > written
                owned = alert in owners and alert not in placed and not followed
                if not owned and decision.instead_of < 0:
                    # Else it owns already what the order opens, or stands in: what it lacks is given below.
                    owners[alert] = rule
                    placed.add(alert)
                    since.setdefault(alert, decision.place.time)
                self._named[decision.order, alert] = written
                for lot in lots:
                    if alert not in lot.owners and self._may_open(decision, alert, lot):
                        self._own(lot, alert, rule)
        else:
            self._decide_by_person(decision, decision.order, lots)

    def _decide_by_person(self, decision: Decision, order: OrderKey, lots: list[Lot]) -> None:
        late_matches = self._late.setdefault(order, {})
        made = self._before_person.setdefault(order, [])
        late: dict[int, tuple[Decision, int]] = {}
        if decision.kind is Kind.UNDO:
            numbers = [taken.number for taken, *_ in made]
            at = numbers.index(decision.number) if decision.number else len(made) - 1
            taken, before, matched = made.pop(at)
            previous: dict[int, str] = {}
            for alert, rule in before.items():
                # What a person takes back goes to the successor too, unless the record is there again.
                previous.setdefault(self._now_called(alert, taken, decision.present), rule)
            if at < len(made):
                # A later one stands; taken back too, it goes back to what was before both.
                made[at] = (made[at][0], previous, matched)
                return
            late_matches |= matched
            late = {self._now_called(a, one, decision.present): (one, a) for a, one in matched.items()}
        else:
            made.append((decision, dict(decision.before), dict(late_matches)))
            late_matches |= dict.fromkeys(decision.rules, decision)
            previous = dict(decision.rules)
        self._out.owners[order] = dict(previous)
        self._named |= {(order, alert): self._written[id(decision)] for alert in previous}
        self._out.placed[order] = set(previous)
        self._out.since[order] = dict.fromkeys(previous, decision.place.time)
        for lot in lots:
            # A late match that is in force again leaves a closed record closed (rule 1.4).
            wanted = {
                a: rule for a, rule in previous.items() if a not in late or self._may_open(*late[a], lot)
            }
            for alert in [each for each in lot.owners if each not in wanted]:
                self._disown(lot, alert)
            for alert, rule in wanted.items():
                if alert not in lot.owners:
                    self._own(lot, alert, rule)

    def _may_open(self, decision: Decision, alert: int, lot: Lot) -> bool:
        """Rule 1.4: a late match opens a closed record only with lots opened after its close."""
        closed_at = decision.closed_at.get(alert)
        if closed_at is None:
            return True
        if lot.time == closed_at:
            index, *closing = self._out.closes.get(alert, (lot.index, closed_at, ""))
            if closing == [closed_at, decision.closing.get(alert, "")]:
                return lot.index > index
            # It is not computed again where a late execution moved the close that was written down.
            return lot.root in decision.behind.get(alert, ())
        return lot.time > closed_at

    def _now_called(self, alert: int, decision: Decision, present: Collection[int] = ()) -> int:
        """Follow an alert to its successor, as far as the takeover was written behind the decision.

        One that is `present` needs none.
        """
        since = self._written[id(decision)]
        while alert not in present and (
            later := [each for each in self._renamed.get(alert, ()) if each[0] > since]
        ):
            since, alert = min(later)
        return alert

    def _take_over(self, decision: Decision) -> None:
        """Rule 2.4: the successor takes over what is left, with the average that was shown."""
        old, new = decision.old, decision.new
        written = self._written[id(decision)]
        self._renamed.setdefault(old, []).append((written, new))
        for order, owners in self._out.owners.items():
            # What was decided since, as the record was there again, stays its own.
            if order in decision.orders and old in owners and self._named.get((order, old), -1) < written:
                self._name(order, old, new)
                self._named[order, new] = written
        kept = self._kept(old)
        for lot in self._out.lots:
            if old in lot.owners:
                rule = lot.owners[old]
                if not lot.quantity:
                    del lot.owners[old]
                    lot.owners.setdefault(new, rule)
                    continue
                self._disown(lot, old, Did.HANDED)
                if new not in lot.owners:
                    self._own(lot, new, rule, kept)

    def _name(self, order: OrderKey, old: int, new: int) -> None:
        """Have what an order opens next be the successor's, since the older time if both had the order."""
        rule = self._out.owners[order].pop(old)
        self._out.owners[order].setdefault(new, rule)
        since, placed = self._out.since[order], self._out.placed.setdefault(order, set())
        since[new], late = min((since.pop(each), each in placed) for each in (old, new) if each in since)
        placed -= {old, new}
        if late:
            placed.add(new)

    def _own(self, lot: Lot, alert: int, rule: str, kept: Kept | None = None) -> None:
        """Give a lot to an alert; `kept` is what was shown of it elsewhere, or by another record."""
        lot.owners[alert] = rule
        self._note(
            alert,
            Did.OPENED,
            lot.quantity,
            lot.price if kept is None else kept.average,
            lot.time if kept is None else kept.opened_at or lot.time,
            "",
            rule,
            lot.order,
            lot.number,
            reduced=kept is not None,
            lot_of=lot,
        )

    def _kept(self, alert: int, ratio: Decimal = Decimal(1)) -> Kept | None:
        """Return what an alert shows here; where nothing was sold the lots' own prices make the average."""
        shown = tally_of(self._out.changes, alert)
        average = None if shown.average is None else shown.average / ratio
        reduced = any(part.reduced for part in shown.parts.values())
        return Kept(average, shown.opened_at) if reduced else None

    def _disown(self, lot: Lot, alert: int, did: Did = Did.MOVED) -> None:
        del lot.owners[alert]
        self._note(alert, did, -lot.quantity, None, self._now, "", lot=lot.number)

    # Section 4

    def _wait_for_settlement(self, unsettled: Unsettled) -> None:
        """Rule 4.3: a larger quantity of the same side, or any from zero, counts for what a fill closes."""
        ours, held = self._out.position, unsettled.held
        self._out.difference = held - ours
        if held and (held - ours) * ours >= 0:
            self._out.left_over, self._out.counts = held - ours, True
            self._listed = (self._now, self._index)

    def _adjust(self, adjustment: Adjustment) -> None:
        factor = adjustment.ratio
        if adjustment.target is not None:
            self._send(adjustment, factor or Decimal(1))
            return
        if factor is not None:
            self._scale(factor)
            return
        assert adjustment.held is not None
        self._bring_to(adjustment.held, adjustment.time, adjustment.cause)

    def _bring_to(self, target: Decimal, time: datetime, cause: str) -> None:
        out, ours = self._out, self._out.position
        keep = target if target * ours > 0 else ZERO
        if abs(keep) < abs(ours):
            self._shrink(abs(ours) - abs(keep), time, cause)
        if target - out.position:
            lot = Lot(target - out.position, None, time, self._index)
            lot.unknown_cause = cause == "adjusted"
            self._add(lot, {})

    def _receive(self, arrival: Arrival) -> None:
        """Take in what comes from elsewhere.

        Of opposite sides what is left belongs to nobody if somebody owned what was here. What is unsettled
        goes before what is owned, where it counts for a fill.
        """
        out, total = self._out, sum((lot.quantity for lot in arrival.lots), ZERO)
        sold = abs(out.counted) if total * out.counted < 0 else ZERO
        owned = sum((lot.quantity for lot in out.lots if lot.owners), ZERO)
        spare = min(abs(out.left_over), max(abs(total) - abs(out.position - owned), ZERO)) if sold else ZERO
        out.left_over -= spare.copy_sign(out.left_over)
        if sold and (abs(total) <= sold or owned):
            self._bring_to(out.position + total + spare.copy_sign(-total), arrival.time, arrival.cause)
            return
        self._shrink(sold, arrival.time, arrival.cause)
        for lot in arrival.lots:
            if lot.time == BEGINNING:
                # What was held before all that is known stays that, wherever it goes on.
                out.opening += lot.quantity
            else:
                self._add(replace(lot), lot.owners, arrival.kept)
        self._shrink(sold, arrival.time, arrival.cause)

    def _shrink(self, size: Decimal, time: datetime, cause: str) -> None:
        """Rule 4.5: lots without owner, the opening balance among them, then owned ones, oldest first."""
        out = self._out
        part = min(size, abs(out.opening)) if out.opening * out.position > 0 else ZERO
        out.opening -= part if out.opening > 0 else -part
        size -= part
        lots = sorted((lot for lot in out.lots if lot.quantity), key=lambda lot: lot.age)
        for group in ([lot for lot in lots if not lot.owners], [lot for lot in lots if lot.owners]):
            size -= self._reduce(group, size, time, Did.ADJUSTED, cause)

    def _scale(self, ratio: Decimal) -> None:
        """Only a known ratio scales every lot, price with it (rule 4.5)."""
        whole = in_units(self._out.position * ratio)
        # The average of what was closed before is in old units and stays.
        alerts = {alert for lot in self._out.lots if lot.quantity for alert in lot.owners}
        for alert in alerts:
            self._note(alert, Did.SCALED, ratio, None, self._now, "")
        for lot, quantity in zip(self._out.lots, quantities(self._out.lots, ratio), strict=True):
            for alert in lot.owners if lot.quantity else ():
                self._note(alert, Did.RESIZED, quantity - lot.quantity, None, self._now, "", lot=lot.number)
            lot.quantity = quantity
            if lot.price is not None:
                lot.price /= ratio
        self._out.opening = whole - sum((lot.quantity for lot in self._out.lots), ZERO)

    def _send(self, adjustment: Adjustment, ratio: Decimal) -> None:
        """Move everything to another account or contract, owners with it (rule 4.6)."""
        assert adjustment.target is not None
        whole, parts = in_units(self._out.position * ratio), quantities(self._out.lots, ratio)
        rest = whole - sum(parts, ZERO)
        moved = [Lot(rest, None, BEGINNING, 0)] if self._out.opening else []
        self._out.opening = ZERO
        owners = {alert for lot in self._out.lots if lot.quantity for alert in lot.owners}
        kept = {alert: shown for alert in owners if (shown := self._kept(alert, ratio)) is not None}
        for lot, quantity in zip(self._out.lots, parts, strict=True):
            if not lot.quantity:
                continue
            price = lot.price / ratio if lot.price is not None else None
            went = replace(lot, quantity=quantity, price=price, order=None)
            moved.append(replace(went, owners=dict(lot.owners)))
            for alert in lot.owners:
                self._note(
                    alert, Did.LEFT, -lot.quantity, None, adjustment.time, adjustment.cause, lot=lot.number
                )
            lot.owners = {}
            lot.quantity = ZERO
        known = FIRST if adjustment.place.known is None else adjustment.known_since
        arrival = Arrival(adjustment.place, moved, adjustment.cause, kept, adjustment.made, known)
        self._out.outgoing.append((adjustment.target, arrival))

    def _note(
        self,
        alert: int,
        did: Did,
        quantity: Decimal,
        price: Decimal | None,
        time: datetime,
        cause: str,
        rule: str = "",
        order: OrderKey | None = None,
        lot: int = -1,
        reduced: bool = False,
        lot_of: Lot | None = None,
    ) -> None:
        change = Change(
            self._now,
            alert,
            self._given.holding,
            did,
            quantity,
            price,
            time,
            cause,
            rule,
            order,
            lot,
            reduced,
            lot_of.price if lot_of is not None else None,
            lot_of.time if lot_of is not None else None,
            self._root or (lot_of.root if lot_of is not None else ""),
        )
        self._out.changes.append(change)
        if did in (Did.CLOSED, Did.ADJUSTED) and not any(
            lot.quantity and alert in lot.owners for lot in self._out.lots
        ):
            self._out.closes[alert] = self._index, self._now, change.root


def _known(step: Step) -> Since:
    """Return when something became known: within a second what was known first stands first."""
    return (step.at, step.made) if isinstance(step, Decision) else step.known_since
