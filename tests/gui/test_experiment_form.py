"""The experiment as a form beside its YAML: the same text in both, comments kept, mistakes told at their lines as one types."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

from aeqlab.app.window.models import experiment_text
from aeqlab.app.window.models.experiment_examined import Examined, examine
from aeqlab.app.window.models.experiment_schema import Kind, experiment_section, section_of, stage_variants
from aeqlab.app.window.models.experiment_stages import fresh
from aeqlab.app.window.models.experiment_text import EMPTY, FileText
from aeqlab.app.window.models.launcher import AsShown
from aeqlab.app.window.train import form_document
from aeqlab.app.window.train.experiment_panel import ExperimentPanel
from aeqlab.app.window.train.form_document import ExperimentDocument
from aeqlab.app.window.train.form_kinds import EntriesBody, VariantBox
from aeqlab.app.window.train.yaml_editor import YamlEditor
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.experiment import Experiment, preset_names, preset_text
from aeqlab.protocols.known_keys import models_at
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.yaml import parse

LONG_MS = 60_000  #: a loaded machine may take its time


def plain(text: str) -> Any:
    return parse(text, "x")[0].plain()


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


@pytest.fixture(scope="module")
def one_panel(qapp: object) -> Iterator[ExperimentPanel]:
    """Make one panel for all tests: each opens a text of its own, with which everything begins anew."""
    made = ExperimentPanel()
    made.resize(1280, 800)
    made.show()
    yield made
    made.close()
    made.deleteLater()


@pytest.fixture
def panel(one_panel: ExperimentPanel) -> ExperimentPanel:
    one_panel.notice.end()
    one_panel.form.finder.clear()
    if one_panel.document.modified or one_panel.document.path is not None:
        one_panel.document.open_text(FileText(None, "new experiment", EMPTY))
    return one_panel


def open_(qtbot: QtBot, panel: ExperimentPanel, text: str) -> None:
    panel.document.open_text(FileText(None, "x", text))
    examined(qtbot, panel)


def examined(qtbot: QtBot, panel: ExperimentPanel) -> None:
    qtbot.waitUntil(lambda: panel.document.is_examined, timeout=LONG_MS)


def type_into(qtbot: QtBot, panel: ExperimentPanel, path: tuple[int | str, ...], text: str) -> None:
    field = panel.form.field_at(path)
    assert field is not None, path
    line = field.line
    assert line is not None
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, text) if text else qtbot.keyClick(line, Qt.Key.Key_Delete)


def variant_box(panel: ExperimentPanel, path: tuple[int | str, ...]) -> VariantBox:
    return next(one for one in panel.form.findChildren(VariantBox) if one.path == path)


def choose(box: VariantBox, word: str) -> None:
    index = box.combo.findText(word)
    box.combo.setCurrentIndex(index)
    box.combo.activated.emit(index)


# form and text
def test_what_is_typed_into_a_field_changes_its_value_alone(qtbot: QtBot, panel: ExperimentPanel) -> None:
    text = preset_text("compare-methods")
    open_(qtbot, panel, text)
    type_into(qtbot, panel, ("device", "epsilon"), "2e-1")
    assert panel.document.text == text.replace("epsilon: 0.1", "epsilon: 2e-1")
    assert panel.editor.text == panel.document.text
    examined(qtbot, panel)
    assert panel.form.field_at(("device", "epsilon")).text == "2e-1"  # type: ignore[union-attr]


def test_what_is_typed_into_the_text_is_in_the_field(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("linear-regression"))
    cursor = panel.editor.textCursor()
    place = panel.document.text.index("degree: 10") + len("degree: ")
    cursor.setPosition(place)
    cursor.setPosition(place + 2, QTextCursor.MoveMode.KeepAnchor)
    panel.editor.setTextCursor(cursor)
    qtbot.keyClicks(panel.editor, "7")
    qtbot.waitUntil(
        lambda: panel.form.field_at(("data", "degree")).text == "7",  # type: ignore[union-attr]
        timeout=LONG_MS,
    )
    assert "degree: 7," in panel.document.text
    assert panel.editor.textCursor().position() == place + 1


def test_a_default_is_grey_until_it_is_set_and_comes_back_by_reset(qtbot: QtBot, panel: ExperimentPanel) -> None:
    text = preset_text("linear-slow")
    open_(qtbot, panel, text)
    field = panel.form.field_at(("homeostasis", "gain"))
    assert field is not None
    assert (field.text, field.line.placeholderText()) == ("", "1")  # type: ignore[union-attr]
    type_into(qtbot, panel, ("homeostasis", "gain"), "0.5")
    assert plain(panel.document.text)["homeostasis"]["gain"] == 0.5
    assert comments(panel.document.text) == comments(text)
    reset = next(one for one in panel.form.findChildren(QPushButton) if one.accessibleName() == "Reset gain")
    qtbot.mouseClick(reset, Qt.MouseButton.LeftButton)
    assert panel.document.text == text
    assert field.text == ""


def test_what_is_wrong_stays_as_typed_and_is_told_below_and_at_its_line(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("linear-regression"))
    for typed, said in (("fast", "a number is expected"), ("0,1", "Write 0.1"), ("99", "at most 10"), ("-1", "above 0")):
        type_into(qtbot, panel, ("homeostasis", "gain"), typed)
        examined(qtbot, panel)
        field = panel.form.field_at(("homeostasis", "gain"))
        assert field is not None
        assert field.text == typed
        found = panel.document.found
        assert found is not None
        (problem,) = found.problems
        assert said in str(problem)
        line = next(i for i, one in enumerate(panel.document.text.splitlines(), 1) if one.startswith("homeostasis"))
        assert problem.line == line
        assert panel.editor.of_line(line) == [problem]
        assert said in panel.problems.list.item(0).text()
    panel.document.undo()


def test_all_mistakes_are_marked_while_one_types_and_f8_goes_to_each(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("tour").replace("degree: 2", "degre: 2").replace("seconds: 0.5", "seconds: zero"))
    cursor = panel.editor.textCursor()
    cursor.movePosition(QTextCursor.MoveOperation.End)
    panel.editor.setTextCursor(cursor)
    qtbot.keyClicks(panel.editor, "tagss: [a]")
    qtbot.waitUntil(lambda: panel.problems.list.count() == 3, timeout=LONG_MS)
    places = []
    for _ in range(4):
        qtbot.keyClick(panel.editor, Qt.Key.Key_F4)
        places.append(panel.editor.textCursor().blockNumber() + 1)
    assert places[0] == places[3] == 6
    assert places[1:3] == [32, 36]
    item = panel.problems.list.item(1)
    panel.problems.list.itemActivated.emit(item)
    assert panel.editor.textCursor().blockNumber() + 1 == 32
    assert panel.sequence.current == ("sequence", 9)


def test_broken_syntax_leaves_the_form_as_it_was_and_says_where(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("xor"))
    cursor = panel.editor.textCursor()
    cursor.setPosition(panel.document.text.index("kind: xor") - 1)
    panel.editor.setTextCursor(cursor)
    qtbot.keyClicks(panel.editor, "{[")
    examined(qtbot, panel)
    assert panel.form.broken.isVisible()
    assert "line" in panel.form.broken.text()
    assert not panel.sequence.isEnabled()
    before = panel.document.text
    type_into(qtbot, panel, ("seed",), "5")
    assert panel.document.text == before
    assert panel.form.field_at(("seed",)).text == "5"  # type: ignore[union-attr]
    qtbot.keyClick(panel.editor, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    examined(qtbot, panel)
    assert panel.form.broken.isHidden()
    assert panel.document.text == preset_text("xor")


def test_the_form_does_not_move_the_cursor_of_the_text(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("tour"))
    cursor = panel.editor.textCursor()
    cursor.setPosition(panel.document.text.index("cost < 0.3"))
    panel.editor.setTextCursor(cursor)
    panel.document.set_value(("operator",), "Ada 𝛽", order=experiment_section().order)
    panel.document.set_value(("device", "epsilon"), 0.25)
    assert panel.editor.text == panel.document.text
    place = panel.editor.textCursor()
    assert place.block().text()[place.positionInBlock() :] == "cost < 0.3"
    panel.editor.go_to(1)
    qtbot.keyClicks(panel.editor, "#")
    assert panel.document.text.startswith("## Every stage")
    assert "Ada 𝛽" in panel.document.text


def test_rare_characters_are_counted_as_one(qtbot: QtBot) -> None:
    document = ExperimentDocument()
    editor = YamlEditor(document)
    qtbot.addWidget(editor)
    document.open_text(FileText(None, "x", "name: a\u00a0b # 𝛽𝛽\nseed: 1\n"))
    cursor = editor.textCursor()
    cursor.movePosition(QTextCursor.MoveOperation.End)
    editor.setTextCursor(cursor)
    qtbot.keyClicks(editor, "then: hold")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert document.text == "name: a\u00a0b # 𝛽𝛽\nseed: 1\nthen: hold\n"
    document.undo()
    document.set_value(("seed",), 2)
    assert document.text.splitlines()[:2] == ["name: a\u00a0b # 𝛽𝛽", "seed: 2"]
    assert editor.text == document.text
    qtbot.waitUntil(lambda: document.is_examined, timeout=LONG_MS)


def test_one_history_for_form_and_text(qtbot: QtBot, panel: ExperimentPanel) -> None:
    text = preset_text("xor")
    open_(qtbot, panel, text)
    type_into(qtbot, panel, ("seed",), "77")
    examined(qtbot, panel)
    panel.editor.go_to(1)
    qtbot.keyClicks(panel.editor, "# mine ")
    examined(qtbot, panel)
    assert panel.document.text.startswith("# mine ")
    panel.document.undo()
    assert "seed: 77" in panel.document.text
    panel.document.undo()
    assert panel.document.text == panel.editor.text == text
    assert panel.form.field_at(("seed",)).text == "1"  # type: ignore[union-attr]
    panel.document.redo()
    panel.document.redo()
    assert panel.document.text.startswith("# mine ")
    assert not panel.document.model.can_redo


# kinds
def test_another_kind_of_device_keeps_what_both_have_and_comes_back_whole(qtbot: QtBot, panel: ExperimentPanel) -> None:
    text = preset_text("compare-methods")
    open_(qtbot, panel, text)
    box = variant_box(panel, ("device",))
    choose(box, "simulated")
    device = plain(panel.document.text)["device"]
    assert device == {"kind": "simulated", "energy": "linear", "options": {"frequencies": 8}, "epsilon": 0.1}
    assert panel.form.field_at(("device", "tick_s")) is None
    choose(variant_box(panel, ("device",)), "slow")
    assert plain(panel.document.text)["device"] == plain(text)["device"]
    panel.document.undo()
    panel.document.undo()
    assert panel.document.text == text


def test_a_word_or_settings(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("linear-slow"))
    choose(variant_box(panel, ("homeostasis", "accept")), "ticks")
    type_into(qtbot, panel, ("homeostasis", "accept", "ticks"), "50")
    assert plain(panel.document.text)["homeostasis"]["accept"] == {"ticks": 50}
    choose(variant_box(panel, ("homeostasis", "accept")), "settled")
    assert panel.document.text == preset_text("linear-slow")


def test_options_follow_the_energy(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, "name: x\ndevice: {kind: simulated, energy: linear}\nsequence: [evaluate]\n")
    assert panel.form.field_at(("device", "options", "frequencies")) is not None
    type_into(qtbot, panel, ("device", "energy"), "spring")
    assert panel.form.field_at(("device", "options", "stiffness")) is not None
    type_into(qtbot, panel, ("device", "options", "hidden"), "4")
    assert plain(panel.document.text)["device"]["options"] == {"hidden": 4}


def test_lists_and_names_of_settings(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("scan-knob"))
    panel.sequence.choose(("sequence", 1))
    type_into(qtbot, panel, ("sequence", 1, "scan", "read"), "s, theta3, u[3]")
    assert "read: [s, theta3, 'u[3]']" in panel.document.text
    assert panel.form.field_at(("sequence", 1, "scan", "read")).text == "s, theta3, u[3]"  # type: ignore[union-attr]
    type_into(qtbot, panel, ("sequence", 1, "scan", "over", 0, "points"), "21")
    assert plain(panel.document.text)["sequence"][1]["scan"]["over"][0]["points"] == 21
    panel.sequence.choose(("sequence", 2))
    assert comments(panel.document.text) == comments(preset_text("scan-knob"))
    open_(qtbot, panel, preset_text("tour"))
    panel.sequence.choose(("sequence", 0))
    type_into(qtbot, panel, ("sequence", 0, "set", "u0"), "0.2")
    assert "- set: {u0: 0.2, read: [s]}" in panel.document.text


def test_finding_a_setting_shows_it_alone(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("linear-slow"))
    assert panel.form.field_at(("device", "watchdog_s")) is None  # folded, and not made yet
    qtbot.keyClicks(panel.form.finder, "watchdog")
    qtbot.waitUntil(lambda: panel.form.field_at(("device", "watchdog_s")) is not None, timeout=LONG_MS)
    assert panel.form.field_at(("device", "watchdog_s")).core.isVisible()  # type: ignore[union-attr]
    assert not panel.form.field_at(("device", "epsilon")).core.isVisible()  # type: ignore[union-attr]
    assert not panel.form.folds["data"].isVisible()
    panel.form.finder.clear()
    qtbot.waitUntil(panel.form.folds["data"].isVisible, timeout=LONG_MS)
    assert panel.form.field_at(("device", "epsilon")).core.isVisible()  # type: ignore[union-attr]


def test_the_wheel_over_a_field_changes_nothing(qtbot: QtBot, panel: ExperimentPanel) -> None:
    from PySide6.QtCore import QPoint, QPointF
    from PySide6.QtGui import QWheelEvent

    open_(qtbot, panel, preset_text("linear-slow"))
    combo = panel.form.field_at(("homeostasis", "controller")).combo  # type: ignore[union-attr]
    assert combo is not None
    place = QPointF(5, 5)
    event = QWheelEvent(
        place, place, QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    combo.wheelEvent(event)
    assert not panel.document.modified


# presets and models
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_opens_unchanged_without_a_problem_of_its_own(qtbot: QtBot, panel: ExperimentPanel, name: str) -> None:
    open_(qtbot, panel, preset_text(name))
    for row in panel.sequence.rows:
        panel.sequence.choose(row.path)
        assert panel.form.stage_path == row.path
    assert panel.document.text == panel.editor.text == preset_text(name)
    assert not panel.document.modified
    found = panel.document.found
    assert found is not None
    assert [one for one in found.problems if one.key.split(".")[0] != "data"] == []  # data that is not here is told


def test_every_field_of_the_models_has_a_field_of_the_form() -> None:
    seen: set[type[BaseModel]] = set()

    def walk(model: type[BaseModel], path: tuple[str, ...]) -> None:
        if model in seen:
            return
        seen.add(model)
        fields = {field.key: field for field in section_of(model).fields}
        assert set(fields) == {info.alias or name for name, info in model.model_fields.items()}
        for key, field in fields.items():
            inner = [one for one in (field.model, *(variant.model for variant in field.variants)) if one is not None]
            there = [one for one in models_at(model, (key,)) if isinstance(one, type)]
            assert set(there) == set(inner) or field.kind in (Kind.SECTIONS, Kind.STAGES, Kind.NAMED), (*path, key)
            assert field.meaning, (*path, key)
            assert field.takes, (*path, key)
            for one in inner:
                walk(one, (*path, key))

    walk(Experiment, ())
    assert len(seen) > 50


def test_units_and_limits_are_those_of_the_models() -> None:
    slow = next(one for one in experiment_section().fields[2].variants if one.word == "slow")
    assert slow.model is not None
    by_key = {field.key: field for field in section_of(slow.model).fields}
    assert [by_key[key].unit for key in ("tick_s", "slew_V_per_s", "rest_V", "speed", "beta_limit")] == ["s", "V/s", "V", "", ""]
    assert by_key["lost_rate"].takes == "a number, at least 0, below 0.5"
    assert by_key["clock"].choices == ("virtual", "wall")


# stages
@pytest.mark.parametrize("variant", stage_variants(), ids=lambda one: one.word)
def test_a_stage_that_is_added_needs_no_more(variant: Any) -> None:
    try:
        entry = StageEntry.model_validate(fresh(variant.word))
    except ValidationError as exc:
        pytest.fail(str(exc))
    assert entry.kind == variant.word


def test_stages_are_added_copied_moved_and_switched_off(qtbot: QtBot, panel: ExperimentPanel) -> None:
    text = preset_text("linear-regression")
    open_(qtbot, panel, text)
    panel.sequence.choose(("sequence", 0))
    panel.sequence.add_stage("hold")
    panel.sequence.copy_stage()
    assert panel.sequence.current == ("sequence", 2)
    qtbot.keyClick(panel.sequence.tree, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    panel.sequence.off.click()
    panel.sequence.pause.click()
    sequence = plain(panel.document.text)["sequence"]
    assert [next(iter(one)) for one in sequence] == ["train", "hold", "hold", "evaluate"]
    assert sequence[1] == {"hold": {"seconds": 10}, "off": True, "pause_after": True}
    assert panel.sequence.off.isChecked()
    assert comments(panel.document.text) == comments(text)
    examined(qtbot, panel)
    item = panel.sequence.tree.topLevelItem(1)
    assert item is not None
    assert [item.text(k) for k in (0, 1, 3)] == ["2  hold", "control knobs, so that theta stays", "off, pause after"]
    assert "10 s of the device" in item.text(2)
    while panel.document.model.can_undo:
        panel.document.undo()
    assert panel.document.text == text


def test_another_word_for_a_stage_keeps_what_both_have(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("tour"))
    panel.sequence.choose(("sequence", 3))
    panel.sequence.become("ramp")
    entry = plain(panel.document.text)["sequence"][3]
    assert entry == {"ramp": {"read": ["s", "cost_free"], "sample": 0, "quantity": "u0", "to": 0.1, "seconds": 1}}
    panel.document.undo()
    assert panel.document.text == preset_text("tour")
    panel.document.set_value(("sequence", 10), "infer")
    panel.sequence.choose(("sequence", 10))
    panel.sequence.mark("off", on=True)
    assert plain(panel.document.text)["sequence"][10] == {"infer": {}, "off": True}


def test_what_comes_then_is_the_last_row(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("linear-slow"))
    assert panel.sequence.then.currentText().startswith("FREEZE")
    panel.sequence.then.activated.emit(1)
    assert panel.document.text == preset_text("linear-slow").replace("then: freeze ", "then: safe ")
    assert panel.sequence.then.currentText().startswith("SAFE")


# files, check, run
def test_a_file_that_changed_on_the_disk_is_noticed_and_not_overwritten(
    qtbot: QtBot, panel: ExperimentPanel, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(preset_text("xor"), encoding="utf-8")
    with qtbot.waitSignal(panel.document.opened, timeout=LONG_MS):
        panel.open_file(path)
    type_into(qtbot, panel, ("seed",), "3")
    path.write_text("name: other\n", encoding="utf-8")
    with qtbot.waitSignal(panel.document.file_changed, timeout=LONG_MS):
        panel.save()
    assert path.read_text(encoding="utf-8") == "name: other\n"
    assert [button.text() for button in panel.notice.buttons] == ["Load the file", "Overwrite the file", "Save as...", "Later"]
    with qtbot.waitSignal(panel.document.saved, timeout=LONG_MS):
        panel.notice.buttons[1].click()
    assert path.read_text(encoding="utf-8") == preset_text("xor").replace("seed: 1", "seed: 3")
    assert not panel.document.modified
    path.write_text("name: again\n", encoding="utf-8")
    with qtbot.waitSignal(panel.document.file_changed, timeout=LONG_MS):
        panel.document.look_at_file()
    panel.notice.buttons[0].click()
    qtbot.waitUntil(lambda: panel.document.text == "name: again\n", timeout=LONG_MS)
    assert not panel.document.modified
    panel.document.undo()
    assert "seed: 3" in panel.document.text
    path.write_text("name: once more\n", encoding="utf-8")
    for told in (True, False):
        with qtbot.waitSignal(panel.document.file_changed, timeout=LONG_MS):
            panel.document.look_at_file()
        assert panel.notice.isVisible() is told, "Later is heard: it is not said again every three seconds"
        if told:
            panel.notice.buttons[-1].click()


def test_of_two_files_the_one_that_was_asked_for_last_is_shown_and_nothing_typed_is_lost(
    qtbot: QtBot, panel: ExperimentPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slowly(path: Path) -> FileText:
        if path.name == "slow.yaml":
            go_on.wait(LONG_MS / 1000)
        return experiment_text.read_file(path)

    def delivered() -> None:
        go_on.set()
        qtbot.waitUntil(lambda: not any(one.name == "open experiment" for one in threading.enumerate()), timeout=LONG_MS)
        QApplication.processEvents()
        go_on.clear()

    monkeypatch.setattr(form_document, "read_file", slowly)
    for name in ("slow", "quick"):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n", encoding="utf-8")
        panel.open_file(tmp_path / f"{name}.yaml")
    qtbot.waitUntil(lambda: panel.document.label == "quick.yaml", timeout=LONG_MS)
    delivered()
    assert panel.document.text == "name: quick\n"
    panel.open_file(tmp_path / "slow.yaml")
    cursor = panel.editor.textCursor()
    cursor.movePosition(QTextCursor.MoveOperation.End)
    cursor.insertText("seed: 3\n")
    delivered()
    assert panel.document.text == "name: quick\nseed: 3\n"
    assert "slow.yaml was not opened" in panel.notice.label.text()


def test_what_the_text_refuses_is_not_shown_as_if_it_were_so(qtbot: QtBot, panel: ExperimentPanel) -> None:
    text = preset_text("xor")
    at = text.index("  - train:")
    repeated = text[:at] + text[at:].replace("  - train:", "  - &one\n    train:", 1)
    assert plain(repeated) == plain(text)
    open_(qtbot, panel, repeated.replace("then:", "  - *one\nthen:"))
    panel.sequence.choose(("sequence", 0))
    panel.sequence.off.click()
    assert "repeat" in panel.notice.label.text()
    assert not panel.sequence.off.isChecked()
    kind = panel.sequence.kind
    kind.setCurrentIndex(kind.findText("hold"))
    kind.activated.emit(kind.currentIndex())
    assert kind.currentText() == "train"


def test_an_entry_that_is_there_is_not_made_anew(qtbot: QtBot, panel: ExperimentPanel) -> None:
    text = preset_text("compare-methods")
    open_(qtbot, panel, text)
    place = next(k for k, row in enumerate(plain(text)["sequence"]) if "compare" in row)
    panel.sequence.choose(("sequence", place))
    entries = next(iter(panel.form.findChildren(EntriesBody)))
    there = str(entries._keys[0])
    entries._name.setText(there)
    entries._add()
    assert panel.document.text == text
    assert f"an entry {there} already" in panel.notice.label.text()


def test_files_that_are_dropped_on_the_text_are_left_to_the_window(panel: ExperimentPanel, tmp_path: Path) -> None:
    file, words = QMimeData(), QMimeData()
    dropped = QUrl.fromLocalFile(str(tmp_path / "x.yaml"))
    file.setUrls([dropped])
    file.setText(dropped.toString())
    words.setText("seed: 1")
    assert not panel.editor.canInsertFromMimeData(file)
    assert panel.editor.canInsertFromMimeData(words)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let what was written stand on the disk for a while before anybody hears of it: until the event is set."""
    heard = threading.Event()

    def written(path: Path, raw: bytes) -> None:
        write_whole(path, raw)
        heard.wait()

    monkeypatch.setattr(experiment_text, "write_whole", written)
    yield heard
    heard.set()


