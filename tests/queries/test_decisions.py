"""A person's decision is taken where it makes sense, refused with the reason where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import CREATED, ROBIN, Desk, buy, loose, record
from tests.support.facts import ACCOUNT, NVDA, exec_id, execution
from tracker.core.alerters import AlerterNames
from tracker.core.journal_entries import Assigned
from tracker.core.model import AlertId, Contract, ExecutionKey, Source, StoreUnavailable
from tracker.queries.decisions import Decision, assignment, decision_result, dismissal, written_to
from tracker.queries.text import TextTable
from tracker.queries.why import why_execution
from tracker.status.protocol import CommandError

NAME = f"{ROBIN}/NVDA"
LATER = replace(NVDA, con_id=2, expiry=date(2025, 11, 28))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    alerts = {
        ROBIN: {"NVDA": record(), "TSLA": loose("TSLA"), "PUT": loose(side="P")},
        "wolf": {"NVDA": loose(strike="130")},
        "shares": {"NVDA": loose(strike=None, side=None, expiry=None)},
    }
    with Desk(tmp_path, alerts) as desk:
        yield desk


def assign(desk: Desk, of: str, alert: str = NAME, **how: Any) -> Decision:
    desk.run_pump()
    return assignment(desk.journal.state, desk.store.alerts(), desk.names, exec_id=of, alert=alert, **how)


def carry_out(desk: Desk, decision: Decision) -> dict[str, Any]:
    for entry in decision.entries:
        desk.note(Source.PERSON, *entry.fields)
    assert decision.taken(desk.journal.state)
    assert written_to(desk.journal.state, decision.alerts)
    return decision_result(desk.journal.state, decision)


def test_an_assigned_fill_opens_its_alert(desk: Desk) -> None:
    desk.tell(buy(1, 4, contract=LATER))
    decision = assign(desk, exec_id(1), "RobinDaHood/nvda")
    assert decision.entries == (
        Assigned(ExecutionKey(ACCOUNT, exec_id(1)), AlertId(ROBIN, "NVDA", CREATED, 700100200)),
    )
    assert not decision.taken(desk.journal.state)
    came = carry_out(desk, decision)
    assert (came["done"], came["alert"], came["also_changed"]) == (True, NAME, [])
    assert came["shows"]["open"] is True
    assert came["shows"]["position"]["quantity"] == 4
    assert came["shows"]["last_order_update"]["matched_by"] == "person"
    assert came["shows"]["delivery"] == "applied"
    assert came["fill"]["attention"] is None


def test_assignment_moves_fill(desk: Desk) -> None:
    """An assignment moves a fill from one alert to another."""
    desk.tell(buy(1, 4))
    came = carry_out(desk, assign(desk, exec_id(1), "wolf/NVDA"))
    assert came["shows"]["position"]["quantity"] == 4
    assert [(each["alert"], each["open"], each["position"]["quantity"]) for each in came["also_changed"]] == [
        (NAME, False, 0)
    ]


def test_replaced_record_shows_nothing(desk: Desk) -> None:
    """A record took over what another one of its name owned: the fill was taken from it alone."""
    desk.tell(buy(1, 4))
    desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record(created_at="2025-11-18T15:42:30")))
    came = carry_out(desk, assign(desk, exec_id(1), "wolf/NVDA"))
    assert [each["created_at"] for each in came["also_changed"]] == ["2025-11-18T15:42:30"]


def test_assignment_of_a_round_trip_says_that_nothing_is_left(desk: Desk) -> None:
    desk.tell(buy(1, 4, contract=LATER), buy(2, -4, contract=LATER))
    came = carry_out(desk, assign(desk, exec_id(1), NAME))
    assert (came["done"], came["nothing_left"], came["shows"]) == (True, True, None)
    said = " ".join(TextTable(UTC).assigned({**came, "id": "9"}).split())
    assert "left nothing: it was closed before; later fills of its order go to the alert" in said
    (why,) = why_execution(desk.journal, exec_id(1), desk.names)["executions"]
    assert f"a person gave it to {NAME}, but nothing of it was left" in [
        each["what"] for each in why["ownership"]
    ]
    desk.tell(buy(3, 1, contract=LATER, perm_id=189))
    assert decision_result(desk.journal.state, assign(desk, exec_id(3), NAME))["nothing_left"] is False


def test_assignment_is_done_once(desk: Desk) -> None:
    """What was assigned before is not done twice."""
    desk.tell(buy(1, 4, contract=LATER))
    carry_out(desk, assign(desk, exec_id(1)))
    again = assign(desk, exec_id(1))
    assert again.entries == ()
    came = carry_out(desk, again)
    assert (came["done"], came["shows"]["open"]) == (False, True)


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        (f"{ROBIN}/TSLA", "its symbol is TSLA, the fill's is NVDA"),
        (f"{ROBIN}/PUT", "its right is P, the fill's is C"),
        ("shares/NVDA", "it is about shares, the fill is an option"),
    ],
)
def test_contradicting_alert_is_refused(desk: Desk, alert: str, reason: str) -> None:
    """Another symbol kind or right is refused."""
    desk.tell(buy(1, 4))
    with pytest.raises(CommandError, match=f"{exec_id(1)} cannot be assigned to {alert}: {reason}"):
        assign(desk, exec_id(1), alert)


def test_share_needs_stock_alert(desk: Desk) -> None:
    """A share goes to no option alert."""
    desk.tell(buy(1, 4, contract=Contract(5, "NVDA", "STK")))
    with pytest.raises(CommandError, match="it is about an option, the fill is shares"):
        assign(desk, exec_id(1))


def test_closing_fill_is_not_assigned(desk: Desk) -> None:
    """A closing fill is refused since it follows who opened."""
    desk.tell(buy(1, 4), buy(2, -4))
    with pytest.raises(
        CommandError, match=rf"only closed a position, .*\({NAME}\); assign the fill that opened"
    ):
        assign(desk, exec_id(2), "wolf/NVDA")


def test_uncounted_fills_are_not_assigned(desk: Desk) -> None:
    """A corrected version a combo and an unwatched account are refused."""
    desk.tell(execution(exec_id(1), 4), execution(exec_id(1, 2), 3))
    desk.tell(buy(2, 1, contract=Contract(6, "NVDA", "BAG")))
    with pytest.raises(CommandError, match=f"was corrected by {exec_id(1, 2)}; name that one"):
        assign(desk, exec_id(1))
    with pytest.raises(CommandError, match="a combo's own line and moves nothing; name its legs"):
        assign(desk, exec_id(2))
    with pytest.raises(CommandError, match=f"account {ACCOUNT} is not watched; add it to gateway.accounts"):
        assign(desk, exec_id(1, 2), watched=("DU9000001",))


def test_ambiguous_names_are_refused(desk: Desk) -> None:
    """An execution of several accounts and an unknown alert are refused."""
    desk.tell(buy(1, 4), buy(1, 6, account="DU9000001"))
    with pytest.raises(CommandError, match="several accounts"):
        assign(desk, exec_id(1))
    assert assign(desk, exec_id(1), "wolf/NVDA", account="DU9000001").key.account == "DU9000001"
    with pytest.raises(CommandError, match="no alert 'wolf/AMD' is in the alert store"):
        assign(desk, exec_id(1), "wolf/AMD", account=ACCOUNT)


def test_a_dismissed_fill_needs_nobody(desk: Desk) -> None:
    desk.tell(buy(1, 4, contract=LATER))
    came = carry_out(desk, dismissal(desk.journal.state, exec_id(1)))
    assert (came["done"], came["fill"]["dismissed"]) == (True, True)
    again = dismissal(desk.journal.state, exec_id(1))
    assert carry_out(desk, again)["done"] is False


def test_undecided_only_is_dismissed(desk: Desk) -> None:
    """A fill that needs no decision is not dismissed."""
    desk.tell(buy(1, 4))
    with pytest.raises(CommandError, match=rf"needs no decision \(opened {NAME} by con_id\)"):
        dismissal(desk.journal.state, exec_id(1))


def test_absent_store_leaves_pending(desk: Desk) -> None:
    """While the store is away the answer says pending."""
    desk.tell(buy(1, 4, contract=LATER))
    decision = assign(desk, exec_id(1))
    desk.alerts_path.write_text("")
    (entry,) = decision.entries
    desk.note(Source.PERSON, *entry.fields)
    assert not written_to(desk.journal.state, decision.alerts)
    assert decision_result(desk.journal.state, decision)["shows"]["delivery"] == "pending"
    with pytest.raises(StoreUnavailable):
        desk.store.refresh()


def test_waiting_fill_may_be_assigned(desk: Desk) -> None:
    """A fill that still waits may be assigned and shows nothing yet."""
    desk.note(Source.SENT, "executions", "7", ACCOUNT)
    desk.tell(buy(1, 4, contract=LATER, request_id=7))
    came = carry_out(desk, assign(desk, exec_id(1)))
    assert (came["shows"], came["fill"]["waiting"]) == (None, True)


def test_names_in_the_settings_count(desk: Desk) -> None:
    desk.tell(buy(1, 4, contract=LATER))
    names = AlerterNames([("wolf", "Wolf Pack", ("wp",))])
    desk.run_pump()
    decision = assignment(desk.journal.state, desk.store.alerts(), names, exec_id=exec_id(1), alert="wp/nvda")
    assert decision.alert is not None
    assert decision.alert.name == "wolf/NVDA"
