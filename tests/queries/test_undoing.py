"""A person takes a decision back, by ID or by what it was about, and the state is as before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.answer_rig import Desk, at, buy, rivals
from tests.support.facts import exec_id
from tracker.core.journal_entries import GapAccepted
from tracker.core.model import Contract, Moment, Source
from tracker.core.state import GAPS
from tracker.core.state_rows import Gap
from tracker.queries.decisions import assignment, decision_result, dismissal
from tracker.queries.inbox import inbox
from tracker.queries.socket_commands import rehearsed_decision
from tracker.queries.undoing import undoing, undone_result
from tracker.queries.why import why_execution
from tracker.status.protocol import CommandError

SPX = Contract(40, "SPX", "OPT", date(2025, 11, 18), Decimal("6600.0"), "C", "100", "USD")
SINCE = at("2025-11-18T00:00")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, rivals()) as desk:
        desk.tell(buy(1, 4, contract=SPX, perm_id=300), buy(2, 6, contract=SPX, perm_id=300, price="2.6"))
        yield desk


def listed(desk: Desk) -> dict[str, Any]:
    return inbox(desk.journal, SINCE, desk.names)


def assign(desk: Desk, of: str = "", alert: str = "a/SPX", order: str = "") -> str:
    """Assign as a person does; returns the ID."""
    state, alerts = desk.journal.state, desk.store.alerts()
    decision = assignment(state, alerts, desk.names, exec_id=of, alert=alert, order=order)
    # The note below is a second later.
    context = replace(desk.context(), now=lambda: desk.now + timedelta(seconds=1))
    planned = rehearsed_decision(context, state, decision)
    before = listed(desk)
    assert (planned["done"], planned["dry_run"], planned["id"]) == (False, True, None)
    assert listed(desk) == before, "a rehearsal writes nothing"
    for entry in decision.entries:
        desk.note(Source.PERSON, *entry.fields)
    did = decision_result(desk.journal.state, decision)
    for one, other in ((planned["shows"], did["shows"]), (planned["fill"], did["fill"])):
        assert {**one, "delivery": None} == {**other, "delivery": None}, "it did what it said"
    return str(desk.journal.cursor)


def undo(desk: Desk, name: str) -> dict[str, Any]:
    one = undoing(desk.journal, name)
    for entry in one.entries:
        desk.note(Source.PERSON, *entry.fields)
    return undone_result(one)


def test_order_is_one_item(desk: Desk) -> None:
    """Its fills stand together under one number, with their sum and average."""
    answer = listed(desk)
    (order,) = answer["orders"]
    assert (order["quantity"], order["avg_price"]) == (10, 2.56)
    assert order["fills"] == [exec_id(1), exec_id(2)]
    assert [each["number"] for each in answer["needs_you"]] == [order["number"]] * 2
    assert order["needs"] == "ambiguous"


def test_number_stays_and_is_not_used_again(desk: Desk) -> None:
    """A later fill joins its order's number; another order has another one."""
    (before,) = listed(desk)["orders"]
    desk.tell(buy(3, 1, contract=SPX, perm_id=300), buy(4, 1, contract=SPX, perm_id=301))
    first, second = listed(desk)["orders"]
    assert (first["number"], first["quantity"]) == (before["number"], 11)
    assign(desk, str(first["number"]))
    (left,) = listed(desk)["orders"]
    assert left["number"] == second["number"] != first["number"]
    with pytest.raises(CommandError, match=f"no item {first['number']} is in the inbox"):
        assign(desk, str(first["number"]))


@pytest.mark.parametrize("by", ["number", "exec_id", "order"])
def test_assigned_order_is_followed(desk: Desk, by: str) -> None:
    """Number, execId or permId: all fills of the order go, and later ones follow."""
    (item,) = listed(desk)["orders"]
    named = {"number": str(item["number"]), "exec_id": exec_id(2)}.get(by, "")
    assign(desk, named, order="300" if by == "order" else "")
    desk.tell(buy(5, 2, contract=SPX, perm_id=300))
    assert listed(desk)["orders"] == []
    for number in (1, 2, 5):
        assert [owner.name for owner in desk.booked(exec_id(number)).owners] == ["a/SPX"]


