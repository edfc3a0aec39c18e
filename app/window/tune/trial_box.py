"""The trial of gains that is on: whose, what, how long it still is, with Keep and Revert; or why the last one is over."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QProgressBar, QWidget

from aeqlab.app.window.connect.pieces import Words, button, column, row
from aeqlab.app.window.theme import GRID
from aeqlab.protocols.gains import Trial

AS_BEFORE = "Nothing is on trial. Every change here is a trial: it goes back by itself after 30 s, unless Keep is pressed."
UNKNOWN = "Whether gains are on trial is not known: the session does not answer. A trial goes back by itself all the same."


class TrialBox(QWidget):
    """Shows a trial. `keep_wanted` and `revert_wanted` are wishes; two buttons, none ever means the other."""

    keep_wanted = Signal()
    revert_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words, self.ended = Words(AS_BEFORE, kind="dim"), Words(kind="dim")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.bar.setAccessibleName("time left of the trial")
        self.keep = button("Keep", self.keep_wanted.emit, "Writes the gains on trial into the gains file: they stay", "Alt+K")
        self.revert = button("Revert", self.revert_wanted.emit, "Goes back to the gains before the trial, now", "Alt+U")
        self.bar.setMinimumWidth(30 * GRID)
        whole = column(row(self.keep, self.revert, self.bar, None), self.words, self.ended)
        layout = whole.layout()
        assert layout is not None
        self.setLayout(layout)
        self._trial: Trial | None = None
        self.set_trial(None, 0.0)
        self.set_ended("")

    def value(self) -> Trial | None:
        """Get the trial that is shown."""
        return self._trial

    def set_trial(self, trial: Trial | None, left_s: float, *, known: bool = True) -> None:
        """Show a trial that has so many seconds left; None: none is on, or where that is not `known`, nobody knows."""
        self._trial = trial
        self.keep.setEnabled(trial is not None)
        self.revert.setEnabled(trial is not None)
        self.bar.setVisible(trial is not None)
        if trial is None:
            self.words.say(AS_BEFORE if known else UNKNOWN, "dim")
            return
        self.bar.setRange(0, max(int(1000 * trial.seconds), 1))
        self.bar.setValue(int(1000 * max(left_s, 0.0)))
        self.words.say(
            f"On trial, by {trial.by}: {trial.what}. It goes back in {max(left_s, 0.0):.0f} s, or at once when an error leaves "
            "5 tolerances.", "warning",
        )  # fmt: skip

    def set_ended(self, text: str, *, kept: bool = False) -> None:
        """Say how the last trial ended."""
        self.ended.say(text, "good" if kept else "plain")
        self.ended.setVisible(bool(text))
