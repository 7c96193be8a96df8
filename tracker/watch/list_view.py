"""Lists whose cursor stays on its row while other rows come and go.

Owns how rows are replaced and how each tone looks. It does not know what a row is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.style import Style
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tracker.watch.render import Line, Tone

_STYLES: Final = {Tone.PLAIN: "", Tone.GOOD: "bold green", Tone.TROUBLE: "bold red reverse"}

Row = tuple[str, Line]
"""(key, unique in its list; line)."""


class Choices(OptionList):
    """A list whose cursor is readable on any terminal, since it reverses the colours."""

    def get_visual_style(self, *component_classes: str, partial: bool = False) -> Style:
        """Return the style of a part; Textual leaves `reverse` out of what its style sheets say."""
        style = super().get_visual_style(*component_classes, partial=partial)
        if self.has_focus and "option-list--option-highlighted" in component_classes:
            style += Style(reverse=True)
        return style


class ListView(Choices):
    """A list with a cursor that stays on its row while others come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # The screen handles this key; here it is only named for the footer.
        Binding("tab", "app.focus_next", "Next list", key_display="Tab"),
    ]

    def __init__(self, id: str, empty: str) -> None:
        super().__init__(id=id, compact=True)
        self._empty = empty
        self._rows: tuple[Row, ...] | None = None

    @property
    def chosen(self) -> str:
        """The key of the row under the cursor, empty where there is none."""
        option = self.highlighted_option
        return "" if option is None or option.disabled else str(option.id)

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows; only what differs is drawn again."""
        before = self._rows
        self._rows = tuple(rows)
        if before == self._rows:
            return
        if before is not None and [key for key, _ in before] == [key for key, _ in rows] and rows:
            for (key, line), (_, old) in zip(rows, before, strict=True):
                if line != old:
                    self.replace_option_prompt(key, styled(line))
            return
        # At rest the cursor stays at the top, where the newest row appears.
        kept = self.chosen if self.has_focus or self.highlighted else ""
        options = [Option(styled(line), id=key) for key, line in rows]
        self.set_options(options or [Option(self._empty, disabled=True)])
        if rows:
            keys = [key for key, _ in rows]
            self.highlighted = keys.index(kept) if kept in keys else 0


def styled(line: Line) -> Text:
    """Return a line in the look of its tone; it never wraps."""
    return Text(line.text, style=_STYLES[line.tone], no_wrap=True, overflow="crop")
