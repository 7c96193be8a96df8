"""Set up where log lines go: standard error, and a rotating file when asked.

Owns what a line may hold: account numbers are masked, and control characters, which may come from the wire
and which a terminal would obey, are replaced. Nothing is ever logged to standard output: that is for answers.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loguru import logger

from tracker.terminal import printable, printable_lines

if TYPE_CHECKING:
    from loguru import Record

_ACCOUNT: Final = re.compile(r"\b(D[UFI][A-Z]{0,2}|[UFI])\d{3,}(\d{2}|\d[A-Z])\b")
"""What IBKR's account numbers look like."""
_SHORTEST: Final = 4
"""Letters of an account that is masked by name; a shorter one would mask what is not meant."""
_own: re.Pattern[str] | None = None
"""Finds the accounts of our own login, whatever they look like."""
_PLAIN: Final = "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> {message}"


def know_accounts(accounts: Iterable[str]) -> None:
    """Mask these accounts by name from now on, beside what looks like an account number."""
    global _own
    names = sorted({name for name in accounts if len(name) >= _SHORTEST}, key=len, reverse=True)
    found = "|".join(map(re.escape, names))
    _own = re.compile(rf"(?<![A-Za-z0-9])(?:{found})(?![A-Za-z0-9])") if names else None


def mask(text: str) -> str:
    """Hide all but the first letters and the last two signs of account numbers."""
    if _own is not None:
        text = _own.sub(_hidden, text)
    return _ACCOUNT.sub(r"\1***\2", text)


def _hidden(account: re.Match[str]) -> str:
    name = account[0]
    kind = re.match("[A-Za-z]{0,3}(?=[0-9])", name)
    return f"{kind[0] if kind is not None else name[0]}***{name[-2:]}"


def _with_exception(record: Record) -> str:
    """Return the message and the exception's lines, which are taken out of the record; all made printable."""
    message = printable(record["message"])
    error = record["exception"]
    if error is None:
        return message
    record["exception"] = None
    lines = "".join(traceback.format_exception(error.type, error.value, error.traceback))
    return f"{message}\n{printable_lines(lines.rstrip())}"


def configure(
    level: str,
    *,
    file: Path | None = None,
    as_json: bool = False,
    mask_accounts: bool = True,
    rotation: str = "10 MB",
    retention: int = 5,
) -> None:
    """Send log lines to standard error and, if named, to a file of bounded size and number."""

    def patch(record: Record) -> None:
        message = _with_exception(record)
        record["message"] = mask(message) if mask_accounts else message

    logger.remove()
    logger.configure(patcher=patch)
    # `diagnose` would print the values of variables, account numbers among them.
    logger.add(sys.stderr, level=level, format=_PLAIN, serialize=as_json, diagnose=False)
    if file is not None:
        logger.add(
            file,
            level=level,
            format=_PLAIN,
            serialize=as_json,
            rotation=rotation,
            retention=retention,
            diagnose=False,
        )
