"""The talk with the daemon: it follows, misses nothing unsaid, comes back by itself, and asks sparingly."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.facts import ACCOUNT
from tests.support.free_ports import free_port
from tests.support.status_rig import until
from tracker.clock import now
from tracker.status.client import NotReachable
from tracker.status.events import EventFeed, subscription
from tracker.status.protocol import Answer, CommandError, Request, SocketCommand, always
from tracker.status.server import Limits, StatusServer
from tracker.watch.connection_to_daemon import DaemonConnection
from tracker.watch.screen_model import ScreenModel
from tracker.watch.sync import DaemonSync

TOKEN = "the-token"
LIFE = datetime(2025, 11, 18, 14, 0, tzinfo=UTC).isoformat()
LATER_LIFE = datetime(2025, 11, 18, 15, 0, tzinfo=UTC).isoformat()


class Backend:
    """Stand for the daemon behind its real socket: made-up answers, a real feed."""

    def __init__(self, port: int, life: str = LIFE, capacity: int = 1000, host: str = "127.0.0.1") -> None:
        self.feed = EventFeed(capacity)
        self.asked: Counter[str] = Counter()
        self.life = life
        self.fills: list[dict[str, Any]] = []
        self._host = host
        self._port = port
        self.server = self._make()

    def _make(self) -> StatusServer:
        commands = {
            "status": SocketCommand(self._answer(lambda: {"started_at": self.life, "subscribed": True}), ""),
            "alerts": SocketCommand(self._answer(lambda: {"alerts": [], "total": 0}), ""),
            "inbox": SocketCommand(
                self._answer(lambda: {"counts": {}, "needs_you": [], "undecodable": []}), ""
            ),
            "fills": SocketCommand(
                self._answer(lambda: {"fills": list(self.fills), "total": len(self.fills)}), ""
            ),
            "assign": SocketCommand(self._answer(lambda: {"done": True}), "", always),
        }
        streams = {"subscribe": subscription(self.feed)}
        return StatusServer(self._host, self._port, commands, TOKEN, Limits(closing_seconds=0.2), streams)

    def _answer(self, answer: Callable[[], Answer]) -> Callable[[Request], Any]:
        async def run(request: Request) -> Answer:
            self.asked[str(request["command"])] += 1
            return answer()

        return run

    def fill(self, number: int) -> None:
        """Let a fill happen: it is in the answers, and reported."""
        row = {"exec_id": f"e{number}", "account": ACCOUNT, "symbol": "NVDA", "side": "BUY"}
        self.fills.append(row)
        self.feed.publish({"event": "fill", **row})

    async def __aenter__(self) -> Backend:
        await self.server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.server.close()

    async def drop(self) -> None:
        """End all connections and listen again, with the same life and events."""
        await self.server.close()
        self.server = self._make()
        await self.server.start()


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[tuple[ScreenModel, DaemonSync]]:
    model = ScreenModel(now())
    connection = DaemonConnection("127.0.0.1", port, Path("there-is-none"))
    conversation = DaemonSync(connection, model, now=now, changed=lambda: None)
    task = asyncio.create_task(conversation.run())
    try:
        yield model, conversation
        assert not task.done(), "it talks for as long as the screen is there"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def rows(model: ScreenModel) -> set[str]:
    return {fill.exec_id for fill in model.fills}


def notice(model: ScreenModel) -> str:
    said = model.notice(now())
    return "" if said is None else said.text


def current(model: ScreenModel) -> bool:
    return bool(model.status) and not model.stale and model.away is None


def test_it_reads_everything_and_then_follows() -> None:
    async def story() -> None:
        port = free_port()
        async with Backend(port) as daemon, talking(port) as (model, _):
            daemon.fill(1)
            await until(lambda: current(model) and rows(model) == {"e1"})
            daemon.fill(2)
            await until(lambda: current(model) and rows(model) == {"e1", "e2"})
            assert notice(model) == ""

    asyncio.run(story())


def test_waits_for_missing_daemon() -> None:
    """A daemon that is not there yet is waited for."""

    async def story() -> None:
        port = free_port()
        async with talking(port) as (model, _):
            await until(lambda: model.away is not None)
            assert model.away is not None
            assert "start it with `tracker run`" in model.away.reason
            async with Backend(port):
                await until(lambda: current(model))

    asyncio.run(story())


def test_resumes_behind_last_event() -> None:
    """After a lost connection it continues after the last event."""

    async def story() -> None:
        port = free_port()
        async with Backend(port) as daemon, talking(port) as (model, conversation):
            daemon.fill(1)
            await until(lambda: current(model) and model.last_seq == 1)
            daemon.feed.publish({"event": "written", "seconds": 0.5})
            await until(lambda: len(model.samples) == 1)
            await daemon.server.close()
            await until(lambda: model.away is not None)
            daemon.feed.publish({"event": "written", "seconds": 0.7})
            daemon.fill(2)
            await daemon.drop()
            conversation.refresh()
            await until(lambda: current(model) and rows(model) == {"e1", "e2"})
            assert list(model.samples) == [0.5, 0.7], "none is told twice, none is left out"
            assert "is back" in notice(model)
            assert "missed" not in notice(model)

    asyncio.run(story())


def test_forgotten_events_are_reported() -> None:
    """Events that were forgotten meanwhile are said and everything is read again."""

    async def story() -> None:
        port = free_port()
        async with Backend(port, capacity=3) as daemon, talking(port) as (model, conversation):
            daemon.fill(1)
            await until(lambda: current(model) and model.last_seq == 1)
            await daemon.server.close()
            await until(lambda: model.away is not None)
            for number in range(2, 10):
                daemon.fill(number)
            await daemon.drop()
            conversation.refresh()
            await until(lambda: current(model) and len(model.fills) == 9)
            assert notice(model).startswith("missed 5 events")

    asyncio.run(story())


def test_restarted_daemon_from_first_event() -> None:
    """A daemon that was started again is followed from its first event."""

    async def story() -> None:
        port = free_port()
        async with talking(port) as (model, conversation):
            async with Backend(port) as daemon:
                for number in range(5):
                    daemon.fill(number)
                await until(lambda: current(model) and model.last_seq == 5)
            await until(lambda: model.away is not None)
            async with Backend(port, LATER_LIFE) as daemon:
                # More events than the earlier life had, so that its number alone shows nothing.
                for number in range(9):
                    daemon.feed.publish({"event": "written", "seconds": number})
                conversation.refresh()
                await until(lambda: current(model) and len(model.samples) == 9)
                assert not model.fills
                assert "restarted" in notice(model)

    asyncio.run(story())


def test_restart_behind_open_stream() -> None:
    """A proxy, such as an SSH tunnel, may keep a dead stream open."""

    async def story() -> None:
        port = free_port()
        async with Backend(port) as daemon, talking(port) as (model, conversation):
            await until(lambda: current(model))
            daemon.life = LATER_LIFE
            conversation.refresh()
            await until(lambda: "restarted" in notice(model))

    asyncio.run(story())


def test_refusal_is_shown_and_retried() -> None:
    """A refusal is shown and tried again."""

    async def story() -> None:
        port = free_port()
        async with Backend(port) as daemon, talking(port) as (model, conversation):
            await until(lambda: current(model))
            await daemon.server.close()
            commands = {"status": SocketCommand(refuse, "")}
            closed = StatusServer("127.0.0.1", port, commands, TOKEN)
            await closed.start()
            conversation.refresh()
            await until(lambda: model.away is not None and "the tracker refused: busy" in model.away.reason)
            await closed.close()

    asyncio.run(story())


async def refuse(request: Request) -> Answer:
    raise CommandError("busy", "busy; try again")


def test_event_flood_asks_few_questions() -> None:
    """A flood of events asks few questions."""

    async def story() -> None:
        port = free_port()
        async with Backend(port) as daemon, talking(port) as (model, _):
            await until(lambda: current(model))
            before = daemon.asked["fills"]
            begun = asyncio.get_running_loop().time()
            for number in range(2000):
                daemon.fill(number)
                await asyncio.sleep(0)
            await until(lambda: current(model) and model.last_seq == 2000)
            took = asyncio.get_running_loop().time() - begun
            assert len(model.fills) == 200
            assert daemon.asked["fills"] - before <= 2 + took / 0.1

    asyncio.run(story())


@asynccontextmanager
async def saying(sent: bytes | None) -> AsyncIterator[DaemonConnection]:
    """Listen as something else than a tracker: it answers these bytes and closes, None keeps silent."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if sent is None:
                await reader.read()
            else:
                await reader.readline()
                writer.write(sent)
                writer.close()
                await writer.wait_closed()
        except ConnectionError:
            # The client gave up, as it should.
            return
        finally:
            writer.transport.abort()
            ended.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield DaemonConnection("127.0.0.1", server.sockets[0].getsockname()[1], Path("there-is-none"))
        await ended.wait()
    finally:
        server.close()


