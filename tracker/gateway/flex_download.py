"""Fetch one address of a web service into a file, within one time limit for everything.

Owns one HTTP request and its limits. The time limit also ends a server that sends only a byte now and then.
Its messages never show the query of an address, which holds the token.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import h11

_BLOCK: Final = 1 << 16
_OK: Final = 200
Write = Callable[[bytes], object]
"""Writes a piece of the body; raises OSError."""
LARGEST: Final = 1 << 30
"""The size in bytes of the largest report that is accepted."""


class DownloadFailed(Exception):
    """Say why nothing was fetched, without the address's query."""


async def download(address: str, write: Write, *, seconds: float, agent: str) -> None:
    """Pass the body at an http or https address to `write`, piece by piece; raises DownloadFailed."""
    parts = urlsplit(address)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    place = f"{host}:{port}"
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=ssl.create_default_context() if secure else None
            )
            try:
                connection = h11.Connection(our_role=h11.CLIENT)
                headers = [("Host", parts.netloc), ("User-Agent", agent), ("Connection", "close")]
                target = f"{parts.path}?{parts.query}"
                request = h11.Request(method="GET", target=target, headers=headers)
                writer.write(connection.send(request) or b"")
                writer.write(connection.send(h11.EndOfMessage()) or b"")
                await writer.drain()
                await _receive(connection, reader, write, place)
            finally:
                writer.close()
                with suppress(OSError, TimeoutError):
                    await writer.wait_closed()
    except TimeoutError:
        raise DownloadFailed(f"{place} did not answer whole within {seconds:g} s") from None
    except h11.RemoteProtocolError as error:
        raise DownloadFailed(f"{place} does not answer as a web server: {error}") from None
    except ssl.SSLError as error:
        raise DownloadFailed(f"no secure connection to {place}: {error.reason or error}") from None
    except OSError as error:
        raise DownloadFailed(f"{place} cannot be reached: {error.strerror or error}") from None


async def _receive(
    connection: h11.Connection, reader: asyncio.StreamReader, write: Write, place: str
) -> None:
    size = 0
    while True:
        for event in _events(connection):
            if isinstance(event, h11.Response) and event.status_code != _OK:
                raise DownloadFailed(f"{place} answers with HTTP status {event.status_code}")
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > LARGEST:
                    raise DownloadFailed(f"{place} sends more than {LARGEST} bytes")
                _hand_over(event.data, write)
            elif isinstance(event, h11.EndOfMessage):
                return
        connection.receive_data(await reader.read(_BLOCK))


def _hand_over(data: bytes, write: Write) -> None:
    try:
        write(data)
    except OSError as error:
        raise DownloadFailed(f"the report cannot be written: {error.strerror or error}") from None


def _events(connection: h11.Connection) -> Iterator[object]:
    """Yield the complete parts of the answer."""
    while (event := connection.next_event()) is not h11.NEED_DATA:
        yield event
        if isinstance(event, h11.EndOfMessage):
            return
