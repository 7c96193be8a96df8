"""Break each rule of ownership in the core, and list the lives in which the oracle notices.

`python -m tests.sim.rule_mutations [RULE ...]` lives the seeds that are named with each mutation; what fails
with it must come right without. `--search 200` looks for them among the first 200 seeds, which takes long.
`tests/sim/test_rule_mutations.py` lives one seed of each that notices.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from tests.sim.runs import run_one
from tests.support.planting import Patch, always, planted
from tracker.core import entries, lots, matching, order_owners, ownership, references, stored_contracts
from tracker.core.alerters import AlerterNames
from tracker.core.decision_log import DecisionLog
from tracker.core.entries import ContractEntries
from tracker.core.lot_changes import LotChanges
from tracker.core.model import LIVE, Ambiguous, Matched, Moment, Rule
from tracker.core.order_owners import PERSON
from tracker.core.ownership import Ownership
from tracker.core.ownership_rows import OwnershipKind
from tracker.core.state import EXECUTIONS, OWNERS
from tracker.core.state_rows import rules_of
from tracker.journal.journal import Journal
from tracker.pipeline import store_changes
from tracker.pipeline.pump import Pump
from tracker.pipeline.retry_clock import RetryClock, SeenRecords
from tracker.pipeline.store_changes import StoreChanges


class Mutation(NamedTuple):
    """Name a rule, what is done instead, and how."""

    rule: str
    what: str
    patches: Sequence[Patch]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that notice it, where some are known."""
        return SEEDS.get(self.what, ())

    @property
    def name(self) -> str:
        return f"{self.rule} {self.what}"


def _arrival_order(real: Any) -> Any:
    return lambda movement, growing: lots.PlaceInSecond(False, f"{movement.moment.seq:09}", 0)


def _place_of_today(real: Any) -> Any:
    """Put every decision where it would stand if it were made now."""

    def decisions(self: ContractEntries, key: Any) -> Any:
        newest = max(row.moment for row in self._state.find(EXECUTIONS, "contract", key.text()))
        place = Moment(newest.time, 10**9)
        return [one if one.whole else replace(one, place=place) for one in real(self, key)]

    return decisions


def _judge_all_as_live(real: Any) -> Any:
    return lambda self, frame, execution: real(self, frame, replace(execution, request_id=LIVE))


def _late_is_a_part(real: Any) -> Any:
    """Stand a late match, and a person's assignment, before everything instead of at their place."""

    def write(self: DecisionLog, frame: Any, ruling: Any, skew: Any) -> Any:
        if ruling.kind in (OwnershipKind.MATCHED, OwnershipKind.ASSIGNED):
            ruling = ruling._replace(place=Moment(frame.received_at - timedelta(days=9), 0))
        return real(self, frame, ruling, skew)

    return write


def _first_owner_only(real: Any) -> Any:
    """Never match an order again that has an owner."""
    return lambda before, now: None if isinstance(before, Matched) else real(before, now)


def _rival_settles(real: Any) -> Any:
    return lambda before, now: now if isinstance(before, Ambiguous) else real(before, now)


def _matches_only(real: Any) -> Any:
    return lambda before, now: real(before, now) if isinstance(now, Matched | Ambiguous) else None


def _wall_clock(real: Any) -> Any:
    """Count the time in which the store was away, too."""
    return lambda self, readable: real(self, True)


def _fill_by_fill(real: Any) -> Any:
    """Match each fill by itself, whatever its order is."""
    return lambda execution: f"{execution.account} {execution.contract.con_id} alone {execution.exec_id}"


def _literal_reference(real: Any) -> Any:
    def read(text: str, contract: Any, names: AlerterNames) -> Any:
        found = real(text, contract, names)
        return found if found.text in ("", text.strip()) and text.islower() else references.NO_REFERENCE

    return read


