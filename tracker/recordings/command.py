"""`tracker record`: relay and record until it is ended, and write a transcript without names.

Owns the run and what it prints. It reads no settings file; the command line passes what it needs.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tracker.recordings.proxy import LOOPBACK, RecordingProxy
from tracker.recordings.recording import Recording, RecordingNotWritten, next_step
from tracker.recordings.redaction import EarlyRedactor, Redactor
from tracker.recordings.transcript import Line, TranscriptHead
from tracker.terminal import counted


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Hold what is recorded and where."""

    gateway: tuple[str, int]
    listen: int
    path: Path
    timezone: str
    """The zone of times that the login sends without one."""
    made_by: str
    allow_orders: bool = False
    hidden: Sequence[str] = ()
    """Texts that must not be in the transcript."""
    accounts: Sequence[str] = ()


def record(options: RecordOptions, *, now: Callable[[], datetime], tell: Callable[[str], None]) -> None:
    """Record until SIGINT, SIGTERM or SIGHUP, then write the transcript.

    Raises RecordingNotWritten, which leaves the part unless it is empty, NameLeft, and OSError where the port
    is taken.
    """
    head = TranscriptHead(now(), options.timezone, options.made_by)
    redactor = Redactor(options.hidden, options.accounts)
    early = EarlyRedactor(options.hidden, options.accounts)
    recording = Recording(options.path, head, redactor, early)
    try:
        links = asyncio.run(_relay(options, recording, tell))
        if not recording.count:
            raise RecordingNotWritten("no client connected, so there is nothing to write")
        tell("writing the transcript")
        recording.finish()
    finally:
        recording.close()
        if recording.left_in_part:
            tell(next_step(options.path))
    names = ", ".join(f"{number} {kind}" for kind, number in sorted(redactor.replaced.items()))
    tell(f"{options.path}: {counted(recording.count, 'line')} from {counted(links, 'connection')}")
    tell(f"names replaced: {names or 'none'}; prices and quantities stay. Read it before you send it")


async def _relay(options: RecordOptions, recording: Recording, tell: Callable[[str], None]) -> int:
    """Relay until there is a reason to end; returns how many clients there were."""
    loop = asyncio.get_running_loop()
    ending: asyncio.Future[OSError | None] = loop.create_future()
    start = time.monotonic()

    def end(reason: OSError | None = None) -> None:
        if not ending.done():
            ending.set_result(reason)

    def keep(line: Line) -> None:
        if ending.done():
            return
        try:
            if not recording.add(line):
                tell("the recording is as long as it may be, and ends here")
                end()
        except OSError as error:
            end(error)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    proxy = RecordingProxy(
        options.gateway,
        options.listen,
        allow_orders=options.allow_orders,
        elapsed=lambda: time.monotonic() - start,
        record=keep,
    )
    await proxy.start()
    try:
        host, port = options.gateway
        tell(f"recording what clients on {LOOPBACK}:{proxy.port} and the gateway at {host}:{port} say")
        tell("orders are passed on to the gateway" if options.allow_orders else "no order is passed on")
        tell(f"Ctrl-C ends it and writes {options.path}; until then a shorter form is in {recording.part}")
        failure = await ending
    finally:
        await proxy.stop()
    if failure is not None:
        raise RecordingNotWritten(f"what was said cannot be kept: {failure.strerror or failure}")
    return proxy.links
