"""Hide account numbers in what is logged: those of the login by name, all others by how they look.

Owns which accounts are known. It knows no log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_ACCOUNT: Final = re.compile(r"\b(D[UFI][A-Z]{0,2}|[UFI])\d{3,}(\d{2}|\d[A-Z])\b")
"""What IBKR's account numbers look like."""
_SHORTEST: Final = 4
"""The shortest account that is masked by name; a shorter one would mask other words too."""
_own: re.Pattern[str] | None = None
"""Finds the accounts of our own login, whatever they look like."""


def know_accounts(accounts: Iterable[str]) -> None:
    """Mask these accounts by name from now on, besides everything that looks like an account number."""
    global _own
    names = sorted({name for name in accounts if len(name) >= _SHORTEST}, key=len, reverse=True)
    found = "|".join(map(re.escape, names))
    _own = re.compile(rf"(?<![A-Za-z0-9])(?:{found})(?![A-Za-z0-9])") if names else None


def mask(text: str) -> str:
    """Hide all but the first letters and the last two characters of account numbers."""
    if _own is not None:
        text = _own.sub(_hidden, text)
    return _ACCOUNT.sub(r"\1***\2", text)


def _hidden(account: re.Match[str]) -> str:
    name = account[0]
    kind = re.match("[A-Za-z]{0,3}(?=[0-9])", name)
    return f"{kind[0] if kind is not None else name[0]}***{name[-2:]}"
