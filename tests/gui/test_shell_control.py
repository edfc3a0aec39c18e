"""The control token, hand moves, alarms, FREEZE and MAKE SAFE in the window, on real sessions: slow device, emulated bench."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot
from shell_helpers import until, window

from aeqlab.app.benching import filled, rig_text
from aeqlab.app.window.models.standing import Standing
from aeqlab.app.window.shell import Shell
from aeqlab.backends.bench_link import start_bench
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.bench_loading import load_bench
from aeqlab.protocols.client import attach, find_sessions, open_session
from aeqlab.protocols.errors import NotAllowedError, SessionError

CONTROL = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


def owners(shell: Shell) -> tuple[str, ...]:
    session = shell.world.session
    return () if session is None or session.seen is None else session.seen.owners


def test_the_token_is_taken_visibly_a_knob_by_hand_and_both_are_given_back(
    qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    settings = SlowSettings(energy="linear", options={"frequencies": 2}, tick_s=0.01)
    run = open_session(settings, seed=1, base=tmp_path, folder=tmp_path / "session", who="run of-the-test")
    try:
        run.present(np.full((1, 1), 0.3))
        run.hold()
        with window(qtbot, qapp, tmp_path, monkeypatch) as shell:
            control, asking = shell.control, shell.asking
            until(lambda: control.words.text() == "control: run of-the-test", "who holds the token")
            assert (control.take.isEnabled(), control.give.isEnabled()) == (True, False)
            shell.show_workspace("Connect")
            table = shell.connect_page.table
            until(lambda: "holds the control token" in table.model.read_only, "why nothing can be moved")
            until(lambda: set(owners(shell)) == {"loop"}, "the loop holds theta")
            # it is asked first, says what it does, and Esc leaves it
            QTest.keyClick(shell, Qt.Key.Key_T, CONTROL)
            assert asking.control.isVisible()
            assert "Taking control ends it" in asking.control.words.text()
            QTest.keyClick(asking.control.buttons["leave"], Qt.Key.Key_Escape)
            assert not asking.control.isVisible()
            assert run.status().control == run.who
            until(control.take.isEnabled, "the button Take control")
            control.take.click()
            asking.control.buttons["take"].click()
            until(lambda: control.words.text() == "control: this window", "the token is ours")
            assert (control.take.isEnabled(), control.give.isEnabled()) == (False, True)
            with pytest.raises(NotAllowedError, match="window of"):
                run.hold()
            # a knob by hand: the loop gives it up, visibly
            until(lambda: table.model.read_only == "", "knobs can be moved")
            name = run.info.controls.names[1]
            assert shell.world.session is not None
            assert shell.world.session.setpoints is not None
            before = float(shell.world.session.setpoints[1])
            low, high = float(run.info.controls.low[1]), float(run.info.controls.high[1])
            aim = min(max(before + 0.02, low), high) if np.isfinite(high) else before + 0.02
            table.move_wanted.emit(name, aim)
            until(lambda: f"{name} was moved" in shell.messages.in_words(), "the move")
            until(lambda: "window of" in owners(shell)[1], "who owns the knob")
            QTest.keyClick(shell, Qt.Key.Key_H, CONTROL)
            until(lambda: "The loop has the knobs" in shell.messages.in_words(), "the answer of the loop")
            until(lambda: set(owners(shell)) == {"loop"}, "the loop has them again")
            QTest.keyClick(shell, Qt.Key.Key_G, CONTROL)
            until(lambda: control.words.text() == "control: nobody", "the token is free")
            assert run.take_control() == ""
            # somebody takes it from us: the window sees it
            run.give_control()
            QTest.keyClick(shell, Qt.Key.Key_T, CONTROL)
            until(lambda: control.words.text() == "control: this window", "the token is ours, without a question")
            run.take_control()
            until(lambda: control.words.text() == "control: run of-the-test", "it was taken from us")
            # FREEZE and MAKE SAFE need no token
            QTest.keyClick(shell, Qt.Key.Key_F9)
            until(lambda: shell.banner.sign.value() is Standing.FROZEN, "FROZEN")
            assert shell.banner.go_on.isEnabled()
            QTest.keyClick(shell, Qt.Key.Key_F12)
            until(lambda: shell.banner.sign.value() is Standing.SAFE, "SAFE")
            until(lambda: "is SAFE, confirmed in" in shell.messages.in_words(), "the report")
    finally:
        run.close()


def test_a_rig_is_connected_alarms_are_acknowledged_and_closing_the_window_gives_control_back(
    qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    bench = start_bench(load_bench("bench-16").settings, tmp_path / "bench", tmp_path)
    text = rig_text("bench-16")
    assert text is not None
    rig = filled(text, bench.addresses, bench.address).replace("period_s: 60", "period_s: 60, alarm: [200, 300]")
    (tmp_path / "rig.yaml").write_text(rig, encoding="utf-8")
    try:
        with window(qtbot, qapp, tmp_path, monkeypatch) as shell:
            shell.start.connect_rig(str(tmp_path / "rig.yaml"))
            until(lambda: shell.world.session is not None and shell.world.session.status is not None, "the session of the rig")
            table = shell.connect_page.table
            until(lambda: len(table.model.rows) > 32, "its knobs and readouts")
            until(lambda: shell.control.words.text() == "control: nobody", "who holds the token")
            QTest.keyClick(shell, Qt.Key.Key_T, CONTROL)
            until(lambda: shell.control.give.isEnabled(), "the token is ours")
            # the first reading finds the monitor out of its limits
            table.move_wanted.emit("u03", 0.05)
            until(lambda: "u03 was moved to 0.05" in shell.messages.in_words(), "the move")

            def of_temperature() -> list[str]:
                return [one.by for one in shell.alarms.value() if "temperature" in one.text]

            until(lambda: shell.alarms.isVisible() and of_temperature() == [""], "the alarm")
            shell.alarms.all.click()
            until(
                lambda: bool(of_temperature()) and all(of_temperature()), "it is acknowledged, by name; its cause is there still"
            )
            (found,) = find_sessions()
            shell.close()

            def given_back() -> bool:
                with attach(found, name="a person") as client:
                    assert client.status().state.value != "frozen", "it said goodbye"
                    return client.controls_device

            until(given_back, "the window gave the token back")  # a thread of its own does
    finally:
        for session in find_sessions():
            with suppress(SessionError), attach(session, name="the test", control=False) as client:
                client.end_session("the test ends", "safe")
        bench.stop()
        bench.close()
