"""Clients that abuse the status socket: silent, unread, slow, huge and many.

Runs as `python -m tests.support.abusive_clients PORT KIND...`, 50 clients of each kind, until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import closing, suppress

CLIENTS = 50
KINDS = {
    "idle": b"",
    "unread followers": b"subscribe\n",
    "slow readers": b"fills\n" * 2000,
    "slashes": json.dumps({"command": "why", "of": "a/" * 7000}).encode() + b"\n",
    "floods": b"ping\n" * 5000,
    "audits": b"reconcile\n" * 2000,
    "pages": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half lines": b'{"command": "status", "x": "',
    "noise": b"\xff\xfe\x00\n",
    "guesses": b'{"command": "assign", "token": "guess"}\n',
    "web forms": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nassign\n",
}
"""What each kind of client sends; none of them ever reads."""


async def abuse(port: int, said: bytes) -> None:
    """Be one abusive client, and come back soon whenever the daemon has ended the connection."""
    loop = asyncio.get_running_loop()
    while True:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        with closing(client), suppress(OSError):
            async with asyncio.timeout(5):
                await loop.sock_connect(client, ("127.0.0.1", port))
            # What the daemon answers stays unread, so only a reset ends this.
            while True:
                await loop.sock_sendall(client, said or b" ")
                await asyncio.sleep(0.5)
        await asyncio.sleep(0.1)


async def main(port: int, kinds: list[str]) -> None:
    """Keep CLIENTS clients of each kind at a port."""
    print(json.dumps({"begun": True}), flush=True)
    await asyncio.gather(*(abuse(port, KINDS[kind]) for kind in kinds for _ in range(CLIENTS)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
