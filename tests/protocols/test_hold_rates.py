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


@pytest.mark.parametrize("controller", [pytest.param("integral", marks=pytest.mark.slow), "pid", "quasi-static"])
def test_a_hundred_holds_have_no_false_verdict(controller: str) -> None:
    rates = rates_of(100, 1e-3, controller)
    assert (rates.false_held, rates.false_rejected, rates.accepted) == (0, 0, 100)


def test_many_stale_and_lost_readings_give_no_false_verdict() -> None:
    rates = rates_of(100, 1e-3, stale_rate=0.05, lost_rate=0.05)
    assert (rates.false_held, rates.false_rejected) == (0, 0)


COARSE: dict[str, Any] = {"dac_bits": 16}
DRIFTING: dict[str, Any] = {"drift_time_s": 60.0}
NOISY: dict[str, Any] = {"noise_V": 0.23e-3, "output_noise_V": 0.23e-3}  # as a converter of 12 bits


def test_a_hundred_holds_with_coarse_knobs_have_no_false_verdict() -> None:
    rates = rates_of(120, 1e-3, "quasi-static", **COARSE)
    assert (rates.false_held, rates.false_rejected, rates.accepted) == (0, 0, 120)


def test_hundreds_of_holds_under_drift_have_no_false_verdict() -> None:
    rates = rates_of(200, 1e-3, "integral", **DRIFTING)
    assert (rates.false_held, rates.false_rejected, rates.accepted) == (0, 0, 200)


@pytest.mark.slow
def test_coarse_knobs_that_drift_have_no_false_verdict() -> None:
    rates = rates_of(150, 1e-3, "pid", **COARSE, **DRIFTING)
    assert (rates.false_held, rates.false_rejected, rates.accepted) == (0, 0, 150)


def test_the_report_says_how_wide_the_tolerance_has_to_be() -> None:
    reports = {}
    for name, device in {"still": {"drift_V": 0.0}, "drifting": DRIFTING}.items():
        slow = SlowSettings(energy="linear", epsilon=0.1, **device).open(seed=1, base=Path())
        with Session(slow, homeostasis=HomeostasisSettings(step=1e-3)) as session:
            target = slow.true_parameters()
            session.present(np.full((1, len(session.info.inputs)), 0.5))
            reports[name] = [session.hold(target) for _ in range(20)][-1]
    still, drifting = reports["still"], reports["drifting"]
    assert still.accepted
    assert drifting.accepted
    assert still.tolerance is not None
    assert drifting.tolerance is not None
    assert still.drift is not None
    assert drifting.drift is not None
    assert drifting.tolerance.max() > 1.2 * still.tolerance.max()
    # 0.5 mV in 60 s walk by 8.3e-9 V^2/s, so 27 uV from a window to the clamp, of which the lag of theta lets most pass
    assert 15e-6 < np.median(drifting.drift) < 30e-6
    assert np.median(still.drift) < 10e-6


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("controller", ["integral", "pid", "quasi-static"])
@pytest.mark.parametrize(
    "device",
    [{}, COARSE, DRIFTING, COARSE | DRIFTING, NOISY, NOISY | COARSE | DRIFTING],
    ids=["defaults", "16-bits", "drift", "16-bits-drift", "noisy", "noisy-16-bits-drift"],
)
def test_thousands_of_holds_on_settings_like_those_of_hardware(device: dict[str, Any], controller: str) -> None:
    rates = rates_of(2_000, 1e-3, controller, **device)
    print(rates)
    assert rates.false_held_rate <= 1e-3
    assert rates.false_rejected_rate <= 0.05


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
