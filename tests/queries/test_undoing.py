"""A person takes a decision back, by ID or by what it was about, and the state is as before."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.support.answer_rig import Desk, at, buy, rivals
from tests.support.facts import ACCOUNT, exec_id
from tracker.core.journal_entries import GapAccepted
from tracker.core.model import Contract, End, EndOf, Moment, Source
from tracker.core.state import GAPS
from tracker.core.state_rows import Gap
from tracker.queries.as_json import fill_json
from tracker.queries.decisions import assignment, decision_result, dismissal
from tracker.queries.fills import Selection, csv_lines, selected
from tracker.queries.inbox import inbox
from tracker.queries.socket_commands import rehearsed_decision, rehearsed_undo
from tracker.queries.undoing import undone_result
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


def assign(desk: Desk, of: str = "", alert: str = "a/SPX", order: str = "", quantity: str = "") -> str:
    """Assign as a person does; returns the ID."""
    state, alerts = desk.journal.state, desk.store.alerts()
    decision = assignment(state, alerts, desk.names, exec_id=of, alert=alert, order=order, quantity=quantity)
    # The note below is a second later.
    context = replace(desk.context(), now=lambda: desk.now + timedelta(seconds=1))
    planned = rehearsed_decision(context, state, decision)
    before = listed(desk)
    assert (planned["done"], planned["dry_run"], planned["id"]) == (False, True, None)
    assert listed(desk) == before, "a rehearsal writes nothing"
    for entry in decision.entries:
        desk.note(Source.PERSON, *entry.fields)
    did = decision_result(desk.journal.state, decision)
    for part in did["fill"]["parts"]:
        part["id"] = part["id"] if part["id"] != str(desk.journal.cursor) else None
    for one, other in ((planned["shows"], did["shows"]), (planned["fill"], did["fill"])):
        assert {**one, "delivery": None} == {**other, "delivery": None}, "it did what it said"
    return str(desk.journal.cursor)


def undo(desk: Desk, name: str) -> dict[str, Any]:
    one, planned = rehearsed_undo(desk.context(), desk.journal, name, "")
    assert (planned["done"], planned["dry_run"]) == (False, True)
    for entry in one.entries:
        desk.note(Source.PERSON, *entry.fields)
    did = undone_result(desk.journal.state, one)
    for plan, done in zip(planned["shows"], did["shows"], strict=True):
        assert (plan["open"], plan["position"]) == (done["open"], done["position"]), "it did what it said"
    return did


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


def test_account_need_not_be_named_where_one_was_decided(desk: Desk) -> None:
    """An order filled in two accounts under one execId, and a person decided about the one of them."""
    desk.tell(*(buy(9, 2, contract=SPX, perm_id=301, account=each) for each in (ACCOUNT, "DU7654321")))
    decision = assignment(
        desk.journal.state,
        desk.store.alerts(),
        desk.names,
        exec_id=exec_id(9),
        alert="a/SPX",
        account="DU7654321",
    )
    desk.note(Source.PERSON, *decision.entries[0].fields)
    assert undo(desk, exec_id(9))["what"] == f"the assignment of {exec_id(9)} to a/SPX"
    with pytest.raises(CommandError, match="nobody decided about"):
        undo(desk, exec_id(9))


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


def test_outcome_after_undo(desk: Desk) -> None:
    """A fill of another strike than any alert's, given to one and taken back: it opened nothing."""
    desk.tell(buy(3, 1, contract=replace_strike("6700"), perm_id=400))
    before = fill(desk, 3)["outcome"]
    undo(desk, assign(desk, exec_id(3)))
    assert (fill(desk, 3)["outcome"], before) == (before, "no alert is about this contract")


def test_outcome_names_who_has_it(desk: Desk) -> None:
    assign(desk, exec_id(1))
    second = assign(desk, exec_id(1), "b/SPX")
    assert fill(desk, 1)["outcome"] == "opened b/SPX by person"
    undo(desk, second)
    assert fill(desk, 1)["outcome"] == "opened a/SPX by person"


def replace_strike(strike: str) -> Contract:
    return structs.replace(SPX, con_id=41, strike=Decimal(strike))


def parts(desk: Desk, number: int) -> list[tuple[str, object]]:
    """Return to which alert how much of a fill was given."""
    return [(each["alert"], each["quantity"]) for each in fill(desk, number)["parts"]]


def fill(desk: Desk, number: int) -> dict[str, Any]:
    row: dict[str, Any] = fill_json(desk.journal.state, desk.booked(exec_id(number)))
    return row


def shown(desk: Desk, alerter: str) -> object:
    """Return what alerts.json shows as held."""
    return json.loads(desk.alerts_path.read_text())[alerter]["SPX"].get("position", {}).get("quantity")


