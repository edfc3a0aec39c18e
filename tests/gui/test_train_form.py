"""From a preset to a run in the whole window: form to YAML and back with comments, mistakes at their lines, check, start."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCursor
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parent))
from train_helpers import LONG_MS, open_shell

from aeqlab.protocols import load_run
from aeqlab.protocols.control import send
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.experiment import preset_text
from aeqlab.protocols.run_folder import is_alive


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


def test_from_a_preset_to_a_run_and_back_with_comments(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = preset_text("linear-regression")
    with open_shell(qtbot, tmp_path / "runs", None, monkeypatch) as shell:
        shell.show_workspace("Train")
        panel = shell.train.experiment
        shell.train.pages.setCurrentWidget(panel)
        document = panel.document
        panel.open_preset("linear-regression")
        qtbot.waitUntil(lambda: document.is_examined, timeout=LONG_MS)

        # form to text, comments and all else as they were
        field = panel.form.field_at(("data", "degree"))
        assert field is not None
        assert field.line is not None
        field.line.setFocus()
        field.line.selectAll()
        qtbot.keyClicks(field.line, "3")
        assert document.text == text.replace("degree: 10", "degree: 3")
        assert comments(document.text) == comments(text) != []

        # text to form; a mistake is told at its line while one types, and keeps it from being started
        place = document.text.index("epsilon: ") + len("epsilon: ")
        cursor = panel.editor.textCursor()
        cursor.setPosition(place)
        panel.editor.setTextCursor(cursor)
        qtbot.keyClicks(panel.editor, "-")
        qtbot.waitUntil(lambda: panel.problems.list.count() == 1, timeout=LONG_MS)
        line = document.text[:place].count("\n") + 1
        assert f"line {line}" in panel.problems.list.item(0).text() or panel.editor.of_line(line)
        panel.start.click()
        assert "cannot run yet" in panel.notice.label.text()
        qtbot.keyClick(panel.editor, Qt.Key.Key_Backspace)
        qtbot.waitUntil(lambda: document.is_examined and panel.problems.list.count() == 0, timeout=LONG_MS)
        cursor.movePosition(QTextCursor.MoveOperation.Start)
        panel.editor.setTextCursor(cursor)
        qtbot.keyClicks(panel.editor, "# mine")
        qtbot.keyClick(panel.editor, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: document.is_examined, timeout=LONG_MS)

        # the check touches nothing, and says what it would do
        with qtbot.waitSignal(panel.check.checked, timeout=LONG_MS):
            qtbot.keyClick(panel.editor, Qt.Key.Key_F3)
        assert panel.below.currentWidget() is panel.check
        assert panel.check.verdict.text() == "linear-regression can run"
        assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/record.sqlite"))

        # started as it stands, without a file; the run has what was asked, and no file is left beside it
        panel.start.click()
        qtbot.waitUntil(lambda: shell.world.run is not None and shell.world.run.rows("steps") > 0, timeout=LONG_MS)
        folder = shell.world.run_feed.folder
        assert folder is not None
        assert shell.train.pages.currentWidget() is shell.train.live
        assert "degree: 3" in load_run(folder).experiment
        assert list(tmp_path.glob(".experiment*")) == []

        # saved and read again it is the same, byte for byte
        document.save(tmp_path / "mine.yaml")
        qtbot.waitUntil(lambda: not document.modified, timeout=LONG_MS)
        assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == "# mine\n" + text.replace("degree: 10", "degree: 3")
        with qtbot.waitSignal(document.opened, timeout=LONG_MS):
            shell.open_experiment(tmp_path / "mine.yaml")
        qtbot.waitUntil(lambda: document.path == tmp_path / "mine.yaml" and document.is_examined, timeout=LONG_MS)
        assert panel.form.field_at(("data", "degree")).text == "3"  # type: ignore[union-attr]
        assert document.text == "# mine\n" + text.replace("degree: 10", "degree: 3")

        def over() -> bool:
            with contextlib.suppress(ProtocolError):  # it may have come to its end by itself, or do so just now
                send(folder, "abort")
            return not is_alive(folder)

        qtbot.waitUntil(over, timeout=LONG_MS)
