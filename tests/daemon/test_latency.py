"""The time from the broker's frame to the file: measured once for each change, and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tracker.core.alert_updates import EventKind, TrackerEvent, instant
from tracker.core.model import AlertId, AlertUpdate, Outcome
from tracker.daemon.latency import FrameToFile

RECEIVED = datetime(2025, 11, 18, 15, 0, tzinfo=UTC)
NVDA = AlertId("robindahood-alerts", "NVDA", "2025-11-18T14:59:00", 700100200)
TSLA = AlertId("robindahood-alerts", "TSLA", "2025-11-18T14:59:00", None)


def changed(alert: AlertId, seconds: float, kind: EventKind = EventKind.CHANGED) -> TrackerEvent:
    what = {"alert": alert.name, "created_at": alert.created_at, "quantity": "1"}
    return TrackerEvent(kind, RECEIVED + timedelta(seconds=seconds), what)


def update(alert: AlertId) -> AlertUpdate:
    return AlertUpdate(alert, True, None, None)


def after(seconds: float) -> datetime:
    return RECEIVED + timedelta(seconds=seconds)


def test_a_change_is_measured_from_its_oldest_frame_to_the_synced_file() -> None:
    measured = FrameToFile()
    measured.decided(changed(NVDA, 0, EventKind.OPENED))
    measured.decided(changed(NVDA, 0.010))
    (event,) = measured.written([update(NVDA)], [Outcome.APPLIED], after(0.025))
    assert event == {
        "event": "written",
        "at": instant(after(0.025)),
        "alert": NVDA.name,
        "created_at": NVDA.created_at,
        "seconds": 0.025,
    }


def test_what_is_written_again_is_not_measured() -> None:
    measured = FrameToFile()
    measured.decided(changed(NVDA, 0, EventKind.CLOSED))
    assert len(measured.written([update(NVDA)], [Outcome.APPLIED], after(1))) == 1
    assert measured.written([update(NVDA)], [Outcome.APPLIED], after(60)) == []


def test_what_was_not_written_is_not_measured_and_nothing_of_it_stays() -> None:
    measured = FrameToFile()
    for alert in (NVDA, TSLA):
        measured.decided(changed(alert, 0))
    outcomes = [Outcome.DUPLICATE, Outcome.GONE]
    assert measured.written([update(NVDA), update(TSLA)], outcomes, after(1)) == []
    assert measured.written([update(NVDA), update(TSLA)], [Outcome.APPLIED] * 2, after(2)) == []


def test_a_fill_that_changes_no_alert_begins_no_measurement() -> None:
    measured = FrameToFile()
    measured.decided(changed(NVDA, 0, EventKind.FILL))
    assert measured.written([update(NVDA)], [Outcome.APPLIED], after(1)) == []


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    measured = FrameToFile()
    measured.decided(changed(NVDA, 5))
    (event,) = measured.written([update(NVDA)], [Outcome.APPLIED], after(1))
    assert event["seconds"] == 0
