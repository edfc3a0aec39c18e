"""Opening files: dialogs that keep nothing from being used, the ones opened lately, and what is dropped on the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSettings, QUrl, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.target import Target, target_at

MOST = 8  #: files that are remembered


class Files(QObject):
    """Lets people choose files. `chosen` brings a Target, `refused` a sentence.

    Args:
        window: over which the dialogs stand.
        settings: where the ones opened lately are remembered.
        runs: gives the folder that is shown first when a run is looked for.
    """

    chosen = Signal(object)
    refused = Signal(str)

    def __init__(self, window: QWidget, settings: QSettings, runs: Callable[[], Path]) -> None:
        super().__init__(window)
        self._window, self._settings, self._runs = window, settings, runs
        window.setAcceptDrops(True)
        window.installEventFilter(self)
        self.dialog: QFileDialog | None = None  #: that stands open
        self._opened = 0  # how many were to be opened
        stored = settings.value("recent")
        self.recent: list[str] = [str(one) for one in ([stored] if isinstance(stored, str) else stored or [])][:MOST]

    def ask(self, what: str) -> None:
        """Ask for an experiment, a rig file or a run; the window goes on meanwhile."""
        dialog = QFileDialog(self._window, f"Open {what}")
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)  # a native one would keep the window from FREEZE
        if what == "run":
            dialog.setFileMode(QFileDialog.FileMode.Directory)
            dialog.setDirectory(str(self._runs()))
        else:
            dialog.setFileMode(QFileDialog.FileMode.AnyFile)  # a name that is not there is told by us: Qt's box is modal
            dialog.setNameFilters([f"{what.capitalize()} (*.yaml *.yml)", "All files (*)"])
        dialog.fileSelected.connect(lambda name: self.open(Path(name)))
        dialog.finished.connect(lambda _: self._forget(dialog))
        self.dialog = dialog
        dialog.setModal(False)
        dialog.show()

    def open(self, path: Path) -> None:
        """Find out what it is, in a thread, and say so."""
        self._opened += 1
        number = self._opened

        def take(target: Target) -> None:
            if number == self._opened:  # of several the one that was chosen last
                self._take(target)

        do(self, lambda: target_at(path), take, lambda exc: self.refused.emit(str(exc)), name="what is it")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take what is dragged over the window, if there is a file in it, and open what is dropped."""
        if isinstance(event, QDragEnterEvent) and local_paths(event.mimeData().urls()):
            event.acceptProposedAction()
            return True
        if isinstance(event, QDropEvent) and event.type() is QEvent.Type.Drop:
            self.drop(event)
            return True
        return False

    def drop(self, event: QDropEvent) -> None:
        """Open what was dropped, the first of it."""
        paths = local_paths(event.mimeData().urls())
        if not paths:
            self.refused.emit("What was dropped is no file of this computer. Drop an experiment, a rig file or a run's folder.")
            return
        event.acceptProposedAction()
        self.open(paths[0])
        if len(paths) > 1:
            self.refused.emit(f"{len(paths)} files were dropped; {paths[0].name} is opened. Drop one at a time.")

    def remember(self, path: Path) -> None:
        """Put it first among those opened lately."""
        word = str(path.absolute())
        self.recent = [word, *(one for one in self.recent if one != word)][:MOST]
        self._settings.setValue("recent", self.recent)

    def fill(self, menu: QMenu) -> None:
        """Put those opened lately into a menu."""
        menu.clear()
        for word in self.recent:
            path = Path(word)
            action = menu.addAction(f"{path.name}  –  {path.parent}")
            action.triggered.connect(lambda _=False, path=path: self.open(path))
        menu.setEnabled(bool(self.recent))

    def _take(self, target: Target) -> None:
        path = target.run or target.experiment or target.rig
        if path is not None:
            self.remember(path)
        self.chosen.emit(target)

    def _forget(self, dialog: QFileDialog) -> None:
        self.dialog = None if self.dialog is dialog else self.dialog
        dialog.deleteLater()


def local_paths(urls: Sequence[QUrl]) -> list[Path]:
    """List the files of this computer among what is dragged."""
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
