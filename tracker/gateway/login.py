"""Log one connection in, from the opening of its socket to the managed accounts.

Owns the wait for the login and the reason why it failed. `core/login_policy.py` decides which login may be
used. It requests nothing after the login, and closes nothing: the caller does that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tracker.gateway.capture import PEER_CLOSED, Capture
from tracker.gateway.error_codes import why_not_connected
from tracker.gateway.link import LinkOptions

_CANCEL_AGAIN_SECONDS: Final = 0.05


async def log_in(
    client: Any, capture: Capture, options: LinkOptions, host: str, port: int, *, answered: Callable[[], bool]
) -> str:
    """Connect and log in; return why that failed, empty for a success.

    `client` is ib_insync's, whose methods carry no types; `answered` says whether the peer sent anything.
    """
    connecting = asyncio.ensure_future(
        client.connectAsync(host, port, options.client_id, options.connect_timeout)
    )
    try:
        # Notice 326 and a closed connection are known long before ib_insync's timeout.
        await asyncio.wait({connecting, capture.closed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sent = client.conn.numBytesSent > 0
        while not connecting.done():
            # In a loop, since `wait_for` of Python 3.11, which ib_insync uses, can lose a cancellation.
            connecting.cancel()
            await asyncio.wait({connecting}, timeout=_CANCEL_AGAIN_SECONDS)
        outcome = (await asyncio.gather(connecting, return_exceptions=True))[0]
    closed = capture.closed.done()
    # After its timeout ib_insync closes the socket itself; then the peer did not close it.
    if isinstance(outcome, TimeoutError) or (isinstance(outcome, BaseException) and not closed):
        return why_not_connected(outcome, host, port, sent=sent, answered=answered())
    if not closed:
        return ""
    ended = capture.closed.result()
    if ended.startswith(PEER_CLOSED):
        return (
            f"{host}:{port} closed the connection before the login was done: check that this machine is among"
            " its trusted IPs, and that no other program uses the client id"
        )
    return ended
