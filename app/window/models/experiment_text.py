"""The experiment that is being written: the text of a YAML file, changed by typing or by path, with one history for both.

What is in the file stays there until it is saved, whole or not at all; a file that another program changed meanwhile is noticed
and not overwritten unless that is said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeqlab.app.window.models import experiment_edits as edits
from aeqlab.app.window.models.experiment_edits import EditError, Path_, Splice
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.experiment import preset_names, preset_text
from aeqlab.protocols.yaml import read_text

__all__ = [
    "EMPTY",
    "ChangedOnDiskError",
    "EditError",
    "ExperimentText",
    "FileText",
    "Path_",
    "RunsOwnFileError",
    "Splice",
    "preset_summaries",
    "read_file",
]

EMPTY = "name: new-experiment\ndevice: {kind: simulated, energy: linear}\nsequence:\n  - evaluate: {}\nthen: freeze\n"
MOST_UNDONE = 500  #: changes that can be undone
Listener = Callable[[Splice], None]


class ChangedOnDiskError(Exception):
    """The file is not any more as it was read; the message says so and what can be done."""


class RunsOwnFileError(Exception):
    """The file says what a run was asked to do, and stays as it is; the message says so and what can be done."""


@dataclass(frozen=True, slots=True)
class FileText:
    """What was read of a file: its text with line feeds alone, and how it writes its ends of lines.

    Attributes:
        path: the file; None for a preset.
        label: what to call it in problems.
        text: what it says.
        newline: its end of a line.
        bom: whether a byte order mark stands before it.
        digest: SHA-256 of its bytes; empty for a preset.
    """

    path: Path | None
    label: str
    text: str
    newline: str = "\n"
    bom: bool = False
    digest: str = ""

    def bytes_of(self, text: str) -> bytes:
        """Write a text the way the file is written."""
        raw = text.replace("\n", self.newline).encode("utf-8")
        return b"\xef\xbb\xbf" + raw if self.bom else raw


def read_file(path: Path) -> FileText:
    """Read an experiment file to be changed.

    Raises:
        FileErrors: it cannot be read, or is no text.
        OSError: likewise.
    """
    text = read_text(path)
    raw = path.read_bytes()
    newline = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    if newline == "\r\n":
        text = text.replace("\r\n", "\n")
    return FileText(path, path.name, text, newline, raw.startswith(b"\xef\xbb\xbf"), hashlib.sha256(raw).hexdigest())


def preset_summaries() -> dict[str, str]:
    """Get the presets by name, each with what its first line says."""
    found = {}
    for name in preset_names():
        first = preset_text(name).lstrip().splitlines()[0]
        said = first.lstrip("# ").split(". ")[0].rstrip(".") if first.startswith("#") else ""
        found[name] = said
    return found


@dataclass(slots=True)
class _Change:
    """One step of the history: `done` made the present text of the one before, `undone` goes back."""

    done: Splice
    undone: Splice
    key: object  # changes of one key, one after the other, are one step


class ExperimentText:
    """The text of an experiment, and what was done to it.

    Whoever shows it adds itself to `listeners` and is told of every splice, in order. Positions count characters.
    """

    def __init__(self, file: FileText | None = None) -> None:
        self.listeners: list[Listener] = []
        self.file = file if file is not None else FileText(None, "new experiment", EMPTY)
        self.text = self.file.text
        self._saved = self.text
        self._undone: list[_Change] = []
        self._redone: list[_Change] = []

    # what it is
    @property
    def path(self) -> Path | None:
        """The file it belongs to; None before it was saved."""
        return self.file.path

    @property
    def label(self) -> str:
        """What it is called in problems."""
        return self.file.label

    @property
    def base(self) -> Path:
        """Folder from which its paths resolve."""
        return Path.cwd() if self.path is None else self.path.resolve().parent

    @property
    def modified(self) -> bool:
        """True where it is not as it was read or saved last."""
        return self.text != self._saved

    # typing
    def replace(self, start: int, end: int, new: str, *, key: object = None) -> None:
        """Put a text in place of the characters from `start` to `end`.

        Args:
            start, end: counted from 0.
            new: what comes there.
            key: changes with one key that follow one another are undone together; None: this one is a step by itself.
        """
        self._do(Splice(start, end, new), key)

    def set_text(self, text: str, *, key: object = None) -> None:
        """Change the whole text; what both have stays untouched."""
        if text != self.text:
            self._do(edits.difference(self.text, text), key)

    # by path
    def set(self, path: Path_, value: Any, *, order: Sequence[str] = (), key: object = None) -> None:
        """Set the value at a path; see `experiment_edits.set_value`. Raises EditError."""
        self.set_text(edits.set_value(self.text, path, value, order), key=key)

    def remove(self, path: Path_) -> None:
        """Take out a key or an item. Raises EditError."""
        self.set_text(edits.remove(self.text, path))

    def rename(self, path: Path_, key: str) -> None:
        """Give a key another name; its value stays. Raises EditError."""
        self.set_text(edits.rename(self.text, path, key))

    def insert(self, path: Path_, index: int, value: Any) -> None:
        """Put an item into a list. Raises EditError."""
        self.set_text(edits.insert(self.text, path, index, value))

    def move(self, path: Path_, start: int, to: int) -> None:
        """Move an item of a list to another index, with the comments above it. Raises EditError."""
        self.set_text(edits.move(self.text, path, start, to))

    def duplicate(self, path: Path_, index: int) -> None:
        """Copy an item of a list behind itself. Raises EditError."""
        self.set_text(edits.duplicate(self.text, path, index))

    def several(self, *steps: Callable[[], object]) -> None:
        """Make several changes that are undone together; where one cannot be made, none is.

        Raises:
            EditError: as the one that could not be made said.
        """
        before, count = self.text, len(self._undone)
        listeners, self.listeners = self.listeners, []
        try:
            for step in steps:
                step()
        except EditError:
            after = before
            raise
        else:
            after = self.text
        finally:
            self.text = before
            del self._undone[count:]
            self.listeners = listeners
        self.set_text(after)

    # history
    @property
    def can_undo(self) -> bool:
        """True where there is something to undo."""
        return bool(self._undone)

    @property
    def can_redo(self) -> bool:
        """True where something was undone and nothing changed since."""
        return bool(self._redone)

    def undo(self) -> Splice | None:
        """Take the last change back; returns what was done to the text."""
        if not self._undone:
            return None
        change = self._undone.pop()
        self._redone.append(change)
        return self._apply(change.undone)

    def redo(self) -> Splice | None:
        """Make the change that was undone last again; returns what was done to the text."""
        if not self._redone:
            return None
        change = self._redone.pop()
        self._undone.append(change)
        return self._apply(change.done)

    def _do(self, splice: Splice, key: object) -> None:
        undone = Splice(splice.start, splice.start + len(splice.new), self.text[splice.start : splice.end])
        last = self._undone[-1] if self._undone and not self._redone else None
        self._redone.clear()
        if key is not None and last is not None and last.key == key:
            before = last.undone.on(self.text)
            after = splice.on(self.text)
            done = edits.difference(before, after)
            back = Splice(done.start, done.start + len(done.new), before[done.start : done.end])
            self._undone[-1] = _Change(done, back, key)
        else:
            self._undone.append(_Change(splice, undone, key))
            del self._undone[:-MOST_UNDONE]
        self._apply(splice)

    def _apply(self, splice: Splice) -> Splice:
        self.text = splice.on(self.text)
        for listener in list(self.listeners):
            listener(splice)
        return splice

    # files
    def changed_on_disk(self) -> str:
        """Say what happened to the file since it was read or saved; empty where it is as it was. Reads the file."""
        if self.path is None:
            return ""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return f"{self.path.name} is not there any more: it was moved or deleted."
        except OSError as exc:
            return f"{self.path.name} cannot be read any more: {exc.strerror or exc}."
        if hashlib.sha256(raw).hexdigest() != self.file.digest:
            return f"{self.path.name} was changed on the disk by another program since it was opened."
        return ""

    def write(self, text: str, path: Path | None = None, *, overwrite: bool = False) -> FileText:
        """Write a text into its file or another one, whole or not at all; touches nothing of this object: see `saved`.

        Args:
            text: what to write.
            path: another file; None: its own.
            overwrite: also where the file is not as it was read, or another one is there already.
        Raises:
            ChangedOnDiskError: it would overwrite what this text was not made from; nothing was written.
            RunsOwnFileError: it is the experiment.yaml in the folder of a run; nothing was written.
            OSError: it cannot be written; the old content stands.
        """
        target = self.path if path is None else path
        if target is None:
            raise ValueError("The experiment has no file yet: save it as one.")
        if target.name == "experiment.yaml" and (target.parent / "record.sqlite").exists():
            raise RunsOwnFileError(
                f"{target.name} says what the run {target.parent.name} was asked to do; changed, the run could not be resumed. "
                "Nothing was saved. Save it as a file of yours."
            )
        own = self.path is not None and target.resolve() == self.path.resolve()
        if not overwrite and own and target.exists() and (why := self.changed_on_disk()):
            raise ChangedOnDiskError(f"{why} Nothing was saved.")
        if not overwrite and not own and target.exists():
            raise ChangedOnDiskError(f"{target.name} is there already. Nothing was saved.")
        raw = self.file.bytes_of(text)
        write_whole(target, raw)
        return FileText(target, target.name, text, self.file.newline, self.file.bom, hashlib.sha256(raw).hexdigest())

    def saved(self, file: FileText) -> None:
        """Take note that a text was written into a file."""
        self.file, self._saved = file, file.text

    def save(self, path: Path | None = None, *, overwrite: bool = False) -> None:
        """Write it into its file or another one, which is its own from then on; see `write`."""
        self.saved(self.write(self.text, path, overwrite=overwrite))
