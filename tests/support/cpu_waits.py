"""How long a process has waited for a processor that others held, as Linux counts it for each thread.

What is left of a duration without it is what the process itself took, on a busy machine as on a quiet one.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_NANOSECOND = 1e-9


class CpuWaits:
    """Measure the waits of one process from now on; none where the system does not count them."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._now()

    def seconds(self) -> float:
        """Return the main thread's waits and those of the one other thread that waited longest.

        A request is served by the main thread and by one other, one after the other.
        """
        waits = {thread: now - self._before.get(thread, 0.0) for thread, now in self._now().items()}
        return waits.pop(self._pid, 0.0) + max(waits.values(), default=0.0)

    def _now(self) -> dict[int, float]:
        found = {}
        for thread in Path(f"/proc/{self._pid}/task").glob("*"):
            # A thread may end meanwhile.
            with suppress(OSError):
                _, waited, _ = (thread / "schedstat").read_text().split()
                found[int(thread.name)] = int(waited) * _NANOSECOND
        return found
