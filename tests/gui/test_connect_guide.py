"""The guide of Connect, driven as a person would, on emulated instruments over TCP: from nothing to a rig that opens."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot

from aeqlab.app.benching import filled, rig_text
from aeqlab.app.window.connect import guide_instruments
from aeqlab.app.window.connect.channel_model import WIGGLE, next_of
from aeqlab.app.window.connect.channel_table import free_channels
from aeqlab.app.window.connect.guide import ConnectGuide
from aeqlab.app.window.models.instrument_search import Answer, Asked, identify, identify_all, name_for
from aeqlab.app.window.models.rig_problems import Step
from aeqlab.drivers.emulated.scpi import Front
from aeqlab.drivers.emulated.server import TcpServed
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.lease import acquire

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from rig_helpers import bench_of, open_rig

Made = Callable[[], ConnectGuide]
LONG_MS = 60_000  #: a loaded machine may take its time
PATIENT_S = 60.0  #: so do its emulated instruments


@pytest.fixture
def made(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make guides that wait long for an instrument that is asked for its name."""

    def ask_patiently(asked: Sequence[Asked]) -> list[Answer]:
        return identify_all([replace(one, timeout_s=PATIENT_S) for one in asked])

    monkeypatch.setattr(guide_instruments, "identify_all", ask_patiently)

    def make() -> ConnectGuide:
        guide = ConnectGuide()
        qtbot.addWidget(guide)
        guide.resize(1280, 720)
        guide.show()
        return guide

    return make


def checked(qtbot: QtBot, guide: ConnectGuide) -> None:
    qtbot.waitUntil(lambda: not guide.guide.checking, timeout=LONG_MS)


def ask(qtbot: QtBot, guide: ConnectGuide, address: str) -> str:
    step = guide.instruments
    step.address.setText(address)
    qtbot.keyClick(step.address, Qt.Key.Key_Return)
    qtbot.waitUntil(step.ask_button.isEnabled, timeout=LONG_MS)
    return step.words.text()


def row_of(guide: ConnectGuide, name: str) -> int:
    return next(row.uid for row in guide.guide.draft.rows if row.name == name)


def put(guide: ConnectGuide, name: str, field: str, text: str) -> None:
    model = (guide.channels if field in guide.channels.table.rows.fields else guide.limits).table.rows
    model.setData(model.index_of(row_of(guide, name), field), text)


def add(guide: ConnectGuide, role: str, names: str, channels: str, unit: str = "V") -> None:
    step = guide.channels
    step.role.setCurrentText(role)
    step.names.setText(names)
    step.channels.setText(channels)
    step.unit.setText(unit)
    step.add()
    assert step.words.text().endswith("added.")


def told(guide: ConnectGuide) -> list[str]:
    return [one.text for one in guide.guide.verdict.problems]


