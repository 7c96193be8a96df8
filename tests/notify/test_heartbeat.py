"""The dead man's switch: called each minute while capture is proven, silent within 3 minutes of a fault."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from loguru import logger

from tests.support.free_ports import free_port
from tests.support.quick_heartbeat import PATH, Monitor
from tracker.notify.heartbeat import Heartbeat, full_disk, get

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


class Over(Exception):
    """The time that a test plays is over."""


class FakeClock:
    """Let time pass only where somebody sleeps, up to an end."""

    def __init__(self, minutes: float) -> None:
        self.now = NOON
        self.end = NOON + timedelta(minutes=minutes)

    def read(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if self.now >= self.end:
            raise Over


def play(
    minutes: float,
    url: str,
    withheld: Callable[[datetime], str] = lambda moment: "",
    folders: tuple[Path, ...] = (),
) -> tuple[Heartbeat, list[datetime]]:
    """Let a heartbeat run for so long; returns it, and when it was sent."""
    clock = FakeClock(minutes)
    sent: list[datetime] = []

    def note() -> None:
        last = heartbeat.figures()["last_sent_at"]
        if last is not None and datetime.fromisoformat(last) not in sent:
            sent.append(datetime.fromisoformat(last))

    def asked(moment: datetime) -> str:
        note()
        return withheld(moment)

    heartbeat = Heartbeat(url, folders, asked, now=clock.read, sleep=clock.sleep)
    with pytest.raises(Over):
        asyncio.run(heartbeat.run())
    note()
    return heartbeat, sent


@contextmanager
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="INFO", format="{message}")
    try:
        yield lines
    finally:
        logger.remove(sink)


def test_called_each_minute() -> None:
    with Monitor() as monitor:
        heartbeat, _ = play(4.5, monitor.url)
    assert monitor.calls == [PATH] * 5
    figures = heartbeat.figures()
    assert (figures["sent"], figures["failed"], figures["withheld"], figures["trouble"]) == (5, 0, "", "")
    assert figures["last_sent_at"] == "2026-11-18T12:04:00.000000+00:00"


def test_silent_while_capture_is_unproven() -> None:
    """Silent from the minute of the fault on, called again a second after its end; both are logged once."""
    begin, end = NOON + timedelta(seconds=90), NOON + timedelta(seconds=400)

    def withheld(moment: datetime) -> str:
        return "link waiting: gone" if begin <= moment < end else ""

    with Monitor() as monitor, logged() as lines:
        _, sent = play(9, monitor.url, withheld)
    assert [int((moment - NOON).total_seconds()) for moment in sent] == [0, 60, 400, 460, 520]
    assert lines == [
        "notify.heartbeat_url is called: capture is proven\n",
        "notify.heartbeat_url is not called: link waiting: gone\n",
        "notify.heartbeat_url is called: capture is proven\n",
    ]


def test_silent_while_a_disk_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tracker.notify.heartbeat.LEAST_ROOM", 1 << 62)
    with Monitor() as monitor:
        heartbeat, _ = play(3, monitor.url, folders=(tmp_path,))
    assert monitor.calls == []
    assert heartbeat.figures()["withheld"] == f"the disk of {tmp_path} is full"
    assert full_disk([tmp_path / "gone"]).endswith("cannot be looked at: No such file or directory")


def test_hung_disk_sends_nothing_late(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk that hangs holds the call up; when it answers at last, the call is not made."""
    answers, looked = threading.Event(), threading.Event()

    def hang(folders: object) -> str:
        answers.wait(20)
        looked.set()
        return ""

    monkeypatch.setattr("tracker.notify.heartbeat._CALL_SECONDS", 0.05)
    monkeypatch.setattr("tracker.notify.heartbeat.full_disk", hang)
    with Monitor() as monitor:
        heartbeat, _ = play(2.5, monitor.url, folders=(tmp_path,))
        (beat,) = (thread for thread in threading.enumerate() if thread.name == "heartbeat")
        answers.set()
        beat.join(20)
    assert looked.is_set()
    assert monitor.calls == []
    assert (heartbeat.figures()["sent"], heartbeat.figures()["failed"]) == (0, 3)


def test_failing_service_is_logged_once() -> None:
    """Neither log nor status holds the url; it is called each minute all the same."""
    with Monitor() as monitor, logged() as lines:
        monitor.code = 503
        heartbeat, _ = play(2.5, monitor.url)
    assert len(monitor.calls) == 3
    assert lines[1:] == ["notify.heartbeat_url: the call failed and is made again: HTTP status 503\n"]
    figures = heartbeat.figures()
    assert (figures["sent"], figures["failed"], figures["trouble"]) == (0, 3, "HTTP status 503")
    assert "sesame" not in f"{lines}{figures}"


def test_reasons_do_not_hold_the_url() -> None:
    """A port where nothing listens, one that is no web server, and an address that cannot be sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        async def answer() -> str:
            asking = asyncio.create_task(asyncio.to_thread(get, f"http://127.0.0.1:{port}/secret"))
            connection, _ = await asyncio.to_thread(listening.accept)
            connection.recv(1000)
            connection.sendall(b"220 mail\r\n")
            connection.close()
            return await asking

        assert "does not answer as a web server" in asyncio.run(answer())
    assert get(f"http://127.0.0.1:{free_port()}/secret") == "Connection refused"
