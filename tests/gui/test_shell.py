"""The window as a whole on real runs and sessions: what it says, what its keys do, and that closing it ends nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QAbstractButton, QLabel, QWidget
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import experiment, read_steps, start_worker, wait_for

from aeqlab.app.window.application import Target, make_window, target_of
from aeqlab.app.window.four_panels import FourPanels
from aeqlab.app.window.models.standing import Standing
from aeqlab.app.window.shell import Shell
from aeqlab.app.window.theme import theme
from aeqlab.protocols import load_run
from aeqlab.protocols.errors import UnknownRunError
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_folder import is_alive


@pytest.fixture
def shell(qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    made = make_window(qapp, tmp_path / "runs", Target())  # type: ignore[arg-type]
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """Let a long run go on in a process of its own; gives its folder."""
    experiment(tmp_path)
    process = start_worker("run", tmp_path / "experiment-under-test.yaml", tmp_path / "runs", "data.samples=100000")
    try:
        wait_for(lambda: bool(list((tmp_path / "runs").glob("*/control.json"))), "the run")
        (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/record.sqlite"))
        read_steps(process, 5)
        drain = threading.Thread(
            target=process.stdout.read if process.stdout else print, daemon=True
        )  # its pipe must not fill up
        drain.start()
        yield folder
    finally:
        process.kill()
        process.wait()


def test_the_first_screen_offers_three_things_and_the_last_runs(qtbot: QtBot, shell: Shell, tmp_path: Path) -> None:
    assert shell.windowTitle() == "aeqlab"
    assert shell.banner.sign.value() is Standing.IDLE
    assert [button.text() for button in (shell.first.bench, shell.first.simulated, shell.first.rig)] == [
        "Try the emulated bench", "Train a simulated device", "Connect a rig",
    ]  # fmt: skip
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    shell.show_first()
    qtbot.waitUntil(lambda: shell.first.last.count() == 1)
    with qtbot.waitSignal(shell.world.run_shown):
        shell.first.last.itemAt(0).widget().click()
    qtbot.waitUntil(lambda: "finished" in shell.banner.doing.text())
    assert result.folder.name in str(shell.world.run_feed.folder)
    assert shell.pages.currentWidget() is shell.tabs


def test_keys_pause_continue_and_stop_a_run_and_the_banner_says_so(qtbot: QtBot, shell: Shell, live: Path) -> None:
    shell.world.show_run(live)
    qtbot.waitUntil(lambda: shell.banner.sign.value() is Standing.TRAINING)
    assert "train" in shell.banner.doing.text()
    qtbot.waitUntil(lambda: "then FREEZE" in shell.banner.end.text())
    qtbot.keyClick(shell, Qt.Key.Key_F6)
    qtbot.waitUntil(lambda: shell.banner.sign.value() is Standing.PAUSED)
    assert not shell.banner.pause.isEnabled()
    assert shell.banner.go_on.isEnabled()
    qtbot.keyClick(shell, Qt.Key.Key_F7)
    qtbot.waitUntil(lambda: shell.banner.sign.value() is Standing.TRAINING)
    qtbot.mouseClick(shell.banner.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not is_alive(live), timeout=20_000)
    qtbot.waitUntil(lambda: "stopped" in shell.banner.doing.text())
    assert load_run(live).state == "stopped"
    assert "Stops at the end of this sample." in shell.messages.in_words()


def test_freeze_pauses_a_simulated_run_with_the_device_frozen(qtbot: QtBot, shell: Shell, live: Path) -> None:
    shell.world.show_run(live)
    qtbot.waitUntil(lambda: shell.banner.sign.value() is Standing.TRAINING)
    qtbot.keyClick(shell, Qt.Key.Key_F9)
    qtbot.waitUntil(lambda: load_run(live).state == "paused")
    qtbot.waitUntil(lambda: shell.banner.sign.value() is Standing.PAUSED)
    assert "freeze" in load_run(live).events["word"].tolist()


def test_closing_the_window_ends_nothing(qtbot: QtBot, shell: Shell, live: Path) -> None:
    shell.world.show_run(live)
    qtbot.waitUntil(lambda: shell.world.run is not None and shell.world.run.alive)
    shell.close()
    before = len(load_run(live).steps)
    wait_for(lambda: len(load_run(live).steps) > before + 5, "steps after the window was closed")
    assert is_alive(live)


def test_an_exception_in_the_window_is_shown_and_all_else_goes_on(qtbot: QtBot, shell: Shell, capsys: object) -> None:
    def breaks() -> None:
        raise ZeroDivisionError("in a slot")

    with qtbot.captureExceptions():  # pytest-qt would take it for a failure of the test
        pass
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("in a slot"), None)
    qtbot.waitUntil(lambda: "ZeroDivisionError: in a slot" in shell.messages.text())
    assert "All else goes on" in shell.messages.in_words()
    shell.dark.trigger()
    assert theme().dark == shell.dark.isChecked()


def test_every_command_has_a_key_of_its_own_and_buttons_name_theirs(shell: Shell) -> None:
    keys = [action.shortcut().toString() for action in shell.findChildren(type(shell.dark)) if not action.shortcut().isEmpty()]
    assert len(keys) == len(set(keys))
    own = [one.key().toString() for one in shell.findChildren(QShortcut)]
    own += [one.shortcut().toString() for one in shell.findChildren(QAbstractButton) if not one.shortcut().isEmpty()]
    assert not set(own) & set(keys), "two that mean the same key take it from each other"
    for button, key in ((shell.banner.freeze, "F9"), (shell.banner.safe, "F12"), (shell.banner.pause, "F6")):
        assert key in button.text()
        assert key in button.toolTip()
        assert QKeySequence(key).toString() in keys


def test_the_layout_is_remembered(qtbot: QtBot, qapp: object, shell: Shell, tmp_path: Path) -> None:
    shell.resize(shell.minimumSizeHint().width(), 650)  # the screen of a computer without one is small
    size = shell.size()
    shell.dark.trigger()
    dark = theme().dark
    shell.close()
    again = make_window(qapp, tmp_path / "runs", Target())  # type: ignore[arg-type]
    qtbot.addWidget(again)
    again.show()
    assert again.size() == size
    assert theme().dark == dark
    again.close()


def test_what_a_word_on_the_command_line_means(tmp_path: Path) -> None:
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    (tmp_path / "rig.yaml").write_text("instruments:\n  dac: {driver: qdac2}\n", encoding="utf-8")
    runs = tmp_path / "runs"
    assert target_of(None, runs) == Target()
    assert target_of("last", runs) == Target(run=result.folder)
    assert target_of(str(result.folder), runs) == Target(run=result.folder)
    assert target_of(str(tmp_path / "rig.yaml"), runs) == Target(rig=tmp_path / "rig.yaml")
    assert target_of(str(tmp_path / "experiment-under-test.yaml"), runs) == Target(
        experiment=tmp_path / "experiment-under-test.yaml"
    )
    with pytest.raises(UnknownRunError, match=r"nothing.yaml: there is no such file"):
        target_of("nothing.yaml", runs)
    with pytest.raises(UnknownRunError, match="No run 'nothing'"):
        target_of("nothing", runs)


def test_a_panel_can_be_enlarged_torn_off_and_brought_back(qtbot: QtBot) -> None:
    contents = [QLabel(f"panel {k}") for k in range(4)]
    panels = FourPanels([(f"Panel {k}", widget) for k, widget in enumerate(contents)])
    qtbot.addWidget(panels)
    panels.resize(800, 600)
    panels.show()

    def seen() -> list[bool]:
        return [widget.isVisible() for widget in contents]

    assert seen() == [True] * 4
    panels.panels[2].enlarge.click()
    assert seen() == [False, False, True, False]
    qtbot.waitUntil(lambda: contents[2].height() > 500)
    panels.panels[2].back.click()
    assert seen() == [True] * 4
    panels.panels[1].tear.click()
    torn: QWidget = contents[1].window()
    assert torn is not panels.window()
    assert contents[1].isVisible()
    panels.panels[1].back.click()
    assert contents[1].window() is panels.window()
    assert panels.rows[0].indexOf(panels.panels[1]) == 1


def test_the_window_is_drawn_again_only_where_something_changed(qtbot: QtBot, shell: Shell) -> None:
    began = time.monotonic()
    texts = []
    shell.banner.doing.setText("left alone")
    qtbot.wait(200)
    texts.append(shell.banner.doing.text())
    assert texts == ["left alone"]
    shell.world.changed.emit()
    qtbot.waitUntil(lambda: shell.banner.doing.text() != "left alone")
    assert time.monotonic() - began < 5.0
