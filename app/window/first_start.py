"""The first screen: three things that work, and what was done last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from aeqlab.app.window.theme import GRID, LARGE, NORMAL, theme

BENCH = (
    "Try the emulated bench",
    "Starts instruments on this computer that behave like real ones, 16 knobs wired to a physical system, identifies them and "
    "trains them over VISA. Needs no hardware; takes about two minutes.",
)
SIMULATED = (
    "Train a simulated device",
    "Runs the paper's section 5.2, a random polynomial learned with Fourier features, on a device made of equations. Takes some "
    "seconds.",
)
RIG = (
    "Connect a rig",
    "Goes step by step from an empty page to a rig file: instruments by their addresses, channels, limits, safety. Nothing moves "
    "before you arm it.",
)


class FirstStart(QWidget):
    """Offers the three, and the runs that are there. Its signals are wishes."""

    bench_wanted = Signal()
    simulated_wanted = Signal()
    rig_wanted = Signal()
    run_wanted = Signal(Path)
    look_back_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heading = QLabel("aeqlab: train a physical system")
        self.under = QLabel("Choose one of the three. What runs goes on when this window is closed, and can be looked at again.")
        self.bench, self.simulated, self.rig = (QPushButton(words[0]) for words in (BENCH, SIMULATED, RIG))
        row = QHBoxLayout()
        row.setSpacing(3 * GRID)
        for key, button, words, signal in (
            ("Alt+1", self.bench, BENCH, self.bench_wanted),
            ("Alt+2", self.simulated, SIMULATED, self.simulated_wanted),
            ("Alt+3", self.rig, RIG, self.rig_wanted),
        ):
            row.addWidget(_card(button, words[1], key), 1)
            button.clicked.connect(signal)
        self.waits = QLabel()
        self.waits.setTextFormat(Qt.TextFormat.PlainText)
        self.waits.setWordWrap(True)
        self.last = QVBoxLayout()
        self.last_heading = QLabel()
        self.look_back = QPushButton("Look back at all runs")
        self.look_back.setToolTip("Open the workspace Look back")
        self.look_back.clicked.connect(self.look_back_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(6 * GRID, 6 * GRID, 6 * GRID, 4 * GRID)
        column.setSpacing(2 * GRID)
        column.addWidget(self.heading)
        column.addWidget(self.under)
        column.addLayout(row)
        column.addWidget(self.waits)
        column.addWidget(self.last_heading)
        column.addLayout(self.last)
        column.addWidget(self.look_back, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        theme().changed.connect(self._dress)
        self._dress()
        self.set_runs(())

    def set_waiting(self, text: str) -> None:
        """Say what is awaited, or what went wrong; empty: nothing. The three wait meanwhile, so that none is started twice."""
        self.waits.setText(text)

    def set_busy(self, busy: bool) -> None:
        """Let the three be chosen, or not while one of them is being started."""
        for button in (self.bench, self.simulated, self.rig):
            button.setEnabled(not busy)

    def set_runs(self, runs: Sequence[Path]) -> None:
        """Offer the last runs, newest first."""
        while (item := self.last.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        self.last_heading.setVisible(bool(runs))
        self.look_back.setVisible(bool(runs))
        self.last_heading.setText("The last runs")
        for folder in runs[:5]:
            button = QPushButton(folder.name)
            button.setFlat(True)
            button.setToolTip(f"Show the run in {folder}")
            button.clicked.connect(lambda _=False, folder=folder: self.run_wanted.emit(folder))
            self.last.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        self._dress()

    def _dress(self) -> None:
        self.heading.setFont(theme().font(LARGE, bold=True))
        self.last_heading.setFont(theme().font(NORMAL, bold=True))
        self.under.setStyleSheet(f"color: {theme().now.dim}")
        for k in range(self.last.count()):
            if (item := self.last.itemAt(k)) is not None and (button := item.widget()) is not None:
                button.setStyleSheet(f"text-align: left; color: {theme().now.chosen}; padding: 2px;")


def _card(button: QPushButton, text: str, key: str) -> QWidget:
    card = QFrame()
    said = QLabel(text)
    said.setWordWrap(True)
    said.setAlignment(Qt.AlignmentFlag.AlignTop)
    button.setMinimumHeight(6 * GRID)
    button.setShortcut(key)
    button.setToolTip(f"{text} ({key})")
    button.setFont(theme().font(NORMAL, bold=True))
    column = QVBoxLayout(card)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(GRID)
    column.addWidget(button)
    column.addWidget(said, 1)
    return card
