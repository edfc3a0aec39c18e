"""Two narrow bars of time: the phases of the samples just now, and the night with its events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from aeqlab.app.window.models.night import NightEvent
from aeqlab.app.window.plots.figures import span_of_seconds
from aeqlab.app.window.plots.layers import Phase
from aeqlab.app.window.plots.raster import mixed
from aeqlab.app.window.theme import GRID, SMALL, ink_on, theme

SHAPES: dict[str, str] = {"frozen": "❄", "alarm": "!", "silent": "…", "paused": "❚❚", "fault": "✕", "note": "✎"}
SNAP = 8  #: px within which a click means an event
STEPS_S = (60, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 7 * 86400)  #: between figures of the time of day


class Strip(QWidget):
    """A bar of time that can be reached by keys."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)
        self.begin, self.end = 0.0, 1.0
        theme().changed.connect(self.update)

    def set_range(self, begin: float, end: float) -> None:
        """Show this span of time, in seconds."""
        self.begin, self.end = begin, max(end, begin + 1e-9)
        self.update()

    def _x(self, at: float) -> float:
        return (at - self.begin) / (self.end - self.begin) * self.width()

    def _time(self, x: float) -> float:
        return self.begin + min(max(x / max(self.width(), 1), 0.0), 1.0) * (self.end - self.begin)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: D102
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:  # noqa: D102
        self.update()

    def _frame_of_focus(self, painter: QPainter) -> None:
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme().now.chosen), 1))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))


class PhaseStrip(Strip):
    """Hold, nudge, hold, nudge...: each phase a block with its word; left and right step through them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("phases of the samples", parent)
        self._phases: list[Phase] = []
        self._chosen = -1
        self._colours = {"hold": 0, "nudge": 1, "free": 2}  # by the number of a curve, the same in every strip
        self.awaited = "the first sample"

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(40 * GRID, 3 * GRID)

    def set_phases(self, phases: Sequence[Phase], begin: float | None = None, end: float | None = None) -> None:
        """Show phases, in any seconds; the span shown is theirs unless given.

        Words other than those of a step get colours in the order in which they appear.
        """
        self._phases = list(phases)
        for phase in phases:
            self._colours.setdefault(phase.word, len(self._colours))
        if phases:
            first, last = min(one.begin for one in phases), max(one.end for one in phases)
            self.set_range(first if begin is None else begin, last if end is None else end)
        self._chosen = min(self._chosen, len(self._phases) - 1)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter, now = QPainter(self), theme().now
        painter.setFont(theme().font(SMALL))
        painter.fillRect(self.rect(), QColor(now.sheet))
        metrics, centre = painter.fontMetrics(), Qt.AlignmentFlag.AlignCenter
        if not self._phases:
            painter.setPen(QColor(now.dim))
            painter.drawText(self.rect(), centre, f"nothing yet: {self.awaited}")
        for k, phase in enumerate(self._phases):
            left, right = max(self._x(phase.begin), 0.0), min(self._x(phase.end), float(self.width()))
            if right <= left:
                continue
            colour = mixed(phase.colour or theme().curve(self._colours[phase.word]), now.sheet, 0.45)
            box = QRectF(left, 2, max(right - left - 1, 1), self.height() - 4)
            painter.fillRect(box, QColor(colour))
            if metrics.horizontalAdvance(phase.word) + 4 < box.width():
                painter.setPen(QColor(ink_on(colour)))
                painter.drawText(box, centre, phase.word)
            if k == self._chosen and self.hasFocus():
                painter.setPen(QPen(QColor(now.text), 2))
                painter.drawRect(box.adjusted(1, 1, -1, -1))
        self._frame_of_focus(painter)

    def told_of(self, phase: Phase) -> str:
        """Say what a phase is and how long it took."""
        return f"{phase.word}, {span_of_seconds(phase.end - phase.begin)}"

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        if not self._phases or event.key() not in steps:
            return super().keyPressEvent(event)
        start = len(self._phases) if self._chosen < 0 else self._chosen
        self._chosen = min(max(start + steps[Qt.Key(event.key())], 0), len(self._phases) - 1)
        words = self.told_of(self._phases[self._chosen])
        self.setAccessibleDescription(words)
        at = QPointF(self._x(self._phases[self._chosen].begin), self.height())
        QToolTip.showText(self.mapToGlobal(at).toPoint(), words, self)
        self.update()
        return None

    def event(self, event: QEvent) -> bool:
        """Tell of the phase under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            at = self._time(event.pos().x())
            told = next((self.told_of(one) for one in self._phases if one.begin <= at < one.end), "")
            QToolTip.showText(event.globalPos(), told, self)
            return True
        return super().event(event)


