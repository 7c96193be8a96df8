"""The login of one connection, from the opening of its socket to the managed accounts.

Owns the wait for it and the reason why it failed. Which login may be used is decided in
`core/login_policy.py`. It asks for nothing after the login, and closes nothing: the caller does that.
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
    """Connect up to the end of the login; return why not, empty when it is done.

    `client` is ib_insync's, whose methods carry no types; `answered` says whether the peer sent anything.
    """
    connecting = asyncio.ensure_future(
        client.connectAsync(host, port, options.client_id, options.connect_timeout)
    )
    try:
        # 326 and a peer's close are known long before ib_insync's timeout is over.
        await asyncio.wait({connecting, capture.closed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sent = client.conn.numBytesSent > 0
        while not connecting.done():
            # Again and again: `wait_for` of Python 3.11, which ib_insync uses, can lose a cancellation.
            connecting.cancel()
            await asyncio.wait({connecting}, timeout=_CANCEL_AGAIN_SECONDS)
        outcome = (await asyncio.gather(connecting, return_exceptions=True))[0]
    closed = capture.closed.done()
    # ib_insync closes the socket itself when its time is up, which is not the peer's doing.
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
