"""The window test under noise, and waiting with clamped knobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from first_order_plant import FirstOrderPlant
from hypothesis import given, settings
from hypothesis import strategies as st

from aeqlab.backends.device import Flag
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols.errors import AbortRequested
from aeqlab.protocols.hold_settings import SettlingSettings, Ticks
from aeqlab.protocols.reports import Verdict
from aeqlab.protocols.settling import Freshness, Window, dead_reading, settle, still


def window_of(values: np.ndarray, dt: float = 1.0) -> Window:
    window = Window()
    for i, row in enumerate(values):
        window.add(i * dt, row, None)
    return window


@settings(max_examples=50, deadline=None)
@given(slope=st.floats(-5, 5), offset=st.floats(-5, 5), n=st.integers(4, 40), seed=st.integers(0, 99))
def test_figures_are_those_of_a_least_squares_line(slope: float, offset: float, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.arange(n) * 0.5
    x = offset + slope * t + 0.1 * rng.standard_normal(n)
    figures = window_of(x[:, None], 0.5).figures()
    fit = np.polyfit(t, x, 1)
    residual = x - np.polyval(fit, t)
    assert figures.slope[0] == pytest.approx(fit[0], abs=1e-9)
    assert figures.mean[0] == pytest.approx(x.mean(), abs=1e-9)
    assert figures.spread[0] == pytest.approx(np.sqrt((residual**2).sum() / (n - 2)), abs=1e-9)


def test_stale_values_do_not_count_in_a_window() -> None:
    window = Window()
    for i in range(10):
        window.add(float(i), np.array([1.0, 100.0 if i % 2 else 2.0]), np.array([True, i % 2 == 0]))
    figures = window.figures()
    assert figures.reads.tolist() == [10, 5]
    assert figures.mean.tolist() == [1.0, 2.0]
    assert window.full(9.0, 5)
    assert not window.full(9.0, 6)
    assert not window.full(9.5, 5)


def test_noise_alone_is_still_and_a_drift_is_not() -> None:
    rng = np.random.default_rng(1)
    noise = np.full(2000, 0.1)
    quiet = window_of(0.1 * rng.standard_normal((30, 2000)))
    assert still(quiet.figures(), 29.0, noise, np.full(2000, 0.01)).mean() > 0.998
    drifting = window_of(0.1 * rng.standard_normal((30, 2000)) + 0.03 * np.arange(30)[:, None])
    assert still(drifting.figures(), 29.0, noise, np.full(2000, 0.01)).mean() < 0.01
    louder = window_of(0.3 * rng.standard_normal((30, 2000)))
    assert still(louder.figures(), 29.0, noise, np.full(2000, 0.01)).mean() < 0.01


def test_freshness_goes_by_the_time_of_measurement() -> None:
    fresh = Freshness(2)
    assert fresh.of(1.0, np.array([0.0, 0.3]), Flag.NONE) is None
    second = fresh.of(2.0, np.array([0.0, 1.3]), Flag.STALE)
    assert second is not None
    assert second.tolist() == [True, False]
    assert fresh.of(3.0, np.array([0.2, 0.2]), Flag.NONE) is None  # always a little late, and new each time


@pytest.mark.parametrize("dead", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_a_plant_is_waited_for(dead: float, noise: float) -> None:
    plant = FirstOrderPlant(4, dead=dead, tick=0.1, noise=noise, seed=2)
    plant.present(np.zeros((1, 1)))
    plant.set_controls(np.full(4, 0.5))
    report = settle(plant, SettlingSettings())
    assert (report.accepted, report.verdict) == (True, Verdict.SETTLED)
    assert plant.theta == pytest.approx(np.full(4, 0.5), abs=5e-3)
    assert report.readout.parameters == pytest.approx(np.full(4, 0.5), abs=8e-3)
    assert 4.0 + dead <= report.duration_s < 16.0 + 2 * dead


def test_nothing_that_moves_on_is_called_settled() -> None:
    plant = FirstOrderPlant(1, tick=0.1)
    plant.present(np.zeros((1, 1)))
    ramp = [0.0]

    def push() -> None:
        ramp[0] += 0.01
        plant.set_controls(np.array(ramp))

    report = settle(plant, SettlingSettings(timeout=50.0), interrupt=push)
    assert (report.accepted, report.verdict) == (False, Verdict.TIMEOUT)
    assert 50.0 <= report.duration_s < 50.5


def test_silence_is_stale_and_ticks_are_ticks() -> None:
    silent = FirstOrderPlant(1, tick=0.1, silent_from=0.25)
    silent.present(np.zeros((1, 1)))
    assert settle(silent, SettlingSettings()).verdict is Verdict.STALE
    counted = FirstOrderPlant(1, tick=0.1)
    counted.present(np.zeros((1, 1)))
    report = settle(counted, SettlingSettings(accept=Ticks(ticks=7)))
    assert (report.accepted, report.verdict, report.ticks, counted.t) == (True, Verdict.TICKS, 7, pytest.approx(0.7))


def test_one_stuck_channel_among_live_ones_is_dead() -> None:
    rng = np.random.default_rng(3)
    noise = np.full(4, 0.1)
    live = 0.1 * rng.standard_normal((6, 4))
    assert not dead_reading(window_of(live), noise)
    stuck = live.copy()
    stuck[:, 2] = 0.25
    assert dead_reading(window_of(stuck), noise)
    assert dead_reading(window_of(stuck), np.array([0.0, 0.0, 0.1, 0.0]))
    assert not dead_reading(window_of(stuck), np.array([0.1, 0.1, 0.0, 0.1])), "a channel without noise may repeat"
    assert not dead_reading(window_of(stuck[:2]), noise), "two equal readings are no proof"
    window = Window()
    for row in stuck:
        window.add(float(len(window.t)), row, np.array([True, True, len(window.t) < 2, True]))
    assert not dead_reading(window, noise), "what was not read anew does not count"


def test_settling_can_be_left_at_any_tick() -> None:
    plant = FirstOrderPlant(1, tick=0.1)
    plant.present(np.zeros((1, 1)))
    ticks = [0]

    def interrupt() -> None:
        ticks[0] += 1
        if ticks[0] == 5:
            raise AbortRequested("enough")

    with pytest.raises(AbortRequested):
        settle(plant, SettlingSettings(), interrupt=interrupt)
    assert plant.t == pytest.approx(0.4)


@pytest.mark.parametrize("energy", ["linear", "spring", "hopfield"])
def test_section_5_1_comes_to_rest_though_its_time_stands_still_there(energy: str) -> None:
    device = SimulatedSettings(energy=energy).open(seed=1, base=Path())
    device.present(np.full((1, len(device.info.inputs)), 0.3))
    for _ in range(2):  # the second time nothing is left to move
        report = settle(device, SettlingSettings())
        assert report.accepted
        assert report.ticks < 2000
