"""Oscillation: told of when a knob does more than was assumed, its gain halved, and nothing called held meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from first_order_plant import FirstOrderPlant

from aeqlab.protocols.controllers import Controller, make_controller
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.homeostasis import hold
from aeqlab.protocols.oscillation import Oscillation
from aeqlab.protocols.reports import Verdict
from aeqlab.protocols.session import Session

DEAD_TIMES = (0.0, 1.0, 2.0, 4.0, 6.0, 10.0)
SOME = [dead if dead in (0.0, 1.0, 10.0) else pytest.param(dead, marks=pytest.mark.slow) for dead in DEAD_TIMES]


def made(plant: FirstOrderPlant, controller: Any = "integral") -> Controller:
    law = make_controller(HomeostasisSettings(controller=controller), plant.info)
    law.prepare()
    law.start(plant.controls())
    return law


def driven(plant: FirstOrderPlant, law: Controller, seconds: float) -> tuple[np.ndarray, list[float], Oscillation]:
    """Drive the plant to 1 by the bare law; returns theta, and when an oscillation was seen."""
    swings, seen, theta = Oscillation(np.full(plant.info.n_parameters, 8e-3)), [], []
    plant.present(np.zeros((1, 1)))
    for _ in range(round(seconds / plant.tick)):
        readout = plant.advance()
        assert readout.parameters is not None
        error = 1.0 - readout.parameters
        if swings.see(readout.t, error) is not None:
            seen.append(readout.t)
        plant.set_controls(law.tick(error, readout.parameters, readout.dt, float(error @ error)))
        theta.append(plant.theta[0])
    return np.array(theta), seen, swings


@pytest.mark.parametrize("dead", DEAD_TIMES)
def test_the_standard_gain_makes_none(dead: float) -> None:
    plant = FirstOrderPlant(dead=dead, tick=0.05, noise=1e-3)
    theta, seen, _ = driven(plant, made(plant), 40.0 * (1.0 + dead))
    assert not seen
    assert theta[-1] == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize("dead", SOME)
def test_three_times_the_assumed_gain_is_stable(dead: float) -> None:
    plant = FirstOrderPlant(dead=dead, tick=0.05, gain=3.0, known_gain=1.0)
    theta, _, _ = driven(plant, made(plant), 200.0 * (1.0 + dead))
    late = np.abs(theta - 1.0)[-round(20.0 * (1.0 + dead) / plant.tick) :]
    assert late.max() < 0.01 < np.abs(theta - 1.0).max()


@pytest.mark.parametrize("dead", DEAD_TIMES[1:])
@pytest.mark.parametrize("controller", ["integral", "pid"])
def test_five_times_is_recognised_within_five_periods(dead: float, controller: str) -> None:
    plant = FirstOrderPlant(dead=dead, tick=0.05, gain=5.0, known_gain=1.0, noise=1e-3)
    _, seen, swings = driven(plant, made(plant, controller), 20.0 * (1.0 + dead))
    assert seen[0] < 5.0 * swings.period_s[0]
    assert swings.period_s[0] == pytest.approx(4.0 * dead, rel=0.8)  # of a loop with mostly dead time


@pytest.mark.parametrize("dead", [0.0, 4.0, *(pytest.param(dead, marks=pytest.mark.slow) for dead in (1.0, 2.0, 6.0, 10.0))])
@pytest.mark.parametrize("controller", ["integral", "pid", "quasi-static"])
@pytest.mark.parametrize("factor", [3.0, pytest.param(5.0, marks=pytest.mark.slow), 12.0])
def test_a_hold_calms_its_knob_and_only_then_calls_theta_held(dead: float, controller: Any, factor: float) -> None:
    gain = np.array([1.0, factor, 1.0])
    plant = FirstOrderPlant(3, dead=dead, tick=0.05, gain=gain, known_gain=1.0, noise=1e-3, limit=3.0, seed=4)  # type: ignore[arg-type]
    law = make_controller(HomeostasisSettings(controller=controller, timeout=600.0), plant.info)
    told: list[list[bool]] = []
    plant.present(np.zeros((1, 1)))
    goal = np.array([0.5, -0.5, 0.2])
    report = hold(plant, goal, law.settings, law, eased=lambda knobs, swings: told.append(knobs.tolist()))
    assert report.verdict is Verdict.SETTLED
    assert report.tolerance is not None
    assert (np.abs(plant.theta - goal) <= report.tolerance + 3e-3).all()
    assert law.eased[[0, 2]] == pytest.approx([1.0, 1.0]), "only the knob that swings is slowed"
    assert law.eased[1] == pytest.approx(0.5 ** len(told))
    if factor >= 5.0 and (dead or controller == "quasi-static"):
        assert told


def test_noise_steps_and_a_lost_reading_are_no_swings() -> None:
    rng = np.random.default_rng(7)
    swings = Oscillation(np.full(50, 5.0))
    assert all(swings.see(float(t), rng.standard_normal(50)) is None for t in range(2000))
    steps = Oscillation(np.full(1, 1e-3))
    decay = [(-0.8) ** k for k in range(60)]  # dies out, though slowly
    assert all(steps.see(float(t), np.array([value])) is None for t, value in enumerate(decay))
    other = Oscillation(np.full(1, 1e-3))
    turns = [1.0, -1.0, 1.0, -1.0, 1.0]  # targets that change now and then are no oscillation of any period
    assert all(other.see(t, np.array([value])) is None for t, value in zip([0.0, 1.0, 20.0, 21.0, 60.0], turns, strict=True))


def test_what_was_eased_outlives_a_checkpoint_and_scales_every_law() -> None:
    for controller in ("integral", "pid", "quasi-static"):
        plant = FirstOrderPlant(2)
        law = made(plant, controller)
        law.target = np.zeros(2)
        law.ease(np.array([False, True]))
        law.ease(np.array([False, True]))
        error = np.array([0.1, 0.1])
        moved = law.correct(error) - np.zeros(2)
        assert moved == pytest.approx([0.1, 0.025])
        again = make_controller(HomeostasisSettings(controller=controller), plant.info)  # type: ignore[arg-type]
        again.restore(law.state())
        again.prepare()
        again.u = np.zeros(2)
        assert again.correct(error) == pytest.approx([0.1, 0.025])
        if controller != "quasi-static":
            assert law.rate[1] == pytest.approx(0.25 * law.rate[0])
            assert again.rate == pytest.approx(law.rate)


def test_a_session_tells_of_it_and_of_its_end() -> None:
    plant = FirstOrderPlant(1, dead=2.0, tick=0.05, gain=5.0, known_gain=1.0, noise=1e-3)
    session = Session(plant, homeostasis=HomeostasisSettings(controller="integral", timeout=600.0))
    with session:
        session.present(np.zeros((1, 1)))
        assert session.hold(np.array([0.5])).accepted
        alarms = {alarm.kind: alarm for alarm in session.alarms.all()}
        assert "u0: theta swings by" in alarms["oscillation"].text
        assert not alarms["oscillation"].active, "it is over, and still to be acknowledged"
        assert session.alarms.open
