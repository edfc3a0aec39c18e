"""The window as a whole on real runs: what it says, what its keys do, and that closing it ends nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QStackedWidget, QWidget
from pytestqt.qtbot import QtBot
from shell_helpers import ENDLESS, endless, experiment, until, wait_for, window

from aeqlab.app.window.application import Target, make_window, target_of
from aeqlab.app.window.four_panels import FourPanels
from aeqlab.app.window.models.rig_problems import Step
from aeqlab.app.window.models.standing import Standing
from aeqlab.app.window.shell import Shell
from aeqlab.app.window.theme import theme
from aeqlab.protocols import load_run
from aeqlab.protocols.client import FoundSession
from aeqlab.protocols.errors import UnknownRunError
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_folder import is_alive

ASKS = ENDLESS.replace(
    "  - train: {method: centered, beta: 0.1", "  - ask: {text: 'Is the lamp on?'}\n  - train: {method: centered, beta: 0.1"
)


@pytest.fixture
def shell(qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with window(qtbot, qapp, tmp_path, monkeypatch) as made:
        yield made


def stands(shell: Shell, standing: Standing) -> None:
    """Wait until the banner says so; what its buttons offer is told together with it."""
    until(lambda: shell.banner.sign.value() is standing, standing.value)


def test_the_first_screen_offers_three_things_and_the_last_runs(qtbot: QtBot, shell: Shell, tmp_path: Path) -> None:
    assert shell.windowTitle() == "aeqlab"
    assert shell.banner.sign.value() is Standing.IDLE
    assert not [name for name in shell.tabs.names if shell.tabs.there(name)], "workspaces are made when they are needed"
    assert [button.text() for button in (shell.first.bench, shell.first.simulated, shell.first.rig)] == [
        "Try the emulated bench", "Train a simulated device", "Connect a rig",
    ]  # fmt: skip
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    shell.show_first()
    until(lambda: shell.first.last.count() == 1, "the run on the first screen")
    shell.first.last.itemAt(0).widget().click()
    until(lambda: "finished" in shell.banner.doing.text(), "the end of the run")
    assert result.folder.name in str(shell.world.run_feed.folder)
    assert shell.pages.currentWidget() is shell.tabs
    assert shell.tabs.currentWidget() is shell.train


def test_keys_pause_continue_skip_freeze_and_stop_a_run_which_goes_on_while_the_window_is_closed(
    qtbot: QtBot, qapp: object, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endless(tmp_path, ASKS) as (live, _):
        shell.open(Target(run=live))
        stands(shell, Standing.TRAINING)
        assert "train" in shell.banner.doing.text()
        until(lambda: "then FREEZE" in shell.banner.end.text(), "what comes at the end")
        offered = (shell.banner.pause, shell.banner.go_on, shell.banner.stop)
        assert [button.isEnabled() for button in offered] == [True, False, True]
        qtbot.keyClick(shell, Qt.Key.Key_F6)
        stands(shell, Standing.PAUSED)
        assert [button.isEnabled() for button in offered] == [False, True, True]
        shell.menus.write_note.trigger()
        assert shell.asking.note.field is not None
        assert shell.asking.note.field.hasFocus()
        qtbot.keyClicks(shell.asking.note.field, "the lamp flickers")
        qtbot.keyClick(shell.asking.note.field, Qt.Key.Key_Return)
        until(lambda: "Noted." in shell.messages.in_words(), "the note is taken")
        assert not shell.asking.note.isVisible()
        qtbot.keyClick(shell, Qt.Key.Key_F7)
        stands(shell, Standing.TRAINING)
        # the next stage asks; what is no answer is refused with what is expected
        qtbot.keyClick(shell, Qt.Key.Key_F8, Qt.KeyboardModifier.ControlModifier)
        until(shell.asking.question.isVisible, "the question of the run")
        assert shell.banner.sign.value() is Standing.PAUSED
        assert "Is the lamp on?" in shell.asking.question.words.text()
        field = shell.asking.question.field
        assert field is not None
        assert field.placeholderText() == "continue, stop"
        field.setText("perhaps")
        shell.asking.question.buttons["answer"].click()
        until(lambda: "'perhaps' is none of the choices" in shell.messages.in_words(), "the refusal")
        assert field.text() == "perhaps", "nothing that was typed is lost"
        field.setText("continue")
        qtbot.keyClick(field, Qt.Key.Key_Return)
        until(lambda: not shell.asking.question.isVisible(), "the answer is taken")
        stands(shell, Standing.TRAINING)
        # FREEZE; what happened stands in the night, and a click on it leads to its time
        qtbot.keyClick(shell, Qt.Key.Key_F9)
        stands(shell, Standing.PAUSED)
        until(lambda: "freeze" in load_run(live).events["word"].tolist(), "the freeze in the record")
        until(lambda: shell.night.night is not None and any(e.kind == "frozen" for e in shell.night.night.events), "the night")
        assert any(event.words.endswith("the lamp flickers") for event in shell.night.night.events)  # type: ignore[union-attr]
        shell.night.words.click()
        assert shell.tabs.currentWidget() is shell.past
        until(lambda: shell.past.replay.isVisible() and shell.past.replay.moment is not None, "the run as it was then")
        shell.show_workspace("Train")
        places = [shell.night.strip._x(event.at) for event in shell.night.night.events]  # type: ignore[union-attr]
        with qtbot.waitSignal(shell.night.wanted) as wanted:
            click = QPoint(math.floor(places[0]), shell.night.strip.height() // 3)
            qtbot.mouseClick(shell.night.strip, Qt.MouseButton.LeftButton, pos=click)
        assert wanted.args == [shell.night.night.events[0].at]  # type: ignore[union-attr]
        qtbot.keyClick(shell, Qt.Key.Key_F7)
        stands(shell, Standing.TRAINING)
        # closing the window ends nothing, and another one shows all of it
        shell.close()
        before = len(load_run(live).steps)
        wait_for(lambda: len(load_run(live).steps) > before + 5, "steps after the window was closed")
        with window(qtbot, qapp, tmp_path, monkeypatch, Target(run=live)) as again:
            stands(again, Standing.TRAINING)
            assert "stage ends" in again.banner.end.text() or "then FREEZE" in again.banner.end.text()
            qtbot.mouseClick(again.banner.stop, Qt.MouseButton.LeftButton)
            until(lambda: not is_alive(live), "the end of the run")
            until(lambda: "stopped" in again.banner.doing.text(), "the banner tells of it")
            until(lambda: "Stops at the end of this sample." in again.messages.in_words(), "what was answered to Stop")
            assert again.world.run is not None
            until(lambda: again.world.run.rows("steps") == len(load_run(live).steps), "every step")  # type: ignore[union-attr]
        run = load_run(live)
        assert run.state == "stopped"
        assert run.notes["text"].tolist() == ["the lamp flickers"]


def test_abort_ends_a_run_in_the_middle_and_the_projector_shows_it_with_one_button(
    qtbot: QtBot, shell: Shell, tmp_path: Path
) -> None:
    with endless(tmp_path) as (live, _):
        size = shell.size()
        shell.world.show_run(live)
        stands(shell, Standing.TRAINING)
        qtbot.keyClick(shell, Qt.Key.Key_F11)
        projector = shell.projector
        assert projector is not None
        until(lambda: projector.sign.value() is Standing.TRAINING and projector.curve.names(), "the projector")
        until(lambda: projector.cost.text().startswith("cost"), "the cost in large type")
        assert projector.cost.font().pixelSize() >= 24
        assert [one.text() for one in shell.findChildren(QAbstractButton) if one.isVisible() and one.text().isupper()] == [
            "FREEZE  F9"
        ]
        assert not shell.menuBar().isVisible()
        projector.freeze.click()
        until(lambda: projector.sign.value() is Standing.PAUSED, "frozen by the one button")
        qtbot.keyClick(projector.freeze, Qt.Key.Key_Escape)
        assert shell.projector is None
        assert shell.banner.isVisible()
        assert shell.menuBar().isVisible()
        assert shell.size() == size
        assert not theme().projected
        qtbot.keyClick(shell, Qt.Key.Key_F8, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        until(lambda: not is_alive(live), "the end of the run")
        until(lambda: "aborted" in shell.banner.doing.text(), "the banner tells of it")
        assert load_run(live).state == "aborted"
        assert not shell.asking.offer.isVisible(), "it was asked for, so nothing is offered"


def test_an_exception_in_the_window_is_shown_and_all_else_goes_on(shell: Shell) -> None:
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("in a slot"), None)
    until(lambda: "ZeroDivisionError: in a slot" in shell.messages.text(), "the message")
    assert "All else goes on" in shell.messages.in_words()
    shell.dark.trigger()
    assert theme().dark == shell.dark.isChecked()
    # it is drawn again only where something changed; that may happen once more at the beginning
    looks: list[int] = []
    shell._timer.timeout.connect(lambda: looks.append(1))

    def left_alone() -> bool:
        shell.banner.doing.setText("left alone")
        before = len(looks)
        until(lambda: len(looks) > before + 3, "some looks at the world")
        return shell.banner.doing.text() == "left alone"

    until(left_alone, "the banner is left alone")
    shell.world.changed.emit()
    until(lambda: shell.banner.doing.text() != "left alone", "it is drawn again")


def test_changes_that_are_not_saved_keep_the_window_from_closing_until_somebody_says_so(
    qtbot: QtBot, shell: Shell, tmp_path: Path
) -> None:
    path = experiment(tmp_path).path
    shell.open_experiment(path)
    document = shell.train.experiment.document
    until(lambda: document.path == path, "the experiment")
    assert shell.unsaved() == []
    shell.train.experiment.editor.setFocus()
    qtbot.keyClicks(shell.train.experiment.editor, "# mine")
    until(lambda: document.modified, "that it is changed")
    shell.connect_page.guide.guide.edit(lambda draft: draft.add("control", "u", "dac[1]"))
    assert shell.unsaved() == [f"experiment {path.name} (Train)", "the new rig file (Connect)"]
    row = shell.asking.closing
    for stays in ("leave", "Escape"):
        qtbot.keyClick(shell, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
        until(row.isVisible, "the question")
        assert f"Not saved: experiment {path.name} (Train); the new rig file (Connect)." in row.words.text()
        assert shell.isVisible()
        if stays == "leave":
            row.buttons["leave"].click()
        else:
            qtbot.keyClick(row.buttons["leave"], Qt.Key.Key_Escape)
        until(lambda: not row.isVisible(), "it is asked no more")
    assert document.modified
    shell.windowHandle().close()  # as its frame does
    until(row.isVisible, "the question, where it was closed by its frame")
    assert shell.isVisible()
    row.buttons["close"].click()
    until(lambda: not shell.isVisible(), "the end of the window")
    assert "# mine" not in path.read_text(encoding="utf-8")


def test_what_is_pressed_twice_starts_once(shell: Shell, tmp_path: Path) -> None:
    path = experiment(tmp_path).path
    shell.start.run(path)
    shell.start.run(path)
    assert "Nothing else is started meanwhile. Starts" in shell.messages.in_words()
    until(lambda: shell.world.run is not None and shell.world.run.state == "finished", "the end of the run")
    assert len(list((tmp_path / "runs").glob("*/record.sqlite"))) == 1
    first = shell.world.run_feed.folder
    shell.start.run(path)
    until(lambda: len(list((tmp_path / "runs").glob("*/record.sqlite"))) == 2, "another one, after that")
    until(lambda: shell.world.run_feed.folder != first, "the other one is shown")
    until(lambda: shell.world.run is not None and shell.world.run.state == "finished", "its end")


class Shown(QObject):
    """Notes every widget that comes up as a window of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            self.windows.append(repr(watched))
        return False


