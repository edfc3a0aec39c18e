"""False verdicts of a hold, counted against the true theta of the slow device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from first_order_plant import FirstOrderPlant

from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.hold_rates import HoldRates, measure_hold_rates
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.session import Session


def rates_of(samples: int, step: float, controller: Any = None, **device: Any) -> HoldRates:
    slow = SlowSettings(energy="linear", epsilon=0.1, **device).open(seed=1, base=Path())
    with Session(slow, homeostasis=HomeostasisSettings(controller=controller)) as session:
        return measure_hold_rates(session, samples, theta=slow.true_parameters(), step=step, rng=np.random.default_rng(1))


@pytest.mark.parametrize("controller", ["integral", "pid", "quasi-static"])
def test_hundreds_of_holds_have_no_false_verdict(controller: str) -> None:
    rates = rates_of(150, 1e-3, controller)
    assert (rates.false_held, rates.false_rejected, rates.accepted) == (0, 0, 150)


def test_many_stale_and_lost_readings_give_no_false_verdict() -> None:
    rates = rates_of(100, 1e-3, stale_rate=0.05, lost_rate=0.05)
    assert (rates.false_held, rates.false_rejected) == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", [1e-3, 5e-3])
@pytest.mark.parametrize("dead_time_s", [0.02, 0.1])
def test_ten_thousand_holds_on_the_slow_device(step: float, dead_time_s: float) -> None:
    rates = rates_of(10_000, step, dead_time_s=dead_time_s)
    print(rates)
    assert rates.false_held_rate <= 1e-3
    assert rates.false_rejected_rate <= 0.05


def test_the_counts_are_what_they_say() -> None:
    plant = FirstOrderPlant(1, tick=0.1)
    rates = HoldRates()
    with Session(plant, homeostasis=HomeostasisSettings(tolerance=0.1)) as session:
        session.present(np.array([[0.5]]))
        report = session.hold(np.zeros(1))
        assert report.accepted
        rates.add(report, np.zeros(1), np.array([0.05]))
        rates.add(report, np.zeros(1), np.array([0.2]))
        session.configure(homeostasis=HomeostasisSettings(tolerance=1e-12, timeout=1.0))
        session.present(np.array([[5.0]]))
        rejected = session.hold(np.zeros(1))
        rates.add(rejected, np.zeros(1), np.zeros(1))
        rates.add(rejected, np.zeros(1), np.ones(1))
    assert (rates.samples, rates.accepted, rates.good, rates.false_held, rates.false_rejected) == (4, 2, 2, 1, 1)
    assert (rates.false_held_rate, rates.false_rejected_rate) == (0.5, 0.5)
    assert rates.worst_held == pytest.approx(2.0)


def test_a_device_without_truth_cannot_be_judged() -> None:
    class Plain(FirstOrderPlant):
        true_parameters = None  # type: ignore[assignment]

    with Session(Plain(1)) as session, pytest.raises(CapabilityError, match="does not know its true parameters"):
        measure_hold_rates(session, 1, theta=np.zeros(1), step=1e-3, rng=np.random.default_rng(1))
