"""Abusive clients of the status socket: slow, silent, senseless and many.

Runs as `python -m soaking.crowd PORT CONNECTIONS`. Owns what they send; prints lines of JSON. A line on
standard input begins one round.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import suppress
from typing import Any, Final

_AT_ONCE: Final = 100
_PATIENCE_SECONDS: Final = 0.2
_SAYINGS: Final = (
    b"",
    b'{"command": ',
    b'{"command": ' + b"[" * 15_000 + b"\n",
    b'{"command": "why", "of": "' + b"a/" * 7_000 + b'"}\n',
    b"\xff\xfe\x00\n",
    b"x" * 200_000,
    b"status\n" * 50,
    b"subscribe\n",
    b'{"command": "assign", "token": "guess"}\n',
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nassign\n",
)
"""Silence, half a line, depth, slashes, no text, no end, many at once, a follower, a guess, a web form."""


def say(**answer: Any) -> None:
    """Print one answer."""
    print(json.dumps(answer), flush=True)


async def _misbehave(port: int, turns: asyncio.Semaphore) -> None:
    """Connect, send something, read little or nothing, and close properly or not."""
    async with turns:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        with suppress(OSError, TimeoutError):
            writer.write(random.choice(_SAYINGS))
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await reader.read(100)
        if random.random() < 0.5:
            writer.close()
        else:
            writer.transport.abort()


async def main(port: int, connections: int) -> None:
    """Run one round for each line."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    turns = asyncio.Semaphore(_AT_ONCE)
    say(ready=True)
    while await lines.readline():
        say(begun=True)
        await asyncio.gather(*(_misbehave(port, turns) for _ in range(connections)))
        say(tried=connections)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
