"""Connect in the window itself, by click and key: from an emulated bench to a rig that is connected, moved and wiggled."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot
from shell_helpers import window

from aeqlab.app.window.connect.channel_model import WIGGLE
from aeqlab.app.window.connect.rig_model import NAME, SETPOINT
from aeqlab.app.window.models.rig_problems import Step
from aeqlab.app.window.models.standing import Standing
from aeqlab.app.window.shell import Shell
from aeqlab.protocols.client import attach, find_sessions

WAIT_MS = 60_000


@pytest.fixture
def shell(qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with window(qtbot, qapp, tmp_path, monkeypatch) as made:
        yield made
    for found in find_sessions():  # what the window started outlives it
        with attach(found, control=False) as client:
            client.end_session("the end of the test")


def test_from_the_first_screen_to_a_knob_that_is_moved_and_wiggled(qtbot: QtBot, shell: Shell, tmp_path: Path) -> None:
    page = shell.connect_page
    guide, table = page.guide, page.table
    shell.first.rig.click()
    assert shell.tabs.currentWidget() is page
    guide.instruments.bench_button.click()
    guide.instruments.bench_button.click()  # a nervous second press starts no second bench
    qtbot.waitUntil(lambda: guide.step == Step.SAVE and guide.arming.session_button.isEnabled(), timeout=WAIT_MS)
    assert "Nothing is missing" in guide.arming.state.text()
    assert len(list((tmp_path / "runs").glob("bench-16-*"))) == 1
    guide.arming.session_button.click()
    qtbot.waitUntil(lambda: shell.world.session is not None and bool(table.model.rows), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: "only the instruments can say" not in guide.arming.arming.text(), timeout=WAIT_MS)
    assert "dac" in guide.arming.listed.toPlainText(), "what arming will change is said before anything is armed"

    def row_of(name: str) -> int:
        return next(k for k in range(table.view.model().rowCount()) if table.view.model().index(k, NAME).data() == name)

    def typed(name: str, text: str) -> None:
        qtbot.waitUntil(
            lambda: table.view.findChild(QLineEdit) is None, timeout=WAIT_MS
        )  # the editor of the last word has closed
        qtbot.waitUntil(lambda: not table.model.read_only, timeout=WAIT_MS)
        index = table.view.model().index(row_of(name), SETPOINT)
        table.view.setCurrentIndex(index)
        table.view.edit(index)
        editor = table.view.findChild(QLineEdit)
        assert editor is not None
        editor.setText(text)
        qtbot.keyClick(editor, Qt.Key.Key_Return)

    assert page.pages.currentWidget() is page.panels
    knob = table.model.rows[0]
    typed(knob.name, f"{knob.high + 1}")
    qtbot.waitUntil(lambda: f"outside its limits {knob.low:g} to {knob.high:g}" in table.words.text(), timeout=WAIT_MS)
    value = knob.low + 0.9 * (knob.high - knob.low)
    typed(knob.name, f"{value:g}")
    qtbot.waitUntil(lambda: table.asking, timeout=WAIT_MS)  # it is a large jump
    assert f"to {value:g} V?" in table.question.text()
    table.move_button.click()
    qtbot.waitUntil(lambda: "was moved to" in table.words.text() or "✕" in table.words.text(), timeout=WAIT_MS)
    assert table.words.text().startswith(f"{knob.name} was moved to")
    qtbot.waitUntil(lambda: abs(table.model.rows[0].setpoint - value) < 1e-3, timeout=WAIT_MS)
    assert knob.readback != pytest.approx(value, abs=1e-6)  # what was read before is another number than what was asked for

    page.pages.setCurrentWidget(guide)
    guide.go_to(Step.CHANNELS)
    rows = guide.channels.table.rows
    uid = next(one.uid for one in guide.guide.draft.rows if one.name == knob.name)
    index = rows.index_of(uid, WIGGLE)
    cells = guide.channels.table
    cells.scrollTo(index)
    qtbot.waitUntil(lambda: cells.viewport().rect().contains(cells.visualRect(index).center()), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not rows.wiggle_hint, timeout=WAIT_MS)  # the move has given the control token back
    qtbot.mouseClick(cells.viewport(), Qt.MouseButton.LeftButton, pos=cells.visualRect(index).center())
    qtbot.waitUntil(lambda: "to and fro" in guide.told.text(), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: "to and fro" not in guide.told.text(), timeout=WAIT_MS)
    assert guide.told.text().startswith(f"{knob.name} moves theta"), guide.told.text()

    path = guide.guide.draft.path
    assert path is not None
    copied = shutil.copy(path, tmp_path / "another.yaml")  # whose knobs have the same names
    guide.open(copied)
    qtbot.waitUntil(lambda: guide.guide.draft.path == Path(copied), timeout=WAIT_MS)
    page._wiggle(guide.guide.draft.rows[0].channel)
    qtbot.waitUntil(lambda: "The rig that is connected is that of" in guide.told.text(), timeout=WAIT_MS)
    guide.open(path)
    qtbot.waitUntil(lambda: guide.guide.draft.path == path and not guide.guide.checking, timeout=WAIT_MS)
    uid = next(one.uid for one in guide.guide.draft.rows if one.name == knob.name)
    index = rows.index_of(uid, WIGGLE)

    assert "16 knobs to rest" in shell.banner.safe.toolTip()
    qtbot.keyClick(shell, Qt.Key.Key_F12)
    qtbot.waitUntil(lambda: shell.banner.sign.value() is Standing.SAFE, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: "is SAFE, confirmed in" in shell.messages.in_words(), timeout=WAIT_MS)
    assert "  u00: set to 0 V, reads" in shell.messages.in_words(), "how each line was confirmed"
    qtbot.keyClick(shell, Qt.Key.Key_F7)  # no run is there that could go on: the session itself does
    qtbot.waitUntil(lambda: shell.banner.sign.value() is Standing.IDLE, timeout=WAIT_MS)

    (running,) = find_sessions()
    shell.world.show_session(None)
    shell.start.connect_rig(str(path))  # it runs already, and is shown
    qtbot.waitUntil(lambda: shell.world.session is not None and shell.world.session.found == running, timeout=WAIT_MS)
    assert find_sessions() == [running]
    guide.guide.edit(lambda draft: draft.set_instrument("adc", "delay_s", 0.001))  # not saved, so not what is connected
    cells.scrollTo(index)
    qtbot.waitUntil(lambda: not rows.wiggle_hint, timeout=WAIT_MS)
    qtbot.mouseClick(cells.viewport(), Qt.MouseButton.LeftButton, pos=cells.visualRect(index).center())
    qtbot.waitUntil(lambda: "Save the file and connect it again first" in guide.told.text(), timeout=WAIT_MS)
