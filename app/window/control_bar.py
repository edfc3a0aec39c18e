"""Who holds the control token, with the two buttons that take it and give it back; stands in the status bar."""

from __future__ import annotations

import re

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from aeqlab.app.window.elided import Elided
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.app.window.theme import GRID

RUN = re.compile(r"^run (?P<name>.+) \(process \d+\)$")
WHOLE = "The control token: who holds it moves the knobs, all others watch. FREEZE and MAKE SAFE work for everyone."
TAKE = "Lets this window move the knobs; where somebody holds it you are asked first ({key})"
GIVE = "Lets others have it; the session goes on holding theta. Closing this window gives it back too ({key})"


class ControlBar(QWidget):
    """Shows the holder. `take_wanted` and `give_wanted` are wishes."""

    take_wanted = Signal()
    give_wanted = Signal()

    def __init__(self, take_key: str, give_key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = Elided()
        self.words.setAccessibleName("Who holds the control token")
        self.take, self.give = QPushButton("Take control"), QPushButton("Give control back")
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID, 0, GRID, 0)
        row.setSpacing(GRID)
        row.addWidget(self.words, 1)
        for button, what, signal in (
            (self.take, TAKE.format(key=take_key), self.take_wanted), (self.give, GIVE.format(key=give_key), self.give_wanted),
        ):  # fmt: skip
            button.setToolTip(what)
            button.setAccessibleDescription(what)
            button.clicked.connect(signal)
            row.addWidget(button)
        self.set_value(None, ours=False)

    def set_value(self, session: SessionView | None, *, ours: bool) -> None:
        """Show who holds the token of a session; `ours`: this window does."""
        status = None if session is None or session.lost else session.status
        self.setVisible(session is not None)
        words = "control: not known" if status is None else f"control: {'this window' if ours else held_by(status.control)}"
        if self.words.text() != words:
            self.words.setText(words)
            self.words.updateGeometry()
        whole = "" if status is None or not status.control else f"{status.control}. "
        self.words.setToolTip(whole + WHOLE)
        self.take.setEnabled(status is not None and not ours)
        self.give.setEnabled(ours)


def held_by(control: str) -> str:
    """Say in few words who holds the token."""
    run = RUN.match(control)
    return f"run {run['name']}" if run is not None else control or "nobody"


def taking(control: str) -> str:
    """Say what taking the token from somebody does."""
    run = RUN.match(control)
    if run is not None:
        return (
            f"The run {run['name']} works with this device. Taking control ends it: its next command is refused, so it fails; "
            "a nudge that is on goes off and the device freezes. Its record stays, and Resume goes on with it once control is "
            "given back."
        )
    return (
        f"{control} controls this device. Taking control refuses its next command; a nudge that is on goes off and the device "
        "freezes. It is told who took it."
    )