def test_from_nothing_to_a_rig_that_opens(qtbot: QtBot, made: Made, tmp_path: Path) -> None:
    guide = made()
    checked(qtbot, guide)
    assert "missing" in guide._lacks[Step.INSTRUMENTS].text()
    with bench_of(frequencies=1) as bench:
        for name, address in bench.addresses.items():
            said = ask(qtbot, guide, address)
            assert said == "1 answered. Add what belongs to the rig.", said
            guide.instruments.add_button.click()
            assert list(guide.guide.draft.instruments)[-1] == name  # dac, adc and smu, by the drivers that are made for them
        assert [entry["driver"] for entry in guide.guide.draft.instruments.values()] == ["qdac2", "daq970a", "keithley2450"]
        assert all(entry["serial"] for entry in guide.guide.draft.instruments.values())
        for key, value in (("source_range", 1e-3), ("limit", 2)):
            guide.instruments.table.selectRow(2)
            guide.instruments.form.changed.emit(key, value)
        guide.guide.edit(lambda draft: draft.set_instrument("adc", "range_V", 10))
        add(guide, "control", "u[0-2]", "dac[1-3]")
        add(guide, "parameter", "theta[0-2]", "adc[101-103]")
        add(guide, "input", "z", "dac[4]")
        add(guide, "output", "s", "")
        add(guide, "nudge", "", "smu[1]", "A")
        checked(qtbot, guide)
        assert any("s has no channel" in text for text in told(guide))
        row = guide.guide.draft.row(row_of(guide, "s"))
        assert row is not None
        offered = [text for text, _ in free_channels(guide.guide, row)]
        assert "adc[104]" in offered
        assert not {"adc[101]", "dac[5]", "smu[1]"} & set(offered)  # taken, or the wrong way round
        put(guide, "s", "channel", "adc104")
        # limits: the first by hand, the others filled down
        guide.go_to(Step.LIMITS)
        table = guide.limits.table
        put(guide, "u0", "low", "-1.5")
        put(guide, "u0", "high", "1.5")
        put(guide, "u0", "slew", "10")
        table.clearSelection()
        for name in ("u0", "u1", "u2"):
            for field in ("low", "high", "slew"):
                index = table.rows.index_of(row_of(guide, name), field)
                table.selectionModel().select(index, table.selectionModel().SelectionFlag.Select)
        qtbot.keyClick(table, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
        # the input by pasting from a spreadsheet
        QGuiApplication.clipboard().setText("-1\t1")
        table.show_cell(row_of(guide, "z"), "low")
        table.paste()
        nudge = next(row.uid for row in guide.guide.draft.rows if row.role == "nudge")
        table.rows.setData(table.rows.index_of(nudge, "low"), "-1e-3")
        table.rows.setData(table.rows.index_of(nudge, "high"), "1e-3")
        for key, value in (("realisation", "one-shot"), ("beta_max", 0.5), ("force_per_unit", 1e-3)):
            guide.limits.nudge.changed.emit(key, value)
        guide.limits.times.changed.emit("tick_s", 0.1)
        guide.safety.instruments.edited.emit(0, "when_silent", "holds")
        checked(qtbot, guide)
        assert told(guide) == []
        assert "✓ complete" in guide._lacks[Step.LIMITS].text()
        assert "not saved" in guide._lacks[Step.SAVE].text()
        assert not guide.arming.session_button.isEnabled()
        guide.go_to(Step.SAVE)
        assert "dac (3 controls, 1 input): its outputs stay as they are." in guide.arming.dies.text()
        guide.arming.path.setText(str(tmp_path / "bench.yaml"))
        with qtbot.waitSignal(guide.saved, timeout=LONG_MS):
            guide.arming.save_button.click()
        checked(qtbot, guide)
        with qtbot.waitSignal(guide.session_wanted, timeout=LONG_MS) as wanted:
            guide.arming.session_button.click()
        assert wanted.args == [str((tmp_path / "bench.yaml").resolve())]
        (tmp_path / "e.yaml").write_text(
            "name: e\ndevice: {kind: rig, file: bench.yaml}\nsequence: [identify]\n", encoding="utf-8"
        )
        load_experiment(tmp_path / "e.yaml")
        tree = yaml.safe_load((tmp_path / "bench.yaml").read_text(encoding="utf-8"))
        for entry in tree["instruments"].values():
            entry["timeout_s"] = PATIENT_S
        with open_rig(bench, **tree) as rig:
            assert rig.info.controls.names == ("u0", "u1", "u2")
            np.testing.assert_array_equal(rig.info.controls.high, [1.5, 1.5, 1.5])


def test_only_what_is_named_is_asked_and_for_its_name_alone(qtbot: QtBot, made: Made) -> None:
    guide = made()
    with TcpServed(Front("QDevil,QDAC-II,121,11-1.14")) as dac, TcpServed(Front("Maker,Thing,7,1")) as thing:
        assert "answered" in ask(qtbot, guide, f"127.0.0.1:{dac.port}")
        assert set(b"".join(dac.heard).split()) == {b"*IDN?"}
        assert thing.heard == []
        item = guide.instruments.found.topLevelItem(0)
        assert item is not None
        assert item.text(1) == "QDAC-II, serial number 121: qdac2"
        assert "QDevil QDAC-II, serial number 121, firmware 11-1.14, driver qdac2" in item.toolTip(1)
        ask(qtbot, guide, thing.address)
        guide.instruments.add_chosen()
        assert "Choose its driver" in guide.instruments.words.text()
        guide.instruments.add_chosen()
        assert "in the rig already" in guide.instruments.words.text()
        guide.instruments.ask_ticked()
        assert "Tick the addresses" in guide.instruments.words.text()
        guide.instruments._take_list(["ASRL/dev/ttyS0::INSTR", "GPIB0::8::INSTR"])
        assert [one.text(1) for one in guide.instruments._items()[2:]] == ["serial port: asking may reset a board", "not asked"]
        assert all(one.checkState(0) == Qt.CheckState.Unchecked for one in guide.instruments._items())


def test_what_does_not_answer_as_meant_is_said_at_its_line(qtbot: QtBot, made: Made) -> None:
    guide = made()
    with (
        socket.socket() as closed, TcpServed(Front("QDevil,QDAC-II,121,11-1.14")) as dac,
        TcpServed(Front("Keysight Technologies,DAQ970A,MY7,A.02")) as adc,
    ):  # fmt: skip
        closed.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        port = closed.getsockname()[1]
        assert "ConnectionRefusedError" in ask(qtbot, guide, f"127.0.0.1:{port}")
        assert "write host:port" in ask(qtbot, guide, "the scanner")
        guide.guide.edit(lambda draft: draft.add_instrument("dac", "qdac2", dac.address, "122"))
        guide.guide.edit(lambda draft: draft.add_instrument("adc", "qdac2", adc.address))
        guide.guide.edit(
            lambda draft: draft.add_instrument("smu", "keithley2450", f"TCPIP::127.0.0.1::{port}::SOCKET", source="current")
        )
        guide.instruments.ask_all()
        qtbot.waitUntil(lambda: len(guide.guide.answers) == 3, timeout=LONG_MS)
    table = guide.instruments.table
    items = [table.item(k, 4) for k in range(3)]
    assert [item.text() for item in items if item is not None] == [
        "✕ QDAC-II, serial number 121", "✕ DAQ970A, serial number MY7", "✕ does not answer"
    ]  # fmt: skip
    told_at = [item.toolTip() for item in items if item is not None]
    assert "the rig file means serial number 122" in told_at[0]
    assert "which is no qdac2. Correct its address, or choose the driver daq970a" in told_at[1]
    assert "ConnectionRefusedError" in told_at[2]
    assert all(text.splitlines()[0] in guide.instruments.words.text() for text in told_at)
    checked(qtbot, guide)
    assert guide._lacks[Step.INSTRUMENTS].text() == "✕ 3 do not answer as meant"


def test_an_instrument_that_a_session_owns_is_not_even_asked() -> None:
    with TcpServed(Front("QDevil,QDAC-II,121,11-1.14")) as dac:
        with acquire(f"instrument {dac.address} 121", "/somewhere/session"):
            answer = identify(Asked(f"127.0.0.1:{dac.port}", timeout_s=PATIENT_S))
            assert "belongs to a session" in answer.problem
            assert "/somewhere/session" in answer.problem
            assert dac.heard == []
        assert identify(Asked(f"127.0.0.1:{dac.port}", timeout_s=PATIENT_S)).good
    assert name_for("qdac2", ["dac"]) == "dacb"


def test_mistakes_are_marked_at_their_cells_and_one_can_jump_to_them(qtbot: QtBot, made: Made, tmp_path: Path) -> None:
    guide = made()
    addresses = {name: f"TCPIP::10.0.0.{k}::5025::SOCKET" for k, name in enumerate(("dac", "adc", "smu"), 1)}
    (tmp_path / "rig.yaml").write_text(filled(rig_text("bench-16") or "", addresses, "127.0.0.1:5099"), encoding="utf-8")
    guide.open(tmp_path / "rig.yaml")
    qtbot.waitUntil(lambda: len(guide.guide.draft.rows) == 36, timeout=LONG_MS)
    checked(qtbot, guide)
    assert told(guide) == []
    assert guide._lacks[Step.SAVE].text() == "✓ saved"
    put(guide, "u03", "channel", "dac[1]")
    put(guide, "u05", "absolute_high", "30")
    put(guide, "u06", "rest", "7")
    put(guide, "u07", "high", "1,5")
    checked(qtbot, guide)
    assert guide._lacks[Step.LIMITS].text() == "✕ 3 wrong"
    model, limits = guide.channels.table.rows, guide.limits.table.rows
    for table, name, field, said, shown in (
        (model, "u00", "channel", "channel 1 is used twice, by u00 and by u03", "✕ dac[1]"),
        (model, "u03", "channel", "channel 1 is used twice, by u00 and by u03", "✕ dac[1]"),
        (limits, "u05", "absolute_high", "go beyond its range, about -10 to 10 V", "✕ 30"),
        (limits, "u06", "rest", "rest 7 V is outside its limits -1 to 1 V", "✕ 7"),
        (limits, "u07", "high", "a number is needed. Write it with a point.", "✕ 1,5 V"),
    ):
        index = table.index_of(row_of(guide, name), field)
        assert said in index.data(Qt.ItemDataRole.ToolTipRole), (name, field, told(guide))
        assert index.data() == shown
    assert "✕" not in model.index_of(row_of(guide, "u01"), "channel").data()
    listed = guide.arming.problems
    at = next(k for k in range(listed.count()) if "rest 7 V" in listed.item(k).text())
    listed.itemActivated.emit(listed.item(at))
    assert guide.step == Step.LIMITS
    current = guide.limits.table.currentIndex()
    assert (limits.row(current).name, limits.fields[current.column()]) == ("u06", "rest")
    assert "rest 7 V is outside" in guide.limits.sentence.text()
    for _ in range(4):
        guide.guide.undo()
    checked(qtbot, guide)
    assert told(guide) == []
    assert guide._lacks[Step.SAVE].text() == "✓ saved"


def test_the_emulated_bench_fills_every_step(qtbot: QtBot, made: Made, tmp_path: Path) -> None:
    guide = made()
    with qtbot.waitSignal(guide.bench_wanted) as wanted:
        guide.instruments.bench_button.click()
    assert wanted.args == ["bench-16"]
    assert guide.told.text() == "Starting bench-16: waiting for the addresses of its instruments."
    addresses = {name: f"TCPIP::127.0.0.1::{k}::SOCKET" for k, name in enumerate(("dac", "adc", "smu"), 5025)}
    text = filled(rig_text("bench-16") or "", addresses, "127.0.0.1:5099")
    (tmp_path / "rig.yaml").write_text(text, encoding="utf-8")
    guide.bench_started(tmp_path / "rig.yaml")
    qtbot.waitUntil(lambda: guide.step == Step.SAVE, timeout=LONG_MS)
    checked(qtbot, guide)
    assert told(guide) == []
    qtbot.waitUntil(lambda: guide.arming.text.toPlainText() == text, timeout=LONG_MS)
    assert not guide.told.isVisible()


def test_a_knob_is_wiggled_only_where_a_session_can(qtbot: QtBot, made: Made) -> None:
    guide = made()
    add(guide, "control", "u[0-1]", "dac[1-2]")
    guide.go_to(Step.CHANNELS)
    table = guide.channels.table
    index = table.rows.index_of(row_of(guide, "u1"), WIGGLE)
    assert index.data() == "Wiggle u1"
    table.setCurrentIndex(index)
    with qtbot.assertNotEmitted(guide.wiggle_wanted):
        qtbot.keyClick(table, Qt.Key.Key_Return)
    assert "Wiggling needs a session" in guide.told.text()
    guide.set_wiggle("")
    with qtbot.waitSignal(guide.wiggle_wanted) as wanted:
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center())
    assert wanted.args == ["dac[2]"]


