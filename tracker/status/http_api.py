"""Answer GET over HTTP/1.1 on the status port: the page in a browser, curl, health checks and Prometheus.

Owns which requests are served and in what form. It only reads: a request with a method other than GET or HEAD
is not even read to its end, and anything that a web page of another origin could send through a browser is
refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import SplitResult, parse_qs, urlsplit

import h11

from tracker.core.model import JsonValue
from tracker.status.dispatcher import Answered
from tracker.status.page_access import PageAccess
from tracker.status.prometheus import exposition
from tracker.status.protocol import Answer, CommandError, Request, encode_error, is_loopback
from tracker.status.web_page import PAGE_HEADERS, page

LONGEST_HEAD: Final = 16 * 1024
"""Bytes of request line and headers that are read at most."""

FORMER: Final = "/internal/order-tracking"
"""The pages of the service that this one replaces; COMING_FROM.md maps them."""

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class _Page:
    command: str
    well: Callable[[Answer], bool] = lambda answer: True
    """Whether the answer means success; otherwise the status is 503, which health checks understand."""
    fields: tuple[str, ...] = ()
    """The only fields that are sent, where the page is one of the earlier service's."""
    arguments: tuple[str, ...] = ()
    """The arguments that the address may hold for the command."""
    instead: str = ""
    """The command to use in place of a POST."""


_PAGES: Final[Mapping[str, _Page]] = {
    "/status": _Page("status"),
    "/health": _Page("health", lambda answer: answer.get("healthy") is not False),
    "/ready": _Page("ready", lambda answer: answer.get("ready") is True),
    "/metrics": _Page("metrics"),
    "/page.json": _Page("page"),
    FORMER: _Page(
        "status",
        fields=("running", "subscribed", "last_polled_at", "stats"),
        instead="`tracker run` starts the tracker, `tracker status` shows how it is",
    ),
    f"{FORMER}/reconcile": _Page(
        "reconcile",
        fields=("orders_examined", "fill_events_processed", "timestamp"),
        instead="`tracker reconcile --apply` compares and repairs",
    ),
    f"{FORMER}/test": _Page(
        "test",
        fields=("status", "payload"),
        arguments=("symbol", "side", "quantity", "strike", "right", "expiry", "con_id", "order_ref", "alert"),
        instead="`tracker test --symbol SYMBOL` tries a made-up fill",
    ),
}
_EVENTS: Final = "/events"
_MOST_DIGITS: Final = 18
"""The most digits of an event's number; Python refuses to read one of thousands of digits."""
_HTML: Final = "text/html; charset=utf-8"
_PLAIN: Final = "text/plain; charset=utf-8"
_Headers: TypeAlias = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Hold a response."""

    status: HTTPStatus
    body: bytes
    content_type: str = _JSON
    headers: _Headers = ()


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        self.reply = HttpResponse(status, encode_error(code, message))
        super().__init__(message)


def is_read(first_line: bytes) -> bool:
    """Return whether a request may be read any further than its first line."""
    return first_line.startswith((b"GET ", b"HEAD ", f"POST {FORMER}".encode()))


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Hold a request whose head was read, or the refusal of an invalid one."""

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


async def respond(
    asked: HttpRequest, run: Callable[[Request], Awaitable[Answered]], access: PageAccess
) -> bytes:
    """Return the bytes of the response.

    `run` answers a command, the token included as `token` if the request had one; raises CommandError.
    """
    if isinstance(asked.what, HttpResponse):
        reply = asked.what
    else:
        try:
            reply = await _reply(asked.what, run, access)
        except _Refused as refused:
            reply = refused.reply
    return _encode(asked.connection, reply, asked.head_only)


def followed(asked: HttpRequest, access: PageAccess) -> Request | None:
    """Return the command of a request for the stream of events, None for what `respond` answers."""
    if asked.head_only or isinstance(asked.what, HttpResponse):
        return None
    try:
        where, given = _where(asked.what), _given(asked.what, access)
    except _Refused:
        return None
    if where.path != _EVENTS:
        return None
    after = parse_qs(where.query).get("after", [""])[0]
    is_number = after.isdecimal() and len(after) <= _MOST_DIGITS
    number: dict[str, JsonValue] = {"after": int(after) if is_number else after}
    return {"command": "subscribe", **number, **given}


def refusal(asked: HttpRequest, error: CommandError) -> bytes:
    """Return the response that refuses a stream."""
    status = _STATUS.get(error.code, HTTPStatus.SERVICE_UNAVAILABLE)
    return _encode(asked.connection, HttpResponse(status, encode_error(error.code, error.message)), False)


def stream_head(asked: HttpRequest) -> bytes:
    """Return the response head before the events of a stream."""
    response = h11.Response(status_code=200, headers=_headers_of("text/event-stream", ()), reason="OK")
    return asked.connection.send(response) or b""


def event(asked: HttpRequest, line: bytes) -> bytes:
    """Return a line of the stream in the form of server-sent events."""
    return asked.connection.send(h11.Data(data=b"data: " + line + b"\n")) or b""


