"""The experiment that the window shows and changes: one text, told to form, editor and list alike, and examined beside it.

Every change goes through here, so there is one history; what was typed is examined in a thread when typing rests for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.experiment_edits import EditError, Path_, Splice
from aeqlab.app.window.models.experiment_examined import Examined, examine, tree_of_text
from aeqlab.app.window.models.experiment_text import (
    ChangedOnDiskError,
    ExperimentText,
    FileText,
    RunsOwnFileError,
    read_file,
)
from aeqlab.protocols.errors import Problem
from aeqlab.protocols.experiment import preset_text
from aeqlab.protocols.yaml import Node

REST_MS = 200  #: so long typing rests before what is there is examined


class ExperimentDocument(QObject):
    """One experiment being written.

    `spliced(start, end, new)`: the text changed there, counted in characters; `opened()`: it is another text altogether.
    `read(tree, problems)`: the YAML was read anew; the tree is None where its syntax is wrong. `examined(found)`: an `Examined`.
    `refused(why)`: a change or a file that could not be made or read. `file_changed(why, path)`: a file is not as it was
    read, so nothing was written there; the path where it is another than its own. `saved(path)`; `state_changed()`: the text,
    whether it is saved, what can be undone.
    """

    spliced = Signal(int, int, str)
    opened = Signal()
    read = Signal(object, object)
    examined = Signal(object)
    refused = Signal(str)
    file_changed = Signal(str, object)
    saved = Signal(object)
    state_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.model = ExperimentText()
        self.model.listeners.append(self._heard)
        self.tree: Node | None = None
        self.found: Examined | None = None  #: what was found last; of an older text until `is_examined`
        self._typing = False
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._examine)
        self._examining = False
        self._again = False  # to be examined once more: what it is, or where it stands, changed meanwhile
        self._writing = False
        self._then: Callable[[], None] | None = None  # what was to be saved while it was being written
        self._asked = 0  # texts that were asked for
        self._bursts = 0  # of typing
        self._read()
        self._timer.start(0)

    # what it is
    @property
    def text(self) -> str:
        """The text."""
        return self.model.text

    @property
    def path(self) -> Path | None:
        """Its file; None before it was saved."""
        return self.model.path

    @property
    def label(self) -> str:
        """What it is called."""
        return self.model.label

    @property
    def modified(self) -> bool:
        """True where it is not as it is in the file."""
        return self.model.modified

    @property
    def is_examined(self) -> bool:
        """True where what was found last is about the text as it stands."""
        known = self.found is not None and self.found.text == self.text
        return known and not self._timer.isActive() and not self._examining

    # opening and saving
    def open_text(self, file: FileText) -> None:
        """Show another text; the history begins anew."""
        self._asked += 1  # one that is still being read comes too late
        self.model = ExperimentText(file)
        self.model.listeners.append(self._heard)
        self.found = None
        tree, problems = tree_of_text(self.text, self.label)
        self.tree = tree
        self.opened.emit()
        self._take(tree, problems)
        self._timer.start(0)
        self.state_changed.emit()

    def open_preset(self, name: str) -> None:
        """Show a preset; it has no file until it is saved as one."""
        self.open_text(FileText(None, name, preset_text(name)))

    def open_file(self, path: Path) -> None:
        """Read a file in a thread and show it, errors and all; of several the one that was asked for last."""
        self._asked += 1
        asked, model, text = self._asked, self.model, self.text

        def take(file: FileText) -> None:
            if asked != self._asked:
                return
            if self.modified and (model is not self.model or text != self.text):
                self.refused.emit(f"{path.name} was not opened: {self.label} was changed while it was read. Open it again.")
            else:
                self.open_text(file)

        def failed(exc: Exception) -> None:
            if asked == self._asked:
                self.refused.emit(str(exc))

        do(self, lambda: read_file(path), take, failed, name="open experiment")

    def save(self, path: Path | None = None, *, overwrite: bool = False) -> None:
        """Write it in a thread, whole or not at all; `file_changed` says why it was not. One that comes meanwhile waits."""
        model, text, name = self.model, self.text, (path or self.path or Path()).name
        if self._writing:  # the file as it will be then would be taken for one that another program changed
            self._then = lambda: self.save(path, overwrite=overwrite) if model is self.model else None
            return
        self._writing = True

        def done(file: FileText) -> None:
            if model is self.model:  # else another text is shown by now, which has nothing to do with this file
                self._was_saved(file)
            self._written()

        def failed(exc: Exception) -> None:
            if isinstance(exc, RunsOwnFileError):
                self.refused.emit(str(exc))
            elif not isinstance(exc, ChangedOnDiskError):
                said = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
                self.refused.emit(f"{name} cannot be written: {said}.")
            elif model is self.model:
                self.file_changed.emit(str(exc), path)
            else:
                self.refused.emit(str(exc))
            self._written()

        do(self, lambda: model.write(text, path, overwrite=overwrite), done, failed, name="save experiment")

    def _written(self) -> None:
        """Go on with what was to be saved meanwhile."""
        self._writing = False
        then, self._then = self._then, None
        if then is not None:
            then()

    def look_at_file(self, then: Callable[[str], None] | None = None) -> None:
        """Look in a thread whether the file is as it was; `file_changed` says if not.

        Args:
            then: hears what happened to it, in place of those who hear `file_changed`; empty where it is as it was.
        """
        model, file = self.model, self.model.file
        if self.path is None or (self._writing and then is None):
            return

        def told(why: str) -> None:
            if self.model is not model:  # another text is shown
                return
            if model.file is not file or self._writing:  # the change was our own
                why = ""
            if then is not None:
                then(why)
            elif why:
                self.file_changed.emit(why, None)

        do(self, model.changed_on_disk, told, name="look at file")

    def reload(self) -> None:
        """Show what is in the file now; what was changed here can be undone to."""
        path, model = self.path, self.model

        def take(file: FileText) -> None:
            if model is self.model:
                self._change(lambda: model.set_text(file.text))
                model.saved(file)
                self.state_changed.emit()

        if path is not None:
            do(self, lambda: read_file(path), take, lambda exc: self.refused.emit(str(exc)), name="open experiment")

    def _was_saved(self, file: FileText) -> None:
        moved = file.path != self.path
        self.model.saved(file)
        if moved:
            self._timer.start(0)  # paths count from another folder now
        self.saved.emit(file.path)
        self.state_changed.emit()

    # changes
    def type(self, start: int, end: int, new: str) -> None:
        """Take over what was typed into the text; changes next to one another are undone together until typing rests."""
        self._typing = True
        try:
            self.model.replace(start, end, new, key=("typing", self._bursts))
        finally:
            self._typing = False
        self._timer.start(REST_MS)
        self.state_changed.emit()

    def set_value(self, path: Path_, value: Any, order: Sequence[str] = (), *, key: object = None) -> bool:
        """Set the value at a path; returns whether that could be done, else `refused` says why not."""
        return self._change(lambda: self.model.set(path, value, order=order, key=key))

    def remove(self, path: Path_) -> bool:
        """Take out what is at a path; returns as `set_value`."""
        return self._change(lambda: self.model.remove(path))

    def change(self, *steps: Callable[[ExperimentText], object]) -> bool:
        """Make several changes that are undone together, or none; returns as `set_value`."""
        model = self.model
        return self._change(lambda: model.several(*(lambda step=step: step(model) for step in steps)))

    def undo(self) -> None:
        """Take the last change back."""
        self._change(self.model.undo)

    def redo(self) -> None:
        """Make the change that was undone last again."""
        self._change(self.model.redo)

    def _change(self, work: Callable[[], object]) -> bool:
        before = self.text
        try:
            work()
        except EditError as exc:
            self.refused.emit(str(exc))
            return False
        if self.text != before:
            self._read()
            self._timer.start(REST_MS)
        self.state_changed.emit()
        return True

    def _heard(self, splice: Splice) -> None:
        if not self._typing:
            self.spliced.emit(splice.start, splice.end, splice.new)

    # examining
    def _read(self) -> None:
        tree, problems = tree_of_text(self.text, self.label)
        self._take(tree, problems)

    def _take(self, tree: Node | None, problems: tuple[Problem, ...]) -> None:
        if tree is not None:
            self.tree = tree
        self.read.emit(tree, problems)

    def _examine(self) -> None:
        self._bursts += 1
        if self._examining:  # one at a time; it looks again when it is done
            self._again = True
            return
        self._examining = True
        model = self.model
        text, label, base, path = model.text, model.label, model.base, model.path
        do(self, lambda: examine(text, label, base, path), self._was_examined, self._not_examined, name="examine experiment")

    def _was_examined(self, found: Examined) -> None:
        self._examining = False
        again, self._again = self._again, False
        if again or found.text != self.text:
            self._timer.start(REST_MS)
            return
        self.found = found
        self._take(found.tree, found.problems)
        self.examined.emit(found)

    def _not_examined(self, exc: Exception) -> None:
        self._examining = False
        again, self._again = self._again, False
        if again:
            self._timer.start(REST_MS)
        self.refused.emit(f"The experiment cannot be examined: {exc}")
