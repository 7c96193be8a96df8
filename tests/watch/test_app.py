"""`tracker watch` beside the real daemon and a paper gateway, by keyboard alone, on 80x24."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon_rig import BOUND_SECONDS, CALL, SHARES, Rig, details, record
from tests.support.free_ports import free_port
from tests.support.project import PROJECT
from tests.support.watch_rig import Screen, lines_of, watching
from tracker.cli import main
from tracker.paper.contracts import option
from tracker.watch.dialogs import ChoiceDialog, Confirmation

ROBIN = "robindahood-alerts"
PROF = "prof-and-kian-alerts"
NO_CONID: dict[str, Any] = {"option_conid": None, "option_conids": []}
PICTURE = PROJECT / "tracker/watch/watch.svg"
FOOTER = "Tab Next list  w Why  a Assign  d Dismiss  u Undo  r Refresh  ? Help  q Quit"


def play(
    folder: Path, story: Callable[[Rig, Screen], Awaitable[None]], size: tuple[int, int] = (80, 24)
) -> None:
    """Run a story with a daemon that receives fills, and a screen that watches it."""

    async def main() -> None:
        async with Rig(folder) as rig:
            loose = record(**NO_CONID, alert_details=details(expiry=None))
            other = record(**NO_CONID, alert_details=details(ticker="TSLA"))
            rig.write({ROBIN: {"NVDA": loose}, PROF: {"NVDA": loose}, "swing": {"TSLA": other}})
            await rig.start()
            async with watching(rig.status_port, rig.folder / "status.token", size) as screen:
                await screen.shows("RECEIVING FILLS")
                await story(rig, screen)

    asyncio.run(main())


def buy(rig: Rig, contract: Any = CALL, quantity: int = 4) -> None:
    rig.gateway.fill(rig.gateway.order(contract, "BUY", quantity, limit="2.51", client_id=7))


def part(screen: Screen, title: str) -> str:
    """Return the text of one list."""
    lines = screen.lines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(title))
    titles = ("OPEN ALERTS", "NEEDS YOU", "FILLS TODAY", "MESSAGE TO FILE")
    end = next(number for number in range(begin + 1, len(lines)) if lines[number].startswith(titles))
    return "\n".join(lines[begin:end])


def test_ambiguous_fill_assigned_by_keyboard(tmp_path: Path) -> None:
    """An ambiguous fill is assigned by keyboard and its alert opens."""

    async def story(rig: Rig, screen: Screen) -> None:
        buy(rig)
        await screen.shows("NEEDS YOU  1", "ambiguous:")
        assert not rig.read(ROBIN)["open"]
        assert not rig.read(PROF)["open"]
        await screen.press("a")
        await screen.shows("Which alert does this fill belong to?", f"1 {PROF}/NVDA", f"2 {ROBIN}/NVDA")
        await screen.press("down", "enter")
        await screen.shows(f"Assign BUY 4 NVDA 2030-12-20 122.5 C at 2.51 to {ROBIN}/NVDA?", "4 held")
        assert not rig.read(ROBIN)["open"], "nothing changes before it is confirmed"
        await screen.press("y")
        await screen.shows(
            "NEEDS YOU  0", "OPEN ALERTS  1", f"assigned to {ROBIN}/NVDA, and written: BUY 4 NVDA"
        )
        assert rig.read(ROBIN)["open"]
        assert rig.read(ROBIN)["position"]["quantity"] == 4
        assert rig.read(ROBIN)["last_order_update"]["matched_by"] == "person"
        assert not rig.read(PROF)["open"]
        row = next(line for line in screen.lines() if line.startswith(f"{ROBIN}/NVDA"))
        assert re.search(r"NVDA.* 4 +2\.51 +(\d\d:\d\d)$", row), row
        await screen.shows(f"opened {ROBIN}/", "MESSAGE TO FILE  p50", "of 1  █")
        await screen.press("u")
        await screen.shows("Take back the assignment of ")
        await screen.press("y")
        await screen.shows("NEEDS YOU  1", "taken back: the assignment of")
        assert not rig.read(ROBIN)["open"]
        await screen.press("u")
        await screen.shows("nothing was decided on this screen")

    play(tmp_path, story)


def test_key_pressed_twice_answers_once(tmp_path: Path) -> None:
    """As a number and Enter in one go, or y twice: the screen below stays."""

    async def story(rig: Rig, screen: Screen) -> None:
        buy(rig)
        await screen.shows("NEEDS YOU  1", "ambiguous:")
        await screen.press("a")
        await screen.shows("Which alert does this fill belong to?")
        choice = screen.app.screen
        assert isinstance(choice, ChoiceDialog)
        choice.action_pick(2)
        choice.action_pick(2)
        await screen.shows(f"to {ROBIN}/NVDA?")
        asked = screen.app.screen
        assert isinstance(asked, Confirmation)
        asked.action_answer(True)
        asked.action_answer(True)
        await screen.shows("NEEDS YOU  0", "OPEN ALERTS  1", "assigned to")

    play(tmp_path, story)


def test_alert_picked_by_number_or_typed(tmp_path: Path) -> None:
    """An alert can be picked by its number or typed."""

    async def story(rig: Rig, screen: Screen) -> None:
        buy(rig)
        await screen.shows("NEEDS YOU  1")
        await screen.press("a")
        await screen.shows("3 another alert")
        await screen.press("3", *"nobody/X", "enter")
        await screen.shows("Nothing was assigned", "nobody/X")
        await screen.press("escape")
        await screen.shows("NEEDS YOU  1")
        await screen.press("a")
        await screen.shows("3 another alert")
        await screen.press("3", *"robindahood/NVDA", "enter")
        await screen.shows("Assign BUY")
        await screen.press("y")
        await screen.until(lambda: rig.read(ROBIN)["open"])
        await screen.shows("NEEDS YOU  0")
        buy(rig, option("NVDA", "20301227", "C", "122.5", con_id=700100209))
        await screen.shows("NEEDS YOU  1")
        await screen.press("a")
        await screen.shows(f"1 {PROF}/NVDA")
        await screen.press("1")
        await screen.shows("Assign BUY")
        await screen.press("y")
        await screen.until(lambda: rig.read(PROF)["open"])

    play(tmp_path, story)


def test_choice_left_without_choosing(tmp_path: Path) -> None:
    """A choice can be left without choosing."""

    async def story(rig: Rig, screen: Screen) -> None:
        buy(rig)
        await screen.shows("NEEDS YOU  1")
        text = rig.alerts_path.read_text()
        await screen.press("a")
        await screen.shows("Which alert")
        await screen.press("escape")
        await screen.shows("NEEDS YOU  1")
        await screen.press("d")
        await screen.shows("Dismiss BUY 4 NVDA")
        await screen.press("n")
        await screen.shows("NEEDS YOU  1")
        assert rig.alerts_path.read_text() == text

    play(tmp_path, story)


def test_fill_dismissed_after_yes(tmp_path: Path) -> None:
    """A fill is dismissed after a yes."""

    async def story(rig: Rig, screen: Screen) -> None:
        text = rig.alerts_path.read_text()
        buy(rig)
        await screen.shows("NEEDS YOU  1")
        await screen.press("d")
        await screen.shows("Dismiss BUY 4 NVDA 2030-12-20 122.5 C at 2.51?")
        await screen.press("y")
        await screen.shows("NEEDS YOU  0", "dismissed: BUY 4 NVDA 2030-12-20 122.5 C at 2.51", "no alert")
        assert (await rig.status())["needs_you"]["ambiguous"] == 0
        assert rig.alerts_path.read_text() == text

    play(tmp_path, story)


def test_why_for_fill_and_alert(tmp_path: Path) -> None:
    """Why accounts for a fill and for an alert."""

    async def story(rig: Rig, screen: Screen) -> None:
        buy(rig)
        await screen.shows("NEEDS YOU  1")
        await screen.press("w")
        await screen.shows("Why ", "decision    ambiguous", f"{ROBIN}/NVDA")
        await screen.press("escape", "a")
        await screen.shows(f"1 {PROF}/NVDA")
        await screen.press("1")
        await screen.shows("Assign BUY")
        await screen.press("y")
        await screen.shows("OPEN ALERTS  1")
        await screen.press("shift+tab", "enter")
        await screen.shows(f"Why {PROF}/NVDA", "by person", "written: open, 4 held")
        await screen.press("q")
        await screen.shows("OPEN ALERTS  1")

    play(tmp_path, story)


def test_key_without_selection_says_so(tmp_path: Path) -> None:
    """A key that has nothing to act on says so."""

    async def story(rig: Rig, screen: Screen) -> None:
        for key in ("a", "w", "d"):
            await screen.press(key)
            await screen.shows("Tab changes the list")
            screen.app.model.show_notice(screen.app._now(), "-")
        buy(rig, SHARES)
        await screen.shows("FILLS TODAY  1", "no alert")
        await screen.press("tab", "d")
        await screen.shows("choose a fill that needs you first")

    play(tmp_path, story)


def test_undecodable_message_needs_no_decision(tmp_path: Path) -> None:
    """A message that cannot be read is shown and leaves nothing to decide."""

    async def story(rig: Rig, screen: Screen) -> None:
        rig.gateway.push_raw("11", "-1", "7")
        await screen.shows("NEEDS YOU  1", "execution cannot be read")
        for key in ("a", "d", "w"):
            await screen.press(key)
            await screen.shows("nothing to decide")
            screen.app.model.show_notice(screen.app._now(), "-")

    play(tmp_path, story)


def test_records_that_print_alike(tmp_path: Path) -> None:
    """Two records whose names print alike are two rows, and one candidate of a fill."""

    async def main() -> None:
        async with Rig(tmp_path) as rig:
            loose = record(**NO_CONID, alert_details=details(expiry=None))
            shown = record(**NO_CONID, open=True)
            rig.write({"a/b": {"NVDA": shown, "c": loose}, "a": {"b/NVDA": shown, "b/c": loose}})
            await rig.start()
            async with watching(rig.status_port, rig.folder / "status.token") as screen:
                await screen.shows("RECEIVING FILLS", "OPEN ALERTS  2")
                assert part(screen, "OPEN ALERTS").count("a/b/NVDA") == 2
                buy(rig)
                await screen.shows("FILLS TODAY  1", "BUY")
                await screen.press("tab", "a")
                await screen.shows("Which alert does this fill belong to?", "another alert")
                assert screen.text().count("a/b/c") <= 1

    asyncio.run(main())


def test_control_characters_of_the_wire(tmp_path: Path) -> None:
    """An execId with an escape sequence, a bell and a newline is shown with question marks."""

    async def story(rig: Rig, screen: Screen) -> None:
        order = rig.gateway.order(CALL, "BUY", 4, limit="2.51", client_id=7)
        rig.gateway.fill(order, exec_id="0000e0d5.\x1b]0;owned\x07\n.01.01")
        await screen.shows("NEEDS YOU  1")
        for key, title in (("d", "Dismiss BUY 4 NVDA"), ("w", "Why ")):
            await screen.press(key)
            await screen.shows(title, "?]0;owned??")
            assert not set("\x1b\x07") & set(screen.app.export_screenshot())
            await screen.press("escape")
            await screen.shows("NEEDS YOU  1")

    play(tmp_path, story)


def test_killed_daemon_and_its_successor(tmp_path: Path) -> None:
    """A daemon that is killed is away and its successor is followed."""

    async def story(rig: Rig, screen: Screen) -> None:
        buy(rig, SHARES)
        await screen.shows("FILLS TODAY  1")
        assert rig.process is not None
        rig.process.kill()
        await screen.shows("TRACKER AWAY since", "the tracker is not running", "start it with")
        await screen.shows("(1 s)")
        assert "FILLS TODAY  1" in screen.text(), "what was known stays"
        await screen.press("w")
        await screen.press("tab", "w")
        await screen.shows("No answer: the tracker is not running")
        await screen.press("escape")
        buy(rig, SHARES, 7)
        await rig.process.wait()
        await rig.start()
        await screen.shows("RECEIVING FILLS", "restarted", "FILLS TODAY  2")

    play(tmp_path, story)


def test_lost_gateway_names_next_attempt(tmp_path: Path) -> None:
    """A lost gateway is said with what happens next."""

    async def story(rig: Rig, screen: Screen) -> None:
        await rig.gateway.stop()
        await screen.shows("NOT RECEIVING FILLS  link waiting since", "retrying in")
        await rig.gateway.start()
        await screen.shows("RECEIVING FILLS  link up since")

    play(tmp_path, story)


def test_nothing_cut_at_80_by_24(tmp_path: Path) -> None:
    """With more of everything than there is room for."""

    async def story(rig: Rig, screen: Screen) -> None:
        for number in range(9):
            buy(rig, option("NVDA", "20301220", "C", str(100 + number), con_id=700200000 + number))
            buy(rig)
        await screen.shows("FILLS TODAY  18", "NEEDS YOU  9")
        # The columns get their width a moment after the first rows.
        whole = re.compile(r"^\d\d:\d\d:\d\d BUY +4 NVDA 2030-12-20 122\.5 C +2\.51 ", re.M)
        for title in ("NEEDS YOU", "FILLS TODAY"):
            await screen.until(partial(lambda title: whole.search(part(screen, title)), title))
        lines = screen.lines()
        assert len(lines) == 24
        assert max(map(len, lines)) <= 80
        assert lines[0].startswith("RECEIVING FILLS  link up since")
        assert re.search(r"last message \d+ s ago$", lines[0])
        assert lines[1].startswith("DU1234567, paper.")
        assert lines[4].endswith("held  avg price  since")
        assert lines[-1] == FOOTER
        assert lines[-2].startswith("MESSAGE TO FILE")
        for title in ("OPEN ALERTS", "NEEDS YOU", "FILLS TODAY"):
            assert len(part(screen, title).splitlines()) >= 5, "the heading and at least four rows"
        await screen.press("question_mark")
        await screen.shows(
            "r               refresh everything now", "at its next start. This screen tries again"
        )

    play(tmp_path, story)


def test_cursor_stays_on_its_row(tmp_path: Path) -> None:
    """The cursor stays on its row while others come."""

    async def story(rig: Rig, screen: Screen) -> None:
        for quantity in (1, 2, 3):
            buy(rig, SHARES, quantity)
        await screen.shows("FILLS TODAY  3")
        await screen.press("tab", "down")
        fills = screen.app._lists["fills"]
        chosen = fills.chosen
        buy(rig, SHARES, 4)
        await screen.shows("FILLS TODAY  4")
        assert fills.chosen == chosen
        assert fills.highlighted == 2

    play(tmp_path, story)


def test_long_text_scrolls(tmp_path: Path) -> None:
    """A text longer than the terminal scrolls and says where it is."""

    async def story(rig: Rig, screen: Screen) -> None:
        await screen.press("question_mark")
        await screen.shows("lines 1-12 of 20")
        await screen.press("pagedown")
        await screen.shows("lines 9-20 of 20", "This screen tries again")
        await screen.press("up")
        await screen.shows("lines 8-19 of 20")

    play(tmp_path, story, (80, 14))


def test_larger_terminal_shows_more(tmp_path: Path) -> None:
    """A larger terminal shows more rows and longer lines."""

    async def story(rig: Rig, screen: Screen) -> None:
        for _ in range(9):
            buy(rig, SHARES)
        await screen.shows("FILLS TODAY  9")
        await screen.until(lambda: part(screen, "FILLS TODAY").count("NVDA STK") == 9)
        assert max(map(len, screen.lines())) > 100
        await screen.pilot.resize_terminal(80, 24)
        await screen.until(lambda: max(map(len, screen.lines())) <= 80)

    play(tmp_path, story, (132, 50))


def test_tracker_outlives_the_screen(tmp_path: Path) -> None:
    """The tracker goes on when the screen ends."""

    async def story(rig: Rig, screen: Screen) -> None:
        await screen.press("q")
        await screen.until(lambda: not screen.app.is_running)
        assert (await rig.status())["subscribed"]

    play(tmp_path, story)


# The command


def test_without_textual(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without textual it says in one line what to install."""
    monkeypatch.chdir(tmp_path)
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True)
    for name in [name for name in sys.modules if name.startswith("tracker.watch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    assert main.main(["watch"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pipx install --force '.[watch]'" in said


def test_without_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal it names the command that needs none."""
    monkeypatch.chdir(tmp_path)
    assert main.main(["watch"]) == 2
    assert "tracker status" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "more"),
    [(signal.SIGTERM, {}), (signal.SIGHUP, {}), (b"q", {}), (b"\x03", {}), (b"q", {"NO_COLOR": "1"})],
)
def test_terminal_is_restored(tmp_path: Path, end: signal.Signals | bytes, more: dict[str, str]) -> None:
    """A real terminal, and no daemon: the screen leaves the alternate page, and ends well.

    It uses the terminal's own colours only, which read on light and dark.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tracker", "watch", "--status.port", str(free_port())],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "TERM": "xterm-256color", **more},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while b"AWAY" not in said:
            chunk = _read(ours)
            assert chunk, f"it ended by itself: {said!r}"
            said += chunk
        if isinstance(end, bytes):
            os.write(ours, end)
        else:
            process.send_signal(end)
        while chunk := _read(ours):
            said += chunk
        assert process.wait(BOUND_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"\x1b[?1049h" in said
    assert said.rindex(b"\x1b[?1049l") > said.rindex(b"AWAY")
    assert b"Traceback" not in said
    assert not re.search(rb"\x1b\[[\d;]*[34]8;", said), "a colour that is not the terminal's own"
    assert not (more and re.search(rb"\x1b\[(\d;)*[34][0-7][;m]", said)), "a colour in spite of NO_COLOR"


def _read(terminal: int) -> bytes:
    """Return what the process wrote, empty once it has ended; it writes at least once a second."""
    assert select.select([terminal], [], [], BOUND_SECONDS)[0], "it wrote nothing"
    try:
        return os.read(terminal, 65536)
    except OSError:
        # Linux tells so that nobody has the other side open any longer.
        return b""


def test_picture_is_small_and_safe() -> None:
    """The picture is small fetches nothing and shows a made up account."""
    picture = PICTURE.read_text("utf-8")
    assert len(picture) < 50_000
    assert "@font-face" not in picture
    assert not re.search(r"(href|src|url)\s*[=(]\s*[\"']?http", picture)
    lines = lines_of(picture)
    assert lines[-1] == FOOTER
    assert lines[0].startswith("RECEIVING FILLS")
    assert set(re.findall(r"\bD?U\d+", picture)) == {"DU1234567"}
