"""Text for a terminal: wrapped at one width, without control characters, the nearest word for a mistake."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from tracker.terminal import WIDTH, labelled, nearest, printable, printable_lines, wrap


def test_wrap_indents_and_keeps_words_whole() -> None:
    """A path longer than the width stays whole, so that it can be copied."""
    path = "/" + "folder/" * 15 + "alerts.json"
    assert wrap(f"read {path} again", "  ") == ["  read", f"    {path}", "    again"]
    assert wrap("one two", "-> ", "   ") == ["-> one two"]
    assert wrap("") == []
    assert wrap("", "fills:  ") == ["fills:"]


def test_labelled_begins_at_column() -> None:
    lines = labelled("reason", "word " * 20, 12)
    assert lines[0].startswith("reason      word word")
    assert lines[1].startswith(" " * 12 + "word")


def test_control_characters_become_question_marks() -> None:
    assert printable("a\x1b[2J\x07b\nc\x9bd\u202ee") == "a?[2J?b?c?d?e"
    assert printable("Zürich € 😀") == "Zürich € 😀"
    assert printable_lines("one\x1b\ntwo\r\n") == "one?\ntwo?\n"


@given(st.text())
def test_wrapped_text_is_printable(text: str) -> None:
    lines = wrap(text, "  ")
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= WIDTH or " " not in line.strip() for line in lines)


def test_nearest_ignores_case() -> None:
    assert nearest("STAUTS", ["fills", "status", "watch"]) == "status"
    assert nearest("zzz", ["fills", "status"], likeness=0.6) == ""
    assert nearest("zzz", []) == ""


def test_nearest_is_quick_for_long_words() -> None:
    """Strangers choose what is searched for; 64 KiB of it take no longer than 100 characters."""
    begun = time.perf_counter()
    assert nearest("/" * 65_536, ["robindahood-alerts/NVDA", "wolf/TSLA"])
    assert time.perf_counter() - begun < 1
