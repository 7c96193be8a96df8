"""Decide who may ask what, and run it.

Owns the table of commands, the token check and the counts of refusals and failures. It never touches a
socket: line protocol, streams and HTTP all pass through here, so that none of them bypasses the token.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from typing import NamedTuple

from loguru import logger

from tracker.core.model import JsonValue
from tracker.status.arguments import without_arguments
from tracker.status.protocol import (
    Answer,
    CommandError,
    EncodedAnswer,
    Request,
    SocketCommand,
    Stream,
    encode,
    encode_error,
    quoted,
)
from tracker.terminal import nearest


class Answered(NamedTuple):
    """Hold an answer and its encoded line."""

    answer: Answer
    line: bytes


class Dispatcher:
    """Run commands for clients that are allowed to ask."""

    def __init__(
        self,
        commands: Mapping[str, SocketCommand],
        streams: Mapping[str, Stream],
        token: str,
        *,
        guarded: bool,
        answer_seconds: float,
    ) -> None:
        """Take the commands; with `guarded` each needs the token. ping, help and health are always there."""
        self._commands = {
            "ping": SocketCommand(without_arguments(_pong), "say that the tracker answers"),
            "help": SocketCommand(without_arguments(self._help), "list the commands"),
            "health": SocketCommand(without_arguments(_healthy), "say that the tracker answers"),
            **commands,
        }
        self._streams = dict(streams)
        self._token = token.encode()
        self._guarded = guarded
        self._answer_seconds = answer_seconds
        self._requests = 0
        self._refused = 0
        self._failed = 0

    def figures(self) -> dict[str, JsonValue]:
        """Return counts since the start."""
        return {
            "requests_total": self._requests,
            "refused_requests_total": self._refused,
            "internal_errors_total": self._failed,
        }

    def refused(self) -> None:
        """Count a request that was refused before it reached the dispatcher."""
        self._refused += 1

    async def answer(self, request: Request) -> bytes:
        """Return the line that answers a request, an error included."""
        try:
            return (await self.run(request)).line
        except CommandError as error:
            return encode_error(error.code, error.message)

    async def run(self, request: Request) -> Answered:
        """Run a command; raises CommandError, also for a bug in the command, which is logged and counted."""
        self._requests += 1
        name = str(request["command"])
        try:
            command = self._find(name, request)
            answer = await self._within_bounds(name, command, request)
            return Answered(answer, answer.line if isinstance(answer, EncodedAnswer) else encode(answer))
        except Exception as error:
            raise self.refusal(name, error) from None

    def stream(self, request: Request) -> Stream | None:
        """Return the requested stream, None where the command is not a stream; raises CommandError."""
        stream = self._streams.get(str(request["command"]))
        if stream is not None:
            self._requests += 1
            if self._guarded:
                self._check_token(request)
        return stream

    def refusal(self, name: str, error: Exception) -> CommandError:
        """Count what ended a command, and return the error for its client."""
        if isinstance(error, CommandError):
            self._refused += 1
            return error
        # A bug in one command must not take the socket away from the others.
        self._failed += 1
        logger.opt(exception=error).error("the command {} failed", name)
        return CommandError("internal", "the command failed; the tracker's log says why")

    def _find(self, name: str, request: Request) -> SocketCommand:
        if self._guarded:
            self._check_token(request)
        command = self._commands.get(name)
        if command is None:
            known = [*self._commands, *self._streams]
            raise CommandError(
                "unknown_command",
                f"no command {quoted(name)}; the nearest known one is {nearest(name, known)!r}",
            )
        if command.changes(request) and not self._guarded:
            self._check_token(request)
        return command

    async def _within_bounds(self, name: str, command: SocketCommand, request: Request) -> Answer:
        seconds = command.seconds or self._answer_seconds
        bound = asyncio.timeout(seconds)
        try:
            async with bound:
                return await command.answer(request)
        except TimeoutError:
            if bound.expired():
                raise CommandError("timeout", f"{name} took longer than {seconds:g} s") from None
            raise

    def has_token(self, request: Request) -> bool:
        """Return whether a request carries this daemon's token; False if the daemon has none."""
        given = request.get("token")
        return (
            isinstance(given, str)
            and bool(self._token)
            and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token)
        )

    def _check_token(self, request: Request) -> None:
        if not isinstance(request.get("token"), str):
            raise CommandError(
                "token_required", "this needs the token: add the content of status.token_file as token"
            )
        if not self.has_token(request):
            raise CommandError(
                "token_wrong",
                "the token is not the running tracker's, which makes one at each start; read its file again",
            )

    async def _help(self, request: Request) -> Answer:
        summaries = {name: command.summary for name, command in self._commands.items()}
        summaries |= {name: stream.summary for name, stream in self._streams.items()}
        return {"commands": dict(sorted(summaries.items()))}


async def _pong(request: Request) -> Answer:
    return {"pong": True}


async def _healthy(request: Request) -> Answer:
    return {"healthy": True}