def test_parts_of_an_order_sum_to_it(desk: Desk) -> None:
    """Fills of 4 and 6: 3 of the second, then 5 of the order (4 and 1), then the 2 that are left."""
    (item,) = listed(desk)["orders"]
    number = str(item["number"])
    assert item["left"] == 10
    assign(desk, exec_id(2), quantity="3")
    assert (parts(desk, 1), parts(desk, 2)) == ([], [("a/SPX", 3)])
    assert fill(desk, 2)["outcome"].startswith("3 given to a/SPX; the rest: 2 alerts agree")
    assign(desk, number, "b/SPX", quantity="5")
    assert (parts(desk, 1), parts(desk, 2)) == ([("b/SPX", 4)], [("a/SPX", 3), ("b/SPX", 1)])
    (left,) = listed(desk)["orders"]
    assert (left["number"], left["fills"], left["left"]) == (item["number"], [exec_id(2)], 2)
    assign(desk, "", "b/SPX", order="300", quantity="2")
    assert listed(desk)["orders"] == []
    assert (shown(desk, "a"), shown(desk, "b")) == (3, 7)
    assert fill(desk, 2)["outcome"] == "opened a/SPX, b/SPX by person"
    rows = csv.DictReader(csv_lines(desk.journal.state, selected(desk.journal, Selection(), desk.names)))
    assert [row["parts"] for row in rows] == ["4 b/SPX", "3 a/SPX, 1 b/SPX, 2 b/SPX"]


@pytest.mark.parametrize(
    ("of", "quantity", "refusal"),
    [
        (exec_id(1), "5", f"5 of {exec_id(1)} cannot be assigned: 4 of it are left to assign"),
        (
            exec_id(2),
            "6",
            f"5 of it are left to assign; 1 of it is assigned already, which `tracker why {exec_id(2)}`",
        ),
        (exec_id(1), "0", "quantity '0' is not a number above 0"),
        (exec_id(1), "-2", "quantity '-2' is not a number above 0"),
        (exec_id(1), "many", "quantity 'many' is not a number above 0"),
        (exec_id(1), "1.5", f"quantity 1.5 is not whole, as {exec_id(1)} is"),
    ],
)
def test_impossible_part_is_refused(desk: Desk, of: str, quantity: str, refusal: str) -> None:
    assign(desk, exec_id(2), quantity="1")
    with pytest.raises(CommandError) as refused:
        assign(desk, of, quantity=quantity)
    assert refusal in refused.value.message
    assert parts(desk, 1) == []


def test_part_is_taken_back(desk: Desk) -> None:
    """By ID, or by EXEC_ID for the last one; the inbox is as before, and `why` tells all of it."""
    before = listed(desk)
    first = assign(desk, exec_id(2), quantity="2")
    second = assign(desk, exec_id(2), "b/SPX", quantity="1")
    assert undo(desk, first)["what"] == f"the assignment of 2 of {exec_id(2)} to a/SPX"
    assert parts(desk, 2) == [("b/SPX", 1)]
    assert undo(desk, exec_id(2))["undone"] == second
    after = listed(desk)
    for each in (*before["needs_you"], *after["needs_you"], *before["orders"], *after["orders"]):
        del each["fill"]["alerts"]  # That it touched alerts for a while stays known.
    assert after == before
    assert (shown(desk, "a"), shown(desk, "b")) == (0, 0)
    (why,) = why_execution(desk.journal, exec_id(2), desk.names)["executions"]
    assert [each["what"] for each in why["decided_again"]] == [
        f"a person assigned 2 of it to a/SPX (ID {first})",
        f"a person assigned 1 of it to b/SPX (ID {second})",
        f"a person took decision {first} back",
        f"a person took decision {second} back",
    ]
    assert [each["what"] for each in why["ownership"]] == [
        "bought 6: no alert",
        "a person gave 2 of it to a/SPX",
        "a person gave 1 of it to b/SPX",
        "a person took back the 2 that were given as a part",
        "a person took back the 1 that were given as a part",
    ]
    (other,) = why_execution(desk.journal, exec_id(1), desk.names)["executions"]
    assert [each["what"] for each in other["ownership"]] == ["bought 4: no alert"]


def test_order_and_its_parts_go_back_in_turn(desk: Desk) -> None:
    """What was decided on top of a decision goes first."""
    part = assign(desk, exec_id(1), quantity="1")
    whole = assign(desk, exec_id(1), "b/SPX")
    assert (shown(desk, "a"), shown(desk, "b")) == (1, 9)
    with pytest.raises(CommandError, match=f"take that back first: tracker undo {whole}"):
        undo(desk, part)
    later = assign(desk, exec_id(1), quantity="1")
    with pytest.raises(CommandError, match=f"take that back first: tracker undo {later}"):
        undo(desk, whole)
    for name in (later, whole, part):
        undo(desk, name)
    assert (shown(desk, "a"), shown(desk, "b")) == (0, 0)
    assert [each["left"] for each in listed(desk)["orders"]] == [10]


def test_part_that_a_late_sale_took_is_named(desk: Desk) -> None:
    """All was sold before the decision, which only later became known: `why` says that nothing was left."""
    desk.tell(buy(60, 1, contract=SPX, perm_id=301))
    assign(desk, exec_id(1), quantity="4")
    desk.note(Source.SENT, "executions", "900", ACCOUNT)
    sold = buy(30, -10, contract=SPX, perm_id=302, request_id=900)
    desk.tell(sold, End(EndOf.EXECUTIONS, 900))
    (why,) = why_execution(desk.journal, exec_id(1), desk.names)["executions"]
    assert why["ownership"][-1]["what"] == "a person gave a part of it to a/SPX, but nothing of it was left"
