"""Up to four panels in fixed places; one can fill the workspace, or be torn off to a window of its own, on a second screen.

Every panel has two buttons, Enlarge and Tear off; while it fills the workspace or is torn off its row says how it comes back.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSplitter, QVBoxLayout, QWidget

from aeqlab.app.window.elided import Elided
from aeqlab.app.window.theme import GRID, NORMAL, theme


class Panel(QWidget):
    """A title, its two buttons, and what it shows."""

    enlarge_wanted = Signal()
    back_wanted = Signal()
    tear_wanted = Signal()

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.content = title, content
        self.heading = Elided()
        self.heading.setText(title)
        self.enlarge, self.back, self.tear = QPushButton("Enlarge"), QPushButton("Back to all panels"), QPushButton("Tear off")
        self.enlarge.setToolTip(f"Let {title} fill the workspace (double click on its title)")
        self.back.setToolTip("Show all panels again (Esc)")
        self.tear.setToolTip(f"Put {title} into a window of its own, for a second screen; closing that brings it back")
        for button in (self.enlarge, self.back, self.tear):
            button.setFlat(True)
            button.setAccessibleName(f"{button.text()}: {title}")
        row = QHBoxLayout()
        row.setSpacing(GRID // 2)
        row.addWidget(self.heading, 1)
        for button in (self.back, self.enlarge, self.tear):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID, GRID // 2, GRID, GRID // 2)
        column.setSpacing(GRID // 2)
        column.addLayout(row)
        column.addWidget(content, 1)
        self.enlarge.clicked.connect(self.enlarge_wanted)
        self.back.clicked.connect(self.back_wanted)
        self.tear.clicked.connect(self.tear_wanted)
        self.heading.mouseDoubleClickEvent = lambda event: self.enlarge_wanted.emit()  # type: ignore[method-assign]
        self.show_as(large=False, torn=False)
        theme().changed.connect(self._dress)
        self._dress()

    def show_as(self, *, large: bool, torn: bool) -> None:
        """Offer what makes sense where it stands."""
        self.enlarge.setVisible(not large and not torn)
        self.back.setVisible(large or torn)
        self.tear.setVisible(not torn)

    def set_note(self, note: str) -> None:
        """Add some words to the title, such as which run it shows."""
        self.heading.setText(f"{self.title}  ·  {note}" if note else self.title)
        self.heading.setToolTip(note)

    def _dress(self) -> None:
        self.heading.setFont(theme().font(NORMAL, bold=True))
        for button in (self.enlarge, self.back, self.tear):
            button.setStyleSheet(f"color: {theme().now.dim}; padding: 0 4px;")


class Torn(QWidget):
    """The window of a panel that was torn off."""

    closed = Signal()

    def __init__(self, panel: Panel, owner: QWidget) -> None:
        super().__init__(owner, Qt.WindowType.Window)
        self.setWindowTitle(f"{panel.title} – aeqlab")
        self.resize(max(panel.width(), 80 * GRID), max(panel.height(), 60 * GRID))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(panel)
        panel.show()
        QShortcut(QKeySequence(Qt.Key.Key_Escape), self).activated.connect(self.close)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Give the panel back."""
        self.closed.emit()
        super().closeEvent(event)


class FourPanels(QWidget):
    """A workspace of one to four panels, in two rows.

    Args:
        panels: title and content of each, in reading order.
        above: how many of them stand in the upper row.
    """

    def __init__(self, panels: list[tuple[str, QWidget]], parent: QWidget | None = None, *, above: int = 2) -> None:
        super().__init__(parent)
        self.panels = [Panel(title, content) for title, content in panels]
        self._torn: dict[Panel, Torn] = {}
        self._places: dict[Panel, tuple[QSplitter, int]] = {}
        rows = [QSplitter(Qt.Orientation.Horizontal) for _ in range(1 if len(self.panels) <= above else 2)]
        whole = QSplitter(Qt.Orientation.Vertical)
        for k, panel in enumerate(self.panels):
            row = rows[0] if k < above else rows[1]
            row.addWidget(panel)
            self._places[panel] = row, k if k < above else k - above
            panel.enlarge_wanted.connect(lambda panel=panel: self.enlarge(panel))
            panel.back_wanted.connect(lambda panel=panel: self.bring_back(panel))
            panel.tear_wanted.connect(lambda panel=panel: self.tear_off(panel))
        for row in rows:
            row.setChildrenCollapsible(False)
            row.setSizes([1000] * row.count())  # alike, whatever their contents would like
            whole.addWidget(row)
        whole.setChildrenCollapsible(False)
        whole.setSizes([1000] * whole.count())
        self.rows, self.whole = rows, whole
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(whole)
        escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)
        escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        escape.activated.connect(self.show_all)

    @property
    def seen(self) -> bool:
        """Whether anything of it can be seen: here, or in a window of its own though another workspace is in front."""
        return self.isVisible() or any(torn.isVisible() for torn in self._torn.values())

    @property
    def whole_shown(self) -> bool:
        """Whether all panels stand in their places, none enlarged or torn off."""
        return not self._torn and not any(panel.isHidden() for panel in self.panels)

    def enlarge(self, panel: Panel) -> None:
        """Let a panel fill the workspace."""
        for other in self.panels:
            if other not in self._torn:
                other.setVisible(other is panel)
                other.show_as(large=other is panel, torn=False)
        self._hide_empty_rows()

    def show_all(self) -> None:
        """Show all panels that were not torn off."""
        for panel in self.panels:
            if panel not in self._torn:
                panel.setVisible(True)
                panel.show_as(large=False, torn=False)
        self._hide_empty_rows()

    def tear_off(self, panel: Panel) -> None:
        """Put a panel into a window of its own."""
        if panel in self._torn:
            return
        self._torn[panel] = torn = Torn(panel, self)
        torn.closed.connect(lambda: self._give_back(panel))
        panel.show_as(large=False, torn=True)
        self.show_all()
        torn.show()

    def bring_back(self, panel: Panel) -> None:
        """Show all panels again, a torn one in its old place."""
        if panel in self._torn:
            self._torn[panel].close()
        else:
            self.show_all()

    def _give_back(self, panel: Panel) -> None:
        torn = self._torn.pop(panel, None)
        if torn is None:
            return
        row, place = self._places[panel]
        row.insertWidget(min(place, row.count()), panel)
        panel.show()
        torn.deleteLater()
        self.show_all()

    def _hide_empty_rows(self) -> None:
        here = [panel for panel in self.panels if panel not in self._torn and not panel.isHidden()]
        for row in self.rows:
            row.setVisible(any(self._places[panel][0] is row for panel in here))
