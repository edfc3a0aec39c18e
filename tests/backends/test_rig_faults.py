"""What breaks on a rig, at the level of the device: injected on the bench, and judged by what the bench then is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rig_helpers import KnowingRig, rig_on

from aeqlab.backends.bench_faults import Fault, begin, end
from aeqlab.backends.errors import DeviceLostError, DisturbedError, LimitError
from aeqlab.backends.readout import Flag

X = np.zeros((1, 1))
QUICK = {"lost_after_s": 30.0}


def started(rig: KnowingRig, u: float = 0.2, beta: float = 0.0) -> None:
    rig.present(X)
    rig.set_controls(np.full(7, u))
    for _ in range(4):
        rig.advance()
    if beta:
        rig.nudge(np.ones((1, 1)), beta)
        rig.advance()
        assert rig.bench.truth()["i"][0] != 0.0


def go_on(rig: KnowingRig, ticks: int, u: float = 0.2, beta: float = 0.2) -> None:
    """Move and nudge a little at every tick, so that every instrument is spoken to."""
    for k in range(ticks):
        rig.set_controls(np.full(7, u + 1e-4 * k))
        rig.nudge(np.ones((1, 1)), beta + 1e-4 * k)
        rig.advance()


def stand(rig: KnowingRig, ticks: int) -> None:
    for _ in range(ticks):
        rig.advance()


def fault(rig: KnowingRig, kind: str, instrument: str, **more: Any) -> Fault:
    made = Fault.model_validate({"kind": kind, "instrument": instrument, **more})
    begin(rig.bench, made)
    return made


@pytest.mark.parametrize("kind", ["garbled", "short"])
def test_readings_that_are_none_are_refused_as_a_block_and_the_last_good_ones_stay(kind: str) -> None:
    with rig_on(**QUICK) as rig:
        started(rig)
        good = rig.advance()
        made = fault(rig, kind, "adc")
        lost = rig.advance()
        assert lost.flags & Flag.LOST
        np.testing.assert_array_equal(lost.parameters, good.parameters)
        assert lost.parameter_ages_s is not None
        assert (lost.parameter_ages_s > rig.info.tick_s).all()  # type: ignore[operator]
        end(rig.bench, made)
        try:
            again = rig.advance()
        except DisturbedError:  # not even its name could be read, so that the link was opened again
            again = rig.advance()
        assert not again.flags & Flag.LOST
        np.testing.assert_allclose(again.parameters, 0.2, atol=0.02)
        told = " ".join(rig.take_told())
        assert "It is asked again" in told
        assert "The reading was left out" in told or "answers again" in told


def test_a_late_reply_is_never_taken_for_another() -> None:
    with rig_on(**QUICK) as rig:
        started(rig)
        made = fault(rig, "late", "adc", seconds=1.3)
        readout = None
        try:
            readout = rig.advance()
        except DisturbedError:
            pass
        end(rig.bench, made)
        assert readout is None or readout.flags & Flag.LOST or np.allclose(readout.parameters, 0.2, atol=0.02)
        for _ in range(3):
            try:
                readout = rig.advance()
            except DisturbedError:
                continue
        assert readout is not None
        np.testing.assert_allclose(readout.parameters, 0.2, atol=0.02)


@pytest.mark.parametrize("name", ["dac", "adc", "smu"])
def test_a_dropped_link_takes_the_nudge_off_and_comes_back(name: str) -> None:
    with rig_on(**QUICK) as rig:
        started(rig, beta=0.2)
        fault(rig, "dropped", name)
        with pytest.raises(DisturbedError, match="it answers again after"):
            go_on(rig, 30)
        assert rig.bench.truth()["i"][0] == 0.0
        readout = rig.advance()
        assert not readout.flags & Flag.LOST
        np.testing.assert_allclose(rig.bench.truth()["u"], 0.2, atol=0.02)


@pytest.mark.parametrize("name", ["dac", "adc", "smu"])
def test_an_instrument_that_was_off_is_armed_again_and_its_knobs_are_led_back(name: str) -> None:
    with rig_on(**QUICK) as rig:
        started(rig, beta=0.2)
        rig.bench.reboot(name)
        assert name != "dac" or rig.bench.truth()["u"][0] == pytest.approx(0.2, abs=0.05)  # on its way to 0
        with pytest.raises(DisturbedError, match="it was off meanwhile"):
            go_on(rig, 30)
        assert rig.bench.truth()["i"][0] == 0.0
        for _ in range(6):
            rig.advance()
        np.testing.assert_allclose(rig.bench.truth()["u"], 0.2, atol=0.02)
        assert rig.arming_plan() == []


@pytest.mark.parametrize("name", ["dac", "smu"])
def test_an_instrument_that_was_off_is_noticed_in_the_same_tick_though_nothing_is_told_to_it(name: str) -> None:
    with rig_on(**QUICK) as rig:
        started(rig, beta=0.2)
        stand(rig, 3)
        rig.bench.reboot(name)
        assert rig.advance().flags & Flag.AWAY
        with pytest.raises(DisturbedError, match="it was off meanwhile"):
            stand(rig, 30)


def test_a_knob_that_somebody_else_set_is_noticed_when_it_stands() -> None:
    with rig_on(**QUICK) as rig:
        started(rig)
        rig.bench.emulated["dac"].outputs[3].volts = -0.5  # type: ignore[attr-defined]
        rig.set_controls(np.full(7, 0.21))
        rig.bench.emulated["dac"].outputs[2].trigger = "INT1"  # type: ignore[attr-defined]
        with pytest.raises(DisturbedError, match=r"answers again|settings changed"):
            stand(rig, 10)
        for _ in range(5):
            rig.advance()
        np.testing.assert_allclose(rig.bench.truth()["u"], 0.21, atol=0.02)


def test_an_instrument_in_compliance_is_flagged() -> None:
    with rig_on(**QUICK) as rig:
        started(rig, beta=0.2)
        rig.bench.emulated["smu"].limit["CURRent"] = 1e-6  # type: ignore[attr-defined]
        rig.bench.terminals["smu"].sense = lambda key, aperture_s: 1.0  # type: ignore[method-assign, assignment]
        flags = Flag.NONE
        for _ in range(12):
            flags = rig.advance().flags
        assert flags & Flag.SATURATED


def test_a_full_error_queue_loses_the_device() -> None:
    with rig_on(**QUICK) as rig:
        started(rig)
        fault(rig, "complaint", "dac", code=-350)
        rig.set_controls(np.full(7, 0.3))
        with pytest.raises(DeviceLostError, match="errors were lost"):
            rig.advance()


def test_a_refused_voltage_is_a_limit_and_says_so() -> None:
    with rig_on(**QUICK) as rig:
        started(rig)
        fault(rig, "complaint", "dac", code=-222)
        rig.set_controls(np.full(7, 0.3))
        with pytest.raises(LimitError, match="outside what the output can do"):
            rig.advance()


@pytest.mark.parametrize("name", ["dac", "adc", "smu"])
def test_an_instrument_that_is_gone_is_named_with_what_it_was_told_last(name: str) -> None:
    with rig_on(lost_after_s=1.5) as rig:
        started(rig, beta=0.1)
        fault(rig, "gone", name)
        with pytest.raises(DeviceLostError, match=f"{name} did not answer for 1.5 s.*State unknown, last commanded"):
            go_on(rig, 60, beta=0.1)
        if name != "smu":
            assert rig.bench.truth()["i"][0] == 0.0
        report = rig.make_safe()
        assert report.safe is (name == "adc")
