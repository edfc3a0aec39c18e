"""The one-second line: six figures side by side, each with its meaning on hover, coloured only where somebody should look."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QHBoxLayout, QWidget

from aeqlab.app.window.elided import Elided
from aeqlab.app.window.models.vitals import Mood, Vital
from aeqlab.app.window.theme import GRID, NORMAL, theme

_SHAPES = {Mood.GOOD: "", Mood.WATCH: "△ ", Mood.WRONG: "✕ ", Mood.UNKNOWN: ""}


class VitalsLine(QWidget):
    """Shows the figures of `vitals_of`, in their order."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._labels: list[Elided] = []
        self._shown: tuple[Vital, ...] = ()
        self._moods: list[Mood] = []
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(GRID, 0, GRID, GRID // 2)
        self._row.setSpacing(3 * GRID)
        self._row.addStretch(1)
        theme().changed.connect(self._dress)

    def value(self) -> tuple[Vital, ...]:
        """Get what it shows."""
        return self._shown

    def setValue(self, vitals: Sequence[Vital]) -> None:
        """Show other figures."""
        if tuple(vitals) == self._shown:
            return
        self._shown = tuple(vitals)
        while len(self._labels) < len(vitals):
            label = Elided()
            self._labels.append(label)
            self._row.insertWidget(len(self._labels) - 1, label)
        for label, vital in zip(self._labels, vitals, strict=False):
            text = f"{_SHAPES[vital.mood]}{vital.text}"
            if label.text() != text:
                label.setText(text)
            label.setToolTip(f"{text}\n{vital.meaning}")
            label.setAccessibleName(vital.name)
        if (moods := [vital.mood for vital in vitals]) != self._moods:  # a style is dear, and these are written often
            self._moods = moods
            self._dress()
        self._row.activate()  # at once: figures that grew are not cut for a moment

    def _dress(self) -> None:
        now = theme().now
        colours = {Mood.GOOD: now.text, Mood.WATCH: now.warning, Mood.WRONG: now.fault, Mood.UNKNOWN: now.dim}
        for label, vital in zip(self._labels, self._shown, strict=False):
            label.setFont(theme().font(NORMAL, bold=vital.mood in (Mood.WATCH, Mood.WRONG), tabular=True))
            label.setStyleSheet(f"color: {colours[vital.mood]}")
