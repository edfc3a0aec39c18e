"""Kp, Ki and Kd of one knob, behind a fold, with the margins they leave as they are typed."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QLineEdit, QToolButton, QVBoxLayout, QWidget

from aeqlab.app.window.connect.pieces import Words, button, row
from aeqlab.app.window.theme import GRID
from aeqlab.protocols.gains import Gains
from aeqlab.protocols.stability import margins

NAMES = ("kp", "ki", "kd")
TITLES = {"kp": "Kp (u per theta)", "ki": "Ki (u per theta, 1/s)", "kd": "Kd (u per theta, s)"}
FOLD = "Kp, Ki, Kd of one knob"


class OneKnob(QWidget):
    """Shows the gains of one knob. `gains_wanted` brings its index and what was typed, by name."""

    gains_wanted = Signal(int, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fold = QToolButton()
        self.fold.setText(FOLD)
        self.fold.setCheckable(True)
        self.fold.setArrowType(Qt.ArrowType.RightArrow)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.setAutoRaise(True)
        self.fold.setShortcut("Alt+1")
        self.fold.setToolTip("Shows or hides the gains of one knob (Alt+1)")
        self.fold.setAccessibleName(FOLD)
        self.fold.toggled.connect(self._unfold)
        self.words = Words(kind="dim")
        self.fields: dict[str, QLineEdit] = {}
        self.body = QWidget()
        grid = QGridLayout(self.body)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(GRID)
        for k, name in enumerate(NAMES):
            label, field = QLabel(TITLES[name]), QLineEdit()
            label.setBuddy(field)
            field.setAccessibleName(TITLES[name])
            field.textEdited.connect(lambda _: self._typed())
            field.returnPressed.connect(self.try_them)
            grid.addWidget(label, 0, k)
            grid.addWidget(field, 1, k)
            self.fields[name] = field
        self.try_button = button("Try these", self.try_them, "Tries these gains, for 30 s unless they are kept (Enter)")
        grid.addWidget(self.try_button, 1, len(NAMES))
        grid.addWidget(self.words, 2, 0, 1, len(NAMES) + 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(GRID // 2)
        whole.addWidget(row(self.fold, None))
        whole.addWidget(self.body)
        self.body.hide()
        self._gains: Gains | None = None
        self._tick_s: float | None = None
        self._knob = -1
        self._version = -1
        self._edited = False
        self.set_gains(None, [], None)

    def set_gains(self, gains: Gains | None, chosen: list[int], tick_s: float | None) -> None:
        """Show the gains of the one knob that is chosen; what is being typed stays until another is."""
        knob = chosen[0] if len(chosen) == 1 else -1
        able = gains is not None and not gains.why and gains.law in ("pid", "integral") and 0 <= knob < len(gains.names)
        if not able or gains is None:
            self._gains, self._knob, self._edited = None, -1, False
            self.try_button.setEnabled(False)
            for field in self.fields.values():
                field.setEnabled(False)
                field.clear()
            law = "" if gains is None else gains.law
            no_gains = law in ("quasi-static", "ideal")
            self.words.say(
                f"The {law} law has no Kp, Ki or Kd." if no_gains else "Choose one knob in the table, or in the traces.", "dim"
            )
            return
        changed = knob != self._knob or (gains.version != self._version and not self._edited)
        self._gains, self._tick_s, self._knob, self._version = gains, tick_s, knob, gains.version
        if changed:
            self._edited = False
            for name, field in self.fields.items():
                field.setText(f"{float(getattr(gains, name)[knob]):.5g}")
        for name, field in self.fields.items():
            has = name == "ki" or gains.law == "pid"
            field.setEnabled(has)
            field.setToolTip("" if has else f"The {gains.law} law has a Ki alone.")
        self.try_button.setEnabled(True)
        self._tell()

    def try_them(self) -> None:
        """Send the wish to try what was typed."""
        values = self._values()
        if self._gains is None or values is None:
            return
        self._edited = False
        self.gains_wanted.emit(self._knob, {name: value for name, value in values.items() if self.fields[name].isEnabled()})

    def _unfold(self, on: bool) -> None:
        self.body.setVisible(on)
        self.fold.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)

    def _typed(self) -> None:
        self._edited = True
        self._tell()

    def _values(self) -> dict[str, float] | None:
        """Read the fields; None, and why, where one of them is no number."""
        found = {}
        for name, field in self.fields.items():
            try:
                found[name] = float(field.text().replace("−", "-"))
            except ValueError:
                self.words.say(f"{TITLES[name]}: {field.text()!r} is no number. Write one such as 0.5 or 1e-3.", "wrong")
                return None
        return found

    def _tell(self) -> None:
        """Say what margins these gains leave."""
        gains, values = self._gains, self._values()
        if gains is None or values is None:
            return
        plant = [np.atleast_1d(getattr(gains, name)[self._knob]) for name in ("gain", "lag_s", "dead_time_s")]
        kp, ki, kd = (np.atleast_1d(values[name]) for name in NAMES)
        room, phase = margins(kp, ki, kd, plant[0], plant[1], plant[2], self._tick_s)
        name, (one, other) = gains.names[self._knob], (float(room[0]), float(phase[0]))
        k, lag, dead = (float(row[0]) for row in plant)
        known = f"k {k:.3g}, tau {1e3 * lag:.3g} ms, d {1e3 * dead:.3g} ms"
        if one != one:
            self.words.say(f"{name}: what margin they leave is not known ({known}).", "warning")
        elif one <= 1.0:
            self.words.say(f"{name}: with these theta swings for good; gain margin {one:.3g} ({known}).", "wrong")
        else:
            angle = "" if other != other else f", phase margin {other:.0f}°"
            room_text = "no gain is too large" if one == float("inf") else f"gain margin {one:.3g}"
            self.words.say(f"{name}: {room_text}{angle}, by the model ({known}).", "dim" if one >= 2.0 else "warning")