class NightStrip(Strip):
    """A bar of hours with what happened; a click, or Enter on an event reached by the arrows, sends `chosen` with its time."""

    chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("events of this session, by time", parent)
        self._events: list[NightEvent] = []
        self._current = -1
        self._cursor: float | None = None
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(60 * GRID, 3 * GRID + self.fontMetrics().height())

    def set_events(self, events: Sequence[NightEvent]) -> None:
        """Show these events; the one reached by keys stays reached."""
        before = self._events[self._current] if 0 <= self._current < len(self._events) else None
        self._events = sorted(events, key=lambda one: one.at)
        self._current = self._events.index(before) if before in self._events else -1
        self.update()

    def set_cursor(self, at: float | None) -> None:
        """Mark the time that is shown elsewhere, such as that of a replay."""
        self._cursor = at
        self.update()

    @property
    def current(self) -> NightEvent | None:
        """Get the event reached by keys."""
        return self._events[self._current] if self._current >= 0 else None

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter, now = QPainter(self), theme().now
        painter.setFont(theme().font(SMALL, tabular=True))
        tall = painter.fontMetrics().height()
        bar = QRectF(0, 2, self.width(), self.height() - tall - 4)
        painter.fillRect(bar, QColor(mixed(now.line, now.sheet, 0.5)))
        self._paint_times(painter, bar, tall)
        for one in self._events:
            if one.until is not None:
                left, right = self._x(one.at), max(self._x(one.until), self._x(one.at) + 2)
                painter.fillRect(QRectF(left, bar.top(), right - left, bar.height()), QColor(mixed(_colour(one), now.sheet, 0.5)))
        free = -math.inf
        for k, one in enumerate(self._events):
            x = self._x(one.at)
            painter.setPen(QPen(QColor(_colour(one)), 2))
            painter.drawLine(QPointF(x, bar.top()), QPointF(x, bar.bottom()))
            shape = SHAPES[one.kind]
            wide = painter.fontMetrics().horizontalAdvance(shape)
            if x > free and x + wide + 4 < self.width():  # shapes do not cover each other; the lines stay
                painter.setPen(QColor(now.text))
                painter.drawText(QRectF(x + 3, bar.top(), wide + 4, bar.height()), Qt.AlignmentFlag.AlignVCenter, shape)
                free = x + wide + 6
            if k == self._current:
                painter.setPen(QPen(QColor(now.text), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(QRectF(x - 4, bar.top(), wide + 12, bar.height()))
        if self._cursor is not None:
            x = self._x(self._cursor)
            painter.setPen(QPen(QColor(now.text), 1))
            painter.setBrush(QColor(now.text))
            painter.drawLine(QPointF(x, bar.top()), QPointF(x, bar.bottom()))
            painter.drawPolygon(QPolygonF([QPointF(x - 4, 0), QPointF(x + 4, 0), QPointF(x, 6)]))
        self._frame_of_focus(painter)

    def _paint_times(self, painter: QPainter, bar: QRectF, tall: int) -> None:
        least = 8 * GRID / max(self.width(), 1) * (self.end - self.begin)
        step = next((s for s in STEPS_S if s > least), STEPS_S[-1] * math.ceil(least / STEPS_S[-1]))
        offset = datetime.fromtimestamp(self.begin).astimezone().utcoffset()
        shift = offset.total_seconds() if offset is not None else 0.0
        at = math.ceil((self.begin + shift) / step) * step - shift
        painter.setPen(QColor(theme().now.dim))
        form = "%H:%M" if step < 86400 else "%d %b" if self.end - self.begin < 300 * 86400 else "%b %Y"
        while at <= self.end:
            x = self._x(at)
            painter.drawLine(QPointF(x, bar.bottom()), QPointF(x, bar.bottom() + 3))
            box = QRectF(x - 4 * GRID, self.height() - tall, 8 * GRID, tall)
            if box.left() >= 0 and box.right() <= self.width():
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, datetime.fromtimestamp(at).strftime(form))
            at += step

    def event_at(self, x: float) -> NightEvent | None:
        """Get the event at a place of the bar, or near to it."""
        near = min(self._events, key=lambda one: abs(self._x(one.at) - x), default=None)
        if near is not None and abs(self._x(near.at) - x) <= SNAP:
            return near
        at = self._time(x)
        return next((one for one in reversed(self._events) if one.until is not None and one.at <= at <= one.until), None)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.button() == Qt.MouseButton.LeftButton:
            found = self.event_at(event.position().x())
            self._current = self._events.index(found) if found is not None else -1
            self.update()
            self.chosen.emit(found.at if found is not None else self._time(event.position().x()))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current is not None:
            self.chosen.emit(self.current.at)
        elif event.key() in steps and self._events:
            start = len(self._events) if self._current < 0 else self._current
            self._current = min(max(start + steps[Qt.Key(event.key())], 0), len(self._events) - 1)
            told = _told(self._events[self._current])
            self.setAccessibleDescription(told)
            at = QPointF(self._x(self._events[self._current].at), self.height())
            QToolTip.showText(self.mapToGlobal(at).toPoint(), f"{told} (Enter: go there)", self)
            self.update()
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Tell of the event, or the time, under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            found = self.event_at(event.pos().x())
            told = _told(found) if found is not None else f"{datetime.fromtimestamp(self._time(event.pos().x())):%H:%M:%S}"
            QToolTip.showText(event.globalPos(), f"{told} (click: go there)", self)
            return True
        return super().event(event)


def _told(event: NightEvent) -> str:
    """Say when and what."""
    lasted = f" ({span_of_seconds(event.until - event.at)})" if event.until is not None else ""
    return f"{datetime.fromtimestamp(event.at):%H:%M:%S} {event.words}{lasted}"


def _colour(event: NightEvent) -> str:
    now = theme().now
    return {"frozen": theme().curve(1), "alarm": now.warning, "silent": theme().curve(3), "fault": now.fault}.get(
        event.kind, now.dim
    )
