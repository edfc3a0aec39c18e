"""Connect: the guide from nothing to a rig file, and the rig that is connected, each on a page of its own."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from aeqlab.app.window.connect.console import NONE, Console
from aeqlab.app.window.connect.guide import ConnectGuide
from aeqlab.app.window.connect.interlocks import Interlocks
from aeqlab.app.window.connect.rig_table import RigTable
from aeqlab.app.window.four_panels import FourPanels
from aeqlab.app.window.models.commander import Answer, Commander
from aeqlab.app.window.models.rig_now import interlocks_of, rows_of
from aeqlab.app.window.models.rig_told import RigTold
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.protocols.client import FoundSession
from aeqlab.protocols.errors import NotAllowedError, SessionError
from aeqlab.protocols.hand_moves import Row
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.status import STANDING
from aeqlab.protocols.wiggle import wiggle

WIGGLED = 0.02  #: of the range of a knob, it is wiggled so far
QUESTIONS = "only questions are asked by hand; what is set comes from the rig file and from the knobs"
NOT_CONNECTED = "no session is connected"


class Connect(QWidget):
    """The workspace. What it asks of the session goes through the commander.

    Signals:
        session_wanted: path of a rig file that is to be connected.
        bench_wanted: name of an emulated bench that is to be served.
    """

    session_wanted = Signal(str)
    bench_wanted = Signal(str)

    def __init__(self, commander: Commander, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._commander = commander
        self._view: SessionView | None = None
        self._asked = ""  # instrument of the question under way
        self.told = RigTold(self)
        self.guide, self.table, self.console, self.interlocks = ConnectGuide(), RigTable(), Console(), Interlocks()
        self.panels = FourPanels(
            [("Knobs and readouts", self.table), ("Monitors and interlocks", self.interlocks), ("Console", self.console)], above=1
        )
        self.pages = QTabWidget()
        self.pages.setDocumentMode(True)
        self.pages.addTab(self.guide, "Rig file")
        self.pages.addTab(self.panels, "Rig now")
        self.pages.setTabToolTip(0, "From nothing to a rig file, step by step (Ctrl+Page Up)")
        self.pages.setTabToolTip(1, "The rig that is connected: its knobs, readouts, interlocks (Ctrl+Page Down)")
        for keys, page in (("Ctrl+PgUp", self.guide), ("Ctrl+PgDown", self.panels)):
            shortcut = QShortcut(QKeySequence(keys), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(lambda page=page: self.pages.setCurrentWidget(page))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.pages)
        self.guide.session_wanted.connect(self.session_wanted)
        self.guide.bench_wanted.connect(self.bench_wanted)
        self.guide.wiggle_wanted.connect(self._wiggle)
        self.table.move_wanted.connect(self._move)
        self.console.asked.connect(self._ask)
        commander.answered.connect(self._hear)
        self.told.told.connect(self._take_told)
        self.told.forgotten.connect(self._forget)
        self.set_session(None)

    def open_rig_file(self, path: Path) -> None:
        """Open a rig file in the guide; one with mistakes opens with them marked."""
        self.guide.open(path)
        self.pages.setCurrentWidget(self.guide)

    def set_session(self, view: SessionView | None) -> None:
        """Take what a session tells now; None: none is connected."""
        if self._view is None and view is not None and not self.guide.unsaved:  # nobody is led away from what is being written
            self.pages.setCurrentWidget(self.panels)
        if view is None or (self._view is not None and self._view.found != view.found):
            self.table.dismiss()  # what was asked was about a knob of another rig
        self._view = view
        self.told.set_session(view)
        if view is None or view.info is None:
            self.table.take([])
            self.interlocks.take([], [])
            self.table.set_read_only(NOT_CONNECTED)
            self.guide.set_wiggle(NOT_CONNECTED)
            return
        self.table.set_read_only(self._why_not(view))
        self.guide.set_wiggle(self._why_not(view))

    def redraw(self) -> None:
        """Show the rows of the rig as they are now, where they can be seen."""
        view = self._view
        if view is None or not self.panels.seen:
            return
        rows = rows_of(view)
        self.table.take(rows)
        self.interlocks.take([row for row in rows if row.role == "monitor"], interlocks_of(view))

    def _why_not(self, view: SessionView) -> str:
        """Say why nothing can be moved by hand now; empty where it can."""
        if view.lost:
            return view.lost
        if view.status is None:
            return "the session has not answered yet"
        if view.state in STANDING:
            return f"the rig is {view.state}: {view.reason or 'Continue lets it move'}"
        if view.status.control and not self._commander.holds(view.status.control):
            return f"{view.status.control} holds the control token"
        return ""

    def _move(self, name: str, value: float) -> None:
        """Move one knob by hand."""
        where = self._knob(name)
        if where is None:
            self.table.say(f"{name} is no knob of this rig.")
            return
        row, k = where

        def work(client: SessionClient) -> str:
            moved = client.move_knobs(row, [k], [value])
            if not moved.reached:
                where = "" if moved.after is None else f": it stands at {moved.after[0]:.6g} {moved.unit}"
                raise SessionError(f"{name} did not come to {value:g} {moved.unit}{where}.")
            unread = "" if moved.after is not None else "; it is not read back"
            return f"{name} was moved to {value:g} {moved.unit}{unread}."

        self._commander.at_session("move", work, control=True)

    def _wiggle(self, channel: str) -> None:
        """Wiggle the knob of a channel, and tell which readouts moved."""
        names = [one.name for one in self.guide.guide.draft.rows if one.channel == channel]
        found = [where for name in names if (where := self._knob(name)) is not None]
        if not found or self._view is None or self._view.info is None:
            self.guide.tell(f"{channel} is no knob of the rig that is connected. Save the file and connect it first.")
            return
        if self.guide.guide.draft.changed:  # a name may stand at another channel in what was not saved and connected yet
            self.guide.tell("Save the file and connect it again first: what is wired otherwise here is not what is connected.")
            return
        row, k = found[0]
        knobs = self._view.info.controls if row == "control" else self._view.info.inputs
        size = WIGGLED * float(knobs.high[k] - knobs.low[k])
        self.guide.tell(f"{knobs.names[k]} is moved to and fro by {size:g} {knobs.unit}; the readouts that follow will be named.")

        found_session, path = self._view.found, self.guide.guide.draft.path

        def work(client: SessionClient) -> str:
            _see_file(found_session, path)
            found = wiggle(client, row, k, size)
            left = "" if found.back else f" It was NOT brought back to {found.stood:.6g} {found.unit}: see where it stands."
            return f"{found.sentence}{left}"

        self._commander.at_session("wiggle", work, control=True)

    def _ask(self, instrument: str, text: str) -> None:
        self._asked = instrument
        self._commander.at_session("console", lambda client: client.console(instrument, text))

    def _forget(self) -> None:
        """Show nothing that another session has told."""
        self.console.set_instruments((), NONE if self._view is None else "The session is asked which instruments it has.")
        self.guide.set_arming(None)

    def _take_told(self, what: str, told: tuple[str, ...] | str) -> None:
        """Show what the session said when it was asked, or why it did not; then it is asked again."""
        if what == "arming":
            self.guide.set_arming(told, "" if self._view is None else self._view.found.device)
        elif isinstance(told, str):
            self.console.set_instruments((), f"Which instruments there are is not known, and is asked again: {told}")
        else:
            self.console.set_instruments(told, "The device of this session has no instruments that could be asked.")
            self.console.set_read_only(QUESTIONS)

    def _hear(self, answer: Answer) -> None:
        if answer.done:
            self.told.heard(answer.command)
        match answer.command:
            case "move":
                self.table.say(answer.text, wrong=not answer.done)
            case "wiggle":
                self.guide.tell(answer.text)
            case "console":
                self.console.answered(answer.text, instrument=self._asked, wrong=not answer.done)

    def _knob(self, name: str) -> tuple[Row, int] | None:
        info = None if self._view is None else self._view.info
        if info is None:
            return None
        if name in info.controls.names:
            return "control", list(info.controls.names).index(name)
        return ("input", list(info.inputs.names).index(name)) if name in info.inputs.names else None


def _see_file(session: FoundSession, shown: Path | None) -> None:
    """See that the rig that is connected is the one whose file is shown: the same name may be another knob there.

    Raises:
        NotAllowedError: it is another.
        SessionError: its session file cannot be read.
    """
    file = SessionFile.read(Path(session.folder))
    if isinstance(file.device, RigSettings) and file.device.file is not None:
        path = (file.base / file.device.file).resolve()
        if shown is None or shown.resolve() != path:
            raise NotAllowedError(
                f"The rig that is connected is that of {path}. Open that file here, or connect this one, first."
            )
