"""Replace the names of accounts and people in messages, the same name by the same text everywhere.

Owns which names were seen, what replaces each, and the search for names that were left. Names are learned
from all messages before the first is replaced, so that a name seen late is also replaced in earlier messages.
It writes nothing.

- A name is found by its place in a known message; an account number also by its form.
- In texts for people, known names are searched. An unknown message keeps only fields that cannot be names.
- While messages are replaced as they come, texts for people are left out, since they may contain a name that
  is seen later.
- A reference ALERTER/TICKER of a built-in alerter stays if the ticker is that of the order's contract:
  matching depends on it, and it tells nothing that the tracker's source and the contract do not.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Final

from tracker.core.alerters import AlerterNames, symbol_key
from tracker.core.journal_entries import Fields
from tracker.recordings.message_layouts import (
    Part,
    contract_names,
    is_harmless,
    is_token,
    parts_of,
)
from tracker.recordings.transcript import HANDSHAKE, Line, LinkClosed, Said

ACCOUNT: Final = re.compile(r"(?<![A-Za-z0-9])(?:D[UFI][A-Z]{0,2}|[UFI])\d{5,9}[A-Z]?(?![A-Za-z0-9])")
"""The form of IBKR's account numbers."""
_ACCOUNT_IN_WORDS: Final = re.compile(ACCOUNT.pattern, re.IGNORECASE)
"""The same in texts for people; elsewhere parts of an execId have this form."""
_SHORTEST: Final = 3
"""The shortest name that is searched in texts; a shorter one is replaced only in fields for names."""
_LONG_NUMBER: Final = re.compile(r"\d{6,}")
"""A name that is a number, and too long for a quantity."""
_FIRST: Final = 9_000_001
_TRIES: Final = 1000
"""The most replacements that are tried for one name."""
_LETTERS: Final = re.compile(r"(?:D[UFI][A-Z]{0,2}|[UFI])(?=\d)")
"""The letters that distinguish paper, advisor's and other accounts."""
_ESCAPED_BYTE: Final = re.compile(r"\\x([0-9a-f]{2})")
_XML_TEXT: Final = re.compile(r"""(?:>|<!\[CDATA\[)([^<>]*[^<>\s][^<>]*?)(?:<|\]\]>)|name=["']([^"']+)["']""")
_BUILT_IN: Final = AlerterNames()
_OURS: Final = "tracker:"
_NOTHING: Final = re.compile(r"(?!)")
LEFT_OUT: Final = "(left out)"
"""Replaces a text that may contain a name that is not known yet."""


class NameLeft(Exception):
    """Raised where text that was to be written contains a name; the message has its kind and place, not the
    name.
    """


