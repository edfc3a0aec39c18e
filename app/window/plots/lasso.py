"""A box drawn with the mouse over a device drawing chooses the knobs in it; a click chooses one, as before."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QRubberBand

from aeqlab.app.window.plots.device_drawing import DeviceDrawing


class Lasso(QObject):
    """Watches the canvas of a drawing. `chosen` brings the knobs in the box, as a list of their indices."""

    chosen = Signal(object)

    def __init__(self, drawing: DeviceDrawing) -> None:
        super().__init__(drawing)
        self._drawing, self._canvas = drawing, drawing.canvas
        self._band = QRubberBand(QRubberBand.Shape.Rectangle, self._canvas)
        self._from: QPoint | None = None
        self._canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take presses, moves and releases of the left button."""
        if not isinstance(event, QMouseEvent):
            return False
        at, left = event.position().toPoint(), Qt.MouseButton.LeftButton
        if event.type() == QEvent.Type.MouseButtonPress and event.button() == left:
            self._from = at
            return True
        if self._from is None:
            return False
        if event.type() == QEvent.Type.MouseMove and event.buttons() & left:
            box = QRect(self._from, QSize()).united(QRect(self._from, at).normalized())
            if (at - self._from).manhattanLength() >= QApplication.startDragDistance() or self._band.isVisible():
                self._band.setGeometry(box)
                self._band.show()
            return True
        if event.type() == QEvent.Type.MouseButtonRelease and event.button() == left:
            began, self._from = self._from, None
            if self._band.isVisible():
                self._band.hide()
                self.chosen.emit(self._canvas.knobs_in(QRectF(QRect(began, at).normalized())))
            else:
                self._canvas.choose_at(QPointF(at))
            return True
        return False
