"""Hold a tracker's place in the shared store: its seat, its epoch, and the accounts that it counts.

Owns what a tracker says about itself to the server, and the words about another tracker that has its place. A
seat belongs to one journal, and an account to one seat.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

from loguru import logger

from tracker.core.ports import StoreMisconfigured
from tracker.stores.lock import Locked
from tracker.stores.shared_connection import SeatLost, ServerConnection

ALIVE: Final = timedelta(minutes=1)
"""How long after its last sign of life a tracker counts as running; several beats."""


class Fenced(Locked):
    """Say that another tracker has this one's seat or account, so that this one writes nothing more and
    ends.
    """


class HeldSeat:
    """Hold one seat of one journal, for one process; its methods may be called from any thread."""

    def __init__(self, name: str, host: str, zone: str, *, journal: str | None, known_epoch: int) -> None:
        """Take the names of seat, host and `stores.timezone`; `journal` is the journal's uuid."""
        self.name = name
        self.epoch = 0
        """The epoch of the seat; 0 until the seat was taken."""
        self.known_epoch = known_epoch
        """The last epoch of this seat that the journal knows of; 0 for none."""
        self._host = host
        self._zone = zone
        self.journal = journal
        self._lock = threading.Lock()
        self._calls = count(1)
        self._accounts: tuple[str, ...] = ()
        self._claimed = False
        self.others: dict[str, str] = {}
        """Account that another seat counts -> its tracker in words, as last read."""

    def take(self, connection: ServerConnection, lost: SeatLost | None = None, epoch: int = 0) -> None:
        """Take the seat, if this process has not taken it yet; with `lost`, take it again after a failover
        that lost the epoch.

        `epoch` is that of the call that raised `lost`. Raises Fenced where another tracker has the seat,
        StoreMisconfigured, StoreUnavailable.
        """
        with self._lock:
            if self.epoch and (lost is None or self.epoch != epoch):
                return
            if lost is not None and not (lost.ours and lost.epoch < epoch):
                raise self._fenced(lost)
            assert self.journal is not None, "whoever writes has a journal"
            if not self.epoch and self.known_epoch:
                self._leave_to_running_copy(connection)
            rows = connection.call(
                "SELECT * FROM tracker.take_seat(%s, %s, %s, %s)",
                *(self.name, self.journal, self._host, self.epoch),
            )
            taken, found, host, seen_at, _version, zone = rows[0]
            if not taken:
                raise Fenced(
                    f"the seat {self.name} of {connection.name} is taken by the tracker on {host}, last seen"
                    f" {_moment(seen_at)}; set another shared.seat here, or, if that one is gone for good,"
                    f" run `tracker store free {self.name}` and start again"
                )
            if zone != self._zone:
                raise StoreMisconfigured(
                    f"stores.timezone is {self._zone} here and {zone} for all trackers of {connection.name};"
                    " set it to the same"
                )
            if self.epoch:
                logger.warning(
                    "{} had lost who has the seat {}; it was taken again", connection.name, self.name
                )
            self.epoch, self._claimed = found, False

    def _leave_to_running_copy(self, connection: ServerConnection) -> None:
        """Raise Fenced where a copy of this journal took the seat on another host later, and still runs.

        What this journal holds is older then, as on a box that was replaced and comes back.
        """
        try:
            # Without parts this only asks whether the epoch is still the last one.
            connection.call(
                "SELECT * FROM tracker.write_parts(%s, %s, %s, 0, '[]')",
                *(self.name, self.journal, self.known_epoch),
            )
        except SeatLost as lost:
            newer = lost.ours and lost.epoch > self.known_epoch and lost.host != self._host
            if not newer or lost.seen_at is None:
                return
            ((server_time,),) = connection.call("SELECT clock_timestamp()")
            if server_time - lost.seen_at < ALIVE:
                raise Fenced(
                    f"{self._taken_by(lost)}; nothing was written: keep this one stopped, or stop that one,"
                    " wait a minute and start this one, whose journal is older"
                ) from None

    def _taken_by(self, lost: SeatLost) -> str:
        how = "with a copy of this journal" if lost.ours else "with another journal"
        return (
            f"the tracker on {lost.host} has taken the seat {self.name} {how}, last seen"
            f" {_moment(lost.seen_at)}"
        )

    def _fenced(self, lost: SeatLost) -> Fenced:
        if not lost.host:
            return Fenced(
                f"the seat {self.name} was freed while this tracker had it (`tracker store free`);"
                " start it again to take the seat, if it may still write"
            )
        return Fenced(
            f"{self._taken_by(lost)}; this one writes nothing more: run one of them only, or give this one"
            " another shared.seat and journal"
        )

    def write(self, connection: ServerConnection, updates: str) -> Sequence[tuple[Any, ...]]:
        """Write parts, given as JSON; without parts the call only shows that the tracker runs. Raises what
        `take` raises.
        """
        self.take(connection)
        self.claim(connection)
        return self._kept(
            connection,
            lambda: connection.call(
                "SELECT * FROM tracker.write_parts(%s, %s, %s, %s, %s)",
                *(self.name, self.journal, self.epoch, next(self._calls), updates),
            ),
        )

    def vet(self, accounts: Sequence[str]) -> str | None:
        """Return why a login with these accounts must not be used; otherwise they will be claimed before any
        write.
        """
        for account in accounts:
            if owner := self.others.get(account):
                return (
                    f"account {account} is counted by {owner}, and would count twice; name the accounts of"
                    " this tracker in gateway.accounts, or stop the other one and run `tracker store free`"
                    " with --forget"
                )
        # Without the lock, since a call may hold it for long and the event loop asks this.
        if set(accounts) != set(self._accounts):
            self._accounts, self._claimed = tuple(accounts), False
        return None

    def claim(self, connection: ServerConnection) -> None:
        """Claim the accounts, if that was not done yet; raises Fenced where another seat counts one."""
        if self._claimed or not self._accounts:
            return
        accounts = self._accounts
        rows = self._kept(
            connection,
            lambda: connection.call(
                "SELECT * FROM tracker.claim_accounts(%s, %s, %s, %s)",
                *(self.name, self.journal, self.epoch, list(accounts)),
            ),
        )
        if rows:
            self.others.update({account: _whose(seat, host) for account, seat, host in rows})
            raise Fenced(f"{self.vet(accounts)}; nothing was written to {connection.name}")
        self._claimed = accounts == self._accounts

    def read_others(self, connection: ServerConnection) -> None:
        """Read which accounts other seats count; raises StoreUnavailable."""
        rows = connection.call("SELECT seat, host, accounts FROM tracker.seats WHERE seat <> %s", self.name)
        self.others = {account: _whose(seat, host) for seat, host, accounts in rows for account in accounts}

    def forget_claims(self) -> None:
        """Claim the accounts again before the next write: the server may be another one, or have lost
        them.
        """
        self._claimed = False

    def _kept(
        self, connection: ServerConnection, call: Callable[[], Sequence[tuple[Any, ...]]]
    ) -> Sequence[tuple[Any, ...]]:
        """Make a call, and repeat it once if the seat had to be taken again."""
        epoch = self.epoch
        try:
            return call()
        except SeatLost as lost:
            self.take(connection, lost, epoch)
        try:
            return call()
        except SeatLost as lost:
            raise self._fenced(lost) from None


def _whose(seat: str, host: str) -> str:
    return f"the tracker on {host} (seat {seat})"


def _moment(value: datetime | None) -> str:
    return "at an unknown time" if value is None else f"at {value.isoformat(timespec='seconds')}"