def test_values_of_many_knobs_come_from_a_csv_file(qtbot: QtBot, made: Made, tmp_path: Path) -> None:
    guide = made()
    add(guide, "control", "u[0-1]", "dac[1-2]")
    (tmp_path / "v.csv").write_text("name;limits_low;limits_high;rest\nu1;-2;2;0.5\nu0;-1;1;\nu7;0;0;0\n", encoding="utf-8")
    guide.limits.import_values(tmp_path / "v.csv")
    qtbot.waitUntil(lambda: bool(guide.limits.words.text()), timeout=LONG_MS)
    assert guide.limits.words.text() == "5 values of v.csv were put in. There is no row for u7; nothing was changed for them."
    rows = guide.guide.draft.rows
    assert [dict(row.cells) for row in rows] == [{"low": -1.0, "high": 1.0}, {"low": -2.0, "high": 2.0, "rest": 0.5}]
    guide.limits.words.clear()
    guide.limits.import_values(tmp_path / "nowhere.csv")
    qtbot.waitUntil(lambda: "cannot be read" in guide.limits.words.text(), timeout=LONG_MS)


def test_names_and_channels_count_on_and_a_table_goes_both_ways(qtbot: QtBot, made: Made) -> None:
    assert [next_of(text) for text in ("u09", "dac[1]", "a", "x2b")] == ["u10", "dac[2]", "a", "x3b"]
    guide = made()
    guide.guide.edit(lambda draft: [draft.add("control") for _ in range(3)])
    table = guide.channels.table
    uids = [row.uid for row in guide.guide.draft.rows]
    for field, text in (("name", "u00"), ("channel", "dac[4]")):
        table.rows.setData(table.rows.index_of(uids[0], field), text)
    columns = [table.rows.fields.index(field) for field in ("name", "channel")]
    table.rows.fill([(row, column) for row in range(3) for column in columns])
    assert [(row.name, row.channel) for row in guide.guide.draft.rows] == [
        ("u00", "dac[4]"),
        ("u01", "dac[5]"),
        ("u02", "dac[6]"),
    ]
    copied = table.rows.copied([(row, column) for row in range(3) for column in columns])
    assert copied == "u00\tdac[4]\nu01\tdac[5]\nu02\tdac[6]"
    assert "found no cell" in table.rows.paste(2, columns[0], copied)
    table.rows.clear([(0, columns[0])])
    assert guide.guide.draft.rows[0].name == ""
    table.edit(table.rows.index_of(uids[0], "role"))
    box = table.findChild(QComboBox)
    assert box is not None
    assert box.count() == 7


