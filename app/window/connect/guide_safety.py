"""Step 4 of the guide: interlocks, sums, the order of arming, and what becomes of the rig when this computer dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtWidgets import QWidget

from aeqlab.app.window.connect.entry_table import EntryTable
from aeqlab.app.window.connect.guide_model import GuideModel
from aeqlab.app.window.connect.pieces import Words, button, column, heading, row
from aeqlab.app.window.models.key_fields import TEXT, KeyField, fields_of
from aeqlab.app.window.models.rig_draft import RigDraft
from aeqlab.app.window.models.rig_problems import RigProblem, Step
from aeqlab.backends.rig_file import InstrumentEntry, InterlockEntry, SumEntry

_SILENT = ("when_silent", "watchdog_s", "safe", "dangerous")
SILENT_WORDS = ("holds", "off after 2 s", "unknown")


class SafetyStep(QWidget):
    """What watches over the rig."""

    def __init__(self, guide: GuideModel) -> None:
        super().__init__()
        self.guide = guide
        self._order: list[str] = []
        of_instrument = {one.key: one for one in fields_of(InstrumentEntry)}
        name = KeyField("name", TEXT, about="In the order of arming; SAFE goes the other way round.")
        self.instruments = EntryTable(
            (name, *(of_instrument[key] for key in _SILENT)), "instruments, in the order of arming",
            {"name": "Instrument", "when_silent": "When silent", "watchdog_s": "Watchdog (s)", "safe": "Under SAFE",
             "dangerous": "Dangerous"}, {"when_silent": SILENT_WORDS}, ["name"],
        )  # fmt: skip
        self.instruments.edited.connect(self._instrument)
        self.earlier = button("Earlier", lambda: self._move(-1), "Arms it before the one above", "Alt+Up")
        self.later = button("Later", lambda: self._move(1), "Arms it after the one below", "Alt+Down")
        self.interlocks = EntryTable(
            fields_of(InterlockEntry), "interlocks",
            {"name": "Name", "when": "Stops when", "action": "Then", "stale_s": "Old data trip after (s)"},
        )  # fmt: skip
        self.interlocks.edited.connect(lambda at, key, value: self._entry("interlocks", at, key, value))
        self.sums = EntryTable(fields_of(SumEntry), "limits on many knobs together",
                               {"name": "Name", "of": "Of", "kind": "Kind", "scale": "Scale", "limit": "Limit"})  # fmt: skip
        self.sums.edited.connect(lambda at, key, value: self._entry("sums", at, key, value))
        self.dies = Words()
        self.dies.setAccessibleName("if this computer dies now")
        monitors = Words(
            "Monitors are rows of step 2 with the role monitor; limits of theirs are alarms. Limits of parameters and outputs "
            "make the rig safe.", kind="dim",
        )  # fmt: skip
        left = column(
            heading("Instruments, in the order of arming"),
            self.instruments,
            row(self.earlier, self.later, None), heading("If this computer dies now"), self.dies, None, stretch=1,
        )  # fmt: skip
        right = column(
            heading("Interlocks"), self.interlocks,
            row(button("Add an interlock", self.add_interlock), self._remover("interlocks", self.interlocks, "interlock"), None),
            heading("Limits on many knobs together"), self.sums,
            row(button("Add a sum", self.add_sum), self._remover("sums", self.sums, "sum"), None),
            monitors,
        )  # fmt: skip
        page = row(left, right)
        self.setLayout(page.layout())  # type: ignore[arg-type]
        for signal in (guide.changed, guide.replaced, guide.checked):
            signal.connect(self.refresh)
        self.refresh()

    def _remover(self, section: str, table: EntryTable, what: str) -> QWidget:
        def remove() -> None:
            at = table.currentRow()
            if at >= 0:
                self._change(section, lambda entries: entries.pop(at) if at < len(entries) else None)

        return button(f"Take the {what} out", remove, "Takes the chosen line out")

    def add_interlock(self) -> None:
        """Add an interlock that makes safe; its condition is still to be written."""
        read = [row.name for row in self.guide.draft.rows if row.role in ("monitor", "output", "parameter") and row.name]
        when = f"abs({read[0]}) > 1" if read else "temperature > 300"
        self._add("interlocks", self.interlocks, {"name": "", "when": when, "action": "safe"})

    def add_sum(self) -> None:
        """Add a limit on all control knobs together; its value is still to be written."""
        self._add("sums", self.sums, {"name": "", "of": self.guide.draft.named("control"), "kind": "squares"})

    def _add(self, section: str, table: EntryTable, entry: dict[str, Any]) -> None:
        self._change(section, lambda entries: entries.append(entry))
        table.focus(table.rowCount() - 1, "name")

    def _entry(self, section: str, at: int, key: str, value: Any) -> None:
        def change(entries: list[Any]) -> None:
            if at < len(entries):
                entry = {**entries[at]} if isinstance(entries[at], dict) else {"name": entries[at]}
                entry[key] = value
                entries[at] = {name: one for name, one in entry.items() if one is not None}

        self._change(section, change)

    def _change(self, section: str, change: Callable[[list[Any]], object]) -> None:
        def edit(draft: RigDraft) -> None:
            entries = list(draft.get(section) or []) if isinstance(draft.get(section) or [], list) else []
            change(entries)
            draft.put(section, entries or None)

        self.guide.edit(edit)

    def _instrument(self, at: int, key: str, value: Any) -> None:
        name = self._order[at]
        self.guide.edit(lambda draft: draft.set_instrument(name, key, value))

    def _move(self, by: int) -> None:
        at = self.instruments.currentRow()
        if 0 <= at < len(self._order) and 0 <= at + by < len(self._order):
            order = list(self._order)
            order[at], order[at + by] = order[at + by], order[at]
            self.guide.edit(lambda draft: draft.put("order", order))
            self.instruments.focus(at + by, "name")

    def refresh(self) -> None:
        """Show everything as it is now."""
        draft = self.guide.draft
        order = draft.get("order")
        listed = [name for name in order if name in draft.instruments] if isinstance(order, list) else []
        self._order = list(dict.fromkeys([*listed, *draft.instruments]))
        problems: dict[str, dict[tuple[int, str], str]] = {"instruments": {}, "interlocks": {}, "sums": {}}
        for one in self.guide.verdict.of_step(Step.SAFETY):
            section, _, rest = one.field.partition(".")
            line, _, key = rest.partition(".")
            if section in ("interlocks", "sums") and line.isdigit():  # else it is about all of them: step 5 tells it
                problems[section][int(line), key] = one.text
            elif one.instrument in self._order:
                problems["instruments"][self._order.index(one.instrument), one.field] = one.text
        entries = [{"name": name, **draft.instruments[name]} for name in self._order]
        self.instruments.show_entries(entries, problems["instruments"])
        for table, section in ((self.interlocks, "interlocks"), (self.sums, "sums")):
            found = draft.get(section)
            table.show_entries(found if isinstance(found, list) else [], problems[section])
        self.dies.say(*self.guide.if_dies())

    def show_problem(self, problem: RigProblem) -> None:
        """Go to where a problem is mended."""
        section, _, rest = problem.field.partition(".")
        if section in ("interlocks", "sums"):
            line, _, key = rest.partition(".")
            (self.interlocks if section == "interlocks" else self.sums).focus(int(line or 0), key)
        elif problem.instrument in self._order:
            self.instruments.focus(self._order.index(problem.instrument), problem.field)
        else:
            self.instruments.setFocus()
