"""Break each rule of ownership in the core, and count the lives in which the oracle notices.

`python -m tests.sim.rule_mutations [--seeds 200] [--enough 2] [RULE ...]`: for each mutation the seeds that
fail, until there are enough. It is no test of the suite: it takes half an hour.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from tests.sim.runs import run_many
from tracker.core import entries, lots, matching, order_owners, ownership, references, stored_contracts
from tracker.core.alerters import AlerterNames
from tracker.core.decision_log import DecisionLog
from tracker.core.entries import ContractEntries
from tracker.core.lot_changes import LotChanges
from tracker.core.model import LIVE, Ambiguous, Matched, Moment
from tracker.core.ownership import Ownership
from tracker.core.ownership_rows import OwnershipKind
from tracker.core.state import EXECUTIONS
from tracker.pipeline import store_changes
from tracker.pipeline.retry_clock import RetryClock, SeenRecords
from tracker.pipeline.store_changes import StoreChanges


class Mutation(NamedTuple):
    """Name a rule, and replace attributes: (owner, name, what takes its place, given the real one)."""

    rule: str
    what: str
    patches: tuple[tuple[Any, str, Callable[[Any], Any]], ...]


def _always(value: Any) -> Callable[[Any], Any]:
    """Put a function in its place that returns a value, whatever it is given."""
    return lambda real: lambda *values, **named: value


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


def _exact_spelling(real: Any) -> Any:
    return lambda one, other, contract, names: one[:2] == other[:2]


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

    def take(self: LotChanges, order: Any, quantity: Any, movement: Any) -> Any:
        return real(self, sorted(order, key=lambda at: bool(self.lots[at].owners)), quantity, movement)

    return take


_AT_ONCE: Final = 8

MUTATIONS: Final = (
    Mutation("1.1", "a second in the order of arrival", ((lots, "place_in_second", _arrival_order),)),
    Mutation(
        "1.2", "places computed again, not written down", ((ContractEntries, "decisions", _place_of_today),)
    ),
    Mutation("1.3", "a younger alert owns all of a swept fill", ((Ownership, "judge", _judge_all_as_live),)),
    Mutation("1.4", "a later decision reaches back", ((DecisionLog, "write", _late_is_a_part),)),
    Mutation("1.4", "a closed record opens with older lots", ((LotChanges, "_closed_at", _always(None)),)),
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
    Mutation("1.6", "no full look after an absence", ((StoreChanges, "_unowned", _always(())),)),
    Mutation("1.6", "first seen is ignored", ((SeenRecords, "dated", lambda real: lambda self, one: one),)),
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
    Mutation("2.3", "another conid is another alert", ((store_changes, "same_alert_among", _always(None)),)),
    Mutation("2.4", "nothing goes over to a successor", ((StoreChanges, "_new_succession", _always([])),)),
    Mutation("2.4", "a successor needs the same spelling", ((store_changes, "same_name", _exact_spelling),)),
    Mutation("2.5", "the symbol is the only ticker", ((matching, "tickers_of", lambda real: _symbol_only),)),
    Mutation("2.6", "the last trade date only", ((matching, "days_of", _last_trade_date_only),)),
    Mutation("2.7", "an adjusted contract is like any", ((matching, "adjustment_of", _always("")),)),
    Mutation(
        "2.8", "an expired stored contract fills in", ((stored_contracts, "_written_on", _always(None)),)
    ),
    Mutation("3.1", "a reference closes nothing by itself", ((LotChanges, "close", _owned_first),)),
    Mutation("3.1", "lots without owner close first", ((LotChanges, "_take", _unowned_first),)),
)


def _symbol_only(contract: Any) -> frozenset[str]:
    return frozenset({contract.symbol})


def break_rule(number: int, mutations: Sequence[Mutation] = MUTATIONS) -> None:
    """Break one rule in this process, for good."""
    for owner, name, instead in mutations[number].patches:
        setattr(owner, name, instead(getattr(owner, name)))


def caught(prepare: Callable[[], None], seeds: range, enough: int) -> tuple[list[int], int]:
    """Return the seeds that failed with a rule broken, and how many were run."""
    found: list[int] = []
    run = 0
    while run < len(seeds) and len(found) < enough:
        lives = seeds[run : run + _AT_ONCE]
        # The other processes do not share what is broken in this one.
        results = run_many(lives, prepare=prepare)
        found += [result.seed for result in results if result.failure]
        run += len(lives)
    return found, run


def main(
    mutations: Sequence[Mutation] = MUTATIONS,
    prepare: Callable[[int], None] = break_rule,
    first: int = 0,
    about: str | None = __doc__,
) -> int:
    """Return 0 if each mutation was noticed in lives from the `first` seed on."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("rules", nargs="*", help="the rules to break; all if none is named")
    parser.add_argument("--seeds", type=int, default=200, help="lives for each mutation, at most")
    parser.add_argument("--enough", type=int, default=2, help="failed lives after which it is noticed")
    options = parser.parse_args()
    missed = 0
    for number, mutation in enumerate(mutations):
        if options.rules and mutation.rule not in options.rules:
            continue
        lives = range(first, first + options.seeds)
        seeds, run = caught(partial(prepare, number), lives, options.enough)
        missed += not seeds
        print(f"{mutation.rule} | {mutation.what} | {seeds or 'not noticed'} | of {run}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
