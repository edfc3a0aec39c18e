"""The replay of a run: the views of Train as they were at a moment, what was the matter then, and the time line below them."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from aeqlab.app.window.look_back.player import FRAME_MS, Player
from aeqlab.app.window.models.night import night_of_story
from aeqlab.app.window.models.replay import Moment
from aeqlab.app.window.models.replay_reader import Opened, ReplayReader, Shown
from aeqlab.app.window.plots.figures import span_of_seconds, written
from aeqlab.app.window.plots.layers import Mark
from aeqlab.app.window.plots.sheet import Sheet
from aeqlab.app.window.plots.strips import SHAPES
from aeqlab.app.window.theme import GRID, LARGE, theme
from aeqlab.app.window.train.live import LivePanels
from aeqlab.protocols.run_story import Story
from aeqlab.protocols.words import cost_in_words

HERE = "shown here"
NONE_YET = "the record has none of it up to here"
NOTHING = "Choose a run and press Replay, or go to something that happened."


class ReplayPage(QWidget):
    """Shows one run at one moment. `told` brings sentences for the line of messages, and whether something went wrong."""

    told = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reader = ReplayReader(self)
        self.opened: Opened | None = None
        self.moment: Moment | None = None
        self._stepping = True  # the row that is shown says where one is, and not the wish
        self._wanted = -1  # place that was asked for last by steps
        self.heading, self.happened, self.missing = QLabel(NOTHING), QLabel(), QLabel()
        for label, name in (
            (self.heading, "Moment that is shown"), (self.happened, "What happened last"), (self.missing, "What is missing"),
        ):  # fmt: skip
            label.setWordWrap(True)
            label.setAccessibleName(name)
            label.setContentsMargins(GRID, 0, GRID, 0)
        self.missing.hide()
        self.views, self.player = LivePanels(), Player()
        self.views.sequence.hide()  # what is to come is nothing of a run as it was
        column = QVBoxLayout(self)
        column.setContentsMargins(0, GRID // 2, 0, 0)
        column.setSpacing(GRID // 2)
        for widget, stretch in ((self.heading, 0), (self.happened, 0), (self.missing, 0), (self.views, 1), (self.player, 0)):
            column.addWidget(widget, stretch)
        self._timer = QTimer(self)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._redraw)
        self._timer.start()
        self.reader.opened.connect(self._take_opened)
        self.reader.marked.connect(self._take_story)
        self.reader.shown.connect(self._take_shown)
        self.reader.failed.connect(self._fail)
        self.player.time_wanted.connect(self._go_to_time)
        self.player.step_wanted.connect(self._step)
        self.views.told.connect(lambda text: self.told.emit(text, False))
        self.views.went_wrong.connect(lambda text: self.told.emit(text, True))
        theme().changed.connect(self._dress)
        self._dress()

    @property
    def folder(self) -> Path | None:
        """Get the run that is replayed."""
        return self.reader.folder

    def open(self, folder: Path, at: float | None = None) -> None:
        """Show a run as it was at a time in s since 1970; None: at its end."""
        self.player.stop()
        if folder == self.folder and at is not None and self.opened is not None:
            self.player.set_at(at)
            self._go_to_time(at)
        else:
            self.heading.setText(f"Reading {folder.name} ...")
            self.happened.clear()
            self._show_missing(())
            self._clear_views()
            self.player.set_events(())
            self.player.set_span(math.nan, math.nan)
            self.opened = self.moment = None
            self._stepping = at is None
            self.reader.open(folder, at)
            if at is not None:
                self.player.set_at(at)
        self.player.slider.setFocus()

    def close_run(self) -> None:
        """Let go of the run."""
        self.player.stop()
        self._timer.stop()
        self.reader.close()

    # wishes
    def _go_to_time(self, at: float) -> None:
        self._stepping, self._wanted = False, -1
        self.reader.go_to_time(at)

    def _step(self, n: int) -> None:
        if self.opened is None or self.moment is None:
            return
        here = self._wanted if self._stepping and self._wanted >= 0 else self.moment.place
        self._stepping, self._wanted = True, min(max(here + n, 0), max(self.opened.count - 1, 0))
        self.reader.go_to_place(self._wanted)

    # what comes
    def _take_opened(self, opened: Opened) -> None:
        self.opened = opened
        self.player.set_span(opened.begin, opened.end)
        if self.moment is not None and math.isfinite(self.moment.at) and self._stepping:
            self.player.set_at(self.moment.at)
        self._show_missing(opened.missing)
        self._say()

    def _take_story(self, story: Story) -> None:
        night = night_of_story(story)
        self.player.set_events(() if night is None else night.events)
        self._say()

    def _take_shown(self, shown: Shown) -> None:
        moment, before = shown.moment, self.moment
        if before is not None and moment.place < before.place:
            self._clear_views(same_run=True)  # what came later is not there yet
        self.moment = moment
        if self._stepping:
            self.player.set_at(moment.at)
        self.views.set_run(shown.view, None)
        here = [Mark(moment.step, HERE)] if moment.place >= 0 else []
        for plot in (self.views.cost, self.views.results.errors):
            plot.set_marks(here)
        origin = f"{shown.folder.name}, {moment.state}, as it was {_when(moment)}"
        for sheet in self.views.findChildren(Sheet):
            sheet.set_origin(origin)
        self._show_missing((*(self.opened.missing if self.opened is not None else ()), *shown.missing))
        self._say()

    def _clear_views(self, *, same_run: bool = False) -> None:
        self.views.clear(same_run=same_run)
        for sheet in self.views.findChildren(Sheet):
            sheet.set_awaited(NONE_YET)

    def _fail(self, text: str) -> None:
        self.heading.setText(text)
        self.player.set_span(math.nan, math.nan)

    # words
    def _say(self) -> None:
        moment, opened = self.moment, self.opened
        if moment is None or opened is None:
            return
        self.heading.setText("  ·  ".join(self._parts(moment, opened)))
        event, said = self.player.slider.event_now(), ""
        if event is not None and self.player.slider.at is not None:
            since = self.player.slider.at - event.at
            lasts = event.until is not None and self.player.slider.at <= event.until
            when = "now" if since < 1e-3 else "since" if lasts else "before"
            ago = "" if when == "now" else f" {span_of_seconds(since)}"
            said = f"{SHAPES[event.kind]} {event.words}: {when}{ago}" if when != "before" else f"{ago} before: {event.words}"
        alarms = "; ".join(f"{name}: {text}" for name, text in moment.alarms)
        self.happened.setText(
            "    ".join(part for part in (said.strip(), f"alarms that were on: {alarms}" if alarms else "") if part)
        )
        self.happened.setVisible(bool(self.happened.text()))

    def _parts(self, moment: Moment, opened: Opened) -> list[str]:
        row, unit = moment.row, self.views.cost.graph.names[1][1]
        parts = [f"{datetime.fromtimestamp(moment.at):%H:%M:%S}" if math.isfinite(moment.at) else "no time is known"]
        word = "sample" if moment.step or not row else "point"
        place, of = (moment.step, opened.steps) if moment.step else (moment.place + 1, opened.count)
        parts.append(f"{word} {place:,} of {max(place, of):,}" if moment.place >= 0 else "before the first sample")
        parts.append(moment.state + (f", stage {moment.stage[0]} {moment.stage[1]}" if moment.stage else ""))
        cost = next((name for name in ("cost_free", "cost_1") if isinstance(row.get(name), float)), None)
        if cost is not None:
            parts.append(f"{cost_in_words(cost)} {written(row[cost], unit)}")
        if row.get("hold_verdict"):
            error = row.get("hold_error")
            worst = f", worst {written(error, 'tol', 2)}" if isinstance(error, float) else ""
            parts.append(f"hold {row['hold_verdict']}{worst}")
        if row.get("used") == 0 and not row.get("sham"):
            parts.append("step not used")
        if row.get("sham"):
            parts.append("sham step")
        if opened.every > 1:
            parts.append(f"one step in {opened.every:,} is drawn")
        if opened.alive:
            parts.append("the run goes on")
        return parts

    def _show_missing(self, missing: tuple[str, ...]) -> None:
        said = " ".join(dict.fromkeys(missing))
        self.missing.setText(f"What is missing: {said}")
        self.missing.setVisible(bool(said))

    def _redraw(self) -> None:
        if self.views.isVisible():
            self.views.redraw()

    def _dress(self) -> None:
        self.heading.setFont(theme().font(LARGE, tabular=True))
        self.happened.setStyleSheet(f"color: {theme().now.warning}")
        self.missing.setStyleSheet(f"color: {theme().now.fault}")


def _when(moment: Moment) -> str:
    if not math.isfinite(moment.at):
        return "before anything was written"
    return f"{datetime.fromtimestamp(moment.at):%Y-%m-%d %H:%M:%S}" + (f", step {moment.step:,}" if moment.place >= 0 else "")