class Redactor:
    """Learn names from messages, then replace them; `learn` everything before the first `redact`."""

    def __init__(self, hidden: Iterable[str] = (), accounts: Iterable[str] = ()) -> None:
        """Prepare with what is known beforehand: texts to hide everywhere, and account numbers."""
        self._names: dict[str, Part] = {}
        self._public: set[str] = set()
        self._versions: dict[int, int] = {}
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()
        self._numbers: dict[str, Iterator[int]] = {}
        """The beginning of a replacement -> the numbers that it has not used yet."""
        self._forms: dict[str, str] = {}
        """A name as it may be written, in lower case -> the name; made once all names are learned."""
        self._search: re.Pattern[str] | None = None
        self._strict: re.Pattern[str] | None = None
        """Finds texts that must not appear anywhere: accounts, and texts to hide; None until it is made."""
        self._hidden = tuple(word for word in hidden if word)
        for word in self._hidden:
            self._names[word] = Part.OTHER
        for account in accounts:
            self._learn(Part.ACCOUNT, account)

    # First pass

    def learn(self, line: Line) -> None:
        """Learn the names of one message."""
        if not isinstance(line, Said):
            return
        for part, text in zip(self._parts(line), line.fields, strict=True):
            looks = _ACCOUNT_IN_WORDS if part is Part.WORDS else ACCOUNT
            for account in looks.findall(text):
                self._learn(Part.ACCOUNT, account.upper())
            if part is Part.ACCOUNTS:
                for account in text.split(","):
                    self._learn(Part.ACCOUNT, account)
            elif part is Part.PUBLIC:
                if not is_harmless(text):
                    self._public.add(text)
            elif part is Part.REFERENCE:
                if not _names_alert(text, contract_names(line.fields, line.by)):
                    self._learn(part, text)
            elif part is Part.ALLOCATION:
                for account in text.split("/")[1:2]:
                    self._learn(Part.ACCOUNT, account)
            elif part is not Part.WORDS:
                self._learn(part, text)

    def learn_text(self, text: str) -> None:
        """Learn the account numbers of a text that is no message."""
        for account in ACCOUNT.findall(text):
            self._learn(Part.ACCOUNT, account)

    def _learn(self, part: Part, text: str) -> None:
        if not text or _stays(part, text):
            return
        if part is Part.OTHER:
            # An advisor's groups and aliases come as XML.
            for found in _XML_TEXT.finditer(text):
                self._learn(part, html.unescape(found[1] or found[2]).strip())
        if text not in self._names:
            self._names[text] = part
            self._search = None
            if part is Part.ACCOUNT:
                self._strict = None

    # Second pass

    def redact(self, line: Line) -> Line:
        """Return the message with its names replaced."""
        if isinstance(line, LinkClosed):
            return line
        fields = tuple(
            self._field(part, text, line) for part, text in zip(self._parts(line), line.fields, strict=True)
        )
        return Said(line.at, line.link, line.by, fields, line.blocked)

    def redact_text(self, text: str) -> str:
        """Return a text with all names in it replaced."""
        return self._pattern().sub(lambda found: self._replacement(self._name_of(found[0])), text)

    def _field(self, part: Part, text: str, line: Said) -> str:
        if not text or (_stays(part, text) and not (self._hidden and self._must_go(text))):
            return text
        if part is Part.PUBLIC and text in self._public and not self._must_go(text):
            return text
        if part in (Part.PUBLIC, Part.WORDS):
            return self.redact_text(text)
        if part is Part.ALLOCATION:
            return "/".join(
                self._replacement(each) if each in self._names else each for each in text.split("/")
            )
        if part is Part.ACCOUNTS:
            return ",".join(self._replacement(each) if each else each for each in text.split(","))
        if part is Part.REFERENCE and _names_alert(text, contract_names(line.fields, line.by)):
            return text
        return self._replacement(text)

    def _replacement(self, name: str) -> str:
        # A replacement chosen before all names were known may turn out to be a name itself.
        if name not in self._given or self._must_go(self._given[name]):
            part = self._names.get(name, Part.OTHER)
            kind = _LETTERS.match(name) if part is Part.ACCOUNT else None
            begin = part.value if kind is None else kind[0]
            for number in islice(self._numbers.setdefault(begin, count(1)), _TRIES):
                given = f"{begin}-{number}" if kind is None else f"{begin}{_FIRST - 1 + number}"
                if given not in self._names and given not in self._taken and not self._must_go(given):
                    break
            else:
                raise NameLeft(
                    f"a name ({part.value}) cannot be replaced: all that could stand for it is hidden"
                )
            self._given[name] = given
            self._taken.add(given)
        return self._given[name]

    def _name_of(self, found: str) -> str:
        """Return the name that a search found; letters with three cases are found as written."""
        return self._forms.get(_without_breaks(found), found)

    def _searched(self, *, strict: bool) -> list[str]:
        """Return the names to search, the longest first: those not allowed anywhere, or the others.

        A name that is also a public word is left out.
        """
        public = {text.lower() for text in self._public}

        def told_apart(name: str) -> bool:
            if strict:
                return name in self._hidden or not is_harmless(name)
            plain = len(name) < _SHORTEST or name.lower() in public
            harmless = is_harmless(name) and not _LONG_NUMBER.fullmatch(name)
            return not (plain or harmless or is_token(name))

        names = (name for name in self._names if self._is_strict(name) is strict and told_apart(name))
        return sorted(names, key=len, reverse=True)

    def _forms_of(self, names: Iterable[str]) -> list[str]:
        """Return patterns for all ways to write the names, also broken into lines anywhere."""
        forms: list[str] = []
        for name in names:
            for spelling in _spellings(name):
                self._forms.setdefault(_without_breaks(spelling), name)
                forms.append(r"\s+".join(map(re.escape, spelling.split())))
        return [form for form in forms if form]

    def _pattern(self) -> re.Pattern[str]:
        """Return a pattern that finds any name."""
        if self._search is None:
            strict = self._forms_of(self._searched(strict=True))
            words = [
                rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])"
                for word in self._forms_of(self._searched(strict=False))
            ]
            self._search = _pattern_of([*strict, *words])
        return self._search

    def _is_strict(self, name: str) -> bool:
        """Return whether a name must not appear anywhere, even within a word or in a contract."""
        return name in self._hidden or self._names[name] is Part.ACCOUNT

    def _must_go(self, text: str) -> bool:
        """Return whether a text contains something that is not allowed anywhere."""
        if self._strict is None:
            self._strict = _pattern_of(self._forms_of(self._searched(strict=True)))
        return bool(self._strict.search(text))

    # Checking what was written

    def check(self, line: Line, place: str) -> None:
        """Raise NameLeft where a message that was redacted still holds a name."""
        if isinstance(line, Said):
            for text in line.fields:
                allowed = text in self._public or text in self._taken or is_harmless(text)
                if not allowed or self._must_go(text):
                    self.check_text(text, place)

    def check_text(self, text: str, place: str) -> None:
        """Raise NameLeft where a text that was redacted still holds a name."""
        found = self._pattern().search(text)
        if found is not None:
            kind = self._names.get(self._name_of(found[0]), Part.OTHER).value
            raise NameLeft(f"{place} still holds a name that is to be replaced ({kind})")
        if any(account not in self._taken for account in ACCOUNT.findall(text)):
            raise NameLeft(f"{place} still holds what looks like an account number")

    def _parts(self, line: Said) -> Iterable[Part]:
        if line.fields[0] == HANDSHAKE and len(line.fields) > 2 and line.fields[1].isdecimal():
            self._versions[line.link] = int(line.fields[1])
        version = self._versions.get(line.link, 0)
        return parts_of(line.fields[0], len(line.fields), line.by, version)

    @property
    def replaced(self) -> Mapping[str, int]:
        """How many names of each kind were replaced."""
        counts: dict[str, int] = {}
        for name in self._given:
            kind = self._names.get(name, Part.OTHER).value
            counts[kind] = counts.get(kind, 0) + 1
        return counts


