"""Why a fill went where it went, and why an alert looks as it does, from what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import CREATED, ROBIN, Desk, buy, loose, record
from tests.support.facts import ACCOUNT, BESIDE, NVDA, exec_id, execution, position
from tests.support.fakes import Records
from tracker.core.alert_updates import instant
from tracker.core.model import AlertId, Source, Undecodable
from tracker.journal.journal import REMOVING
from tracker.queries import text
from tracker.queries import why as why_module
from tracker.queries.alerts import alerts
from tracker.queries.fills import Selection, fills
from tracker.queries.report_text import alerts_text
from tracker.queries.why import StoreNow, why_alert, why_execution, written_to
from tracker.reconcile.views import Watched, ledger_view
from tracker.status.protocol import CommandError

NAME = f"{ROBIN}/NVDA"
LATER = replace(NVDA, con_id=2, expiry=date(2025, 11, 28))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}, "wolf": {"NVDA": loose(strike="130")}}) as desk:
        yield desk


def why(desk: Desk, of: str) -> dict[str, Any]:
    return why_alert(desk.journal, of, desk.names, desk.store_now(), desk.now)


def of_fill(desk: Desk, of: str) -> dict[str, Any]:
    (row,) = why_execution(desk.journal, of, desk.names)["executions"]
    assert isinstance(row, dict)
    return row


def test_fill_names_rule_and_rejected(desk: Desk) -> None:
    """A fill names its rule the rejected and what was written."""
    desk.tell(buy(1, 4))
    row = of_fill(desk, exec_id(1))
    assert row["decision"] == "matched"
    assert [(each["alert"], each["rule"]) for each in row["alerts"]] == [(NAME, "con_id")]
    assert [(each["alert"], each["reason"]) for each in row["rejected"]] == [
        ("wolf/NVDA", "its strike is 130, the fill's is 122.5")
    ]
    assert row["looked_at"] == 2
    (written,) = row["written"]
    assert (written["alert"], written["outcome"], written["again"]) == (NAME, "applied", False)
    assert written["update"]["position"]["quantity"] == 4


def test_account_that_the_login_lost(desk: Desk) -> None:
    """Its alerts say so, here and in the list of alerts; nothing is closed."""
    desk.note(Source.LINK, "up", ACCOUNT, "176")
    desk.tell(buy(1, 4))
    assert "no longer manages" not in text.TextTable(UTC).why(why(desk, NAME))
    desk.note(Source.LINK, "up", "DU7654321", "176")
    assert [each["managed"] for row in why(desk, NAME)["records"] for each in row["holds"]] == [False]
    said = " ".join(text.TextTable(UTC).why(why(desk, NAME)).split())
    assert f"in {ACCOUNT}, which the login no longer manages" in said
    listed = alerts(desk.journal.state, desk.store_now(), desk.names, only_open=True, with_profit=True)
    said = " ".join(alerts_text(text.TextTable(UTC), listed).split())
    assert "the login no longer manages the account" in said
    (held,) = ledger_view(desk.journal, Watched(0), desk.now).held
    assert (held.managed, str(held.quantity)) == (False, "4")


def test_unmatched_fill_names_reason(desk: Desk) -> None:
    """A fill of no alert names the reason."""
    desk.tell(buy(1, 1, contract=LATER))
    row = of_fill(desk, exec_id(1))
    assert row["decision"] == "unmatched"
    assert row["reason"].startswith(f"no alert agrees; {NAME} nearly: its expiry is 2025-11-21")
    assert row["fill"]["attention"] == "near_miss"
    assert row["written"] == []


def test_a_correction_names_the_other_versions(desk: Desk) -> None:
    desk.tell(execution(exec_id(1), 4))
    desk.tell(execution(exec_id(1, 2), 3))
    old, new = of_fill(desk, exec_id(1)), of_fill(desk, exec_id(1, 2))
    assert [each["exec_id"] for each in old["versions"]] == [exec_id(1, 2)]
    assert old["fill"]["superseded_by"] == exec_id(1, 2)
    assert [each["outcome"] for each in new["versions"]] == [f"corrected by {exec_id(1, 2)}"]
    five_segments = "0000e0d5.00000009.01.01.01"
    desk.tell(execution(five_segments, 1, at=9))
    assert of_fill(desk, five_segments)["versions"] == []


def test_a_cancelled_fill_counts_for_nothing(desk: Desk) -> None:
    """A correction to no quantity is no match that was rejected: neither its fill nor its alerts name one."""
    desk.tell(execution(exec_id(1), 4))
    desk.tell(replace(execution(exec_id(1, 2), 4), quantity=Decimal(0)))
    assert of_fill(desk, exec_id(1, 2))["fill"]["outcome"] == (
        "the broker cancelled this fill: nothing of it counts"
    )
    assert why(desk, "wolf/NVDA")["records"][0]["not_given"] == []


def test_each_account_is_explained(desk: Desk) -> None:
    """Each account of an execution is accounted for."""
    desk.tell(buy(1, 4), buy(1, 6, account="DU9000001"))
    assert len(why_execution(desk.journal, exec_id(1), desk.names)["executions"]) == 2
    (row,) = why_execution(desk.journal, exec_id(1), desk.names, "DU9000001")["executions"]
    assert row["fill"]["quantity"] == 6


def test_later_decisions_are_listed(desk: Desk) -> None:
    """What was decided again and by whom is reported."""
    desk.tell(buy(1, 1, contract=LATER))
    desk.change(lambda alerts: alerts["wolf"].update(NVDA=loose(expiry="11/28/2025")))
    desk.tell(buy(2, 1, contract=replace(NVDA, con_id=9, symbol="AMD")))
    desk.note(Source.PERSON, "dismiss", ACCOUNT, exec_id(2))
    desk.note(Source.PERSON, "assign", ACCOUNT, exec_id(1), ROBIN, "NVDA", CREATED, "700100200")
    first = of_fill(desk, exec_id(1))
    assert [note["what"] for note in first["decided_again"]] == [
        "the alert store had changed, so it was decided again",
        f"a person assigned it to {NAME} (ID 5)",
    ]
    assert [note["what"] for note in of_fill(desk, exec_id(2))["decided_again"]] == [
        "a person dismissed it (ID 4)"
    ]
    assert [each["rule"] for each in first["alerts"]] == ["person"]
    (mine,) = why(desk, NAME)["records"]
    assert f"a person assigned {exec_id(1)} to it" in [note["what"] for note in mine["others_did"]]


def test_alert_lists_holdings_fills_writes(desk: Desk) -> None:
    """An alert tells holdings fills and writes."""
    desk.tell(buy(1, 4))
    desk.tell(buy(2, -1))
    answer = why(desk, "RobinDaHood/nvda")
    assert (answer["about"], answer["alert"], answer["store_trouble"]) == ("alert", NAME, None)
    (mine,) = answer["records"]
    assert (mine["state"], mine["in_store"], mine["open_in_store"], mine["agrees"]) == (
        "open",
        True,
        True,
        True,
    )
    assert [(each["quantity"], each["held_in_all"]) for each in mine["holds"]] == [(3, 3)]
    assert [each["exec_id"] for each in mine["fills"]] == [exec_id(1), exec_id(2)]
    assert [each["update"]["position"]["quantity"] for each in mine["written"]] == [4, 3]
    assert mine["shows"]["open"] is True
    assert mine["not_given"] == []


def test_closed_alert_lists_rejected_fills(desk: Desk) -> None:
    """An alert that is not open names the fills it did not get."""
    for number in range(1, 13):
        desk.tell(buy(number, 1))
    (wolf,) = why(desk, "wolf/NVDA")["records"]
    assert (wolf["state"], wolf["shows"], wolf["agrees"]) == ("never filled", None, None)
    assert wolf["not_given_count"] == 12
    assert [each["fill"]["exec_id"] for each in wolf["not_given"]] == [exec_id(each) for each in range(3, 13)]
    assert {each["reason"] for each in wolf["not_given"]} == {"its strike is 130, the fill's is 122.5"}


def test_ambiguous_fill_is_listed(tmp_path: Path) -> None:
    """One of several is reported as such."""
    with Desk(tmp_path, {"a": {"NVDA": loose(expiry=None)}, "b": {"NVDA": loose(expiry=None)}}) as desk:
        desk.tell(buy(1, 1))
        (one,) = why(desk, "a/NVDA")["records"]
        assert of_fill(desk, exec_id(1))["decision"] == "ambiguous"
    assert [(each["reason"], each["near"]) for each in one["not_given"]] == [
        ("2 alerts agree by strike: one of them is meant", True)
    ]


def test_undone_write_is_repeated(desk: Desk) -> None:
    """What the neighbour undid is reported as written again."""
    before = desk.alerts_path.read_text()
    desk.tell(buy(1, 4))
    desk.alerts_path.write_text(before)
    desk.now += timedelta(seconds=30)
    desk.run_pump()
    (mine,) = why(desk, NAME)["records"]
    assert [(each["outcome"], each["again"]) for each in mine["written"]] == [
        ("applied", False),
        ("applied", True),
    ]
    assert mine["agrees"] is True


def test_disagreeing_store_is_shown(desk: Desk) -> None:
    """What stands against the decision is reported."""
    before = desk.alerts_path.read_text()
    desk.tell(buy(1, 4))
    desk.alerts_path.write_text(before)
    desk.store.refresh()
    (mine,) = why(desk, NAME)["records"]
    assert (mine["open_in_store"], mine["agrees"]) == (False, False)


def test_gone_and_replaced_records(desk: Desk) -> None:
    """A record that went or was replaced is reported."""

    def replaced(alerts: Records) -> None:
        alerts[ROBIN]["NVDA"] = record(created_at="2025-11-18T16:00:00")

    desk.tell(buy(1, 4))
    desk.change(replaced)
    old, new = why(desk, NAME)["records"]
    assert (old["state"], old["successor"], old["in_store"]) == ("replaced", "2025-11-18T16:00:00", False)
    assert [note["what"] for note in old["others_did"]] == [
        "another program replaced it; the record of 2025-11-18T16:00:00 took over"
    ]
    assert (new["state"], new["in_store"]) == ("open", True)
    assert [note["what"] for note in new["others_did"]] == [f"it took over from the record of {CREATED}"]
    saved = desk.alerts_path.read_text()
    desk.change(lambda alerts: alerts.pop(ROBIN))
    _, gone = why(desk, NAME)["records"]
    assert (gone["state"], gone["others_did"][-1]["what"]) == ("gone", "another program took it out")
    desk.alerts_path.write_text(saved)
    desk.run_pump()
    _, back = why(desk, NAME)["records"]
    assert (back["state"], back["others_did"][-1]["what"]) == ("open", "another program put it back")


def test_unreadable_store_is_unknown(desk: Desk) -> None:
    """A store that cannot be read is said and nothing is guessed."""
    desk.tell(buy(1, 4))
    away = StoreNow((), lambda alert: None, "alerts.json is empty")
    answer = why_alert(desk.journal, NAME, desk.names, away, desk.now)
    assert answer["store_trouble"] == "alerts.json is empty"
    (mine,) = answer["records"]
    assert (mine["in_store"], mine["open_in_store"], mine["agrees"]) == (None, None, None)
    with pytest.raises(CommandError, match=r"no alert 'x/Y' is in the journal, and alerts\.json is empty"):
        why_alert(desk.journal, "x/Y", desk.names, away, desk.now)


def test_value_that_cannot_be_read_is_not_said_to_lack(tmp_path: Path) -> None:
    """A strike and a side are there: what is wrong with them is said once."""
    with Desk(tmp_path, {ROBIN: {"NVDA": loose(strike="122.5C", side="long")}}) as desk:
        desk.run_pump()
        said = " ".join(text.TextTable(UTC).why(why(desk, NAME)).split())
    assert 'strike "122.5C" is not a price; side "long" is neither call nor put' in said
    assert "in its alert_details" not in said


def test_month_is_read_as_written(tmp_path: Path) -> None:
    """`DEC25` may be a month, so it is not said to be 25 December."""
    with Desk(tmp_path, {ROBIN: {"NVDA": loose(expiry="DEC25")}}) as desk:
        desk.run_pump()
        said = " ".join(text.TextTable(UTC).why(why(desk, NAME)).split())
    assert "read as option NVDA DEC25 122.5 C" in said


def test_unknown_alert_names_nearest(desk: Desk) -> None:
    """An unknown alert is refused with the nearest."""
    desk.run_pump()
    with pytest.raises(CommandError, match=f"in the alert store or the journal; the nearest is {NAME}"):
        why(desk, f"{ROBIN}/NVD")


def test_removed_record_has_no_values(desk: Desk) -> None:
    """A record taken out is reported without values."""
    alert = AlertId(ROBIN, "NVDA", CREATED, 700100200)
    with desk.journal.step():
        body = b'{"open": true, "alert_details": {}}'
        desk.journal.log_store(
            desk.now, [("\x1f".join((ROBIN, "NVDA", CREATED, "700100200")), REMOVING, body)]
        )
    assert [each["update"] for each in written_to(desk.journal, alert)] == [None]


def test_refused_execution_says_why(desk: Desk) -> None:
    """An execution that could not be decided is not booked; asked for, it names its frame and the reason."""
    desk.tell(Undecodable("execution", "its quantity is not a number", exec_id(7)))
    with pytest.raises(CommandError, match=r"kept as frame 1.*its quantity is not a number"):
        of_fill(desk, exec_id(7))


def test_closing_fill_follows_ownership(desk: Desk) -> None:
    """Whatever rule would match it: what it closes belongs to who opened it."""
    desk.tell(buy(1, 4), buy(2, -4))
    row = of_fill(desk, exec_id(2))
    assert row["decision"] == "matched"
    assert [(each["alert"], each["rule"]) for each in row["alerts"]] == [(NAME, "ownership")]
    assert row["rejected"] == []


def test_closing_without_owner_has_reason(desk: Desk) -> None:
    desk.tell(buy(1, 1, contract=LATER), buy(2, -1, contract=LATER))
    row = of_fill(desk, exec_id(2))
    assert (row["decision"], row["reason"]) == ("unmatched", "closed a position that no alert opened")


def ask(desk: Desk, of: str) -> dict[str, Any]:
    return why_module.why(desk.journal, of, "", desk.names, desk.store_now(), desk.now)


def test_bare_ticker_names_only_alert(tmp_path: Path) -> None:
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}, "wolf": {"TSLA": loose("TSLA")}}) as desk:
        desk.tell(buy(1, 4))
        assert ask(desk, "nvda")["alert"] == NAME
        assert ask(desk, "TSLA")["alert"] == "wolf/TSLA"
        assert ask(desk, exec_id(1))["about"] == "execution"
        with pytest.raises(CommandError, match="no execution 'AMD'"):
            ask(desk, "AMD")


def test_bare_ticker_of_several_is_refused(desk: Desk) -> None:
    desk.run_pump()
    with pytest.raises(CommandError, match=f"'NVDA' may mean {NAME}, wolf/NVDA; write one of them"):
        ask(desk, "NVDA")


def test_option_that_an_answer_lacks_says_that_it_waits(desk: Desk) -> None:
    """After its expiry day one answer is not enough to close it; a second one, later, is."""
    desk.note(Source.LINK, "up", ACCOUNT, "176")
    desk.list_positions(position(1, contract=BESIDE))
    desk.tell(buy(1, 4))
    (held,) = why(desk, NAME)["records"][0]["holds"]
    assert held["missing_since"] is None
    desk.now += timedelta(days=4)
    desk.list_positions(position(1, contract=BESIDE))
    (held,) = why(desk, NAME)["records"][0]["holds"]
    assert (held["quantity"], held["missing_since"]) == (4, instant(desk.now))
    said = " ".join(text.TextTable(UTC).why(why(desk, NAME)).split())
    assert "not in the broker's answer of 2025-11-22 15:43" in said
    assert "it closes once a later one agrees" in said
    desk.now += timedelta(minutes=15)
    desk.list_positions(position(1, contract=BESIDE))
    (held,) = why(desk, NAME)["records"][0]["holds"]
    assert (held["quantity"], held["closed_by"], held["missing_since"]) == (0, "expired", None)


def test_sale_of_the_same_second_stands_behind_its_purchase(desk: Desk) -> None:
    """The gateway lists executions of one second in any order."""
    desk.tell(execution(exec_id(2), -1, perm_id=190), execution(exec_id(1), 4))
    (record_,) = why(desk, NAME)["records"]
    assert [fill["exec_id"] for fill in record_["fills"]] == [exec_id(1), exec_id(2)]
    listed = fills(desk.journal, Selection(), desk.names)["fills"]
    assert [fill["exec_id"] for fill in listed] == [exec_id(1), exec_id(2)]
