"""The terminal screen of `tracker watch`: the board as lines, and the keys.

Owns the layout, the colours (the terminal's own, so that they read on light and dark) and what a key does.
Nothing here waits for the daemon: questions run as tasks, and what is painted is what the board holds.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, OptionList, Static

from tracker.queries.text import TextTable
from tracker.status.client import NotReachable
from tracker.status.protocol import CommandError
from tracker.watch.connection_to_daemon import DaemonConnection
from tracker.watch.dialogs import ChoiceDialog, Confirmation, Page
from tracker.watch.help import HELP
from tracker.watch.list_view import ListView, styled
from tracker.watch.render import Line, Lines
from tracker.watch.screen_model import Candidate, FillRow, ScreenModel, meaning
from tracker.watch.sync import DaemonSync

_PAINT_SECONDS: Final = 0.1
"""Between two paints at most; a slow line to the terminal gets no more than the latest."""
_MOST_RECORDS: Final = 1000


class Watch(App[None]):
    """Show a board, and let a person decide about fills."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "tracker watch"
    CSS_PATH = "watch.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w,enter", "why", "Why", key_display="w"),
        Binding("a", "assign", "Assign"),
        Binding("d", "dismiss_fill", "Dismiss"),
        Binding("r", "refresh_all", "Ask now"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "End"),
        # In a panic a person presses what ends everything else.
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, wire: DaemonConnection, zone: tzinfo, now: Callable[[], datetime]) -> None:
        # Said at once: with NO_COLOR Textual would else paint black on black.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.board = ScreenModel(now())
        self._wire = wire
        self._now = now
        self._lines = Lines(zone)
        self._words = TextTable(zone)
        self._conversation = DaemonSync(wire, self.board, now=now, changed=self._changed)
        self._dirty = True
        self._painted_at = 0
        self._painted: dict[str, Sequence[Line]] = {}
        names = ("head", "notice", "alerts-title", "waiting-title", "fills-title", "latency")
        self._places = {
            name: Static(id=name, classes="title" if name.endswith("title") else None) for name in names
        }
        self._lists = {
            "alerts": ListView("alerts", "no alert is open"),
            "waiting": ListView("waiting", "nothing"),
            "fills": ListView("fills", "none yet"),
        }

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield self._places["head"]
        yield self._places["notice"]
        for name, rows in self._lists.items():
            yield self._places[f"{name}-title"]
            yield rows
        yield self._places["latency"]
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Begin to talk with the daemon, and to paint."""
        self.set_interval(_PAINT_SECONDS, self._paint)
        self._lists["waiting"].focus()
        self.run_worker(self._conversation.run(), name="conversation")

    def on_resize(self) -> None:
        """Write every line for the new width."""
        self._changed()

    def _changed(self) -> None:
        self._dirty = True

    # Painting

    def _paint(self) -> None:
        """Paint what changed since the last time; ages change by themselves once a second."""
        now = self._now()
        second = int(now.timestamp())
        painted = not self._dirty and second == self._painted_at
        # While the app ends its timers go on for a moment without the widgets.
        if painted or not self._places["head"].is_attached:
            return
        self._dirty, self._painted_at = False, second
        board, lines, width = self.board, self._lines, self.size.width
        there = board.daemon_time(now)
        self._put("head", lines.head(board, self._wire.place, now, width))
        self._put("notice", [Line(lines.notice(board, now, width))])
        self._put("alerts-title", [Line(lines.alerts_title(board, width))])
        self._put("waiting-title", [Line(lines.waiting_title(board, width))])
        self._put("fills-title", [Line(lines.fills_title(board, width))])
        self._put("latency", [Line(lines.latency(board, width))])
        alerts = [(alert.key, Line(lines.alert(alert, there, width))) for alert in board.alerts]
        waiting = [(each.key, Line(lines.waiting(each, there, width))) for each in board.waiting]
        self._lists["alerts"].show(alerts)
        self._lists["waiting"].show(waiting)
        self._lists["fills"].show([(fill.key, Line(lines.fill(fill, there, width))) for fill in board.fills])

    def _put(self, name: str, lines: Sequence[Line]) -> None:
        if self._painted.get(name) != lines:
            self._painted[name] = lines
            self._places[name].update(Text("\n").join(map(styled, lines)))

    # Keys

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter on a row asks why; what is chosen on a page is the page's."""
        if isinstance(event.option_list, ListView):
            self.action_why()

    def action_help(self) -> None:
        """Show what the screen and its keys mean."""
        self.push_screen(Page("Help", HELP))

    def action_refresh_all(self) -> None:
        """Ask for everything now."""
        self._conversation.hurry()

    @work
    async def action_why(self) -> None:
        """Account for the fill or the alert under the cursor."""
        request = self._subject()
        if request is None:
            self._say(self._nothing_chosen("fill or alert"))
            return
        page = Page(f"Why {request['of']}", "asking ...")
        self.push_screen(page)
        try:
            answer = await self._wire.ask({"command": "why", **request})
            text = self._words.why(answer)
        except (NotReachable, CommandError) as error:
            text = f"There is no answer: {error}"
        page.show(text)

    def _subject(self) -> dict[str, str] | None:
        """Return what `why` is to be asked of, None where the cursor is on nothing."""
        if self._lists["alerts"].has_focus:
            chosen = self._lists["alerts"].chosen
            return next(({"of": each.name} for each in self.board.alerts if each.key == chosen), None)
        fill = self._fill()
        return None if fill is None else {"of": fill.exec_id, "account": fill.account}

    def _nothing_chosen(self, wanted: str) -> str:
        """Say why a key does nothing, and what to do."""
        if self._lists["waiting"].has_focus and self._lists["waiting"].chosen:
            return "there is nothing to decide: it is kept, and a sweep or a later version reads it"
        return f"choose a {wanted} first: Tab changes the list, the arrows move"

    def _fill(self) -> FillRow | None:
        """Return the fill under the cursor of the list that has the keys."""
        found: Iterable[FillRow | None] = ()
        if self._lists["waiting"].has_focus:
            chosen = self._lists["waiting"].chosen
            found = (each.fill for each in self.board.waiting if each.key == chosen)
        elif self._lists["fills"].has_focus:
            chosen = self._lists["fills"].chosen
            found = (fill for fill in self.board.fills if fill.key == chosen)
        return next(iter(found), None)

    @work
    async def action_assign(self) -> None:
        """Say which alert the fill under the cursor belongs to."""
        fill = self._fill()
        if fill is None:
            self._say(self._nothing_chosen("fill"))
            return
        try:
            candidates = await self._candidates(fill)
        except (NotReachable, CommandError) as error:
            self._refused("Nothing was assigned", error)
            return
        shown = self._lines.fill(fill, self.board.daemon_time(self._now()), self.size.width)
        alert = await self.push_screen_wait(ChoiceDialog(shown.rstrip(), candidates))
        if alert is not None:
            answer = await self._change("assign", fill, {"alert": alert}, "Nothing was assigned")
            if answer is not None:
                delivery = (answer.get("shows") or {}).get("delivery", "")
                written = {"applied": "and written", "gone": "but its record is gone"}
                self._say(
                    f"assigned to {answer['alert']}, {written.get(delivery, 'not written yet')}:"
                    f" {fill.side} {fill.quantity} {fill.contract}"
                )

    async def _candidates(self, fill: FillRow) -> list[Candidate]:
        """Return the alerts that the decision named, then those of the same symbol; raises as `ask` does."""
        waiting = next((each for each in self.board.waiting if each.key == fill.key), None)
        found = list(waiting.candidates) if waiting is not None else []
        answer = await self._wire.ask({"command": "alerts", "limit": _MOST_RECORDS})
        named = {candidate.alert for candidate in found}
        found += [
            Candidate(str(row["alert"]), f"same symbol: {meaning(row)}")
            for row in answer["alerts"]
            if row.get("symbol") == fill.symbol and row["alert"] not in named
        ]
        return found

    @work
    async def action_dismiss_fill(self) -> None:
        """Take the fill under the cursor out of the inbox."""
        fill = self._fill()
        if fill is None or not fill.needs:
            self._say(self._nothing_chosen("fill that needs you"))
            return
        deal = f"{fill.side} {fill.quantity} {fill.contract} at {fill.price}"
        page = Confirmation(
            f"Dismiss {deal}?", f"It then belongs to no alert and asks for nobody.\n{fill.exec_id}"
        )
        if await self.push_screen_wait(page):
            answer = await self._change("dismiss", fill, {}, "Nothing was dismissed")
            if answer is not None:
                self._say(f"dismissed: {deal}")

    async def _change(
        self, command: str, fill: FillRow, more: dict[str, str], failed: str
    ) -> dict[str, Any] | None:
        """Have the daemon decide about a fill; None where it did not, which is then shown."""
        request = {"command": command, "exec_id": fill.exec_id, "account": fill.account, **more}
        try:
            answer = await self._wire.change(request)
        except (NotReachable, CommandError) as error:
            self._refused(failed, error)
            return None
        self._conversation.hurry()
        return answer

    def _refused(self, title: str, error: Exception) -> None:
        self.push_screen(Page(title, str(error)))

    def _say(self, text: str) -> None:
        self.board.say(self._now(), text)
        self._changed()


def run(host: str, port: int, token_file: Path, *, zone: tzinfo, now: Callable[[], datetime]) -> int:
    """Show the screen until it is told to end; returns the exit code."""

    async def main() -> int:
        app = Watch(DaemonConnection(host, port, token_file), zone, now)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            # The terminal must be given back as it was.
            loop.add_signal_handler(number, app.exit)
        # Without the mouse the terminal's own selection works, to copy an execId.
        await app.run_async(mouse=False)
        return app.return_code or 0

    return asyncio.run(main())
