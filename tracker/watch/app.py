"""The terminal screen of `tracker watch`: its layout and its keys.

Owns the layout, the colours (the terminal's own, so that they are readable on light and dark) and what a key
does. Nothing here waits for the daemon: questions run as tasks, and the screen shows what the model holds.
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
from tracker.terminal import counted, printable
from tracker.watch.connection_to_daemon import DaemonConnection
from tracker.watch.dialogs import HELP, ChoiceDialog, Confirmation, Page
from tracker.watch.list_view import ListView, styled
from tracker.watch.render import Line, Lines
from tracker.watch.screen_model import ScreenModel
from tracker.watch.screen_rows import Candidate, FillRow, contract_text, distinct
from tracker.watch.sync import DaemonSync

_PAINT_SECONDS: Final = 0.1
"""The shortest pause between two paints in seconds; a slow terminal gets only the latest state."""
_MOST_RECORDS: Final = 1000


class Watch(App[None]):
    """Show the state of the tracker, and let a person decide about fills."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "tracker watch"
    CSS_PATH = "watch.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w,enter", "why", "Why", key_display="w"),
        Binding("a", "assign", "Assign"),
        Binding("d", "dismiss_fill", "Dismiss"),
        Binding("u", "undo", "Undo"),
        Binding("r", "refresh_all", "Refresh"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        # Ctrl+C ends most programs, so it ends this one too.
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, connection: DaemonConnection, zone: tzinfo, now: Callable[[], datetime]) -> None:
        # Set before anything is drawn: with NO_COLOR Textual would otherwise paint black on black.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.model = ScreenModel(now())
        self._connection = connection
        self._now = now
        self._lines = Lines(zone)
        self._words = TextTable(zone)
        self._last_decision = ""
        """ID of the last decision on this screen; empty before one, and after it was taken back."""
        self._sync = DaemonSync(connection, self.model, now=now, changed=self._changed)
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
        """Start following the daemon, and painting."""
        self.set_interval(_PAINT_SECONDS, self._paint)
        self._lists["waiting"].focus()
        self.run_worker(self._sync.run(), name="sync")

    def on_resize(self) -> None:
        """Write every line again for the new width."""
        self._changed()

    def _changed(self) -> None:
        self._dirty = True

    # Painting

    def _paint(self) -> None:
        """Paint what changed since the last time; ages change by themselves once a second."""
        now = self._now()
        second = int(now.timestamp())
        painted = not self._dirty and second == self._painted_at
        # While the app ends, its timers run for another moment without the widgets.
        if painted or not self._places["head"].is_attached:
            return
        self._dirty, self._painted_at = False, second
        model, lines, width = self.model, self._lines, self.size.width
        daemon_now = model.daemon_time(now)
        self._put("head", lines.head(model, self._connection.place, now, width))
        self._put("notice", [Line(lines.notice(model, now, width))])
        self._put("alerts-title", [Line(lines.alerts_title(model, width))])
        self._put("waiting-title", [Line(lines.waiting_title(model, width))])
        self._put("fills-title", [Line(lines.fills_title(model, now, width))])
        self._put("latency", [Line(lines.latency(model, width))])
        alerts = [(alert.key, Line(lines.alert(alert, daemon_now, width))) for alert in model.alerts]
        waiting = [(each.key, Line(lines.waiting(each, daemon_now, width))) for each in model.waiting]
        self._lists["alerts"].show(alerts)
        self._lists["waiting"].show(waiting)
        self._lists["fills"].show(
            [(fill.key, Line(lines.fill(fill, daemon_now, width))) for fill in model.fills]
        )

    def _put(self, name: str, lines: Sequence[Line]) -> None:
        if self._painted.get(name) != lines:
            self._painted[name] = lines
            self._places[name].update(Text("\n").join(map(styled, lines)))

    # Keys

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Explain the row on which Enter was pressed; dialogs handle their own lists."""
        if isinstance(event.option_list, ListView):
            self.action_why()

    def action_help(self) -> None:
        """Show what the screen and its keys mean."""
        self.push_screen(Page("Help", HELP))

    def action_refresh_all(self) -> None:
        """Ask for everything now."""
        self._sync.refresh()

    @work
    async def action_why(self) -> None:
        """Explain the fill or the alert under the cursor."""
        request = self._subject()
        if request is None:
            self._show_notice(self._nothing_chosen("fill or alert"))
            return
        page = Page(f"Why {request['of']}", "waiting for the answer ...")
        self.push_screen(page)
        try:
            answer = await self._connection.ask({"command": "why", **request})
            text = self._words.why(answer)
        except (NotReachable, CommandError) as error:
            text = f"No answer: {error}"
        page.show(text)

    def _subject(self) -> dict[str, str] | None:
        """Return what `why` is about, None where the cursor is on nothing."""
        if self._lists["alerts"].has_focus:
            chosen = self._lists["alerts"].chosen
            return next(({"of": each.name} for each in self.model.alerts if each.key == chosen), None)
        fill = self._fill()
        return None if fill is None else {"of": fill.exec_id, "account": fill.account}

    def _nothing_chosen(self, wanted: str) -> str:
        """Return why a key does nothing, and what to do."""
        if self._lists["waiting"].has_focus and self._lists["waiting"].chosen:
            return "nothing to decide; a sweep or a later version may read this message"
        return f"choose a {wanted} first: Tab changes the list, the arrow keys move in it"

    def _fill(self) -> FillRow | None:
        """Return the fill under the cursor of the list that has the keys."""
        found: Iterable[FillRow | None] = ()
        if self._lists["waiting"].has_focus:
            chosen = self._lists["waiting"].chosen
            found = (each.fill for each in self.model.waiting if each.key == chosen)
        elif self._lists["fills"].has_focus:
            chosen = self._lists["fills"].chosen
            found = (fill for fill in self.model.fills if fill.key == chosen)
        return next(iter(found), None)

    @work
    async def action_assign(self) -> None:
        """Ask to which alert the fill under the cursor belongs, and assign it."""
        fill = self._fill()
        if fill is None:
            self._show_notice(self._nothing_chosen("fill"))
            return
        try:
            candidates = await self._candidates(fill)
        except (NotReachable, CommandError) as error:
            self._refused("Nothing was assigned", error)
            return
        shown = self._lines.fill(fill, self.model.daemon_time(self._now()), self.size.width)
        alert = await self.push_screen_wait(ChoiceDialog(shown.rstrip(), candidates))
        if alert is not None and await self._confirms_assignment(fill, alert):
            answer = await self._change("assign", fill, {"alert": alert}, "Nothing was assigned")
            if answer is not None:
                self._remember(answer)
                delivery = (answer.get("shows") or {}).get("delivery", "")
                written = {"applied": "and written", "gone": "but its record is no longer in alerts.json"}
                self._show_notice(
                    f"assigned to {answer['alert']}, {written.get(delivery, 'not written yet')}:"
                    f" {fill.side} {fill.quantity} {fill.contract}"
                )

    async def _confirms_assignment(self, fill: FillRow, alert: str) -> bool:
        """Show what an assignment would do, and ask for confirmation."""
        request = {"alert": alert, "dry_run": True}
        answer = await self._change("assign", fill, request, "Nothing was assigned")
        if answer is None:
            return False
        shows = answer.get("shows") or {}
        position = shows.get("position") or {}
        others = len(answer.get("order", ())) - 1
        more = (
            f"With {counted(others, 'other fill')} of its order, and those to come.\n" if others > 0 else ""
        )
        opened = "open" if shows.get("open") else "not open"
        held = f"It will then show {opened}, {position.get('quantity', 0)} held.\n" if shows else ""
        consequence = f"{more}{held}u takes it back.\n{printable(fill.exec_id)}"
        page = Confirmation(f"Assign {_deal(fill)} to {answer['alert']}?", consequence)
        return await self.push_screen_wait(page)

    def _remember(self, answer: dict[str, Any]) -> None:
        """Remember a decision for `u`; one that was already taken before has no ID."""
        self._last_decision = str(answer.get("id") or self._last_decision)

    @work
    async def action_undo(self) -> None:
        """Take back the last decision about the fill under the cursor, else the last one of this screen."""
        fill = self._fill() if self._lists["fills"].has_focus else None
        if fill is not None:
            request = {"command": "undo", "id": fill.exec_id, "account": fill.account}
        elif self._last_decision:
            request = {"command": "undo", "id": self._last_decision}
        else:
            self._show_notice(
                "nothing was decided on this screen; choose a fill in FILLS TODAY to take back its decision"
            )
            return
        try:
            planned = await self._connection.change({**request, "dry_run": True})
            consequence = "From now on its fills belong where they did before."
            if not await self.push_screen_wait(Confirmation(f"Take back {planned['what']}?", consequence)):
                return
            answer = await self._connection.change(request)
        except (NotReachable, CommandError) as error:
            self._refused("Nothing was taken back", error)
            return
        if answer["undone"] == self._last_decision:
            self._last_decision = ""
        self._sync.refresh()
        self._show_notice(f"taken back: {answer['what']}")

    async def _candidates(self, fill: FillRow) -> tuple[Candidate, ...]:
        """Return the alerts that the tracker's decision named, then those of the same symbol; raises as `ask`
        does.
        """
        waiting = next((each for each in self.model.waiting if each.key == fill.key), None)
        found = list(waiting.candidates) if waiting is not None else []
        answer = await self._connection.ask({"command": "alerts", "limit": _MOST_RECORDS})
        same_symbol = [
            Candidate(str(row["alert"]), f"same symbol: {contract_text(row)}")
            for row in answer["alerts"]
            if row.get("symbol") == fill.symbol
        ]
        return distinct([*found, *same_symbol])

    @work
    async def action_dismiss_fill(self) -> None:
        """Take the fill under the cursor out of the inbox."""
        fill = self._fill()
        if fill is None or not fill.needs:
            self._show_notice(self._nothing_chosen("fill that needs you"))
            return
        deal = _deal(fill)
        consequence = f"It then belongs to no alert and leaves this list.\n{printable(fill.exec_id)}"
        page = Confirmation(f"Dismiss {deal}?", consequence)
        if await self.push_screen_wait(page):
            answer = await self._change("dismiss", fill, {}, "Nothing was dismissed")
            if answer is not None:
                self._remember(answer)
                self._show_notice(f"dismissed: {deal}")

    async def _change(
        self, command: str, fill: FillRow, more: dict[str, Any], failed: str
    ) -> dict[str, Any] | None:
        """Send a decision about a fill; a refusal is shown, and None returned."""
        request = {"command": command, "exec_id": fill.exec_id, "account": fill.account, **more}
        try:
            answer = await self._connection.change(request)
        except (NotReachable, CommandError) as error:
            self._refused(failed, error)
            return None
        self._sync.refresh()
        return answer

    def _refused(self, title: str, error: Exception) -> None:
        self.push_screen(Page(title, str(error)))

    def _show_notice(self, text: str) -> None:
        self.model.show_notice(self._now(), text)
        self._changed()


def _deal(fill: FillRow) -> str:
    return f"{fill.side} {fill.quantity} {fill.contract} at {fill.price}"


def run(host: str, port: int, token_file: Path, *, zone: tzinfo, now: Callable[[], datetime]) -> int:
    """Show the screen until it is closed; returns the exit code."""

    async def main() -> int:
        app = Watch(DaemonConnection(host, port, token_file), zone, now)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            # The terminal must be restored before the process ends.
            loop.add_signal_handler(number, app.exit)
        # Without the mouse the terminal's own selection works, to copy an execId.
        await app.run_async(mouse=False)
        return app.return_code or 0

    return asyncio.run(main())
