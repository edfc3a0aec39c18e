"""Step 2 of the guide: which channel is which knob or readout, bound by picking and found by wiggling."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QWidget

from aeqlab.app.window.connect.channel_model import WIGGLE
from aeqlab.app.window.connect.channel_table import ChannelTable, SentenceLine
from aeqlab.app.window.connect.guide_model import GuideModel
from aeqlab.app.window.connect.pieces import Words, button, column, heading, row
from aeqlab.app.window.models.rig_cells import NUDGE, ROLES
from aeqlab.app.window.models.rig_problems import RigProblem
from aeqlab.app.window.theme import GRID

NOT_OPEN = "Wiggling needs a session: save the rig and open a session on it in step 5."
#: Names and channels as one would write them, by role.
EXAMPLES = {
    "control": ("u[00-15]", "dac[1-16]"), "parameter": ("theta[00-15]", "adc[101-116]"), "input": ("z", "dac[17]"),
    "output": ("s", "adc[117]"), "nudge": ("", "smu[1]"), "monitor": ("temperature", "adc[118]"), "supply": ("bias", "psu[1]"),
}  # fmt: skip


class ChannelsStep(QWidget):
    """The channel table with what adds rows to it."""

    wiggle_wanted = Signal(str)  #: the channel of the knob

    def __init__(self, guide: GuideModel) -> None:
        super().__init__()
        self.guide = guide
        self.role = QComboBox()
        self.role.addItems(ROLES)
        self.role.setAccessibleName("role of the new rows")
        self.role.currentTextChanged.connect(self._role)
        self.names, self.channels, self.unit = QLineEdit(), QLineEdit(), QLineEdit("V")
        for field, what in (
            (self.names, "names of the new rows"),
            (self.channels, "channels of the new rows"),
            (self.unit, "unit"),
        ):
            field.setAccessibleName(what)
            field.returnPressed.connect(self.add)
        self.names.setToolTip("One name or many, such as u[00-15]; Enter adds them.")
        self.channels.setToolTip("One channel or many, such as dac[1-16]; may be left out and picked in the table.")
        self.unit.setMaximumWidth(8 * GRID)
        self.add_button = button("Add rows", self.add, "Adds a row for each name, or for each channel", "Alt+N")
        self.words = Words()
        self.table = ChannelTable(guide, ["role", "name", "channel", "unit", "measures", WIGGLE], "channels of the rig")
        self.table.wiggle_wanted.connect(self.wiggle_wanted)
        self.table.rows.wiggle_hint = NOT_OPEN
        self.sentence = SentenceLine()
        self.table.said.connect(self.sentence.say)
        self.remove_button = button(
            "Take rows out", self.remove, "Takes the chosen rows out; Ctrl+Z takes them back", "Ctrl+Delete"
        )
        self.fill_button = button(
            "Fill down", self.table.fill_down, "Counts names and channels on from the first chosen cell (Ctrl+D)"
        )
        self.note = Words(kind="dim")
        page = column(
            row(heading("Add"), self.role, self.names, self.channels, self.unit, self.add_button, stretch=-1),
            self.words,
            self.table,
            self.sentence,
            row(self.fill_button, self.remove_button, None),
            self.note,
            stretch=2,
        )
        self.setLayout(page.layout())  # type: ignore[arg-type]
        self._role(self.role.currentText())
        self.set_wiggle(NOT_OPEN)
        guide.checked.connect(self._note)
        guide.replaced.connect(self.words.clear)

    def set_wiggle(self, why_not: str) -> None:
        """Say whether knobs can be wiggled now: empty where they can, else why not."""
        self.table.rows.wiggle_hint = why_not
        self.table.rows.take()
        self._note()

    def _note(self) -> None:
        notes = [f"{name}: {self.guide.offer(name).note}" for name in self.guide.draft.instruments if self.guide.offer(name).note]
        if self.table.rows.wiggle_hint and self.guide.draft.rows:
            notes.append(self.table.rows.wiggle_hint)
        self.note.say("  ".join(notes), "dim")

    def _role(self, role: str) -> None:
        names, channels = EXAMPLES[role]
        self.names.setPlaceholderText(names)
        self.names.setEnabled(role != NUDGE)
        self.channels.setPlaceholderText(channels)

    def add(self) -> None:
        """Add rows as they were written."""
        role, names, channels = self.role.currentText(), self.names.text(), self.channels.text()
        if not names.strip() and not channels.strip():
            self.words.say(f"Write names or channels, such as {' and '.join(filter(None, EXAMPLES[role]))}.", "wrong")
            return
        try:
            unit = self.unit.text().strip() or "V"
            new = self.guide.edit(lambda draft: draft.add(role, names, channels, unit))
        except ValueError as exc:
            self.words.say(str(exc), "wrong")
            return
        self.words.say(f"{len(new)} {role} rows were added." if len(new) > 1 else f"A {role} row was added.", "good")
        self.names.clear()
        self.channels.clear()
        self.table.show_cell(new[0].uid, "name" if role != NUDGE else "channel")

    def remove(self) -> None:
        """Take the chosen rows out."""
        uids = self.table.uids()
        if uids:
            self.guide.edit(lambda draft: draft.remove(uids))
            what = f"{len(uids)} rows were" if len(uids) > 1 else "A row was"
            self.words.say(f"{what} taken out; Ctrl+Z in the table takes that back.")

    def show_problem(self, problem: RigProblem) -> None:
        """Go to where a problem is mended."""
        if problem.row is not None:
            self.table.show_cell(problem.row, problem.field or "name")
        else:
            self.role.setFocus()
