"""The 34970A and DAQ970A and their emulated counterpart: every byte of every call, bad replies, faults of link and box."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from aeqlab.drivers.connection import Wire
from aeqlab.drivers.daq970a import Daq970a, Input
from aeqlab.drivers.emulated.clock import LockstepClock
from aeqlab.drivers.emulated.daq970a import EmulatedDaq970a, State
from aeqlab.drivers.emulated.scpi import POWER_ON, Call
from aeqlab.drivers.emulated.server import PtyServed, Served, TcpServed
from aeqlab.drivers.emulated.terminals import Bare
from aeqlab.drivers.errors import (
    IdentityError,
    LinkLostError,
    OverloadError,
    RebootedError,
    RefusedError,
    ReplyError,
    ReplyLateError,
    SettingError,
)

OPEN = ["*IDN?", "*ESR?", "SYSTem:ERRor?"]
BOX = [
    "SYSTem:LFRequency?", "ROUTe:SCAN?", "TRIGger:SOURce?", "TRIGger:COUNt?", "FORMat:READing:CHANnel?", "FORMat:READing:TIME?",
    "FORMat:READing:UNIT?", "FORMat:READing:ALARm?", "STATus:OPERation:CONDition?",
]  # fmt: skip
OF_CHANNEL = [
    "SENSe:FUNCtion?", "SENSe:VOLTage:DC:RANGe:AUTO?", "SENSe:VOLTage:DC:RANGe?", "SENSe:VOLTage:DC:NPLCycles?",
    "ROUTe:CHANnel:DELay:AUTO?", "ROUTe:CHANnel:DELay?",
]  # fmt: skip
WANTED = {"103": Input(1.0, 1.0, 0.002), "101": Input(10.0, 2.0), "102": Input(10.0, 2.0)}


class Bench:
    """An emulated box with voltages laid on it, served."""

    def __init__(self, model: str = "DAQ970A", modules: tuple[int, ...] = (20, 20, 0)) -> None:
        self.terminals, self.clock = Bare(), LockstepClock()
        self.terminals.laid = {"101": 1.5, "102": -2.25, "103": 0.125, "201": 3.0}
        self.box = EmulatedDaq970a(self.terminals, self.clock, model=model, modules=modules)

    def say(self, message: str) -> str:
        """Say something to the box past the driver, as its front panel does."""
        return self.box.front.carry_out(message.encode()).decode()

    def driver(
        self, served: TcpServed | PtyServed, inputs: dict[str, Input] | None = WANTED, serial: str = "", timeout_s: float = 2.0
    ) -> Daq970a:
        return Daq970a(Wire(served.address, timeout_s=timeout_s), "adc", serial=serial, inputs=inputs)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def served(bench: Bench) -> Iterator[TcpServed]:
    with TcpServed(bench.box.front, bench.clock) as served:
        yield served


@pytest.fixture
def adc(bench: Bench, served: TcpServed) -> Iterator[Daq970a]:
    with bench.driver(served) as adc:
        adc.arm()
        served.heard.clear()
        yield adc


def about(volts: object) -> object:
    """Compare within half a step of 10 V at 1 PLC, 30 µV."""
    return pytest.approx(volts, abs=1.6e-5)


def heard(served: Served) -> list[str]:
    """Get the lines that came since the last time."""
    lines = b"".join(served.heard).decode().split("\n")
    served.heard.clear()
    assert lines.pop() == ""
    return lines


def test_opening_only_asks_and_takes_what_stands(bench: Bench, served: TcpServed) -> None:
    bench.say("CONF:VOLT:DC 10,0.003,(@101:102);:SENS:VOLT:NPLC 0.2,(@102)")
    with bench.driver(served, inputs=None) as adc:
        assert heard(served) == [*OPEN, *BOX, *(f"{one} (@101:102)" for one in OF_CHANNEL)]
        assert adc.identity is not None
        assert adc.identity.serial == "MY12345678"
        assert list(adc.channels) == ["101", "102"]
        one, two = adc.channels["101"], adc.channels["102"]
        assert (one.low, one.high, one.unit) == (-12.0, 12.0, "V")
        assert one.step == pytest.approx(3e-5)
        assert two.step == pytest.approx(1e-4)
        assert adc.scan_s == pytest.approx(0.02 + 0.004 + 0.002)
        assert adc.plan() == []
        assert adc.measure(["102", "101"]).tolist() == about([-2.25, 1.5])
        settings = adc.settings()
        assert (settings["scan list"], settings["line frequency"]) == ("(@101:102)", "50 Hz")
        assert (settings["channel 102: aperture"], settings["channel 101: range"]) == ("0.2 PLC", "10 V")


def test_what_is_no_dc_voltage_is_not_measured(bench: Bench, served: TcpServed) -> None:
    bench.say('ROUT:SCAN (@101:102);:SENS:FUNC "RES",(@102)')
    with bench.driver(served, inputs=None) as adc:
        heard(served)
        with pytest.raises(SettingError, match=r"channel 102 \(RES\) does not measure DC voltage"):
            adc.measure(["101", "102"])
        assert heard(served) == []
        assert adc.measure(["101"]).tolist() == about([1.5])


def test_an_empty_scan_list_is_taken_and_cannot_be_measured(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, inputs=None) as adc:
        assert heard(served) == [*OPEN, *BOX]
        assert adc.channels == {}
        with pytest.raises(SettingError, match="there is no input '101'; its inputs are none"):
            adc.measure(["101"])
        with pytest.raises(SettingError, match="scan list is empty"):
            adc.begin()
        assert heard(served) == []


def test_another_instrument_is_asked_for_its_name_alone(bench: Bench, served: TcpServed) -> None:
    with pytest.raises(IdentityError, match="serial number asked for is MY999"):
        bench.driver(served, serial="MY999").open()
    assert heard(served) == ["*IDN?"]
    bench.box.front.name = "QDevil, QDAC-II, 121, 11-1.14"
    with pytest.raises(IdentityError, match="not 34970A or DAQ970A"):
        bench.driver(served).open()
    assert heard(served) == ["*IDN?"]


def test_arming_is_planned_sent_and_read_back(bench: Bench, served: TcpServed) -> None:
    bench.say("ROUT:SCAN (@105);:FORM:READ:CHAN ON;UNIT ON;:TRIG:SOUR BUS;COUN INF;:SENS:FUNC 'RES',(@102)")
    with bench.driver(served) as adc:
        assert heard(served)[-6:] == [f"{one} (@101:103)" for one in OF_CHANNEL]
        assert [str(change) for change in adc.plan()] == [
            "channel 102: function from RES to VOLT",
            *(f"channel {k}: autorange from ON to OFF" for k in (101, 102, 103)),
            "channel 101: range from 300 V to 10 V", "channel 102: range from 300 V to 10 V",
            "channel 103: range from 300 V to 1 V",
            "channel 101: aperture from 1 PLC to 2 PLC",
            "channel 102: aperture from 1 PLC to 2 PLC",
            "channel 103: automatic delay from ON to OFF", "channel 103: delay from 0.001 s to 0.002 s",
            "scan list from (@105) to (@101:103)", "trigger from BUS to IMM", "scans per start from 9.9e+37 to 1",
            "channel in replies from ON to OFF", "unit in replies from ON to OFF",
        ]  # fmt: skip
        with pytest.raises(SettingError, match="not armed: channel 101 is not in its scan list"):
            adc.measure(["101"])
        assert heard(served) == []
        adc.arm()
        assert heard(served) == [
            'SENSe:FUNCtion "VOLT",(@102)', "SENSe:VOLTage:DC:RANGe:AUTO OFF,(@101:103)", "SENSe:VOLTage:DC:RANGe 10,(@101:102)",
            "SENSe:VOLTage:DC:RANGe 1,(@103)", "SENSe:VOLTage:DC:NPLCycles 2,(@101:102)", "ROUTe:CHANnel:DELay:AUTO OFF,(@103)",
            "ROUTe:CHANnel:DELay 0.002,(@103)", "ROUTe:SCAN (@101:103)", "TRIGger:SOURce IMM", "TRIGger:COUNt 1",
            "FORMat:READing:CHANnel OFF", "FORMat:READing:UNIT OFF", "SYSTem:ERRor?", *BOX,
            *(f"{one} (@101:103)" for one in OF_CHANNEL),
        ]  # fmt: skip
        assert adc.plan() == []
        assert adc.channels["103"].high == pytest.approx(1.2)


def test_a_scan_under_way_is_shown_and_stopped_by_arming_alone(bench: Bench, served: TcpServed) -> None:
    bench.say("ROUT:SCAN (@101);:TRIG:COUN INF;:INIT")
    with bench.driver(served, inputs=None) as adc:
        assert [str(change) for change in adc.plan()] == [
            "scan from running to stopped",
            "scans per start from 9.9e+37 to 1",
        ]
        heard(served)
        adc.arm()
        assert heard(served)[:2] == ["ABORt", "TRIGger:COUNt 1"]
        assert adc.measure(["101"])[0] == about(1.5)


class Stubborn(EmulatedDaq970a):
    """One that takes an aperture without a word and keeps the one it has."""

    def _nplc(self, state: State, call: Call) -> None:
        pass


def test_a_setting_that_does_not_take_is_told(bench: Bench) -> None:
    with TcpServed(Stubborn().front) as served, bench.driver(served, inputs={"101": Input(nplc=10.0)}) as adc:
        assert len(adc.plan()) == 2
        with pytest.raises(RefusedError, match="did not change channel 101: aperture from 1 PLC to 10 PLC"):
            adc.arm()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"100": Input()}, "channels are slot and number"), ({"141": Input()}, "channels are"),
        ({"401": Input()}, "channels are"), ({"1": Input()}, "channels are"),
        ({"101": Input(range_V=5.0)}, "It is 0.1, 1, 10, 100 or 300 V"),
        ({"101": Input(nplc=0.2)}, "lets hum through"), ({"101": Input(nplc=float("nan"))}, "lets hum through"),
        ({"101": Input(delay_s=61.0)}, "delay 61 s is outside 0 to 60 s"), ({"101": Input(delay_s=1.5e-3)}, "whole milliseconds"),
    ],
)  # fmt: skip
def test_what_it_cannot_be_is_refused_without_a_link(inputs: dict[str, Input], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Daq970a(Wire("TCPIP::127.0.0.1::1::SOCKET"), "adc", inputs=inputs)


def test_a_full_box_scans_120_channels(served: TcpServed) -> None:
    bench = Bench(modules=(40, 40, 40))
    inputs = {f"{100 * slot + k}": Input(10.0) for slot in (1, 2, 3) for k in range(1, 41)}
    with TcpServed(bench.box.front, bench.clock) as full, bench.driver(full, inputs=inputs, timeout_s=4.0) as adc:
        adc.arm()
        assert bench.say("ROUT:SCAN:SIZE?") == "+120"
        assert adc.measure(list(inputs))[80] == 0.0
        assert adc.scan_s == pytest.approx(120 * 0.021)


def test_a_scan_is_one_exchange_and_takes_its_time(bench: Bench, served: TcpServed, adc: Daq970a) -> None:
    before = bench.clock.now()
    assert adc.measure(["103", "101"]).tolist() == about([0.125, 1.5])
    assert heard(served) == ["READ?;*ESR?"]
    assert adc.scan_s == pytest.approx(2 * 0.04 + 0.02 + 2 * 0.001 + 0.002)
    assert bench.clock.now() - before == pytest.approx(adc.scan_s)


def test_the_order_of_a_list_is_not_that_of_a_scan(bench: Bench, served: TcpServed) -> None:
    bench.say("ROUT:SCAN (@201,103,101:102)")
    assert bench.say("ROUT:SCAN?") == "#218(@101,102,103,201)"
    inputs = {key: Input(10.0) for key in ("201", "103", "101")}
    with bench.driver(served, inputs=inputs) as adc:
        adc.arm()
        assert "ROUTe:SCAN (@101,103,201)" in heard(served)
        assert adc.measure(["201", "103", "101"]).tolist() == about([3.0, 0.125, 1.5])


def test_a_reboot_and_a_lost_end_are_noticed_by_a_scan(bench: Bench, served: TcpServed, adc: Daq970a) -> None:
    served.faults.spoil = lambda reply: reply.rpartition(b";")[0][:-4] + b"\n"  # 3 numbers, the last without its exponent
    with pytest.raises(ReplyError, match="lost its end"):
        adc.measure(["101"])
    served.faults.spoil = None
    bench.box.front.events |= POWER_ON  # it was off, and came back with its scan list
    with pytest.raises(RebootedError, match="its settings are gone"):
        adc.measure(["101"])
    assert adc.rebooted()
    adc.healthy()


def test_a_scan_that_was_begun_is_fetched(bench: Bench, served: TcpServed, adc: Daq970a) -> None:
    before = bench.clock.now()
    adc.begin()
    adc.begin()
    assert bench.clock.now() == before  # it does not wait
    assert adc.measure(["102"])[0] == about(-2.25)
    assert heard(served) == ["INITiate;:SYSTem:ERRor?;*ESR?", "FETCh?;*ESR?"]
    assert bench.clock.now() - before == pytest.approx(adc.scan_s)
    adc.measure(["102"])
    assert heard(served) == ["READ?;*ESR?"]
    bench.clock.spend(1.0)
    adc.begin()
    bench.clock.spend(1.0)
    before = bench.clock.now()
    adc.measure(["102"])
    assert bench.clock.now() == before  # its time had passed


def test_two_boxes_scan_at_the_same_time(bench: Bench, served: TcpServed, adc: Daq970a) -> None:
    other = EmulatedDaq970a(bench.terminals, bench.clock)
    with TcpServed(other.front, bench.clock) as second, bench.driver(second) as both:
        both.arm()
        before = bench.clock.now()
        adc.begin()
        both.begin()
        assert adc.measure(["101"])[0] == about(1.5)
        assert both.measure(["102"])[0] == about(-2.25)
        assert bench.clock.now() - before == pytest.approx(adc.scan_s)


def test_a_scan_by_somebody_else_is_not_disturbed(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, timeout_s=0.5) as adc:
        adc.arm()
        bench.say("INIT")
        for start in (adc.begin, lambda: adc.measure(["101"])):
            with pytest.raises(RefusedError, match="already running"):
                start()
        bench.clock.spend(adc.scan_s)
        assert adc.measure(["101"])[0] == about(1.5)


def test_a_scan_that_begins_with_complaints_is_not_taken_for_begun(bench: Bench, served: TcpServed, adc: Daq970a) -> None:
    bench.say("NONSENSE")
    with pytest.raises(RefusedError, match="does not know a command"):
        adc.begin()
    assert adc.measure(["101"])[0] == about(1.5)
    assert heard(served) == ["INITiate;:SYSTem:ERRor?;*ESR?", "SYSTem:ERRor?", "ABORt", "READ?;*ESR?"]


def test_readings_have_the_resolution_of_their_aperture(bench: Bench, adc: Daq970a) -> None:
    bench.terminals.laid["101"] = 1.23456789
    value = adc.measure(["101"])[0]
    assert value / 2.2e-5 == pytest.approx(round(value / 2.2e-5), abs=1e-3)
    assert value == pytest.approx(1.23456789, abs=1.1e-5)


@pytest.mark.parametrize("volts", [1.21, -1.21, 1e9])
def test_an_overload_is_no_number_and_no_error(bench: Bench, served: TcpServed, adc: Daq970a, volts: float) -> None:
    bench.terminals.laid["103"] = volts
    with pytest.raises(OverloadError, match="overload on channel 103:"):
        adc.measure(["101", "103"])
    assert adc.measure(["101"])[0] == about(1.5)  # a channel that was not asked for spoils nothing
    assert adc.complaints() == []
    assert bench.say("STAT:QUES?") == "+1"
    bench.terminals.laid["103"] = 1.19
    assert adc.measure(["103"])[0] == about(1.19)


@pytest.mark.parametrize(
    "reply",
    [b"+1,+2\n", b"+1,+2,+3,+4\n", b"+1,+2,volts\n", b"+1,+2,nan\n", b"+1,+2,-9.90000000E+37\n", b"+1,+2,+9.91E37\n",
     b"\n", b"+1,+2,\xb5\n"],
)  # fmt: skip
def test_bad_replies_never_become_numbers(served: TcpServed, adc: Daq970a, reply: bytes) -> None:
    served.faults.spoil = lambda said: reply
    with pytest.raises(ReplyError):
        adc.measure(["101", "102", "103"])
    served.faults.spoil = None
    assert adc.measure(["101"])[0] == about(1.5)


@pytest.mark.parametrize("reply", [b"(@101)\n", b"#13(@101)\n", b"#16(@101\n", b"#16(#101)\n", b"+101\n"])
def test_a_scan_list_that_makes_no_sense_is_refused_at_opening(bench: Bench, served: TcpServed, reply: bytes) -> None:
    served.faults.spoil = lambda said: reply if said.startswith(b"#") else said
    with pytest.raises(ReplyError):
        bench.driver(served).open()


def test_measure_by_somebody_else_redefines_the_scan_and_is_noticed(bench: Bench, adc: Daq970a) -> None:
    bench.say("MEAS:VOLT:DC? AUTO,DEF,(@101,102)")
    with pytest.raises(ReplyError, match="2 numbers came, 3 were asked for"):
        adc.measure(["101"])
    adc.settings()
    assert "scan list from (@101:102) to (@101:103)" in [str(change) for change in adc.plan()]
    assert "channel 101: range from 10 V to 300 V" not in [str(change) for change in adc.plan()]
    adc.arm()
    assert adc.measure(["103"])[0] == about(0.125)


def test_fields_in_replies_are_seen_before_they_are_taken_for_readings(bench: Bench, adc: Daq970a) -> None:
    bench.say("FORM:READ:CHAN ON")
    adc.settings()
    with pytest.raises(SettingError, match="not armed: see its channel in replies"):
        adc.measure(["101"])


def test_a_scan_longer_than_the_timeout_is_refused(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, inputs={"101": Input(10.0, 100.0)}) as adc:
        adc.arm()
        heard(served)
        with pytest.raises(SettingError, match="a scan takes about 2 s, and timeout_s is 2 s"):
            adc.measure(["101"])
        assert heard(served) == []


def test_a_value_cannot_be_written(served: TcpServed, adc: Daq970a) -> None:
    with pytest.raises(SettingError, match="no output '101'; its outputs are none"):
        adc.write(["101"], np.array([0.0]))
    assert heard(served) == []
    assert adc.watch(1.0) is False


@pytest.mark.parametrize(
    ("inputs", "said"),
    [({"301": Input()}, "There is no module in a slot"), ({"121": Input()}, "the module in that slot does not have")],
)
def test_a_channel_without_a_module_is_told_at_opening(
    bench: Bench, served: TcpServed, inputs: dict[str, Input], said: str
) -> None:
    with pytest.raises(RefusedError, match=said):
        bench.driver(served, inputs=inputs, timeout_s=0.5).open()
    assert all(line.split(" ")[0].endswith("?") for line in heard(served))


def test_errors_become_sentences(bench: Bench, served: TcpServed, adc: Daq970a) -> None:
    assert adc.complaints() == []
    assert heard(served) == ["SYSTem:ERRor?"]
    for wrong in ("NONSENSE", "SENS:VOLT:NPLC 500,(@101)", "ROUT:SCAN (@401)", "FETC?", "ROUT:SCAN (@)", "INIT"):
        bench.say(wrong)
    found = adc.complaints()
    assert [one.code for one in found] == [-113, -222, 111, -230, 113]
    assert found[2].text.endswith('(+111, "Channel list: slot number out of range")')
    assert heard(served) == ["SYSTem:ERRor?"] * 6
    for _ in range(30):
        bench.say("NONSENSE")
    with pytest.raises(RefusedError, match="errors were lost") as caught:
        adc.check()
    assert caught.value.codes[-1] == -350


@pytest.mark.parametrize(("model", "kept"), [("DAQ970A", "(@101:103)"), ("34970A", "(@)")])
def test_a_reboot_is_noticed_once(model: str, kept: str) -> None:
    bench = Bench(model)
    with TcpServed(bench.box.front, bench.clock) as served, bench.driver(served) as adc:
        adc.arm()
        assert not adc.rebooted()
        bench.box.reboot()
        assert adc.rebooted()
        assert ("scan list from (@) to (@101:103)" in [str(change) for change in adc.plan()]) == (kept == "(@)")
        assert "channel 101: range from 300 V to 10 V" in [str(change) for change in adc.plan()]
        assert not adc.rebooted()


def test_after_a_lost_link_it_goes_on(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, timeout_s=0.5) as adc:
        adc.arm()
        adc.begin()
        served.drop()
        with pytest.raises(LinkLostError):
            adc.measure(["101"])
        heard(served)
        adc.reopen()
        assert all(line.split(" ")[0].endswith("?") for line in heard(served))
        assert [str(change) for change in adc.plan()] == ["scan from running to stopped"]  # the one that was begun goes on
        bench.clock.spend(adc.scan_s)
        adc.settings()
        assert adc.plan() == []
        assert not adc.rebooted()
        assert adc.measure(["101"])[0] == about(1.5)
        served.drop()
        bench.box.reboot()
        with pytest.raises(LinkLostError):
            adc.measure(["101"])
        adc.reopen()
        assert adc.rebooted()


def test_a_late_reply_is_never_taken_for_the_next(bench: Bench, served: TcpServed) -> None:
    with bench.driver(served, timeout_s=0.5) as adc:
        adc.arm()
        served.faults.late_s = 0.8
        with pytest.raises(ReplyLateError):
            adc.connection.query("READ?")
        served.faults.late_s = 0.0
        bench.terminals.laid["101"] = 4.0
        assert adc.measure(["101"])[0] == about(4.0)


def test_the_box_keeps_its_manners(bench: Bench) -> None:
    assert bench.say("ROUT:SCAN?;SCAN:SIZE?") == "#13(@);+0"
    bench.say("ROUT:SCAN (@101:103)")
    assert bench.say("ROUT:SCAN?") == "#214(@101,102,103)"
    bench.say("TRIG:SOUR BUS;:INIT")
    assert bench.say("FETC?") == ""
    bench.say("*TRG")
    assert bench.say("FETC?").startswith("+1.5")
    assert bench.say("READ?;*ESR?") == ""
    assert bench.say("SYST:ERR?") == '-214,"Trigger deadlock"'
    bench.say("CONF:VOLT:DC 10,0.003,(@101:220)")
    assert bench.say("ROUT:SCAN:SIZE?") == "+40"  # what lies between the ends may be missing
    bench.say("ROUT:CHAN:DEL 2;DEL 0.5,(@101)")
    assert bench.say("ROUT:CHAN:DEL? (@101,220)") == "+5.00000000E-01,+2.00000000E+00"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
def test_a_34970a_over_its_serial_port() -> None:
    bench = Bench("34970A")
    with PtyServed(bench.box.front, bench.clock, end=b"\r\n") as served, bench.driver(served, serial="0") as adc:
        adc.arm()
        heard(served)
        assert adc.measure(["101", "102"]).tolist() == about([1.5, -2.25])
        assert heard(served) == ["READ?;*ESR?"]
        assert adc.identity is not None
        assert adc.identity.maker == "HEWLETT-PACKARD"
