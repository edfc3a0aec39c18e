"""The guide names buttons and pages as they are called in the window, and its pictures are there."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QAbstractButton, QLabel, QTableView, QTabWidget, QTreeView
from pytestqt.qtbot import QtBot

from aeqlab.app.window.application import Target, make_window
from aeqlab.app.window.look_back import story_panel

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
#: What is in a table only while there is something to do.
IN_TABLES = {"Wiggle u03", story_panel._GO}


def test_every_button_and_page_of_the_guide_is_in_the_window(
    qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    shell = make_window(qapp, tmp_path / "runs", Target())  # type: ignore[arg-type]
    qtbot.addWidget(shell)
    pages = (shell.connect_page, shell.tune, shell.train, shell.past, shell.past.replay)  # made when they are first asked for
    said = {one.text() for kind in (QAbstractButton, QLabel, QAction) for one in shell.findChildren(kind)} | IN_TABLES
    for tabs in shell.findChildren(QTabWidget):
        said |= {tabs.tabText(k) for k in range(tabs.count())}
    for view in (*shell.findChildren(QTableView), *shell.findChildren(QTreeView)):
        model = view.model()
        if model is not None:
            said |= {str(model.headerData(k, Qt.Orientation.Horizontal)) for k in range(model.columnCount())}
    shell.close_now()
    assert all(pages)
    text = re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL)
    named = re.findall(r"(?<![*\w])\*([^*\n]+)\*(?![*\w])", text)
    assert len(named) > 30
    missing = [name for name in named if not any(one == name or one.startswith(f"{name} ") for one in said)]
    assert not missing


def test_the_steps_are_called_as_in_the_window(qtbot: QtBot) -> None:
    from aeqlab.app.window.connect.guide import TITLES

    for step, title in TITLES.items():
        assert f"**{step.value} {title}.**" in GUIDE
