"""Drift as holds learn it, and what they make of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from first_order_plant import FirstOrderPlant
from numpy.typing import NDArray

from aeqlab.backends.device import Readout
from aeqlab.protocols.drift import Drift
from aeqlab.protocols.homeostasis import HomeostasisSettings, hold, make_controller
from aeqlab.protocols.reports import HoldReport, Verdict
from aeqlab.protocols.settling import Window, still

NOISE = 1e-3


def windows(drift: Drift, rates: NDArray[Any], count: int, *, dt: float = 0.02, reads: int = 11, noise: float = NOISE) -> None:
    """Let it see windows of a random walk of these rates (per second) under read noise."""
    rng, n = np.random.default_rng(7), len(rates)
    for _ in range(count):
        window, theta = Window(), np.zeros(n)
        for i in range(reads):
            for _ in range(5):  # what happens between two readings counts too
                theta = theta + np.sqrt(rates * dt / 5) * rng.standard_normal(n)
            window.add(i * dt, theta + noise * rng.standard_normal(n), None)
        drift.see(window.figures(), (reads - 1) * dt, np.full(n, noise))


def test_the_rate_of_a_random_walk_is_found() -> None:
    drift = Drift([slice(0, 20)], 20)
    windows(drift, np.full(20, 1e-5), 100)
    assert drift.rate == pytest.approx(np.full(20, 1e-5), rel=0.1)


def test_a_known_drift_is_no_movement_and_a_relaxation_is() -> None:
    rng = np.random.default_rng(3)
    q, n, dt = 1e-5, 16, 0.1
    passed = np.zeros(2)
    for _ in range(300):
        still_there, relaxing = Window(), Window()
        walk = np.cumsum(np.sqrt(q * dt) * rng.standard_normal((5, n)), axis=0)
        for i in range(5):
            row = walk[i] + 1e-4 * rng.standard_normal(n)
            still_there.add(i * dt, row, None)
            relaxing.add(i * dt, row + 0.05 * np.exp(-i * dt / 0.2) * (np.arange(n) == 3), None)
        noise, nothing = np.full(n, 1e-4), np.full(n, 1e-6)
        assert not still(still_there.figures(), 4 * dt, noise, nothing).all()  # that it drifts is seen
        for k, window in enumerate((still_there, relaxing)):
            passed[k] += still(window.figures(), 4 * dt, noise, nothing, np.full(n, q)).all()
    assert passed[0] >= 297
    assert passed[1] == 0


def test_noise_is_not_taken_for_drift() -> None:
    drift = Drift([slice(0, 20)], 20)
    windows(drift, np.zeros(20), 100)
    noise_alone = 12 * NOISE**2 / (11 * 0.2 * 1.2)  # what the slopes would say if none of it were known
    assert (drift.rate <= 0.1 * noise_alone).all()


def test_what_was_hardly_seen_is_taken_for_larger() -> None:
    few, many = Drift([slice(0, 2)], 2), Drift([slice(0, 2)], 2)
    assert (few.rate == 0.0).all()
    windows(few, np.full(2, 1e-5), 3)
    windows(many, np.full(2, 1e-5), 3)
    many._windows *= 50  # the same average, of more windows
    assert (few.rate > many.rate).all()


def test_a_knob_that_drifts_more_than_its_block_is_not_hidden_by_it() -> None:
    rates = np.full(20, 1e-6)
    rates[3] = 1e-4
    drift = Drift([slice(0, 20)], 20)
    windows(drift, rates, 100)
    assert drift.rate[3] == pytest.approx(1e-4, rel=0.4)
    assert (np.delete(drift.rate, 3) < 1.5e-5).all()


def test_blocks_are_apart() -> None:
    drift = Drift([slice(0, 10), slice(10, 20)], 20)
    windows(drift, np.repeat([1e-6, 1e-4], 10), 100)
    assert drift.rate[10:] == pytest.approx(np.full(10, 1e-4), rel=0.15)
    assert (drift.rate[:10] < 5e-6).all()


def test_old_windows_are_forgotten() -> None:
    drift = Drift([slice(0, 20)], 20)
    windows(drift, np.full(20, 1e-3), 200)
    windows(drift, np.full(20, 1e-5), 1500)
    assert drift.rate == pytest.approx(np.full(20, 1e-5), rel=0.15)


def test_what_was_learned_goes_with_the_controller() -> None:
    settings, plant = HomeostasisSettings(), FirstOrderPlant(3, tick=0.1, noise=NOISE)
    controller, twin = make_controller(settings, plant.info), make_controller(settings, plant.info)
    windows(controller.drift, np.full(3, 1e-5), 5)
    twin.restore(controller.state())
    assert np.array_equal(twin.drift.rate, controller.drift.rate)
    assert twin.drift.rate.min() > 0


@pytest.mark.parametrize("bad", [{"drift_windows": float("nan")}, {"drift_squares": np.zeros(2)}, {"drift_noise": -np.ones(3)}])
def test_a_damaged_memory_is_refused(bad: dict[str, Any]) -> None:
    controller = make_controller(HomeostasisSettings(), FirstOrderPlant(3).info)
    with pytest.raises(ValueError, match="drift"):
        controller.restore(controller.state() | bad)


class Ramping(FirstOrderPlant):
    """Every theta is pushed aside ever further, by `per_s` each second. Its output stands still: what is judged is theta."""

    per_s = 0.0

    def _advance(self, seconds: float | None) -> Readout:
        return super()._advance(seconds)._replace(outputs=np.zeros((1, 1)))

    def _tick(self) -> None:
        self.x += self.per_s * self.tick
        super()._tick()


def ramping(per_s: float, law: Any, holds: int, **more: Any) -> list[tuple[HoldReport, float]]:
    """Hold for several times; with each report how far theta then was from its target, in tolerances."""
    plant = Ramping(4, tick=0.1, noise=NOISE, dead=0.2)
    plant.per_s = per_s
    settings = HomeostasisSettings(controller=law, **more)
    controller, seen = make_controller(settings, plant.info), []
    plant.present(np.zeros((1, 1)))
    for _ in range(holds):
        report = hold(plant, np.zeros(4), settings, controller)
        assert report.tolerance is not None
        seen.append((report, float(np.max(np.abs(plant.theta) / report.tolerance))))
    return seen


@pytest.mark.parametrize("law", ["integral", "pid", "quasi-static"])
def test_a_steady_ramp_is_followed_within_the_tolerance(law: str) -> None:
    seen = ramping(3e-4, law, 12)  # 1.5 mV or half a tolerance in the time from one window to the next
    assert all(report.accepted for report, _ in seen)
    assert max(off for _, off in seen) <= 1.0


@pytest.mark.parametrize("law", ["integral", "pid", "quasi-static"])
def test_what_drifts_by_more_than_a_tolerance_in_a_window_is_not_held(law: str) -> None:
    (report, _), *_ = ramping(2e-3, law, 1, tolerance=3e-3, max_ticks=1000)  # 6 mV in a window of three lags
    assert not report.accepted
    assert report.verdict is Verdict.TIMEOUT
