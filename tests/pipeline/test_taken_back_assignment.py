"""What an assignment that is taken back leaves to records that changed in between."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from pytest_mock import MockerFixture

from tests.support.answer_rig import CREATED, ROBIN, Desk, loose, record
from tests.support.facts import ACCOUNT, NVDA, exec_id, execution
from tracker.core.journal_entries import Assigned, Undone
from tracker.core.model import AlertId, ExecutionKey, StoreUnavailable
from tracker.core.state import ALERTS


def test_lots_come_to_the_record_that_replaced_their_owner_meanwhile(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    """The record is written anew as its 3 are assigned to another alert; taken back, they are the new one's.

    In between the store cannot be read, so that nobody looks at it while the old record has nothing.
    """
    other = {"NVDA": loose(strike="130")}
    with Desk(tmp_path, {ROBIN: {"NVDA": record()}, "demslayer": other}) as desk:
        desk.tell(execution(exec_id(1), 3, at=1))
        key = ExecutionKey(ACCOUNT, exec_id(1))
        assigned = append(desk, Assigned(key, AlertId("demslayer", "NVDA", CREATED, None)))
        desk.write({ROBIN: {"NVDA": record(created_at="2025-11-18T15:43:30.000000")}, "demslayer": other})
        looks = iter([desk.store.refresh])
        mocker.patch.object(desk.store, "refresh", side_effect=lambda: next(looks, unreadable)())
        desk.run_pump()
        append(desk, Undone(assigned, key))
        desk.run_pump()
        mocker.stopall()
        desk.run_pump()
        assert (held(desk, ROBIN), held(desk, "demslayer")) == (3, 0)


def test_lots_come_to_the_last_name_of_a_record_that_is_gone(tmp_path: Path) -> None:
    """It got a conid while its 3 were assigned to another alert, which was taken back, and done again.

    It is gone, and that is taken back: it has them by its last name, so that they are told as an orphan's.
    """
    other = {"NVDA": loose(strike="130")}
    with Desk(tmp_path, {ROBIN: {"NVDA": loose()}, "demslayer": other}) as desk:
        desk.tell(execution(exec_id(1), 3, at=1))
        key = ExecutionKey(ACCOUNT, exec_id(1))
        word = Assigned(key, AlertId("demslayer", "NVDA", CREATED, None))
        assigned = append(desk, word)
        desk.run_pump()
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record()))
        append(desk, Undone(assigned, key))
        assigned = append(desk, word)
        desk.run_pump()
        desk.change(lambda alerts: alerts.pop(ROBIN))
        append(desk, Undone(assigned, key))
        desk.run_pump()
        orphans = [row.alert for row in desk.journal.state.find(ALERTS, "orphaned", "1")]
        assert [(alert.alerter, alert.option_conid) for alert in orphans] == [(ROBIN, NVDA.con_id)]
        assert held(desk, "demslayer") == 0


def unreadable() -> bool:
    raise StoreUnavailable("cut off")


def append(desk: Desk, entry: Assigned | Undone) -> int:
    """Journal a person's word; returns the number of its frame."""
    desk.now += timedelta(seconds=1)
    desk.journal.append(1, desk.now, [entry.arriving])
    return max(frame.seq for frame in desk.journal.frames_after(0, 1000))


def held(desk: Desk, alerter: str) -> int:
    shown = json.loads(desk.alerts_path.read_text())[alerter]["NVDA"]
    return int(shown.get("position", {"quantity": 0})["quantity"])
