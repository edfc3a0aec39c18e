"""Drift as windows of readings tell it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aeqlab.protocols.drift import Drift
from aeqlab.protocols.settling import Window

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
