"""Fetch a Flex report from IBKR's web service: request it, then download it once it is ready.

Owns the two documented requests (SendRequest, GetStatement), how long each and all of them may take, and the
errors of the service in plain words. The token is a secret: no message and no log line holds it, and it is
sent only to the service's own address. Nothing is contacted before `fetch`.
"""

from __future__ import annotations

import asyncio
import io
import os
import platform
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit
from xml.etree.ElementTree import Element, ParseError, fromstring

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from tracker.gateway.flex_download import DownloadFailed, download

_VERSION: Final = "3"
_AGENT: Final = f"Python/{platform.python_version()}"
"""The user agent: the service requires the name of the client's technology."""
_HEAD: Final = 4096
"""How many bytes at the beginning of an answer distinguish a report from an error."""
_RESPONSE: Final = b"<FlexStatementResponse"
_NEW_TOKEN: Final = (
    "make a new one in the Client Portal (Performance & Reports, Flex Queries, Flex Web Service"
    " Configuration) and put it into flex.token"
)
_QUERY: Final = "look the number up in the Client Portal (Flex Queries, the query's info) for flex.query_id"
_LATER: Final = "try again in some minutes"
_ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "1001": ("the statement could not be made just now", _LATER),
    "1003": ("there is no statement for the query's period", "choose a Period with a day that has ended"),
    "1004": ("the statement is not complete yet", _LATER),
    "1005": ("settlement data is not there yet", _LATER),
    "1006": ("the profits by FIFO are not there yet", _LATER),
    "1007": ("the profits by mark-to-market are not there yet", _LATER),
    "1008": ("the profits are not there yet", _LATER),
    "1009": ("the service is overloaded", _LATER),
    "1010": ("it is a legacy Flex query", "create it again as an Activity Flex Query"),
    "1011": (
        "the Flex web service is not switched on",
        "activate it in the Client Portal's Flex Queries page",
    ),
    "1012": ("the token has expired", _NEW_TOKEN),
    "1013": ("the token is bound to another IP address", f"run it there, or {_NEW_TOKEN}"),
    "1014": ("there is no such query", _QUERY),
    "1015": ("the token is not valid", _NEW_TOKEN),
    "1016": ("the account is not valid", "check which accounts the query names"),
    "1017": ("the service no longer knows its own reference", _LATER),
    "1018": (
        "too many requests were made with this token",
        "wait ten minutes, and let no other program use the token",
    ),
    "1019": ("the statement is still being made", _LATER),
    "1020": ("the request is not valid", "check flex.token and flex.query_id"),
    "1021": ("the statement could not be downloaded just now", _LATER),
}
"""Code -> what it says, and what to do."""
_BUSY: Final = ("1001", "1004", "1005", "1006", "1007", "1008", "1009", "1019", "1021")
_THROTTLED: Final = "1018"


class FetchFailed(Exception):
    """Say why there is no report, and what to do; the message never holds the token."""


class _NotYet(Exception):
    """Say that the service asks to try again later."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(_words(code, ""))


@dataclass(frozen=True, slots=True)
class FlexService:
    """Fetch reports of one query from one service; times in seconds."""

    base_url: str
    query_id: str
    token: str = field(repr=False)
    request_seconds: float = 60.0
    """The time limit of one request."""
    total_seconds: float = 600.0
    """The time limit of all requests, including the pauses."""
    pause: float = 5.0
    """The pause between two requests while the statement is being made, growing up to `longest_pause`."""
    longest_pause: float = 60.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def fetch(self, into: Path) -> None:
        """Replace a file by the report, readable only by its owner; raises FetchFailed."""
        busy = ""
        try:
            async with asyncio.timeout(self.total_seconds):
                async for attempt in self._attempts():
                    with attempt:
                        try:
                            address = await self._ask()
                        except _NotYet as error:
                            busy = str(error)
                            raise
                async for attempt in self._attempts():
                    with attempt:
                        try:
                            await self._download_report(address, into)
                        except _NotYet as error:
                            busy = str(error)
                            raise
        except TimeoutError:
            why = busy or "it did not answer; try again later"
            raise FetchFailed(f"no Flex report within {self.total_seconds:g} s: {why}") from None
        except DownloadFailed as error:
            raise FetchFailed(f"the Flex web service: {error}; check the network, then try again") from None
        except OSError as error:
            raise FetchFailed(
                f"{into} cannot be written: {error.strerror or error}; free some space, or let this user"
                " write there"
            ) from None

    def _attempts(self) -> AsyncRetrying:
        # This request must also end within `total_seconds`.
        return AsyncRetrying(
            retry=retry_if_exception_type(_NotYet), wait=self._wait, sleep=self.sleep, reraise=True
        )

    def _wait(self, state: RetryCallState) -> float:
        error = None if state.outcome is None else state.outcome.exception()
        if isinstance(error, _NotYet) and error.code == _THROTTLED:
            return self.longest_pause
        return float(min(self.pause * 2 ** (state.attempt_number - 1), self.longest_pause))

    async def _ask(self) -> str:
        """Request a report; returns the address at which it will be."""
        answer = io.BytesIO()
        address = f"{self.base_url}/SendRequest?{self._query(self.query_id)}"
        await download(address, answer.write, seconds=self.request_seconds, agent=_AGENT)
        response = _read(answer.getvalue())
        if response.findtext("Status") != "Success":
            raise _refusal(response)
        reference = response.findtext("ReferenceCode", "")
        if not reference:
            raise FetchFailed("the Flex web service gave no reference for its statement; try again later")
        return f"{self._place_of(response.findtext('Url', ''))}?{self._query(reference)}"

    async def _download_report(self, address: str, into: Path) -> None:
        """Download the report, once it is there."""
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=into.parent, prefix=f".{into.name}-", delete=False) as file:
            try:
                await download(address, file.write, seconds=self.request_seconds, agent=_AGENT)
                file.flush()
                file.seek(0)
                if _RESPONSE in file.read(_HEAD):
                    file.seek(0)
                    raise _refusal(_read(file.read(_HEAD)))
                os.replace(file.name, into)
            except BaseException:
                os.unlink(file.name)
                raise

    def _query(self, of: str) -> str:
        return urlencode({"t": self.token, "q": of, "v": _VERSION})

    def _place_of(self, url: str) -> str:
        """Return the address of the statement; the token is sent only to an address of the same server."""
        ours, theirs = urlsplit(self.base_url), urlsplit(url)
        same = (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)
        return f"{theirs.scheme}://{theirs.netloc}{theirs.path}" if same else f"{self.base_url}/GetStatement"


def _read(text: bytes) -> Element:
    try:
        return fromstring(text)
    except ParseError:
        raise FetchFailed("the answer of the Flex web service is not XML; check flex.base_url") from None


def _refusal(response: Element) -> FetchFailed | _NotYet:
    code = (response.findtext("ErrorCode") or "").strip()
    if code in (*_BUSY, _THROTTLED):
        return _NotYet(code)
    return FetchFailed(_words(code, (response.findtext("ErrorMessage") or "").strip()))


def _words(code: str, message: str) -> str:
    """Return the text of a service error; `message` is the service's own text, for an unknown code."""
    if code not in _ERRORS:
        said = f"{code or 'an error without a code'}: {message[:200] or 'nothing more'}"
        return f"the Flex web service says {said}; try again later"
    what, next_step = _ERRORS[code]
    return f"the Flex web service says {code}, {what}; {next_step}"
