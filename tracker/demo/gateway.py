"""The demo's paper gateway, as a process of its own: it trades on cue.

Owns the dialogue over its standard input and output. It first prints `{"port": N}`; then each line it reads
is the name of a step, whose acts it does, and it answers `{"written_ns": T}`, the monotonic clock just before
the first frame was written. The clock is the machine's, so that the other processes can compare. The end of
its input ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import datetime

from tracker.clock import now
from tracker.demo.morning import MEMBER, Act, Deal, Place, morning
from tracker.paper.facts import PaperExecution, PaperOrder
from tracker.paper.server import PaperGateway


class Trading:
    """Do the acts of the morning on a gateway."""

    def __init__(self, gateway: PaperGateway) -> None:
        self._gateway = gateway
        self._orders: dict[str, PaperOrder] = {}
        self._unpaid: list[PaperExecution] = []

    def do(self, act: Act) -> None:
        """Place, fill, or tell the fees; whatever is pushed is written when this returns."""
        if isinstance(act, Place):
            self._orders[act.order] = self._gateway.order(
                act.contract,
                act.side,
                act.quantity,
                limit=act.limit,
                client_id=0 if act.manual else MEMBER,
                manual=act.manual,
            )
        elif isinstance(act, Deal):
            execution = self._gateway.fill(self._orders[act.order], act.quantity, act.price, fee=act.fee)
            if not act.fee:
                self._unpaid.append(execution)
        else:
            for execution in self._unpaid:
                self._gateway.fee(execution)
            self._unpaid.clear()


async def serve(moment: datetime) -> None:
    """Trade the morning of this moment on cue, until standard input ends."""
    steps = {step.cue: step for step in morning(moment).steps}
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with PaperGateway(now=now) as gateway:
        trading = Trading(gateway)
        _answer(port=gateway.port)
        while line := await reader.readline():
            acts = steps[line.decode().strip()].acts
            written = time.monotonic_ns()
            for act in acts:
                trading.do(act)
            _answer(written_ns=written)


def _answer(**values: int) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(datetime.fromisoformat(sys.argv[1])))
