"""The night strip: a bar of hours with what happened, and the worst of it in words; a click on either goes there."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.night import Night, NightEvent, in_time, night_of
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.app.window.plots.figures import span_of_seconds
from aeqlab.app.window.plots.strips import NightStrip
from aeqlab.app.window.theme import GRID, theme

log = logging.getLogger("aeqlab.window")
EVERY_S = 2.0  #: so often the story is read anew at most; and it may take a tenth of the time
WIDE = 46 * GRID  #: of the words beside the bar


class Words(QPushButton):
    """A flat button whose words are cut where there is no room."""

    def sizeHint(self) -> QSize:
        """Get the same room for all words, so that the bar does not move."""
        return QSize(WIDE, super().sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw what fits, underlined by the focus."""
        painter, now = QPainter(self), theme().now
        painter.setFont(theme().font(tabular=True))
        painter.setPen(now.chosen if self.hasFocus() or self.underMouse() else now.text)
        words = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, words)
        painter.end()


class NightBar(QWidget):
    """Shows the night of what is shown. `wanted` brings the time, in s since 1970, that somebody wants to see."""

    wanted = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heading, self.strip, self.words = QLabel("night"), NightStrip(), Words("")
        self.words.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.words.setCursor(Qt.CursorShape.PointingHandCursor)
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID, 0, GRID, 0)
        row.setSpacing(GRID)
        row.addWidget(self.heading)
        row.addWidget(self.strip, 1)
        row.addWidget(self.words)
        self.night: Night | None = None
        self._of: tuple[Path | None, Path | None] = (None, None)
        self._told: tuple[object, ...] = ()  # what there was of events when it was read last
        self._reading = False
        self._next = 0.0
        self._shown_to = 0.0
        self.strip.chosen.connect(self.wanted)
        self.words.clicked.connect(self._go)
        theme().changed.connect(self._dress)
        self._dress()
        self.setVisible(False)

    def follow(self, run: RunView | None, session: SessionView | None) -> None:
        """Show the night of a run, or where none is shown that of a session; it is read in a thread, when something is new."""
        of = (None if run is None else run.folder, None if run is not None or session is None else Path(session.found.folder))
        if of != self._of:
            self._of, self._told, self._next = of, (), 0.0
            self._take(of, None)
        told: tuple[object, ...]
        if run is not None:
            told = (run.state, run.alive, *(run.rows(table) for table in ("events", "alarms", "notes")))
        else:
            told = () if session is None else (len(session.events), bool(session.lost), session.verdict)
        now = time.monotonic()
        if told and told != self._told and not self._reading and now >= self._next:
            self._told, self._reading = told, True
            do(self, lambda: _read(*of), lambda found: self._take_read(of, *found), self._fail, name="night")
        self._grow()

    # inside
    def _take_read(self, of: tuple[Path | None, Path | None], night: Night | None, took_s: float) -> None:
        self._reading = False
        if of == self._of:
            self._next = time.monotonic() + max(EVERY_S, 10.0 * took_s)
            self._take(of, night)

    def _fail(self, exc: Exception) -> None:
        """Keep what is shown: a folder that cannot be read yet is read again after a while."""
        self._reading, self._told = False, ()
        self._next = time.monotonic() + 5.0 * EVERY_S
        log.info("the night cannot be told: %s", exc)

    def _take(self, of: tuple[Path | None, Path | None], night: Night | None) -> None:
        self.night = night
        self.setVisible(night is not None)
        if night is None:
            return
        self.strip.set_events(night.events)
        worst = night.worst
        self.words.setText("nothing happened" if worst is None else in_words(worst, night.begin))
        self.words.setEnabled(worst is not None)
        self.words.setToolTip(
            "Neither trouble nor commands so far" if worst is None else f"{in_words(worst, night.begin)}\n(click: go there)"
        )
        self.words.setAccessibleName(f"Night: {self.words.text()}")
        self._shown_to = 0.0
        self._grow()

    def _grow(self) -> None:
        """Let the bar reach until now; by a pixel at a time."""
        if self.night is None:
            return
        begin, end = in_time(self.night)
        if abs(end - self._shown_to) * max(self.strip.width(), 1) >= (end - begin):
            self._shown_to = end
            self.strip.set_range(begin, end)

    def _go(self) -> None:
        if self.night is not None and self.night.worst is not None:
            self.wanted.emit(self.night.worst.at)

    def _dress(self) -> None:
        self.heading.setStyleSheet(f"color: {theme().now.dim}")


def in_words(one: NightEvent, begin: float) -> str:
    """Say when and what, as 03:12 scanner did not answer 14 s, frozen, went on."""
    when = datetime.fromtimestamp(one.at).astimezone()
    form = "%H:%M" if when.date() == datetime.fromtimestamp(begin).astimezone().date() else "%d %b %H:%M"
    what, *done = one.words.split(", ")
    lasted = "" if one.until is None or one.until - one.at < 0.05 else f" {span_of_seconds(one.until - one.at)}"
    return f"{when.strftime(form)} {', '.join([what + lasted, *done])}"


def _read(run: Path | None, session: Path | None) -> tuple[Night | None, float]:
    began = time.monotonic()
    return night_of(run, session), time.monotonic() - began
