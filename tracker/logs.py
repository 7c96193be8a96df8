"""Set up where log lines go: standard error, and a rotating file when asked.

Owns the masking of account numbers. Nothing is ever logged to standard output, which carries answers only.
"""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record

_ACCOUNT: Final = re.compile(r"\b(D?[UFI])\d{3,}(\d{2})\b")
_PLAIN: Final = "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> {message}"


def mask(text: str) -> str:
    """Hide all but the kind and the last two digits of account numbers."""
    return _ACCOUNT.sub(r"\1***\2", text)


def _with_exception(record: Record) -> str:
    """Return the message with the exception's lines, taken out of the record: they name accounts too."""
    error = record["exception"]
    if error is None:
        return record["message"]
    record["exception"] = None
    lines = traceback.format_exception(error.type, error.value, error.traceback)
    return f"{record['message']}\n{''.join(lines).rstrip()}"


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
        if mask_accounts:
            record["message"] = mask(_with_exception(record))

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
