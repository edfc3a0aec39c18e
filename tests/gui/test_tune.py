"""Tune in the real window on real sessions: an emulated bench in lockstep, identified, bumped, tuned, kept; and many knobs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
sys.path.append(str(Path(__file__).parents[1] / "backends"))
from rig_helpers import bench_of, open_rig, rig_tree
from session_helpers import KEY, client_of, served, simulated, slow

from aeqlab.app.window.application import Target, make_window
from aeqlab.app.window.models.tune_identify import write_identify
from aeqlab.app.window.shell import Shell
from aeqlab.app.window.tune.workspace import Tune
from aeqlab.backends.device import Clock, Device
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import FoundSession
from aeqlab.protocols.gains_file import GainsPlace, newest_gains
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings, Ticks
from aeqlab.protocols.lease import acquire
from aeqlab.protocols.server import SessionServer
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.status import SessionState

LONG_MS = 120_000  #: a loaded machine may take its time
HOLD = HomeostasisSettings(controller="integral", tolerance=2e-3)
SETTLE = SettlingSettings(accept=Ticks(ticks=10))
QUIET = {"noise_V": 1e-5, "drift_V": 0.0, "stale_rate": 0.0, "lost_rate": 0.0}


@dataclass
class World:
    """A window that shows a session of this process, and that session."""

    shell: Shell
    server: SessionServer
    found: FoundSession
    folder: Path

    @property
    def tune(self) -> Tune:
        return self.shell.tune


@pytest.fixture(scope="module")
def shell(qapp: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Open one window for all tests here; each shows it a session of its own."""
    folder = tmp_path_factory.mktemp("tune")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEQLAB_STATE", str(folder / "state"))
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(threading, "excepthook", threading.excepthook)
        made = make_window(qapp, folder / "runs", Target())  # type: ignore[arg-type]
        made.show()
        made.show_workspace("Tune")
        yield made
        made.close_now()
        made.deleteLater()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def shown(
    qtbot: QtBot, shell: Shell, stack: ExitStack, device: Device, settings: RigSettings | SimulatedSettings, folder: Path,
    homeostasis: HomeostasisSettings = HOLD,
) -> World:  # fmt: skip
    """Serve a device by a thread of this process, as a session of its own does, and show it once the one before is forgotten."""
    qtbot.waitUntil(lambda: shell.tune.work.gains is None, timeout=LONG_MS)
    place = folder / "gains"
    server = stack.enter_context(served(device, homeostasis=homeostasis, settling=SETTLE, gains=GainsPlace(place)))
    address = settings.lease_address if isinstance(settings, RigSettings) else "a device"
    session = folder / "session"
    session.mkdir()
    SessionFile(device=settings, homeostasis=homeostasis, settling=SETTLE, address=address).write(session)
    stack.enter_context(acquire(address, str(session)))
    found = FoundSession(address, device.info.name, "the session", os.getpid(), str(session), server.port, KEY.hex())
    found.write()
    stack.callback(found.remove)
    stack.callback(lambda: shell.world.show_session(None))
    shell.tune.work.seconds = None
    shell.world.show_session(found)
    world = World(shell, server, found, place)
    # the list of sessions may tell once more of the one before, at the same address, until it has told of this one
    qtbot.waitUntil(
        lambda: (
            found in shell.world.sessions.running
            and shell.world.session is not None
            and shell.world.session.found == found
            and shell.tune.work.gains is not None
        ),
        timeout=LONG_MS,
    )
    assert shell.tune.table.model.rowCount() == len(device.info.controls.names)
    return world


def a_slow_one(qtbot: QtBot, shell: Shell, stack: ExitStack, folder: Path) -> World:
    return shown(qtbot, shell, stack, slow(Clock.VIRTUAL, **QUIET), SimulatedSettings(energy="linear"), folder)


def idle(qtbot: QtBot, tune: Tune) -> None:
    qtbot.waitUntil(lambda: tune.work.busy == "", timeout=LONG_MS)


def press(qtbot: QtBot, button: QPushButton) -> None:
    """Press a button as soon as it can be pressed: none of these can while the session has not answered for a moment."""
    qtbot.waitUntil(button.isEnabled, timeout=LONG_MS)
    button.click()


