"""Write text that a person reads in a terminal: one width, wrapping, no control characters, the nearest word.

Owns how a text becomes lines. It knows no command and prints nothing, so every package may use it.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable
from typing import Final

WIDTH: Final = 80
"""Columns of everything that a command prints for people."""
_SEARCHED: Final = 100
"""A longer word is cut to so many characters before the nearest known word is searched."""


def printable(text: str) -> str:
    """Return the text on one line, with `?` for each character that a terminal would obey or cannot show.

    Texts of the broker and of other programs' files may hold escape sequences, bells and newlines.
    """
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each made printable."""
    return "\n".join(map(printable, text.split("\n")))


def wrap(text: str, first: str = "", rest: str | None = None) -> list[str]:
    """Wrap a text at WIDTH; the first line begins with `first`, each other one with `rest`.

    Without `rest` the others are indented two columns further than `first`. A word without blanks, such as an
    execId or a path, is never broken, so that it can be copied.
    """
    lines = textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=f"{first}  " if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or ([first.rstrip()] if first.strip() else [])


def labelled(label: str, text: object, column: int) -> list[str]:
    """Wrap a text that begins at `column`, with its label to the left of the first line."""
    return wrap(str(text), f"{printable(label):<{column - 1}} ", " " * column)


def counted(count: object, noun: str) -> str:
    """Write a number and its noun, in the plural unless it is 1."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.0) -> str:
    """Return the known word most similar to this one, ignoring case; empty where none is similar enough.

    `likeness` is the similarity required, from 0 (any word) to 1 (the same word).
    """
    folded = {name.casefold(): name for name in sorted(known)}
    # The search is quadratic in the length of the word, and clients of the status socket choose that length.
    found = difflib.get_close_matches(word.casefold()[:_SEARCHED], folded, n=1, cutoff=likeness)
    return folded[found[0]] if found else ""