def test_what_is_saved_while_it_is_being_written_is_saved_after_that(
    qtbot: QtBot, panel: ExperimentPanel, tmp_path: Path, slow_disk: threading.Event
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(preset_text("xor"), encoding="utf-8")
    with qtbot.waitSignal(panel.document.opened, timeout=LONG_MS):
        panel.open_file(path)
    wrong: list[str] = []
    panel.document.file_changed.connect(lambda why, _: wrong.append(why))
    for seed in ("3", "4"):
        type_into(qtbot, panel, ("seed",), seed)
        panel.save()
        qtbot.waitUntil(lambda: "seed: 3" in path.read_text(encoding="utf-8"), timeout=LONG_MS)
        panel.document.look_at_file()  # what it finds is our own
    slow_disk.set()
    qtbot.waitUntil(lambda: not panel.document.modified, timeout=LONG_MS)
    assert path.read_text(encoding="utf-8") == preset_text("xor").replace("seed: 1", "seed: 4")
    assert wrong == []


def test_a_text_that_is_opened_while_another_is_written_does_not_take_its_file(
    qtbot: QtBot, panel: ExperimentPanel, tmp_path: Path, slow_disk: threading.Event
) -> None:
    open_(qtbot, panel, preset_text("xor"))
    panel.document.save(tmp_path / "mine.yaml")
    qtbot.waitUntil((tmp_path / "mine.yaml").exists, timeout=LONG_MS)
    panel.document.open_preset("tour")
    panel.document.save(tmp_path / "tour.yaml")  # after that
    slow_disk.set()
    with qtbot.waitSignal(panel.document.saved, timeout=LONG_MS) as saved:
        pass
    assert saved.args == [tmp_path / "tour.yaml"]
    assert panel.document.path == tmp_path / "tour.yaml"
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == preset_text("xor")
    assert (tmp_path / "tour.yaml").read_text(encoding="utf-8") == preset_text("tour")


def test_a_text_that_goes_to_another_folder_while_it_is_examined_is_examined_there(
    qtbot: QtBot, panel: ExperimentPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_(qtbot, panel, preset_text("xor"))
    go_on, bases = threading.Event(), []

    def examined_slowly(text: str, label: str, base: Path, path: Path | None) -> Examined:
        bases.append(base)
        go_on.wait()
        return examine(text, label, base, path)

    monkeypatch.setattr(form_document, "examine", examined_slowly)
    type_into(qtbot, panel, ("seed",), "3")
    qtbot.waitUntil(lambda: len(bases) == 1, timeout=LONG_MS)
    (tmp_path / "there").mkdir()
    with qtbot.waitSignal(panel.document.saved, timeout=LONG_MS):
        panel.document.save(tmp_path / "there" / "e.yaml")
    qtbot.waitUntil(lambda: not panel.document._timer.isActive(), timeout=LONG_MS)
    assert not panel.document.is_examined
    go_on.set()
    examined(qtbot, panel)
    assert bases[-1] == (tmp_path / "there").resolve()


def test_a_file_with_mistakes_opens_and_one_that_cannot_be_read_is_told(
    qtbot: QtBot, panel: ExperimentPanel, tmp_path: Path
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: x\ndevice: {kind: [\n", encoding="utf-8")
    panel.open_file(path)
    qtbot.waitUntil(lambda: panel.document.path == path and panel.document.is_examined, timeout=LONG_MS)
    assert panel.editor.text == "name: x\ndevice: {kind: [\n"
    assert panel.problems.list.count() == 1
    with qtbot.waitSignal(panel.document.refused, timeout=LONG_MS):
        panel.open_file(tmp_path / "none.yaml")
    assert "no such file" in panel.notice.label.text()
    assert panel.editor.text.startswith("name: x")


def test_unsaved_work_is_not_left_without_a_word(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("xor"))
    type_into(qtbot, panel, ("seed",), "3")
    panel.open_preset("tour")
    assert "seed: 3" in panel.document.text
    assert panel.notice.isVisible()
    panel.notice.buttons[1].click()
    assert panel.document.text == preset_text("tour")


def test_the_check_says_what_the_command_says(qtbot: QtBot, panel: ExperimentPanel) -> None:
    open_(qtbot, panel, preset_text("scan-knob"))
    with qtbot.waitSignal(panel.check.checked, timeout=LONG_MS):
        panel.check.button.click()
    names = [panel.check.list.item(row, 0).text() for row in range(panel.check.list.rowCount())]
    assert {"device", "control knobs", "nudge beta", "time", "disk"} <= set(names)
    assert panel.check.verdict.text() == "scan-knob can run"
    panel.document.set_value(("device", "epsilon"), -1)
    assert "before the last change" in panel.check.verdict.text()
    with qtbot.waitSignal(panel.check.checked, timeout=LONG_MS):
        panel.check.check()
    assert "cannot run: 1 problem" in panel.check.verdict.text()
    assert "line 6" in panel.check.list.item(0, 1).text()
    panel.check.check()
    open_(qtbot, panel, preset_text("xor"))
    qtbot.waitUntil(panel.check.button.isEnabled, timeout=LONG_MS)
    assert panel.check.verdict.text() == "Not checked yet", "what was found of another experiment is nothing of this one"


def test_a_run_is_wanted_of_the_file_or_of_the_text(qtbot: QtBot, panel: ExperimentPanel, tmp_path: Path) -> None:
    wanted: list[object] = []
    panel.run_wanted.connect(wanted.append)
    open_(qtbot, panel, preset_text("xor"))
    panel.want_run()
    with qtbot.waitSignal(panel.document.saved, timeout=LONG_MS):
        panel.document.save(tmp_path / "e.yaml")
    examined(qtbot, panel)
    panel.want_run()
    qtbot.waitUntil(lambda: len(wanted) == 2, timeout=LONG_MS)
    assert wanted == [AsShown(preset_text("xor"), Path.cwd()), tmp_path / "e.yaml"]
    (tmp_path / "e.yaml").write_text("name: other\n", encoding="utf-8")
    panel.want_run()
    qtbot.waitUntil(lambda: panel.notice.isVisible(), timeout=LONG_MS)
    assert panel.notice.label.text().endswith("by another program since it was opened. Nothing was started.")
    assert len(wanted) == 2, "what is in the file is not what is shown"
    panel.notice.end()
    panel.document.set_value(("seed",), 7)
    examined(qtbot, panel)
    panel.want_run()
    assert wanted[2:] == [AsShown(panel.document.text, tmp_path)], "its paths count from its file"
    panel.document.set_value(("seed",), -1)
    examined(qtbot, panel)
    panel.want_run()
    assert len(wanted) == 3
    assert "cannot run yet" in panel.notice.label.text()


def test_the_largest_preset_is_open_in_a_moment(qtbot: QtBot, panel: ExperimentPanel) -> None:
    """What the processor needs, as other programs may be at work: less than 0.3 s."""
    for name in ("tour", "compare-methods", "linear-slow"):
        text, took = preset_text(name), []
        for _ in range(3):
            began = time.thread_time()
            panel.document.open_text(FileText(None, name, text))
            panel.sequence.choose(("sequence", 0))
            took.append(time.thread_time() - began)
        assert min(took) < 0.3, name
