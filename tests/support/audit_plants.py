"""Discrepancies to plant: each name with its kind, whether it is repairable, and how it comes about."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

from msgspec.structs import replace

from tests.support.audit_world import (
    AAPL,
    ACCOUNT,
    DAY_TRADER,
    DEMSLAYER,
    FIRST,
    IDLE,
    NVDA,
    ROBIN,
    SECOND,
    STOCK,
    TSLA,
    World,
    alert_id,
    fill,
    record,
    shows,
    update,
)
from tracker.core.audit.discrepancies import DiscrepancyKind
from tracker.core.audit.inputs import (
    DecidedView,
    ExecutionView,
    GapView,
    HeldView,
    OrderView,
    RecordView,
    UndecodableView,
)
from tracker.core.model import (
    CompletedOrder,
    Execution,
)
from tracker.core.ports import Shown


def corrected(execution: Execution, exec_id: str, quantity: int) -> Execution:
    return replace(execution, exec_id=exec_id, quantity=Decimal(quantity))


def edited(view: RecordView, **changes: object) -> RecordView:
    return replace(view, shown=replace(view.shown, **changes))


def flat(held: HeldView) -> HeldView:
    return replace(held, quantity=Decimal(0), executed=None, owned=())


MISSED = fill("0000e0d5.6596b0db.01.01", NVDA, 5, perm_id=191)
LEG = replace(SECOND, exec_id="0000e0d5.6596b0d9.02.01.01")
"""Five segments: the last one tells executions apart, not versions."""
UNOWNED = HeldView(ACCOUNT, replace(AAPL, con_id=1), Decimal(8), base=Decimal(3))

PLANTED: dict[str, tuple[DiscrepancyKind, bool, Callable[[World], World]]] = {
    "a request that was not answered": (
        DiscrepancyKind.NOT_ANSWERED,
        False,
        lambda world: world.with_broker(unanswered=["positions"], positions=None),
    ),
    "a day without proof": (
        DiscrepancyKind.GAP,
        False,
        lambda world: world.with_ledger(gaps=[GapView(ACCOUNT, date(2025, 11, 17), "the link was down")]),
    ),
    "a frame that could not be read": (
        DiscrepancyKind.UNDECODED,
        False,
        lambda world: world.with_ledger(undecoded=[UndecodableView(17, "execution", "a field too many")]),
    ),
    "an execution that the journal lacks": (
        DiscrepancyKind.EXECUTION_MISSING,
        True,
        lambda world: world.broker_lists(FIRST, SECOND, STOCK, MISSED).broker_holds(NVDA, 15),
    ),
    "a correction that the journal lacks": (
        DiscrepancyKind.EXECUTION_MISSING,
        True,
        lambda world: world.broker_lists(
            FIRST, SECOND, STOCK, corrected(SECOND, "0000e0d5.6596b0d9.01.02", 3)
        ).broker_holds(NVDA, 7),
    ),
    "two versions of an execution that the journal lacks": (
        DiscrepancyKind.EXECUTION_MISSING,
        True,
        lambda world: world.broker_lists(
            FIRST, SECOND, STOCK, corrected(MISSED, "0000e0d5.6596b0db.01.02", 3), MISSED
        ).broker_holds(NVDA, 13),
    ),
    "a second execution of a combo's leg that the journal lacks": (
        DiscrepancyKind.EXECUTION_MISSING,
        True,
        lambda world: (
            world.with_execution(SECOND, lambda view: replace(view, execution=LEG))
            .broker_lists(FIRST, LEG, STOCK, replace(LEG, exec_id="0000e0d5.6596b0d9.02.01.02"))
            .broker_holds(NVDA, 16)
        ),
    ),
    "a combo line that the journal lacks": (
        DiscrepancyKind.EXECUTION_MISSING,
        True,
        lambda world: world.broker_lists(
            FIRST, SECOND, STOCK, fill("0000e0d5.6596b0dc.01.01", replace(NVDA, sec_type="BAG"), 1)
        ),
    ),
    "an execution that the broker no longer lists": (
        DiscrepancyKind.EXECUTION_UNKNOWN,
        False,
        lambda world: world.broker_lists(FIRST, STOCK),
    ),
    "an execution with another quantity at the broker": (
        DiscrepancyKind.EXECUTION_DIFFERS,
        False,
        lambda world: world.broker_lists(FIRST, replace(SECOND, quantity=Decimal(5)), STOCK),
    ),
    "an execution that waits": (
        DiscrepancyKind.EXECUTION_WAITING,
        False,
        lambda world: (
            world.with_execution(STOCK, lambda view: replace(view, folded=False))
            .with_held(TSLA, flat)
            .with_ledger(decided=world.ledger.decided[:2])
            .with_record(DAY_TRADER, lambda view: edited(view, open=False))
        ),
    ),
    "an order that is ahead of its fills": (
        DiscrepancyKind.ORDER_AHEAD,
        False,
        lambda world: world.with_ledger(orders=[OrderView(188, "order 188", Decimal(12), Decimal(10))]),
    ),
    "a filled order without a fill": (
        DiscrepancyKind.COMPLETED_WITHOUT_FILLS,
        False,
        lambda world: world.with_broker(completed_orders=[CompletedOrder(777, ACCOUNT, "Filled")]),
    ),
    "a holding without a baseline": (
        DiscrepancyKind.BASELINE_UNCONFIRMED,
        False,
        lambda world: world.with_held(TSLA, lambda held: replace(held, certain=False)).broker_holds(TSLA, 90),
    ),
    "a holding in an account that the login no longer has": (
        DiscrepancyKind.ACCOUNT_NOT_MANAGED,
        False,
        lambda world: world.broker_holds(TSLA, 0).with_held(TSLA, lambda held: replace(held, managed=False)),
    ),
    "fills that do not make what is held": (
        DiscrepancyKind.SUM_DIFFERS,
        False,
        lambda world: world.with_held(NVDA, lambda held: replace(held, executed=Decimal(9))),
    ),
    "more owned than held": (
        DiscrepancyKind.OWNED_EXCEEDS_HELD,
        False,
        lambda world: world.with_held(TSLA, lambda held: replace(held, quantity=Decimal(40))).broker_holds(
            TSLA, 40
        ),
    ),
    "owned long while held short": (
        DiscrepancyKind.OWNED_EXCEEDS_HELD,
        False,
        lambda world: world.with_held(TSLA, lambda held: replace(held, quantity=Decimal(-100))).broker_holds(
            TSLA, -100
        ),
    ),
    "a position that went, seen once": (
        DiscrepancyKind.POSITION_GONE,
        False,
        lambda world: world.broker_holds(NVDA, 0),
    ),
    "a position that went, seen twice": (
        DiscrepancyKind.POSITION_GONE,
        True,
        lambda world: world.broker_holds(NVDA, 0).with_held(NVDA, lambda held: replace(held, departed=True)),
    ),
    "a shared position of another size": (
        DiscrepancyKind.POSITION_DIFFERS,
        False,
        lambda world: world.broker_holds(NVDA, 20),
    ),
    "a position without an open alert": (
        DiscrepancyKind.POSITION_WITHOUT_OPEN_ALERT,
        False,
        lambda world: (
            world.with_ledger(held=[*world.ledger.held, UNOWNED])
            .broker_holds(UNOWNED.contract, 8)
            .with_more(record(alert_id("wolf", "AAPL"), Shown(False), con_ids=frozenset([1])))
        ),
    ),
    "an owner that is shut without a decision": (
        DiscrepancyKind.POSITION_WITHOUT_OPEN_ALERT,
        False,
        lambda world: world.with_ledger(decided=world.ledger.decided[:2]).with_record(
            DAY_TRADER, lambda view: edited(view, open=False)
        ),
    ),
    "an open alert whose contract the broker does not hold": (
        DiscrepancyKind.OPEN_WITHOUT_POSITION,
        False,
        lambda world: world.with_more(
            record(alert_id("wolf", "NVDA", 5), Shown(True), con_ids=frozenset([5]))
        ),
    ),
    "an open alert that no fill opened": (
        DiscrepancyKind.OPEN_WITHOUT_FILLS,
        False,
        lambda world: world.with_record(IDLE, lambda view: edited(view, open=True)),
    ),
    "an open alert of a position from before": (
        DiscrepancyKind.OPEN_WITHOUT_FILLS,
        False,
        lambda world: world.with_more(
            record(alert_id("wolf", "AAPL", AAPL.con_id), Shown(True), con_ids=frozenset([AAPL.con_id]))
        ),
    ),
    "a decision of another quantity than is owned": (
        DiscrepancyKind.QUANTITY_DIFFERS,
        False,
        lambda world: world.with_decision(
            DAY_TRADER, lambda view: replace(view, update=update(DAY_TRADER, 60, 189))
        ).with_record(DAY_TRADER, lambda view: replace(view, shown=shows(update(DAY_TRADER, 60, 189)))),
    ),
    "a record that vanished, its text kept": (
        DiscrepancyKind.VANISHED_WHILE_OWNED,
        True,
        lambda world: world.with_record(ROBIN, lambda _: None).with_decision(
            ROBIN, lambda view: replace(view, text_kept=True)
        ),
    ),
    "a record that vanished without a copy": (
        DiscrepancyKind.VANISHED_WHILE_OWNED,
        False,
        lambda world: world.with_record(ROBIN, lambda _: None),
    ),
    "a record that another took the place of": (
        DiscrepancyKind.REPLACED_WHILE_OWNED,
        False,
        lambda world: world.with_record(
            ROBIN, lambda view: record(ROBIN._replace(created_at="2025-11-19T09:31:00"), Shown(False))
        ),
    ),
    "an update undone by another writer": (
        DiscrepancyKind.STORE_DIFFERS,
        True,
        lambda world: world.with_record(ROBIN, lambda view: edited(view, open=False, last_order_update=None)),
    ),
    "a removed record that is back": (
        DiscrepancyKind.STORE_DIFFERS,
        True,
        lambda world: world.with_ledger(
            decided=[*world.ledger.decided, DecidedView(replace(update(IDLE, 0, 9), remove=True))]
        ),
    ),
    "an update that is not written yet": (
        DiscrepancyKind.DELIVERY_PENDING,
        True,
        lambda world: world.with_decision(ROBIN, lambda view: replace(view, pending=True)).with_record(
            ROBIN, lambda view: edited(view, open=False)
        ),
    ),
    "a rest that no longer works": (
        DiscrepancyKind.REMAINING_NOT_WORKING,
        False,
        lambda world: remaining(world, 6),
    ),
    "a fill that waits for a person": (
        DiscrepancyKind.FILL_UNDECIDED,
        False,
        lambda world: world.with_execution(STOCK, lambda view: replace(view, attention="ambiguous")),
    ),
    "an undecided fill of a contract that a shut alert names": (
        DiscrepancyKind.FILL_UNDECIDED,
        False,
        lambda world: undecided_and_unowned(world),
    ),
    "fees of another client": (
        DiscrepancyKind.FEE_MISSING,
        False,
        lambda world: world.with_execution(FIRST, no_fee).with_execution(SECOND, no_fee),
    ),
}


def remaining(world: World, quantity: int) -> World:
    order = {**(update(DAY_TRADER, 100, 189).last_order_update or {}), "remaining_qty": quantity}
    decision = replace(update(DAY_TRADER, 100, 189), last_order_update=order)
    return world.with_decision(DAY_TRADER, lambda view: replace(view, update=decision)).with_record(
        DAY_TRADER, lambda view: replace(view, shown=shows(decision))
    )


def undecided_and_unowned(world: World) -> World:
    unowned = fill("0000e0d5.6596b0dd.01.01", UNOWNED.contract, 5, perm_id=300)
    _, _, plant = PLANTED["a position without an open alert"]
    world = plant(world)
    view = ExecutionView(unowned, attention="near_miss")
    return world.with_ledger(executions=[*world.ledger.executions, view]).broker_lists(
        FIRST, SECOND, STOCK, unowned
    )


def no_fee(view: ExecutionView) -> ExecutionView:
    return replace(view, fee_known=False)


APART = [
    "a day without proof",
    "a frame that could not be read",
    "an order that is ahead of its fills",
    "a filled order without a fill",
    "an open alert whose contract the broker does not hold",
    "an open alert that no fill opened",
    "a position without an open alert",
    "a record that vanished, its text kept",
    "an update that is not written yet",
    "a rest that no longer works",
    "fees of another client",
    "an execution that the journal lacks",
    "fills that do not make what is held",
]


def plant_apart(world: World) -> World:
    """Plant thirteen at once; the pending update moves to the other owner, since the first one vanished."""
    for name in APART:
        if name == "an update that is not written yet":
            world = world.with_decision(DEMSLAYER, lambda view: replace(view, pending=True))
        else:
            world = PLANTED[name][2](world)
    return world