class EarlyRedactor(Redactor):
    """Replace names while more may come: texts that could contain one not seen yet are left out."""

    def redact(self, line: Line) -> Line:
        """Learn the names of a message and return it without them; raises NameLeft."""
        self.learn(line)
        clean = super().redact(line)
        if isinstance(clean, Said) and any(map(self._must_go, clean.fields)):
            raise NameLeft("a message that was just recorded still holds a name that is to be replaced")
        return clean

    def redact_text(self, text: str) -> str:
        """Return a text that cannot contain a name, and a placeholder for any other."""
        return text if is_harmless(text) and not self._must_go(text) else LEFT_OUT


def _pattern_of(forms: Iterable[str]) -> re.Pattern[str]:
    joined = "|".join(forms)
    return re.compile(joined, re.IGNORECASE) if joined else _NOTHING


def _without_breaks(text: str) -> str:
    return " ".join(text.lower().split())


def _spellings(name: str) -> Iterable[str]:
    """Return a name as it is, composed and decomposed, escaped for ASCII, JSON, XML or a URL, or misread."""
    # What is no UTF-8 came in as an escape.
    plain = _ESCAPED_BYTE.sub(lambda found: chr(int(found[1], 16)), name)
    return dict.fromkeys(
        (
            name,
            plain,
            unicodedata.normalize("NFC", plain),
            unicodedata.normalize("NFD", plain),
            plain.encode("ascii", "backslashreplace").decode(),
            json.dumps(plain)[1:-1],
            html.escape(plain),
            urllib.parse.quote(plain),
            urllib.parse.quote_plus(plain),
            plain.encode().decode("latin-1"),
        )
    )


def _stays(part: Part, text: str) -> bool:
    """Return whether a text in a field for names is no name."""
    if part in (Part.OTHER, Part.PUBLIC):
        return is_harmless(text)
    return part is Part.GROUP and is_token(text)


def _names_alert(text: str, contract: Fields) -> bool:
    """Return whether a reference is ALERTER/TICKER of a built-in alerter, for the contract of its order."""
    plain = text[len(_OURS) :] if text.lower().startswith(_OURS) else text
    alerter, slash, ticker = plain.partition("/")
    known = bool(slash) and _BUILT_IN.knows(alerter)
    return known and symbol_key(ticker) in {symbol_key(name.split(" ")[0]) for name in contract if name}
