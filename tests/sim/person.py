"""What a person does in a simulated life: assigns, dismisses, accepts a gap, and takes each of these back.

Owns the choice, from what is known to wait for a person. How a decision is taken back the commands say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from tests.sim import spellings
from tests.sim.options import Options
from tests.sim.oracle_feed import OracleFeed
from tracker.core.journal_entries import Assigned, Dismissed, Entry, Undone, read_entry
from tracker.core.model import Alert, ExecutionKey
from tracker.core.ports import AlertStore
from tracker.core.state import GAPS
from tracker.journal.journal import Journal
from tracker.paper.model import PaperExecution
from tracker.queries.gaps import acceptance
from tracker.queries.undoing import undoing
from tracker.status.protocol import CommandError

_SECOND_THOUGHTS: Final = 4
"""How much more often a person thinks again than decides."""
_MOST: Final = 0.3


class Person:
    """Decide as people do; `tell` is given a line for each thing done."""

    def __init__(
        self, seed: int, rng: Random, options: Options, feed: OracleFeed, tell: Callable[[str], None]
    ) -> None:
        self._rng = rng
        # Its own, so that what is decided again changes nothing of the life before it.
        self._again = Random(f"second thoughts of {seed}")
        self._rate = min(_SECOND_THOUGHTS * options.persons, _MOST)
        self._dies = bool(options.kills or options.crashes)
        self._feed = feed
        self._tell = tell

    def decide(self, store: AlertStore) -> Sequence[Entry]:
        """Assign an execution that was taken in, or dismiss one that waits for a person."""
        waiting = [exec_id for entry in self._feed.now().inbox for exec_id in entry.exec_ids]
        dismissed = self._rng.random() < 0.3
        watched = self._feed.watched
        choices = [
            made
            for made in self._feed.known.values()
            if made.contract.sec_type != "BAG"
            and (not watched or made.account in watched)
            and (made.exec_id in waiting or not dismissed)
        ]
        if not choices:
            return ()
        made = self._rng.choice(choices)
        key = ExecutionKey(made.account, made.exec_id)
        if dismissed:
            return self._told(Dismissed(key))
        alerts = [alert.id for alert in store.alerts() if _may_be(made, alert)]
        return self._told(Assigned(key, self._rng.choice(alerts))) if alerts else ()

    def think_again(self, journal: Journal) -> Sequence[Entry]:
        """Take a decision back, or accept the gap of a day, which may be taken back too."""
        if self._again.random() >= self._rate:
            return ()
        if (days := _gaps(journal, "")) and self._again.random() < 0.5:
            return self._told(acceptance(journal.state, self._again.choice(days)))
        entries = [(frame.seq, read_entry(frame)) for frame in journal.notes()]
        undone = {entry.frame for _, entry in entries if isinstance(entry, Undone)}
        names = [
            str(seq)
            for seq, entry in entries
            if isinstance(entry, Assigned | Dismissed) and seq not in undone
        ]
        names += _gaps(journal, "person")
        if not names:
            return ()
        try:
            return self._told(*undoing(journal, self._again.choice(names)).entries)
        except CommandError:
            # A later decision about the same order must be taken back first, as the answer says.
            return ()

    @property
    def kills(self) -> bool:
        """Return whether the process is killed behind what was decided again."""
        return self._dies and self._again.random() < 0.3

    def _told(self, *entries: Entry) -> Sequence[Entry]:
        for entry in entries:
            self._tell(f"a person: {entry}")
        return entries


def _may_be(made: PaperExecution, alert: Alert) -> bool:
    """Return whether a person may take a fill for an alert's."""
    return (
        alert.id.ticker in spellings.tickers(made.contract)
        and alert.is_option == (made.contract.sec_type == "OPT")
        and alert.right in ("", made.contract.right)
    )


def _gaps(journal: Journal, closed: str) -> list[str]:
    """Return the days of the gaps that were closed so."""
    return sorted(gap.day.isoformat() for gap in journal.state.every(GAPS) if gap.closed_how == closed)
