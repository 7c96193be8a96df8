"""Pages of a browser at the status socket, as far as the tracker can tell: they follow and ask again.

Runs as `python -m tests.support.page_clients PORT COUNT` until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

_PAUSE = 1.0
"""Seconds between two questions of one page, as page.html has them."""


async def ask(port: int) -> int:
    """Fetch what a page shows, and return the number of its latest event."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /page.json HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n")
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
        return int(json.loads(body)["last"])
    finally:
        writer.close()


async def look(port: int) -> None:
    """Be one page, and come back whenever its stream ends."""
    while True:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError):
            last = await ask(port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                request = f"GET /events?after={last} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                writer.write(request.encode())
                await _follow(reader, port)
            finally:
                writer.close()
        await asyncio.sleep(_PAUSE)


async def _follow(reader: asyncio.StreamReader, port: int) -> None:
    """Ask again soon after events, at most once a pause."""
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    while line := await reader.readline():
        if line.startswith(b"data: ") and loop.time() - asked_at > _PAUSE:
            asked_at = loop.time()
            await ask(port)


async def main(port: int, count: int) -> None:
    """Keep so many pages open at a port."""
    print(json.dumps({"begun": True}), flush=True)
    await asyncio.gather(*(look(port) for _ in range(count)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
