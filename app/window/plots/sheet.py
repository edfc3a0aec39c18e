"""What every plot of the window has: a title, its origin, a redraw that happens only when due, a menu and keys, files of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QKeySequence, QPalette, QShowEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from aeqlab.app.window.jobs import do
from aeqlab.app.window.plots import export
from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.theme import GRID, theme


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu: its words, its key, and what it does. `on` is whether it is ticked, None where it cannot be."""

    words: str
    key: str
    action: Callable[[], None]
    on: bool | None = None


class Sheet(QWidget):
    """A plot: it is given data at any time and draws them when the window's timer calls `redraw()`.

    `saved` and `failed` tell of a file: its path, or a sentence. `told` is any other short message for the line of messages.
    """

    saved = Signal(str)
    failed = Signal(str)
    told = Signal(str)

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._origin, self._awaited = title, "", "data"
        self._due = self._title_shown = True
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAutoFillBackground(True)
        self._head = QHBoxLayout()
        self._head.setContentsMargins(GRID, GRID // 2, GRID, 0)
        self._head.setSpacing(2 * GRID)
        self._title_label = QLabel(title)
        self._head.addWidget(self._title_label, 0, Qt.AlignmentFlag.AlignTop)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addLayout(self._head)
        self.set_title(title)
        theme().changed.connect(self._follow_theme)
        self._follow_theme()
        self.setToolTip("Right click or Menu key: save, copy, scale. Home: show everything. Ctrl+E: save.")

    # ---- what it is ----------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """Get what the plot shows, in a few words."""
        return self._title

    def set_title(self, title: str) -> None:
        """Say what the plot shows."""
        self._title = title
        self._title_label.setText(title)
        self._title_label.setVisible(self._title_shown and bool(title))
        self.setAccessibleName(title or "plot")

    def show_title(self, on: bool) -> None:
        """Show the title above the plot, or leave that to what the plot is in; files of it have it either way."""
        self._title_shown = on
        self._title_label.setVisible(on and bool(self._title))

    @property
    def origin(self) -> str:
        """Get the run it is of."""
        return self._origin

    def set_origin(self, text: str) -> None:
        """Say which run it is of: every file and copy carries this."""
        self._origin = text

    def set_awaited(self, text: str) -> None:
        """Say what is awaited while there is nothing to draw, such as "the first step"."""
        self._awaited = text
        self.data_changed()

    # ---- drawing -------------------------------------------------------------------------------------------------------

    def data_changed(self) -> None:
        """Note that a redraw is due."""
        self._due = True

    def redraw(self, *, even_if_hidden: bool = False) -> bool:
        """Draw if something changed and anyone can see it. Returns whether it was drawn."""
        if not self._due or not (even_if_hidden or self.isVisible()):
            return False
        self._draw()
        self._due = False
        return True

    def _draw(self) -> None:
        raise NotImplementedError

    def columns(self) -> Sequence[Column]:
        """Get the numbers behind the plot, as they were given."""
        raise NotImplementedError

    def _follow_theme(self) -> None:
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.Window, theme().now.sheet)
        palette.setColor(QPalette.ColorRole.WindowText, theme().now.text)
        self.setPalette(palette)
        self._title_label.setFont(theme().font(bold=True))
        self.data_changed()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: D102
        super().showEvent(event)
        self._follow_theme()  # Qt forgets a label's own font when a sheet is put into another widget

    # ---- files and the clipboard ---------------------------------------------------------------------------------------

    def file(self, kind: str) -> bytes:
        """Make the content of a file: ".png", ".svg" or ".csv"."""
        if kind != ".csv":
            self.data_changed()
            self.redraw(even_if_hidden=True)
        return export.file_of(kind, self, self.columns() if kind == ".csv" else (), self._title, self._origin)

    def save(self, path: Path) -> None:
        """Write a file, by its ending, and wait for it.

        Raises:
            ValueError: the ending is none of .png, .svg, .csv.
            OSError: it cannot be written.
        """
        path.write_bytes(self.file(path.suffix.lower()))

    def save_beside(self, path: Path, *, anew: bool = False) -> None:
        """Write a file without keeping the window waiting; `saved` or `failed` tells how it went.

        Args:
            path: the file.
            anew: under another name, such as cost-2.png, where there is one of this name already.
        """
        title, origin = self._title, self._origin
        try:
            if path.suffix.lower() == ".csv":
                columns = [Column(one.name, one.unit, one.values.copy()) for one in self.columns()]

                def content() -> bytes:
                    return export.csv_of(columns, title, origin).encode("utf-8")
            else:
                made = self.file(path.suffix.lower())

                def content() -> bytes:
                    return made
        except ValueError as exc:
            self.failed.emit(str(exc))
            return

        def work() -> Path:
            where = _free(path) if anew else path
            where.write_bytes(content())
            return where

        def failed(exc: Exception) -> None:
            self.failed.emit(f"The plot could not be written to {path}: {exc}. Choose another place.")

        do(self, work, lambda where: self.saved.emit(str(where)), failed, name="save plot")

    def ask_where_to_save(self, kind: str = ".png") -> None:
        """Ask for a name in a dialog that keeps nothing from being used, then save."""
        dialog = QFileDialog(self, f"Save as {export.KINDS[kind]}")
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)  # a native one would keep the window from FREEZE
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)  # so would the box that asks; another name is taken
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters([f"{words} (*{ending})" for ending, words in export.KINDS.items()])
        dialog.selectNameFilter(f"{export.KINDS[kind]} (*{kind})")
        dialog.setDefaultSuffix(kind[1:])
        dialog.selectFile(_file_name(self._title) + kind)
        dialog.setModal(False)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: self.save_beside(Path(name), anew=True))
        dialog.show()

    def copy_picture(self) -> None:
        """Put the picture into the clipboard."""
        self.redraw(even_if_hidden=True)
        export.copy(self, (), self._title, self._origin, numbers=False)
        self.told.emit("The picture is in the clipboard.")

    def copy_numbers(self) -> None:
        """Put the numbers into the clipboard, as a table."""
        export.copy(self, self.columns(), self._title, self._origin, numbers=True)
        self.told.emit("The numbers are in the clipboard.")

    # ---- menu and keys -------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Get the lines of the menu; a subclass puts its own before these."""
        return [
            Entry("Save as picture (PNG)...", "Ctrl+E", lambda: self.ask_where_to_save(".png")),
            Entry("Save as drawing (SVG)...", "Ctrl+Shift+E", lambda: self.ask_where_to_save(".svg")),
            Entry("Save numbers (CSV)...", "Ctrl+Alt+E", lambda: self.ask_where_to_save(".csv")),
            Entry("Copy picture", "Ctrl+C", self.copy_picture),
            Entry("Copy numbers", "Ctrl+Shift+C", self.copy_numbers),
        ]

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:  # noqa: D102
        self.open_menu(event.globalPos())

    def open_menu(self, place: QPoint) -> QMenu:
        """Open the menu at a place of the screen. It waits for nothing."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for entry in self.entries():
            action = menu.addAction(entry.words)
            action.setShortcut(QKeySequence(entry.key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)  # the key itself is heard in keyPressEvent
            if entry.on is not None:
                action.setCheckable(True)
                action.setChecked(entry.on)
            action.triggered.connect(lambda _=False, act=entry.action: act())
        menu.popup(place)
        return menu

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        pressed = QKeySequence(event.keyCombination())
        for entry in self.entries():
            if QKeySequence(entry.key) == pressed:
                entry.action()
                return
        super().keyPressEvent(event)


def _free(path: Path) -> Path:
    """Find a name that no file has yet: cost.png, cost-2.png, cost-3.png, ..."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def _file_name(title: str) -> str:
    """Make a name for a file of a title."""
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-") or "plot"