def test_interlocks_and_the_order_are_edited_in_their_tables(qtbot: QtBot, made: Made) -> None:
    guide = made()
    for name in ("dac", "adc"):
        guide.guide.edit(lambda draft, name=name: draft.add_instrument(name, "qdac2", f"TCPIP::{name}::1::SOCKET"))
    guide.safety.add_interlock()
    guide.safety.interlocks.item(0, 0).setText("hot")  # type: ignore[union-attr]
    guide.safety.interlocks.item(0, 1).setText("temperature > 300")  # type: ignore[union-attr]
    assert guide.guide.draft.get("interlocks") == [{"name": "hot", "when": "temperature > 300", "action": "safe"}]
    checked(qtbot, guide)
    assert any("there is no 'temperature' that is read" in text for text in told(guide))
    guide.safety.instruments.setCurrentCell(1, 0)
    guide.safety.earlier.click()
    assert guide.guide.draft.get("order") == ["adc", "dac"]


def test_a_file_that_is_there_is_written_over_only_when_somebody_says_so(qtbot: QtBot, made: Made, tmp_path: Path) -> None:
    guide = made()
    (tmp_path / "bench.yaml").write_text("x: 1\n", encoding="utf-8")
    add(guide, "control", "u", "dac[1]")
    guide.go_to(Step.SAVE)
    guide.arming.path.setText(str(tmp_path / "bench.yaml"))
    guide.arming.save_button.click()
    qtbot.waitUntil(lambda: "is there already" in guide.arming.words.text(), timeout=LONG_MS)
    assert (tmp_path / "bench.yaml").read_text(encoding="utf-8") == "x: 1\n"
    assert guide.arming.over_button.isVisible()
    guide.arming.over_button.click()
    qtbot.waitUntil(lambda: guide.arming.words.text().startswith("Saved"), timeout=LONG_MS)
    assert "u" in (tmp_path / "bench.yaml").read_text(encoding="utf-8")
    assert not guide.arming.over_button.isVisible()
    guide.open(tmp_path / "nowhere.yaml")
    qtbot.waitUntil(lambda: "no such file" in guide.told.text(), timeout=LONG_MS)