def test_silent_daemon_times_out() -> None:
    """A silent daemon is given up after a while."""

    async def story() -> None:
        async with saying(None) as connection:
            with pytest.raises(NotReachable, match=r"gave no answer within 0\.1 s"):
                await connection.ask({"command": "status"}, 0.1)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "is not the tracker"),
        (b'{"ok": false, "error": "old"}\n', "old"),
    ],
)
def test_malformed_answer_is_explained(sent: bytes, message: str) -> None:
    """What is no answer is said in words."""

    async def story() -> None:
        async with saying(sent) as connection:
            with pytest.raises((NotReachable, CommandError), match=message):
                await connection.ask({"command": "status"})

    asyncio.run(story())


def test_change_sends_current_token(tmp_path: Path) -> None:
    """A change carries the token as it is now."""

    async def story() -> None:
        port = free_port()
        file = tmp_path / "status.token"
        connection = DaemonConnection("127.0.0.1", port, file)
        async with Backend(port):
            with pytest.raises(CommandError, match="cannot be read; run `tracker watch` as"):
                await connection.change({"command": "assign"})
            file.write_text("another\n")
            with pytest.raises(CommandError, match="makes one at each start; read its file again"):
                await connection.change({"command": "assign"})
            file.write_text(f"{TOKEN}\n")
            assert (await connection.change({"command": "assign"}))["done"]

    asyncio.run(story())


def test_token_on_every_remote_request(tmp_path: Path) -> None:
    """Beyond loopback every request carries the token."""

    async def story() -> None:
        port = free_port()
        file = tmp_path / "status.token"
        file.write_text(TOKEN)
        connection = DaemonConnection("0.0.0.0", port, file)
        async with Backend(port, host="0.0.0.0") as daemon:
            assert (await connection.ask({"command": "status"}))["started_at"] == LIFE
            async with connection.follow(0) as events:
                daemon.fill(1)
                assert (await anext(events))["exec_id"] == "e1"

    asyncio.run(story())
