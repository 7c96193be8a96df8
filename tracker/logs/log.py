"""Set up where log lines go: standard error, and a rotating file when asked.

Owns the path of each line from loguru to the writing threads, which never blocks the caller, and what is
changed in a line: accounts are masked, control characters replaced. It never logs to standard output, which
carries answers only.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from loguru import logger

from tracker.clock import now
from tracker.logs.masking import mask
from tracker.logs.repeats import RepeatedLines
from tracker.logs.targets import Format, LogFile, StandardError, coloured, json_line, plain
from tracker.logs.writer import LogLine, LogWriter, Target
from tracker.terminal import printable, printable_lines

if TYPE_CHECKING:
    from loguru import Message, Record

_UNITS: Final = {"KB": 1000, "MB": 1000**2, "GB": 1000**3}
_LEVELS: Final = {name: logger.level(name).no for name in ("DEBUG", "INFO", "WARNING", "ERROR")}
_DEBUG: Final = _LEVELS["DEBUG"]
_WARNING: Final = _LEVELS["WARNING"]
_FAREWELL_SECONDS: Final = 0.5
"""Seconds that `close` waits for a target that takes no lines."""
_MOST_TEXT: Final = 20_000
"""The longest line in characters, so that waiting lines take little memory."""
_JSON_TEXT: Final = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} {message}"


class _Setup:
    """Hold what `configure` set up last."""

    writers: tuple[LogWriter, ...] = ()
    lowest: int | None = None
    """The lowest level number that `later` writes; None where loguru writes all lines."""
    masked = True
    repeated = RepeatedLines(time.monotonic)


class _Thread(threading.local):
    """Hold what one thread is doing."""

    counted = False
    """Whether the next line is already counted, so that its place in the code is not counted again."""


_thread = _Thread()


def _shown(text: str) -> str:
    return mask(text) if _Setup.masked else text


def _with_exception(record: Record) -> str:
    """Return the message with the exception's lines, and remove those from the record: they can name
    accounts.
    """
    message, error = printable(record["message"]), record["exception"]
    if error is None:
        return message
    record["exception"] = None
    lines = traceback.format_exception(error.type, error.value, error.traceback)
    return f"{message}\n{printable_lines(''.join(lines).rstrip())}"


def _patch(record: Record) -> None:
    record["message"] = _shown(_with_exception(record))[:_MOST_TEXT]


def _put(message: Message) -> None:
    record, text = message.record, str(message)
    level = record["level"]
    if level.no <= _DEBUG or _thread.counted or _admitted((record["name"], record["line"])):
        _hand_over(LogLine(record["time"], level.name, lambda: text, whole=_Setup.lowest is None), level.no)


def _admitted(place: Hashable) -> bool:
    """Return whether one more line of this place in the code is written; logs that others like it are left
    out.
    """
    admitted, said = _Setup.repeated.admit(place)
    if said:
        _say(said)
    return admitted


def _say(words: str) -> None:
    """Write a line about the log itself."""
    _hand_over(LogLine(now(), "WARNING", lambda: words), _WARNING)


def _hand_over(line: LogLine, level: int) -> None:
    soon = level >= _WARNING
    for writer in _Setup.writers:
        writer.put(line, soon=soon)


def configure(
    level: str,
    *,
    file: Path | None = None,
    as_json: bool = False,
    mask_accounts: bool = True,
    rotation: str = "10 MB",
    retention: int = 5,
) -> None:
    """Send log lines to standard error and, if named, to a file of bounded size and number.

    Raises OSError where the file cannot be opened.
    """
    close()
    targets: list[Target] = []
    # Standard error may be closed from the start.
    if sys.stderr is not None:
        targets.append(StandardError(sys.stderr, json_line if as_json else _format_for(sys.stderr)))
    if file is not None:
        size, unit = rotation.split(" ")
        limit = int(size) * _UNITS[unit]
        targets.append(LogFile(file, json_line if as_json else plain, limit=limit, kept=retention))
    _Setup.writers = writers = tuple(map(LogWriter, targets))
    for writer in writers:
        writer.others = [other for other in writers if other is not writer]
    _Setup.masked = mask_accounts
    _Setup.lowest = None if as_json else _LEVELS[level]
    logger.remove()
    logger.configure(patcher=_patch)
    # `diagnose` would print the values of variables, account numbers among them.
    form = _JSON_TEXT if as_json else (lambda record: "{message}")
    logger.add(_put, level=level, format=form, serialize=as_json, diagnose=False)


def _format_for(stream: TextIO) -> Format:
    dumb = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return coloured if stream.isatty() and not dumb else plain


def later(level: str, words: Callable[[], str], repeats: str = "") -> None:
    """Log a line whose text is made by the writing thread, so that it delays a fill as little as possible.

    `words` must return the same text whenever it is called. A line that may come often names in `repeats` the
    kind under which it is counted and limited; all other lines are always written.
    """
    if repeats and not _admitted(repeats):
        return
    if _Setup.lowest is None:
        _thread.counted = True
        try:
            logger.opt(lazy=True, depth=1).log(level, "{}", words)
        finally:
            _thread.counted = False
        return
    number = _LEVELS[level]
    if number >= _Setup.lowest:
        _hand_over(LogLine(now(), level, lambda: _shown(printable(words()))[:_MOST_TEXT]), number)


def figures() -> Mapping[str, Any]:
    """Return how many lines were lost since the start, and why lines are lost now; see PROTOCOL.md."""
    writers = _Setup.writers
    return {
        "lost": sum(writer.lost for writer in writers),
        "trouble": [writer.trouble for writer in writers if writer.trouble],
    }


@atexit.register
def close() -> None:
    """Write the waiting lines, as far as the targets take them within half a second; later lines are
    discarded.
    """
    if count := _Setup.repeated.left_out():
        _hand_over(
            LogLine(now(), "WARNING", lambda: f"{count} lines like earlier ones were left out"), _WARNING
        )
    writers, _Setup.writers = _Setup.writers, ()
    _Setup.repeated = RepeatedLines(time.monotonic)
    end = time.monotonic() + _FAREWELL_SECONDS
    for writer in writers:
        writer.close(max(end - time.monotonic(), 0.0))
