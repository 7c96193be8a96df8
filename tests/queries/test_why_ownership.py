"""`why` tells whose a fill's lot was and became, in the order of the decisions' places."""

from __future__ import annotations

from pathlib import Path

from tests.support.answer_rig import ROBIN, Desk, buy, record
from tests.support.facts import ACCOUNT, alert_fields, exec_id
from tracker.core.alerters import AlerterNames
from tracker.core.model import AlertId, Source
from tracker.queries.text import TextTable
from tracker.queries.why import why_alert, why_execution

ELSE = {"ticker": "AMD", "strike": "250", "side": "C", "expiry": "11/21/2025"}
ALERTS = {ROBIN: {"AMD": record(option_conid=1, option_conids=[1], alert_details=ELSE)}}


def story(desk: Desk, number: int) -> list[str]:
    answer = why_execution(desk.journal, exec_id(number), desk.names)
    assert "owners" in TextTable(desk.settings.login_zone()).why(answer)
    return [entry["what"] for entry in answer["executions"][0]["ownership"]]


def test_late_alert_took_what_was_left(tmp_path: Path) -> None:
    """Bought 7, 3 of them sold, then the record is written."""
    with Desk(tmp_path, ALERTS) as desk:
        desk.tell(buy(1, 7), buy(2, -3))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record()))
        assert story(desk, 1) == [
            "bought 7: no alert",
            f"{ROBIN}/NVDA appeared and took the 4 that were left",
        ]


def test_closed_before_the_alert_was_there(tmp_path: Path) -> None:
    """The round trip was over when the record was written, which shows nothing of it."""
    with Desk(tmp_path, ALERTS) as desk:
        desk.tell(buy(1, 7), buy(2, -7))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record()))
        assert "position" not in desk.alerts_path.read_text()
        assert story(desk, 1) == [
            "bought 7: no alert",
            f"{ROBIN}/NVDA was found for it, but it was closed before the alert was there",
        ]


def test_person_and_successor_follow(tmp_path: Path) -> None:
    """A fill of an alert is given to another by a person, whose record is then replaced."""
    other = record(created_at="2025-11-18T15:42:30")
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4))
        desk.change(lambda alerts: alerts.update({"demslayer": {"NVDA": other}}))
        alert = AlertId("demslayer", "NVDA", other["created_at"], other["option_conid"])
        desk.note(Source.PERSON, "assign", ACCOUNT, exec_id(1), *alert_fields(alert))
        newer = record(created_at="2025-11-18T15:50:00")
        desk.change(lambda alerts: alerts["demslayer"].update(NVDA=newer))
        assert story(desk, 1) == [
            f"bought 4: {ROBIN}/NVDA",
            "demslayer/NVDA appeared and took the 4 that were left",
            "a person gave the 4 that were left to demslayer/NVDA",
            "demslayer/NVDA took over the 4 that were left from 2025-11-18T15:42:30",
        ]


def test_sale_for_another_alert_is_told(tmp_path: Path) -> None:
    """Nothing of the alert that the reference names was left, so the lots of another were closed."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.tell(buy(1, 4), buy(2, -4, order_ref="tracker:demslayer/NVDA", perm_id=9))
        reason = "the order's reference names another alert, of which nothing was left"
        assert story(desk, 2) == [f"closed lots of {ROBIN}/NVDA: {reason}"]
        answer = why_alert(desk.journal, f"{ROBIN}/NVDA", desk.names, desk.store_now(), desk.now)
        told = [note["what"] for note in answer["records"][0]["others_did"]]
        assert told == [f"{exec_id(2)} closed lots of it: {reason}"]
        assert reason in TextTable(desk.settings.login_zone()).why(answer)


def test_past_is_folded_with_aliases(tmp_path: Path) -> None:
    """A sale whose reference spells the alerter by an alias took its lot, so all of the other's was left."""
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}}) as desk:
        desk.names = AlerterNames([(ROBIN, "", ("morning-desk",))])
        desk.pump = desk.make_pump(desk.store, names=desk.names)
        desk.tell(buy(1, 4), buy(2, 3, order_ref="tracker:wolf/NVDA", perm_id=8))
        desk.tell(buy(3, -4, order_ref="tracker:morning-desk/NVDA", perm_id=9))
        alert = AlertId(ROBIN, "NVDA", record()["created_at"], record()["option_conid"])
        desk.note(Source.PERSON, "assign", ACCOUNT, exec_id(2), *alert_fields(alert))
        assert story(desk, 2) == [
            "bought 3: no alert",
            f"a person gave the 3 that were left to {ROBIN}/NVDA",
        ]
