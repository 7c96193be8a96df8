"""Run the tracker as `python -m benchmark.tracked run ...`, with clocks around it.

The clocks are put around the tracker's parts from outside; production code does not know them. Times are
printed as lines of JSON; lines on standard input say what to wait for.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from tracker.cli.main import main
from tracker.core.model import AlertUpdate
from tracker.gateway.link import LinkPhase


class Clocks:
    """Note when the last packet came, and report when all expected alerts are in the store."""

    def __init__(self) -> None:
        self.received = 0.0
        self.synced = 0.0
        """When the folder was last synced after a rename, or when the last part was committed."""
        self.appends: list[float] = []
        """How long journalling each packet took, in seconds."""
        self._expected: dict[str, tuple[str, float | None]] = {}

    def listen(self) -> None:
        """Read expectations (ticker -> execId and commission that its alert must show), or report appends."""
        for line in sys.stdin:
            asked = json.loads(line)
            if "appends" in asked:
                taken, self.appends = self.appends, []
                say(appends=taken)
                continue
            self._expected = {name: (told[0], told[1]) for name, told in asked["expect"].items()}
            say(expecting=len(self._expected))

    def written(self, updates: Sequence[AlertUpdate]) -> None:
        """Note what is in the store now, durably."""
        if not self._expected:
            return
        for update in updates:
            shows = update.last_order_update or {}
            wanted = self._expected.get(update.alert.ticker)
            if wanted is not None and wanted == (shows["exec_id"], shows["commission"]):
                del self._expected[update.alert.ticker]
        if not self._expected:
            say(done=self.synced, received=self.received)


CLOCKS = Clocks()


def say(**answer: Any) -> None:
    """Print one answer."""
    print(json.dumps(answer), flush=True)


def put_in_clocks() -> None:
    """Wrap the functions to be timed, and set the pause between sweeps, however long."""
    from tracker.daemon.run import Daemon
    from tracker.gateway.capture import Capture
    from tracker.gateway.link import LinkOptions
    from tracker.gateway.requests import Requests
    from tracker.stores.alert_file import AlertFile
    from tracker.stores.filesystem import RealDisk

    on_data: Any = Capture._on_data
    apply: Any = AlertFile.apply
    sync_folder: Any = RealDisk.sync_folder
    link_changed: Any = Daemon._link_changed
    executions: Any = Requests.executions
    ready: list[bool] = []

    def timed_on_data(self: Any, data: bytes) -> None:
        CLOCKS.received = time.perf_counter()
        on_data(self, data)

    def timed_sync_folder(self: Any, path: Any) -> None:
        sync_folder(self, path)
        CLOCKS.synced = time.perf_counter()

    def timed_apply(self: Any, updates: Any) -> Any:
        outcomes = apply(self, updates)
        CLOCKS.written(updates)
        return outcomes

    def timed_link_changed(self: Any, link: Any) -> None:
        link_changed(self, link)
        if link.state is LinkPhase.UP and not ready:
            ready.append(True)
            say(ready=time.perf_counter())

    async def timed_executions(self: Any, account: str, within: float | None = None) -> Any:
        began = time.perf_counter()
        answer = await executions(self, account, within)
        say(swept=time.perf_counter() - began)
        return answer

    def pause(self: Any, listed: int) -> float:
        return float(self.sweep_seconds)

    for owner, name, timed in (
        (Capture, "_on_data", timed_on_data),
        (AlertFile, "apply", timed_apply),
        (RealDisk, "sync_folder", timed_sync_folder),
        (Daemon, "_link_changed", timed_link_changed),
        (Requests, "executions", timed_executions),
        (LinkOptions, "sweep_pause", pause),
    ):
        setattr(owner, name, timed)


def put_in_clocks_of_shared_store() -> None:
    """Wrap what commits parts, and what journals packets; the driver is loaded only where it is used."""
    from tracker.pipeline.pump import Pump
    from tracker.stores.shared import SharedAlerts

    append: Any = Pump.append
    apply: Any = SharedAlerts.apply

    def timed_append(self: Any, connection_no: int, received_at: Any, frames: Any) -> None:
        began = time.perf_counter()
        append(self, connection_no, received_at, frames)
        CLOCKS.appends.append(time.perf_counter() - began)

    def timed_apply(self: Any, updates: Any) -> Any:
        outcomes = apply(self, updates)
        CLOCKS.synced = time.perf_counter()
        CLOCKS.written(updates)
        return outcomes

    for owner, name, timed in ((Pump, "append", timed_append), (SharedAlerts, "apply", timed_apply)):
        setattr(owner, name, timed)


if __name__ == "__main__":
    put_in_clocks()
    if "--shared.url" in sys.argv:
        put_in_clocks_of_shared_store()
    threading.Thread(target=CLOCKS.listen, daemon=True).start()
    sys.exit(main())