def test_every_command_has_a_key_of_its_own_and_buttons_name_theirs(qapp: QApplication, shell: Shell) -> None:
    shown = Shown()
    qapp.installEventFilter(shown)
    for name in shell.tabs.names:
        shell.tabs.page(name)
    qapp.removeEventFilter(shown)
    assert not shown.windows, "one that comes up while a workspace is made takes the keys away from this one"
    keys = [action.shortcut().toString() for action in shell.findChildren(QAction) if not action.shortcut().isEmpty()]
    assert len(keys) == len(set(keys))
    own = [one.key().toString() for one in shell.findChildren(QShortcut)]
    own += [one.shortcut().toString() for one in shell.findChildren(QAbstractButton) if not one.shortcut().isEmpty()]
    assert not set(own) & set(keys), "two that mean the same key take it from each other"
    buttons = ((shell.banner.freeze, "F9"), (shell.banner.safe, "F12"), (shell.banner.pause, "F6"))
    for button, key in buttons:
        assert key in button.text()
        assert key in button.toolTip()
        assert QKeySequence(key).toString() in keys
    assert "Ctrl+Alt+T" in shell.control.take.toolTip()


def test_one_of_several_sessions_is_chosen_in_the_menu(shell: Shell) -> None:
    one, other = (FoundSession(f"address {k}", f"device {k}", "a session", 0, "nowhere", 1, "") for k in "12")
    until(lambda: shell.world.sessions._thread.is_alive(), "that sessions are looked for")
    shell.menus.sessions.aboutToShow.emit()
    assert [action.text() for action in shell.menus.sessions.actions()] == ["No session runs"]
    shell.world.sessions.running = (one, other)
    for found in (other, one):
        shell.menus.sessions.aboutToShow.emit()
        actions = {action.text(): action for action in shell.menus.sessions.actions()}
        actions[f"{found.device}  –  {found.address}"].trigger()
        assert shell.world.session_feed.view is not None
        assert shell.world.session_feed.view.found == found
    shell.menus.sessions.aboutToShow.emit()
    assert [action.isChecked() for action in shell.menus.sessions.actions()] == [True, False]


