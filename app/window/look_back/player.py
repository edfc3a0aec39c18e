"""Playing a run: Play and Pause, faster and slower, one sample on or back, event before and next event; the slider above them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from aeqlab.app.window.look_back.time_slider import TimeSlider
from aeqlab.app.window.models.night import NightEvent
from aeqlab.app.window.plots.figures import span_of_seconds
from aeqlab.app.window.theme import GRID, theme

FRAME_MS = 40
TAKES_S = 30.0  #: so long the whole takes where nobody chose
FASTEST_S, SLOWEST_S = 2.0, 7200.0
KEYS = {"play": "Ctrl+P", "pause": "Ctrl+Shift+P", "slower": "Ctrl+-", "faster": "Ctrl++", "back": "Alt+Left", "on": "Alt+Right"}


class Player(QWidget):
    """Says which moment is wanted.

    Signals:
        time_wanted: a time in s since 1970.
        step_wanted: by how many samples to go on, or back.
    """

    time_wanted = Signal(float)
    step_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider = TimeSlider()
        self.span, self.speed = QLabel(), QLabel()
        self.speed.setToolTip("How long playing the whole run takes, and how many times as fast as it was that is")
        self.span.setToolTip("From when to when the run went")
        self.takes_s = TAKES_S
        self._timer = QTimer(self)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._play_on)
        self._played = 0.0
        self._at = math.nan
        self.back = self._button("Step back", f"One sample back (Left on the slider, or {KEYS['back']})", self._step(-1))
        self.play = self._button("Play", f"Go on from here by itself ({KEYS['play']})", self.start)
        self.pause = self._button("Pause", f"Stay here ({KEYS['pause']})", self.stop)
        self.on = self._button("Step on", f"One sample on (Right on the slider, or {KEYS['on']})", self._step(1))
        self.slower = self._button("Slower", f"Play half as fast ({KEYS['slower']})", lambda: self._set_takes(2 * self.takes_s))
        self.faster = self._button("Faster", f"Play twice as fast ({KEYS['faster']})", lambda: self._set_takes(self.takes_s / 2))
        self.before = self._button("Event before", "Go to the event before (Ctrl+Left on the slider)", lambda: self._jump(-1))
        self.next = self._button("Next event", "Go to the next event (Ctrl+Right on the slider)", lambda: self._jump(1))
        for name in KEYS:
            shortcut = QShortcut(QKeySequence(KEYS[name]), self)
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.activated.connect(getattr(self, name).click)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        for button in (self.before, self.back, self.play, self.pause, self.on, self.next, self.slower, self.faster):
            row.addWidget(button)
        row.addWidget(self.speed)
        row.addStretch(1)
        row.addWidget(self.span)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID, 0, GRID, GRID)
        column.setSpacing(GRID // 2)
        column.addWidget(self.slider)
        column.addLayout(row)
        self.slider.chosen.connect(self._choose)
        self.slider.stepped.connect(lambda n: self._step(n)())
        theme().changed.connect(self._dress)
        self._dress()
        self.set_span(math.nan, math.nan)

    # what is played
    def set_span(self, begin: float, end: float) -> None:
        """Play from when to when, in s since 1970; nan: there is nothing to play."""
        known = math.isfinite(begin) and math.isfinite(end)
        self._known = known
        if not known:
            self._timer.stop()
        self.slider.setEnabled(known)
        if known:
            self.slider.set_span(begin, end)
        self.span.setText(f"{_clock(begin, end - begin)} to {_clock(end, end - begin)}" if known else "no times are known")
        self._see()

    def set_events(self, events: Sequence[NightEvent]) -> None:
        """Mark these events."""
        self.slider.set_events(events)
        self._see()

    def set_at(self, at: float) -> None:
        """Show that this moment is shown; nan: none."""
        self._at = at
        known = math.isfinite(at)
        self.slider.set_cursor(at if known else None)
        self.slider.setAccessibleDescription(_clock(at, self.slider.last - self.slider.first) if known else "no time")
        self._see()

    @property
    def playing(self) -> bool:
        """Whether it goes on by itself."""
        return self._timer.isActive()

    def start(self) -> None:
        """Go on from here; at the end from the begin."""
        if not self._known:
            return
        if not math.isfinite(self._at) or self._at >= self.slider.last:
            self._at = self.slider.first
        self._played = time.monotonic()
        self._timer.start()
        self._see()

    def stop(self) -> None:
        """Stay here."""
        self._timer.stop()
        self._see()

    # inside
    def _play_on(self) -> None:
        now = time.monotonic()
        span = self.slider.last - self.slider.first
        at = min(self._at + (now - self._played) * span / self.takes_s, self.slider.last)
        self._played = now
        if at >= self.slider.last:
            self.stop()
        self.set_at(at)
        self.time_wanted.emit(at)

    def _choose(self, at: float) -> None:
        self.set_at(at)
        self.time_wanted.emit(at)

    def _jump(self, way: int) -> None:
        there = self.slider.event_before() if way < 0 else self.slider.next_event()
        if there is not None:
            self.stop()
            self._choose(there.at)

    def _step(self, n: int) -> Callable[[], None]:
        def step() -> None:
            self.stop()
            self.step_wanted.emit(n)

        return step

    def _set_takes(self, seconds: float) -> None:
        self.takes_s = min(max(seconds, FASTEST_S), SLOWEST_S)
        self._see()

    def _see(self) -> None:
        """Let be pressed what does something."""
        span = self.slider.last - self.slider.first
        self.speed.setText(f"all in {span_of_seconds(self.takes_s)}, {span / self.takes_s:,.3g} ×" if self._known else "")
        self.play.setEnabled(self._known and not self.playing)
        self.pause.setEnabled(self.playing)
        self.slower.setEnabled(self._known and self.takes_s < SLOWEST_S)
        self.faster.setEnabled(self._known and self.takes_s > FASTEST_S)
        self.back.setEnabled(self._known)
        self.on.setEnabled(self._known)
        self.before.setEnabled(self._known and self.slider.event_before() is not None)
        self.next.setEnabled(self._known and self.slider.next_event() is not None)

    def _button(self, text: str, tip: str, do_it: object) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # the arrows stay with the slider
        button.clicked.connect(lambda _=False: do_it())  # type: ignore[operator]
        return button

    def _dress(self) -> None:
        for label in (self.span, self.speed):
            label.setFont(theme().font(tabular=True))
            label.setStyleSheet(f"color: {theme().now.dim}")


def _clock(at: float, span: float) -> str:
    """Write a time of day, as fine as the span asks for."""
    made = datetime.fromtimestamp(at)
    return f"{made:%H:%M:%S}.{made.microsecond // 1000:03d}" if span < 60 else f"{made:%H:%M:%S}"
