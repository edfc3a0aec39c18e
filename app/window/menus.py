"""The menus of the window: every command with its key, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QMenu
from shiboken6 import isValid

from aeqlab.app.window.theme import theme

if TYPE_CHECKING:
    from aeqlab.app.window.shell import Shell

TAKE_KEY, GIVE_KEY = "Ctrl+Alt+T", "Ctrl+Alt+G"


class Menus:
    """Builds the menus of a shell. Every action is the shell's own as well, so that its key works while the menus are hidden."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        command, bar = shell.world.commander, shell.menuBar()
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.focusWindowChanged.connect(self._reach)
        file = bar.addMenu("&File")
        self.add(file, "Open run …", "Ctrl+Shift+R", lambda: shell.files.ask("run"))
        self.add(file, "Open experiment …", "Ctrl+Shift+O", lambda: shell.files.ask("experiment"))
        self.add(file, "Open rig file …", "Ctrl+Shift+G", lambda: shell.files.ask("rig file"))
        self.recent = file.addMenu("Open again")
        self.recent.aboutToShow.connect(lambda: shell.files.fill(self.recent))
        file.aboutToShow.connect(lambda: self.recent.setEnabled(bool(shell.files.recent)))
        file.addSeparator()
        self.add(file, "First screen", "Ctrl+0", shell.show_first)
        file.addSeparator()
        self.add(file, "Close the window (what runs goes on)", "Ctrl+Q", shell.close)
        run = bar.addMenu("&Run")
        for text, key, do_ in (
            ("FREEZE", "F9", command.freeze), ("MAKE SAFE", "F12", command.make_safe),
            ("Pause", "F6", lambda: command.to_run("pause")), ("Continue", "F7", command.let_move),
            ("Stop at the end of this sample", "F8", lambda: command.to_run("stop")),
            ("Skip this stage", "Ctrl+F8", lambda: command.to_run("skip")),
            ("Abort at the next tick", "Ctrl+Shift+F8", lambda: command.to_run("abort")),
        ):  # fmt: skip
            self.add(run, text, key, do_)
        self.write_note = self.add(run, "Add note …", "Ctrl+Shift+N", shell.write_note)
        control = bar.addMenu("&Control")
        self.add(control, "Take control", TAKE_KEY, shell.take_control)
        self.add(control, "Give control back", GIVE_KEY, command.give_control)
        self.add(control, "Give the knobs back to the loop", "Ctrl+Alt+H", command.hold)
        self.sessions = control.addMenu("Show session")
        self.sessions.aboutToShow.connect(self._fill_sessions)
        self.view = bar.addMenu("&View")
        self._end_of_workspaces = self.view.addSeparator()
        self.dark = self.add(self.view, "Dark", "Ctrl+Shift+D", self._turn)
        self.dark.setCheckable(True)
        self.dark.setChecked(theme().dark)
        self.projector = self.add(self.view, "Projector", "F11", shell.project)
        self.projector.setCheckable(True)
        self.add(self.view, "Alarms", "Ctrl+L", lambda: shell.alarms.setVisible(not shell.alarms.isVisible()))
        self.add(self.view, "Messages", "Ctrl+M", shell.messages.show_all)

    def _reach(self, _: object) -> None:
        """Let FREEZE and MAKE SAFE be heard by a box that keeps all else waiting, as Qt's own file dialogs show some."""
        box = QApplication.activeModalWidget()
        if box is None or box.property("hears FREEZE") or not isValid(self._shell) or not self._shell.isVisible():
            return
        box.setProperty("hears FREEZE", True)
        command = self._shell.world.commander
        for key, do_ in (("F9", command.freeze), ("F12", command.make_safe)):
            QShortcut(QKeySequence(key), box).activated.connect(do_)

    def add(self, menu: QMenu, text: str, key: str, do_: Callable[[], object]) -> QAction:
        """Add a command with its key."""
        action = QAction(text, self._shell)
        action.setShortcut(QKeySequence(key))
        action.setShortcutContext(Qt.ShortcutContext.ApplicationShortcut)
        action.triggered.connect(lambda _=False: do_())
        menu.addAction(action)
        self._shell.addAction(action)
        return action

    def add_workspace(self, name: str, number: int) -> None:
        """Add a workspace to the view menu; its key is Ctrl and its number."""
        action = QAction(name, self._shell)
        action.setShortcut(QKeySequence(f"Ctrl+{number}"))
        action.triggered.connect(lambda: self._shell.show_workspace(name))
        self.view.insertAction(self._end_of_workspaces, action)

    def _fill_sessions(self) -> None:
        """List the sessions that run, the one that is shown with its mark."""
        world = self._shell.world
        shown = None if world.session_feed.view is None else world.session_feed.view.found
        self.sessions.clear()
        for found in world.sessions.running:
            action = self.sessions.addAction(f"{found.device}  –  {found.address}")
            action.setCheckable(True)
            action.setChecked(found == shown)
            action.triggered.connect(lambda _=False, found=found: world.choose_session(found))
        if not world.sessions.running:
            self.sessions.addAction("No session runs").setEnabled(False)

    def _turn(self) -> None:
        """Turn light or dark, as the menu says."""
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        theme().apply(application, dark=self.dark.isChecked())
