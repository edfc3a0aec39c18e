"""What the steps of the guide share: the rig file under construction, what its check says, who answered, and undoing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.instrument_search import Answer
from aeqlab.app.window.models.rig_cells import Row
from aeqlab.app.window.models.rig_check import check_rig
from aeqlab.app.window.models.rig_draft import RigDraft
from aeqlab.app.window.models.rig_problems import RigProblem, Sketch, Step, Verdict
from aeqlab.backends.rig_file import InstrumentEntry
from aeqlab.drivers.instrument import Channel
from aeqlab.drivers.offers import Offer, offer_of

CHECK_MS = 150  #: after the last edit, so that a check does not run at every key
MOST_UNDONE = 100


#: Keys that every instrument has, whatever its driver.
COMMON = frozenset(InstrumentEntry.model_fields)


def offers_of(sketch: Sketch) -> dict[str, Offer]:
    """List the channels that each instrument has, as far as they are known without opening it; may read descriptions."""
    return {
        name: offer_of(str(entry.get("driver", "")), {k: one for k, one in entry.items() if k not in COMMON}, sketch.base)
        for name, entry in sketch.instruments.items()
    }


class GuideModel(QObject):
    """The rig file that the guide edits. It lives in the window's thread; checks run beside it.

    Attributes:
        draft: the rig file under construction.
        verdict: what the last check said; of the draft as it was then.
        answers: who answered when the rig's instruments were asked, by their names.
    """

    changed = Signal()  #: something was edited
    replaced = Signal()  #: it is another rig file
    checked = Signal()  #: the verdict is a new one
    answered = Signal()  #: instruments were asked
    told = Signal(str)  #: something to be said that is about no field

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.draft = RigDraft()
        self.verdict = Verdict(())
        self.answers: dict[str, Answer] = {}
        self._undo: list[Any] = []
        self._redo: list[Any] = []
        self._asked = self._done = 0
        self._by_row: tuple[Verdict, dict[int, list[RigProblem]]] = (self.verdict, {})
        self._offers: Mapping[str, Offer] = {}
        self._timer = QTimer(self, singleShot=True, interval=CHECK_MS)
        self._timer.timeout.connect(self._check)
        self.recheck()

    @property
    def checking(self) -> bool:
        """Whether the verdict is not yet that of the draft as it is now."""
        return self._timer.isActive() or self._asked != self._done

    def if_dies(self) -> tuple[str, str]:
        """Say what becomes of the rig when this computer dies, or why that is not known, and whether it is plain or dim."""
        if self.verdict.if_dies:
            return "\n".join(self.verdict.if_dies), "dim" if self.checking else "plain"
        if self.checking:
            return "The file is being checked.", "dim"
        if self.verdict.problems:
            return "That can be said once nothing is missing any more.", "dim"
        return "That can be said once the file is saved with its tables of values per knob.", "dim"

    def replace(self, draft: RigDraft) -> None:
        """Go on with another rig file."""
        self.draft, self.answers, self.verdict = draft, {}, Verdict(())
        self._asked += 1  # what is being checked is not this one
        self._undo, self._redo = [], []
        self._timer.start()
        self.replaced.emit()

    def edit(self, change: Callable[[RigDraft], Any]) -> Any:
        """Change the draft, so that it can be undone; returns what the change returned."""
        before = self._state()
        found = change(self.draft)
        if self._state() != before:
            self._undo = [*self._undo[-MOST_UNDONE:], before]
            self._redo = []
            self._edited()
        return found

    def undo(self) -> None:
        """Take the last edit back."""
        self._swap(self._undo, self._redo)

    def redo(self) -> None:
        """Do again what was taken back."""
        self._swap(self._redo, self._undo)

    def _swap(self, source: list[Any], target: list[Any]) -> None:
        if source:
            target.append(self._state())
            rows, instruments, rest = source.pop()
            self.draft.rows, self.draft.instruments, self.draft.rest = rows, instruments, rest
            self._edited()

    def _state(self) -> Any:
        draft = self.draft
        return list(draft.rows), copy.deepcopy(draft.instruments), copy.deepcopy(draft.rest)

    def _edited(self) -> None:
        self.answers = {name: one for name, one in self.answers.items() if name in self.draft.instruments}
        self.recheck()
        self.changed.emit()

    # checking
    def recheck(self) -> None:
        """Check soon."""
        self._timer.start()

    def _check(self) -> None:
        self._asked += 1
        number, sketch = self._asked, self.draft.sketch()
        do(self, lambda: (check_rig(sketch), offers_of(sketch)), lambda found: self._take(number, *found), self._failed,
           name="check of a rig file")  # fmt: skip

    def _take(self, number: int, verdict: Verdict, offers: Mapping[str, Offer]) -> None:
        if number == self._asked:
            self._offers = offers
            self._done = number
            self.verdict = verdict
            self.checked.emit()

    def _failed(self, exc: Exception) -> None:
        self._take(self._asked, Verdict((RigProblem(Step.SAVE, f"The check itself failed: {exc}"),)), self._offers)

    def problems_at(self, uid: int, field: str) -> list[str]:
        """List what is wrong with a cell."""
        pairs = {"low": ("low", "high"), "absolute_low": ("absolute_low", "absolute_high")}
        if self._by_row[0] is not self.verdict:
            by_row: dict[int, list[RigProblem]] = {}
            for one in self.verdict.problems:
                if one.row is not None:
                    by_row.setdefault(one.row, []).append(one)
            self._by_row = self.verdict, by_row
        found = []
        for one in self._by_row[1].get(uid, ()):
            if field == one.field or (not one.missing and field in pairs.get(one.field, ())):
                found.append(one.text)
        return found

    # channels of instruments
    def offer(self, name: str) -> Offer:
        """Get the channels of an instrument of the rig, as far as they are known without opening it."""
        return self._offers.get(name, Offer(()))

    def channel(self, row: Row) -> Channel | None:
        """Get the channel of a row, where its instrument is known to have it."""
        name, _, key = row.channel.rstrip("]").partition("[")
        return next((one for one in self.offer(name).channels if one.key == key), None)

    # files
    def open(self, path: str | Path, then: Callable[[], None] | None = None) -> None:
        """Read a rig file, beside the window's thread."""

        before = self.draft, self._undo

        def take(draft: RigDraft) -> None:
            if self.draft is not before[0] or self._undo is not before[1]:  # what was edited meanwhile is not lost for it
                self.told.emit(f"{path} is not shown: the rig file here was edited or replaced meanwhile. Open it again.")
                return
            self.replace(draft)
            if then is not None:
                then()

        do(self, lambda: RigDraft.load(path), take, lambda exc: self.told.emit(str(exc)), name="reading a rig file")
