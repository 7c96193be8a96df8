"""Decide whether a login may be used with a journal: paper or live, watched accounts, no advisor's master.

Owns every rule about which login is accepted. A paper fill among live ones would open alerts for money that
is not there, so the first login binds the journal to its kind. It reads and writes nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

_MASTER: Final = re.compile(r"D?F\d+$")
_PAPER: Final = re.compile(r"D[A-Z]")

PAPER: Final = "paper"
LIVE: Final = "live"


def kind_of(accounts: Sequence[str]) -> str:
    """Return paper where every account is a paper account (IBKR numbers them DU, DF, DI), else live."""
    return PAPER if accounts and all(_PAPER.match(account) for account in accounts) else LIVE


def refusal(managed: Sequence[str], watched: Sequence[str], bound_to: str | None) -> str | None:
    """Return why this login must not be used, None where it may.

    `bound_to` is the kind of login that the journal knows, None before its first.
    """
    masters = [account for account in managed if _MASTER.match(account)]
    if masters:
        return (
            f"{masters[0]} is an advisor's master account: its executions are allocated to clients later,"
            " so fills would be counted twice; log in with a client account's own user"
        )
    missing = [account for account in watched if account not in managed]
    if missing:
        return (
            f"gateway.accounts names {missing[0]}, which this login does not manage"
            f" (it manages {', '.join(managed) or 'none'}); correct the setting or the login"
        )
    kind = kind_of(managed)
    if bound_to is not None and kind != bound_to:
        return (
            f"this is a {kind} login, and the journal holds {bound_to} fills; give it a journal and an"
            " alerts file of their own (stores.journal, stores.alerts)"
        )
    return None


class LoginPolicy:
    """Accept or refuse the logins that one journal meets.

    `watched` are the accounts of the settings, empty for all. `bound_to` returns the kind of login that the
    journal knows, `bind` keeps it at the first login that is accepted.
    """

    def __init__(
        self, watched: Sequence[str], bound_to: Callable[[], str | None], bind: Callable[[str], None]
    ) -> None:
        self._watched = watched
        self._bound_to = bound_to
        self._bind = bind

    def refuse(self, managed: Sequence[str]) -> str | None:
        """Return why a login with these accounts must not be used, None where it may."""
        bound_to = self._bound_to()
        reason = refusal(managed, self._watched, bound_to)
        if reason is None and bound_to is None:
            self._bind(kind_of(managed))
        return reason
