"""The slider "slower - faster": one factor on the standard gains of the chosen knobs, and what margin it would leave."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QLabel, QSlider, QWidget

from aeqlab.app.window.connect.pieces import Words, column, row
from aeqlab.app.window.models.tune_knobs import in_few_words
from aeqlab.app.window.theme import theme
from aeqlab.protocols.gains import Gains

PER_DECADE = 100  #: steps of the slider
REACH = 100  #: steps to either side of the standard gains: from a tenth to ten times
CALM_MS = 400  #: so long it stands still before its value is wished for


class SpeedSlider(QWidget):
    """`factor_wanted` brings the factor once the slider stands still."""

    factor_wanted = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(-REACH, REACH)
        self.slider.setSingleStep(2)
        self.slider.setPageStep(10)
        self.slider.setTickInterval(REACH // 2)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setAccessibleName("slower or faster than the standard gains")
        self.slider.setToolTip(
            "One factor on all gains of the chosen knobs; the standard gains follow from k, tau and d of each. "
            "Arrows: 5 %, Page Up and Down: 26 %, drag. A trial begins when it stands still."
        )
        self.figure, self.whose, self.margin = QLabel(), Words(), Words(kind="dim")
        self.figure.setMinimumWidth(self.figure.fontMetrics().horizontalAdvance("00.00 x standard "))
        self.figure.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        whole = column(
            self.whose, row(QLabel("slower"), self.slider, QLabel("faster"), self.figure, stretch=1), self.margin
        )  # fmt: skip
        layout = whole.layout()
        assert layout is not None
        self.setLayout(layout)
        self._gains: Gains | None = None
        self._chosen: list[int] = []
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(CALM_MS)
        self._calm.timeout.connect(self._wish)
        self._taking = False
        self.slider.valueChanged.connect(lambda _: self._moved())
        theme().changed.connect(self._dress)
        self._dress()
        self.set_gains(None, [])

    def value(self) -> float:
        """Get the factor at which the slider stands."""
        return round(math.pow(10.0, self.slider.value() / PER_DECADE), 4)

    @property
    def pending(self) -> bool:
        """Whether somebody moves it now and nothing was wished for yet."""
        return self._calm.isActive() or self.slider.isSliderDown()

    def set_gains(self, gains: Gains | None, chosen: list[int]) -> None:
        """Show the factor of the chosen knobs; none chosen: all of them. It stays where a hand has it."""
        able = gains is not None and not gains.why
        self.slider.setEnabled(able)
        if gains is None or not able:
            self._gains = None
            self._calm.stop()
            self.whose.say("Speed: no gains are known.", "dim")
            self.figure.setText("")
            self.margin.say("")
            return
        other = chosen != self._chosen
        self._gains, self._chosen = gains, chosen
        self.whose.say(f"Speed of {in_few_words(gains.names, chosen)}")
        if other:
            self._calm.stop()
        if not self.pending:
            factor = self._factors(gains)
            known = factor[np.isfinite(factor) & (factor > 0)]
            middle = float(np.exp(np.log(known).mean())) if len(known) else 1.0
            self._taking = True
            self.slider.setValue(round(PER_DECADE * math.log10(middle)))
            self._taking = False
        self._tell()

    # inside
    def _rows(self) -> list[int]:
        assert self._gains is not None
        return self._chosen or list(range(len(self._gains.names)))

    def _factors(self, gains: Gains) -> NDArray[np.float64]:
        return np.asarray(gains.factor, dtype=np.float64)[self._rows()]

    def _moved(self) -> None:
        if self._taking or self._gains is None:
            return
        self._calm.start()
        self._tell()

    def _wish(self) -> None:
        if self._gains is None:
            return
        if self.slider.isSliderDown():  # it is held still; the hand has not let go
            self._calm.start()
            return
        self.factor_wanted.emit(self.value())

    def _tell(self) -> None:
        """Say the factor, and the margins it leaves by the model: in use, or as they would be."""
        gains = self._gains
        if gains is None:
            return
        factor, rows = self._factors(gains), self._rows()
        room = np.asarray(gains.gain_margin, dtype=np.float64)[rows]
        if self.pending:
            self.figure.setText(f"{self.value():.3g} × standard")
            room = room * factor / self.value()
        else:
            low, high = (float(f(factor)) if np.isfinite(factor).any() else math.nan for f in (np.nanmin, np.nanmax))
            given = "given gains" if math.isnan(low) else f"{low:.3g} × standard"
            self.figure.setText(given if math.isnan(low) or low == high else f"{low:.3g} to {high:.3g} ×")
        if not np.isfinite(room).any():
            self.margin.say("What margin is left is not known." if np.isnan(room).all() else "By the model no gain is too large.")
            return
        k = int(np.nanargmin(room))
        verb = "would leave" if self.pending else "leaves"
        text = f"By the model that {verb} a gain margin of {room[k]:.3g} at least ({gains.names[rows[k]]})."
        unstable = room[k] <= 1.0
        self.margin.say(text + (" The loop swings for good." if unstable else ""), "warning" if room[k] < 2.0 else "dim")

    def _dress(self) -> None:
        self.figure.setFont(theme().font(tabular=True))
