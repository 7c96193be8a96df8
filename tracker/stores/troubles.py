"""Keep why a store's file cannot be read or written now, and since when.

Owns the words for each failure of the disk and for content that is not JSON, with the next step. It never
retries and never hides a failure.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tracker.core.model import StoreUnavailable
from tracker.stores.filesystem import failure_words
from tracker.stores.json_document import NotAnObject


def unreadable(content: bytes, error: ValueError) -> str:
    """Return what is wrong with a file's content that raised this error, and the next step."""
    if content.startswith(codecs.BOM_UTF8):
        return "starts with a byte order mark; it is left alone until its writer leaves that out"
    if not content.strip():
        what = "is empty"
    elif isinstance(error, NotAnObject):
        return (
            f"cannot be read as JSON ({error}); it is left alone until it is an object of alerters again:"
            " correct the program that writes it, or stores.alerts"
        )
    else:
        what = f"cannot be read as JSON ({error})"
    return f"{what}; it is left alone until its writer has finished it"


class Troubles:
    """Note the failures of one file; `now` is aware UTC."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._found: dict[str, tuple[datetime, str]] = {}

    @property
    def first(self) -> tuple[datetime, str] | None:
        """Return since when the file cannot be read or written, and why; None while all is well."""
        return min(self._found.values(), default=None)

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Note a failure while the file is `read` or `written`, and raise it as StoreUnavailable."""
        try:
            yield
        except StoreUnavailable as error:
            self._note(what, str(error))
            raise
        except OSError as error:
            reason = f"{self._path} cannot be {what}: {failure_words(error)}"
            self._note(what, reason)
            raise StoreUnavailable(reason) from error
        except RecursionError as error:
            # The text could be split, but a value in it is nested deeper than the stack allows here.
            reason = f"{self._path} cannot be {what}: a value is nested too deeply; take it out of the file"
            self._note(what, reason)
            raise StoreUnavailable(reason) from error
        self._found.pop(what, None)

    def _note(self, what: str, reason: str) -> None:
        # A file that cannot be read is not written either; that is one failure, not two.
        if "read" not in self._found:
            self._found[what] = (self._found.get(what, (self._now(),))[0], reason)
