"""A target that is stuck or broken costs log lines, which are counted and reported, and holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tests.support.waiting import until
from tracker.logs import writer
from tracker.logs.writer import LogLine, LogWriter

BOUND_SECONDS = 10.0
NOON = datetime(2025, 11, 18, 12, 0, tzinfo=UTC)


class Sluice:
    """Keep what is written; stuck while it is shut, failing while it has an error."""

    def __init__(self, name: str = "the sluice") -> None:
        self.name = name
        self.open = threading.Event()
        self.open.set()
        self.error: OSError | ValueError | None = None
        self.writes: list[list[str]] = []
        self.entered = 0
        self.closed = False

    def write(self, lines: Sequence[LogLine]) -> None:
        self.entered += 1
        assert self.open.wait(BOUND_SECONDS)
        if self.error is not None:
            raise self.error
        self.writes.append([line.text() for line in lines])

    def close(self) -> None:
        self.closed = True

    def lines(self) -> list[str]:
        return [text for lines in self.writes for text in lines]


def line(text: str) -> LogLine:
    return LogLine(NOON, "INFO", lambda: text)


@contextmanager
def writing(*targets: Sluice) -> Iterator[list[LogWriter]]:
    """Run a writer for each target, who know one another; every one ends in the end."""
    made = [LogWriter(target) for target in targets]
    for each in made:
        each.others = [other for other in made if other is not each]
    try:
        yield made
    finally:
        for target, each in zip(targets, made, strict=True):
            target.error = None
            target.open.set()
            each.close(BOUND_SECONDS)
            assert target.closed


def test_lines_are_written_in_order() -> None:
    target = Sluice()
    with writing(target) as (log,):
        for number in range(2_500):
            log.put(line(str(number)))
    assert target.lines() == [str(number) for number in range(2_500)]


def test_lines_are_gathered_into_few_writes() -> None:
    """A line alone waits for others; what matters does not."""
    target = Sluice()
    with writing(target) as (log,):
        for number in range(100):
            log.put(line(str(number)))
        log.put(line("soon"), soon=True)
        until(lambda: "soon" in target.lines())
    assert len(target.writes) <= 3


def test_stuck_target_drops_and_reports_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_LINES", 5)
    stuck, other = Sluice("standard error"), Sluice("the log file")
    with writing(stuck, other) as (log, _):
        stuck.open.clear()
        log.put(line("in hand"), soon=True)
        until(lambda: stuck.entered)
        for number in range(8):
            log.put(line(str(number)))
        assert log.lost == 3
        assert log.trouble == "standard error takes no lines, or too few"
        until(lambda: other.lines() == ["log lines are lost: standard error takes no lines, or too few"])
        stuck.open.set()
        until(lambda: "4" in stuck.lines())
        until(lambda: not log.trouble)
    assert stuck.lines() == [
        "in hand",
        "3 log lines before this one were lost: standard error takes no lines, or too few",
        *("0", "1", "2", "3", "4"),
    ]
    assert len(other.lines()) == 1


def test_failing_target_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is reported once by the other target, not with every further line."""
    monkeypatch.setattr(writer, "_PAUSE_SECONDS", 0.01)
    failing, other = Sluice("the log file"), Sluice("standard error")
    with writing(failing, other) as (log, _):
        failing.error = OSError(28, "No space left on device")
        log.put(line("gone"), soon=True)
        until(lambda: log.lost == 1)
        log.put(line("gone"), soon=True)
        until(lambda: log.lost == 2)
        assert log.trouble == "the log file cannot be written: No space left on device"
        failing.error = None
        log.put(line("kept"), soon=True)
        until(failing.lines)
        until(lambda: not log.trouble)
    assert failing.lines() == [
        "2 log lines before this one were lost: the log file cannot be written: No space left on device",
        "kept",
    ]
    assert other.lines() == ["log lines are lost: the log file cannot be written: No space left on device"]


def test_closed_stream_loses_lines_and_no_thread() -> None:
    target = Sluice()
    with writing(target) as (log,):
        target.error = ValueError("I/O operation on closed file")
        log.put(line("gone"), soon=True)
        until(lambda: log.lost == 1)
        assert log.trouble.endswith("cannot be written: I/O operation on closed file")


def test_end_does_not_wait_for_stuck_target() -> None:
    target = Sluice()
    with writing(target) as (log,):
        target.open.clear()
        log.put(line("never"), soon=True)
        until(lambda: target.entered)
        began = time.monotonic()
        log.close(0.05)
        assert time.monotonic() - began < BOUND_SECONDS / 2
        assert not target.closed


def test_broken_line_stops_no_other() -> None:
    """Line that cannot be made stops no other."""
    target = Sluice()

    def words() -> str:
        raise KeyError("account")

    with writing(target) as (log,):
        log.put(LogLine(NOON, "INFO", words))
        log.put(line("next"))
    assert target.lines() == ["a log line could not be put in words: KeyError('account')", "next"]