def test_a_bench_is_armed_identified_bumped_tuned_and_its_gains_are_kept(
    qtbot: QtBot, shell: Shell, opened: ExitStack, tmp_path: Path
) -> None:
    bench = opened.enter_context(bench_of("tcp", frequencies=1))
    device = opened.enter_context(open_rig(bench, "coupling", folder=tmp_path / "known"))
    settings = RigSettings.model_validate({"rig": rig_tree(bench, "coupling")})
    world = shown(qtbot, shell, opened, device, settings, tmp_path, HomeostasisSettings(controller="pid", tolerance=5e-3))
    tune, session = world.tune, world.server.session
    assert [shell.tabs.tabText(k) for k in range(4)] == ["Connect", "Tune", "Train", "Look back"]
    tune.work.seconds = 600.0
    qtbot.waitUntil(lambda: "not known" in tune.needs.text(), timeout=LONG_MS)
    press(qtbot, tune.commands.bump)
    qtbot.waitUntil(lambda: "not known" in tune.commands.said.text(), timeout=LONG_MS)
    # arming: its statement first
    press(qtbot, tune.commands.arm)
    qtbot.waitUntil(tune.commands.arm_now.isVisible, timeout=LONG_MS)
    assert tune.commands.statement.text().startswith("Arming will change")
    assert tune.commands.listed.toPlainText()
    tune.commands.arm_now.click()
    qtbot.waitUntil(lambda: tune.commands.said.text().startswith("Armed"), timeout=LONG_MS)
    assert not tune.commands.arm_now.isVisible()
    # identify: a run of its own
    with qtbot.waitSignal(shell.start.shown, timeout=LONG_MS):
        press(qtbot, tune.commands.identify)
    assert shell.tabs.currentWidget() is tune
    qtbot.waitUntil(lambda: device.identification() is not None, timeout=LONG_MS)
    qtbot.waitUntil(lambda: shell.world.run is not None and shell.world.run.ended, timeout=LONG_MS)
    assert shell.world.run is not None
    assert shell.world.run.state == "finished", shell.world.run.reason
    qtbot.waitUntil(lambda: tune.work.gains is not None and not tune.work.gains.why, timeout=LONG_MS)
    assert session.gains().law == "pid"
    qtbot.waitUntil(lambda: session.standing[0] is SessionState.HOLDING, timeout=LONG_MS)
    # bump, of the knob that is chosen
    tune.table.choose([1])
    press(qtbot, tune.commands.bump)
    qtbot.waitUntil(lambda: tune.bump.found is not None, timeout=LONG_MS)
    idle(qtbot, tune)
    assert tune.bump.found is not None
    assert tune.bump.found.knobs == (1,)
    assert {"u1", "u1 predicted", "target"} == set(tune.bump.names())
    assert tune.grid.memory.knobs == 3
    assert tune.grid.cells.trigger == "since the targets were stepped"
    # autotune is a trial, and is kept
    press(qtbot, tune.commands.autotune)
    qtbot.waitUntil(lambda: tune.trial.value() is not None, timeout=LONG_MS)
    press(qtbot, tune.trial.keep)
    qtbot.waitUntil(lambda: bool(session.gains().kept), timeout=LONG_MS)
    qtbot.waitUntil(lambda: tune.trial.value() is None, timeout=LONG_MS)
    kept = newest_gains(GainsPlace(world.folder), 3)
    assert kept is not None
    assert kept.tuning.factor[1] == session.gains().factor[1]
    qtbot.waitUntil(lambda: "keeps u1" in tune.trial.ended.text(), timeout=LONG_MS)


