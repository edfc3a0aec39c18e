"""The table of a connected rig, its console, its monitors and interlocks: they show what comes and send wishes."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFontMetrics
from pytestqt.qtbot import QtBot

from aeqlab.app.window.connect.console import Console
from aeqlab.app.window.connect.interlocks import Interlocks
from aeqlab.app.window.connect.rig_model import READBACK, SETPOINT
from aeqlab.app.window.connect.rig_table import RigTable
from aeqlab.app.window.models.rig_rows import InterlockRow, RigRow, large_jump
from aeqlab.app.window.theme import theme


def rows(n: int = 4) -> list[RigRow]:
    knobs = [RigRow(f"u{k:03d}", "control", 0.1, 0.1001, "V", -2.0, 2.0, "loop", 0.2, 1.0) for k in range(n)]
    return [*knobs, RigRow("theta", "parameter", math.nan, 0.3, "V", -math.inf, math.inf, "", 0.2, 1.0)]


def made(qtbot: QtBot, n: int = 4) -> RigTable:
    table = RigTable()
    qtbot.addWidget(table)
    table.resize(1000, 600)
    table.show()
    table.take(rows(n))
    table.set_read_only("")
    return table


def typed(table: RigTable, row: int, text: str) -> None:
    table.model.setData(table.model.index(row, SETPOINT), text)


def test_a_move_is_a_wish_and_shows_only_when_it_was_done(qtbot: QtBot) -> None:
    table = made(qtbot)
    with qtbot.waitSignal(table.move_wanted) as wanted:
        typed(table, 1, "0.2 V")
    assert wanted.args == ["u001", 0.2]
    assert table.model.index(1, SETPOINT).data() == "0.10000"
    table.take([replace(row, setpoint=0.2) if row.name == "u001" else row for row in rows()])
    assert table.model.index(1, SETPOINT).data() == "0.20000"
    assert table.model.index(4, SETPOINT).data() == ""  # a readout has no setpoint


def test_what_cannot_be_is_refused_with_the_limit(qtbot: QtBot) -> None:
    table = made(qtbot)
    with qtbot.assertNotEmitted(table.move_wanted):
        for text, said in (("2.5", "outside its limits -2 to 2 V"), ("two", "is no number"), ("nan", "is no place to move to")):
            typed(table, 0, text)
            assert said in table.words.text()
            assert table.words.isVisible()
    editable = Qt.ItemFlag.ItemIsEditable
    assert table.model.flags(table.model.index(0, SETPOINT)) & editable
    assert not table.model.flags(table.model.index(4, SETPOINT)) & editable
    table.set_read_only("A run owns the knobs.")
    assert not table.model.flags(table.model.index(0, SETPOINT)) & editable
    assert table.model.index(0, SETPOINT).data(Qt.ItemDataRole.ToolTipRole) == "A run owns the knobs."


def test_a_large_jump_is_asked_about_in_its_own_line(qtbot: QtBot) -> None:
    table = made(qtbot)
    with qtbot.assertNotEmitted(table.move_wanted):
        typed(table, 3, "1.9")
    assert table.question.text() == "Move u003 from 0.1 V to 1.9 V?"
    assert table.move_button.isVisible()
    assert table.focusWidget() is table.keep_button  # a nervous Enter keeps it where it is
    table.keep_button.click()
    assert not table.asking
    typed(table, 3, "1.9")
    with qtbot.waitSignal(table.move_wanted) as wanted:
        table.move_button.click()
    assert wanted.args == ["u003", 1.9]
    with qtbot.assertNotEmitted(table.move_wanted):
        table.move_button.click()  # a second press moves nothing
    typed(table, 3, "1.9")
    qtbot.keyClick(table.keep_button, Qt.Key.Key_Escape)
    assert not table.asking
    typed(table, 3, "1.9")
    table.set_read_only("The session is frozen.")
    assert not table.asking
    assert large_jump(replace(rows()[0], setpoint=math.nan, readback=math.nan), 0.0)


def test_what_is_old_is_grey_and_says_so(qtbot: QtBot) -> None:
    table = made(qtbot)
    fresh = table.model.index(0, READBACK)
    assert fresh.data(Qt.ItemDataRole.ForegroundRole) is None
    table.take([replace(row, age_s=3.0) if row.name == "u000" else row for row in rows()])
    assert fresh.data(Qt.ItemDataRole.ForegroundRole) == QColor(theme().now.dim)
    assert "3.0 s old; it should be no older than 1 s" in fresh.data(Qt.ItemDataRole.ToolTipRole)
    table.take([replace(row, age_s=math.nan, readback=math.nan) if row.name == "u000" else row for row in rows()])
    assert table.model.index(0, 9).data() == "no reading"  # one that never was is not old
    assert "not read yet" in table.model.index(0, 8).data(Qt.ItemDataRole.ToolTipRole)
    table.take([replace(row, age_s=math.nan, slewing=True, saturated=True) for row in rows()])
    assert table.model.index(0, 8).data() == "?"
    assert table.model.index(0, 9).data() == "on its way, at its limit"


def test_a_number_of_all_its_digits_has_room(qtbot: QtBot) -> None:
    table = made(qtbot)
    table.take([replace(row, low=-math.inf, high=math.inf, readback=-0.000512865) for row in rows()])
    text, _, font, _ = table.model.look(0, READBACK)
    assert text == "-0.000512865"
    for column in (SETPOINT, READBACK):
        assert QFontMetrics(font).horizontalAdvance(text) + 8 <= table.view.columnWidth(column)


def test_many_rows_are_taken_in_no_time_and_only_changed_cells_are_drawn(qtbot: QtBot) -> None:
    table = made(qtbot, 511)
    assert table.take(rows(511)) == 0
    changed = [replace(row, readback=0.2) if k == 7 else row for k, row in enumerate(rows(511))]
    assert table.take(changed) == 1
    snapshots = [[replace(row, readback=0.1 + 1e-3 * j, age_s=0.1 + 0.1 * j) for row in rows(511)] for j in range(11)]
    began = time.thread_time()
    for snapshot in snapshots:
        table.take(snapshot)
        qtbot.wait(0)
    spent_ms = 1000 * (time.thread_time() - began) / len(snapshots)
    assert spent_ms < 50, spent_ms  # 10 times a second leave 100 ms


def test_the_filter_shows_only_what_is_meant(qtbot: QtBot) -> None:
    table = made(qtbot, 20)
    table.filter.setText("u01")
    assert table._shown.rowCount() == 10
    table.view.setCurrentIndex(table._shown.index(3, 0))
    assert table.chosen() == "u013"


def test_a_console_asks_answers_and_remembers(qtbot: QtBot) -> None:
    console = Console()
    qtbot.addWidget(console)
    console.show()
    assert not console.ask_button.isEnabled()
    console.set_instruments(["dac", "adc"])
    console.instrument.setCurrentText("adc")
    for text, answer in (("*IDN?", "Keysight,DAQ970A,MY7,A.02"), ("SYST:ERR?", '+0,"No error"')):
        console.line.setText(text)
        with qtbot.waitSignal(console.asked) as asked:
            qtbot.keyClick(console.line, Qt.Key.Key_Return)
        assert asked.args == ["adc", text]
        assert console.state.text() == f"Waiting for the answer of adc to {text}."
        with qtbot.assertNotEmitted(console.asked):
            console.line.setText("again?")
            console.ask()
        console.line.clear()
        console.answered(answer)
        assert answer in console.transcript.toPlainText()
    for key, text in (
        (Qt.Key.Key_Up, "SYST:ERR?"),
        (Qt.Key.Key_Up, "*IDN?"),
        (Qt.Key.Key_Down, "SYST:ERR?"),
        (Qt.Key.Key_Down, ""),
    ):
        qtbot.keyClick(console.line, key)
        assert console.line.text() == text
    console.set_read_only("a run owns it until 21:40.")
    assert console.state.text() == "Read only: a run owns it until 21:40."
    console.line.setText("*RST")
    with qtbot.assertNotEmitted(console.asked):
        console.ask()
    assert "*RST is no question, and adc may only be read: a run owns it" in console.state.text()
    assert console.line.text() == "*RST"
    console.answered("<it> is gone", wrong=True)
    assert "✕ <it> is gone" in console.transcript.toPlainText()


def test_interlocks_without_data_count_as_tripped(qtbot: QtBot) -> None:
    shown = Interlocks()
    qtbot.addWidget(shown)
    shown.show()
    monitor = RigRow("temperature", "monitor", math.nan, 299.2, "K", 290.0, 300.0, "", 2.0, 10.0)
    locks = [
        InterlockRow("cooling", "temperature > 300", "safe", "temperature = 299.2 K", 2.0, 30.0),
        InterlockRow("door", "door > 0.5", "freeze", "", math.nan, 5.0),
        InterlockRow(
            "output", "abs(s) > 2", "freeze", "s = 2.1 V", 0.1, 5.0, True, "interlock output: abs(s) > 2, and s = 2.1 V"
        ),
        InterlockRow("late", "s > 9", "warn", "s = 2.1 V", 9.0, 5.0),
    ]
    shown.take(
        [monitor, replace(monitor, readback=301.0), replace(monitor, age_s=20.0), replace(monitor, readback=math.nan)], locks
    )
    states = [shown.monitors.item(k, 6).text() for k in range(4)]  # type: ignore[union-attr]
    assert states == ["within", "alarm", "old", "no value"]
    states = [shown.interlocks.item(k, 5).text() for k in range(4)]  # type: ignore[union-attr]
    assert states == ["not tripped", "✕ no data: counts as tripped", "✕ tripped", "✕ no data: counts as tripped"]
    assert "door, output, late: nothing goes on" in shown.state.text()
    shown.take([monitor], locks[:1])
    assert shown.state.text() == "None of 1 is tripped."
