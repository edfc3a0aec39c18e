"""Homeostasis: what counts as held, under dead time, noise, slew, limits, lost readings, and how a hold ends."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from first_order_plant import FirstOrderPlant
from pydantic import ValidationError

from aeqlab.backends.device import Flag
from aeqlab.backends.errors import ArrayRefusedError, DivergedError
from aeqlab.backends.simulated import SimulatedDevice
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols.errors import AbortRequested, CapabilityError, HoldError
from aeqlab.protocols.homeostasis import HomeostasisSettings, Ticks, hold, make_controller
from aeqlab.protocols.reports import HoldReport, Verdict

LAWS = ["integral", "pid", "quasi-static"]


def held(plant: Any, target: Any, law: Any = None, **more: Any) -> HoldReport:
    """Hold by a fresh controller."""
    settings = HomeostasisSettings(controller=law, **more)
    return hold(plant, np.asarray(target, dtype=float), settings, make_controller(settings, plant.info))


def loaded(plant: FirstOrderPlant, x: float = 0.3) -> FirstOrderPlant:
    plant.present(np.array([[x]]))
    return plant


def simulated(energy: str = "linear", **more: Any) -> Any:
    device = SimulatedSettings(energy=energy, **more).open(seed=3, base=Path())
    assert isinstance(device, SimulatedDevice)
    device.present(np.full((1, len(device.info.inputs)), 0.4))
    device.advance()
    return device


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dead", [0.0, 1.0, 4.0, 8.0])
def test_theta_is_held_against_a_load(law: Any, dead: float) -> None:
    plant = loaded(FirstOrderPlant(3, lag=np.array([0.6, 1.0, 1.4]), dead=dead, tick=0.1))
    report = held(plant, [0.0, 0.1, -0.2], law, tolerance=1e-3)
    assert report.accepted
    assert report.verdict is Verdict.SETTLED
    assert np.abs(plant.theta - [0.0, 0.1, -0.2]) == pytest.approx(0.0, abs=1e-3)
    assert report.duration_s < 60.0 + 12.0 * dead


@pytest.mark.parametrize("law", LAWS)
def test_theta_is_held_under_noise_slew_resolution_and_lost_readings(law: Any) -> None:
    plant = loaded(FirstOrderPlant(8, dead=0.5, tick=0.1, noise=1e-3, slew=1.0, step=2e-4, lost=0.05, limit=2.0, seed=4))
    report = held(plant, np.zeros(8), law)
    assert report.accepted
    assert report.tolerance is not None
    assert (np.abs(plant.theta) <= report.tolerance).all()


def test_u_stands_still_when_it_is_clamped() -> None:
    """The readings whose mean counts are taken at the very knobs that are then clamped."""
    plant = loaded(FirstOrderPlant(4, dead=0.5, tick=0.1, noise=1e-3, seed=5))
    report = held(plant, np.zeros(4))
    assert report.accepted
    assert report.tolerance is not None
    u, theta = plant.controls(), plant.theta
    plant.advance(20.0)  # clamped: nothing staged comes through, and theta has nowhere to go
    assert np.array_equal(plant.controls(), u)
    assert np.abs(plant.theta - theta).max() <= 0.05 * report.tolerance.min()


def test_the_readout_is_the_mean_of_the_window() -> None:
    plant = loaded(FirstOrderPlant(16, tick=0.05, noise=1e-2, seed=6))
    report = held(plant, np.zeros(16))
    assert report.accepted
    assert report.readout.parameters is not None
    assert report.error is not None
    assert report.readout.parameters == pytest.approx(report.error)  # the target is 0
    off = report.readout.parameters - plant.theta
    assert np.sqrt(np.mean(off**2)) < 0.3 * 1e-2  # 60 readings: noise / sqrt(60) = 0.13


def test_a_knob_at_its_rail_is_saturated_and_never_accepted() -> None:
    plant = loaded(FirstOrderPlant(3, limit=0.2, tick=0.1))
    report = held(plant, [-0.2, 0.0, 0.2])  # the load of 0.3 needs u = -0.5, -0.3, -0.1
    assert not report.accepted
    assert report.verdict is Verdict.SATURATED
    assert report.saturated is not None
    assert report.saturated.tolist() == [True, True, False]
    assert report.duration_s < 60.0  # it does not wait for the time-out


def test_lost_readings_end_a_hold_as_stale_and_the_knobs_stop() -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1, silent_from=0.55))
    report = held(plant, [0.0, 0.0])
    assert not report.accepted
    assert report.verdict is Verdict.STALE
    assert report.stale_ticks > 10
    assert len({tuple(u) for u in plant.moves}) <= 6  # none after the last fresh reading


def test_a_noisy_reading_that_repeats_itself_is_stale_even_if_served_as_fresh() -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1, noise=1e-3, load=0.0))
    frozen = np.array([1e-4, -1e-4])
    inner = plant._advance
    plant._advance = lambda seconds: inner(seconds)._replace(parameters=frozen, flags=Flag.NONE)  # type: ignore[method-assign]
    report = held(plant, [0.0, 0.0])
    assert report.verdict is Verdict.STALE


def test_a_dead_controller_is_not_accepted_and_times_out() -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1))
    report = held(plant, [0.0, 0.0], ki=0.0, timeout=30.0)
    assert not report.accepted
    assert report.verdict is Verdict.TIMEOUT
    assert 30.0 <= report.duration_s < 31.0


def test_ticks_are_bounded_even_where_time_hardly_passes() -> None:
    plant = loaded(FirstOrderPlant(tick=1e-6))
    report = held(plant, [0.0], max_ticks=50)
    assert (report.accepted, report.ticks) == (False, 50)


@pytest.mark.parametrize("law", LAWS)
def test_a_wrong_idea_of_the_gain_is_survived(law: Any) -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1, gain=1.5, known_gain=1.0, dead=0.5))
    assert held(plant, np.zeros(2), law, tolerance=1e-3).accepted
    assert np.abs(plant.theta).max() <= 1e-3


def test_the_tolerance_is_the_largest_of_step_resolution_and_noise() -> None:
    by_step = loaded(FirstOrderPlant(2, tick=0.1))
    assert held(by_step, [0.0, 0.0], step=0.05).tolerance == pytest.approx([0.005, 0.005])
    by_knob = loaded(FirstOrderPlant(2, tick=0.1, step=0.01))
    by_step_of_knob = held(by_knob, [0.0, 0.0]).tolerance
    assert by_step_of_knob is not None  # 0.6 LSB, and what is left of the way there, which cannot be told from drift
    assert 0.006 <= by_step_of_knob.min() <= by_step_of_knob.max() <= 0.0064
    by_noise = loaded(FirstOrderPlant(2, tick=0.1, noise=0.01))
    tolerance = held(by_noise, [0.0, 0.0]).tolerance
    assert tolerance is not None
    assert 3 * 0.01 / np.sqrt(6) < tolerance[0] <= 3 * 0.01
    asked = loaded(FirstOrderPlant(2, tick=0.1, noise=0.01))
    assert held(asked, [0.0, 0.0], tolerance=[0.1, 0.2]).tolerance == pytest.approx([0.1, 0.2])


def test_the_last_step_sets_the_tolerance_of_the_next_hold() -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1))
    settings = HomeostasisSettings()
    controller = make_controller(settings, plant.info)
    hold(plant, np.zeros(2), settings, controller)
    report = hold(plant, np.full(2, 0.02), settings, controller)
    assert report.tolerance == pytest.approx([0.002, 0.002])
    again = hold(plant, np.full(2, 0.02), settings, controller)  # the same target says nothing of a step
    assert again.tolerance == pytest.approx([0.002, 0.002])


def test_no_target_means_the_last_one_or_where_theta_is() -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1, load=0.0))
    plant.set_controls(np.array([0.3, -0.1]))
    plant.advance(30.0)
    settings = HomeostasisSettings()
    controller = make_controller(settings, plant.info)
    report = hold(plant, None, settings, controller)
    assert report.accepted
    assert plant.theta == pytest.approx([0.3, -0.1], abs=1e-3)
    loaded(plant).load = 1.0
    assert hold(plant, None, settings, controller).accepted
    assert plant.theta == pytest.approx([0.3, -0.1], abs=1e-3)


def test_an_interrupt_leaves_the_knobs_where_they_are() -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1))
    settings = HomeostasisSettings()
    ticks = 0

    def interrupt() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 7:
            raise AbortRequested("enough")

    with pytest.raises(AbortRequested):
        hold(plant, np.zeros(2), settings, make_controller(settings, plant.info), interrupt=interrupt)
    assert plant.t == pytest.approx(0.6)
    assert len(plant.moves) == 6


def test_a_trace_is_thinned_and_its_arrays_are_its_own() -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1))
    rows: list[tuple[float, Any, Any]] = []
    settings = HomeostasisSettings(controller="integral", accept=Ticks(ticks=1500))
    hold(plant, np.zeros(2), settings, make_controller(settings, plant.info), trace=lambda t, e, u: rows.append((t, e, u)))
    assert 256 < len(rows) <= 1024
    assert all(a[0] < b[0] for a, b in pairwise(rows))
    assert len({tuple(e) for _, e, _ in rows[:50]}) == 50


def test_a_target_of_the_wrong_shape_is_refused_before_anything_moves() -> None:
    plant = loaded(FirstOrderPlant(2))
    for bad in (np.zeros(3), np.array([np.nan, 0.0])):
        with pytest.raises(ArrayRefusedError):
            held(plant, bad)
    assert plant.t == 0.0


def test_a_reading_that_is_not_finite_never_reaches_the_knobs() -> None:
    plant = loaded(FirstOrderPlant(2, tick=0.1))
    inner = plant._advance
    plant._advance = lambda seconds: inner(seconds)._replace(parameters=np.array([np.nan, 0.0]))  # type: ignore[method-assign]
    for accept in ("settled", Ticks(ticks=5)):
        with pytest.raises(DivergedError):
            held(plant, [0.0, 0.0], accept=accept)
    assert plant.moves == []


# The physics of section 5.1 -------------------------------------------------------------------------------------------


def test_fifty_ticks_equal_the_equations_written_out() -> None:
    device, twin = simulated(epsilon=0.1), simulated(epsilon=0.1)
    target = device.parameters()
    for d in (device, twin):
        d.nudge(np.array([[1.5]]), 0.05)
    settings = HomeostasisSettings(controller="integral", accept=Ticks(ticks=50))
    report = hold(device, target, settings, make_controller(settings, device.info))
    u = twin.controls()
    for _ in range(50):
        readout = twin.advance()
        if readout.dt > 0:
            u = u + (target - readout.parameters) * (readout.dt / (4 * 0.1))
            twin.set_controls(u)
    assert (report.verdict, report.ticks, report.accepted) == (Verdict.TICKS, 50, True)
    assert report.readout.parameters == pytest.approx(readout.parameters, abs=1e-15)
    device.advance()
    twin.advance()
    assert device.controls() == pytest.approx(twin.controls(), abs=1e-15)


def test_knobs_of_different_couplings_are_held_alike() -> None:
    device = simulated(epsilon=[0.02 * (1 + k) for k in range(21)])
    target = device.parameters()
    device.nudge(np.array([[2.0]]), 0.1)
    settings = HomeostasisSettings(controller="integral")
    report = hold(device, target, settings, make_controller(settings, device.info))
    assert report.accepted
    assert device.true_parameters() == pytest.approx(target, abs=2e-4)
    needed = device.controls() - device.parameters()  # epsilon_k dE/dtheta_k, with |dE/dtheta_k| = |(s - f) phi_k|
    assert np.abs(needed[-2:]).max() > 5 * np.abs(needed[0])


@pytest.mark.parametrize("energy", ["linear", "spring", "hopfield"])
def test_the_device_holds_exactly_where_it_can(energy: str) -> None:
    device = simulated(energy)
    theta = device.parameters()
    device.nudge(np.full((1, len(device.info.outputs)), 0.8), 0.1)
    settings = HomeostasisSettings()
    report = hold(device, None, settings, make_controller(settings, device.info))
    assert report.accepted
    assert report.error is None
    assert np.array_equal(device.parameters(), theta)


def test_an_ideal_hold_elsewhere_writes_theta() -> None:
    device = simulated()
    settings = HomeostasisSettings(controller="ideal", accept=Ticks(ticks=5))
    report = hold(device, np.full(21, 0.2), settings, make_controller(settings, device.info))
    assert report.ticks == 5
    assert np.array_equal(device.parameters(), np.full(21, 0.2))


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(CapabilityError, match="does not hold its parameters itself"):
        held(loaded(FirstOrderPlant(2)), [0.0, 0.0], "ideal")
    unknown = FirstOrderPlant(2)
    object.__setattr__(unknown.info, "response", None)
    loaded(unknown)
    for law in LAWS:
        with pytest.raises(HoldError, match="not known"):
            held(unknown, np.zeros(2), law)


@pytest.mark.parametrize("bad", [{"gain": 0.0}, {"window": 0.5}, {"acept": "settled"}, {"accept": {"ticks": 0}}, {"ki": -1.0}])
def test_settings_refuse_what_makes_no_sense(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HomeostasisSettings(**bad)
