"""The dialogs over the main screen: a text to read, a choice of alerts, a yes or no; and the help text.

Owns their layout and keys. A dialog asks the daemon nothing and changes nothing: it returns what was chosen.
Texts of the broker and of files lose their control characters here, since a terminal would obey them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from tracker.terminal import printable, printable_lines
from tracker.watch.list_view import Choices
from tracker.watch.render import spread
from tracker.watch.screen_rows import Candidate

_CLOSE: Final[tuple[BindingType, ...]] = (Binding("escape", "close", "Back"),)
_ANOTHER: Final = "another"
Result = TypeVar("Result")

HELP: Final = """\
Tab, Shift+Tab  the next list, the one before     arrows, PgUp, PgDn  move in it
w or Enter      why: where this fill went, or why this alert looks as it does
a               assign the fill under the cursor to an alert
d               dismiss the fill: it belongs to no alert
u               undo the decision on a fill of FILLS TODAY, else the last one
r               refresh everything now; while the tracker is away, try now
? help          q quit the screen; the tracker keeps running   Esc back

OPEN ALERTS     open in alerts.json, with the position the tracker holds for
                them; "no fill": opened by another program, no fill matched
NEEDS YOU       fills that could belong to several alerts (ambiguous) or nearly
                to one (near miss). They opened nothing until you decide
FILLS TODAY     every fill as it arrives, and what was done with it
last message    when the gateway last sent anything; the tracker asks it at
                least every gateway.sweep_seconds
MESSAGE TO FILE from the broker's message to alerts.json, synced: half of the
                changes took p50 or less, 99 of 100 took p99 or less

TRACKER AWAY    the tracker does not answer. Fills are not lost: it fetches
                today's at its next start. This screen tries again by itself"""
"""Within 80 columns and one screen of 24 lines."""


class _Reading(VerticalScroll):
    """A text that scrolls; its keys are those of any scrolling area, named in the footer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown,space", "page_down", "Further", key_display="PgDn"),
        Binding("pageup", "page_up", "Back up", key_display="PgUp"),
    ]

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Update the line numbers in the title."""
        super().watch_scroll_y(old_value, new_value)
        self.screen.query_one(_Title).refresh()


class _Title(Static):
    """The title of a page, with the numbers of the lines shown where not all are."""

    def render(self) -> Text:
        """Write the line for the present width."""
        text = self.screen.query_one(_Reading)
        total, height, top = text.virtual_size.height, text.size.height, round(text.scroll_y)
        shown = f"lines {top + 1}-{min(top + height, total)} of {total}" if total > height > 0 else ""
        return Text(spread(self.name or "", shown, self.size.width))


def _end(screen: ModalScreen[Result], result: Result) -> None:
    """Close a dialog with its result, once: a key pressed twice does not close the screen below."""
    if screen.is_current:
        screen.dismiss(result)


class Page(ModalScreen[None]):
    """Show a text; it scrolls with the arrow keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*_CLOSE, Binding("q,enter", "close", show=False)]

    def __init__(self, title: str, text: str) -> None:
        self._title = title
        self._body = Static(Text(printable_lines(text)))
        super().__init__()

    def compose(self) -> ComposeResult:
        """Lay the page out."""
        yield _Title(name=printable(self._title), classes="title")
        yield _Reading(self._body)
        yield Footer(show_command_palette=False, compact=True)

    def on_resize(self) -> None:
        """Count the lines again after the new layout."""
        self.call_after_refresh(self.query_one(_Title).refresh)

    def show(self, text: str) -> None:
        """Replace the text."""
        self._body.update(Text(printable_lines(text)))
        self.on_resize()

    def action_close(self) -> None:
        """Go back."""
        _end(self, None)


class ChoiceDialog(ModalScreen[str | None]):
    """Let a person choose the alert that a fill belongs to; returns its name, None for no choice."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *_CLOSE,
        *(Binding(str(number), f"pick({number})", show=False) for number in range(1, 10)),
    ]

    def __init__(self, fill: str, candidates: Sequence[Candidate]) -> None:
        self._fill = fill
        self._candidates = tuple(candidates)
        super().__init__()

    def compose(self) -> ComposeResult:
        """Lay the dialog out: the fill, the alerts that it may belong to, and a line to type another name."""
        yield Static(Text(f"Which alert does this fill belong to?\n{printable(self._fill)}"), classes="title")
        options = [
            Option(Text(f"{number} {printable(each.alert)}\n  {printable(each.why)}"), id=each.alert)
            for number, each in enumerate(self._candidates, 1)
        ]
        last = Option(Text(f"{len(options) + 1} another alert"), id=_ANOTHER)
        yield Choices(*options, last, compact=True)
        name = Input(placeholder="ALERTER/TICKER", compact=True)
        name.display = False
        yield name
        yield Static(
            "Enter, or its number, chooses. What follows is shown before anything changes.", id="hint"
        )
        yield Footer(show_command_palette=False, compact=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take the alert under the cursor, or the name that is typed next."""
        if event.option_id != _ANOTHER:
            _end(self, event.option_id)
            return
        name = self.query_one(Input)
        name.display = True
        name.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the name that was typed."""
        if event.value.strip():
            _end(self, event.value.strip())

    def action_pick(self, number: int) -> None:
        """Take the alert of this number."""
        options = self.query_one(Choices)
        if number <= options.option_count:
            options.highlighted = number - 1
            options.action_select()

    def action_close(self) -> None:
        """Go back without a choice."""
        _end(self, None)


class Confirmation(ModalScreen[bool]):
    """Ask for confirmation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No", key_display="n"),
    ]

    def __init__(self, question: str, consequence: str) -> None:
        self._question = question
        self._consequence = consequence
        super().__init__()

    def compose(self) -> ComposeResult:
        """Lay the page out."""
        yield Static(Text(printable(self._question)), classes="title")
        yield Static(Text(printable_lines(self._consequence)), id="hint")
        yield Footer(show_command_palette=False, compact=True)

    def action_answer(self, meant: bool) -> None:
        """Go back with the answer."""
        _end(self, meant)
