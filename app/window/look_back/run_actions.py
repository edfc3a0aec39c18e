"""What is done with runs from the table, each in a job of its own: export, bundle, notes; what comes of it is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices

from aeqlab.app.window.jobs import do
from aeqlab.app.words import size_in_words

EXPORTS = "exports"  #: folder beside the runs that exports and bundles go into
FORMATS = {"CSV": "csv", "HDF5": "hdf5", "NetCDF": "netcdf"}


class RunActions(QObject):
    """Does things with runs beside the window's thread.

    Signals:
        said: what is going on, or what came of it, and whether that is an error.
        changed: the record of a run was added to.
    """

    said = Signal(str, bool)
    changed = Signal()

    def export(self, paths: Sequence[Path], format_name: str) -> None:
        """Export runs, each beside its folder in `exports`, under a name that nothing has yet.

        Args:
            paths: the run folders.
            format_name: CSV, HDF5 or NetCDF.
        """
        if not paths:
            return
        names = paths[0].name if len(paths) == 1 else f"{len(paths)} runs"
        self.said.emit(f"Exporting {names} as {format_name} ...", False)
        do(self, lambda: _exported(paths, FORMATS[format_name]), self._done, self._failed, name="export")

    def bundle(self, paths: Sequence[Path]) -> None:
        """Put runs into one zip file in `exports`."""
        if not paths:
            return
        self.said.emit(f"Bundling {paths[0].name if len(paths) == 1 else f'{len(paths)} runs'} ...", False)
        do(self, lambda: _bundled(paths), self._done, self._failed, name="bundle")

    def add_note(self, path: Path, text: str) -> None:
        """Write a note into the record of a run, by its own process where it is going on."""
        do(self, lambda: _noted(path, text), self._noted, self._failed, name="note")

    def open_folder(self, path: Path) -> None:
        """Show a run folder in the file manager of the desktop."""
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self.said.emit(f"No file manager opens here. The folder is {path}", True)

    def _done(self, sentence: str) -> None:
        self.said.emit(sentence, False)

    def _noted(self, sentence: str) -> None:
        self.said.emit(sentence, False)
        self.changed.emit()

    def _failed(self, exc: Exception) -> None:
        self.said.emit(str(exc) or type(exc).__name__, True)


def free_place(folder: Path, name: str, suffix: str) -> Path:
    """Find a name in a folder that nothing has yet: NAME-csv, NAME-2-csv, NAME-3-csv, ..."""
    place, number = folder / f"{name}{suffix}", 1
    while place.exists():
        number += 1
        place = folder / f"{name}-{number}{suffix}"
    return place


def _exported(paths: Sequence[Path], format_: str) -> str:
    from aeqlab.protocols import export

    missing: list[str] = []
    size = 0
    for path in paths:
        place = free_place(path.parent / EXPORTS, path.name, export.FORMATS[format_])
        done = export.export_run(path, format_, place)
        size += sum(file.stat().st_size for file in done.files)
        missing += done.missing
    where = place if len(paths) == 1 else place.parent
    return f"Exported to {where} ({size_in_words(size)})." + "".join(f" {sentence}" for sentence in missing)


def _bundled(paths: Sequence[Path]) -> str:
    from aeqlab.protocols.bundle import bundle_runs

    folder = paths[0].parent / EXPORTS
    folder.mkdir(parents=True, exist_ok=True)
    done = bundle_runs(paths, free_place(folder, paths[0].name if len(paths) == 1 else "runs", ".zip"))
    said = f"Bundled {len(done.names)} files into {done.file} ({size_in_words(done.file.stat().st_size)})."
    return said + "".join(f" {sentence}" for sentence in done.missing)


def _noted(path: Path, text: str) -> str:
    from aeqlab.protocols.control import person, send
    from aeqlab.protocols.notes import add_note
    from aeqlab.protocols.run_folder import is_alive

    if is_alive(path):
        send(path, "note", text)
    else:
        add_note(path, person(), text)
    return f"Noted in {path.name}."
