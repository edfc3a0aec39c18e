"""Tune: how every knob follows and settles, and its gains, which are tried before they are kept."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from aeqlab.app.window.connect.pieces import Words, column
from aeqlab.app.window.four_panels import FourPanels
from aeqlab.app.window.models import run_curves
from aeqlab.app.window.models.commander import Commander
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.app.window.models.tune_knobs import knobs_of
from aeqlab.app.window.models.tune_work import ARMS, IDENTIFIES, TuneWork
from aeqlab.app.window.plots.knob_grid import KnobGrid
from aeqlab.app.window.plots.samples import PRESENTED
from aeqlab.app.window.theme import GRID
from aeqlab.app.window.tune.actions import Actions
from aeqlab.app.window.tune.bump_plot import BumpPlot
from aeqlab.app.window.tune.knob_table import KnobTable
from aeqlab.app.window.tune.one_knob import OneKnob
from aeqlab.app.window.tune.speed_slider import SpeedSlider
from aeqlab.app.window.tune.trial_box import TrialBox
from aeqlab.protocols.bump import Bumped
from aeqlab.protocols.status import STANDING

TABLE_S = 0.2  #: between two looks of the table at the session
STEPPED = "since the targets were stepped"  #: what times of a bump count from
NEEDS = (
    "Gains are tried at a session, which owns the rig: connect one (Ctrl+1). Without one the traces of the run that is shown are "
    "drawn here, nothing more."
)


class Tune(QWidget):
    """The workspace.

    Signals:
        identify_wanted: the session whose device is to be identified, and the law of its loops now; a run does that.
        told: a sentence for the line of messages, and whether something went wrong.
    """

    identify_wanted = Signal(object, str)
    told = Signal(str, bool)

    def __init__(self, commander: Commander, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._commander = commander
        self._view: SessionView | None = None
        self._run: RunView | None = None
        self._folder: Path | None = None
        self._traced = -1  # step of the newest sample of the run that is in the grid
        self._settle: np.ndarray | None = None
        self._heard_event = 0.0  # time of the newest event about gains that was shown
        self._table_at = 0.0
        self._stood = False  # whether the device stood when it was heard last
        self.work = TuneWork(commander, self)
        self.needs, self.grid, self.table, self.bump = Words(NEEDS, kind="dim"), KnobGrid(""), KnobTable(), BumpPlot("")
        self.commands, self.trial, self.speed, self.one = Actions(), TrialBox(), SpeedSlider(), OneKnob()
        self.panels = FourPanels([
            ("Every knob, triggered", self.grid), ("Knobs", self.table), ("Bump, predicted and measured", self.bump),
            ("Loops and gains", self._gains_page()),
        ])  # fmt: skip
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        self.needs.setContentsMargins(GRID, GRID, GRID, 0)
        whole.addWidget(self.needs)
        whole.addWidget(self.panels, 1)
        for sheet, name in ((self.grid, "Every knob, triggered"), (self.bump, "Bump, predicted and measured")):
            sheet.setAccessibleName(name)
            sheet.saved.connect(lambda where: self.told.emit(f"Saved {where}.", False))
            sheet.failed.connect(lambda text: self.told.emit(text, True))
        self.grid.set_awaited("a bump, or the first sample of a run whose course is kept")
        self._connect()
        self.set_value(None, None)

    def _gains_page(self) -> QWidget:
        page = column(self.commands, self.speed, self.trial, self.one, None, margin=GRID // 2)
        area = QScrollArea()
        area.setWidget(page)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        return area

    def _connect(self) -> None:
        work, commands = self.work, self.commands
        self.table.chosen_changed.connect(lambda _: self._show_gains())
        self.grid.chosen.connect(lambda knob: self.table.choose([knob]))
        self.grid.many_chosen.connect(self.table.choose)
        self.speed.factor_wanted.connect(lambda factor: work.try_gains({**self._of_chosen(), "factor": factor}))
        self.one.gains_wanted.connect(lambda knob, values: work.try_gains({"knobs": [knob], **values}))
        self.trial.keep_wanted.connect(work.keep)
        self.trial.revert_wanted.connect(work.revert)
        commands.arming_asked.connect(work.ask_arming)
        commands.arm_wanted.connect(work.arm)
        commands.identify_wanted.connect(self._identify)
        commands.autotune_wanted.connect(lambda: work.autotune(self.table.value() or None))
        commands.hold_wanted.connect(work.hold)
        commands.bump_wanted.connect(lambda: work.bump(self._chosen()))
        commands.stop_wanted.connect(self._stop)
        work.gains_changed.connect(lambda _: self._take_gains())
        work.busy_changed.connect(lambda _: self._show_busy())
        work.progressed.connect(lambda what, part: commands.set_busy(what, part))
        work.bumped.connect(self._take_bump)
        work.arming.connect(commands.show_statement)
        work.refused.connect(self._refused)
        work.done.connect(lambda _, text: commands.say(text))

    # what comes in
    def set_value(self, run: RunView | None, session: SessionView | None) -> None:
        """Take what is known now; nothing is drawn before `redraw`."""
        other = (None if self._view is None else self._view.found) != (None if session is None else session.found)
        self._view, self._run = session, run
        if other:
            self.commands.hide_statement()
            self.commands.say("")
            self.trial.set_ended("")
            self._heard_event = time.time() if session is not None else 0.0
            self.bump.clear_bump()
            self.panels.panels[2].set_note("")
            self._forget_samples()
        stands = session is not None and session.status is not None and session.state in STANDING
        if stands and not self._stood:  # what was said before may not be so any more, as that theta is held
            self.commands.say("")
        self._stood = stands
        self.work.set_session(session)
        if run is not None:
            self._take_samples(run)
        if session is not None and session.info is not None:
            self.grid.set_knobs(session.info.controls.names, session.info.controls.unit)
        self._say_needs()
        self._show_busy()
        self._see_events()
        if other or session is None:
            self._show_gains()
            self._fill_table()

    def redraw(self) -> None:
        """Draw what has changed, where it can be seen."""
        if not self.panels.seen:
            return
        self.grid.redraw()
        self.bump.redraw()
        now = time.monotonic()
        if now - self._table_at >= TABLE_S:
            self._table_at = now
            self._fill_table()
            self._show_trial()

    def stop(self) -> None:
        """Leave what is under way, as at the end of the window."""
        self.work.close()

    # showing
    def _say_needs(self) -> None:
        text = self._needs()
        self.needs.setVisible(bool(text))
        self.needs.say(text, "dim")

    def _needs(self) -> str:
        """Say in a sentence what is missing for tuning; empty where nothing is."""
        view, gains = self._view, self.work.gains
        if view is None:
            return NEEDS
        if view.lost:
            return view.lost
        if gains is not None and gains.law == "ideal":
            return f"{gains.why} Traces of its samples are drawn here; there is nothing to tune."
        if gains is not None and gains.why:
            return gains.why
        if view.state in STANDING:
            return f"The device is {view.state}: {view.reason}. Gains can be looked at; Continue (F7) lets them be tried."
        if view.info is not None and IDENTIFIES not in view.abilities and gains is not None:
            return f"{view.info.name} says itself how it answers its knobs, so it need not be identified."
        return ""

    def _show_gains(self) -> None:
        gains, view = self.work.gains, self._view
        chosen = self.table.value()
        info = None if view is None else view.info
        self.speed.set_gains(gains, chosen)
        self.one.set_gains(gains, chosen, None if info is None else info.tick_s)
        self._say_needs()
        self._show_busy()
        self._show_trial()

    def _show_trial(self) -> None:
        view = self._view
        trial = None if view is None or view.seen is None or view.lost else view.seen.trial
        late = 0.0 if view is None else time.monotonic() - view.heard_at
        self.trial.set_trial(trial, 0.0 if trial is None else trial.left_s - late, known=view is None or not view.lost)

    def _show_busy(self) -> None:
        view, work, run = self._view, self.work, self._run
        identifying = _identifying(run)
        if identifying is not None:
            self.commands.set_busy(f"identifying, {identifying[0]}", identifying[1])
        elif not work.busy:
            self.commands.set_busy("")
        elif not self.commands.state.text():
            self.commands.set_busy(work.busy)
        there = view is not None and view.status is not None and not view.lost
        abilities = frozenset() if view is None else view.abilities
        self.commands.allow(
            session=there, arms=ARMS in abilities, identifies=IDENTIFIES in abilities,
            gains=work.gains is not None and work.gains.law != "ideal",
            busy=bool(work.busy) or identifying is not None,
        )  # fmt: skip

    def _see_events(self) -> None:
        """Show why a trial is over, as the session tells it."""
        view = self._view
        if view is None:
            return
        new = [event for event in view.events if event.kind == "gains" and event.t > self._heard_event]
        if not new:
            return
        self._heard_event = new[-1].t
        over = [event for event in new if " tries " not in event.text]  # what is tried is shown above
        if over:
            self.trial.set_ended(over[-1].text, kept=" keeps " in over[-1].text)

    def _refused(self, command: str, text: str) -> None:
        self.commands.say(text, wrong=True)
        if command == "try gains":
            self._show_gains()  # the slider goes back to what is in use

    def _fill_table(self) -> None:
        self.table.take(knobs_of(self._view, self.work.gains, self._settle))

    def _take_samples(self, run: RunView) -> None:
        if run.folder != self._folder:
            self._folder = run.folder
            self._forget_samples()
        for sample in run_curves.traced_samples(run, after=self._traced):
            if not sample.in_tolerances:  # without a tolerance there is no one scale
                continue
            self._traced = sample.step
            error = np.where(np.isnan(sample.error), sample.moved, sample.error)
            if self._view is None:
                facts = run.facts.get("knobs", {})
                self.grid.set_knobs(facts.get("names", [])[: error.shape[1]], facts.get("unit", ""))
            self.grid.set_trigger(PRESENTED)
            clamp = None if np.isnan(sample.clamp_s) else sample.clamp_s
            self.grid.add_sample(sample.t, error, sample.u, clamp, number=sample.step)
            self._settle = self.grid.settle
            self.grid.set_origin(f"{run.folder.name}, {run.state}")

    def _forget_samples(self) -> None:
        """Show no sample of another device or of another run as one of this."""
        self._traced, self._settle = -1, None
        self.grid.set_trigger("")  # the next sample has one
        if self.grid.enlarged >= 0:
            self.grid.choose(-1)

    def _take_gains(self) -> None:
        self._fill_table()  # first: what is chosen is chosen from it
        self._show_gains()

    def _take_bump(self, found: Bumped) -> None:
        """Draw a bump, and add its first course to the traces of all knobs."""
        self.bump.show_bump(found)
        self.panels.panels[2].set_note(self.bump.note)
        self.grid.set_trigger(STEPPED)
        for course in found.courses[::2]:
            u = course.u[:, : course.error.shape[1]]
            if u.shape == course.error.shape:
                self.grid.add_sample(course.t, course.error, u)
        settle = self.grid.settle
        if len(settle) == len(self.grid.names):
            settle[list(found.knobs)] = found.settle_s
        self._settle = settle
        origin = "" if self._view is None else f"{self._view.found.device}, bump of {time.strftime('%Y-%m-%d %H:%M:%S')}"
        self.bump.set_origin(origin)
        self._fill_table()

    # wishes
    def _chosen(self) -> list[int]:
        return self.table.value() or list(range(len(self.table.model.knobs.names)))

    def _of_chosen(self) -> dict[str, list[int]]:
        chosen = self.table.value()
        return {"knobs": chosen} if chosen else {}

    def _identify(self) -> None:
        view, gains = self._view, self.work.gains
        if view is not None:
            law = "" if gains is None or gains.law == "ideal" else gains.law
            self.identify_wanted.emit(view.found, law)

    def _stop(self) -> None:
        if _identifying(self._run) is not None:
            alone = self._run is not None and self._run.sequence is not None and len(self._run.sequence.own) == 1
            self._commander.to_run("abort" if alone else "skip")  # the knobs go back at the next tick, or with this stage
        self.work.stop()


def _identifying(run: RunView | None) -> tuple[str, float | None] | None:
    """Tell what an identification under way does, and how much of it is done; None where none is."""
    if run is None or not run.alive or run.ended or run.progress is None or run.progress.get("stage") != "identify":
        return None
    done = run.progress.get("done")
    total = run.progress.get("total")
    return str(run.progress.get("unit") or "") or "begins", float(done) / float(total) if done is not None and total else None
