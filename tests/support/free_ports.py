"""Find ports of the loopback that nobody listens on, for a process that is told its port before it starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from random import SystemRandom
from typing import Final

RANGE: Final = (10_000, 22_000)
"""Below the ports that systems give away by themselves (Linux from 32768, macOS from 49152): no other test's
socket that asks for any port gets one between its finding and the listening. The demo and the bench find
theirs above these."""


def _ours() -> Iterator[int]:
    """Yield the ports that fall to this process among those that test beside it, over and over."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = range(RANGE[0] + worker, RANGE[1], workers)
    # Anywhere, since other runs may go on beside this one.
    at = SystemRandom().randrange(len(ports))
    while True:
        yield ports[at]
        at = (at + 1) % len(ports)


_PORTS: Final = _ours()


def free_port() -> int:
    """Return a port of the loopback that is free now, and that no other test takes soon."""
    while True:
        port = next(_PORTS)
        with socket.socket() as one:
            # As servers do, so that one which has just ended does not keep its port.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue  # Somebody listens there.
            return port
