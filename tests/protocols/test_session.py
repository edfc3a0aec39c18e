"""The session in this process: states, ownership of the knobs, freeze and safe from any thread, limits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from session_helpers import HOLD, SETTLE, inputs_of, simulated, slow, targets_of

from aeqlab.backends.device import Clock, Device, Grade, Readout, SafetyLine, SafetyReport
from aeqlab.backends.errors import ArrayRefusedError, DeviceConfigError, DeviceLostError, LimitError
from aeqlab.backends.journal import read_journal
from aeqlab.backends.plant import Plant
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow import Inside, SlowDevice
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.abilities import METHODS, READING
from aeqlab.protocols.ending import leave_device
from aeqlab.protocols.errors import AbortRequested, CapabilityError, FrozenError, LateError, NotAllowedError, SessionLostError
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.limits import LimitedDevice, SessionLimits, limited
from aeqlab.protocols.reports import Verdict
from aeqlab.protocols.session import Session
from aeqlab.protocols.status import SessionState

LONG = HomeostasisSettings(accept=Ticks(ticks=1_000_000))


@pytest.fixture
def session() -> Session:
    return Session(simulated(), homeostasis=HOLD, settling=SETTLE, who="tester")


def kinds(session: Session) -> list[str]:
    return [event.kind for event in session.events]


def test_states_follow_what_is_asked(session: Session) -> None:
    assert session.status().state is SessionState.IDLE
    session.present(inputs_of(session))
    session.hold()
    assert session.status().state is SessionState.HOLDING
    assert session.status().knobs == "loop"
    session.nudge(targets_of(session), 0.1)
    assert session.status().state is SessionState.NUDGED
    assert session.settle().verdict is Verdict.TICKS
    session.release()
    assert session.status().state is SessionState.IDLE
    assert session.status().beta == 0.0


def test_a_session_adds_nothing_to_what_the_device_does() -> None:
    from aeqlab.protocols.aeqprop import train_step

    alone, held = Session(simulated(), homeostasis=HOLD, settling=SETTLE), Session(simulated(), homeostasis=HOLD, settling=SETTLE)
    theta = np.zeros(alone.info.n_parameters)
    steps = [train_step(s, inputs_of(s), targets_of(s), theta=theta, pair=(0.0, 0.1)) for s in (alone, held)]
    assert steps[0].theta_after is not None
    np.testing.assert_array_equal(steps[0].theta_after, steps[1].theta_after)


def test_a_person_takes_the_knobs_over_and_it_is_said(session: Session) -> None:
    session.present(inputs_of(session))
    session.hold()
    session.set_controls(np.zeros(len(session.info.controls)))
    assert session.status().knobs == "tester"
    assert session.status().state is SessionState.IDLE
    assert kinds(session) == ["knobs"]


def test_frozen_refuses_whatever_moves_with_the_reason_until_continue(session: Session) -> None:
    session.present(inputs_of(session))
    session.advance()
    session.nudge(targets_of(session), 0.1)
    session.freeze("smoke was seen")
    u, theta, x = session.controls(), session.parameters(), inputs_of(session)
    moving = [
        lambda: session.present(x),
        lambda: session.set_controls(u),
        lambda: session.nudge(targets_of(session), 0.1),
        lambda: session.advance(),
        lambda: session.hold(theta),
        lambda: session.settle(),
        lambda: session.device_call("scale_coupling", 0.5),
        lambda: session.device_call("write_parameters", theta),
    ]
    for call in moving:
        with pytest.raises(FrozenError, match="smoke was seen"):
            call()
    session.release()  # allowed in every state, so that clean-up code never hides the reason
    session.read()
    assert session.status().state is SessionState.FROZEN
    assert session.status().beta == 0.0
    session.continue_()
    session.advance()
    assert kinds(session) == ["frozen", "continue"]


def test_a_freeze_of_a_late_client_is_told_apart(session: Session) -> None:
    session.present(inputs_of(session))
    session.freeze("its client was silent", late=True)
    with pytest.raises(LateError):
        session.hold()
    session.continue_()
    session.freeze("someone is afraid")
    with pytest.raises(FrozenError) as refused:
        session.hold()
    assert not isinstance(refused.value, LateError)


def test_make_safe_brings_to_rest_and_reports() -> None:
    session = Session(slow(Clock.VIRTUAL), homeostasis=HOLD, settling=SETTLE)
    session.present(inputs_of(session))
    session.set_controls(np.full(len(session.info.controls), 0.4))
    session.advance(1.0)
    report = session.make_safe("the day is over")
    assert report.safe
    assert session.status().state is SessionState.SAFE
    np.testing.assert_allclose(session.controls(), session.info.controls.rest, atol=1e-4)
    session.freeze("again")
    assert session.status().state is SessionState.SAFE


def test_what_could_not_be_confirmed_is_in_the_reason() -> None:
    class Doubtful(LimitedDevice):
        def _make_safe(self) -> SafetyReport:
            return SafetyReport((SafetyLine("heater", Grade.SENT),))

    inner = simulated()
    session = Session(Doubtful(inner, inner.info, np.inf))
    assert not session.make_safe("the day is over").safe
    assert "heater (only sent)" in session.status().reason


def test_freeze_from_another_thread_ends_a_loop_at_its_next_tick() -> None:
    session = Session(simulated(), homeostasis=LONG)
    session.present(inputs_of(session))
    ticking = threading.Event()
    session.point_interrupt = ticking.set
    caught: list[BaseException] = []

    def work() -> None:
        try:
            session.hold(np.zeros(session.info.n_parameters))
        except FrozenError as exc:
            caught.append(exc)

    worker = threading.Thread(target=work)
    worker.start()
    assert ticking.wait(60)
    session.freeze("another thread is afraid")
    worker.join(60)
    assert "another thread is afraid" in str(caught[0])
    assert session.status().state is SessionState.FROZEN


def test_abort_ends_a_loop_and_leaves_the_knobs_where_they_are() -> None:
    session = Session(simulated(), homeostasis=LONG)
    session.present(inputs_of(session))
    ticks = 0

    def look() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 20:
            session.abort("enough")

    session.point_interrupt = look
    with pytest.raises(AbortRequested, match="enough"):
        session.hold(np.zeros(session.info.n_parameters))
    assert ticks == 20
    u = session.controls()
    assert session.status().state is SessionState.IDLE
    assert session.status().knobs == "nobody"
    session.point_interrupt = None
    session.abort("nothing runs, so nothing is ended")
    session.advance()
    np.testing.assert_array_equal(session.controls(), u)


def test_a_long_advance_on_the_wall_clock_hears_a_freeze() -> None:
    session = Session(slow())
    session.present(inputs_of(session))
    ticking = threading.Event()
    session.point_interrupt = ticking.set
    caught: list[BaseException] = []

    def work() -> None:
        try:
            session.advance(600.0)
        except FrozenError as exc:
            caught.append(exc)

    worker = threading.Thread(target=work)
    worker.start()
    assert ticking.wait(60)
    session.freeze("it takes too long")
    worker.join(60)
    assert caught
    session.close()


def test_advance_on_the_wall_clock_adds_its_pieces_up() -> None:
    with Session(slow(Clock.WALL, speed=20.0)) as session:
        session.present(inputs_of(session))
        before = session.advance().t
        readout = session.advance(0.5)
        assert 0.5 - 1e-6 <= readout.dt <= readout.t - before


def test_a_lost_device_makes_the_state_unknown() -> None:
    class Lost(LimitedDevice):
        gone = False

        def _advance(self, seconds: float | None) -> Readout:
            if self.gone:
                raise DeviceLostError("the cable is out")
            return super()._advance(seconds)

        def _freeze(self) -> None:
            if self.gone:
                raise DeviceLostError("the cable is out")

    inner = simulated()
    device = Lost(inner, inner.info, np.inf)
    session = Session(device)
    session.present(inputs_of(session))
    device.gone = True
    with pytest.raises(DeviceLostError):
        session.advance()
    assert session.status().state is SessionState.UNKNOWN
    with pytest.raises(FrozenError, match="the cable is out"):
        session.nudge(targets_of(session), 0.1)
    for _ in range(5):  # what asks again and again is not told, nor does it tell others, again and again
        with pytest.raises(SessionLostError, match="state unknown"):
            session.freeze("try at least")
    assert sum(event.kind == "unknown" for event in session.events) == 1
    left = leave_device(session, "safe", "the end", None)
    assert left.text == "State of the device unknown. `aeqlab safe` makes it safe once it answers again."
    device.gone = False
    session.freeze("it is back, but nobody looked")
    assert session.status().state is SessionState.UNKNOWN
    session.continue_()
    session.advance()


def test_only_methods_of_abilities_are_called(session: Session) -> None:
    for name in ("close", "__class__", "_advance", "advance", "info", ""):
        with pytest.raises(CapabilityError):
            session.device_call(name)
    with pytest.raises(CapabilityError, match="end_epoch: that belongs to Epochs"):
        session.device_call("end_epoch")
    assert session.device_call("parameters").shape == (session.info.n_parameters,)
    assert METHODS.keys() >= READING


def test_parameters_before_the_first_reading_are_refused_where_they_must_be_read() -> None:
    session = Session(slow(Clock.VIRTUAL))
    with pytest.raises(NotAllowedError, match="not read yet"):
        session.parameters()
    session.present(inputs_of(session))
    theta = session.advance().parameters
    assert theta is not None
    np.testing.assert_array_equal(session.parameters(), theta)


def test_state_and_restore_go_on_bit_for_bit() -> None:
    session = Session(slow(Clock.VIRTUAL), homeostasis=HOLD, settling=SETTLE)
    target = np.full(session.info.n_parameters, 0.2)
    session.present(inputs_of(session))
    session.hold(target)
    state = session.state()
    first = session.hold().readout
    session.restore(state)
    second = session.hold().readout
    np.testing.assert_array_equal(first.parameters, second.parameters)
    assert first.t == second.t


def test_traces_are_kept_where_they_are_wanted(session: Session) -> None:
    session.present(inputs_of(session))
    session.configure(homeostasis=HomeostasisSettings(controller="integral", accept=Ticks(ticks=20)))
    session.hold(np.zeros(session.info.n_parameters))
    assert session.last_traces() == []
    session.traces = True
    session.hold(np.zeros(session.info.n_parameters))
    [trace] = session.last_traces()
    assert trace["phase"] == "hold"
    assert trace["u"].shape == (len(trace["t"]), len(session.info.controls))
    assert trace["p"] is None
    assert trace["d"] is None
    np.testing.assert_allclose(trace["u"] - trace["u"][0], trace["i"] - trace["i"][0], atol=1e-12)  # no limit was met
    assert session.last_traces() == []


def test_an_interrupt_of_the_run_leaves_the_loop(session: Session) -> None:
    session.present(inputs_of(session))

    def stop() -> None:
        raise AbortRequested("the run ends")

    session.point_interrupt = stop
    with pytest.raises(AbortRequested, match="the run ends"):
        session.settle()


# limits


def device_with_limits() -> Device:
    made = SimulatedSettings(energy="linear", options={"frequencies": 3}, control_limits=(-5, 5))
    return made.open(seed=1, base=Path())


def test_session_limits_hold_for_a_person_and_for_a_loop() -> None:
    device = limited(device_with_limits(), SessionLimits(controls=(-0.1, 0.1), beta=(-0.05, 0.05)))
    session = Session(device, homeostasis=HomeostasisSettings(controller="integral", accept=Ticks(ticks=300)))
    session.present(inputs_of(session))
    with pytest.raises(LimitError, match=r"-0.1 to 0.1"):
        session.set_controls(np.full(len(device.info.controls), 0.2))
    with pytest.raises(LimitError, match="beta"):
        session.nudge(targets_of(session), 0.1)
    session.hold(np.full(device.info.n_parameters, 3.0))
    assert np.abs(session.controls()).max() <= 0.1 + 1e-9


@pytest.mark.parametrize(
    "limits", [SessionLimits(controls=(-6, 5)), SessionLimits(controls=(1, 2)), SessionLimits(beta=(-1e9, 1e9))], ids=repr
)
def test_session_limits_lie_inside_the_devices(limits: SessionLimits) -> None:
    with pytest.raises(DeviceConfigError, match="session limits"):
        limited(device_with_limits(), limits)


def test_a_limited_device_keeps_its_abilities_and_remembers_what_was_commanded() -> None:
    inner = device_with_limits()
    device = limited(inner)
    assert Session(device).abilities == Session(inner).abilities
    assert device.setpoints is None
    device.present(np.full((1, len(device.info.inputs)), 0.1))
    device.set_controls(np.full(len(device.info.controls), 0.25))
    assert device.setpoints is not None
    assert (device.setpoints == 0.25).all()


def test_the_slew_of_a_session_is_kept() -> None:
    device = limited(slow(Clock.VIRTUAL), SessionLimits(slew_per_s=0.5))
    assert (device.info.controls.slew_per_s <= 0.5).all()
    device.present(np.full((1, len(device.info.inputs)), 0.1))
    device.advance(0.2)
    start = device.controls()
    device.set_controls(np.full(len(device.info.controls), 1.0))
    before, moved = start, []
    while np.abs(device.controls() - 1.0).max() > 1e-3:
        readout = device.advance()
        moved.append(np.abs(device.controls() - before).max() / readout.dt)
        before = device.controls()
        assert len(moved) < 2000
    assert max(moved) <= 0.5 * 1.05
    device.freeze()


def test_a_freeze_commands_the_knobs_to_stay_and_make_safe_commands_them_to_rest() -> None:
    device = limited(slow(Clock.VIRTUAL, slew_V_per_s=1.0, rest_V=0.1))
    device.present(np.full((1, len(device.info.inputs)), 0.1))
    device.advance()
    device.set_controls(np.full(len(device.info.controls), 2.0))
    device.advance(0.5)
    device.freeze()  # on the way there
    np.testing.assert_array_equal(device.setpoints, device.controls())
    assert device.setpoints is not None
    assert device.setpoints.max() < 1.0
    assert device.make_safe().safe
    np.testing.assert_array_equal(device.setpoints, device.info.controls.rest)


@pytest.mark.parametrize("presented", [True, False])
def test_make_safe_keeps_the_slew_of_the_session(tmp_path: Path, presented: bool) -> None:
    settings = SlowSettings(energy="linear", options={"frequencies": 3}, clock=Clock.VIRTUAL, tick_s=0.005, slew_V_per_s=5.0)
    plant = Plant(settings, seed=1, base=tmp_path, journal=tmp_path / "journal")
    inner = SlowDevice(Inside(plant))
    inner.present(np.full((1, len(inner.info.inputs)), 0.1))
    inner.set_controls(np.full(len(inner.info.controls), 1.0))
    inner.advance(1.0)
    began = plant.t
    limits = SessionLimits(slew_per_s=0.5)
    device = limited(SlowDevice(Inside(plant)) if not presented else inner, limits)
    if presented:
        device.present(np.full((1, len(device.info.inputs)), 0.1))
    assert device.make_safe().safe
    device.close()
    applied = read_journal(tmp_path / "journal").applied
    ramp = applied.t > began
    assert applied.t[ramp].max() - began > 1.9
    passed = np.maximum(applied.t[ramp] - began, 0.005)
    assert (1.0 - applied.values[ramp].min(axis=1) <= 0.5 * passed + 0.01).all()


def test_a_slew_finer_than_the_resolution_of_the_knobs_still_arrives() -> None:
    device = limited(slow(Clock.VIRTUAL, slew_V_per_s=5.0), SessionLimits(slew_per_s=0.001))
    tick_s = device.info.tick_s
    assert tick_s is not None
    assert (device.info.controls.step > 2 * 0.001 * tick_s).all()
    device.present(np.full((1, len(device.info.inputs)), 0.1))
    device.advance()
    device.set_controls(np.full(len(device.info.controls), 0.0005))
    device.advance(0.7)
    np.testing.assert_allclose(device.controls(), 0.0005, atol=float(device.info.controls.step[0]))


def test_closing_twice_is_allowed() -> None:
    session = Session(simulated())
    session.close()
    session.close()
    assert session.device.closed


def test_another_target_is_no_learning_step_where_it_is_said_so() -> None:
    session = Session(simulated(), homeostasis=HomeostasisSettings(controller="integral"))
    session.present(inputs_of(session))
    theta = session.parameters()
    session.hold(theta)
    step = session.hold(theta + 0.01)
    session.set_target(theta + 0.5)
    far = session.hold()
    assert step.tolerance is not None
    np.testing.assert_array_equal(far.tolerance, step.tolerance)
    assert np.abs(far.readout.parameters - (theta + 0.5)).max() <= step.tolerance.max()
    with pytest.raises(ArrayRefusedError, match="target of theta"):
        session.set_target(theta[:-1])
    session.freeze("the test")
    with pytest.raises(FrozenError):
        session.set_target(theta)


def test_a_continue_that_names_a_standing_lifts_no_other(session: Session) -> None:
    session.who = "session"
    session.freeze("its client was silent", late=True)
    seen = session.status()
    assert seen.late
    session.make_safe("smoke", by="ada")
    with pytest.raises(NotAllowedError, match="safe for another reason by now: smoke"):
        session.continue_(seen.standing)
    assert session.status().state is SessionState.SAFE
    session.freeze("once more", by="ada")  # which changes nothing but what was asked
    session.continue_(session.status().standing)
    assert session.status().state is SessionState.IDLE
    session.continue_(seen.standing)  # nothing stands


def test_a_client_that_is_late_too_does_not_make_a_freeze_one_of_being_late(session: Session) -> None:
    session.who = "session"
    session.freeze("the converter is too hot")
    session.freeze("its client was silent", late=True)
    status = session.status()
    assert (status.reason, status.late) == ("the converter is too hot", False)


class Stuck(LimitedDevice):
    """A device whose nudge stays on through a freeze; its make safe works."""

    tells = True

    def _freeze(self) -> None:
        return

    def _nudge_applied(self) -> float | None:
        return super()._nudge_applied() if self.tells else None


def stuck(tells: bool) -> Session:
    inner = simulated()
    device = Stuck(inner, inner.info, np.inf)
    device.tells = tells
    session = Session(device, who="run a")
    session.present(inputs_of(session))
    session.nudge(targets_of(session), 0.1)
    session.advance()
    return session


def test_a_nudge_that_stays_on_through_a_freeze_is_read_back_and_the_device_made_safe() -> None:
    session = stuck(tells=True)
    session.freeze("smoke")
    status = session.status()
    assert (status.state, status.nudge_read) == (SessionState.UNKNOWN, 0.1)
    assert "the device says that nudge 0.1 is still on" in status.reason
    left = leave_device(stuck(tells=True), "freeze", "run a finished", None)
    assert not left.as_declared
    assert "the device says that nudge 0.1 is still on" in left.text
    assert "Device safe: 2 echoed" in left.text


def test_a_nudge_that_cannot_be_read_back_is_told_as_commanded() -> None:
    left = leave_device(stuck(tells=False), "freeze", "run a finished", None)
    assert left.as_declared
    assert left.text.startswith("Device frozen: nudge commanded off, not read back, ")


@pytest.mark.parametrize("device", [simulated, lambda: slow(Clock.VIRTUAL)])
def test_the_nudge_is_that_of_the_device_not_what_was_staged(device: Callable[[], Device]) -> None:
    session = Session(limited(device()))
    session.present(inputs_of(session))
    session.advance()
    session.nudge(targets_of(session), 0.1)
    assert session.device.nudge_applied() == 0.0
    session.advance()
    assert session.device.nudge_applied() == 0.1
    session.freeze("enough")
    assert session.status().nudge_read == 0.0
