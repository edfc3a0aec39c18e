"""Files opened in the window: by dialogs that keep nothing from being used, by dropping them, and again from the menu."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot
from shell_helpers import LONG_MS, experiment, until, window

from aeqlab.app.window import files
from aeqlab.app.window.models.target import Target, target_at
from aeqlab.app.window.shell import Shell
from aeqlab.protocols.errors import UnknownRunError
from aeqlab.protocols.run import run_experiment


@pytest.fixture
def shell(qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with window(qtbot, qapp, tmp_path, monkeypatch) as made:
        yield made


def drop(shell: Shell, *urls: str) -> bool:
    """Drag files over the window and let them fall; tells whether it would take them."""
    mime = QMimeData()
    mime.setUrls([QUrl(url) for url in urls])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(600, 400), Qt.DropAction.CopyAction, mime, buttons, keys)
    enter.ignore()
    QApplication.sendEvent(shell, enter)
    if enter.isAccepted():
        QApplication.sendEvent(
            shell, QDropEvent(QPointF(600, 400), Qt.DropAction.CopyAction, mime, buttons, keys, QEvent.Type.Drop)
        )
    return enter.isAccepted()


def test_files_are_opened_by_a_dialog_by_dropping_them_and_again_from_the_menu(shell: Shell, tmp_path: Path) -> None:
    run = run_experiment(experiment(tmp_path), runs=tmp_path / "runs").folder
    written = tmp_path / "experiment-under-test.yaml"
    shell.files.ask("experiment")
    dialog = shell.files.dialog
    assert dialog is not None
    assert dialog.isVisible()
    assert not dialog.isModal(), "FREEZE can be pressed meanwhile"
    dialog.selectFile(str(written))
    dialog.fileSelected.emit(str(written))
    dialog.reject()
    assert shell.files.dialog is None
    until(lambda: shell.tabs.there("Train") is not None and shell.train.experiment.isVisible(), "the experiment in the form")
    assert drop(shell, QUrl.fromLocalFile(str(run / "record.sqlite")).toString())
    until(lambda: shell.world.run_feed.folder == run.absolute(), "the run whose record was dropped")
    assert not drop(shell, "https://example.org/rig.yaml")
    picture = tmp_path / "rig.png"
    picture.write_bytes(b"PNG")
    assert drop(shell, QUrl.fromLocalFile(str(picture)).toString())
    until(lambda: "rig.png: this is neither an experiment" in shell.messages.in_words(), "why it is not opened")
    shell.files.fill(shell.menus.recent)
    assert [action.text().split("  –  ")[0] for action in shell.menus.recent.actions()] == [run.name, written.name]
    shell.menus.recent.actions()[1].trigger()
    until(lambda: shell.train.experiment.isVisible(), "the experiment again")


def test_what_a_file_or_a_folder_is(tmp_path: Path) -> None:
    run = run_experiment(experiment(tmp_path), runs=tmp_path / "runs").folder
    (tmp_path / "rig.yaml").write_text("instruments:\n  dac: {driver: qdac2}\n", encoding="utf-8")
    assert target_at(run) == Target(run=run)
    assert target_at(run / "experiment.yaml") == Target(run=run)
    assert target_at(tmp_path / "runs") == Target(run=run), "the only one in it"
    assert target_at(tmp_path / "rig.yaml") == Target(rig=tmp_path / "rig.yaml")
    assert target_at(tmp_path / "experiment-under-test.yaml") == Target(experiment=tmp_path / "experiment-under-test.yaml")
    (tmp_path / "empty").mkdir()
    for name, why in (("empty", "no run has written into it"), ("gone.yaml", "there is no such file any more")):
        with pytest.raises(UnknownRunError, match=why):
            target_at(tmp_path / name)


def test_of_two_files_the_one_that_was_chosen_last_is_opened(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, go_on = QWidget(), threading.Event()
    qtbot.addWidget(window)
    for name in ("slow", "quick"):
        (tmp_path / f"{name}.yaml").write_text("name: x\n", encoding="utf-8")

    def slowly(path: Path) -> Target:
        if path.name == "slow.yaml":
            go_on.wait(60)
        return target_at(path)

    monkeypatch.setattr(files, "target_at", slowly)
    opener = files.Files(window, QSettings(str(tmp_path / "kept.ini"), QSettings.Format.IniFormat), lambda: tmp_path)
    chosen: list[Target] = []
    opener.chosen.connect(chosen.append)
    opener.open(tmp_path / "slow.yaml")
    opener.open(tmp_path / "quick.yaml")
    qtbot.waitUntil(lambda: len(chosen) == 1, timeout=LONG_MS)
    go_on.set()
    qtbot.waitUntil(lambda: not any(one.name == "what is it" for one in threading.enumerate()), timeout=LONG_MS)
    QApplication.processEvents()
    assert [one.experiment for one in chosen] == [tmp_path / "quick.yaml"]