def test_a_trial_goes_back_by_itself_and_one_that_is_kept_is_read_again(
    qtbot: QtBot, shell: Shell, opened: ExitStack, tmp_path: Path
) -> None:
    world = a_slow_one(qtbot, shell, opened, tmp_path)
    tune, session = world.tune, world.server.session
    before = session.gains().ki.copy()
    tune.work.seconds = 600.0
    tune.table.choose([2, 4])
    qtbot.waitUntil(lambda: list(tune.speed._chosen) == [2, 4], timeout=LONG_MS)  # the slider has heard of it
    tune.speed.slider.setFocus()
    qtbot.keyClick(tune.speed.slider, Qt.Key.Key_PageUp)
    assert "would leave" in tune.speed.margin.text()
    qtbot.waitUntil(lambda: tune.trial.value() is not None, timeout=LONG_MS)
    assert tune.trial.value().knobs == (2, 4)  # type: ignore[union-attr]
    assert "It goes back in" in tune.trial.words.text()
    ended = tune.trial.ended
    tune.work.seconds = 5.0  # from the next try on, which a busy machine may be too late to see
    qtbot.keyClick(tune.speed.slider, Qt.Key.Key_PageUp)
    qtbot.waitUntil(lambda: "5 s have passed and nobody kept it" in ended.text(), timeout=LONG_MS)
    np.testing.assert_array_equal(session.gains().ki, before)
    qtbot.waitUntil(lambda: tune.speed.slider.value() == 0, timeout=LONG_MS)
    qtbot.waitUntil(lambda: tune.trial.value() is None, timeout=LONG_MS)
    # one knob's own gain, taken back by hand
    tune.work.seconds = 600.0
    tune.table.choose([3])
    tune.one.fold.click()
    assert not tune.one.fields["kp"].isEnabled()  # the integral law has none
    tune.one.fields["ki"].setText("nothing")
    tune.one.try_button.click()
    assert "is no number" in tune.one.words.text()
    tune.one.fields["ki"].setText(f"{1.2 * before[3]:.6g}")
    tune.one.try_button.click()
    qtbot.waitUntil(lambda: tune.trial.value() is not None, timeout=LONG_MS)
    np.testing.assert_allclose(session.gains().ki[3], 1.2 * before[3], rtol=1e-4)
    qtbot.waitUntil(lambda: tune.speed.figure.text() == "given gains", timeout=LONG_MS)
    press(qtbot, tune.trial.revert)
    qtbot.waitUntil(lambda: "took it back" in ended.text(), timeout=LONG_MS)
    np.testing.assert_array_equal(session.gains().ki, before)
    # kept, for all knobs
    qtbot.waitUntil(lambda: tune.trial.value() is None, timeout=LONG_MS)
    tune.table.choose([])
    assert tune.speed.whose.text() == "Speed of all 7 knobs"
    tune.speed.slider.setValue(-30)
    qtbot.waitUntil(lambda: tune.trial.value() is not None, timeout=LONG_MS)
    press(qtbot, tune.trial.keep)
    qtbot.waitUntil(lambda: bool(session.gains().kept), timeout=LONG_MS)
    kept = newest_gains(GainsPlace(world.folder), 7)
    assert kept is not None
    np.testing.assert_allclose(kept.tuning.factor, 0.5012)
    with served(slow(Clock.VIRTUAL, **QUIET), homeostasis=HOLD, gains=GainsPlace(world.folder)) as again:
        np.testing.assert_array_equal(again.session.gains().ki, session.gains().ki)


def test_a_trial_that_swings_is_over_at_once_and_says_so(qtbot: QtBot, shell: Shell, opened: ExitStack, tmp_path: Path) -> None:
    world = a_slow_one(qtbot, shell, opened, tmp_path)
    tune, session = world.tune, world.server.session
    press(qtbot, tune.commands.hold)
    qtbot.waitUntil(lambda: tune.commands.said.text() == "Theta is held.", timeout=LONG_MS)
    now = session.gains()
    tune.work.seconds = 600.0
    tune.table.choose([1])
    tune.one.fields["ki"].setText(f"{2.0 * now.gain_margin[1] * now.ki[1]:.6g}")
    tune.one.try_them()
    qtbot.waitUntil(lambda: tune.trial.value() is not None, timeout=LONG_MS)
    tune.table.choose([1])
    press(qtbot, tune.commands.bump)
    qtbot.waitUntil(lambda: "is over: theta" in tune.trial.ended.text(), timeout=LONG_MS)
    idle(qtbot, tune)
    np.testing.assert_array_equal(session.gains().ki, now.ki)


def test_what_is_refused_is_said_and_a_bump_can_be_stopped(qtbot: QtBot, shell: Shell, opened: ExitStack, tmp_path: Path) -> None:
    world = a_slow_one(qtbot, shell, opened, tmp_path)
    tune, session = world.tune, world.server.session
    with client_of(world.server, "another one") as holder:
        press(qtbot, tune.commands.bump)
        qtbot.waitUntil(lambda: "another one" in tune.commands.said.text(), timeout=LONG_MS)
        assert tune.commands.said.text().startswith("✕")
        holder.try_gains({"factor": 2.0}, "bob", 600.0)
        tune.speed.slider.setValue(-10)
        qtbot.waitUntil(lambda: "bob tries" in tune.commands.said.text(), timeout=LONG_MS)
        holder.revert_gains("bob")
    qtbot.waitUntil(lambda: not world.server.clients.control, timeout=LONG_MS)
    session.configure(homeostasis=HomeostasisSettings(controller="integral", accept=Ticks(ticks=1_000_000)))
    press(qtbot, tune.commands.hold)
    qtbot.waitUntil(lambda: session.status().doing == "hold", timeout=LONG_MS)
    assert tune.commands.stop.isVisible()
    assert "holding" in tune.commands.state.text()
    assert not tune.commands.bump.isEnabled()
    tune.work.bump([0])
    assert "under way" in tune.commands.said.text()
    tune.commands.stop.click()
    idle(qtbot, tune)
    assert "stopped by" in tune.commands.said.text()
    assert not tune.commands.stop.isVisible()
    shell.world.commander.freeze()
    qtbot.waitUntil(lambda: "FROZEN" in tune.needs.text().upper(), timeout=LONG_MS)
    tune.speed.slider.setValue(20)
    qtbot.waitUntil(lambda: "is frozen" in tune.commands.said.text(), timeout=LONG_MS)


