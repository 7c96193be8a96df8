"""`tracker paper --replay`: play a transcript to any client of the TWS API.

Owns the listening socket and the time of the playback, which begins with the first login. Pushes are sent at
their recorded times, `speed` times as fast. A request is answered from the part of the recording played so
far, and no earlier than the recorded gateway first answered such a request. It accepts no orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from loguru import logger

from tracker.core.journal_entries import Fields
from tracker.core.message_fields import Message
from tracker.paper.connection import Connection
from tracker.paper.decode_requests import RequestError
from tracker.paper.encode_messages import current_time
from tracker.paper.encode_messages import error as error_message
from tracker.paper.faults import Faults
from tracker.paper.service import stopped_by_signals
from tracker.paper.unsupported import EMPTY, QUIET, refusal
from tracker.recordings.link_frames import MANAGED_ACCOUNTS, START_API, client_ids
from tracker.recordings.message_layouts import OLDEST_READER, as_older
from tracker.recordings.recorded_gateway import ENDS, POSITIONS, RecordedGateway
from tracker.recordings.transcript import (
    CLIENT,
    GATEWAY,
    HANDSHAKE,
    LinkClosed,
    Said,
    Transcript,
    TranscriptUnusable,
    read_transcript,
)

_NEXT_ID: Final = "9"
_REFUSED: Final = {
    "3": (1, 201, "A recording is played here; it takes no orders."),
    "4": (2, 399, "A recording is played here; it takes no orders."),
    "9": (2, 200, "No security definition has been found for the request. The recording has none."),
    "81": (1, 200, "The recording has no answer to it."),
}
"""Request without an answer -> the place of its id, and the error to send."""


class Playback:
    """Play one transcript on `port` (0: a free one); the lowest client id of it unless one is named."""

    def __init__(
        self,
        transcript: Transcript,
        *,
        host: str,
        port: int,
        speed: float,
        now: Callable[[], datetime],
        client_id: int | None = None,
    ) -> None:
        """Raises TranscriptUnusable where no login is in it, ValueError for a speed that is not above 0."""
        if not 0 < speed < float("inf"):
            raise ValueError(f"--speed {speed:g} is not above 0")
        links = client_ids(transcript.lines)
        if not links:
            raise TranscriptUnusable("no client in it logged in, so there is nothing to play")
        self.client_id = min(links.values()) if client_id is None else client_id
        self._lines = [line for line in transcript.lines if links.get(line.link) == self.client_id]
        said = [line for line in self._lines if isinstance(line, Said) and not line.blocked]
        from_gateway = [line for line in said if line.by == GATEWAY]
        greeting = next(line.fields for line in from_gateway if line.fields[0] == HANDSHAKE)
        self._version, self._greeting = int(greeting[1]), greeting[2] if len(greeting) > 2 else ""
        self._login = [
            next((line.fields for line in from_gateway if line.fields[0] == kind), (kind, "1", "1"))
            for kind in (MANAGED_ACCOUNTS, _NEXT_ID)
        ]
        self._first = next(line.at for line in said if line.by == CLIENT and line.fields[0] == START_API)
        self._due = self._first_ends(said)
        self.host, self.port, self._speed, self._now = host, port, speed, now
        self.gateway = RecordedGateway(self._lines)
        self._connections: list[Connection] = []
        self._waiting: list[tuple[Connection, Fields]] = []
        self._position = 0.0
        self._started = asyncio.Event()
        self.over = asyncio.Event()
        """Set once all lines are played."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    def _first_ends(said: list[Said]) -> dict[str, float]:
        """Return request -> when the recorded gateway first ended an answer to such a request."""
        due: dict[str, float] = {}
        asked: set[str] = set()
        for line in said:
            if line.by == CLIENT:
                asked.add(line.fields[0])
            else:
                for kind in ENDS.get(line.fields[0], ()):
                    if kind in asked:
                        due.setdefault(kind, line.at)
        return due

    async def start(self) -> None:
        """Listen; raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._keep(asyncio.create_task(self._play()))

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.close(at_once=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self) -> None:
        """Play the lines at their times."""
        await self._started.wait()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for line in self._lines:
            wait = begin + (line.at - self._first) / self._speed - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            self._position = max(self._position, line.at)
            for fields in self.gateway.apply(line):
                self._push(fields)
            self._answer_waiting()
            if isinstance(line, LinkClosed) and line.by == GATEWAY:
                for connection in self._connections:
                    connection.close()
        self.over.set()

    def _push(self, fields: Fields) -> None:
        for connection in self._connections:
            if connection.ready and (fields[0] != Message.POSITION or connection.wants_positions):
                connection.push(as_older(fields, self._version, connection.version))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, Faults(), self._answer, self._version)
        self._connections.append(connection)
        try:
            await connection.run(self._greeting)
        except asyncio.CancelledError:
            # The playback ends; a stream server would log a cancelled task as an error.
            connection.close(at_once=True)
        finally:
            self._connections.remove(connection)

    def _answer(self, connection: Connection, fields: Fields) -> Iterator[Fields]:
        kind = fields[0]
        if kind == START_API:
            if connection.version < min(self._version, OLDEST_READER):
                logger.warning(
                    "a client of version {} cannot read a recording of {}", connection.version, self._version
                )
                connection.hang_up = True
                return
            connection.client_id = int(fields[2]) if len(fields) > 2 and fields[2].isdecimal() else 0
            self._started.set()
            yield from self._login
        elif kind in self._due and self._position < self._due[kind]:
            self._waiting.append((connection, fields))
        else:
            for message in self._now_answered(connection, fields):
                yield as_older(message, self._version, connection.version)

    def _answer_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection, fields in waiting:
            if self._position < self._due[fields[0]]:
                self._waiting.append((connection, fields))
            elif connection.ready:
                for message in self._now_answered(connection, fields):
                    connection.push(as_older(message, self._version, connection.version))

    def _now_answered(self, connection: Connection, fields: Fields) -> Iterator[Fields]:
        kind = fields[0]
        if kind == Message.CURRENT_TIME:
            yield current_time(int(self._now().timestamp()))
        elif kind == "17":
            yield self._login[0]
        elif kind == "8":
            yield self._login[1]
        elif (answer := self.gateway.answer(fields)) is not None:
            connection.wants_positions = connection.wants_positions or kind == POSITIONS
            yield from answer
        elif kind in _REFUSED:
            place, code, text = _REFUSED[kind]
            request = fields[place] if place < len(fields) and fields[place].isdecimal() else "-1"
            yield error_message(int(request), code, text, connection.version)
        elif kind in EMPTY:
            yield EMPTY[kind](fields)
        elif kind not in QUIET:
            yield self._refusal(connection, fields)

    def _refusal(self, connection: Connection, fields: Fields) -> Fields:
        try:
            refused = refusal(fields)
        except RequestError as error:
            refused = error
        text = f"{refused.text} The recording has no answer to it."
        return error_message(refused.request_id, refused.code, text, connection.version)


async def serve_playback(
    path: Path,
    *,
    host: str,
    port: int,
    speed: float,
    now: Callable[[], datetime],
    tell: Callable[[str], None],
) -> None:
    """Play a transcript until SIGINT or SIGTERM; `tell` gets lines for people, the port first.

    Raises TranscriptUnusable, ValueError for the speed, OSError where the port is taken.
    """
    playback = Playback(read_transcript(path), host=host, port=port, speed=speed, now=now)
    ending = stopped_by_signals()
    await playback.start()
    try:
        tell(f"paper gateway on {playback.host}:{playback.port}, playing {path.name}")
        tell(f"what client {playback.client_id} saw, from the first login on; it takes no orders")
        waits = [asyncio.ensure_future(each.wait()) for each in (playback.over, ending)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if playback.over.is_set():
            tell("the recording is over; requests are still answered")
        await ending.wait()
        for each in waits:
            each.cancel()
    finally:
        await playback.stop()