async def _reply(
    request: h11.Request, run: Callable[[Request], Awaitable[Answered]], access: PageAccess
) -> HttpResponse:
    given = _given(request, access)
    where = _where(request)
    if request.method == b"POST":
        return _reply_post(where.path.rstrip("/"))
    if where.path == "/":
        return await _reply_page(request, where, given, run, access)
    found = _PAGES.get(where.path.rstrip("/") if where.path.startswith(FORMER) else where.path)
    if found is None:
        there = ", ".join(("/", _EVENTS, *_PAGES))
        raise _Refused(HTTPStatus.NOT_FOUND, "unknown_page", f"there are only {there}")
    query = parse_qs(where.query)
    arguments = {name: query[name][0] for name in found.arguments if name in query}
    try:
        answer, line = await run({**arguments, "command": found.command, **given})
    except CommandError as error:
        status = _STATUS.get(error.code, HTTPStatus.SERVICE_UNAVAILABLE)
        raise _Refused(status, error.code, error.message) from None
    status = HTTPStatus.OK if found.well(answer) else HTTPStatus.SERVICE_UNAVAILABLE
    if found.command == "metrics":
        return HttpResponse(status, exposition(answer).encode(), _TEXT)
    if found.fields:
        line = json.dumps({name: answer.get(name) for name in found.fields}).encode() + b"\n"
    return HttpResponse(status, line)


def _reply_post(path: str) -> HttpResponse:
    """Answer a POST of the earlier service's clients; the body is never read."""
    page = _PAGES.get(path)
    instead = page.instead if page is not None else "see the page COMING_FROM.md of the tracker's documents"
    text = f"nothing is changed over HTTP: {instead}"
    body = encode_error("method_not_allowed", text)
    return HttpResponse(HTTPStatus.METHOD_NOT_ALLOWED, body, headers=[("Allow", "GET, HEAD")])


async def _reply_page(
    request: h11.Request,
    where: SplitResult,
    given: Mapping[str, str],
    run: Callable[[Request], Awaitable[Answered]],
    access: PageAccess,
) -> HttpResponse:
    """Answer with the page for a browser; a token in the address is exchanged for the cookie."""
    token = parse_qs(where.query).get("token")
    if token is not None and access.is_token(token[0].strip()):
        cookie = ("Set-Cookie", access.cookie(_port_of(_headers(request))))
        return HttpResponse(HTTPStatus.SEE_OTHER, b"", _PLAIN, [("Location", "/"), cookie, *PAGE_HEADERS])
    try:
        # The page waits for its turn as every question does, and needs the token where one is needed.
        await run({"command": "help", **given})
    except CommandError as error:
        status = _STATUS.get(error.code, HTTPStatus.SERVICE_UNAVAILABLE)
        text = _HOW_TO_ENTER if status == HTTPStatus.UNAUTHORIZED else error.message
        return HttpResponse(status, f"{text}\n".encode(), _PLAIN, PAGE_HEADERS)
    return HttpResponse(HTTPStatus.OK, page(), _HTML, PAGE_HEADERS)


_HOW_TO_ENTER: Final = (
    "This page needs the token of the running tracker, which makes one at each start: open"
    " /?token=TOKEN here, with the content of status.token_file in place of TOKEN."
)
_STATUS: Final = {
    "token_required": HTTPStatus.UNAUTHORIZED,
    "token_wrong": HTTPStatus.UNAUTHORIZED,
    "unknown_command": HTTPStatus.NOT_FOUND,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}


def _where(request: h11.Request) -> SplitResult:
    try:
        return urlsplit(request.target.decode("ascii", "replace"))
    except ValueError as error:
        raise _Refused(
            HTTPStatus.BAD_REQUEST, "bad_request", f"the address in the first line cannot be read: {error}"
        ) from None


def _given(request: h11.Request, access: PageAccess) -> dict[str, str]:
    """Return the token as an argument, where the request has it or the cookie made from it."""
    headers = _headers(request)
    _check_sender(headers)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return {"token": token.strip()}
    by_cookie = access.token_for(headers.get("cookie", ""), _port_of(headers))
    return {"token": by_cookie} if by_cookie else {}


def _headers(request: h11.Request) -> dict[str, str]:
    """Return the headers by lower-case name; refuses a header for access control that is there twice, as
    either may be meant.
    """
    found: dict[str, str] = {}
    for name, value in request.headers:
        key = name.decode("ascii")
        if key in found and key in ("host", "origin", "authorization"):
            raise _Refused(HTTPStatus.BAD_REQUEST, "bad_request", f"the header {key} is there twice")
        found[key] = value.decode("latin-1")
    return found


def _check_sender(headers: Mapping[str, str]) -> None:
    """Refuse what a web page sends: from another origin, or through a host name that it points at this
    machine.
    """
    if "origin" in headers:
        raise _Refused(HTTPStatus.FORBIDDEN, "forbidden", "web pages are not served (Origin)")
    # Browsers send this header with requests that carry no Origin, such as an image's.
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
    # No browser and no curl writes a user or a path into this header; what is read of them may be any part.
    return name is not None and is_loopback(name) and not set(host) & set("@/\\?#")


def _port_of(headers: Mapping[str, str]) -> str:
    """Return the port by which the sender knows the daemon; a tunnel may have another than ours."""
    return headers.get("host", "").rpartition("]")[2].rpartition(":")[2]


def _headers_of(content_type: str, more: _Headers) -> list[tuple[str, str]]:
    return [
        ("Content-Type", content_type),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Connection", "close"),
        *more,
    ]


def _encode(connection: h11.Connection, reply: HttpResponse, head_only: bool) -> bytes:
    headers = [
        *_headers_of(reply.content_type, reply.headers),
        ("Content-Length", str(len(reply.body))),
    ]
    response = h11.Response(status_code=reply.status, headers=headers, reason=reply.status.phrase)
    return (connection.send(response) or b"") + (b"" if head_only else reply.body)
