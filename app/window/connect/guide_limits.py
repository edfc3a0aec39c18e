"""Step 3 of the guide: limits, rest values, slews and apertures, many at once; the nudge, and the period of a tick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QFileDialog, QWidget

from aeqlab.app.window.connect.channel_table import ChannelTable, SentenceLine
from aeqlab.app.window.connect.guide_model import GuideModel
from aeqlab.app.window.connect.key_form import KeyForm
from aeqlab.app.window.connect.pieces import Words, button, column, heading, row
from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.key_fields import fields_of
from aeqlab.app.window.models.rig_problems import RigProblem, Step
from aeqlab.app.window.models.rig_values import Values, put_values, read_values
from aeqlab.backends.rig_file import NudgeEntry, RigFile

FIELDS = (
    "name",
    "low",
    "high",
    "absolute_low",
    "absolute_high",
    "rest",
    "value",
    "slew",
    "tolerance",
    "max_step",
    "nplc",
    "period_s",
)
NUDGE = ("realisation", "beta_max", "beta_min", "force_per_unit", "settle_s")
TIMES = ("tick_s", "line_Hz", "lost_after_s", "fresh_h")
#: Titles that say the unit.
TITLES = {"tick_s": "Tick (s)", "line_Hz": "Mains (Hz)", "lost_after_s": "Lost after (s)", "fresh_h": "Identification fresh (h)",
          "settle_s": "Settle (s)", "realisation": "Realisation", "beta_max": "Largest beta", "beta_min": "Lowest beta",
          "force_per_unit": "Force per unit"}  # fmt: skip


class LimitsStep(QWidget):
    """Values per knob, and what goes for the whole rig."""

    def __init__(self, guide: GuideModel) -> None:
        super().__init__()
        self.guide = guide
        self.table = ChannelTable(guide, FIELDS, "limits and rest values")
        self.sentence = SentenceLine()
        self.table.said.connect(self.sentence.say)
        self.words = Words()
        self.fill_button = button("Fill down", self.table.fill_down, "From the first chosen cell of each column (Ctrl+D)")
        self.paste_button = button(
            "Paste", self.table.paste, "A table from a spreadsheet, from the first chosen cell on (Ctrl+V)"
        )
        self.import_button = button(
            "Import CSV...", self.choose, "A row per knob with the columns name, rest, limits_low and so on"
        )
        nudge = {one.key: one for one in fields_of(NudgeEntry)}
        times = {one.key: one for one in fields_of(RigFile)}
        self.nudge, self.times = KeyForm("nudge "), KeyForm()
        self.nudge.set_fields([nudge[key] for key in NUDGE], TITLES)
        self.times.set_fields([times[key] for key in TIMES], TITLES)
        self.nudge.changed.connect(lambda key, value: self._put(f"nudge.{key}", value))
        self.times.changed.connect(self._put)
        below = row(column(heading("Nudge"), self.nudge, None), column(heading("Whole rig"), self.times, None))
        page = column(
            self.table,
            self.sentence,
            row(self.fill_button, self.paste_button, self.import_button, None),
            self.words,
            below,
            stretch=0,
        )
        self.setLayout(page.layout())  # type: ignore[arg-type]
        for signal in (guide.changed, guide.replaced, guide.checked):
            signal.connect(self.refresh)
        self.refresh()

    def _put(self, key: str, value: Any) -> None:
        self.guide.edit(lambda draft: draft.put(key, value))

    def refresh(self) -> None:
        """Show nudge and times as they are now."""
        draft = self.guide.draft
        self.nudge.show_values(lambda key: draft.get(f"nudge.{key}"))
        self.times.show_values(draft.get)
        problems = {one.field: one.text for one in self.guide.verdict.of_step(Step.LIMITS) if one.row is None}
        self.nudge.show_problems({key: problems.get(f"nudge.{key}", "") for key in NUDGE})
        self.times.show_problems({key: problems.get(key, "") for key in TIMES})

    def choose(self) -> None:
        """Ask for a CSV file, beside the window."""
        dialog = QFileDialog(self, "Values per knob", str(self.guide.draft.base), "Tables (*.csv *.tsv *.txt)")
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)  # a native one would keep the window from FREEZE
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)  # a name that is not there is told by us: Qt's box is modal
        dialog.finished.connect(dialog.deleteLater)
        dialog.fileSelected.connect(lambda path: self.import_values(Path(path)))
        dialog.show()  # not modal, for the same reason

    def import_values(self, path: Path) -> None:
        """Put the values of a CSV file into the rows of their names."""

        def take(values: Values) -> None:
            done, said = self.guide.edit(lambda draft: put_values(draft, values))
            text = " ".join([f"{done} values of {path.name} were put in.", *said])
            self.words.say(text, "warning" if said else "good")

        do(self, lambda: read_values(path), take, lambda exc: self.words.say(str(exc), "wrong"), name="reading values")

    def show_problem(self, problem: RigProblem) -> None:
        """Go to where a problem is mended."""
        if problem.row is not None:
            self.table.show_cell(problem.row, problem.field or "low")
        elif not self.nudge.focus(problem.field.removeprefix("nudge.")):
            self.times.focus(problem.field)
