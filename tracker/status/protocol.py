"""The form of requests and answers: one line each, JSON out, a word or JSON in.

Owns parsing, encoding and the form of errors. It never touches a socket and never decides who may ask.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from tracker.core.model import JsonValue

SCHEMA: Final = 1
"""The version of the answers; fields are added, none removed."""

Request: TypeAlias = Mapping[str, JsonValue]
"""The command under `command`, and its arguments beside it."""
Answer: TypeAlias = Mapping[str, JsonValue]


class EncodedAnswer(dict[str, JsonValue]):
    """Hold an answer for many clients with its line, so that it is encoded only once."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.line = encode(answer)


with_token: ContextVar[bool] = ContextVar("with_token", default=False)
"""Whether the client that is being answered has shown the token; its questions go before those of others."""

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_]*")


class CommandError(Exception):
    """Refuse a request; the code is for programs, the message names the cause and the next step."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class BadRequest(CommandError):
    """Refuse a line that is not a request; its client does not speak this protocol, so the connection
    ends.
    """

    def __init__(self, message: str) -> None:
        super().__init__("bad_request", message)


def never(request: Request) -> bool:
    """Say that a command only reads."""
    return False


def always(request: Request) -> bool:
    """Say that a command changes something whatever its arguments are."""
    return True


def with_argument(name: str) -> Callable[[Request], bool]:
    """Say that a command changes something where this argument is given and not false."""

    def changes(request: Request) -> bool:
        return bool(request.get(name))

    return changes


@dataclass(frozen=True, slots=True)
class SocketCommand:
    """Declare a command: what answers it, in one line what it does, and when it changes something."""

    answer: Callable[[Request], Awaitable[Answer]]
    summary: str
    changes: Callable[[Request], bool] = never
    seconds: float | None = None
    """Seconds that an answer may take, where the limit differs from the other commands'."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Declare a command that answers with one line after another until the client disconnects."""

    events: Callable[[Request], AsyncGenerator[Answer, None]]
    """Raises CommandError before its first event where the request is refused."""
    summary: str


def parse(line: bytes) -> Request:
    """Return the request in a line; raises BadRequest where the line is not a request."""
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the request is not UTF-8 (byte {error.start})") from None
    if not text.startswith("{"):
        if not _WORD.fullmatch(text):
            raise BadRequest(
                f"{quoted(text)} is not a request; send one word, or a JSON object with a command"
            )
        return {"command": text}
    try:
        request = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadRequest("the JSON is nested too deeply") from None
    except ValueError as error:
        raise BadRequest(f"the JSON cannot be read: {error}") from None
    if not isinstance(request.get("command"), str):
        raise BadRequest("the JSON object has no command; add one, as in " + '{"command": "status"}')
    return dict(request)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def encode(answer: Answer) -> bytes:
    """Return the line of a successful answer; raises ValueError or TypeError where it is not JSON."""
    return _line({"ok": True, "schema": SCHEMA, **answer})


def encode_error(code: str, message: str) -> bytes:
    """Return the line of a refusal."""
    return _line({"ok": False, "schema": SCHEMA, "error": {"code": code, "message": message}})


def _line(value: Mapping[str, JsonValue]) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a socket bound there; the only name trusted is localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def quoted(text: str) -> str:
    """Quote what a client sent, on one line and shortened."""
    shown = ascii(text)
    return shown if len(shown) <= 42 else f"{shown[:40]}..."
