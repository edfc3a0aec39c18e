"""The banner: the state as a word with a shape and a colour, what is done, when it ends; and the buttons that always work.

Pause and Continue are two buttons, and so are all others: none ever changes its meaning in place.
"""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from aeqlab.app.window.elided import Elided
from aeqlab.app.window.models.safe_words import WHATEVER
from aeqlab.app.window.models.standing import Banner, Standing
from aeqlab.app.window.theme import GRID, LARGE, NORMAL, ORANGE, SIGNS, VERMILION, ink_on, theme


class StateSign(QWidget):
    """The word of the state on its colour, with its shape; unknown is hatched, safe has a white outline."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._standing = Standing.IDLE
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("State")
        theme().changed.connect(self.update)

    def value(self) -> Standing:
        """Get what it shows."""
        return self._standing

    def setValue(self, standing: Standing) -> None:
        """Show another state."""
        if standing is not self._standing:
            self._standing = standing
            self.setAccessibleDescription(standing.value)
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        """Get room for the longest word, so that nothing moves when the state changes."""
        self.setFont(theme().font(LARGE, bold=True))
        widest = max(self.fontMetrics().horizontalAdvance(f"{SIGNS[one].shape}  {one.value}") for one in Standing)
        return QSize(widest + 4 * GRID, 6 * GRID)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it."""
        sign, now = SIGNS[self._standing], theme().now
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5)
        colour = QColor(sign.colour or now.sheet)
        painter.setPen(QPen(QColor(now.text), 3) if sign.colour is None else Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRoundedRect(box, 4, 4)
        if self._standing is Standing.UNKNOWN:
            painter.setBrush(QBrush(QColor(now.line), Qt.BrushStyle.BDiagPattern))
            painter.drawRoundedRect(box, 4, 4)
        painter.setPen(QColor(ink_on(sign.colour) if sign.colour else now.text))
        painter.setFont(theme().font(LARGE, bold=True))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"{sign.shape}  {self._standing.value}")
        painter.end()


class BannerBar(QWidget):
    """The whole banner. Its signals are wishes; what comes of them the next banner tells."""

    pause_wanted = Signal()
    continue_wanted = Signal()
    stop_wanted = Signal()
    freeze_wanted = Signal()
    safe_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sign = StateSign()
        self.doing, self.end = Elided(), Elided()
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(GRID // 2)
        for label in (self.doing, self.end):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.doing)
        words.addWidget(self.end)
        words.addWidget(self.progress)
        self.pause = _button("Pause  F6", "Pause at the end of this sample; on a rig theta is held meanwhile (F6)")
        self.go_on = _button("Continue  F7", "Go on after a pause, a freeze or SAFE (F7)")
        self.stop = _button("Stop  F8", "End the run at the end of this sample; what it declares under `then` follows (F8)")
        self.freeze = _button("FREEZE  F9", "Nudge off, knobs stand still, loops stop; reading goes on (F9)")
        self.safe = _button("MAKE SAFE  F12", f"{WHATEVER} (F12)")
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID, GRID, GRID, GRID)
        row.setSpacing(GRID)
        row.addWidget(self.sign)
        row.addLayout(words, 1)
        for button in (self.pause, self.go_on, self.stop):
            row.addWidget(button)
        row.addSpacing(2 * GRID)
        for button in (self.freeze, self.safe):
            button.setMinimumHeight(5 * GRID)
            row.addWidget(button)
        for button, signal in (
            (self.pause, self.pause_wanted), (self.go_on, self.continue_wanted), (self.stop, self.stop_wanted),
            (self.freeze, self.freeze_wanted), (self.safe, self.safe_wanted),
        ):  # fmt: skip
            button.clicked.connect(signal)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)  # no page that wants more room moves it
        theme().changed.connect(self._dress)
        self._dress()

    def setValue(self, banner: Banner) -> None:
        """Show another banner."""
        self.sign.setValue(banner.standing)
        _say(self.doing, banner.doing)
        _say(self.end, banner.end)
        self.progress.setVisible(banner.done is not None)
        if banner.done is not None:
            self.progress.setValue(round(1000 * banner.done))

    def allow(self, *, pause: bool, go_on: bool, stop: bool) -> None:
        """Say what of these makes sense now. FREEZE and MAKE SAFE always do."""
        self.pause.setEnabled(pause)
        self.go_on.setEnabled(go_on)
        self.stop.setEnabled(stop)

    def set_making_safe(self, what: str) -> None:
        """Say what MAKE SAFE will do now."""
        if self.safe.accessibleDescription() != f"{what} (F12)":
            self.safe.setToolTip(f"{what} (F12)")
            self.safe.setAccessibleDescription(f"{what} (F12)")

    def _dress(self) -> None:
        self.doing.setFont(theme().font(NORMAL, bold=True, tabular=True))
        self.end.setFont(theme().font(NORMAL, tabular=True))
        self.freeze.setStyleSheet(loud(ORANGE))
        self.safe.setStyleSheet(loud(VERMILION))


def _button(text: str, what: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(what)
    button.setAccessibleDescription(what)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button


def loud(colour: str) -> str:
    """Write the style of a button that must be seen at once."""
    ink = ink_on(colour)
    return (
        f"QPushButton {{ background: {colour}; color: {ink}; font-weight: bold; border: 2px solid {colour}; border-radius: 4px;"
        f" padding: 4px 12px; }} QPushButton:pressed {{ border-color: {ink}; }} QPushButton:focus {{ border-color: {ink}; }}"
    )


def _say(label: QLabel, text: str) -> None:
    if label.text() != text:
        label.setText(text)
        label.setToolTip(text)
