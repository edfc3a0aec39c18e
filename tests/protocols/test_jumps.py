"""Jumps: what comes to rest, noise and drift are none; a change beyond all of them is, and a step far beyond those before it."""

from __future__ import annotations

import numpy as np
import pytest

from aeqlab.protocols.jumps import ReadingJumps, StepJumps

NOISE = np.array([1e-3, 1e-4])


def rows(n: int, seed: int, lag: float = 3.0) -> np.ndarray:
    """Make readings that come to rest, with noise."""
    rng = np.random.default_rng(seed)
    ease = np.exp(-np.arange(n) / lag)[:, None]
    return ease * np.array([1.0, -0.5]) + NOISE * rng.standard_normal((n, 2))


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_coming_to_rest_are_no_jump(seed: int) -> None:
    jumps = ReadingJumps(NOISE, 0.0)
    assert [k for row in rows(2000, seed) if (k := jumps.see(row, None, 0.0)) is not None] == []


def test_a_jump_is_found_at_once_by_its_channel() -> None:
    jumps = ReadingJumps(NOISE, 0.0)
    for k, row in enumerate(rows(60, 7)):
        moved = row + np.array([0.0, 5e-3 if k >= 40 else 0.0])
        assert jumps.see(moved, None, 0.0) == (1 if k == 40 else None)


def test_a_channel_that_was_not_read_anew_is_not_judged_and_not_learned_from() -> None:
    jumps = ReadingJumps(NOISE, 0.0)
    at_rest = np.zeros(2)
    for _ in range(5):
        jumps.see(at_rest, None, 0.0)
    stale = np.array([True, False])
    assert jumps.see(np.array([0.0, 1.0]), stale, 0.0) is None
    assert jumps.see(at_rest, None, 0.0) is None
    assert jumps.see(np.array([0.0, 1.0]), None, 0.0) == 1


def test_what_moves_begins_anew_and_what_is_not_judged_is_not_told() -> None:
    jumps = ReadingJumps(NOISE, 0.0)
    for _ in range(5):
        jumps.see(np.zeros(2), None, 0.0)
    assert jumps.see(np.ones(2), None, 0.0, judge=False) is None
    jumps.clear()
    assert jumps.see(np.zeros(2), None, 0.0) is None


def step(jumps: StepJumps, size: float, reach: float = 0.2, k: int = 0) -> int | None:
    dtheta = np.zeros(4)
    dtheta[k] = size * reach
    return jumps.see(dtheta, np.array([0.1 * reach]), reach, np.full(4, 1e-4), np.array([1e-4]))


def test_steps_go_with_the_misfit_and_one_far_beyond_them_is_a_jump() -> None:
    jumps = StepJumps([slice(0, 2), slice(2, 4)])
    rng = np.random.default_rng(3)
    for _ in range(50):
        assert step(jumps, rng.uniform(0.02, 0.1), reach=rng.uniform(1e-3, 1.0), k=int(rng.integers(4))) is None
    assert step(jumps, 1.0, k=3) == 3
    assert step(jumps, 0.1, k=3) is None  # done again, it is as it should be
    assert jumps.see(np.zeros(4), np.array([0.5]), 0.2, np.zeros(4), np.zeros(1)) == 4


def test_what_comes_again_is_what_the_system_does() -> None:
    jumps = StepJumps([slice(0, 4)])
    for _ in range(10):
        step(jumps, 0.01)
    assert step(jumps, 0.5) == 0
    assert step(jumps, 0.45) is None
    assert step(jumps, 0.5) is None


def test_noise_at_no_misfit_is_no_jump() -> None:
    jumps = StepJumps([slice(0, 4)])
    for _ in range(10):
        step(jumps, 0.05)
    assert jumps.see(np.full(4, 9e-5), np.array([5e-5]), 1e-9, np.full(4, 1e-4), np.array([1e-4])) is None


@pytest.mark.parametrize("seed", range(5))
def test_drift_at_small_misfits_is_no_jump_and_a_jump_among_them_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    jumps, noise = StepJumps([slice(0, 4)]), np.full(4, 1e-4)
    f = rng.uniform(-1, 1, (3000, 4))
    for n in range(3000):
        misfit = abs(rng.standard_normal()) * max(np.exp(-n / 150), 0.02)  # training until little is left
        reach = 0.2 * misfit
        dtheta = 0.05 * reach * f[n] + 3e-5 * rng.standard_normal(4)
        ds = np.array([1.5 * reach + 1.5e-4 * rng.standard_normal()])
        assert jumps.see(dtheta, ds, reach, noise, np.array([3e-4])) is None, n
    assert jumps.see(dtheta + np.array([0.0, 0.05, 0.0, 0.0]), ds, reach, noise, np.array([3e-4])) == 1
    assert jumps.see(dtheta, ds + 0.3, reach, noise, np.array([3e-4])) == 4