def _forget_undone(real: Any) -> Any:
    """Begin each process without what was taken back, so that it is matched again."""

    def begin(self: Pump, journal: Journal, *values: Any, **named: Any) -> None:
        real(self, journal, *values, **named)
        # Not the simulation's own step, at which a process may be killed.
        with Journal.step(journal) as advance:
            for row in journal.state.every(OWNERS):
                if row.settled == PERSON and Rule.PERSON not in rules_of(row.match):
                    journal.state.put(OWNERS, replace(row, settled=""))
            advance(journal.cursor)

    return begin


def _any_of_the_name(real: Any) -> Any:
    """Take any record of the same alerter and ticker for the same alert, whenever it was created."""
    return lambda alerts, gone: next(iter(alerts), None)


def _exact_spelling(real: Any) -> Any:
    return lambda alerts, gone, *more: [
        alert for alert in real(alerts, gone, *more) if alert.id[:2] == gone[:2]
    ]


def _last_trade_date_only(real: Any) -> Any:
    def days(contract: Any) -> Any:
        return (contract.expiry,) if contract.expiry is not None else ()

    return days


def _owned_first(real: Any) -> Any:
    """Close the oldest owned lots, whatever the order's reference says."""

    def close(self: LotChanges, quantity: Any, movement: Any, name_of: Any) -> Any:
        return real(self, quantity, replace(movement, reference=(), referenced=False), name_of)

    return close


def _unowned_first(real: Any) -> Any:
    """Close what belongs to nobody before what an alert owns."""

    def take(self: LotChanges, order: Any, *others: Any) -> Any:
        return real(self, sorted(order, key=lambda at: bool(self.lots[at].owners)), *others)

    return take


MUTATIONS: Final = (
    Mutation("1.1", "a second in the order of arrival", ((lots, "place_in_second", _arrival_order),)),
    Mutation(
        "1.2", "places computed again, not written down", ((ContractEntries, "decisions", _place_of_today),)
    ),
    Mutation("1.3", "a younger alert owns all of a swept fill", ((Ownership, "judge", _judge_all_as_live),)),
    Mutation("1.4", "a later decision reaches back", ((DecisionLog, "write", _late_is_a_part),)),
    Mutation("1.4", "a closed record opens with older lots", ((LotChanges, "_closed_at", always(None)),)),
    Mutation(
        "1.5",
        "an order with an owner is not matched again",
        ((ownership, "settle", _first_owner_only), (store_changes, "settle", _first_owner_only)),
    ),
    Mutation(
        "1.6",
        "a rival's going settles",
        ((ownership, "settle", _rival_settles), (store_changes, "settle", _rival_settles)),
    ),
    Mutation("1.6", "the window runs while the store is away", ((RetryClock, "tick", _wall_clock),)),
    Mutation("1.6", "no full look after an absence", ((StoreChanges, "_unowned", always(())),)),
    Mutation("1.6", "first seen is ignored", ((SeenRecords, "dated", lambda real: lambda self, one: one),)),
    Mutation("1.6", "an undo is forgotten at a restart", ((Pump, "__init__", _forget_undone),)),
    Mutation(
        "1.7",
        "a near miss that shows up later is not told",
        ((ownership, "settle", _matches_only), (store_changes, "settle", _matches_only)),
    ),
    Mutation("2.1", "a reference in one spelling only", ((matching, "read_reference", _literal_reference),)),
    Mutation(
        "2.1",
        "a closing reference in one spelling only",
        ((entries, "read_reference", _literal_reference),),
    ),
    Mutation(
        "2.2",
        "matching by fill instead of by order",
        ((ownership, "owners_key", _fill_by_fill), (order_owners, "owners_key", _fill_by_fill)),
    ),
    Mutation("2.3", "another conid is another alert", ((store_changes, "same_alert_among", always(None)),)),
    Mutation(
        "2.3",
        "any record of the name is the same alert",
        ((store_changes, "same_alert_among", _any_of_the_name),),
    ),
    Mutation("2.4", "nothing goes over to a successor", ((StoreChanges, "_new_succession", always([])),)),
    Mutation(
        "2.4", "a successor needs the same spelling", ((store_changes, "records_like", _exact_spelling),)
    ),
    Mutation("2.5", "the symbol is the only ticker", ((matching, "tickers_of", lambda real: _symbol_only),)),
    Mutation("2.6", "the last trade date only", ((matching, "days_of", _last_trade_date_only),)),
    Mutation("2.7", "an adjusted contract is like any", ((matching, "adjustment_of", always("")),)),
    Mutation(
        "2.8", "an expired stored contract fills in", ((stored_contracts, "_written_on", always(None)),)
    ),
    Mutation("3.1", "a reference closes nothing by itself", ((LotChanges, "close", _owned_first),)),
    Mutation("3.1", "lots without owner close first", ((LotChanges, "_take", _unowned_first),)),
)


