"""The rig device on an emulated bench: opening, arming, slew, limits, nudges, freeze, safe; judged by the bench's truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rig_helpers import KnowingRig, bench_of, open_rig, rig_on

from aeqlab.backends.bench_judge import judge
from aeqlab.backends.errors import DeviceConfigError, DeviceLostError, LimitError
from aeqlab.backends.readout import Flag, Grade
from aeqlab.protocols.conformance import identified_first

X = np.zeros((1, 1))


def moved(rig: KnowingRig, u: float, ticks: int = 6) -> None:
    rig.present(X)
    rig.set_controls(np.full(len(rig.info.controls), u))
    for _ in range(ticks):
        rig.advance()


def test_opening_changes_nothing_and_arming_is_told_beforehand(tmp_path: Path) -> None:
    with bench_of(journal=tmp_path) as bench, open_rig(bench) as rig:
        plan = rig.arming_plan()
        assert any("dac: channel 1: slew from" in line and "to 10 V/s" in line for line in plan)
        assert any("smu: channel 1: output from OFF to ON" in line for line in plan)
        assert not rig.armed
        assert bench.emulated["smu"].on is False
        rig.present(X)
        rig.advance()
        assert rig.armed
        assert rig.arming_plan() == []
        assert len(rig.changed) == len(plan)
        assert "If this computer dies now: smu (nudge): nobody knows what its outputs do." in rig.take_told()
        assert rig.take_told() == []


def test_a_rig_that_was_never_armed_is_frozen_without_a_word_to_it() -> None:
    with bench_of() as bench, open_rig(bench) as rig:  # its source measures current and gives voltage, as it was switched on
        rig.freeze()
        assert rig.nudge_applied() == 0.0
        assert not rig.armed
        assert bench.emulated["smu"].on is False
    with bench_of() as bench, open_rig(bench) as rig:
        rig.present(X)
        rig.advance()
        bench.emulated["smu"].reboot()  # armed before: what its source does now is nobody's word
        with pytest.raises(DeviceLostError, match="could not be frozen"):
            rig.freeze()


def test_a_knob_is_taken_over_where_it_stands() -> None:
    with bench_of() as bench:
        with open_rig(bench) as first:
            moved(first, 0.25)
        with open_rig(bench) as again:
            np.testing.assert_allclose(again.controls(), 0.25, atol=1e-6)
            again.present(X)
            again.advance()
            np.testing.assert_allclose(again.controls(), 0.25, atol=1e-6)


def test_slew_holds_whoever_asks(tmp_path: Path) -> None:
    for kind in ("boxes", "tcp"):
        with (
            bench_of(kind, journal=tmp_path / kind) as bench,
            open_rig(bench, "one-shot" if kind == "boxes" else "coupling") as rig,
        ):
            rig.present(X)
            rig.set_controls(np.full(len(rig.info.controls), 1.0))
            readout = rig.advance()
            assert readout.flags & Flag.SLEWING or kind == "boxes"
            for _ in range(30):
                readout = rig.advance()
            assert not readout.flags & Flag.SLEWING
            np.testing.assert_allclose(bench.truth()["u"], 1.0, atol=0.05)  # gain and offset errors of the profile
            rig.make_safe()
        # a board has no slew of its own: it is led in steps of slew times a tick
        found = judge(tmp_path / kind, limit_V=1.5, slew_V_per_s=10.0 if kind == "boxes" else 1e6)
        assert found.wrong == ()
        assert found.highest == pytest.approx(1.0, abs=1e-3)


def test_values_outside_limits_and_sums_are_refused_and_nothing_moves() -> None:
    sums = [{"name": "power", "of": "u[0-6]", "kind": "squares", "limit": 1.0}]
    with rig_on(sums=sums) as rig:
        moved(rig, 0.1)
        with pytest.raises(LimitError, match=r"control knob u0: 1.6 V is outside -1.5 to 1.5"):
            rig.set_controls(np.array([1.6, *np.zeros(6)]))
        with pytest.raises(LimitError, match=r"power would be 1.12, and its limit is 1"):
            rig.set_controls(np.full(7, 0.4))
        rig.advance()
        np.testing.assert_allclose(rig.controls(), 0.1, atol=1e-6)


def test_limits_beyond_the_range_are_refused_at_arming_before_a_knob_moves() -> None:
    with bench_of() as bench, open_rig(bench, nudge={
        "realisation": "one-shot", "channels": "smu[1]", "beta_max": 0.5, "force_per_unit": 1e-3, "limits_A": [-1.05e-3, 1.05e-3],
    }) as rig:  # fmt: skip
        rig.present(X)
        rig.set_controls(np.full(7, 0.5))
        with pytest.raises(DeviceConfigError, match=r"smu\[1\]: -0.00105 to 0.00105 A go beyond its range -0.001 to 0.001 A"):
            rig.advance()
        assert np.abs(bench.truth()["u"]).max() < 0.02


def test_everything_wrong_with_the_instruments_comes_at_once() -> None:
    with bench_of() as bench:
        tree: dict[str, Any] = {"dac": {"serial": "999"}, "smu": {"address": "TCPIP::127.0.0.1::1::SOCKET"}}
        instruments = {
            "dac": {"driver": "qdac2", "address": bench.addresses["dac"], **tree["dac"]},
            "adc": {"driver": "keithley2450", "source": "current", "address": bench.addresses["adc"]},
            "smu": {"driver": "keithley2450", "source": "current", **tree["smu"]},
        }
        with pytest.raises(DeviceConfigError) as caught:
            open_rig(
                bench, instruments=instruments, outputs=[{"name": "s", "channel": "adc2"}],
                parameters={"names": "theta[0-6]", "channels": "dac[i1,i2,i3,i4,i5,i6,i7]"},
            )  # fmt: skip
        said = str(caught.value)
        assert "3 of 3 instruments cannot be used; nothing was moved" in said
        assert "the serial number asked for is 999" in said
        assert "DAQ970A" in said
        assert "cannot be opened" in said
        assert "dac: dac at" not in said  # each is named once
        assert "connected?." not in said
        with open_rig(bench) as rig:  # the rest stayed as it was, and can be used
            moved(rig, 0.1, 1)


def test_a_channel_in_another_unit_is_refused() -> None:
    nudge = {"realisation": "one-shot", "channels": "smu[1]", "beta_max": 0.5, "limits_V": [-1, 1]}
    with bench_of() as bench, pytest.raises(DeviceConfigError, match=r"smu\[1\] is in A; the rig file says V"):
        open_rig(bench, nudge=nudge)


def test_a_coupling_needs_an_instrument_that_has_one() -> None:
    with bench_of() as bench, pytest.raises(DeviceConfigError, match="a coupling needs one instrument with a nudge of its own"):
        open_rig(bench, nudge={"realisation": "coupling", "channels": "smu[1]", "beta_max": 0.5, "unit": "A"})


def test_a_one_shot_force_follows_from_outputs_at_the_present_input() -> None:
    with rig_on() as rig:
        moved(rig, 0.3)
        rig.present(np.array([[0.5]]))
        rig.nudge(np.array([[2.0]]), 0.2)
        rig.advance()
        free = 0.3 * (1 + sum(np.sin(k * np.pi / 2) + np.cos(k * np.pi / 2) for k in (1, 2, 3)))
        force = rig.bench.truth()["i"][0]
        assert force == pytest.approx(-0.2 * (free - 2.0), rel=0.05)
        for _ in range(3):
            rig.advance()
        assert rig.bench.truth()["i"][0] == pytest.approx(force, rel=1e-6)  # set once
        assert rig.nudge_applied() == 0.2
        rig.release()
        rig.advance()
        assert (rig.bench.truth()["i"][0], rig.nudge_applied()) == (0.0, 0.0)


def test_a_feedback_force_is_renewed_and_too_strong_a_one_refused() -> None:
    with rig_on(realisation="feedback") as rig:
        identified_first(rig)
        low, high = rig.info.beta
        assert -0.5 <= low < -0.2 < 0.2 < high <= 0.5  # half of the measured stiffness, inside the file's range
        moved(rig, 0.1)
        rig.nudge(np.array([[1.0]]), 0.2)
        forces = []
        for _ in range(4):
            s = rig.advance().outputs[0, 0]
            forces.append(rig.bench.truth()["i"][0])
        assert forces[-1] == pytest.approx(-0.2 * (s - 1.0), rel=0.02)
        assert forces[0] != forces[-1]
        rig.nudge(np.array([[9.0]]), 0.2)
        with pytest.raises(LimitError, match=r"0.0016\d* A for a misfit .* is outside -0.001 to 0.001 A"):
            rig.advance()


def test_negative_nudges_of_a_loop_wait_for_the_stiffness() -> None:
    with rig_on(realisation="feedback") as rig:
        assert rig.info.beta[0] == 0.0
        assert rig.info.response is None
        identified_first(rig)
        assert rig.info.beta[0] < 0.0
        assert rig.info.response is not None


def test_freeze_takes_the_nudge_off_and_brings_inputs_to_rest() -> None:
    with rig_on() as rig:
        moved(rig, 0.3)
        rig.present(np.array([[0.5]]))
        rig.nudge(np.array([[1.0]]), 0.2)
        rig.advance()
        assert rig.bench.truth()["i"][0] != 0.0
        rig.freeze()
        assert rig.bench.emulated["smu"].level["CURRent"] == 0.0  # at once, without a tick
        readout = rig.advance()
        assert readout.flags & Flag.FROZEN
        truth = rig.bench.truth()
        assert (truth["i"][0], abs(truth["x"][0]) < 0.01) == (0.0, True)
        np.testing.assert_allclose(truth["u"], 0.3, atol=0.02)


def test_a_freeze_stops_a_knob_on_its_way() -> None:
    with rig_on(controls={
        "names": "u[0-6]", "channels": "dac[1-7]", "limits_V": [-1.5, 1.5], "absolute_V": [-1.9, 1.9], "slew_V_per_s": 0.5,
    }) as rig:  # fmt: skip
        rig.present(X)
        rig.set_controls(np.full(7, 1.0))
        rig.advance()
        rig.advance()
        rig.freeze()
        at = np.array(rig.bench.truth()["u"])
        assert 0.05 < at.min() < at.max() < 0.9
        for _ in range(5):
            rig.advance()
        np.testing.assert_allclose(rig.bench.truth()["u"], at, atol=0.02)


def test_safe_is_confirmed_by_a_monitor_where_there_is_one() -> None:
    wiring = {"dac[1-7]": "u[0-6]", "dac[8]": "x[0]", "adc[101-107]": "theta[0-6]", "adc[108]": "s[0]", "adc[109]": "u[2]"}
    monitors = [{"name": "u2 measured", "channel": "adc109", "measures": "u2", "nplc": 1}]
    with bench_of(wiring={**wiring, "smu[1]": "i[0]"}) as bench, open_rig(bench, monitors=monitors) as rig:
        moved(rig, 0.4)
        rig.nudge(np.array([[1.0]]), 0.1)
        rig.advance()
        report = rig.make_safe()
        assert report.safe
        grades = {line.what: line.grade for line in report.lines}
        assert grades["u2"] is Grade.MEASURED
        assert grades["u1"] is grades["nudge"] is grades["z"] is Grade.ECHOED
        np.testing.assert_allclose(bench.truth()["u"], 0.0, atol=0.005)
        assert bench.emulated["smu"].on is False
        moved(rig, 0.1)  # it arms again by itself
        assert bench.emulated["smu"].on is True


def test_what_cannot_be_reached_is_never_called_safe() -> None:
    with rig_on() as rig:
        moved(rig, 0.4)
        rig.bench.served["dac"].close()
        report = rig.make_safe()
        assert not report.safe
        lines = {line.what: line for line in report.lines}
        assert lines["u3"].grade is Grade.FAILED
        assert "state unknown, last commanded 0.4 V" in lines["u3"].note
        assert lines["nudge"].grade is Grade.ECHOED


def test_ages_say_when_each_channel_was_scanned() -> None:
    with rig_on() as rig:
        moved(rig, 0.0, 4)
        readout = rig.advance()
        ages = readout.parameter_ages_s
        assert ages is not None
        assert np.all(np.diff(ages) < 0)  # in the order of the scan
        assert ages[0] == pytest.approx(8 * 0.02 - 0.01, abs=0.01)
        assert readout.dt == pytest.approx(rig.info.tick_s, rel=1e-6)


def test_late_periods_are_skipped_and_counted() -> None:
    with rig_on(tick_s=0.05) as rig:  # a scan takes 0.16 s
        moved(rig, 0.0, 5)
        assert rig.late >= 8
        assert rig.advance().dt == pytest.approx(0.17, abs=0.02)
        moved(rig, 0.1, 50)
        (said,) = [text for text in rig.take_told() if "tick" in text]  # once
        assert "A tick takes 0.16" in said
        assert "and tick_s is 0.05 s" in said
    with rig_on() as rig:
        moved(rig, 0.0, 50)
        assert not any("tick" in text for text in rig.take_told())


def test_a_limit_of_a_readout_is_a_guard() -> None:
    with rig_on(outputs=[{"name": "s", "channel": "adc108", "limits_V": [-0.5, 0.5]}]) as rig:
        moved(rig, 0.01)
        (of_parameters, of_outputs) = rig.guards()
        assert of_parameters.tripped(rig.monitored()) == of_outputs.tripped(rig.monitored()) == ""
        moved(rig, 0.3)
        assert "s reads 1.2" in of_outputs.tripped(rig.monitored())
        assert of_outputs.action == "safe"


def test_a_monitor_that_cannot_be_read_keeps_nobody_from_reading() -> None:
    with rig_on(monitors=[{"name": "temperature", "unit": "V", "channel": "adc109", "period_s": 1, "alarm": [0, 5]}]) as rig:
        moved(rig, 0.0, 3)  # 295 on a range of 10: an overload
        assert not rig.advance().flags & Flag.LOST
        assert np.isnan(rig.monitored()["temperature"].value)
        assert "is missing" in rig.guards()[-1].tripped(rig.monitored())


def test_an_interlock_on_a_slow_monitor_does_not_trip_between_two_of_its_readings() -> None:
    monitor = {"name": "supply", "unit": "V", "channel": "adc109", "period_s": 30}
    high = {"name": "high", "when": "supply > 5", "action": "safe"}
    wiring = {
        "dac[1-7]": "u[0-6]", "dac[8]": "x[0]", "adc[101-107]": "theta[0-6]", "adc[108]": "s[0]", "adc[109]": "u[0]",
        "smu[1]": "i[0]",
    }  # fmt: skip
    with rig_on(monitors=[monitor], interlocks=[high], bench={"wiring": wiring}) as rig:
        guard = next(one for one in rig.guards() if one.name == "high")
        assert guard.stale_s == 90.0
        moved(rig, 0.0)
        rig.advance(25.0)
        assert rig.monitored()["supply"].age_s > 5.0
        assert guard.tripped(rig.monitored()) == ""


def test_a_reading_that_jumps_is_told_once() -> None:
    with rig_on(outputs=[{"name": "s", "channel": "adc108", "max_step_V": 0.5}]) as rig:
        (jump,) = (one for one in rig.guards() if one.name == "jump")
        moved(rig, 0.0, 3)
        assert jump.tripped(rig.monitored()) == ""
        moved(rig, 0.3, 3)
        assert "s went from" in jump.tripped(rig.monitored())
        assert jump.tripped(rig.monitored()) == ""
        assert jump.action == "warn"


def test_a_bench_that_is_gone_loses_the_device_by_name() -> None:
    with rig_on(lost_after_s=1.0) as rig:
        moved(rig, 0.2)
        rig.bench.served["dac"].close()
        with pytest.raises(DeviceLostError, match=r"dac did not answer for 1 s: .* last commanded u0 = 0.2 V, u1 = 0.2 V"):
            moved(rig, 0.201, 40)
