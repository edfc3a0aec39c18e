"""What can be done to the loops: arm, identify, autotune, hold, bump; what is under way, with a button that stops it.

Each button says in its tooltip what will happen; arming first shows the statement of the instruments, and waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPlainTextEdit, QProgressBar, QWidget

from aeqlab.app.window.connect.pieces import Words, button, column, row
from aeqlab.app.window.theme import GRID


class Actions(QWidget):
    """Buttons and their state. Every signal is a wish."""

    arming_asked = Signal()
    arm_wanted = Signal()
    identify_wanted = Signal()
    autotune_wanted = Signal()
    hold_wanted = Signal()
    bump_wanted = Signal()
    stop_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.arm = button(
            "Arm ...", self.arming_asked.emit, "Shows what arming will change; changes nothing yet", "Alt+G"
        )  # fmt: skip
        self.identify = button(
            "Identify", self.identify_wanted.emit,
            "A run of its own steps every knob by at most 5 % of its range and nudges every output, to find k, tau, d, noise and "
            "wrong wires: about 20 s; then theta is held where it is", "Alt+I",
        )  # fmt: skip
        self.autotune = button(
            "Autotune",
            self.autotune_wanted.emit,
            "Finds by k, tau and d of each chosen knob how fast it settles soonest without swinging, and tries that",
            "Alt+T",
        )
        self.hold = button(
            "Hold", self.hold_wanted.emit, "The loop takes the knobs, and holds theta where it was told to be, or is now", "Alt+H"
        )  # fmt: skip
        self.bump = button(
            "Bump", self.bump_wanted.emit,
            "Steps the targets of the chosen knobs up, back, down and back by 20 tolerances, under the loop", "Alt+P",
        )  # fmt: skip
        self.stop = button(
            "Stop", self.stop_wanted.emit, "Stops what is under way at the next tick; targets and knobs go back", "Alt+."
        )
        self.bar = QProgressBar()
        self.bar.setMaximumHeight(8)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("how much is done")
        self.state, self.said = Words(), Words()
        self.statement, self.listed = Words(kind="warning"), QPlainTextEdit()
        self.listed.setReadOnly(True)
        self.listed.setMaximumHeight(11 * GRID)
        self.listed.setAccessibleName("what arming will change")
        self.arm_now = button("Arm now", self._arm, "Sets what is listed here, and nothing else")
        self.leave = button("Leave it as it is", self.hide_statement, "Changes nothing")
        self._question = row(self.arm_now, self.leave, None)
        self._under_way = row(self.stop, self.bar, stretch=1)
        buttons = row(self.identify, self.autotune, self.hold, self.bump, self.arm, None)
        whole = column(
            buttons, self.statement, self._question, self.listed, self.state, self._under_way, self.said
        )  # fmt: skip
        layout = whole.layout()
        assert layout is not None
        layout.setSpacing(GRID // 2)
        self.setLayout(layout)
        self.hide_statement()
        self.set_busy("")
        self.say("")

    def allow(self, *, session: bool, arms: bool, identifies: bool, gains: bool, busy: bool) -> None:
        """Offer what there is: a session; one whose device arms, one that is identified, one whose loops have gains."""
        for one, able in (
            (self.arm, arms), (self.identify, identifies), (self.autotune, gains), (self.hold, session), (self.bump, gains),
        ):  # fmt: skip
            one.setEnabled(session and able and not busy)

    def set_busy(self, what: str, done: float | None = None) -> None:
        """Say what is under way and how much of it is done; empty: nothing is."""
        self._under_way.setVisible(bool(what))
        self.state.setVisible(bool(what))
        self.state.say(f"Under way: {what}." if what else "")
        self.bar.setRange(0, 0 if done is None else 1000)
        if done is not None:
            self.bar.setValue(int(1000 * done))

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Say what came of the last command, or why it was refused."""
        self.said.say(f"✕ {text}" if wrong and text else text, "wrong" if wrong else "plain")
        self.said.setVisible(bool(text))

    def show_statement(self, lines: Sequence[str]) -> None:
        """Show what arming will change; nothing to change is said, too."""
        self.listed.setPlainText("\n".join(lines))
        self.listed.setVisible(bool(lines))
        many = f"{len(lines)} settings" if len(lines) > 1 else "one setting"
        text = f"Arming will change {many}:" if lines else "Arming will change nothing: all is as it is to be."
        self.statement.say(text, "warning")
        self.statement.show()
        self._question.show()
        self.leave.setFocus()  # a nervous Enter changes nothing

    def hide_statement(self) -> None:
        """Show no statement."""
        self.statement.hide()
        self.listed.hide()
        self._question.hide()

    def _arm(self) -> None:
        self.hide_statement()
        self.arm_wanted.emit()
