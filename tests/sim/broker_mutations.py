"""Break each rule about the broker's word and about orders in the core, and count the lives that notice.

`python -m tests.sim.broker_mutations [--search 200] [--enough 2] [RULE ...]`, as `rule_mutations` does, in
lives in which positions change without fills. The suite lives only one of them.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from msgspec.structs import replace

from tests.sim import rule_mutations
from tests.sim.broker import ACCOUNTS
from tests.sim.changes import FIRST
from tests.sim.rule_mutations import Mutation
from tests.support.planting import always
from tracker.core import adjusting, certainty, differences
from tracker.core.certainty import Certainty
from tracker.core.differences import Differences
from tracker.core.ledger import Ledger
from tracker.core.orders import Orders
from tracker.core.position_snapshots import PositionSnapshots
from tracker.core.state_rows import Baseline
from tracker.core.sweeps import Sweeps


def _all_swept(real: Any) -> Any:
    return lambda self, asked, connection, swept=(): real(self, asked, connection, ACCOUNTS)


def _empty_is_certain(real: Any) -> Any:
    return lambda self, draft, ended: replace(real(self, draft, ended), certain=tuple(sorted(draft.swept)))


def _confirmed(real: Any) -> Any:
    return lambda self, rows, holding, answer: replace(
        real(self, rows, holding, answer), baseline=Baseline.SNAPSHOT
    )


def _no_sweep_between(real: Any) -> Any:
    return lambda self, seen, holding, snapshot, swept: real(self, seen, holding, snapshot, 10**9)


def _delta(real: Any) -> Any:
    """Have an adjustment change what is held by as much as was seen, whatever came since."""

    def brought_to(holding: Any, one: Any, held: Any) -> Any:
        return real(holding, one, held if one.amount is None else holding.held + one.amount)

    return brought_to


def _youngest_first(real: Any) -> Any:
    def shrunk(holding: Any, one: Any, kept: Any) -> Any:
        left, touched = real(replace(holding, lots=holding.lots[::-1]), one, kept)
        return replace(left, lots=left.lots[::-1]), touched

    return shrunk


def _price_stays(real: Any) -> Any:
    def scaled(holding: Any, ratio: Any) -> Any:
        after, touched = real(holding, ratio)
        pairs = zip(after.alerts, holding.alerts, strict=True)
        alerts = tuple(replace(now, avg_price=was.avg_price) for now, was in pairs)
        return replace(after, alerts=alerts), touched

    return scaled


def _other_cause(real: Any) -> Any:
    return lambda mine, part, one: real(mine, part, replace(one, cause="expired"))


def _no_void(real: Any) -> Any:
    def correct(self: Ledger, frame: Any, booked: Any, versions: Any) -> None:
        if booked.execution.quantity:
            real(self, frame, booked, versions)

    return correct


MUTATIONS: Final = (
    Mutation("3.2", "a difference counts for no fill", ((adjusting, "counts", always(False)),)),
    Mutation("4.1", "an answer that lags is used at once", ((Certainty, "lags", always(False)),)),
    Mutation("4.1", "an answer before any sweep is certain", ((PositionSnapshots, "asked", _all_swept),)),
    Mutation(
        "4.1",
        "a sweep from before the link to the broker was lost counts",
        ((Sweeps, "broke", always(None)), (PositionSnapshots, "upstream_lost", always(None))),
    ),
    Mutation(
        "4.2",
        "a later answer is the opening balance as it stands",
        ((certainty, "base_of", lambda real: lambda rows, holding: holding.listed or 0),),
    ),
    Mutation("4.2", "an uncertain answer counts as certain", ((Certainty, "begin", _confirmed),)),
    Mutation(
        "4.2", "an answer without a row is certain", ((PositionSnapshots, "_complete", _empty_is_certain),)
    ),
    Mutation("4.3", "the second answer counts at once", ((Differences, "_settles", always(True)),)),
    Mutation("4.3", "a difference is never settled", ((Differences, "_settles", always(False)),)),
    Mutation(
        "4.3",
        "what vanished whole waits no longer",
        ((differences, "VANISHED", lambda real: differences.WITNESS),),
    ),
    Mutation("4.3", "no sweep lies between two answers", ((Differences, "_settles", _no_sweep_between),)),
    Mutation(
        "4.3",
        "a smaller quantity counts at once, too",
        ((adjusting, "counts", lambda real: lambda ours, listed: listed != ours),),
    ),
    Mutation("4.4", "an adjustment is a delta", ((adjusting, "_brought_to", _delta),)),
    Mutation("4.5", "the youngest lots go first", ((adjusting, "_shrunk", _youngest_first),)),
    Mutation("4.5", "a split leaves prices as they were", ((adjusting, "_scaled", _price_stays),)),
    Mutation("4.6", "an alert is closed by another cause", ((adjusting, "_less", _other_cause),)),
    Mutation(
        "4.6", "a cause told late does not take the place", ((Differences, "_settled_as", always(None)),)
    ),
    Mutation("5.1", "an order that is not listed works on", ((Orders, "open_orders_ended", always(None)),)),
    Mutation("5.1", "completed orders tell nothing", ((Orders, "completed", always(None)),)),
    Mutation("5.1", "what was heard since counts for nothing", ((Orders, "_heard", always(None)),)),
    Mutation("5.2", "the size of an order is never told", ((Orders, "open_order", always(None)),)),
    Mutation("5.3", "a correction to nothing is no void", ((Ledger, "_correct", _no_void),)),
)


if __name__ == "__main__":
    sys.exit(rule_mutations.main(MUTATIONS, FIRST, __doc__))
