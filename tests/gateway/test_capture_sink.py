"""Frames reach the journal whatever their hearers do, and what ends capture is named for what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.gateway_rig import MemorySink, real_now
from tests.support.status_rig import logged
from tracker.core.journal_entries import FirstSweepOver, SweepQuiet
from tracker.core.model import Source
from tracker.daemon.run import log_failure
from tracker.gateway.capture_sink import CaptureFailed, CaptureSink, Fatal

Hear = Callable[[], None]


def broken() -> None:
    """Fail as a worker does that was shut down."""
    raise RuntimeError("cannot schedule new futures after shutdown")


def end_of(sink: MemorySink, on_commit: Hear) -> CaptureFailed:
    """Commit one note and return what ended capture; it stays ended."""

    async def commit() -> CaptureFailed:
        fatal: Fatal = asyncio.get_running_loop().create_future()
        recorder = CaptureSink(sink, 1, real_now, on_commit, fatal)
        with pytest.raises(CaptureFailed) as first:
            recorder.append_entry(FirstSweepOver())
        with pytest.raises(CaptureFailed, match="capture stopped"):
            recorder.append_entry(SweepQuiet(900))
        assert fatal.result() is first.value
        return first.value

    return asyncio.run(commit())


def test_failed_callback_is_not_the_journal() -> None:
    """A callback that fails costs no frame, and is not taken for a failure of the journal."""
    sink = MemorySink()
    end = end_of(sink, broken)
    with logged() as lines:
        log_failure(end)
    assert "in broken" in "".join(lines), "the log shows where it failed"
    reason = str(end)
    assert sink.fields(Source.LINK) == [("first_sweep",)]
    assert "cannot schedule new futures" in reason
    assert "did not take" not in reason
    assert "1 frame is in the journal" in reason


def test_failed_journal_is_named() -> None:
    """A journal that cannot be written is named as the cause."""
    sink = MemorySink()
    sink.broken = "disk I/O error"
    woken: list[str] = []
    reason = str(end_of(sink, lambda: woken.append("pump")))
    assert "the journal did not take 1 frame: disk I/O error" in reason
    assert woken == []
