"""What must hold in the window whatever else goes on: the state is told, FREEZE is reached, nothing is taken unasked or lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication, QFileDialog, QLineEdit, QWidget
from pytestqt.qtbot import QtBot
from shell_helpers import LONG_S, until, window

from aeqlab.app.window.asking import Asking
from aeqlab.app.window.models.commander import Answer, Commander
from aeqlab.app.window.models.offers import offer_of
from aeqlab.app.window.models.rig_now import interlocks_of
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionList, SessionView
from aeqlab.app.window.models.standing import Standing
from aeqlab.app.window.models.tune_work import TuneWork
from aeqlab.app.window.models.vitals import Mood, held
from aeqlab.app.window.models.world import World
from aeqlab.app.window.shell import Shell
from aeqlab.app.window.train.results import Results
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import FoundSession, find_sessions, open_session
from aeqlab.protocols.lost import take_as_it_is
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.session_view import InterlockView
from aeqlab.protocols.session_view import SessionView as Seen
from aeqlab.protocols.status import SessionState, SessionStatus

SLOW = SlowSettings(energy="linear", options={"frequencies": 2}, tick_s=0.01)
NOWHERE = FoundSession("an address", "a device", "a session", 0, "nowhere", 1, "")


@pytest.fixture
def shell(qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with window(qtbot, qapp, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionClient]:
    """Start a session of a slow device, as a run does, and control it."""
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    client = open_session(SLOW, seed=1, base=tmp_path, folder=tmp_path / "session", who="run of-the-test")
    yield client
    client.close()


def answers(commander: Commander) -> list[Answer]:
    told: list[Answer] = []
    commander.answered.connect(told.append)
    return told


def test_a_plot_that_fails_keeps_no_state_from_being_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("in a plot")

    shell.show_workspace("Train")
    monkeypatch.setattr(shell.train, "redraw", fail)
    monkeypatch.setattr(shell.train, "set_value", fail)
    status = SessionStatus(SessionState.FROZEN, "the lamp went out", "nobody", "", (), 0.0, "a device", 1.0)
    shell.world.session = SessionView(NOWHERE, status=status, heard_at=time.monotonic())
    shell.world.changed.emit()
    until(lambda: shell.banner.sign.value() is Standing.FROZEN, "the state")
    assert "the lamp went out" in shell.banner.doing.text()
    until(lambda: "ZeroDivisionError: in a plot" in shell.messages.in_words(), "what went wrong")
    assert shell.control.words.text() == "control: nobody"


def asked_for(shell: Shell, what: str, name: str) -> QFileDialog:
    """Get the window's dialog for a file of a kind, with a name written into it."""
    shell.files.ask(what)
    dialog = shell.files.dialog
    assert dialog is not None
    line = dialog.findChild(QLineEdit)
    assert line is not None
    line.setText(name)
    return dialog


def test_no_dialog_keeps_the_keys_of_freeze_and_safe(qtbot: QtBot, shell: Shell) -> None:
    told = answers(shell.world.commander)
    for workspace, opens in (
        ("Connect", shell.connect_page.guide.arming.browse), ("Connect", shell.connect_page.guide.limits.choose),
        ("Train", shell.train.experiment.save_as), ("Train", shell.train.experiment._ask_file),
    ):  # fmt: skip
        shell.show_workspace(workspace)
        opens()
        (dialog,) = [one for one in shell.findChildren(QFileDialog) if one.isVisible()]
        assert not dialog.isModal()
        assert dialog.testOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.activateWindow()
        until(dialog.isActiveWindow, "the dialog in front")
        for key in (Qt.Key.Key_F9, Qt.Key.Key_F12):
            told.clear()
            qtbot.keyClick(dialog, key)
            until(lambda: bool(told), "the answer to the key")
        dialog.close()
        until(lambda: not [one for one in shell.findChildren(QFileDialog) if one.isVisible()], "it is gone")
    # a name that is not there is told in the window
    dialog = asked_for(shell, "experiment", "nothing-of-this-name.yaml")
    dialog.accept()
    until(lambda: "nothing-of-this-name.yaml" in shell.messages.in_words(), "what is not there")
    # and a box that Qt's own dialog shows and waits for hears the keys
    dialog = asked_for(shell, "run", "no-folder-of-this-name")
    told.clear()
    boxes: list[QWidget] = []

    def press() -> None:
        box = QApplication.activeModalWidget()
        if box is None or not box.isActiveWindow():  # not there yet, or its keys are not heard yet
            QTimer.singleShot(10, shell, press)
            return
        boxes.append(box)
        qtbot.keyClick(box, Qt.Key.Key_F9)
        box.close()

    QTimer.singleShot(10, shell, press)
    dialog.accept()
    assert boxes
    until(lambda: bool(told), "the answer to the key")
    dialog.close()


