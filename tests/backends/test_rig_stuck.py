"""A stuck reading is found by what does not move it any more; a coarse or a quiet one is not taken for it."""

from __future__ import annotations

import numpy as np

from aeqlab.backends.rig_stuck import Stuck


def test_a_channel_that_stands_while_it_used_to_move_is_found_and_let_go() -> None:
    rng = np.random.default_rng(0)
    watch = Stuck(np.full(4, 1e-5))
    found: list[list[int]] = []
    value = np.zeros(4)
    for k in range(40):
        value = np.round(rng.normal(0, 1e-2, 4) / 1e-5) * 1e-5
        if 20 <= k < 30:
            value[2] = 0.123
        found.append(watch.see(float(k), value, True))
        assert np.isinf(watch.since[[0, 1, 3]]).all()
    ((at, which),) = [(k, some) for k, some in enumerate(found) if some]
    assert 21 <= at <= 25  # within a few changes
    assert which == [2]
    assert np.isinf(watch.since).all()  # it moves again


def test_a_coarse_channel_and_a_quiet_bench_are_none() -> None:
    rng = np.random.default_rng(1)
    coarse, quiet = Stuck(np.full(3, 1e-3)), Stuck(np.full(3, 1e-5))
    for k in range(2000):
        move = rng.normal(0, 4e-4, 3)  # less than its resolution: it often repeats itself
        assert coarse.see(float(k), np.round(move / 1e-3) * 1e-3, True) == []
        assert quiet.see(float(k), np.full(3, 0.5), k < 100 and k % 7 == 0) == []  # nothing ever moved it


def test_where_the_resolution_is_not_known_nothing_is_judged() -> None:
    watch = Stuck(np.zeros(2))
    for k in range(100):
        assert watch.see(float(k), np.array([0.1, 0.2 + (k < 50) * k]), True) == []
