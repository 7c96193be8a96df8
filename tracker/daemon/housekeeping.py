"""Look after the files of a running tracker: the journal's size and file, the locks, the token.

Owns what is checked each minute and each second, and what a person is warned of. It decides nothing about
fills.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from tracker.core.alert_updates import instant
from tracker.core.model import JsonValue
from tracker.journal.journal_file import large_wal
from tracker.queries import gaps
from tracker.queries.lookup import needing_decision
from tracker.queries.zone_hint import zone_hint
from tracker.status.token import TokenFile
from tracker.wiring import OpenedFiles

_MINUTE: Final = 60.0
_FILE_CHECK_SECONDS: Final = 1.0


class Housekeeping:
    """Look after the files of one daemon; `pass_on` publishes an event of this run."""

    def __init__(
        self,
        files: OpenedFiles,
        token: TokenFile,
        pass_on: Callable[[dict[str, JsonValue]], None],
        now: Callable[[], datetime],
    ) -> None:
        self._settings = files.settings
        self._journal = files.journal
        self._locks = files.locks
        self._token = token
        self._pass_on = pass_on
        self._now = now

    async def keep_house(self) -> None:
        """Every minute: delete raw frames that are older than the settings keep them, and warn of two things.

        They are a day that is about to end unproven, and times in the stores that seem to be read in a wrong
        zone.
        """
        warned = hinted = ""
        journal, settings = self._journal, self._settings
        while True:
            journal.drop_frames(self._now() - timedelta(days=settings.stores.frame_days))
            journal.drop_events(self._now() - timedelta(days=settings.stores.event_days))
            warning = gaps.warning(journal.state, self._now(), settings.login_zone())
            if warning and not warned:
                logger.warning("{}", warning)
                self._pass_on({"event": "unproven", "at": instant(self._now()), "reason": warning})
            warned = warning
            hint = zone_hint(journal, needing_decision(journal.state), settings.store_zone())
            if hint and not hinted:
                logger.warning("{}", hint)
            hinted = hint
            await asyncio.sleep(_MINUTE)

    async def watch_files(self) -> None:
        """End the daemon where the journal is no longer the file that it wrote, or somebody took a lock.

        Warns while the journal cannot be emptied.
        """
        warned = False
        self._journal.stamp_file()
        while True:
            self._journal.check_file()
            for lock in self._locks:
                lock.keep()
            size = large_wal(self._journal.path)
            if size and not warned:
                logger.warning(
                    "{}-wal has grown to {} MB: another program keeps reading the journal; find it with"
                    " `fuser {}-wal` and end it",
                    *(self._journal.path, size // 1_000_000, self._journal.path),
                )
            warned = bool(size)
            await asyncio.sleep(_FILE_CHECK_SECONDS)

    async def keep_token(self) -> None:
        """Write the token's file again where it is lost, and warn once of each thing that happens to it."""
        warned = ""
        while True:
            trouble = self._token.keep()
            if trouble and trouble != warned:
                logger.warning("{}", trouble)
            warned = trouble
            await asyncio.sleep(_FILE_CHECK_SECONDS)
