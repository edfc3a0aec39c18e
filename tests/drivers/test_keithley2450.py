"""The Keithley 2450, byte by byte: command set, arming, levels, limits and trips, readings, errors with type and time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from aeqlab.drivers.connection import Wire
from aeqlab.drivers.emulated.clock import LockstepClock
from aeqlab.drivers.emulated.keithley2450 import Keithley2450 as Emulated
from aeqlab.drivers.emulated.scpi import POWER_ON
from aeqlab.drivers.emulated.server import TcpServed
from aeqlab.drivers.emulated.terminals import Bare
from aeqlab.drivers.errors import (
    IdentityError,
    LinkLostError,
    RebootedError,
    RefusedError,
    ReplyError,
    ReplyLateError,
    SettingError,
)
from aeqlab.drivers.instrument import Direction, Silence
from aeqlab.drivers.keithley2450 import Keithley2450

ADOPTED = (
    b"SOURce:FUNCtion?\nSENSe:FUNCtion?\nOUTPut?\nSOURce:CURRent?\nSOURce:CURRent:RANGe?\nSOURce:CURRent:VLIMit?\n"
    b"SENSe:VOLTage:RANGe?\nSENSe:VOLTage:NPLCycles?\nOUTPut:CURRent:SMODe?\n"
)


class Bench:
    """An emulated 2450 that is served, and what it is wired to."""

    def __init__(self, **options: Any) -> None:
        self.clock, self.wired = LockstepClock(), Bare()
        self.smu = Emulated(terminals=self.wired, clock=self.clock, **options)
        self.served = TcpServed(self.smu.front, self.clock)

    def driver(self, **options: Any) -> Keithley2450:
        return Keithley2450(Wire(self.served.address, timeout_s=0.4), "smu", **options)

    def heard(self) -> bytes:
        """Take what was heard since this was last asked."""
        said = b"".join(self.served.heard)
        self.served.heard.clear()
        return said


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    with made.served:
        yield made


@pytest.fixture
def smu(bench: Bench) -> Iterator[Keithley2450]:
    """A source of up to 1 mA with a limit of 2 V, armed."""
    options = {"source_range": 1e-3, "limit": 2.0, "sense_range": 2.0, "nplc": 0.1, "off_state": "HIMP"}
    with bench.driver(serial="04412345", **options) as opened:
        opened.arm()
        bench.heard()
        yield opened


def test_opening_asks_for_the_command_set_first_and_changes_nothing(bench: Bench) -> None:
    with bench.driver() as smu:
        assert bench.heard() == b"*IDN?\n*LANG?\n*ESR?\nSYSTem:ERRor?\n" + ADOPTED
        out, measured = smu.channels["1"], smu.channels["2"]
        assert (out.direction, out.unit, out.low, out.high) == (Direction.OUT, "A", -1e-8, 1e-8)
        assert out.step == pytest.approx(2.5e-13)
        assert (measured.direction, measured.unit, measured.high) == (Direction.IN, "V", pytest.approx(0.021))
        assert smu.settings()["output"] == "OFF"
        assert smu.when_silent is Silence.HOLDS
        assert not smu.watch(1.0)
        assert not smu.rebooted()


@pytest.mark.parametrize("language", ["TSP", "SCPI2400"])
def test_another_command_set_is_told_with_its_cure(language: str) -> None:
    bench = Bench(language=language)
    with bench.served, pytest.raises(IdentityError, match=rf"set to the command set {language}\. Choose SCPI at its front"):
        bench.driver().open()
    assert bench.heard() == b"*IDN?\n*LANG?\n"


def test_another_model_or_serial_number_is_asked_for_its_name_alone(bench: Bench) -> None:
    with pytest.raises(IdentityError, match="the serial number asked for is 7"):
        bench.driver(serial="7").open()
    bench.smu.front.name = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1,C33"
    with pytest.raises(IdentityError, match=r"MODEL 2400.* answers, not KEITHLEY MODEL 2450"):
        bench.driver().open()
    assert bench.heard() == b"*IDN?\n" * 2


def test_arming_says_what_it_changes_sends_it_in_order_and_reads_it_back(bench: Bench) -> None:
    options = {"source_range": 1e-3, "limit": 2.0, "sense_range": 2.0, "nplc": 0.1, "off_state": "HIMP"}
    with bench.driver(**options) as smu:
        assert [str(change) for change in smu.plan()] == [
            "channel 1: source from VOLT to CURR",
            "channel 1: measurement from CURR:DC to VOLT:DC",
            "channel 1: off state from NORM to HIMP",
            "channel 1: source range from 1e-08 A to 0.001 A",
            "channel 1: limit from 21 V to 2 V",
            "channel 1: sense range from 0.02 V to 2 V",
            "channel 1: aperture from 1 PLC to 0.1 PLC",
            "channel 1: output from OFF to ON",
        ]
        bench.heard()
        smu.arm()
        assert bench.heard() == (
            b'SOURce:FUNCtion CURR\nSENSe:FUNCtion "VOLT:DC"\nOUTPut:CURRent:SMODe HIMP\nSOURce:CURRent:RANGe 0.001\n'
            b"SOURce:CURRent:VLIMit 2\nSENSe:VOLTage:RANGe 2\nSENSe:VOLTage:NPLCycles 0.1\nSYSTem:ERRor?\n"
            + ADOPTED + b"OUTPut ON\nSYSTem:ERRor?\n" + ADOPTED
        )  # fmt: skip
        assert smu.plan() == []
        assert (smu.channels["1"].high, smu.channels["2"].high) == (1e-3, 2.1)


def test_arming_brings_an_old_level_to_zero_before_its_output_goes_on(bench: Bench) -> None:
    bench.smu.range["CURRent"], bench.smu.level["CURRent"] = 1e-2, 5e-3
    with bench.driver(source_range=1e-3) as smu:
        smu.arm()
        assert bench.smu.on
        assert bench.wired.driven["1"] == 0.0


def test_a_limit_that_is_refused_keeps_the_output_off(bench: Bench) -> None:
    with bench.driver(source_range=1e-3, limit=1e-5) as smu:
        with pytest.raises(RefusedError, match="outside what it can do"):
            smu.arm()
        assert not bench.smu.on


def test_arming_never_changes_the_function_of_a_driven_terminal(bench: Bench) -> None:
    bench.smu.on = True
    with bench.driver() as smu:
        assert [str(change) for change in smu.plan()][:2] == [
            "channel 1: output from ON to OFF",
            "channel 1: source from VOLT to CURR",
        ]
        bench.heard()
        smu.arm()
        assert bench.heard().startswith(b"OUTPut OFF\nSOURce:FUNCtion CURR\n")


def test_a_voltage_with_a_current_limit(bench: Bench) -> None:
    with bench.driver(source="voltage", source_range=2.0, limit=1e-3, sense_range=1e-3) as smu:
        bench.heard()
        smu.arm()
        assert b"SOURce:VOLTage:RANGe 2\nSOURce:VOLTage:ILIMit 0.001\nSENSe:CURRent:RANGe 0.001\n" in bench.heard()
        smu.write(["1"], np.array([1.5]))
        assert bench.heard() == b"SOURce:VOLTage 1.5\nSOURce:VOLTage?;*ESR?\n"
        assert bench.wired.driven["1"] == pytest.approx(1.5)
        assert (smu.channels["1"].unit, smu.channels["2"].unit) == ("V", "A")


@pytest.mark.parametrize(
    "options",
    [{"source": "ohms"}, {"source_range": 3e-3}, {"sense_range": 5.0}, {"nplc": 20.0}, {"off_state": "OPEN"}, {"limit": -1.0}],
)
def test_settings_that_it_does_not_have_are_refused_before_anything_is_sent(bench: Bench, options: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"^smu"):
        bench.driver(**options)
    assert bench.heard() == b""


def test_a_level_is_sent_with_all_its_digits_and_read_back(bench: Bench, smu: Keithley2450) -> None:
    smu.write(["1"], np.array([1.23456789e-4]))
    assert bench.heard() == b"SOURce:CURRent 0.000123456789\nSOURce:CURRent?;*ESR?\n"
    assert bench.wired.driven["1"] == pytest.approx(1.2345e-4, abs=2.5e-8)
    assert smu.written(["1"])[0] == pytest.approx(1.2345e-4, abs=1.3e-8)
    with pytest.raises(SettingError, match=r"0\.0011 A is outside -0\.001 to 0\.001 A"):
        smu.write(["1"], np.array([1.1e-3]))
    assert bench.heard() == b"SOURce:CURRent?;*ESR?\n"


def test_a_reboot_and_a_lost_end_are_noticed(bench: Bench, smu: Keithley2450) -> None:
    bench.served.faults.spoil = lambda reply: reply[:4] + b"\n"
    with pytest.raises(ReplyError, match="lost its end"):
        smu.written(["1"])
    bench.served.faults.spoil = None
    bench.smu.front.events |= POWER_ON
    with pytest.raises(RebootedError, match="its settings are gone"):
        smu.write(["1"], np.array([1e-4]))
    assert smu.rebooted()
    smu.healthy()
    bench.smu.front.complain(802, "OUTPUT blocked by interlock")
    with pytest.raises(RefusedError, match="blocked by the interlock"):
        smu.healthy()


def test_a_level_that_was_refused_is_told(bench: Bench, smu: Keithley2450) -> None:
    bench.smu.range["CURRent"] = 1e-6  # somebody turned its knob
    with pytest.raises(RefusedError, match=r"outside what it can do.*-222.*Data out of range.*error of 2018/05/26 00:00"):
        smu.write(["1"], np.array([1e-4]))


def test_what_sources_or_measures_something_else_is_not_used_before_arming(bench: Bench) -> None:
    bench.smu.front.carry_out(b"OUTP ON")  # a voltage source that measures a current
    with bench.driver(source="current") as smu:
        bench.heard()
        with pytest.raises(SettingError, match="it is not armed: its measurement is CURR:DC, not VOLT:DC"):
            smu.measure(["2"])
        with pytest.raises(SettingError, match="it is not armed: its source is VOLT, not CURR"):
            smu.write(["1"], np.array([0.0]))
        assert bench.heard() == b""


def test_readings_take_their_time_and_an_overload_is_none(bench: Bench, smu: Keithley2450) -> None:
    bench.wired.laid["2"] = 0.123456789
    before = bench.clock.now()
    assert smu.measure(["2"])[0] == pytest.approx(0.123456789)
    assert bench.heard() == b"READ?;*ESR?\n"
    assert bench.clock.now() - before == pytest.approx(0.1 / 50)
    bench.smu.sense_range["VOLTage"] = 0.02
    with pytest.raises(ReplyError):
        smu.measure(["2"])


def test_its_limit_holds_and_says_so(bench: Bench, smu: Keithley2450) -> None:
    bench.wired.laid["2"] = 1.9
    assert not smu.tripped()
    bench.wired.laid["2"] = -5.0
    assert smu.tripped()
    assert smu.measure(["2"])[0] == -2.0
    assert bench.heard() == b"SOURce:CURRent:VLIMit:TRIPped?\n" * 2 + b"READ?;*ESR?\n"


def test_off_is_confirmed_and_then_there_is_nothing_to_read(bench: Bench, smu: Keithley2450) -> None:
    smu.write(["1"], np.array([1e-4]))
    bench.heard()
    smu.off(["1"])
    assert bench.heard() == b"OUTPut OFF\nOUTPut?\n"
    assert bench.wired.driven["1"] == 0.0
    with pytest.raises(RefusedError, match="measure with its output off"):
        smu.measure(["2"])


def test_errors_carry_their_type_and_time(bench: Bench, smu: Keithley2450) -> None:
    bench.clock.spend(3723.5)
    smu.connection.write("NONSENSE")
    (found,) = smu.complaints()
    assert found.code == -113
    assert found.text.endswith('(-113, "Undefined header", error of 2018/05/26 01:02:03.500)')
    assert bench.served.front.carry_out(b"SYST:ERR?") == b'0,"No error;0;0 0"'


@pytest.mark.parametrize("reply", [b"\n", b"1,2\n", b"nan\n", b"9.91e37\n", b"volts\n"])
def test_what_is_no_reading_never_becomes_a_number(bench: Bench, smu: Keithley2450, reply: bytes) -> None:
    bench.served.faults.spoil = lambda _: reply
    with pytest.raises(ReplyError):
        smu.measure(["2"])
    bench.served.faults.spoil = None
    assert smu.measure(["2"]).tolist() == [0.0]


def test_a_late_reply_is_not_that_of_the_next_question(bench: Bench, smu: Keithley2450) -> None:
    bench.wired.laid["2"] = 0.5
    bench.served.faults.late_s = 0.6
    with pytest.raises((ReplyLateError, LinkLostError)):
        smu.measure(["2"])
    bench.served.faults.late_s = 0.0
    if not smu.connection.is_open:
        smu.reopen()
    assert smu.written(["1"]).tolist() == [0.0]
    assert smu.measure(["2"]).tolist() == [0.5]


def test_after_a_dropped_link_it_is_as_it_was_and_after_a_reboot_it_is_not(bench: Bench, smu: Keithley2450) -> None:
    smu.write(["1"], np.array([1e-4]))
    bench.served.drop()
    with pytest.raises(LinkLostError):
        smu.measure(["2"])
    smu.reopen()
    assert not smu.rebooted()
    assert smu.written(["1"])[0] == pytest.approx(1e-4)
    assert smu.plan() == []
    bench.smu.reboot()
    assert smu.rebooted()
    assert not smu.rebooted()
    assert len(smu.plan()) == 8
