"""Step 1 of the guide: which instruments there are. Added by address, asked who they are only where a person says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QScrollArea,
    QSplitter,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from aeqlab.app.window.connect.entry_table import EntryTable
from aeqlab.app.window.connect.guide_model import GuideModel
from aeqlab.app.window.connect.key_form import KeyForm
from aeqlab.app.window.connect.pieces import Words, button, column, heading, row
from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.instrument_search import Answer, Asked, identify_all, list_addresses, name_for, opens_a_port
from aeqlab.app.window.models.key_fields import CHOICE, TEXT, KeyField, fields_of
from aeqlab.app.window.models.rig_problems import RigProblem, Step
from aeqlab.app.window.theme import GRID
from aeqlab.backends.rig_file import InstrumentEntry
from aeqlab.drivers.addresses import visa_address
from aeqlab.drivers.errors import DriverError
from aeqlab.drivers.rig_keys import DRIVERS

_OF_TABLE = frozenset({"driver", "address", "serial"})
_OF_SAFETY = frozenset({"when_silent", "watchdog_s", "safe", "dangerous"})
_ANSWER = Qt.ItemDataRole.UserRole


class InstrumentsStep(QWidget):
    """The instruments of the rig, and what can be found."""

    bench_wanted = Signal(str)  #: the name of a bench that ships with aeqlab

    def __init__(self, guide: GuideModel) -> None:
        super().__init__()
        self.guide = guide
        self._names: list[str] = []
        self._ticked_asked = 0
        # finding
        self.address = QLineEdit()
        self.address.setPlaceholderText("192.168.1.20:5025, COM3, /dev/ttyACM0 or a VISA address")
        self.address.setAccessibleName("address of an instrument")
        self.address.setToolTip("Enter asks it who it is: *IDN? and nothing else. Opening a serial port may reset a board.")
        self.address.returnPressed.connect(self.ask)
        self.ask_button = button(
            "Ask who is there", self.ask, "Opens this one address, asks for the name alone, closes it", "Alt+A"
        )
        self.add_unasked = button("Add without asking", self.add_unasked_one, "Puts the address into the rig; nothing is opened")
        self.list_button = button("List what VISA finds", self.list_visa, "Opens nothing", "Alt+L")
        self.ask_ticked_button = button("Ask the ticked ones", self.ask_ticked, "Opens only what is ticked")
        self.found = QTreeWidget()
        self.found.setAccessibleName("addresses that were found or asked")
        self.found.setHeaderLabels(["Address", "Who answers"])
        self.found.setRootIsDecorated(False)
        self.found.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.found.setWordWrap(True)
        self.found.itemDoubleClicked.connect(lambda _: self.add_chosen())
        self.add_button = button("Add to the rig", self.add_chosen, "Puts the chosen ones into the rig", "Alt+D")
        self.words = Words("Nothing is opened that you do not name or tick.", kind="dim")
        self.preset = QComboBox()
        self.preset.addItems(["bench-16"])
        self.preset.setAccessibleName("which emulated bench")
        self.bench_button = button(
            "Use the emulated bench", lambda: self.bench_wanted.emit(self.preset.currentText()),
            "Starts a bench of emulated instruments and fills in every step", "Alt+B",
        )  # fmt: skip
        left = column(
            heading("Add by address"),
            self.address,
            row(self.ask_button, self.add_unasked, None),
            row(self.list_button, self.ask_ticked_button, None),
            self.found,
            row(self.add_button, None),
            self.words,
            heading("No instruments at hand?"),
            row(self.preset, self.bench_button, None),
            stretch=4,
        )
        # the rig's own
        drivers = KeyField("driver", CHOICE, tuple((name, name) for name in DRIVERS), True, "", "Who speaks with it.")
        fields = (KeyField("name", TEXT, (), True, "", "What channels begin with: dac in dac[1]."), drivers,
                  KeyField("address", TEXT, (), True, "", "VISA address."),
                  KeyField("serial", TEXT, about="Serial number; another one is refused."),
                  KeyField("who", TEXT, about="Who answered when it was asked last."))  # fmt: skip
        titles = {"name": "Name", "driver": "Driver", "address": "Address", "serial": "Serial number", "who": "Answered"}
        self.table = EntryTable(fields, "instruments of the rig", titles, fixed=["who"])
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.table.horizontalHeader()
        for column_, mode in enumerate((QHeaderView.ResizeMode.ResizeToContents,) * 4):
            header.setSectionResizeMode(column_, mode)
        self.table.edited.connect(self._edited)
        self.table.itemSelectionChanged.connect(self._chosen)
        self.ask_all_button = button(
            "Ask all who they are", self.ask_all, "Opens every address of the rig, asks for the name alone", "Alt+W"
        )
        self.remove_button = button("Take out of the rig", self.remove, "Its channels stay and say so; Ctrl+Z takes it back")
        self.form_title = heading("Keys of its driver")
        self.form = KeyForm("instrument ")
        self.form.changed.connect(self._key)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(self.form)
        right = column(
            heading("Instruments of the rig"), self.table, row(self.ask_all_button, self.remove_button, None), self.form_title,
            scroll,
            stretch=1,
        )  # fmt: skip
        right_layout = right.layout()
        assert right_layout is not None
        right_layout.setStretch(4, 1)  # type: ignore[attr-defined]
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(left)
        splitter.addWidget(right)
        splitter.setStretchFactor(0, 2)
        splitter.setStretchFactor(1, 3)
        splitter.setHandleWidth(2 * GRID)
        splitter.setStyleSheet("QSplitter::handle { background: transparent; }")
        layout = column(splitter)
        self.setLayout(layout.layout())  # type: ignore[arg-type]
        for signal in (guide.changed, guide.replaced, guide.checked, guide.answered):
            signal.connect(self.refresh)
        self.refresh()

    # finding
    def ask(self) -> None:
        """Ask the address that was typed."""
        text = self.address.text().strip()
        if not text:
            self.words.say("Write an address first, such as 192.168.1.20:5025.", "wrong")
            return
        self._ask([Asked(text)], self._take_found)

    def ask_ticked(self) -> None:
        """Ask the addresses that are ticked."""
        ticked = [item.text(0) for item in self._items() if item.checkState(0) == Qt.CheckState.Checked]
        if not ticked:
            self.words.say("Tick the addresses that may be opened.", "wrong")
            return
        self._ask([Asked(text) for text in ticked], self._take_found)

    def ask_all(self) -> None:
        """Ask the instruments of the rig who they are."""
        asked = [asked_of(name, entry) for name, entry in self.guide.draft.instruments.items() if entry.get("address")]
        if not asked:
            self.words.say("There is no instrument with an address yet.", "wrong")
            return
        self._ask(asked, self._take_own)

    def _ask(self, asked: list[Asked], then: Callable[[list[Answer]], None]) -> None:
        if not self.ask_button.isEnabled():
            return
        ports = [one.address for one in asked if opens_a_port(one.address)]
        note = f" Opening {', '.join(ports)} may reset a board." if ports else ""
        self.words.say(
            f"Asking {', '.join(one.address for one in asked[:3])}{' ...' if len(asked) > 3 else ''} who is there.{note}"
        )
        self._busy(True)

        def done(answers: Any) -> None:
            self._busy(False)
            then(answers)

        def failed(exc: Exception) -> None:
            self._busy(False)
            self.words.say(str(exc), "wrong")

        do(self, lambda: identify_all(asked), done, failed, name="asking instruments for their names")

    def _busy(self, busy: bool) -> None:
        for one in (self.ask_button, self.ask_ticked_button, self.ask_all_button):
            one.setEnabled(not busy)

    def list_visa(self) -> None:
        """List what VISA finds; opens none."""
        self.words.say("Waiting for the list of the VISA library.")
        do(self, list_addresses, self._take_list, lambda exc: self.words.say(str(exc), "wrong"), name="listing addresses")

    def _take_list(self, found: list[str]) -> None:
        there = {item.text(0) for item in self._items()}
        for address in found:
            if address not in there:
                self._item(address)
        never = "Instruments on a network socket are never listed: name them, as 192.168.1.5:5025."
        self.words.say(f"VISA finds {len(found)}. None was opened; tick those that may be. {never}" if found
                       else f"VISA finds nothing by itself. {never}", "dim")  # fmt: skip

    def _item(self, address: str) -> QTreeWidgetItem:
        item = QTreeWidgetItem([address, "serial port: asking may reset a board" if opens_a_port(address) else "not asked"])
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(0, Qt.CheckState.Unchecked)
        self.found.addTopLevelItem(item)
        return item

    def _items(self) -> list[QTreeWidgetItem]:
        found = (self.found.topLevelItem(k) for k in range(self.found.topLevelItemCount()))
        return [item for item in found if item is not None]

    def _take_found(self, answers: list[Answer]) -> None:
        last = None
        for answer in answers:
            item = next((one for one in self._items() if one.text(0) in (answer.address, answer.asked.address)), None)
            item = item or self._item(answer.address)
            item.setText(0, answer.address)
            item.setText(1, briefly(answer))
            item.setToolTip(1, answer.problem or in_words(answer))
            item.setData(0, _ANSWER, answer)
            last = item if answer.identity is not None or last is None else last
        if last is not None:
            self.found.clearSelection()
            self.found.setCurrentItem(last)
        wrong = [answer.problem for answer in answers if answer.problem]
        good = len(answers) - len(wrong)
        self.words.say(
            " ".join(wrong) if wrong else f"{good} answered. Add what belongs to the rig.", "wrong" if wrong else "good"
        )

    def _take_own(self, answers: list[Answer]) -> None:
        instruments = self.guide.draft.instruments
        for answer in answers:
            name = answer.asked.name
            if name in instruments and answer.asked.address == asked_of(name, instruments[name]).address:  # as it was asked
                self.guide.answers[name] = answer
        wrong = [answer.problem for answer in answers if answer.problem]
        text = f"All {len(answers)} answered, as the rig file means them."
        self.words.say(" ".join(wrong) if wrong else text, "wrong" if wrong else "good")
        self.guide.answered.emit()

    # the rig's own
    def add_chosen(self) -> None:
        """Add the chosen address to the rig, with the driver that is made for who answered there."""
        item = self.found.currentItem()
        if item is None:
            self.words.say("Choose an address of the list.", "wrong")
            return
        answer = item.data(0, _ANSWER)
        self._add(item.text(0), answer if isinstance(answer, Answer) else None)

    def add_unasked_one(self) -> None:
        """Add the address that was typed, without opening it."""
        try:
            self._add(visa_address(self.address.text()), None)
        except DriverError as exc:
            self.words.say(str(exc), "wrong")

    def _add(self, address: str, answer: Answer | None) -> None:
        draft = self.guide.draft
        there = [name for name, entry in draft.instruments.items() if str(entry.get("address", "")).upper() == address.upper()]
        if there:
            self.words.say(f"{address} is in the rig already, as {there[0]}.", "wrong")
            return
        identity = None if answer is None else answer.identity
        driver = answer.drivers[0] if answer is not None and answer.drivers else ""
        name = name_for(driver, list(draft.instruments))
        more: dict[str, Any] = {"source": "current"} if driver == "keithley2450" else {}
        self.guide.edit(
            lambda draft: draft.add_instrument(name, driver, address, identity.serial if identity is not None else "", **more)
        )
        if answer is not None and identity is not None and not answer.problem:
            self.guide.answers[name] = answer
        hint = "" if driver else " Choose its driver: scpi describes any instrument that speaks in lines of text."
        self.words.say(f"{address} is in the rig as {name}.{hint}", "good" if driver else "warning")
        self.guide.answered.emit()
        self.table.selectRow(self._names.index(name))

    def remove(self) -> None:
        """Take the chosen instrument out."""
        name = self.chosen()
        if name:
            self.guide.edit(lambda draft: draft.remove_instrument(name))

    def chosen(self) -> str:
        """Get the name of the chosen instrument; empty where none is."""
        at = self.table.currentRow()
        return self._names[at] if 0 <= at < len(self._names) else ""

    def _edited(self, at: int, key: str, value: Any) -> None:
        name = self._names[at]
        if key == "name":
            try:
                self.guide.edit(lambda draft: draft.rename_instrument(name, str(value or "")))
            except ValueError as exc:
                self.words.say(str(exc), "wrong")
                self.refresh()
            return
        if key == "address" and value:
            try:
                value = visa_address(str(value))
            except DriverError as exc:
                self.words.say(str(exc), "wrong")
        self.guide.answers.pop(name, None)
        self.guide.edit(lambda draft: draft.set_instrument(name, key, value))

    def _key(self, key: str, value: Any) -> None:
        name = self.chosen()
        if name:
            self.guide.edit(lambda draft: draft.set_instrument(name, key, value))

    def refresh(self) -> None:
        """Show the instruments of the rig as they are now."""
        before = self.chosen()
        instruments = self.guide.draft.instruments
        self._names = list(instruments)
        entries = [{"name": name, **entry, "who": self._who(name)} for name, entry in instruments.items()]
        problems: dict[tuple[int, str], str] = {}
        for one in self.guide.verdict.of_step(Step.INSTRUMENTS):
            if one.instrument in self._names:
                column_ = one.field if one.field in _OF_TABLE else "address" if "address" in one.text else "name"
                key = (self._names.index(one.instrument), column_)
                problems[key] = "\n".join(filter(None, (problems.get(key), one.text)))
        for k, name in enumerate(self._names):
            answer = self.guide.answers.get(name)
            if answer is not None and answer.problem:
                problems[k, "who"] = answer.problem
        fine = {
            k: in_words(answer) for k, name in enumerate(self._names) if (answer := self.guide.answers.get(name)) and answer.good
        }
        self.table.show_entries(entries, problems)
        for k, text in fine.items():
            self.table.tip(k, "who", text)
        if before in self._names and self.chosen() != before:
            self.table.selectRow(self._names.index(before))
        elif self._names and not self.chosen():
            self.table.selectRow(0)
        self._chosen()

    def _who(self, name: str) -> str:
        answer = self.guide.answers.get(name)
        if answer is None:
            return "not asked"
        return f"✓ {briefly(answer)}" if answer.good else f"✕ {briefly(answer)}"

    def _chosen(self) -> None:
        name = self.chosen()
        entry = self.guide.draft.instruments.get(name, {})
        model = DRIVERS.get(str(entry.get("driver", "")))
        own = fields_of(model) if model is not None else ()
        common = fields_of(InstrumentEntry, _OF_TABLE | _OF_SAFETY)
        self.form_title.setText(f"Keys of {name}" if name else "Keys of its driver")
        self.form.set_fields((*own, *common) if name else ())
        self.form.show_values(lambda key: entry.get(key))
        mine = [one for one in self.guide.verdict.of_step(Step.INSTRUMENTS) if one.instrument == name]
        self.form.show_problems({key.key: " ".join(_of_key(mine, key.key)) for key in (*own, *common)})

    def show_problem(self, problem: RigProblem) -> None:
        """Go to where a problem is mended."""
        if problem.instrument in self._names:
            self.table.focus(self._names.index(problem.instrument), problem.field or "name")
        else:
            self.address.setFocus()


def _of_key(problems: list[RigProblem], key: str) -> list[str]:
    """Pick the sentences that are about a key."""
    return [one.text for one in problems if one.field == key or f": {key}: " in f": {one.text}" or f" needs {key}:" in one.text]


def asked_of(name: str, entry: dict[str, Any]) -> Asked:
    """Say how an instrument of the rig is to be asked for its name."""

    def number(key: str, default: float) -> float:
        value = entry.get(key, default)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default

    return Asked(
        str(entry.get("address", "")), name, str(entry.get("driver", "")), str(entry.get("serial") or ""),
        str(entry.get("visa", "@py")), number("timeout_s", 2.0), int(number("baud_rate", 115200)), number("wakes_s", 0.0),
    )  # fmt: skip


def briefly(answer: Answer) -> str:
    """Say who answered in a few words; the whole sentence stands elsewhere."""
    if answer.identity is None:
        return "does not answer" if "belongs to a session" not in answer.problem else "belongs to a session"
    fits = "" if answer.problem else f": {answer.drivers[0]}" if answer.drivers else ": no driver knows it"
    return f"{answer.identity.model}, serial number {answer.identity.serial}{fits}"


def in_words(answer: Answer) -> str:
    """Say who answered and which driver is made for it, or why nobody did."""
    if answer.identity is None:
        return answer.problem
    fits = f", driver {answer.drivers[0]}" if answer.drivers else ", no driver knows it by its name"
    return f"{answer.identity}{fits}, answers in {1000 * answer.latency_s:.3g} ms"
