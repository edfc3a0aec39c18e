"""The main window: banner and one-second line above, workspaces, the night below; everything in it can be reached by key.

It asks the world what to show, twenty-five times a second at most, and sends wishes to it. Closing it ends nothing. Workspaces
are made when they are first needed: the window is there before its plots.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QByteArray, QSettings, QTimer
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from aeqlab.app.window.alarms_panel import AlarmsPanel
from aeqlab.app.window.asking import Asking
from aeqlab.app.window.banner import BannerBar
from aeqlab.app.window.control_bar import ControlBar
from aeqlab.app.window.files import Files
from aeqlab.app.window.first_start import FirstStart
from aeqlab.app.window.guarded import Guarded
from aeqlab.app.window.jobs import do
from aeqlab.app.window.kept_layout import keep_panels, recall_panels
from aeqlab.app.window.menus import GIVE_KEY, TAKE_KEY, Menus
from aeqlab.app.window.messages import MessageLine
from aeqlab.app.window.models.offers import offer_of
from aeqlab.app.window.models.safe_words import making_safe
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.app.window.models.standing import Banner, banner_or_unknown
from aeqlab.app.window.models.target import Target
from aeqlab.app.window.models.vitals import vitals_of
from aeqlab.app.window.models.world import World
from aeqlab.app.window.night import NightBar
from aeqlab.app.window.starting import Starter
from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.vitals_line import VitalsLine
from aeqlab.app.window.workspaces import Workspaces
from aeqlab.protocols.run_list import newest_runs

if TYPE_CHECKING:  # imported when they are made: the window is there before its plots
    from aeqlab.app.window.connect.workspace import Connect
    from aeqlab.app.window.look_back.workspace import LookBack
    from aeqlab.app.window.projector import Projector
    from aeqlab.app.window.train.workspace import Train
    from aeqlab.app.window.tune.workspace import Tune

FRAME_MS = 40  #: between two looks at the world


class Shell(QMainWindow):
    """The window.

    Args:
        world: what it shows.
        settings: where its layout is remembered.
    """

    def __init__(self, world: World, settings: QSettings) -> None:
        super().__init__()
        self.world, self.settings = world, settings
        self._stale = True
        self._close_now = False
        self._title = ""
        self._safely = Guarded()
        self.banner, self.vitals, self.messages, self.alarms = BannerBar(), VitalsLine(), MessageLine(), AlarmsPanel()
        self.first, self.asking, self.night = FirstStart(), Asking(), NightBar()
        self.control = ControlBar(TAKE_KEY, GIVE_KEY)
        self.files = Files(self, settings, lambda: world.runs)
        self.projector: Projector | None = None
        self.start = Starter(world, self.first)
        self.try_bench = self.start.try_bench
        self.tabs = Workspaces(
            {"Connect": self._make_connect, "Tune": self._make_tune, "Train": self._make_train, "Look back": self._make_past}
        )
        self._build()
        self.menus = Menus(self)
        self.dark = self.menus.dark
        for number, name in enumerate(self.tabs.names, start=1):
            self.menus.add_workspace(name, number)
        self._connect()
        self.resize(1280, 800)
        self._recall()
        self._timer = QTimer(self)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        self._look()
        do(self, lambda: newest_runs(world.runs), self.first.set_runs, name="looks for runs")
        self.first.bench.setFocus()

    # the workspaces
    @property
    def connect_page(self) -> Connect:
        """Get Connect; made when it is first asked for."""
        return cast("Connect", self.tabs.page("Connect"))

    @property
    def tune(self) -> Tune:
        """Get Tune; made when it is first asked for."""
        return cast("Tune", self.tabs.page("Tune"))

    @property
    def train(self) -> Train:
        """Get Train; made when it is first asked for."""
        return cast("Train", self.tabs.page("Train"))

    @property
    def past(self) -> LookBack:
        """Get Look back; made when it is first asked for."""
        return cast("LookBack", self.tabs.page("Look back"))

    def _make_connect(self) -> Connect:
        from aeqlab.app.window.connect.workspace import Connect

        page = Connect(self.world.commander)
        page.session_wanted.connect(self.start.connect_rig)
        page.bench_wanted.connect(self.start.serve_bench)
        return page

    def _make_tune(self) -> Tune:
        from aeqlab.app.window.tune.workspace import Tune

        page = Tune(self.world.commander)
        page.identify_wanted.connect(self.start.identify)
        page.told.connect(self.messages.say)
        return page

    def _make_train(self) -> Train:
        from aeqlab.app.window.train.workspace import Train

        page = Train()
        page.run_wanted.connect(self.start.run)
        page.edit_wanted.connect(lambda text: self.world.commander.to_run("edit", text))
        self.world.answered.connect(page.take_answer)
        page.told.connect(self.messages.say)
        return page

    def _make_past(self) -> LookBack:
        from aeqlab.app.window.look_back.workspace import LookBack

        page = LookBack()
        page.open_wanted.connect(self.look_at)
        page.resume_wanted.connect(self.start.resume)
        page.as_that_wanted.connect(self.as_that)
        page.told.connect(self.messages.say)
        page.open_runs_folder(self.world.runs)
        return page

    def show_workspace(self, name: str) -> None:
        """Bring a workspace to the front."""
        self.leave_projector()
        self.pages.setCurrentWidget(self.tabs)
        self.tabs.turn_to(name)

    def show_first(self) -> None:
        """Show the first screen again."""
        self.leave_projector()
        self.pages.setCurrentWidget(self.first)
        do(self, lambda: newest_runs(self.world.runs), self.first.set_runs, name="looks for runs")

    # what is opened
    def open(self, target: Target) -> None:
        """Show a run, an experiment file or a rig file; one with mistakes opens with them marked."""
        if target.run is not None:
            self.look_at(target.run)
        if target.experiment is not None:
            self.open_experiment(target.experiment)
        if target.rig is not None:
            self.open_rig_file(target.rig)

    def open_experiment(self, path: Path) -> None:
        """Open an experiment file in the form; one with mistakes opens with them marked."""
        self.train.show_experiment(path)
        self.show_workspace("Train")

    def open_rig_file(self, path: Path) -> None:
        """Open a rig file in the guide; one with mistakes opens with them marked."""
        self.connect_page.open_rig_file(path)
        self.show_workspace("Connect")

    def look_at(self, folder: Path) -> None:
        """Show a run in its views."""
        self.world.show_run(folder)
        self.show_workspace("Train")

    def look_back_at(self, folder: Path) -> None:
        """Show the story of a run."""
        self.show_workspace("Look back")
        self.past.show_story(folder)

    def go_to(self, at: float) -> None:
        """Show what is shown as it was at a time, in s since 1970."""
        folder = self.world.run_feed.folder
        if folder is None:
            self.alarms.setVisible(True)
            return
        self.show_workspace("Look back")
        self.past.replay_at(folder, at)

    def as_that(self, folder: Path) -> None:
        """Open the experiment of a run in the form."""
        self.open_experiment(folder / "experiment.yaml")

    def say_wrong(self, text: str) -> None:
        """Say in the line of messages what went wrong in the window itself."""
        self.messages.say(text, True)

    # what is asked
    def write_note(self) -> None:
        """Let somebody write a note into the run that is shown."""
        folder = self.world.run_feed.folder
        if folder is None:
            self.messages.say("No run is shown that a note could be written into.", True)
            return
        self.leave_projector()
        self.asking.write_note(folder)

    def take_control(self) -> None:
        """Take the control token; where somebody else holds it, ask first and say what that does."""
        session = self.world.session
        control = "" if session is None or session.status is None else session.status.control
        if control and not self.world.commander.holds(control):
            self.leave_projector()
            self.asking.ask_for_control(control)
        else:
            self.world.commander.take_control()

    def project(self) -> None:
        """Show state, cost, learned function and device alone; or the window again, where they are shown."""
        if self.projector is not None:
            self.leave_projector()
            return
        from aeqlab.app.window.projector import Projector

        theme().project(True)
        self.projector = Projector()
        self.projector.freeze_wanted.connect(self.world.commander.freeze)
        self.projector.back_wanted.connect(self.leave_projector)
        self.takeCentralWidget()  # out of the window: its large type would need more room than there is
        self.setCentralWidget(self.projector)
        self.menuBar().hide()
        self.statusBar().hide()
        self.menus.projector.setChecked(True)
        self.projector.freeze.setFocus()
        self._stale = True

    def leave_projector(self) -> None:
        """Show the window again."""
        if self.projector is None:
            return
        projector, self.projector = self.projector, None
        self.takeCentralWidget()
        projector.hide()
        projector.deleteLater()
        theme().project(False)
        self.setCentralWidget(self.body)
        self.body.show()
        self.menuBar().show()
        self.statusBar().show()
        self.menus.projector.setChecked(False)
        self._stale = True

    # building
    def _build(self) -> None:
        self.pages = QStackedWidget()
        self.pages.addWidget(self.first)
        self.pages.addWidget(self.tabs)
        self.alarms.setVisible(False)
        self.alarms.setMaximumHeight(22 * GRID)
        self.body = QWidget()
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self.banner, self.vitals, self.asking, self.alarms):
            column.addWidget(widget)
        column.addWidget(self.pages, 1)
        column.addWidget(self.night)
        self.setCentralWidget(self.body)
        self.statusBar().addWidget(self.messages, 1)
        self.statusBar().addPermanentWidget(self.control)

    def _connect(self) -> None:
        world, banner, command, asking = self.world, self.banner, self.world.commander, self.asking
        world.changed.connect(self._note)
        world.sessions_changed.connect(self._note)
        world.said.connect(self.messages.say)
        world.answered.connect(asking.take_answer)
        world.run_shown.connect(self._turn_to_run)
        self.files.chosen.connect(self.open)
        self.files.refused.connect(lambda text: self.messages.say(text, True))
        self.messages.opened.connect(self.messages.show_all)
        banner.freeze_wanted.connect(command.freeze)
        banner.safe_wanted.connect(command.make_safe)
        banner.pause_wanted.connect(lambda: command.to_run("pause"))
        banner.continue_wanted.connect(command.let_move)
        banner.stop_wanted.connect(lambda: command.to_run("stop"))
        asking.answered.connect(lambda text: command.to_run("answer", text))
        asking.note_written.connect(command.note)
        asking.resume_wanted.connect(self.start.resume)
        asking.look_back_wanted.connect(self.look_back_at)
        asking.safe_wanted.connect(command.make_lost_safe)
        asking.take_wanted.connect(command.take_lost)
        asking.control_wanted.connect(command.take_control)
        asking.close_wanted.connect(self.close_now)
        self.control.take_wanted.connect(self.take_control)
        self.control.give_wanted.connect(command.give_control)
        self.night.wanted.connect(self.go_to)
        self.alarms.acknowledged.connect(command.acknowledge)
        self.tabs.came.connect(self._note)
        self.tabs.came.connect(lambda name: recall_panels(self.tabs.page(name), name, self.settings))
        self.start.shown.connect(self.show_workspace)
        self.start.rig_refused.connect(lambda text: self.connect_page.guide.tell(text))
        self.start.bench_came.connect(lambda rig: self.connect_page.guide.bench_started(rig))
        self.first.bench_wanted.connect(lambda: self.try_bench())
        self.first.simulated_wanted.connect(self.start.train_simulated)
        self.first.rig_wanted.connect(lambda: self.show_workspace("Connect"))
        self.first.run_wanted.connect(world.show_run)
        self.first.look_back_wanted.connect(lambda: self.show_workspace("Look back"))

    # looking
    def _turn_to_run(self, folder: Path | None) -> None:
        self.train.show_run(folder)
        if folder is not None:
            if self.projector is None:
                self.show_workspace("Train")
            else:
                self.pages.setCurrentWidget(self.tabs)

    def _there(self) -> tuple[Connect | None, Tune | None, Train | None]:
        """Get the workspaces that show what is now, where they were made already."""
        there = self.tabs.there
        return cast("Connect | None", there("Connect")), cast("Tune | None", there("Tune")), cast("Train | None", there("Train"))

    def _note(self, *_: object) -> None:
        self._stale = True

    def _look(self) -> None:
        """Show the world as it is now; ages grow by themselves."""
        world = self.world
        run, session = world.run, world.session
        connect, tune, train = self._there()
        if self._stale:  # the state before all else: no plot that fails keeps it from being told
            self._stale = False
            banner = banner_or_unknown(run, session)
            self._show_state(banner, session)
            self._safely(self.asking.set_value, run, offer_of(run, session, world.lost))
            for page in (train, tune):
                if page is not None:
                    self._safely(page.set_value, run, session)
            if connect is not None:
                self._safely(connect.set_session, session)
            if self.projector is not None:
                self._safely(self.projector.set_value, banner, run)
        self._safely(lambda: self.vitals.setValue(vitals_of(run, session)))
        self._safely(self.night.follow, run, session)
        for part in (connect, tune, train, self.projector):
            if part is not None:
                self._safely(part.redraw)

    def _show_state(self, banner: Banner, session: SessionView | None) -> None:
        self.banner.setValue(banner)
        self.banner.allow(pause=banner.pause, go_on=banner.go_on, stop=banner.stop)
        self.banner.set_making_safe(making_safe(session))
        alarms = () if session is None else session.open_alarms
        if {one.number for one in alarms} - {one.number for one in self.alarms.value()}:  # a new one comes up by itself
            self.alarms.setVisible(True)
        self.alarms.setValue(alarms)
        self._show_control()
        title = f"{banner.title} – aeqlab" if banner.title else "aeqlab"
        if title != self._title:
            self._title = title
            self.setWindowTitle(title)

    def _show_control(self) -> None:
        session, command = self.world.session, self.world.commander
        status = None if session is None or session.lost else session.status
        control = "" if status is None else status.control
        if session is not None and status is not None:  # one that does not answer does not tell who holds it
            command.see_control(control, session.heard_at)
        self.control.set_value(session, ours=command.holds(control))
        self.asking.see_control(control)

    # closing
    def unsaved(self) -> list[str]:
        """List what has changes that are not saved, and where that is."""
        connect, _, train = self._there()
        found = []
        if train is not None and train.experiment.document.modified:
            found.append(f"experiment {train.experiment.document.label} (Train)")
        if connect is not None and connect.guide.unsaved:
            found.append(f"{connect.guide.unsaved} (Connect)")
        return found

    def close_now(self) -> None:
        """Close the window, whatever is not saved."""
        self._close_now = True
        self.close()

    # the layout
    def _recall(self) -> None:
        geometry, state = self.settings.value("geometry"), self.settings.value("state")
        if isinstance(geometry, QByteArray):
            self.restoreGeometry(geometry)
        if isinstance(state, QByteArray):
            self.restoreState(state)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the layout, and let go; runs and sessions go on. Where something is not saved it asks first."""
        self.leave_projector()
        unsaved = [] if self._close_now else self.unsaved()
        if unsaved:
            event.ignore()
            self.asking.ask_to_close(unsaved)
            return
        for name, value in (("geometry", self.saveGeometry()), ("state", self.saveState()), ("dark", theme().dark)):
            self.settings.setValue(name, value)
        for name in self.tabs.names:
            if (made := self.tabs.there(name)) is not None:
                keep_panels(made, name, self.settings)
        self._timer.stop()
        for page in (self.tabs.there("Look back"), self.tabs.there("Tune")):
            if page is not None:
                cast("LookBack | Tune", page).stop()
        self.world.close()
        super().closeEvent(event)
