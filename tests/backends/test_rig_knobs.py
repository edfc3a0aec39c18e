"""Knobs as they move: led in steps, ramping by themselves, or at once; what is remembered changes nothing of it."""

from __future__ import annotations

import numpy as np
import pytest

from aeqlab.backends.rig_knobs import MovingKnobs
from aeqlab.backends.rig_plan import KnobPlan

TICK_S = 0.1


def knobs(slew: float = np.inf, pace: float = np.inf) -> MovingKnobs:
    zero = np.zeros(2)
    plan = KnobPlan(("a", "b"), (), "V", zero - 1, zero + 1, zero - 2, zero + 2, zero, zero + slew)
    row = MovingKnobs(plan, TICK_S)
    assert not row.known
    row.adopt(slice(None), zero, zero, zero + pace)
    assert row.known
    assert not row.moving
    return row


def lead(row: MovingKnobs, now: float) -> list[float]:
    """Let a tick pass; returns what is sent, nan for what is not."""
    row.go_on(now)
    rows, values = row.next(TICK_S)
    row.were_sent(rows, values)
    told = np.full(2, np.nan)
    told[rows] = values
    return told.tolist()


def test_a_knob_without_slew_goes_at_once_and_is_sent_once() -> None:
    row = knobs()
    row.goal = np.array([0.5, 0.0])
    assert row.moving
    assert lead(row, 0.1) == pytest.approx([0.5, np.nan], nan_ok=True)
    assert not row.moving
    assert lead(row, 0.2) == pytest.approx([np.nan, np.nan], nan_ok=True)
    row.goal[1] = -0.5  # in place
    assert row.moving
    assert lead(row, 0.3) == pytest.approx([np.nan, -0.5], nan_ok=True)
    assert row.at.tolist() == [0.5, -0.5]


def test_a_knob_that_is_led_takes_steps() -> None:
    row = knobs(slew=2.0)
    row.goal = np.array([0.5, -0.3])
    assert [lead(row, 0.1 * k) for k in range(1, 5)] == [
        pytest.approx(step, nan_ok=True) for step in ([0.2, -0.2], [0.4, -0.3], [0.5, np.nan], [np.nan, np.nan])
    ]
    assert not row.moving


def test_a_knob_that_ramps_by_itself_is_reckoned_and_stops_where_it_is() -> None:
    row = knobs(slew=2.0, pace=2.0)
    row.goal = np.array([0.5, 0.0])
    assert lead(row, 0.1) == pytest.approx([0.5, np.nan], nan_ok=True)
    assert row.at.tolist() == [0.0, 0.0]
    assert lead(row, 0.2) == pytest.approx([np.nan, np.nan], nan_ok=True)
    assert row.at.tolist() == pytest.approx([0.2, 0.0])
    assert row.moving
    row.stop()
    assert lead(row, 0.2) == pytest.approx([0.2, np.nan], nan_ok=True)
    row.go_on(0.5)
    assert row.at.tolist() == pytest.approx([0.2, 0.0])
    assert not row.moving


def test_a_knob_that_was_set_from_elsewhere_is_led_on_from_there() -> None:
    row = knobs()
    row.goal = np.array([0.5, 0.5])
    lead(row, 0.1)
    row.adopt(np.array([1]), np.zeros(1), np.zeros(1), np.full(1, np.inf))  # it was off, and is at 0 again
    assert row.moving
    assert lead(row, 0.2) == pytest.approx([np.nan, 0.5], nan_ok=True)
