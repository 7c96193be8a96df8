"""Follow which sweeps are in progress, and for which accounts one has ended since the last break.

Owns what was asked about the day's executions. A break is the end of a connection, or of the gateway's own
link to IBKR: an answer requested before it may be incomplete.
"""

from __future__ import annotations

from collections.abc import Iterable


class Sweeps:
    """Follow the sweeps of one connection after the other."""

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        """request -> account"""
        self._stale: set[int] = set()
        """Requests that were sent before the last break."""
        self._quiet: dict[int, str] = {}
        """Requests that are no longer waited for, and whose end may still come."""
        self._over: set[str] = set()
        """Accounts of which a sweep requested since the last break is over: ended, quiet or timed out."""
        self.ended: set[str] = set()
        """Accounts of which such a sweep ended; no answer about positions is certain for the others."""

    @property
    def under_way(self) -> bool:
        return bool(self._open)

    def answers(self, request: int) -> bool:
        """Return whether an execution answers a sweep that is under way."""
        return request in self._open

    def is_over(self, account: str) -> bool:
        """Return whether a sweep of the account, asked since the last break, is over."""
        return account in self._over

    def due(self, account: str) -> bool:
        """Return whether an answer about the day may still bring something of this account."""
        return self.under_way or account not in self._over

    def awaited(self, accounts: Iterable[str]) -> bool:
        """Return whether an answer is under way, or will be asked for since the last break."""
        return self.under_way or not self._over.issuperset(accounts)

    def asked(self, request: int, account: str) -> None:
        """Have the executions of this answer wait for its end.

        An account has one at a time: where the end of the one before could not be decided, it is over.
        """
        for before in [each for each, of in self._open.items() if of == account]:
            self._close(before)
        self._quiet = {each: of for each, of in self._quiet.items() if of != account}
        self._open[request] = account

    def over(self, request: int, *, ended: bool, may_end: bool = False) -> bool:
        """End one; True where it is the first of its account since the last break."""
        quiet = self._quiet.pop(request, "")
        if quiet and ended:
            self.ended.add(quiet)
        stale, account = request in self._stale, self._close(request)
        if not account or stale:
            return False
        if ended:
            self.ended.add(account)
        elif may_end:
            self._quiet[request] = account
        first = account not in self._over
        self._over.add(account)
        return first

    def _close(self, request: int) -> str:
        """Forget a request; returns its account, empty where it is not under way."""
        self._stale.discard(request)
        return self._open.pop(request, "")

    def broke(self) -> None:
        """Let the sweeps in progress prove nothing, since the link to IBKR was lost."""
        self._quiet.clear()
        self._over.clear()
        self.ended.clear()
        self._stale.update(self._open)

    def forget(self) -> None:
        """Begin a connection."""
        self._open.clear()
        self._stale.clear()
        self._quiet.clear()
        self._over.clear()
        self.ended.clear()
