"""The screen of `relay-top`: three tables, keys that sort, filter and act.

Everything shown is read from shared memory once a second; actions go through the admin API,
each after a question, in a thread so that the screen goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from relay.top.client import AdminClient
from relay.top.sheets import Line, Sheet, Sheets

__all__ = ["TopScreen"]

REFRESH: Final = 1.0
SHOWN: Final = 500
"""Lines of a table; nobody scrolls further, and drawing more would take its time."""


class Question(ModalScreen[bool]):
    """Asks for a yes."""

    CSS = """
    Question { align: center middle; }
    Question Static { width: auto; max-width: 76; padding: 1 2; border: round $warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def compose(self) -> ComposeResult:
        """One box."""
        yield Static(Text(f"{self._words}  y / n"))

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        self.dismiss(answer)


@dataclass(slots=True)
class _View:
    """How a table is looked at."""

    column: int
    reverse: bool


class SheetTable(DataTable[Text]):
    """One sheet. Keeps its cursor on the same line while lines come, go and move."""

    def __init__(self, name: str, column: int = 0, *, reverse: bool = False) -> None:
        super().__init__(id=name, cursor_type="row", cell_padding=0, zebra_stripes=False)
        self.view = _View(column, reverse)
        self.keys: list[str] = []
        self._names: tuple[str, ...] = ()

    def show(self, sheet: Sheet, wanted: str) -> None:
        """Show other lines."""
        chosen, place = self.chosen, self.cursor_row
        column, reverse = self.view.column, self.view.reverse
        found = sheet.arranged(column, reverse=reverse, wanted=wanted)
        lines = found[:SHOWN]
        self.clear(columns=True)
        mark = "▼" if reverse else "▲"
        for index, name in enumerate(sheet.columns):
            label = f"{name}{mark}" if index == column else name
            self.add_column(_cell(label, number=index >= len(sheet.words)))
        for line in lines:
            self.add_row(*_cells(line, len(sheet.words)))
        self.keys = [line.key for line in lines]
        if chosen in self.keys:
            place = self.keys.index(chosen)
        if lines:
            self.move_cursor(row=min(place, len(lines) - 1), animate=False)
        filtered = f", {len(found)} with {wanted!r}" if wanted else ""
        self.border_title = f"{sheet.title}{filtered}"

    @property
    def chosen(self) -> str:
        """Key of the line under the cursor; empty when there is none."""
        return self.keys[self.cursor_row] if 0 <= self.cursor_row < len(self.keys) else ""


def _cell(text: str, *, number: bool) -> Text:
    # One blank between columns, on the side where the text begins.
    return Text(f" {text}", justify="right") if number else Text(f"{text} ")


def _cells(line: Line, words: int) -> list[Text]:
    return [_cell(text, number=index >= words) for index, text in enumerate(line.cells)]


class TopScreen(App[str]):
    """See the module. Its result is why it ended, empty when a person ended it."""

    TITLE = "relay-top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    SheetTable { border: none; border-top: solid $primary; height: auto; scrollbar-size: 1 1; }
    SheetTable:focus { border-top: solid $accent; border-title-style: bold; }
    #workers { max-height: 30%; }
    #streams { max-height: 30%; }
    #viewers { height: 1fr; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    #filter.open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("tab", "app.focus_next", "table", show=True),
        Binding("s", "sort", "sort"),
        Binding("o", "turn", "turn"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape", "unfilter", "all", show=False),
        Binding("k", "kick", "kick"),
        Binding("x", "stop", "stop"),
        Binding("d", "drain", "drain"),
        Binding("r", "restart", "restart"),
    ]

    def __init__(self, look: Callable[[], Sheets | None], client: AdminClient) -> None:
        """Prepare.

        Args:
            look: what is to be shown now; None when the relay is gone.
            client: acts.
        """
        super().__init__()
        self._look = look
        self._client = client
        self._tables = (
            SheetTable("workers"),
            SheetTable("streams"),
            # Who is most behind comes first.
            SheetTable("viewers", 4, reverse=True),
        )

    def compose(self) -> ComposeResult:
        """Three tables, the filter, the keys."""
        with Vertical():
            yield from self._tables
        yield Input(placeholder="only lines with", id="filter", compact=True)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin."""
        self._tables[2].focus()
        self.refresh_sheets()
        self.set_interval(REFRESH, self.refresh_sheets)

    @property
    def _filter(self) -> Input:
        return self.query_one("#filter", Input)

    def refresh_sheets(self) -> None:
        """Show the present state."""
        sheets = self._look()
        if sheets is None:
            self.exit("the relay has stopped")
            return
        for table, sheet in zip(self._tables, sheets, strict=True):
            # Workers are few, and there to be acted on.
            table.show(sheet, "" if table is self._tables[0] else self._filter.value)

    # Looking.

    def _focused_table(self) -> SheetTable:
        focused = self.focused
        return focused if isinstance(focused, SheetTable) else self._tables[2]

    def action_sort(self) -> None:
        """Sort the table by its next column: numbers from the highest, words from A."""
        view, sheets = self._focused_table().view, self._look()
        if sheets is not None:
            sheet = sheets[self._tables.index(self._focused_table())]
            view.column = (view.column + 1) % len(sheet.columns)
            view.reverse = view.column >= len(sheet.words)
            self.refresh_sheets()

    def action_turn(self) -> None:
        """Turn the order round."""
        view = self._focused_table().view
        view.reverse = not view.reverse
        self.refresh_sheets()

    def action_filter(self) -> None:
        """Type what lines must have."""
        self._filter.add_class("open")
        self._filter.focus()

    def action_unfilter(self) -> None:
        """Show all lines again."""
        self._filter.value = ""
        self._filter.remove_class("open")
        self._tables[2].focus()

    def on_input_changed(self) -> None:
        """The filter is another."""
        self.refresh_sheets()

    def on_input_submitted(self) -> None:
        """The filter is complete."""
        self._tables[2].focus()

    # Acting.

    def action_kick(self) -> None:
        """Kick the viewer under the cursor."""
        self._ask("Kick viewer {}?", "viewers/{}/kick", self._tables[2])

    def action_stop(self) -> None:
        """Stop the stream under the cursor."""
        self._ask("Stop stream {}?", "streams/{}/stop", self._tables[1])

    def action_drain(self) -> None:
        """Drain the worker under the cursor."""
        self._ask("Drain worker {} and leave its place empty?", "workers/{}/drain", self._tables[0])

    def action_restart(self) -> None:
        """Replace the worker under the cursor."""
        self._ask("Replace worker {} by a new one?", "workers/{}/restart", self._tables[0])

    def _ask(self, question: str, action: str, table: SheetTable) -> None:
        key = table.chosen
        if not key:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._act(action.format(key))

        self.push_screen(Question(question.format(key)), answered)

    @work(thread=True)
    def _act(self, action: str) -> None:
        wrong = self._client.ask(action)
        at = time.strftime("%H:%M:%S")
        if wrong:
            self.call_from_thread(self.notify, f"{action}: {wrong}", severity="error")
        else:
            self.call_from_thread(self.notify, f"{at} asked: {action}")
