"""The bar of long commands: drawn on a terminal only, cleared at the end."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from tests.support.daemon_rig import BOUND_SECONDS
from tracker.cli.progress_bar import ProgressBar, Watching
from tracker.progress import Stage


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal; called in the test, since pytest sets it anew for that."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_bar_is_drawn_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter and the whole, each over the line before; the end clears it."""
    terminal = on_terminal(monkeypatch)
    bar = ProgressBar()
    bar.show(Stage("taking in", 5, 20, "execution"))
    bar.show(Stage("taking in", 20, 20, "execution"))
    bar.show(Stage("a \x1b[31mred name " + "x" * 90, 1, None, "fill"))
    bar.end()
    bar.end()
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert drawn[1] == "[#####               ] taking in: 5 of 20 executions"
    assert drawn[2] == "[####################] taking in: 20 of 20 executions"
    assert drawn[3].startswith("a ?[31mred name xxx")
    assert len(drawn[3]) == 79
    assert drawn[4:] == [""]


def test_programs_get_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()
    with Watching(lambda: "half of it", bar, 0.01):
        bar.show(Stage("taking in", 5, 20, "execution"))
    assert capsys.readouterr().err == ""


def test_work_of_another_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a running tracker says of its work is drawn until that is over; silence draws nothing."""
    terminal = on_terminal(monkeypatch)
    asked = threading.Event()
    answers = iter(["", "reading: 1.0 of 2.0 MB"])

    def ask() -> str:
        text = next(answers, "")
        if text:
            return text
        if "reading" in terminal.getvalue():
            asked.set()
        return ""

    with Watching(ask, ProgressBar(), 0.01):
        assert asked.wait(BOUND_SECONDS)
    assert terminal.getvalue() == "\r\x1b[Kreading: 1.0 of 2.0 MB\r\x1b[K"