def test_an_interlock_of_a_session_that_does_not_answer_counts_as_tripped(shell: Shell) -> None:
    status = SessionStatus(SessionState.HOLDING, "", "loop", "", (), 0.0, "a device", 1.0)
    cooling = InterlockView("cooling", "temperature > 300", "safe", False, "", {"temperature": (299.2, "K", 0.1)})
    nan = float("nan")
    seen = Seen(status, None, nan, {}, None, None, nan, None, None, None, None, (), (), None, 1, (cooling,))
    view = SessionView(NOWHERE, status=status, seen=seen, heard_at=time.monotonic())
    (row,) = interlocks_of(view)
    assert not row.bad
    (row,) = interlocks_of(replace(view, lost="it has not answered for 1.4 s"))
    assert row.bad
    shell.connect_page.interlocks.take([], interlocks_of(view))
    assert "None of 1" in shell.connect_page.interlocks.state.text()
    shell.connect_page.set_session(None)
    assert "no session is open" in shell.connect_page.interlocks.state.text()


def test_the_token_is_taken_from_nobody_but_whom_it_was_asked_about(qtbot: QtBot, client: SessionClient) -> None:
    commander = Commander()
    told = answers(commander)
    commander.serve(None, find_sessions()[0])
    commander.take_control()
    until(lambda: len(told) == 1, "the refusal")
    assert not told[0].done
    assert "run of-the-test" in told[0].text
    assert client.status().control == client.who
    commander.take_control(client.who)
    until(lambda: len(told) == 2, "the token")
    assert told[1].done
    assert commander.holds(client.status().control)
    # what takes time uses the line that has it
    work = TuneWork(commander)
    done: list[tuple[str, str]] = []
    work.done.connect(lambda *words: done.append(words))
    work.hold()
    until(lambda: bool(done), "theta is held")
    assert done == [("hold", "Theta is held.")]
    assert commander.holds(client.status().control)
    # what came after the standing that is shown is not lifted with it
    client.freeze("the first reason")
    commander.standing = client.status().standing
    client.freeze("a later reason")
    told.clear()
    commander.let_move()
    until(lambda: bool(told), "the refusal")
    assert not told[0].done
    assert client.status().state is SessionState.FROZEN
    commander.close()


def test_the_question_about_control_ends_where_another_has_it_and_a_note_goes_where_it_was_begun(
    qtbot: QtBot, tmp_path: Path
) -> None:
    asking = Asking()
    qtbot.addWidget(asking)
    asking.show()
    asking.ask_for_control("run one (process 1)")
    asking.see_control("run one (process 1)")
    assert asking.control.isVisible()
    asking.see_control("run two (process 2)")
    assert not asking.control.isVisible()
    asking.set_value(RunView(tmp_path / "one"), None)
    asking.write_note(tmp_path / "one")
    asking.set_value(RunView(tmp_path / "two"), None)
    assert asking.note.field is not None
    asking.note.field.setText("the lamp flickers")
    with qtbot.waitSignal(asking.note_written) as written:
        qtbot.keyClick(asking.note.field, Qt.Key.Key_Return)
    assert written.args == [tmp_path / "one", "the lamp flickers"]


def test_what_is_being_answered_stays_while_the_run_does_not_tell_what_it_asks(qtbot: QtBot, tmp_path: Path) -> None:
    asking = Asking()
    qtbot.addWidget(asking)
    asking.show()
    field = asking.question.field
    assert field is not None
    asks = RunView(tmp_path / "one", alive=True, progress={"question": "Is the lamp on? (continue, stop)"})
    asking.set_value(asks, None)
    field.setText("contin")
    asking.set_value(replace(asks, progress=None), None)
    assert asking.question.isVisible()
    assert field.text() == "contin"
    asking.set_value(replace(asks, progress={"question": ""}), None)
    assert not asking.question.isVisible()
    asking.set_value(asks, None)
    asking.set_value(RunView(tmp_path / "two", alive=True), None)
    assert not asking.question.isVisible(), "it was the question of another run"


