"""Answer GET over HTTP/1.1 on the status port, for curl, health checks and Prometheus.

Owns which requests are served and in what form. It only reads: a method other than GET or HEAD is not even
read to its end, and what a web page could send through a browser is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import h11

from tracker.status.dispatcher import Answered
from tracker.status.prometheus import exposition
from tracker.status.protocol import Answer, CommandError, Request, encode_error, is_loopback

LONGEST_HEAD: Final = 16 * 1024
"""Bytes of request line and headers that are read at most."""

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class _Page:
    command: str
    well: Callable[[Answer], bool] = lambda answer: True
    """Whether the answer is good news; else the status is 503, which health checks understand."""


_PAGES: Final[Mapping[str, _Page]] = {
    "/status": _Page("status"),
    "/health": _Page("health", lambda answer: answer.get("healthy") is not False),
    "/ready": _Page("ready", lambda answer: answer.get("ready") is True),
    "/metrics": _Page("metrics"),
}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Hold what is sent back."""

    status: HTTPStatus
    body: bytes
    content_type: str = _JSON


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        self.reply = HttpResponse(status, encode_error(code, message))
        super().__init__(message)


def is_read(first_line: bytes) -> bool:
    """Tell whether a request may be read any further than its first line."""
    return first_line.startswith((b"GET ", b"HEAD "))


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Hold a request whose head was read, or the refusal of what makes no sense as one."""

    connection: h11.Connection
    what: h11.Request | HttpResponse
    head_only: bool


async def read(first_line: bytes, reader: asyncio.StreamReader) -> HttpRequest:
    """Read the rest of a request's head; there is one request per connection.

    Raises ConnectionError where the peer ends before its request does. The caller bounds the time.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
    what: h11.Request | HttpResponse
    try:
        connection.receive_data(first_line)
        while (event := connection.next_event()) is h11.NEED_DATA:
            data = await reader.read(4096)
            if not data:
                raise ConnectionResetError("the peer ended within its request")
            connection.receive_data(data)
    except h11.RemoteProtocolError as error:
        what = HttpResponse(HTTPStatus(error.error_status_hint), encode_error("bad_request", str(error)))
    else:
        assert isinstance(event, h11.Request), "a server's first event is a request"
        what = event
    return HttpRequest(connection, what, first_line.startswith(b"HEAD "))


async def respond(asked: HttpRequest, run: Callable[[Request], Awaitable[Answered]]) -> bytes:
    """Return the bytes of the response.

    `run` answers a command, the token included as `token` if the request had one; raises CommandError.
    """
    if isinstance(asked.what, HttpResponse):
        reply = asked.what
    else:
        try:
            reply = await _reply(asked.what, run)
        except _Refused as refused:
            reply = refused.reply
    return _encode(asked.connection, reply, asked.head_only)


async def _reply(request: h11.Request, run: Callable[[Request], Awaitable[Answered]]) -> HttpResponse:
    headers = _headers(request)
    _check_sender(headers)
    page = _PAGES.get(_path_of(request.target))
    if page is None:
        raise _Refused(HTTPStatus.NOT_FOUND, "unknown_page", f"there are only {', '.join(_PAGES)}")
    asked: dict[str, str] = {"command": page.command}
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        asked["token"] = token.strip()
    try:
        answer, line = await run(asked)
    except CommandError as error:
        status = _STATUS.get(error.code, HTTPStatus.SERVICE_UNAVAILABLE)
        raise _Refused(status, error.code, error.message) from None
    status = HTTPStatus.OK if page.well(answer) else HTTPStatus.SERVICE_UNAVAILABLE
    if page.command == "metrics":
        return HttpResponse(status, exposition(answer).encode(), _TEXT)
    return HttpResponse(status, line)


_STATUS: Final = {
    "token_required": HTTPStatus.UNAUTHORIZED,
    "token_wrong": HTTPStatus.UNAUTHORIZED,
    "unknown_command": HTTPStatus.NOT_FOUND,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}


def _path_of(target: bytes) -> str:
    try:
        return urlsplit(target).path.decode("ascii", "replace")
    except ValueError as error:
        raise _Refused(
            HTTPStatus.BAD_REQUEST, "bad_request", f"the address in the first line cannot be read: {error}"
        ) from None


def _headers(request: h11.Request) -> dict[str, str]:
    """Return the headers by lower-case name; where one that decides is there twice, either may be meant."""
    found: dict[str, str] = {}
    for name, value in request.headers:
        key = name.decode("ascii")
        if key in found and key in ("host", "origin", "authorization"):
            raise _Refused(HTTPStatus.BAD_REQUEST, "bad_request", f"the header {key} is there twice")
        found[key] = value.decode("latin-1")
    return found


def _check_sender(headers: Mapping[str, str]) -> None:
    """Refuse what a web page sends: by its own origin, or by a name that it points at this machine."""
    if "origin" in headers:
        raise _Refused(HTTPStatus.FORBIDDEN, "forbidden", "web pages are not served (Origin)")
    # Browsers say this of requests that carry no Origin, such as an image's.
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise _Refused(HTTPStatus.FORBIDDEN, "forbidden", "web pages are not served (Sec-Fetch-Site)")
    if not _names_loopback(headers.get("host", "")):
        raise _Refused(
            HTTPStatus.FORBIDDEN, "forbidden", "ask by a loopback name: 127.0.0.1, localhost or [::1] (Host)"
        )


def _names_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


def _encode(connection: h11.Connection, reply: HttpResponse, head_only: bool) -> bytes:
    headers = [
        ("Content-Type", reply.content_type),
        ("Content-Length", str(len(reply.body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Connection", "close"),
    ]
    response = h11.Response(status_code=reply.status, headers=headers, reason=reply.status.phrase)
    return (connection.send(response) or b"") + (b"" if head_only else reply.body)