def test_no_two_in_one_workspace_mean_the_same_key(shell: Shell) -> None:
    menus = [f"Alt+{action.text().partition('&')[2][:1].upper()}" for action in shell.menuBar().actions()]
    pages = {name: shell.tabs.page(name) for name in shell.tabs.names} | {"the first screen": shell.first}
    for name, page in pages.items():
        found: dict[str, list[QWidget]] = {key: [shell.menuBar()] for key in menus}
        buttons = [(one.shortcut(), one) for one in page.findChildren(QAbstractButton)]
        buttons += [(QKeySequence.mnemonic(one.text()), one) for one in page.findChildren(QLabel) if one.buddy() is not None]
        shortcuts = [(one.key(), cast("QWidget", one.parent())) for one in page.findChildren(QShortcut)]
        for key, widget in (*buttons, *shortcuts):
            if not key.isEmpty():
                found.setdefault(key.toString(), []).append(widget)
        for key, widgets in found.items():
            for k, one in enumerate(widgets):
                for other in widgets[k + 1 :]:
                    assert apart(one, other), f"{name}: {key} is of {one.objectName() or one} and of {other}"


def apart(one: QWidget, other: QWidget) -> bool:
    """Tell whether two never take a key from each other: they are on pages that are never in front together, or hear it apart."""
    above, beside = ([widget, *ancestors(widget)] for widget in (one, other))
    shared = next((widget for widget in above if widget in beside), None)
    if isinstance(shared, QStackedWidget):
        return True
    return isinstance(one, QAbstractButton) is isinstance(other, QAbstractButton) is False and one is not shared is not other