class Line:
    """A line to a session that nobody is at the end of."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_the_token_is_kept_until_the_session_tells_that_somebody_has_it(shell: Shell) -> None:
    command, line = shell.world.commander, Line()
    command._held, command._held_at = (NOWHERE, line), time.monotonic() - 60.0  # type: ignore[assignment]
    status = SessionStatus(SessionState.HOLDING, "", "loop", "", (), 0.0, "a device", 1.0)
    view = SessionView(NOWHERE, status=status, heard_at=time.monotonic())
    for said in (replace(view, lost="it does not answer"), replace(view, heard_at=command._held_at - 1.0)):
        shell.world.session = said
        shell._show_control()
        assert command._held is not None
    shell.world.session = view
    shell._show_control()
    assert command._held is None
    until(line.closed.is_set, "the line is closed")


def test_a_line_for_freeze_that_comes_late_takes_no_other_ones_place(qapp: object) -> None:
    commander, line = Commander(), Line()
    commander.session, commander._urgent = NOWHERE, line  # type: ignore[assignment]
    for late in (replace(NOWHERE, address="another"), None):
        commander._open_urgent(late)
        assert commander._urgent is line
        assert not line.closed.is_set()
    commander.close()
    until(line.closed.is_set, "the line is closed")


def test_a_session_that_answered_late_is_not_told_as_lost_for_ever(
    qtbot: QtBot, client: SessionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr("aeqlab.protocols.client._answers", lambda _: answers.is_set())
    monkeypatch.setattr("aeqlab.app.window.models.session_feed.HUNG_S", 0.0)
    client.present(np.full((1, 1), 0.3))
    client.advance(0.05)
    listed = SessionList()
    listed.start()
    try:
        until(lambda: bool(listed.lost), "the session that does not answer")
        assert listed.lost[0].hung
        answers.set()
        until(lambda: not listed.lost, "that it answers")
        assert len(listed.running) == 1
    finally:
        listed.close()


def test_a_session_that_hangs_keeps_the_window_from_nothing(qtbot: QtBot, client: SessionClient) -> None:
    (found,) = find_sessions()
    client.give_control()
    commander = Commander()
    told = answers(commander)
    commander.serve(None, found)
    until(lambda: commander._urgent is not None, "the line for FREEZE")
    commander.take_control()
    until(lambda: bool(told), "the token")
    os.kill(found.guardian, signal.SIGSTOP)
    os.kill(found.pid, signal.SIGSTOP)
    try:
        commander.freeze()
        time.sleep(0.3)
        began = time.monotonic()
        commander._held_at = 0.0
        commander.see_control("", time.monotonic())
        commander.give_control()
        commander.serve(None, None)
        assert time.monotonic() - began < 3.0  # whoever waited for it would wait 4 s at least
    finally:
        os.kill(found.pid, signal.SIGKILL)
        os.kill(found.guardian, signal.SIGCONT)


def test_a_move_by_hand_comes_to_its_end_before_the_window_is_gone(
    qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("aeqlab.app.window.models.commander.CLOSING_S", LONG_S)  # where the machine is slow, so is the move
    crawls = SLOW.model_copy(update={"slew_V_per_s": 0.5})
    client = open_session(crawls, seed=1, base=tmp_path, folder=tmp_path / "session", who="the test")
    try:
        client.present(client.info.inputs_at_rest)
        client.give_control()
        (found,) = find_sessions()
        commander = Commander()
        commander.serve(None, found)
        until(lambda: commander._urgent is not None, "the line for FREEZE")
        commander.at_session("move", lambda mover: mover.move_knobs("control", [0], [0.5]) and "moved", control=True)
        until(lambda: "window of" in client.watch().owners[0], "it moves")
        commander.close()
        assert client.watch().setpoints is not None
        assert client.watch().setpoints[0] == pytest.approx(0.5)
        assert client.status().state not in (SessionState.FROZEN, SessionState.SAFE)
    finally:
        client.close()


def test_the_session_of_a_run_is_watched_on_until_it_is_told_what_became_of_it(qapp: object, tmp_path: Path) -> None:
    world = World(tmp_path / "runs")
    run = tmp_path / "runs" / "one"
    its = replace(NOWHERE, folder=str(run / "session"))
    try:
        world.show_run(run)
        world.sessions.changed.emit((), ())
        assert world.session_feed.view is None
        world.sessions.running = (its,)
        world.sessions.changed.emit((its,), ())
        assert world.session_feed.view is not None
        world.sessions.running = ()  # its end shows here before whoever watches it has said a word
        world.sessions.changed.emit((), ())
        assert world.session_feed.view is not None
        assert world.session_feed.view.found == its
        world.show_run(tmp_path / "runs" / "two")
        assert world.session_feed.view is None
    finally:
        world.close()


def test_the_session_of_a_run_stays_shown_when_another_begins(qtbot: QtBot, client: SessionClient, tmp_path: Path) -> None:
    (found,) = find_sessions()
    world = World(tmp_path / "runs")
    world.start()
    try:
        world.show_run(tmp_path / "runs" / "of-the-test")
        until(lambda: world.session is not None and world.session.found == found, "the session that the run controls")
        client.give_control()
        other = open_session(SLOW, seed=2, base=tmp_path, folder=tmp_path / "other", who="run another")
        try:
            until(lambda: len(world.sessions.running) == 2, "another session")
            assert world.session_feed.view is not None
            assert world.session_feed.view.found == found
            assert world.commander.session == found
        finally:
            other.close()
    finally:
        world.close()


def test_what_was_done_about_a_lost_device_shows_and_offers_can_be_compared(
    qtbot: QtBot, client: SessionClient, tmp_path: Path
) -> None:
    (found,) = find_sessions()
    client.present(np.full((1, 1), 0.3))
    client.advance(0.05)
    listed = SessionList()
    listed.start()
    try:
        until(lambda: bool(listed.running), "the session")
        os.killpg(found.guardian, signal.SIGKILL)  # both at once: neither sees the other die
        until(lambda: bool(listed.lost), "the device whose state nobody knows")
        assert not listed.lost[0].taken
        first, again = (offer_of(None, None, (one,)) for one in (listed.lost[0], replace(listed.lost[0])))
        assert first == again
        take_as_it_is(listed.lost[0], "ada")
        until(lambda: bool(listed.lost) and bool(listed.lost[0].taken), "that it was taken")  # not listed while it is taken
    finally:
        listed.close()


def test_a_result_that_was_chosen_by_keys_stays(qtbot: QtBot, tmp_path: Path) -> None:
    results = Results()
    qtbot.addWidget(results)
    results.show()
    results._show_tabs({"Learned", "Classes", "Scan"})
    results.tabs.setVisible(True)
    results._front("Learned")
    assert results.chosen == ""
    qtbot.keyClick(results.tabs, Qt.Key.Key_Right)
    assert (results.chosen, results.shown) == ("Classes", "Classes")
    assert results.stack.currentWidget() is results.classes


def test_what_was_held_is_not_called_held_where_nothing_holds_it(tmp_path: Path) -> None:
    one = {"id": 1, "hold_error": 0.4, "hold_worst": 0.0, "hold_verdict": "settled"}
    steps = {name: np.array([value]) for name, value in one.items()}
    run = RunView(tmp_path, tables={"steps": steps}, alive=True)
    status = SessionStatus(SessionState.HOLDING, "", "loop", "", (), 0.0, "a device", 1.0)
    holding = SessionView(NOWHERE, status=status, heard_at=time.monotonic())
    frozen = replace(holding, status=replace(status, state=SessionState.FROZEN))
    assert held(run, holding).mood is Mood.GOOD
    for session in (frozen, replace(holding, lost="it does not answer")):
        assert held(run, session).mood is Mood.UNKNOWN
        assert held(run, session).text.startswith("at the last clamp held")


def test_freeze_reaches_every_session_where_nothing_is_shown_that_moves(
    qtbot: QtBot, client: SessionClient, tmp_path: Path
) -> None:
    commander = Commander()
    told = answers(commander)
    commander.serve(tmp_path / "an old run", None)
    commander.freeze()
    until(lambda: bool(told), "the answer")
    assert told[0].done
    assert "all sessions were asked" in told[0].text
    assert client.status().state is SessionState.FROZEN
    commander.close()
