"""Wandering knobs: samples that differ and learning are none of it; a drift of one knob is, and a new beginning ends it."""

from __future__ import annotations

import numpy as np

from aeqlab.protocols.wander import Wander

LOW, HIGH, GAIN = np.full(3, -1.0), np.full(3, 1.0), np.array([1.0, 0.9, 1.1])


def wandered(drift: float, holds: int = 200, learns: float = 0.0, spread: float = 0.01) -> list[int]:
    """Let knob 1 drift by so much per hold; returns the knobs that were ever told."""
    wander, rng = Wander(LOW, HIGH, GAIN), np.random.default_rng(5)
    told: set[int] = set()
    for n in range(holds):
        theta = np.array([0.2, 0.1, -0.1]) + learns * n
        u = theta / GAIN + spread * rng.standard_normal(3) + np.array([0.0, drift * n, 0.0])
        told |= set(np.flatnonzero(wander.see(u, theta)[0]).tolist())
    return sorted(told)


def test_samples_that_differ_and_learning_are_no_drift() -> None:
    assert wandered(0.0) == []
    assert wandered(0.0, learns=5e-3) == []
    assert wandered(0.0, spread=0.05) == []


def test_a_knob_that_drifts_is_told_and_no_other() -> None:
    assert wandered(1e-3) == [1]
    assert wandered(-1e-3) == [1]


def test_it_begins_anew() -> None:
    wander = Wander(LOW, HIGH, GAIN)
    for _ in range(10):
        wander.see(np.zeros(3), np.zeros(3))
    assert wander.see(np.full(3, 2.0), np.zeros(3))[0].all()
    wander.begin()
    for _ in range(10):
        assert not wander.see(np.full(3, 2.0), np.zeros(3))[0].any()
