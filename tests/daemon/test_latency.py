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


def test_change_is_measured_to_synced_file() -> None:
    """A change is measured from its oldest frame to the synced file."""
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


def test_repeated_write_is_not_measured() -> None:
    """What is written again is not measured."""
    measured = FrameToFile()
    measured.decided(changed(NVDA, 0, EventKind.CLOSED))
    assert len(measured.written([update(NVDA)], [Outcome.APPLIED], after(1))) == 1
    assert measured.written([update(NVDA)], [Outcome.APPLIED], after(60)) == []


def test_unwritten_change_is_not_measured() -> None:
    """What was not written is not measured and nothing of it stays."""
    measured = FrameToFile()
    for alert in (NVDA, TSLA):
        measured.decided(changed(alert, 0))
    outcomes = [Outcome.DUPLICATE, Outcome.GONE]
    assert measured.written([update(NVDA), update(TSLA)], outcomes, after(1)) == []
    assert measured.written([update(NVDA), update(TSLA)], [Outcome.APPLIED] * 2, after(2)) == []


def test_fill_without_change_is_not_measured() -> None:
    """A fill that changes no alert begins no measurement."""
    measured = FrameToFile()
    measured.decided(changed(NVDA, 0, EventKind.FILL))
    assert measured.written([update(NVDA)], [Outcome.APPLIED], after(1)) == []


def test_clock_set_back_gives_no_negative() -> None:
    """A clock that was set back makes no time negative."""
    measured = FrameToFile()
    measured.decided(changed(NVDA, 5))
    (event,) = measured.written([update(NVDA)], [Outcome.APPLIED], after(1))
    assert event["seconds"] == 0
