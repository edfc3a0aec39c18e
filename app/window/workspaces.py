"""The workspaces under their tabs, each made when it is first needed: the window is there before its plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QTabWidget, QWidget

READY_MS = 250  #: between two workspaces that are made ahead, while nobody waits for them


class Workspaces(QTabWidget):
    """The tabs. `came` tells of a workspace that was just made.

    Args:
        makers: what makes each workspace, by its name, in the order of the tabs.
    """

    came = Signal(str)

    def __init__(self, makers: Mapping[str, Callable[[], QWidget]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDocumentMode(True)
        self._makers = dict(makers)
        self._made: dict[str, QWidget] = {}
        for number, name in enumerate(self._makers, start=1):
            self.addTab(QWidget(), name)
            self.setTabToolTip(number - 1, f"{name} (Ctrl+{number})")
        self.currentChanged.connect(lambda k: self.page(self.tabText(k)))

    @property
    def names(self) -> tuple[str, ...]:
        """Get the names, in the order of the tabs."""
        return tuple(self._makers)

    def page(self, name: str) -> QWidget:
        """Get a workspace; it is made now if nobody needed it before."""
        if name in self._made:
            return self._made[name]
        page = self._made[name] = self._makers[name]()
        place, chosen = self.names.index(name), self.currentIndex()
        empty, words = self.widget(place), self.tabToolTip(place)
        self.blockSignals(True)
        self.removeTab(place)
        self.insertTab(place, page, name)
        self.setTabToolTip(place, words)
        self.setCurrentIndex(chosen)
        self.blockSignals(False)
        if empty is not None:
            empty.deleteLater()
        self.came.emit(name)
        return page

    def there(self, name: str) -> QWidget | None:
        """Get a workspace, where it was made already."""
        return self._made.get(name)

    def turn_to(self, name: str) -> None:
        """Bring a workspace to the front."""
        self.setCurrentWidget(self.page(name))

    def make_ready(self, first: tuple[str, ...] = ("Train",)) -> None:
        """Make all of them ahead, one after another, beginning with those that are needed first."""
        name = next((one for one in (*first, *self.names) if one not in self._made), None)
        if name is not None:
            self.page(name)
            QTimer.singleShot(READY_MS, self, self.make_ready)
