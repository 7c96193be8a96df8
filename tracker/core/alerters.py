"""Decide when two spellings mean the same alerter, or the same ticker.

Owns the built-in table of alerters, whose names differ from store to store, and what settings add to it.
It never decides which alerters exist: any other name is an alerter too, known by its own spelling.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

AlerterEntry: TypeAlias = tuple[str, str, Sequence[str]]
"""(name, title, aliases): the key in alerts.json, the name to show, further spellings."""

BUILT_IN: Final[tuple[AlerterEntry, ...]] = (
    ("real-day-trading", "RealDayTrading", ()),
    ("demslayer", "Demslayer", ("demslayer-spx-alerts", "demspxslayer", "demspxslayer-and-leaps")),
    ("prof-and-kian-alerts", "ProfAndKian", ()),
    ("robindahood-alerts", "RobinDaHood", ()),
)

_TRAILING_ALERTS: Final = re.compile("(?<=.)alerts?$")
_ALWAYS_SPX: Final = frozenset({"demspxslayer", "demspxslayerandleaps"})


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Reduce an alerter's name to the part that its spellings share.

    Letters and digits in lower case, without a trailing alert or alerts; a name that has nothing else, or
    no letter or digit at all, is kept so that two such names stay apart.
    """
    # Some systems write an accent as a sign of its own behind its letter.
    whole = unicodedata.normalize("NFC", name.lower())
    letters = "".join(sign for sign in whole if sign.isalnum())
    if not letters:
        return name.strip()
    return _TRAILING_ALERTS.sub("", letters)


@lru_cache(maxsize=4096)
def symbol_key(symbol: str) -> str:
    """Reduce a ticker to what spellings share: `brk.b`, `BRK/B`, `BRK-B`, `$BRKB`, IBKR's `BRK B`."""
    return "".join(sign for sign in symbol.upper() if sign not in "$.-/" and not sign.isspace())


class AlerterNames:
    """Recognise alerters by canonical name and explicit alias."""

    def __init__(self, entries: Iterable[AlerterEntry] = ()) -> None:
        """Add entries of the settings to the built-in table.

        An entry whose name is already an alerter's (under any spelling) adds its aliases and, if it has
        one, its title to that alerter. A ValueError names an alias that two alerters claim.
        """
        self._keys: dict[str, str] = {}
        self._titles: dict[str, str] = {}
        for name, title, aliases in (*BUILT_IN, *entries):
            key = self.key(name)
            self._keys[canonical(name)] = key
            if title.strip():
                self._titles[key] = title.strip()
            for alias in (*aliases, *filter(None, (title.strip(),))):
                self._claim(alias, key)

    def _claim(self, alias: str, key: str) -> None:
        owner = self._keys.setdefault(canonical(alias), key)
        if owner != key:
            raise ValueError(
                f"alias {alias!r} of alerter {self.title(key)!r} already means {self.title(owner)!r}; "
                "remove it from one of them"
            )

    def key(self, name: str) -> str:
        """Return the one key under which every spelling of this alerter is found."""
        plain = canonical(name)
        return self._keys.get(plain, plain)

    def same(self, one: str, other: str) -> bool:
        """Return whether two names mean the same alerter."""
        return self.key(one) == self.key(other)

    def knows(self, name: str) -> bool:
        """Return whether the table or the settings list this alerter; others are alerters all the same."""
        return canonical(name) in self._keys

    def title(self, name: str) -> str:
        """Return the name to show people; for an unlisted alerter the name as given."""
        return self._titles.get(self.key(name), name)

    def fixed_symbol(self, name: str) -> str:
        """Return the only ticker that an alerter is ever about, else an empty text."""
        return "SPX" if canonical(name) in _ALWAYS_SPX else ""
