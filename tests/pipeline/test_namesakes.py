"""Undated records of other contracts, which get the name that another alert had before."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.answer_rig import ROBIN, Desk, buy, loose, record
from tests.support.facts import NVDA, START, exec_id, execution
from tracker.core.model import End, EndOf, Execution

PUT = replace(NVDA, con_id=700100300, right="P", strike=Decimal(120))
NEWER = "2025-11-18T15:50:00.000001"


def test_namesake_shows_no_fill_of_who_handed_all_on(tmp_path: Path) -> None:
    """An undated alert handed its 4 on. A record of puts gets its name while a sale of puts waits.

    The sale closes puts that are nobody's. It is matched to the new record before the old one gets its
    former name, which is no name of the same alert. Found by seed 1090003919.
    """
    undated = {"created_at": None}
    with Desk(tmp_path, {ROBIN: {"NVDA": loose() | undated}}) as desk:
        desk.tell(buy(1, 4))
        desk.tell(execution(exec_id(2), 5, at=5, perm_id=901, contract=PUT))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record(created_at=NEWER)))
        desk.now += timedelta(seconds=1000)
        desk.append(execution(exec_id(3), -2, at=1005, perm_id=902, contract=PUT))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=loose(side="P", strike="120") | undated))
        desk.run_pump()
        shown = json.loads(desk.alerts_path.read_text())[ROBIN]["NVDA"]
        assert (shown.get("position"), shown.get("last_order_update")) == (None, None)


@pytest.mark.parametrize("alerter", [ROBIN, "robindahood"])
def test_alert_that_handed_all_on_and_is_back_shows_its_trip(tmp_path: Path, alerter: str) -> None:
    """It bought 4 calls and sold them. A record of another strike took over the 3 that it had of that one.

    It is back, spelled as before or not: the trip is its own, and was closed. Found by seed 1150000379.
    """
    other = replace(NVDA, con_id=700100300, strike=Decimal(130))
    with Desk(tmp_path, {ROBIN: {"NVDA": loose()}}) as desk:
        desk.tell(buy(1, 4), execution(exec_id(2), -4, at=5, perm_id=902))
        desk.tell(execution(exec_id(3), 3, at=6, perm_id=903, contract=other, order_ref=f"{ROBIN}/NVDA"))
        newer = loose(strike="130") | {"created_at": NEWER}
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=newer))
        desk.tell(execution(exec_id(4), -3, at=9, perm_id=904, contract=other))
        desk.change(lambda alerts: (alerts.pop(ROBIN), alerts.update({alerter: {"NVDA": loose()}})))
        shown = json.loads(desk.alerts_path.read_text())[alerter]["NVDA"]
        assert shown["open"] is False
        position = shown["position"]
        assert (position["quantity"], position["avg_price"]) == (0, 2.5)
        assert datetime.fromisoformat(position["closed_at"]) == START + timedelta(seconds=5)


@pytest.mark.parametrize("second", [2, -2])
def test_alert_that_is_back_is_noted_once(tmp_path: Path, second: int) -> None:
    """Spelled otherwise, beside who took over what was left of the 4 calls that it had bought first."""
    with Desk(tmp_path, {ROBIN: {"NVDA": loose()}}) as desk:
        desk.tell(buy(1, 4), execution(exec_id(2), second, at=5, perm_id=902))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record(created_at=NEWER)))
        desk.change(lambda alerts: alerts.update(robindahood={"NVDA": loose()}))
        before = desk.journal.frames_after(0, 1000)
        desk.pump = desk.make_pump(desk.store)
        desk.change(lambda alerts: alerts.update(demslayer={}))
        assert desk.journal.frames_after(0, 1000) == before


def quantities_after(folder: Path, sale: int, late: Execution) -> list[int]:
    """Return what the newer record and the alert have, which is back beside it in another spelling.

    It had bought 4 calls and sold some, and the newer record took over the rest. Then a sweep tells `late`.
    """
    with Desk(folder, {ROBIN: {"NVDA": loose()}}) as desk:
        desk.tell(buy(1, 4), execution(exec_id(2), sale, at=5, perm_id=902))
        desk.change(lambda alerts: alerts[ROBIN].update(NVDA=record(created_at=NEWER)))
        desk.change(lambda alerts: alerts.update(robindahood={"NVDA": loose()}))
        desk.tell(replace(late, request_id=900), End(EndOf.EXECUTIONS, 900))
        desk.change(lambda alerts: alerts.update(demslayer={}))
        shown = json.loads(desk.alerts_path.read_text())
        return [shown[alerter]["NVDA"]["position"]["quantity"] for alerter in (ROBIN, "robindahood")]


def test_what_is_told_late_of_an_alert_that_is_back_went_to_its_successor(tmp_path: Path) -> None:
    """2 more were bought before the succession, so they went over; the first 3 it shares, since it is back.

    It is the same alert in any spelling (rule 2.3). Found by seed 1250001417.
    """
    late = execution(exec_id(3), 2, at=2, perm_id=903)
    assert quantities_after(tmp_path, -1, late) == [5, 3]


def test_order_of_an_alert_that_is_back_gets_no_second_owner(tmp_path: Path) -> None:
    """Its order had sold 5 more before the succession, so that a short of 2 went over; all of it did.

    The order is the alert's already, which the conid names in its new spelling too. Found by seed 1250001417.
    """
    late = execution(exec_id(3), -5, at=2, perm_id=902)
    assert quantities_after(tmp_path, -1, late) == [-2, 0]
