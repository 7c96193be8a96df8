"""An audit lists each thing that disagrees once, with the next step, and nothing where all agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.audit_plants import APART, MISSED, PLANTED, UNOWNED, corrected, plant_apart, remaining
from tests.support.audit_world import (
    AAPL,
    ACCOUNT,
    ASKED,
    FIRST,
    MORNING,
    NOW,
    NVDA,
    OTHER_ACCOUNT,
    SECOND,
    STOCK,
    TSLA,
    World,
    alert_id,
    all_agrees,
    fill,
    update,
)
from tracker.core.audit.discrepancies import Audit, Discrepancy, DiscrepancyKind
from tracker.core.audit.inputs import BrokerView, DecidedView, ExecutionView, HeldView, OrderView, StoreView
from tracker.core.model import (
    AlertUpdate,
    CompletedOrder,
    Contract,
    Execution,
    OpenOrder,
    Position,
)


def only(world: World) -> Discrepancy:
    found = world.found().discrepancies
    assert len(found) == 1, [f"{each.kind}: {each.subject}: {each.message}" for each in found]
    return found[0]


def test_agreement_finds_nothing() -> None:
    """Where all agrees nothing is found and what is not ours stands apart."""
    found = all_agrees().found()
    assert found.discrepancies == ()
    assert [position.contract for position in found.not_ours] == [AAPL]


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_discrepancy_is_found_alone(name: str) -> None:
    """Each planted discrepancy is found alone with a next step."""
    kind, repairable, plant = PLANTED[name]
    found = only(plant(all_agrees()))
    assert (found.kind, found.repairable) == (kind, repairable)
    assert found.subject
    assert found.message
    assert found.next_step
    assert ("--apply" in found.next_step) == repairable


def test_every_kind_is_planted_or_tested() -> None:
    """Every kind is planted or has a test of its own."""
    assert {kind for kind, _, _ in PLANTED.values()} == set(DiscrepancyKind) - {
        DiscrepancyKind.STORE_UNREADABLE
    }


def test_many_are_found_in_order_of_kinds() -> None:
    """Many at once are each found once in the order of kinds."""
    found = plant_apart(all_agrees()).found().discrepancies
    expected = [PLANTED[name][0] for name in APART]
    kinds = list(DiscrepancyKind)
    assert [each.kind for each in found] == sorted(expected, key=kinds.index)


def test_unreadable_store_is_reported_alone() -> None:
    """An unreadable store is reported and nothing is concluded from it."""
    world = all_agrees()
    found = only(replace(world, store=StoreView("alerts.json", None, "it is empty")))
    assert found.kind is DiscrepancyKind.STORE_UNREADABLE
    assert found.message == "the alerts could not be read: it is empty"
    assert not found.repairable
    assert "the reason is unknown" in only(replace(world, store=StoreView("alerts.json", None))).message


def test_an_unanswered_broker_leads_to_no_conclusion() -> None:
    world = all_agrees()
    silent = BrokerView(ASKED, unanswered=("positions", f"executions of {ACCOUNT}"))
    found = replace(world, broker=silent).found()
    assert [each.kind for each in found.discrepancies] == [DiscrepancyKind.NOT_ANSWERED] * 2
    assert found.not_ours == ()
    assert replace(world, broker=None).found() == Audit(())


def test_open_alert_without_positions_is_not_judged() -> None:
    """An open alert without positions to compare is not called without position."""
    _, _, plant = PLANTED["an open alert whose contract the broker does not hold"]
    assert only(plant(all_agrees()).with_broker(positions=None)).kind is DiscrepancyKind.OPEN_WITHOUT_FILLS


@pytest.mark.parametrize(("rest", "step"), [((AAPL,), "five minutes later"), ((), "went otherwise")])
def test_step_where_an_account_lists_nothing(rest: tuple[Contract, ...], step: str) -> None:
    """An answer without any position of an account settles nothing, so a person has to."""
    world = all_agrees().broker_holds(NVDA, 0).broker_holds(TSLA, 0).broker_holds(AAPL, len(rest))
    found = [each for each in world.found().discrepancies if each.kind is DiscrepancyKind.POSITION_GONE]
    assert [step in each.next_step for each in found] == [True, True]


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize("quantity", [0, 7])
def test_note_is_taken_where_the_tracker_saw_it(quantity: int, *, noticed: bool) -> None:
    """Without an answer of its own the tracker has nothing that a note could explain."""
    world = all_agrees().broker_holds(NVDA, quantity)
    found = only(world.with_held(NVDA, lambda held: replace(held, noticed=noticed)))
    assert f"`tracker adjust {NVDA.con_id} --note TEXT`" in found.next_step
    assert ("once a running tracker has" in found.next_step) is not noticed


@pytest.mark.parametrize(
    ("quantity", "step"),
    [
        (0, "its alerts close once its expiry day is over and two answers agree, or by"),
        (7, "alerts follow it only by its cause, as its expiry day has come; name the cause with"),
    ],
)
def test_step_from_the_expiry_day_on(quantity: int, step: str) -> None:
    """A second answer settles nothing of an option that may expire."""
    world = all_agrees().broker_holds(NVDA, quantity)
    found = only(world.with_held(NVDA, lambda held: replace(held, expiring=True)))
    assert found.next_step.startswith(step)


def test_sold_more_than_the_fills_brought() -> None:
    """15 more than the fills brought were sold with them: the sum named is that of the fills."""
    nothing = {"quantity": Decimal(0), "executed": None, "owned": (), "pending": Decimal(15)}
    world = all_agrees().broker_holds(NVDA, 0).with_held(NVDA, lambda held: replace(held, **nothing))
    found = [each for each in world.found().discrepancies if "add up to" in each.message]
    assert [(each.kind, each.message) for each in found] == [
        (DiscrepancyKind.POSITION_DIFFERS, "the broker holds 0, the fills add up to -15")
    ]


def test_shared_position_is_compared_once() -> None:
    """A shared position is compared once and names its alerts."""
    found = only(all_agrees().broker_holds(NVDA, 20))
    assert found.subject == "DU1234567 NVDA 2025-11-21 122.5 C (700100200)"
    assert found.message == (
        "the broker holds 20, the fills add up to 10; it belongs to demslayer/NVDA, robindahood-alerts/NVDA"
    )


def test_sum_names_what_was_held_before_the_fills() -> None:
    """10 are held, of which 3 were before the first fill: the fills alone would not add up."""
    world = all_agrees().broker_holds(NVDA, 20)
    before = {"base": Decimal(3), "executed": Decimal(7)}
    found = only(world.with_held(NVDA, lambda held: replace(held, **before)))
    assert found.message.startswith("the broker holds 20, the 3 held before and the fills add up to 10;")


def test_vanished_unowned_position_needs_nothing() -> None:
    """A position that no alert depends on needs nothing when it goes."""
    unowned = HeldView(ACCOUNT, AAPL, Decimal(50), base=Decimal(50))
    world = all_agrees().with_ledger(held=[*all_agrees().ledger.held, unowned])
    assert world.found().discrepancies == ()
    assert only(world.broker_holds(AAPL, 0)).next_step == "nothing to do: no alert depends on it"


def test_account_that_is_not_managed_is_told_while_anything_is_held() -> None:
    """Rule 4.7: its positions are unknown, not closed; where nothing is held there is nothing to say."""
    held = HeldView(ACCOUNT, AAPL, Decimal(50), base=Decimal(50), managed=False)
    world = all_agrees().with_ledger(held=[*all_agrees().ledger.held, held])
    told = only(world)
    assert told.kind is DiscrepancyKind.ACCOUNT_NOT_MANAGED
    assert f"--account {ACCOUNT} --moved NEW_NUMBER`" in told.next_step
    flat = replace(held, quantity=Decimal(0), base=Decimal(0))
    assert all_agrees().with_ledger(held=[*all_agrees().ledger.held, flat]).found().discrepancies == ()


def test_contract_traded_meanwhile_is_not_compared() -> None:
    """A contract that traded while positions were asked is not compared."""
    disturbed = all_agrees().broker_holds(NVDA, 20).with_broker(disturbed=[(ACCOUNT, NVDA.con_id)])
    assert disturbed.found().discrepancies == ()


def test_missing_correction_tells_that_it_is_one() -> None:
    _, _, plant = PLANTED["a correction that the journal lacks"]
    assert "as a correction" in only(plant(all_agrees())).message


def test_brokers_older_version_is_no_discrepancy() -> None:
    """An older version at the broker of a known correction is no discrepancy."""
    newer = corrected(SECOND, "0000e0d5.6596b0d9.01.02", 6)
    world = all_agrees().with_execution(SECOND, lambda view: replace(view, execution=newer))
    assert world.found().discrepancies == ()


def test_replaced_version_may_be_gone() -> None:
    """A version that a correction replaced may be gone at the broker."""
    world = all_agrees()
    older = ExecutionView(corrected(SECOND, "0000e0d5.6596b0d9.01.00", 2), superseded=True, fee_known=False)
    waiting = replace(older, folded=False, attention="ambiguous")
    for view in (older, waiting):
        assert world.with_ledger(executions=[*world.ledger.executions, view]).found().discrepancies == ()


@pytest.mark.parametrize(
    "unlisted",
    [
        replace(SECOND, time=MORNING - timedelta(seconds=1)),
        replace(SECOND, time=ASKED),
        replace(SECOND, time_known=False),
        replace(SECOND, account=OTHER_ACCOUNT),
    ],
)
def test_uncovered_execution_may_be_unlisted(unlisted: Execution) -> None:
    """An execution that the answer does not cover may be unlisted."""
    world = all_agrees().with_execution(SECOND, lambda view: replace(view, execution=unlisted))
    assert world.broker_lists(FIRST, STOCK).found().discrepancies == ()


def test_unwatched_account_is_no_discrepancy() -> None:
    """What happens in an account that is not watched is no discrepancy."""
    foreign = replace(MISSED, account=OTHER_ACCOUNT)
    world = all_agrees().with_ledger(accounts=[ACCOUNT])
    assert world.broker is not None
    listed = world.broker_lists(FIRST, SECOND, STOCK, foreign).with_broker(
        positions=[*(world.broker.positions or ()), Position(OTHER_ACCOUNT, NVDA, Decimal(7))],
        completed_orders=[CompletedOrder(777, OTHER_ACCOUNT, "Filled")],
    )
    unpaid = ExecutionView(replace(MISSED, account=OTHER_ACCOUNT), fee_known=False, attention="ambiguous")
    held = HeldView(OTHER_ACCOUNT, TSLA, Decimal(3))
    listed = listed.with_ledger(
        executions=[*world.ledger.executions, unpaid], held=[*world.ledger.held, held]
    )
    found = listed.found()
    assert found.discrepancies == ()
    assert [position.account for position in found.not_ours] == [ACCOUNT]


def test_explained_order_is_not_listed_too() -> None:
    """An order explained by a missing execution is not listed beside it."""
    _, _, plant = PLANTED["an execution that the journal lacks"]
    ahead = OrderView(MISSED.perm_id, "order 191", Decimal(5), Decimal(0))
    world = plant(all_agrees()).with_ledger(orders=[ahead])
    assert only(world).kind is DiscrepancyKind.EXECUTION_MISSING
    completed = world.with_broker(completed_orders=[CompletedOrder(MISSED.perm_id, ACCOUNT, "Filled")])
    assert only(completed).kind is DiscrepancyKind.EXECUTION_MISSING
    without_list = completed.broker_lists(FIRST, SECOND, STOCK).broker_holds(NVDA, 10)
    assert only(without_list).kind is DiscrepancyKind.COMPLETED_WITHOUT_FILLS


def test_a_waiting_combo_line_moves_nothing() -> None:
    combo = fill("0000e0d5.6596b0dc.01.01", replace(NVDA, sec_type="BAG"), 1)
    world = all_agrees()
    waiting = ExecutionView(combo, folded=False, fee_known=False)
    listed = world.with_ledger(executions=[*world.ledger.executions, waiting]).broker_lists(
        FIRST, SECOND, STOCK, combo
    )
    assert only(listed).kind is DiscrepancyKind.EXECUTION_WAITING
    assert {each.kind for each in listed.broker_holds(NVDA, 11).found().discrepancies} == {
        DiscrepancyKind.EXECUTION_WAITING,
        DiscrepancyKind.POSITION_DIFFERS,
    }


@pytest.mark.parametrize(
    "unowned",
    [
        replace(UNOWNED, base=Decimal(8)),
        replace(UNOWNED, quantity=Decimal(0)),
        replace(UNOWNED, quantity=Decimal(2)),
    ],
)
def test_position_from_before_belongs_to_no_alert(unowned: HeldView) -> None:
    _, _, plant = PLANTED["a position without an open alert"]
    world = plant(all_agrees()).broker_holds(unowned.contract, int(unowned.quantity))
    world = world.with_held(unowned.contract, lambda _: unowned)
    assert world.found().discrepancies == ()


def test_base_of_other_direction_explains_nothing() -> None:
    _, _, plant = PLANTED["a position without an open alert"]
    world = plant(all_agrees()).with_held(UNOWNED.contract, lambda held: replace(held, base=Decimal(-9)))
    assert (
        only(world).message == "8 of it belong to no alert, and wolf/AAPL names the contract but is not open"
    )


def test_a_rest_that_still_works_is_well() -> None:
    world = remaining(all_agrees(), 6)
    working = OpenOrder(1, 7, 189, ACCOUNT, TSLA, "BUY", Decimal(106), "", "Submitted")
    assert world.with_broker(open_orders=[working]).found().discrepancies == ()
    assert world.with_broker(open_orders=None).found().discrepancies == ()
    assert replace(world, broker=None).found().discrepancies == ()


def test_deleted_closed_record_is_no_discrepancy() -> None:
    """A closed record that the store deleted is no discrepancy."""
    world = all_agrees()
    over = DecidedView(update(alert_id("wolf", "AMD"), 0, 9, is_open=False))
    silent = DecidedView(AlertUpdate(alert_id("wolf", "F"), False, None, None))
    assert world.with_ledger(decided=[*world.ledger.decided, over, silent]).found().discrepancies == ()


@pytest.mark.parametrize(
    ("change", "subject", "why"),
    [
        (lambda fill: fill, "DU1234567 order 189", "set Master API client ID to 0"),
        (lambda fill: replace(fill, client_id=0), "DU1234567 order 189", "nothing to do"),
        (lambda fill: replace(fill, perm_id=0), "DU1234567 order 42 of client 7", "set Master API client ID"),
        (
            lambda fill: replace(fill, perm_id=0, order_id=0),
            "DU1234567 fill 0000e0d5.6596b0da.01.01",
            "set Master API client ID",
        ),
    ],
)
def test_missing_fee_names_order_and_cause(
    change: Callable[[Execution], Execution], subject: str, why: str
) -> None:
    """A missing fee names its order and the likely cause."""
    execution = change(STOCK)
    world = all_agrees().with_execution(STOCK, lambda view: ExecutionView(execution, fee_known=False))
    found = only(world.broker_lists(FIRST, SECOND, execution))
    assert found.kind is DiscrepancyKind.FEE_MISSING
    assert found.subject == subject
    assert why in found.next_step


def test_a_fee_may_take_a_moment() -> None:
    young = replace(STOCK, time=NOW - timedelta(minutes=10))
    world = all_agrees().with_execution(STOCK, lambda view: ExecutionView(young, fee_known=False))
    assert world.broker_lists(FIRST, SECOND, young).found().discrepancies == ()


@given(st.randoms(use_true_random=False))
def test_order_of_views_does_not_matter(random: Random) -> None:
    """The answer does not depend on the order of the views."""
    world = plant_apart(all_agrees())
    ledger, records, broker = world.ledger, world.store.records, world.broker
    assert broker is not None
    assert records is not None
    mixed = world.with_ledger(
        held=random.sample(ledger.held, len(ledger.held)),
        executions=random.sample(ledger.executions, len(ledger.executions)),
        decided=random.sample(ledger.decided, len(ledger.decided)),
    ).with_broker(executions=random.sample(broker.executions, len(broker.executions)))
    mixed = replace(mixed, store=replace(world.store, records=random.sample(records, len(records))))
    assert mixed.found() == world.found()


def test_imported_execution_may_be_unlisted() -> None:
    """An expiry stands in a Flex report only."""
    world = all_agrees().broker_lists(FIRST, STOCK)
    assert world.with_execution(SECOND, lambda view: replace(view, imported=True)).found().discrepancies == ()
