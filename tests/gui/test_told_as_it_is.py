"""What the window says at moments in which not all is known: nothing is called good, refused or measured that is not."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot
from shell_helpers import until

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from session_helpers import KEY, client_of, served, simulated

from aeqlab.app.window.asking import Asking
from aeqlab.app.window.banner import BannerBar
from aeqlab.app.window.connect.workspace import Connect
from aeqlab.app.window.four_panels import Panel
from aeqlab.app.window.messages import MessageLine
from aeqlab.app.window.models import commander, rig_told
from aeqlab.app.window.models.commander import Answer, Commander, safe_in_words
from aeqlab.app.window.models.offers import offer_of
from aeqlab.app.window.models.rig_told import RigTold
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.safe_words import WHATEVER, making_safe
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.app.window.models.standing import Standing, banner_of, banner_or_unknown
from aeqlab.app.window.models.vitals import Mood, held, vitals_of
from aeqlab.app.window.models.world import World
from aeqlab.app.window.night import NightBar
from aeqlab.app.window.plots.samples import PRESENTED
from aeqlab.app.window.tune.workspace import Tune
from aeqlab.app.window.vitals_line import VitalsLine
from aeqlab.backends.device import Grade, SafetyLine, SafetyReport
from aeqlab.protocols.client import FoundSession
from aeqlab.protocols.control import ControlServer, send
from aeqlab.protocols.run_folder import RunLock
from aeqlab.protocols.run_state import Requests
from aeqlab.protocols.sequence_told import TO_COME, ToldSequence, ToldStage
from aeqlab.protocols.session_view import SessionView as Seen
from aeqlab.protocols.status import SessionEvent, SessionState, SessionStatus

NOWHERE = FoundSession("an address", "a device", "a session", 0, "nowhere", 1, "")
STATUS = SessionStatus(SessionState.HOLDING, "", "loop", "", (), 0.0, "a device", 1.0)
NAN = float("nan")
SEEN = Seen(STATUS, None, NAN, {}, None, None, NAN, None, None, None, None, (), (), None, 1)


def view_of(found: FoundSession = NOWHERE, **more: Any) -> SessionView:
    return SessionView(found, status=STATUS, seen=SEEN, heard_at=time.monotonic(), **more)


@contextmanager
def commanded(folder: Path, *, answers: threading.Event | None = None) -> Iterator[Requests]:
    """Be a run that is going on and takes commands; where an event is given, it answers none before that is set."""
    folder.mkdir(parents=True)
    lock, requests = RunLock(folder / ".lock"), Requests()

    def status() -> dict[str, str]:
        if answers is not None:
            answers.wait(60.0)
        return {"state": "running", "stage": "identify"}

    lock.take()
    server = ControlServer(folder / "control.json", requests, status)
    try:
        yield requests
    finally:
        if answers is not None:
            answers.set()
        server.close()
        lock.release()


def told_by(command: Commander) -> list[Answer]:
    told: list[Answer] = []
    command.answered.connect(told.append)
    return told


# commands
def test_an_edit_without_an_answer_is_not_told_as_refused(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aeqlab.app.window.train.running_sequence import RunningSequence

    monkeypatch.setattr(commander, "send", partial(send, timeout_s=0.2))
    command = Commander()
    told = told_by(command)
    command.serve(tmp_path / "gone", None)
    command.to_run("edit", "{}")
    until(lambda: len(told) == 1, "that no run is going on")
    assert told[0].heard, "nothing was sent"
    with commanded(tmp_path / "run", answers=threading.Event()):
        command.serve(tmp_path / "run", None)
        command.to_run("edit", "{}")
        until(lambda: len(told) == 2, "that no answer came")
    assert (told[1].done, told[1].heard) == (False, False)
    stages = tuple(ToldStage(str(k), 0, "hold", "seconds: 1", TO_COME, entry={"hold": {"seconds": 1.0}}) for k in range(2))
    widget = RunningSequence()
    qtbot.addWidget(widget)
    widget.set_value(ToldSequence(stages, begun=0, edits=4, then="freeze", live=True))
    for answer, begins in ((told[0], "Nothing was changed. "), (told[1], "No answer came, so it may have been changed")):
        widget.choose("1")
        widget.take_out()
        assert widget.waiting
        widget.take_answer(answer)
        assert widget.notice.label.text().startswith(begins)
        assert not widget.waiting
    command.close()


def test_stop_ends_an_identification_alone_and_skips_the_stage_of_a_longer_run(qtbot: QtBot, tmp_path: Path) -> None:
    command = Commander()
    tune = Tune(command)
    qtbot.addWidget(tune)
    tune.show()
    told = told_by(command)
    for name, words in (("alone", ["identify"]), ("first-of-two", ["identify", "train"])):
        folder = tmp_path / name
        stages = tuple(ToldStage(str(k), 0, word, "", TO_COME) for k, word in enumerate(words))
        run = RunView(
            folder, state="running", alive=True, progress={"stage": "identify", "done": 1, "total": 4, "unit": "knobs"},
            sequence=ToldSequence(stages, begun=0, edits=0, then="hold", live=True),
        )  # fmt: skip
        with commanded(folder) as requests:
            command.serve(folder, None)
            tune.set_value(run, None)
            assert "identifying" in tune.commands.state.text()
            told.clear()
            tune.commands.stop.click()
            until(lambda: bool(told), "the answer")
            assert told[0].done, told[0].text
            assert (requests.abort, requests.skip) == (name == "alone", name != "alone")
    command.close()


def test_a_token_that_comes_after_another_session_is_shown_is_given_back(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    with served(simulated()) as server:
        found = FoundSession("one", "a device", "s", 1, str(tmp_path), server.port, KEY.hex())
        command = Commander()
        told = told_by(command)
        command.serve(None, found)
        command.take_control()
        command.serve(None, None)
        until(lambda: bool(told), "what came of it")
        until(lambda: not server.clients.control, "nobody holds it")
        assert command._held is None
        command.close()


def test_a_line_for_freeze_over_which_the_device_failed_stands_open_still(qtbot: QtBot, tmp_path: Path) -> None:
    from aeqlab.backends.errors import BackendError

    with served(simulated()) as server:
        command = Commander()
        command.session = FoundSession("one", "a device", "s", 1, str(tmp_path), server.port, KEY.hex())
        command._open_urgent(command.session)
        line = command._urgent
        assert line is not None

        def fails(*_: object) -> None:
            raise BackendError("the relay sticks")

        with pytest.raises(BackendError):
            command._urgently(command.session, "freeze", "why", fails)
        assert command._urgent is line
        command.close()


def test_how_each_line_was_made_safe_is_said_and_stands_in_the_list_of_messages(qtbot: QtBot) -> None:
    lines = (SafetyLine("u3", Grade.MEASURED, 0.0, 0.0, "V"), SafetyLine("dac output", Grade.SENT, note="it echoes nothing"))
    said = safe_in_words("rig", SafetyReport(lines))
    assert said.splitlines()[0] == "rig is NOT CONFIRMED SAFE. Look at the report, line by line (Ctrl+M)."
    line = MessageLine()
    qtbot.addWidget(line)
    line.show_all()
    line.say(said, True)
    assert line._whole is not None
    assert "u3: set to 0 V, reads 0 V, measured" in line._whole.toPlainText(), "it goes on while somebody reads"
    assert line.text().endswith("(Ctrl+M). …")
    assert "dac output" in line.toolTip()
    line._whole.close()


# the session
def test_what_could_not_be_asked_is_asked_again_and_of_no_other_session(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig_told, "AGAIN_S", 0.0)
    asker, page = RigTold(), Connect(Commander())
    qtbot.addWidget(page)
    told: list[tuple[str, object]] = []
    asker.told.connect(lambda *one: told.append(one))

    def told_of(found: FoundSession, what: str, kind: type) -> bool:
        asker.set_session(view_of(found))
        return any(one == what and isinstance(answer, kind) for one, answer in told)

    until(lambda: told_of(NOWHERE, "arming", str) and len(told) > 3, "why it is not known, again and again")
    page._take_told(*next(one for one in told if one[0] == "arming"))
    assert "not known, and is asked again: no session answers" in page.guide.arming.arming.text()
    page._take_told("instruments", "no session answers")
    assert "not known, and is asked again" in page.console.state.text()
    with served(simulated()) as server:
        found = FoundSession("two", "a device", "s", 1, str(tmp_path), server.port, KEY.hex())
        told.clear()
        until(lambda: told_of(found, "arming", tuple) and told_of(found, "instruments", tuple), "what it has")
        assert not any(isinstance(answer, str) for _, answer in told), "of the other one nothing is told any more"
        told.clear()
        asker.heard("arm")
        until(lambda: told_of(found, "arming", tuple), "what arming changes after it was armed")
    page._take_told("arming", ("dac: range 10 V",))
    assert page.guide.arming.arming.text().startswith("One setting would be changed, as the session of the rig said at ")
    page.told.forgotten.emit()
    assert "open a session on the saved file" in page.guide.arming.arming.text()
    assert page.guide.arming.listed.toPlainText() == ""


def test_the_session_of_a_run_is_looked_for_again_after_that_failed(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def find(folder: Path, sessions: tuple[FoundSession, ...]) -> FoundSession | None:
        asked.append(folder)
        if len(asked) == 1:
            raise OSError("the network is away")
        return sessions[0] if len(asked) > 2 else None

    monkeypatch.setattr("aeqlab.app.commanding.session_of_run", find)
    world = World(tmp_path / "runs")
    world._again.setInterval(0)
    shown: list[FoundSession | None] = []
    world.session_shown.connect(shown.append)
    try:
        world.sessions.running = (NOWHERE,)
        world.show_run(tmp_path / "runs" / "one")
        until(lambda: len(asked) == 2, "that it is looked for again")
        world._take_run(RunView(tmp_path / "runs" / "one", state="preparing", alive=True))
        world._take_run(RunView(tmp_path / "runs" / "one", state="running", alive=True))
        until(lambda: NOWHERE in shown, "the session, which the run controls since it began")
    finally:
        world.close()


def test_why_a_trial_is_over_is_said_though_the_next_is_told_with_it(qtbot: QtBot) -> None:
    tune = Tune(Commander())
    qtbot.addWidget(tune)
    tune.set_value(None, view_of())
    tune._heard_event = 0.0
    over = "the trial of ada (u1: factor 2) is over: theta swings at u1. Gains are as before."
    events = (SessionEvent(1.0, "gains", over, "ada"), SessionEvent(2.0, "gains", "ada tries u1: factor 1.5, for 30 s", "ada"))
    tune.set_value(None, view_of(events=events))
    assert tune.trial.ended.text() == over
    tune.set_value(None, view_of(events=(*events, SessionEvent(3.0, "gains", "ada keeps u1: gains.json", "ada"))))
    assert tune.trial.ended.text() == "ada keeps u1: gains.json"


def test_what_was_asked_of_another_session_is_not_shown_as_of_this_one(qtbot: QtBot) -> None:
    command = Commander()
    tune = Tune(command)
    qtbot.addWidget(tune)
    tune.set_value(None, view_of())
    tune.grid.set_knobs(["u0", "u1"])
    tune.grid.set_trigger(PRESENTED)
    tune.grid.add_sample([0.0, 1.0], np.zeros((2, 2)), np.zeros((2, 2)))
    tune._settle = tune.grid.settle
    drawn: list[object] = []
    tune.work.bumped.disconnect()
    tune.work.bumped.connect(drawn.append)
    other = replace(NOWHERE, address="another")
    tune.work._take_bumped((other, "of the other one"))
    tune.work._take_bumped((NOWHERE, "of this one"))
    assert drawn == ["of this one"]
    tune.set_value(None, view_of(other))
    assert tune._settle is None
    assert tune.grid.memory.knobs == 0
    command.close()


def test_a_panel_on_a_second_screen_goes_on_though_another_workspace_is_in_front(qtbot: QtBot) -> None:
    page = Connect(Commander())
    qtbot.addWidget(page)
    page.show()
    page.activateWindow()
    until(page.isActiveWindow, "it is in front")
    for key, at, shown in (
        (Qt.Key.Key_PageDown, page.guide.instruments.address, page.panels), (Qt.Key.Key_PageUp, page.table.filter, page.guide)
    ):  # fmt: skip
        at.setFocus()
        qtbot.keyClick(at, key, Qt.KeyboardModifier.ControlModifier)
        assert page.pages.currentWidget() is shown, "as its tab says"
    page.pages.setCurrentWidget(page.panels)
    page.panels.tear_off(page.panels.panels[0])
    page.hide()
    assert page.panels.seen
    page.panels.bring_back(page.panels.panels[0])
    assert not page.panels.seen


# the banner and its line
def test_the_banner_tells_what_is_far_away_what_does_not_answer_and_what_it_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = RunView(tmp_path, state="running", alive=True, progress={"stage": "train", "done": 1, "remaining_s": 1e300})
    assert banner_of(far, None).end == "this stage ends in many years"
    assert "does not answer just now" in banner_of(replace(far, progress=None), None).doing
    assert banner_of(far, view_of(lost="it does not answer")).end == "", "it does not wait for Continue"
    told: list[object] = []
    monkeypatch.setattr(sys, "excepthook", lambda *one: told.append(one))
    banner = banner_or_unknown(replace(far, progress={"done": "many", "total": 2}), None)
    assert banner.standing is Standing.UNKNOWN
    assert "cannot tell what goes on" in banner.doing
    assert told


@pytest.mark.parametrize(
    ("reason", "by", "doing"),
    [
        ("smoke", "ada (process 7)", "smoke, by ada (process 7)"),
        ("freeze by ada in the window", "ada (process 7)", "freeze by ada in the window"),
        ("run first stopped", "run first (process 7)", "run first stopped"),
    ],
)
def test_who_stopped_a_device_is_told_once(reason: str, by: str, doing: str) -> None:
    status = replace(STATUS, state=SessionState.FROZEN, reason=reason, by=by)
    assert banner_of(None, replace(view_of(), status=status)).doing == doing


def test_nothing_is_called_held_of_a_run_that_is_over_or_where_nothing_was_measured(tmp_path: Path) -> None:
    def run_with(error: float, verdict: str) -> RunView:
        steps = {"id": 1, "hold_error": error, "hold_worst": 0.0, "hold_verdict": verdict}
        return RunView(tmp_path, tables={"steps": {name: np.array([value]) for name, value in steps.items()}}, alive=True)

    assert held(run_with(0.4, "settled"), None).text.startswith("held, worst")
    assert held(replace(run_with(0.4, "settled"), alive=False), None).text.startswith("at the last clamp held")
    assert held(run_with(NAN, "exact"), None).text == "held: by the device itself"
    stale = held(run_with(NAN, "stale"), None)
    assert (stale.text, stale.mood) == ("held: not measured", Mood.UNKNOWN)


def test_a_long_name_of_a_knob_does_not_stretch_the_window(qtbot: QtBot, tmp_path: Path) -> None:
    line = VitalsLine()
    qtbot.addWidget(line)
    one = {"id": 1, "at": 0.0, "hold_error": 0.4, "hold_worst": 0.0, "hold_verdict": "settled"}
    name = "the-gate-voltage-of-the-third-column-" * 6
    run = RunView(
        tmp_path, facts={"knobs": {"names": [name]}}, alive=True,
        tables={"steps": {key: np.array([value]) for key, value in one.items()}},
    )  # fmt: skip
    line.setValue(vitals_of(run, None))
    assert f"worst {name[:19]}… 0.4 tol" in line.value()[0].text
    assert name in line._labels[0].toolTip()
    assert line.minimumSizeHint().width() < 1280
    panel = Panel("Cost", QWidget())
    qtbot.addWidget(panel)
    panel.set_note(name)
    assert panel.minimumSizeHint().width() < 640, "half of a window"
    assert panel.heading.toolTip() == name


def test_make_safe_says_how_many_knobs_go_how_fast_and_how_long(qtbot: QtBot) -> None:
    with served(simulated()) as server, client_of(server) as client:
        info = client.info
    bar = BannerBar()
    qtbot.addWidget(bar)
    assert making_safe(None) == making_safe(view_of()) == WHATEVER
    n = len(info.controls)
    knobs = replace(info.controls, slew_per_s=np.full(n, 5.0), unit="V")
    seen = replace(SEEN, setpoints=knobs.rest + 2.0)
    known = view_of(info=replace(info, controls=knobs))
    said = making_safe(replace(known, seen=seen))
    assert said == f"Freeze, ramp {n} knobs to rest at 5 V/s, then outputs off: {0.4 / info.speed:.1f} s for the ramp"
    assert making_safe(replace(known, seen=seen, lost="it does not answer")) == WHATEVER
    bar.set_making_safe(said)
    assert bar.safe.toolTip() == f"{said} (F12)"


def test_a_night_that_could_not_be_read_is_read_again(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aeqlab.app.window.night.EVERY_S", 0.0)
    tried: list[int] = []

    def fails(*_: object) -> None:
        tried.append(1)
        raise OSError("the network is away")

    monkeypatch.setattr("aeqlab.app.window.night._read", fails)
    bar = NightBar()
    qtbot.addWidget(bar)
    run = RunView(tmp_path, state="running", alive=True)

    def again() -> bool:
        bar.follow(run, None)
        return len(tried) > 2

    until(again, "that it is tried again")


# what is asked
def test_a_note_that_was_not_taken_stands_in_its_field_again(qtbot: QtBot, tmp_path: Path) -> None:
    asking = Asking()
    qtbot.addWidget(asking)
    asking.show()
    field = asking.note.field
    assert field is not None
    for done, text in ((False, "the lamp flickers"), (True, "")):
        asking.write_note(tmp_path / "one")
        field.setText("the lamp flickers")
        qtbot.keyClick(field, Qt.Key.Key_Return)
        assert not asking.note.isVisible()
        asking.take_answer(Answer("note", "no room", done=done))
        assert asking.note.isVisible() is not done
        assert field.text() == text
        asking.note.end()


def test_an_end_that_was_waved_away_is_told_when_it_comes_once_more(qtbot: QtBot, tmp_path: Path) -> None:
    asking = Asking()
    qtbot.addWidget(asking)
    asking.show()
    alive = RunView(tmp_path / "one", state="running", alive=True)
    dead = replace(alive, state="interrupted", alive=False)
    for _ in range(2):
        asking.set_value(alive, offer_of(alive, None, ()))
        asking.set_value(dead, offer_of(dead, None, ()))
        assert asking.offer.isVisible()
        asking.offer.buttons["leave"].click()
        asking.set_value(dead, offer_of(dead, None, ()))
        assert not asking.offer.isVisible()