def test_unsaved_work_is_left_only_when_somebody_says_so(qtbot: QtBot, made: Made, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("kind: rig\ncontrols:\n- {name: of-the-other, channel: 'dac[1]'}\n", encoding="utf-8")
    guide = made()
    add(guide, "control", "u", "dac[1]")
    for begin in (lambda: guide.open(other), guide.new, lambda: guide.bench_started(other)):
        begin()
        assert "There are changes in the new rig file that are not saved." in guide.notice.label.text()
        assert [one.text() for one in guide.notice.buttons][::2] == ["Save first", "Stay"]
        guide.notice.buttons[2].click()
        assert not guide.notice.isVisible()
        assert guide.guide.draft.named("control") == ["u"]
    guide.open(other)
    guide.notice.buttons[0].click()
    assert guide.step == Step.SAVE
    assert "Write where the file goes" in guide.arming.words.text()
    guide.arming.path.setText(str(tmp_path / "bench.yaml"))
    guide.arming.save()
    qtbot.waitUntil(lambda: guide.unsaved == "", timeout=LONG_MS)
    put(guide, "u", "name", "u1")
    assert guide.unsaved == "bench.yaml"
    guide.open(other)
    guide.notice.buttons[1].click()
    qtbot.waitUntil(lambda: guide.guide.draft.named("control") == ["of-the-other"], timeout=LONG_MS)
    assert "u1" not in (tmp_path / "bench.yaml").read_text(encoding="utf-8")