def test_without_anything_to_tune_it_says_what_it_needs(qtbot: QtBot, shell: Shell, opened: ExitStack, tmp_path: Path) -> None:
    tune = shell.tune
    qtbot.waitUntil(lambda: "Gains are tried at a session" in tune.needs.text(), timeout=LONG_MS)
    buttons = (tune.commands.identify, tune.commands.autotune, tune.commands.hold, tune.commands.bump, tune.commands.arm)
    assert not any(one.isEnabled() for one in buttons)
    settings = SimulatedSettings(energy="linear", options={"frequencies": 3})
    shown(qtbot, shell, opened, simulated(), settings, tmp_path, HomeostasisSettings(controller="ideal"))
    qtbot.waitUntil(lambda: "there is nothing to tune" in tune.needs.text(), timeout=LONG_MS)
    assert not tune.speed.slider.isEnabled()
    assert not tune.commands.bump.isEnabled()


def test_257_knobs_are_bands_a_map_and_the_worst_ten(qtbot: QtBot, shell: Shell, opened: ExitStack, tmp_path: Path) -> None:
    device = SlowSettings(energy="linear", options={"frequencies": 128}, clock=Clock.VIRTUAL, tick_s=0.01, **QUIET).open(
        seed=1, base=tmp_path
    )  # fmt: skip
    world = shown(qtbot, shell, opened, device, SimulatedSettings(energy="linear"), tmp_path)
    tune = world.tune
    shell.resize(1280, 800)
    assert tune.table.model.rowCount() == 257
    tune.table.choose([3, 30, 200])
    press(qtbot, tune.commands.bump)
    qtbot.waitUntil(lambda: tune.bump.found is not None, timeout=LONG_MS)
    idle(qtbot, tune)
    qtbot.waitUntil(lambda: tune.grid.worst.count() == 10, timeout=LONG_MS)
    worst = [int(tune.grid.worst.item(k).data(Qt.ItemDataRole.UserRole)) for k in range(10)]
    assert {3, 30, 200} <= set(worst)
    tune.table.view.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    top = {tune.table.view.model().index(k, 0).data() for k in range(3)}
    assert top == {"u3", "u30", "u200"}
    tune.table.choose_worst()
    assert {3, 30, 200} <= set(tune.table.value())
    assert len(tune.table.value()) == 10
    assert tune.speed.whose.text().endswith("and 6 more")
    # a box drawn over the whole map chooses all
    canvas = tune.grid.map.canvas
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(1, 1))
    far = QPoint(canvas.width() - 1, canvas.height() - 1)
    move = QMouseEvent(
        QEvent.Type.MouseMove, QPointF(far), canvas.mapToGlobal(QPointF(far)), Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    QApplication.sendEvent(canvas, move)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=far)
    assert len(tune.table.value()) == 257
    assert tune.grid.enlarged == -1
    # one of the worst enlarged, and back by Esc
    tune.grid.choose(worst[0])
    assert tune.table.value() == [worst[0]]
    tune.grid.setFocus()
    qtbot.keyClick(tune.grid, Qt.Key.Key_Escape)
    assert tune.grid.enlarged == -1


def test_the_experiment_that_identifies_a_session(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    rig = tmp_path / "my rig.yaml"
    rig.write_text("instruments: {}\n", encoding="utf-8")
    SessionFile(device=RigSettings(file="my rig.yaml"), base=tmp_path, seed=7).write(tmp_path / "session")
    found = FoundSession("a", "my rig", "s", os.getpid(), str(tmp_path / "session"), 1, "00")
    path = write_identify(found, "quasi-static", tmp_path / "runs")
    text = path.read_text(encoding="utf-8")
    assert "name: identify-my-rig" in text
    assert str(rig) in text
    assert "identify" in text
    assert "quasi-static" in text
