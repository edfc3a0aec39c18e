"""What the guide to a rig file says while it is checked or asked: nothing is called good before, nothing typed is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLineEdit
from pytestqt.qtbot import QtBot
from shell_helpers import LONG_MS

from aeqlab.app.window.connect.guide import ConnectGuide
from aeqlab.app.window.models.rig_problems import Step
from aeqlab.app.window.theme import theme


@pytest.fixture
def guide(qtbot: QtBot) -> Iterator[ConnectGuide]:
    with ExitStack() as stack:
        made = ConnectGuide()
        qtbot.addWidget(made)
        made.resize(1280, 720)
        made.show()
        stack.callback(made.close)
        yield made


def checked(qtbot: QtBot, guide: ConnectGuide) -> None:
    qtbot.waitUntil(lambda: not guide.guide.checking, timeout=LONG_MS)


def bench(folder: Path, name: str = "rig.yaml") -> Path:
    from aeqlab.app.benching import filled, rig_text

    addresses = {one: f"TCPIP::10.0.0.{k}::5025::SOCKET" for k, one in enumerate(("dac", "adc", "smu"), 1)}
    (folder / name).write_text(filled(rig_text("bench-16") or "", addresses, "127.0.0.1:5099"), encoding="utf-8")
    return folder / name


def test_nothing_is_called_good_before_it_was_checked_or_anybody_was_asked(
    qtbot: QtBot, guide: ConnectGuide, tmp_path: Path
) -> None:
    def says_nothing_yet() -> None:
        assert guide.guide.checking
        assert guide.arming.state.text() == "The file is being checked."
        assert guide.arming.dies.text() == guide.safety.dies.text() == "The file is being checked."
        assert not guide.arming.session_button.isEnabled()
        assert {label.text() for label in guide._lacks.values()} == {"being checked"}

    says_nothing_yet()
    guide.open(bench(tmp_path))
    with qtbot.waitSignal(guide.guide.replaced, timeout=LONG_MS):
        pass
    says_nothing_yet()
    checked(qtbot, guide)
    assert "Nothing is missing" in guide.arming.state.text()
    assert guide.arming.session_button.isEnabled()
    lacks = guide._lacks[Step.INSTRUMENTS]
    assert lacks.text() == "○ complete, nobody was asked yet"
    assert theme().now.good not in lacks.styleSheet()
    with (tmp_path / "rig.yaml").open("a", encoding="utf-8") as file:
        file.write("# of somebody else\n")
    with qtbot.assertNotEmitted(guide.session_wanted):
        guide.go_to(Step.SAVE)
        guide.arming.session_button.click()
        qtbot.waitUntil(lambda: "was changed by somebody else" in guide.arming.words.text(), timeout=LONG_MS)
    guide.guide.edit(lambda draft: draft.put("tick_s", 0.2))
    assert guide.arming.state.text() == "The file is being checked."


def test_what_becomes_of_a_rig_with_a_table_is_told_unless_the_table_waits_for_being_written(
    qtbot: QtBot, guide: ConnectGuide, tmp_path: Path
) -> None:
    path = bench(tmp_path)
    text = path.read_text(encoding="utf-8")
    rows = "".join(f"u{k:02},0.0\n" for k in range(16))
    (tmp_path / "knobs.csv").write_text(f"name,rest\n{rows}", encoding="utf-8")
    assert "rest_V: 0" in text
    path.write_text(text.replace("rest_V: 0", "table: knobs.csv"), encoding="utf-8")
    guide.open(path)
    qtbot.waitUntil(lambda: len(guide.guide.draft.rows) == 36, timeout=LONG_MS)
    checked(qtbot, guide)
    assert guide.guide.verdict.problems == ()
    assert "dac" in guide.safety.dies.text()
    uid = next(row.uid for row in guide.guide.draft.rows if row.name == "u03")
    guide.guide.edit(lambda draft: draft.set_cell(uid, "rest", "0.1"))
    checked(qtbot, guide)
    assert guide.safety.dies.text() == "That can be said once the file is saved with its tables of values per knob."


def test_what_is_being_typed_stays_while_a_check_is_told(qtbot: QtBot, guide: ConnectGuide) -> None:
    guide.guide.edit(lambda draft: draft.add("control", "u[0-1]"))
    guide.guide.edit(lambda draft: draft.add_instrument("dac", "qdac2", "TCPIP::dac::1::SOCKET"))
    checked(qtbot, guide)
    guide.go_to(Step.CHANNELS)
    table = guide.channels.table
    for field, kind in (("name", QLineEdit), ("channel", QComboBox)):
        table.edit(table.rows.index(0, table.rows.fields.index(field)))
        editor = table.findChild(kind)
        line = editor.lineEdit() if isinstance(editor, QComboBox) else editor
        assert line is not None
        line.setText("half a na")
        guide.guide.checked.emit()
        assert line.text() == "half a na"
        qtbot.keyClick(editor, Qt.Key.Key_Escape)
        qtbot.waitUntil(lambda: table.findChild(QLineEdit) is None, timeout=LONG_MS)
    guide.go_to(Step.INSTRUMENTS)
    instruments = guide.instruments.table
    instruments.editItem(instruments.item(0, 3))
    line = instruments.findChild(QLineEdit)
    assert line is not None
    line.setText("12")
    instruments.tip(0, "serial", "told of the cell meanwhile")
    assert line.text() == "12"


def test_a_rig_file_is_not_written_over_or_replaced_unasked(qtbot: QtBot, guide: ConnectGuide, tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("x: 1\n", encoding="utf-8")
    guide.guide.edit(lambda draft: draft.add("control", "u", "dac[1]"))
    guide.go_to(Step.SAVE)
    guide.arming.path.setText(str(tmp_path / "a.yaml"))
    guide.arming.save()
    qtbot.waitUntil(lambda: "is there already" in guide.arming.words.text(), timeout=LONG_MS)
    assert guide.arming.over_button.isVisible()
    guide.arming.path.setText(str(tmp_path / "b.yaml"))
    assert not guide.arming.over_button.isVisible(), "it was asked about the other file"
    guide.guide.open(bench(tmp_path))
    guide.guide.edit(lambda draft: draft.add("control", "u1", "dac[2]"))
    qtbot.waitUntil(lambda: "was edited or replaced meanwhile" in guide.told.text(), timeout=LONG_MS)
    assert guide.guide.draft.named("control") == ["u", "u1"]


def test_a_section_that_is_no_list_and_a_nudge_that_is_no_mapping_are_told_and_can_be_mended(
    qtbot: QtBot, guide: ConnectGuide, tmp_path: Path
) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text("interlocks: 5\nnudge: 7\ncontrols: [{name: u, channel: 'dac[1]'}]\n", encoding="utf-8")
    guide.open(path)
    qtbot.waitUntil(lambda: guide.guide.draft.named("control") == ["u"], timeout=LONG_MS)
    checked(qtbot, guide)
    listed = guide.arming.problems
    at = next(k for k in range(listed.count()) if "interlocks" in listed.item(k).text())
    listed.itemActivated.emit(listed.item(at))
    assert guide.step == Step.SAFETY
    guide.limits.nudge.changed.emit("beta_max", 0.5)
    assert guide.guide.draft.get("nudge.beta_max") == 0.5


def test_an_answer_of_an_address_that_was_changed_meanwhile_is_not_taken(guide: ConnectGuide) -> None:
    from aeqlab.app.window.connect.guide_instruments import asked_of
    from aeqlab.app.window.models import instrument_search as search

    draft = guide.guide.draft
    for name in ("dac", "adc"):
        draft.add_instrument(name, "qdac2", f"TCPIP::{name}::1::SOCKET")
    asked = [asked_of(name, entry) for name, entry in draft.instruments.items()]
    draft.set_instrument("dac", "address", "TCPIP::other::1::SOCKET")
    guide.instruments._take_own([search.Answer(one, one.address, problem="does not answer") for one in asked])
    assert set(guide.guide.answers) == {"adc"}