@pytest.mark.parametrize("by", ["id", "exec_id"])
def test_assignment_is_taken_back(desk: Desk, by: str) -> None:
    """The inbox is as it was before, and `why` tells both."""
    before = listed(desk)
    name = assign(desk, exec_id(1))
    answer = undo(desk, name if by == "id" else exec_id(2))
    assert (answer["undone"], answer["what"]) == (name, f"the assignment of {exec_id(1)} to a/SPX")
    after = listed(desk)
    # That it touched the alert for a while stays known.
    for each in (*before["needs_you"], *after["needs_you"], *before["orders"], *after["orders"]):
        del each["fill"]["alerts"]
    assert after == before
    told = [
        each["what"]
        for each in why_execution(desk.journal, exec_id(2), desk.names)["executions"][0]["decided_again"]
    ]
    assert told == [
        f"a person assigned its order to a/SPX (ID {name})",
        f"a person took decision {name} back",
    ]
    assert undo(desk, name)["done"] is False, "that was done before"
    with pytest.raises(CommandError, match="nobody decided about"):
        undo(desk, exec_id(1))


def test_later_assignment_goes_first(desk: Desk) -> None:
    first = assign(desk, exec_id(1))
    second = assign(desk, exec_id(1), "b/SPX")
    with pytest.raises(CommandError, match=f"take that back first: tracker undo {second}"):
        undo(desk, first)
    undo(desk, exec_id(1))
    assert [owner.name for owner in desk.booked(exec_id(1)).owners if owner.name == "a/SPX"] == ["a/SPX"]


@pytest.mark.parametrize("by", ["id", "exec_id"])
def test_dismissal_of_order_is_taken_back(desk: Desk, by: str) -> None:
    before = listed(desk)
    number = before["orders"][0]["number"]
    for entry in dismissal(desk.journal.state, str(number)).entries:
        desk.note(Source.PERSON, *entry.fields)
    assert listed(desk)["orders"] == []
    assert listed(desk)["not_ours"]["dismissed"] == 2
    undo(desk, str(desk.journal.cursor) if by == "id" else exec_id(1))
    assert listed(desk) == before


def test_accepted_gap_is_opened_again(desk: Desk) -> None:
    """By the ID or the day; a day that nobody accepted is refused."""
    with desk.journal.step() as advance:
        desk.journal.state.put(GAPS, Gap(date(2025, 11, 17), Moment(desk.now, 1), {"x": Decimal(1)}))
        advance(desk.journal.cursor)
    before = desk.journal.state.get(GAPS, "2025-11-17")
    for by in ("id", "day"):
        desk.note(Source.PERSON, *GapAccepted(date(2025, 11, 17)).fields)
        name = str(desk.journal.cursor)
        assert undo(desk, name if by == "id" else "2025-11-17")["undone"] == name
        assert desk.journal.state.get(GAPS, "2025-11-17") == before
    for refused in ("2025-11-17", "2025-11-18", name):
        with pytest.raises(CommandError, match="is no gap that a person accepted"):
            undo(desk, refused)


def test_old_acceptance_is_not_reopened(desk: Desk) -> None:
    gap = Gap(date(2025, 11, 17), Moment(desk.now, 1), closed_at=desk.now, closed_how="person")
    with desk.journal.step() as advance:
        desk.journal.state.put(GAPS, gap)
        advance(desk.journal.cursor)
    with pytest.raises(CommandError, match="accepted with an older version"):
        undo(desk, "2025-11-17")


@pytest.mark.parametrize("name", ["1", "999999", "nothing"])
def test_what_is_no_decision_is_refused(desk: Desk, name: str) -> None:
    with pytest.raises(CommandError) as refused:
        undo(desk, name)
    assert refused.value.code == "not_found"


def test_order_of_several_legs_is_named_by_number(desk: Desk) -> None:
    other = Contract(41, "SPX", "OPT", date(2025, 11, 19), Decimal("6600.0"), "C", "100", "USD")
    desk.tell(buy(6, 1, contract=other, perm_id=300))
    with pytest.raises(CommandError, match="has several legs or accounts: name one by its number"):
        assign(desk, order="300")
    with pytest.raises(CommandError, match="no order '7' waits for a decision"):
        assign(desk, order="7")