def ancestors(widget: QWidget) -> list[QWidget]:
    found = []
    while (above := widget.parentWidget()) is not None:
        found.append(above)
        widget = above
    return found


def test_the_layout_is_remembered(qtbot: QtBot, qapp: object, shell: Shell, tmp_path: Path) -> None:
    until(lambda: shell.minimumSizeHint().width() <= shell.width(), "a size that can be")
    shell.resize(shell.minimumSizeHint().width(), 650)  # the screen of a computer without one is small
    size = shell.size()
    shell.dark.trigger()
    dark = theme().dark
    shell.show_workspace("Connect")
    heights = set()
    for step in Step:  # whatever room a page would like, the state stands still above it
        shell.connect_page.guide.go_to(step)
        QApplication.processEvents()
        heights.add(shell.banner.height())
    assert len(heights) == 1
    shell.connect_page.pages.setCurrentWidget(shell.connect_page.panels)
    splitter = shell.connect_page.panels.rows[1]
    until(lambda: min(splitter.sizes()) > 0, "its panels")
    before = splitter.sizes()
    splitter.setSizes([0, sum(before)])  # as far as it goes
    sizes = splitter.sizes()
    assert sizes != before
    shell.close()
    again = make_window(qapp, tmp_path / "runs", Target())  # type: ignore[arg-type]
    qtbot.addWidget(again)
    again.show()
    assert again.size() == size
    assert theme().dark == dark
    again.show_workspace("Connect")
    again.connect_page.pages.setCurrentWidget(again.connect_page.panels)
    until(lambda: again.connect_page.panels.rows[1].sizes() == sizes, "the same room for its panels")
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
    until(lambda: contents[2].height() > 500, "the panel fills the workspace")
    panels.panels[2].back.click()
    assert seen() == [True] * 4
    panels.panels[1].tear.click()
    torn: QWidget = contents[1].window()
    assert torn is not panels.window()
    assert contents[1].isVisible()
    panels.panels[1].back.click()
    assert contents[1].window() is panels.window()
    panels.panels[1].tear.click()
    contents[1].window().activateWindow()
    until(contents[1].isActiveWindow, "it is in front")
    qtbot.keyClick(contents[1].window(), Qt.Key.Key_Escape)
    until(lambda: contents[1].window() is panels.window(), "Esc brings it back")
    assert panels.rows[0].indexOf(panels.panels[1]) == 1
