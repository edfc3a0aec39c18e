"""The main window: banner and one-second line above, four workspaces, messages below; everything in it can be reached by key.

It asks the world what to show, thirty times a second at most, and sends wishes to it. Closing it ends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings, Qt, QTimer
from PySide6.QtGui import QAction, QCloseEvent, QKeySequence
from PySide6.QtWidgets import QApplication, QLabel, QMainWindow, QPlainTextEdit, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from aeqlab.app.window.alarms_panel import AlarmsPanel
from aeqlab.app.window.banner import BannerBar
from aeqlab.app.window.connect.workspace import Connect
from aeqlab.app.window.first_start import FirstStart
from aeqlab.app.window.jobs import do
from aeqlab.app.window.look_back.workspace import LookBack
from aeqlab.app.window.messages import MessageLine
from aeqlab.app.window.models.launcher import Started, is_text, resume_run, start_bench, start_demo, start_run, start_session
from aeqlab.app.window.models.standing import banner_of
from aeqlab.app.window.models.vitals import vitals_of
from aeqlab.app.window.models.world import World
from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.train.workspace import Train
from aeqlab.app.window.vitals_line import VitalsLine
from aeqlab.protocols.control import person
from aeqlab.protocols.status import STANDING as STANDING_STATES

FRAME_MS = 40  #: between two looks at the world
WORKSPACES = ("Connect", "Tune", "Train", "Look back")


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
        self._title = ""
        self.banner, self.vitals, self.messages, self.alarms = BannerBar(), VitalsLine(), MessageLine(), AlarmsPanel()
        self.first = FirstStart()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.first)
        self.pages.addWidget(self.tabs)
        self.alarms.setVisible(False)
        self.alarms.setMaximumHeight(22 * GRID)
        self.control = QLabel()
        self.control.setToolTip("Who holds the control token: whoever moves knobs has it, everyone else watches")
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self.banner, self.vitals, self.alarms):
            column.addWidget(widget)
        column.addWidget(self.pages, 1)
        self.setCentralWidget(body)
        self.statusBar().addWidget(self.messages, 1)
        self.statusBar().addPermanentWidget(self.control)
        self._all_messages: QPlainTextEdit | None = None
        self._build_menus()
        self.connect_page, self.train, self.past = Connect(world.commander), Train(), LookBack()
        for name, page in (("Connect", self.connect_page), ("Train", self.train), ("Look back", self.past)):
            self.add_workspace(name, page)
        self._connect()
        self.resize(1280, 800)
        self._recall()
        self._timer = QTimer(self)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        self._look()
        do(self, lambda: last_runs(world.runs), self.first.set_runs, name="looks for runs")
        self.past.open_runs_folder(world.runs)
        self.first.bench.setFocus()

    # what is shown
    def add_workspace(self, name: str, widget: QWidget) -> None:
        """Add a workspace under its tab; its key is Ctrl and its number."""
        self.tabs.addTab(widget, name)
        number = self.tabs.count()
        self.tabs.setTabToolTip(number - 1, f"{name} (Ctrl+{number})")
        action = QAction(name, self)
        action.setShortcut(QKeySequence(f"Ctrl+{number}"))
        action.triggered.connect(lambda: self.show_workspace(name))
        self.view_menu.insertAction(self._end_of_workspaces, action)

    def show_workspace(self, name: str) -> None:
        """Bring a workspace to the front."""
        for k in range(self.tabs.count()):
            if self.tabs.tabText(k) == name:
                self.pages.setCurrentWidget(self.tabs)
                self.tabs.setCurrentIndex(k)

    def show_first(self) -> None:
        """Show the first screen again."""
        self.pages.setCurrentWidget(self.first)
        do(self, lambda: last_runs(self.world.runs), self.first.set_runs, name="looks for runs")

    def open_experiment(self, path: Path) -> None:
        """Open an experiment file in the form; one with mistakes opens with them marked."""
        self.train.show_experiment(path)
        self.show_workspace("Train")

    def open_rig_file(self, path: Path) -> None:
        """Open a rig file in the guide; one with mistakes opens with them marked."""
        self.connect_page.open_rig_file(path)
        self.show_workspace("Connect")

    # what it offers
    def run(self, experiment: Path | str) -> None:
        """Start an experiment, a file, a preset or a text, and show it."""
        runs = self.world.runs.absolute()
        name = "the experiment as it stands" if is_text(experiment) else Path(experiment).name
        self._begin(f"Starts {name} …", lambda: start_run(experiment, runs))

    def resume(self, folder: Path) -> None:
        """Go on with a run whose process ended, and show it."""
        self._begin(f"Goes on with {folder.name} …", lambda: resume_run(folder))

    def connect_rig(self, path: str) -> None:
        """Start a session of a rig file, and show it."""
        self._begin(
            f"Opens the instruments of {Path(path).name} …", lambda: start_session(path, self.world.runs.absolute()), "Connect"
        )

    def serve_bench(self, preset: str) -> None:
        """Serve an emulated bench, and fill the guide with the rig file that goes with it."""
        folder = (self.world.runs / time.strftime(f"{preset}-%Y%m%d-%H%M%S")).absolute()

        def served(rig: Path) -> None:
            self.connect_page.guide.bench_started(rig)

        self.world.said.emit(f"Starts the emulated bench {preset} …", False)
        do(self, lambda: start_bench(preset, folder), served, lambda exc: self.world.said.emit(str(exc), True), name="bench")

    def look_at(self, folder: Path) -> None:
        """Show a run in its views."""
        self.world.show_run(folder)
        self.show_workspace("Train")

    def as_that(self, folder: Path) -> None:
        """Open the experiment of a run in the form."""
        self.open_experiment(folder / "experiment.yaml")

    def try_bench(self, folder: Path | None = None, *, samples: int = 600, seed: int = 1) -> None:
        """Start the emulated bench with its training, and show it."""
        where = (folder or self.world.runs / time.strftime("demo-%Y%m%d-%H%M%S")).absolute()
        self._begin("Starts the emulated bench and its instruments …", lambda: start_demo(where, samples, seed))

    def train_simulated(self) -> None:
        """Start the paper's regression on a simulated device, and show it."""
        runs = self.world.runs.absolute()
        self._begin("Starts a run of linear-regression …", lambda: start_run("linear-regression", runs))

    def _begin(self, what: str, start: Callable[[], Started], workspace: str = "Train") -> None:
        self.first.set_busy(True)
        self.first.set_waiting(what)
        self.world.said.emit(what, False)

        def started(found: Started) -> None:
            self.first.set_busy(False)
            self.first.set_waiting("")
            self.world.take_started(found)
            self.show_workspace(workspace)

        def failed(exc: Exception) -> None:
            self.first.set_busy(False)
            self.first.set_waiting(f"It did not start. {exc}")
            self.world.said.emit(str(exc), True)

        do(self, start, started, failed, name="starts")

    def show_messages(self) -> None:
        """Show all messages in a window of its own, which is in nobody's way."""
        if self._all_messages is None:
            self._all_messages = QPlainTextEdit(self, Qt.WindowType.Window)  # type: ignore[call-overload]
            self._all_messages.setReadOnly(True)
            self._all_messages.setWindowTitle("Messages")
            self._all_messages.resize(90 * GRID, 50 * GRID)
        self._all_messages.setPlainText(self.messages.in_words())
        self._all_messages.show()
        self._all_messages.raise_()

    def say_wrong(self, text: str) -> None:
        """Say in the line of messages what went wrong in the window itself."""
        self.messages.say(text, True)

    # building
    def _connect(self) -> None:
        world, banner, command = self.world, self.banner, self.world.commander
        world.changed.connect(self._note)
        world.said.connect(self.messages.say)
        world.run_shown.connect(self._turn_to_run)
        self.train.run_wanted.connect(self.run)
        self.train.edit_wanted.connect(lambda text: command.to_run("edit", text))
        world.answered.connect(self.train.take_answer)
        self.train.told.connect(self.messages.say)
        self.connect_page.session_wanted.connect(self.connect_rig)
        self.connect_page.bench_wanted.connect(self.serve_bench)
        self.past.open_wanted.connect(self.look_at)
        self.past.resume_wanted.connect(self.resume)
        self.past.as_that_wanted.connect(self.as_that)
        self.past.jump_wanted.connect(lambda folder, *_: self.look_at(folder))
        self.messages.opened.connect(self.show_messages)
        banner.freeze_wanted.connect(command.freeze)
        banner.safe_wanted.connect(command.make_safe)
        banner.pause_wanted.connect(lambda: command.to_run("pause"))
        banner.continue_wanted.connect(command.let_move)
        banner.stop_wanted.connect(lambda: command.to_run("stop"))
        self.alarms.acknowledged.connect(self._acknowledge)
        self.first.bench_wanted.connect(lambda: self.try_bench())
        self.first.simulated_wanted.connect(self.train_simulated)
        self.first.rig_wanted.connect(lambda: self.show_workspace("Connect"))
        self.first.run_wanted.connect(world.show_run)
        self.first.look_back_wanted.connect(lambda: self.show_workspace("Look back"))

    def _build_menus(self) -> None:
        command = self.world.commander
        bar = self.menuBar()
        file = bar.addMenu("&File")
        self.file_menu = file
        self._act(file, "First screen", "Ctrl+0", self.show_first)
        file.addSeparator()
        self._act(file, "Close the window (what runs goes on)", "Ctrl+Q", self.close)
        run = bar.addMenu("&Run")
        for text, key, do_ in (
            ("FREEZE", "F9", command.freeze), ("MAKE SAFE", "F12", command.make_safe),
            ("Pause", "F6", lambda: command.to_run("pause")), ("Continue", "F7", command.let_move),
            ("Stop at the end of this sample", "F8", lambda: command.to_run("stop")),
            ("Skip this stage", "Ctrl+F8", lambda: command.to_run("skip")),
            ("Abort at the next tick", "Ctrl+Shift+F8", lambda: command.to_run("abort")),
        ):  # fmt: skip
            self._act(run, text, key, do_)
        self.view_menu = bar.addMenu("&View")
        self._end_of_workspaces = self.view_menu.addSeparator()
        self.dark = self._act(self.view_menu, "Dark", "Ctrl+Shift+D", self._turn)
        self.dark.setCheckable(True)
        self.dark.setChecked(theme().dark)
        self._act(self.view_menu, "Alarms", "Ctrl+L", lambda: self.alarms.setVisible(not self.alarms.isVisible()))
        self._act(self.view_menu, "Messages", "Ctrl+M", self.show_messages)

    def _act(self, menu: object, text: str, key: str, do_: object) -> QAction:
        action = QAction(text, self)
        action.setShortcut(QKeySequence(key))
        action.setShortcutContext(Qt.ShortcutContext.ApplicationShortcut)
        action.triggered.connect(lambda _=False: do_())  # type: ignore[operator]
        menu.addAction(action)  # type: ignore[attr-defined]
        return action

    # looking
    def _turn_to_run(self, folder: Path | None) -> None:
        self.train.show_run(folder)
        if folder is not None:
            self.show_workspace("Train")

    def _note(self) -> None:
        self._stale = True

    def _look(self) -> None:
        """Show the world as it is now; ages grow by themselves."""
        world = self.world
        self.vitals.setValue(vitals_of(world.run, world.session))
        self.connect_page.redraw()
        self.train.redraw()
        if not self._stale:
            return
        self._stale = False
        run, session = world.run, world.session
        self.train.set_value(run, session)
        self.connect_page.set_session(session)
        banner = banner_of(run, session)
        self.banner.setValue(banner)
        live = run is not None and run.alive and not run.ended
        stands = session is not None and session.state in STANDING_STATES
        paused = live and run is not None and run.state in ("paused", "pausing")
        self.banner.allow(pause=live and not paused, go_on=paused or stands, stop=live)
        alarms = () if session is None else session.open_alarms
        if alarms and not self.alarms.value():
            self.alarms.setVisible(True)
        self.alarms.setValue(alarms)
        status = None if session is None else session.status
        self.control.setText("" if status is None else f"control: {status.control or 'nobody'}")
        title = f"{banner.title} – aeqlab" if banner.title else "aeqlab"
        if title != self._title:
            self._title = title
            self.setWindowTitle(title)

    def _acknowledge(self, number: int) -> None:
        who = person()
        self.world.commander.at_session("acknowledge", lambda client: _acknowledged(client.acknowledge(who, number or None)))

    def _turn(self) -> None:
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        theme().apply(application, dark=self.dark.isChecked())

    # the layout
    def _recall(self) -> None:
        geometry, state = self.settings.value("geometry"), self.settings.value("state")
        if isinstance(geometry, QByteArray):
            self.restoreGeometry(geometry)
        if isinstance(state, QByteArray):
            self.restoreState(state)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the layout, and let go; runs and sessions go on."""
        self.settings.setValue("geometry", self.saveGeometry())
        self.settings.setValue("state", self.saveState())
        self.settings.setValue("dark", theme().dark)
        self._timer.stop()
        self.past.stop()
        self.world.close()
        super().closeEvent(event)


def last_runs(runs: Path, most: int = 5) -> list[Path]:
    """List the newest run folders, those of demos too, newest first."""
    found = [path.parent for pattern in ("*/record.sqlite", "demo-*/runs/*/record.sqlite") for path in runs.glob(pattern)]
    return sorted(found, key=lambda path: path.name, reverse=True)[:most]


def _acknowledged(done: Sequence[object]) -> str:
    return f"{len(done)} acknowledged." if done else "All of them were acknowledged before."
