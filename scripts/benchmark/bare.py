"""What a user has without the tracker: bare ib_insync, or a script beside it that polls.

Runs as `python -m benchmark.bare PORT [poll ALERTS]`. Owns the baselines' clients; prints lines of JSON.
`sweep` on standard input requests the day's executions once more and prints how long the answer took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmark.streams import MARK_CODE
from tracker.gateway.ib_insync_compat import IB, Fill, Trade


def say(**answer: Any) -> None:
    """Print one answer."""
    print(json.dumps(answer), flush=True)


def _on_execution(trade: Trade, fill: Fill) -> None: ...


def _on_status(trade: Trade) -> None: ...


def _on_error(request: int, code: int, text: str, contract: object) -> None:
    if code == MARK_CODE:
        say(done=time.perf_counter())


async def _sweeps(ib: IB) -> None:
    """Request the day's executions whenever a line of input asks for them."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.readline():
        began = time.perf_counter()
        fills = await ib.reqExecutionsAsync()
        say(swept=time.perf_counter() - began, executions=len(fills))


async def _poll(ib: IB, path: Path) -> None:
    """Write alerts as the first generation did: once a second, the whole file, in place, without a sync."""
    seen: set[int] = set()
    while True:
        await asyncio.sleep(1)
        for trade in ib.trades():
            order = trade.order.permId
            if order not in seen and trade.fills:
                seen.add(order)
                _rewrite(path, trade)
                say(written=time.perf_counter())


def _rewrite(path: Path, trade: Any) -> None:
    alerts = json.loads(path.read_text())
    for records in alerts.values():
        record = records.get(trade.contract.symbol)
        if record is not None:
            record["open"] = True
            record["last_order_update"] = {
                "order_id": str(trade.order.orderId),
                "status": trade.orderStatus.status,
                "filled_qty": trade.filled(),
            }
    path.write_text(json.dumps(alerts, indent=2))


async def main(port: int, alerts: Path | None) -> None:
    """Stay connected; the gateway or standard input starts everything else."""
    make: Any = IB  # Its __init__ carries no types.
    ib = make()
    ib.execDetailsEvent += _on_execution
    ib.orderStatusEvent += _on_status
    ib.errorEvent += _on_error
    await ib.connectAsync("127.0.0.1", port, clientId=0)
    say(ready=time.perf_counter())
    if alerts is not None:
        await _poll(ib, alerts)
    await _sweeps(ib)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[3]) if sys.argv[2:3] == ["poll"] else None))
