"""What the log says when the daemon ends by itself."""

from __future__ import annotations

import pytest

from tests.support.status_rig import logged
from tracker.daemon.run import log_failure
from tracker.gateway.capture_sink import CaptureFailed
from tracker.journal.journal_file import JournalFailed


def said(cause: Exception) -> str:
    """Return what is logged where capture ended because of this."""
    with logged() as lines:
        with pytest.raises(CaptureFailed) as failed:
            raise CaptureFailed(f"capture stopped: {cause}") from cause
        log_failure(failed.value)
    return "".join(lines)


def test_mistake_of_ours_is_logged_whole() -> None:
    """The name of a key that is missing helps nobody without its place in the code."""
    text = said(KeyError("windows"))
    assert "capture stopped: 'windows'" in text
    assert "KeyError" in text


def test_full_disk_is_logged_without_traceback() -> None:
    """What an operator can mend says so in one line."""
    assert said(JournalFailed("the disk is full; make room")).count("\n") == 1
