"""The time line of a run as a slider: its events are marked on it, it is dragged with the pointer and moved by keys.

Left and right go by one sample, Page up and Page down by a tenth of it all, Home and End to its ends, Ctrl with left and right to
the event before and the next one.
"""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QWidget

from aeqlab.app.window.models.night import NightEvent
from aeqlab.app.window.plots.strips import NightStrip
from aeqlab.app.window.theme import GRID

PAGE = 0.1  #: of the time line
MARGIN = 0.01  #: of it beside its ends, so that what happened there can be seen
_NEAR_S = 1e-3  #: within so much one is at an event


class TimeSlider(NightStrip):
    """`chosen` brings the time, in s since 1970, that was asked for; `stepped` by how many samples to go on, or back."""

    stepped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.at: float | None = None
        self.first, self.last = 0.0, 1.0
        self.setAccessibleName("time of the replay")
        self.setToolTip("Drag, or press left and right: one sample. Ctrl with them: event before, next event.")

    def sizeHint(self) -> QSize:  # noqa: D102
        return QSize(60 * GRID, 4 * GRID + self.fontMetrics().height())

    def set_span(self, first: float, last: float) -> None:
        """Go from when to when, in s since 1970."""
        self.first, self.last = first, max(last, first)
        margin = MARGIN * max(last - first, 1e-3)
        self.set_range(first - margin, last + margin)

    def set_cursor(self, at: float | None) -> None:
        """Show the time that is shown."""
        self.at = at
        super().set_cursor(at)

    @property
    def events(self) -> tuple[NightEvent, ...]:
        """Get what is marked, oldest first."""
        return tuple(self._events)

    def event_before(self) -> NightEvent | None:
        """Get the last event before the time that is shown."""
        at = self.last if self.at is None else self.at
        return next((one for one in reversed(self._events) if one.at < at - _NEAR_S), None)

    def next_event(self) -> NightEvent | None:
        """Get the first event after the time that is shown."""
        at = self.first if self.at is None else self.at
        return next((one for one in self._events if one.at > at + _NEAR_S), None)

    def event_now(self) -> NightEvent | None:
        """Get the newest event up to the time that is shown."""
        return None if self.at is None else next((one for one in reversed(self._events) if one.at <= self.at + _NEAR_S), None)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.chosen.emit(min(max(self._time(event.position().x()), self.first), self.last))
        else:
            super().mouseMoveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        at = self.first if self.at is None else self.at
        page = PAGE * (self.last - self.first)
        keys = Qt.Key
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier and event.key() in (keys.Key_Left, keys.Key_Right):
            there = self.event_before() if event.key() == keys.Key_Left else self.next_event()
            if there is not None:
                self.chosen.emit(there.at)
            return
        match event.key():
            case keys.Key_Left:
                self.stepped.emit(-1)
            case keys.Key_Right:
                self.stepped.emit(1)
            case keys.Key_PageUp:
                self.chosen.emit(max(at - page, self.first))
            case keys.Key_PageDown:
                self.chosen.emit(min(at + page, self.last))
            case keys.Key_Home:
                self.chosen.emit(self.first)
            case keys.Key_End:
                self.chosen.emit(self.last)
            case _:
                super().keyPressEvent(event)
