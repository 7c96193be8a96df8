"""What the service manager is told: over a real datagram socket, by the real daemon."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon.test_end_to_end import play
from tests.support.daemon_rig import Rig
from tracker.daemon.systemd import Pulse, SystemdNotifier


class Listener:
    """Listen as systemd does."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(address)
        self.lines: list[str] = []

    def close(self) -> None:
        self._socket.close()

    def hear(self) -> list[str]:
        """Return every line so far, without waiting."""
        while True:
            try:
                self.lines += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.lines

    def count(self, line: str) -> int:
        return self.hear().count(line)


@contextmanager
def manager(address: str) -> Iterator[Listener]:
    listening = Listener(address)
    try:
        yield listening
    finally:
        listening.close()


def test_manager_is_notified_until_the_end(tmp_path: Path) -> None:
    """READY once it answers, the state of the link, a beat twice a period, STOPPING at SIGTERM."""

    async def story(rig: Rig) -> None:
        rig.write({})
        await rig.start(env={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}, ready=False)
        await rig.until(lambda: listening.count("READY=1"))
        assert (await rig.status())["running"] is True
        await rig.until(rig.subscribed)
        before = listening.count("WATCHDOG=1")
        await rig.until(lambda: listening.count("WATCHDOG=1") >= before + 3)
        assert "STOPPING=1" not in listening.hear()
        assert await rig.stop() == 0

    address = str(tmp_path / "notify.sock")
    with manager(address) as listening:
        play(tmp_path, story)
        lines = listening.hear()
    assert lines.count("READY=1") == lines.count("STOPPING=1") == 1
    assert "STATUS=link up: connected with 1 account" in lines
    assert lines.index("READY=1") < lines.index("STATUS=link up: connected with 1 account")
    assert "WATCHDOG=1" not in lines[lines.index("STOPPING=1") :]


def test_no_watchdog_means_no_beat(tmp_path: Path) -> None:
    """Without a watchdog no beat is sent."""

    async def story(rig: Rig) -> None:
        rig.write({})
        await rig.start(env={"NOTIFY_SOCKET": address})
        assert await rig.stop() == 0

    address = str(tmp_path / "notify.sock")
    with manager(address) as listening:
        play(tmp_path, story)
        assert listening.count("READY=1") == 1
        assert listening.count("WATCHDOG=1") == 0


def test_failed_start_is_never_ready(tmp_path: Path) -> None:
    """A start that fails is not reported as ready."""

    async def story(rig: Rig) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", rig.status_port))
            taken.listen()
            await rig.start(env={"NOTIFY_SOCKET": address}, ready=False)
            assert await rig.ended() == 1

    address = str(tmp_path / "notify.sock")
    with manager(address) as listening:
        play(tmp_path, story)
        assert listening.count("READY=1") == 0


def test_absent_manager_does_not_matter(tmp_path: Path) -> None:
    """A manager that is gone is no matter."""

    async def story(rig: Rig) -> None:
        rig.write({})
        await rig.start(env={"NOTIFY_SOCKET": str(tmp_path / "gone.sock")})
        assert await rig.stop() == 0
        assert "the service manager does not accept READY=1" in rig.log()

    play(tmp_path, story)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's own")
def test_an_abstract_socket_is_told_too() -> None:
    name = f"order-tracker-test-{os.getpid()}"
    with manager(f"\0{name}") as listening:
        SystemdNotifier({"NOTIFY_SOCKET": f"@{name}"}, 1).status("one\nREADY=1")
        assert listening.hear() == ["STATUS=one READY=1"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2500000"}, 2.5),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "7"}, 2.5),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "8"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "1"}, None),
        ({"WATCHDOG_USEC": "2500000"}, None),
    ],
)
def test_watchdog_counts_for_this_process_only(environ: dict[str, str], seconds: float | None) -> None:
    """A watchdog counts only where this process is watched."""
    assert SystemdNotifier(environ, 7).watchdog_seconds == seconds


def test_pump_is_alive_while_it_works() -> None:
    """A pump is alive while it looks and decides."""
    looks, cursor, behind = 0, 0, False
    pulse = Pulse(looks=lambda: looks, cursor=lambda: cursor, behind=lambda: behind)
    assert pulse.beats()
    assert not pulse.beats(), "no look since"
    looks = 1
    assert pulse.beats()
    looks, behind = 2, True
    assert pulse.beats(), "a frame waits, for the first time"
    looks, cursor = 3, 8
    assert pulse.beats(), "another one waits"
    looks = 4
    assert not pulse.beats(), "the same one waits still"
    looks, behind = 5, False
    assert pulse.beats()


def test_hanging_store_ends_the_beats(tmp_path: Path) -> None:
    """As a network disk does: the loop turns, the status answers, and yet no fill would reach its alert."""

    async def story(rig: Rig) -> None:
        rig.write({})
        env = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"}
        await rig.start(env=env, module="tests.support.hanging")
        await rig.until(lambda: listening.count("WATCHDOG=1") >= 2)
        (tmp_path / "hang").touch()
        await rig.logged("the pump makes no progress")
        beats = listening.count("WATCHDOG=1")
        looks = asyncio.get_running_loop().time() + 3
        await rig.until(lambda: asyncio.get_running_loop().time() > looks)
        assert (await rig.status())["running"] is True
        assert listening.count("WATCHDOG=1") == beats

    address = str(tmp_path / "notify.sock")
    with manager(address) as listening:
        play(tmp_path, story)