SEEDS: Final[Mapping[str, tuple[int, ...]]] = {
    "a second in the order of arrival": (125,),
    "places computed again, not written down": (19, 22),
    "a younger alert owns all of a swept fill": (17,),
    "a later decision reaches back": (3, 5),
    "a closed record opens with older lots": (117,),
    "an order with an owner is not matched again": (11, 43),
    "a rival's going settles": (23, 50),
    "the window runs while the store is away": (52, 139),
    "no full look after an absence": (117,),
    "first seen is ignored": (2, 134),
    "an undo is forgotten at a restart": (32, 122),
    "a near miss that shows up later is not told": (23, 32),
    "a reference in one spelling only": (13, 19),
    "a closing reference in one spelling only": (56,),
    "matching by fill instead of by order": (0, 2),
    "another conid is another alert": (50,),
    "any record of the name is the same alert": (0, 1),
    "nothing goes over to a successor": (0, 2),
    "a successor needs the same spelling": (13, 22),
    "the symbol is the only ticker": (32, 38),
    "the last trade date only": (18, 56),
    "an adjusted contract is like any": (4, 18),
    "an expired stored contract fills in": (88, 92),
    "a reference closes nothing by itself": (56,),
    "lots without owner close first": (36, 50),
}
"""What is done instead of a rule -> seeds that notice it."""


def _symbol_only(contract: Any) -> frozenset[str]:
    return frozenset({contract.symbol})


_SEARCH: Final = 200
"""Seeds to look through where none is known."""


def broken(mutation: Mutation, seed: int) -> str:
    """Live a seed with a rule broken; returns what was noticed, empty for nothing."""
    with planted(mutation.patches):
        result = run_one(seed)
    return result.last_line if result.failure else ""


def catches(mutation: Mutation, seeds: Iterable[int], enough: int) -> tuple[dict[int, str], int]:
    """Return the seeds that notice a broken rule, which come right without, and how many were lived."""
    found: dict[int, str] = {}
    lived = 0
    for seed in seeds:
        lived += 1
        if (what := broken(mutation, seed)) and not run_one(seed).failure:
            found[seed] = what
            if len(found) == enough:
                break
    return found, lived


def main(mutations: Sequence[Mutation] = MUTATIONS, first: int = 0, about: str | None = __doc__) -> int:
    """Return 0 if each mutation was noticed; seeds are looked for from the `first` one on."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("rules", nargs="*", help="the rules to break; all if none is named")
    parser.add_argument("--search", type=int, default=0, help="look for them among so many seeds instead")
    parser.add_argument("--why", action="store_true", help="say what each seed noticed")
    parser.add_argument("--enough", type=int, default=2, help="failed lives after which it is noticed")
    options = parser.parse_args()
    missed = 0
    for mutation in mutations:
        if options.rules and mutation.rule not in options.rules:
            continue
        fresh = options.search or (0 if mutation.seeds else _SEARCH)
        seeds = range(first, first + fresh) if fresh else mutation.seeds
        found, lived = catches(mutation, seeds, options.enough)
        missed += not found
        print(f"| {mutation.rule} | {mutation.what} | {_words(found)} | {lived} |", flush=True)
        for seed, what in found.items() if options.why else ():
            print(f"    {seed}: {what}", flush=True)
    return 1 if missed else 0


def _words(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds)) or "not noticed"


if __name__ == "__main__":
    sys.exit(main())
